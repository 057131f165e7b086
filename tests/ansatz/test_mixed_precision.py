# SPDX-License-Identifier: Apache-2.0
"""Narrow products: which are rounded and which are not, and the wave functions that are made with them."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import manybody as mb
from manybody._types import Array
from manybody.ansatz import ARRNN, GCNN, MLP, MPS, RBM, GraphNetwork, MixedPrecision, ResNet, Symmetrised, ViT, log_cosh
from manybody.ansatz._heads import Head
from manybody.ansatz._narrow import narrowed
from manybody.lattice import square
from manybody.symmetry import Sector
from tests.cases import some_slow

HALVES = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""The largest relative error of a factor."""


def factors(seed: int, *shapes: tuple[int, ...], dtype: str = "float32") -> list[Array]:
    """Numbers that are not small, for float16."""
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    drawn = [jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=True)]
    return [jnp.where(jnp.abs(x) < 0.1, jnp.ones_like(x), x) for x in drawn]


def by_numpy(x: Array, dtype: str) -> np.ndarray:
    """Rounded to the nearest number of the type, in double precision."""
    x = np.asarray(x)
    if np.iscomplexobj(x):
        return by_numpy(x.real, dtype) + 1j * by_numpy(x.imag, dtype)
    return x.astype(jnp.dtype(dtype)).astype(float)


# --- products --------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "product": lambda a, b: a @ b,
    "jit": jax.jit(lambda a, b: a @ b),
    "checkpoint": jax.checkpoint(lambda a, b: a @ b),
    "scan": lambda a, b: jax.lax.scan(lambda _, row: (None, row @ b), None, a)[1],
    "while": lambda a, b: jax.lax.fori_loop(
        0, jnp.argmax(a[0] * 0) + 1, lambda _, c: a @ b, jnp.zeros((5, 3), a.dtype)
    ),
    "cond": lambda a, b: jax.lax.cond(jnp.isfinite(a[0, 0]), lambda: a @ b, lambda: jnp.zeros((5, 3), a.dtype)),
    "rule": jax.custom_jvp(lambda a, b: a @ b),
    "einsum": lambda a, b: jnp.einsum("ij,jk->ki", a, b).T,
    "convolution": lambda a, b: jax.lax.conv(a[:, :, None], b.T[:, :, None], (1,), "SAME")[..., 0],
}
FORMS["rule"].defjvps(lambda da, _, a, b: da @ b, lambda db, _, a, b: 3 * (a @ db))


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", FORMS)
def test_factors_are_rounded_and_sums_are_not(form: str, kind: str, dtype: str) -> None:
    """Wherever the product is; operation by operation, and jitted, where compilers might leave a rounding out."""
    a, b = factors(1, (5, 400), (400, 3), dtype=kind)
    exact, function = np.asarray(a, float) @ np.asarray(b, float), narrowed(FORMS[form], jnp.dtype(dtype))
    for found in (function(a, b), jax.jit(function)(a, b)):
        assert found.dtype == kind
        np.testing.assert_allclose(found, by_numpy(a, dtype) @ by_numpy(b, dtype), rtol=0, atol=1e-4)
        assert np.abs(np.asarray(found) - exact).max() > 0.1 * HALVES[dtype]


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_complex_factors(kind: str) -> None:
    a, b = factors(2, (5, 400), (400, 3), dtype=kind)
    found = jax.jit(narrowed(jnp.matmul, jnp.dtype("bfloat16")))(a, b)
    assert found.dtype == kind
    np.testing.assert_allclose(found, by_numpy(a, "bfloat16") @ by_numpy(b, "bfloat16"), rtol=0, atol=1e-4)


def test_single_precision_below_double() -> None:
    a, b = factors(3, (5, 40), (40, 3), dtype="float64")
    found = jax.jit(narrowed(jnp.matmul, jnp.dtype("float32")))(a, b)
    assert found.dtype == "float64"
    assert 1e-9 < np.abs(found - a @ b).max() < 1e-5


def test_other_products_stay() -> None:
    """Those with a precision of their own, those of integers, and elementwise ones; a general precision is none."""
    a, b = factors(4, (5, 40), (40, 3))
    exact = narrowed(lambda a, b: jnp.matmul(a, b, precision="highest"), jnp.dtype("bfloat16"))
    np.testing.assert_array_equal(exact(a, b), a @ b)
    whole = jnp.arange(1000, 1012).reshape(3, 4)
    np.testing.assert_array_equal(narrowed(lambda n: n @ n.T, jnp.dtype("bfloat16"))(whole), whole @ whole.T)
    np.testing.assert_array_equal(narrowed(lambda a: a * a, jnp.dtype("bfloat16"))(a), a * a)
    with jax.default_matmul_precision("highest"):
        assert np.any(narrowed(jnp.matmul, jnp.dtype("bfloat16"))(a, b) != a @ b)


@pytest.mark.parametrize(
    "form",
    [
        name if name not in ("convolution", "checkpoint") else pytest.param(name, marks=pytest.mark.slow)
        for name in FORMS
        if name not in ("while", "rule")
    ],
)
def test_derivatives_are_those_of_exact_products(form: str) -> None:
    a, b, cotangent = factors(5, (5, 40), (40, 3), (5, 3))
    _, pullback = jax.vjp(narrowed(FORMS[form], jnp.dtype("bfloat16")), a, b)
    for found, expected in zip(pullback(cotangent), (cotangent @ b.T, a.T @ cotangent), strict=True):
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    _, pushed = jax.jvp(narrowed(FORMS[form], jnp.dtype("bfloat16")), (a, b), (b.T[:1] + a, 2 * b))
    np.testing.assert_allclose(pushed, (b.T[:1] + a) @ b + 2 * a @ b, rtol=0, atol=1e-4)


def test_no_device_rounds_what_shall_be_exact() -> None:
    """Products of 32-bit factors, also those of derivatives, ask for the highest precision."""
    a, b = factors(8, (5, 40), (40, 3))
    slope = jax.make_jaxpr(jax.vjp(narrowed(jnp.matmul, jnp.dtype("bfloat16")), a, b)[1])(a @ b)
    single = jax.make_jaxpr(narrowed(jnp.matmul, jnp.dtype("float32")))(a.astype("float64"), b.astype("float64"))
    for program, n_products in ((slope, 2), (single, 1)):
        assert str(program).count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == n_products


def test_functions_keep_their_rules_and_their_trees() -> None:
    """Also where there are products in the function; what comes in trees goes out in trees."""
    a, b, cotangent = factors(7, (5, 40), (40, 3), (5, 3))
    _, pullback = jax.vjp(narrowed(FORMS["rule"], jnp.dtype("bfloat16")), a, b)
    for found, expected in zip(pullback(cotangent), (cotangent @ b.T, 3 * (a.T @ cotangent)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    second = jax.grad(jax.grad(narrowed(log_cosh, jnp.dtype("bfloat16"))))
    np.testing.assert_allclose(second(0.0), 1.0)
    a, b = factors(6, (4, 4), (4, 4))
    found = narrowed(lambda tree: {"sum": tree["a"] + tree["b"], "all": tree}, jnp.dtype("bfloat16"))({"a": a, "b": b})
    np.testing.assert_array_equal(found["sum"], a + b)
    assert found["all"].keys() == {"a", "b"}


# --- wave functions --------------------------------------------------------------------------------------------------

LATTICE = square(4)
SPACE = mb.hilbert.Spin(16)
NETS: dict[str, Callable[[str], nn.Module]] = {
    "rbm": lambda t: RBM(alpha=2, param_dtype=t),
    "rbm-complex": lambda t: RBM(param_dtype={"float32": "complex64", "float64": "complex128"}[t]),
    "mlp": lambda t: MLP((32, 32), param_dtype=t),
    "resnet": lambda t: ResNet(LATTICE, 8, 1, param_dtype=t),
    "vit": lambda t: ViT(LATTICE, layers=1, output="phase", param_dtype=t),
    "graph-network": lambda t: GraphNetwork(LATTICE, (1, 2), 8, 1, "real", param_dtype=t),
    "gcnn": lambda t: GCNN(Sector(LATTICE.translation_group()), (4, 3), param_dtype=t),
    "mps": lambda t: MPS(SPACE, 4, param_dtype=t),
    "ar-rnn": lambda t: ARRNN(SPACE, param_dtype=t),
    "symmetrised": lambda t: Symmetrised(
        MLP((16,), param_dtype=t), Sector(LATTICE.translation_group()), SPACE, chunk_size=4
    ),
}
"""With products in plain code, loops and functions that are evaluated again."""


# One type for each of few networks; `tests/contract` has more of them.
SLOW_NETS = {
    "bfloat16": ("rbm", "rbm-complex", "graph-network", "gcnn", "mps", "ar-rnn", "symmetrised", "vit"),
    "float16": ("rbm", "mlp", "resnet", "vit", "graph-network", "gcnn", "mps", "symmetrised"),
}


@pytest.mark.parametrize(
    ("name", "products"),
    some_slow(
        {f"{name}-{products}": (name, products) for name in NETS for products in HALVES},
        [f"{name}-{products}" for products, names in SLOW_NETS.items() for name in names],
    ),
)
def test_log_psi_is_exact_to_the_rounding_of_factors(name: str, products: str) -> None:
    """Off by a fraction of the rounding, in units of the spread of log psi: neither exact nor rounded when added up."""
    sigma = SPACE.random_state(jax.random.key(0), 64)
    single, double = NETS[name]("float32"), NETS[name]("float64")
    variables = jax.jit(single.init)(jax.random.key(1), sigma)
    wide = jax.tree.map(lambda x: x.astype(np.result_type(x.dtype, "float64")), variables)
    expected = jax.jit(double.apply)(wide, sigma)
    mixed = MixedPrecision(single, products)
    found = jax.jit(mixed.apply)({"params": {"ansatz": variables["params"]}}, sigma)
    assert found.dtype == jax.eval_shape(single.apply, variables, sigma).dtype
    gap = np.asarray(found) - np.asarray(expected)
    spread = np.std(gap - gap.mean())
    assert 0.02 * HALVES[products] < spread / np.std(np.asarray(expected)) < 6 * HALVES[products]
    # The same function for any batch, but for factors that lie in the middle between two numbers of the type.
    one = jax.jit(mixed.apply)
    alone = np.array([one({"params": {"ansatz": variables["params"]}}, s) for s in sigma[:8]])
    assert np.median(np.abs(alone - found[:8])) < 0.1 * spread


def test_parameters_are_those_of_the_ansatz() -> None:
    sigma = SPACE.random_state(jax.random.key(0), 3)
    ansatz = ResNet(LATTICE, 4, 1, param_dtype="float32")
    both = (ansatz, MixedPrecision(ansatz))
    own, mixed = (jax.eval_shape(a.init, jax.random.key(1), sigma)["params"] for a in both)
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), own)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), mixed) == {"ansatz": shapes}


@pytest.mark.parametrize("make", [lambda: MLP((64,), lambda x: x, "float32"), lambda: DeepSum()])
def test_the_last_product_is_exact(make: Callable[[], nn.Module]) -> None:
    """With first weights that fit, nothing is rounded: neither where log psi is made by `Dense`, nor by `Head`."""
    sigma, ansatz = SPACE.random_state(jax.random.key(0), 32), make()
    params = ansatz.init(jax.random.key(1), sigma)["params"]
    first = next(name for name in params if name in ("layers_0", "first"))
    kernel = jax.lax.reduce_precision(30 * params[first]["kernel"], 8, 7)
    params = params | {first: params[first] | {"kernel": kernel}}
    exact = ansatz.apply({"params": params}, sigma)
    found = MixedPrecision(ansatz).apply({"params": {"ansatz": params}}, sigma)
    assert np.abs(exact).max() > 5
    np.testing.assert_allclose(found, exact, rtol=0, atol=2e-5)


class DeepSum(nn.Module):
    """A dense layer below a head."""

    @nn.compact
    def __call__(self, sigma: Array) -> Array:
        x = nn.Dense(8, dtype="float32", param_dtype="float32", name="first")(sigma.astype("float32"))
        return Head("real", "float32", nn.initializers.lecun_normal(), nn.initializers.zeros)(x, 1)


@pytest.mark.slow
def test_energy_is_that_of_the_state_and_close_to_double_precision() -> None:
    """By the sum over all states, after some steps: the mean of local energies is <psi|H|psi> of the rounded psi.

    With psi(1 + delta) for psi in double precision, energies differ by 2 cov(delta, E_loc) + O(delta^2): not more than
    twice the spread of delta times that of E_loc, and twice its square times the width of the spectrum.
    """
    lattice, space = mb.lattice.square(2, 6), mb.hilbert.Spin(12, total_sz=0)
    hamiltonian = mb.hamiltonian.j1j2(space, lattice, J1=1.0, J2=0.5, marshall=True)
    ansatz = {t: ResNet(lattice, 6, 1, output="real", param_dtype=t) for t in ("float32", "float64")}
    state = mb.VariationalState(MixedPrecision(ansatz["float32"]), mb.sampler.Exact(space), seed=1)
    driver = mb.driver.VMC(hamiltonian, state, optimizer=optax.sgd(0.1), preconditioner=mb.sr.SR(1e-2))
    driver.run(20, progress=False)
    state = driver.state.sample()
    assert {str(x.dtype) for x in jax.tree.leaves(state.params)} == {"float32"}
    mean, matrix = state.expect(hamiltonian).mean, hamiltonian.to_sparse()
    assert mean.dtype == "float64"
    logs = np.asarray(state.log_psi(space.all_states()))
    assert logs.dtype == "float64"
    np.testing.assert_allclose(mean, np.exp(logs) @ (matrix @ np.exp(logs)) / np.sum(np.exp(2 * logs)), rtol=1e-6)

    wide = jax.tree.map(lambda x: x.astype("float64"), state.params["ansatz"])
    exact = np.asarray(ansatz["float64"].apply({"params": wide}, space.all_states()))
    weight = np.exp(2 * exact) / np.sum(np.exp(2 * exact))
    e_loc = matrix @ np.exp(exact) / np.exp(exact)
    delta, spectrum = logs - exact, np.linalg.eigvalsh(matrix.toarray())

    def spread(x: np.ndarray) -> float:
        return np.sqrt(weight @ (x - weight @ x) ** 2)

    assert spread(delta) < 0.05
    bound = 2 * spread(delta) * spread(e_loc) + 2 * spread(delta) ** 2 * (spectrum[-1] - spectrum[0])
    assert 1e-8 < abs(mean - weight @ e_loc) < bound
    assert mean > spectrum[0]


def test_chains_and_local_energies_see_the_same_function() -> None:
    """No ratio is taken from partial results that are not rounded, though the ansatz has methods for them."""
    space = mb.hilbert.Spin(8)
    hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(8), J=1.0, h=1.0)
    ansatz = MixedPrecision(RBM(alpha=4, param_dtype="float32"))
    sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=8)
    state = mb.VariationalState(ansatz, sampler, 64, seed=1)
    state = state.replace(params=jax.tree.map(lambda x: 5 * x, state.params)).sample()
    assert not state.network.is_incremental
    np.testing.assert_allclose(state.samples.log_psi, state.log_psi(state.samples.sigma), atol=1e-5)
    psi = np.exp(np.asarray(state.log_psi(space.all_states())))
    expected = (hamiltonian.to_sparse() @ psi / psi)[space.states_to_index(state.samples.sigma)]
    np.testing.assert_allclose(state.local_values(hamiltonian), expected, rtol=1e-5)


def test_symmetry_is_passed_on() -> None:
    sector = Sector(LATTICE.translation_group())
    assert MixedPrecision(GCNN(sector, (2, 2))).sector == sector
    assert MixedPrecision(MLP()).sector is None


def test_arguments() -> None:
    with pytest.raises(TypeError, match="`ansatz` must be"):
        MixedPrecision((lambda key, sigma: {}, lambda params, sigma: 0.0))
    for wrong in ("complex64", "int8"):
        with pytest.raises(TypeError, match="`products` must be a real floating-point type"):
            MixedPrecision(MLP(), wrong)
