# SPDX-License-Identifier: Apache-2.0
"""Configurations of evolutions and steady states: what they make, and what they refuse."""

import copy
import math

import numpy as np
import pytest

import manybody as mb
from manybody.ode import Integrator
from manybody.program import ConfigError, SteadyState, TimeEvolution, build, evolve
from manybody.program.config import load
from manybody.program.tables import from_table
from manybody.program.terms import DRIVES, JUMPS, OBSERVABLES
from manybody.sr import SR
from tests.program.tiny import toml

CLOSED = {
    "lattice": {"kind": "chain", "n": 3},
    "hamiltonian": {"kind": "ising", "J": 1.0, "h": 0.5},
    "ansatz": {"kind": "RBM", "param_dtype": "complex128"},
    "sampler": {"kind": "Exact"},
    "evolution": {"stop": 0.2, "points": 3},
    "observables": {"X": {"kind": "sigma", "axis": "x"}},
}
OPEN = {
    **{key: CLOSED[key] for key in ("lattice", "hamiltonian", "observables")},
    "ansatz": {"kind": "DensityRBM"},
    "sampler": {"n_chains": 8, "n_samples": 16, "move": {"kind": "LocalFlip"}},
    "jumps": [{"kind": "decay", "rate": 0.3}, {"kind": "dephasing"}],
}
STEADY = {**OPEN, "optimisation": {"steps": 2, "learning_rate": 0.01}}
SPACE, CHAIN = mb.hilbert.Spin(3), mb.lattice.chain(3)


def changed(table, *changes):
    table = copy.deepcopy(table)
    for dotted, value in changes:
        *parents, key = dotted.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[key] = value
    return table


def evolution(*changes):
    config = from_table(TimeEvolution, changed(CLOSED, *changes))
    problem = evolve.problem(config)
    return evolve.tdvp(config, problem, build.state(config, problem))


def dense(operator):
    return operator.to_dense()


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, Integrator("rk23", 0.01)),
        ({"integrator": "heun", "dt": 0.5}, Integrator("heun", 0.5)),
        (
            {"integrator": "rk45", "tolerance": 1e-3, "min_dt": 1e-5, "max_dt": 0.1},
            Integrator("rk45", 0.01, 1e-3, 1e-5, 0.1),
        ),
    ],
)
def test_integrator(changes, wanted):
    driver = evolution(*((f"evolution.{key}", value) for key, value in changes.items()))
    assert driver.integrator == wanted
    assert driver.kind == "real"


def test_kind_and_times():
    config = from_table(TimeEvolution, changed(CLOSED, ("evolution.stop", 0.6), ("evolution.points", 4)))
    np.testing.assert_allclose(config.evolution.times, [0.0, 0.2, 0.4, 0.6])
    assert evolution(("evolution.kind", "imaginary")).kind == "imaginary"


def test_equation():
    assert evolution()._motion.preconditioner == SR(0.0, solver="pinv", cutoff=1e-8)
    chosen = {"diag_shift": 0.1, "method": "samples", "cutoff": 1e-3, "snr": 2.0}
    assert evolution(("evolution.sr", chosen))._motion.preconditioner == SR(**chosen, solver="pinv")
    chosen = {"diag_shift": 0.1, "solver": "cg", "tolerance": 1e-3, "max_iterations": 7}
    assert evolution(("evolution.sr", chosen))._motion.preconditioner == SR(**chosen, cutoff=1e-8)


def test_cross_validation():
    sampler = {"n_chains": 8, "n_samples": 16, "move": {"kind": "LocalFlip"}}
    assert not evolution(("sampler", sampler))._motion.cross_validate
    assert evolution(("sampler", sampler), ("evolution.cross_validate", True))._motion.cross_validate


def test_observables():
    fermions, bosons = mb.hilbert.Fermion(3, n_components=2), mb.hilbert.Fock(3, n_max=2)
    pauli, spin, bonds = mb.operator.spin.sigmay, mb.operator.spin.sz, [(0, 1), (1, 2), (0, 2)]

    def observable(space, **call):
        kind = call.pop("kind")
        return dense(OBSERVABLES.functions[kind](space, CHAIN, **call))

    np.testing.assert_allclose(
        observable(SPACE, kind="sigma", axis="y"), sum(dense(pauli(SPACE, i)) for i in range(3)) / 3
    )
    np.testing.assert_allclose(
        observable(SPACE, kind="spin", axis="z"), sum(dense(spin(SPACE, i)) for i in range(3)) / 3
    )
    products = [dense(pauli(SPACE, i)) @ dense(pauli(SPACE, j)) for i, j in bonds]
    np.testing.assert_allclose(observable(SPACE, kind="sigma_sigma", axis="y"), sum(products) / 3, atol=1e-14)
    four = mb.lattice.chain(4)
    far = OBSERVABLES.functions["sigma_sigma"](mb.hilbert.Spin(4), four, axis="z", order=2)
    assert mb.exact.expectation(far, np.eye(16)[0b0101]) == pytest.approx(1.0)
    for space, n in ((fermions, 2.0), (bosons, 2.0)):
        np.testing.assert_allclose(np.diag(observable(space, kind="density")).max(), n)
        np.testing.assert_allclose(np.diag(observable(space, kind="density")).mean(), 1.0)


def test_jumps():
    config = from_table(SteadyState, STEADY)
    problem = evolve.problem(config)
    decay = [math.sqrt(0.3) * mb.operator.spin.sm(SPACE, i) for i in range(3)]
    dephasing = [mb.operator.spin.sigmaz(SPACE, i) for i in range(3)]
    wanted = mb.operator.Liouvillian(mb.hamiltonian.ising(SPACE, CHAIN, h=0.5), decay + dephasing)
    np.testing.assert_allclose(dense(problem.generator), dense(wanted))
    assert problem.state_space == mb.hilbert.Doubled(SPACE)
    pump = JUMPS.functions["pump"](SPACE, CHAIN, rate=4.0)
    np.testing.assert_allclose(dense(pump[1]), 2 * dense(mb.operator.spin.sp(SPACE, 1)))
    bosons = mb.hilbert.Fock(3, n_max=2)
    loss = JUMPS.functions["loss"](bosons, CHAIN, rate=4.0)
    np.testing.assert_allclose(dense(loss[2]), 2 * dense(mb.operator.boson.destroy(bosons, 2)))


def test_drives():
    sine, ramp = DRIVES.functions["sine"], DRIVES.functions["ramp"]
    assert sine(0.5, 3.0)(1.0, 0.4) == pytest.approx(1 + 0.5 * math.sin(1.2))
    assert sine(0.5, 3.0, phase=math.pi / 2)(1.0, 0.0) == pytest.approx(1.5)
    assert [ramp(3.0, 2.0)(1.0, t) for t in (0.0, 0.5, 2.0, 5.0)] == pytest.approx([1.0, 1.5, 3.0, 3.0])
    drives = {
        "h": {"kind": "ramp", "stop": 2.5, "duration": 2.0},
        "J": {"kind": "sine", "amplitude": 1.0, "frequency": 1.0},
    }
    driver = evolution(("drives", drives))
    found = driver.hamiltonian(1.0)
    wanted = mb.hamiltonian.ising(SPACE, CHAIN, J=1 + math.sin(1.0), h=1.5)
    np.testing.assert_allclose(dense(found), dense(wanted))
    assert "h: ramp(stop=2.5, duration=2.0)" in driver.identity()["hamiltonian"]


def test_density_matrices_are_measured_by_chains_of_one_copy():
    config = from_table(SteadyState, changed(STEADY, ("measure", {"n_samples": 32, "n_chains": 4, "n_burn_in": 3})))
    chosen = evolve.measured(config, evolve.problem(config))
    assert chosen["n_diagonal"] == 32
    assert (chosen["diagonal"].n_chains, chosen["diagonal"].n_burn_in) == (4, 3)
    assert chosen["diagonal"].space == SPACE
    table = {**changed(OPEN, ("sampler", {"kind": "Exact"})), "evolution": CLOSED["evolution"]}
    config = from_table(TimeEvolution, table)
    problem = evolve.problem(config)
    assert evolve.measured(config, problem)["diagonal"] == mb.sampler.Exact(SPACE)
    assert evolve.tdvp(config, problem, build.state(config, problem)).kind == "dissipative"


def test_large_spaces_have_no_exact_curves():
    table = changed(CLOSED, ("lattice.n", 17), ("sampler", OPEN["sampler"]))
    config = from_table(TimeEvolution, table)
    assert evolve.exact_curves(config, evolve.problem(config), None) is None
    config = from_table(SteadyState, changed(STEADY, ("lattice.n", 7)))
    assert evolve.exact_steady(config, evolve.problem(config)) is None


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "table", "change", "words"),
    [
        (TimeEvolution, CLOSED, ("evolution.points", 1), ["[evolution]", "`points`"]),
        (TimeEvolution, CLOSED, ("evolution.stop", -1.0), ["[evolution]", "`stop`"]),
        (TimeEvolution, CLOSED, ("evolution.dt", 0.0), ["[evolution]", "`dt`"]),
        (TimeEvolution, CLOSED, ("evolution.integrator", "rk43"), ["evolution.integrator", "'rk43'"]),
        (
            TimeEvolution,
            CLOSED,
            ("evolution", {**CLOSED["evolution"], "integrator": "heun", "tolerance": 1.0}),
            ["`tolerance`"],
        ),
        (TimeEvolution, CLOSED, ("evolution.sr.snr", -1.0), ["[evolution.sr]", "`snr`"]),
        (TimeEvolution, CLOSED, ("evolution.sr.momentum", 0.5), ["[evolution]", "momentum"]),
        (TimeEvolution, CLOSED, ("ansatz.param_dtype", "float64"), ["[evolution]", "complex log psi"]),
        (TimeEvolution, CLOSED, ("observables.X.axis", "w"), ["observables.X.axis", "'w'"]),
        (TimeEvolution, CLOSED, ("observables.N", {"kind": "density"}), ["[observables.N]"]),
        (TimeEvolution, CLOSED, ("observables.Z", {"kind": "sigm"}), ["Did you mean 'sigma'"]),
        (TimeEvolution, CLOSED, ("drives.g", {"kind": "ramp", "stop": 1.0, "duration": 1.0}), ["`drives`", "'g'"]),
        (
            TimeEvolution,
            CLOSED,
            ("drives.h", {"kind": "ramp", "stop": 1.0, "duration": 0.0}),
            ["[drives]", "`duration`"],
        ),
        (TimeEvolution, CLOSED, ("measure.n_burn_in", 3), ["`n_burn_in`"]),
        (
            TimeEvolution,
            {**OPEN, "evolution": {"stop": 1.0, "points": 2, "kind": "imaginary"}},
            ("run.seed", 1),
            ["`evolution.kind`"],
        ),
        (SteadyState, STEADY, ("jumps", []), ["`jumps`"]),
        (SteadyState, STEADY, ("jumps", [{"kind": "decay", "rate": -1.0}]), ["[jumps]", "`rate`"]),
        (SteadyState, STEADY, ("jumps", [{"kind": "decai"}]), ["jumps[0].kind", "Did you mean 'decay'"]),
        (SteadyState, STEADY, ("observe_every", 0), ["`observe_every`"]),
        (SteadyState, {**STEADY, "observables": {}}, ("measure.n_samples", 32), ["`measure`"]),
    ],
    ids=str,
)
def test_refusals(cls, table, change, words, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(toml(changed(table, change)))
    with pytest.raises(ConfigError) as caught:
        config = load(path, cls)
        problem = evolve.problem(config)
        make = evolve.tdvp if cls is TimeEvolution else evolve.steady_state
        make(config, problem, build.state(config, problem))
    assert [word for word in words if word not in str(caught.value)] == []
