# SPDX-License-Identifier: Apache-2.0
"""What is loaded when, and what is told to JAX."""

import os
import subprocess
import sys

import pytest

import manybody as mb

HEAVY = ("networkx", "scipy.integrate", "scipy.optimize", "scipy.spatial", "flax.nnx", "matplotlib")
"""Packages that a ground-state search does not need."""

SEARCH = """
import optax
import manybody as mb
lattice = mb.lattice.square(2, 2)
space = mb.hilbert.Spin(4)
sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=4)
state = mb.VariationalState(mb.ansatz.RBM(), sampler, 4)
mb.driver.VMC(mb.hamiltonian.ising(space, lattice), state, optimizer=optax.sgd(0.1))
"""


DISPATCH = """
import {first}, jax, jax.numpy as jnp
run = jax.jit(lambda x: jax.lax.fori_loop(0, 50, lambda _, y: jnp.tanh(y @ y), x))
x = jnp.ones((300, 300))
run(x).block_until_ready()
print(run(x).is_ready())
"""


def printed(program: str, **environment: str) -> list[str]:
    """The words that a program prints."""
    words = [sys.executable, "-c", program]
    run = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | environment)
    return run.stdout.split()


def loaded(program: str) -> set[str]:
    """What is in `sys.modules` at the end of a program."""
    return set(printed(program + "\nimport sys; print(*sys.modules)"))


def test_the_package_alone_loads_none_of_its_parts():
    assert {m for m in loaded("import manybody") if m.startswith("manybody")} == {"manybody"}


def test_a_search_waits_for_nothing_that_it_does_not_need():
    assert not loaded(SEARCH) & {*HEAVY, "manybody.plot", "manybody.exact"}


def test_programs_run_in_the_thread_that_calls_them():
    """With JAX alone a call returns before the program has ended."""
    assert [printed(DISPATCH.format(first=first)) for first in ("manybody", "jax")] == [["True"], ["False"]]


def test_what_the_environment_says_about_that_counts():
    run = DISPATCH.format(first="manybody")
    assert printed(run, JAX_CPU_ENABLE_ASYNC_DISPATCH="1") == ["False"]
    assert printed(run, JAX_CPU_ENABLE_ASYNC_DISPATCH="0") == ["True"]


def test_documented_parts_are_public():
    assert {"estimator", "ode", "testing"} <= set(mb.__all__)
    assert callable(mb.testing.check_ansatz)


def test_every_public_name_is_there():
    assert set(mb.__all__) <= set(dir(mb))
    for name in mb.__all__:
        assert getattr(mb, name).__name__.endswith(name)
    with pytest.raises(AttributeError, match="no attribute 'hilber'"):
        mb.hilber  # noqa: B018
