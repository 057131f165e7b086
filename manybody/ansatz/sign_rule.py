# SPDX-License-Identifier: Apache-2.0
"""Marshall's sign rule."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._struct import dataclass
from manybody._types import Array, Bool, Complex, Int, Int8
from manybody.amplitude import apply_change
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.lattice.base import as_sublattices


@dataclass
class SignCache:
    """Configurations: nothing else is needed."""

    sigma: Int8[Array, "batch sites"]


class MarshallSign(nn.Module):
    r"""The sign :math:`\prod_{i \in B} (-1)^{\text{level of } i}` over one sublattice B, as a factor of a `Product`.

    It is the sign of the ground state of a bipartite antiferromagnet, and a good start where frustration is weak. A
    wave function with this factor and a Hamiltonian are the same as one without it and the Hamiltonian conjugated by
    `manybody.hamiltonian.marshall`. There are no parameters.

    Args:
        space: the space of the configurations.
        sublattice: a bipartite lattice, or for every site the number 0 or 1 of its sublattice.

    Raises:
        ValueError: if the lattice is not bipartite, or the numbers do not fit the space.

    Example:
        >>> import manybody as mb
        >>> from manybody.ansatz import MarshallSign
        >>> space, lattice = mb.hilbert.Spin(2, total_sz=0), mb.lattice.chain(2, periodic=False)
        >>> MarshallSign(space, lattice).apply({}, space.all_states()).imag.round(2)
        Array([3.14, 0.  ], dtype=float64)

    Reference:
        Marshall (1955), Proc. R. Soc. A 232, 48.
    """

    space: DiscreteSpace
    sublattice: AbstractLattice | Sequence[int]

    def __post_init__(self) -> None:
        _checks.require_type(self.space, DiscreteSpace, "space")
        colours = as_sublattices(self.sublattice, self.space.size)
        if not isinstance(self.sublattice, AbstractLattice):
            self.sublattice = tuple(colours.tolist())
        super().__post_init__()

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Complex[Array, "*batch"]:
        odd = jnp.sum(self._odd(sigma), axis=-1) % 2
        return jax.lax.complex(jnp.zeros(odd.shape), jnp.pi * odd.astype(float))

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> SignCache:
        """The cache of these configurations, from scratch."""
        return SignCache(sigma)

    def log_ratio(
        self, cache: SignCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Complex[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        return self(apply_change(cache.sigma, sites, values)) - self(cache.sigma)

    def update_cache(
        self,
        cache: SignCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> SignCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        return SignCache(apply_change(cache.sigma, sites, values, accepted))

    def _odd(self, sigma: Int8[Array, "*batch sites"]) -> Int[Array, "*batch sites"]:
        """Levels of the sublattice, 0 elsewhere."""
        colours = as_sublattices(self.sublattice, self.space.size)
        return jnp.where(jnp.asarray(colours == 1), jnp.asarray(self.space.to_levels(sigma)), 0)
