# SPDX-License-Identifier: Apache-2.0
"""What every lattice answers: its sites, its bonds, its distances, its two sublattices."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Complex
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._lazy import networkx as nx
from manybody._struct import read_only
from manybody._types import Float, Int
from manybody.lattice import automorphisms, colouring, plaquettes
from manybody.lattice.plaquettes import Plaquette
from manybody.symmetry import PermutationGroup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Bonds(NamedTuple):
    """Bonds i-j with i < j, each once, in ascending order; read-only NumPy arrays.

    Attributes:
        sites: the pairs (i, j), shape (n_bonds, 2).
        vectors: r_j - r_i, to the image of j that the bond reaches, shape (n_bonds, dim).
        phases: factor that a particle hopping from i to j picks up at twisted boundaries, shape (n_bonds,). A hopping
            term is -t (phase c_j^dag c_i + h.c.). Ones without a twist.
    """

    sites: Int[np.ndarray, "bonds 2"]
    vectors: Float[np.ndarray, "bonds dim"]
    phases: Complex[np.ndarray, " bonds"]


class AbstractLattice(abc.ABC):
    """Numbered sites 0 ... n_sites - 1 joined by bonds.

    A lattice is frozen, and hashes and compares by content, so it may be a static field of anything that is jitted.
    Which bonds a method speaks of is said by the same three arguments everywhere:

    * ``order``: bonds between neighbours of that order, 1 for nearest neighbours, 2 for next-nearest, ...
    * ``kind``: the name of a set of bonds that the lattice was given (one of `kinds`), instead of an order.
    * ``images``: on small periodic lattices two sites may be joined in several ways round the boundaries. False: such
      a pair is one bond, and neighbours are ordered by minimum-image distance. True: each way is a bond, and
      neighbours are ordered by distance on the unfolded lattice, so that every site keeps its coordination number
      (a bond from a site to its own image is dropped). A twisted boundary tells images apart: they are always kept.
    """

    @property
    @abc.abstractmethod
    def n_sites(self) -> int:
        """Number of sites."""

    @property
    @abc.abstractmethod
    def positions(self) -> Float[np.ndarray, "sites dim"]:
        """Cartesian positions of the sites (read-only); `dim` is 0 if the sites have none."""

    @property
    def periods(self) -> Float[np.ndarray, "periods dim"]:
        """Vectors that lead from a site to its images, one for each periodic axis (read-only); none by default."""
        return read_only(np.empty((0, self.positions.shape[1])))

    @property
    @abc.abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """Names of the bond kinds."""

    @property
    @abc.abstractmethod
    def n_shells(self) -> int:
        """Number of distinct distances between sites: the largest `order` of `bonds` without images."""

    @abc.abstractmethod
    def distances(self) -> Float[np.ndarray, "sites sites"]:
        """Distance between every two sites, to the nearest image (read-only); inf if no path joins them."""

    @abc.abstractmethod
    def bond_table(self, order: int = 1, kind: str | None = None, images: bool = False) -> Bonds:
        """Pairs, vectors and phases of the bonds that the arguments select, in one sequence.

        Args:
            order: which neighbours, from 1.
            kind: a bond kind; then `order` must keep its default.
            images: whether to keep several bonds between the same two sites (see the class).

        Raises:
            ValueError: if there are no neighbours of that order, or no bonds of that kind.
        """

    def bonds(self, order: int = 1, kind: str | None = None, images: bool = False) -> Int[np.ndarray, "bonds 2"]:
        """Bonds as pairs of sites i < j, each once (arguments: `bond_table`).

        Example:
            >>> from manybody.lattice import chain
            >>> chain(4).bonds().tolist()
            [[0, 1], [0, 3], [1, 2], [2, 3]]
            >>> len(chain(2).bonds()), len(chain(2).bonds(images=True))
            (1, 2)
        """
        return self.bond_table(order, kind, images).sites

    def bond_vectors(
        self, order: int = 1, kind: str | None = None, images: bool = False
    ) -> Float[np.ndarray, "bonds dim"]:
        """Displacements r_j - r_i, aligned with `bonds` of the same arguments.

        Without images they lead to the nearest image of j. Of several nearest ones it is the one furthest along the
        first axis, then the second, and so on.
        """
        return self.bond_table(order, kind, images).vectors

    def bond_phases(
        self, order: int = 1, kind: str | None = None, images: bool = False
    ) -> Complex[np.ndarray, " bonds"]:
        """Phases of the hop from i to j, aligned with `bonds` of the same arguments.

        Example:
            >>> import math
            >>> from manybody.lattice import chain
            >>> chain(3, twist=math.pi).bond_phases().real.tolist()  # bonds 0-1, 0-2 (across the boundary), 1-2
            [1.0, -1.0, 1.0]
        """
        return self.bond_table(order, kind, images).phases

    def plaquettes(self, kinds: Sequence[str] | None = None) -> tuple[Plaquette, ...]:
        """The polygons into which the bonds divide a two-dimensional lattice, in the order of their sites.

        The area round an open lattice, and above and below one with a single periodic axis, is none of them. On a
        torus n_sites - n_bonds + n_plaquettes = 0, and each bond belongs to two of them, or twice to one.

        Args:
            kinds: bond kinds to draw, instead of nearest neighbours.

        Returns:
            Plaquettes, which name bonds by their rows in `bonds(images=True)`, or, with `kinds`, by those of the tables
            `bonds(kind=kind, images=True)` one below the other.

        Raises:
            ValueError: if the sites do not have two coordinates, bonds cross, or they do not divide a torus into
                polygons.

        Example:
            >>> from manybody.lattice import kagome, square
            >>> square(2, periodic=False).plaquettes()[0].sites
            array([0, 2, 3, 1])
            >>> sorted(len(plaquette.bonds) for plaquette in kagome(2).plaquettes())
            [3, 3, 3, 3, 3, 3, 3, 3, 6, 6, 6, 6]
        """
        return plaquettes.plaquettes(self, _checked_kinds(kinds))

    def plot(
        self,
        bonds: int | str | Sequence[str] | ArrayLike | Mapping[str, int | str | ArrayLike] | None = None,
        values: ArrayLike | None = None,
        *,
        bond_values: ArrayLike | None = None,
        labels: bool = False,
        view: tuple[float, float] = (12.0, -75.0),
        ax: Axes | None = None,
    ) -> Figure:
        """A picture of the lattice in one, two or three dimensions.

        Bonds that cross a boundary are drawn as two stubs towards the images of the sites. Bonds that would lead
        through a third site are bent. A graph without positions is laid out by springs.

        Args:
            bonds: nearest neighbours by default; those of an order; of a kind; of several kinds; pairs (n_bonds, 2),
                drawn to the nearest image; or a mapping from names, which the legend shows, to an order, a kind or
                pairs each.
            values: a real number for each site, (n_sites,), shown by its colour. Colours are symmetric about 0 if
                there are both signs.
            bond_values: the same for each bond, one set after the other, shown by colour and width.
            labels: whether to write the numbers of the sites.
            view: in three dimensions, elevation and azimuth of the direction from which one looks, in degrees.
            ax: Matplotlib axes to draw on, instead of a new figure.

        Returns:
            The figure; `figure.savefig(path)` writes it. Its axes are the picture and the colour bars, first that of
            the sites, so `figure.axes[1].set_ylabel("magnetisation")` names what is shown.

        Raises:
            TypeError: if numbers are not real, or sites no integers.
            ValueError: if a shape is wrong, there are no such bonds, or more than three dimensions.

        Example:
            >>> from manybody.lattice import kagome
            >>> lattice = kagome(3)
            >>> figure = lattice.plot(lattice.kinds, values=lattice.distances()[0])
            >>> len(figure.axes)
            2
        """
        # Not at the top, because importing Matplotlib takes longer than all the rest.
        from manybody.lattice import draw

        return draw.figure(self, self._places(), bonds, values, bond_values, labels, view, ax)

    def _places(self) -> np.ndarray:
        """Where `plot` draws the sites, which may be images of `positions`."""
        return self.positions

    def automorphism_group(
        self, kinds: Literal["permute", "fix", "ignore"] = "ignore", max_order: int = 100_000
    ) -> PermutationGroup:
        """All permutations of the sites that map nearest-neighbour bonds to such bonds, in lexicographic order.

        On a Bravais lattice this may be more than its space group: the 4x4 torus has 384, of which 128 are isometries.

        Args:
            kinds: what they may do to bond kinds: "permute" maps each kind to one of them, "fix" to itself, and
                "ignore" does not look at them.
            max_order: the largest number of permutations of the bare graph.

        Raises:
            ValueError: if there are more.

        Example:
            >>> from manybody.lattice import square
            >>> square(4).automorphism_group().order, square(5).automorphism_group().order
            (384, 200)
        """
        return automorphisms.automorphism_group(self, kinds, max_order)

    def to_networkx(self, order: int = 1) -> nx.Graph:
        """The bonds of one order as a graph with nodes 0 ... n_sites - 1.

        Nodes carry `pos` if the sites have positions; an edge carries `kind` if exactly one kind contains it. Several
        images of a bond are one edge.
        """
        graph = nx.Graph()
        for site, position in enumerate(self.positions.tolist()):
            graph.add_node(site, **({"pos": tuple(position)} if position else {}))
        graph.add_edges_from((self._nearest() if order == 1 else self.bonds(order)).tolist())
        names: dict[tuple[int, int], set[str]] = {}
        for kind in self.kinds:
            for i, j in self.bonds(kind=kind).tolist():
                names.setdefault((i, j), set()).add(kind)
        only = {edge: kinds.pop() for edge, kinds in names.items() if len(kinds) == 1 and graph.has_edge(*edge)}
        nx.set_edge_attributes(graph, only, "kind")
        return graph

    @property
    def is_bipartite(self) -> bool:
        """Whether the nearest-neighbour bonds always lead from one sublattice to the other."""
        return colouring.two_colours(self.n_sites, self._nearest())[1] is None

    def sublattices(self, kinds: Sequence[str] | None = None) -> Int[np.ndarray, " sites"]:
        """The sublattice, 0 or 1, of every site, such that every nearest-neighbour bond joins 0 and 1.

        Sites that no path of bonds joins are coloured independently: the lowest site of each connected part is 0. On a
        lattice with unequal nearest bonds (`rectangle`) say with `kinds` which bonds count.

        Args:
            kinds: bond kinds to colour by, instead of nearest neighbours.

        Raises:
            ValueError: if there is no such colouring.

        Example:
            >>> from manybody.lattice import chain
            >>> chain(4).sublattices().tolist()
            [0, 1, 0, 1]
        """
        kinds = _checked_kinds(kinds)
        pairs = self._nearest() if kinds is None else np.concatenate([self.bonds(kind=kind) for kind in kinds])
        colour, clash = colouring.two_colours(self.n_sites, pairs)
        _checks.require(clash is None, "lattice", "be bipartite", f"bond {clash} within a loop of odd length")
        return colour

    def bond_colours(self, order: int = 1, kind: str | None = None, images: bool = False) -> Int[np.ndarray, " bonds"]:
        """Colours 0, 1, ... of the bonds, aligned with `bonds` of the same arguments.

        No two bonds of one colour share a site, so what acts on them commutes: the layers of a Trotter step or of a
        sweep. There are few colours, usually as many as bonds at a site, though the fewest are not promised.

        Example:
            >>> from manybody.lattice import chain
            >>> chain(4).bond_colours().tolist()  # of the bonds 0-1, 0-3, 1-2, 2-3
            [0, 1, 1, 0]
        """
        return colouring.bond_colours(self.bonds(order, kind, images))

    def _nearest(self) -> np.ndarray:
        """`bonds()`, but none where no two sites are joined, of which one may ask for a colouring all the same."""
        return self.bonds() if self.n_shells > 0 else np.empty((0, 2), dtype=int)

    def _checked_selection(self, order: int, kind: str | None) -> tuple[int, str | None]:
        """The arguments of `bond_table`, if they make sense together."""
        order = _checks.integer(order, "order", minimum=1)
        if kind is not None:
            _checks.require(len(self.kinds) > 0, "kind", "be None on a lattice without bond kinds", repr(kind))
            _checks.choice(kind, self.kinds, "kind")
            _checks.require(order == 1, "order", "be left out when `kind` is given", order)
        return order, kind


def _checked_kinds(kinds: Sequence[str] | None) -> tuple[str, ...] | None:
    """A sequence of bond kinds, if it is one."""
    if kinds is None:
        return None
    listed = not isinstance(kinds, str) and len(kinds) > 0
    _checks.require(listed, "kinds", "be a sequence of bond kinds", repr(kinds))
    return tuple(kinds)


def as_sublattices(given: AbstractLattice | Sequence[int], n_sites: int) -> Int[np.ndarray, "sites"]:
    """The sublattice, 0 or 1, of every site, of a bipartite lattice or as it is given.

    Raises:
        ValueError: if the lattice is not bipartite, or there are other numbers or more or fewer of them.
    """
    colours = np.asarray(given.sublattices() if isinstance(given, AbstractLattice) else given)
    good = colours.shape == (n_sites,) and set(np.unique(colours).tolist()) <= {0, 1}
    _checks.require(good, "sublattice", f"give 0 or 1 for each of the {n_sites} sites", colours.tolist())
    return colours
