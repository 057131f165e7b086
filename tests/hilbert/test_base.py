# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.hilbert import DiscreteSpace, HilbertSpace, Qubit, Spin

SPACE = Spin(4, total_sz=0)

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")


def test_interfaces_are_abstract() -> None:
    for interface in (HilbertSpace, DiscreteSpace):
        with pytest.raises(TypeError, match="abstract"):
            interface()  # type: ignore[abstract]


@unchecked
@pytest.mark.parametrize("method", ["states_to_index", "contains"])
def test_configurations_are_checked(method: str) -> None:
    call = getattr(SPACE, method)
    for as_array in (np.asarray, jnp.asarray):
        with pytest.raises(ValueError, match=re.escape("`sigma` must have shape (..., 4), got (2, 3).")):
            call(as_array(np.ones((2, 3), np.int8)))
        with pytest.raises(TypeError, match="`sigma` must have an integer dtype, got float64"):
            call(as_array(np.ones((2, 4))))
        with pytest.raises(ValueError, match="`sigma` must have shape"):
            call(as_array(np.int8(1)))


@unchecked
def test_lists_are_numpy_input() -> None:
    assert SPACE.states_to_index([[1, 1, -1, -1], [-1, -1, 1, 1]]).tolist() == [0, 5]
    assert SPACE.index_to_states(5).tolist() == [-1, -1, 1, 1]
    assert SPACE.contains([1, -1, 1, -1])


@unchecked
def test_wide_integers_do_not_wrap_into_legal_values() -> None:
    assert not Qubit(1).contains(np.array([256]))
    assert not Spin(1).contains(np.array([2**32 + 1]))
    assert not Spin(1).contains(np.array([255], np.uint8))
    assert Spin(1).contains(np.array([1], np.uint8))


def test_an_illegal_configuration_is_shown() -> None:
    states = np.array([[1, 1, -1, -1], [1, 1, 1, -1]], np.int8)
    with pytest.raises(ValueError, match=r"configurations of Spin\(n_sites=4, .*got \[ 1  1  1 -1\]"):
        SPACE.states_to_index(states)


@unchecked
@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_out_of_range_is_shown(index: int) -> None:
    message = re.escape(f"`index` must satisfy 0 <= index < n_states (6), got {index}.")
    with pytest.raises(ValueError, match=message):
        SPACE.index_to_states(np.array([0, index]))
    with pytest.raises(TypeError, match="`index` must have an integer dtype"):
        SPACE.index_to_states(1.0)


@unchecked
def test_random_state_wants_a_typed_key_and_a_number() -> None:
    cure = r"Make one with jax\.random\.key\(seed\)"
    with pytest.raises(TypeError, match=f"`key` must be one typed key, got int. {cure}"):
        SPACE.random_state(0, 1)
    with pytest.raises(TypeError, match=f"`key` must be one typed key, got uint32 .* {cure}"):
        SPACE.random_state(jax.random.PRNGKey(0), 1)
    with pytest.raises(TypeError, match=f"`key` must be one typed key, got .* of shape .* {cure}"):
        SPACE.random_state(jax.random.split(jax.random.key(0), 2), 1)
    with pytest.raises(ValueError, match="`n` must satisfy 0 <= n, got -1"):
        SPACE.random_state(jax.random.key(0), -1)
    with pytest.raises(TypeError, match="`n` must be an integer"):
        SPACE.random_state(jax.random.key(0), 2.0)


def test_32_bit_mode_numbers_small_spaces_and_refuses_large_ones() -> None:
    with jax.enable_x64(False):
        states = SPACE.all_states()
        assert SPACE.states_to_index(jnp.asarray(states)).tolist() == list(range(6))
        assert SPACE.contains(np.asarray(SPACE.random_state(jax.random.key(0), 8))).all()
        large = Spin(40, total_sz=0)
        state = np.tile(np.array([-1, 1], np.int8), 20)
        with pytest.raises(ValueError, match=r"n_states < 2\*\*31 .* Switch 64-bit mode on, or pass NumPy arrays"):
            large.states_to_index(jnp.asarray(state))
        np.testing.assert_array_equal(large.index_to_states(large.states_to_index(state)), state)


def test_32_bit_mode_leaves_no_trace() -> None:
    """JAX remembers the dtype it first gave to a NumPy array inside jit, here a table of the space."""
    space = Spin(5, total_sz=0.5)
    for x64 in (False, True):
        with jax.enable_x64(x64):
            draw = space.random_state(jax.random.key(0), 8)
            assert space.states_to_index(draw).dtype == (np.int64 if x64 else np.int32)


def test_jax_batches_of_any_shape() -> None:
    @jax.jit
    def round_trip(index: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        states = SPACE.index_to_states(index)
        return states, SPACE.states_to_index(states), SPACE.contains(states)

    for index in (jnp.arange(6).reshape(2, 1, 3), jnp.asarray(2), jnp.zeros((0, 2), int)):
        states, back, legal = round_trip(index)
        assert states.shape == (*index.shape, 4)
        np.testing.assert_array_equal(back, index)
        assert legal.shape == index.shape


def test_random_states_by_key_and_number() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    mapped = jax.vmap(lambda key: SPACE.random_state(key, 5))(keys)
    np.testing.assert_array_equal(mapped[1], SPACE.random_state(keys[1], 5))
    assert SPACE.random_state(keys[0], 0).shape == (0, 4)


def test_equal_spaces_are_one_static_argument() -> None:
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def size(space: DiscreteSpace) -> jax.Array:
        traced.append(space)
        return jnp.asarray(space.size)

    assert size(Spin(4, total_sz=0)) == size(Spin(4, s=0.5, total_sz=0.0)) == 4
    assert len(traced) == 1
