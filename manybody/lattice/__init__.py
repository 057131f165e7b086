# SPDX-License-Identifier: Apache-2.0
"""Sites, neighbours and boundaries: Bravais lattices with a basis, and lattices made from any graph."""

from manybody.lattice.base import AbstractLattice, Bonds
from manybody.lattice.bravais import (
    bcc,
    chain,
    cubic,
    diamond,
    fcc,
    honeycomb,
    kagome,
    pyrochlore,
    rectangle,
    shastry_sutherland,
    shuriken,
    square,
    triangular,
)
from manybody.lattice.graph import Graph, from_networkx
from manybody.lattice.lattice import Lattice
from manybody.lattice.plaquettes import Plaquette
from manybody.lattice.space_group import SpaceGroup

__all__ = [
    "AbstractLattice",
    "Bonds",
    "Graph",
    "Lattice",
    "Plaquette",
    "SpaceGroup",
    "bcc",
    "chain",
    "cubic",
    "diamond",
    "fcc",
    "from_networkx",
    "honeycomb",
    "kagome",
    "pyrochlore",
    "rectangle",
    "shastry_sutherland",
    "shuriken",
    "square",
    "triangular",
]
