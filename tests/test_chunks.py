# SPDX-License-Identifier: Apache-2.0
"""`chunk_size="auto"`: as many configurations at a time as fit, and the same numbers."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, driver, hamiltonian, lattice
from manybody.ansatz import RBM, ResNet
from manybody.estimator.chunk import check_chunk
from manybody.estimator.local import DEFAULT_CHUNK
from manybody.hilbert import Spin
from manybody.network import INCREMENTAL, has_methods
from manybody.parallel import Comm, memory, mesh_comm
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR
from manybody.state import _expectation
from tests.exact_formulas import to_vector

SPACE = Spin(8)
SAMPLER = Metropolis(SPACE, LocalFlip(), n_chains=16)


def wide(n_units, dtype=float):
    """One layer, whose derivatives are much more than its units: log psi = sum over h of cos(sum_i sigma_i w_ih)."""
    return (
        lambda key, sigma: {"w": jnp.ones((sigma.shape[1], n_units), dtype)},
        lambda params, sigma: jnp.cos(sigma.astype(dtype) @ params["w"]).sum(axis=-1),
    )


def deep(n_layers, n_units):
    """Layers between fixed matrices, with one parameter each: units on the way back are all that counts."""
    mix = np.linalg.qr(np.random.default_rng(1).normal(size=(n_units, n_units)))[0]

    def log_psi(params, sigma):
        z = jnp.tile(sigma.astype(float), (1, n_units // sigma.shape[1]))
        for layer in range(n_layers):
            z = jnp.tanh(params["scale"][layer] * (z @ mix))
        return z.sum(axis=-1)

    return lambda key, sigma: {"scale": jnp.ones(n_layers)}, log_psi


# Bytes for one configuration. One row of the Jacobian is 8 sites * units numbers, and twice as many real ones for the
# real and the imaginary part of log psi and of parameters each; those of complex parameters are there as complex
# numbers before. Of a deep network what enters each layer and the derivative of what leaves it are kept.
KNOWN = {
    "wide": (wide(500), 8 * 500 * 8),
    "complex": (wide(500, complex), 2 * 4 * 8 * 500 * 8),
    "deep": (deep(8, 64), 2 * 8 * 64 * 8),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("chunk_size", [4, 32, pytest.param(256, marks=pytest.mark.slow)])
def test_what_fits_is_what_activations_say(name, chunk_size):
    """Half of the memory has room for sqrt(2) times this chunk, by the count above."""
    network, each = KNOWN[name]
    state = VariationalState(network, SAMPLER, 1024, chunk_size="auto", memory_limit=2 * 2**0.5 * chunk_size * each)
    assert state.chunk_size == chunk_size


def test_ratios_may_need_more():
    """All derivatives of 16 samples fit, but not as many connections as are evaluated at a time without chunks."""
    network, layer = deep(2, 512), 512 * 8
    limit = 2 * DEFAULT_CHUNK * layer  # one layer of each, where two are there at a time
    state = VariationalState(network, SAMPLER, 16, chunk_size="auto", memory_limit=limit)
    assert 16 < state.chunk_size <= DEFAULT_CHUNK // 2
    assert VariationalState(network, SAMPLER, 16, chunk_size="auto", memory_limit=4 * limit).chunk_size is None


def test_more_memory_larger_chunks():
    sizes = [
        VariationalState(wide(200), SAMPLER, 512, chunk_size="auto", memory_limit=limit).chunk_size
        for limit in (1e5, 1e6, 1e7, 1e9)
    ]
    assert sizes[-1] is None
    assert 1 <= sizes[0] < sizes[1] < sizes[2] < 512
    assert VariationalState(wide(200), SAMPLER, 512, chunk_size="auto").chunk_size is None


def test_never_more_than_without_chunks():
    """Of very many samples half would fit: connections are no more at a time than the built-in number."""
    n_samples = 32 * DEFAULT_CHUNK
    state = VariationalState(wide(8), SAMPLER, n_samples, chunk_size="auto", memory_limit=n_samples * 8 * 8 * 8)
    assert state.chunk_size == DEFAULT_CHUNK


def test_free_memory_counts(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda _: int(2 * 2**0.5 * 32 * KNOWN["wide"][1]))
    state = VariationalState(wide(500), SAMPLER, 1024, chunk_size="auto")
    assert state.chunk_size == 32
    assert VariationalState(wide(500), SAMPLER, 1024).replace(chunk_size="auto").chunk_size == 32
    on_two = VariationalState(wide(500), SAMPLER, 1024, comm=mesh_comm(jax.devices()[:2]))
    assert on_two.replace(chunk_size="auto").chunk_size == 32
    larger = VariationalState(wide(1000), SAMPLER)
    assert state.replace(chunk_size="auto", network=larger.network, params=larger.params).chunk_size == 16


@dataclass(frozen=True)
class Two(Comm):
    """Two processes, of which the other one fits `rows`."""

    rows: int = 0

    def exchange(self, value):
        return np.stack([value, np.full_like(value, self.rows)])


@pytest.mark.parametrize(("rows", "expected"), [(8, 8), (64, 32), (4096, 32)])
def test_all_processes_take_the_same(rows, expected):
    limit = 2 * 2**0.5 * 32 * KNOWN["wide"][1]
    comm = Two(rank=0, n_processes=2, rows=rows)
    assert (
        VariationalState(wide(500), SAMPLER, 1024, chunk_size="auto", memory_limit=limit, comm=comm).chunk_size
        == expected
    )
    with pytest.raises(ValueError, match="`memory_limit` must be at least"):
        VariationalState(wide(500), SAMPLER, chunk_size="auto", memory_limit=limit, comm=Two(n_processes=2, rows=0))


@pytest.mark.parametrize("n_samples", [64, 1024])
def test_on_a_mesh(n_samples):
    """The limit is that of one worker, who has half of the samples."""
    options = {"chunk_size": "auto", "memory_limit": 2 * 2**0.5 * 32 * KNOWN["wide"][1]}
    alone = VariationalState(wide(500), SAMPLER, n_samples // 2, **options)
    both = VariationalState(wide(500), SAMPLER, n_samples, comm=mesh_comm(jax.devices()[:2]), **options)
    assert both.n_local == alone.n_local
    assert both.chunk_size == alone.chunk_size
    assert 32 <= both.chunk_size < DEFAULT_CHUNK


# --- a whole step -----------------------------------------------------------------------------------------------------

RING = lattice.chain(10)
HAM = hamiltonian.ising(Spin(10), RING)
LIMIT = 24e6
WALK = Metropolis(HAM.space, LocalFlip(), n_chains=64)


@functools.cache
def work_space(n_samples, chunk_size):
    """Bytes of the estimator of energy and force, and of a step."""
    limit = LIMIT if chunk_size else None
    state = VariationalState(ResNet(RING, features=8), WALK, n_samples, chunk_size=chunk_size, memory_limit=limit)
    samples = jax.eval_shape(lambda s: s.sample(), state).samples
    arguments = (state.params, state.constants, HAM.compile(), samples)
    estimator = _expectation(state.comm, state.network, "chain", 10 * n_samples, state.chunk_size, True, True)
    vmc = driver.VMC(HAM, state, optimizer=optax.sgd(0.1), preconditioner=SR(1e-2, "parameters", "cg"))
    step = memory.taken(vmc._make_step(10 * n_samples), vmc.progress, vmc._operator)
    return state.chunk_size, memory.taken(estimator, *arguments), step


@pytest.mark.slow
def test_a_step_stays_within_the_limit():
    """For twice and eight times as many samples; without chunks it does not for the fewest."""
    assert min(work_space(2048, None)[1:]) > LIMIT
    chunks = set()
    for n_samples in (4096, 16_384):
        chunk_size, *sizes = work_space(n_samples, "auto")
        assert max(sizes) < LIMIT, sizes
        chunks.add(chunk_size)
    assert len(chunks) == 1  # it does not depend on the samples
    assert 64 <= chunks.pop() < 2048


@pytest.mark.parametrize(
    "ansatz", [pytest.param(RBM(param_dtype=complex), marks=pytest.mark.slow), RBM()], ids=["complex", "real"]
)
def test_it_changes_nothing(ansatz):
    """Energy, force and a step, with an incremental network."""
    assert has_methods(ansatz, INCREMENTAL)
    ham = hamiltonian.heisenberg(SPACE, lattice.chain(8))

    def estimates(**options):
        state = VariationalState(ansatz, Exact(SPACE), seed=1, **options)
        vmc = driver.VMC(ham, state, optimizer=optax.sgd(0.1), preconditioner=SR(1e-3, "samples"))
        energy, force = state.sample().expect_and_force(ham)
        vmc.advance()
        return state.chunk_size, (energy, to_vector(force), to_vector(vmc.progress.params))

    (none, right), (chunk_size, found) = estimates(), estimates(chunk_size="auto", memory_limit=1e5)
    assert none is None
    assert 1 < chunk_size < 256
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_nothing_fits():
    """The message says what one configuration takes; with that much it fits."""
    with pytest.raises(
        ValueError, match=r"`memory_limit` must be at least \d+ bytes, .*one configuration.*, got 5000"
    ) as caught:
        VariationalState(wide(500), SAMPLER, chunk_size="auto", memory_limit=5000)
    enough = int(str(caught.value).split("at least ")[1].split(" ")[0])
    assert 2 * KNOWN["wide"][1] <= enough < 3 * KNOWN["wide"][1]
    assert VariationalState(wide(500), SAMPLER, chunk_size="auto", memory_limit=enough).chunk_size == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"chunk_size": "Auto"}, ValueError, "`chunk_size` must be one of 'auto', got 'Auto'. Did you mean 'auto'"),
        ({"chunk_size": "some", "memory_limit": 1e9}, ValueError, "`memory_limit` must be left out unless chunk_size="),
        ({"memory_limit": 1e9}, ValueError, "`memory_limit` must be left out unless chunk_size='auto'"),
        ({"chunk_size": 8, "memory_limit": 1e9}, ValueError, "`memory_limit` must be left out"),
        ({"chunk_size": "auto", "memory_limit": 0}, ValueError, "`memory_limit` must satisfy memory_limit > 0"),
        ({"chunk_size": "auto", "memory_limit": "8 GB"}, TypeError, "`memory_limit` must be a real number"),
        ({"chunk_size": 1.5}, TypeError, "`chunk_size` must be an integer"),
    ],
)
def test_bad_choices(options, error, words):
    with pytest.raises(error) as caught:
        VariationalState(wide(2), SAMPLER, **options)
    assert words in str(caught.value)


def test_replacing_by_nonsense():
    state = VariationalState(wide(2), SAMPLER)
    for value in ("all", 0):
        with pytest.raises(ValueError, match="chunk_size"):
            state.replace(chunk_size=value)
    assert state.replace(chunk_size=None).chunk_size is None
    assert check_chunk(None) is None
