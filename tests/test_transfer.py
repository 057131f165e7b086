# SPDX-License-Identifier: Apache-2.0
"""From small problems to larger ones, and from narrow networks to wide ones."""

from fractions import Fraction

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, ansatz, hamiltonian, transfer
from manybody.ansatz.composition import Product
from manybody.ansatz.sign_rule import MarshallSign
from manybody.hilbert import Constrained, Fermion, Fock, Qubit, Spin
from manybody.lattice import Lattice, chain, square
from manybody.sampler import Exact, Exchange, Hop, LocalFlip, Metropolis
from manybody.symmetry import Sector


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
        (ansatz.MLP(hidden=(4, 3)), ansatz.MLP(hidden=(7, 5))),
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
                ansatz.Symmetrised(Bonds(chain(4)), Sector(chain(4).translation_group()), Spin(4)), Spin(4)
            ).transfer(chain(6)),
            ValueError,
            "`ansatz` must be given if it has a symmetry group",
        ),
        (lambda: FLIPS.transfer(chain(6)), ValueError, "`sampler` must start its chains anywhere"),
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
        lambda lattice: ansatz.ViT(lattice, patch=1, d_model=4, heads=2, output="real"),
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
