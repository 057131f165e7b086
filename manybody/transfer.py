# SPDX-License-Identifier: Apache-2.0
"""From a small problem to a larger one: ansatz, space and sampler there, and the parameters that carry over."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from manybody import _checks
from manybody._types import PyTree
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.lattice.unfolding import group_on, sector_on
from manybody.sampler import Metropolis, Move, Sampler
from manybody.symmetry import PermutationGroup, Sector

_EXTENSIVE = ("n_sites", "n_orbitals", "total_sz", "n_particles", "n_fermions", "n_per_component")
"""Fields of spaces that grow with the number of sites."""


# --- the problem ------------------------------------------------------------------------------------------------------


def lattice_of(ansatz: Any) -> AbstractLattice:
    """The lattice that an ansatz is made for.

    Raises:
        ValueError: if it does not name one, or names several.
    """
    found = set(_fields(ansatz, AbstractLattice))
    cure = "Give `ansatz` and `sampler`."
    _checks.require(len(found) == 1, "ansatz", "be made for one lattice", len(found), cure)
    return found.pop()


def _fields(value: Any, kind: type) -> list:
    if isinstance(value, kind):
        return [value]
    if isinstance(value, tuple):
        return [found for part in value for found in _fields(part, kind)]
    if isinstance(value, nn.Module):
        own = [getattr(value, field) for field in _own_fields(value)] + [getattr(value, "lattice", None)]
        return [found for field in own for found in _fields(field, kind)]
    return []


def _own_fields(module: nn.Module) -> list[str]:
    return [field.name for field in dataclasses.fields(module) if field.name not in ("parent", "name")]


def on_lattice(ansatz: Any, lattice: AbstractLattice, space: DiscreteSpace) -> Any:
    """The same ansatz with another lattice and space wherever it has one, and the same isometries and sectors there.

    Raises:
        ValueError: if it belongs to a group that is not of isometries, or that the other lattice does not have.
    """
    if isinstance(ansatz, AbstractLattice):
        return lattice
    if isinstance(ansatz, DiscreteSpace):
        return space
    if isinstance(ansatz, tuple):
        return tuple(on_lattice(part, lattice, space) for part in ansatz)
    if isinstance(ansatz, nn.Module):
        return ansatz.clone(**{f: on_lattice(getattr(ansatz, f), lattice, space) for f in _own_fields(ansatz)})
    if isinstance(ansatz, Sector | PermutationGroup):
        try:
            return sector_on(ansatz, lattice) if isinstance(ansatz, Sector) else group_on(ansatz, lattice)
        except ValueError as error:
            raise ValueError(f"{error} Give `ansatz`, made for {lattice!r}.") from error
    return ansatz


def scaled(space: DiscreteSpace, factor: Fraction) -> DiscreteSpace:
    """The space of the same kind and density on so many times as many sites.

    Raises:
        ValueError: if the numbers that are conserved do not scale, or the space is of a kind that is not known here.
    """
    cure = "Give `space`."
    own: set[str] = {field.name for field in dataclasses.fields(space)} if dataclasses.is_dataclass(space) else set()
    _checks.require(bool(own & set(_EXTENSIVE)), "space", "be one of spins, qubits, bosons or fermions", space, cure)
    fields = {name: _times(getattr(space, name), factor) for name in _EXTENSIVE if name in own}
    try:
        return dataclasses.replace(space, **fields)  # type: ignore[type-var]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{space} has no like on {factor} times as many sites: {error} {cure}") from error


def _times(value: Any, factor: Fraction) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return tuple(_times(v, factor) for v in value)
    exact = Fraction(value) * factor
    return float(exact) if isinstance(value, float) else int(exact) if exact.denominator == 1 else float(exact)


def on_space(sampler: Sampler, space: DiscreteSpace, old: AbstractLattice, new: AbstractLattice) -> Sampler:
    """The same sampler on another lattice: moves along its bonds instead of those of the old one.

    Raises:
        ValueError: if the moves know sites that are not the bonds of the old lattice, or chains have a fixed start or
            a surrogate.
    """
    if not isinstance(sampler, Metropolis):
        return dataclasses.replace(sampler, space=space)  # type: ignore[type-var]
    given = "Give `sampler`."
    _checks.require(sampler.initial is None, "sampler", "start its chains anywhere", "configurations", given)
    _checks.require(sampler.surrogate is None, "sampler", "have no surrogate", "one for the old space", given)
    sweep = None if sampler.sweep_size == sampler.space.size else sampler.sweep_size
    return Metropolis(space, _on_bonds(sampler.move, old, new), sampler.n_chains, sweep, sampler.n_burn_in)


def _on_bonds(move: Move, old: AbstractLattice, new: AbstractLattice) -> Move:
    pairs = getattr(move, "pairs", None)
    if isinstance(pairs, tuple):
        like: Any = type(move)
        same = move == like(old)
        _checks.require(same, "sampler", "make moves along the bonds of the lattice", move, "Give `sampler`.")
        return like(new)
    return move


# --- parameters -------------------------------------------------------------------------------------------------------


def carried(source: Any, params: PyTree, target: Any, fresh: PyTree, noise: float) -> PyTree:
    """Parameters of `target`: those of `source` where both have them, and `noise` times fresh ones elsewhere.

    Of arrays of different shapes the block is taken over that both have, from the first index of each axis on: wider
    layers keep their units and get more. A module that knows better what the rows of an array stand for says so by
    `row_labels`, {name: labels}: rows with the same label are the same. A row may have several, a frozenset, and its
    parameters are shared out evenly: what is once half-way round a torus is twice on larger ones.

    Args:
        source: the module that has the parameters.
        params: its parameters.
        target: the module that gets them.
        fresh: its own first parameters.
        noise: how large what is new is, in units of its initial values.

    Raises:
        ValueError: if an array has more or fewer axes than the one of the same name, or no row in common with it.
    """
    if not isinstance(fresh, Mapping):
        return _overlap(params, fresh, noise, None)
    labels = [_labels(module) for module in (source, target)]
    merged = {}
    for name, new in fresh.items():
        if name not in params:
            merged[name] = jax.tree.map(lambda x: noise * x, new)
        elif isinstance(new, Mapping):
            merged[name] = carried(_part(source, name), params[name], _part(target, name), new, noise)
        else:
            rows = [own[name] for own in labels if name in own]
            merged[name] = _overlap(params[name], new, noise, _matches(*rows) if len(rows) == 2 else None)
    return merged


def _labels(module: Any) -> dict[str, list]:
    return module.row_labels() if hasattr(module, "row_labels") else {}


def _part(module: Any, name: str) -> Any:
    """The module in a field, of which linen makes the name of the parameters: "factors_0" is `factors[0]`."""
    if not isinstance(module, nn.Module):
        return None
    for field in _own_fields(module):
        value = getattr(module, field)
        parts = {f"{field}_{i}": part for i, part in enumerate(value)} if isinstance(value, tuple) else {field: value}
        if isinstance(parts.get(name), nn.Module):
            return parts[name]
    return None


class Matches(NamedTuple):
    """Which row goes to which, and how much of it, (matches,) each."""

    old: np.ndarray
    new: np.ndarray
    share: np.ndarray


def _matches(old: list, new: list) -> Matches:
    place = {label: row for row, several in enumerate(map(_several, old)) for label in several}
    labels = [(row, label) for row, several in enumerate(map(_several, new)) for label in several]
    common = Counter((place[label], row) for row, label in labels if label in place)
    cure = "Groups must be found from lattices; for inversions as well, use `parity`."
    _checks.require(len(common) > 0, "ansatz", "have rows that are rows of the other one", "none", cure)
    rows = np.array(list(common))
    share = [count / len(_several(old[row])) for (row, _), count in common.items()]
    return Matches(rows[:, 0], rows[:, 1], np.array(share))


def _several(label: Any) -> frozenset:
    return label if isinstance(label, frozenset) else frozenset([label])


def _overlap(old: Any, new: Any, noise: float, rows: Matches | None) -> np.ndarray:
    old, result = np.asarray(old), np.array(noise * np.asarray(new), new.dtype)
    _checks.require(old.ndim == result.ndim, "ansatz", f"have arrays of {old.ndim} axes here", result.shape)
    block: Any = tuple(slice(0, min(pair)) for pair in zip(old.shape, result.shape, strict=True))
    if rows is None:
        result[block] = old[block]
        return result
    here, there = (rows.old, *block[1:]), (rows.new, *block[1:])
    share = rows.share.astype(old.real.dtype).reshape(-1, *(1,) * (old.ndim - 1))
    result[there] = 0
    np.add.at(result, there, share * old[here])
    return result
