# SPDX-License-Identifier: Apache-2.0
"""A basis of a symmetry sector, and operators in it.

With T_g |sigma> = s_g(sigma) |g sigma> and the unitary matrices D of the sector, P_ab = d / |G| sum_g D(g)_ab^* T_g
project on partners: P_1b |r> transform as psi_1, of which one representative r of each orbit gives

    |r, alpha> = sum_b v_b,alpha P_1b |r> / sqrt(N_r),     N_r = d |stabiliser of r| / |G|.

Their overlaps are N_r Pi, where Pi = mean of D(g)^* s_g(r) over the stabiliser is a projector; the columns of the
*frame* v are an orthonormal basis of its range. Since H commutes with T_g, its matrix follows from one row for each
orbit: a connection r -> sigma with g sigma = r' contributes

    <r, alpha|H|r', alpha'>  +=  <r|H|sigma> s_g(sigma) sqrt(N_r' / N_r) (v_r^dagger D(g)^T v_r')_alpha,alpha'.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse

from manybody import _checks
from manybody._types import Array, Inexact, Int8
from manybody.exact import orbits
from manybody.hilbert import DiscreteSpace
from manybody.operator import Operator, broken_element
from manybody.operator.compiled import CompiledOperator
from manybody.symmetry import Sector, action_on

_BLOCK = 2**17
"""Matrix elements, zeros included, that are computed at a time."""
_MORE = 2**20
"""Elements for which there is room in advance."""


class Orbits(NamedTuple):
    """The orbits that have states in the sector.

    Attributes:
        codes: of the representatives, ascending (orbits,).
        norms: N_r (orbits,).
        frame_of: number of the frame (orbits,).
        frames: v (frames, d, d); columns that are not needed are zero.
        counts: number of states (orbits,).
        first: number of the first state (orbits,).
    """

    codes: np.ndarray
    norms: np.ndarray
    frame_of: np.ndarray
    frames: np.ndarray
    counts: np.ndarray
    first: np.ndarray


class SectorBasis:
    """An orthonormal basis of the states of a space that transform as psi_1 of a sector.

    The other partners of a representation of dimension d have the same energies, so each level of a symmetric operator
    in this basis occurs d times in the whole space. Found when it is first needed: for every state of the space one has
    to see whether it represents its orbit.

    Args:
        space: the space.
        sector: a representation of a group of permutations of its sites.

    Raises:
        ValueError: if the group does not act on the space, or configurations are no 64-bit numbers.

    Example:
        >>> import manybody as mb
        >>> from manybody.symmetry import Permutation, PermutationGroup, Sector
        >>> space, lattice = mb.hilbert.Spin(4, total_sz=0), mb.lattice.chain(4)
        >>> ring = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
        >>> basis = SectorBasis(space, Sector(ring))
        >>> basis.representatives
        array([[ 1,  1, -1, -1],
               [ 1, -1,  1, -1]], dtype=int8)
        >>> basis.matrix(mb.hamiltonian.heisenberg(space, lattice)).toarray().round(8)
        array([[ 0.    ,  1.4142],
               [ 1.4142, -1.    ]])
    """

    def __init__(self, space: DiscreteSpace, sector: Sector) -> None:
        _checks.require_type(space, DiscreteSpace, "space")
        _checks.require_type(sector, Sector, "sector")
        n_sites = sector.group.n_sites
        must = f"belong to a group that acts on {space.size} sites, or a fraction of them"
        _checks.require(space.size % n_sites == 0, "sector", must, f"{n_sites} sites")
        n_codes = math.prod(space.local_dimensions)
        must = "have a product of local dimensions below 2^63 for symmetry sectors"
        _checks.require(n_codes < 2**63, "space", must, f"about 2^{n_codes.bit_length() - 1}")
        self.space, self.sector = space, sector
        self._action = action_on(space, sector.group)

    @property
    def size(self) -> int:
        """Number of states."""
        return int(self._orbits.counts.sum())

    @property
    def representatives(self) -> Int8[np.ndarray, "orbits sites"]:
        """The first configuration of each orbit that has states in the sector."""
        return np.asarray(self.space.from_levels(self._moves.levels(self._orbits.codes)))

    @cached_property
    def _moves(self) -> orbits.Moves:
        return orbits.moves(self._action)

    @cached_property
    def _orbits(self) -> Orbits:
        codes = orbits.representatives(self.space, self._action)
        d, order = self.sector.dimension, self.sector.group.order
        rows, elements = orbits.stabilisers(self._moves, codes)
        signs = orbits.signs(self._action, self._moves, codes[rows], elements)
        stabiliser = 1 + np.bincount(rows, minlength=len(codes))
        frame_of, frames, ranks = _frames(self.sector.matrices, rows, elements, signs, stabiliser)
        kept = ranks[frame_of] > 0
        counts = ranks[frame_of[kept]]
        norms = d * stabiliser[kept] / order
        return Orbits(codes[kept], norms, frame_of[kept], frames, counts, np.cumsum(counts) - counts)

    # --- operators ---------------------------------------------------------------------------------------------------

    def matrix(self, operator: Operator) -> scipy.sparse.csr_array:
        """The matrix (size, size) of an operator that commutes with the group.

        Raises:
            ValueError: if it acts on another space, or the group is no symmetry of it.
        """
        _checks.require_type(operator, Operator, "operator")
        _checks.require(operator.space == self.space, "operator", f"act on {self.space}", operator.space)
        broken = broken_element(operator, self.sector.group)
        _checks.require(
            broken is None,
            "sector",
            "belong to a group of symmetries of the operator",
            f"one with {self.sector.group[broken or 0]}, which does not commute with it",
        )
        compiled, found = operator.compile(), self._orbits
        n_orbits = len(found.codes)
        most = _BLOCK // (compiled.n_connections + 1) // self.sector.dimension**2
        n_rows = max(1, min(most, 2 ** (n_orbits - 1).bit_length()))  # few sizes: compiled seldom
        return _stacked((self._rows(compiled, start, n_rows) for start in range(0, n_orbits, n_rows)), self.size)

    def _rows(self, compiled: CompiledOperator, start: int, n_rows: int) -> scipy.sparse.csr_array:
        """The rows of the states of some orbits."""
        found = self._orbits
        here = np.minimum(np.arange(start, start + n_rows), len(found.codes) - 1)  # one static size: compiled once
        sigma = self.space.from_levels(self._moves.levels(found.codes[here]))
        here = here[: len(found.codes) - start]
        diagonal, targets, elements = (
            np.asarray(a)[: len(here)] for a in _connected(self.space, compiled, sigma, self._moves.place)
        )
        used = elements != 0
        codes = targets[used].astype(found.codes.dtype)
        smallest, by = orbits.minima(self._moves, codes)
        to = np.minimum(np.searchsorted(found.codes, smallest), len(found.codes) - 1)
        inside = found.codes[to] == smallest  # other orbits have no states
        codes, by, to, values = codes[inside], by[inside], to[inside], elements[used][inside]
        values = values * orbits.signs(self._action, self._moves, codes, by)
        row = np.nonzero(used)[0][inside]
        values = values * np.sqrt(found.norms[to] / found.norms[here[row]])
        one = np.zeros(len(here), np.int32)  # the identity, for the diagonal
        return self._block(
            here,
            np.concatenate([np.arange(len(here)), row]),
            np.concatenate([here, to]),
            np.concatenate([one, by]),
            np.concatenate([diagonal, values]),
        )

    def _block(
        self, here: np.ndarray, row: np.ndarray, to: np.ndarray, by: np.ndarray, values: np.ndarray
    ) -> scipy.sparse.csr_array:
        """Rows of the matrix from connections: numbers of rows among `here`, of orbits, of elements, and factors."""
        found, d = self._orbits, self.sector.dimension
        start = found.first[here[0]]
        shape = (found.first[here[-1]] + found.counts[here[-1]] - start, self.size)
        blocks = self.sector.matrices[by].transpose(0, 2, 1) * values[:, None, None]
        rows, columns = found.first[here[row]] - start, found.first[to]
        if d == 1:  # frames are 1
            return scipy.sparse.coo_array((blocks[:, 0, 0], (rows, columns)), shape=shape).tocsr()
        left, right = found.frames[found.frame_of[here[row]]], found.frames[found.frame_of[to]]
        blocks = left.conj().transpose(0, 2, 1) @ blocks @ right
        number, a, b = np.nonzero(blocks)
        at = (rows[number] + a, columns[number] + b)
        return scipy.sparse.coo_array((blocks[number, a, b], at), shape=shape).tocsr()

    # --- vectors -----------------------------------------------------------------------------------------------------

    def expand(self, vectors: Inexact[np.ndarray, "size k"]) -> Inexact[np.ndarray, "n_states k"]:
        """States (n_states, k) of the whole space, in the order of `space.all_states()`, from those of the basis."""
        vectors, found = self._columns(vectors, self.size), self._orbits
        dtype = np.promote_types(vectors.dtype, self.sector.matrices.dtype)
        states = np.zeros((self.space.n_states, vectors.shape[1]), dtype)
        for here, index, factors in self._images():
            inner = self._frames_of(here) @ self._of_orbits(vectors, here) * np.sqrt(found.norms[here])[:, None, None]
            states[index] = np.einsum("nb,nbk->nk", factors, inner)
        return states

    def project(self, states: Inexact[np.ndarray, "n_states k"]) -> Inexact[np.ndarray, "size k"]:
        """Components (size, k) of states (n_states, k) of the whole space: the adjoint of `expand`."""
        states, found = self._columns(states, self.space.n_states), self._orbits
        dtype = np.promote_types(states.dtype, self.sector.matrices.dtype)
        vectors = np.zeros((self.size, states.shape[1]), dtype)
        d, order = self.sector.dimension, self.sector.group.order
        for here, index, factors in self._images():
            scale = d / order / np.sqrt(found.norms[here])
            inner = (factors.conj() * scale[:, None])[:, :, None] * states[index][:, None, :]
            components = self._frames_of(here).conj().transpose(0, 2, 1) @ inner  # (orbits, d, k)
            for alpha in range(d):
                has = found.counts[here] > alpha
                vectors[found.first[here[has]] + alpha] += components[has, alpha]
        return vectors

    def _columns(self, vectors: np.ndarray, length: int) -> np.ndarray:
        vectors = np.asarray(vectors)
        fits = vectors.ndim == 2 and len(vectors) == length
        _checks.require(fits, "vectors", f"have shape ({length}, k)", vectors.shape)
        return vectors

    def _frames_of(self, here: np.ndarray) -> np.ndarray:
        return self._orbits.frames[self._orbits.frame_of[here]]

    def _of_orbits(self, vectors: np.ndarray, here: np.ndarray) -> np.ndarray:
        """Components (orbits, d, k) of some orbits; those beyond their number of states mean nothing."""
        states = self._orbits.first[here][:, None] + np.arange(self.sector.dimension)
        return vectors[np.minimum(states, len(vectors) - 1)]

    def _images(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Orbits, indices of the images of their representatives, and s_g(r) D(g)_1b^* (orbits, b); by elements."""
        codes = self._orbits.codes
        n = max(1, _BLOCK // self.space.size)
        for start in range(0, len(codes), n):
            here = np.arange(start, min(start + n, len(codes)))
            parts = self._moves.parts(codes[here])
            for g, matrix in enumerate(self.sector.matrices):
                index = np.asarray(self.space.rank_levels(self._moves.levels(self._moves.image(parts, g))))
                sign = orbits.signs(self._action, self._moves, codes[here], g)
                yield here, index, sign[:, None] * matrix[0].conj()


@functools.partial(jax.jit, static_argnums=0)
def _connected(
    space: DiscreteSpace, compiled: CompiledOperator, sigma: Array, place: Array
) -> tuple[Array, Array, Array]:
    """Diagonal elements (rows,), and codes and elements (rows, conn) of the others, in some rows."""
    return compiled.diagonal(sigma), compiled.codes(space, sigma, place), compiled.elements(sigma)


def _frames(
    matrices: np.ndarray, rows: np.ndarray, elements: np.ndarray, signs: np.ndarray, stabiliser: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame of each orbit (orbits,), different frames (frames, d, d) and their numbers of columns (frames,).

    Most orbits have no stabiliser: their frame is the identity, and comes first. Of the others few are different.
    """
    d = matrices.shape[1]
    order = np.argsort(rows, kind="stable")
    touched, begin = np.unique(rows[order], return_index=True)
    frame_of = np.zeros(len(stabiliser), np.int32)
    if len(touched) == 0:
        return frame_of, np.eye(d)[None].astype(matrices.dtype), np.array([d])
    sums = np.add.reduceat((matrices[elements].conj() * signs[:, None, None])[order], begin)
    projectors = (np.eye(d) + sums) / stabiliser[touched, None, None]
    weights = np.random.default_rng(0).normal(size=(2, d * d))
    flat = projectors.reshape(len(touched), -1)
    label = np.round(flat.real @ weights[0] + flat.imag @ weights[1], 7)
    _, some, which = np.unique(label, return_index=True, return_inverse=True)
    frame_of[touched] = 1 + which
    sizes, vectors = np.linalg.eigh(projectors[some])  # eigenvalues 0 and 1, ascending
    inside = sizes[:, ::-1] > 0.5
    frames = vectors[:, :, ::-1] * inside[:, None, :]
    return frame_of, np.concatenate([np.eye(d)[None], frames]), np.concatenate([[d], inside.sum(axis=1)])


def _stacked(blocks: Iterator[scipy.sparse.csr_array], size: int) -> scipy.sparse.csr_array:
    """One matrix (size, size) from its rows, in arrays that grow where they are: nothing is in memory twice."""
    columns, values, used = np.empty(0, np.int32), np.empty(0), 0
    per_row = [np.zeros(1, np.int64)]
    for block in blocks:
        if used == 0:
            values = values.astype(block.dtype)
        if used + block.nnz > len(values):
            for array in (columns, values):
                array.resize(used + block.nnz + _MORE, refcheck=False)
        columns[used : used + block.nnz], values[used : used + block.nnz] = block.indices, block.data
        used += block.nnz
        per_row.append(np.diff(block.indptr))
    pointers = np.cumsum(np.concatenate(per_row), dtype=np.int32 if used < 2**31 else np.int64)
    return scipy.sparse.csr_array((values[:used], columns[:used], pointers), shape=(size, size))
