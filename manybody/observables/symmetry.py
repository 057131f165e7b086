# SPDX-License-Identifier: Apache-2.0
"""Expectation values of the elements of a group, in states that were not made symmetric."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._precision import widen
from manybody._types import Array, PyTree
from manybody.estimator import expect_terms
from manybody.network import Network
from manybody.observables.sites import check_state
from manybody.parallel import REPLICATED, Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Samples
from manybody.sampler.base import samples_spec
from manybody.state import VariationalState
from manybody.stats import Estimate
from manybody.symmetry import Action, PermutationGroup, action_on

_BLOCK = 2**13
"""Configurations evaluated at a time where the state has no `chunk_size`."""


def symmetry_expectation(
    state: VariationalState, group: PermutationGroup, elements: Sequence[int] | None = None
) -> Estimate:
    """<T_g> of elements of a group, with the signs and inversions of `Action`.

    1 or a phase, without variance, where the state is symmetric. The local value is

        (T_g psi)(sigma) / psi(sigma) = s_h(sigma) psi(h sigma) / psi(sigma),    h = g^-1.

    Args:
        state: with samples.
        group: permutations of the sites of its space, or of a fraction of them: translations of a lattice, its space
            group.
        elements: numbers of elements; all by default.

    Returns:
        Leaves (n_elements,).

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if there are no samples, the group does not act on the space, or there is no such element.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4, total_sz=0)
        >>> flat = (lambda key, sigma: {}, lambda params, sigma: 0 * sigma[:, 0].astype(float))  # all states alike
        >>> state = mb.VariationalState(flat, mb.sampler.Exact(space)).sample()
        >>> symmetry_expectation(state, mb.lattice.chain(4).translation_group(), [1])
        Estimate of shape (1,):
          1 (exact) [var=0]
    """
    check_state(state)
    _checks.require_type(group, PermutationGroup, "group")
    every = range(group.order) if elements is None else elements
    chosen = [_checks.integer(g, "elements", minimum=0, maximum=group.order - 1) for g in every]
    _checks.require(len(chosen) > 0, "elements", "be one or more", "none")
    return _expected(state, group, chosen, None)


def irrep_weights(state: VariationalState, group: PermutationGroup) -> Estimate:
    """The part of a state in each irreducible representation, <P> with P = d/order sum_g chi(g)^* T_g; they sum to 1.

    Args:
        state: with samples.
        group: as in `symmetry_expectation`.

    Returns:
        Leaves (n_irreps,), in the order of `group.character_table`.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if there are no samples, or the group does not act on the space.
    """
    check_state(state)
    _checks.require_type(group, PermutationGroup, "group")
    factors = group.irrep_dimensions[:, None] / group.order
    projectors = factors * group.character_table.conj()[:, group.classes.of]  # (irreps, order)
    return _expected(state, group, list(range(group.order)), projectors)


def _expected(
    state: VariationalState, group: PermutationGroup, elements: list[int], matrix: np.ndarray | None
) -> Estimate:
    action = action_on(state.space, group)
    samples = state.samples
    assert samples is not None
    back = tuple(np.asarray(group.inverse)[elements].tolist())
    run = _measuring(state.comm, state.network, samples.kind, action, back, state.chunk_size)
    factors = None if matrix is None else jnp.asarray(matrix, complex)
    return run(state.params, state.constants, samples, state.comm.replicate(factors))


@functools.lru_cache(maxsize=16)
def _measuring(
    comm: Comm, network: Network, kind: str, action: Action, elements: tuple[int, ...], chunk_size: int | None
) -> Callable:
    n_rows = max(1, (_BLOCK if chunk_size is None else chunk_size) // len(elements))

    def run(params: PyTree, constants: PyTree, samples: Samples, matrix: Array | None) -> Estimate:
        amplitude = network.bind(params, constants)

        def ratios(sigma: Array) -> Array:
            images = action.images(sigma, elements)  # (rows, elements, sites)
            log_psi = amplitude.log_psi(images.reshape(-1, images.shape[-1])).reshape(images.shape[:2])
            ratio = jnp.exp(widen(log_psi - amplitude.log_psi(sigma)[:, None]))
            return ratio * action.signs(sigma, elements).astype(ratio.dtype)

        values = map_rows(ratios, samples.flat_sigma, n_rows)
        if matrix is not None:  # of projectors, which are Hermitian
            values = (values.astype(matrix.dtype) @ matrix.T).real
        return expect_terms(comm, values, samples)

    return comm.spmd(run, (REPLICATED, REPLICATED, samples_spec(kind), REPLICATED), REPLICATED)
