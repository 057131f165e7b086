# SPDX-License-Identifier: Apache-2.0
"""QuTiP: its operators and superoperators against ours, and round trips."""

import sys

import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Constrained, Doubled, Fermion, Fock, Parity, Product, Qubit, Spin
from manybody.operator import LocalOperator, boson, fermion, from_qutip, identity, spin, to_qutip
from tests.operator.kronecker import random_matrix

qutip = pytest.importorskip("qutip")


def on_site(operator, site: int, dimensions: tuple[int, ...]):
    factors = [qutip.qeye(d) for d in dimensions]
    factors[site] = operator
    return qutip.tensor(factors)


def assert_same(one, other) -> None:
    assert one.dims == other.dims
    np.testing.assert_allclose(one.full(), other.full(), rtol=0, atol=1e-12)


# --- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [0.5, pytest.param(1, marks=pytest.mark.slow), 1.5])
@pytest.mark.parametrize("axis", ["x", "y", "z", "+", "-"])
def test_spins(s, axis):
    space = Spin(2, s)
    ours = {"x": spin.sx, "y": spin.sy, "z": spin.sz, "+": spin.sp, "-": spin.sm}[axis](space, 1)
    theirs = on_site(qutip.jmat(s, axis), 1, space.local_dimensions)
    assert_same(to_qutip(ours), theirs)
    np.testing.assert_allclose(from_qutip(theirs, space).to_dense(), ours.to_dense(), rtol=0, atol=1e-12)


def test_paulis_and_qubits():
    space = Qubit(3)
    product = spin.sigmax(space, 0) @ spin.sigmay(space, 2)
    theirs = qutip.tensor(qutip.sigmax(), qutip.qeye(2), qutip.sigmay())
    assert_same(to_qutip(product), theirs)
    assert from_qutip(theirs, space) == product


def test_bosons_and_products():
    space = Product(Spin(1, s=1), Fock(2, n_max=(2, 4)))
    hop = boson.create(Fock(2, n_max=(2, 4)), 0) @ boson.destroy(Fock(2, n_max=(2, 4)), 1)
    ours = mb.operator.on_part(hop, space, 1) + mb.operator.on_part(spin.sz(Spin(1, s=1), 0), space, 0)
    jump = on_site(qutip.create(3), 1, (3, 3, 5)) * on_site(qutip.destroy(5), 2, (3, 3, 5))
    theirs = jump + on_site(qutip.jmat(1, "z"), 0, (3, 3, 5))
    assert_same(to_qutip(ours), theirs)
    np.testing.assert_allclose(from_qutip(theirs, space).to_dense(), ours.to_dense(), rtol=0, atol=1e-12)


def test_fermions():
    for site in range(3):
        assert_same(to_qutip(fermion.destroy(Fermion(3), site)), qutip.fdestroy(3, site))
        assert from_qutip(qutip.fcreate(3, site), Fermion(3)).to_dense().tolist() == (
            fermion.create(Fermion(3), site).to_dense().tolist()
        )


SPACES = {
    "spins": Spin(3),
    "spins 1": Spin(2, s=1),
    "mixed": Product(Fock(1, n_max=3), Qubit(2)),
    "sector": Spin(4, total_sz=0),
    "bosons in a sector": Fock(3, n_max=2, n_particles=2),
    "constrained": Constrained(Qubit(4), Parity(Qubit(4), [(0, 1, 3)])),
    "doubled": Doubled(Spin(2)),
    "doubled sector": Doubled(Spin(3, total_sz=0.5)),
    "doubled bosons": Doubled(Fock(1, n_max=3)),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_round_trips(space):
    matrix = random_matrix(np.random.default_rng(0), space.n_states, "complex")
    ours = mb.operator.from_sparse(space, matrix)
    theirs = to_qutip(ours)
    np.testing.assert_allclose(from_qutip(theirs, space).to_dense(), matrix, rtol=0, atol=1e-12)
    assert_same(to_qutip(from_qutip(theirs, space)), theirs)
    assert theirs.issuper == isinstance(space, Doubled)
    if not theirs.issuper:
        np.testing.assert_allclose(theirs.full(), matrix, rtol=0, atol=1e-12)
        plain = qutip.Qobj(matrix)
        np.testing.assert_allclose(from_qutip(plain, space).to_dense(), matrix, rtol=0, atol=1e-12)


def test_dims_of_sectors():
    assert to_qutip(identity(Spin(4, total_sz=0))).dims == [[6], [6]]
    assert to_qutip(identity(Doubled(Spin(4, total_sz=0)))).dims == [[[6], [6]], [[6], [6]]]
    assert to_qutip(identity(Fock(1, n_max=2, n_particles=1))).dims == [[1], [1]]


def test_dynamics_of_a_model():
    space = Spin(5, total_sz=0.5)
    model = mb.hamiltonian.xxz(space, mb.lattice.chain(5), Delta=0.4)
    levels = to_qutip(model).eigenenergies()
    np.testing.assert_allclose(levels, mb.exact.spectrum(model).energies, atol=1e-12)
    assert to_qutip(mb.hamiltonian.heisenberg(Spin(10), mb.lattice.chain(10))).dtype is qutip.data.CSR


# --- superoperators ---------------------------------------------------------------------------------------------------

OPEN = {
    "spins": (
        lambda space: 0.7 * spin.sz(space, 0) @ spin.sy(space, 1) + spin.sx(space, 0) + 0.3 * spin.sy(space, 1),
        lambda space: [spin.sm(space, 0), (0.2 + 0.5j) * spin.sp(space, 1) + 0.1 * spin.sz(space, 1)],
        Spin(2),
    ),
    "bosons": (
        lambda space: boson.number(space, 0) + 1j * (boson.create(space, 0) - boson.destroy(space, 0)),
        lambda space: [boson.destroy(space, 0) + 0.3j],
        Fock(1, n_max=3),
    ),
    "fermions": (
        lambda space: mb.hamiltonian.t_v(space, mb.lattice.chain(3, twist=0.4)),
        lambda space: [fermion.destroy(space, 2), 0.5j * fermion.create(space, 0)],
        Fermion(3),
    ),
    "sector": (
        lambda space: mb.hamiltonian.heisenberg(space, mb.lattice.chain(4)),
        lambda space: [(spin.sp(Spin(4), 1) @ spin.sm(Spin(4), 0)).on(space)],
        Spin(4, total_sz=0),
    ),
    "closed": (lambda space: spin.sigmay(space, 0), lambda space: [], Qubit(1)),
}


@pytest.mark.parametrize("case", OPEN)
def test_liouvillians(case):
    make_hamiltonian, make_jumps, space = OPEN[case]
    hamiltonian, jumps = make_hamiltonian(space), make_jumps(space)
    generator = mb.operator.Liouvillian(hamiltonian, jumps)
    theirs = qutip.liouvillian(to_qutip(hamiltonian), [to_qutip(jump) for jump in jumps])
    assert theirs.superrep == to_qutip(generator).superrep == "super"
    assert_same(to_qutip(generator), theirs)
    assert from_qutip(theirs, generator.space).space == Doubled(space)
    np.testing.assert_allclose(from_qutip(theirs, generator.space).to_dense(), generator.to_dense(), rtol=0, atol=1e-12)


def test_the_steady_state_of_both():
    make_hamiltonian, make_jumps, space = OPEN["spins"]
    generator = mb.operator.Liouvillian(make_hamiltonian(space), make_jumps(space))
    theirs = qutip.steadystate(to_qutip(generator))
    np.testing.assert_allclose(mb.exact.steady_state(generator), theirs.full(), atol=1e-10)


def test_left_and_right_multiplication():
    """Which side an operator stands on, and that it is transposed there and not conjugated."""
    space, matrix = Fock(1, n_max=2), random_matrix(np.random.default_rng(1), 3, "complex")
    ours = LocalOperator(space, [((0,), matrix)])
    assert_same(to_qutip(mb.operator.lindblad.left(ours)), qutip.spre(qutip.Qobj(matrix)))
    assert_same(to_qutip(mb.operator.lindblad.right(ours)), qutip.spost(qutip.Qobj(matrix)))


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: from_qutip(qutip.sigmax(), Spin(2)), ValueError, r"`operator` must have dims \[\[2, 2\], \[2, 2\]\]"),
        (
            lambda: from_qutip(qutip.tensor(qutip.qeye(3), qutip.qeye(2)), Fock(2, n_max=(1, 2))),
            ValueError,
            r"dims \[\[2, 3\], \[2, 3\]\], .* got \[\[3, 2\], \[3, 2\]\]",
        ),
        (lambda: from_qutip(qutip.basis(2, 0), Spin(1)), ValueError, "have dims"),
        (lambda: from_qutip(qutip.qeye(16), Spin(4, total_sz=0)), ValueError, r"dims \[\[6\], \[6\]\]"),
        (lambda: from_qutip(qutip.qeye(4), Doubled(Spin(1))), ValueError, r"dims \[\[\[2\], .* got \[\[4\], \[4\]\]"),
        (
            lambda: from_qutip(qutip.to_choi(qutip.spre(qutip.sigmax())), Doubled(Spin(1))),
            ValueError,
            "got choi. Call qutip.to_super.",
        ),
        (lambda: from_qutip(np.eye(2), Spin(1)), TypeError, "`operator` must be a Qobj"),
        (lambda: from_qutip(qutip.sigmax(), 2), TypeError, "`space` must be a DiscreteSpace"),
        (lambda: from_qutip(np.nan * qutip.sigmax(), Spin(1)), ValueError, "`matrix` must be finite"),
        (lambda: to_qutip(np.eye(2)), TypeError, "`operator` must be a Operator"),
        (lambda: to_qutip(spin.sx(Spin(40), 0)), ValueError, r"fewer than 2\^31 states"),
    ],
)  # fmt: skip
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_without_qutip(monkeypatch):
    monkeypatch.setitem(sys.modules, "qutip", None)
    for call in (lambda: to_qutip(identity(Spin(1))), lambda: from_qutip(None, Spin(1))):
        with pytest.raises(ImportError, match=r'needs qutip: pip install "manybody\[interop\]"'):
            call()
