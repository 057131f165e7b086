# SPDX-License-Identifier: Apache-2.0
"""How fast a state changes with parameters of its Hamiltonian: the fidelity susceptibility."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._precision import widen
from manybody._types import Array, Inexact, PyTree
from manybody.estimator import expect
from manybody.network import Network
from manybody.parallel import REPLICATED, Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Samples
from manybody.sampler.base import samples_spec
from manybody.state import VariationalState
from manybody.stats import Estimate


def fidelity_susceptibility(state: VariationalState, slopes: PyTree) -> Estimate:
    r"""Fidelity susceptibility of a state whose parameters depend on couplings g.

    .. math::
        \chi_{ab} = \mathrm{Re}\,\bigl\langle \Delta d_a^*\, \Delta d_b \bigr\rangle, \qquad
        d_a(\sigma) = \frac{\partial\log\psi(\sigma)}{\partial g_a}
            = \sum_k \frac{\partial\theta_k}{\partial g_a}\,\frac{\partial\log\psi_\theta(\sigma)}{\partial\theta_k}

    By it the overlap of neighbouring states falls off, |<psi(g)|psi(g + dg)>| = 1 - 1/2 sum_ab chi_ab dg_a dg_b: it
    peaks at transitions, whatever the order parameter. For several couplings it is the real part of the quantum
    geometric tensor. The error is that of the linear part of the fluctuations (delta method).

    Args:
        state: with samples.
        slopes: d theta / d g, from `Family.slopes` or `Conditioned.slopes`: a tree like the parameters, or with a
            leading axis for several couplings.

    Returns:
        Estimates of shape (), or (couplings, couplings).

    Raises:
        ValueError: if the state has no samples, or `slopes` does not fit its parameters.

    Example:
        >>> import jax
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(2)
        >>> state = mb.VariationalState(mb.ansatz.MeanField(), mb.sampler.Exact(space))
        >>> state = state.replace(params=jax.tree.map(jax.numpy.zeros_like, state.params)).sample()
        >>> slopes = jax.tree.map(jax.numpy.ones_like, state.params)  # log psi = g (sigma_0 + sigma_1) at g = 0
        >>> mb.observables.fidelity_susceptibility(state, slopes).mean
        Array(2., dtype=float64)

    Reference:
        S.-J. Gu, arXiv:0811.3127, section III (review); P. Zanardi, P. Giorda and M. Cozzini, arXiv:quant-ph/0701061
        (several couplings); R. Rende et al., arXiv:2502.09488 (of networks that know the couplings).
    """
    _checks.require(state.samples is not None, "state", "have samples", "none yet", "Use `state = state.sample()`.")
    samples: Samples = state.samples  # type: ignore[assignment]
    is_one = _fits(slopes, state.params, 0)
    must = "have the shapes of the parameters, or these with a leading axis for the couplings"
    _checks.require(is_one or _fits(slopes, state.params, 1), "slopes", must, jax.tree.map(jnp.shape, slopes))
    rows = jax.tree.map(lambda x: x[None], slopes) if is_one else slopes
    run = _susceptibility(state.comm, state.network, samples.kind, state.chunk_size)
    found = run(state.params, state.constants, rows, samples)
    return jax.tree.map(lambda x: x[0, 0], found) if is_one else found


def _fits(slopes: PyTree, params: PyTree, n_axes: int) -> bool:
    """Whether the slopes have so many axes in front of those of the parameters."""

    def shapes(tree: PyTree, start: int) -> dict[str, tuple]:
        paths = jax.tree_util.tree_flatten_with_path(tree)[0]
        return {jax.tree_util.keystr(path): (jnp.ndim(x) - start, jnp.shape(x)[start:]) for path, x in paths}

    return shapes(slopes, n_axes) == shapes(params, 0)


@functools.lru_cache(maxsize=64)
def _susceptibility(comm: Comm, network: Network, kind: str, chunk_size: int | None) -> Callable:
    def run(params: PyTree, constants: PyTree, slopes: PyTree, samples: Samples) -> Estimate:
        params, slopes = comm.pvary((params, slopes))

        def along(slope: PyTree) -> Inexact[Array, "samples"]:
            def push(sigma: Array) -> Array:
                return widen(jax.jvp(lambda p: network.log_psi(p, constants, sigma), (params,), (slope,))[1])

            return map_rows(push, samples.flat_sigma, chunk_size)

        def product(one: Array, other: Array) -> Estimate:
            return expect(comm, (one.conj() * other).real, samples)

        d = jax.vmap(along)(slopes)  # (couplings, samples)
        d = d - comm.psum(d @ samples.flat_weight.astype(d.dtype))[:, None]
        return jax.vmap(lambda one: jax.vmap(lambda other: product(one, other))(d))(d)

    return comm.spmd(run, (REPLICATED, REPLICATED, REPLICATED, samples_spec(kind)), REPLICATED)
