# SPDX-License-Identifier: Apache-2.0
"""From small problems to larger ones, and from narrow networks to wide ones."""

from fractions import Fraction

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, ansatz, hamiltonian, transfer
from manybody.ansatz._orbit import as_sector
from manybody.ansatz.composition import Product
from manybody.ansatz.gcnn import reim_selu
from manybody.ansatz.sign_rule import MarshallSign
from manybody.driver import VMC
from manybody.exact import ground_state
from manybody.hilbert import Constrained, Fermion, Fock, Qubit, Spin
from manybody.lattice import Lattice, chain, kagome, square, triangular
from manybody.sampler import Exact, Exchange, Hop, LocalFlip, Metropolis, Surrogate
from manybody.sr import SR
from manybody.symmetry import Action, Sector
from tests.cases import some_slow


class Bonds(nn.Module):
    """Three rows of weights for the displacements along a chain, the last one first, and one for each site alone."""

    lattice: Lattice
    scale: float = 1.0

    @nn.compact
    def __call__(self, sigma):
        x = sigma.astype(float)
        weights = self.param("displacements", nn.initializers.normal(1.0), (self.lattice.n_sites // 2, 1), float)
        field = self.param("field", nn.initializers.normal(1.0), (), float)
        terms = [weights[r, 0] * jnp.sum(x * jnp.roll(x, r + 1, axis=-1), axis=-1) for r in self._distances()]
        return self.scale * (sum(terms) + field * jnp.sum(x, axis=-1))

    def _distances(self):
        return range(self.lattice.n_sites // 2)

    def row_labels(self):
        return {"displacements": [r + 1 for r in self._distances()][::-1]}


def state(wave_function, space, sampler=None, **options):
    sampler = Exact(space) if sampler is None else sampler
    return VariationalState(wave_function, sampler, seed=3, **options)


# --- other lattices --------------------------------------------------------------------------------------------------


def test_to_a_larger_lattice():
    lattice = chain(6)
    space = Spin(6, total_sz=0)
    sampler = Metropolis(space, Exchange(lattice), n_chains=8, n_burn_in=3)
    ansatz = Product((MarshallSign(space, lattice), Bonds(lattice, scale=0.3)))
    small = VariationalState(ansatz, sampler, 16, seed=3, chunk_size=5)
    large = small.transfer(chain(10))
    assert large.space == Spin(10, total_sz=0)
    assert large.sampler == Metropolis(Spin(10, total_sz=0), Exchange(chain(10)), n_chains=8, n_burn_in=3)
    assert large.network.module == Product((MarshallSign(large.space, chain(10)), Bonds(chain(10), scale=0.3)))
    assert (large.n_samples, large.chunk_size) == (16, 5)
    old, new = small.params["factors_1"], large.params["factors_1"]
    np.testing.assert_array_equal(new["displacements"][2:], old["displacements"])  # by what the rows stand for
    np.testing.assert_array_equal(new["displacements"][:2], 0)
    assert new["field"] == old["field"]
    large.sample().expect(hamiltonian.heisenberg(large.space, chain(10)))


def test_what_is_new_is_drawn():
    space = Spin(4)
    small = state(Bonds(chain(4)), space)
    noisy = small.transfer(chain(8), noise=0.5, seed=7)
    fresh = VariationalState(Bonds(chain(8)), Exact(Spin(8)), seed=7)
    np.testing.assert_allclose(noisy.params["displacements"][:2], 0.5 * fresh.params["displacements"][:2])
    np.testing.assert_array_equal(noisy.params["displacements"][2:], small.params["displacements"])


def test_given_space_and_sampler():
    small = state(Bonds(chain(4)), Spin(4, total_sz=1))
    space = Spin(6, total_sz=1)
    with pytest.raises(ValueError, match=r"Spin.*has no like on 3/2 times as many sites: .*Give `space`"):
        small.transfer(chain(6))
    assert small.transfer(chain(6), space=space).space == space
    sampler = Metropolis(space, Exchange("all"), n_chains=4)
    assert small.transfer(chain(6), space=space, sampler=sampler, n_samples=8).n_samples == 8


@pytest.mark.parametrize(
    ("space", "factor", "expected"),
    [
        (Spin(4, s=1, total_sz=1), 2, Spin(8, s=1, total_sz=2)),
        (Spin(4, s=1.5, total_sz=-2), "3/2", Spin(6, s=1.5, total_sz=-3)),
        (Qubit(3), "5/3", Qubit(5)),
        (Fock(4, 3, n_particles=2), "3/2", Fock(6, 3, n_particles=3)),
        (Fermion(4, n_per_component=(2, 1), n_components=2), 2, Fermion(8, n_per_component=(4, 2), n_components=2)),
        (Fermion(4, n_fermions=2), "3/2", Fermion(6, n_fermions=3)),
    ],
)
def test_spaces_of_the_same_density(space, factor, expected):
    assert transfer.scaled(space, Fraction(factor)) == expected


@pytest.mark.parametrize(
    "space", [Fock(4, 3, n_particles=3), Fock(2, (1, 2)), Constrained(Spin(4), lambda sigma: sigma[..., 0] > 0)]
)
def test_spaces_without_a_like(space):
    with pytest.raises(ValueError, match="Give `space`"):
        transfer.scaled(space, Fraction(3, 2))


# --- other widths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (ansatz.RBM(alpha=1), ansatz.RBM(alpha=3)),
        pytest.param(ansatz.MLP(hidden=(4, 3)), ansatz.MLP(hidden=(7, 5)), marks=pytest.mark.slow),
        (Product((ansatz.Jastrow(), ansatz.MLP(hidden=(4,)))), Product((ansatz.Jastrow(), ansatz.MLP(hidden=(6,))))),
    ],
)
def test_wider_is_the_same_function_at_first(narrow, wide):
    space = Spin(5)
    small = state(narrow, space)
    sigma = space.all_states()
    np.testing.assert_allclose(small.transfer(ansatz=wide).log_psi(sigma), small.log_psi(sigma), atol=1e-13)
    noisy = small.transfer(ansatz=wide, noise=0.1)
    assert np.abs(noisy.log_psi(sigma) - small.log_psi(sigma)).max() > 1e-4
    back = noisy.transfer(ansatz=narrow)
    assert jax.tree.all(jax.tree.map(np.array_equal, back.params, small.params))


def test_a_layer_that_is_new():
    small = state(ansatz.RBM(use_visible_bias=False), Spin(4))
    large = small.transfer(ansatz=ansatz.RBM(use_visible_bias=True))
    assert large.n_params == small.n_params + 4
    np.testing.assert_allclose(large.log_psi(Spin(4).all_states()), small.log_psi(Spin(4).all_states()), atol=1e-14)


def test_of_a_frozen_state():
    small = state(ansatz.RBM(), Spin(4)).freeze("hidden/bias")
    assert small.transfer(ansatz=ansatz.RBM(alpha=2)).n_params == 4 + 4 * 8 + 8


# --- bad input -------------------------------------------------------------------------------------------------------

SMALL = state(Bonds(chain(4)), Spin(4))
FLIPS = VariationalState(Bonds(chain(4)), Metropolis(Spin(4), LocalFlip(), n_chains=2, initial=[1, 1, 1, 1]), 4)
PAIRS = VariationalState(Bonds(chain(4)), Metropolis(Spin(4, total_sz=0), Exchange([(0, 2), (1, 2), (2, 3)]), 2), 4)
GUIDE = Surrogate(PAIRS.network.bind(PAIRS.params, PAIRS.constants))
GUIDED = VariationalState(Bonds(chain(4)), Metropolis(Spin(4), LocalFlip(), n_chains=2, surrogate=GUIDE), 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SMALL.transfer(), ValueError, "`lattice` must be given, got None. Give `lattice` or `ansatz`"),
        (lambda: SMALL.transfer(chain(6), noise=-1), ValueError, "`noise` must satisfy noise >= 0"),
        (lambda: state(ansatz.RBM(), Spin(4)).transfer(chain(6)), ValueError, "`ansatz` must be made for one lattice"),
        (
            lambda: state(Product((Bonds(chain(4)), Bonds(chain(4, periodic=False)))), Spin(4)).transfer(chain(6)),
            ValueError,
            "`ansatz` must be made for one lattice, got 2",
        ),
        (
            lambda: state(
                ansatz.Symmetrised(Bonds(chain(4)), Sector(chain(4).automorphism_group()), Spin(4)), Spin(4)
            ).transfer(chain(6)),
            ValueError,
            "`group` must be of isometries of a lattice.* Give `ansatz`, made for Lattice",
        ),
        (lambda: FLIPS.transfer(chain(6)), ValueError, "`sampler` must start its chains anywhere"),
        (lambda: GUIDED.transfer(chain(6)), ValueError, "`sampler` must have no surrogate.* Give `sampler`"),
        (lambda: PAIRS.transfer(chain(6)), ValueError, "`sampler` must make moves along the bonds of the lattice"),
        (
            lambda: state((lambda k, s: {}, lambda p, s: s.sum(-1).astype(float)), Spin(4)).transfer(
                ansatz=ansatz.RBM()
            ),
            TypeError,
            "`state` must have a flax.linen module",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_rows_that_have_nothing_in_common():
    """Of a group that does not know its lattice."""
    small = state(ansatz.GCNN(Sector(chain(4).space_group(), inversion=1), (2,)), Spin(4))
    assert_same(small.transfer(ansatz=small.network.module), small)
    with pytest.raises(ValueError, match=r"`ansatz` must have rows that are rows of the other one.*use `parity`"):
        small.transfer(ansatz=ansatz.GCNN(Sector(chain(6).space_group(), inversion=1), (2,)), sampler=Exact(Spin(6)))


def test_moves_of_particles():
    space, lattice = Fermion(4, n_fermions=2), square(2)
    small = VariationalState(Bonds(lattice), Metropolis(space, Hop(lattice), n_chains=2), 4)
    assert small.transfer(square(4)).sampler.move == Hop(square(4))


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda lattice: ansatz.ResNet(lattice, features=3, output="real"),
        lambda lattice: ansatz.GraphNetwork(lattice, features=3, output="real"),
        pytest.param(
            lambda lattice: ansatz.ViT(lattice, patch=1, d_model=4, heads=2, output="real"), marks=pytest.mark.slow
        ),
    ],
    ids=["resnet", "graph-network", "vit"],
)
def test_networks_on_a_larger_lattice(make):
    """Of what is repeated, log psi per site is the same; for a transformer, if patches attend to near ones only."""
    small = state(make(square(4)), Spin(16), Metropolis(Spin(16), LocalFlip(), n_chains=2), n_samples=2)
    if "attention_0" in small.params:
        labels = np.array(make(square(4)).row_labels()["attention_0"])
        near = np.all(labels == 0, axis=1)  # anything else has more images on the larger lattice
        cut = {k: np.where(near[:, None], v, 0.0) for k, v in small.params.items() if k.startswith("attention")}
        small = small.replace(params={**small.params, **cut})
    large = small.transfer(square(8))
    sigma = np.asarray(Spin(16).random_state(jax.random.key(0), 5))
    repeated = np.tile(sigma.reshape(5, 4, 4), (1, 2, 2)).reshape(5, 64)
    np.testing.assert_allclose(large.log_psi(repeated), 4 * small.log_psi(sigma), rtol=1e-10)


def test_attention_by_displacement():
    lattice, larger = square(4), square(8)
    small = ansatz.ViT(lattice, patch=2, d_model=4, heads=2)
    old, new = (m.row_labels()["attention_1"] for m in (small, ansatz.ViT(larger, patch=2, d_model=4, heads=2)))
    assert len(set(old)) == len(old) == 4
    assert len(set(new)) == len(new) == 16
    params = state(small, Spin(16), Metropolis(Spin(16), LocalFlip(), n_chains=2), n_samples=2)
    carried = params.transfer(larger).params["attention_1"]
    for vector, row in zip(new, carried, strict=True):
        expected = params.params["attention_1"][old.index(vector)] if vector in old else np.zeros(2)
        np.testing.assert_array_equal(row, expected)


# --- networks on groups -----------------------------------------------------------------------------------------------


def assert_same(one, other):
    assert jax.tree.structure(one.params) == jax.tree.structure(other.params)
    assert jax.tree.all(jax.tree.map(np.array_equal, one.params, other.params))


def of_group(sector, features, lattice, **options):
    """A state with parameters of order one."""
    space = Spin(lattice.n_sites)
    made = state(ansatz.GCNN(sector, features, **options), space, Metropolis(space, LocalFlip(), 2), n_samples=2)
    leaves, tree = jax.tree.flatten(made.params)
    rng = np.random.default_rng(4)
    return made.replace(params=tree.unflatten([0.3 * rng.normal(size=x.shape).astype(x.dtype) for x in leaves]))


SMALL_GROUPS = {
    "square": lambda: of_group(square(4).space_group(), (2, 2), square(4)),
    "translations": lambda: of_group(square(4).translation_group(), (3, 2, 2), square(4), param_dtype=complex),
    "residual": lambda: of_group(square(3).space_group(), (2, 2, 2), square(3), residual=True),
    "momentum": lambda: of_group(Sector(square(4).space_group(), momentum=[np.pi, np.pi], irrep=1), (2, 2), square(4)),
    "star": lambda: of_group(Sector(square(4).space_group(), momentum=[np.pi / 2, 0]), (2, 2), square(4)),
    "two dimensions": lambda: of_group(Sector(triangular(3).space_group(), 4), (2, 2), triangular(3), row=1),
    "parity": lambda: of_group(square(4).space_group(), (2, 2), square(4), parity=-1),
    "kagome": lambda: of_group(kagome(3).space_group(), (2, 2), kagome(3)),
}
some = pytest.mark.parametrize(
    "make", some_slow(SMALL_GROUPS, ["square", "translations", "star", "two dimensions", "residual"])
)


def doubled(lattice):
    return type(lattice)(lattice.basis, 2 * np.array(lattice.extent), lattice.offsets, bond_kinds=lattice.bond_kinds)


@some
def test_to_the_same_lattice(make):
    small = make()
    assert_same(small.transfer(small.network.module.lattice, noise=1.0), small)  # nothing is new


@some
def test_what_is_repeated_has_the_same_amplitude(make):
    """Weights half-way round the torus are shared out, so that all of them see the same as before."""
    small = make()
    lattice = small.network.module.lattice
    large = small.transfer(doubled(lattice))
    sigma = np.asarray(small.space.random_state(jax.random.key(0), 4))
    sites, _ = lattice.locate(doubled(lattice).positions)
    repeated, expected = large.log_psi(sigma[:, sites]), small.log_psi(sigma)
    np.testing.assert_allclose(np.exp(repeated), np.exp(expected), rtol=1e-11)


@some
def test_symmetries_are_kept(make):
    """The projection of psi onto its sector is psi; in one dimension each element multiplies it by its character."""
    small = make()
    large = small.transfer(doubled(small.network.module.lattice))
    sector, row = as_sector(large.network.sector), large.network.module.row
    sigma = large.space.random_state(jax.random.key(1), 1)
    images = Action(sector.group, large.space).images(sigma)[0, sector.group.inverse]
    psi = np.exp(np.concatenate([large.log_psi(part) for part in np.array_split(images, 4)]))
    expected = sector.matrices[:, row, row].conj() @ psi * sector.dimension / sector.group.order
    np.testing.assert_allclose(psi[0], expected, rtol=1e-12)
    if sector.dimension == 1:
        np.testing.assert_allclose(psi, sector.characters * psi[0], rtol=1e-12)


def numbered(group, length):
    """The numbers of isometries of a square torus, by rotation and translation."""
    moves = zip(group.rotations.astype(int), np.rint(group.vectors).astype(int) % length, strict=True)
    return {(rotation.tobytes(), tuple(vector)): g for g, (rotation, vector) in enumerate(moves)}


def test_short_weights_by_definition():
    """Two layers on 6 x 6 sites, with the weights that 4 x 4 sites have for isometries r -> R r + t with t <= 1."""
    near = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    old, new = square(4).space_group(), square(6).space_group()
    small = of_group(old, (2, 3), square(4))
    weights, v = (np.array(small.params[name]) for name in ("kernel_0", "kernel_1"))
    weights[np.setdiff1d(np.arange(16), square(4).locate(near)[0])] = 0
    v[~np.isin(old.sites[:, 0], square(4).locate(near)[0])] = 0
    large = small.replace(params={**small.params, "kernel_0": weights, "kernel_1": v}).transfer(square(6))
    sigma = np.asarray(large.space.random_state(jax.random.key(2), 1))[0]

    x = np.zeros((new.order, 2)) + small.params["bias_0"]
    for g in range(new.order):  # g sigma has at d the value that sigma has at R^-1 (d - t)
        seen = square(6).locate((near - new.vectors[g]) @ new.rotations[g])[0]
        x[g] += sigma[seen] @ weights[square(4).locate(near)[0]]
    a, y = np.asarray(reim_selu(jnp.asarray(x))), np.zeros((new.order, 3)) + small.params["bias_1"]
    before, now = numbered(old, 4), numbered(new, 6)
    for g in range(new.order):
        for rotation in np.unique(new.rotations.astype(int), axis=0):
            for d in near:  # the element k = u g, for the isometry u of this rotation and translation
                k = now[(rotation @ new.rotations[g].astype(int)).tobytes(), tuple((rotation @ new.vectors[g] + d) % 6)]
                y[g] += a[k] @ v[before[rotation.tobytes(), tuple(np.array(d) % 4)]]
    np.testing.assert_allclose(large.log_psi(sigma[None]), np.log(np.mean(np.exp(y))), rtol=1e-12)


def test_what_is_half_way_round_is_shared_out():
    small = of_group(square(4).space_group(), (1, 1), square(4))
    large = small.transfer(square(6))
    old, new = (np.asarray(one.params["kernel_0"])[:, 0] for one in (small, large))
    across, corner = (square(6).locate(d)[0] for d in ([(2, 0), (-2, 0)], [(2, 2), (2, -2), (-2, 2), (-2, -2)]))
    np.testing.assert_allclose(new[across], old[8] / 2)
    np.testing.assert_allclose(new[corner], old[10] / 4)
    assert np.all(new[square(6).locate([(3, 0), (3, 1), (2, 3)])[0]] == 0)
    before, now = (numbered(square(length).space_group(), length) for length in (4, 6))
    old, new = (np.asarray(one.params["kernel_1"])[:, 0, 0] for one in (small, large))
    for (rotation, vector), g in now.items():
        d = (np.array(vector) + 2) % 6 - 2
        times = np.prod(np.where(np.abs(d) == 2, 0.5, 1.0))
        expected = 0.0 if 3 in d else times * old[before[rotation, tuple(d % 4)]]
        np.testing.assert_allclose(new[g], expected)
    assert_same(large.transfer(square(4)), small)  # and is put together again


def test_components_of_fermions():
    """Sites of the second component come after those of the first."""
    space = Fermion(4, n_per_component=(2, 1), n_components=2)
    small = state(ansatz.GCNN(chain(4).space_group(), (2,), space), space)
    large = small.transfer(chain(8))
    assert large.space == large.network.module.space == Fermion(8, n_per_component=(4, 2), n_components=2)
    old, new = (one.params["kernel_0"] for one in (small, large))
    np.testing.assert_array_equal(new[np.r_[0, 1, 7, 8, 9, 15]], old[np.r_[0, 1, 3, 4, 5, 7]])
    np.testing.assert_array_equal(new[np.r_[2, 6, 10, 14]], old[np.r_[2, 2, 6, 6]] / 2)
    np.testing.assert_array_equal(new[np.r_[3:6, 11:14]], 0)


@pytest.mark.slow
def test_projections_carry_over():
    """The sector, and the symmetries that what is projected has already."""

    def make(lattice):
        sector = Sector(lattice.space_group(), momentum=[0.0], irrep=1)
        network = ansatz.ResNet(lattice, features=2, blocks=1)
        return ansatz.Symmetrised(network, sector, Spin(lattice.n_sites), cosets=lattice.translation_group())

    small = state(make(chain(6)), Spin(6))
    large = small.transfer(chain(8))
    assert large.network.module == make(chain(8))
    assert_same(large, small)


# --- what it is good for ----------------------------------------------------------------------------------------------


def rotated_heisenberg(lattice):
    return hamiltonian.marshall(hamiltonian.heisenberg(Spin(lattice.n_sites, total_sz=0), lattice), lattice)


def trained(features, lattice, sampler, n_samples, n_steps):
    made = VariationalState(ansatz.GCNN(lattice.space_group(), features), sampler, n_samples, seed=0)
    driver = VMC(rotated_heisenberg(lattice), made, optimizer=optax.sgd(0.1), preconditioner=SR(1e-3))
    driver.run(n_steps, progress=False)
    return driver.state


@pytest.mark.slow
def test_a_ground_state_is_a_good_beginning():
    """From 8 to 12 sites the energy closes more than half of the gap between first parameters and the ground state."""
    operator = rotated_heisenberg(chain(12))
    large = trained((4,), chain(8), Exact(Spin(8, total_sz=0)), None, 60).transfer(chain(12))
    first = [VariationalState(large.network.module, large.sampler, seed=seed) for seed in range(3)]
    found, *random = (float(one.sample().expect(operator).mean) for one in (large, *first))
    exact = float(ground_state(operator).energies[0])
    assert found - exact < 0.5 * (min(random) - exact)


@pytest.mark.slow
def test_a_ground_state_of_the_square_lattice_is_a_good_beginning():
    """From 4 x 4 to 6 x 6 sites: in units of the error of their difference."""
    sampler = Metropolis(Spin(16, total_sz=0), Exchange(square(4)), n_chains=64)
    large = trained((4,), square(4), sampler, 256, 40).transfer(square(6), n_samples=1024)
    first = VariationalState(large.network.module, large.sampler, 1024, seed=1)
    found, random = (one.sample().expect(rotated_heisenberg(square(6))) for one in (large, first))
    assert found.mean - random.mean < -8 * np.hypot(found.error, random.error)
