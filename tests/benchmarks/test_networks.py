# SPDX-License-Identifier: Apache-2.0
"""The benchmark of networks: those of the other tools are ours, and who takes part."""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import ansatz, lattice
from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load

CASES = [
    ("resnet", ansatz.ResNet, 4, {"features": 3, "blocks": 2}),
    pytest.param("resnet", ansatz.ResNet, 6, {"features": 4, "blocks": 1}, marks=pytest.mark.slow),
    ("vit", ansatz.ViT, 4, {"layers": 1, "d_model": 6, "heads": 3, "mlp_ratio": 3}),
    pytest.param("vit", ansatz.ViT, 6, {"layers": 2, "d_model": 4, "heads": 2, "mlp_ratio": 2}, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def peers():
    return load(WORKERS / "peer_networks.py")


@pytest.fixture(scope="module")
def names():
    return load(WORKERS / "names.py")


@pytest.fixture(scope="module")
def networks():
    return load(BENCHMARKS / "networks.py")


@pytest.mark.parametrize(("name", "ours", "extent", "size"), CASES)
def test_networks_of_the_others_are_ours(peers, names, name, ours, extent, size):
    module = ours(lattice.square(extent), output="real", **size)
    sigma = 2 * jax.random.bernoulli(jax.random.key(0), shape=(5, extent**2)).astype(jnp.int8) - 1
    start = names.named(module.init(jax.random.key(1), sigma)["params"])
    rng = np.random.default_rng(2)
    params = {key: x + rng.normal(0.0, 0.3, x.shape) for key, x in start.items()}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # written as users write
        log_psi, shapes = peers.build(name, extent, size)
        found = log_psi(params, sigma)
    assert shapes == {key: x.shape for key, x in params.items()}
    tree = names.like(module.init(jax.random.key(1), sigma)["params"], params)
    np.testing.assert_allclose(found, module.apply({"params": tree}, sigma), rtol=1e-11)


def test_tools_without_interpreter_do_not_take_part(networks):
    args = argparse.Namespace(python="own", netket_python=None, quantax_python="q")
    found = networks.ways({"samples": 8}, args)
    assert list(found) == ["manybody", "quantax"]
    assert found["manybody"] == ("own", "manybody_j1j2.py", {"samples": 8})
    assert found["quantax"][2] == {"samples": 8, "chunk": 2048}
    args.netket_python = "n"
    assert len(networks.ways({}, args)) == 4


def test_parameters_are_moved_in_their_precision(networks):
    start = {"scale": np.ones(50, np.float32), "bias": np.zeros(50)}
    moved = networks.draw_params(start)
    for name, x in start.items():
        assert moved[name].dtype == x.dtype
        assert 0.01 < np.std(moved[name] - x) < 0.06
