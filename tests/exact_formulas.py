# SPDX-License-Identifier: Apache-2.0
"""Energy, force, metric and SR step of a state from dense matrices: sums over all configurations.

Parameters are one real vector: leaf after leaf, of complex leaves the real parts and then the imaginary parts.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

QUICK = {"xla_backend_optimization_level": 0}
"""For programs that run once: half the time of compilation."""


def to_vector(tree):
    pieces = []
    for leaf in map(np.asarray, jax.tree.leaves(tree)):
        pieces += [leaf.real.ravel(), leaf.imag.ravel()] if np.iscomplexobj(leaf) else [leaf.ravel()]
    return np.concatenate(pieces)


def from_vector(vector, like):
    leaves, position = [], 0
    for leaf in jax.tree.leaves(like):
        parts = []
        for _ in range(2 if jnp.iscomplexobj(leaf) else 1):
            parts.append(vector[position : position + leaf.size].reshape(leaf.shape))
            position += leaf.size
        leaves.append(jax.lax.complex(*map(jnp.asarray, parts)) if len(parts) == 2 else parts[0])
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


@dataclasses.dataclass
class Dense:
    """A wave function with all its amplitudes.

    Attributes:
        log_psi: (params, configurations) -> (n,).
        params: tree.
        states: all configurations.
        matrix: the Hamiltonian.
    """

    log_psi: callable
    params: dict
    states: np.ndarray
    matrix: np.ndarray

    @functools.cached_property
    def theta(self):
        return to_vector(self.params)

    @functools.cached_property
    def _values_and_jacobian(self):
        """log psi (n,), and its derivatives (n, params), by forward differentiation."""

        def parts(theta):
            value = self.log_psi(from_vector(theta, self.params), jnp.asarray(self.states))
            return jnp.stack([value.real, value.imag])

        both = jax.jit(lambda theta: (parts(theta), jax.jacfwd(parts)(theta)), compiler_options=QUICK)
        return tuple(x[0] + 1j * x[1] for x in map(np.asarray, both(jnp.asarray(self.theta))))

    @functools.cached_property
    def psi(self):
        value = self._values_and_jacobian[0]
        psi = np.exp(value - value.real.max())
        return psi / np.linalg.norm(psi)

    @functools.cached_property
    def p(self):
        return np.abs(self.psi) ** 2

    @functools.cached_property
    def e_loc(self):
        return self.matrix @ self.psi / self.psi

    @functools.cached_property
    def energy(self):
        return np.vdot(self.psi, self.matrix @ self.psi).real

    @functools.cached_property
    def variance(self):
        h_psi = self.matrix @ self.psi
        return np.vdot(h_psi, h_psi).real - self.energy**2

    @functools.cached_property
    def deviations(self):
        """O - <O> (states, params)."""
        jacobian = self._values_and_jacobian[1]
        return jacobian - self.p @ jacobian

    @functools.cached_property
    def force(self):
        """Re <DO^* DE> (params,)."""
        return np.real(self.deviations.conj().T @ (self.p * (self.e_loc - self.energy)))

    @functools.cached_property
    def metric(self):
        """Re <DO^* DO> (params, params)."""
        return np.real(self.deviations.conj().T @ (self.p[:, None] * self.deviations))

    def sr_step(self, shift):
        return np.linalg.solve(self.metric + shift * np.eye(len(self.theta)), self.force)

    def spring_step(self, shift, momentum, old):
        """d = mu d_old + (S + shift)^-1 (f - mu S d_old): Goldshlager et al., arXiv:2401.10190, equation 16."""
        rest = self.force - momentum * self.metric @ old
        return momentum * old + np.linalg.solve(self.metric + shift * np.eye(len(self.theta)), rest)

    def energy_slopes(self, step=1e-5):
        """dE/dtheta by central differences."""

        @functools.partial(jax.jit, compiler_options=QUICK)
        def log_psi(shifted):
            return jax.lax.map(lambda t: self.log_psi(from_vector(t, self.params), jnp.asarray(self.states)), shifted)

        def energies(sign):
            psi = np.exp(np.asarray(log_psi(jnp.asarray(self.theta + sign * step * np.eye(len(self.theta))))))
            h_psi = psi @ self.matrix.T
            return np.sum(psi.conj() * h_psi, axis=1).real / np.sum(np.abs(psi) ** 2, axis=1)

        return (energies(1) - energies(-1)) / (2 * step)
