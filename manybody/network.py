# SPDX-License-Identifier: Apache-2.0
"""Any way to write a wave function, behind one face: linen modules, nnx modules, (init, apply) pairs."""

from __future__ import annotations

import abc
import fnmatch
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import flax.linen as nn
import jax
import numpy as np

from manybody import _checks
from manybody._lazy import nnx
from manybody._precision import widen
from manybody._struct import dataclass as pytree
from manybody._struct import static
from manybody._types import Array, PRNGKey, PyTree
from manybody.amplitude import Amplitude, FullEvaluation

INCREMENTAL = ("init_cache", "log_ratio", "update_cache")
"""A module that has all of these methods is updated, not re-evaluated, when a configuration changes."""

TRYING = (*INCREMENTAL, "try_change", "commit")
"""One that has these keeps what it found for the ratio of a change until the change is made."""

AUTOREGRESSIVE = ("init_draw", "draw_step")
"""A module that has these methods, and an attribute `order`, can be drawn from site by site."""


class Network(abc.ABC):
    """Makes parameters and evaluates log psi; immutable and hashable, no parameters inside."""

    @abc.abstractmethod
    def init(self, key: PRNGKey, sigma: Array) -> tuple[PyTree, PyTree]:
        """Parameters to be optimised, and constants that are not (empty for most)."""

    @abc.abstractmethod
    def apply(self, variables: tuple[PyTree, PyTree], sigma: Array, *, method: str | None = None) -> Any:
        """log psi of configurations (batch, sites), or another method of the module with `sigma` as its arguments."""

    @abc.abstractmethod
    def has(self, names: tuple[str, ...]) -> bool:
        """Whether the module has all of these methods."""

    @property
    def is_incremental(self) -> bool:
        """Whether it has the methods named in `INCREMENTAL`."""
        return self.has(INCREMENTAL)

    @property
    def is_autoregressive(self) -> bool:
        """Whether it has the methods named in `AUTOREGRESSIVE`."""
        return self.has(AUTOREGRESSIVE)

    @property
    def order(self) -> Any:
        """The site at each position, of an autoregressive module."""
        raise AttributeError(f"{self} is not autoregressive.")

    @property
    def sector(self) -> Any:
        """The symmetry sector, or group, that the module says its states belong to by an attribute `sector`."""
        return None

    @property
    def space(self) -> Any:
        """The space that the module says its configurations belong to by an attribute `space`."""
        return None

    def log_psi(self, params: PyTree, constants: PyTree, sigma: Array) -> Array:
        """log psi (batch,)."""
        return self.apply((params, constants), sigma)

    def bind(self, params: PyTree, constants: PyTree) -> Amplitude:
        """The amplitude with these parameters."""
        variables = params, constants
        if self.is_incremental:
            kind = DrawableIncremental if self.is_autoregressive else IncrementalAmplitude
            return kind(self, variables)
        if self.is_autoregressive:
            return DrawableFull(self.apply, variables, self)
        return FullEvaluation(self.apply, variables)


@pytree
class IncrementalAmplitude:
    """The amplitude of a module that has the incremental methods."""

    network: Network = static()
    variables: tuple[PyTree, PyTree]

    def log_psi(self, sigma: Array) -> Array:
        return widen(self.network.apply(self.variables, sigma))

    def init_cache(self, sigma: Array) -> PyTree:
        return self.network.apply(self.variables, (sigma,), method="init_cache")

    def log_ratio(self, cache: PyTree, sites: Array, values: Array) -> Array:
        return widen(self.network.apply(self.variables, (cache, sites, values), method="log_ratio"))

    def update_cache(self, cache: PyTree, sites: Array, values: Array, accepted: Array) -> PyTree:
        return self.network.apply(self.variables, (cache, sites, values, accepted), method="update_cache")

    def try_change(self, cache: PyTree, sites: Array, values: Array) -> tuple[Array, PyTree]:
        if not self.network.has(TRYING):
            return self.log_ratio(cache, sites, values), ()
        log_ratio, trial = self.network.apply(self.variables, (cache, sites, values), method="try_change")
        return widen(log_ratio), trial

    def commit(self, cache: PyTree, trial: PyTree, sites: Array, values: Array, accepted: Array) -> PyTree:
        if not self.network.has(TRYING):
            return self.update_cache(cache, sites, values, accepted)
        return self.network.apply(self.variables, (cache, trial, sites, values, accepted), method="commit")


class _Drawable:
    """The methods of `Autoregressive` of a module that has them."""

    network: Network

    @property
    @abc.abstractmethod
    def _own(self) -> tuple[PyTree, PyTree]:
        """Parameters and constants."""

    @property
    def order(self) -> np.ndarray:
        return np.asarray(self.network.order)

    @property
    def space(self) -> Any:
        return self.network.space

    def init_draw(self, n_draws: int) -> PyTree:
        return self.network.apply(self._own, (n_draws,), method="init_draw")

    def draw_step(self, cache: PyTree, position: Array, levels: Array) -> tuple[Array, PyTree]:
        log_p, cache = self.network.apply(self._own, (cache, position, levels), method="draw_step")
        return widen(log_p), cache


@pytree
class DrawableIncremental(_Drawable, IncrementalAmplitude):
    """An autoregressive module with incremental methods."""

    @property
    def _own(self) -> tuple[PyTree, PyTree]:
        return self.variables


@pytree
class DrawableFull(_Drawable, FullEvaluation):
    """An autoregressive module without them."""

    network: Network = static()

    @property
    def _own(self) -> tuple[PyTree, PyTree]:
        return self.params


@dataclass(frozen=True)
class LinenNetwork(Network):
    """A flax.linen module; collections other than "params" are constants."""

    module: nn.Module

    def init(self, key: PRNGKey, sigma: Array) -> tuple[PyTree, PyTree]:
        variables = dict(self.module.init(key, sigma))
        return variables.pop("params", {}), variables

    def apply(self, variables: tuple[PyTree, PyTree], sigma: Any, *, method: str | None = None) -> Any:
        params, constants = variables
        arguments = sigma if method else (sigma,)
        return self.module.apply({"params": params, **constants}, *arguments, method=method)

    @property
    def sector(self) -> Any:
        return getattr(self.module, "sector", None)

    @property
    def space(self) -> Any:
        return getattr(self.module, "space", None)

    @property
    def order(self) -> Any:
        return self.module.order

    def has(self, names: tuple[str, ...]) -> bool:
        return has_methods(self.module, names)


@dataclass(frozen=True)
class NnxNetwork(Network):
    """A flax.nnx module; its `nnx.Param` values at construction are the first parameters."""

    graph: Any
    first: Any  # values at construction, hashed by identity

    def init(self, key: PRNGKey, sigma: Array) -> tuple[PyTree, PyTree]:
        del key, sigma  # an nnx module is born with its parameters
        return self.first.value

    def apply(self, variables: tuple[PyTree, PyTree], sigma: Any, *, method: str | None = None) -> Any:
        module = nnx.merge(self.graph, *variables)
        return getattr(module, method)(*sigma) if method else module(sigma)

    @property
    def sector(self) -> Any:
        return getattr(self._module, "sector", None)

    @property
    def space(self) -> Any:
        return getattr(self._module, "space", None)

    @property
    def order(self) -> Any:
        return self._module.order

    def has(self, names: tuple[str, ...]) -> bool:
        return has_methods(self._module, names)

    @property
    def _module(self) -> Any:
        return nnx.merge(self.graph, *self.first.value)


@dataclass(frozen=True)
class FunctionNetwork(Network):
    """A pair of functions init(key, sigma) -> params and apply(params, sigma) -> log psi."""

    init_function: Callable
    apply_function: Callable

    def init(self, key: PRNGKey, sigma: Array) -> tuple[PyTree, PyTree]:
        return self.init_function(key, sigma), {}

    def apply(self, variables: tuple[PyTree, PyTree], sigma: Any, *, method: str | None = None) -> Any:
        if method is not None:
            raise TypeError(f"An (init, apply) pair has no method {method!r}.")
        return self.apply_function(variables[0], sigma)

    def has(self, names: tuple[str, ...]) -> bool:
        del names
        return False


@dataclass(frozen=True)
class FrozenNetwork(Network):
    """A network some of whose parameters are constants.

    The trees of both keep their structure, with None in the place of what the other one holds.
    """

    inner: Network
    frozen: tuple[str, ...]

    def init(self, key: PRNGKey, sigma: Array) -> tuple[PyTree, PyTree]:
        params, constants = self.inner.init(key, sigma)
        return self.parted(params, constants)

    def apply(self, variables: tuple[PyTree, PyTree], sigma: Any, *, method: str | None = None) -> Any:
        return self.inner.apply(self.whole(*variables), sigma, method=method)

    def parted(self, params: PyTree, constants: PyTree) -> tuple[PyTree, PyTree]:
        """What is optimised, and what is not, of the parameters and constants of the inner network."""
        fixed = jax.tree.map(lambda name: name in self.frozen, parameter_names(params))
        free = jax.tree.map(lambda x, is_fixed: None if is_fixed else x, params, fixed)
        held = jax.tree.map(lambda x, is_fixed: x if is_fixed else None, params, fixed)
        return free, (held, constants)

    def whole(self, params: PyTree, constants: PyTree) -> tuple[PyTree, PyTree]:
        """The parameters and constants of the inner network."""
        held, inner = constants
        return jax.tree.map(lambda x, y: y if x is None else x, params, held, is_leaf=lambda x: x is None), inner

    @property
    def order(self) -> Any:
        return self.inner.order

    @property
    def sector(self) -> Any:
        return self.inner.sector

    @property
    def space(self) -> Any:
        return self.inner.space

    def has(self, names: tuple[str, ...]) -> bool:
        return self.inner.has(names)


def parameter_names(params: PyTree) -> PyTree:
    """A tree like the parameters, of their names: "hidden/kernel"."""

    def name(path: Any, _: Any) -> str:
        return jax.tree_util.keystr(path, simple=True, separator="/")

    return jax.tree_util.tree_map_with_path(name, params)


def freeze(network: Network, params: PyTree, patterns: Sequence[str]) -> FrozenNetwork:
    """The network with those parameters constant whose name, or the beginning of it up to a "/", fits a pattern.

    Raises:
        ValueError: if a pattern fits nothing, or nothing would be left.
    """
    names = jax.tree.leaves(parameter_names(params))
    chosen = set()
    for pattern in patterns:
        fits = {name for name in names if any(fnmatch.fnmatchcase(part, pattern) for part in _beginnings(name))}
        _checks.require(bool(fits), "patterns", f"name parameters ({', '.join(names)})", pattern)
        chosen |= fits
    _checks.require(len(chosen) < len(names), "patterns", "leave a parameter to be optimised", tuple(patterns))
    already, inner = (network.frozen, network.inner) if isinstance(network, FrozenNetwork) else ((), network)
    return FrozenNetwork(inner, tuple(sorted({*already, *chosen})))


def _beginnings(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def is_nnx(ansatz: Any) -> TypeGuard[nnx.Module]:
    """Whether it is a flax.nnx module; before flax.nnx is loaded there is none."""
    return "flax.nnx" in sys.modules and isinstance(ansatz, nnx.Module)


def has_methods(module: Any, names: tuple[str, ...]) -> bool:
    """Whether an object has all of these methods (`INCREMENTAL`, `AUTOREGRESSIVE`)."""
    return all(callable(getattr(module, name, None)) for name in names)


class _ByIdentity:
    """Holds a tree of arrays in a static field; two holders are equal if they are the same one."""

    def __init__(self, value: Any) -> None:
        self.value = value


def as_network(ansatz: Any) -> Network:
    """The `Network` of whatever the user calls an ansatz.

    Raises:
        TypeError: if it is none of the accepted things.
    """
    if isinstance(ansatz, Network):
        return ansatz
    if isinstance(ansatz, nn.Module):
        return LinenNetwork(ansatz)
    if is_nnx(ansatz):
        graph, *values = nnx.split(ansatz, nnx.Param, ...)  # parameters, and what else it holds
        return NnxNetwork(graph, _ByIdentity(tuple(values)))
    if isinstance(ansatz, tuple) and len(ansatz) == 2 and all(map(callable, ansatz)):
        return FunctionNetwork(*ansatz)
    raise TypeError(
        _checks.requirement(
            "ansatz", "be a flax.linen module, a flax.nnx module or a pair (init, apply)", f"{type(ansatz).__name__}"
        )
    )
