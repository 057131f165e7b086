# SPDX-License-Identifier: Apache-2.0
"""Which layers are treated by their structure follows from counted operations and from counted bytes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from manybody.ansatz import RBM
from manybody.sr import cost
from manybody.sr.cost import Cost, Rows, choose, contracted, structured, total
from manybody.sr.kernel import describe, plan
from manybody.sr.layers import Layer
from tests.sr.test_kernel import Net, tangent_of

MANY = 10_000
"""Columns of other parameters, contracted in any case."""


def layer(d_in, d_out, n_positions=1, dtype="float64", bias=False, source=0, inputs=None):
    """A layer whose slopes have the type of its weights, and its inputs too unless another one is given."""
    shapes = [(n_positions, d_in), (n_positions, d_out), (d_in, d_out), *([(d_out,)] if bias else [])]
    h, z, *weights = (jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
    h = jax.ShapeDtypeStruct(h.shape, inputs or dtype)
    return Layer(source, h, z, tuple(range(len(weights))), tuple(weights), is_symmetric=False)


def symmetric(d):
    """A layer with real weights of pairs."""
    weights = jax.ShapeDtypeStruct((d * (d - 1) // 2,), "float64")
    return layer(d, d)._replace(weights=(weights,), is_symmetric=True)


def of(**layers):
    return {(name,): one for name, one in layers.items()}


# --- counts -----------------------------------------------------------------------------------------------------------


def test_counts_of_a_layer():
    n, m, d_in, d_out, rows = 10, 2, 3, 5, Rows(10, 2)
    by_structure = structured(of(a=layer(d_in, d_out)), rows)
    assert by_structure.flops == 2 * n**2 * (d_in + m**2 * d_out)
    assert by_structure.bytes == 8 * 2 * n**2 * (1 + m**2)  # of either product, written and read
    by_columns = contracted(layer(d_in, d_out, bias=True), rows)
    columns = (d_in + 1) * d_out
    assert by_columns.flops == 2 * (n * m) ** 2 * columns + 2 * n * m * d_in * d_out
    assert by_columns.bytes == 8 * 4 * n * m * columns
    many = 1000  # of which products on one side of the diagonal are enough
    assert contracted(layer(d_in, d_out), Rows(many, 1)).flops == (1.25 * many**2 + 2 * many) * d_in * d_out


def test_counts_of_symmetric_weights():
    n, m, d, rows = 10, 2, 7, Rows(10, 2)
    by_structure = structured(of(a=symmetric(d)), rows)
    pairs = n**2 * (1 + m**2 + 2 * m + m**2)  # overlaps, slopes, one with the other, and the diagonal
    assert (by_structure.flops, by_structure.bytes) == (2 * d * pairs, 8 * 2 * pairs)
    by_columns = contracted(symmetric(d), rows)
    assert by_columns.flops == 2 * (n * m) ** 2 * (d * (d - 1) / 2) + 2 * n * m * d**2


def test_counts_of_positions_single_precision_and_complex_numbers():
    rows = Rows(10, 1)
    one, three = (structured(of(a=layer(3, 5, n)), rows) for n in (1, 3))
    assert three.flops == 9 * one.flops
    assert three.bytes == 9 * (one.bytes + 2 * 8 * 10**2)  # and their sum
    single, double = (contracted(layer(3, 5, dtype=dtype), rows) for dtype in ("float32", "float64"))
    assert (single.flops, single.bytes) == (double.flops, double.bytes / 2)
    products = 2 * 10**2 * 3 * 5  # in double precision in any case
    assert single.time - products == (double.time - products) / 2
    numbers = structured(of(a=layer(3, 5, dtype="complex128")), rows)
    assert (numbers.flops, numbers.bytes) == (4 * one.flops, 2 * one.bytes)
    real_on_complex = structured(of(a=layer(3, 5, inputs="complex128")), rows)
    assert real_on_complex.flops == 2 * 2 * 10**2 * (4 * 3 + 5)
    assert real_on_complex.bytes == 2 * 2 * 8 * 10**2 * (2 + 1)
    assert structured(of(a=layer(3, 1)), rows).bytes == one.bytes / 2  # the product of two numbers is no array


def test_counts_of_all():
    rows, two = Rows(10, 1), of(a=layer(3, 5), b=layer(3, 4))
    matrix = 8 * 10**2
    shared = structured(two, rows)
    assert shared.flops == 2 * 10**2 * (3 + 5 + 4)
    assert shared.bytes == 2 * matrix * 3
    both = total(two, list(two), 0, rows)
    assert (both.flops, both.bytes) == (shared.flops, shared.bytes + 4 * matrix)
    mixed = total(two, [("a",)], 0, rows)
    alone = structured(of(a=two["a",]), rows).bytes + contracted(two["b",], rows).bytes
    assert mixed.bytes == alone + (2 + 4) * matrix  # a matrix that is added, and the means
    few = total(of(a=layer(2, 3)), [], 0, rows)
    assert few.bytes == contracted(layer(2, 3), rows).bytes + 4 * 8 * 10 * 6  # means of rows, not of the kernel
    assert str(Cost(2.5e6, 1.25e8, 0.0)) == "2.5 Mflop, 125 MB"


# --- choices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "rows", "is_structured"),
    [
        # For an element of the kernel 2 (d_in + d_out) operations, 32 bytes and 16 of a sum, against 1.25 d_in d_out.
        (layer(6, 6), Rows(1000, 1), False),  # fewer operations, but not with the bytes
        (layer(11, 11), Rows(1000, 1), True),
        (layer(10, 10), Rows(4000, 1), False),  # the bytes of matrices that are large take longer
        (layer(20, 20), Rows(4000, 1), True),
        (layer(10, 10, 2), Rows(1000, 1), False),
        (layer(40, 40, 2), Rows(1000, 1), True),
        (layer(40, 40, 4), Rows(1000, 1), False),
        (layer(16, 8), Rows(1000, 1), True),
        (layer(16, 8, dtype="float32"), Rows(1000, 1), True),  # products are in double precision all the same
        (layer(12, 7), Rows(1000, 1), False),
        (layer(12, 7), Rows(500, 2), True),  # overlaps between samples serve for all of their rows
    ],
)
def test_choice_for_a_layer_among_others(one, rows, is_structured):
    assert choose(of(a=one), MANY, rows) == [("a",)] * is_structured


def test_bytes_decide(monkeypatch):
    """Operations alone would decide otherwise."""
    one, rows = of(a=layer(6, 6)), Rows(1000, 1)
    assert structured(one, rows).flops < contracted(one["a",], rows).flops
    assert choose(one, MANY, rows) == []
    monkeypatch.setattr(cost, "_BALANCE_NEAR", 0.0)
    assert choose(one, MANY, rows) == [("a",)]


def test_operations_decide():
    """Bytes alone would decide otherwise."""
    one, rows = of(a=layer(20, 20)), Rows(1000, 1)
    assert structured(one, rows).bytes > contracted(one["a",], rows).bytes
    assert choose(one, MANY, rows) == [("a",)]


def test_layers_of_one_input_are_decided_together():
    rows, narrow = Rows(1000, 1), layer(16, 1)
    assert choose(of(wide=layer(16, 32), narrow=narrow), MANY, rows) == [("wide",), ("narrow",)]
    assert choose(of(wide=layer(16, 32), narrow=narrow._replace(source=1)), MANY, rows) == [("wide",)]


def test_nothing_is_contracted_for_its_own_sake():
    """A layer for which that is a little cheaper would need a product of its own."""
    rows, two = Rows(1000, 1), of(wide=layer(16, 32), narrow=layer(90, 2, bias=True, source=1))
    assert choose(two, MANY, rows) == [("wide",)]
    assert choose(two, 0, rows) == list(two)


def test_where_rows_have_fewer_numbers_than_the_kernel_they_are_contracted():
    assert choose(of(field=layer(16, 1)), 0, Rows(1000, 1)) == []


# --- what is written --------------------------------------------------------------------------------------------------


def test_words():
    make, params, samples = tangent_of(RBM(alpha=2), n_samples=100)
    tangent = make(params, samples)
    layers, rest = plan(tangent)
    assert (list(layers), rest) == ([("visible",), ("hidden",)], [])
    assert describe(tangent) == (
        "structured: visible, hidden; contracted: 0 parameter arrays; for 128 samples by structure (contracted): "
        "visible 0.229 Mflop, 0.262 MB (0.198 Mflop, 0.0246 MB); "
        "hidden 0.59 Mflop, 0.524 MB (2.77 Mflop, 0.344 MB)"
    )


def test_words_without_layers():
    make, params, samples = tangent_of(Net("remat"))
    assert describe(make(params, samples)) == "structured: none; contracted: 2 parameter arrays"


def test_choice_depends_on_the_number_of_samples():
    """More samples make larger matrices; some that fill up the last worker's make no difference."""

    class Flat(nn.Module):
        @nn.compact
        def __call__(self, sigma):
            x = jnp.ones((sigma.shape[0], 10)) * sigma[:, :1].astype(float)
            other = self.param("other", nn.initializers.ones, (MANY,), float)
            return jnp.tanh(nn.Dense(10, param_dtype=float, dtype=float)(x)).sum(-1) + jnp.sin(other).sum()[None]

    for n_samples, expected in ((1000, [("Dense_0",)]), (1025, []), (2048, [])):
        make, params, samples = tangent_of(Flat(), n_samples=n_samples)
        assert list(plan(make(params, samples))[0]) == expected
    words = {describe(make(*given)) for make, *given in (tangent_of(RBM(), n_samples=n) for n in (35, 36))}
    assert len(words) == 1
