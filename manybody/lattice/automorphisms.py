# SPDX-License-Identifier: Apache-2.0
"""Automorphisms of the graph of bonds: permutations of the sites that map bonds to bonds, isometries or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from manybody import _checks
from manybody._lazy import networkx as nx
from manybody.symmetry import PermutationGroup

KIND_RULES = ("permute", "fix", "ignore")


@runtime_checkable
class Bonded(Protocol):
    """What is read of a lattice here."""

    @property
    def n_sites(self) -> int: ...
    @property
    def kinds(self) -> tuple[str, ...]: ...

    def bonds(self, order: int = 1, kind: str | None = None, images: bool = False) -> np.ndarray: ...
    def to_networkx(self, order: int = 1) -> nx.Graph: ...


def automorphism_group(lattice: Bonded, kinds: str, max_order: int) -> PermutationGroup:
    """See `AbstractLattice.automorphism_group`."""
    same_kinds = kind_test(lattice, kinds)
    graph = lattice.to_networkx()
    _checks.integer(max_order, "max_order", minimum=1)
    found = nx.vf2pp_all_isomorphisms(graph, graph)
    maps = [[image[i] for i in range(lattice.n_sites)] for image in itertools.islice(found, max_order + 1)]
    must = f"have at most {max_order} automorphisms"
    _checks.require(len(maps) <= max_order, "lattice", must, "more", "Raise `max_order` if you want them all.")
    return PermutationGroup(np.array(sorted(image for image in maps if same_kinds(np.array(image)))))


def kind_test(lattice: Bonded, rule: str) -> Callable[[np.ndarray], bool]:
    """A function that says whether a permutation of the sites does to the bond kinds what the rule allows."""
    _checks.choice(rule, KIND_RULES, "kinds")
    if rule == "ignore" or not lattice.kinds:
        return lambda sites: True

    def fingerprint(pairs: np.ndarray) -> bytes:
        pairs = np.sort(pairs, axis=1)
        return np.unique(pairs[:, 0] * lattice.n_sites + pairs[:, 1]).tobytes()

    bonds = {kind: lattice.bonds(kind=kind) for kind in lattice.kinds}
    known = {kind: fingerprint(pairs) for kind, pairs in bonds.items()}
    names = set(known.values())

    def keeps(sites: np.ndarray) -> bool:
        images = {kind: fingerprint(sites[pairs]) for kind, pairs in bonds.items()}
        return images == known if rule == "fix" else set(images.values()) == names

    return keeps
