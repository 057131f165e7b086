# SPDX-License-Identifier: Apache-2.0
"""States whose log psi is a holomorphic function of the parameters: found out, and solved in half the size."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import ansatz, lattice
from manybody.hilbert import Spin
from manybody.network import as_network
from manybody.parallel import Comm, mesh_comm
from manybody.sr import SR, TangentMap
from manybody.sr.holomorphic import is_holomorphic
from tests.cases import some_slow
from tests.sr.test_noise import CUTOFF, SHIFT, holomorphic, holomorphic_init, solved

CHAIN = lattice.chain(6)
SIGMA = Spin(6).all_states()[:7]


class WithModulus(nn.Module):
    """Complex weights, and a derivative that looks at one part of them only."""

    part: str

    @nn.compact
    def __call__(self, sigma):
        w = self.param("w", nn.initializers.normal(0.1, dtype=complex), (sigma.shape[-1],), complex)
        x = sigma.astype(complex) @ w
        change = {
            "abs": lambda: jnp.abs(x).astype(complex),
            "conj": lambda: jnp.conj(x),
            "real": lambda: x.real.astype(complex),
        }
        return x**2 + change[self.part]() if self.part in change else jnp.where(x.real > 0, x**2, jnp.exp(x))


CASES = {
    "rbm": (ansatz.RBM(param_dtype=complex), True),
    "rbm-shared": (ansatz.RBM(alpha=2, symmetries=CHAIN.translations(), param_dtype=complex), True),
    "jastrow": (ansatz.Jastrow(param_dtype=complex), True),
    "mps": (ansatz.MPS(Spin(6), 3, param_dtype=complex), True),
    "a choice": (WithModulus("where"), True),
    "modulus": (WithModulus("abs"), False),
    "conjugate": (WithModulus("conj"), False),
    "real part": (WithModulus("real"), False),
    "real weights": (ansatz.RBM(), False),
    "phase": (ansatz.RBM(separate_phase=True), False),
}


@pytest.mark.parametrize(("module", "expected"), some_slow(CASES, ["mps", "rbm-shared", "jastrow"]))
def test_found_out(module, expected):
    """And what is claimed holds: the derivative along iv is i times that along v."""
    network = as_network(module)
    params, constants = network.init(jax.random.key(0), SIGMA)

    def log_psi(p, sigma):
        return network.log_psi(p, constants, sigma)

    found = is_holomorphic(log_psi, params, jax.ShapeDtypeStruct((1, 6), jnp.int8))
    assert found == expected
    if found:
        ones = jax.tree.map(lambda x: jnp.ones_like(x) * (0.3 + 0.7j), params)
        along, turned = (jax.jvp(lambda p: log_psi(p, SIGMA), (params,), (v,))[1] for v in (ones, _times_i(ones)))
        np.testing.assert_allclose(turned, 1j * along, rtol=1e-12, atol=1e-12)
        assert np.abs(along).max() > 0.1


def _times_i(tree):
    return jax.tree.map(lambda x: x * jnp.asarray(1j, x.dtype), tree)


SOLVERS = [
    SR(SHIFT, "parameters", "cholesky"),
    SR(SHIFT, "parameters", "pinv", cutoff=CUTOFF),
    SR(SHIFT, "parameters", "pinv", cutoff=CUTOFF, snr=1.0),
]


@pytest.mark.parametrize("workers", [1, 2])
def test_half_the_size_has_the_same_solution(workers, monkeypatch):
    """As the real form, whose eigenvalues come in pairs."""
    comm = Comm() if workers == 1 else mesh_comm(jax.devices()[:2])
    network, sizes = (holomorphic_init, holomorphic), []
    full = TangentMap.complex_jacobian

    def noted(self):
        rows = full(self)
        sizes.append(rows.shape)
        return rows

    monkeypatch.setattr(TangentMap, "complex_jacobian", noted)
    (half, _), _ = solved(comm, SOLVERS, network=network)
    assert sizes == [(-(-20 // workers), 18)] * 3
    monkeypatch.setattr(TangentMap, "is_holomorphic", False)
    (whole, _), _ = solved(comm, SOLVERS, network=network)
    assert len(sizes) == 3
    for one, other in zip(half, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8 * np.abs(other).max())
    assert np.abs(half[2] - half[1]).max() > 1e-2 * np.abs(half[1]).max()  # the noise counts
