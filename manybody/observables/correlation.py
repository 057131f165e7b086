# SPDX-License-Identifier: Apache-2.0
"""Correlations of two sites as a function of the displacement between them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, Float, Int
from manybody.lattice import AbstractLattice, Lattice
from manybody.lattice.cluster import shortest
from manybody.observables.sites import Kind, checked, pair_products
from manybody.state import VariationalState
from manybody.stats import Estimate


class Correlations(NamedTuple):
    """Correlations of classes of pairs of sites, by ascending distance.

    Attributes:
        pairs: the first pair (i, j) of each class (n_classes, 2).
        counts: how many pairs belong to it (n_classes,).
        vectors: r_j - r_i to the nearest image (n_classes, dim); of several the one furthest along the first axis.
        distances: between the sites of a pair (n_classes,); numbers of bonds on a lattice that is a graph.
        estimate: means over the pairs of a class, leaves (n_classes,).
    """

    pairs: Int[np.ndarray, "classes 2"]
    counts: Int[np.ndarray, "classes"]
    vectors: Float[np.ndarray, "classes dim"]
    distances: Float[np.ndarray, "classes"]
    estimate: Estimate


def correlation_function(
    state: VariationalState, lattice: AbstractLattice, kind: Kind = "zz", *, connected: bool = False
) -> Correlations:
    """C(r) = 1/n sum over the n pairs (i, j) of <A_i B_j>, or <A_i B_j> - <A_i> <B_j>.

    On a periodic lattice the pairs are those that translations map to each other, whether or not the state has this
    symmetry: one value for each sublattice of i, and each site j. Without translations each pair stands for itself. The
    pairs i = j are among them.

    The errors of connected correlations know of the correlations of <A_i B_j> with <A_i> and <B_j> (delta method). What
    is left is a bias of order 1/n_samples, C(r) being too small by the square of the error of <A> where A = B.

    Args:
        state: with samples.
        lattice: with one site for each spin, boson or orbital.
        kind: "xx", "yy", "zz", "ss" (S_i . S_j), "nn" (numbers of particles; of all components of fermions together),
            or two functions (space, site) -> operator that are A and B, called with the space without its sectors: for
            instance (`fermion.create`, `fermion.destroy`). Then A_i B_j may be complex.
        connected: subtract <A_i> <B_j>; of "ss" <S_i> . <S_j>.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if there are no samples, the lattice has other sites, or the space has no spins (no particles).

    Example:
        >>> import manybody as mb
        >>> chain, space = mb.lattice.chain(4), mb.hilbert.Spin(4, total_sz=0)
        >>> flat = (lambda key, sigma: {}, lambda params, sigma: 0 * sigma[:, 0].astype(float))  # all states alike
        >>> state = mb.VariationalState(flat, mb.sampler.Exact(space)).sample()
        >>> found = mb.observables.correlation_function(state, chain)
        >>> found.distances.tolist(), found.counts.tolist()
        ([0.0, 1.0, 1.0, 2.0], [4, 4, 4, 4])
        >>> bool(abs(found.estimate.mean.sum()) < 1e-12)
        True
    """
    checked(state, lattice, kind)
    pairs = pair_products(state.observed, lattice.n_sites, kind, connected)
    label = pair_classes(lattice)
    counts, n_products = np.bincount(label.ravel()), len(pairs.sites)
    n_terms = len(pairs.operator.couplings)
    transform = np.zeros((len(counts), n_terms))
    np.add.at(transform, (label.ravel(), pairs.numbers.ravel()), 1 / counts[label.ravel()])
    if connected:
        transform = np.concatenate([transform, np.eye(n_terms)[n_products:]])
        lists = pairs.lists - n_products + len(counts)
        arrays = [jnp.asarray(x) for x in (label.ravel(), counts, lists)]
        estimate = state.expect_terms(pairs.operator, transform, jax.tree_util.Partial(_subtracted, *arrays))
    else:
        estimate = state.expect_terms(pairs.operator, transform)
    return _sorted(lattice, label, counts, estimate)


def pair_classes(lattice: AbstractLattice) -> Int[np.ndarray, "sites sites"]:
    """Numbers of the classes of pairs (i, j) that translations map to each other, in the order of their first pairs."""
    n_sites = lattice.n_sites
    moves = lattice.translations() if isinstance(lattice, Lattice) else np.arange(n_sites)[None]
    back = np.argmin(moves, axis=0)  # (sites,), the translation that moves a site to the lowest of its kind
    first = moves[back, np.arange(n_sites)]
    code = first[:, None] * n_sites + moves[back]
    return np.unique(code, return_inverse=True)[1].reshape(n_sites, n_sites)


def displacements(lattice: AbstractLattice, vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, dim) to the nearest image."""
    periods = lattice.periods
    return vectors + shortest(vectors, periods) @ periods if len(periods) else vectors


def _subtracted(label: Array, counts: Array, lists: Array, x: Array) -> Array:
    """Means over classes, less those of the products of <A_i> and <B_j>."""
    first, second = x[lists[:, 0]], x[lists[:, 1]]  # (components, sites)
    products = jnp.sum(first[:, :, None] * second[:, None, :], axis=0).ravel()
    sums = jax.ops.segment_sum(products, label, counts.shape[0])
    return x[: counts.shape[0]] - sums / counts.astype(x.dtype)


def _sorted(lattice: AbstractLattice, label: np.ndarray, counts: np.ndarray, estimate: Estimate) -> Correlations:
    n_sites = lattice.n_sites
    _, first = np.unique(label, return_index=True)
    pairs = np.stack([first // n_sites, first % n_sites], axis=1)
    distances = lattice.distances()[tuple(pairs.T)]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], np.round(distances, 9)))
    pairs, positions = pairs[order], lattice.positions
    vectors = displacements(lattice, positions[pairs[:, 1]] - positions[pairs[:, 0]])
    ordered = jax.tree.map(lambda leaf: np.asarray(leaf)[order], estimate)
    return Correlations(pairs, counts[order], vectors, distances[order], ordered)
