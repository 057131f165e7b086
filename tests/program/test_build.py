# SPDX-License-Identifier: Apache-2.0
"""Every option arrives: another value of any one of them makes another object."""

import dataclasses
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody.program import build, catalogue
from manybody.program.config import LATTICES, SPACES, GroundState, Schedule, load
from manybody.program.reference import exact_energy
from manybody.program.tables import Call, ConfigError, from_table
from tests.program.tiny import changed


def tiny(*changes: tuple[str, object]) -> GroundState:
    return from_table(GroundState, changed(*changes))


def lattice(config: GroundState) -> object:
    return LATTICES.make(config.lattice)


def space(config: GroundState) -> object:
    return build.problem(config).space


def matrix(config: GroundState) -> list:
    return build.problem(config).hamiltonian.to_dense().tolist()


def ansatz(config: GroundState) -> object:
    return build.ansatz(config, build.problem(config))


def sampler(config: GroundState) -> object:
    return build.sampler(config, build.problem(config))


def arguments(function: Callable, *words: object) -> tuple:
    """What a function gives to `VariationalState`, apart from the parameters; nothing is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "VariationalState", lambda *args, **options: (args, options))
        args, options = function(*words)
    return args, {name: value for name, value in options.items() if name in ("seed", "chunk_size")}


def state(config: GroundState) -> object:
    return arguments(build.state, config, build.problem(config))


def updates(config: GroundState) -> list:
    """What the optimizer makes of three equal directions."""
    optimizer = build.optimizer(config.optimisation)
    params = jnp.ones(2)
    progress, result = optimizer.init(params), []
    with jax.numpy_dtype_promotion("standard"):  # optax.adam mixes integers with floats
        for direction in (jnp.array([1.0, 2.0]), jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0])):
            update, progress = optimizer.update(direction, progress, params)
            result.append(update.tolist())
    return result


def preconditioner(config: GroundState) -> object:
    sr = build.preconditioner(config.optimisation)
    if sr is None:
        return None
    shift = sr.diag_shift
    shifts = [float(shift(jnp.int32(n))) for n in range(4)] if callable(shift) else shift
    return {**vars(sr), "diag_shift": shifts}


def measurement(config: GroundState) -> object:
    final = types.SimpleNamespace(params=None)
    args, options = arguments(build.fresh_chains, config, build.problem(config), final)
    return args, options["chunk_size"]


def exact(config: GroundState) -> object:
    found = exact_energy(config, build.problem(config))
    return found and (found.source, found.find())


def settings(config: GroundState) -> object:
    return config.run


LARGE = (("lattice.n", 40), ("hamiltonian.marshall", False))
ISING = (("hamiltonian", {"kind": "ising"}), ("space", ...), ("sampler.move.kind", "LocalFlip"))
SQUARE = (("lattice", {"kind": "square", "lx": 2, "ly": 3}),)
FIVE = (("lattice.n", 5), ("space.total_sz", 0.5), ("hamiltonian.marshall", False))
BOSONS = (("space", {"kind": "Fock", "n_max": 1}), ("hamiltonian", {"kind": "bose_hubbard"}))
ELECTRONS = (
    ("lattice.n", 3),
    ("space", {"kind": "Fermion", "n_components": 2, "n_per_component": [2, 1]}),
    ("hamiltonian", {"kind": "hubbard"}),
)
SPINLESS = (("lattice.n", 4), ("space", {"kind": "Fermion", "n_fermions": 2}), ("hamiltonian", {"kind": "t_v"}))
SCHEDULE = {"kind": "linear", "start": 0.1, "stop": 0.01, "steps": 3}

OPTIONS: list[tuple[str, Any, Callable, tuple]] = [
    ("lattice.kind", "kagome", lattice, (("lattice", {"kind": "triangular", "lx": 2}),)),
    ("lattice.n", 8, lattice, ()),
    ("lattice.lx", 4, lattice, SQUARE),
    ("lattice.lx", [[3, 1], [-1, 3]], lattice, (("lattice", {"kind": "square", "lx": 2}),)),
    ("lattice.ly", 4, lattice, SQUARE),
    ("lattice.periodic", False, lattice, ()),
    ("lattice.periodic", [True, False], lattice, SQUARE),
    ("space.kind", "Qubit", space, (("space.total_sz", ...),)),
    ("space.s", 1, space, ()),
    ("space.total_sz", 1, space, ()),
    ("space.n_max", 2, space, BOSONS),
    ("space.n_particles", 3, space, BOSONS),
    ("space.n_fermions", 1, space, SPINLESS),
    ("space.n_components", 2, lambda config: SPACES.make(config.space, 6), SPINLESS),
    ("space.n_per_component", [1, 1], space, ELECTRONS),
    ("hamiltonian.kind", "xxz", matrix, (("hamiltonian", {"kind": "ising"}), ("space", ...))),
    ("hamiltonian.J", 2, matrix, ()),
    ("hamiltonian.J", [1.0, 0.5], matrix, (("hamiltonian.marshall", False),)),
    ("hamiltonian.marshall", False, matrix, ()),
    ("hamiltonian.images", True, matrix, (*SQUARE, ("hamiltonian.marshall", False))),
    ("hamiltonian.J1", 2.0, matrix, (("hamiltonian", {"kind": "j1j2"}),)),
    ("hamiltonian.J2", 0.1, matrix, (("hamiltonian", {"kind": "j1j2"}),)),
    ("hamiltonian.Delta", 2.0, matrix, (("hamiltonian", {"kind": "xxz"}),)),
    ("hamiltonian.h", 0.5, matrix, ISING),
    ("hamiltonian.t", 0.5, matrix, BOSONS),
    ("hamiltonian.mu", 0.5, matrix, BOSONS),
    ("hamiltonian.U", 0.5, matrix, ELECTRONS),
    ("hamiltonian.V", 0.5, matrix, SPINLESS),
    ("ansatz.kind", "Jastrow", ansatz, (("ansatz", {"kind": "MeanField"}),)),
    ("ansatz.alpha", 0.5, ansatz, ()),
    ("ansatz.param_dtype", "complex128", ansatz, ()),
    ("ansatz.separate_phase", True, ansatz, ()),
    ("ansatz.use_visible_bias", False, ansatz, ()),
    ("ansatz.use_hidden_bias", False, ansatz, ()),
    ("ansatz.symmetries", "translations", ansatz, ()),
    ("ansatz.sector", "translations", ansatz, (("ansatz", {"kind": "GCNN", "sector": "space_group"}),)),
    ("ansatz.spacing", [2, 4], ansatz, ()),
    ("ansatz.features", 8, ansatz, (("ansatz", {"kind": "ResNet"}),)),
    ("ansatz.blocks", 1, ansatz, (("ansatz", {"kind": "ResNet"}),)),
    ("ansatz.output", "real", ansatz, (("ansatz", {"kind": "ResNet"}),)),
    ("ansatz.hidden", [8, 4], ansatz, (("ansatz", {"kind": "MLP"}),)),
    ("ansatz.activation", "tanh", ansatz, (("ansatz", {"kind": "MLP"}),)),
    ("sampler.n_chains", 8, sampler, ()),
    ("sampler.n_samples", 64, state, ()),
    ("sampler.sweep_size", 3, sampler, ()),
    ("sampler.n_burn_in", 3, sampler, ()),
    ("sampler.chunk_size", 8, state, ()),
    ("sampler.chunk_size", "auto", state, ()),
    ("sampler.move.pairs", 2, sampler, FIVE),
    ("sampler.move.pairs", "all", sampler, ()),
    ("sampler.move.n_flips", 3, sampler, (("space", ...), ("sampler.move", {"kind": "MultiFlip", "n_flips": 1}))),
    ("optimisation.steps", 9, lambda config: config.optimisation.steps, ()),
    ("optimisation.steps_per_call", 2, lambda config: config.optimisation.steps_per_call, ()),
    ("optimisation.steps", 9, updates, (("optimisation.learning_rate", {**SCHEDULE, "steps": ...}),)),
    ("optimisation.optimizer", "adam", updates, ()),
    ("optimisation.learning_rate", 0.1, updates, ()),
    ("optimisation.learning_rate", SCHEDULE, updates, ()),
    *(
        (f"optimisation.learning_rate.{key}", value, updates, (("optimisation.learning_rate", SCHEDULE),))
        for key, value in {"kind": "cosine", "start": 0.2, "stop": 0.02, "steps": 5}.items()
    ),
    ("optimisation.preconditioner", "none", preconditioner, (("optimisation.sr", ...),)),
    ("optimisation.sr", {"momentum": 0.5}, preconditioner, ()),
    ("optimisation.sr.diag_shift", 0.02, preconditioner, ()),
    *(
        (f"optimisation.sr.diag_shift.{key}", value, preconditioner, (("optimisation.sr.diag_shift", SCHEDULE),))
        for key, value in {"kind": "exponential", "start": 0.2, "stop": 0.02, "steps": 5}.items()
    ),
    ("optimisation.sr.method", "samples", preconditioner, ()),
    ("optimisation.sr.solver", "pinv", preconditioner, ()),
    ("optimisation.sr.momentum", 0.5, preconditioner, ()),
    ("optimisation.sr.cutoff", 1e-8, preconditioner, ()),
    ("optimisation.sr.snr", 2.0, preconditioner, (("optimisation.sr.solver", "pinv"),)),
    ("optimisation.sr.tolerance", 1e-8, preconditioner, ()),
    ("optimisation.sr.max_iterations", 10, preconditioner, ()),
    ("measure.n_samples", 64, measurement, ()),
    ("measure.n_chains", 64, measurement, ()),
    ("measure.n_burn_in", 2, measurement, ()),
    ("reference.energy", 1.0, exact, (*LARGE, ("reference", {"energy": 2.0, "source": "me"}))),
    ("reference.energy_per_site", 1.0, exact, (*LARGE, ("reference", {"energy_per_site": 2.0, "source": "me"}))),
    ("reference.source", "you", exact, (*LARGE, ("reference", {"energy": 2.0, "source": "me"}))),
    ("run.seed", 4, state, ()),
    ("run.save_every", 4, settings, ()),
    ("run.products", "bfloat16", ansatz, ()),
]


def without_gaps(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not ...} if isinstance(value, dict) else value


@pytest.mark.parametrize(("key", "value", "look", "start"), OPTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_option_is_not_ignored(key: str, value: Any, look: Callable, start: tuple) -> None:
    start = tuple((name, without_gaps(item)) for name, item in start)
    before, after = look(tiny(*start)), look(tiny(*start, (key, value)))
    assert before != after


def test_kinds_of_samplers_and_moves() -> None:
    assert sampler(tiny(("sampler", {"kind": "Exact"}), ("measure", ...))) == mb.sampler.Exact(
        mb.hilbert.Spin(6, total_sz=0)
    )
    moves = {"LocalFlip": mb.sampler.LocalFlip(), "MultiFlip": mb.sampler.MultiFlip(3)}
    for kind, move in moves.items():
        numbers = {"n_flips": 3} if kind == "MultiFlip" else {}
        assert sampler(tiny(("space", ...), ("sampler.move", {"kind": kind, **numbers}))).move == move


NETWORKS = {
    "ARConv": {"features": [4], "kernel_size": 2},
    "ARDense": {"features": [4], "phase": True},
    "ARRNN": {"features": 4, "cell": "gru"},
    "ARTransformer": {"d_model": 4, "heads": 2},
    "GCNN": {"sector": "space_group", "features": [2], "residual": True},
    "GraphNetwork": {"features": 4, "activation": "tanh"},
    "MPS": {"bond_dim": 3, "periodic": True},
    "ResNet": {"features": 4, "kernel_size": [3], "output": "phase"},
    "ViT": {"patch": 2, "d_model": 4, "heads": 2},
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_ansatzes_that_know_lattice_or_space(kind: str) -> None:
    made = ansatz(tiny(("ansatz", {"kind": kind, **NETWORKS[kind]})))
    assert type(made) is getattr(mb.ansatz, kind)
    problem = build.problem(tiny())
    named = {"tanh": jnp.tanh, "space_group": problem.lattice.space_group()}
    for name, value in NETWORKS[kind].items():
        assert getattr(made, name) == (tuple(value) if isinstance(value, list) else named.get(value, value))
    for name, value in {"lattice": problem.lattice, "graph": problem.lattice, "space": problem.space}.items():
        assert getattr(made, name, value) == value


def test_direct_samples() -> None:
    network = ("ansatz", {"kind": "ARDense", "features": [2]})
    config = tiny(network, ("measure", ...), ("sampler", {"kind": "Direct", "n_samples": 12}))
    assert sampler(config) == mb.sampler.Direct(mb.hilbert.Spin(6, total_sz=0))
    assert build.state(config, build.problem(config)).n_samples == 12
    for kind, table, key in (("Direct", "sampler", "n_chains"), ("Direct", "measure", "n_burn_in")):
        with pytest.raises(ValueError, match=f"`{key}` must be left out for {kind}, which has no chains"):
            tiny(network, ("measure", {}), ("sampler", {"kind": kind, "n_samples": 12}), (f"{table}.{key}", 4))
    with pytest.raises(ValueError, match="`n_samples` must be left out for Exact, which takes all states"):
        tiny(("sampler", {"kind": "Exact"}), ("measure.n_samples", 4))
    with pytest.raises(ValueError, match="`n_samples` must be given for Direct"):
        tiny(network, ("sampler", {"kind": "Direct"}))
    with pytest.raises(ConfigError, match="autoregressive"):
        chosen = tiny(("measure", ...), ("sampler", {"kind": "Direct", "n_samples": 12}))
        build.state(chosen, build.problem(chosen))


def test_hops() -> None:
    bonds = mb.lattice.chain(3).bonds()
    assert sampler(tiny(*ELECTRONS, ("sampler.move", {"kind": "Hop"}))).move == mb.sampler.Hop(bonds, 3)
    anywhere = sampler(tiny(*ELECTRONS, ("sampler.move", {"kind": "Hop", "pairs": "all"}))).move
    assert anywhere == mb.sampler.Hop("all")


@pytest.mark.parametrize("start", [BOSONS, ELECTRONS, pytest.param(SPINLESS, marks=pytest.mark.slow)])
def test_particles_can_be_optimised(start: tuple) -> None:
    config = tiny(*start, ("sampler", {"kind": "Exact"}), ("measure", ...))
    found = build.problem(config)
    assert found.hamiltonian.space == found.space
    assert build.state(config, found).sample().expect(found.hamiltonian).error == 0


def test_options_are_complete() -> None:
    """Every field of the dataclasses, and every key in the files that are shipped, is in the list above."""
    listed = {key for key, *_ in OPTIONS} | {"sampler.kind", "sampler.move.kind"}  # the test above
    sections = {f.name: f.type for f in dataclasses.fields(GroundState)}
    assert set(sections) == {key.split(".")[0] for key in listed}
    for name in sections:
        cls = {"sampler": "Sampling", "optimisation": "Optimisation", "measure": "Measurement"}.get(name, name.title())
        section = getattr(__import__("manybody.program.config", fromlist=[cls]), cls, None)
        wanted = {f"{name}.{f.name}" for f in dataclasses.fields(section)} if section else set()
        assert {key for key in wanted if not any(x == key or x.startswith(f"{key}.") for x in listed)} == set()
    for path in map(catalogue.configs().get, ("heisenberg_square", "ising_chain", "j1j2_square")):
        config = load(path, GroundState)
        for name in ("lattice", "space", "hamiltonian", "ansatz"):
            assert {f"{name}.{key}" for key in getattr(config, name).arguments} <= listed
        assert {f"sampler.move.{key}" for key in config.sampler.move.arguments} <= listed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("lattice.n", 0)], ["[lattice]", "`extent`"]),
        ([("space.total_sz", 7)], ["[space]", "`total_sz`"]),
        ([("lattice.n", 5), ("space.total_sz", 0.5)], ["[hamiltonian]", "bipartite"]),
        ([("ansatz.alpha", 0.5), ("ansatz.symmetries", "translations")], ["[ansatz]", "`alpha`", "6 symmetries"]),
        ([("ansatz.alpha", -1)], ["[ansatz]", "`alpha`"]),
        ([("sampler.move.kind", "LocalFlip")], ["[sampler]", "`move`", "sector"]),
        ([("sampler.n_samples", 33)], ["[sampler]", "`n_samples`", "multiple"]),
        ([("measure.n_samples", 33)], ["[measure]", "`n_samples`", "multiple"]),
        ([("optimisation.sr.momentum", 1.5)], ["[optimisation.sr]", "`momentum`"]),
    ],
    ids=str,
)
def test_what_constructors_refuse_names_the_table(changes: list, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config = tiny(*changes)
        problem = build.problem(config)
        start = build.state(config, problem)
        build.vmc(config.optimisation, problem, start)
        build.fresh_chains(config, problem, start)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("kind", ["linear", "exponential", "cosine"])
def test_schedules(kind: str) -> None:
    schedule = build.number(Schedule(kind, 0.1, 0.01), 10)
    values = [float(jax.jit(schedule)(jnp.int32(step))) for step in range(15)]
    assert values[0] == pytest.approx(0.1)
    assert np.all(np.diff(values[:11]) < 0)
    assert values[10:] == pytest.approx([0.01] * 5)
    middle = {"linear": 0.055, "exponential": 0.1**1.5, "cosine": 0.055}
    assert values[5] == pytest.approx(middle[kind])


def test_fresh_chains_share_nothing_with_the_run() -> None:
    config = tiny(("measure", ...))
    problem = build.problem(config)
    start = build.state(config, problem)
    fresh = build.fresh_chains(config, problem, start)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, start.params, fresh.params)))
    assert not np.array_equal(start.chains.sigma, fresh.chains.sigma)
    assert not np.array_equal(*(jax.random.key_data(state.chains.key) for state in (start, fresh)))
    assert fresh.n_samples == config.sampler.n_samples


def test_exact_energies() -> None:
    small = exact_energy(tiny(), build.problem(tiny()))
    assert "diagonalisation of 20 states" in small.source
    assert small.find() == pytest.approx(-2.80277564)
    ring = tiny(*LARGE, *ISING)
    assert exact(ring) == ("free fermions", pytest.approx(mb.exact.ising_chain_energy(40)))
    for change in (("lattice.periodic", False), ("lattice.n", 41)):
        assert exact(tiny(*LARGE, *ISING, change)) is None
    assert exact(tiny(*LARGE)) is None


def test_call_default_is_spin() -> None:
    assert tiny(("space", ...)).space == Call("Spin", {})
