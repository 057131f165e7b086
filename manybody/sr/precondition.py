# SPDX-License-Identifier: Apache-2.0
"""Stochastic reconfiguration: from the local energies to a direction in parameter space.

All variants solve one damped least-squares problem in the metric of the samples,

    min over d of |rows (d - mu d_old) - (e - mu rows d_old)|^2 + shift |d - mu d_old|^2,

whose solution for mu = 0 is (S + shift)^-1 f. It is solved for the parameters or, which is the same, for the samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from manybody import _checks, linalg
from manybody._precision import foreign_code
from manybody._types import Array, Float, Inexact, Int, PyTree
from manybody.sr import noise
from manybody.sr.kernel import describe, kernel
from manybody.sr.tangent import Tangent, flatten_real, unflatten_real

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


@runtime_checkable
class Preconditioner(Protocol):
    """A pair of functions, after optax's GradientTransformation; immutable and hashable."""

    def init(self, params: PyTree) -> PyTree:
        """State before the first step."""
        ...

    def update(self, problem: Problem, state: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
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

    def update(self, problem: Problem, state: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
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

    def update(self, problem: Problem, state: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """Direction of this step; "sr_code" in the information is 0 if the solver succeeded."""
        tangent = problem.tangent
        with foreign_code():
            shift = self.diag_shift(problem.step) if callable(self.diag_shift) else self.diag_shift
            shift = jnp.asarray(shift, float)
        residual = tangent.residual(problem.values, problem.mean)
        if self.momentum:
            old = jax.tree.map(lambda x: self.momentum * x, state)
            residual = residual - tangent.apply(old)
        solve = self._in_samples if self.space(tangent) == "samples" else self._in_parameters
        direction, info = solve(tangent, residual, shift)
        if self.momentum:
            direction = jax.tree.map(jnp.add, direction, old)
            state = direction
        return direction, state, {**info, "diag_shift": shift}

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
        if self.solver == "cg":
            metric = _flat_metric(tangent, shift)
            x, info["cg_iterations"], code = linalg.conjugate_gradients(
                metric,
                flatten_real(tangent.adjoint(e)),
                dot=jnp.vdot,
                tolerance=self.tolerance,
                max_iterations=self.max_iterations,
            )
        else:
            rows = tangent.jacobian().reshape(e.size, -1)  # (samples * parts, params)
            if self.solver == "qr":
                x, code = linalg.least_squares.tall(tangent.comm, rows, e.ravel(), shift)
            else:
                s, f = tangent.comm.psum((rows.T @ rows, rows.T @ e.ravel()))
                x, code = self._dense(tangent, e, s, f, shift, lambda v: (rows @ v).reshape(*e.shape, -1))
        return unflatten_real(x, tangent.params), {**info, "sr_code": code}

    def _in_samples(self, tangent: Tangent, e: Array, shift: Array) -> tuple[PyTree, dict[str, Array]]:
        comm, info = tangent.comm, {}
        if self.solver == "cg":
            local, info["cg_iterations"], code = linalg.conjugate_gradients(
                lambda a: tangent.apply(tangent.adjoint(a)) + shift * a,
                e,
                dot=lambda a, b: comm.psum(jnp.vdot(a, b)),
                tolerance=self.tolerance,
                max_iterations=self.max_iterations,
            )
            return tangent.adjoint(local), {**info, "sr_code": code}

        def own(x: Array) -> Array:
            """The entries of this worker's rows, with their parts apart."""
            local = jax.lax.dynamic_slice_in_dim(comm.pvary(x), comm.index() * e.size, e.size)
            return local.reshape(*e.shape, *x.shape[1:])

        every = comm.all_gather(e).ravel()
        if self.solver == "qr":
            rows = tangent.jacobian().reshape(e.size, -1)
            rows = jnp.pad(rows, ((0, 0), (0, -rows.shape[1] % comm.size)))
            x, code = linalg.least_squares.wide(comm, comm.shard_to_columns(rows), every, shift)
        else:
            x, code = self._dense(tangent, e, kernel(tangent), every, shift, own)
        return tangent.adjoint(own(x)), {**info, "sr_code": code}

    def _dense(
        self, tangent: Tangent, e: Array, a: Array, b: Array, shift: Array, along: Callable[[Array], Array]
    ) -> tuple[Float[Array, "n"], Int[Array, ""]]:
        """(a + shift)^-1 b; `along` gives this worker's rows along eigenvectors (samples, parts, eigenvectors)."""
        if self.solver == "cholesky":
            return linalg.cholesky(a, b, shift)

        def trust(values: Array, vectors: Array) -> Array:
            return noise.trust(tangent, values, jnp.sum(along(vectors) * e[..., None], axis=1), self.snr)

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
