# SPDX-License-Identifier: Apache-2.0
"""The group-convolutional network: its formula, its sectors, and the two ways to compute it."""

import cmath

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState
from manybody.ansatz import GCNN
from manybody.ansatz._layout import commuting_subgroup, cyclic_factors, grid
from manybody.ansatz.gcnn import reim_selu
from manybody.driver import VMC
from manybody.hamiltonian import heisenberg
from manybody.hilbert import Fermion, Fock, Qubit, Spin
from manybody.lattice import Lattice, chain, kagome, square
from manybody.sampler import Exact
from manybody.sr import SR
from manybody.symmetry import Action, FiniteGroup, Permutation, PermutationGroup, Sector, TableGroup, direct_product
from tests.ansatz.sectors import amplitudes, assert_in_sector, projector, random_parameters
from tests.cases import some_slow

RING = chain(6).space_group()
SPIN = Spin(6)
CUBE = PermutationGroup.generated([Permutation([1, 2, 3, 0]), Permutation([1, 0, 2, 3])])  # of the diagonals: S_4
SKEWED = Lattice(np.eye(2), [[2, 1], [-1, 3]])  # seven sites, whose translations are one cyclic group


# --- the formula ------------------------------------------------------------------------------------------------------


def by_loops(params, group, matrices, signs, inputs, n_layers, residual, activation):
    """psi of one configuration; `inputs` (order, sites) are the numbers that g sigma shows to the network."""
    n = group.order
    kernel, bias = params["kernel_0"], params.get("bias_0")
    x = [
        [sum(inputs[g][i] * kernel[i, f] for i in range(len(kernel))) for f in range(kernel.shape[1])] for g in range(n)
    ]
    x = np.array(x) + (0 if bias is None else bias)
    for layer in range(1, n_layers):
        kernel, bias = params[f"kernel_{layer}"], params.get(f"bias_{layer}")
        y = np.zeros((n, kernel.shape[2]), x.dtype)
        for g in range(n):
            for k in range(n):
                u = int(group.multiply(k, group.inverse[g]))
                y[g] += activation(x[k]) @ kernel[u]
        y = y + (0 if bias is None else bias)
        x = x + y if residual else y
    return sum(matrices[g] * signs[g] * sum(cmath.exp(z) for z in x[g]) for g in range(n)) / (n * x.shape[1])


@pytest.mark.parametrize(
    "options",
    [
        {"features": (3,)},
        {"features": (2, 3, 2)},
        {"features": (2, 2, 2), "residual": True},
        {"features": (2, 2), "use_bias": False, "activation": jnp.tanh},
        {"features": (2, 2), "param_dtype": complex},
        {"features": (2, 2), "row": 1},
    ],
    ids=lambda options: "-".join(options),
)
def test_formula(options):
    sector = Sector(RING, RING.n_irreps - 1)
    ansatz = GCNN(sector, mode="fft", **options)
    row = options.get("row", 0)
    sigma = np.int8([[1, -1, 1, 1, -1, -1], [1, 1, 1, -1, 1, -1]])
    params = random_parameters(ansatz, sigma, 0.4)["params"]
    assert ("bias_0" in params) == options.get("use_bias", True)
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(options.get("param_dtype", float))}
    found = np.exp(np.asarray(jax.jit(ansatz.apply)({"params": params}, sigma)))
    for one, psi in zip(sigma, found, strict=True):
        seen = np.array([one[np.argsort(moves)] for moves in RING.sites], float)
        matrices = sector.dimension * sector.matrices[:, row, row]
        activation = options.get("activation", reim_selu)
        n_layers = len(options["features"])
        residual = options.get("residual", False)
        expected = by_loops(
            params,
            RING,
            matrices,
            np.ones(12),
            seen,
            n_layers,
            residual,
            lambda x, a=activation: np.asarray(a(jnp.asarray(x))),
        )
        np.testing.assert_allclose(psi, expected, rtol=1e-12)


def test_fermions_see_their_levels_as_spins():
    """Empty is 1, occupied -1; the signs are those of the modes."""
    group, space = chain(4).space_group(), Fermion(4, n_fermions=2)
    sector = Sector(group, 1)
    ansatz = GCNN(sector, (2, 2), space)
    sigma = space.all_states()
    params = random_parameters(ansatz, sigma, 0.4)["params"]
    found = np.exp(np.asarray(jax.jit(ansatz.apply)({"params": params}, sigma)))
    action = Action(group, space)
    images, signs = np.asarray(action.images(sigma)), np.asarray(action.signs(sigma))
    for s in range(len(sigma)):
        chi, selu = sector.characters, lambda x: np.asarray(reim_selu(jnp.asarray(x)))
        expected = by_loops(params, group, chi, signs[s], 1.0 - 2 * images[s], 2, False, selu)
        np.testing.assert_allclose(found[s], expected, atol=1e-13)


def test_selu():
    x = np.concatenate([np.linspace(-40, 5, 200), [0.0, 1e-9, -1e-9]])
    np.testing.assert_allclose(reim_selu(jnp.asarray(x)), jax.nn.selu(x), atol=1e-15)
    z = jnp.asarray(x + 1j * x[::-1])
    np.testing.assert_allclose(reim_selu(z).real, jax.nn.selu(x), atol=1e-15)
    np.testing.assert_allclose(reim_selu(z).imag, jax.nn.selu(x[::-1]), atol=1e-15)


# --- sectors ----------------------------------------------------------------------------------------------------------


CASES = {
    "ring-2d": (Sector(RING, RING.n_irreps - 1), SPIN, {"row": 1}),
    "momentum": (Sector(RING, momentum=[np.pi / 3]), SPIN, {"param_dtype": complex}),
    "inversion": (Sector(chain(6).translation_group(), 2, inversion=-1), SPIN, {}),
    "inversion-of-qubits": (Sector(RING, inversion=-1), Qubit(6), {"residual": True}),
    "square": (Sector(square(3, 3).space_group(), 4), Spin(9, total_sz=0.5), {}),
    "skewed": (Sector(SKEWED.space_group(), 2), Spin(7), {}),
    "permutations": (Sector(CUBE, 4), Spin(4, s=1), {"row": 2}),
    "bosons": (Sector(chain(4).space_group(), 4), Fock(4, n_max=2), {}),
    "fermions-antiperiodic": (Sector(chain(6, twist=np.pi).translation_group(), 3), Fermion(6, n_fermions=4), {}),
    "electrons": (Sector(chain(4).space_group()), Fermion(4, n_per_component=(2, 1), n_components=2), {}),
}


SLOW = ("ring-2d", "inversion-of-qubits", "skewed", "permutations", "bosons", "electrons")


@pytest.mark.parametrize(("sector", "space", "options"), some_slow(CASES, SLOW))
def test_every_element_and_both_modes(sector, space, options):
    psi = {}
    for mode in ("fft", "matrix"):
        ansatz = GCNN(sector, (3, 3), space, mode=mode, **options)
        psi[mode], _ = amplitudes(ansatz, space, 0.3)
        assert_in_sector(psi[mode], sector, space, options.get("row", 0))
    np.testing.assert_allclose(psi["fft"], psi["matrix"], atol=1e-12 * np.abs(psi["fft"]).max())


def test_parity():
    """As a sector with inversion; twice the parameters of a layer."""
    group = chain(6).translation_group()
    sigma = SPIN.all_states()
    for parity in (1, -1):
        ansatz = GCNN(Sector(group, 2), (2, 2), parity=parity)
        variables = random_parameters(ansatz, sigma, 0.4)
        assert variables["params"]["kernel_1"].shape == (12, 2, 2)
        psi = np.exp(np.asarray(ansatz.apply(variables, sigma)))
        np.testing.assert_allclose(psi[::-1], parity * psi, atol=1e-13)
        same = GCNN(Sector(group, 2, inversion=parity), (2, 2))
        np.testing.assert_array_equal(np.exp(np.asarray(same.apply(variables, sigma))), psi)


def test_real_where_it_is_positive():
    def dtype(ansatz):
        return jax.eval_shape(ansatz.init_with_output, jax.random.key(0), SPIN.all_states()[:2])[0].dtype

    assert dtype(GCNN(RING)) == np.float64
    assert dtype(GCNN(RING, param_dtype=jnp.float32, parity=1)) == np.float32
    assert dtype(GCNN(RING, param_dtype=jnp.float32, parity=-1)) == np.complex64
    assert dtype(GCNN(Sector(RING, 1))) == np.complex128
    assert dtype(GCNN(RING, param_dtype=complex)) == np.complex128


def test_parameters():
    shapes = jax.eval_shape(GCNN(RING, (5, 4, 3)).init, jax.random.key(0), SPIN.all_states()[:1])["params"]
    found = {name: x.shape for name, x in shapes.items()}
    assert found == {
        "kernel_0": (6, 5),
        "bias_0": (5,),
        "kernel_1": (12, 5, 4),
        "bias_1": (4,),
        "kernel_2": (12, 4, 3),
        "bias_2": (3,),
    }
    ones = GCNN(RING, (2,), bias_init=jax.nn.initializers.ones).init(jax.random.key(0), SPIN.all_states()[:1])
    assert np.all(np.asarray(ones["params"]["bias_0"]) == 1)


def test_signs_share_places():
    """The elements of an antiperiodic ring are twice as many as its permutations."""
    space = Fermion(6, n_fermions=4)
    group = chain(6, twist=np.pi).translation_group()
    shapes = jax.eval_shape(GCNN(Sector(group), (2, 2), space).init, jax.random.key(0), space.all_states()[:1])
    assert group.order == 12
    assert shapes["params"]["kernel_1"].shape == (6, 2, 2)


# --- the part of a group that commutes --------------------------------------------------------------------------------


def cyclic(*orders: int) -> FiniteGroup:
    """Z_a x Z_b x ..."""
    found = TableGroup([[0]])
    for n in orders:
        found = direct_product(found, TableGroup((np.arange(n)[:, None] + np.arange(n)) % n))
    return found


@pytest.mark.parametrize(
    ("orders", "factors"),
    [((), ()), ((5,), (5,)), ((2, 3), (6,)), ((2, 2, 2), (2, 2, 2)), ((4, 6), (12, 2)), ((2, 4, 8), (8, 4, 2))],
)
def test_cyclic_factors(orders, factors):
    group = cyclic(*orders)
    found, points = cyclic_factors(group, np.arange(group.order))
    assert found == factors
    assert sorted(points) == list(range(group.order))
    on = points.reshape(found)
    for axis in range(len(found)):  # a step along an axis is the same element everywhere
        step = on[tuple(int(k == axis) for k in range(len(found)))]
        np.testing.assert_array_equal(group.multiply(on, step), np.roll(on, -1, axis))


def test_translations_are_found():
    for lattice, n in ((square(4, 4), 16), (kagome(2, 2), 4), (square(6, 4), 24), (SKEWED, 7)):
        group = lattice.space_group()
        assert len(commuting_subgroup(group)) >= n
        assert group.is_normal(commuting_subgroup(group))
    group = square(6, 6).space_group()
    np.testing.assert_array_equal(commuting_subgroup(group), group.translations)
    assert grid(group, "fft").shape == (6, 6)
    assert grid(group.with_inversion(), "fft").shape in {(6, 6, 2), (6, 2, 6)}
    assert len(commuting_subgroup(CUBE)) == 4


def test_modes_are_what_they_say():
    def program(group, mode):
        ansatz = GCNN(group, (2, 2), mode=mode)
        sigma = np.ones((3, group.n_sites), np.int8)
        variables = jax.eval_shape(ansatz.init, jax.random.key(0), sigma)
        return str(jax.make_jaxpr(ansatz.apply)(variables, sigma))

    assert program(RING, "fft") == program(RING, "auto") != program(RING, "matrix")
    assert program(CUBE, "matrix") == program(CUBE, "auto") != program(CUBE, "fft")
    assert grid(RING, "fft").elements.shape == (6, 2)
    assert grid(RING, "matrix").elements.shape == (1, 12)


# --- with the rest ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_vmc_finds_the_lowest_state_of_a_sector():
    """Of momentum 0, where the ground state is not."""
    space, lattice = Spin(6, total_sz=0), chain(6)
    operator = heisenberg(space, lattice, J=(1.0, 0.2))
    sector = Sector(lattice.space_group(), momentum=[0.0])
    values, vectors = np.linalg.eigh(projector(sector, space))
    inside = vectors[:, values > 0.5]
    exact = np.linalg.eigvalsh(inside.conj().T @ operator.to_dense() @ inside)[0]
    state = VariationalState(GCNN(sector, (4, 4), param_dtype=complex), Exact(space))
    driver = VMC(operator, state, optimizer=optax.sgd(0.1), preconditioner=SR(1e-4))
    driver.run(120, progress=False)
    assert abs(float(driver.state.expect(operator).mean.real) - exact) < 1e-4 * abs(exact)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: GCNN([0]), TypeError, "`sector` must be a Sector or PermutationGroup"),
        (lambda: GCNN(RING, [4]), TypeError, "`features` must be a tuple"),
        (lambda: GCNN(RING, ()), ValueError, "`features` must name at least one layer"),
        (lambda: GCNN(RING, (4, 0)), ValueError, "`features` must satisfy 1 <= features, got 0"),
        (lambda: GCNN(RING, (4, 3), residual=True), ValueError, "`features` must be the same for all layers"),
        (lambda: GCNN(RING, mode="irreps"), ValueError, "`mode` must be one of 'auto', 'fft', 'matrix'"),
        (lambda: GCNN(RING, param_dtype=int), TypeError, "`param_dtype` must be a floating-point type"),
        (lambda: GCNN(RING, row=1), ValueError, "`row` must satisfy 0 <= row <= 0"),
        (lambda: GCNN(RING, parity=2), ValueError, "`parity` must be 1 or -1"),
        (lambda: GCNN(Sector(RING, inversion=1), parity=1), ValueError, "`group` must have no element that inverts"),
        (lambda: GCNN(chain(4, twist=np.pi).space_group()), ValueError, "`space` must be given for the signs"),
        (
            lambda: GCNN(chain(4, twist=np.pi).space_group(), space=Fermion(4, n_fermions=3)),
            ValueError,
            "`sector` must have states on",
        ),
        (
            lambda: GCNN(RING).init(jax.random.key(0), np.ones((1, 5), np.int8)),
            ValueError,
            "`sigma` must have 6 sites, got 5",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
