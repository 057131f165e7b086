# SPDX-License-Identifier: Apache-2.0
"""The kernel by layers is that of the Jacobian, and layers for which the formula does not hold are contracted."""

import functools
from importlib import import_module

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import _flops
from manybody._symmetric import SymmetricDense
from manybody.ansatz import MLP, RBM
from manybody.estimator.derivatives import flatten_real
from manybody.network import as_network
from manybody.parallel import REPLICATED, Comm, mesh_comm
from manybody.sampler import Samples
from manybody.sampler.base import samples_spec
from manybody.sr import TangentMap, cost
from manybody.sr.kernel import kernel_and_adjoint, plan
from manybody.sr.layers import derivatives, find
from tests.cases import some_slow
from tests.estimator.ansatzes import NnxNet, pair_apply, pair_init
from tests.exact_formulas import QUICK

N_SITES, N_SAMPLES = 6, 12
Dense = functools.partial(nn.Dense, param_dtype=jnp.float64, dtype=jnp.float64)
Symmetric = functools.partial(SymmetricDense, kernel_init=nn.initializers.normal(0.5))


class Net(nn.Module):
    """One of many ways to use dense layers."""

    way: str

    @nn.compact
    def __call__(self, sigma):
        x = sigma.astype(float)
        return getattr(self, self.way)(x)

    def deep(self, x):
        for width in (9, 7, 5):
            x = jnp.tanh(Dense(width)(x))
        return x.sum(axis=-1)

    def no_bias(self, x):
        return jnp.tanh(Dense(9, use_bias=False)(jnp.tanh(Dense(7, use_bias=False)(x)))).sum(axis=-1)

    def complex_deep(self, x):
        layer = functools.partial(nn.Dense, param_dtype=complex, dtype=complex)
        return jnp.sin(layer(7)(jnp.tanh(layer(5)(x.astype(complex))))).sum(axis=-1)

    def real_weights_on_complex(self, x):
        z = nn.Dense(5, param_dtype=complex, dtype=complex)(x.astype(complex))
        return jnp.sin(nn.Dense(7, param_dtype=float, dtype=complex)(z)).sum(axis=-1)

    def positions(self, x):  # three positions of two sites, weights used at each
        patches = x.reshape(*x.shape[:-1], 3, 2)
        first, second, last = Dense(20), Dense(30), Dense(1)
        return last(jnp.tanh(second(jnp.tanh(first(patches)))).mean(axis=-2))[..., 0]

    def complex_positions(self, x):
        patches = x.reshape(*x.shape[:-1], 2, 3).astype(complex)
        z = nn.Dense(4, param_dtype=complex, dtype=complex)(patches)
        return jnp.sin(nn.Dense(3, param_dtype=float, dtype=complex)(jnp.tanh(z))).sum(axis=(-1, -2))

    def symmetric(self, x):  # weights of pairs, used once and at two positions
        z = jnp.tanh(Symmetric(float, name="once")(x) * x)
        return jnp.sin(Symmetric(float, name="twice")(z.reshape(*x.shape[:-1], 2, 3))).sum(axis=(-1, -2))

    def symmetric_complex(self, x):
        z = jnp.tanh(Symmetric(complex, name="complex")(x))
        return jnp.sin(Symmetric(float, name="real")(z * (x.astype(complex) + 0.3j))).sum(axis=-1)

    def one_input(self, x):  # of the first two, found twice in the same way
        return jnp.tanh(Dense(7)(-x) * Dense(7)(-x)).sum(axis=-1) + jnp.sin(Dense(5)(jnp.cos(x))).sum(axis=-1)

    def bias_of_two(self, x):  # fewer parameters than samples
        return jnp.tanh(Dense(1)(x))[..., 0] + jnp.sin(x[..., 0] * self.param("a", nn.initializers.ones, (1,), float))

    def shared(self, x):
        layer = Dense(N_SITES)
        return jnp.tanh(layer(jnp.tanh(layer(x)))).sum(axis=-1) + Dense(5)(x).sum(axis=-1)

    def nested(self, x):
        return Net("deep", name="inner")(x) * 0.5 + Net("no_bias", name="other")(x)

    def residual(self, x):
        return jnp.tanh(x + Dense(N_SITES)(x * self.param("scale", nn.initializers.ones, (1, N_SITES), float))).sum(
            axis=-1
        )

    def tied(self, x):  # an encoder whose transpose is the decoder
        layer = Dense(8, use_bias=False)
        hidden = jnp.tanh(layer(x))
        decoded = hidden @ layer.variables["params"]["kernel"].T
        return jnp.tanh(decoded).sum(axis=-1) + jnp.sin(Dense(5)(x)).sum(axis=-1)

    def by_name(self, x):
        return jnp.tanh(Dense(7)(inputs=x)).sum(axis=-1)

    def remat(self, x):
        layer = nn.remat(nn.Dense)(9, param_dtype=float, dtype=float)
        return jnp.tanh(layer(x)).sum(axis=-1)

    def vmapped(self, x):
        layer = nn.vmap(
            nn.Dense, variable_axes={"params": None}, split_rngs={"params": False}, in_axes=-2, out_axes=-2
        )(30, param_dtype=float, dtype=float)
        return jnp.tanh(layer(jnp.stack([x, 2 * x], axis=-2))).sum(axis=(-1, -2))

    def scanned(self, x):
        cell = nn.scan(Cell, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return cell()(x, None)[0].sum(axis=-1)

    def scanned_shared(self, x):
        cell = nn.scan(Cell, variable_broadcast="params", split_rngs={"params": False}, length=3)
        return cell()(x, None)[0].sum(axis=-1)

    def checkpoint(self, x):
        layer = Dense(9)
        if self.is_initializing():
            return layer(x).sum(axis=-1)
        return jax.checkpoint(lambda y: jnp.tanh(layer(y)).sum(axis=-1))(x)

    def subclass(self, x):
        return jnp.tanh(Squared(9, param_dtype=float, dtype=float)(x)).sum(axis=-1)

    def two_parts(self, x):
        out = Dense(2)(jnp.tanh(Dense(9)(x)))
        return jax.lax.complex(out[..., 0], out[..., 1])


class Cell(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return jnp.tanh(Dense(N_SITES)(x)), None


class Squared(nn.Dense):
    """Not linear, whatever its name."""

    def __call__(self, x):
        return super().__call__(x) ** 2


def two_halves():
    """A function of two modules whose layers have the same names; the first one is used by hand."""
    net = Net("deep")

    def init(key, sigma):
        return {
            "first": net.init(key, sigma)["params"],
            "second": net.init(jax.random.fold_in(key, 1), sigma)["params"],
        }

    def apply(params, sigma):
        by_hand = jnp.tanh(sigma.astype(float) @ params["first"]["Dense_0"]["kernel"]).sum(axis=-1)
        return by_hand + net.apply({"params": params["second"]}, sigma)

    return init, apply


def pair_of(net):
    return (lambda key, sigma: net.init(key, sigma), lambda variables, sigma: net.apply(variables, sigma))


CASES = {  # ansatz and the layers that can be treated by their structure
    "deep": (Net("deep"), ["Dense_0", "Dense_1", "Dense_2"]),
    "no-bias": (Net("no_bias"), ["Dense_0", "Dense_1"]),
    "complex": (Net("complex_deep"), ["Dense_0", "Dense_1"]),
    "real-weights-on-complex": (Net("real_weights_on_complex"), ["Dense_0", "Dense_1"]),
    "positions": (Net("positions"), ["Dense_0", "Dense_1", "Dense_2"]),
    "complex-positions": (Net("complex_positions"), ["Dense_0", "Dense_1"]),
    "symmetric": (Net("symmetric"), ["once", "twice"]),
    "symmetric-complex": (Net("symmetric_complex"), ["complex", "real"]),
    "one-input": (Net("one_input"), ["Dense_0", "Dense_1", "Dense_2"]),
    "shared": (Net("shared"), ["Dense_1"]),
    "nested": (Net("nested"), [f"inner/Dense_{i}" for i in range(3)] + ["other/Dense_0", "other/Dense_1"]),
    "residual": (Net("residual"), ["Dense_0"]),
    "tied": (Net("tied"), ["Dense_1"]),
    "by-name": (Net("by_name"), ["Dense_0"]),
    "remat": (Net("remat"), []),
    "vmapped": (Net("vmapped"), []),
    "scanned": (Net("scanned"), []),
    "scanned-shared": (Net("scanned_shared"), []),
    "checkpoint": (Net("checkpoint"), []),
    "subclass": (Net("subclass"), []),
    "two-parts": (Net("two_parts"), ["Dense_0", "Dense_1"]),
    "mlp": (MLP(hidden=(9, 6)), ["layers_0", "layers_1", "output"]),
    "rbm-phase": (RBM(separate_phase=True), ["hidden", "phase_hidden", "phase_visible", "visible"]),
    "nnx": (NnxNet(N_SITES), []),
    "init-apply": ((pair_init, pair_apply), []),
    "pair-of-a-module": (pair_of(Net("deep")), ["Dense_0", "Dense_1", "Dense_2"]),
    "pair-by-hand": (two_halves(), ["Dense_0", "Dense_1", "Dense_2"]),
}
FORMS = {"chosen": cost.choose, "contracted": lambda layers, *_: [], "structured": lambda layers, *_: list(layers)}


def tangent_of(ansatz, comm=None, n_samples=N_SAMPLES, n_sites=N_SITES, seed=0):
    """A tangent map with random samples of random weights, and what is to be given to a jitted function of it."""
    network = as_network(ansatz)
    keys = jax.random.split(jax.random.key(seed), 3)
    sigma = jax.random.choice(keys[0], jnp.array([1, -1], jnp.int8), (n_samples, 1, n_sites))
    weight = jax.random.uniform(keys[1], (n_samples, 1), minval=0.2)
    params, constants = network.init(keys[2], sigma[:, 0])
    samples = Samples(sigma, jnp.zeros((n_samples, 1)), weight / weight.sum(), "independent")

    def make(params, samples):
        return TangentMap(comm or Comm(), lambda p, s: network.log_psi(p, constants, s), params, samples, None)

    return make, params, samples


SLOW = (
    "scanned-shared",
    "one-input",
    "remat",
    "deep",
    "complex",
    "positions",
    "scanned",
    "vmapped",
    "two-parts",
    "no-bias",
    "rbm-phase",
)


@pytest.mark.parametrize(("ansatz", "possible"), some_slow(CASES, SLOW))
def test_kernel_and_adjoint_are_those_of_the_jacobian(monkeypatch, ansatz, possible):
    """In all forms: as it is chosen, with no layer by its structure, and with every one."""
    make, params, samples = tangent_of(ansatz)
    n_leaves = len(jax.tree.leaves(params))
    assert sorted("/".join(path) for path in find(make(params, samples))) == sorted(possible)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def every(params, samples):
        found = {}
        for form, choose in FORMS.items():
            monkeypatch.setattr(cost, "choose", choose)
            tangent = make(params, samples)
            layers, rest = plan(tangent)
            assert len(rest) == len(set(rest)) == n_leaves - sum(1 + layer.has_bias for layer in layers.values())
            assert form == "chosen" or len(layers) == (len(possible) if form == "structured" else 0)
            matrix, adjoint = kernel_and_adjoint(tangent)
            found[form] = matrix, flatten_real(adjoint(x_of(tangent)))
        return found, tangent.jacobian(), x_of(tangent)

    found, rows, x = every(params, samples)
    rows = np.asarray(rows).reshape(x.size, -1)
    right, pulled = rows @ rows.T, rows.T @ x.ravel()
    for form, (matrix, direction) in found.items():
        np.testing.assert_allclose(matrix, right, rtol=0, atol=1e-12 * np.abs(right).max(), err_msg=form)
        np.testing.assert_allclose(direction, pulled, rtol=0, atol=1e-12 * np.abs(pulled).max(), err_msg=form)


def x_of(tangent):
    """Any vector in the space of samples, this worker's part of it."""
    number, part = tangent.comm.global_index(tangent.n_local), jnp.arange(tangent.n_parts, dtype=float)
    return jnp.cos(1.7 * number.astype(float)[:, None] + part[None])


@pytest.mark.parametrize("form", ["contracted", "structured"])
def test_sums_for_narrow_networks_are_wide(monkeypatch, form):
    """What is made in single precision is multiplied and added up in double precision, over parameters and samples."""
    monkeypatch.setattr(cost, "choose", FORMS[form])
    make, params, samples = tangent_of(MLP(hidden=(60, 40), param_dtype="float32"), n_samples=700)
    tangent = make(params, samples)
    layers, rest = plan(tangent)
    inputs, slopes, others = derivatives(tangent, layers, rest)  # outside of jit, where nothing depends on fusions
    monkeypatch.setattr(import_module("manybody.sr.kernel"), "derivatives", lambda *_: (inputs, slopes, others))
    matrix, adjoint = kernel_and_adjoint(tangent)

    columns = split(tangent.params, rest, others)
    for path, layer in layers.items():  # used at one position
        h, d = np.asarray(inputs[layer.source], float)[:, 0], np.asarray(slopes[path], float)[:, 0, 0]
        columns |= zip(layer.leaves, [np.einsum("ia,ib->iab", h, d), d][: len(layer.leaves)], strict=True)
    rows = np.concatenate([np.asarray(columns[i], float).reshape(700, -1) for i in sorted(columns)], axis=1)
    weight = np.asarray(samples.weight)
    rows = np.sqrt(weight) * (rows - (weight * rows).sum(axis=0))

    right, x = rows @ rows.T, np.asarray(x_of(tangent))
    np.testing.assert_allclose(matrix, right, rtol=0, atol=1e-12 * np.abs(right).max())
    found, pulled = flatten_real(adjoint(jnp.asarray(x))), rows.T @ x.ravel()
    np.testing.assert_allclose(found, pulled.astype(np.float32), rtol=2e-7, atol=1e-11 * np.abs(pulled).max())


def test_large_dense_networks_take_little_of_contraction(monkeypatch):
    """With 200,000 parameters a tenth of the operations and a twentieth of the memory, by the compiler's plan."""
    make, params, samples = tangent_of(MLP(hidden=(512, 340)), n_samples=1024, n_sites=64)
    assert sum(x.size for x in jax.tree.leaves(params)) > 200_000

    def taken(form):
        monkeypatch.setattr(cost, "choose", FORMS[form])
        run = lambda p, s: kernel_and_adjoint(make(p, s))[0]  # noqa: E731
        plan = jax.jit(run, compiler_options=QUICK).lower(params, samples).compile().memory_analysis()
        return _flops.count(run, params, samples).total(), plan.temp_size_in_bytes + plan.output_size_in_bytes

    (flops, memory), (contracted_flops, contracted_memory) = taken("chosen"), taken("contracted")
    assert flops < 0.1 * contracted_flops
    assert memory < 0.05 * contracted_memory


def split(params, rest, others):
    """Columns of real leaves, by their numbers."""
    ends = np.cumsum([0, *(jax.tree.leaves(params)[i].size for i in rest)])
    return {i: others[..., a:b] for i, a, b in zip(rest, ends, ends[1:], strict=False)}


def test_layers_of_one_input():
    make, params, samples = tangent_of(Net("one_input"))
    first, second, other = (layer.source for layer in find(make(params, samples)).values())
    assert first == second != other


@pytest.mark.parametrize("form", [pytest.param("chosen", marks=pytest.mark.slow), "contracted", "structured"])
@pytest.mark.parametrize("way", ["shared", "positions", "symmetric", "one_input", "bias_of_two"])
def test_kernel_on_two_workers(monkeypatch, way, form):
    """Structured and contracted layers, more and fewer rows than parameters, columns that do not divide, chunks."""
    monkeypatch.setattr(cost, "choose", FORMS[form])
    ansatz, comm = Net(way), mesh_comm(jax.devices()[:2])
    make, params, samples = tangent_of(ansatz)
    make_there, _, _ = tangent_of(ansatz, comm)

    def both(tangent):
        matrix, adjoint = kernel_and_adjoint(tangent)
        return matrix, flatten_real(adjoint(x_of(tangent)))

    right = jax.jit(lambda p, s: both(make(p, s)), compiler_options=QUICK)(params, samples)
    specs = (REPLICATED, samples_spec(samples.kind))
    run = comm.spmd(lambda p, s: both(make_there(p, s)), specs, REPLICATED, compiler_options=QUICK)
    for found, wanted in zip(run(params, samples), right, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_layers_of_a_step_are_found_under_jit():
    """With constants and parameters that are traced, as in a step."""
    make, params, samples = tangent_of(Net("deep"))
    found = []

    @jax.jit
    def step(params, samples):
        found.extend(plan(make(params, samples))[0])
        return samples.weight

    step(params, samples)
    assert found == [("Dense_0",), ("Dense_1",), ("Dense_2",)]
