# SPDX-License-Identifier: Apache-2.0
"""Samples of the diagonal of a density matrix, from which expectation values Tr(rho O) / Tr(rho) follow."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass as pytree
from manybody._struct import static
from manybody._types import Array, Float, Inexact, Int, Int8, PRNGKey, PyTree
from manybody.amplitude import Amplitude, FullEvaluation, committed, tried
from manybody.hilbert import DiscreteSpace, Doubled
from manybody.operator import DiscreteOperator, Operator, lindblad
from manybody.parallel import Comm
from manybody.sampler.base import Kind, Sampler, Samples

N_EXAMPLES = 64
"""Configurations on which the diagonal is seen to be positive before anything is drawn."""


@dataclass(frozen=True)
class Diagonal(Sampler):
    r"""Draws pairs (sigma, sigma) of a `Doubled` space with probability rho(sigma, sigma) / Tr rho.

    .. math::
        \frac{\mathrm{Tr}(\rho\, O)}{\mathrm{Tr} \rho} = \sum_\sigma \frac{\rho(\sigma, \sigma)}{\mathrm{Tr} \rho}
        \sum_{\sigma'} \langle\sigma|O|\sigma'\rangle \frac{\rho(\sigma', \sigma)}{\rho(\sigma, \sigma)}

    is the mean of the ordinary local values of O x 1 over these pairs. So observables of a state with this sampler are
    operators on the space of one copy, and what is found are expectation values of the density matrix, with their
    errors. Nothing can be optimised with these samples, which know nothing of the rest of rho.

    Args:
        inner: draws sigma from the wave function whose logarithm is log rho(sigma, sigma) / 2: any sampler of the space
            of one copy that needs no more than ratios (`Metropolis` with any move, `Exact`).

    Raises:
        TypeError: if `inner` is no sampler, or of pairs; by the state, if it needs an autoregressive ansatz.
        ValueError: by the state, if rho has a diagonal that is not positive.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(3)
        >>> state = mb.VariationalState(mb.ansatz.DensityRBM(), mb.sampler.Exact(mb.hilbert.Doubled(space)))
        >>> measured = state.diagonal(mb.sampler.Exact(space)).sample()
        >>> measured.expect(mb.operator.identity(space))
        1 (exact) [var=0]

    Reference:
        Vicentini, Biella, Regnault, Ciuti (2019), arXiv:1902.10104.
    """

    inner: Sampler

    def __post_init__(self) -> None:
        _checks.require_type(self.inner, Sampler, "inner")
        if isinstance(self.inner.space, Doubled):
            raise TypeError(_checks.requirement("inner", "sample the space of one copy", self.inner.space))

    @property
    def space(self) -> Doubled:  # type: ignore[override]
        """That of pairs."""
        return Doubled(self.inner.space)

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """That of the inner sampler."""
        return self.inner.kind

    @property
    def has_memory(self) -> bool:  # type: ignore[override]
        """That of the inner sampler."""
        return self.inner.has_memory

    @property
    def observed(self) -> DiscreteSpace:
        return self.inner.space

    def lifted(self, operator: Operator) -> Operator:
        _checks.require_type(operator, DiscreteOperator, "operator")
        assert isinstance(operator, DiscreteOperator)
        return lindblad.left(operator)

    def n_local(self, comm: Comm) -> int:
        return self.inner.n_local(comm)

    def n_draws(self, n_samples: int | None, comm: Comm) -> int:
        return self.inner.n_draws(n_samples, comm)

    def check_amplitude(self, amplitude: Amplitude) -> None:
        self.inner.check_amplitude(_on_diagonal(amplitude, self.inner.space.size))
        phase = np.asarray(_phases(amplitude, self.inner.space))
        cure = "Use an ansatz that is positive by construction."
        _checks.require(bool(np.all(phase > 1 - 1e-4)), "ansatz", "have a positive diagonal", "another one", cure)

    def init(self, comm: Comm, key: PRNGKey) -> PyTree:
        return self.inner.init(comm, key)

    @property
    def state_spec(self) -> Any:
        return self.inner.state_spec

    def examples(self, comm: Comm, state: PyTree) -> Int8[Array, "examples sites"]:
        return _pairs(self.inner.examples(comm, state))

    @property
    def info_spec(self) -> Any:
        return self.inner.info_spec

    def sample(
        self, comm: Comm, amplitude: Amplitude, state: PyTree, n_draws: int
    ) -> tuple[PyTree, Samples, dict[str, Array]]:
        state, samples, info = self.inner.sample(comm, _on_diagonal(amplitude, self.inner.space.size), state, n_draws)
        doubled = dataclasses.replace(samples, sigma=_pairs(samples.sigma), log_psi=2 * samples.log_psi)
        return state, doubled, info


@pytree
class _Root:
    """The wave function sqrt(rho(sigma, sigma)), followed through the same changes of both copies."""

    n_sites: int = static()
    rho: Amplitude

    def log_psi(self, sigma: Int8[Array, "batch sites"]) -> Inexact[Array, "batch"]:
        return self.rho.log_psi(_pairs(sigma)).real / 2

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> PyTree:
        return self.rho.init_cache(_pairs(sigma))

    def log_ratio(self, cache: PyTree, sites: Array, values: Array) -> Inexact[Array, "batch"]:
        return self.rho.log_ratio(cache, self._both(sites), _pairs(values)).real / 2

    def update_cache(self, cache: PyTree, sites: Array, values: Array, accepted: Array) -> PyTree:
        return self.rho.update_cache(cache, self._both(sites), _pairs(values), accepted)

    def try_change(self, cache: PyTree, sites: Array, values: Array) -> tuple[Inexact[Array, "batch"], PyTree]:
        ratio, trial = tried(self.rho, cache, self._both(sites), _pairs(values))
        return ratio.real / 2, trial

    def commit(self, cache: PyTree, trial: PyTree, sites: Array, values: Array, accepted: Array) -> PyTree:
        return committed(self.rho, cache, trial, self._both(sites), _pairs(values), accepted)

    def _both(self, sites: Int[Array, "batch changed"]) -> Int[Array, "batch twice"]:
        return jnp.concatenate([sites, sites + self.n_sites], axis=-1)


def _on_diagonal(rho: Amplitude, n_sites: int) -> Amplitude:
    if isinstance(rho, FullEvaluation):  # so that a proposal that is accepted is not evaluated again

        def log_root(params: PyTree, sigma: Array) -> Array:
            return rho.apply(params, _pairs(sigma)).real / 2

        return FullEvaluation(log_root, rho.params)
    return _Root(n_sites, rho)


def _pairs(sigma: Int8[Array, "*batch sites"]) -> Int8[Array, "*batch pairs"]:
    """(sigma, sigma)."""
    return jnp.concatenate([sigma, sigma], axis=-1)


@functools.partial(jax.jit, static_argnums=1)
def _phases(rho: Amplitude, space: DiscreteSpace) -> Float[Array, "examples"]:
    """Re rho / |rho| at some places on the diagonal; 1 where rho vanishes."""
    log_rho = rho.log_psi(_pairs(space.random_state(jax.random.key(0), N_EXAMPLES)))
    return jnp.where(jnp.isneginf(log_rho.real), 1.0, jnp.cos(jnp.imag(log_rho)))
