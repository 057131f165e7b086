# SPDX-License-Identifier: Apache-2.0
"""Colours of sites and of bonds, such that no two that meet are the same."""

from __future__ import annotations

import itertools

import numpy as np

from manybody._lazy import networkx as nx


def two_colours(n_sites: int, pairs: np.ndarray) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Sites coloured by the parity of their depth, and a bond that joins equal colours if there is one."""
    graph = nx.Graph(pairs.tolist())
    graph.add_nodes_from(range(n_sites))
    colour = np.zeros(n_sites, dtype=np.int64)
    for part in nx.connected_components(graph):
        for site, depth in nx.single_source_shortest_path_length(graph, min(part)).items():
            colour[site] = depth % 2
    clashes = pairs[colour[pairs[:, 0]] == colour[pairs[:, 1]]]
    return colour, tuple(clashes[0].tolist()) if len(clashes) else None


def bond_colours(pairs: np.ndarray) -> np.ndarray:
    """A colour (n_bonds,) for each bond (n_bonds, 2), different from those of all bonds that it shares a site with.

    Greedy, from the bond with the fewest neighbours backwards, with exchanges of two colours where a new one would be
    needed: of the rules that networkx has the one that found the smallest possible number on all lattices tried.
    """
    at: dict[int, list[int]] = {}
    for bond, site in enumerate(pairs.ravel().tolist()):
        at.setdefault(site, []).append(bond // 2)
    meeting = nx.Graph()
    meeting.add_nodes_from(range(len(pairs)))
    meeting.add_edges_from(pair for bonds in at.values() for pair in itertools.combinations(bonds, 2))
    colours = nx.greedy_color(meeting, "smallest_last", interchange=True)
    return np.array([colours[bond] for bond in range(len(pairs))], dtype=np.int64)
