# SPDX-License-Identifier: Apache-2.0
"""The contracted kernel, put together from columns that workers exchange some at a time."""

import importlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody import VariationalState
from manybody.hilbert import Spin
from manybody.parallel import mesh_comm
from manybody.sampler import LocalFlip, Metropolis

MODULE = importlib.import_module("manybody.sr.kernel")  # the package has a function of this name


class Cosines(nn.Module):
    """Weights that are no dense layer; numbers of columns that divide by nothing."""

    width: int

    @nn.compact
    def __call__(self, sigma):
        w = self.param("w", nn.initializers.normal(0.1), (5, self.width))
        b = self.param("b", nn.initializers.normal(0.1), (3,))
        x = sigma.astype(float)
        return jnp.log(jnp.cosh(x @ w)).sum(-1) + jnp.cos(x[:, :3] + b[None]).sum(-1)


@pytest.mark.parametrize(
    ("width", "exchanged"),
    [(7, 1), (7, 100), (11, 2**22), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((1, 1), (11, 100)))],
)
def test_columns_at_a_time(monkeypatch, width, exchanged):
    monkeypatch.setattr(MODULE, "_EXCHANGED", exchanged)
    sampler = Metropolis(Spin(5), LocalFlip(), 8)
    one, other = (
        VariationalState(Cosines(width), sampler, 16, seed=width, chunk_size=exchanged, **options).sample()
        for options in ({}, {"comm": mesh_comm(jax.devices()[:2])})
    )
    np.testing.assert_allclose(mb.sr.kernel(other), mb.sr.kernel(one), atol=1e-14)
