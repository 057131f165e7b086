# SPDX-License-Identifier: Apache-2.0
"""Any ansatz, projected onto a symmetry sector."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._lazy import nnx
from manybody._types import Array, Inexact, Int8
from manybody.ansatz._orbit import (
    as_sector,
    check_not_empty,
    coefficients,
    is_positive,
    log_sum,
    moved,
    orbit,
    tables,
)
from manybody.hilbert import DiscreteSpace
from manybody.network import as_network, is_nnx
from manybody.parallel.chunk import map_rows
from manybody.symmetry import PermutationGroup, Sector, action_on


class Symmetrised(nn.Module):
    r"""A wave function phi, projected onto a sector of symmetry.

    .. math:: \psi(\sigma) = \frac{d}{|G|} \sum_{g \in G} D(g)_{mm}\, s_g(\sigma)\, \phi(g\sigma)

    If the representation has one dimension, D is the character, and T_g psi = chi(g) psi for all elements g. If it has
    d dimensions, psi is state `row` of a set of d: T_g psi is a combination sum_i psi_i D(g)_im of them, and any row
    will do, since all have the same energy. (Summed with the characters, phi would become a sum of d states that belong
    to different sets.) The signs s_g are those of fermions and boundaries; see `manybody.symmetry.Action`.

    The result is complex, unless phi is real and no sign or character is negative. It is -inf where the symmetry
    forbids a configuration, or where phi vanishes on all of its images.

    Elements that differ by signs alone are evaluated once. If phi is already symmetric under a subgroup, for instance
    an `RBM` with `symmetries`, only one element of each coset needs to be evaluated: `cosets` says so. That is a
    promise, which is not checked.

    Args:
        ansatz: any Flax module (linen or nnx), sigma -> log phi.
        sector: a `Sector`; or a group, for its trivial representation.
        space: the space of the configurations.
        row: m, of the matrices `sector.matrices`.
        cosets: the sector that phi belongs to, of one dimension, or its group if phi does not change at all; the group
            must be a subgroup of the sector's.
        chunk_size: elements evaluated at a time; derivatives evaluate again and keep nothing else. By default all.

    Raises:
        TypeError: if `ansatz`, `sector` or `cosets` is none.
        ValueError: if the group does not act on the space, the sector has no states there because of signs alone (an
            odd number of fermions where it should be even), there is no such row, or `cosets` does not fit the sector.

    Example:
        >>> import jax, manybody as mb
        >>> from manybody.ansatz import RBM, Symmetrised
        >>> from manybody.symmetry import Permutation, PermutationGroup, Sector
        >>> ring = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
        >>> space = mb.hilbert.Spin(4)
        >>> ansatz = Symmetrised(RBM(), Sector(ring, irrep=[1, -1, 1, -1]), space)
        >>> sigma = space.all_states()
        >>> ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma).dtype
        dtype('complex128')

    Reference:
        Projections in variational Monte Carlo: Mizusaki, Imada (2004), arXiv:cond-mat/0404570; of neural networks:
        Nomura (2021), arXiv:2001.02106, eq. 2; Reh, Schmitt, Gärttner (2023), arXiv:2301.06788.
    """

    ansatz: nn.Module | nnx.Module
    sector: Sector | PermutationGroup
    space: Any
    row: int = 0
    cosets: Sector | PermutationGroup | None = None
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.ansatz, nn.Module) or is_nnx(self.ansatz)):
            raise TypeError(_checks.requirement("ansatz", "be a flax.linen or flax.nnx module", repr(self.ansatz)))
        _checks.require_type(self.sector, (Sector, PermutationGroup), "sector")
        if self.cosets is not None:
            _checks.require_type(self.cosets, (Sector, PermutationGroup), "cosets")
        if self.chunk_size is not None:
            _checks.integer(self.chunk_size, "chunk_size", minimum=1)
        action_on(self.space, as_sector(self.sector).group)
        check_not_empty(*self._projection, self.space)
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        seen, acting = orbit(*self._projection), action_on(self.space, self._projection[0].group)
        phi = self._phi(sigma)
        flat = jnp.asarray(sigma).reshape(-1, sigma.shape[-1])
        levels = jnp.asarray(self.space.to_levels(flat))

        def evaluate(moves: tuple[Array, Array]) -> Array:
            images = self.space.from_levels(moved(levels, self.space.local_dimensions, *moves))
            n_elements = len(moves[0])
            log_phi = jnp.asarray(phi(images.reshape(-1, flat.shape[1])))
            return log_phi.reshape(len(flat), n_elements).T  # (elements, batch)

        moves = tables(acting, seen.elements)
        logs = map_rows(evaluate if self.chunk_size is None else jax.checkpoint(evaluate), moves, self.chunk_size).T
        factors = coefficients(seen, acting, flat, logs.real.dtype)
        return log_sum(logs, factors, is_positive(seen, acting)).reshape(sigma.shape[:-1])

    def _phi(self, sigma: Array) -> Callable[[Array], Any]:
        """Log phi as a plain function, whose parameters are those of this module."""
        if not isinstance(self.ansatz, nn.Module):
            network = as_network(self.ansatz)
            first, constants = network.init(jax.random.key(0), sigma)  # which such a module is born with
            return functools.partial(network.log_psi, self.param("ansatz", lambda _: first), constants)
        if self.is_initializing():
            self.ansatz(sigma)
        module, variables = self.ansatz.unbind()
        return functools.partial(module.apply, variables)

    @property
    def _projection(self) -> tuple[Sector, int, Sector | None]:
        """The arguments of `orbit`."""
        return as_sector(self.sector), self.row, None if self.cosets is None else as_sector(self.cosets)


def spin_inversion(ansatz: nn.Module | nnx.Module, space: DiscreteSpace, parity: int = 1) -> Symmetrised:
    """The wave function, made even (`parity` 1) or odd (-1) under the inversion of all levels.

    Raises:
        ValueError: if `parity` is neither, or the space is not its own image.
    """
    identity = PermutationGroup(np.arange(space.size)[None])
    return Symmetrised(ansatz, Sector(identity, inversion=parity), space)
