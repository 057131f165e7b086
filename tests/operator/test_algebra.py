# SPDX-License-Identifier: Apache-2.0
"""Sums, products and adjoints against Kronecker products, and connections against term-by-term evaluation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.hilbert import DiscreteSpace, Fermion, Fock, Product, Qubit, Spin
from manybody.operator import DiscreteOperator, LocalOperator, boson, identity
from manybody.operator.spin import sigmax, sigmay, sigmaz, sm, sp, spin_matrices, sx, sy, sz
from tests.cases import some_slow
from tests.operator.kronecker import conserving, dense, dense_of, leads_out, projected, random_matrix, row_of

SPACES = {
    "spin-1/2": Spin(5),
    "qubit": Qubit(4),
    "spin-1": Spin(4, s=1),
    "spin-3/2": Spin(3, s=1.5),
}
SECTORS = {
    "spin-1/2": Spin(5, total_sz=0.5),
    "spin-1/2-balanced": Spin(4, total_sz=0),
    "spin-1": Spin(4, s=1, total_sz=-1),
    "spin-3/2": Spin(3, s=1.5, total_sz=0.5),
}
KINDS = ("complex", "real", "few", "diagonal")
SCALARS = (2.0, -1, 0.5j, 1 - 2j, 0, np.float64(0.25), np.complex128(1j), np.array(3.0))


def draw_terms(data: st.DataObject, space: DiscreteSpace, conserve: bool = False) -> list:
    """Up to three matrices on up to three random sites in random order; some are sparse, some diagonal."""
    terms = []
    for _ in range(data.draw(st.integers(0, 3))):
        sites = tuple(data.draw(st.permutations(range(space.size)))[: data.draw(st.integers(0, 3))])
        size = int(np.prod([space.local_dimensions[s] for s in sites]))
        rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
        matrix = random_matrix(rng, size, data.draw(st.sampled_from(KINDS)))
        terms.append((sites, conserving(space.local_dimensions, sites, matrix) if conserve else matrix))
    return terms


def draw_operator(
    data: st.DataObject, space: DiscreteSpace, conserve: bool = False
) -> tuple[DiscreteOperator, np.ndarray]:
    """An operator, with or without couplings of its own, and its matrix."""
    terms = draw_terms(data, space, conserve)
    if not data.draw(st.booleans()):
        return LocalOperator(space, terms), projected(space, terms)
    values = data.draw(st.lists(st.sampled_from((-1.0, 0.0, 0.5, 2.0)), min_size=len(terms), max_size=len(terms)))
    scaled = [(sites, value * matrix) for value, (sites, matrix) in zip(values, terms, strict=True)]
    return LocalOperator(space, terms, couplings=values), projected(space, scaled)


def assert_is(operator: DiscreteOperator, matrix: np.ndarray) -> None:
    np.testing.assert_allclose(dense_of(operator), matrix, rtol=0, atol=1e-11)
    if operator.is_hermitian:
        np.testing.assert_allclose(matrix, matrix.conj().T, rtol=0, atol=1e-11)
    if operator.is_real:
        np.testing.assert_allclose(matrix.imag, 0, atol=1e-11)
    if operator.is_diagonal:
        np.testing.assert_allclose(matrix, np.diag(np.diag(matrix)), atol=1e-11)


def check_algebra(data: st.DataObject, space: DiscreteSpace, conserve: bool) -> None:
    (a, matrix_a), (b, matrix_b) = (draw_operator(data, space, conserve) for _ in range(2))
    one = np.eye(space.n_states)
    scalar = data.draw(st.sampled_from(SCALARS))
    for operator, matrix in (
        (a, matrix_a),
        (a + b, matrix_a + matrix_b),
        (a - b, matrix_a - matrix_b),
        (a @ b, matrix_a @ matrix_b),
        (-a, -matrix_a),
        (a.adjoint(), matrix_a.conj().T),
        (scalar * a, scalar * matrix_a),
        (a * scalar, scalar * matrix_a),
        (a + scalar, matrix_a + scalar * one),
        (scalar - a, scalar * one - matrix_a),
        (a / 4, matrix_a / 4),
        (a.fold(), matrix_a),
        ((a + b.adjoint()) @ (2j * a - b), (matrix_a + matrix_b.conj().T) @ (2j * matrix_a - matrix_b)),
    ):
        assert_is(operator, matrix)
    hermitian = a + a.adjoint()
    assert hermitian.is_hermitian
    assert (a.adjoint() @ a).is_hermitian
    assert (1j * (a - a.adjoint())).is_hermitian
    if not conserve:  # in a sector an operator may happen to be Hermitian that is not so outside of it
        assert a.fold().is_hermitian == np.allclose(matrix_a, matrix_a.conj().T, rtol=0, atol=1e-11)


@pytest.mark.parametrize("space", some_slow(SPACES, ["qubit", "spin-1/2", "spin-3/2"]))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_algebra(space: DiscreteSpace, data: st.DataObject) -> None:
    check_algebra(data, space, conserve=False)


@pytest.mark.parametrize("space", some_slow(SECTORS, ["spin-1/2", "spin-3/2"]))
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_algebra_in_a_sector(space: DiscreteSpace, data: st.DataObject) -> None:
    check_algebra(data, space, conserve=True)


@pytest.mark.parametrize(
    "space", [Spin(70), Qubit(33), Spin(70, total_sz=-4), Spin(40, s=1), Spin(35, s=1, total_sz=2)], ids=str
)
def test_connections_of_large_spaces(space: DiscreteSpace) -> None:
    """More sites than fit into one word of bits: each row once more, term by term."""
    rng = np.random.default_rng(5)
    dimensions, terms = space.local_dimensions, []
    for k in (1, 2, 2, 3, 2, 3, 2, 2, 2, 2):
        sites = tuple(map(int, rng.permutation(space.size)[:k]))
        matrix = random_matrix(rng, dimensions[0] ** k, "few" if k == 3 else "real" if k == 1 else "complex")
        terms.append((sites, conserving(dimensions, sites, matrix) if space.sectors else matrix))
    terms += [((31, 32), terms[1][1]), ((32, 31), terms[1][1])]  # across the words
    operator = LocalOperator(space, terms)
    sigma = np.asarray(space.random_state(jax.random.key(1), 20))
    diagonal = operator.diagonal(sigma)
    sites, values, elements = map(np.asarray, operator.connections(sigma))
    for n, levels in enumerate(space.to_levels(sigma).tolist()):
        expected = row_of(dimensions, terms, tuple(levels))
        assert diagonal[n] == pytest.approx(expected.pop(tuple(levels), 0.0), abs=1e-12)
        found = {}
        for where, what, element in zip(sites[n], values[n], elements[n], strict=True):
            target = sigma[n].copy()
            target[where] = what
            if abs(element) > 1e-13:
                found[tuple(space.to_levels(target).tolist())] = element
        assert found == pytest.approx(expected, abs=1e-12)
        assert expected


# --- sectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SECTORS.values(), ids=SECTORS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_conserves_is_true_of_the_matrix(space: DiscreteSpace, data: st.DataObject) -> None:
    free = Spin(space.n_sites, space.s)
    terms = draw_terms(data, space, conserve=data.draw(st.booleans()))
    operator = LocalOperator(free, terms)
    conserves = operator.conserves(space)
    assert not (conserves and leads_out(space, terms))
    matrix, everywhere = dense(free.local_dimensions, terms), tuple(range(space.size))
    keeps_every_sum = np.allclose(matrix, conserving(free.local_dimensions, everywhere, matrix))
    assert conserves or not keeps_every_sum
    assert operator.conserves(free)
    if conserves:
        np.testing.assert_allclose(dense_of(operator.on(space)), projected(space, terms), rtol=0, atol=1e-11)
        assert operator.on(space) == LocalOperator(space, terms)
    else:
        with pytest.raises(ValueError, match=r"stay within the sector .* Build it on the unconstrained space"):
            operator.on(space)


@pytest.mark.parametrize("s", [0.5, 1])
def test_terms_that_conserve_only_together_are_folded(s: float) -> None:
    free, sector = Spin(4, s), Spin(4, s, total_sz=0)
    xx, yy = sx(free, 0) @ sx(free, 1), sy(free, 0) @ sy(free, 1)
    assert not xx.conserves(sector)
    assert not yy.conserves(sector)
    together = xx + yy
    assert together.couplings.shape == (2,)
    operator = together.on(sector)
    assert operator.couplings.shape == (1,)
    flip = sp(free, 0) @ sm(free, 1)
    np.testing.assert_allclose(operator.to_dense(), (0.5 * (flip + flip.adjoint())).on(sector).to_dense(), atol=1e-14)
    with pytest.raises(ValueError, match="Build it on the unconstrained space"):
        (xx + 0.5 * yy).on(sector)
    assert LocalOperator(sector, [*two_terms(s)]).max_connections == operator.max_connections


def two_terms(s: float):
    x, y, _ = spin_matrices(round(2 * s) + 1)
    return [((0, 1), np.kron(x, x)), ((0, 1), np.kron(y, y))]


def test_separate_couplings_that_are_hermitian_only_together() -> None:
    space = Spin(3)
    flip = sp(space, 0) @ sm(space, 1)
    apart = LocalOperator(space, [((0,), np.eye(2, k=1)), ((0,), np.eye(2, k=-1))], couplings=[1.0, 1.0])
    assert not flip.is_hermitian
    total = flip + flip.adjoint()
    assert total.is_hermitian
    assert total.couplings.shape == (1,)
    assert apart.is_hermitian
    assert apart.couplings.shape == (1,)
    assert not (flip + 2.0 * flip.adjoint()).is_hermitian
    imaginary = 1j * (flip - flip.adjoint())
    assert imaginary.is_hermitian
    together = total + sz(space, 2)  # each Hermitian: they stay apart
    assert together.couplings.shape == (2,)


def test_flip_of_all_spins_in_sectors() -> None:
    """It maps S_z to -S_z, and exactly so for any number of sites."""
    free = Spin(40)
    flip = identity(free)
    for site in range(40):
        flip = flip @ sigmax(free, site)
    assert flip.conserves(Spin(40, total_sz=0))
    assert not flip.conserves(Spin(40, total_sz=1))
    sector = Spin(40, total_sz=0)
    signed = (flip @ (1.0 + sigmaz(free, 3))).on(sector)  # conditions do not matter
    sigma = np.asarray(sector.random_state(jax.random.key(0), 5))
    sites, values, elements = signed.connections(sigma)
    np.testing.assert_array_equal(np.take_along_axis(sigma[:, None], np.asarray(sites), -1), -values)
    np.testing.assert_array_equal(elements[:, 0], 1 - sigma[:, 3])
    with pytest.raises(ValueError, match="`space` must be unconstrained for terms that flip 39 sites at once"):
        (flip @ sigmax(free, 0)).on(sector)


# --- bad input --------------------------------------------------------------------------------------------------------

ZZ = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LocalOperator(Spin(4), [((0, 4), ZZ)]), ValueError, r"`site` must satisfy 0 <= site <= 3, got 4"),
        (lambda: LocalOperator(Spin(4), [((-1,), np.eye(2))]), ValueError, r"`site` must satisfy .* got -1"),
        (lambda: LocalOperator(Spin(4), [((0.0,), np.eye(2))]), TypeError, "`site` must be an integer"),
        (lambda: LocalOperator(Spin(4), [((1, 1), ZZ)]), ValueError, r"`sites` must be distinct, got \(1, 1\)"),
        (lambda: LocalOperator(Spin(4), [((0, 1), np.eye(2))]), ValueError, r"shape \(4, 4\) .* \(2, 2\)"),
        (lambda: LocalOperator(Spin(4, s=1), [((0, 1), ZZ)]), ValueError, r"`matrix` must have shape \(9, 9\)"),
        (lambda: LocalOperator(Spin(4), [((0,), [1.0, 2.0])]), ValueError, r"`matrix` must have shape \(2, 2\)"),
        (lambda: LocalOperator(Spin(4), [((0, 1), ZZ)], couplings=[1.0, 2.0]), ValueError, r"must have shape \(1,\)"),
        (lambda: LocalOperator(Spin(4), [((0, 1), ZZ)], couplings=[1j]), ValueError, "`couplings` must be real"),
        (lambda: LocalOperator(Spin(4), [((0,), np.diag([1, np.nan]))]), ValueError, "`matrix` must be finite"),
        (lambda: LocalOperator(Spin(4), [((0,), [[0, 1j * np.inf], [0, 0]])]), ValueError, "`matrix` must be finite"),
        (lambda: LocalOperator(Spin(4), [((0, 1), ZZ)], couplings=[np.nan]), ValueError, "`couplings` must be finite"),
        (lambda: np.inf * sz(Spin(4), 0), ValueError, r"`couplings` must be finite, got \[inf\]"),
        (lambda: LocalOperator(Spin(4), np.eye(2), [0]), TypeError, r"`terms` .* LocalOperator\(space, \[\(sites"),
        (lambda: LocalOperator(Spin(4), ZZ, [0, 1]), TypeError, r"`terms` must hold pairs \(sites, matrix\)"),
        (lambda: LocalOperator(Spin(4), ((0, 1), ZZ)), TypeError, r"`terms` must hold pairs \(sites, matrix\)"),
        (lambda: LocalOperator(Spin(4), [(0, np.eye(2))]), TypeError, "with the sites in a tuple or list"),
        (lambda: sx(Fermion(4), 0), ValueError, "`site` must be a spin or a qubit, got fermionic mode 0 .*fermion"),
        (lambda: sigmaz(Fermion(4), 0), ValueError, "`site` must be a spin or a qubit, got fermionic mode 0"),
        (lambda: sx(Fock(4, 2), 0), ValueError, "`site` must be a spin or a qubit, got bosonic site 0 .*boson"),
        (lambda: boson.create(Spin(4), 0), ValueError, "`site` must hold bosons, got spin 0 .*spin"),
        (lambda: boson.destroy(Product(Fock(2, 2), Spin(2)), 2), ValueError, "`site` must hold bosons, got spin 2"),
        (lambda: boson.create(Fermion(4), 0), ValueError, "`site` must hold bosons, got fermionic mode 0 .*fermion"),
        (lambda: sx(Spin(4), 7), ValueError, r"`site` must satisfy 0 <= site <= 3, got 7"),
        (lambda: sigmax(Spin(4, s=1), 0), ValueError, "`site` must have two levels, got site 0 with 3"),
        (lambda: sx(Spin(4), 0) + sx(Spin(5), 0), ValueError, r"`operator` must act on Spin\(n_sites=4.*n_sites=5"),
        (lambda: sx(Spin(4), 0) @ sx(Qubit(4), 0), ValueError, "`operator` must act on"),
        (lambda: sx(Spin(4, total_sz=0), 0), ValueError, r"stay within .* Build it on the unconstrained"),
        (lambda: sx(Spin(4, s=1, total_sz=0), 0), ValueError, "Build it on the unconstrained space"),
        (lambda: sz(Spin(4), 0).on(Spin(5)), ValueError, "`space` must have the same sites"),
        (lambda: sz(Spin(4), 0).conserves(Spin(4, s=1)), ValueError, "`space` must have the same sites"),
        (lambda: sz(Spin(4), 0).on("sector"), TypeError, "`space` must be a DiscreteSpace"),
        (lambda: sz(Spin(4), 0).replace(couplings=np.array([1j])).compile(), ValueError, "`couplings` must be 1 real"),
        (lambda: (sz(Spin(4), 0) + sx(Spin(4), 0)).replace(couplings=np.ones(1)).compile(), ValueError, "be 2 real"),
        (lambda: sx(Spin(40), 0).to_sparse(), ValueError, r"`space` must have fewer than 2\^31 states"),
        (lambda: sx(Spin(4), 0) + "1", TypeError, "unsupported operand"),
        (lambda: sx(Spin(4), 0) * np.ones(3), TypeError, "operand"),
        (lambda: np.ones(3) * sx(Spin(4), 0), TypeError, "operand"),
        (lambda: sx(Spin(4), 0) @ 2.0, TypeError, "unsupported operand"),
    ],
)  # fmt: skip
def test_bad_input(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("method", ["diagonal", "connections"])
@pytest.mark.parametrize(
    ("sigma", "error", "message"),
    [
        (np.ones((1, 3), np.int8), ValueError, r"`sigma` must have shape \(samples, 4\), got \(1, 3\)"),
        (np.ones((1, 5), np.int8), ValueError, r"`sigma` must have shape \(samples, 4\), got \(1, 5\)"),
        (np.ones(4, np.int8), ValueError, r"`sigma` must have shape \(samples, 4\), got \(4,\)"),
        (np.ones((1, 4)), TypeError, "`sigma` must have an integer dtype, got float64"),
        (np.full((1, 4), 7, np.int8), ValueError, r"`sigma` must hold configurations of Spin.*\[7 7 7 7\]"),
        (np.array([[1, 1, -1, -1], [1, 1, 1, 1]], np.int8), ValueError, r"hold configurations .* got \[1 1 1 1\]"),
    ],
)
def test_configurations_are_checked(method, sigma, error, message) -> None:
    operator = sz(Spin(4, total_sz=0), 0)
    for array in (sigma, jnp.asarray(sigma)):
        with pytest.raises(error, match=message):
            getattr(operator, method)(array)


def test_shapes_of_configurations_are_checked_inside_jit() -> None:
    operator = sz(Spin(4), 0)
    run = jax.jit(operator.diagonal)
    np.testing.assert_array_equal(run(np.ones((2, 4), np.int8)), [0.5, 0.5])
    with pytest.raises(ValueError, match=r"`sigma` must have shape \(samples, 4\), got \(2, 3\)"):
        run(np.ones((2, 3), np.int8))
    with pytest.raises(TypeError, match="`sigma` must have an integer dtype"):
        run(np.ones((2, 4)))


def test_equality_does_not_see_the_sign_of_zero() -> None:
    for space in (Spin(2), Spin(2, s=1)):
        y = spin_matrices(space.local_dimensions[0])[1]
        assert (-1 + 0j) * sy(space, 0) == LocalOperator(space, [((0,), -y)])
        assert (-1 + 0j) * sx(space, 0) == (-1j) * (-1j * sx(space, 0))


def test_sum_of_many() -> None:
    space = Spin(40)
    total = sum(sz(space, i) for i in range(40))
    assert total.couplings.shape == (40,)
    np.testing.assert_allclose(total.diagonal(np.ones((1, 40), np.int8)), [20.0])


def test_single_site_operators_are_the_textbook_matrices() -> None:
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
    for space in (Spin(1), Qubit(1)):
        for pauli, half, matrix in ((sigmax, sx, x), (sigmay, sy, y), (sigmaz, sz, z)):
            np.testing.assert_array_equal(pauli(space, 0).to_dense(), matrix)
            np.testing.assert_array_equal(half(space, 0).to_dense(), matrix / 2)
    replaced = sigmax(Spin(1), 0).replace(couplings=np.array([3.0]))
    np.testing.assert_array_equal(replaced.to_dense(), 3 * x)
    for s in (0.5, 1, 1.5, 2):
        space = Spin(1, s)
        x, y, z, up, down = (make(space, 0).to_dense() for make in (sx, sy, sz, sp, sm))
        np.testing.assert_allclose(x @ y - y @ x, 1j * z, atol=1e-14)
        np.testing.assert_allclose(x @ x + y @ y + z @ z, s * (s + 1) * np.eye(len(x)), atol=1e-14)
        np.testing.assert_allclose(up, x + 1j * y, atol=1e-14)
        np.testing.assert_allclose(down, up.T, atol=1e-14)
        assert np.diag(z)[0] == s
