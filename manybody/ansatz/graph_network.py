# SPDX-License-Identifier: Apache-2.0
"""Message-passing networks on any graph."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._lazy import networkx as nx
from manybody._struct import read_only
from manybody._types import Array, Inexact, Int8
from manybody.ansatz._heads import Head, check_output, reim_gelu
from manybody.ansatz._numerics import Initializer, at_all_places, check_dtype, working_dtype
from manybody.ansatz._residual import ResidualNetwork, sum_of_places
from manybody.lattice import AbstractLattice, Graph, from_networkx


class GraphNetwork(nn.Module):
    r"""A residual network in which sites send messages along the bonds of a graph.

    In each linear step M, with its own weights, a site hears itself and the sum of its neighbours, over each kind k of
    bonds with other weights. With L blocks of two of them,

    .. math::
        (Mx)_i = b + W_0 x_i + \sum_k W_k \sum_{j \in N_k(i)} x_j, \qquad
        x^0 = M\sigma, \qquad x^{l+1} = x^l + M\, a\bigl(M\, a(x^l / \sqrt{l + 1})\bigr), \qquad
        z = \sum_i a(x^L_i / \sqrt{L + 1}),

    and log psi is made from z by `output`:

    * ``"log_cosh"``: log psi = sum_f log cosh(W z + b)_f, with complex W and b, whether `param_dtype` is real or not.
    * ``"real"``: log psi = w.z, a positive wave function.
    * ``"phase"``: log psi = w.z + i v.z.
    * ``"signed"``: a real wave function psi = 1/F sum_f exp(W z)_f - 1/(e F) sum_f exp(V z)_f. The imaginary part of
      log psi is 0 or pi.

    The state is invariant under all permutations of the sites that map bonds of each kind to such bonds. The parameters
    know nothing of the number of sites: those of one graph can be applied on another one with as many kinds of bonds.

    Args:
        graph: a lattice, or an undirected networkx graph, which becomes one by `from_networkx`.
        bonds: the kinds of bonds that are told apart, each the order of neighbours (an integer) or a name. By default
            all kinds of the edges of a `Graph` (those without a name first), and on other lattices, whose kinds are
            directions, nearest neighbours. Bonds round small periodic lattices count as often as there are images.
        features: of all layers.
        blocks: L.
        output: see above; only "log_cosh" with complex weights.
        activation: a, elementwise; by default GELU, of real and imaginary parts apart. For a holomorphic state take
            complex weights and a holomorphic one (`jnp.tanh`).
        param_dtype: type of the parameters; computations are made in it.
        kernel_init: initialiser of the weights (1 + kinds, features in, features out), which are then divided by the
            mean number of such neighbours, and of W, w, v (features, outputs), which are made smaller as the root of
            the number of sites.
        bias_init: initialiser of the biases.

    Raises:
        TypeError: if `graph` is no graph, `bonds` no tuple of integers and names, a number no integer, or
            `param_dtype` no floating-point type.
        ValueError: if there are no such bonds, a number is not positive, or there is no such output.

    Example:
        >>> import jax, networkx as nx
        >>> from manybody.ansatz import GraphNetwork
        >>> from manybody.hilbert import Spin
        >>> small, large = GraphNetwork(nx.cycle_graph(4)), GraphNetwork(nx.petersen_graph())
        >>> variables = small.init(jax.random.key(0), Spin(4).random_state(jax.random.key(1), 1))
        >>> large.apply(variables, Spin(10).random_state(jax.random.key(1), 3)).shape
        (3,)

    Reference:
        Gilmer et al. (2017), arXiv:1704.01212, section 2; weights for each kind: Schlichtkrull et al. (2018),
        arXiv:1703.06103, eq. 2; for wave functions: Kochkov et al. (2021), arXiv:2110.06390.
    """

    graph: AbstractLattice | nx.Graph
    bonds: tuple[int | str, ...] | None = None
    features: int = 16
    blocks: int = 2
    output: str = "log_cosh"
    activation: Callable[[Array], Array] = reim_gelu
    param_dtype: Any = jnp.float64
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        if isinstance(self.graph, nx.Graph):
            object.__setattr__(self, "graph", from_networkx(self.graph))
        _checks.require_type(self.graph, AbstractLattice, "graph", "A networkx graph is one, too.")
        if self.bonds is not None:
            _checks.require_type(self.bonds, tuple, "bonds")
        _checks.integer(self.features, "features", minimum=1)
        _checks.integer(self.blocks, "blocks", minimum=0)
        check_dtype(self.param_dtype)
        check_output(self.output, self.param_dtype)
        neighbours(self.graph, self.bonds)
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        n_sites = self.graph.n_sites
        _checks.require(sigma.shape[-1] == n_sites, "sigma", f"have {n_sites} sites", sigma.shape[-1])
        mix = neighbours(self.graph, self.bonds)
        x = jnp.asarray(sigma).astype(working_dtype(self.param_dtype)).reshape(-1, n_sites)
        x = x.T[:, None]  # (sites, 1, batch)
        network = ResidualNetwork(
            self.features, self.blocks, self.activation, self.param_dtype, self._spread(mix), self.bias_init
        )
        y = network(x, mix, 1 + len(mix.adjacency))  # (sites, features, batch)
        head = Head(self.output, self.param_dtype, self.kernel_init, self.bias_init)
        return head(sum_of_places(y), n_sites).reshape(sigma.shape[:-1])

    def _spread(self, mix: Neighbours) -> Initializer:
        """The initialiser, with weights that are smaller the more neighbours there are, as their sum is taken."""
        counts = np.maximum(1.0, np.append(1.0, mix.adjacency.sum(axis=(1, 2)) / self.graph.n_sites))
        return lambda key, shape, dtype: self.kernel_init(key, shape, dtype) / counts[:, None, None].astype(dtype)


class Neighbours(NamedTuple):
    """Sums over neighbours, as products with adjacency matrices (kinds, sites, sites).

    For the hundreds of sites that there are, this is many times faster than gathering neighbours.
    """

    adjacency: np.ndarray

    def __call__(
        self, x: Inexact[Array, "sites c_in batch"], kernel: Inexact[Array, "relations c_in c_out"]
    ) -> Inexact[Array, "sites c_out batch"]:
        """y_i = W_0 x_i + sum_k W_k sum_j A^k_ij x_j."""
        y = at_all_places(kernel[0].T, x)
        for joined, weights in zip(self.adjacency, kernel[1:], strict=True):
            heard = jnp.asarray(joined, x.dtype) @ x.reshape(len(x), -1)
            y = y + at_all_places(weights.T, heard.reshape(x.shape))
        return y


@functools.lru_cache(maxsize=64)
def neighbours(graph: AbstractLattice, bonds: tuple[int | str, ...] | None) -> Neighbours:
    """For each kind of bonds how often two sites are joined."""
    pairs = _pairs_by_kind(graph) if bonds is None else [_pairs(graph, bond) for bond in bonds]
    adjacency = np.zeros((len(pairs), graph.n_sites, graph.n_sites))
    for joined, (i, j) in zip(adjacency, (table.T for table in pairs), strict=True):
        np.add.at(joined, (i, j), 1)
        np.add.at(joined, (j, i), 1)
    return Neighbours(read_only(adjacency))


def _pairs(graph: AbstractLattice, bond: int | str) -> np.ndarray:
    _checks.require_type(bond, (int, str), "bonds")
    return graph.bonds(bond, images=True) if isinstance(bond, int) else graph.bonds(kind=bond, images=True)


def _pairs_by_kind(graph: AbstractLattice) -> list[np.ndarray]:
    if not isinstance(graph, Graph):
        return [_pairs(graph, 1)]
    kinds = sorted(set(graph.edge_kinds), key=lambda kind: kind or "")
    return [np.array([e for e, k in zip(graph.edges, graph.edge_kinds, strict=True) if k == kind]) for kind in kinds]
