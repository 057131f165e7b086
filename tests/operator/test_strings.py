# SPDX-License-Identifier: Apache-2.0
"""Pauli strings and fermionic products against Kronecker products."""

import itertools

import numpy as np
import pytest

from manybody.hilbert import Constrained, Fermion, Fock, Qubit, Spin
from manybody.operator import FermionOperator, PauliStrings, fermion
from manybody.operator.bits import _unique_rows
from tests.operator.jordan_wigner import annihilation, pauli, product

RNG = np.random.default_rng(1)


# --- Pauli strings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [pytest.param(Qubit(3), marks=pytest.mark.slow), Spin(3), Fermion(3)])
def test_every_string(space):
    for letters in itertools.product("IXYZ", repeat=3):
        string = "".join(letters)
        operator = PauliStrings(space, [string])
        np.testing.assert_allclose(operator.to_dense(), pauli(string), atol=1e-15)
        assert operator.is_real == (string.count("Y") % 2 == 0)
        assert operator.is_diagonal == (not set(string) & set("XY"))
        assert operator.is_hermitian


def test_sums_weights_and_forms():
    strings = {"XYZ": 0.5 - 1j, "ZZI": 2.0, "": 1.0, "Y2 X0": -0.3j}
    expected = (0.5 - 1j) * pauli("XYZ") + 2 * pauli("ZZI") + np.eye(8) - 0.3j * pauli("XIY")
    np.testing.assert_allclose(PauliStrings(Qubit(3), strings).to_dense(), expected, atol=1e-15)
    same = PauliStrings(Qubit(3), ["XYZ", "Z0 Z1", "III", "X0 Y2"], weights=list(strings.values()))
    np.testing.assert_allclose(same.to_dense(), expected, atol=1e-15)


def test_couplings_are_leaves():
    operator = PauliStrings(Qubit(2), ["ZZ", "XI"], couplings=[2.0, 3.0])
    np.testing.assert_array_equal(operator.couplings, [2.0, 3.0])
    other = operator.replace(couplings=np.array([1.0, -1.0]))
    np.testing.assert_allclose(other.to_dense(), pauli("ZZ") - pauli("XI"))


def test_more_than_one_word():
    operator = PauliStrings(Spin(70), ["X0 Z31 Y32 X69"])
    sigma = np.ones((1, 70), np.int8)
    sigma[0, [31, 32]] = -1
    connections = operator.connections(sigma)
    assert connections.sites[0, 0].tolist() == [0, 32, 69]
    assert connections.values[0, 0].tolist() == [-1, 1, -1]
    np.testing.assert_allclose(connections.elements, [[-1j]])  # <down|Y|up> = i, and Z is -1


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        (["XX"], r"letters I, X, Y, Z for all sites .* of 3 sites, got 'XX'"),
        (["XXA"], "got 'XXA'"),
        (["X0 X0"], "name a site once"),
        (["X3"], "0 <= site <= 2, got 3"),
    ],
)
def test_bad_strings(strings, message):
    with pytest.raises(ValueError, match=message):
        PauliStrings(Qubit(3), strings)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`weights` must have shape \(1,\)"):
        PauliStrings(Qubit(3), ["XXX"], weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="be left out"):
        PauliStrings(Qubit(1), {"X": 1.0}, weights=[1.0])
    with pytest.raises(ValueError, match=r"`couplings` must have shape \(1,\)"):
        PauliStrings(Qubit(3), ["XXX"], couplings=[1.0, 2.0])
    with pytest.raises(ValueError, match="have two levels on each site"):
        PauliStrings(Spin(3, s=1), ["XXX"])
    with pytest.raises(ValueError, match="stay within the sector"):
        PauliStrings(Spin(4, total_sz=0), ["XIII"])


# --- fermions ---------------------------------------------------------------------------------------------------------


def test_canonical_anticommutators():
    space = Fermion(3)
    c = [fermion.destroy(space, i) for i in range(3)]
    for i, j in itertools.product(range(3), repeat=2):
        np.testing.assert_allclose(c[i].to_dense(), annihilation(i, 3))
        anti = (c[i] @ c[j].adjoint() + c[j].adjoint() @ c[i]).to_dense()
        np.testing.assert_allclose(anti, np.eye(8) * (i == j), atol=1e-15)
        np.testing.assert_allclose((c[i] @ c[j] + c[j] @ c[i]).to_dense(), 0, atol=1e-15)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 6])
def test_random_products(length):
    n = 4
    for _ in range(20):
        factors = [(int(RNG.integers(n)), bool(RNG.integers(2))) for _ in range(length)]
        weight = complex(*RNG.normal(size=2))
        operator = FermionOperator(Fermion(n), [factors], weights=[weight])
        np.testing.assert_allclose(operator.to_dense(), weight * product(factors, n), atol=1e-14)


def test_sum_of_products_of_different_lengths():
    terms = {"0^ 1": 1.0, "1^ 0": 1.0, "2^ 2 1^ 1": 0.5j, "": -1.0}
    expected = product([(0, True), (1, False)], 3) + product([(1, True), (0, False)], 3) - np.eye(8)
    expected = expected + 0.5j * product([(2, True), (2, False), (1, True), (1, False)], 3)
    np.testing.assert_allclose(FermionOperator(Fermion(3), terms).to_dense(), expected, atol=1e-15)


def test_arrays_are_the_same_products():
    modes = RNG.integers(0, 5, (200, 4))
    weights = RNG.normal(size=200)
    fast = fermion.products(Fermion(5), modes, [True, True, False, False], weights)
    pattern = (True, True, False, False)
    slow = FermionOperator(Fermion(5), [list(zip(m.tolist(), pattern, strict=True)) for m in modes], weights)
    np.testing.assert_allclose(fast.to_dense(), slow.to_dense(), atol=1e-12)


def test_modes_of_components():
    space = Fermion(2, n_components=2)
    np.testing.assert_allclose(fermion.create(space, 1, component=1).to_dense(), annihilation(3, 4).T)
    np.testing.assert_allclose(
        fermion.number(space, 0, component=1).to_dense(), annihilation(2, 4).T @ annihilation(2, 4)
    )


def test_sector():
    space = Fermion(4, n_fermions=2)
    with pytest.raises(ValueError, match="stay within the sector"):
        fermion.create(space, 0)
    hop = FermionOperator(space, {"0^ 3": 1.0, "3^ 0": 1.0})
    full = product([(0, True), (3, False)], 4) + product([(3, True), (0, False)], 4)
    keep = Fermion(4).states_to_index(space.all_states())
    np.testing.assert_allclose(hop.to_dense(), full[np.ix_(keep, keep)])


def test_projection_on_a_sector():
    free, sector = Fermion(3), Fermion(3, n_fermions=1)
    both = FermionOperator(free, {"0^ 1": 2.0, "1^ 0": 2.0, "0": 1.0, "0^": 1.0})
    with pytest.raises(ValueError, match="or project it"):
        both.on(sector)
    keep = free.states_to_index(sector.all_states())
    np.testing.assert_allclose(both.on(sector, project=True).to_dense(), both.to_dense()[np.ix_(keep, keep)])


@pytest.mark.parametrize(
    ("terms", "message"),
    [(["0+ 1"], r'products like "2\^ 0"'), (["7"], "0 <= mode < 3"), ([((0, True, 1),)], "pairs"), ([5], "pairs")],
)
def test_bad_products(terms, message):
    with pytest.raises(ValueError, match=message):
        FermionOperator(Fermion(3), terms)


def test_bosons_are_no_modes():
    with pytest.raises(ValueError, match="have two levels on each site"):
        FermionOperator(Fock(3, n_max=2), ["0^ 1"])


# --- helpers ----------------------------------------------------------------------------------------------------------


def test_unique_rows():
    key = RNG.integers(0, 3, (500, 5)).astype(np.uint32)
    unique, inverse = _unique_rows(key)
    expected, which = np.unique(key, axis=0, return_inverse=True)
    np.testing.assert_array_equal(unique, expected)
    np.testing.assert_array_equal(inverse, which.ravel())


# --- constrained spaces -----------------------------------------------------------------------------------------------


def no_neighbours(sigma):
    return ~((sigma[:, :-1] == 1) & (sigma[:, 1:] == 1)).any(axis=-1)


def test_operators_on_a_constrained_space():
    free = Qubit(4)
    space = Constrained(free, no_neighbours)
    keep = free.states_to_index(space.all_states())
    flips = PauliStrings(free, ["X0", "X1", "X2", "X3"], couplings=[1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="or project it"):
        flips.on(space)
    projected = flips.on(space, project=True)
    np.testing.assert_allclose(projected.to_dense(), flips.to_dense()[np.ix_(keep, keep)])
    assert projected.is_hermitian
    other = 2 * projected - PauliStrings(space, ["ZIII"])
    expected = 2 * flips.to_dense() - pauli("ZIII")
    np.testing.assert_allclose(other.to_dense(), expected[np.ix_(keep, keep)])
    with pytest.raises(ValueError, match="Multiply on the unconstrained space"):
        projected @ projected
    assert projected != flips.on(free)
