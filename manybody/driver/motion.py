# SPDX-License-Identifier: Apache-2.0
"""The equation of motion of variational parameters, from samples of the state."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._compile import ahead, often
from manybody._types import Array, Float, Inexact, PyTree
from manybody.driver.base import all_finite
from manybody.driver.parts import first_count, tangent_map
from manybody.driver.recorder import NotFinite
from manybody.estimator import buffer_size, expect, local_values
from manybody.ode import Slope
from manybody.operator import CompiledOperator, Operator
from manybody.parallel import REPLICATED, Comm
from manybody.sampler import Samples
from manybody.sampler.base import samples_spec
from manybody.sr import Preconditioner, Problem, TangentMap
from manybody.state import VariationalState

Kind = Literal["real", "imaginary", "dissipative"]
FACTORS: dict[str, complex] = {"real": 1j, "imaginary": 1.0, "dissipative": -1.0}
"""c in d psi / dt = -c H psi; for density matrices H is the Liouvillian."""


class Report(NamedTuple):
    """What an evaluation of the motion finds besides the velocity.

    Attributes:
        samples: of the state.
        info: for logs. "residual" is r^2, the part of the motion that the parameters cannot follow.
    """

    samples: Samples
    info: dict[str, Any]


class Motion:
    r"""d theta / dt of a state whose wave function should change by d psi / dt = -c H psi (`ode.Field`).

    The velocity minimises the distance between what the parameters do to psi and that, in the metric of the samples
    (McLachlan's principle): S theta' = -c f, with S and f of `manybody.sr.tangent`, for real, complex and holomorphic
    parameters alike. What remains of it,

    .. math::
        r^2 = \frac{\| \sum_k \theta'_k O_k + c\, (H_{loc} - \langle H \rangle) \|^2}{|c|^2\, \mathrm{Var}\, H} ,

    is between 0 (exact) and 1 (no motion).

    Args:
        state: sampler, network and workers.
        hamiltonian: H, or a function of the time.
        kind: "real" (c = i), "imaginary" (c = 1) or "dissipative" (H is a Liouvillian, c = -1).
        preconditioner: solves the linear equation.
        cross_validate: whether to look, too, how a velocity found from one half of the samples does on the other half.

    Attributes:
        n_buffer: size of a worker's buffer for connections, 0 before the first evaluation.
        n_evaluations: how often the velocity was found.
        n_traces: how often that was traced.

    Raises:
        NotFinite: when evaluated, if energy or velocity are nan or inf, or the linear equation could not be solved.

    Reference:
        A. McLachlan, Mol. Phys. 8, 39 (1964); X. Yuan, S. Endo, Q. Zhao, Y. Li and S. C. Benjamin, arXiv:1812.08767;
        M. Schmitt and M. Heyl, arXiv:1912.08828, equation 18 (r^2).
    """

    def __init__(
        self,
        state: VariationalState,
        hamiltonian: Operator | Callable[[float], Operator],
        kind: Kind,
        preconditioner: Preconditioner,
        cross_validate: bool,
    ) -> None:
        self.state = state
        self.hamiltonian = hamiltonian
        self.kind = kind
        self.preconditioner = preconditioner
        self.cross_validate = cross_validate
        self.n_buffer = 0
        self.n_evaluations = 0
        self.n_traces = 0
        self._compiled: CompiledOperator | None = None
        self._run: Callable | None = None
        layout = (REPLICATED, REPLICATED, samples_spec(state.sampler.kind), REPLICATED)
        self._length = state.comm.spmd(functools.partial(_length, state), layout, REPLICATED)

    def __call__(self, t: float, y: PyTree, memory: PyTree) -> Slope:
        """The velocity at parameters y, from samples of chains that go on from `memory`."""
        operator = self._operator(t)
        arguments = y, self.state.constants, memory, operator
        run = self._run or self._fit(
            self.n_buffer or self._buffer_for(first_count(self.state, memory, operator), operator), arguments
        )
        while True:
            velocity, chains, samples, info = run(*arguments)
            info = jax.device_get(info)
            n_connections = int(info["n_connections"])
            if n_connections <= self.n_buffer:
                break
            run = self._fit(self._buffer_for(n_connections, operator), arguments)
        self.n_evaluations += 1
        if not bool(info.pop("finite")) or int(info.get("sr_code", 0)) != 0:
            raise NotFinite(
                f"Energy or velocity are not finite at time {t:.6g} (energy {info['energy']}). A smaller time step or "
                "more regularisation of the metric may help."
            )
        return Slope(velocity, chains, Report(samples, info))

    def norm(self, change: PyTree, y: PyTree, at: Slope) -> float:
        """The angle between psi and psi with changed parameters: the length of the change in the metric S."""
        return float(self._length(y, self.state.constants, at.report.samples, change))

    def describe(self, params: PyTree, samples: Samples) -> str:
        """The choices that the preconditioner makes, in words."""
        return self.preconditioner.describe(tangent_map(self.state, params, self.state.constants, samples))

    def use_buffer(self, n_buffer: int) -> None:
        """Go on with a buffer for connections of this size, 0 to find one."""
        if n_buffer != self.n_buffer:  # or what is compiled will do
            self.n_buffer, self._run = n_buffer, None

    def _operator(self, t: float) -> CompiledOperator:
        """H at a time, on all workers."""
        if isinstance(self.hamiltonian, Operator):
            if self._compiled is None:
                self._compiled = self.state.comm.replicate(self.hamiltonian.compile())
            return self._compiled
        return self.state.comm.replicate(self.hamiltonian(t).compile())

    def _buffer_for(self, n_rows: int, operator: CompiledOperator) -> int:
        return buffer_size(n_rows, self.state.n_local, operator.n_connections)

    def _fit(self, n_buffer: int, arguments: tuple) -> Callable:
        """The function that finds velocities, with a buffer of this size, compiled for its arguments."""
        self.n_buffer = n_buffer
        state, comm = self.state, self.state.comm

        def run(params: PyTree, constants: PyTree, chains: PyTree, operator: CompiledOperator) -> tuple:
            self.n_traces += 1  # runs when traced, not when executed
            amplitude = state.network.bind(params, constants)
            chains, samples, info = state.sampler.sample(comm, amplitude, chains, state.draws)
            values, n_rows = local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, state.chunk_size)
            energy = expect(comm, values, samples, hermitian=self.kind != "dissipative")
            pull = self._pull(values)
            tangent = tangent_map(state, params, constants, samples)
            velocity, solved = self._solve(tangent, pull)
            info |= solved | {"energy": energy, "residual": residual(tangent, velocity, pull), "n_connections": n_rows}
            if self.cross_validate:
                one, other = halves(comm, samples, pull)
                own, _ = self._solve(tangent_map(state, params, constants, one[0]), one[1])
                info["cross_residual"] = residual(tangent_map(state, params, constants, other[0]), own, other[1])
            info["finite"] = all_finite((velocity, energy.mean))
            return velocity, chains, samples, info

        chains = state.sampler.state_spec
        out = (REPLICATED, chains, samples_spec(state.sampler.kind), REPLICATED)
        layout = (REPLICATED, REPLICATED, chains, REPLICATED)
        self._run = ahead(comm.spmd(run, layout, out, compiler_options=often()), *arguments)
        return self._run

    def _pull(self, values: Inexact[Array, "samples"]) -> Inexact[Array, "samples"]:
        """c H_loc."""
        factor = FACTORS[self.kind]
        dtype = np.result_type(values.dtype, np.complex64) if isinstance(factor, complex) else values.dtype
        return jnp.asarray(factor, dtype) * values.astype(dtype)

    def _solve(self, tangent: TangentMap, pull: Inexact[Array, "samples"]) -> tuple[PyTree, dict[str, Array]]:
        """The velocity, and what there is to log."""
        problem = Problem(tangent, pull, weighted_mean(tangent, pull), jnp.int32(0))
        direction, _, info = self.preconditioner.update(problem, self.preconditioner.init(tangent.params))
        return jax.tree.map(jnp.negative, direction), info


def weighted_mean(tangent: TangentMap, values: Inexact[Array, "samples"]) -> Inexact[Array, ""]:
    """The mean of values of the samples of all workers."""
    return tangent.comm.psum(jnp.sum(tangent.samples.flat_weight.astype(values.dtype) * values))


def residual(tangent: TangentMap, velocity: PyTree, pull: Inexact[Array, "samples"]) -> Float[Array, ""]:
    """r^2: what is left of the motion that `pull` asks for, as a part of it."""
    wanted = tangent.residual(pull, weighted_mean(tangent, pull))
    left = tangent.apply(velocity) + wanted
    left, whole = tangent.comm.psum((jnp.sum(left**2), jnp.sum(wanted**2)))
    return jnp.where(whole > 0, left / jnp.where(whole > 0, whole, 1.0), 0.0)


def halves(
    comm: Comm, samples: Samples, values: Inexact[Array, "samples"]
) -> list[tuple[Samples, Inexact[Array, "samples"]]]:
    """Samples and their values in two parts: of the chains or, if a worker has one row of them, of the draws."""
    axis = 0 if samples.weight.shape[0] > 1 else 1
    size = samples.weight.shape[axis] // 2
    whole = (samples, values.reshape(samples.weight.shape))
    parts = []
    for start in (0, size):
        take = functools.partial(jax.lax.slice_in_dim, start_index=start, limit_index=start + size, axis=axis)
        part, own = jax.tree.map(take, whole)
        part = dataclasses.replace(part, weight=part.weight / comm.psum(jnp.sum(part.weight)))
        parts.append((part, own.reshape(-1)))
    return parts


def _length(
    state: VariationalState, params: PyTree, constants: PyTree, samples: Samples, change: PyTree
) -> Float[Array, ""]:
    """|change| in the metric of the samples."""
    moved = tangent_map(state, params, constants, samples).apply(change)
    return jnp.sqrt(state.comm.psum(jnp.sum(moved**2)))
