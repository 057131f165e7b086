# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.hilbert import Blockade, Constrained, DiscreteSpace, Doubled, Fock, Product, Qubit, Spin, SumSector
from manybody.operator import LocalOperator

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")

PAIRS = [
    Spin(3, total_sz=0.5),
    Fock(2, n_max=(1, 2)),
    Constrained(Qubit(3), Blockade([(0, 2)])),
    Product(Spin(1), Qubit(2)),
]


@pytest.mark.parametrize("space", PAIRS, ids=repr)
def test_the_index_is_that_of_a_matrix_row_by_row(space: DiscreteSpace) -> None:
    doubled, n, states = Doubled(space), space.n_states, space.all_states()
    assert doubled.size == 2 * space.size
    assert doubled.n_states == n * n
    assert doubled.space == space
    row, column = np.indices((n, n))
    pairs = np.concatenate([states[row], states[column]], axis=-1)  # (n, n, 2 * sites)
    np.testing.assert_array_equal(doubled.states_to_index(pairs), row * n + column)
    np.testing.assert_array_equal(doubled.index_to_states(row * n + column), pairs)
    np.testing.assert_array_equal(jax.jit(doubled.states_to_index)(jnp.asarray(pairs)), row * n + column)


@pytest.mark.parametrize("space", PAIRS, ids=repr)
def test_it_has_the_states_of_a_product_with_itself(space: DiscreteSpace) -> None:
    doubled, product = Doubled(space), Product(space, space)
    np.testing.assert_array_equal(doubled.all_states(), product.all_states())
    assert doubled.local_dimensions == product.local_dimensions
    assert doubled.sectors == product.sectors
    assert doubled.has_only_sectors == product.has_only_sectors
    assert doubled != product


def test_sectors() -> None:
    assert Doubled(Spin(2, total_sz=0)).sectors == (SumSector((0, 1), 1), SumSector((2, 3), 1))
    assert Doubled(Spin(2)).sectors == ()


def test_too_many_pairs_of_states_that_can_be_numbered() -> None:
    space = Doubled(Qubit(40))
    assert space.space.is_indexable
    assert not space.is_indexable
    assert space.n_states == 2**80
    assert Doubled(Spin(40, total_sz=0)).n_states == math.comb(40, 20) ** 2
    large = Doubled(Constrained(Qubit(40), Blockade([(0, 1)])))
    assert not large.is_indexable
    states = np.array(large.random_state(jax.random.key(0), 4))
    assert large.contains(states).all()
    states[0, 40:42] = 1
    assert large.contains(states).tolist() == [False, True, True, True]


def test_an_operator_on_either_side() -> None:
    space, rng = Fock(2, n_max=2), np.random.default_rng(1)
    matrix = rng.normal(size=(9, 9))
    left = LocalOperator(Doubled(space), [((0, 1), matrix)]).to_dense()
    right = LocalOperator(Doubled(space), [((2, 3), matrix)]).to_dense()
    rho = rng.normal(size=(9, 9))
    np.testing.assert_allclose((left @ rho.ravel()).reshape(9, 9), matrix @ rho, atol=1e-12)
    np.testing.assert_allclose((right @ rho.ravel()).reshape(9, 9), rho @ matrix.T, atol=1e-12)


@unchecked
def test_errors() -> None:
    with pytest.raises(TypeError, match="`space` must be a DiscreteSpace, got int"):
        Doubled(3)
