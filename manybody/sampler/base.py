# SPDX-License-Identifier: Apache-2.0
"""Weighted samples, and what draws them."""

from __future__ import annotations

import abc
from typing import Any, Literal

from manybody._struct import dataclass, static
from manybody._types import Array, Float, Inexact, Int8, PRNGKey, PyTree
from manybody.amplitude import Amplitude
from manybody.hilbert import DiscreteSpace
from manybody.operator import Operator
from manybody.parallel import SHARD, Comm

Kind = Literal["chain", "independent", "exact"]


@dataclass
class Samples:
    """Configurations with weights that add up to one over all workers.

    An expectation value is sum over samples of weight * local value, whatever made the samples; `kind` says how its
    error is found.

    Attributes:
        sigma: configurations (chains, draws, sites).
        log_psi: log psi of each (chains, draws), in double precision.
        weight: (chains, draws).
        noise: what a sample adds to the variance of a mean, in units of weight^2 |deviation|^2 (chains, draws): 1 for
            one draw, 1/n for n draws of the same configuration, less than 1 for what could hardly be missed. None: 1.
        kind: "chain" (draws of a chain are correlated), "independent", or "exact" (the whole space: no error).
    """

    sigma: Int8[Array, "chains draws sites"]
    log_psi: Inexact[Array, "chains draws"]
    weight: Float[Array, "chains draws"]
    kind: Kind = static()
    noise: Float[Array, "chains draws"] | None = None

    @property
    def flat_sigma(self) -> Int8[Array, "samples sites"]:
        """Configurations without the division into chains."""
        return self.sigma.reshape(-1, self.sigma.shape[-1])  # (chains * draws, sites)

    @property
    def flat_weight(self) -> Float[Array, "samples"]:
        """Weights without the division into chains."""
        return self.weight.reshape(-1)  # (chains * draws,)


def samples_spec(kind: Kind) -> Samples:
    """How `Samples` are laid out over workers."""
    return Samples(SHARD, SHARD, SHARD, kind, SHARD)


class Sampler(abc.ABC):
    """Draws samples of |psi|^2; immutable and hashable (a static argument).

    `init` and `sample` run on every worker, with its block of the chains; the other methods on the host.
    """

    space: DiscreteSpace
    kind: Kind
    has_memory = True
    """Whether the state changes from call to call; one that does not need not be saved."""

    @property
    def observed(self) -> DiscreteSpace:
        """The space that observables act on: that of the samples, for most."""
        return self.space

    def lifted(self, operator: Operator) -> Operator:
        """The operator on the space of the samples whose local values are those of an observable."""
        return operator

    @abc.abstractmethod
    def n_local(self, comm: Comm) -> int:
        """Number of chains of one worker: the leading axis of its samples.

        Raises:
            ValueError: if the chains do not divide evenly among the workers.
        """

    @abc.abstractmethod
    def n_draws(self, n_samples: int | None, comm: Comm) -> int:
        """Draws per chain that make `n_samples` samples in all.

        Raises:
            ValueError: if no number of draws does.
        """

    def check_amplitude(self, amplitude: Amplitude) -> None:  # noqa: B027  (most samplers take all)
        """Raise `TypeError` or `ValueError` if wave functions like this one cannot be sampled."""

    @abc.abstractmethod
    def init(self, comm: Comm, key: PRNGKey) -> PyTree:
        """State of new chains."""

    @property
    @abc.abstractmethod
    def state_spec(self) -> Any:
        """How that state is laid out over workers: a tree prefix of `SHARD` and `REPLICATED`."""

    @abc.abstractmethod
    def sample(
        self, comm: Comm, amplitude: Amplitude, state: PyTree, n_draws: int
    ) -> tuple[PyTree, Samples, dict[str, Array]]:
        """Draw `n_draws` samples per chain.

        Returns:
            The next state, the samples, and what is worth logging, the same on all workers ("acceptance" per kind of
            move, "cache_drift").
        """

    @abc.abstractmethod
    def examples(self, comm: Comm, state: PyTree) -> Int8[Array, "examples sites"]:
        """Some of the configurations that may come, to find out what they cost: as many as the chains, or fewer."""

    @property
    @abc.abstractmethod
    def info_spec(self) -> Any:
        """Layout of that information."""
