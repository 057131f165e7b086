# SPDX-License-Identifier: Apache-2.0
"""Order parameters: squares of sums over all sites, which do not vanish on finite lattices."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._types import Array
from manybody.lattice import AbstractLattice
from manybody.observables.sites import Kind, checked, pair_products, weighted
from manybody.observables.zone import checked_momenta
from manybody.state import VariationalState
from manybody.stats import Estimate


class OrderParameter(NamedTuple):
    """Of m = 1/N sum_i f_i A_i.

    Attributes:
        squared: <|m|^2>.
        root: its square root; nan if noise has made it negative.
        binder: Binder's cumulant 1 - <|m|^4> / (3 <|m|^2>^2), if A is diagonal, else None. For one real component it is
            2/3 in an ordered phase and 0 in a disordered one.
    """

    squared: Estimate
    root: Estimate
    binder: Estimate | None


def order_parameter(
    state: VariationalState,
    lattice: AbstractLattice,
    pattern: Literal["uniform", "staggered"] | ArrayLike = "staggered",
    kind: Kind = "zz",
    *,
    momentum: ArrayLike | None = None,
) -> OrderParameter:
    """<|m|^2> = 1/N^2 sum_ij f_i f_j^* <A_i A_j>, with its root and, where it is for free, Binder's cumulant.

    For "ss" that is the length of a vector, 1/N^2 sum_ij f_i f_j^* <S_i . S_j>.

    Args:
        state: with samples.
        lattice: with one site for each spin, boson or orbital.
        pattern: f_i: "uniform" (1), "staggered" (1 and -1 on the two sublattices), or real numbers (n_sites,).
        kind: "xx", "yy", "zz", "ss" or "nn".
        momentum: Cartesian (dim,), for f_i = exp(i k . r_i) instead of a pattern.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: as `correlation_function`, and if the pattern has another shape, the lattice no two sublattices, or
            the momentum does not fit the periodic boundaries.

    Example:
        >>> import manybody as mb
        >>> chain, space = mb.lattice.chain(4), mb.hilbert.Spin(4, total_sz=0)
        >>> flat = (lambda key, sigma: {}, lambda params, sigma: 0 * sigma[:, 0].astype(float))  # all states alike
        >>> state = mb.VariationalState(flat, mb.sampler.Exact(space)).sample()
        >>> mb.observables.order_parameter(state, chain).squared  # two of six states have m = 1/2
        0.08333333333 (exact) [var=0.0139]
    """
    checked(state, lattice, kind)
    _checks.require(isinstance(kind, str), "kind", "be a name", kind)
    factors = _pattern(lattice, pattern, momentum)
    pairs = pair_products(state.observed, lattice.n_sites, kind)
    i, j = pairs.sites.T
    weights = np.where(i == j, 1, 2) * (factors[i] * factors[j].conj()).real / lattice.n_sites**2
    squared = weighted(pairs.operator, weights)
    if not squared.is_diagonal:
        found = state.expect_terms(squared, None, _with_root)
        return OrderParameter(_part(found, 0), _part(found, 1), None)
    found = state.expect_terms(squared, _with_square, _with_binder)
    return OrderParameter(_part(found, 0), _part(found, 1), _part(found, 2))


def _pattern(lattice: AbstractLattice, pattern: str | ArrayLike, momentum: ArrayLike | None) -> np.ndarray:
    """The factors f_i (n_sites,)."""
    if momentum is not None:
        (k,) = checked_momenta(lattice, np.asarray(momentum, float)[None])
        return np.exp(1j * (lattice.positions @ k))
    if isinstance(pattern, str):
        _checks.choice(pattern, ("uniform", "staggered"), "pattern")
        return 1.0 - 2.0 * lattice.sublattices() if pattern == "staggered" else np.ones(lattice.n_sites)
    factors = np.asarray(pattern)
    fits = factors.shape == (lattice.n_sites,) and not np.iscomplexobj(factors)
    got = f"{factors.dtype} of shape {factors.shape}"
    _checks.require(fits, "pattern", f"be {lattice.n_sites} real numbers, one for each site", got)
    return factors.astype(float)


def _part(estimate: Estimate, number: int) -> Estimate:
    leaves = {name: getattr(estimate, name)[number] for name in vars(estimate)}
    return estimate.replace(**leaves)


def _with_square(values: Array) -> Array:
    """Local values of m^2 and of m^4, for diagonal m."""
    return jnp.concatenate([values, values**2], axis=1)


def _with_root(x: Array) -> Array:
    # The slope at 0 is not finite; there nothing fluctuates.
    root = jnp.where(x[0] > 0, jnp.sqrt(jnp.where(x[0] > 0, x[0], 1.0)), jnp.where(x[0] < 0, jnp.nan, 0.0))
    return jnp.stack([x[0], root])


def _with_binder(x: Array) -> Array:
    return jnp.append(_with_root(x), 1 - x[1] / (3 * x[0] ** 2))
