# SPDX-License-Identifier: Apache-2.0
"""What both sides of the benchmark of symmetries have in common. Nothing here knows a tool."""

import time

import jax
import jax.numpy as jnp
import numpy as np


class Laps:
    """Times of parts that follow one another.

    Attributes:
        times: seconds of each part that has ended, by its name.
    """

    def __init__(self):
        self.times = {}
        self._last = time.perf_counter()

    def end(self, name):
        """A part ends here, and the next one begins."""
        now = time.perf_counter()
        self.times[name], self._last = now - self._last, now


def largest_error(table, irreps, of_inverse=False):
    """Of D(a) D(b) = D(a b) for some elements.

    Args:
        table: products, (order, order).
        irreps: the matrices of each representation, (order, dimension, dimension).
        of_inverse: whether the table has a^-1 b instead of a b, as NetKet's.
    """
    a, b = np.random.default_rng(0).integers(len(table), size=(2, 50))
    errors = []
    for d in map(np.asarray, irreps):
        left = d[a].conj().swapaxes(1, 2) if of_inverse else d[a]
        errors.append(np.abs(left @ d[b] - d[table[a, b]]).max())
    return float(np.max(errors))  # nan if there is one; not so max(errors)


class Network:
    """log psi of a batch of configurations, and its derivative.

    Args:
        ansatz: the Flax module.
        variables: its weights.
        sigma: the configurations.
        versions: for the report.
        log_scale: added to log psi where it is compared, if it is normalised in another way.
    """

    def __init__(self, ansatz, variables, sigma, versions, log_scale=0.0):
        self.variables, self.sigma, self.versions, self.log_scale = variables, sigma, versions, log_scale
        self._forward = jax.jit(ansatz.apply)
        self._gradient = jax.jit(jax.value_and_grad(lambda v, sigma: jnp.mean(ansatz.apply(v, sigma))))

    def forward(self):
        """log psi of the batch."""
        jax.block_until_ready(self._forward(self.variables, self.sigma))

    def gradient(self):
        """The mean of log psi, and its derivatives with respect to all parameters."""
        jax.block_until_ready(self._gradient(self.variables, self.sigma))

    def check(self, out):
        """log psi, and the length of the derivative of its mean."""
        log_psi = np.asarray(self._forward(self.variables, self.sigma)) + self.log_scale
        slopes = jax.tree.leaves(self._gradient(self.variables, self.sigma)[1])
        np.savez(out, log_psi=log_psi, slope=np.sqrt(sum(float(jnp.sum(x**2)) for x in slopes)))

    def about(self):
        return {"versions": self.versions, "device": str(jax.devices()[0].device_kind)}
