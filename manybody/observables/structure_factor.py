# SPDX-License-Identifier: Apache-2.0
"""Structure factors: correlations of two sites, Fourier transformed with their true positions."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from manybody._types import Array, Float
from manybody.lattice import AbstractLattice
from manybody.observables.sites import Kind, checked, pair_products
from manybody.observables.zone import allowed_momenta, checked_momenta
from manybody.state import VariationalState
from manybody.stats import Estimate


class StructureFactor(NamedTuple):
    """S(k).

    Attributes:
        momenta: k, Cartesian (n_momenta, dim).
        estimate: S(k), leaves (n_momenta,).
    """

    momenta: Float[np.ndarray, "momenta dim"]
    estimate: Estimate


def structure_factor(
    state: VariationalState, lattice: AbstractLattice, momenta: ArrayLike | None = None, kind: Kind = "zz"
) -> StructureFactor:
    """S(k) = 1/N sum_ij exp(i k . (r_i - r_j)) <A_i B_j>, with the positions of all sites, those in the cell included.

    It is real for the named kinds, and where B_i is the adjoint of A_i: (`fermion.create`, `fermion.destroy`) gives the
    distribution of momenta.

    Args:
        state: with samples.
        lattice: with one site for each spin, boson or orbital.
        momenta: Cartesian (n_momenta, dim); by default all of the first Brillouin zone. With several sites in the cell
            there is more to see in the extended zone: `allowed_momenta(lattice, extended=True)`.
        kind: as in `correlation_function`.

    Raises:
        TypeError: if an argument is of the wrong type, or the lattice is a graph and there are no momenta.
        ValueError: as `correlation_function`, and if a momentum does not fit the periodic boundaries.

    Example:
        >>> import manybody as mb
        >>> chain, space = mb.lattice.chain(4), mb.hilbert.Spin(4, total_sz=0)
        >>> flat = (lambda key, sigma: {}, lambda params, sigma: 0 * sigma[:, 0].astype(float))  # all states alike
        >>> state = mb.VariationalState(flat, mb.sampler.Exact(space)).sample()
        >>> found = mb.observables.structure_factor(state, chain)
        >>> abs(found.estimate.mean).round(3).tolist()
        [0.0, 0.333, 0.333, 0.333]
    """
    checked(state, lattice, kind)
    chosen = allowed_momenta(lattice) if momenta is None else np.asarray(momenta, float)
    chosen = checked_momenta(lattice, chosen)
    pairs = pair_products(state.observed, lattice.n_sites, kind)
    i, j = pairs.sites.T
    phases = np.exp(1j * (chosen @ (lattice.positions[i] - lattice.positions[j]).T)) / lattice.n_sites
    if pairs.is_symmetric:  # i < j stands for both orders
        estimate = state.expect_terms(pairs.operator, phases.real * np.where(i == j, 1, 2))
    elif pairs.is_adjoint:
        estimate = state.expect_terms(pairs.operator, jax.tree_util.Partial(_real_part, jnp.asarray(phases)))
    else:
        estimate = state.expect_terms(pairs.operator, phases)
    return StructureFactor(chosen, estimate)


def _real_part(matrix: Array, values: Array) -> Array:
    return (values.astype(matrix.dtype) @ matrix.T).real
