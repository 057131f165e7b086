# SPDX-License-Identifier: Apache-2.0
"""What states can be projected on: other states, operators applied to them, and data."""

from __future__ import annotations

import abc
import dataclasses
import warnings
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._types import Array, PyTree
from manybody.driver.identity import digest, name, words
from manybody.driver.overlap import Known, Overlap, Wave, prepared
from manybody.operator import Operator
from manybody.sampler import Samples
from manybody.state import VariationalState

FEW = 0.1
"""Effective samples, as a part of all, below which a warning says that they are few."""


class Target(abc.ABC):
    """A wave function phi, known up to a factor."""

    @abc.abstractmethod
    def overlap(self, state: VariationalState, refresh: bool) -> tuple[Overlap, object]:
        """What workers compare a state with, and the state of the chains of phi, () if they do not move.

        Args:
            state: what is projected.
            refresh: whether samples of |phi|^2 are drawn anew in every step, or now and for ever.

        Raises:
            ValueError: if phi lives on another space, or there is nothing that can be drawn anew.
        """

    @abc.abstractmethod
    def about(self) -> str:
        """phi in words that two processes can compare."""


@dataclasses.dataclass(frozen=True, eq=False)
class Wavefunction(Target):
    """Another state, with its sampler.

    Args:
        state: phi.
    """

    state: VariationalState

    def overlap(self, state: VariationalState, refresh: bool) -> tuple[Overlap, object]:
        return _wave(self.state, None, 1.0, 0.0, state, refresh)

    def about(self) -> str:
        return _state_in_words(self.state)


@dataclasses.dataclass(frozen=True, eq=False)
class Applied(Target):
    r"""An operator applied to a state, phi = (shift + scale O) phi_0.

    Samples of |phi|^2 are those of |phi_0|^2 with weights :math:`|\phi/\phi_0|^2`. What phi has where phi_0 vanishes
    they do not see; how many effective samples they are is recorded, and a warning says if these are few.

    Args:
        operator: O, Hermitian or not.
        state: phi_0.
        scale: number, such as -i dt.
        shift: number.

    Raises:
        TypeError: if `operator` is none, or `state` no state.
        ValueError: if O acts on another space than that of phi_0.

    Example:
        A small step of time.

        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4)
        >>> state = mb.VariationalState(mb.ansatz.RBM(param_dtype=complex), mb.sampler.Exact(space))
        >>> quench = mb.hamiltonian.ising(space, mb.lattice.chain(4), h=0.5)
        >>> target = mb.driver.Applied(quench, state, scale=-0.01j, shift=1.0)
    """

    operator: Operator
    state: VariationalState
    scale: complex = 1.0
    shift: complex = 0.0

    def __post_init__(self) -> None:
        _checks.require_type(self.operator, Operator, "operator")
        _checks.require_type(self.state, VariationalState, "state")
        space = self.state.space
        _checks.require(self.operator.space == space, "operator", f"act on {space}", self.operator.space)

    def overlap(self, state: VariationalState, refresh: bool) -> tuple[Overlap, object]:
        return _wave(self.state, self.operator, self.scale, self.shift, state, refresh)

    def about(self) -> str:
        return f"{self.shift} + {self.scale} ({name(self.operator)}) on {_state_in_words(self.state)}"


@dataclasses.dataclass(frozen=True, eq=False)
class Data(Target):
    """Amplitudes at some configurations.

    Samples of |psi|^2 are these with weights w |psi / phi|^2: nothing else is drawn.

    Args:
        sigma: configurations (n, sites), as many as the number of workers divides.
        log_phi: natural logarithms (n,) of their amplitudes, up to a constant.
        weight: how much each of them counts in means over |phi|^2 (n,), up to a factor; None for configurations that
            were drawn from |phi|^2. For a list of different ones it is |phi|^2.
        kind: "exact" for all states of the space that phi has, whose sums have no error; "independent" for others.

    Raises:
        ValueError: if the lengths differ, a weight is negative, or something is not finite.

    Example:
        >>> import numpy as np
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4)
        >>> sigma = space.all_states()
        >>> log_phi = 0.1 * sigma.sum(axis=1)
        >>> data = mb.driver.Data(sigma, log_phi, np.exp(2 * log_phi), kind="exact")
    """

    sigma: ArrayLike
    log_phi: ArrayLike
    weight: ArrayLike | None = None
    kind: Literal["independent", "exact"] = "independent"

    def __post_init__(self) -> None:
        sigma, log_phi = np.asarray(self.sigma), np.asarray(self.log_phi)
        _checks.require(sigma.ndim == 2 and len(sigma) > 0, "sigma", "have shape (n, sites)", sigma.shape)
        _checks.require(log_phi.shape == sigma.shape[:1], "log_phi", f"have shape {sigma.shape[:1]}", log_phi.shape)
        _checks.require(bool(np.isfinite(log_phi).all()), "log_phi", "be finite", "nan or inf")
        _checks.choice(self.kind, ("independent", "exact"), "kind")
        weight = np.ones(len(sigma)) if self.weight is None else np.asarray(self.weight, float)
        _checks.require(weight.shape == sigma.shape[:1], "weight", f"have shape {sigma.shape[:1]}", weight.shape)
        good = bool(np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0)
        _checks.require(good, "weight", "be positive and finite", "other numbers")
        needs = self.weight is not None or self.kind == "independent"
        _checks.require(needs, "weight", 'be given for the kind "exact"', None, "It is |phi|^2.")

    def overlap(self, state: VariationalState, refresh: bool) -> tuple[Overlap, object]:
        _checks.require(not refresh, "refresh", "be False for data: there is nothing to draw from", refresh)
        sigma = np.asarray(self.sigma)
        check_configurations(sigma, state, "sigma")
        state.comm.local_count(len(sigma), "sigma")  # raises an error if they do not divide among the workers
        weight = np.ones(len(sigma)) if self.weight is None else np.asarray(self.weight, float)
        log_phi = np.asarray(self.log_phi)
        wide = jnp.result_type(complex if np.iscomplexobj(log_phi) else float)
        columns = [x[:, None] for x in (sigma.astype(np.int8), log_phi.astype(wide), weight / weight.sum())]
        sigma_, log_phi_, weight_ = state.comm.scatter(columns)
        return Known(Samples(sigma_, log_phi_, weight_, self.kind)), ()

    def about(self) -> str:
        tree = (self.sigma, self.log_phi, self.weight)
        return f"{len(np.asarray(self.sigma))} configurations, {self.kind}, {digest(tree)}"


def as_target(target: Target | VariationalState) -> Target:
    """The target; a state is one as it is.

    Raises:
        TypeError: if it is neither.
    """
    _checks.require_type(target, (Target, VariationalState), "target")
    return Wavefunction(target) if isinstance(target, VariationalState) else target


def check_configurations(sigma: np.ndarray, state: VariationalState, argument: str) -> None:
    """Raise `ValueError` unless all configurations (n, sites) belong to the space of a state."""
    space = state.space
    fits = sigma.ndim == 2 and sigma.shape[1] == space.size
    _checks.require(fits, argument, f"have shape (n, {space.size})", sigma.shape)
    legal = (sigma == sigma.astype(np.int8)).all(axis=1) & np.asarray(space.contains(jnp.asarray(sigma, jnp.int8)))
    wrong = np.flatnonzero(~legal)
    first = f"{sigma[wrong[0]].tolist()} at number {wrong[0]}" if len(wrong) else ""
    _checks.require(not len(wrong), argument, f"belong to {space}", first)


def _wave(
    base: VariationalState,
    operator: Operator | None,
    scale: complex,
    shift: complex,
    state: VariationalState,
    refresh: bool,
) -> tuple[Overlap, object]:
    _checks.require(base.space == state.space, "target", f"be on {state.space}", base.space)
    _checks.require(base.comm == state.comm, "target", "have the workers of the state", base.comm)
    wave = as_wave(base, None if operator is None else operator.compile(), scale, shift)
    chains = _other_randomness(base.chains)
    if refresh:
        return wave, chains
    wave = prepared(wave, base.replace(chains=chains).sample().samples, state)
    _warn_if_few(state, wave)
    return wave, ()


def _other_randomness(chains: PyTree) -> PyTree:
    """The chains with other keys: states made with the same seed would have random numbers in common."""

    def changed(x: Array) -> Array:
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(x.reshape(-1))
        return keys.reshape(x.shape)

    return jax.tree.map(changed, chains)


def as_wave(base: VariationalState, operator: object, scale: complex, shift: complex) -> Wave:
    """What workers know of (shift + scale O) phi_0, for a compiled O; no samples yet."""
    numbers = jnp.asarray(scale, complex), jnp.asarray(shift, complex)
    o, scale_, shift_ = base.comm.replicate((operator, *numbers))
    fixed = (base.network, base.sampler, base.draws, base.chunk_size)
    return Wave(base.params, base.constants, o, scale_, shift_, None, None, *fixed)


def _warn_if_few(state: VariationalState, wave: Wave) -> None:
    samples = wave.draws
    if wave.operator is None or samples is None or samples.kind == "exact":
        return
    weight = state.comm.gather_to_host(samples.weight)
    part = float(1.0 / (weight.size * np.sum(weight**2)))
    if part < FEW and state.comm.is_root:
        warnings.warn(f"Samples of the target are worth {part:.1%} of their number only: phi_0 is far.", stacklevel=4)


def _state_in_words(state: VariationalState) -> str:
    leaves = jax.tree.map(np.asarray, (state.params, state.constants))
    return f"{words(state.network)} {digest(leaves)} by {words(state.sampler)}, {state.n_samples} samples"
