# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import pytest

from manybody.program.config import ANSATZES, HAMILTONIANS, LATTICES, MOVES, SPACES, GroundState, load
from manybody.program.tables import ConfigError
from tests.program.tiny import toml, write


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("sysstem.kind", "x"), ["'sysstem'"]),
        (("optimization.steps", 3), ["'optimization'", "Did you mean 'optimisation'"]),
        (("optimisation.step", 3), ["`optimisation`", "'step'", "Did you mean 'steps'"]),
        (("optimisation.steps", ...), ["`optimisation.steps`", "be given"]),
        (("optimisation.steps", "many"), ["`optimisation.steps`", "an integer", "'many'"]),
        (("optimisation.steps", -1), ["[optimisation]", "`steps`", "-1"]),
        (("optimisation.learning_rate", 0), ["[optimisation]", "`learning_rate`", "> 0"]),
        (("optimisation.learning_rate", {"kind": "cosin", "start": 1, "stop": 0}), ["learning_rate.kind", "'cosine'"]),
        (("optimisation.learning_rate", {"kind": "cosine", "start": 1}), ["`optimisation.learning_rate.stop`"]),
        (("optimisation.learning_rate", {"kind": "exponential", "start": 1, "stop": 0}), ["`stop`", "> 0"]),
        (("optimisation.learning_rate", {"kind": "linear", "start": 1, "stop": 1, "steps": 0}), ["`steps`", "0"]),
        (("optimisation.optimizer", "sdg"), ["`optimisation.optimizer`", "Did you mean 'sgd'"]),
        (("optimisation.preconditioner", "none"), ["[optimisation]", "`sr`", "left out"]),
        (("optimisation.sr.solver", "cholesk"), ["`optimisation.sr.solver`", "Did you mean 'cholesky'"]),
        (("hamiltonian.kind", "heisenburg"), ["`hamiltonian.kind`", "Did you mean 'heisenberg'"]),
        (("hamiltonian.kind", "j1j2"), ["`hamiltonian`", "'J'", "Did you mean 'J"]),
        (("hamiltonian.h", 1.0), ["`hamiltonian`", "'h'", "J, marshall, images"]),
        (("hamiltonian.marshall", "yes"), ["`hamiltonian.marshall`", "true or false"]),
        (("hamiltonian.J", [1.0, "x"]), ["`hamiltonian.J[1]`", "a number"]),
        (("lattice.kind", "squar"), ["`lattice.kind`", "Did you mean 'square'"]),
        (("lattice.lx", 3), ["`lattice`", "'lx'", "kind, n, periodic, twist"]),
        (("lattice.n", ...), ["`lattice.n`", "be given"]),
        (("space.total_sx", 0), ["`space`", "Did you mean 'total_sz'"]),
        (("ansatz.kind", "RBN"), ["`ansatz.kind`", "Did you mean 'RBM'"]),
        (("ansatz.alfa", 2), ["`ansatz`", "Did you mean 'alpha'"]),
        (("ansatz.kernel_init", "normal"), ["`ansatz`", "'kernel_init'"]),
        (("ansatz.param_dtype", "float46"), ["`ansatz.param_dtype`", "Did you mean 'float64'"]),
        (("sampler.n_chain", 2), ["`sampler`", "Did you mean 'n_chains'"]),
        (("sampler.chunk_size", "Auto"), ["`sampler.chunk_size`", "an integer or 'auto'"]),
        (("sampler.move", ...), ["[sampler]", "`move`", "be given"]),
        (("sampler.move.kind", "Exchang"), ["`sampler.move.kind`", "Did you mean 'Exchange'"]),
        (("sampler.move.pair", 1), ["`sampler.move`", "Did you mean 'pairs'"]),
        (("sampler.move.pairs", "some"), ["`sampler.move.pairs`", "an integer or 'all'"]),
        (("sampler.kind", "Exact"), ["[sampler]", "`move`", "left out"]),
        (("measure.n_samples", 0), ["[measure]", "`n_samples`"]),
        (("measure.n_burn_in", -1), ["[measure]", "`n_burn_in`"]),
        (("reference", {"energy": 1.0}), ["`reference.source`"]),
        (("reference", {"source": "?"}), ["[reference]", "`energy`"]),
        (("reference", {"source": "?", "energy": 1.0, "energy_per_site": 1.0}), ["[reference]", "`energy`"]),
        (("run.save_every", 0), ["[run]", "`save_every`"]),
        (("run.sed", 0), ["`run`", "Did you mean 'seed'"]),
    ],
    ids=str,
)
def test_errors_name_file_and_key(tmp_path: Path, change: tuple, words: list[str]) -> None:
    path = write(tmp_path, change)
    with pytest.raises(ConfigError) as caught:
        load(path, GroundState)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml", GroundState)


@pytest.mark.parametrize("text", [b"[lattice\n", b'a = "\xff"\n', b"a = 1\na = 2\n"])
def test_invalid_toml(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"broken\.toml: no valid TOML"):
        load(path, GroundState)


def test_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, ("run", ...))
    config = load(path, GroundState, {"run.seed": 8, "optimisation.steps": 2})
    assert (config.run.seed, config.optimisation.steps) == (8, 2)
    with pytest.raises(ConfigError, match=r"`steps` must .* got -2"):
        load(path, GroundState, {"optimisation.steps": -2})


@pytest.mark.parametrize("registry", [LATTICES, SPACES, HAMILTONIANS, ANSATZES, MOVES])
def test_all_signatures_can_be_read(registry) -> None:
    for kind in registry.functions:
        options = registry.options(kind)
        assert set(registry.required(kind)) <= set(options)


def test_tiny_is_written_as_meant() -> None:
    assert toml({"a": {"x": True, "b": {"y": [1, 2]}}}) == "\n[a]\nx = true\n\n[a.b]\ny = [1, 2]\n"
