# SPDX-License-Identifier: Apache-2.0
"""Stochastic reconfiguration: from the local energies to a direction in parameter space.

All variants solve one damped least-squares problem in the metric of the samples,

    min over d of |rows (d - mu d_old) - (e - mu rows d_old)|^2 + shift |d - mu d_old|^2,

whose solution for mu = 0 is (S + shift)^-1 f. It is solved for the parameters or, which is the same, for the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from manybody import _checks, linalg
from manybody._precision import foreign_code
from manybody._types import Array, Inexact, Int, PyTree
from manybody.estimator.derivatives import flatten_real
from manybody.parallel import Comm
from manybody.sr import noise
from manybody.sr.kernel import describe, kernel_and_adjoint
from manybody.sr.tangent import Tangent, unflatten_complex, unflatten_real

METHODS = ("auto", "parameters", "samples")
SOLVERS = ("cholesky", "pinv", "qr", "cg")


class Problem(NamedTuple):
    """What a preconditioner works with, inside one step.

    Attributes:
        tangent: the tangent map at the present parameters.
        values: local energies (samples,) of this worker.
        mean: their mean, or that of each group of samples.
        step: number of the optimisation step.
    """

    tangent: Tangent
    values: Inexact[Array, "samples"]
    mean: Inexact[Array, "*groups"]
    step: Int[Array, ""]


class Forced(NamedTuple):
    """The same for a force that is no mean over the samples of the tangent map, because a part of it comes from data.

    Attributes:
        tangent: the tangent map at the present parameters.
        force: a tree like the parameters, the same on all workers.
        mean: of what is minimised.
        step: number of the optimisation step.
    """

    tangent: Tangent
    force: PyTree
    mean: Inexact[Array, "*groups"]
    step: Int[Array, ""]


@runtime_checkable
class Preconditioner(Protocol):
    """A pair of functions, after optax's GradientTransformation; immutable and hashable."""

    def init(self, params: PyTree) -> PyTree:
        """State before the first step."""
        ...

    def update(self, problem: Problem | Forced, state: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """The direction (a tree like the parameters, to be subtracted), the next state, and what is worth logging."""
        ...

    def describe(self, tangent: Tangent) -> str:
        """The choices made, in words."""
        ...


class Gradient:
    """No preconditioning: the direction is the force f (so dE/dtheta = 2 Re f)."""

    def init(self, params: PyTree) -> PyTree:
        del params
        return ()

    def update(self, problem: Problem | Forced, state: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        if isinstance(problem, Forced):
            return problem.force, state, {}
        tangent = problem.tangent
        return tangent.adjoint(tangent.residual(problem.values, problem.mean)), state, {}

    def describe(self, tangent: Tangent) -> str:
        del tangent
        return "force"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gradient)

    def __hash__(self) -> int:
        return hash(Gradient)


class SR:
    """Stochastic reconfiguration, i.e. natural gradient descent in the Fubini-Study metric.

    The direction is (S + diag_shift)^-1 f with S and f of `manybody.sr.tangent`, and the learning rate of the
    optimizer behind it is the step of imaginary time.

    Args:
        diag_shift: added to the diagonal of S; a number or a schedule step -> number.
        method: where to solve. "parameters": S, (n_params, n_params). "samples": T = rows rows^T, (n_rows, n_rows),
            the minSR form. "auto" takes the smaller matrix: "samples" if n_rows < n_params, where n_rows is the number
            of samples (twice that for complex log psi) and n_params the number of real parameters.
        solver: "cholesky"; "pinv", a smooth pseudo-inverse (eigenvalues below `cutoff` times the largest are switched
            off); "qr", which keeps its precision at tiny shifts; "cg", matrix-free conjugate gradients.
        momentum: mu in [0, 1): the last direction is projected on the new problem and kept (SPRING).
        cutoff: of "pinv".
        snr: of "pinv" with samples of a single state: eigenvectors along which the force has a ratio of signal to noise
            below this are switched off as well; 0 for none. `manybody.sr.noise`.
        tolerance: of "cg", relative residual.
        max_iterations: of "cg".

    References:
        S. Sorella, Phys. Rev. Lett. 80, 4558 (1998); A. Chen and M. Heyl, arXiv:2302.01941, equation 8 (minSR);
        G. Goldshlager, N. Abrahamsen and L. Lin, arXiv:2401.10190, equation 16 (SPRING).

    Raises:
        ValueError: for an unknown name or a number out of range.
    """

    def __init__(
        self,
        diag_shift: float | Callable[[Array], Array] = 1e-3,
        method: str = "auto",
        solver: str = "cholesky",
        *,
        momentum: float = 0.0,
        cutoff: float = 1e-10,
        snr: float = 0.0,
        tolerance: float = 1e-10,
        max_iterations: int = 1000,
    ) -> None:
        self.diag_shift = (
            diag_shift if callable(diag_shift) else _checks.positive(diag_shift, "diag_shift", strict=False)
        )
        self.method = _checks.choice(method, METHODS, "method")
        self.solver = _checks.choice(solver, SOLVERS, "solver")
        self.momentum = _checks.positive(momentum, "momentum", strict=False)
        _checks.require(self.momentum < 1.0, "momentum", "satisfy 0 <= momentum < 1", momentum)
        self.cutoff = _checks.positive(cutoff, "cutoff", strict=False)
        self.snr = _checks.positive(snr, "snr", strict=False)
        _checks.require(not snr or solver == "pinv", "snr", 'be left out for solvers other than "pinv"', snr)
        self.tolerance = _checks.positive(tolerance, "tolerance")
        self.max_iterations = _checks.integer(max_iterations, "max_iterations", minimum=1)

    def _identity(self) -> tuple[Any, ...]:
        return tuple(vars(self).values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SR) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"SR({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def init(self, params: PyTree) -> PyTree:
        """The last direction, if there is momentum."""
        return jax.tree.map(jnp.zeros_like, params) if self.momentum else ()

    def update(self, problem: Problem | Forced, state: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """Direction of this step; "sr_code" in the information is 0 if the solver succeeded."""
        with foreign_code():
            shift = self.diag_shift(problem.step) if callable(self.diag_shift) else self.diag_shift
            shift = jnp.asarray(shift, float)
        old = jax.tree.map(lambda x: self.momentum * x, state) if self.momentum else None
        direction, info = self._solved(problem, old, shift)
        if old is not None:
            direction = jax.tree.map(jnp.add, direction, old)
            state = direction
        return direction, state, {**info, "diag_shift": shift}

    def _solved(self, problem: Problem | Forced, old: PyTree, shift: Array) -> tuple[PyTree, dict[str, Array]]:
        """(S + shift)^-1 f of what the old direction leaves of the force."""
        tangent, in_samples = problem.tangent, self.space(problem.tangent) == "samples"
        past = None if old is None else tangent.apply(old)
        if isinstance(problem, Forced):
            self._check_forced(in_samples)
            kept = None if past is None else tangent.adjoint(past)
            force = problem.force if kept is None else jax.tree.map(jnp.subtract, problem.force, kept)
            return (self._forced_in_samples if in_samples else self._forced_in_parameters)(tangent, force, shift)
        residual = tangent.residual(problem.values, problem.mean)
        residual = residual if past is None else residual - past
        return (self._in_samples if in_samples else self._in_parameters)(tangent, residual, shift)

    def space(self, tangent: Tangent) -> str:
        """Where "auto" solves."""
        if self.method != "auto":
            return self.method
        n_rows = tangent.n_local * tangent.comm.size * tangent.n_parts
        return "samples" if n_rows < tangent.n_params else "parameters"

    def describe(self, tangent: Tangent) -> str:
        """Where the problem is solved and how."""
        space = self.space(tangent)
        how = f"SR in the space of {space}, solver {self.solver}"
        forms_kernel = space == "samples" and self.solver in ("cholesky", "pinv")
        return f"{how}, kernel {describe(tangent)}" if forms_kernel else how

    def _in_parameters(self, tangent: Tangent, e: Array, shift: Array) -> tuple[PyTree, dict[str, Array]]:
        info = {}
        if self.solver in ("cholesky", "pinv") and tangent.is_holomorphic:
            rows, e = tangent.complex_jacobian(), jax.lax.complex(e[:, 0], e[:, 1])
            s, f = tangent.comm.psum((linalg.gram(tangent.comm, rows), rows.conj().T @ e))
            x, code = self._dense(tangent, e[:, None], s, f, shift, lambda v: (rows @ v)[:, None])
            return unflatten_complex(x, tangent.params), {"sr_code": code}
        if self.solver == "cg":
            f = flatten_real(tangent.adjoint(e))
            x, info["cg_iterations"], code = self._iterated(_flat_metric(tangent, shift), f, jnp.vdot)
        else:
            rows = tangent.jacobian().reshape(e.size, -1)  # (samples * parts, params)
            if self.solver == "qr":
                x, code = linalg.least_squares.tall(tangent.comm, rows, e.ravel(), shift)
            else:
                s, f = tangent.comm.psum((linalg.gram(tangent.comm, rows), rows.T @ e.ravel()))
                x, code = self._dense(tangent, e, s, f, shift, lambda v: (rows @ v).reshape(*e.shape, -1))
        return unflatten_real(x, tangent.params), {**info, "sr_code": code}

    def _in_samples(self, tangent: Tangent, e: Array, shift: Array) -> tuple[PyTree, dict[str, Array]]:
        comm, info = tangent.comm, {}
        if self.solver == "cg":
            local, info["cg_iterations"], code = self._iterated(*_local_kernel(tangent, shift, e))
            return tangent.adjoint(local), {**info, "sr_code": code}

        every = comm.all_gather(e).ravel()
        if self.solver == "qr":
            rows = tangent.jacobian().reshape(e.size, -1)
            padded = jnp.pad(rows, ((0, 0), (0, -rows.shape[1] % comm.size)))
            x, code = linalg.least_squares.wide(comm, comm.shard_to_columns(padded), every, shift)
            direction = unflatten_real(comm.psum(_own(comm, x, e.shape).ravel() @ rows), tangent.params)
        else:
            t, adjoint = kernel_and_adjoint(tangent)
            x, code = self._dense(tangent, e, t, every, shift, lambda v: _own(comm, v, e.shape))
            direction = adjoint(_own(comm, x, e.shape))
        return direction, {**info, "sr_code": code}

    def _forced_in_parameters(self, tangent: Tangent, force: PyTree, shift: Array) -> tuple[PyTree, dict[str, Array]]:
        info, f = {}, flatten_real(force)
        if self.solver == "cg":
            x, info["cg_iterations"], code = self._iterated(_flat_metric(tangent, shift), f, jnp.vdot)
        else:
            rows = tangent.jacobian().reshape(-1, tangent.n_params)  # (samples * parts, params)
            s = tangent.comm.psum(linalg.gram(tangent.comm, rows))
            solve = linalg.cholesky if self.solver == "cholesky" else partial(linalg.smooth_pinv, cutoff=self.cutoff)
            x, code = solve(s, f, shift)
        return unflatten_real(x, tangent.params), {**info, "sr_code": code}

    def _forced_in_samples(self, tangent: Tangent, force: PyTree, shift: Array) -> tuple[PyTree, dict[str, Array]]:
        """(S + shift)^-1 f = (f - rows^T (T + shift)^-1 rows f) / shift."""
        seen, info = self._in_samples(tangent, tangent.apply(force), shift)
        direction = jax.tree.map(lambda f, part: (f - part) / shift.astype(f.dtype), force, seen)
        # Nothing is known of the rest of a force whose part that the samples see could not be found.
        good = info["sr_code"] == linalg.OK
        return jax.tree.map(lambda x: jnp.where(good, x, jnp.zeros_like(x)), direction), info

    def _check_forced(self, in_samples: bool) -> None:
        """Raise `ValueError` if this solver needs local values."""
        good = self.solver != "qr" and not self.snr
        must = 'be "cholesky", "cg" or "pinv" without `snr`, for a force that is no mean over samples'
        _checks.require(good, "solver", must, f"{self.solver!r}, snr {self.snr:g}")
        if in_samples:
            cure = 'Or take method="parameters".'
            must = 'be "cholesky" or "cg" to find the direction of such a force in the space of samples'
            _checks.require(self.solver != "pinv", "solver", must, repr(self.solver), cure)
            must = "be positive to find the direction of such a force in the space of samples"
            _checks.require(callable(self.diag_shift) or self.diag_shift > 0, "diag_shift", must, self.diag_shift, cure)

    def _iterated(self, matrix: Callable, b: Array, dot: Callable) -> tuple[Array, Array, Array]:
        """matrix^-1 b, the number of iterations and the result code."""
        options = {"tolerance": self.tolerance, "max_iterations": self.max_iterations}
        return linalg.conjugate_gradients(matrix, b, dot=dot, **options)

    def _dense(
        self, tangent: Tangent, e: Array, a: Array, b: Array, shift: Array, along: Callable[[Array], Array]
    ) -> tuple[Inexact[Array, "n"], Int[Array, ""]]:
        """(a + shift)^-1 b; `along` gives this worker's rows along eigenvectors (samples, parts, eigenvectors)."""
        if self.solver == "cholesky":
            return linalg.cholesky(a, b, shift)

        def trust(values: Array, vectors: Array) -> Array:
            return noise.trust(tangent, values, jnp.sum(along(vectors).conj() * e[..., None], axis=1), self.snr)

        return linalg.smooth_pinv(a, b, shift, self.cutoff, trust if self.snr else None)


def minsr(diag_shift: float | Callable[[Array], Array] = 1e-3) -> SR:
    """SR solved in the space of samples."""
    return SR(diag_shift, method="samples")


def spring(diag_shift: float | Callable[[Array], Array] = 1e-3, momentum: float = 0.9) -> SR:
    """SR in the space of samples with the last direction projected on the new samples."""
    return SR(diag_shift, method="samples", momentum=momentum)


def _flat_metric(tangent: Tangent, shift: Array) -> Callable[[Array], Array]:
    """x -> (S + shift) x for flattened parameters."""

    def metric(x: Array) -> Array:
        image = tangent.adjoint(tangent.apply(unflatten_real(x, tangent.params)))
        return flatten_real(image) + shift * x

    return metric


def _local_kernel(tangent: Tangent, shift: Array, e: Array) -> tuple[Callable, Array, Callable]:
    """x -> (T + shift) x for a worker's rows, the right-hand side e, and the scalar product over all workers."""

    def matrix(a: Array) -> Array:
        return tangent.apply(tangent.adjoint(a)) + shift * a

    return matrix, e, lambda a, b: tangent.comm.psum(jnp.vdot(a, b))


def _own(comm: Comm, x: Array, shape: tuple[int, ...]) -> Array:
    """The entries of this worker's rows, with their parts apart, of an array for the rows of all workers."""
    size = math.prod(shape)
    local = jax.lax.dynamic_slice_in_dim(comm.pvary(x), comm.index() * size, size)
    return local.reshape(*shape, *x.shape[1:])
