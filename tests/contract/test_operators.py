# SPDX-License-Identifier: Apache-2.0
"""The laws of every operator: one list of operators, all laws for each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody._struct import dataclass, static
from manybody.hilbert import Blockade, Constrained, DiscreteSpace, Fermion, Fock, Product, Qubit, Spin, SumSector
from manybody.operator import (
    DiscreteOperator,
    FermionOperator,
    Liouvillian,
    LocalOperator,
    Operator,
    PauliStrings,
    identity,
    permutation,
    spin_inversion,
)
from manybody.operator.compiled import CompiledOperator, Connections
from manybody.operator.compiled_bits import BitOperator
from manybody.operator.spin import sigmax, sigmay, sigmaz, sm, sp, sx, sy, sz
from manybody.testing import check_operator
from tests.cases import some_slow
from tests.operator.kronecker import conserving, random_matrix


@dataclasses.dataclass(frozen=True)
class Mixed(DiscreteSpace):
    """Sites of different dimensions, with values that are no straight line."""

    n_levels: tuple[int, ...] = (2, 3, 4, 2)
    sums: tuple[SumSector, ...] = ()

    @property
    def local_dimensions(self):
        return self.n_levels

    @property
    def sectors(self):
        return self.sums

    def to_levels(self, sigma):
        return sigma.astype(np.int32) // 5

    def from_levels(self, levels):
        return (5 * levels + (levels == 2).astype(np.int32)).astype(np.int8)


TWO_SECTORS = Mixed((2,) * 6, (SumSector((0, 2, 4), 1), SumSector((1, 5, 3), 2)))
ELECTRONS = Fermion(4, n_per_component=(2, 2), n_components=2)
BLOCKADE = Constrained(Qubit(6), Blockade(tuple((i, (i + 1) % 6) for i in range(6))))
CHAIN, SQUARE = mb.lattice.chain(6), mb.lattice.square(3)


def random_terms(space: DiscreteSpace, n_terms: int, seed: int, kind: str = "complex", conserve: bool = False):
    rng = np.random.default_rng(seed)
    terms = []
    for _ in range(n_terms):
        sites = tuple(map(int, rng.permutation(space.size)[: rng.integers(1, 4)]))
        size = int(np.prod([space.local_dimensions[s] for s in sites]))
        matrix = random_matrix(rng, size, kind)
        terms.append((sites, conserving(space.local_dimensions, sites, matrix) if conserve else matrix))
    return LocalOperator(space, terms)


def cancelling_terms(space: Spin) -> DiscreteOperator:
    """Large parts that lead out of the sector and cancel, up to rounding, between terms on different sites."""
    rng = np.random.default_rng(10)
    dimension = space.local_dimensions[0]
    small = conserving(space.local_dimensions, (0, 1, 2), random_matrix(rng, dimension**3, "real"))
    large = 1000 * random_matrix(rng, dimension**2, "real")
    terms = [((0, 1, 2), small + np.kron(large, np.eye(dimension))), ((0, 1), -large)]
    return LocalOperator(space, terms)


def hops(space: DiscreteSpace, pairs) -> DiscreteOperator:
    """Exchange of the levels of two-level sites."""
    swap = np.eye(4)[[0, 2, 1, 3]]
    return LocalOperator(space, [(pair, swap) for pair in pairs], couplings=np.arange(1.0, 1 + len(pairs)))


def parity(space: Spin) -> DiscreteOperator:
    """The flip of all spins, in the sector that it keeps."""
    free = Spin(space.n_sites)
    product = identity(free)
    for site in range(space.n_sites):
        product = product @ sigmax(free, site)
    return product.on(space)


def with_heisenberg(function: Callable, n: int = 6, **options) -> DiscreteOperator:
    return function(Spin(n, **options), mb.lattice.chain(n))


OPERATORS: dict[str, Callable[[], Operator]] = {
    "identity": lambda: identity(Spin(4)),
    "identity-spin1": lambda: identity(Spin(3, s=1, total_sz=0)),
    "no-terms": lambda: LocalOperator(Spin(3), []),
    "zero": lambda: LocalOperator(Spin(3), [((1,), np.zeros((2, 2)))]),
    "zero-spin1": lambda: LocalOperator(Spin(3, s=1), [((1,), np.zeros((3, 3)))]),
    "times-zero": lambda: 0 * sx(Spin(3), 1),
    "minus-itself": lambda: sx(Spin(3), 1) - sx(Spin(3), 1),
    "one-site": lambda: sigmax(Spin(1), 0),
    "diagonal": lambda: sigmaz(Qubit(5), 0) @ sigmaz(Qubit(5), 3) + 2.0,
    "diagonal-spin1": lambda: sz(Spin(3, s=1, total_sz=1), 0),
    "imaginary": lambda: sigmay(Qubit(4), 2),
    "real-from-imaginary": lambda: sigmay(Spin(4), 2) @ sigmay(Spin(4), 0),
    "raising": lambda: sp(Spin(4), 1),
    "raising-spin1": lambda: sp(Spin(3, s=1), 1),
    "antihermitian": lambda: 1j * sy(Spin(3, s=1.5), 1) @ sz(Spin(3, s=1.5), 0) @ sx(Spin(3, s=1.5), 2),
    "hermitian-together": lambda: sp(Spin(4), 0) @ sm(Spin(4), 1) + sm(Spin(4), 0) @ sp(Spin(4), 1),
    "different-widths": lambda: sx(Spin(5), 1) + sx(Spin(5), 0) @ sx(Spin(5), 1) @ sy(Spin(5), 2),
    "random-bits": lambda: random_terms(Spin(6), 6, seed=1),
    "random-bits-few": lambda: random_terms(Qubit(6), 8, seed=2, kind="few"),
    "random-bits-sector": lambda: random_terms(Spin(6, total_sz=-1), 6, seed=3, conserve=True),
    "random-spin1": lambda: random_terms(Spin(4, s=1), 3, seed=4, kind="few"),
    "random-spin3/2-sector": lambda: random_terms(Spin(4, s=1.5, total_sz=1), 3, seed=5, kind="few", conserve=True),
    "random-mixed": lambda: random_terms(Mixed(), 4, seed=6, kind="real"),
    "cancelling-bits": lambda: cancelling_terms(Spin(4, total_sz=0)),
    "cancelling-spin1": lambda: cancelling_terms(Spin(4, s=1, total_sz=0)),
    "two-sectors": lambda: hops(TWO_SECTORS, [(0, 2), (4, 0), (1, 5), (3, 5)]),
    "parity-sector": lambda: parity(Spin(6, total_sz=0)),
    "parity-70": lambda: parity(Spin(70, total_sz=0)),
    "ising": lambda: mb.hamiltonian.ising(Qubit(9), SQUARE, J=0.5, h=2.0),
    "ising-40": lambda: mb.hamiltonian.ising(Spin(40), mb.lattice.chain(40)),
    "heisenberg": lambda: with_heisenberg(mb.hamiltonian.heisenberg),
    "heisenberg-sector": lambda: with_heisenberg(mb.hamiltonian.heisenberg, total_sz=1),
    "heisenberg-spin1-sector": lambda: with_heisenberg(mb.hamiltonian.heisenberg, n=4, s=1, total_sz=0),
    "xxz-marshall": lambda: mb.hamiltonian.xxz(Spin(6, total_sz=0), CHAIN, Delta=0.3, marshall=True),
    "j1j2-6x6": lambda: mb.hamiltonian.j1j2(Spin(36, total_sz=0), mb.lattice.square(6)),
    "heisenberg-spin1-36": lambda: mb.hamiltonian.heisenberg(Spin(36, s=1, total_sz=0), mb.lattice.square(6)),
    "pauli-strings": lambda: PauliStrings(Spin(5), ["XYZII", "IZZXY", "YIIIY"], [0.5, -1.0, 2j]),
    "fermions": lambda: FermionOperator(Fermion(5), ["3^ 1", "1^ 3", "0^ 2^ 4 1", "2"], [1.0, 1.0, 0.5, 1j]),
    "hubbard": lambda: mb.hamiltonian.hubbard(ELECTRONS, mb.lattice.chain(4), t=1.0, U=4.0),
    "hubbard-4x4": lambda: mb.hamiltonian.hubbard(
        Fermion(16, n_per_component=(7, 7), n_components=2), mb.lattice.square(4), t=1.0, U=8.0
    ),
    "t-V-twisted": lambda: mb.hamiltonian.t_v(Fermion(6, n_fermions=3), mb.lattice.chain(6, twist=0.3), t=1.0, V=2.0),
    "bose-hubbard": lambda: mb.hamiltonian.bose_hubbard(Fock(4, n_max=3, n_particles=4), mb.lattice.chain(4), U=2.0),
    "rydberg-blockade": lambda: mb.hamiltonian.rydberg(BLOCKADE, mb.lattice.chain(6), V=3.0),
    "kitaev": lambda: mb.hamiltonian.kitaev(Spin(8), mb.lattice.honeycomb(2, 2)),
    "holstein": lambda: mb.hamiltonian.holstein(
        Product(Fermion(3, n_fermions=1), Fock(3, n_max=2)), mb.lattice.chain(3), omega=1.0, g=0.5
    ),
    "liouvillian": lambda: Liouvillian(with_heisenberg(mb.hamiltonian.heisenberg, n=3), [sm(Spin(3), 0)]),
    "permutation": lambda: permutation(Spin(5, s=1, total_sz=1), [1, 2, 3, 4, 0]),
    "permutation-fermions": lambda: (
        permutation(ELECTRONS, [1, 2, 3, 0, 5, 6, 7, 4])
        + mb.hamiltonian.hubbard(ELECTRONS, mb.lattice.chain(4)) @ permutation(ELECTRONS, [4, 5, 6, 7, 0, 1, 2, 3])
    ),
    "spin-inversion": lambda: spin_inversion(Spin(4, s=1, total_sz=0)),
    "random-70": lambda: random_terms(Spin(70), 50, seed=7),
    "random-70-sector": lambda: random_terms(Spin(70, total_sz=3), 50, seed=8, conserve=True),
}
DIAGONAL = {"identity", "identity-spin1", "no-terms", "zero", "zero-spin1", "diagonal", "diagonal-spin1"}
NOT_HERMITIAN = {
    "antihermitian", "raising", "raising-spin1", "random-bits", "random-bits-few", "random-bits-sector", "random-spin1",
    "random-spin3/2-sector", "random-mixed", "pauli-strings", "fermions", "liouvillian", "permutation",
    "permutation-fermions", "random-70", "random-70-sector", "cancelling-bits", "cancelling-spin1",
}  # fmt: skip
COMPLEX = NOT_HERMITIAN - {
    "antihermitian",
    "raising",
    "raising-spin1",
    "permutation",
    "permutation-fermions",
    "random-mixed",
    "cancelling-bits",
    "cancelling-spin1",
} | {
    "imaginary",
    "different-widths",
    "t-V-twisted",
}
LARGE = {"hubbard-4x4", "parity-70", "ising-40", "j1j2-6x6", "heisenberg-spin1-36", "random-70", "random-70-sector"}
UNSEEN = {"times-zero", "minus-itself"}  # zero by the values of the couplings, of which properties know nothing

every = pytest.mark.parametrize("name", OPERATORS)


MUCH_ALIKE = (
    "hermitian-together",
    "cancelling-bits",
    "random-bits-few",
    "random-70-sector",
    "ising-40",
    "heisenberg",
    "heisenberg-spin1-36",
    "xxz-marshall",
    "hubbard",
    "diagonal-spin1",
    "zero-spin1",
    "raising-spin1",
    "parity-sector",
)


@pytest.mark.parametrize("name", some_slow({name: name for name in OPERATORS}, MUCH_ALIKE))
def test_laws(name: str) -> None:
    check_operator(OPERATORS[name]())


@every
def test_properties(name: str) -> None:
    operator = OPERATORS[name]()
    assert operator.is_diagonal == (name in DIAGONAL)
    assert operator.is_hermitian == (name not in NOT_HERMITIAN)
    assert operator.is_real == (name not in COMPLEX)


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in LARGE])
def test_properties_are_those_of_the_matrix(name: str) -> None:
    operator = OPERATORS[name]()
    dense = operator.to_dense()
    assert operator.is_hermitian == np.allclose(dense, dense.conj().T, atol=1e-12)
    if name not in UNSEEN:
        assert operator.is_diagonal == (np.count_nonzero(dense - np.diag(np.diag(dense))) == 0)
    assert operator.is_real == (not np.any(dense.imag))


def test_equal_by_content() -> None:
    operators = {name: make() for name, make in OPERATORS.items()}
    again = {name: make() for name, make in OPERATORS.items()}
    for name, operator in operators.items():
        assert operator == again[name]
        assert hash(operator) == hash(again[name])
        same = [other for other, value in operators.items() if value == operator]
        assert same == (["no-terms", "zero"] if name in {"no-terms", "zero"} else [name])
    assert operators["zero"] != 0
    assert sx(Spin(3), 0) != sx(Spin(4), 0) != sy(Spin(4), 0) != sx(Spin(4), 1)


@pytest.mark.parametrize("name", ["heisenberg", "heisenberg-spin1-sector", "permutation"])
def test_configurations_from_numpy_inside_jit(name: str) -> None:
    operator = OPERATORS[name]()
    sigma = operator.space.all_states()[:5]
    inside = jax.jit(lambda c: (c.diagonal(sigma), *c.connections(sigma)))(operator.compile())
    for one, other in zip(inside, (operator.diagonal(sigma), *operator.connections(sigma)), strict=True):
        np.testing.assert_array_equal(one, other)


# --- couplings inside jit ---------------------------------------------------------------------------------------------

SIGMA = np.array([[1, -1, 1, 1, -1, -1], [-1, -1, 1, -1, 1, 1]], np.int8)


def test_operators_built_inside_jit_from_traced_couplings() -> None:
    space = Spin(6)
    zz, x = sigmaz(space, 0) @ sigmaz(space, 1), sigmax(space, 2)
    traces = []

    @jax.jit
    def rows(J, h):
        traces.append(None)
        built = J * zz - h * x + J
        replaced = (1.0 * zz + 1.0 * x).replace(couplings=jnp.stack([J, -h]))
        model = mb.hamiltonian.xxz(space, CHAIN, J=(J, 0.5), Delta=h)
        return [(op.diagonal(SIGMA), op.connections(SIGMA)) for op in (built, replaced, model)]

    for J, h in ((2.0, 3.0), (-1.0, 0.5)):
        (diagonal, built), (_, replaced), (model_diagonal, model) = rows(J, h)
        np.testing.assert_array_equal(diagonal, [J * (-1) + J, J * 1 + J])
        np.testing.assert_array_equal(built.elements, [[-h]] * 2)
        np.testing.assert_array_equal(replaced.elements, [[-h]] * 2)
        expected = mb.hamiltonian.xxz(space, CHAIN, J=(J, 0.5), Delta=h)
        np.testing.assert_allclose(model_diagonal, expected.diagonal(SIGMA), rtol=1e-14)
        np.testing.assert_allclose(model.elements, expected.connections(SIGMA).elements, rtol=1e-14)
    assert len(traces) == 1


def test_an_operator_is_an_argument_of_jitted_functions() -> None:
    traces = []

    @jax.jit
    def diagonal(operator):
        traces.append(None)
        return (2 * operator).diagonal(SIGMA)

    for J in (1.0, 2.0, 3.0):
        np.testing.assert_allclose(diagonal(J * sz(Spin(6), 0)), [J, -J])
    assert len(traces) == 1
    np.testing.assert_allclose(diagonal(sz(Spin(6), 1)), [-1, -1])
    assert len(traces) == 2


def test_derivative_of_an_expectation_with_respect_to_a_coupling() -> None:
    """Hellmann-Feynman: dE/dh = <d H/d h> in the ground state; and an expectation is linear in its couplings."""
    space = Spin(6)
    states = jnp.asarray(space.all_states())

    def model(h):
        return mb.hamiltonian.ising(space, CHAIN, h=h)

    psi = jnp.asarray(mb.exact.ground_state(model(0.7)).states[:, 0])

    @jax.jit
    @jax.value_and_grad
    def expectation(h):
        operator = model(h)
        sites, values, elements = operator.connections(states)
        flipped = jnp.put_along_axis(jnp.repeat(states[:, None], 6, axis=1), sites, values, axis=-1, inplace=False)
        h_psi = operator.diagonal(states) * psi + (elements * psi[space.states_to_index(flipped)]).sum(axis=-1)
        return jnp.sum(psi * h_psi)

    value, slope = expectation(0.7)
    energy = [mb.exact.ground_state(model(h)).energies[0] for h in (0.7, 0.7 + 1e-5, 0.7 - 1e-5)]
    assert value == pytest.approx(energy[0], abs=1e-11)
    assert slope == pytest.approx((energy[1] - energy[2]) / 2e-5, abs=1e-8)


def test_couplings_are_mapped_over() -> None:
    diagonals = jax.vmap(lambda J: mb.hamiltonian.xxz(Spin(6), CHAIN, J=J).diagonal(SIGMA))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(diagonals[1], 2 * diagonals[0])


def test_what_needs_values_says_so_where_they_are_traced() -> None:
    x = sx(Spin(2), 0)
    with pytest.raises(TypeError, match="make the product outside of the jitted function"):
        jax.jit(lambda J: (J * x @ x).diagonal(SIGMA[:, :2]))(1.0)
    with pytest.raises(TypeError, match="`factor` must be real where it is traced, got complex128"):
        jax.jit(lambda J: (J * x).diagonal(SIGMA[:, :2]))(1.0j)
    inside = jax.jit(lambda sigma: (x @ x).diagonal(sigma))(SIGMA[:, :2])  # couplings known, although inside jit
    np.testing.assert_allclose(inside, 0.25)


# --- the laws can be broken -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Broken(Operator):
    """The Ising chain with a compiled form, and claims, that somebody got wrong."""

    space: DiscreteSpace
    change: Callable[[Connections], Connections] = lambda connections: connections
    is_hermitian: bool = False
    most: int = 6

    @property
    def max_connections(self) -> int:
        return self.most

    def compile(self) -> CompiledOperator:
        return BrokenCompiled(mb.hamiltonian.ising(Spin(6), CHAIN).compile(), self.change)


@dataclass
class BrokenCompiled(CompiledOperator):
    right: BitOperator
    wrong: Callable[[Connections], Connections] = static()

    @property
    def n_connections(self) -> int:
        return self.right.n_connections

    def diagonal(self, sigma):
        return self.right.diagonal(sigma)

    def elements(self, sigma):
        return self.connections(sigma).elements

    def change(self, sigma, conn):
        return self.right.change(sigma, conn)

    def connections(self, sigma):
        return self.wrong(self.right.connections(sigma))


BREAKERS = {
    "sites must be int32": lambda c: c._replace(values=c.values.astype(jnp.int32)),
    "sites and values must fit": lambda c: c._replace(values=c.values[:, :-1]),
    "sites must lie in the space": lambda c: c._replace(sites=c.sites + 1),
    "the sites of a connection must be distinct": lambda c: c._replace(
        sites=jnp.tile(c.sites, (1, 1, 2)), values=jnp.tile(c.values, (1, 1, 2))
    ),
    "elements must be finite": lambda c: c._replace(elements=c.elements / 0),
    "connections must lead to configurations": lambda c: c._replace(values=3 * c.values),
    "connections must differ": lambda c: c._replace(values=-c.values),
    "connections must differ from sigma and from one": lambda c: c._replace(
        sites=jnp.zeros_like(c.sites), values=jnp.repeat(c.values[:, :1], c.values.shape[1], axis=1)
    ),
}


@pytest.mark.parametrize("law", BREAKERS)
def test_check_operator_finds_broken_connections(law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_operator(Broken(Spin(6), BREAKERS[law]))


def test_check_operator_finds_broken_claims(monkeypatch) -> None:
    check_operator(Broken(Spin(6), is_hermitian=True))
    with pytest.raises(AssertionError, match="max_connections must bound"):
        check_operator(Broken(Spin(6), most=5))
    with pytest.raises(AssertionError, match="connections must lead to configurations of the space"):
        check_operator(Broken(Spin(6, total_sz=0)))
    imaginary = Broken(
        Spin(6), lambda c: c._replace(elements=jax.lax.complex(0 * c.elements, c.elements)), is_hermitian=True
    )
    with pytest.raises(AssertionError, match="is_hermitian must be true"):
        check_operator(imaginary)
    monkeypatch.setattr(Broken, "to_dense", lambda self: np.eye(64))
    with pytest.raises(AssertionError, match="to_dense must agree with the connections"):
        check_operator(Broken(Spin(6)))


@pytest.mark.parametrize(
    ("attribute", "wrong", "law"),
    [
        ("is_hermitian", property(lambda self: True), "is_hermitian must be true"),
        ("is_real", property(lambda self: True), "is_real must be true"),
        ("is_diagonal", property(lambda self: True), "is_diagonal must be true"),
        ("adjoint", lambda self: self, "conjugate of <sigma'|adjoint|sigma>"),
        ("__eq__", lambda self, other: self is other, "an operator must equal"),
        ("__eq__", lambda self, other: True, "operators with other couplings must differ"),
        ("__hash__", lambda self: id(self), "hash like, a copy"),
        ("compile", lambda self: with_constants(self), "must keep the structure"),
    ],
)
def test_check_operator_finds_broken_algebra(monkeypatch, attribute, wrong, law) -> None:
    operator = random_terms(Spin(4), 3, seed=9)
    check_operator(operator)
    monkeypatch.setattr(DiscreteOperator, attribute, wrong)
    with pytest.raises(AssertionError, match=law):
        check_operator(operator)


compile_right = DiscreteOperator.compile


def with_constants(operator: DiscreteOperator) -> CompiledOperator:
    """A compiled form whose structure depends on the value of a coupling."""
    constant = (float(operator.couplings[0]),)
    return BrokenCompiled(compile_right(operator), functools.partial(lambda _, connections: connections, constant))
