# SPDX-License-Identifier: Apache-2.0
"""Measurements in bases that differ from site to site, and their probabilities."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._precision import widen
from manybody._struct import dataclass, static
from manybody._types import Array, Complex, Float, Int, Int8, PyTree
from manybody.driver.identity import digest
from manybody.driver.target import check_configurations
from manybody.estimator.expect import LogPsi
from manybody.hilbert import DiscreteSpace
from manybody.parallel import SHARD, Comm
from manybody.parallel.chunk import sum_rows
from manybody.state import VariationalState

LETTERS = "XYZ"
MOST = 12
"""Sites that may be rotated: each outcome takes the amplitudes of 2^this configurations."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measurements:
    """Outcomes of measurements of all sites, in several bases.

    Args:
        outcomes: from bases, a letter X, Y or Z for each site, such as "XXZZ", to configurations (n, sites). A site has
            the value of spin up (or bit 0) for the eigenvalue +1 of its Pauli matrix, and of spin down for -1.
        max_rotated: how many letters of a basis may be X or Y. The cost grows as 2 to this power.

    Raises:
        ValueError: for unknown letters, bases of different lengths, without outcomes or with too many rotated sites.

    Example:
        >>> from manybody.driver import Measurements
        >>> Measurements({"ZZ": [[1, 1], [-1, -1]], "XX": [[1, 1]]}).n_outcomes
        3
    """

    outcomes: Mapping[str, ArrayLike]
    max_rotated: int = MOST

    def __post_init__(self) -> None:
        _checks.require_type(self.outcomes, Mapping, "outcomes")
        _checks.require(len(self.outcomes) > 0, "outcomes", "have a basis", "none")
        lengths = {len(basis) for basis in self.outcomes}
        _checks.require(len(lengths) == 1, "outcomes", "have bases of one length", sorted(lengths))
        for basis, values in self.outcomes.items():
            name = f"outcomes[{basis!r}]"
            unknown = sorted(set(basis) - set(LETTERS))
            _checks.require(not unknown, name, "be named by the letters X, Y, Z", unknown)
            shape = np.shape(values)
            fits = len(shape) == 2 and shape[0] > 0 and shape[1] == len(basis)
            _checks.require(fits, name, f"have shape (n, {len(basis)})", shape)
            n_rotated = len(basis) - basis.count("Z")
            must = f"rotate at most max_rotated = {self.max_rotated} sites (2^{self.max_rotated} amplitudes each)"
            _checks.require(n_rotated <= self.max_rotated, name, must, f"{n_rotated}, 2^{n_rotated} amplitudes")

    @property
    def n_outcomes(self) -> int:
        """Number of all outcomes."""
        return sum(len(np.asarray(values)) for values in self.outcomes.values())

    def digest(self) -> str:
        """A short name for the bases and their outcomes."""
        return digest([(np.frombuffer(b.encode(), np.uint8), np.asarray(x)) for b, x in sorted(self.outcomes.items())])

    def rotated(self, state: VariationalState) -> tuple[Rotated, ...]:
        """The outcomes as workers take them: those with as many rotated sites together, equal ones once.

        Raises:
            ValueError: if they do not belong to the space of the state, or this is not one of sites with two levels
                that take all their values.
        """
        space, comm = state.space, state.comm
        is_whole = set(space.local_dimensions) == {2} and space.n_states == 2**space.size
        _checks.require(is_whole, "state", "be on sites with two levels each, without constraints", space)
        tables: dict[int, list[tuple[np.ndarray, ...]]] = {}
        for basis, values in sorted(self.outcomes.items()):
            check_configurations(np.asarray(values), state, f"outcomes[{basis!r}]")
            sigma, count = np.unique(np.asarray(values, np.int8), axis=0, return_counts=True)
            sites = np.array([i for i, letter in enumerate(basis) if letter != "Z"], np.int32)
            quarters = np.array([3 if basis[i] == "Y" else 0 for i in sites], np.int32)
            levels = np.asarray(space.to_levels(jnp.asarray(sigma)))[:, sites].astype(np.int32)
            rows = (sigma, np.tile(sites, (len(sigma), 1)), 2 * levels + quarters, count / self.n_outcomes)
            tables.setdefault(len(sites), []).append(rows)
        groups = []
        for _, parts in sorted(tables.items()):
            columns = [_filled(np.concatenate(x), comm.size) for x in zip(*parts, strict=True)]
            weight = np.where(np.arange(len(columns[0])) < sum(len(p[0]) for p in parts), columns[3], 0.0)
            sigma, sites, turns, weight = comm.scatter((*columns[:3], weight))
            groups.append(Rotated(sigma, sites, turns, weight, space))
        return tuple(groups)


@dataclass
class Rotated:
    r"""Outcomes b, whose amplitudes are sums over the levels s of k sites.

    .. math:: \langle b|U|\psi\rangle = 2^{-k/2} \sum_s i^{\,s \cdot t}\, \psi(\sigma_s) ,

    with turns t = 0, 2 for X and the eigenvalues +1, -1, and 3, 5 for Y.

    Attributes:
        sigma: configurations, as measured (outcomes, sites).
        sites: those that are rotated (outcomes, k).
        turns: t (outcomes, k).
        weight: how much each outcome counts (outcomes,).
        space: of the configurations.
    """

    sigma: Int8[Array, "outcomes sites"]
    sites: Int[Array, "outcomes k"]
    turns: Int[Array, "outcomes k"]
    weight: Float[Array, "outcomes"]
    space: DiscreteSpace = static()

    @property
    def spec(self) -> Rotated:
        """How it is laid out over workers."""
        return Rotated(SHARD, SHARD, SHARD, SHARD, self.space)

    @property
    def n_amplitudes(self) -> int:
        """Static: for each outcome."""
        return 2 ** self.sites.shape[1]

    def log_amplitude(self, log_psi: LogPsi, params: PyTree) -> Complex[Array, "outcomes"]:
        """ln <b|U|psi>."""
        k = self.sites.shape[1]
        bits = np.array(list(itertools.product((0, 1), repeat=k)), np.int32).reshape(2**k, k)
        n, n_sites = self.sigma.shape
        levels = jnp.broadcast_to(self.space.to_levels(self.sigma)[:, None], (n, 2**k, n_sites))
        rows, terms = np.arange(n)[:, None, None], np.arange(2**k)[None, :, None]
        new = jnp.broadcast_to(jnp.asarray(bits, levels.dtype)[None], (n, 2**k, k))
        levels = levels.at[rows, terms, self.sites[:, None]].set(new)
        sigma = jnp.asarray(self.space.from_levels(levels.reshape(-1, n_sites)))
        value = widen(log_psi(params, sigma)).reshape(n, 2**k)
        value = value.astype(np.promote_types(value.dtype, np.complex64))
        quarters = jnp.asarray(bits) @ self.turns.T % 4  # (2^k, outcomes)
        factor = jnp.asarray([1, 1j, -1, -1j], value.dtype)[quarters.T]
        largest = jax.lax.stop_gradient(jnp.max(value.real, axis=1))
        total = jnp.sum(factor * jnp.exp(value - largest[:, None].astype(value.dtype)), axis=1)
        return jnp.log(total) + (largest - k * math.log(2) / 2).astype(value.dtype)


def data_force(
    comm: Comm, log_psi: LogPsi, params: PyTree, groups: tuple[Rotated, ...], chunk_size: int | None
) -> tuple[PyTree, Float[Array, ""], Float[Array, ""]]:
    """- sum of w conj(d ln <b|U|psi> / d theta) over all outcomes; the mean of -2 ln |<b|U|psi>|, and of its square.

    The mean is the negative logarithm of the likelihood of an outcome, but for the norm of psi. Forces of complex
    parameters are those of their real and imaginary parts, as `manybody.estimator.force` has them.
    """
    own = comm.pvary(params)

    def some(rows: tuple[Rotated, Array]) -> tuple[PyTree, Array, Array]:
        group, weight = rows

        def half_loss(p: PyTree) -> tuple[Array, Array]:
            size = group.log_amplitude(log_psi, p).real
            return -jnp.sum(weight * size), jnp.sum(weight * (2 * size) ** 2)

        (value, square), gradient = jax.value_and_grad(half_loss, has_aux=True)(own)
        return jax.tree.map(jnp.conj, gradient), 2 * value, square

    total = None
    for group in groups:
        chunk = None if chunk_size is None else max(1, chunk_size // group.n_amplitudes)
        part = sum_rows(comm, some, (group, group.weight), chunk)
        total = part if total is None else jax.tree.map(jnp.add, total, part)
    return comm.psum(total)


def _filled(x: np.ndarray, n_workers: int) -> np.ndarray:
    """Rows for all workers alike; those that fill up are copies of the first."""
    return np.concatenate([x, np.repeat(x[:1], -len(x) % n_workers, axis=0)])
