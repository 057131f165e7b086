# SPDX-License-Identifier: Apache-2.0
"""What is compiled ahead is not compiled again, and is compiled with options of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, _compile, state
from manybody.ansatz import MeanField
from manybody.driver import TDVP, VMC
from manybody.hamiltonian import ising
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.ode import Integrator
from manybody.sampler import Exact

SPACE = Spin(3)
HAMILTONIAN = ising(SPACE, chain(3), J=1.0, h=1.0)
STATE = VariationalState(MeanField(param_dtype=complex), Exact(SPACE), seed=1)


def test_ahead(monkeypatch):
    """Traced once, and the work space of the program is told, here that of a product."""
    told = []
    monkeypatch.setattr("manybody._allocator.give_back", lambda: told.append("give_back"))
    monkeypatch.setattr("manybody._allocator.keep", told.append)
    n_traces = 0

    def cube(x):
        nonlocal n_traces
        n_traces += 1
        return x @ x @ x

    x = jnp.arange(900.0).reshape(30, 30) / 1000
    program = _compile.ahead(jax.jit(cube), x)
    assert n_traces == 1
    first, work_space = told
    assert first == "give_back"
    assert work_space >= x.nbytes
    np.testing.assert_allclose(program(x), np.linalg.matrix_power(np.asarray(x), 3), rtol=1e-12)
    assert n_traces == 1


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="is about processors")
def test_options(monkeypatch):
    """The compiler knows them, and gets the same numbers; what the environment says counts."""
    x = jnp.linspace(-1.0, 1.0, 1000)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    every = _compile.often()
    assert set(every) == {"xla_cpu_prefer_vector_width", "xla_cpu_experimental_ynn_fusion_type"}
    np.testing.assert_allclose(jax.jit(jnp.exp, compiler_options=every)(x), np.exp(np.asarray(x)), rtol=1e-14)
    for name in every:
        monkeypatch.setenv("XLA_FLAGS", f"--{name}=128")
        assert set(_compile.often()) == set(every) - {name}


def descent():
    return VMC(HAMILTONIAN, STATE, optimizer=optax.sgd(0.1)).advance()


def motion():
    return TDVP(HAMILTONIAN, STATE, integrator=Integrator("heun", dt=0.1)).run([0.1], progress=False)


def values():
    return STATE.sample().local_values(HAMILTONIAN)


def mean():
    return STATE.sample().expect(HAMILTONIAN)


def terms():
    return STATE.sample().expect_terms(HAMILTONIAN)


@pytest.mark.parametrize(
    ("module", "run"),
    [("driver.descent", descent), ("driver.motion", motion), ("state", values), ("state", mean), ("state", terms)],
)
def test_programs_have_these_options(module, run, monkeypatch):
    for keeping in (state._local, state._expectation, state._terms):  # or their programs would outlive this test
        monkeypatch.setattr(state, keeping.__name__, keeping.__wrapped__)
    monkeypatch.setattr(f"manybody.{module}.often", lambda: {"xla_no_such_option": 1})
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        run()


@pytest.mark.parametrize(("module", "run"), [("descent", descent), ("motion", motion)])
def test_drivers_compile_ahead(module, run, monkeypatch):
    def refuse(program, *arguments):
        raise InterruptedError

    monkeypatch.setattr(f"manybody.driver.{module}.ahead", refuse)
    with pytest.raises(InterruptedError):
        run()
