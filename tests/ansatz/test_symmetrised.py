# SPDX-License-Identifier: Apache-2.0
"""Projection onto sectors: every element of the group, signs, zeros, and the ways to evaluate less."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from manybody import VariationalState
from manybody.ansatz import MLP, RBM, Symmetrised
from manybody.driver import VMC
from manybody.hamiltonian import heisenberg
from manybody.hilbert import Fermion, Fock, Spin
from manybody.lattice import chain, square, triangular
from manybody.network import as_network
from manybody.parallel import REPLICATED, SHARD
from manybody.parallel.launch import mesh_comm
from manybody.sampler import Exact, Exchange, Metropolis
from manybody.sr import SR
from manybody.symmetry import Permutation, PermutationGroup, Sector
from tests.ansatz.sectors import Random, amplitudes, assert_in_sector, projector, random_parameters
from tests.cases import some_slow

RING = chain(6).space_group()
SHIFTS = chain(6).translation_group()
SPIN = Spin(6)
ODD_RING = chain(6, twist=np.pi).translation_group()


def character(group, **values):
    """Number of the irreducible representation with these characters of some elements, named g0, g1, ..."""
    wanted = {int(name[1:]): value for name, value in values.items()}
    (found,) = [
        k for k in range(group.n_irreps) if all(abs(group.characters(k)[g] - x) < 1e-9 for g, x in wanted.items())
    ]
    return found


# --- every element ----------------------------------------------------------------------------------------------------


def check(sector, space, row=0, **options):
    ansatz = Symmetrised(Random(), sector, space, row=row, **options)
    psi, variables = amplitudes(ansatz, space)
    assert_in_sector(psi, sector, space, row)
    phi = np.exp(np.asarray(Random().apply({"params": variables["params"]["ansatz"]}, space.all_states())))
    np.testing.assert_allclose(psi, projector(sector, space, row) @ phi, atol=1e-13 * np.abs(phi).max())


@pytest.mark.parametrize("irrep", range(RING.n_irreps))
def test_all_sectors_of_a_ring(irrep):
    for row in range(RING.irrep_dimensions[irrep]):
        check(Sector(RING, irrep), SPIN, row)


@pytest.mark.parametrize("inversion", [1, -1])
def test_spin_inversion(inversion):
    check(Sector(SHIFTS, 2, inversion=inversion), Spin(6, total_sz=0))


@pytest.mark.parametrize("row", [0, 3])
def test_four_dimensions_on_the_square_lattice(row):
    group = square(4, 4).space_group()
    check(Sector(group, group.n_irreps - 1), Spin(16, total_sz=6), row)


def test_momenta():
    lattice = triangular(3, 3)
    corner = lattice.momenta()[1]
    sector = Sector(lattice.space_group(), momentum=corner)
    assert 9 < sector.group.order < lattice.space_group().order
    assert np.abs(sector.characters.imag).max() > 0.5
    check(sector, Spin(9, total_sz=1.5))


@pytest.mark.parametrize("n_fermions", [3, 4])
@pytest.mark.parametrize("group", [SHIFTS, ODD_RING], ids=["periodic", "antiperiodic"])
def test_fermions_of_both_parities(group, n_fermions):
    """Half of the representations of the antiperiodic ring are for even numbers, half for odd ones."""
    space, found = Fermion(6, n_fermions=n_fermions), 0
    for irrep in range(group.n_irreps):
        sector = Sector(group, irrep)
        if group is ODD_RING and abs(sector.characters[6] - (-1) ** n_fermions) > 1e-9:
            with pytest.raises(ValueError, match="`sector` must have states on Fermion"):
                Symmetrised(Random(), sector, space)
            continue
        found += 1
        if found == 2:
            check(sector, space)
    assert found == 6


def test_electrons_of_a_plaquette():
    space = Fermion(4, n_per_component=(1, 2), n_components=2)
    group = chain(4).space_group()
    check(Sector(group, group.n_irreps - 1), space, row=1)


def test_particle_hole_inversion():
    space = Fermion(4, n_per_component=(2, 2), n_components=2)
    check(Sector(chain(4).translation_group(), 1, inversion=-1), space)


def test_numbers_of_fermions_that_are_not_fixed():
    """Every second configuration is ruled out by the element that is -1 to the number of fermions."""
    space = Fermion(6)
    sector = Sector(ODD_RING, 1)
    check(sector, space)
    odd = space.all_states().sum(axis=1) % 2 == 1
    psi, _ = amplitudes(Symmetrised(Random(), sector, space), space)
    assert sector.characters[6] == -1
    assert np.all(psi[~odd] == 0)
    assert np.any(psi[odd] != 0)


def test_signs_that_are_not_all_the_same():
    """A group with elements that move nothing and give signs to some sites only."""
    flip = Permutation(range(4), [-1, 1, 1, 1])
    group = PermutationGroup.generated([flip, Permutation([1, 2, 3, 0])])
    assert group.order == 64
    space, found = Fock(4, n_max=2), 0
    for sector in (Sector(group, irrep) for irrep in range(group.n_irreps)):
        if sector.dimension > found and np.abs(projector(sector, space)).max() > 1e-9 and found < 2:
            check(sector, space, sector.dimension - 1)
            found += 1
    assert found == 2


# --- evaluating less --------------------------------------------------------------------------------------------------


class Counting(nn.Module):
    """log phi = a sum of the configurations; reports how many it was asked for."""

    report: Callable[[int], None]

    @nn.compact
    def __call__(self, sigma):
        self.report(sigma.shape[0])
        return sigma.astype(float) @ self.param("weight", nn.initializers.normal(), sigma.shape[-1:], float)


def n_evaluated(sector, space, **options):
    """Evaluations for two configurations, in one go."""
    report = []
    ansatz = Symmetrised(Counting(report.append), sector, space, **options)
    sigma = space.all_states()[:2]
    variables = jax.eval_shape(ansatz.init, jax.random.key(0), sigma)
    report.clear()
    jax.eval_shape(ansatz.apply, variables, sigma)
    return report[-1] / 2


def test_how_much_is_evaluated():
    assert n_evaluated(RING, SPIN) == 12
    assert n_evaluated(RING, SPIN, chunk_size=5) == 5
    assert n_evaluated(RING, SPIN, cosets=SHIFTS) == 2
    assert n_evaluated(Sector(ODD_RING), Fermion(6, n_fermions=4)) == 6  # not 12: signs need no evaluations
    two = character(RING, g0=2, g3=2)
    assert np.sum(np.abs(Sector(RING, two).matrices[:, 0, 0]) > 1e-9) == n_evaluated(Sector(RING, two), SPIN)


@pytest.mark.parametrize("chunk_size", [5, 12])
def test_chunks_change_nothing(chunk_size):
    sigma = SPIN.all_states()
    sector = Sector(RING, character(RING, g0=1, g1=-1, g6=1))

    def both(ansatz):
        variables = random_parameters(ansatz, sigma[:2], 1.0)
        real = jax.jit(jax.value_and_grad(lambda v: jnp.sum(jnp.exp(ansatz.apply(v, sigma)).real ** 2)))
        return real(variables)

    value, gradient = both(Symmetrised(Random(), sector, SPIN))
    found, of_chunks = both(Symmetrised(Random(), sector, SPIN, chunk_size=chunk_size))
    np.testing.assert_allclose(found, value, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), of_chunks, gradient)


def test_derivatives_in_chunks_need_less_memory():
    group = square(4, 4).space_group()
    sigma = np.ones((64, 16), np.int8)

    def scratch(chunk_size):
        ansatz = Symmetrised(MLP((64, 64)), group, Spin(16), chunk_size=chunk_size)
        variables = jax.eval_shape(ansatz.init, jax.random.key(0), sigma)
        gradient = jax.jit(jax.grad(lambda v: jnp.sum(ansatz.apply(v, sigma))))
        return gradient.lower(variables).compile().memory_analysis().temp_size_in_bytes

    assert scratch(8) < scratch(None) / 8


@pytest.mark.parametrize("k", [0, 1, 3])
def test_cosets_of_translations(k):
    """A state of momentum k first, then the rest of the group: in two steps or in one."""
    momentum = [2 * np.pi * k / 6]
    known = Sector(SHIFTS, momentum=momentum)
    irrep = next(
        i for i in range(RING.n_irreps) if abs(np.vdot(Sector(RING, i).characters[:6], known.characters)) > 0.5
    )
    sector = Sector(RING, irrep)
    inner = Symmetrised(Random(), known, SPIN)
    if sector.dimension == 2:  # the first row need not have a part of this momentum
        assert max(n_evaluated(sector, SPIN, cosets=known, row=row) for row in (0, 1)) == 2
    for row in range(sector.dimension):
        full, _ = amplitudes(Symmetrised(inner, sector, SPIN, row=row), SPIN)
        cosets, _ = amplitudes(Symmetrised(inner, sector, SPIN, row=row, cosets=known), SPIN)
        np.testing.assert_allclose(cosets, full, atol=1e-13 * np.abs(full).max())
        assert_in_sector(cosets, sector, SPIN, row)


def test_cosets_of_a_subgroup_that_is_not_normal():
    mirror = RING.subgroup([0, RING.generated_by([6])[-1]])
    assert not RING.is_normal([0, RING.generated_by([6])[-1]])
    inner = Symmetrised(Random(), mirror, SPIN)
    full, _ = amplitudes(Symmetrised(inner, RING, SPIN), SPIN)
    cosets, _ = amplitudes(Symmetrised(inner, RING, SPIN, cosets=mirror), SPIN)
    np.testing.assert_allclose(cosets, full, rtol=1e-12)


def test_cosets_of_fermions_with_signs():
    """The subgroup has both signs of each translation as well."""
    space = Fermion(6, n_fermions=4)
    group = chain(6, twist=np.pi).space_group()
    inner = Symmetrised(Random(), ODD_RING, space)
    full, _ = amplitudes(Symmetrised(inner, group, space), space)
    cosets, _ = amplitudes(Symmetrised(inner, group, space, cosets=ODD_RING), space)
    np.testing.assert_allclose(cosets, full, atol=1e-13 * np.abs(full).max())
    assert n_evaluated(group, space, cosets=ODD_RING) == 2


def test_cosets_of_shared_weights():
    rbm = RBM(alpha=1, symmetries=chain(6).translations())
    full, _ = amplitudes(Symmetrised(rbm, Sector(RING), SPIN), SPIN)
    cosets, _ = amplitudes(Symmetrised(rbm, Sector(RING), SPIN, cosets=SHIFTS), SPIN)
    np.testing.assert_allclose(cosets, full, rtol=1e-12)
    np.testing.assert_allclose(amplitudes(rbm, SPIN)[0].std() > 0.1, True)


def test_projecting_twice():
    sector = Sector(RING, RING.n_irreps - 1)
    once = Symmetrised(Random(), sector, SPIN)
    psi, variables = amplitudes(once, SPIN)
    twice = Symmetrised(once, sector, SPIN)
    again = np.exp(np.asarray(jax.jit(twice.apply)({"params": {"ansatz": variables["params"]}}, SPIN.all_states())))
    np.testing.assert_allclose(again, psi, atol=1e-13 * np.abs(psi).max())


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_real_where_it_is_positive():
    def dtype(ansatz, sector, space):
        ansatz = Symmetrised(ansatz, sector, space)
        return jax.eval_shape(ansatz.init_with_output, jax.random.key(0), space.all_states()[:2])[0].dtype

    assert dtype(RBM(), RING, SPIN) == np.float64
    assert dtype(RBM(param_dtype=jnp.float32), Sector(RING, inversion=1), SPIN) == np.float32
    assert dtype(RBM(param_dtype=jnp.float32), Sector(RING, 1), SPIN) == np.complex64
    assert dtype(RBM(), Sector(RING, inversion=-1), SPIN) == np.complex128
    assert dtype(RBM(param_dtype=complex), RING, SPIN) == np.complex128
    assert dtype(RBM(), SHIFTS, Fermion(6, n_fermions=2)) == np.complex128


def test_large_amplitudes_do_not_overflow():
    sigma = SPIN.all_states()
    ansatz = Symmetrised(RBM(), Sector(RING), SPIN)
    variables = jax.tree.map(lambda x: 500 * x, ansatz.init(jax.random.key(0), sigma))
    plain = RBM().apply({"params": variables["params"]["ansatz"]}, sigma)
    found = ansatz.apply(variables, sigma)
    assert plain.max() > 800
    assert np.isfinite(found).all()
    assert plain.max() - np.log(12) < found.max() <= plain.max() + 1e-12


class Holes(nn.Module):
    """An ansatz that vanishes exactly where the first spin is down."""

    @nn.compact
    def __call__(self, sigma):
        return jnp.where(sigma[..., 0] > 0, RBM(name="rbm")(sigma), -jnp.inf)


@pytest.mark.parametrize(
    ("ansatz", "irrep"),
    [
        (RBM(), character(RING, g0=1, g1=-1, g6=1)),
        (RBM(param_dtype=complex), character(RING, g0=1, g1=-1, g6=1)),
        (Holes(), 0),
    ],
    ids=["real", "complex", "holes"],
)
def test_zeros(ansatz, irrep):
    """Forbidden by symmetry, or zero on all images: log psi is -inf, and derivatives are finite."""
    space = Spin(6)
    projected = Symmetrised(ansatz, Sector(RING, irrep), space)
    sigma = space.all_states()
    variables = random_parameters(projected, sigma, 0.3)
    log_psi = np.asarray(jax.jit(projected.apply)(variables, sigma))
    allowed = np.abs(projector(Sector(RING, irrep), space).diagonal()) > 1e-9
    if isinstance(ansatz, Holes):
        allowed &= sigma.max(axis=1) > 0
    assert not allowed.all() or irrep == 0
    np.testing.assert_array_equal(np.isneginf(log_psi.real), ~allowed)
    assert not np.isnan(log_psi).any()
    assert np.all(log_psi[~allowed].imag == 0)
    for part in (jnp.real, jnp.imag):
        rows = jax.jit(jax.jacrev(lambda v, part=part: part(projected.apply(v, sigma))))(variables)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(rows))


@pytest.mark.parametrize(
    ("ansatz", "sector"),
    some_slow(
        {
            "positive": (RBM(), Sector(RING)),
            "real": (RBM(), Sector(SHIFTS, 2)),
            "complex": (RBM(param_dtype=complex), Sector(SHIFTS, 1)),
        },
        ["positive", "real"],
    ),
)
def test_gradient_is_that_of_finite_differences(ansatz, sector):
    projected = Symmetrised(ansatz, sector, SPIN, chunk_size=4)
    variables = random_parameters(projected, SPIN.all_states()[:1], 0.3)
    flat, unravel = jax.flatten_util.ravel_pytree(variables)
    log_psi = jax.jit(lambda theta: projected.apply(unravel(theta), np.int8([[1, 1, -1, 1, -1, -1]]))[0])
    v, step = jax.random.normal(jax.random.key(1), flat.shape, flat.dtype), 1e-5
    difference = (log_psi(flat + step * v) - log_psi(flat - step * v)) / (2 * step)
    np.testing.assert_allclose(jax.jvp(log_psi, (flat,), (v,))[1], difference, rtol=1e-7, atol=1e-8)
    for part in (jnp.real, jnp.imag):
        pulled = jax.grad(lambda theta, part=part: part(log_psi(theta)))(flat)
        np.testing.assert_allclose(jnp.sum(pulled * v).real, part(difference), rtol=1e-6, atol=1e-8)


# --- modules of flax.nnx ----------------------------------------------------------------------------------------------


class Hidden(nnx.Module):
    """A hidden layer, and a factor that is no parameter."""

    def __init__(self, rngs):
        self.hidden = nnx.Linear(6, 3, rngs=rngs, param_dtype=float)
        self.factor = nnx.Variable(jnp.array(0.7))

    def __call__(self, sigma):
        return self.factor[...] * jnp.sum(jnp.tanh(self.hidden(sigma.astype(float))), axis=-1)


def test_nnx_modules():
    """Born with their parameters, which are those of the projection."""
    module, sigma, sector = Hidden(nnx.Rngs(1)), SPIN.all_states(), Sector(RING, RING.n_irreps - 1)
    ansatz = Symmetrised(module, sector, SPIN, chunk_size=5)
    variables = ansatz.init(jax.random.key(0), sigma)
    assert {x.shape for x in jax.tree.leaves(variables["params"])} == {(6, 3), (3,)}

    def expected(variables):
        hidden = variables["params"]["ansatz"]["hidden"]
        kernel, bias = np.asarray(hidden["kernel"][...]), np.asarray(hidden["bias"][...])
        return projector(sector, SPIN) @ np.exp(0.7 * np.tanh(sigma @ kernel + bias).sum(axis=1))

    turned = jax.tree.map(lambda x: x + 0.3 * np.arange(x.size, dtype=float).reshape(x.shape), variables)
    for values in (variables, turned):
        psi = np.exp(np.asarray(jax.jit(ansatz.apply)(values, sigma)))
        np.testing.assert_allclose(psi, expected(values), atol=1e-13 * np.abs(psi).max())
    np.testing.assert_allclose(projector(sector, SPIN) @ np.exp(module(sigma)), expected(variables), atol=1e-13)


@pytest.mark.slow
def test_nnx_modules_are_optimised():
    space, lattice = Spin(6, total_sz=0), chain(6)
    state = VariationalState(Symmetrised(Hidden(nnx.Rngs(0)), Sector(RING, momentum=[np.pi]), space), Exact(space))
    operator = heisenberg(space, lattice)
    driver = VMC(operator, state, optimizer=optax.sgd(0.1), preconditioner=SR(1e-3))
    driver.run(60, progress=False)
    exact = np.linalg.eigvalsh(operator.to_dense())[0]
    assert float(driver.state.expect(operator).mean.real) - exact < 1e-4


# --- with the rest ----------------------------------------------------------------------------------------------------


def test_as_an_amplitude_on_two_workers():
    """Without methods for changes it is evaluated in full; chunks run inside of a loop over workers."""
    ansatz = Symmetrised(RBM(), Sector(RING, 1), SPIN, chunk_size=5)
    assert not as_network(ansatz).is_incremental
    sigma = SPIN.all_states()
    variables = random_parameters(ansatz, sigma, 0.3)
    found = mesh_comm(jax.devices()[:2]).spmd(ansatz.apply, (REPLICATED, SHARD), SHARD)(variables, sigma)
    np.testing.assert_allclose(
        np.exp(np.asarray(found)), np.exp(np.asarray(ansatz.apply(variables, sigma))), atol=1e-13
    )


@pytest.mark.slow
def test_chains_start_anywhere():
    """Half of the configurations are forbidden; the step is traced once."""
    space = Spin(6, total_sz=0)
    sector = Sector(RING, character(RING, g0=1, g1=-1, g6=1))
    sampler = Metropolis(space, Exchange(chain(6)), n_chains=16)
    state = VariationalState(Symmetrised(RBM(), sector, space), sampler, n_samples=64)
    driver = VMC(heisenberg(space, chain(6)), state, optimizer=optax.sgd(0.05), preconditioner=SR(1e-3))
    driver.run(3, progress=False)
    assert driver.n_traces == 1
    assert np.isfinite(np.asarray(driver.state.samples.log_psi)).all()


def levels(operator, sector, space):
    """Energies of the states of a row."""
    values, vectors = np.linalg.eigh(projector(sector, space))
    inside = vectors[:, values > 0.5]
    return np.linalg.eigvalsh(inside.conj().T @ operator.to_dense() @ inside)


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "mirror"), [(1, 1), (-1, 1)])
def test_vmc_finds_the_lowest_state_of_a_sector(shift, mirror):
    space, lattice = Spin(6, total_sz=0), chain(6)
    operator = heisenberg(space, lattice, J=(1.0, 0.3))
    sector = Sector(RING, character(RING, g0=1, g1=shift, g6=mirror))
    state = VariationalState(Symmetrised(RBM(alpha=2, param_dtype=complex), sector, space), Exact(space))
    driver = VMC(operator, state, optimizer=optax.sgd(0.1), preconditioner=SR(1e-4))
    driver.run(120, progress=False)
    energy, exact = float(driver.state.expect(operator).mean.real), levels(operator, sector, space)[0]
    assert abs(energy - exact) < 1e-4 * abs(exact)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Symmetrised(lambda sigma: sigma, RING, SPIN), TypeError, "`ansatz` must be a flax.linen or"),
        (lambda: Symmetrised(RBM(), [0], SPIN), TypeError, "`sector` must be a Sector or PermutationGroup"),
        (lambda: Symmetrised(RBM(), RING, SPIN, cosets=[0, 1]), TypeError, "`cosets` must be a Sector or Perm"),
        (lambda: Symmetrised(RBM(), RING, Spin(5)), ValueError, "`group` must act on 5 sites"),
        (lambda: Symmetrised(RBM(), RING, SPIN, row=1), ValueError, "`row` must satisfy 0 <= row <= 0"),
        (lambda: Symmetrised(RBM(), RING, SPIN, chunk_size=0), ValueError, "`chunk_size` must satisfy 1 <= chunk"),
        (lambda: Symmetrised(RBM(), SHIFTS, SPIN, cosets=RING), ValueError, "`cosets` must be of a subgroup"),
        (
            lambda: Symmetrised(RBM(), RING, SPIN, cosets=Sector(SHIFTS, 1)),
            ValueError,
            "`cosets` must hold states that are in row 0",
        ),
        (
            lambda: Symmetrised(RBM(), RING, SPIN, cosets=Sector(RING, RING.n_irreps - 1)),
            ValueError,
            "`cosets` must have a representation of one dimension",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
