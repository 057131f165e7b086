# SPDX-License-Identifier: Apache-2.0
"""Hopping on any lattice: bands in closed form, twists, images, and couplings of each bond and site at once."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import bose_hubbard, holstein, hubbard, ssh, t_j, t_v
from manybody.hilbert import Constrained, Fermion, Fock, NoDoubleOccupation, Product
from manybody.lattice import chain, cubic, from_networkx, honeycomb, kagome, square, triangular
from tests.operator.jordan_wigner import annihilation

C = functools.cache(annihilation)


def number(mode: int, n: int) -> np.ndarray:
    return C(mode, n).T @ C(mode, n)


def on_site(matrix: np.ndarray, site: int, dimensions) -> np.ndarray:
    return functools.reduce(np.kron, [matrix if s == site else np.eye(d) for s, d in enumerate(dimensions)])


def lower(d: int) -> np.ndarray:
    return np.diag(np.sqrt(np.arange(1.0, d)), 1)


# --- bands ------------------------------------------------------------------------------------------------------------


def momenta(lattice) -> np.ndarray:
    """k . a for each axis, with the twist spread over the cells, (n_cells, dim)."""
    axes = [(2 * np.pi * np.arange(n) + twist) / n for n, twist in zip(lattice.extent, lattice.twist, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def six(k) -> np.ndarray:
    """2 (cos k_1 + cos k_2 + cos(k_1 - k_2))."""
    return 2 * (np.cos(k[:, 0]) + np.cos(k[:, 1]) + np.cos(k[:, 0] - k[:, 1]))


def honeycomb_bands(k) -> np.ndarray:
    gap = np.sqrt(np.maximum(3 + six(k), 0))
    return np.concatenate([gap, -gap])


def kagome_bands(k) -> np.ndarray:
    gap = np.sqrt(np.maximum(3 + six(k), 0))
    return np.concatenate([np.full(len(k), 2.0), -1 - gap, -1 + gap])


BANDS = {
    "chain": (chain(5, twist=0.7), lambda k: -2 * np.cos(k[:, 0])),
    "antiperiodic": (chain(6, twist=math.pi), lambda k: -2 * np.cos(k[:, 0])),
    "square": (square(3, 4, twist=(0.3, -1.9)), lambda k: -2 * np.cos(k).sum(axis=1)),
    "square-2": (square(2, twist=(0.3, 0.5)), lambda k: -2 * np.cos(k).sum(axis=1)),
    "cubic": (cubic(2, 3, 2, twist=(0.1, 0.2, 0.3)), lambda k: -2 * np.cos(k).sum(axis=1)),
    "triangular": (triangular(3, 2, twist=(0.4, 1.1)), lambda k: -six(k)),
    "honeycomb": (honeycomb(2, 3, twist=(0.4, 1.1)), honeycomb_bands),
    "kagome": (kagome(2, 3, twist=(0.4, 1.1)), kagome_bands),
}


@pytest.mark.parametrize("name", BANDS)
def test_one_particle_has_the_bands_of_the_lattice(name: str) -> None:
    """A twist by theta moves all momenta by theta / L; also of the boson."""
    lattice, bands = BANDS[name]
    expected, n = np.sort(1.3 * bands(momenta(lattice))), lattice.n_sites
    fermions = t_v(Fermion(n, 1), lattice, t=1.3, V=7.0)
    bosons = bose_hubbard(Fock(n, n_max=1, n_particles=1), lattice, t=1.3)
    electrons = hubbard(Fermion(n, n_per_component=(0, 1), n_components=2), lattice, t=1.3)
    for operator in (fermions, bosons, electrons):
        np.testing.assert_allclose(mb.exact.spectrum(operator).energies, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["square", "triangular", "kagome"])
def test_free_fermions_fill_the_bands(name: str) -> None:
    lattice, bands = BANDS[name]
    energies, n = np.sort(bands(momenta(lattice))), lattice.n_sites
    ground = mb.exact.ground_state(t_v(Fermion(n, 3), lattice, V=0.0)).energies[0]
    assert ground == pytest.approx(energies[:3].sum(), abs=1e-10)
    electrons = Fermion(n, n_per_component=(2, 1), n_components=2)
    ground = mb.exact.ground_state(hubbard(electrons, lattice, U=0.0, mu=0.4)).energies[0]
    assert ground == pytest.approx(energies[:2].sum() + energies[0] - 3 * 0.4, abs=1e-10)


def test_free_bosons_condense() -> None:
    lattice, bands = BANDS["square-2"]
    ground = mb.exact.ground_state(bose_hubbard(Fock(4, n_max=3, n_particles=3), lattice, U=0.0, mu=-0.2)).energies[0]
    assert ground == pytest.approx(3 * bands(momenta(lattice)).min() + 0.6)


def test_a_full_turn_is_no_twist() -> None:
    space = Fermion(4, n_per_component=(2, 1), n_components=2)
    spectra = [mb.exact.spectrum(hubbard(space, chain(4, twist=x))).energies for x in (0, 2 * np.pi, 2.0)]
    np.testing.assert_allclose(spectra[0], spectra[1], atol=1e-12)
    assert np.abs(spectra[0] - spectra[2]).max() > 0.1


# --- everything at once -----------------------------------------------------------------------------------------------


FLUX = (0.3, -0.7)
"""Phases of hops over the boundaries of a 2 x 2 torus: from x = 1 to x = 0, and from y = 1 to y = 0."""
HOPS = [
    *[(0, 2, 1), (2, 0, np.exp(1j * FLUX[0])), (1, 3, 1), (3, 1, np.exp(1j * FLUX[0]))],
    *[(0, 1, 1), (1, 0, np.exp(1j * FLUX[1])), (2, 3, 1), (3, 2, np.exp(1j * FLUX[1]))],
]
"""(from, to, phase) of all eight, written out; site 2 x + y."""
PLACE = {(0, 2): (0, 1), (1, 3): (2, 3), (0, 1): (4, 5), (2, 3): (6, 7)}
"""Numbers in HOPS of the bonds between two sites, in the order of `bonds(images=True)`: first the one ahead."""
TORUS = square(2, twist=FLUX)
ORDER = [hop for pair in ((0, 1), (0, 2), (1, 3), (2, 3)) for hop in PLACE[pair]]
RNG = np.random.default_rng(1)
T, V = RNG.normal(size=(2, 8))
U, MU = RNG.normal(size=(2, 4))


def kinetic(lowers: list[np.ndarray]) -> np.ndarray:
    """-sum of T (phase c_to^dag c_from + h.c.) over the bonds of the torus."""
    total = np.zeros(lowers[0].shape, complex)
    for t, hop in zip(T, ORDER, strict=True):
        start, end, phase = HOPS[hop]
        one = phase * lowers[end].T @ lowers[start]
        total -= t * (one + one.conj().T)
    return total


def test_the_bonds_are_those_written_out() -> None:
    assert TORUS.bonds().tolist() == [sorted(HOPS[hop][:2]) for hop in ORDER]


def test_hubbard_with_everything() -> None:
    operator = hubbard(Fermion(4, n_components=2), TORUS, t=T, U=U, mu=MU)
    expected = sum(kinetic([C(i + shift, 8) for i in range(4)]) for shift in (0, 4))
    for i in range(4):
        up, down = number(i, 8), number(i + 4, 8)
        expected = expected + U[i] * up @ down - MU[i] * (up + down)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    assert operator.is_hermitian


def test_t_v_with_everything() -> None:
    expected = kinetic([C(i, 4) for i in range(4)])
    for v, hop in zip(V, ORDER, strict=True):
        expected = expected + v * number(HOPS[hop][0], 4) @ number(HOPS[hop][1], 4)
    np.testing.assert_allclose(t_v(Fermion(4), TORUS, t=T, V=V).to_dense(), expected, atol=1e-13)


@pytest.mark.parametrize("constrained", [pytest.param(True, marks=pytest.mark.slow), False])
def test_t_j_with_everything(constrained: bool) -> None:
    """On the full space the hops still avoid what the constraint forbids, and S and n act as ever."""
    free = Fermion(4, n_components=2)
    space = Constrained(free, NoDoubleOccupation(4)) if constrained else free
    operator = t_j(space, TORUS, t=T, J=V)
    up, down = ([C(i + shift, 8) for i in range(4)] for shift in (0, 4))
    hole_up, hole_down = ([c @ c.T for c in modes] for modes in (up, down))
    expected = kinetic([a @ h for a, h in zip(up, hole_down, strict=True)])
    expected = expected + kinetic([a @ h for a, h in zip(down, hole_up, strict=True)])
    for j, hop in zip(V, ORDER, strict=True):
        a, b = HOPS[hop][:2]
        raise_a, raise_b = (up[i].T @ down[i] for i in (a, b))
        flip = raise_a @ raise_b.T
        z, n = ([up[i].T @ up[i] + sign * down[i].T @ down[i] for i in (a, b)] for sign in (-1, 1))
        expected = expected + j * ((flip + flip.T) / 2 + z[0] @ z[1] / 4 - n[0] @ n[1] / 4)
    keep = free.states_to_index(space.all_states())
    np.testing.assert_allclose(operator.to_dense(), expected[np.ix_(keep, keep)], atol=1e-13)


def test_bose_hubbard_with_everything() -> None:
    """On the full space, in a sector, and where a constraint keeps a pair from being full."""
    dimensions = (3,) * 4
    b = [on_site(lower(3), i, dimensions) for i in range(4)]
    expected = kinetic(b)
    for i in range(4):
        n = np.rint(b[i].T @ b[i])
        expected = expected + U[i] / 2 * n @ (n - np.eye(81)) - MU[i] * n
    free = Fock(4, n_max=2)
    np.testing.assert_allclose(bose_hubbard(free, TORUS, t=T, U=U, mu=MU).to_dense(), expected, atol=1e-13)
    few = Constrained(free, lambda sigma: sigma.sum(axis=-1) <= 3)
    for space in (Fock(4, n_max=2, n_particles=3), few):
        keep = free.states_to_index(space.all_states())
        operator = bose_hubbard(space, TORUS, t=T, U=U, mu=MU)
        np.testing.assert_allclose(operator.to_dense(), expected[np.ix_(keep, keep)], atol=1e-13)


def test_a_graph_is_a_lattice_as_well() -> None:
    """Of any shape and without positions: the hopping matrix is minus the adjacency matrix."""
    graph = nx.petersen_graph()
    operator = t_v(Fermion(10, 1), from_networkx(graph), V=0.0)
    np.testing.assert_allclose(mb.exact.spectrum(operator).energies, [-3, *[-1] * 5, *[2] * 4], atol=1e-12)


@pytest.mark.parametrize("images", [False, True])
def test_images_double_the_bonds_of_two_sites(images: bool) -> None:
    lattice, factor = chain(2), 2 if images else 1
    ground = mb.exact.ground_state(
        hubbard(Fermion(2, n_per_component=(1, 1), n_components=2), lattice, U=3.0, images=images)
    ).energies[0]
    assert ground == pytest.approx((3 - math.sqrt(9 + 16 * factor**2)) / 2)
    boson = bose_hubbard(Fock(2, n_max=1, n_particles=1), lattice, images=images)
    assert mb.exact.ground_state(boson).energies[0] == pytest.approx(-factor)
    repulsion = t_v(Fermion(2, 2), lattice, V=1.5, images=images).to_dense()
    np.testing.assert_allclose(repulsion, [[1.5 * factor]])
    exchange = t_j(Fermion(2, n_per_component=(1, 1), n_components=2), lattice, t=0.0, J=0.8, images=images)
    assert mb.exact.ground_state(exchange).energies[0] == pytest.approx(-0.8 * factor)
    for make in (holstein, ssh):
        still = Product(Fermion(2, 1), Fock(2, n_max=1))
        coupling = {holstein: "g", ssh: "alpha"}[make]
        operator = make(still, lattice, t=1.0, omega=9.0, images=images, **{coupling: 0.0})
        assert mb.exact.ground_state(operator).energies[0] == pytest.approx(-factor)


@pytest.mark.slow
def test_nagaoka() -> None:
    """J = 0 and one hole on a square: -2 t with all spins parallel (Y. Nagaoka, Phys. Rev. 147, 392 (1966))."""
    square_of_four = square(2, periodic=False)
    energies = []
    for n_per_component in ((3, 0), (2, 1)):
        electrons = Fermion(4, n_per_component=n_per_component, n_components=2)
        space = Constrained(electrons, NoDoubleOccupation(4))
        energies.append(mb.exact.ground_state(t_j(space, square_of_four, J=0.0)).energies[0])
    np.testing.assert_allclose(energies, -2, atol=1e-12)


# --- phonons ----------------------------------------------------------------------------------------------------------


def ring_of_three(n_components: int) -> tuple:
    """A twisted ring with oscillators of two levels: lowering operators of modes, displacements, quanta."""
    modes = 3 * n_components
    dimensions = (2**modes, 2, 2, 2)
    c = [on_site(C(mode, modes), 0, dimensions) for mode in range(modes)]
    b = [on_site(lower(2), 1 + i, dimensions) for i in range(3)]
    space = Product(Fermion(3, n_components=n_components), Fock(3, n_max=1))
    return space, c, [x + x.T for x in b], sum(x.T @ x for x in b)


RING = [(0, 1, 1), (1, 2, 1), (2, 0, np.exp(0.9j))]
"""(from, to, phase) of a ring of three with the twist 0.9."""


def hop(c: list[np.ndarray], start: int, end: int, phase: complex) -> np.ndarray:
    """sum over components of phase c_end^dag c_start + h.c."""
    one = sum(phase * c[end + shift].T @ c[start + shift] for shift in range(0, len(c), 3))
    return one + one.conj().T


@pytest.mark.parametrize("n_components", [1, 2])
def test_holstein_on_a_twisted_ring(n_components: int) -> None:
    space, c, x, quanta = ring_of_three(n_components)
    expected = -1.2 * sum(hop(c, *bond) for bond in RING) + 0.9 * quanta
    for i in range(3):
        expected = expected + 0.4 * sum(c[m].T @ c[m] for m in range(i, len(c), 3)) @ x[i]
    operator = holstein(space, chain(3, twist=0.9), t=1.2, omega=0.9, g=0.4)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    assert operator.is_hermitian


@pytest.mark.parametrize("n_components", [1, 2])
def test_ssh_on_a_twisted_ring(n_components: int) -> None:
    """Each bond is stretched by x of its end minus x of its beginning, also that across the boundary."""
    space, c, x, quanta = ring_of_three(n_components)
    expected = 0.9 * quanta
    for start, end, phase in RING:
        stretch = np.eye(len(quanta)) * 1.2 - 0.3 * (x[end] - x[start])
        expected = expected - stretch @ hop(c, start, end, phase)
    operator = ssh(space, chain(3, twist=0.9), t=1.2, omega=0.9, alpha=0.3)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    assert operator.is_hermitian


@pytest.mark.parametrize("make", [holstein, ssh])
def test_phonons_on_a_ring_are_invariant_under_translations(make) -> None:
    """Of one electron, whose translation has no sign."""
    space = Product(Fermion(4, 1), Fock(4, n_max=1))
    matrix = make(space, chain(4)).to_dense()
    states = space.all_states()
    image = space.states_to_index(np.concatenate([np.roll(states[:, :4], 1, 1), np.roll(states[:, 4:], 1, 1)], axis=1))
    np.testing.assert_allclose(matrix[np.ix_(image, image)], matrix, atol=1e-13)


# --- traced couplings -------------------------------------------------------------------------------------------------


ELECTRONS = Fermion(3, n_components=2)
TRACED = {
    "hubbard": (lambda x: hubbard(ELECTRONS, chain(3), t=x, U=2 * x, mu=-x), ELECTRONS),
    "hubbard, orders": (
        lambda x: hubbard(Fermion(4, n_components=2), chain(4), t=[x, 0.5]),
        Fermion(4, n_components=2),
    ),
    "hubbard, arrays": (lambda x: hubbard(ELECTRONS, chain(3), t=x * np.ones(3), mu=x * np.arange(3.0)), ELECTRONS),
    "t_v": (lambda x: t_v(Fermion(3), chain(3), t=x, V=-x), Fermion(3)),
    "t_j": (lambda x: t_j(ELECTRONS, chain(3), t=x, J=-x), ELECTRONS),
    "bose_hubbard": (lambda x: bose_hubbard(Fock(3, n_max=2), chain(3), t=x, U=2 * x, mu=x), Fock(3, n_max=2)),
    "holstein": (
        lambda x: holstein(Product(Fermion(3), Fock(3, n_max=1)), chain(3), t=x, omega=2 * x, g=-x),
        Product(Fermion(3), Fock(3, n_max=1)),
    ),
    "ssh": (
        lambda x: ssh(Product(Fermion(3), Fock(3, n_max=1)), chain(3), t=x, omega=2 * x, alpha=-x),
        Product(Fermion(3), Fock(3, n_max=1)),
    ),
}


@pytest.mark.parametrize("name", TRACED)
def test_couplings_are_leaves(name: str) -> None:
    """Another value needs no compilation, and a traced one gives the same."""
    make, space = TRACED[name]
    sigma, traces = jnp.asarray(space.all_states()), []

    @jax.jit
    def squares(operator):
        traces.append(None)
        return (operator.diagonal(sigma) ** 2).sum() + (operator.elements(sigma) ** 2).sum()

    values = [squares(make(x).compile()) for x in (0.7, -1.3)]
    assert len(traces) == 1
    assert abs(values[0] - values[1]) > 0.1
    np.testing.assert_allclose(jax.jit(lambda x: squares(make(x).compile()))(-1.3), values[1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hubbard(ELECTRONS, chain(3), t=1j),
            TypeError,
            "`t` must be real, got 1j. Phases are those of a twiste",
        ),
        (lambda: hubbard(ELECTRONS, chain(3), t=np.array([1j, 0, 0])), TypeError, "`t` must be real"),
        (lambda: hubbard(ELECTRONS, chain(3), U="4"), TypeError, "`U` must be real"),
        (
            lambda: hubbard(ELECTRONS, chain(3), mu=[1.0, 2.0]),
            ValueError,
            "`mu` must be one number, or 3 for the sites",
        ),
        (lambda: hubbard(ELECTRONS, chain(3), t=[]), ValueError, "`t` must name at least one amplitude"),
        (lambda: hubbard(ELECTRONS, chain(3), t=[1.0, 2.0]), ValueError, "`order` must be at most 1"),
        (lambda: t_j(ELECTRONS, chain(3), J=np.ones(2)), ValueError, "`J` must be one number, or 3 for the bonds"),
        (lambda: bose_hubbard(Constrained(ELECTRONS, NoDoubleOccupation(3)), chain(3)), TypeError, "must be a Fock"),
    ],
)
def test_what_does_not_fit(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
