# SPDX-License-Identifier: Apache-2.0
"""The sample-space kernel T = rows rows^T, layer by layer, without a Jacobian where that is cheaper.

For a dense layer z = h W + b the derivative with respect to W is the outer product of the input h and the derivative D
with respect to z. Summed over W and b the kernel of the layer is

    sum over p, q of (h_ip . h_jq + 1) (D_ip . D_jq)

over the positions p, q at which sample i and j use the layer (R. Novak et al., arXiv:2206.08720, section 4): with one
position n^2 (d_in + d_out) operations and n (d_in + d_out) numbers instead of n^2 d_in d_out and n d_in d_out. For a
symmetric W without diagonal the derivative with respect to the weight of a pair a < b is h_a D_b + h_b D_a, and the
kernel, with the product h D of each feature,

    sum over p, q of (h_ip . h_jq) (D_ip . D_jq) + (h_ip . D_jq) (D_ip . h_jq) - 2 (h D)_ip . (h D)_jq

Which layers are treated so is decided by counted operations and bytes (`manybody.sr.cost`); all other parameters are
contracted, together.

What it is made of gives the adjoint as well, rows^T x: log psi is not differentiated again for the direction of a step.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from manybody import linalg
from manybody._precision import count_real, widen
from manybody._symmetric import of_pairs
from manybody._types import Array, Float, Inexact, PyTree
from manybody.parallel import Comm
from manybody.parallel.chunk import sum_rows
from manybody.sr import cost
from manybody.sr.layers import Layer, Path, derivatives, find
from manybody.sr.tangent import Tangent, TangentMap

_EXCHANGED = 2**20
"""Entries of the Jacobian that a worker sends at a time."""

_WIDENED = 64
"""Rows of the Jacobian in single precision that are copied to double precision at a time."""


def kernel(tangent: Tangent) -> Float[Array, "rows rows"]:
    """T of all samples, the same on all workers; rows are (sample, part) with the part running fastest.

    Each worker makes the rows of its own samples. Of a layer treated by its structure that takes the inputs and slopes
    of all samples; of the Jacobian of the others a worker sees its own rows, and then its own columns.
    """
    return kernel_and_adjoint(tangent)[0]


def kernel_and_adjoint(tangent: Tangent) -> tuple[Float[Array, "rows rows"], Callable[[Array], PyTree]]:
    """T, and `tangent.adjoint` by means of what T is made of."""
    comm, n_parts, n_local = tangent.comm, tangent.n_parts, tangent.n_local
    layers, rest = plan(tangent)
    n_rows = n_local * comm.size * n_parts
    shape = (n_local, n_parts, n_local * comm.size, n_parts)
    if not layers and tangent.n_params < n_rows:  # means are subtracted from what is smaller
        own = _contraction(comm, tangent.jacobian().reshape(n_local * n_parts, -1))
        return comm.all_gather(own.reshape(shape)).reshape(n_rows, n_rows), tangent.adjoint
    made = tangent.each(lambda group: derivatives(group, layers, rest))
    inputs, slopes, others = made
    terms = [
        _structured(comm, group, inputs[source], {path: slopes[path] for path in group})
        for source, group in cost.of_one_input(layers).items()
    ]
    if others is not None:
        terms.append(_contraction(comm, others.reshape(n_local * n_parts, -1)).reshape(shape))
    own = functools.reduce(operator.add, terms)

    def adjoint(rows: Float[Array, "samples parts"]) -> PyTree:
        return tangent.collected(functools.partial(adjoint_of, layers, rest), rows, *made)

    return comm.all_gather(tangent.centered_kernel(own)).reshape(n_rows, n_rows), adjoint


def plan(tangent: Tangent) -> tuple[dict[Path, Layer], list[int]]:
    """The layers treated by their structure, and the numbers of the parameter leaves that are contracted."""
    layers, others, rows = _possible(tangent)
    return _planned(tangent, layers, cost.choose(layers, others, rows))


def _planned(tangent: Tangent, layers: dict[Path, Layer], chosen: list[Path]) -> tuple[dict[Path, Layer], list[int]]:
    layers = {path: layer for path, layer in layers.items() if path in chosen}
    covered = {number for layer in layers.values() for number in layer.leaves}
    return layers, [i for i in range(len(jax.tree.leaves(tangent.params))) if i not in covered]


def describe(tangent: Tangent) -> str:
    """Which layers use the structured form, in words, and what was counted for either form."""
    layers, others, rows = _possible(tangent)
    chosen, rest = _planned(tangent, layers, cost.choose(layers, others, rows))

    def counted(path: Path) -> str:
        one = {path: layers[path]}
        return f"{_name(path)} {cost.structured(one, rows)} ({cost.contracted(layers[path], rows)})"

    names = ", ".join(map(_name, chosen))
    text = f"structured: {names or 'none'}; contracted: {len(rest)} parameter arrays"
    counts = "; ".join(map(counted, layers))
    return f"{text}; for {rows.samples} samples by structure (contracted): {counts}" if layers else text


def _name(path: Path) -> str:
    return "/".join(path) or "the dense layer"


def _possible(tangent: Tangent) -> tuple[dict[Path, Layer], int, cost.Rows]:
    """Layers whose structure can be used, the number of all other columns, and of rows.

    The number of samples is taken for the next power of two, so that workers make no difference to the choice: to be
    split between them, samples may be filled up with some that have no weight.
    """
    layers = find(tangent.example)
    n_columns = count_real(tangent.example.params) - sum(cost.n_columns(layer) for layer in layers.values())
    n_samples = 2 ** (tangent.n_local * tangent.comm.size - 1).bit_length()
    return layers, n_columns, cost.Rows(n_samples, tangent.n_parts)


# --- layers by their structure ----------------------------------------------------------------------------------------


def _structured(comm: Comm, layers: dict[Path, Layer], h: Array, slopes: dict[Path, Array]) -> Float[Array, "a u b v"]:
    """Kernel of layers of one input, between local and all samples; position after position, which saves memory."""
    each = [(layer, jnp.moveaxis(slopes[path], 2, 0)) for path, layer in layers.items()]  # (positions, a, u, d_out)
    h = jnp.moveaxis(h, 1, 0)  # (positions, a, d_in)
    h_all, d_all = _gathered(comm, h), [_gathered(comm, d) for _, d in each]

    def of_pair(p: Array, q: Array) -> Array:
        terms = [
            _layer_kernel(layer, h[p], d[p], h_all[q], every[q]) for (layer, d), every in zip(each, d_all, strict=True)
        ]
        return functools.reduce(operator.add, terms)

    n_positions = len(h)
    if n_positions == 1:
        return of_pair(0, 0)

    def add(total: Array, number: Array) -> tuple[Array, None]:
        return total + of_pair(number // n_positions, number % n_positions), None

    shapes = jax.eval_shape(of_pair, 0, 0)
    start = comm.pvary(jnp.zeros(shapes.shape, shapes.dtype))
    return jax.lax.scan(add, start, jnp.arange(n_positions**2))[0]


def _gathered(comm: Comm, x: Float[Array, "positions a *rest"]) -> Float[Array, "positions b *rest"]:
    return jnp.moveaxis(comm.all_gather(jnp.moveaxis(x, 1, 0)), 0, 1)


def _layer_kernel(layer: Layer, h: Array, d: Array, h_all: Array, d_all: Array) -> Float[Array, "a u b v"]:
    """One layer's kernel between local and all samples, at one position of either.

    With JAX's convention dL = Re(D . dz) the derivative with respect to complex W is h D, of which real parameters see
    the real part: Re(a) Re(b) = Re(a b + a^* b) / 2.
    """
    h, d, h_all, d_all = map(widen, (h, d, h_all, d_all))
    if layer.is_real and not jnp.iscomplexobj(h):
        d, d_all = d.real, d_all.real

    mixed = _products(layer, h.conj(), d.conj(), h_all, d_all)
    if layer.is_real and jnp.iscomplexobj(h):
        return (_products(layer, h, d, h_all, d_all) + mixed) / 2
    return mixed


def _products(layer: Layer, h: Array, d: Array, h_all: Array, d_all: Array) -> Float[Array, "a u b v"]:
    """Real part of the sum over the weights of what they see of local samples times what they see of all."""
    overlap = h @ h_all.T
    # As one product of matrices: of an einsum over (i, u) and (j, v) XLA copies what it transposes.
    slopes = (d.reshape(-1, d.shape[2]) @ d_all.reshape(-1, d_all.shape[2]).T).reshape(*d.shape[:2], *d_all.shape[:2])
    overlap = overlap + 1.0 if layer.has_bias else overlap
    dtype = np.promote_types(overlap.dtype, slopes.dtype)
    outer = overlap.astype(dtype)[:, None, :, None] * slopes.astype(dtype)
    if not layer.is_symmetric:
        return outer.real
    h, d, h_all, d_all = (x.astype(dtype) for x in (h, d, h_all, d_all))
    there, back = jnp.einsum("ia,jva->ijv", h, d_all), jnp.einsum("iua,ja->iuj", d, h_all)
    diagonal = jnp.einsum("iua,jva->iujv", h[:, None] * d, h_all[:, None] * d_all)
    return (outer + there[:, None] * back[..., None] - 2 * diagonal).real


# --- the adjoint ------------------------------------------------------------------------------------------------------


def adjoint_of(
    layers: dict[Path, Layer],
    rest: list[int],
    tangent: TangentMap,
    rows: Float[Array, "samples parts"],
    inputs: dict[int, Array],
    slopes: dict[Path, Array],
    others: Array | None,
) -> PyTree:
    """rows^T x of one group, from what `derivatives` has found."""
    c = tangent.coefficients(rows)
    leaves, structure = jax.tree.flatten(tangent.params)
    seen = [] if others is None else _from_rows(tangent.comm, [leaves[i] for i in rest], others, c)
    found = dict(zip(rest, seen, strict=True))
    for path, layer in layers.items():
        found |= zip(layer.leaves, _from_layer(layer, inputs[layer.source], slopes[path], c), strict=True)
    return tangent.comm.psum(
        jax.tree.unflatten(structure, [found[i].reshape(x.shape).astype(x.dtype) for i, x in enumerate(leaves)])
    )


def _from_rows(
    comm: Comm, leaves: list[Array], rows: Float[Array, "i u columns"], c: Float[Array, "i u"]
) -> list[Inexact[Array, "entries"]]:
    """Sum of c times rows of real columns: of a complex leaf those of the real and then those of the imaginary part."""

    def some(both: tuple[Array, Array]) -> Array:
        rows, c = both
        return c @ widen(rows)

    flat = (rows.reshape(-1, rows.shape[-1]), c.reshape(-1))
    total = sum_rows(comm, some, flat, None if rows.dtype == c.dtype else _WIDENED)
    ends = itertools.accumulate(map(count_real, leaves), initial=0)
    pieces = [total[a:b] for a, b in itertools.pairwise(ends)]
    return [
        jax.lax.complex(*jnp.split(x, 2)) if jnp.iscomplexobj(leaf) else x
        for leaf, x in zip(leaves, pieces, strict=True)
    ]


def _from_layer(layer: Layer, h: Array, d: Array, c: Float[Array, "i u"]) -> list[Inexact[Array, "..."]]:
    """Sum of c times the derivatives with respect to W, h D, and to b, D, in the convention of `_layer_kernel`."""
    d = d.real if layer.is_real and not jnp.iscomplexobj(h) else d
    h, d = widen(h), widen(d)
    d = jnp.einsum("iu,iupb->ipb", c.astype(d.dtype), d)
    dtype = np.promote_types(h.dtype, d.dtype)
    sums = [jnp.einsum("ipa,ipb->ab", h.astype(dtype), d.astype(dtype))]
    if layer.is_symmetric:
        sums = [of_pairs(sums[0])]
    if layer.has_bias:
        sums.append(jnp.sum(d, axis=(0, 1)))
    return [x.real if layer.is_real else x.conj() for x in sums]


# --- rows of the Jacobian ---------------------------------------------------------------------------------------------


def _contraction(comm: Comm, flat: Float[Array, "rows columns"]) -> Float[Array, "rows all_rows"]:
    """Rows of the Jacobian times their transpose: this worker's rows of it."""
    return comm.psum_scatter(_contracted(comm, flat))


def _contracted(comm: Comm, flat: Float[Array, "rows params"]) -> Float[Array, "all_rows all_rows"]:
    """This worker's part of rows rows^T: what its share of the columns adds to it, from the rows of all workers.

    Columns change hands some at a time, so that a worker never holds more than its rows of the Jacobian and these.
    """
    n_columns = flat.shape[1]
    width = comm.size * max(1, min(-(-n_columns // comm.size), _EXCHANGED // (flat.shape[0] * comm.size)))
    if comm.size == 1 or width >= n_columns:
        columns = comm.shard_to_columns(jnp.pad(flat, ((0, 0), (0, -n_columns % comm.size))))
        return linalg.gram(comm, columns, axis=1)

    def add(total: Array, number: Array) -> tuple[Array, None]:
        start = jnp.minimum(number * width, n_columns - width)  # the last block overlaps the one before it
        block = jax.lax.dynamic_slice_in_dim(flat, start, width, axis=1)
        is_new = start + jnp.arange(width) >= number * width
        columns = comm.shard_to_columns(jnp.where(is_new[None], block, jnp.zeros((), block.dtype)))
        return total + linalg.gram(comm, columns, axis=1), None

    n_rows = flat.shape[0] * comm.size
    start = comm.pvary(jnp.zeros((n_rows, n_rows)))
    return jax.lax.scan(add, start, jnp.arange(-(-n_columns // width)))[0]
