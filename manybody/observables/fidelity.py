# SPDX-License-Identifier: Apache-2.0
"""How alike two states are: their overlap and fidelity, from samples of both."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp

from manybody import _checks
from manybody._precision import widen
from manybody._types import Array, Inexact, PyTree
from manybody.estimator import expect
from manybody.hilbert import Doubled
from manybody.network import Network
from manybody.observables.sites import check_state
from manybody.parallel import REPLICATED, Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Samples
from manybody.sampler.base import samples_spec
from manybody.state import VariationalState
from manybody.stats import Estimate, estimate

Function = Callable[[list[Array], list[Array], Array], tuple[Array, ...]]
"""From two means, the two ratios that they are means of, and ln of the unit of their product."""


def fidelity(a: VariationalState, b: VariationalState) -> Estimate:
    r"""|<a|b>|^2 of two normalised states, from samples of both.

    .. math::
        F = \frac{|\langle\psi|\varphi\rangle|^2}{\langle\psi|\psi\rangle \langle\varphi|\varphi\rangle}
          = \Bigl\langle \frac{\varphi(\sigma)}{\psi(\sigma)} \Bigr\rangle_{|\psi|^2}
            \Bigl\langle \frac{\psi(\sigma)}{\varphi(\sigma)} \Bigr\rangle_{|\varphi|^2}

    The error is that of the linear part of the fluctuations (delta method), and vanishes where the states are equal.
    States with equal numbers of chains and draws may have random numbers in common, as those have that differ in their
    parameters alone: what one chain of each adds is then one value. Otherwise the samples should come from different
    seeds, and the errors add up in squares; tau, R-hat and the effective number are the worse of both.

    Args:
        a: with samples, of a wave function.
        b: another one on the same space.

    Raises:
        TypeError: if an argument is not a state.
        ValueError: if one has no samples, they are on different spaces (sectors) or workers, or are density matrices.

    Example:
        >>> import jax
        >>> import manybody as mb
        >>> exact = mb.sampler.Exact(mb.hilbert.Spin(2))
        >>> a, b = (mb.VariationalState(mb.ansatz.RBM(), exact, seed=seed).sample() for seed in (0, 1))
        >>> float(mb.observables.fidelity(a, a).mean.round(12))
        1.0
        >>> bool(mb.observables.fidelity(a, b).mean < 1)
        True
    """
    return _measured(a, b, _fidelity)


def overlap(a: VariationalState, b: VariationalState) -> Estimate:
    r"""<a|b> of two normalised states, a complex number, from samples of both.

    With the two means A and B of `fidelity` it is :math:`\sqrt{A B^*}`, on the side of A. The phase is that of the
    amplitudes as the networks give them. Errors are as there, and grow without bound where the states are orthogonal.

    Args:
        a: with samples, of a wave function.
        b: another one on the same space.

    Raises:
        TypeError: if an argument is not a state.
        ValueError: as `fidelity`.
    """
    return _measured(a, b, _overlap)


def _measured(a: VariationalState, b: VariationalState, function: Function) -> Estimate:
    for state in (a, b):
        check_state(state)
        cure = "The fidelity of density matrices is another quantity."
        _checks.require(not isinstance(state.space, Doubled), "state", "be a wave function", state.space, cure)
    _checks.require(a.space == b.space, "b", f"be a state on {a.space}", b.space)
    _checks.require(a.comm == b.comm, "b", f"have the workers of `a`, {a.comm.describe()}", b.comm.describe())
    ways = tuple((state.network, state.sampler.kind, state.chunk_size) for state in (a, b))
    run = _measuring(a.comm, ways, function)
    return run(*((state.params, state.constants, state.samples) for state in (a, b)))


@functools.lru_cache(maxsize=16)
def _measuring(comm: Comm, ways: tuple[tuple[Network, str, int | None], ...], function: Function) -> Callable:
    def run(*states: tuple[PyTree, PyTree, Samples]) -> Estimate:
        amplitudes = [way[0].bind(*state[:2]) for way, state in zip(ways, states, strict=True)]

        def log_ratio(own: int) -> Inexact[Array, "samples"]:
            """ln of the other amplitude over that of which these are the samples."""

            def of_some(sigma: Array) -> Array:
                of_other, of_own = (widen(amplitudes[i].log_psi(sigma)).astype(complex) for i in (1 - own, own))
                return of_other - of_own

            return map_rows(of_some, states[own][2].flat_sigma, ways[own][2])

        # The norms of the states are free and their ratio may be any number, of which only the logarithm is used.
        logs = [log_ratio(own) for own in (0, 1)]
        tops = [comm.pmax(jnp.max(x.real)) for x in logs]
        samples = [state[2] for state in states]
        ratios = [jnp.exp(x - top.astype(x.dtype)) for x, top in zip(logs, tops, strict=True)]
        means = [comm.psum(s.flat_weight.astype(x.dtype) @ x) for s, x in zip(samples, ratios, strict=True)]
        mean, *changes = function(means, ratios, sum(tops))
        return _together(comm, samples, changes).replace(mean=mean)

    specs = tuple((REPLICATED, REPLICATED, samples_spec(kind)) for _, kind, _ in ways)  # type: ignore[arg-type]
    return comm.spmd(run, specs, REPLICATED)


def _fidelity(means: list[Array], ratios: list[Array], log_scale: Array) -> tuple[Array, ...]:
    """Re(A B), and what it is to first order in the two ratios."""
    (one, other), scale = means, jnp.exp(log_scale)
    return tuple(scale * (x * y).real for x, y in ((one, other), (ratios[0], other), (one, ratios[1])))


def _overlap(means: list[Array], ratios: list[Array], log_scale: Array) -> tuple[Array, ...]:
    """A (B^* / A)^(1/2), and what it is to first order in the two ratios."""
    one, other = means[0], means[1].conj()
    value = jnp.exp(log_scale / 2).astype(complex) * one * jnp.sqrt(other / one)
    return value, value / (2 * one) * ratios[0], value / (2 * other) * ratios[1].conj()


def _together(comm: Comm, samples: list[Samples], changes: list[Inexact[Array, "samples"]]) -> Estimate:
    """The error of the sum of two means."""
    a, b = samples
    if a.kind == b.kind != "exact" and a.weight.shape == b.weight.shape and a.noise is b.noise is None:
        # Of each sample what it adds to its mean, so that two that have random numbers in common are one value.
        n = comm.size * a.weight.size
        parts = [_influence(comm, n, s, x) for s, x in zip(samples, changes, strict=True)]
        return estimate(comm, parts[0] + parts[1], comm.pvary(jnp.full(a.weight.shape, 1 / n)), a.kind)
    first, second = (expect(comm, x, s) for s, x in zip(samples, changes, strict=True))
    return Estimate(
        mean=first.mean,
        error=jnp.hypot(first.error, second.error),
        variance=first.variance + second.variance,
        tau=jnp.fmax(first.tau, second.tau),
        r_hat=jnp.fmax(first.r_hat, second.r_hat),
        n_effective=jnp.fmin(first.n_effective, second.n_effective),
        n_draws=jnp.fmin(first.n_draws, second.n_draws),
    )


def _influence(
    comm: Comm, n: int, samples: Samples, values: Inexact[Array, "samples"]
) -> Inexact[Array, "chains draws"]:
    weight = samples.flat_weight.astype(values.dtype)
    mean = comm.psum(jnp.sum(weight * values))
    return (n * weight * (values - mean)).reshape(samples.weight.shape)
