# SPDX-License-Identifier: Apache-2.0
"""How a worker compares a state with what it is projected on."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, Inexact, Int, Int8, PyTree
from manybody.amplitude import Amplitude
from manybody.estimator import Fidelity, buffer_size, count_rows, fidelity, fidelity_from_target, local_values
from manybody.network import Network
from manybody.operator import CompiledOperator
from manybody.parallel import REPLICATED, SHARD, Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Sampler, Samples
from manybody.sampler.base import samples_spec
from manybody.state import VariationalState


class Chains(NamedTuple):
    """States of the samplers of psi and phi; () where samples of phi are not drawn anew."""

    own: PyTree
    target: PyTree


class Comparison(NamedTuple):
    """What a step needs to know.

    Attributes:
        chains: states of the samplers afterwards.
        samples: of |psi|^2.
        overlap: of psi and phi, with local values at these samples.
        n_connections: as many as the largest number of connections that a worker's samples of either have.
        info: for logs.
    """

    chains: Chains
    samples: Samples
    overlap: Fidelity
    n_connections: Int[Array, ""]
    info: dict[str, Array]


class Overlap(abc.ABC):
    """A wave function phi that a state psi is compared with; a pytree, other leaves need no compilation."""

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self: ...

    @property
    @abc.abstractmethod
    def spec(self) -> Overlap:
        """How it is laid out over workers."""

    @property
    def chains_spec(self) -> PyTree:
        """How the state of its sampler is laid out; () if it has none."""
        return ()

    @property
    def n_connections(self) -> int:
        """Static: connections of a configuration, those not in use included."""
        return 0

    @abc.abstractmethod
    def compare(
        self, comm: Comm, state: VariationalState, amplitude: Amplitude, chains: Chains, n_buffer: int
    ) -> Comparison:
        """Compare with an amplitude of this kind of state; runs on a worker."""


@dataclass
class Wave(Overlap):
    """phi = (shift + scale O) phi_0, of which samples are drawn.

    Attributes:
        params: of phi_0.
        constants: of phi_0.
        operator: O; None for phi = phi_0.
        scale: number.
        shift: number.
        draws: samples of |phi|^2 with log phi in place of log psi; None to draw new ones in every comparison.
        table: log phi of all states, in the order of the sampler of psi, if that enumerates them; else None.
        network: of phi_0.
        sampler: of phi_0.
        n_draws: samples of each of its chains.
        chunk_size: configurations evaluated at a time.
    """

    params: PyTree
    constants: PyTree
    operator: CompiledOperator | None
    scale: Inexact[Array, ""]
    shift: Inexact[Array, ""]
    draws: Samples | None
    table: Inexact[Array, "states"] | None
    network: Network = static()
    sampler: Sampler = static()
    n_draws: int = static()
    chunk_size: int | None = static()

    @property
    def spec(self) -> Wave:
        draws = None if self.draws is None else samples_spec(self.sampler.kind)
        operator = None if self.operator is None else REPLICATED
        whole = dict.fromkeys(("params", "constants", "scale", "shift"), REPLICATED)
        return self.replace(operator=operator, draws=draws, table=None if self.table is None else SHARD, **whole)

    @property
    def chains_spec(self) -> PyTree:
        return self.sampler.state_spec if self.draws is None else ()

    @property
    def n_connections(self) -> int:
        return 0 if self.operator is None else self.operator.n_connections

    def compare(
        self, comm: Comm, state: VariationalState, amplitude: Amplitude, chains: Chains, n_buffer: int
    ) -> Comparison:
        own, samples, info = state.sampler.sample(comm, amplitude, chains.own, state.draws)
        target, others, n_rows = chains.target, self.draws, jnp.int32(0)
        if others is None:
            bound = self.network.bind(self.params, self.constants)
            target, drawn, _ = self.sampler.sample(comm, bound, chains.target, self.n_draws)
            others, n_rows = self.weighted(comm, drawn, n_buffer)
        log_phi, n_own = self.table, jnp.int32(0)
        if log_phi is None:
            log_phi, n_own = self.log_phi(comm, samples.flat_sigma, n_buffer)
        log_ratio = _difference(log_phi, samples.log_psi.reshape(-1))
        log_psi = map_rows(amplitude.log_psi, others.flat_sigma, state.chunk_size)
        overlap = fidelity(comm, log_ratio, samples, _difference(log_psi, others.log_psi.reshape(-1)), others)
        if self.operator is not None:
            info = {**info, "target_effective": _effective(comm, others)}
        return Comparison(Chains(own, target), samples, overlap, jnp.maximum(n_rows, n_own), info)

    def log_phi(
        self, comm: Comm, sigma: Int8[Array, "samples sites"], n_buffer: int
    ) -> tuple[Inexact[Array, "samples"], Int[Array, ""]]:
        """log phi of a worker's configurations, and how many connections they have at most on any worker."""
        bound = self.network.bind(self.params, self.constants)
        log_phi = map_rows(bound.log_psi, sigma, self.chunk_size)
        if self.operator is None:
            return log_phi, jnp.int32(0)
        factor, n_rows = self._factor(comm, bound, sigma, n_buffer)
        # phi can have another sign than phi_0: its logarithm is complex.
        return log_phi.astype(factor.dtype) + jnp.log(factor), n_rows

    def weighted(self, comm: Comm, samples: Samples, n_buffer: int) -> tuple[Samples, Int[Array, ""]]:
        """Samples of |phi|^2 from those of |phi_0|^2: weights w |phi / phi_0|^2; and the number of connections."""
        if self.operator is None:
            return samples, jnp.int32(0)
        bound = self.network.bind(self.params, self.constants)
        factor, n_rows = self._factor(comm, bound, samples.flat_sigma, n_buffer)
        factor = factor.reshape(samples.weight.shape)
        weight = samples.weight * jnp.abs(factor) ** 2
        log_phi = samples.log_psi.astype(factor.dtype) + jnp.log(factor)
        return _with(samples, log_phi, weight / comm.psum(jnp.sum(weight))), n_rows

    def _factor(self, comm: Comm, bound: Amplitude, sigma: Array, n_buffer: int) -> tuple[Array, Array]:
        """phi / phi_0, complex."""
        assert self.operator is not None
        local, n_rows = local_values(comm, bound, self.operator, sigma, n_buffer, self.chunk_size)
        dtype = np.promote_types(local.dtype, np.complex64)
        return self.shift.astype(dtype) + self.scale.astype(dtype) * local.astype(dtype), n_rows


@dataclass
class Known(Overlap):
    """phi at some configurations, which are samples of |phi|^2.

    Attributes:
        draws: these, with log phi in place of log psi.
    """

    draws: Samples

    @property
    def spec(self) -> Known:
        return self.replace(draws=samples_spec(self.draws.kind))

    def compare(
        self, comm: Comm, state: VariationalState, amplitude: Amplitude, chains: Chains, n_buffer: int
    ) -> Comparison:
        del n_buffer
        log_psi = map_rows(amplitude.log_psi, self.draws.flat_sigma, state.chunk_size)
        log_inverse = _difference(log_psi, self.draws.log_psi.reshape(-1))
        samples, overlap = fidelity_from_target(comm, log_inverse, log_psi, self.draws)
        return Comparison(chains, samples, overlap, jnp.int32(0), {"target_effective": _effective(comm, samples)})


def prepared(wave: Wave, samples: Samples, state: VariationalState) -> Wave:
    """The wave with all that need be found once, for a state that is projected on it.

    Args:
        wave: phi.
        samples: of |phi_0|^2.
        state: the state; if its sampler enumerates all states, so does this, once.
    """
    comm, draws, table = state.comm, samples, None
    if wave.operator is not None:
        draws = _fit(comm, wave, samples.flat_sigma, _weighing)(wave, samples)
    if state.sampler.kind == "exact" and wave.sampler == state.sampler and bool(jnp.all(draws.weight > 0)):
        table = draws.log_psi.reshape(-1)  # they are all states as they are, none in the place of another one
    elif state.sampler.kind == "exact":
        sigma = _enumerating(comm, state.sampler)(state.chains)
        table = _fit(comm, wave, sigma, _tabulating)(wave, sigma)
    return wave.replace(draws=draws, table=table)


def _fit(comm: Comm, wave: Wave, sigma: Int8[Array, "samples sites"], make: Callable[..., Callable]) -> Callable:
    """A function of `make` whose buffer is large enough for the connections of all configurations."""
    if wave.operator is None:
        return make(comm, wave.spec, 0)
    n_rows = int(_counting(comm, wave.chunk_size)(wave.operator, sigma))
    return make(comm, wave.spec, buffer_size(n_rows, comm.rows_per_worker(sigma), wave.n_connections))


@functools.lru_cache(maxsize=64)
def _counting(comm: Comm, chunk_size: int | None) -> Callable:
    def run(operator: CompiledOperator, sigma: Array) -> Array:
        return count_rows(comm, operator, sigma, chunk_size)

    return comm.spmd(run, (REPLICATED, SHARD), REPLICATED)


@functools.lru_cache(maxsize=64)
def _weighing(comm: Comm, spec: Wave, n_buffer: int) -> Callable:
    layout = samples_spec(spec.sampler.kind)
    return comm.spmd(lambda wave, samples: wave.weighted(comm, samples, n_buffer)[0], (spec, layout), layout)


@functools.lru_cache(maxsize=64)
def _tabulating(comm: Comm, spec: Wave, n_buffer: int) -> Callable:
    return comm.spmd(lambda wave, sigma: wave.log_phi(comm, sigma, n_buffer)[0], (spec, SHARD), SHARD)


@functools.lru_cache(maxsize=64)
def _enumerating(comm: Comm, sampler: Sampler) -> Callable:
    """All states, from the memory of a sampler that enumerates them."""
    return comm.spmd(lambda chains: sampler.examples(comm, chains), (sampler.state_spec,), SHARD)


def _with(samples: Samples, log_psi: Array, weight: Array) -> Samples:
    return Samples(samples.sigma, log_psi, weight, samples.kind, samples.noise)


def _difference(one: Array, other: Array) -> Array:
    dtype = np.promote_types(one.dtype, other.dtype)
    return one.astype(dtype) - other.astype(dtype)


def _effective(comm: Comm, samples: Samples) -> Array:
    """Kish's effective number of samples, over their number; 1 where all states are summed over."""
    if samples.kind == "exact":
        return jnp.ones(())
    n = comm.size * samples.weight.size
    return 1.0 / (n * comm.psum(jnp.sum(samples.weight**2)))
