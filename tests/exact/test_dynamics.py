# SPDX-License-Identifier: Apache-2.0
"""Evolution, ensembles and parts of states against dense matrices and closed forms."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg

import manybody as mb
from manybody import exact
from manybody.hilbert import Fermion, Product, Qubit, Spin
from manybody.operator import LocalOperator, PauliStrings, fermion, spin

SPACE = Spin(5)
ISING = mb.hamiltonian.ising(SPACE, mb.lattice.chain(5), h=0.7)
RNG = np.random.default_rng(3)
PSI = RNG.normal(size=32) + 1j * RNG.normal(size=32)
PSI /= np.linalg.norm(PSI)
START, OMEGA = np.array([0.6, 0.8j]), 1.3


# --- evolution --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [[0.0, 0.3, 1.7], [2.0, 1.0], [0.5]])
def test_real_time(times):
    states = exact.evolve(ISING, PSI, times)
    for time, state in zip(times, states, strict=True):
        expected = scipy.linalg.expm(-1j * (time - times[0]) * ISING.to_dense()) @ PSI
        np.testing.assert_allclose(state, expected, atol=1e-12)


def test_imaginary_time():
    gapped = mb.hamiltonian.ising(SPACE, mb.lattice.chain(5), h=2.0)
    states = exact.evolve(gapped, PSI, [0.0, 0.4, 20.0], imaginary=True)
    expected = scipy.linalg.expm(-0.4 * gapped.to_dense()) @ PSI
    np.testing.assert_allclose(states[1], expected / np.linalg.norm(expected), atol=1e-12)
    ground = exact.ground_state(gapped).states[:, 0]
    assert abs(np.vdot(ground, states[-1])) == pytest.approx(1, abs=1e-9)


def turning(t):
    """In a frame that turns with the field it is constant: exp(i w t S_z)."""
    space = Spin(1)
    return 0.8 * (math.cos(OMEGA * t) * spin.sx(space, 0) + math.sin(OMEGA * t) * spin.sy(space, 0))


def turned(start, t):
    """The end in closed form."""
    sx, sz = (f(Spin(1), 0).to_dense() for f in (spin.sx, spin.sz))
    return scipy.linalg.expm(-1j * t * OMEGA * sz) @ scipy.linalg.expm(-1j * t * (0.8 * sx - OMEGA * sz)) @ start


@pytest.mark.parametrize("rtol", [1e-6, 1e-10, 1e-13])
@pytest.mark.parametrize("times", [[0.0, 1.1, 2.5], [0.0, -2.5]])
def test_a_turning_field(times, rtol):
    states = exact.evolve(turning, 2 * START, times, rtol=rtol)
    for time, state in zip(times, states, strict=True):
        np.testing.assert_allclose(state, 2 * turned(START, time), atol=20 * rtol)


def test_a_constant_hamiltonian_as_a_function_of_time():
    """Solved as a differential equation it agrees with the exponential, for 32 states and ten turns of the phase."""
    times = [0.3, 1.0, 8.0]
    found, expected = exact.evolve(lambda t: ISING, PSI, times), exact.evolve(ISING, PSI, times)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    gapped = mb.hamiltonian.ising(SPACE, mb.lattice.chain(5), h=2.0)
    # Without the norm kept, 1e+330.
    found = exact.evolve(lambda t: gapped, PSI, [0.0, 1.0, 70.0], imaginary=True, rtol=1e-8)
    expected = exact.evolve(gapped, PSI, [0.0, 1.0, 70.0], imaginary=True)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_field_that_is_switched_on():
    """Nothing happens at first, so the first step is a guess: cos and sin of the area of the pulse."""
    space = Spin(1)
    states = exact.evolve(lambda t: max(t - 1, 0.0) ** 3 * spin.sx(space, 0), [1, 0], [0.0, 1.0, 3.0])
    np.testing.assert_allclose(states[1], [1, 0], atol=1e-15)
    np.testing.assert_allclose(states[2], [math.cos(2.0), -1j * math.sin(2.0)], atol=1e-8)


@pytest.mark.parametrize(
    ("psi", "times", "message"),
    [(PSI[:-1], [0.0], r"`psi` must have shape \(32,\)"), (PSI, [], "times"), (PSI, [0.0, 1.0, 0.5], "be monotonic")],
)
def test_bad_evolutions(psi, times, message):
    with pytest.raises(ValueError, match=message):
        exact.evolve(ISING, psi, times)
    with pytest.raises(ValueError, match="rtol >= 1e-14"):
        exact.evolve(ISING, PSI, [0.0], rtol=1e-16)


# --- density matrices -------------------------------------------------------------------------------------------------


def master_equation(h, jumps):
    """The matrix of d rho / dt for rho row by row, from Kronecker products."""
    one = np.eye(len(h))
    total = -1j * (np.kron(h, one) - np.kron(one, h.T))
    for k in jumps:
        loss = k.conj().T @ k
        total += np.kron(k, k.conj()) - (np.kron(loss, one) + np.kron(one, loss.T)) / 2
    return total


@pytest.fixture
def open_chain():
    space = Spin(2)
    h = mb.hamiltonian.ising(space, mb.lattice.chain(2, periodic=False), h=0.7) + 0.2 * spin.sy(space, 1)
    jumps = [0.5 * spin.sm(space, 0), (0.3 + 0.4j) * spin.sz(space, 1) @ spin.sx(space, 0)]
    rho = PSI[:16].reshape(4, 4)
    rho = rho @ rho.conj().T
    return h, jumps, rho / np.trace(rho)


def test_density_matrices(open_chain):
    """Matrices, or the same row by row; and backwards in time."""
    h, jumps, rho = open_chain
    matrix = master_equation(h.to_dense(), [k.to_dense() for k in jumps])
    generator, times = mb.operator.Liouvillian(h, jumps), [0.2, 0.9, 2.0]
    states = exact.evolve(generator, rho, times)
    assert states.shape == (3, 4, 4)
    for time, state in zip(times, states, strict=True):
        expected = scipy.linalg.expm((time - times[0]) * matrix) @ rho.ravel()
        np.testing.assert_allclose(state.ravel(), expected, atol=1e-12)
        assert np.trace(state) == pytest.approx(1, rel=0, abs=1e-13)
    np.testing.assert_allclose(exact.evolve(generator, rho.ravel(), times), states.reshape(3, 16), atol=1e-15)
    np.testing.assert_allclose(exact.evolve(generator, states[-1], times[::-1])[-1], rho, atol=1e-11)


def test_density_matrices_as_functions_of_time(open_chain):
    h, jumps, rho = open_chain
    generator = mb.operator.Liouvillian(h, jumps)
    found = exact.evolve(lambda t: math.cos(t) * generator, rho, [0.0, 1.5])[-1]
    matrix = master_equation(h.to_dense(), [k.to_dense() for k in jumps])
    expected = scipy.linalg.expm(math.sin(1.5) * matrix) @ rho.ravel()  # it commutes with itself at all times
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-9)
    assert np.trace(found) == pytest.approx(1, rel=0, abs=1e-13)


def test_a_driven_spin_that_decays():
    """On resonance, damped at rate g: from the ground state p_up(t) obeys the damped Rabi formula.

    p = W^2 / (g^2 + 2 W^2) (1 - e^(-3 g t / 4) (cos(m t) + 3 g / (4 m) sin(m t))), m^2 = W^2 - (g / 4)^2 (H. J.
    Carmichael, Statistical Methods in Quantum Optics 1, section 2.3), with the drive turning at any frequency.
    """
    space, w, g = Spin(1), 1.7, 0.6
    fixed = mb.operator.Liouvillian(OMEGA * spin.sz(space, 0), [math.sqrt(g) * spin.sm(space, 0)])
    x, y = (mb.operator.Liouvillian(w * f(space, 0)) for f in (spin.sx, spin.sy))

    def generator(t):
        return fixed + math.cos(OMEGA * t) * x + math.sin(OMEGA * t) * y

    times = np.array([0.0, 0.5, 2.0, 4.0])
    states = exact.evolve(generator, np.diag([0.0, 1.0]), times, rtol=1e-8)
    m = math.sqrt(w**2 - (g / 4) ** 2)
    rabi = np.exp(-0.75 * g * times) * (np.cos(m * times) + 0.75 * g / m * np.sin(m * times))
    np.testing.assert_allclose(states[:, 0, 0], w**2 / (g**2 + 2 * w**2) * (1 - rabi), atol=1e-7)
    np.testing.assert_allclose(states[:, 0, 0] + states[:, 1, 1], 1, atol=1e-13)


def test_bad_density_matrices(open_chain):
    h, jumps, rho = open_chain
    generator = mb.operator.Liouvillian(h, jumps)
    with pytest.raises(ValueError, match=r"`psi` must have shape \(16,\) or \(4, 4\)"):
        exact.evolve(generator, rho[:2], [0.0])
    with pytest.raises(ValueError, match="`imaginary` must be False"):
        exact.evolve(generator, rho, [0.0], imaginary=True)
    with pytest.raises(ValueError, match=r"`psi` must have shape \(4,\)"):
        exact.evolve(h, rho, [0.0])


# --- ensembles --------------------------------------------------------------------------------------------------------


def test_thermal():
    beta = np.array([0.0, 0.3, 2.0])
    magnet = sum(spin.sigmax(SPACE, i) for i in range(5))
    result = exact.thermal(ISING, beta, [magnet, spin.sigmay(SPACE, 0)])
    h, x = ISING.to_dense(), magnet.to_dense()
    for i, b in enumerate(beta):
        boltzmann = scipy.linalg.expm(-b * h)
        z = np.trace(boltzmann).real
        rho = boltzmann / z
        energy = np.trace(rho @ h).real
        assert result.energy[i] == pytest.approx(energy)
        assert result.heat_capacity[i] == pytest.approx(b**2 * (np.trace(rho @ h @ h).real - energy**2), abs=1e-10)
        assert result.entropy[i] == pytest.approx(np.log(z) + b * energy)
        assert result.free_energy[i] == pytest.approx(-np.log(z) / b if b else -np.inf)
        assert result.values[0, i] == pytest.approx(np.trace(rho @ x))
        assert result.values[1, i] == pytest.approx(0, abs=1e-12)


def test_thermal_at_low_temperature_does_not_overflow():
    result = exact.thermal(ISING, 1e4)
    assert result.energy[0] == pytest.approx(exact.ground_state(ISING).energies[0])
    assert result.entropy[0] == pytest.approx(0, abs=1e-6)


def test_bad_ensembles():
    with pytest.raises(ValueError, match="beta"):
        exact.thermal(ISING, -1.0)
    with pytest.raises(ValueError, match="be Hermitian"):
        exact.thermal(spin.sp(SPACE, 0), 1.0)
    with pytest.raises(ValueError, match="at most 16384 states"):
        exact.spectrum(mb.operator.identity(Spin(15)))


def test_a_decaying_spin():
    # d rho_up / dt = -gamma rho_up, coherences decay at half the rate and turn with the field.
    space, gamma, field = Spin(1), 0.7, 1.9
    generator = mb.operator.Liouvillian(field * spin.sz(space, 0), [math.sqrt(gamma) * spin.sm(space, 0)])
    rho = np.array([[0.75, 0.25 - 0.1j], [0.25 + 0.1j, 0.25]])
    time = 1.3
    later = (scipy.linalg.expm(time * generator.to_dense()) @ rho.ravel()).reshape(2, 2)
    up = 0.75 * math.exp(-gamma * time)
    off = (0.25 - 0.1j) * np.exp(-(gamma / 2 + 1j * field) * time)
    np.testing.assert_allclose(later, [[up, off], [np.conj(off), 1 - up]], atol=1e-12)


# --- spectra ----------------------------------------------------------------------------------------------------------


def test_full_spectrum():
    energies, states = exact.spectrum(ISING)
    h = ISING.to_dense()
    np.testing.assert_allclose(energies, np.linalg.eigvalsh(h), atol=1e-12)
    np.testing.assert_allclose(h @ states, states * energies, atol=1e-12)


@pytest.mark.parametrize("k", [1, 4])
def test_without_a_matrix(k):
    operator = mb.hamiltonian.heisenberg(Spin(12, total_sz=0), mb.lattice.chain(12))
    with_matrix = exact.ground_state(operator, k)
    without = exact.ground_state(operator, k, matrix_free=True)
    np.testing.assert_allclose(without.energies, with_matrix.energies, atol=1e-9)


@pytest.mark.parametrize("vector", [np.arange(32.0), PSI])
def test_linear_operator(vector):
    operator = ISING + 0.3 * spin.sy(SPACE, 1)
    linear = exact.linear_operator(operator)
    np.testing.assert_allclose(linear @ vector, operator.to_dense() @ vector, atol=1e-12)
    skew = exact.linear_operator(spin.sp(SPACE, 2) @ spin.sz(SPACE, 0))
    np.testing.assert_allclose(skew.rmatvec(vector), skew.matmat(np.eye(32)).conj().T @ vector, atol=1e-12)


def bethe(n_sites):
    """Energy of the Heisenberg ring from the Bethe equations 2 N atan(2 x_j) = 2 pi I_j + 2 sum_k atan(x_j - x_k)."""
    n_magnons = n_sites // 2
    number = np.arange(n_magnons) - (n_magnons - 1) / 2
    x = np.zeros(n_magnons)
    for _ in range(1000):
        phase = np.pi * number + np.arctan(x[:, None] - x[None]).sum(axis=1)
        x = (x + np.tan(phase / n_sites) / 2) / 2
    return n_sites / 4 - np.sum(0.5 / (x**2 + 0.25))


@pytest.mark.parametrize("matrix_free", [False, True])
def test_heisenberg_ring(matrix_free):
    operator = mb.hamiltonian.heisenberg(Spin(14, total_sz=0), mb.lattice.chain(14))
    energies, states = exact.ground_state(operator, matrix_free=matrix_free)
    assert energies[0] == pytest.approx(bethe(14), rel=0, abs=1e-11)
    np.testing.assert_allclose(operator.to_sparse() @ states, energies * states, rtol=0, atol=1e-11)


FOUR_AND_TWENTY = """
import resource
import manybody as mb
operator = mb.hamiltonian.heisenberg(mb.hilbert.Spin(24, total_sz=0), mb.lattice.chain(24))
energy = mb.exact.ground_state(operator, matrix_free=True).energies[0]
print(energy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_24_spins_without_a_matrix_take_less_than_a_gigabyte():
    """2,704,156 states; measured in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FOUR_AND_TWENTY], check=True, capture_output=True, text=True)
    energy, megabytes = map(float, done.stdout.split())
    assert energy == pytest.approx(bethe(24), rel=0, abs=1e-9)
    assert megabytes < 1024


@pytest.mark.slow
def test_24_spins():
    operator = mb.hamiltonian.heisenberg(Spin(24, total_sz=0), mb.lattice.chain(24))
    assert exact.ground_state(operator).energies[0] == pytest.approx(bethe(24), rel=0, abs=1e-9)


# --- parts of states --------------------------------------------------------------------------------------------------


def test_singlet():
    space = Spin(2, total_sz=0)
    singlet = np.array([1.0, -1.0])
    np.testing.assert_allclose(exact.reduced_density_matrix(space, singlet, [0]), np.eye(2) / 2, atol=1e-15)
    for alpha in (0.5, 1.0, 2.0):
        assert exact.entanglement_entropy(space, singlet, [1], alpha=alpha) == pytest.approx(math.log(2))


def test_reduced_density_matrix_gives_expectation_values():
    for space, matrix in ((SPACE, None), (Product(Qubit(2), Spin(2, s=1)), None)):
        psi = RNG.normal(size=space.n_states) + 1j * RNG.normal(size=space.n_states)
        sites = [3, 0]
        size = math.prod(space.local_dimensions[s] for s in sites)
        matrix = RNG.normal(size=(size, size))
        matrix = matrix + matrix.T
        rho = exact.reduced_density_matrix(space, psi, sites)
        operator = LocalOperator(space, [(sites, matrix)])
        assert np.trace(rho) == pytest.approx(1)
        assert np.trace(rho @ matrix).real == pytest.approx(exact.expectation(operator, psi))


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_both_parts_have_the_same_entropy(alpha):
    space = Spin(6, total_sz=1)
    psi = RNG.normal(size=space.n_states)
    one = exact.entanglement_entropy(space, psi, [0, 4], alpha=alpha)
    other = exact.entanglement_entropy(space, psi, [1, 2, 3, 5], alpha=alpha)
    assert one == pytest.approx(other)
    p = np.linalg.eigvalsh(exact.reduced_density_matrix(space, psi, [0, 4]))
    p = p[p > 1e-15]
    expected = -np.sum(p * np.log(p)) if alpha == 1 else np.log(np.sum(p**alpha)) / (1 - alpha)
    assert one == pytest.approx(expected)


@pytest.mark.parametrize("modes", [[0, 1], [1, 3], [4, 0, 2]])
def test_free_fermions_have_the_entropy_of_their_correlations(modes):
    """Also of modes that are not the first ones (I. Peschel, J. Phys. A 36, L205 (2003))."""
    space = Fermion(6, 3)
    operator = mb.hamiltonian.t_v(space, mb.lattice.chain(6, periodic=False), V=0.0)
    psi = exact.ground_state(operator).states[:, 0]
    _, orbitals = np.linalg.eigh(-np.eye(6, k=1) - np.eye(6, k=-1))
    correlation = (orbitals[:, :3] @ orbitals[:, :3].T)[np.ix_(modes, modes)]
    z = np.linalg.eigvalsh(correlation)
    expected = -np.sum(z * np.log(z) + (1 - z) * np.log(1 - z))
    assert exact.entanglement_entropy(space, psi, modes) == pytest.approx(expected)


def test_reduced_density_matrix_of_modes_in_any_order():
    full, modes = Fermion(5), [3, 1, 4]
    psi = RNG.normal(size=32) + 1j * RNG.normal(size=32)
    psi[full.all_states().sum(axis=1) % 2 == 1] = 0.0  # a state of definite parity
    rho, part = exact.reduced_density_matrix(full, psi, modes), Fermion(3)
    for i, j in itertools.product(range(3), repeat=2):
        inside = fermion.create(part, i) @ fermion.destroy(part, j)
        outside = fermion.create(full, modes[i]) @ fermion.destroy(full, modes[j])
        assert np.trace(rho @ inside.to_dense()) == pytest.approx(exact.expectation(outside, psi))


# --- correlations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
def test_correlations(connected):
    first, second = [spin.sp(SPACE, 0), spin.sz(SPACE, 1)], [spin.sx(SPACE, i) for i in range(3)]
    found = exact.correlations(first, second, 2.0 * PSI, connected=connected)
    for i, j in itertools.product(range(2), range(3)):
        a, b = first[i].to_dense(), second[j].to_dense()
        expected = PSI.conj() @ a @ b @ PSI - connected * (PSI.conj() @ a @ PSI) * (PSI.conj() @ b @ PSI)
        assert found[i, j] == pytest.approx(expected, rel=0, abs=1e-13)


@pytest.mark.parametrize("times", [[0.0, 0.4, 1.1], [-0.3]])
def test_dynamical_correlations(times):
    first, second = [spin.sz(SPACE, 0), spin.sp(SPACE, 1)], [spin.sx(SPACE, 2)]
    found = exact.dynamical_correlations(ISING, first, second, PSI, times)
    assert found.shape == (len(times), 2, 1)
    for k, time in enumerate(times):
        u = scipy.linalg.expm(-1j * time * ISING.to_dense())
        for i, a in enumerate(first):
            expected = PSI.conj() @ u.conj().T @ a.to_dense() @ u @ second[0].to_dense() @ PSI
            assert found[k, i, 0] == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "psi", "message"),
    [([], PSI, "be one or more"), ([spin.sz(Spin(4), 0)], PSI, "act on"), ([spin.sz(SPACE, 0)], PSI[:3], "have shape")],
)
def test_bad_correlations(first, psi, message):
    with pytest.raises(ValueError, match=message):
        exact.correlations(first, [spin.sz(SPACE, 0)], psi)


def test_expectation():
    operator = PauliStrings(SPACE, ["XIIII"])
    assert isinstance(exact.expectation(operator, PSI), float)
    assert exact.expectation(spin.sp(SPACE, 0), PSI) == pytest.approx(np.vdot(PSI, spin.sp(SPACE, 0).to_dense() @ PSI))


@pytest.mark.parametrize(
    ("sites", "message"), [([0, 0], "be distinct"), ([5], "0 <= site <= 4"), ([-1], "0 <= site <= 4")]
)
def test_bad_parts(sites, message):
    with pytest.raises(ValueError, match=message):
        exact.entanglement_entropy(SPACE, PSI, sites)


def test_bad_states():
    with pytest.raises(ValueError, match="have shape"):
        exact.expectation(ISING, PSI[:3])
    with pytest.raises(ValueError, match="not vanish"):
        exact.expectation(ISING, 0 * PSI)
    with pytest.raises(ValueError, match="alpha"):
        exact.entanglement_entropy(SPACE, PSI, [0], alpha=0.0)
