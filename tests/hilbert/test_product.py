# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from manybody.hilbert import Blockade, Constrained, DiscreteSpace, Fermion, Fock, Product, Qubit, Spin, SumSector
from manybody.operator import LocalOperator

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")

SPACE = Product(Spin(2, total_sz=0), Fock(3, n_max=2, n_particles=2), Qubit(1))
LARGE = Constrained(Qubit(40), Blockade([(0, 1)]))


def test_states_are_those_of_the_factors_first_one_most_significant() -> None:
    every = itertools.product(*(space.all_states() for space in SPACE.spaces))
    rows = np.array([np.concatenate(parts) for parts in every])
    np.testing.assert_array_equal(SPACE.all_states(), rows)
    index = np.array(list(itertools.product(*(range(space.n_states) for space in SPACE.spaces))))
    np.testing.assert_array_equal(SPACE.states_to_index(rows), index @ [12, 2, 1])


def test_sectors_and_dimensions_are_those_of_the_factors() -> None:
    assert SPACE.sectors == (SumSector((0, 1), 1), SumSector((2, 3, 4), 2))
    assert SPACE.local_dimensions == (2, 2, 3, 3, 3, 2)
    assert SPACE.size == 6
    assert SPACE.n_states == 2 * 6 * 2


def test_nested_products_are_flattened() -> None:
    a, b, c = Spin(1), Fock(1, 2), Qubit(2)
    flat = Product(a, b, c)
    assert Product(Product(a, b), c) == Product(a, Product(b, c)) == Product(Product(Product(a)), b, c) == flat
    assert len({flat, Product(a, b, Product(c))}) == 1
    assert flat.spaces == (a, b, c)
    assert repr(flat) == f"Product({a!r}, {b!r}, {c!r})"
    assert len({flat, Product(b, a, c), Product(a, b), Product(a), Product(c)}) == 5


def test_parts() -> None:
    assert SPACE.offsets == (slice(0, 2), slice(2, 5), slice(5, 6))
    sigma = SPACE.all_states().reshape(4, 6, 6)
    for i, space in enumerate(SPACE.spaces):
        assert space.contains(SPACE.part(sigma, i)).all()
    np.testing.assert_array_equal(SPACE.part(sigma, 1), sigma[..., 2:5])
    np.testing.assert_array_equal(jax.jit(lambda s: SPACE.part(s, 0))(jnp.asarray(sigma)), sigma[..., :2])
    with pytest.raises(ValueError, match=r"`i` must satisfy 0 <= i <= 2, got 3"):
        SPACE.part(sigma, 3)
    with pytest.raises(ValueError, match=r"`sigma` must have shape \(..., 6\), got \(4, 6, 5\)"):
        SPACE.part(sigma[..., 1:], 0)


def test_values_of_one_factor_are_illegal_in_another() -> None:
    space = Product(Spin(1), Qubit(1), Fock(1, 2))
    every = np.array(list(itertools.product((-1, 0, 1, 2), repeat=3)))
    legal = [s in (-1, 1) and b in (0, 1) and n in (0, 1, 2) for s, b, n in every]
    np.testing.assert_array_equal(space.contains(every), legal)
    np.testing.assert_array_equal(jax.jit(space.contains)(jnp.asarray(every)), legal)


def test_factors_are_drawn_independently() -> None:
    """Chi-square of two equal factors, p > 1e-3 with this seed."""
    space = Product(Fermion(4, n_fermions=2), Fermion(4, n_fermions=2))
    counts = np.bincount(space.states_to_index(np.asarray(space.random_state(jax.random.key(9), 7200))), minlength=36)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_a_factor_that_cannot_be_numbered() -> None:
    space = Product(Qubit(2), LARGE)
    assert not space.is_indexable
    assert not space.has_only_sectors
    for number in (lambda: space.n_states, space.all_states, lambda: space.index_to_states(0)):
        with pytest.raises(ValueError, match="`n_states` must be found by asking for each state"):
            number()
    states = np.array(space.random_state(jax.random.key(0), 8))
    assert space.contains(states).all()
    states[0, 2:4] = 1
    assert space.contains(states).tolist() == [False] + [True] * 7


def test_whether_sectors_say_it_all() -> None:
    assert SPACE.has_only_sectors
    assert not Product(Qubit(1), Constrained(Qubit(2), Blockade([(0, 1)]))).has_only_sectors


def test_too_many_states_of_factors_that_can_be_numbered() -> None:
    space = Product(Qubit(40), Spin(40))
    assert not space.is_indexable
    assert space.n_states == 2**80
    with pytest.raises(ValueError, match=r"n_states < 2\*\*63 .* about 2\*\*80"):
        space.states_to_index(np.ones(80, np.int8))


@pytest.mark.parametrize(
    "space",
    [Product(Spin(2), Fock(2, (2, 1))), Product(Spin(2), Qubit(2))],
    ids=repr,
)
def test_local_operators_are_kronecker_products(space: DiscreteSpace) -> None:
    rng, (a, b, c) = np.random.default_rng(0), (0, 1, space.size - 1)
    dimensions = space.local_dimensions
    one = rng.normal(size=(dimensions[b],) * 2)
    two = rng.normal(size=(dimensions[c] * dimensions[a],) * 2)  # acts on the last site and the first
    eye = [np.eye(d) for d in dimensions]
    expected = _kron(*eye[:b], one, *eye[b + 1 :])
    between = np.eye(int(np.prod(dimensions[1:-1])))
    swapped = two.reshape(dimensions[c], dimensions[a], dimensions[c], dimensions[a]).transpose(1, 0, 3, 2)
    full = np.einsum("abcd,ef->aebcfd", swapped, between)  # (first, between, last) twice
    expected = expected + full.reshape(expected.shape)
    found = LocalOperator(space, [((b,), one), ((c, a), two)]).to_dense()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def _kron(*matrices: np.ndarray) -> np.ndarray:
    result = np.eye(1)
    for matrix in matrices:
        result = np.kron(result, matrix)
    return result


@unchecked
@pytest.mark.parametrize(
    ("spaces", "error", "message"),
    [
        ((), ValueError, "`spaces` must be one space or more, got none."),
        ((Spin(1), 3), TypeError, "`spaces` must be a DiscreteSpace, got int (3)."),
        (([Spin(1), Spin(1)],), TypeError, "`spaces` must be a DiscreteSpace, got list"),
    ],
)
def test_errors(spaces: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Product(*spaces)
