# SPDX-License-Identifier: Apache-2.0
"""Exact energies: closed forms, and dense diagonalisation. Published numbers: `test_reference.py`."""

from __future__ import annotations

import numpy as np
import pytest

import manybody as mb
from manybody.exact import ground_state
from manybody.hamiltonian import heisenberg, ising
from manybody.hilbert import Spin
from manybody.lattice import chain, square, triangular
from manybody.operator import LocalOperator
from manybody.operator.spin import sp, spin_matrices, sx, sy, sz
from tests.cases import some_slow


@pytest.mark.parametrize("n", [6, 10])
@pytest.mark.parametrize("h", [0.3, 1.0, 1.7])
def test_ising_chain_is_free_fermions(n: int, h: float) -> None:
    """E = -sum over k = (2m + 1) pi / N of sqrt(1 + h^2 + 2 h cos k) (P. Pfeuty, Ann. Phys. 57, 79 (1970))."""
    k = (2 * np.arange(n) + 1) * np.pi / n
    expected = -np.sum(np.sqrt(1 + h**2 + 2 * h * np.cos(k)))
    assert ground_state(ising(Spin(n), chain(n), h=h)).energies[0] == pytest.approx(expected, rel=0, abs=1e-10)


def aklt(n: int):
    """The open AKLT chain, sum of S.S + (S.S)^2 / 3."""
    space = Spin(n, s=1)
    bond = sum(np.kron(m, m) for m in spin_matrices(3)).real
    terms = [((i, i + 1), bond + bond @ bond / 3) for i in range(n - 1)]
    return LocalOperator(space, terms)


@pytest.mark.parametrize("n", [4, 6, 7])
def test_open_aklt_chain_has_four_ground_states(n: int) -> None:
    """E = -2/3 for each bond; spins 1/2 at both ends: a singlet and a triplet (PRL 59, 799 (1987))."""
    operator = aklt(n)
    energies, states = ground_state(operator, k=5)
    np.testing.assert_allclose(energies[:4], -(n - 1) * 2 / 3, rtol=0, atol=1e-10)
    assert energies[4] > energies[0] + 0.1
    s_z = sum(sz(operator.space, site) for site in range(n)).to_dense().diagonal()
    within = states[:, :4].conj().T @ (s_z[:, None] * states[:, :4])
    np.testing.assert_allclose(np.linalg.eigvalsh(within), [-1, 0, 0, 1], atol=1e-9)


OPERATORS = {
    "two-sites": lambda: heisenberg(Spin(2), chain(2)),
    "heisenberg-10": lambda: heisenberg(Spin(10), chain(10)),  # singlets, triplets, quintets; sparse
    "ferromagnet-9": lambda: heisenberg(Spin(9), chain(9), J=-1.0),  # ten states at the bottom
    "frustrated-9": lambda: heisenberg(Spin(9), triangular(3, 3)),
    "frustrated-square-9": lambda: heisenberg(Spin(9), square(3)),
    "classical-9": lambda: ising(Spin(9), chain(9), h=0.0),
    "aklt-6": lambda: aklt(6),
    "complex-9": lambda: heisenberg(Spin(9), chain(9)) + sy(Spin(9), 0) @ sx(Spin(9), 1) + 0.3 * sy(Spin(9), 4),
    "complex-4": lambda: heisenberg(Spin(4), chain(4)) + sy(Spin(4), 0) @ sx(Spin(4), 1),
    "positive-9": lambda: 10.0 + heisenberg(Spin(9), chain(9)),
}


@pytest.mark.parametrize(
    "name",
    some_slow({name: name for name in OPERATORS}, ["heisenberg-10", "aklt-6", "frustrated-square-9", "positive-9"]),
)
def test_lowest_states_are_those_of_dense_diagonalisation(name: str) -> None:
    """For every k, multiplets in full: a Krylov space of one vector misses copies and says nothing."""
    operator = OPERATORS[name]()
    dense = operator.to_dense()
    expected = np.linalg.eigvalsh(dense)
    n_states = len(dense)
    for k in sorted({1, 2, 3, 4, 5, 7, 10, 16, 23, n_states - 1, n_states} & set(range(1, n_states + 1))):
        energies, states = ground_state(operator, k)
        assert energies.shape == (k,)
        assert states.shape == (n_states, k)
        assert np.iscomplexobj(states) == np.iscomplexobj(dense)
        np.testing.assert_allclose(energies, expected[:k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(dense @ states, states * energies, rtol=0, atol=1e-9)
        np.testing.assert_allclose(states.conj().T @ states, np.eye(k), rtol=0, atol=1e-12)


def test_same_result_again() -> None:
    operator = OPERATORS["heisenberg-10"]()
    first, second = (ground_state(operator, k=6) for _ in range(2))
    np.testing.assert_array_equal(first.energies, second.energies)
    np.testing.assert_array_equal(first.states, second.states)


def test_states_stand_in_the_order_of_the_space() -> None:
    """The singlet of two spins, and a field that leaves one configuration."""
    singlet = ground_state(heisenberg(Spin(2), chain(2))).states[:, 0]
    np.testing.assert_allclose(singlet / singlet[1], [0, 1, -1, 0], atol=1e-14)
    space = Spin(10, total_sz=2)
    field = sum((1.0 + i) * sz(space, i) for i in range(10))
    (energy,), states = ground_state(field)
    sigma = space.all_states()[np.argmax(np.abs(states[:, 0]))]
    np.testing.assert_array_equal(sigma, [1] * 7 + [-1] * 3)
    assert energy == pytest.approx(float(field.diagonal(sigma[None])[0]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ground_state(sp(Spin(2), 0)),
            ValueError,
            r"`operator` must be Hermitian.* operator.adjoint\(\)\) / 2",
        ),
        (lambda: ground_state(1j * sx(Spin(2), 0)), ValueError, "`operator` must be Hermitian"),
        (lambda: ground_state(np.eye(2)), TypeError, "`operator` must be a Operator"),
        (lambda: ground_state(sz(Spin(2), 0), k=0), ValueError, "`k` must satisfy 1 <= k <= 4, got 0"),
        (lambda: ground_state(sz(Spin(2), 0), k=5), ValueError, "`k` must satisfy 1 <= k <= 4, got 5"),
        (lambda: ground_state(sz(Spin(2), 0), k=1.0), TypeError, "`k` must be an integer"),
        (lambda: ground_state(sz(Spin(31), 0)), ValueError, r"`space` must have fewer than 2\^31 states"),
        (lambda: ground_state(sz(Spin(100), 0)), ValueError, r"`space` must have fewer than 2\^31 states"),
    ],
)
def test_bad_input(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_sectors_hold_the_spectrum_between_them() -> None:
    lattice = chain(6)
    free = np.linalg.eigvalsh(heisenberg(Spin(6), lattice).to_dense())
    parts = []
    for m in range(4):
        operator = heisenberg(Spin(6, total_sz=m), lattice)
        parts += [ground_state(operator, k=operator.space.n_states).energies] * (1 if m == 0 else 2)  # m and -m
    np.testing.assert_allclose(np.sort(np.concatenate(parts)), free, rtol=0, atol=1e-12)
    assert mb.exact.Spectrum._fields == ("energies", "states")
