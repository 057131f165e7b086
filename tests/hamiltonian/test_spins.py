# SPDX-License-Identifier: Apache-2.0
"""Spin Hamiltonians against their textbook formulas, written out with Kronecker products."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import bilinear_biquadratic, heisenberg, ising, j1j2, marshall, xxz
from manybody.hilbert import Qubit, Spin
from manybody.lattice import chain, honeycomb, rectangle, square, triangular
from manybody.operator.spin import sx, sy, sz
from tests.operator.kronecker import legal_states

LATTICES = {
    "chain-6": chain(6),
    "chain-5": chain(5),
    "open-chain-4": chain(4, periodic=False),
    "chain-2": chain(2),
    "square-2x2": square(2),
    "square-2x3": square(2, 3),
    "honeycomb-1x2": honeycomb(1, 2),
}


@functools.cache
def spin(dimension: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S^x, S^y, S^z with the ladder formula <m+1|S^+|m> = sqrt(s(s+1) - m(m+1)), from +s down to -s."""
    s = (dimension - 1) / 2
    raising = np.zeros((dimension, dimension))
    for row in range(dimension - 1):
        m = s - row - 1
        raising[row, row + 1] = np.sqrt(s * (s + 1) - m * (m + 1))
    return (raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag([s - row for row in range(dimension)])


def at(n_sites: int, matrices: dict[int, np.ndarray]) -> np.ndarray:
    """Kronecker product with `matrices` on some sites."""
    dimension = len(next(iter(matrices.values())))
    return functools.reduce(np.kron, [matrices.get(site, np.eye(dimension)) for site in range(n_sites)])


def textbook_xxz(dimension: int, lattice, couplings: list[tuple[float, float]], images: bool = False) -> np.ndarray:
    """Sum over orders of J (Sx Sx + Sy Sy) + J_z Sz Sz."""
    x, y, z = spin(dimension)
    total = 0
    for order, (J, J_z) in enumerate(couplings, start=1):
        for i, j in lattice.bonds(order, images=images).tolist():
            pair = [at(lattice.n_sites, {i: m, j: m}) for m in (x, y, z)]
            total = total + J * (pair[0] + pair[1]) + J_z * pair[2]
    return total


def textbook_ising(lattice, J: float, h: float) -> np.ndarray:
    x, _, z = (2 * m for m in spin(2))
    bonds = sum(at(lattice.n_sites, {i: z, j: z}) for i, j in lattice.bonds().tolist())
    return -J * bonds - h * sum(at(lattice.n_sites, {i: x}) for i in range(lattice.n_sites))


def assert_is(operator, matrix: np.ndarray) -> None:
    np.testing.assert_allclose(operator.to_dense(), matrix, rtol=0, atol=1e-13)
    assert operator.is_hermitian
    assert operator.is_real


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("make", [Spin, Qubit])
def test_ising(lattice, make) -> None:
    space = make(lattice.n_sites)
    assert_is(ising(space, lattice, J=0.7, h=-1.3), textbook_ising(lattice, 0.7, -1.3))
    assert ising(space, lattice) == ising(space, lattice, J=1.0, h=1.0)


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_heisenberg_and_xxz(lattice) -> None:
    space = Spin(lattice.n_sites)
    assert_is(heisenberg(space, lattice, J=0.7), textbook_xxz(2, lattice, [(0.7, 0.7)]))
    assert_is(xxz(space, lattice, J=0.7, Delta=-0.4), textbook_xxz(2, lattice, [(0.7, -0.28)]))
    assert heisenberg(space, lattice) == heisenberg(space, lattice, J=1.0)
    assert xxz(space, lattice) == heisenberg(space, lattice)


@pytest.mark.parametrize("name", ["chain-6", "square-2x2", "honeycomb-1x2"])
def test_several_orders(name: str) -> None:
    lattice = LATTICES[name]
    space = Spin(lattice.n_sites)
    assert_is(j1j2(space, lattice, J1=0.7, J2=0.3), textbook_xxz(2, lattice, [(0.7, 0.7), (0.3, 0.3)]))
    assert j1j2(space, lattice) == heisenberg(space, lattice, J=(1.0, 0.5))
    both = textbook_xxz(2, lattice, [(0.7, 1.4), (0.3, 0.6)])
    assert_is(xxz(space, lattice, J=(0.7, 0.3), Delta=2.0), both)
    assert_is(xxz(space, lattice, J=[0.7, 0.3], Delta=2.0), both)
    assert_is(xxz(space, lattice, J=np.array([0.7, 0.3]), Delta=np.array(2.0)), both)
    assert_is(xxz(space, lattice, J=jnp.array([0.7, 0.3]), Delta=jnp.array(2.0)), both)
    assert_is(heisenberg(space, lattice, J=(0.7,)), textbook_xxz(2, lattice, [(0.7, 0.7)]))


@pytest.mark.parametrize("lattice", [chain(2), square(2), square(2, 3)], ids=["chain-2", "square-2x2", "square-2x3"])
def test_images_double_the_bonds_round_a_ring_of_two(lattice) -> None:
    space = Spin(lattice.n_sites)
    doubled = textbook_xxz(2, lattice, [(1.0, 0.5)], images=True)
    assert_is(xxz(space, lattice, Delta=0.5, images=True), doubled)
    assert not np.allclose(doubled, xxz(space, lattice, Delta=0.5).to_dense())
    assert heisenberg(space, lattice, images=True) == xxz(space, lattice, images=True)
    assert heisenberg(space, lattice, images=True) != heisenberg(space, lattice)
    if lattice.n_shells > 1:
        assert_is(
            j1j2(space, lattice, J2=0.3, images=True), textbook_xxz(2, lattice, [(1.0, 1.0), (0.3, 0.3)], images=True)
        )


@pytest.mark.parametrize(("s", "total_sz"), [(1, None), (1, 1), (0.5, 0), (1.5, 0)])
def test_spins_of_any_length_and_sectors(s: float, total_sz: float | None) -> None:
    lattice = chain(4, periodic=False)
    space = Spin(4, s, total_sz)
    keep = legal_states(space)
    dimension = round(2 * s) + 1
    matrix = textbook_xxz(dimension, lattice, [(0.7, 0.3 * 0.7), (0.2, 0.3 * 0.2)])[np.ix_(keep, keep)]
    assert_is(xxz(space, lattice, J=(0.7, 0.2), Delta=0.3), matrix)


def test_couplings_are_leaves() -> None:
    """Other numbers run through compiled code without compiling again; traced ones work, and have derivatives."""
    space, lattice = Spin(4), chain(4)
    sigma = jnp.asarray(space.all_states())
    for make in (
        lambda a, b: ising(space, lattice, J=a, h=b),
        lambda a, b: xxz(space, lattice, J=a, Delta=b),
        lambda a, b: j1j2(space, lattice, J1=a, J2=b, marshall=True),
        lambda a, b: heisenberg(space, lattice, J=(a, b)),
    ):
        traces = []

        @jax.jit
        def energy(operator, traces=traces):
            traces.append(None)
            return operator.diagonal(sigma).sum() + (operator.elements(sigma) ** 2).sum()

        values = [energy(make(a, b).compile()) for a, b in ((1.0, 2.0), (0.5, -1.0), (2, 0), (0.0, jnp.float64(1)))]
        assert len(traces) == 1
        traced = jax.jit(lambda a, b, make=make, energy=energy: energy(make(a, b).compile()))
        np.testing.assert_allclose(traced(0.5, -1.0), values[1])
        slopes = jax.grad(traced, argnums=(0, 1))(0.5, -1.0)
        h = 1e-6
        for n, slope in enumerate(slopes):
            up, down = (
                float(traced(*(v + sign * h * (i == n) for i, v in enumerate((0.5, -1.0))))) for sign in (1, -1)
            )
            assert float(slope) == pytest.approx((up - down) / (2 * h), abs=1e-6)
    traced = jax.jit(lambda J: heisenberg(space, lattice, J=J).diagonal(sigma))(jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(traced, heisenberg(space, lattice, J=(1.0, 0.5)).diagonal(sigma))


# --- the Marshall sign rule -------------------------------------------------------------------------------------------


def rotation(space, colours) -> np.ndarray:
    """U = product over the sites of colour 1 of (-1)^level, written as exp(i pi (s - S^z)) site by site."""
    dimension = space.local_dimensions[0]
    sign = np.diag((-1.0) ** np.arange(dimension))
    matrix = functools.reduce(np.kron, [sign if c else np.eye(dimension) for c in colours])
    keep = legal_states(space)
    return matrix[np.ix_(keep, keep)]


BIPARTITE = [
    (Spin(6), chain(6)),
    (Spin(6, total_sz=0), square(2, 3, periodic=False)),
    (Spin(4, s=1), chain(4)),
    (Spin(4, s=1.5, total_sz=1), chain(4)),
    (Spin(8, total_sz=1), honeycomb(2, 2)),
    (Spin(8, total_sz=0), rectangle(4, 2, b=1.5)),  # nearest neighbours: two chains that nothing joins
]


@pytest.mark.parametrize(("space", "lattice"), BIPARTITE, ids=lambda x: str(x)[:40])
def test_marshall_is_a_change_of_basis(space, lattice) -> None:
    plain, rotated = (xxz(space, lattice, J=(1.0, 0.4), Delta=0.7, marshall=m) for m in (False, True))
    u = rotation(space, lattice.sublattices())
    np.testing.assert_allclose(rotated.to_dense(), u @ plain.to_dense() @ u.conj().T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(*(np.linalg.eigvalsh(op.to_dense()) for op in (plain, rotated)), atol=1e-12)
    assert rotated == marshall(plain, lattice) == marshall(plain, lattice.sublattices().tolist())
    assert marshall(rotated, lattice).fold() == plain.fold()
    options = {"J1": 0.9, "J2": 0.4}
    assert j1j2(space, lattice, **options, marshall=True) == marshall(j1j2(space, lattice, **options), lattice)
    assert j1j2(space, lattice, **options, marshall=True) != j1j2(space, lattice, **options)


@pytest.mark.parametrize(("space", "lattice"), BIPARTITE, ids=lambda x: str(x)[:40])
def test_marshall_makes_the_ground_state_positive(space, lattice) -> None:
    for operator in (heisenberg(space, lattice, marshall=True), xxz(space, lattice, Delta=0.3, marshall=True)):
        dense = operator.to_dense()
        off_diagonal = dense - np.diag(np.diag(dense))
        assert off_diagonal.max() <= 1e-15
        assert off_diagonal.min() < -0.1
    assert heisenberg(space, lattice).to_dense().max() > 0.1


def test_marshall_is_refused_where_there_are_odd_loops() -> None:
    for lattice in (triangular(3, 3), chain(5)):
        with pytest.raises(ValueError, match=r"`lattice` must be bipartite, got bond .* odd length"):
            heisenberg(Spin(lattice.n_sites), lattice, marshall=True)
        with pytest.raises(ValueError, match="`lattice` must be bipartite"):
            marshall(sz(Spin(lattice.n_sites), 0), lattice)
    for wrong in ([0, 1, 0], [0, 1, 2, 0], [[0, 1, 0, 1]]):
        with pytest.raises(ValueError, match="`sublattice` must give 0 or 1 for each of the 4 sites"):
            marshall(sz(Spin(4), 0), wrong)


@pytest.mark.parametrize("s", [0.5, 1])
def test_observables_rotate_with_the_hamiltonian(s: float) -> None:
    """Expectations in the rotated ground state are those in the plain one, if the observable is rotated as well."""
    space, lattice = Spin(4, s), chain(4)
    observables = [sz(space, 0) @ sz(space, 1), sx(space, 0) @ sx(space, 1), sx(space, 0) @ sx(space, 2) + sx(space, 3)]
    plain, rotated = (mb.exact.ground_state(heisenberg(space, lattice, marshall=m)).states[:, 0] for m in (False, True))
    for observable, is_changed in zip(observables, (False, True, True), strict=True):
        expected = plain @ observable.to_dense() @ plain
        turned = marshall(observable, lattice)
        assert rotated @ turned.to_dense() @ rotated == pytest.approx(expected, abs=1e-12)
        assert (turned != observable) == is_changed
    assert rotated @ observables[1].to_dense() @ rotated == pytest.approx(-(plain @ observables[1].to_dense() @ plain))


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [ising, heisenberg, xxz, j1j2])
def test_space_and_lattice_must_fit(model) -> None:
    with pytest.raises(ValueError, match="`space` must have 4 sites like the lattice, got 6"):
        model(Spin(6), chain(4))
    with pytest.raises(TypeError, match="`lattice` must be a AbstractLattice"):
        model(Spin(6), 6)
    with pytest.raises(TypeError, match="`space` must be a DiscreteSpace"):
        model(6, chain(6))
    with pytest.raises(ValueError, match=r"`lattice` must have no twisted boundary for spins, .* LocalOperator"):
        model(Spin(6), chain(6, twist=0.3))


def test_what_a_model_needs() -> None:
    with pytest.raises(ValueError, match="`space` must have two levels on every site"):
        ising(Spin(4, s=1), chain(4))
    with pytest.raises(ValueError, match=r"`space` must have no fixed magnetisation.*Build it on the unconstrained"):
        ising(Spin(4, total_sz=0), chain(4))
    with pytest.raises(ValueError, match="`J` must name at least one coupling"):
        heisenberg(Spin(4), chain(4), J=())
    with pytest.raises(ValueError, match="`J` must name at most 2 couplings, as many as there are distances"):
        heisenberg(Spin(4), chain(4), J=(1.0, 0.5, 0.2, 0.1))
    with pytest.raises(ValueError, match=r"`J` must be one number, or one for each order of bonds, got shape \(2, 2\)"):
        heisenberg(Spin(4), chain(4), J=np.ones((2, 2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: heisenberg(Spin(4), chain(4), J=np.nan), ValueError, "`J` must be finite, got nan"),
        (lambda: heisenberg(Spin(4), chain(4), J=(1.0, -np.inf)), ValueError, r"`J` must be finite, got \(1.0, -inf\)"),
        (lambda: heisenberg(Spin(4), chain(4), J="1"), TypeError, "`J` must be real, got '1'"),
        (lambda: heisenberg(Spin(4), chain(4), J=1j), TypeError, "`J` must be real, got 1j"),
        (lambda: xxz(Spin(4), chain(4), Delta=np.nan), ValueError, "`Delta` must be finite, got nan"),
        (lambda: ising(Spin(4), chain(4), J=np.nan), ValueError, "`J` must be finite, got nan"),
        (lambda: ising(Spin(4), chain(4), h=np.inf), ValueError, "`h` must be finite, got inf"),
        (lambda: bilinear_biquadratic(Spin(4), chain(4), K=np.nan), ValueError, "`couplings` must be finite"),
    ],
)
def test_couplings_must_be_real_and_finite(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_ring_with_images_has_bonds_of_any_order() -> None:
    bonds = [bond for order in (1, 2, 3) for bond in chain(4).bonds(order, images=True)]
    expected = sum(heisenberg_bond(Spin(4), bond) for bond in bonds)
    np.testing.assert_allclose(heisenberg(Spin(4), chain(4), J=(1, 1, 1), images=True).to_dense(), expected, atol=1e-12)


def heisenberg_bond(space, bond) -> np.ndarray:
    """S_i . S_j as a matrix."""
    i, j = map(int, bond)
    return sum((op(space, i) @ op(space, j)).to_dense() for op in (sx, sy, sz))


def test_lengths_of_spins_may_be_told_from_the_space() -> None:
    """Total spin from the energy: two spins s with J = 1 have E = (S(S+1) - 2 s(s+1)) / 2."""
    for s, total in itertools.product((0.5, 1, 1.5), range(4)):
        energies = np.linalg.eigvalsh(heisenberg(Spin(2, s), chain(2)).to_dense())
        expected = (total * (total + 1) - 2 * s * (s + 1)) / 2
        assert np.sum(np.isclose(energies, expected)) == (2 * total + 1 if total <= 2 * s else 0)
