# SPDX-License-Identifier: Apache-2.0
"""Lowest energies and states of operators on spaces small enough to enumerate."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

from manybody import _checks
from manybody._types import Float, Inexact
from manybody.exact.matrix_free import linear_operator
from manybody.exact.sector import SectorBasis
from manybody.linalg import lowest_eigenvector
from manybody.operator import Operator
from manybody.parallel import threads
from manybody.symmetry import Sector

Matrix = Any
"""A sparse matrix, or a `LinearOperator`."""

_DENSE_BELOW = 400
_MAX_DENSE = 2**14
_TOLERANCE = 1e-14
"""Relative accuracy of an eigenvalue; that of its state is this over the relative gap."""
_MAX_STEPS = 400


class Spectrum(NamedTuple):
    """Energies in ascending order and their states.

    Attributes:
        energies: (k,).
        states: (n_states, k), normalised columns in the order of `space.all_states()`. In a symmetry sector those that
            transform as psi_1 of it; or, unless they are expanded, (size, k) in the basis of the sector.
    """

    energies: Float[np.ndarray, "k"]
    states: Inexact[np.ndarray, "n_states k"]


def spectrum(operator: Operator, *, sector: Sector | None = None, expand: bool = True) -> Spectrum:
    """All eigenvalues and eigenvectors of a Hermitian operator, from its dense matrix.

    Args:
        operator: Hermitian operator.
        sector: only those of a symmetry sector; see `ground_state`.
        expand: whether states of a sector are written in the whole space.

    Raises:
        ValueError: if the operator is not Hermitian, the group of the sector is no symmetry of it, or there are more
            than 2^14 states, or none in the sector.
    """
    _check_hermitian(operator)
    basis = None if sector is None else _basis(operator, sector)
    name, n_states = ("space", operator.space.n_states) if basis is None else ("sector", basis.size)
    _checks.require(n_states <= _MAX_DENSE, name, f"have at most {_MAX_DENSE} states for a dense matrix", n_states)
    if basis is None:
        return Spectrum(*scipy.linalg.eigh(operator.to_dense()))
    return _expanded(Spectrum(*scipy.linalg.eigh(basis.matrix(operator).toarray())), basis, expand)


def ground_state(
    operator: Operator, k: int = 1, *, sector: Sector | None = None, expand: bool = True, matrix_free: bool = False
) -> Spectrum:
    """The k lowest eigenvalues and eigenvectors of a Hermitian operator.

    Small matrices are diagonalised in full; of larger ones the lowest state is found by Lanczos iterations, several by
    implicitly restarted ones (ARPACK), from a fixed start vector, so that the result is reproducible. Multiplets are
    complete.

    Args:
        operator: Hermitian operator.
        k: number of states, between 1 and n_states, or the size of the sector.
        sector: only states that transform as psi_1 of this symmetry sector (see `SectorBasis`). For a representation of
            dimension d each level occurs d times in the whole space, and once here.
        expand: whether states of a sector are written in the whole space; False saves the memory for that.
        matrix_free: compute the matrix elements anew in each iteration: slower, with the memory of some vectors. Not in
            a sector.

    Raises:
        ValueError: if the operator is not Hermitian, k is out of range, the space is too large for a matrix, the group
            of the sector is no symmetry of the operator, or the sector has no states.

    Example:
        >>> import manybody as mb
        >>> space, lattice = mb.hilbert.Spin(4), mb.lattice.chain(4)
        >>> mb.exact.ground_state(mb.hamiltonian.heisenberg(space, lattice), k=2).energies.round(8)
        array([-2., -1.])
    """
    _check_hermitian(operator)
    if sector is not None:
        _checks.require(not matrix_free, "matrix_free", "be False in a sector", matrix_free)
        basis = _basis(operator, sector)
        k = _checks.integer(k, "k", minimum=1, maximum=basis.size)
        return _expanded(_lowest_of(basis.matrix(operator), k), basis, expand)
    n_states = operator.space.n_states
    k = _checks.integer(k, "k", minimum=1, maximum=n_states)
    matrix_free = matrix_free and not _is_small(n_states, k)
    return _lowest_of(linear_operator(operator) if matrix_free else operator.to_sparse(), k)


def _basis(operator: Operator, sector: Sector) -> SectorBasis:
    basis = SectorBasis(operator.space, sector)
    _checks.require(basis.size > 0, "sector", f"have states in {operator.space}", f"{sector}, which has none")
    return basis


def _expanded(found: Spectrum, basis: SectorBasis, expand: bool) -> Spectrum:
    return found._replace(states=basis.expand(found.states)) if expand else found


def _is_small(n_states: int, k: int) -> bool:
    """Whether a dense matrix is the better choice."""
    return n_states < _DENSE_BELOW or k > n_states // 4


def _lowest_of(matrix: Matrix, k: int) -> Spectrum:
    """The k lowest states of a matrix."""
    if _is_small(matrix.shape[0], k):
        return Spectrum(*scipy.linalg.eigh(matrix.toarray(), subset_by_index=(0, k - 1)))
    with threads.single():
        return _lanczos(matrix, k)


def _check_hermitian(operator: Operator) -> None:
    _checks.require_type(operator, Operator, "operator")
    cure = "Its Hermitian part is (operator + operator.adjoint()) / 2."
    _checks.require(operator.is_hermitian, "operator", "be Hermitian", "one that is not known to be", cure)


def _lanczos(matrix: Matrix, k: int) -> Spectrum:
    """The k lowest states of a sparse matrix.

    A Krylov space holds one vector of each multiplet; its partners turn up by rounding, or do not. So what has been
    found is lifted to the top of the spectrum, and the lowest of the others asked for with another start vector, until
    it is none of the k lowest.
    """
    n_states = matrix.shape[0]
    rng = np.random.default_rng(0)
    if k == 1:
        return _lowest(matrix, rng.normal(size=n_states).astype(matrix.dtype))

    def lowest(operator: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
        start = rng.normal(size=n_states).astype(matrix.dtype)
        return scipy.sparse.linalg.eigsh(operator, n, which="SA", v0=start, tol=_TOLERANCE)

    energies, states = _ritz(matrix, lowest(matrix, k)[1])
    norm = _bound(matrix)
    while True:
        rest = scipy.sparse.linalg.LinearOperator(
            matrix.shape,
            lambda x, found=states: matrix @ x + found @ (2 * norm * (found.conj().T @ x)),
            dtype=matrix.dtype,
        )
        energy, state = lowest(rest, 1)
        if energy[0] >= energies[k - 1] - 10 * _TOLERANCE * norm:
            break
        energies, states = _ritz(matrix, np.concatenate([states, state], axis=1))
    return Spectrum(energies[:k], states[:, :k])


def _lowest(matrix: Matrix, start: np.ndarray) -> Spectrum:
    """The lowest state."""
    energy, state, converged = lowest_eigenvector(
        lambda x: matrix @ x, start, tolerance=_TOLERANCE, max_steps=_MAX_STEPS
    )
    if not converged:  # a tiny gap: restarts keep the Krylov space orthogonal for as long as it takes
        (energy,), state = scipy.sparse.linalg.eigsh(matrix, 1, which="SA", v0=state, tol=_TOLERANCE)
    return Spectrum(np.array([energy]), state.reshape(-1, 1))


def _bound(matrix: Matrix) -> float:
    """No eigenvalue is larger."""
    if isinstance(matrix, scipy.sparse.linalg.LinearOperator):
        start = np.random.default_rng(1).normal(size=matrix.shape[0])
        largest = scipy.sparse.linalg.eigsh(matrix, 1, which="LM", v0=start, tol=1e-2, return_eigenvectors=False)
        return 1.1 * float(abs(largest[0]))
    return float(abs(matrix).sum(axis=1).max())


def _ritz(matrix: Matrix, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies and orthonormal states that diagonalise the matrix within the span of some vectors (n_states, n)."""
    basis, _ = np.linalg.qr(vectors)
    energies, rotation = np.linalg.eigh(basis.conj().T @ (matrix @ basis))
    return energies, basis @ rotation
