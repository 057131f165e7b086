# SPDX-License-Identifier: Apache-2.0
"""Transformers."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Bool, Float, Int
from manybody.ansatz._numerics import Initializer
from manybody.ansatz.autoregressive.affine import Affine, affine, normalisation
from manybody.ansatz.autoregressive.base import Autoregressive

Memory = tuple[tuple[Array, Array], ...]
"""Keys and values of each layer, both (rows, positions, heads, d_head)."""


class ARTransformer(Autoregressive):
    r"""A decoder: layers of causal attention and perceptrons, in which each position sees itself and those before.

    .. math::
        u^0_p = E x_{p-1} + e_p, \qquad v_p = u^k_p + A^k(N(u^k))_p, \qquad u^{k+1}_p = v_p + M^k(N(v))_p

    x_{p-1} is the encoded level at the position before, e_p an embedding of the position, N a normalisation of layers,
    M a perceptron with `expansion` times as many hidden units, and A attention of several heads,

    .. math::
        A(u)_p = \sum_h W_h \sum_{q \le p} a_{pq} V_h u_q, \qquad
        a_{pq} = \mathop{\mathrm{softmax}}_{q \le p} \frac{(Q_h u_p) \cdot (K_h u_q)}{\sqrt{d_\mathrm{head}}}

    An affine function of N(u_p) after the last layer gives the logits (and phases) of the levels. To draw a site takes
    keys and values of earlier positions from memory.

    Args:
        space: the configurations; sites may have different numbers of levels, and sums of levels may be fixed.
        layers: number of layers.
        d_model: width of u, a multiple of `heads`.
        heads: number of heads.
        expansion: hidden units of the perceptrons, in units of d_model.
        kernel_init: initialiser of weights (features in, features out).
        phase: whether there are phases; otherwise psi is positive.
        order: the site at each position; by default 0, 1, ...
        param_dtype: type of the parameters, real; computations are made in it.

    Raises:
        ValueError: if the space has constraints other than fixed sums, `d_model` is no multiple of `heads`, or `order`
            does not name each site once.
        TypeError: if an argument is of the wrong type, `param_dtype` for instance no real floating-point type.

    Example:
        >>> import jax, jax.numpy as jnp, manybody as mb
        >>> from manybody.ansatz import ARTransformer
        >>> space = mb.hilbert.Spin(4, total_sz=0)
        >>> ansatz, sigma = ARTransformer(space, layers=1, d_model=8, heads=2), jnp.asarray(space.all_states())
        >>> log_psi = ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma)
        >>> round(float(jnp.sum(jnp.exp(2 * log_psi))), 12)
        1.0

    Reference:
        Zhang, Di Ventra (2023), arXiv:2208.01758. Layers: Vaswani et al. (2017), arXiv:1706.03762, normalised before as
        in Xiong et al. (2020), arXiv:2002.04745.
    """

    layers: int = 2
    d_model: int = 32
    heads: int = 4
    expansion: int = 4
    kernel_init: Initializer = nn.initializers.lecun_normal()

    def __post_init__(self) -> None:
        for name in ("layers", "d_model", "heads", "expansion"):
            _checks.integer(getattr(self, name), name, minimum=1)
        must = f"be a multiple of heads ({self.heads})"
        _checks.require(self.d_model % self.heads == 0, "d_model", must, self.d_model)
        super().__post_init__()

    def setup(self) -> None:
        every, d = range(self.layers), self.d_model
        self.embedding = self._affine("embedding", self.n_features, d)
        self.places = self.param("places", nn.initializers.normal(1.0), (self.space.size, d), self.dtype)
        self.norms = [normalisation(self, f"norm_{i}", d, self.dtype) for i in range(2 * self.layers + 1)]
        self.projections = [self._affine(f"projection_{i}", d, 3 * d) for i in every]
        self.mixers = [self._affine(f"mixer_{i}", d, d) for i in every]
        self.expansions = [self._affine(f"expansion_{i}", d, self.expansion * d) for i in every]
        self.contractions = [self._affine(f"contraction_{i}", self.expansion * d, d) for i in every]
        self.head = self._affine("head", d, self.n_outputs)

    def evaluate(
        self, x: Float[Array, "rows positions features"], prefix: Memory, start: int
    ) -> tuple[Float[Array, "rows later outputs"], Memory]:
        before = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, start:-1]  # (rows, later, features)
        n_later = before.shape[1]
        sees = jnp.arange(self.space.size)[None] <= start + jnp.arange(n_later)[:, None]  # (later, positions)
        u, memory = self.embedding(before) + self.places[None, start:], []
        for layer in range(self.layers):
            query, key, value = self._heads(layer, u)
            memory.append((key, value))
            if start:
                key, value = (
                    jnp.concatenate([old, new], axis=1) for old, new in zip(prefix[layer], memory[-1], strict=True)
                )
            u = self._mixed(layer, u, attention(query, key, value, sees))
        return self.head(self.norms[-1](u)), tuple(memory)

    def start_memory(self, n_draws: int) -> Memory:
        shape = (n_draws, self.space.size, self.heads, self.d_model // self.heads)
        return tuple((jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype)) for _ in range(self.layers))

    def step(
        self, memory: Memory, position: Int[Array, ""], x: Float[Array, "draws features"]
    ) -> tuple[Float[Array, "draws outputs"], Memory]:
        sees = (jnp.arange(self.space.size, dtype=jnp.int32) <= position)[None]  # (1, positions)
        u, known = (self.embedding(x) + self.places[position][None])[:, None], []  # (draws, 1, d_model)
        for layer, remembered in enumerate(memory):
            query, *new = self._heads(layer, u)
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, now, position, axis=1)
                for old, now in zip(remembered, new, strict=True)
            )
            known.append((key, value))
            u = self._mixed(layer, u, attention(query, key, value, sees))
        return self.head(self.norms[-1](u))[:, 0], tuple(known)

    def _heads(self, layer: int, u: Float[Array, "rows n d_model"]) -> tuple[Array, Array, Array]:
        """Queries, keys and values, each (rows, n, heads, d_head)."""
        flat = self.projections[layer](self.norms[2 * layer](u))
        query, key, value = jnp.split(flat.reshape(*u.shape[:2], 3 * self.heads, -1), 3, axis=2)
        return query, key, value

    def _mixed(self, layer: int, u: Float[Array, "rows n d_model"], attended: Float[Array, "rows n d_model"]) -> Array:
        """The rest of a layer, behind the attention."""
        u = u + self.mixers[layer](attended)
        return u + self.contractions[layer](nn.gelu(self.expansions[layer](self.norms[2 * layer + 1](u))))

    def _affine(self, name: str, n_in: int, n_out: int) -> Affine:
        return affine(self, name, n_in, n_out, self.kernel_init, self.dtype)


def attention(
    query: Float[Array, "rows n heads d_head"],
    key: Float[Array, "rows positions heads d_head"],
    value: Float[Array, "rows positions heads d_head"],
    sees: Bool[Array, "n positions"],
) -> Float[Array, "rows n d_model"]:
    """Means of the values, weighted by how well keys fit the queries, over the positions that each query sees."""
    scores = jnp.einsum("rnhd,rphd->rhnp", query, key) / math.sqrt(query.shape[-1])
    weights = jax.nn.softmax(jnp.where(sees[None, None], scores, -jnp.inf), axis=-1)
    return jnp.einsum("rhnp,rphd->rnhd", weights, value).reshape(*query.shape[:2], -1)
