# SPDX-License-Identifier: Apache-2.0
"""Symmetry sectors against dense diagonalisation of the whole space, and against energies of the literature."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.exact import SectorBasis, ground_state, orbits, spectrum
from manybody.exact import sector as exact_sector
from manybody.hamiltonian import bose_hubbard, heisenberg, holstein, hubbard, j1j2, rydberg, t_v
from manybody.hilbert import Blockade, Constrained, Fermion, Fock, Product, Qubit, Spin
from manybody.lattice import Lattice, chain, honeycomb, square, triangular
from manybody.operator import DiscreteOperator, permutation
from manybody.operator.spin import sx, sy, sz
from manybody.symmetry import Action, Permutation, PermutationGroup, Sector, action_on
from tests.cases import some_slow

ROWS = json.loads((Path(__file__).parent.parent / "data" / "energies.json").read_text(encoding="utf-8"))


def with_particle_hole(lattice: Lattice) -> PermutationGroup:
    """Isometries of a bipartite chain, and c_i -> (-1)^i c_i^dagger."""
    group, n = lattice.space_group(), lattice.n_sites
    exchange = Permutation(range(n), [(-1) ** i for i in range(n)], inverts=True)
    return PermutationGroup.generated([*(group[int(g)] for g in group.generators), exchange])


def spirals(n: int) -> DiscreteOperator:
    """A ring with D.(S x S): its matrix elements are complex, and reflections are no symmetries."""
    space, lattice = Spin(n, total_sz=0), chain(n)
    bonds = [(i, (i + 1) % n) for i in range(n)]
    terms = [(sx(Spin(n), i) @ sy(Spin(n), j) - sy(Spin(n), i) @ sx(Spin(n), j)) * 0.4 for i, j in bonds]
    return heisenberg(space, lattice) + sum(terms).on(space)


def blockaded(n: int) -> Constrained:
    return Constrained(Qubit(n), Blockade(tuple((i, (i + 1) % n) for i in range(n))))


def hopping(n: int) -> DiscreteOperator:
    """Exchange with permutations of all sites besides."""
    space, sites = Spin(n), np.arange(n)
    shift = permutation(space, ((sites + 1) % n).tolist())
    return heisenberg(space, chain(n)) + 0.3 * (shift + shift.adjoint())


def threefold(lattice: Lattice) -> PermutationGroup:
    """Translations and rotations by 120 degrees: momenta k and -k are not equivalent, so that matrices are complex."""
    group = lattice.space_group()
    turns = np.round(np.trace(group.rotations, axis1=1, axis2=2) * np.linalg.det(group.rotations), 6)
    return group.subgroup(np.flatnonzero(np.isin(turns, (2, -1))).tolist())


MANY_SECTORS = (
    "chain",
    "magnetised",
    "frustrated",
    "triangular",
    "honeycomb",
    "spin 1",
    "fermions, even",
    "fermions, any",
    "antiperiodic, odd",
    "electrons",
    "blockade",
    "phonons",
    "permutations",
)
"""Those that take long, and of which others have a part each; `electrons, turned over`, `threefold` and others stay."""
RING = chain(4, twist=np.pi)
SYSTEMS: dict[str, Callable[[], tuple[DiscreteOperator, PermutationGroup]]] = {
    "chain": lambda: (heisenberg(Spin(6), chain(6)), chain(6).space_group().with_inversion()),
    "magnetised": lambda: (heisenberg(Spin(8, total_sz=1), chain(8)), chain(8).translation_group()),
    "spirals": lambda: (spirals(6), chain(6).translation_group()),
    "frustrated": lambda: (j1j2(Spin(8, total_sz=0), square(4, 2)), square(4, 2).space_group().with_inversion()),
    "triangular": lambda: (heisenberg(Spin(9, total_sz=1 / 2), triangular(3)), triangular(3).space_group()),
    "threefold": lambda: (heisenberg(Spin(9, total_sz=5 / 2), triangular(3)), threefold(triangular(3))),
    "honeycomb": lambda: (heisenberg(Spin(8, total_sz=0), honeycomb(2)), honeycomb(2).space_group()),
    "spin 1": lambda: (heisenberg(Spin(4, s=1), chain(4)), chain(4).space_group().with_inversion()),
    "bosons": lambda: (bose_hubbard(Fock(6, n_max=2, n_particles=4), square(2, 3)), square(2, 3).space_group()),
    "fermions, odd": lambda: (t_v(Fermion(6, 3), chain(6)), chain(6).space_group()),
    "fermions, even": lambda: (t_v(Fermion(6, 2), chain(6)), chain(6).space_group()),
    "fermions, any": lambda: (t_v(Fermion(6), square(2, 3)), square(2, 3).space_group()),
    "antiperiodic, odd": lambda: (t_v(Fermion(5, 3), chain(5, twist=np.pi)), chain(5, twist=np.pi).space_group()),
    "antiperiodic, even": lambda: (t_v(Fermion(6, 2), chain(6, twist=np.pi)), chain(6, twist=np.pi).space_group()),
    "holes": lambda: (t_v(Fermion(4, 2), RING), with_particle_hole(RING)),
    "electrons": lambda: (
        hubbard(Fermion(6, n_per_component=(2, 1), n_components=2), square(2, 3)),
        square(2, 3).space_group(),
    ),
    "electrons, antiperiodic": lambda: (hubbard(Fermion(4, n_components=2), RING), RING.space_group()),
    "electrons, turned over": lambda: (
        hubbard(Fermion(4, n_per_component=(2, 2), n_components=2), chain(4)),
        chain(4).space_group().on_components(2, exchange=True),
    ),
    "blockade": lambda: (rydberg(blockaded(6), chain(6), reach=1.0), chain(6).space_group()),
    "phonons": lambda: (holstein(Product(Fermion(3, 2), Fock(3, 1)), chain(3)), chain(3).space_group()),
    "permutations": lambda: (hopping(6), chain(6).space_group()),
}
every_system = pytest.mark.parametrize("name", SYSTEMS)


@functools.cache
def system(name: str) -> tuple[DiscreteOperator, PermutationGroup]:
    return SYSTEMS[name]()


@functools.cache
def action_on_states(action: Action) -> tuple[np.ndarray, np.ndarray]:
    """Where every element moves every state, and with which sign, (n_states, order)."""
    sigma = jnp.asarray(action.space.all_states())
    images, signs = map(np.asarray, jax.jit(lambda x: (action.images(x), action.signs(x)))(sigma))
    return np.asarray(action.space.states_to_index(images)), signs


def transformed(action: Action, states: np.ndarray) -> list[np.ndarray]:
    """T_g psi of states (n_states, k) for all elements."""
    targets, signs = action_on_states(action)
    found = []
    for g in range(action.group.order):
        moved = np.empty_like(states)
        moved[targets[:, g]] = signs[:, g, None] * states
        found.append(moved)
    return found


@pytest.mark.parametrize("name", some_slow({name: name for name in SYSTEMS}, MANY_SECTORS))
def test_sectors_hold_the_spectrum_between_them(name: str) -> None:
    """Each level as often as the dimension of its representation says; with states that are right."""
    operator, group = system(name)
    action, dense = action_on(operator.space, group), operator.to_dense()
    levels = []
    for irrep in range(group.n_irreps):
        sector = Sector(group, irrep)
        basis, d = SectorBasis(operator.space, sector), sector.dimension
        if basis.size == 0:
            continue
        energies, states = spectrum(operator, sector=sector)
        levels.append(np.repeat(energies, d))
        assert np.iscomplexobj(states) == (np.iscomplexobj(dense) or not sector.is_real)
        np.testing.assert_allclose(states.conj().T @ states, np.eye(basis.size), rtol=0, atol=1e-10)
        np.testing.assert_allclose(dense @ states, states * energies, rtol=0, atol=1e-10)
        images = transformed(action, states)
        partners = [
            d / group.order * sum(c.conj() * x for c, x in zip(sector.matrices[:, a, 0], images, strict=True))
            for a in range(d)
        ]  # P_a1 psi_1 = psi_a
        np.testing.assert_allclose(partners[0], states, rtol=0, atol=1e-10)
        for g in group.generators:  # T_g psi_1 = sum_i psi_i D(g)_i1
            combined = sum(sector.matrices[g, a, 0] * partners[a] for a in range(d))
            np.testing.assert_allclose(images[g], combined, rtol=0, atol=1e-10)
        if d == 1:
            np.testing.assert_allclose(images[-1], sector.characters[-1] * states, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.sort(np.concatenate(levels)), np.linalg.eigvalsh(dense), rtol=0, atol=1e-10)


def test_the_systems_have_representations_of_every_kind() -> None:
    sectors = [Sector(group, k) for _, group in map(system, SYSTEMS) for k in range(group.n_irreps)]
    assert {s.dimension for s in sectors} >= {1, 2, 3, 4, 6}
    assert {s.dimension for s in sectors if not s.is_real} >= {1, 3}


@pytest.mark.parametrize("name", ["magnetised", "threefold", "bosons", "holes", "electrons", "blockade"])
def test_projection_is_the_adjoint_of_expansion(name: str) -> None:
    operator, group = system(name)
    rng = np.random.default_rng(0)
    states = rng.normal(size=(operator.space.n_states, 2)) + 1j * rng.normal(size=(operator.space.n_states, 2))
    total = np.zeros(2)
    for irrep in range(group.n_irreps):
        basis = SectorBasis(operator.space, Sector(group, irrep))
        inside = basis.project(states)
        vectors = rng.normal(size=(basis.size, 3))
        np.testing.assert_allclose(basis.project(basis.expand(vectors)), vectors, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            basis.expand(vectors).conj().T @ states, vectors.conj().T @ inside, rtol=0, atol=1e-10
        )
        if basis.sector.dimension == 1:
            total += np.linalg.norm(inside, axis=0) ** 2
    if group.is_abelian:
        np.testing.assert_allclose(total, np.linalg.norm(states, axis=0) ** 2, rtol=1e-12)


def test_representatives_are_the_first_of_their_orbits() -> None:
    space, group = Spin(6, total_sz=0), chain(6).translation_group()
    sigma = SectorBasis(space, Sector(group)).representatives
    np.testing.assert_array_equal(
        (1 - sigma) // 2, [[0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1], [0, 0, 1, 1, 0, 1], [0, 1, 0, 1, 0, 1]]
    )
    assert SectorBasis(space, Sector(group, momentum=[np.pi])).size == 4
    assert SectorBasis(space, Sector(group, momentum=[np.pi / 3])).size == 3  # not the Néel state
    numbers = np.asarray(space.states_to_index(sigma))
    assert np.all(np.diff(numbers) > 0)


@pytest.mark.parametrize("name", ["triangular", "electrons", "chain"])
def test_large_spaces_are_handled_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result as in one piece, but for zeros that are rounded in another way."""
    operator, group = system(name)
    sector = Sector(group, group.n_irreps - 1)
    whole = SectorBasis(operator.space, sector)
    expected = whole.matrix(operator).toarray(), whole.expand(np.eye(whole.size)), whole.representatives
    for module, sizes in (
        (orbits, {"_AT_ONCE": 8, "_STATES": 32, "_EARLY": 3, "_CHUNK": 4}),
        (exact_sector, {"_BLOCK": 50}),
    ):
        for size, value in sizes.items():
            monkeypatch.setattr(module, size, value)
    for table in (orbits.moves, orbits.representatives):
        table.cache_clear()
    pieces = SectorBasis(operator.space, sector)
    np.testing.assert_array_equal(pieces.representatives, expected[2])
    np.testing.assert_allclose(pieces.matrix(operator).toarray(), expected[0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(pieces.expand(np.eye(whole.size)), expected[1], rtol=0, atol=1e-13)
    for table in (orbits.moves, orbits.representatives):
        table.cache_clear()


def test_other_operators_in_the_basis() -> None:
    """Observables that are symmetric, and products of operators, which are not Hermitian."""
    lattice = square(4)
    space, free = Spin(16, total_sz=0), Spin(16)
    hamiltonian = heisenberg(space, lattice)
    stagger = (-1.0) ** lattice.positions.sum(axis=1)
    order = sum(float(stagger[i] * stagger[j]) * (sz(free, i) @ sz(free, j)) for i in range(16) for j in range(i)).on(
        space
    )
    sector = Sector(lattice.space_group())
    basis = SectorBasis(space, sector)
    state = ground_state(hamiltonian, sector=sector, expand=False).states
    whole = basis.expand(state)
    image = order.to_sparse() @ whole
    np.testing.assert_allclose(basis.expand(basis.matrix(order) @ state), image, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        basis.expand(basis.matrix(hamiltonian) @ basis.matrix(order) @ state),
        hamiltonian.to_sparse() @ image,
        rtol=0,
        atol=1e-10,
    )
    lopsided = Spin(6)
    ladder = sum(sx(lopsided, i) @ sz(lopsided, (i + 1) % 6) for i in range(6)) + 1j * sum(
        sy(lopsided, i) for i in range(6)
    )
    small = SectorBasis(lopsided, Sector(chain(6).translation_group(), momentum=[np.pi / 3]))
    states = small.expand(np.eye(small.size))
    np.testing.assert_allclose(
        small.matrix(ladder).toarray(), states.conj().T @ (ladder.to_sparse() @ states), rtol=0, atol=1e-12
    )


def test_large_sectors_are_solved_by_iterations() -> None:
    """The lowest levels of the sectors of a chain, against those of all; with several states and one."""
    lattice, space = chain(14), Spin(14, total_sz=0)
    operator = heisenberg(space, lattice)
    group = lattice.translation_group()
    lowest = ground_state(operator, k=4).energies
    found = []
    for momentum in lattice.momenta():
        sector = Sector(group, momentum=momentum)
        basis = SectorBasis(space, sector)
        assert 200 < basis.size < 300
        energies, states = ground_state(operator, 4, sector=sector)
        np.testing.assert_allclose(ground_state(operator, sector=sector).energies, energies[:1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(operator.to_sparse() @ states, states * energies, rtol=0, atol=1e-10)
        found.append(energies)
    np.testing.assert_allclose(np.sort(np.concatenate(found))[:4], lowest, rtol=0, atol=1e-10)
    with_all = Sector(chain(18).translation_group(), momentum=[np.pi])
    again = [ground_state(heisenberg(Spin(18, total_sz=0), chain(18)), 2, sector=with_all) for _ in range(2)]
    np.testing.assert_array_equal(again[0].states, again[1].states)
    assert again[0].states.shape == (48620, 2)
    small = ground_state(heisenberg(Spin(18, total_sz=0), chain(18)), 2, sector=with_all, expand=False)
    assert small.states.shape == (SectorBasis(Spin(18, total_sz=0), with_all).size, 2) == (2704, 2)
    np.testing.assert_array_equal(small.energies, again[0].energies)


# --- energies of the literature ---------------------------------------------------------------------------------------


def row(model: str, **params: float) -> float:
    (found,) = (r for r in ROWS if r["model"] == model and params.items() <= r["params"].items())
    return found["value"]


def chain_of_electrons(n: int, U: float) -> DiscreteOperator:
    return hubbard(Fermion(n, n_per_component=(n // 2, n // 2), n_components=2), chain(n), U=U)


LITERATURE: dict[str, tuple[float, Callable[[], DiscreteOperator], Lattice]] = {
    "Heisenberg chain 10": (
        row("Heisenberg chain", N=10),
        lambda: heisenberg(Spin(10, total_sz=0), chain(10)),
        chain(10),
    ),
    "Heisenberg chain 16": (
        row("Heisenberg chain", N=16, bc="P"),
        lambda: heisenberg(Spin(16, total_sz=0), chain(16)),
        chain(16),
    ),
    "Hubbard chain": (row("Hubbard chain6 PBC 3+3", U=2), lambda: chain_of_electrons(6, 2.0), chain(6)),
    "Hubbard chain, closed shell": (row("Hubbard chain4 PBC 2+2", U=4), lambda: chain_of_electrons(4, 4.0), chain(4)),
    "t-V chain, odd": (row("t-V chain PBC", L=8, N=3, V=2), lambda: t_v(Fermion(8, 3), chain(8), V=2.0), chain(8)),
    "t-V chain, even": (row("t-V chain PBC", L=8, N=4, V=4), lambda: t_v(Fermion(8, 4), chain(8), V=4.0), chain(8)),
    "Bose-Hubbard": (
        row("Bose-Hubbard square3x3 N=9", U=4, nmax=3),
        lambda: bose_hubbard(Fock(9, 3, n_particles=9), square(3), U=4.0),
        square(3),
    ),
}


@pytest.mark.parametrize(
    "name", some_slow({name: name for name in LITERATURE}, ["Bose-Hubbard", "Heisenberg chain 16", "t-V chain, odd"])
)
def test_the_lowest_of_all_sectors(name: str) -> None:
    expected, make, lattice = LITERATURE[name]
    operator, group = make(), lattice.space_group()
    found = []
    for irrep in range(group.n_irreps):
        if SectorBasis(operator.space, sector := Sector(group, irrep)).size:
            found += ground_state(operator, sector=sector, expand=False).energies.tolist()
    assert min(found) == pytest.approx(expected, rel=0, abs=1e-8)


@pytest.mark.slow
def test_square_of_sixteen_spins() -> None:
    """In the fully symmetric sector, even under inversion (H. J. Schulz et al., J. Phys. I 6, 675 (1996))."""
    lattice, space = square(4), Spin(16, total_sz=0)
    sector = Sector(lattice.space_group(), inversion=1)
    assert SectorBasis(space, sector).size == 107
    for J2, expected in ((0.0, -11.228483208428851), (0.5, row("J1-J2 square 4x4", J2=0.5))):
        energies, states = ground_state(operator := j1j2(space, lattice, J2=J2), sector=sector)
        assert energies[0] == pytest.approx(expected, rel=0, abs=1e-8)
        np.testing.assert_allclose(operator.to_sparse() @ states, energies * states, rtol=0, atol=1e-10)
    with pytest.raises(AssertionError):
        odd = ground_state(operator, sector=Sector(lattice.space_group(), inversion=-1)).energies[0]
        assert odd == pytest.approx(expected, rel=0, abs=1e-8)


def lowest_on_a_square(lattice: Lattice) -> float:
    """The ground state, where a factor -1 for each exchange of the sublattices belongs to odd numbers of pairs."""
    n, group = lattice.n_sites, lattice.space_group()
    assert group.order == 4 * n  # no reflections
    is_odd = n // 2 % 2 == 1
    characters = (1 - 2 * lattice.sublattices())[group.sites[:, 0]] if is_odd else np.ones(group.order)
    sector = Sector(group, characters, inversion=-1 if is_odd else 1)
    return ground_state(heisenberg(Spin(n, total_sz=0), lattice), sector=sector, expand=False).energies[0]


def test_tilted_square_of_ten_sites() -> None:
    lattice = square([[3, 1], [-1, 3]])
    expected = ground_state(heisenberg(Spin(10, total_sz=0), lattice)).energies[0]
    assert lowest_on_a_square(lattice) == pytest.approx(expected, rel=0, abs=1e-10)


def lowest_of_positive_states(lattice: Lattice) -> float:
    """With signs by Marshall's rule the ground state is positive everywhere, so in the fully symmetric sector."""
    operator = heisenberg(Spin(lattice.n_sites, total_sz=0), lattice, marshall=True)
    return ground_state(operator, sector=Sector(lattice.space_group(), inversion=1), expand=False).energies[0]


def test_the_fully_symmetric_sector_with_signs_by_the_rule() -> None:
    lattice = square([[3, 1], [-1, 3]])
    assert lowest_of_positive_states(lattice) == pytest.approx(lowest_on_a_square(lattice), rel=0, abs=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("lowest", [lowest_on_a_square, lowest_of_positive_states])
def test_tilted_square_of_26_sites(lowest: Callable[[Lattice], float]) -> None:
    """10 400 600 states, 50 691 of them in the sector; to the digits of QuSpin, there with a momentum and inversion."""
    assert lowest(square([[5, 1], [-1, 5]])) == pytest.approx(-17.7957557, rel=0, abs=1e-7)


# --- bad input --------------------------------------------------------------------------------------------------------

BITS = Spin(4, total_sz=0)
ISING = heisenberg(BITS, chain(4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ground_state(heisenberg(BITS, chain(4, periodic=False)), sector=Sector(chain(4).space_group())),
            ValueError,
            r"`sector` must belong to a group of symmetries of the operator, got one with Permutation\(sites=",
        ),
        (
            lambda: spectrum(ISING + sz(Spin(4), 0).on(BITS), sector=Sector(chain(4).space_group())),
            ValueError,
            "`sector` must belong to a group of symmetries",
        ),
        (
            lambda: ground_state(ISING, sector=Sector(chain(3).space_group())),
            ValueError,
            "`sector` must belong to a group that acts on 4 sites, or a fraction of them, got 3 sites",
        ),
        (
            lambda: ground_state(heisenberg(Spin(4, total_sz=2), chain(4)), sector=Sector(chain(4).space_group(), 1)),
            ValueError,
            "`sector` must have states in Spin",
        ),
        (
            lambda: ground_state(ISING, 3, sector=Sector(chain(4).space_group())),
            ValueError,
            "`k` must satisfy 1 <= k <= 2, got 3",
        ),
        (
            lambda: ground_state(ISING, sector=Sector(chain(4).space_group()), matrix_free=True),
            ValueError,
            "`matrix_free` must be False in a sector",
        ),
        (lambda: ground_state(ISING, sector=chain(4).space_group()), TypeError, "`sector` must be a Sector"),
        (
            lambda: SectorBasis(Spin(64), Sector(chain(64).translation_group())),
            ValueError,
            r"`space` must have a product of local dimensions below 2\^63 for symmetry sectors",
        ),
        (
            lambda: SectorBasis(BITS, Sector(chain(4).space_group())).matrix(heisenberg(Spin(4), chain(4))),
            ValueError,
            "`operator` must act on Spin",
        ),
        (
            lambda: SectorBasis(BITS, Sector(chain(4).space_group())).expand(np.ones(2)),
            ValueError,
            r"`vectors` must have shape \(2, k\)",
        ),
        (
            lambda: SectorBasis(Spin(4, total_sz=1), Sector(chain(4).space_group(), inversion=1)),
            ValueError,
            "`group` must not lead out of",
        ),
    ],
)
def test_bad_input(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
