# SPDX-License-Identifier: Apache-2.0
"""Expectation values and forces from samples, as one worker computes them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody._precision import widen
from manybody._types import Array, Inexact, Int8, PyTree
from manybody.parallel import Comm
from manybody.parallel.chunk import sum_rows
from manybody.sampler import Samples
from manybody.stats import Estimate, estimate

LogPsi = Callable[[PyTree, Int8[Array, "samples sites"]], Inexact[Array, "samples"]]
"""log psi as a function of parameters and configurations."""


def expect(comm: Comm, values: Inexact[Array, "samples"], samples: Samples, *, hermitian: bool = False) -> Estimate:
    """Mean and error of local values (samples,) in the order of `samples.flat_sigma`.

    The local values of a Hermitian operator may be complex although their mean is real: with `hermitian` mean and error
    are those of the real part, and the variance is still <|O_loc - <O>|^2>, that of the operator.
    """
    shaped = values.reshape(samples.weight.shape)  # (chains, draws)
    if not (hermitian and jnp.iscomplexobj(shaped)):
        return estimate(comm, shaped, samples.weight, samples.kind, samples.noise)
    real = estimate(comm, shaped.real, samples.weight, samples.kind, samples.noise)
    return real.replace(variance=real.variance + comm.psum(jnp.sum(samples.weight * shaped.imag**2)))


def force(
    comm: Comm,
    log_psi: LogPsi,
    params: PyTree,
    samples: Samples,
    values: Inexact[Array, "samples"],
    mean: Array,
    chunk_size: int | None,
) -> PyTree:
    """Force f_k = <(O_k - <O_k>)^* (O_loc - <O_loc>)>, O_k = d log psi / d theta_k, of a Hermitian operator.

    Real parameters get Re f and dE/dtheta = 2 Re f; complex ones f with dE/dRe = 2 Re f and dE/dIm = 2 Im f, whether
    log psi is holomorphic or not.

    Args:
        comm: the workers.
        log_psi: the wave function.
        params: its parameters.
        samples: the samples.
        values: their local values.
        mean: the mean of these.
        chunk_size: static number of configurations differentiated at a time.

    Returns:
        A tree like `params`, the same on all workers.
    """
    coefficient = samples.flat_weight.astype(values.dtype) * (values - mean.astype(values.dtype))
    return comm.psum(weighted_gradient(comm, log_psi, params, samples.flat_sigma, coefficient, chunk_size))


def weighted_gradient(
    comm: Comm,
    log_psi: LogPsi,
    params: PyTree,
    sigma: Int8[Array, "samples sites"],
    coefficient: Inexact[Array, "samples"],
    chunk_size: int | None,
) -> PyTree:
    """sum over local samples of Re(conj(d log psi / d theta) c) for real theta = Re or Im of each parameter.

    For complex parameters the results for the real and imaginary part are returned as real and imaginary part: for a
    holomorphic log psi that is sum of conj(d log psi / d theta) c.
    """
    params = comm.pvary(params)

    def gradient(rows: tuple[Array, Array]) -> PyTree:
        sigma, c = rows

        def real_sum(p: PyTree) -> Array:
            value = widen(log_psi(p, sigma))
            total = jnp.sum(c.real * value.real)
            both_complex = jnp.iscomplexobj(c) and jnp.iscomplexobj(value)
            return total + jnp.sum(c.imag * value.imag) if both_complex else total

        # JAX returns d/dRe - i d/dIm for a complex parameter.
        return jax.tree.map(jnp.conj, jax.grad(real_sum)(params))

    return sum_rows(comm, gradient, (sigma, coefficient), chunk_size)
