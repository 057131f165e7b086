# SPDX-License-Identifier: Apache-2.0
"""Several steps as one program: worth it where a step takes less time than it takes to start one."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody import _stack
from manybody._types import Array, Bool, Int, PyTree

Step = Callable[[PyTree, PyTree], tuple[PyTree, PyTree, Bool[Array, ""]]]
"""(progress, operand) -> (progress, record, whether the step counts)."""


def fused(step: Step, most: int) -> Callable:
    """A function (progress, operand, n) -> (progress, records, made): up to n steps, one after the other.

    Args:
        step: makes one. One that does not count is undone and ends the loop.
        most: n is at most this (static).

    Returns:
        The function. Records have a leading axis (most,); the first `made` are those of steps that count, and where
        these are fewer than n the next one is that of the step that was undone.
    """

    def run(progress: PyTree, operand: PyTree, n: Int[Array, ""]) -> tuple[PyTree, PyTree, Int[Array, ""]]:
        empty = _stack.room(jax.eval_shape(step, progress, operand)[1], most)

        def goes_on(carry: tuple) -> Bool[Array, ""]:
            _, _, made, good = carry
            return good & (made < n)

        def one_more(carry: tuple) -> tuple:
            before, records, made, _ = carry
            after, record, good = step(before, operand)
            made = made + good.astype(made.dtype)
            place = jnp.where(good, made - 1, made)  # the number before, of which XLA would keep a copy
            after = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, before)
            return after, _stack.put(records, place, record), made, good

        start = (progress, empty, jnp.int32(0), jnp.bool_(True))
        progress, records, made, _ = jax.lax.while_loop(goes_on, one_more, start)
        return progress, records, made

    return run
