# SPDX-License-Identifier: Apache-2.0
"""Autoregressive networks against their formulas, written as loops; their options and errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from manybody.ansatz import ARRNN, ARConv, ARDense, ARTransformer
from manybody.ansatz.autoregressive import base, conv
from manybody.ansatz.autoregressive.base import level_codes
from manybody.ansatz.autoregressive.grid import Box, sources, tap_table, tiles
from manybody.ansatz.autoregressive.masks import limits, open_levels
from manybody.hilbert import Constrained, Fock, Product, Qubit, Spin
from manybody.lattice import chain, cubic, honeycomb, rectangle, square
from tests.cases import some_slow

SPACE = Spin(6)
LEVELS = np.random.default_rng(0).integers(2, size=(5, 6))
SIGMA = jnp.asarray(SPACE.from_levels(LEVELS))


def parameters(ansatz, sigma=SIGMA, seed=1):
    """Random ones of order one: biases are not zero."""
    shapes = jax.eval_shape(ansatz.init, jax.random.key(0), sigma)["params"]
    rng = np.random.default_rng(seed)
    return {name: 0.7 * rng.normal(size=shape.shape) for name, shape in shapes.items()}


def conditionals(ansatz, params, sigma=SIGMA):
    return np.asarray(jax.jit(lambda p: ansatz.apply({"params": p}, sigma, method="conditionals"))(params))


def log_softmax(x):
    return x - scipy.special.logsumexp(x, axis=-1, keepdims=True)


def encoded(levels):
    """1 for the first of two levels, -1 for the second."""
    return 1.0 - 2.0 * levels[..., None]


# --- formulas --------------------------------------------------------------------------------------------------------


def layered(params, x, near, activation=np.tanh):
    """Layers in which position p takes kernel[tap] of each (q, tap) in near(layer, p)."""
    n_layers = len(params) // 2
    for layer in range(n_layers):
        kernel, bias = params[f"kernel_{layer}"], params[f"bias_{layer}"]
        y = np.stack(
            [
                sum((x[:, q] @ kernel[tap] for q, tap in near(layer, p)), np.zeros((len(x), kernel.shape[2])))
                + (bias if bias.ndim == 1 else bias[p])
                for p in range(x.shape[1])
            ],
            axis=1,
        )
        x = activation(y) if layer + 1 < n_layers else y
    return x


def test_dense_formula():
    ansatz = ARDense(SPACE, (3, 4), jnp.tanh)
    params = parameters(ansatz)

    def near(layer, p):
        """Weights are listed by earlier, then by later position."""
        pairs = [(q, r) for q in range(6) for r in range(q + (layer == 0), 6)]
        return [(q, pairs.index((q, p))) for q in range(p + (layer > 0))]

    expected = log_softmax(layered(params, encoded(LEVELS), near))
    np.testing.assert_allclose(conditionals(ansatz, params), expected, atol=1e-12)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(2, 1), (3, 1), (2, 2), (9, 1)])
def test_conv_formula_in_a_row(kernel_size, dilation):
    """Taps are numbered from the nearest one."""
    ansatz = ARConv(SPACE, (3, 4), kernel_size, dilation, activation=jnp.tanh)
    params = parameters(ansatz)

    def near(layer, p):
        distances = [j * dilation**layer for j in range(int(layer == 0), kernel_size)]
        return [(p - d, tap) for tap, d in enumerate(distances) if p - d >= 0]

    expected = log_softmax(layered(params, encoded(LEVELS), near))
    np.testing.assert_allclose(conditionals(ansatz, params), expected, atol=1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_conv_formula_on_a_lattice(periodic):
    """Kernels of size 2 on 3 x 4 sites: the site, the one to the left, and three in the row above, round the torus."""
    space, lattice = Spin(12), rectangle(3, 4, periodic=periodic)
    levels = np.random.default_rng(1).integers(2, size=(4, 12))
    sigma, ansatz = jnp.asarray(space.from_levels(levels)), ARConv(space, (3,), 2, lattice=lattice, activation=jnp.tanh)
    params = parameters(ansatz, sigma)

    def near(layer, p):
        row, column = divmod(p, 4)
        steps = [(0, 0), (0, -1), (-1, 1), (-1, 0), (-1, -1)][int(layer == 0) :]
        seen = []
        for tap, (down, right) in enumerate(steps):
            r, c = row + down, column + right
            if r >= 0 and (0 <= c < 4 or (periodic and down)):
                seen.append((4 * r + c % 4, tap))
        return seen

    expected = log_softmax(layered(params, encoded(levels), near))
    np.testing.assert_allclose(conditionals(ansatz, params, sigma), expected, atol=1e-12)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def affine(params, name, x):
    return x @ params[f"{name}_kernel"] + params[f"{name}_bias"]


def lstm(params, layer, x, states, f):
    joined = np.concatenate([x, *(h for h, _ in states)], axis=-1)
    g, i, o, *forget = np.split(affine(params, f"gates_{layer}", joined), 3 + len(states), axis=-1)
    c = sigmoid(i) * np.tanh(g) + sum(sigmoid(k) * c for k, (_, c) in zip(forget, states, strict=True))
    return sigmoid(o) * np.tanh(c), c


def gru(params, layer, x, states, f):
    h = np.concatenate([h for h, _ in states], axis=-1)
    z, r = np.split(affine(params, f"gates_{layer}", np.concatenate([x, h], axis=-1)), 2, axis=-1)
    new = np.tanh(affine(params, f"inputs_{layer}", x) + sigmoid(r) * affine(params, f"recurrence_{layer}", h))
    return sigmoid(z) * np.mean([h for h, _ in states], axis=0) + (1 - sigmoid(z)) * new, None


def walk(params, levels, cell, n_layers, f, previous):
    """The hidden states of the last layer, where position p sees the positions in previous(p), or nothing (None)."""
    x, known = encoded(levels), {}
    zero, nothing = np.zeros((len(x), 1)), (np.zeros((len(x), f)), np.zeros((len(x), f)))
    for p in range(x.shape[1]):
        below = np.concatenate([zero if q is None else x[:, q] for q in previous(p)], axis=-1)
        for layer in range(n_layers):
            states = [nothing if q is None else known[q, layer] for q in previous(p)]
            known[p, layer] = cell(params, layer, below, states, f)
            below = known[p, layer][0]
    return np.stack([known[p, n_layers - 1][0] for p in range(x.shape[1])], axis=1)


@pytest.mark.parametrize("cell", [lstm, gru])
@pytest.mark.parametrize("lattice", [None, rectangle(2, 3), chain(6)])
def test_recurrent_formula(cell, lattice):
    """On 2 x 3 sites the snake is 0 1 2 5 4 3, and above its positions 3, 4, 5 are 2, 1, 0."""
    ansatz = ARRNN(SPACE, 3, layers=2, cell=cell.__name__, lattice=lattice)
    params = parameters(ansatz)

    def previous(p):
        before = p - 1 if p else None
        return (before, 5 - p if p > 2 else None) if ansatz.order[3] == 5 else (before,)

    levels = LEVELS[:, [0, 1, 2, 5, 4, 3]] if lattice == rectangle(2, 3) else LEVELS
    expected = log_softmax(affine(params, "head", walk(params, levels, cell, 2, 3, previous)))
    np.testing.assert_allclose(conditionals(ansatz, params), expected, atol=1e-12)


def test_transformer_formula():
    ansatz = ARTransformer(SPACE, layers=2, d_model=6, heads=2, expansion=3)
    params = parameters(ansatz)

    def normed(number, x):
        x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
        return x * params[f"norm_{number}_scale"] + params[f"norm_{number}_bias"]

    x = np.concatenate([np.zeros((5, 1, 1)), encoded(LEVELS)[:, :-1]], axis=1)
    u = affine(params, "embedding", x) + params["places"]
    for layer in range(2):
        q, k, v = np.split(affine(params, f"projection_{layer}", normed(2 * layer, u)), 3, axis=-1)
        heads = []
        for head in (slice(0, 3), slice(3, 6)):
            scores = q[..., head] @ np.swapaxes(k[..., head], 1, 2) / np.sqrt(3)
            scores[:, np.triu(np.ones((6, 6), bool), k=1)] = -np.inf
            heads.append(scipy.special.softmax(scores, axis=-1) @ v[..., head])
        u = u + affine(params, f"mixer_{layer}", np.concatenate(heads, axis=-1))
        inner = affine(params, f"expansion_{layer}", normed(2 * layer + 1, u))
        gelu = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        u = u + affine(params, f"contraction_{layer}", gelu)
    expected = log_softmax(affine(params, "head", normed(4, u)))
    np.testing.assert_allclose(conditionals(ansatz, params), expected, atol=1e-12)


def test_phase_is_the_sum_of_second_outputs():
    """Without hidden layers: outputs 2 and 3 are the phases of the two levels."""
    ansatz = ARDense(SPACE, (), phase=True)
    params = parameters(ansatz)
    log_psi = ansatz.apply({"params": params}, SIGMA)

    def near(layer, p):
        pairs = [(q, r) for q in range(6) for r in range(q + 1, 6)]
        return [(q, pairs.index((q, p))) for q in range(p)]

    outputs = layered(params, encoded(LEVELS), near)
    phase = np.take_along_axis(outputs[..., 2:], LEVELS[..., None], axis=-1).sum(axis=(1, 2))
    amplitude = np.take_along_axis(log_softmax(outputs[..., :2]), LEVELS[..., None], axis=-1).sum(axis=(1, 2)) / 2
    np.testing.assert_allclose(log_psi, amplitude + 1j * phase, atol=1e-12)


@pytest.mark.parametrize("make", [ARDense, ARConv, ARRNN, ARTransformer])
def test_order(make):
    """In another order of sites, the same network sees permuted configurations."""
    order = (3, 0, 5, 1, 4, 2)
    params = parameters(make(SPACE))
    expected = conditionals(make(SPACE), params, SIGMA[:, jnp.array(order)])
    np.testing.assert_allclose(conditionals(make(SPACE, order=order), params), expected, atol=1e-12)


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3, 5])
def test_codes_are_corners_of_a_simplex(d):
    codes = level_codes((d, 2), "float64")[0]
    np.testing.assert_allclose(codes @ codes.T, d * np.eye(d) - 1, atol=1e-12)
    np.testing.assert_allclose(np.sum(level_codes((d, 2), "float64")[1], axis=1), np.eye(1, d)[0] - np.eye(2, d)[1])


def test_open_levels_stay_open_when_too_much_is_used():
    space = Fock(3, n_max=2, n_particles=3)
    low, high = open_levels(limits(space, (0, 1, 2)), jnp.array([[0, 5, 9], [0, 0, 0], [0, 2, 2]], jnp.int32))
    np.testing.assert_array_equal(low, [[0, 0, 0], [0, 1, 2], [0, 0, 1]])
    np.testing.assert_array_equal(high, [[2, 0, 0], [2, 2, 2], [2, 1, 1]])


def test_each_site_is_seen_once_round_a_short_axis():
    near = sources(Box((2, 3), (True, True)), 4, 1, is_first=False)
    for position, row in enumerate(near):
        assert sorted(row[row < 6]) == list(range(position + 1))


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 6), (5, 23), (0, 200), (199, 200)])
def test_tiles_cover_all_positions(start, stop):
    runs = tiles(start, stop)
    assert [p for run in runs for p in range(run.start, run.stop)] == list(range(start, stop))
    assert len(runs) <= 8
    assert all(run.stop > run.start for run in runs)


def test_taps_of_a_tile():
    near = np.array([[2, 0, 9], [9, 3, 2]])
    inputs, tap = tap_table(near, 9)
    assert inputs == slice(0, 4)
    np.testing.assert_array_equal(tap, [[1, 3], [3, 3], [0, 2], [3, 1]])


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gathered", [0, 1000])
def test_light_cones_and_evaluation_from_the_first_change(gathered, monkeypatch):
    """Two ways to the same ratio, in single precision and of one wave function on 5 x 4 sites."""
    monkeypatch.setattr(conv, "GATHERED", gathered)
    space = Spin(20, total_sz=1)
    ansatz = ARConv(space, (3, 2), 2, lattice=rectangle(5, 4), phase=True, param_dtype=jnp.float32)
    sigma = space.random_state(jax.random.key(0), 200)
    variables = jax.jit(ansatz.init)(jax.random.key(1), sigma)
    sites = jnp.asarray(np.random.default_rng(2).permuted(np.tile(np.arange(20), (200, 1)), axis=1)[:, :3])
    values = jnp.take_along_axis(sigma, jnp.roll(sites, 1, axis=1), axis=1)

    @jax.jit
    def both(variables):
        cache = ansatz.apply(variables, sigma, method="init_cache")
        changed = jnp.put_along_axis(sigma, sites, values, axis=1, inplace=False)
        difference = ansatz.apply(variables, changed) - ansatz.apply(variables, sigma)
        return ansatz.apply(variables, cache, sites, values, method="log_ratio"), difference

    found, expected = both(variables)
    assert found.dtype == np.complex64
    assert np.std(expected.real) > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_stands_before_is_not_evaluated_again():
    """Of changes at the last of 32 positions a dense layer evaluates a quarter: the compiled program says so."""
    space = Spin(32)
    ansatz = ARDense(space, (8,))
    sigma = space.random_state(jax.random.key(0), 4)
    shapes = jax.eval_shape(ansatz.init, jax.random.key(1), sigma)
    cache = jax.eval_shape(lambda v: ansatz.apply(v, sigma, method="init_cache"), shapes)
    change = jnp.zeros((4, 1), jnp.int32), jnp.ones((4, 1), jnp.int8)
    text = str(jax.make_jaxpr(lambda v, c: ansatz.apply(v, c, *change, method="log_ratio"))(shapes, cache))
    for start in (0, 8, 16, 24):
        assert f"f64[4,{32 - start},8]" in text, "there is a branch for each quarter"
    assert base.STARTS == 4


OPEN = {
    "row": (Product(Fock(20, n_max=2), Spin(40)), {"features": (4, 3), "kernel_size": 3, "dilation": 2, "phase": True}),
    "no-hidden-layer": (Spin(12), {"features": (), "kernel_size": 4}),
    "reordered": (Spin(30), {"features": (5,), "order": tuple(range(29, -1, -1))}),
    "square": (Spin(36), {"features": (3,), "kernel_size": 2, "lattice": square(6, periodic=False)}),
}


@pytest.mark.parametrize(("space", "options"), some_slow(OPEN, ["row", "no-hidden-layer", "reordered"]))
def test_one_changed_site_by_differences(space, options):
    """To 1e-12 what full evaluations give, for every site, at the ends as well, and a value that stays."""
    ansatz = ARConv(space, **options)
    sigma = jnp.tile(space.random_state(jax.random.key(3), 3), (space.size, 1))
    sites = np.repeat(np.arange(space.size, dtype=np.int32), 3)[:, None]
    values = jnp.take_along_axis(space.random_state(jax.random.key(4), len(sigma)), sites, axis=1)
    variables = {"params": parameters(ansatz, sigma)}
    assert ansatz.bind(variables)._has_one_cone(1)
    cache = jax.jit(lambda v: ansatz.apply(v, sigma, method="init_cache"))(variables)
    ratio = jax.jit(lambda v: ansatz.apply(v, cache, sites, values, method="log_ratio"))(variables)
    new = jnp.put_along_axis(sigma, sites, values, 1, inplace=False)
    expected = ansatz.apply(variables, new) - ansatz.apply(variables, sigma)
    np.testing.assert_allclose(ratio, expected, rtol=0, atol=1e-12)
    assert np.any(expected == 0)
    assert np.std(expected.real) > 0.1


@pytest.mark.parametrize(
    ("space", "options", "n_changed"),
    [
        (Spin(30, total_sz=0), {}, 1),  # later positions have other levels left
        (Spin(30), {}, 2),
        (Spin(36), {"lattice": square(6)}, 1),
        (Spin(6), {"features": (4, 4, 4), "kernel_size": 4}, 1),  # all positions, so nothing is saved
    ],
)
def test_when_differences_are_not_taken(space, options, n_changed):
    ansatz = ARConv(space, **options)
    variables = {"params": parameters(ansatz, space.random_state(jax.random.key(0), 1))}
    assert not ansatz.bind(variables)._has_one_cone(n_changed)


# --- sizes and types -------------------------------------------------------------------------------------------------

LARGE = [
    pytest.param(ARDense(Spin(400, total_sz=0), (2,)), marks=pytest.mark.slow),
    ARConv(Spin(400), (4, 4), lattice=square(20)),
    ARRNN(Spin(400), 4, lattice=square(20)),
    ARTransformer(Spin(400, total_sz=3), 1, 4, 2),
]


@pytest.mark.parametrize("ansatz", LARGE, ids=lambda ansatz: type(ansatz).__name__)
def test_finite_at_400_sites(ansatz):
    """With first parameters the state is about as broad as the space: log psi is that of equal amplitudes, roughly."""
    sigma = ansatz.space.random_state(jax.random.key(0), 3)
    log_psi = jax.jit(lambda key: ansatz.apply(ansatz.init(key, sigma), sigma))(jax.random.key(1))
    assert np.isfinite(log_psi).all()
    assert np.all((log_psi < -100) & (log_psi > -1000))


@pytest.mark.parametrize("make", [ARDense, ARConv, ARRNN, ARTransformer])
def test_single_precision_and_batches(make):
    ansatz = make(SPACE, phase=True, param_dtype=jnp.float32)
    variables = jax.jit(ansatz.init)(jax.random.key(0), SIGMA)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}
    shapes = (SIGMA[:4], SIGMA[:4].reshape(2, 1, 2, 6), SIGMA[0])
    flat, many, one = jax.jit(lambda v: [ansatz.apply(v, sigma) for sigma in shapes])(variables)
    assert flat.dtype == np.complex64
    assert many.shape == (2, 1, 2)
    assert one.shape == ()
    np.testing.assert_allclose(many.ravel(), flat, atol=1e-6)
    np.testing.assert_allclose(one, flat[0], atol=1e-6)


def test_initialisers_are_used():
    ones = jax.nn.initializers.ones
    biased = {"kernel_init": ones, "bias_init": ones}
    for ansatz in (ARDense(SPACE, **biased), ARConv(SPACE, **biased)):
        params = jax.jit(ansatz.init)(jax.random.key(0), SIGMA)["params"]
        np.testing.assert_array_equal(params["bias_0"], 1)
        if isinstance(ansatz, ARDense):
            np.testing.assert_allclose(params["kernel_1"][0], 1 / 4)  # one position with 16 features
            np.testing.assert_allclose(params["kernel_1"][5], 1 / np.sqrt(6 * 16))
        else:
            np.testing.assert_array_equal(params["kernel_1"], 1)
    for make in (ARRNN, ARTransformer):
        params = jax.jit(make(SPACE, kernel_init=ones).init)(jax.random.key(0), SIGMA)["params"]
        np.testing.assert_array_equal(params["head_kernel"], 1)


ERRORS = [
    (lambda: ARDense(Constrained(Spin(4), lambda s: s[..., 0] == 1)), ValueError, "no constraints but fixed sums"),
    (lambda: ARDense(Product(Qubit(2), Constrained(Spin(4), lambda s: s[..., 0] == 1))), ValueError, "but fixed sums"),
    (lambda: ARRNN(6), TypeError, "`space` must be a DiscreteSpace"),
    (lambda: ARDense(SPACE, order=(0, 1, 2)), ValueError, "`order` must name each of 6 sites once"),
    (lambda: ARDense(SPACE, param_dtype=complex), ValueError, "Pass phase=True"),
    (lambda: ARDense(SPACE, param_dtype=int), TypeError, "`param_dtype`"),
    (lambda: ARDense(SPACE, (4, 0)), ValueError, "1 <= features"),
    (lambda: ARConv(SPACE, 4), TypeError, "`features` must be a tuple"),
    (lambda: ARConv(SPACE, kernel_size=1), ValueError, "2 <= kernel_size"),
    (lambda: ARConv(SPACE, dilation=0), ValueError, "1 <= dilation"),
    (lambda: ARConv(SPACE, lattice=chain(5)), ValueError, "have the 6 sites of the space"),
    (lambda: ARConv(SPACE, lattice=6), TypeError, "`lattice` must be a Lattice"),
    (lambda: ARConv(Spin(8), lattice=honeycomb(2, 2)), ValueError, "box of cells with one site each"),
    (lambda: ARConv(SPACE, lattice=chain(6), order=(1, 0, 2, 3, 4, 5)), ValueError, "be None beside a lattice"),
    (lambda: ARRNN(Spin(8), lattice=cubic(2)), ValueError, "one or two dimensions"),
    (lambda: ARRNN(SPACE, cell="lstn"), ValueError, "Did you mean 'lstm'"),
    (lambda: ARRNN(SPACE, layers=0), ValueError, "1 <= layers"),
    (lambda: ARRNN(SPACE, 0), ValueError, "1 <= features"),
    (lambda: ARTransformer(SPACE, d_model=6, heads=4), ValueError, r"multiple of heads \(4\)"),
    (lambda: ARTransformer(SPACE, expansion=0), ValueError, "1 <= expansion"),
    (lambda: ARDense(SPACE).init(jax.random.key(0), SIGMA[:, :5]), ValueError, r"have shape \(..., 6\)"),
]


@pytest.mark.parametrize(("make", "error", "message"), ERRORS)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
