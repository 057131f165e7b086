# SPDX-License-Identifier: Apache-2.0
"""Eigenvectors of the metric that the samples know nothing about are left out, by both methods alike."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, hamiltonian, lattice
from manybody.estimator.derivatives import flatten_real
from manybody.hilbert import Spin
from manybody.parallel import REPLICATED, Comm, mesh_comm
from manybody.sampler import Exact
from manybody.sampler.base import samples_spec
from manybody.sr import SR, Problem, TangentMap
from tests.estimator.ansatzes import pair_apply, pair_init
from tests.exact_formulas import QUICK

SPACE = Spin(6, total_sz=0)
HAM = hamiltonian.heisenberg(SPACE, lattice.chain(6))
CUTOFF, SHIFT = 1e-6, 1e-5


def holomorphic(params, sigma):
    """Three hidden units with complex weights, in one array."""
    return jnp.sum(jnp.log(jnp.cosh(sigma.astype(complex) @ params["w"])), axis=-1)


def holomorphic_init(key, sigma):
    real, imag = 0.3 * jax.random.normal(key, (2, sigma.shape[-1], 3))
    return {"w": jax.lax.complex(real, imag)}


def solved(comm, preconditioners, kind="independent", noise=True, network=(pair_init, pair_apply)):
    """Directions of some preconditioners; and the rows and residuals that they see."""
    state = VariationalState(network, Exact(SPACE), comm=comm).sample()
    own = jnp.linspace(0.2, 1.7, SPACE.n_states).reshape(-1, 1) if noise else None
    samples = dataclasses.replace(state.samples, kind=kind, noise=own)

    def run(params, samples):
        def log_psi(p, sigma):
            return state.network.log_psi(p, state.constants, sigma)

        tangent = TangentMap(comm, log_psi, params, samples, 3)
        values = jnp.sin(7 * samples.log_psi[:, 0]) * 1j + samples.sigma[:, 0, 1].astype(complex)
        mean = comm.psum(jnp.sum(samples.flat_weight.astype(complex) * values))
        problem = Problem(tangent, values, mean, jnp.int32(0))
        found = [flatten_real(p.update(problem, ())[0]) for p in preconditioners]
        seen = tangent.jacobian(), tangent.residual(values, mean), samples.flat_weight
        return found, jax.tree.map(comm.all_gather, seen)

    run = comm.spmd(run, (REPLICATED, samples_spec(kind)), REPLICATED, compiler_options=QUICK)
    return jax.device_get(run(state.params, samples)), np.ravel(1.0 if own is None else own)


def by_hand(rows, e, weight, noise, snr):
    """M. Schmitt and M. Heyl, arXiv:1912.08828: components of the force with their variances over samples."""
    flat = rows.reshape(-1, rows.shape[-1])
    values, vectors = np.linalg.eigh(flat.T @ flat)
    keep = values > 1e-13 * values[-1]
    values, vectors = values[keep], vectors[:, keep]
    p = np.einsum("iak,ia->ik", rows @ vectors, e)
    rho = p.sum(axis=0)
    q = p / weight[:, None]
    sigma = np.sqrt(np.sum(noise[:, None] * weight[:, None] ** 2 * (q - rho) ** 2, axis=0))
    factor = 1 / (1 + (snr * sigma / np.abs(rho)) ** 6) / (1 + (CUTOFF * values[-1] / values) ** 6)
    return vectors @ (factor * rho / (values + SHIFT)), factor


@pytest.mark.parametrize("noise", [False, True])
def test_components_with_little_signal_are_left_out(noise):
    """Both forms against formulas; 1e-6, as small eigenvalues are known to rounding errors of the large ones."""
    methods = [SR(SHIFT, method, "pinv", cutoff=CUTOFF, snr=1.0) for method in ("parameters", "samples")]
    (found, (rows, e, weight)), per_sample = solved(Comm(), methods, noise=noise)
    wanted, factor = by_hand(rows, e, weight, np.broadcast_to(per_sample, weight.shape), 1.0)
    assert np.any((factor > 0.2) & (factor < 0.8)), factor
    for direction in found:
        np.testing.assert_allclose(direction, wanted, atol=1e-6 * np.abs(wanted).max())


def test_holomorphic_states():
    """Components are those of the complex metric, whichever vectors of an eigenvalue are found in its real form."""
    methods = [SR(SHIFT, method, "pinv", cutoff=CUTOFF, snr=1.0) for method in ("parameters", "samples")]
    (found, (rows, e, weight)), noise = solved(Comm(), methods, network=(holomorphic_init, holomorphic))
    n = rows.shape[-1] // 2
    o, e = rows[:, 0, :n] + 1j * rows[:, 1, :n], e[:, 0] + 1j * e[:, 1]
    values, vectors = np.linalg.eigh(o.conj().T @ o)
    p = (o @ vectors).conj() * e[:, None]
    rho = p.sum(axis=0)
    variance = np.sum(noise[:, None] * np.abs(p - weight[:, None] * rho) ** 2, axis=0)
    factor = 1 / (1 + (np.sqrt(variance) / np.abs(rho)) ** 6) / (1 + (CUTOFF * values[-1] / values) ** 6)
    assert np.any((factor > 0.2) & (factor < 0.9)), factor
    wanted = vectors @ (factor * rho / (values + SHIFT))
    for direction in found:
        np.testing.assert_allclose(direction[:n] + 1j * direction[n:], wanted, atol=1e-6 * np.abs(wanted).max())


def test_thresholds():
    plain = SR(SHIFT, "parameters", "pinv", cutoff=CUTOFF)
    few, most, none = (SR(SHIFT, "samples", "pinv", cutoff=CUTOFF, snr=snr) for snr in (1e-4, 1.0, 1e4))
    (found, _), _ = solved(Comm(), [plain, few, most, none])
    sizes = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(found[1], found[0], atol=1e-5 * sizes[0])
    assert 1e-3 * sizes[0] < sizes[2] < 0.99 * sizes[0]
    assert sizes[3] < 1e-8 * sizes[0]


def test_a_full_sum_has_no_noise():
    options = {"method": "samples", "solver": "pinv", "cutoff": CUTOFF}
    (found, _), _ = solved(Comm(), [SR(SHIFT, **options), SR(SHIFT, **options, snr=1e4)], kind="exact", noise=False)
    np.testing.assert_array_equal(*found)


def test_two_devices():
    methods = [SR(SHIFT, method, "pinv", cutoff=CUTOFF, snr=1.0) for method in ("parameters", "samples")]
    (alone, _), _ = solved(Comm(), methods)
    (together, _), _ = solved(mesh_comm(jax.devices()[:2]), methods)
    np.testing.assert_allclose(together, alone, atol=1e-9 * np.abs(alone).max())


def test_only_for_pinv():
    with pytest.raises(ValueError, match="`snr` must be left out for solvers other than"):
        SR(solver="cholesky", snr=2.0)
    with pytest.raises(ValueError, match="`snr`"):
        SR(solver="pinv", snr=-1.0)
