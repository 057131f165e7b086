# SPDX-License-Identifier: Apache-2.0
"""What a run is about, in words that two processes can compare."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import jax
import numpy as np

from manybody.operator import Operator
from manybody.sr import Preconditioner
from manybody.state import VariationalState


def identity(hamiltonian: Operator, state: VariationalState, preconditioner: Preconditioner) -> dict[str, str]:
    """The parts of a calculation that make it another one when they change; learning rates are not among them."""
    return {"space": words(state.space), "hamiltonian": name(hamiltonian), **identity_of_state(state, preconditioner)}


def name(operator: Operator) -> str:
    """An operator in words, with a short name for its couplings."""
    return f"{words(operator)}, couplings {digest(operator.compile())}"


def identity_of_state(state: VariationalState, preconditioner: Preconditioner) -> dict[str, str]:
    """What belongs to the identity of all calculations with a state."""
    return {
        "space": words(state.space),
        "ansatz": words(state.network),
        "sampler": words(state.sampler),
        "n_samples": str(state.n_samples),
        "preconditioner": words(preconditioner),
    }


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first part that differs, in words; None if all are the same."""
    for name, value in now.items():
        if before.get(name) != value:
            was, is_now = _apart(before.get(name, "not noted").split(), value.split())
            return f"`{name}` was {was}, now {is_now}"
    return None


def _apart(one: list[str], other: list[str], context: int = 2) -> tuple[str, str]:
    """Two texts from where they begin to differ to where they end to, with a few words before that."""
    shortest = min(len(one), len(other))
    same = next((i for i in range(shortest) if one[i] != other[i]), shortest)
    tail = next((i for i in range(shortest - same) if one[-1 - i] != other[-1 - i]), shortest - same)
    start = max(0, same - context)
    dots = "... " if start else ""
    end = " ..." if tail else ""
    middles = [dots + " ".join(words[start : len(words) - tail]) + end for words in (one, other)]
    return middles[0], middles[1]


def words(thing: object) -> str:
    """How an object shows itself, in one line and without addresses in memory."""
    return " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(thing)).split())


def digest(tree: object) -> str:
    """A short name for the contents of the arrays in a tree."""
    total = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        total.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return total.hexdigest()[:12]
