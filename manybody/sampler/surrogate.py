# SPDX-License-Identifier: Apache-2.0
"""A cheap wave function in whose |phi|^2 chains walk between two evaluations of the one that is sampled."""

from __future__ import annotations

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import FrozenArray
from manybody._types import Array
from manybody.amplitude import Amplitude
from manybody.hilbert import DiscreteSpace

N_EXAMPLES = 64
"""Configurations on which a surrogate is tried out before anything is drawn."""


class Surrogate:
    r"""Delayed acceptance: steps in a cheap wave function phi filter what the full one, psi, has to judge.

    From sigma, a chain makes `n_steps` Metropolis steps for :math:`|\varphi|^2`; psi is evaluated where they end, at
    sigma', which is accepted with probability

    .. math::
        \min\Bigl(1, \frac{|\psi(\sigma')|^2\,|\varphi(\sigma)|^2}{|\psi(\sigma)|^2\,|\varphi(\sigma')|^2}\Bigr) .

    So psi is evaluated once in `n_steps` moves, and the samples are of :math:`|\psi|^2`, whatever phi is: one that is
    less alike only makes more end points be rejected, in longer correlations. The exception is a phi that vanishes
    where psi does not. There chains never come, and a chain that starts there leaves at the first chance.

    It pays where psi is expensive as a whole (`ResNet`, `ViT`, `GCNN`): psi is evaluated from scratch, even if it could
    be updated. phi should be a state with incremental updates (`RBM`, `Jastrow`). It needs no phase, and no norm.

    Args:
        amplitude: phi with its parameters, which stay as they are: of a state,
            ``state.network.bind(state.params, state.constants)``. A constant of the compiled step.
        n_steps: moves between two evaluations of psi; those at the end of a sweep may be fewer.

    Two of them are equal if structure and parameters are; of modules without incremental methods, only those of the
    same state.

    Raises:
        TypeError: if `amplitude` is no amplitude or no tree of arrays, or `n_steps` no integer.
        ValueError: if `n_steps` is below 1.

    Example:
        >>> import manybody as mb
        >>> space, move = mb.hilbert.Spin(4), mb.sampler.LocalFlip()
        >>> rough = mb.VariationalState(mb.ansatz.Jastrow(), mb.sampler.Exact(space))
        >>> surrogate = mb.sampler.Surrogate(rough.network.bind(rough.params, rough.constants), n_steps=4)
        >>> mb.sampler.Metropolis(space, move, n_chains=8, surrogate=surrogate).surrogate.n_steps
        4

    Reference:
        Christen, Fox, J. Comput. Graph. Stat. 14, 795 (2005), for one step; for more, the surrogate transition method:
        Liu, Monte Carlo Strategies in Scientific Computing (2001), section 9.4.3.
    """

    def __init__(self, amplitude: Amplitude, n_steps: int = 8) -> None:
        cure = "Of a state: state.network.bind(state.params, state.constants)."
        _checks.require_type(amplitude, Amplitude, "amplitude", cure)
        leaves, self._structure = jax.tree.flatten(amplitude)
        self._leaves = tuple(FrozenArray(np.asarray(leaf)) for leaf in leaves)
        if any(leaf.array.dtype == object for leaf in self._leaves):
            raise TypeError(_checks.requirement("amplitude", "be a pytree of arrays", type(amplitude).__name__))
        self.n_steps = _checks.integer(n_steps, "n_steps", minimum=1)

    @property
    def amplitude(self) -> Amplitude:
        """The wave function phi."""
        return jax.tree.unflatten(self._structure, [jnp.asarray(leaf.array) for leaf in self._leaves])

    def check(self, space: DiscreteSpace) -> None:
        """Raise `ValueError` unless phi is defined for configurations of the space."""
        try:
            log_phi = self._of_examples(self.amplitude, space)
        except Exception as error:  # of whatever kind: it is somebody else's function
            must = f"be a wave function on {space}"
            raise ValueError(_checks.requirement("surrogate", must, f"{self}: {error}")) from error
        _checks.require(log_phi.shape == (N_EXAMPLES,), "surrogate", f"have one log phi for each of {space}", log_phi)
        legal = np.isfinite(log_phi) | np.isneginf(log_phi.real)
        _checks.require(bool(np.all(legal)), "surrogate", "be finite or 0", "log phi nan or inf")

    def check_covers(self, psi: Amplitude, space: DiscreteSpace) -> None:
        """Raise `ValueError` if phi is seen to vanish where psi does not."""
        is_zero = np.isneginf(self._of_examples(self.amplitude, space).real)
        if np.any(is_zero):  # psi, which is expensive, is evaluated then only
            missed = is_zero & ~np.isneginf(self._of_examples(psi, space).real)
            cure = "Where it vanishes, no samples are drawn."
            _checks.require(not np.any(missed), "surrogate", "vanish only where psi does", str(self), cure)

    @staticmethod
    def _of_examples(amplitude: Amplitude, space: DiscreteSpace) -> np.ndarray:
        sigma = space.random_state(jax.random.key(0), N_EXAMPLES)
        return np.asarray(_log_psi(amplitude, sigma))

    def _identity(self) -> tuple[Any, ...]:
        return (self._structure, self._leaves, self.n_steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Surrogate) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        content = zlib.crc32(b"".join(leaf.array.tobytes() for leaf in self._leaves))
        return f"Surrogate({self._structure}, parameters {content:08x}, n_steps={self.n_steps})"


@jax.jit
def _log_psi(amplitude: Amplitude, sigma: Array) -> Array:
    return amplitude.log_psi(sigma)
