# SPDX-License-Identifier: Apache-2.0
"""What is loaded when."""

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


def loaded(program: str) -> set[str]:
    """What is in `sys.modules` at the end of a program."""
    ending = "\nimport sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program + ending], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_package_alone_loads_none_of_its_parts():
    assert {m for m in loaded("import manybody") if m.startswith("manybody")} == {"manybody"}


def test_a_search_waits_for_nothing_that_it_does_not_need():
    assert not loaded(SEARCH) & {*HEAVY, "manybody.plot", "manybody.exact"}


def test_every_public_name_is_there():
    assert set(mb.__all__) <= set(dir(mb))
    for name in mb.__all__:
        assert getattr(mb, name).__name__.endswith(name)
    with pytest.raises(AttributeError, match="no attribute 'hilber'"):
        mb.hilber  # noqa: B018
