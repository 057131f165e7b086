# SPDX-License-Identifier: Apache-2.0
"""Variational Monte Carlo of a whole family of ground states, for Hamiltonians with couplings."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._compile import ONCE
from manybody._types import Array, PRNGKey, PyTree
from manybody.ansatz import Conditioned
from manybody.driver.base import check_hamiltonian
from manybody.driver.couplings import Members, Stratified, check_alike, stacked, traced
from manybody.driver.descent import Descent, Progress
from manybody.driver.hooks import Record
from manybody.driver.identity import digest, identity, words
from manybody.driver.parts import count_from_examples
from manybody.estimator import expect, local_values
from manybody.operator import CompiledOperator, Operator
from manybody.parallel import REPLICATED, SHARD, Comm
from manybody.sampler import Sampler
from manybody.sr import SR, Preconditioner, Problem, TangentFamily
from manybody.state import VariationalState
from manybody.stats import Estimate


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """States psi(sigma; g) for all couplings g in a box; immutable.

    Attributes:
        ansatz: whose parameters are functions of the couplings.
        params: its parameters.
        plain: a state of the plain ansatz with the sampler that draws from the members.
    """

    ansatz: Conditioned
    params: PyTree
    plain: VariationalState

    def at(self, couplings: ArrayLike, n_samples: int | None = None) -> VariationalState:
        """The state at some couplings, seen in the optimisation or not, with samples from new chains.

        Args:
            couplings: in the box of the ansatz.
            n_samples: number of samples, on all workers together; by default that of the optimisation.

        Raises:
            ValueError: if the couplings lie outside of the box, or have another shape, or n_samples does not fit the
                chains.
        """
        plain, params = self.plain, self.ansatz.at(self.params, self.ansatz.check_inside(couplings))
        draws = plain.draws if n_samples is None else plain.sampler.n_draws(n_samples, plain.comm)
        return plain.replace(params=params, draws=draws).sample()

    def slopes(self, couplings: ArrayLike) -> PyTree:
        """How its parameters change with the couplings: a tree like them, with a leading axis for several couplings.

        Raises:
            ValueError: as `at`.
        """
        return self.ansatz.slopes(self.params, self.ansatz.check_inside(couplings))


class FamilyVMC(Descent[Family]):
    r"""Minimises the mean of the energies at several couplings, of states that share their parameters.

    .. math:: L(c) = \frac1R \sum_r \frac{\langle\psi(g_r)|H(g_r)|\psi(g_r)\rangle}{\langle\psi(g_r)|\psi(g_r)\rangle}

    One step does for all couplings at once (`jax.vmap`) what a step of `VMC` does for one; each has its own chains.
    Force and metric are the means over r of those of the members, with respect to the parameters that they share: the
    step of stochastic reconfiguration is that of imaginary time, in the sum of their metrics.

    Between given couplings the states are interpolated; choose some more of them than the degree of the series, denser
    at the ends of the box (Chebyshev nodes) if the degree is high. Or let them be drawn anew in every step
    (`Stratified`): then L is a mean over the whole box. Draw more of them than the series has terms, because a step
    serves the couplings at hand, and too few say little of the others. Those of step n depend on the seed and n alone,
    and the chains of point r go on from where they were.

    Args:
        hamiltonian: function of the couplings (a float if there is one, otherwise an array) to a Hermitian operator,
            with the same terms for all couplings. Of drawn ones it is made by JAX if it can be traced, which costs
            nothing; else the function is called for each of them in every step.
        ansatz: the family.
        sampler: draws from the plain ansatz; its chains are there once for each r.
        couplings: g (points,) or (points, n_couplings); or a function of a key that draws them, such as `Stratified`.
        n_samples: number of samples at each of them, on all workers together.
        optimizer: any optax optimizer.
        preconditioner: turns local energies into a direction; None for the plain force.
        seed: integer seed or typed key for parameters, chains and couplings.
        chunk_size: configurations of each r evaluated at a time.
        comm: the workers; by default all that were launched.

    Records have the mean of the energies in "energy", and the members with theirs and their errors in "couplings",
    "energies" and "errors" (points, ...).

    Raises:
        TypeError: if `ansatz` is not `Conditioned`.
        ValueError: if couplings lie outside of the box of the ansatz, Hamiltonians have different terms, or one of them
            is none for `VMC`; and as `VariationalState`.

    Example:
        >>> import optax
        >>> import manybody as mb
        >>> lattice, space = mb.lattice.chain(4), mb.hilbert.Spin(4)
        >>> ansatz = mb.ansatz.Conditioned(mb.ansatz.RBM(), lower=0.5, upper=1.5, degree=3)
        >>> driver = mb.driver.FamilyVMC(
        ...     lambda h: mb.hamiltonian.ising(space, lattice, h=h),
        ...     ansatz,
        ...     mb.sampler.Exact(space),
        ...     [0.5, 0.75, 1.0, 1.25, 1.5],
        ...     optimizer=optax.sgd(0.1),
        ... )
        >>> family = driver.run(30, progress=False)
        >>> family.at(0.6).samples.sigma.shape
        (16, 1, 4)

    Reference:
        R. Rende, L. L. Viteritti, F. Becca, A. Scardicchio, A. Laio and G. Carleo, arXiv:2502.09488 (one network for
        many Hamiltonians, with the mean of their energies and metrics); M. Scherbela, R. Reisenhofer, L. Gerard,
        P. Marquetand and P. Grohs, arXiv:2105.08351 (shared weights for many molecules).
    """

    def __init__(
        self,
        hamiltonian: Callable[[Any], Operator],
        ansatz: Conditioned,
        sampler: Sampler,
        couplings: ArrayLike | Callable[[PRNGKey], ArrayLike],
        n_samples: int | None = None,
        *,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None = SR(),
        seed: int | Array = 0,
        chunk_size: int | None = None,
        comm: Comm | None = None,
    ) -> None:
        _checks.require_type(ansatz, Conditioned, "ansatz")
        if chunk_size is not None:  # "auto" would count one member only
            _checks.integer(chunk_size, "chunk_size", minimum=1)
        plain = VariationalState(ansatz.ansatz, sampler, n_samples, seed=seed, chunk_size=chunk_size, comm=comm)
        key = seed if isinstance(seed, jax.Array) else jax.random.key(seed)
        *_, key_chains, self._key = jax.random.split(key, 4)  # the first two are those of `VariationalState`
        self.hamiltonian = hamiltonian
        self.ansatz = ansatz
        self.couplings = couplings if callable(couplings) else ansatz.check_inside(couplings)
        points = self._points(0)
        if isinstance(couplings, Stratified):
            ansatz.check_inside([couplings.lower, couplings.upper])  # now, and not when the first one lies outside
        operators = _hamiltonians(hamiltonian, points, plain)
        self._first = operators[0]
        self._start = Members(jnp.asarray(points), stacked(operators))
        self._traced = traced(hamiltonian, self._start) if callable(couplings) else None
        self._axes = jax.tree.map(lambda spec: 1 if spec == SHARD else 0, sampler.state_spec)
        params = plain.comm.replicate(ansatz.from_plain(plain.params))
        chains = _new_chains(plain, key_chains, len(points), self._axes)
        super().__init__(plain, self._start, params, chains, optimizer, preconditioner)

    @property
    def state(self) -> Family:
        """The present family."""
        return Family(self.ansatz, self._progress.params, self._state)

    def _advance_by(self, n: int, most: int) -> list[Record]:
        if callable(self.couplings):
            _checks.require(most == 1, "steps_per_call", "be 1 where couplings are drawn anew for each step", most)
            self._operator = self.comm.replicate(self._members(self.step))
        return super()._advance_by(n, most)

    def describe(self) -> str:
        """The choices that the preconditioner makes, in words."""
        comm, couplings, progress = self.comm, self._operator.couplings, self._progress
        samples = jax.eval_shape(lambda s: s.sample(), self._state).samples
        local = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((len(couplings), comm.rows_per_worker(x), *x.shape[1:]), x.dtype), samples
        )
        return self.preconditioner.describe(self._tangent(progress.params, progress.constants, couplings, local))

    def _about(self) -> dict[str, str]:
        start = self._start
        drawn = f"{words(self.couplings)}, at first " if callable(self.couplings) else ""
        return {
            **identity(self._first, self._state, self.preconditioner),
            "hamiltonian": f"{words(self._first)}, couplings {digest(start.operator)}",
            "ansatz": words(self.ansatz),
            "couplings": f"{drawn}{len(start.couplings)} points {digest(start.couplings)}",
        }

    def _points(self, step: int) -> np.ndarray:
        """Couplings (points, ...) of a step, counted from 0."""
        given = self.couplings(jax.random.fold_in(self._key, step)) if callable(self.couplings) else self.couplings
        points = self.ansatz.check_inside(given)
        is_list = points.ndim == 1 + len(self.ansatz.shape) and len(points) > 0
        shape = ", ".join(["points", *map(str, self.ansatz.shape)])
        _checks.require(is_list, "couplings", f"have shape ({shape})", points.shape)
        return points

    def _members(self, step: int) -> Members:
        """Those of a step in which couplings are drawn."""
        points = self._points(step)
        n_points = len(self._start.couplings)
        _checks.require(len(points) == n_points, "couplings", f"be {n_points} points in every step", len(points))
        if self._traced is not None:
            return Members(jnp.asarray(points), self._traced(points))
        operator = stacked(_hamiltonians(self.hamiltonian, points, self._state))
        check_alike([self._start.operator, operator])
        return Members(jnp.asarray(points), operator)

    def _spec(self) -> Progress:
        return self._layout(self._state.sampler.state_spec)

    def _first_count(self) -> int:
        """Connections of the present chains, or of random configurations, where there are most of them."""
        state, comm = self._state, self.comm

        def count(chains: Any, operator: CompiledOperator) -> Array:
            one = functools.partial(count_from_examples, state)
            return jnp.max(jax.vmap(one, (self._axes, 0))(chains, operator))

        layout = (state.sampler.state_spec, REPLICATED)
        run = comm.spmd(count, layout, REPLICATED, compiler_options=ONCE)
        return math.ceil(run(self._progress.chains, self._operator.operator))

    @property
    def _n_connections(self) -> int:
        return self._first.max_connections

    def _tangent(self, params: PyTree, constants: PyTree, couplings: Array, samples: Any) -> TangentFamily:
        state, features = self._state, jax.vmap(self.ansatz.features)(couplings)

        def log_psi(member: PyTree, sigma: Array) -> Array:
            return state.network.log_psi(member["ansatz"], constants, sigma)

        return TangentFamily(self.comm, log_psi, params, features, samples, state.chunk_size)

    def _make_step(self, n_buffer: int) -> Callable:
        state, comm = self._state, self.comm

        def member(params: PyTree, constants: PyTree, chains: PyTree, operator: CompiledOperator) -> tuple:
            amplitude = state.network.bind(params, constants)
            chains, samples, info = state.sampler.sample(comm, amplitude, chains, state.draws)
            values, n_rows = local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, state.chunk_size)
            return chains, (samples, values, n_rows, info, expect(comm, values, samples, hermitian=True))

        members = jax.vmap(member, (0, None, self._axes, 0), (self._axes, 0))

        def step(old: Progress, given: Members) -> tuple[Progress, Record]:
            params = jax.vmap(lambda g: self.ansatz.at(old.params, g))(given.couplings)
            # JAX batches no pvary in loops.
            params, constants, operator = comm.pvary((params, old.constants, given.operator))
            chains, (samples, values, n_rows, info, energies) = members(params, constants, old.chains, operator)
            tangent = self._tangent(old.params, old.constants, given.couplings, samples)
            problem = Problem(tangent, values.reshape(-1), energies.mean, old.step)  # (points * samples,)
            record: Record = {
                **_summarised(info),
                "energy": _averaged(energies),
                "couplings": given.couplings,
                "energies": energies.mean,
                "errors": energies.error,
                "n_connections": jnp.max(n_rows),
            }
            return self._updated(old, chains, problem, record)

        return step


def _hamiltonians(function: Callable[[Any], Operator], points: np.ndarray, state: VariationalState) -> list[Operator]:
    """The Hamiltonians at some couplings, of which `VMC` would take each."""
    operators = [function(point) for point in points]
    for operator in operators:
        check_hamiltonian(operator, state)
    return operators


def _new_chains(state: VariationalState, key: PRNGKey, n_points: int, axes: PyTree) -> PyTree:
    """Chains of all couplings, side by side: the axis of the workers stays the first."""
    sampler, comm = state.sampler, state.comm
    init = jax.vmap(lambda key: sampler.init(comm, key), out_axes=axes)
    run = comm.spmd(init, (REPLICATED,), sampler.state_spec, compiler_options=ONCE)
    return run(comm.replicate(jax.random.split(key, n_points)))


def _summarised(info: dict[str, Array]) -> dict[str, Array]:
    """What samplers say: the mean acceptance, and the worst of anything else."""
    means = {name: jnp.mean(x, axis=0) for name, x in info.items() if name.endswith("acceptance")}
    return {**{name: jnp.max(x, axis=0) for name, x in info.items()}, **means}


def _averaged(energies: Estimate) -> Estimate:
    """The mean of independent estimates."""
    return Estimate(
        mean=jnp.mean(energies.mean),
        error=jnp.linalg.norm(energies.error) / len(energies.mean),
        variance=jnp.mean(energies.variance),
        tau=jnp.max(energies.tau),
        r_hat=jnp.max(energies.r_hat),
        n_effective=jnp.sum(energies.n_effective),
        n_draws=jnp.max(jnp.asarray(energies.n_draws)),
    )
