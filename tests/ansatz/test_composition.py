# SPDX-License-Identifier: Apache-2.0
"""Wave functions made of others; the laws that all ansatzes obey are in tests/contract."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import hamiltonian
from manybody.ansatz import MLP, RBM, Jastrow, MeanField, Symmetrised
from manybody.ansatz.composition import ModulusPhase, Product, Sum
from manybody.ansatz.sign_rule import MarshallSign
from manybody.ansatz.symmetrised import spin_inversion
from manybody.hilbert import Fock, Qubit, Spin
from manybody.lattice import chain, square, triangular

SPACE = Spin(6)
SIGMA = SPACE.all_states()


def made(ansatz, sigma=SIGMA, seed=0):
    variables = ansatz.init(jax.random.key(seed), sigma)
    return variables, np.asarray(ansatz.apply(variables, sigma))


def values_of(variables, name, part):
    """log psi of one part with the parameters it has in the whole."""
    return np.asarray(part.apply({"params": variables["params"][name]}, SIGMA))


def test_product_multiplies():
    parts = Jastrow(), RBM(param_dtype=complex)
    ansatz = Product(parts)
    variables, log_psi = made(ansatz)
    expected = sum(values_of(variables, f"factors_{k}", part) for k, part in enumerate(parts))
    np.testing.assert_allclose(log_psi, expected, rtol=1e-13)
    assert np.ptp(log_psi.real) > 0.01


@pytest.mark.parametrize("dtype", [float, complex])
def test_sum_adds_with_weights(dtype):
    parts = RBM(param_dtype=dtype), MeanField(param_dtype=dtype), Jastrow(param_dtype=dtype)
    ansatz = Sum(parts, dtype, nn.initializers.normal(1.0))
    variables, log_psi = made(ansatz)
    weights = np.exp(np.asarray(variables["params"]["weight"]))
    psi = sum(weights[k] * np.exp(values_of(variables, f"terms_{k}", part)) for k, part in enumerate(parts))
    np.testing.assert_allclose(np.exp(log_psi), psi, rtol=1e-12)
    assert np.ptp(weights.real) > 0.1
    assert np.iscomplexobj(log_psi) == (dtype is complex)


def test_sum_of_states_that_cancel():
    ansatz = Sum((MeanField(), MeanField()), complex)
    variables, _ = made(ansatz)
    same = {**variables["params"], "terms_1": variables["params"]["terms_0"], "weight": jnp.array([0.0, 1j * np.pi])}
    assert np.all(np.isneginf(ansatz.apply({"params": same}, SIGMA).real))


def test_modulus_and_phase():
    ansatz = ModulusPhase(RBM(), MLP())
    variables, log_psi = made(ansatz)
    np.testing.assert_allclose(log_psi.real, values_of(variables, "modulus", RBM()), rtol=1e-13)
    np.testing.assert_allclose(log_psi.imag, values_of(variables, "phase", MLP()), rtol=1e-13)


@pytest.mark.parametrize(
    "ansatz", [ModulusPhase(RBM(param_dtype=complex), MLP()), ModulusPhase(RBM(), MeanField(complex))]
)
def test_complex_parts_of_modulus_and_phase(ansatz):
    with pytest.raises(TypeError, match="must have real values, got complex128"):
        made(ansatz)


def test_parts_without_methods_for_changes():
    """They are evaluated; the sum of both is still right after changes that are accepted or not, or tried before."""
    whole = Symmetrised(RBM(param_dtype=complex), chain(6).translation_group(), SPACE)
    sites = np.tile(np.array([[0, 3]], np.int32), (len(SIGMA), 1))
    values = -np.take_along_axis(SIGMA, sites, axis=1)
    accepted = np.arange(len(SIGMA)) % 3 == 0
    for ansatz in (Product((whole, Jastrow())), Sum((whole, Jastrow())), ModulusPhase(MeanField(), MLP())):
        variables, log_psi = made(ansatz)
        new = SIGMA.copy()
        np.put_along_axis(new, sites, values, axis=1)
        cache = ansatz.apply(variables, SIGMA, method="init_cache")
        ratio = ansatz.apply(variables, cache, sites, values, method="log_ratio")
        np.testing.assert_allclose(np.exp(ratio), np.exp(ansatz.apply(variables, new) - log_psi), rtol=1e-12)
        updated = ansatz.apply(variables, cache, sites, values, accepted, method="update_cache")
        fresh = ansatz.apply(variables, np.where(accepted[:, None], new, SIGMA), method="init_cache")
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), updated, fresh)
        tried, trial = ansatz.apply(variables, cache, sites, values, method="try_change")
        np.testing.assert_array_equal(tried, ratio)
        made_known = ansatz.apply(variables, cache, trial, sites, values, accepted, method="commit")
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), made_known, fresh)


# --- signs and parity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "space", "lattice"),
    [
        (hamiltonian.heisenberg, Spin(6), chain(6)),
        (hamiltonian.heisenberg, Spin(4, s=1), chain(4)),
        (hamiltonian.ising, Qubit(4), square(2)),
        (hamiltonian.bose_hubbard, Fock(4, 2), chain(4)),
    ],
)
def test_marshall_sign_is_that_of_the_conjugated_hamiltonian(make, space, lattice):
    """H conjugated by the sign, and H itself, differ by the signs of rows and columns."""
    operator = make(space, lattice)
    sign = np.exp(MarshallSign(space, lattice).apply({}, space.all_states()))
    np.testing.assert_allclose(sign.imag, 0, atol=1e-15)
    np.testing.assert_allclose(np.abs(sign), 1)
    rotated = hamiltonian.marshall(operator, lattice).to_dense()
    np.testing.assert_allclose(rotated, sign.real[:, None] * operator.to_dense() * sign.real, atol=1e-13)
    given = MarshallSign(space, lattice.sublattices().tolist())
    np.testing.assert_array_equal(np.exp(given.apply({}, space.all_states())), sign)
    sites, values = np.array([[1, 2]]), space.random_state(jax.random.key(1), 1)[:, 1:3]
    sigma = space.random_state(jax.random.key(2), 1)
    cache = given.apply({}, sigma, method="init_cache")
    new = np.asarray(sigma).copy()
    new[0, 1:3] = values[0]
    ratio = given.apply({}, cache, sites, values, method="log_ratio")
    np.testing.assert_allclose(np.exp(ratio), np.exp(given.apply({}, new) - given.apply({}, sigma)), atol=1e-14)


def hopping(space, lattice):
    from manybody.operator import boson

    if isinstance(space, Fock):
        return sum(
            boson.create(space, i) @ boson.destroy(space, j) + boson.create(space, j) @ boson.destroy(space, i)
            for i, j in lattice.bonds().tolist()
        )
    return hamiltonian.ising(space, lattice)


def test_bad_sublattices():
    with pytest.raises(ValueError, match="bipartite"):
        MarshallSign(Spin(9), triangular(3))
    with pytest.raises(ValueError, match="`sublattice` must give 0 or 1 for each of the 4 sites"):
        MarshallSign(Spin(4), [0, 1, 2, 0])


@pytest.mark.parametrize("parity", [1, -1])
def test_spin_inversion(parity):
    variables, log_psi = made(spin_inversion(RBM(param_dtype=complex), SPACE, parity))
    psi = np.exp(log_psi)
    np.testing.assert_allclose(psi[::-1], parity * psi, atol=1e-13)
    plain = np.exp(RBM(param_dtype=complex).apply({"params": variables["params"]["ansatz"]}, SIGMA))
    np.testing.assert_allclose(psi, (plain + parity * plain[::-1]) / 2, atol=1e-13)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Product(()), ValueError, "`factors` must name at least one module"),
        (lambda: Product([RBM()]), TypeError, "`factors` must be a tuple"),
        (lambda: Sum((RBM(), 3)), TypeError, "`terms` must be a Module"),
        (lambda: Sum((RBM(),), int), TypeError, "`param_dtype` must be a floating-point type"),
        (lambda: ModulusPhase(RBM(), None), TypeError, "`phase` must be a Module"),
        (lambda: spin_inversion(RBM(), SPACE, 0), ValueError, "inversion"),
        (lambda: MarshallSign(4, chain(4)), TypeError, "`space` must be a DiscreteSpace"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
