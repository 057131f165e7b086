# SPDX-License-Identifier: Apache-2.0
"""Reconstruction of a state from measurements (quantum state tomography)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from manybody import _checks
from manybody._types import Array, Float, PyTree
from manybody.driver.descent import Descent, Progress
from manybody.driver.hooks import Record
from manybody.driver.identity import identity_of_state
from manybody.driver.measurements import Measurements, Rotated, data_force
from manybody.driver.parts import present, tangent_map
from manybody.estimator import expect, weighted_gradient
from manybody.parallel import Comm
from manybody.sampler import Samples
from manybody.sr import Forced, Preconditioner
from manybody.state import VariationalState


class Reconstruction(Descent[VariationalState]):
    r"""Finds the state that makes measured outcomes most likely.

    Minimises the negative logarithm of the likelihood of an outcome b in a basis U,

    .. math:: L = -\Bigl\langle \ln \frac{|\langle b|U|\psi\rangle|^2}{\langle\psi|\psi\rangle} \Bigr\rangle_{data},

    whose force, :math:`\langle O_k^*\rangle_\psi - \langle \partial_k^* \ln\langle b|U|\psi\rangle^* \rangle_{data}`,
    is found from all data and samples of psi. `SR` takes the metric of psi, which is not that of the likelihood: its
    steps must be small where outcomes are unlikely at first. Adam with the plain force is the safer choice.

    Phases are seen in bases with X and Y alone: a state that is not positive takes a complex log psi, and outcomes in
    several such bases.

    Args:
        measurements: the data.
        state: where to start.
        optimizer: any optax optimizer.
        preconditioner: None for the plain force; or `SR` with the solver "cholesky" or "cg", or "pinv" in the space of
            parameters.

    Attributes:
        step: number of steps made.
        n_traces: how often the step was traced (once).

    Records have, from the exact sampler, L in "loss". Other samplers do not know the norm of psi: they have
    "contrast", :math:`\langle\ln|\psi|^2\rangle_\psi - \langle\ln|\langle b|U|\psi\rangle|^2\rangle_{data}`. Its
    derivative with fixed samples is the same force, but it is smaller than L by the entropy of |psi|^2: look whether it
    still changes, not how small it is.

    Raises:
        ValueError: if the data are not on the sites of the state, or this has other sites than with two levels.

    Example:
        >>> import numpy as np, optax
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(2)
        >>> data = mb.driver.Measurements({"ZZ": [[1, 1], [-1, -1]], "XX": [[1, 1], [-1, -1]]})  # a Bell pair
        >>> state = mb.VariationalState(mb.ansatz.RBM(alpha=2, param_dtype=complex), mb.sampler.Exact(space))
        >>> driver = mb.driver.Reconstruction(data, state, optimizer=optax.adam(0.03))
        >>> bell = np.array([1, 0, 0, 1]) / np.sqrt(2)
        >>> bool(abs(driver.run(100, progress=False).to_array() @ bell) ** 2 > 0.99)
        True

    Reference:
        G. Torlai et al., Nat. Phys. 14, 447 (2018), arXiv:1703.05334.
    """

    def __init__(
        self,
        measurements: Measurements,
        state: VariationalState,
        *,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None = None,
    ) -> None:
        _checks.require_type(measurements, Measurements, "measurements")
        _checks.require_type(state, VariationalState, "state")
        self.measurements = measurements
        self.quantity = "loss" if state.sampler.kind == "exact" else "contrast"
        groups = measurements.rotated(state)
        super().__init__(state, (), state.params, state.chains, optimizer, preconditioner)
        self._operator: tuple[Rotated, ...] = groups  # of which workers have parts

    @property
    def state(self) -> VariationalState:
        """The present state, with samples of it (the chains of the run do not move on)."""
        progress = self._progress
        self._state = present(self._state, progress.params, progress.chains)
        return self._state

    # --- steps -------------------------------------------------------------------------------------------------------

    @property
    def _n_connections(self) -> int:
        return 0

    def _first_count(self) -> int:
        return 0

    def _make_step(self, n_buffer: int) -> Callable:
        state, comm = self._state, self._state.comm

        def step(old: Progress, groups: tuple[Rotated, ...]) -> tuple[Progress, Record]:
            amplitude = state.network.bind(old.params, old.constants)
            chains, samples, info = state.sampler.sample(comm, amplitude, old.chains, state.draws)
            tangent = tangent_map(state, old.params, old.constants, samples)
            pull, mean, square = data_force(comm, tangent.log_psi, old.params, groups, state.chunk_size)
            weight = samples.flat_weight
            arguments = (tangent.log_psi, old.params, samples.flat_sigma, weight, state.chunk_size)
            force = jax.tree.map(jnp.add, comm.psum(weighted_gradient(comm, *arguments)), pull)
            norm = expect(comm, 2 * samples.log_psi.real.reshape(-1), samples)
            known = _log_norm(comm, samples) if samples.kind == "exact" else norm.mean
            value = norm.replace(mean=known + mean, variance=square - mean**2)
            record = {**info, self.quantity: value, "n_connections": jnp.int32(0)}
            return self._updated(old, chains, Forced(tangent, force, value.mean, old.step), record)

        return step

    @property
    def _operand_spec(self) -> PyTree:
        return tuple(group.spec for group in self._operator)

    # --- for recorders -----------------------------------------------------------------------------------------------

    def _about(self) -> dict[str, str]:
        n_bases = len(self.measurements.outcomes)
        words = f"{self.measurements.n_outcomes} outcomes in {n_bases} bases, {self.measurements.digest()}"
        return {**identity_of_state(self._state, self.preconditioner), "measurements": words}

    def _spec(self) -> PyTree:
        return self._layout(self._state.sampler.state_spec)


def _log_norm(comm: Comm, samples: Samples) -> Float[Array, ""]:
    """ln <psi|psi>, from samples whose weights are |psi|^2 over it."""
    weight = samples.weight
    log_norm = 2 * samples.log_psi.real - jnp.log(jnp.where(weight > 0, weight, 1.0))
    largest = comm.pmax(jnp.max(weight))
    return comm.pmax(jnp.max(jnp.where(weight == largest, log_norm, -jnp.inf)))
