# SPDX-License-Identifier: Apache-2.0
"""What a run is about, in words that two processes can compare."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from manybody._types import PyTree
from manybody.operator import Operator
from manybody.parallel import SHARD
from manybody.parallel.keys import is_key, key_data
from manybody.sr import Preconditioner
from manybody.state import VariationalState

N_SUMS = 8
"""Sums that stand for all parameters."""
SAME = 1e-4
"""Sums of the same parameters, made on other machines, differ by less than this part of them."""


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


def beginning(state: VariationalState) -> dict[str, Any]:
    """What tells a run from one of the same problem that began elsewhere, with another seed for instance.

    Keys of chains are integers, the same on every machine and for any number of workers. Parameters are not: where
    there are keys they are left out, and where there are none (all states are summed over) they are known by sums.
    """
    keys = [key_data(key) for key in _keys(state.sampler.state_spec, state.chains)]
    return {"keys": digest(keys)} if keys else {"sums": _sums(state.params)}


def began_elsewhere(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two runs of the same problem have other beginnings."""
    if "keys" in now:
        return before.get("keys") != now["keys"]
    one, other = np.array(before.get("sums", ())), np.array(now["sums"])
    return one.shape != other.shape or bool(np.linalg.norm(one - other) > SAME * np.linalg.norm(other))


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


def _keys(spec: PyTree, chains: PyTree) -> list:
    """Keys that all workers share, in the state of a sampler."""

    def shared(layout: Any, part: PyTree) -> list:
        return [] if layout == SHARD else [x for x in jax.tree.leaves(part) if is_key(x)]

    return jax.tree.leaves(jax.tree.map(shared, spec, chains))


def _sums(params: PyTree) -> list[float]:
    """Of so many parts of all parameters, real and imaginary parts as numbers of their own."""
    flat = [np.asarray(leaf, complex).ravel().view(float) for leaf in jax.tree.leaves(params)]
    return [float(part.sum()) for part in np.array_split(np.concatenate([np.zeros(0), *flat]), N_SUMS)]


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
