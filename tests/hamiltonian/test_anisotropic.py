# SPDX-License-Identifier: Apache-2.0
"""Kitaev, Dzyaloshinskii-Moriya and biquadratic couplings against Kronecker products and closed forms."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import aklt, bilinear_biquadratic, dzyaloshinskii_moriya, heisenberg, kitaev, xxz
from manybody.hilbert import Qubit, Spin
from manybody.lattice import chain, from_networkx, honeycomb, square, triangular
from tests.hamiltonian.test_spins import at, spin
from tests.operator.kronecker import legal_states

# --- Kitaev -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("s", "lattice"), [(0.5, honeycomb(2)), (0.5, honeycomb(1, 2)), (1, honeycomb(1, 2))])
def test_kitaev(s: float, lattice) -> None:
    expected, K = 0.0, (0.7, -1.1, 0.4)
    for a, axis in enumerate("xyz"):
        matrix = spin(round(2 * s) + 1)[a]
        for i, j in lattice.bonds(kind=axis).tolist():
            expected = expected + K[a] * at(lattice.n_sites, {i: matrix, j: matrix})
    space = Spin(lattice.n_sites, s)
    for couplings in (K, list(K), np.array(K)):
        np.testing.assert_allclose(kitaev(space, lattice, K=couplings).to_dense(), expected, atol=1e-13)
    assert kitaev(space, lattice).is_hermitian
    assert kitaev(space, lattice).is_real
    np.testing.assert_allclose(
        kitaev(space, lattice, K=2.0).to_dense(), 2 * kitaev(space, lattice, K=(1, 1, 1)).to_dense(), atol=1e-13
    )


def test_two_sites_of_the_kitaev_model_are_a_heisenberg_bond() -> None:
    """One cell of the honeycomb: its two sites are joined by one bond of each kind."""
    np.testing.assert_allclose(
        kitaev(Spin(2), honeycomb(1)).to_dense(), heisenberg(Spin(2), chain(2)).to_dense(), atol=1e-14
    )


def test_fluxes_of_the_kitaev_model_are_conserved() -> None:
    """W_p: round a hexagon the product of sigma along the bond that leads away (A. Kitaev, eq. 5)."""
    lattice = honeycomb(2)
    hamiltonian = kitaev(Spin(8), lattice, K=(0.7, -1.1, 0.4)).to_dense()
    all_bonds = lattice.bonds(images=True).tolist()
    kind = {}
    for a, axis in enumerate("xyz"):
        for pair, vector in zip(lattice.bonds(kind=axis).tolist(), lattice.bond_vectors(kind=axis), strict=True):
            kind[(*pair, *np.round(vector, 6))] = a
    vectors = np.round(lattice.bond_vectors(images=True), 6)
    axis_of = [kind[(*pair, *vector)] for pair, vector in zip(all_bonds, vectors, strict=True)]
    for plaquette in lattice.plaquettes():
        within = {site: set() for site in plaquette.sites.tolist()}
        for bond in plaquette.bonds.tolist():
            for site in all_bonds[bond]:
                within[site].add(axis_of[bond])
        outward = {site: 2 * spin(2)[({0, 1, 2} - axes).pop()] for site, axes in within.items()}
        flux = at(8, outward)
        np.testing.assert_allclose(flux @ flux, np.eye(256), atol=1e-12)
        np.testing.assert_allclose(flux @ hamiltonian, hamiltonian @ flux, atol=1e-12)


# --- Dzyaloshinskii-Moriya --------------------------------------------------------------------------------------------


def cross(n: int, i: int, j: int, D, s: float = 0.5) -> np.ndarray:
    """D . (S_i x S_j), component by component."""
    x, y, z = spin(round(2 * s) + 1)
    pairs = ((y, z), (z, x), (x, y))
    return sum(d * (at(n, {i: a, j: b}) - at(n, {i: b, j: a})) for d, (a, b) in zip(D, pairs, strict=True))


DIRECTED = {
    "ring": (chain(4), [(0, 1), (1, 2), (2, 3), (3, 0)]),
    "open": (chain(4, periodic=False), [(0, 1), (1, 2), (2, 3)]),
    "square": (square(2, 3), [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)]),
    "graph": (from_networkx(nx.cycle_graph(4)), [(0, 1), (0, 3), (1, 2), (2, 3)]),
}
"""Bonds in the direction in which they count: along the axes, also across the boundary."""


@pytest.mark.parametrize("name", DIRECTED)
@pytest.mark.parametrize("D", [(0.0, 0.0, 1.0), (0.3, -0.7, 1.1)])
def test_dzyaloshinskii_moriya(name: str, D: tuple) -> None:
    lattice, bonds = DIRECTED[name]
    n = lattice.n_sites
    expected = sum(cross(n, i, j, D) for i, j in bonds)
    for given in (D, np.array(D)):
        operator = dzyaloshinskii_moriya(Spin(n), lattice, D=given)
        np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
        assert operator.is_hermitian


def test_vectors_of_bonds_kinds_and_images() -> None:
    lattice = chain(4)
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    direction = {(0, 1): 1, (0, 3): -1, (1, 2): 1, (2, 3): 1}
    expected = sum(
        direction[tuple(b)] * cross(4, *b, v) for b, v in zip(lattice.bonds().tolist(), vectors, strict=True)
    )
    for given in (vectors, vectors.tolist()):
        np.testing.assert_allclose(dzyaloshinskii_moriya(Spin(4), lattice, D=given).to_dense(), expected, atol=1e-13)
    along_y = dzyaloshinskii_moriya(Spin(4), square(2, periodic=False), kind="y")
    np.testing.assert_allclose(along_y.to_dense(), cross(4, 0, 1, (0, 0, 1)) + cross(4, 2, 3, (0, 0, 1)), atol=1e-13)
    two = dzyaloshinskii_moriya(Spin(2), chain(2))
    np.testing.assert_allclose(two.to_dense(), cross(2, 0, 1, (0, 0, 1)), atol=1e-13)
    there_and_back = dzyaloshinskii_moriya(Spin(2), chain(2), images=True)
    np.testing.assert_allclose(there_and_back.to_dense(), 0, atol=1e-13)


@pytest.mark.parametrize("s", [0.5, 1])
def test_along_z_the_magnetisation_is_conserved(s: float) -> None:
    """So that there are sectors, although the couplings along x and y, if they were not zero, would leave them."""
    space = Spin(4, s, total_sz=1)
    keep = legal_states(space)
    expected = sum(cross(4, i, j, (0, 0, 0.7), s) for i, j in DIRECTED["ring"][1])[np.ix_(keep, keep)]
    np.testing.assert_allclose(dzyaloshinskii_moriya(space, chain(4), D=(0, 0, 0.7)).to_dense(), expected, atol=1e-13)
    with pytest.raises(ValueError, match="stay within the sector"):
        dzyaloshinskii_moriya(space, chain(4), D=(0.1, 0, 0.7))


def test_on_an_open_chain_it_is_rotated_away() -> None:
    """J (XX + YY) + D (X x Y) has the spectrum of sqrt(J^2 + D^2) (XX + YY): site i turned by i arctan(D / J)."""
    lattice, space = chain(6, periodic=False), Spin(6)
    twisted = xxz(space, lattice, J=0.8, Delta=0.5) + dzyaloshinskii_moriya(space, lattice, D=(0, 0, 0.6))
    plain = xxz(space, lattice, J=1.0, Delta=0.4)
    np.testing.assert_allclose(*(np.linalg.eigvalsh(op.to_dense()) for op in (twisted, plain)), atol=1e-12)


def test_it_is_invariant_under_translations_and_odd_under_reflection() -> None:
    lattice = triangular(2, 3)
    space = Spin(6)
    matrix = dzyaloshinskii_moriya(space, lattice, D=(0.3, -0.7, 1.1), images=True).to_dense()
    states = space.all_states()
    for moved in lattice.translations():
        image = space.states_to_index(states[:, np.argsort(moved)])
        np.testing.assert_allclose(matrix[np.ix_(image, image)], matrix, atol=1e-13)
    ring = dzyaloshinskii_moriya(Spin(5), chain(5)).to_dense()
    back = Spin(5).states_to_index(Spin(5).all_states()[:, ::-1])
    np.testing.assert_allclose(ring[np.ix_(back, back)], -ring, atol=1e-13)


# --- bilinear and biquadratic -----------------------------------------------------------------------------------------


def exchange(n: int, i: int, j: int, s: float) -> np.ndarray:
    return sum(at(n, {i: m, j: m}) for m in spin(round(2 * s) + 1))


@pytest.mark.parametrize(("s", "images"), [(0.5, False), (1, False), (1, True), (1.5, False)])
def test_bilinear_biquadratic(s: float, images: bool) -> None:
    lattice = chain(2) if s == 1.5 else chain(3) if s == 1 and not images else square(2, 1)
    n = lattice.n_sites
    products = [exchange(n, i, j, s) for i, j in lattice.bonds(images=images).tolist()]
    expected = sum(0.7 * p - 0.4 * p @ p for p in products)
    operator = bilinear_biquadratic(Spin(n, s), lattice, J=0.7, K=-0.4, images=images)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-12)
    assert operator.is_hermitian
    assert operator.is_real


def test_equal_couplings_exchange_spins_1() -> None:
    """S . S + (S . S)^2 = P + 1 with the transposition P: SU(3) symmetry."""
    space, lattice = Spin(4, s=1), chain(4)
    states = space.all_states()
    expected = 4 * np.eye(81)
    for i, j in lattice.bonds().tolist():
        swapped = states.copy()
        swapped[:, [i, j]] = states[:, [j, i]]
        expected[space.states_to_index(swapped), np.arange(81)] += 1
    np.testing.assert_allclose(bilinear_biquadratic(space, lattice, J=1.0, K=1.0).to_dense(), expected, atol=1e-12)


def test_of_spins_1_2_the_square_is_linear() -> None:
    """(S . S)^2 = 3/16 - S . S / 2."""
    quadratic = bilinear_biquadratic(Spin(4), chain(4), J=0.5, K=1.0)
    np.testing.assert_allclose(quadratic.to_dense(), 4 * 3 / 16 * np.eye(16), atol=1e-13)


@pytest.mark.parametrize("n", [2, 5, 7])
def test_open_aklt_chain(n: int) -> None:
    """-2/3 for each bond; the free spins 1/2 at the ends make four states: total S^z is -1, 0, 0, 1 among them."""
    energies = []
    for total_sz in (0, 1, 2):
        operator = aklt(Spin(n, s=1, total_sz=total_sz), chain(n, periodic=False))
        energies.append(mb.exact.ground_state(operator, k=2).energies if operator.space.n_states > 1 else [np.inf])
    np.testing.assert_allclose([*energies[0], energies[1][0]], -2 / 3 * (n - 1), atol=1e-10)
    above = -2 / 3 * (n - 1) + 0.1
    assert energies[1][1] > above
    assert energies[2][0] > above


def test_aklt_ring_has_one_ground_state() -> None:
    energies = mb.exact.ground_state(aklt(Spin(6, s=1, total_sz=0), chain(6)), k=2).energies
    assert energies[0] == pytest.approx(-4, abs=1e-10)
    assert energies[1] > -3.8


# --- all of them ------------------------------------------------------------------------------------------------------


MODELS = {
    "kitaev": (lambda x: kitaev(Spin(4), honeycomb(1, 2), K=(x, 0.3, -x)), Spin(4)),
    "kitaev, one": (lambda x: kitaev(Spin(4), honeycomb(1, 2), K=x), Spin(4)),
    "dzyaloshinskii_moriya": (lambda x: dzyaloshinskii_moriya(Spin(4), chain(4), D=(0.1, x, 2 * x)), Spin(4)),
    "of bonds": (lambda x: dzyaloshinskii_moriya(Spin(4), chain(4), D=[[x, x, 1.0]] * 4), Spin(4)),
    "biquadratic": (lambda x: bilinear_biquadratic(Spin(3, s=1), chain(3), J=x, K=1 - x), Spin(3, s=1)),
}


@pytest.mark.parametrize("name", MODELS)
def test_couplings_are_leaves(name: str) -> None:
    """The values change without another compilation, and may be traced."""
    make, space = MODELS[name]
    sigma, traces = jnp.asarray(space.all_states()), []

    @jax.jit
    def squares(operator):
        traces.append(None)
        return (abs(operator.diagonal(sigma)) ** 2).sum() + (abs(operator.elements(sigma)) ** 2).sum()

    values = [squares(make(x).compile()) for x in (0.7, -1.3)]
    assert len(traces) == 1
    assert abs(values[0] - values[1]) > 0.1
    traced = jax.jit(lambda x: squares(make(x).compile()))
    np.testing.assert_allclose([traced(0.7), traced(-1.3)], values)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kitaev(Spin(4), chain(4)), ValueError, 'bonds of the kinds "x", "y" and "z"'),
        (lambda: kitaev(Spin(8), honeycomb(2), K=(1.0, 2.0)), ValueError, "`K` must be one number, or three"),
        (lambda: kitaev(Spin(8), honeycomb(2), K=1j), TypeError, "`K` must be real"),
        (lambda: kitaev(Spin(8), honeycomb(2, twist=0.1)), ValueError, "no twisted boundary"),
        (
            lambda: dzyaloshinskii_moriya(Spin(4), chain(4), D=1.0),
            ValueError,
            r"`D` must have shape \(3,\) or \(4, 3\)",
        ),
        (lambda: dzyaloshinskii_moriya(Spin(4), chain(4), D=np.ones((3, 3))), ValueError, r"got \(3, 3\)"),
        (lambda: dzyaloshinskii_moriya(Spin(4), chain(4), kind="y"), ValueError, "`kind` must be one of 'x'"),
        (lambda: aklt(Spin(4), chain(4)), ValueError, "have spins 1, i.e. three levels"),
        (lambda: bilinear_biquadratic(Spin(4), chain(5)), ValueError, "`space` must have 5 sites"),
    ],
)
def test_what_does_not_fit(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_spins_and_qubits_agree() -> None:
    pairs = itertools.product((Spin(4), Qubit(4)), (chain(4),))
    one, other = (dzyaloshinskii_moriya(space, lattice, D=(0.3, 0.2, 0.1)).to_dense() for space, lattice in pairs)
    np.testing.assert_array_equal(one, other)
