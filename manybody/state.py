# SPDX-License-Identifier: Apache-2.0
"""The variational state: an ansatz with parameters, and the chains that sample it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks, parallel, transfer
from manybody._compile import ONCE, often
from manybody._precision import count_real
from manybody._types import Array, Inexact, Int8, PRNGKey, PyTree
from manybody.estimator import (
    buffer_size,
    count_rows,
    expect,
    expect_terms,
    force,
    generic,
    local_terms,
    local_values,
)
from manybody.estimator.chunk import AUTO, check_chunk, choose_chunk
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.arrays import as_integers
from manybody.io import load_tree, save_tree
from manybody.lattice import AbstractLattice
from manybody.network import FrozenNetwork, LinenNetwork, Network, as_network, freeze
from manybody.operator import CompiledOperator, DiscreteOperator, Operator
from manybody.parallel import REPLICATED, SHARD, Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Diagonal, Sampler, Samples
from manybody.sampler.base import samples_spec
from manybody.stats import Estimate

_LEAVES = ("params", "constants", "chains", "samples")
_STATIC = ("network", "sampler", "draws", "chunk_size", "comm")


@jax.tree_util.register_pytree_with_keys_class
class VariationalState:
    """A wave function and its samples; immutable (methods that change something return a new state).

    Args:
        ansatz: flax.linen module, flax.nnx module or pair (init, apply): configurations (batch, sites) -> log psi.
        sampler: what draws samples.
        n_samples: number of samples, on all workers together; a multiple of the number of chains. None for one draw
            per chain, and for the exact sampler.
        seed: integer seed or typed key for parameters and chains.
        chunk_size: configurations evaluated at a time (bounds the memory, changes nothing else); None for all samples
            at once, and a built-in number of connections; "auto" for as many as fit into half of the memory by what
            the compiler says of their evaluation.
        memory_limit: bytes for each worker, with chunk_size="auto"; None for what is free now.
        params: parameters to start from instead of random ones.
        comm: the workers; by default all that were launched.

    Attributes:
        params: parameters, a tree as Flax makes it; leaves shared by all workers.
        samples: the last samples, or None.
        chains: state of the sampler.
        chunk_size: the number, or None; also where it was "auto".

    Raises:
        ValueError: if n_samples does not fit the chains, chains do not divide among workers, log psi has the wrong
            shape, or not even one configuration can be evaluated within the memory.
    """

    params: PyTree
    constants: PyTree
    chains: PyTree
    samples: Samples | None
    network: Network
    sampler: Sampler
    draws: int
    chunk_size: int | None
    comm: Comm

    def __init__(
        self,
        ansatz: Any,
        sampler: Sampler,
        n_samples: int | None = None,
        *,
        seed: int | Array = 0,
        chunk_size: int | Literal["auto"] | None = None,
        memory_limit: float | None = None,
        params: PyTree = None,
        comm: Comm | None = None,
    ) -> None:
        _checks.require_type(sampler, Sampler, "sampler")
        network = as_network(ansatz)
        comm = parallel.comm() if comm is None else comm
        sampler.n_local(comm)  # raises an error now if chains do not divide among the workers
        draws = sampler.n_draws(n_samples, comm)
        chunk = check_chunk(chunk_size, memory_limit)
        key = jax.random.key(_checks.integer(seed, "seed")) if not isinstance(seed, jax.Array) else seed
        key_chains, example, fresh, constants = _beginning(network, sampler.space)(key)
        if params is not None:
            _check_params(params, fresh)
            fresh = params
        _check_output(network, fresh, constants, example)
        sampler.check_amplitude(network.bind(fresh, constants))
        if chunk == AUTO:
            n_local = sampler.n_local(comm) * draws
            chunk = choose_chunk(comm, network, fresh, constants, sampler.space.size, n_local, memory_limit)
        leaves = (*comm.replicate((fresh, constants)), _start(comm, sampler)(comm.replicate(key_chains)), None)
        _fill(self, leaves, (network, sampler, draws, chunk, comm))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A VariationalState does not change; make another one: state.replace({name}=...).")

    # --- pytree ------------------------------------------------------------------------------------------------------

    def tree_flatten_with_keys(self) -> tuple:
        children = [(jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in _LEAVES]
        return children, tuple(getattr(self, name) for name in _STATIC)

    @classmethod
    def tree_unflatten(cls, aux: tuple, children: Any) -> VariationalState:
        state = object.__new__(cls)
        _fill(state, children, aux)
        return state

    def replace(self, **changes: Any) -> VariationalState:
        """A state with some attributes replaced; samples that no longer belong to it are dropped.

        With chunk_size="auto" it is chosen anew, for the memory that is free now.

        Raises:
            TypeError: for an unknown attribute.
            ValueError: if `chunk_size` makes no sense, or nothing fits.
        """
        unknown = set(changes) - {*_LEAVES, *_STATIC}
        if unknown:
            raise TypeError(f"VariationalState has no {', '.join(sorted(unknown))}.")
        if "params" in changes and "samples" not in changes:
            changes["samples"] = None
        if check_chunk(changes.get("chunk_size")) == AUTO:
            new = self.replace(**{**changes, "chunk_size": None})
            arguments = (new.network, new.params, new.constants, new.space.size, new.n_local)
            changes["chunk_size"] = choose_chunk(new.comm, *arguments)
        values = {name: changes.get(name, getattr(self, name)) for name in (*_LEAVES, *_STATIC)}
        return self.tree_unflatten(tuple(values[n] for n in _STATIC), [values[n] for n in _LEAVES])

    def freeze(self, *patterns: str) -> VariationalState:
        """This state, with some of its parameters constant from now on: they keep their values and have no force.

        Args:
            *patterns: names of parameters or of groups of them, "hidden" or "layers_0/kernel"; `*` stands for anything.

        Raises:
            ValueError: if a pattern fits nothing, or no parameter is left.
        """
        network = freeze(self.network, self.params, patterns)
        thawed = self.thaw()
        params, constants = network.parted(thawed.params, thawed.constants)
        return self.replace(network=network, params=params, constants=constants, samples=self.samples)

    def thaw(self) -> VariationalState:
        """This state, with nothing frozen."""
        if not isinstance(self.network, FrozenNetwork):
            return self
        params, constants = self.network.whole(self.params, self.constants)
        return self.replace(network=self.network.inner, params=params, constants=constants, samples=self.samples)

    def transfer(
        self,
        lattice: AbstractLattice | None = None,
        *,
        ansatz: Any = None,
        space: DiscreteSpace | None = None,
        sampler: Sampler | None = None,
        n_samples: int | None = None,
        noise: float = 0.0,
        seed: int | Array = 0,
    ) -> VariationalState:
        """A state of a larger problem, or of a wider ansatz, that starts from these parameters.

        Parameters that both have are taken over; of arrays of different shapes the part that both have. So a network
        whose weights do not know the size of the lattice carries over as it is, and a wider one begins with the units
        of the narrower one (or, narrower, with some of them).

        Args:
            lattice: the other lattice; an ansatz, a space and moves that know the present one are made anew for it.
            ansatz: flax.linen module for the other problem, instead.
            space: its space; by default one of the same kind and density.
            sampler: its sampler; by default one of the same kind.
            n_samples: number of samples; by default the present one.
            noise: what is new is drawn, and multiplied by this. At 0 new units of a wide layer may never be used: try
                0.1.
            seed: for what is drawn, and the chains.

        Raises:
            TypeError: if the ansatz is no flax.linen module.
            ValueError: if neither lattice nor ansatz is given, or ansatz, space or sampler cannot be made anew and must
                be given.
        """
        own = self.thaw()
        if not isinstance(own.network, LinenNetwork):
            raise TypeError(_checks.requirement("state", "have a flax.linen module", own.network))
        cure = "Give `lattice` or `ansatz`."
        _checks.require(lattice is not None or ansatz is not None, "lattice", "be given", None, cure)
        noise = _checks.positive(noise, "noise", strict=False)
        source = own.network.module
        if lattice is not None and (ansatz is None or sampler is None):
            old = transfer.lattice_of(source)
            space = transfer.scaled(self.space, Fraction(lattice.n_sites, old.n_sites)) if space is None else space
            ansatz = transfer.on_lattice(source, lattice, space) if ansatz is None else ansatz
            sampler = transfer.on_space(self.sampler, space, old, lattice) if sampler is None else sampler
        sampler = self.sampler if sampler is None else sampler
        n_samples = self.n_samples if n_samples is None and sampler.kind != "exact" else n_samples
        new = VariationalState(ansatz, sampler, n_samples, seed=seed, chunk_size=self.chunk_size, comm=self.comm)
        params = transfer.carried(source, own.params, ansatz, new.params, noise)
        return new.replace(params=self.comm.replicate(params))

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def space(self) -> DiscreteSpace:
        """The Hilbert space."""
        return self.sampler.space

    @property
    def observed(self) -> DiscreteSpace:
        """The space that observables act on: for a state measured on its diagonal, that of one copy."""
        return self.sampler.observed

    @property
    def n_params(self) -> int:
        """Number of real parameters (a complex one counts as two)."""
        return count_real(self.params)

    @property
    def n_samples(self) -> int:
        """Number of samples, on all workers together."""
        return self.n_local * self.comm.size

    @property
    def n_local(self) -> int:
        """Number of samples of one worker."""
        return self.sampler.n_local(self.comm) * self.draws

    def __repr__(self) -> str:
        return f"VariationalState({self.network}, {self.n_params} real parameters, {self.n_samples} samples)"

    # --- what it can do ----------------------------------------------------------------------------------------------

    def sample(self) -> VariationalState:
        """The state with new samples (and chains that have moved on)."""
        run = _sampling(self.comm, self.sampler, self.network, self.draws)
        chains, samples, _ = run(self.params, self.constants, self.chains)
        return self.replace(chains=chains, samples=samples)

    def diagonal(self, inner: Sampler, n_samples: int | None = None, *, seed: int | Array = 0) -> VariationalState:
        """This density matrix, with fresh chains that measure it: its expectation values are Tr(rho O) / Tr(rho).

        Args:
            inner: sampler of the space of one copy (`manybody.sampler.Diagonal`).
            n_samples: number of samples, as for a new state.
            seed: integer seed or typed key for the chains.

        Returns:
            A state without samples yet, whose observables are operators on the space of one copy.

        Raises:
            TypeError: if `inner` is no sampler of one copy.
            ValueError: if the state is not on pairs of its configurations, or rho has a diagonal that is not positive.
        """
        sampler = Diagonal(inner)
        _checks.require(sampler.space == self.space, "inner", f"sample one copy of {self.space}", inner.space)
        draws = sampler.n_draws(n_samples, self.comm)
        sampler.check_amplitude(self.network.bind(self.params, self.constants))
        key = jax.random.key(_checks.integer(seed, "seed")) if not isinstance(seed, jax.Array) else seed
        chains = _start(self.comm, sampler)(self.comm.replicate(key))
        return self.replace(sampler=sampler, draws=draws, chains=chains, samples=None)

    def log_psi(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        """log psi of configurations.

        Raises:
            TypeError: if `sigma` has no integer dtype.
            ValueError: if its last axis does not have a value for each site.
        """
        sigma = jnp.asarray(as_integers(sigma, "sigma"))
        good = sigma.ndim > 0 and sigma.shape[-1] == self.space.size
        _checks.require(good, "sigma", f"have shape (..., {self.space.size})", sigma.shape)
        flat = sigma.reshape(-1, sigma.shape[-1])  # (batch, sites)
        value = _evaluate(self.network, self.chunk_size)(self.params, self.constants, flat)
        return value.reshape(sigma.shape[:-1])

    def to_array(self) -> Inexact[np.ndarray, "states"]:
        """All amplitudes, normalised, in the order of `space.all_states()`."""
        log_psi = np.asarray(self.log_psi(self.space.all_states()))
        psi = np.exp(log_psi - np.max(log_psi.real))
        return psi / np.linalg.norm(psi)

    def expect(self, operator: Operator) -> Estimate:
        """Expectation value with its error, from the samples.

        Raises:
            ValueError: if there are no samples yet (call `sample`), or the operator acts on another space.
        """
        return self._estimate(operator, False)[0]

    def expect_and_force(self, operator: Operator) -> tuple[Estimate, PyTree]:
        """Expectation value and force of a Hermitian operator.

        The force is a tree like `params`: f_k = <(O_k - <O_k>)^* (O_loc - <O_loc>)>; the energy gradient is 2 Re f for
        real parameters, and 2 Re f, 2 Im f along the real and imaginary part of complex ones.

        Raises:
            ValueError: as `expect`, and if the operator is not Hermitian, or the samples are of a diagonal.
        """
        _checks.require_type(operator, Operator, "operator")
        _checks.require(operator.is_hermitian, "operator", "be Hermitian to have a force", "another one")
        self.check_optimisable()
        return self._estimate(operator, True)

    def expect_terms(
        self,
        operator: DiscreteOperator,
        transform: ArrayLike | Callable[[Array], Array] | None = None,
        function: Callable[[Array], Array] | None = None,
    ) -> Estimate:
        """Expectation values of what each coupling of an operator multiplies, from one evaluation of the amplitudes.

        The values of the couplings do not matter: each term counts once, also where its coupling is 0. Terms that were
        Hermitian or conserved a number only together have been given one coupling when the operator was made.

        Args:
            operator: sum over k of couplings[k] * term k.
            transform: matrix (m, n_couplings); x becomes transform @ x, whose errors know of the correlations. Or a
                function of the local values (samples, n_couplings) to others (samples, m), sample by sample: squares of
                diagonal terms are local values of their squares.
            function: of all these means (m,), to an array (l,). Errors follow from its derivatives (delta method); its
                own bias, of order 1/n_samples, is left. It is compiled once if it is the same object, or a
                `jax.tree_util.Partial` of the same one.

        Returns:
            Estimates of shape (n_couplings,), (m,) or (l,).

        Raises:
            TypeError: if the operator is not made of terms.
            ValueError: as `expect`, and if the matrix does not fit.
        """
        _checks.require_type(operator, DiscreteOperator, "operator")
        change = _as_transform(transform, operator.couplings.shape[0])
        samples, compiled = self._prepared(generic(operator))
        is_real = transform is None or not (callable(transform) or np.iscomplexobj(transform))
        run = functools.partial(_terms, self.comm, self.network, samples.kind, chunk_size=self.chunk_size)
        run = functools.partial(run, hermitian=operator.is_hermitian and is_real)
        return self._grown(samples, compiled, run, self.comm.replicate((change, _as_tree(function))))

    def local_values(self, operator: Operator) -> Inexact[Array, "chains draws"]:
        """Local estimators of all samples."""
        samples, compiled = self._prepared(operator)
        run = functools.partial(_local, self.comm, self.network, samples.kind, chunk_size=self.chunk_size)
        return self._grown(samples, compiled, run)[0].reshape(samples.weight.shape)

    def check_optimisable(self) -> None:
        """Raise `ValueError` unless the samples are of |psi|^2, as forces and metrics need them."""
        cure = "Give the sampler of the pairs, and measure with `state.diagonal`."
        _checks.require(self.observed == self.space, "state", "be sampled by |psi|^2", self.sampler, cure)

    def save(self, path: str | Path) -> None:
        """Write parameters and chains to a file (.npz), atomically; only process 0 writes.

        Raises:
            ValueError: if there is no directory for it.
        """
        tree = self.comm.to_host(self._saved_spec, (self.params, self.constants, self._memory))
        if self.comm.is_root:
            save_tree(Path(path), tree, {"kind": "state"})

    def load(self, path: str | Path) -> VariationalState:
        """This state with the parameters and chains of a file that `save` wrote, and no samples.

        Raises:
            CheckpointError: if there is no such file, or it is damaged or holds another kind of state.
        """
        like = self.comm.to_host(self._saved_spec, (self.params, self.constants, self._memory))
        tree, _ = load_tree(Path(path), like)
        params, constants, chains = self.comm.from_host(self._saved_spec, tree)
        return self.replace(
            params=params, constants=constants, chains=chains if self.sampler.has_memory else self.chains
        )

    @property
    def _memory(self) -> PyTree:
        return self.chains if self.sampler.has_memory else None

    @property
    def _saved_spec(self) -> tuple:
        return REPLICATED, REPLICATED, self.sampler.state_spec if self.sampler.has_memory else None

    def _estimate(self, operator: Operator, with_force: bool) -> tuple[Estimate, PyTree]:
        samples, compiled = self._prepared(operator)
        run = functools.partial(
            _expectation,
            self.comm,
            self.network,
            samples.kind,
            chunk_size=self.chunk_size,
            with_force=with_force,
            hermitian=operator.is_hermitian,
        )
        return self._grown(samples, compiled, run)

    def _prepared(self, operator: Operator) -> tuple[Samples, CompiledOperator]:
        _checks.require_type(operator, Operator, "operator")
        _checks.require(operator.space == self.observed, "operator", f"act on {self.observed}", operator.space)
        if self.samples is None:
            raise ValueError(_checks.requirement("state", "have samples", "none yet", "Use `state = state.sample()`."))
        return self.samples, self.comm.replicate(self.sampler.lifted(operator).compile())

    def _grown(self, samples: Samples, compiled: CompiledOperator, make: Callable[..., Callable], *more: PyTree) -> Any:
        """Run the function that `make(n_buffer=...)` gives, with a buffer for connections that is large enough."""
        n_rows = int(_counting(self.comm, samples.kind, self.chunk_size)(compiled, samples))
        n_local = self.comm.rows_per_worker(samples.weight) * samples.weight.shape[1]
        n_buffer = buffer_size(n_rows, n_local, compiled.n_connections)
        return make(n_buffer=n_buffer)(self.params, self.constants, compiled, samples, *more)


def _as_tree(function: Callable | None) -> Callable | None:
    """A function as a pytree, so that the arrays that are bound to it may change without compiling again."""
    is_tree = function is None or isinstance(function, jax.tree_util.Partial)
    return function if is_tree else jax.tree_util.Partial(function)


def _as_transform(transform: ArrayLike | Callable | None, n_couplings: int) -> Callable | None:
    """A function of local values, as a pytree whose leaves are the numbers in it."""
    if transform is None or callable(transform):
        return _as_tree(transform)
    matrix = np.asarray(transform)
    fits = matrix.ndim == 2 and matrix.shape[1] == n_couplings
    _checks.require(fits, "transform", f"have shape (m, {n_couplings})", matrix.shape)
    dtype = jax.dtypes.canonicalize_dtype(complex if np.iscomplexobj(matrix) else float)
    return jax.tree_util.Partial(_times, jnp.asarray(matrix, dtype))


def _times(matrix: Array, values: Array) -> Array:
    dtype = np.promote_types(matrix.dtype, values.dtype)
    return values.astype(dtype) @ matrix.T.astype(dtype)


def _check_params(params: PyTree, fresh: PyTree) -> None:
    """Raise `ValueError` unless `params` looks like the parameters that the ansatz makes."""

    def shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
        return {jax.tree_util.keystr(path): jnp.shape(x) for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]}

    given, wanted = shapes(params), shapes(fresh)
    wrong = sorted(name for name in {*given, *wanted} if given.get(name) != wanted.get(name))
    difference = "; ".join(f"{name}: {given.get(name)} instead of {wanted.get(name)}" for name in wrong[:4])
    _checks.require(not wrong, "params", "have the names and shapes of the parameters of the ansatz", difference)


def _fill(new: VariationalState, leaves: Sequence[Any], fixed: Sequence[Any]) -> None:
    """Give a new state its attributes: by the constructor, or by JAX, which must not draw new parameters."""
    for name, value in zip((*_LEAVES, *_STATIC), (*leaves, *fixed), strict=True):
        object.__setattr__(new, name, value)


def _check_output(network: Network, params: PyTree, constants: PyTree, example: Array) -> None:
    out = jax.eval_shape(network.log_psi, params, constants, example)
    good = hasattr(out, "shape") and out.shape == example.shape[:1] and jnp.issubdtype(out.dtype, jnp.inexact)
    _checks.require(
        good,
        "ansatz",
        f"map configurations {example.shape} to log psi {example.shape[:1]}",
        getattr(out, "shape", type(out).__name__),
    )


# Jitted functions, made once for each combination of static arguments.


@functools.lru_cache(maxsize=64)
def _beginning(network: Network, space: DiscreteSpace) -> Callable:
    def run(key: PRNGKey) -> tuple[Array, Array, PyTree, PyTree]:
        key_params, key_chains = jax.random.split(key)
        example = space.random_state(key_params, 2)
        return key_chains, example, *network.init(key_params, example)

    return jax.jit(run, compiler_options=ONCE)


@functools.lru_cache(maxsize=64)
def _start(comm: Comm, sampler: Sampler) -> Callable:
    return comm.spmd(lambda key: sampler.init(comm, key), (REPLICATED,), sampler.state_spec, compiler_options=ONCE)


@functools.lru_cache(maxsize=64)
def _sampling(comm: Comm, sampler: Sampler, network: Network, n_draws: int) -> Callable:
    def run(params: PyTree, constants: PyTree, chains: PyTree) -> tuple:
        return sampler.sample(comm, network.bind(params, constants), chains, n_draws)

    out = (sampler.state_spec, samples_spec(sampler.kind), sampler.info_spec)
    return comm.spmd(run, (REPLICATED, REPLICATED, sampler.state_spec), out)


@functools.lru_cache(maxsize=64)
def _evaluate(network: Network, chunk_size: int | None) -> Callable:
    return jax.jit(lambda p, c, sigma: map_rows(lambda s: network.bind(p, c).log_psi(s), sigma, chunk_size))


@functools.lru_cache(maxsize=64)
def _counting(comm: Comm, kind: str, chunk_size: int | None) -> Callable:
    def run(operator: CompiledOperator, samples: Samples) -> Array:
        return count_rows(comm, operator, samples.flat_sigma, chunk_size)

    return comm.spmd(run, (REPLICATED, samples_spec(kind)), REPLICATED)


@functools.lru_cache(maxsize=64)
def _local(comm: Comm, network: Network, kind: str, n_buffer: int, chunk_size: int | None) -> Callable:
    def run(params: PyTree, constants: PyTree, operator: CompiledOperator, samples: Samples) -> tuple:
        amplitude = network.bind(params, constants)
        return tuple(local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, chunk_size))

    specs = (REPLICATED, REPLICATED, REPLICATED, samples_spec(kind))
    return comm.spmd(run, specs, (SHARD, REPLICATED), compiler_options=often())


@functools.lru_cache(maxsize=64)
def _expectation(
    comm: Comm,
    network: Network,
    kind: str,
    n_buffer: int,
    chunk_size: int | None,
    with_force: bool,
    hermitian: bool,
) -> Callable:
    def run(params: PyTree, constants: PyTree, operator: CompiledOperator, samples: Samples) -> tuple:
        amplitude = network.bind(params, constants)
        values, _ = local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, chunk_size)
        estimate = expect(comm, values, samples, hermitian=hermitian)
        if not with_force:
            return estimate, None
        gradient = force(
            comm,
            lambda p, sigma: network.log_psi(p, constants, sigma),
            params,
            samples,
            values,
            estimate.mean,
            chunk_size,
        )
        return estimate, gradient

    specs = (REPLICATED, REPLICATED, REPLICATED, samples_spec(kind))
    return comm.spmd(run, specs, REPLICATED, compiler_options=often())


@functools.lru_cache(maxsize=64)
def _terms(comm: Comm, network: Network, kind: str, n_buffer: int, chunk_size: int | None, hermitian: bool) -> Callable:
    def run(params: PyTree, constants: PyTree, operator: CompiledOperator, samples: Samples, change: tuple) -> Estimate:
        amplitude = network.bind(params, constants)
        transform, function = change
        values, _ = local_terms(comm, amplitude, operator, samples.flat_sigma, n_buffer, chunk_size, transform)
        return expect_terms(comm, values, samples, hermitian=hermitian, function=function)

    specs = (REPLICATED, REPLICATED, REPLICATED, samples_spec(kind), REPLICATED)
    return comm.spmd(run, specs, REPLICATED, compiler_options=often())
