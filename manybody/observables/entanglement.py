# SPDX-License-Identifier: Apache-2.0
"""Entanglement of a part of the sites with the rest, from pairs of samples."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._precision import widen
from manybody._types import Array, Float, Inexact, Int8, PyTree
from manybody.amplitude import Amplitude
from manybody.hilbert import DiscreteSpace, Doubled
from manybody.network import Network
from manybody.observables.sites import check_state
from manybody.operator.relabelling import Relabelling
from manybody.parallel import REPLICATED, Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Samples
from manybody.sampler.base import samples_spec
from manybody.state import VariationalState
from manybody.stats import Estimate, estimate


def renyi2(state: VariationalState, sites: Sequence[int], *, n_partners: int = 1) -> Estimate:
    r"""Renyi entropy of order 2 of some sites, with the natural logarithm, from pairs of samples that swap this part.

    .. math::
        S_2 = -\ln \mathrm{tr}\,\rho_A^2 = -\ln \Bigl\langle
            \frac{\psi(\eta_A, \sigma_B)\, \psi(\sigma_A, \eta_B)}{\psi(\sigma)\, \psi(\eta)} \Bigr\rangle ,

    with sigma and eta drawn independently. Pairs that leave the sector when they swap count as 0. Of fermions the modes
    of the part are brought to the front, with the sign that this takes, as in `exact.reduced_density_matrix`.

    Chains (or independent draws) form groups of n_partners + 1. In a group each is paired with each other one, at the
    same draw, and no two groups share a chain: the mean over the pairs of a group is one value of a chain like any
    other, which error, tau and R-hat are made of. The exact sampler sums over all pairs, n_states^2 of them, without an
    error.

    What the swap finds is e^(-S_2) in the mean, and varies by more: the relative error of it, which is the error of
    S_2, grows exponentially with S_2. S_2 is too large by half the square of its error, to leading order, and nan where
    noise has made the mean negative.

    Args:
        state: with samples, of a wave function.
        sites: the part A, distinct sites (for fermions modes), neither none nor all.
        n_partners: how many samples each one is paired with; amplitudes are evaluated
            n_partners + 1 times per sample. More
            of them reduce that part of the noise which is due to pairs, and leave that which is due to samples.

    Returns:
        S_2; its variance is that of the swap in units of its squared mean.

    Raises:
        TypeError: if `state` is not a state.
        ValueError: if it has no samples, is a density matrix, or its samples were drawn without replacement; if a site
            does not exist or occurs twice; if the chains of a worker cannot be grouped.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4, total_sz=0)
        >>> flat = (lambda key, sigma: {}, lambda params, sigma: 0 * sigma[:, 0].astype(float))  # all states alike
        >>> state = mb.VariationalState(flat, mb.sampler.Exact(space)).sample()
        >>> float(mb.observables.renyi2(state, [0, 1]).mean.round(12))  # p = 1/6, 4/6, 1/6 for S_z = 1, 0, -1
        0.693147180560

    Reference:
        M. B. Hastings, I. Gonzalez, A. B. Kallin and R. G. Melko, arXiv:1001.2335.
    """
    check_state(state)
    space, samples = state.space, state.samples
    assert samples is not None
    cure = "The Renyi entropy of a density matrix is another quantity."
    _checks.require(not isinstance(space, Doubled), "state", "be a wave function", f"one on {space}", cure)
    part = tuple(sorted(_checks.integer(i, "site", minimum=0, maximum=space.size - 1) for i in sites))
    _checks.require(len(set(part)) == len(part), "sites", "be distinct", list(sites))
    _checks.require(0 < len(part) < space.size, "sites", "be some of the sites, not none nor all", list(sites))
    n_partners = _checks.integer(n_partners, "n_partners", minimum=1)
    if samples.kind != "exact":
        _check_samples(state, samples, n_partners + 1)
    run = _measuring(state.comm, state.network, space, samples.kind, part, n_partners + 1, state.chunk_size)
    return run(state.params, state.constants, samples)


def _check_samples(state: VariationalState, samples: Samples, n_group: int) -> None:
    is_plain = samples.noise is None
    _checks.require(
        is_plain, "state", "have samples that were drawn independently", "others", "Use the sampler Direct."
    )
    n_rows = _rows(state)
    must = (
        f"fit the {'chains' if samples.kind == 'chain' else 'samples'} of each worker ({n_rows}) in groups of one more"
    )
    _checks.require(n_rows % n_group == 0, "n_partners", must, n_group - 1)


def _rows(state: VariationalState) -> int:
    """Sequences of samples of one worker that do not know of each other."""
    return state.sampler.n_local(state.comm) if state.sampler.kind == "chain" else state.n_local


@functools.lru_cache(maxsize=16)
def _measuring(
    comm: Comm,
    network: Network,
    space: DiscreteSpace,
    kind: str,
    part: tuple[int, ...],
    n_group: int,
    chunk_size: int | None,
) -> Callable:
    def run(params: PyTree, constants: PyTree, samples: Samples) -> Estimate:
        amplitude = network.bind(params, constants)
        swap = functools.partial(_log_swap, space, part, amplitude)
        before = widen(map_rows(amplitude.log_psi, samples.flat_sigma, chunk_size)).reshape(samples.weight.shape)
        if kind == "exact":
            return _entropy(*_of_all_pairs(comm, swap, samples, before, chunk_size))
        return _entropy(*_of_groups(comm, swap, samples, before, n_group, chunk_size))

    return comm.spmd(run, (REPLICATED, REPLICATED, samples_spec(kind)), REPLICATED)  # type: ignore[arg-type]


def _entropy(swap: Estimate, log_scale: Array) -> Estimate:
    """-ln of a mean in units of e^log_scale; its error is that of the linear part of the fluctuations."""
    size = jnp.abs(swap.mean)
    mean = -(jnp.log(swap.mean) + log_scale)
    return swap.replace(mean=mean, error=swap.error / size, variance=swap.variance / size**2)


Pairs = tuple[Int8[Array, "pairs sites"], Int8[Array, "pairs sites"], Inexact[Array, "pairs"]]
"""Configurations sigma and eta, and ln psi(sigma) psi(eta)."""
Swap = Callable[[Pairs], tuple[Inexact[Array, "pairs"], Float[Array, "pairs"]]]
"""`_log_swap` of pairs."""


def _log_swap(
    space: DiscreteSpace, part: tuple[int, ...], amplitude: Amplitude, pairs: Pairs
) -> tuple[Inexact[Array, "pairs"], Float[Array, "pairs"]]:
    """ln of the ratio of amplitudes after and before a swap, and its sign, 0 where a configuration is not legal."""
    sigma, eta, before = pairs
    mask = jnp.asarray(np.isin(np.arange(space.size), part))[None]
    one, other = jnp.where(mask, eta, sigma), jnp.where(mask, sigma, eta)
    legal = space.contains(one) & space.contains(other)
    # A network may say anything about what is not legal, nan included.
    after = jnp.concatenate([jnp.where(legal[:, None], one, sigma), jnp.where(legal[:, None], other, eta)])
    first, second = widen(amplitude.log_psi(after)).reshape(2, -1)
    crossed = sum(_crossings(space, part, x) for x in (sigma, eta, one, other))
    sign = jnp.where(legal, jnp.where(crossed % 2 == 1, -1.0, 1.0), 0.0)
    return first + second - before, sign


def _crossings(space: DiscreteSpace, part: tuple[int, ...], sigma: Int8[Array, "samples sites"]) -> Array:
    """How many fermions pass each other when the modes of the part are brought to the front (samples,)."""
    if not space.fermions:
        return jnp.zeros(len(sigma), jnp.int32)
    rest = [site for site in range(space.size) if site not in part]
    pairs = Relabelling(tuple(np.argsort([*part, *rest]).tolist()), (), space.fermions).swapped_pairs()
    levels = space.to_levels(sigma).astype(jnp.int32)
    return jnp.einsum("xi,ij,xj->x", levels, jnp.asarray(pairs, jnp.int32), levels)


def _of_groups(
    comm: Comm, swap: Swap, samples: Samples, before: Inexact[Array, "chains draws"], n_group: int, n_chunk: int | None
) -> tuple[Estimate, Float[Array, ""]]:
    """The mean of the swap over the pairs of each group, in units of a scale, and the logarithm of that."""
    n_draws = samples.weight.shape[1] if samples.kind == "chain" else 1
    shape = (-1, n_group, n_draws)
    sigma, weight = samples.sigma.reshape(*shape, samples.sigma.shape[-1]), samples.weight.reshape(shape)
    first, second = (np.array(x) for x in zip(*itertools.combinations(range(n_group), 2), strict=True))
    log_psi = before.reshape(shape)
    own = (log_psi[:, first] + log_psi[:, second]).reshape(-1)  # (groups * pairs * draws,)
    left, right = (sigma[:, x].reshape(-1, sigma.shape[-1]) for x in (first, second))
    log_ratio, sign = map_rows(swap, (left, right, own), n_chunk)
    top = comm.pmax(jnp.max(jnp.where(sign != 0, log_ratio.real, -jnp.inf)))
    log_scale = jnp.where(jnp.isfinite(top), top, 0.0)
    # The mean is real: that over the same pairs with sigma and eta exchanged would be its conjugate.
    ratio = (sign * jnp.exp(log_ratio - log_scale.astype(log_ratio.dtype)).real).reshape(-1, len(first), n_draws)
    both = weight[:, first] * weight[:, second]  # (groups, pairs, draws)
    total = jnp.sum(both, axis=1)
    values = jnp.sum(both * ratio, axis=1) / total
    return estimate(comm, values, total / comm.psum(jnp.sum(total)), samples.kind), log_scale


def _of_all_pairs(
    comm: Comm, swap: Swap, samples: Samples, before: Inexact[Array, "states 1"], n_chunk: int | None
) -> tuple[Estimate, Float[Array, ""]]:
    """The same for all pairs of states of a space."""
    states = (samples.flat_sigma, before.reshape(-1), jnp.log(samples.flat_weight))
    partners = comm.all_gather(states)

    def row(state: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """Sums over the partners of one state: of the swap, and of its square."""

        def pair(partner: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            eta, log_psi, log_p = partner
            log_ratio, sign = swap((jnp.broadcast_to(state[0], eta.shape), eta, state[1] + log_psi))
            # Probabilities inside of the exponential: the ratio alone overflows where they are tiny.
            log_p = log_p + state[2]
            square = jnp.exp(2 * log_ratio.real + log_p)
            return sign * jnp.exp(log_ratio + log_p.astype(log_ratio.dtype)).real, sign**2 * square

        first, second = map_rows(pair, partners, n_chunk)
        return jnp.sum(first), jnp.sum(second)

    first, second = jax.lax.map(row, states)
    mean, square = comm.psum((jnp.sum(first), jnp.sum(second)))
    zero, nan = jnp.zeros_like(mean), jnp.full_like(mean, jnp.nan)
    return Estimate(mean, zero, square - mean**2, nan, nan, jnp.full_like(mean, jnp.inf), nan), zero
