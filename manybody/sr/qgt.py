# SPDX-License-Identifier: Apache-2.0
"""The quantum geometric tensor and the sample-space kernel of a state, as matrices."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from manybody import _checks, linalg
from manybody._types import Array, Float, PyTree
from manybody.parallel import REPLICATED
from manybody.sampler import Samples
from manybody.sampler.base import samples_spec
from manybody.sr import kernel as sample_space
from manybody.sr.tangent import TangentMap
from manybody.state import VariationalState


def qgt(state: VariationalState) -> Float[np.ndarray, "params params"]:
    """S = Re <DO^* DO> over real parameters, from the samples of the state.

    Parameters are flattened leaf by leaf, of complex leaves the real parts before the imaginary parts. For a
    holomorphic state the block of the real parts is Re S and that of real and imaginary parts -Im S of the complex
    metric S.

    Raises:
        ValueError: if the state has no samples.
    """

    def metric(tangent: TangentMap) -> Array:
        rows = tangent.jacobian()
        flat = rows.reshape(-1, rows.shape[-1])  # (samples * parts, params)
        return tangent.comm.psum(linalg.gram(tangent.comm, flat))

    return _on_samples(state, metric)


def kernel(state: VariationalState) -> Float[np.ndarray, "rows rows"]:
    """T = rows rows^T over samples (two rows a sample for complex log psi), from the samples of the state.

    Raises:
        ValueError: if the state has no samples.
    """
    return _on_samples(state, sample_space.kernel)


def _on_samples(state: VariationalState, function: Callable[[TangentMap], Array]) -> np.ndarray:
    _checks.require(state.samples is not None, "state", "have samples", "none yet", "Use `state = state.sample()`.")
    comm = state.comm

    def run(params: PyTree, constants: PyTree, samples: Samples) -> Array:
        def log_psi(p: PyTree, sigma: Array) -> Array:
            return state.network.log_psi(p, constants, sigma)

        return jnp.asarray(function(TangentMap(comm, log_psi, params, samples, state.chunk_size)))

    specs = (REPLICATED, REPLICATED, samples_spec(state.sampler.kind))
    return np.asarray(comm.spmd(run, specs, REPLICATED)(state.params, state.constants, state.samples))
