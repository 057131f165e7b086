# SPDX-License-Identifier: Apache-2.0
"""Wave functions made of others: products, sums, and modulus and phase apart."""

from __future__ import annotations

import abc
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8, PyTree
from manybody.amplitude import where_accepted
from manybody.ansatz import _parts
from manybody.ansatz._numerics import Initializer, check_dtype, working_dtype
from manybody.ansatz._orbit import log_sum
from manybody.ansatz._parts import PartsCache


class Linear(nn.Module):
    """log psi is a linear combination of those of the parts, and so is its change."""

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[nn.Module, ...]:
        """What it is made of."""

    @abc.abstractmethod
    def combined(self, values: list[Inexact[Array, "*batch"]]) -> Inexact[Array, "*batch"]:
        """The whole from one value of each part."""

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        return self.combined([part(sigma) for part in self.parts])

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> PartsCache:
        """The caches of the parts, from scratch."""
        return _parts.init_cache(self.parts, sigma)

    def log_ratio(
        self, cache: PartsCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        return self.try_change(cache, sites, values)[0]

    def update_cache(
        self,
        cache: PartsCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> PartsCache:
        """The caches after the change where `accepted`, the old ones elsewhere."""
        return _parts.update_cache(self.parts, cache, sites, values, accepted)

    def try_change(
        self, cache: PartsCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> tuple[Inexact[Array, "batch"], tuple[PyTree, ...]]:
        """`log_ratio`, and what the parts found on the way that `commit` needs."""
        ratios, trials = _parts.try_change(self.parts, cache, sites, values)
        return self.combined(ratios), trials

    def commit(
        self,
        cache: PartsCache,
        trials: tuple[PyTree, ...],
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> PartsCache:
        """`update_cache` for a change that was tried before."""
        return _parts.commit(self.parts, cache, trials, sites, values, accepted)


class Product(Linear):
    r"""The product of wave functions: :math:`\log\psi = \sum_a \log\psi_a`.

    Changes of a few sites cost what they cost in each factor: those that can follow them do so, others are evaluated.
    A Jastrow-MPS is ``Product((Jastrow(), MPS(space)))``, a network with Marshall's signs
    ``Product((MarshallSign(space, lattice), network))``.

    Args:
        factors: Flax (linen) modules, sigma -> log psi_a.

    Raises:
        TypeError: if `factors` is no tuple of linen modules.
        ValueError: if it is empty.

    Example:
        >>> import jax, manybody as mb
        >>> from manybody.ansatz import Jastrow, Product, RBM
        >>> sigma = mb.hilbert.Spin(4).all_states()
        >>> ansatz = Product((Jastrow(), RBM(param_dtype=complex)))
        >>> ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma).dtype
        dtype('complex128')
    """

    factors: tuple[nn.Module, ...]

    def __post_init__(self) -> None:
        _check_modules(self.factors, "factors")
        super().__post_init__()

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """The factors."""
        return self.factors

    def combined(self, values: list[Inexact[Array, "*batch"]]) -> Inexact[Array, "*batch"]:
        """Their sum."""
        dtype = np.result_type(*(value.dtype for value in values))
        return functools.reduce(jnp.add, (value.astype(dtype) for value in values))


@dataclass
class SumCache:
    """The caches of the terms, and their log psi."""

    terms: PartsCache
    log_psi: Inexact[Array, "batch terms"]

    @property
    def sigma(self) -> Int8[Array, "batch sites"]:
        return self.terms.sigma


@dataclass
class SumTrial:
    """What the terms found of a change, and their log psi after it."""

    terms: tuple[PyTree, ...]
    log_psi: Inexact[Array, "batch terms"]


class Sum(nn.Module):
    r"""A superposition of wave functions, :math:`\psi = \sum_a e^{c_a}\, \psi_a`, whose weights are parameters.

    With real weights, positive ones, of real log psi_a (positive psi_a) it is real and positive; otherwise log psi is
    complex.

    Args:
        terms: Flax (linen) modules, sigma -> log psi_a.
        param_dtype: type of c; complex for any superposition, real for one of positive weights.
        weight_init: initialiser of c (terms,); by default zeros, equal weights.

    Raises:
        TypeError: if `terms` is no tuple of linen modules, or `param_dtype` no floating-point type.
        ValueError: if `terms` is empty.

    Example:
        >>> import jax, manybody as mb
        >>> from manybody.ansatz import RBM, Sum
        >>> sigma = mb.hilbert.Spin(4).all_states()
        >>> ansatz = Sum((RBM(), RBM(alpha=2)))
        >>> ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma).shape
        (16,)
    """

    terms: tuple[nn.Module, ...]
    param_dtype: Any = jnp.float64
    weight_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        _check_modules(self.terms, "terms")
        check_dtype(self.param_dtype)
        super().__post_init__()

    def setup(self) -> None:
        dtype = working_dtype(self.param_dtype)
        self.weight = self.param("weight", self.weight_init, (len(self.terms),), dtype)

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        flat = jnp.asarray(sigma).reshape(-1, sigma.shape[-1])
        return self._summed(_columns([term(flat) for term in self.terms])).reshape(sigma.shape[:-1])

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> SumCache:
        """The caches of the terms, from scratch."""
        log_psi = _columns([term(sigma) for term in self.terms])
        return SumCache(_parts.init_cache(self.terms, sigma), _principal(log_psi))

    def log_ratio(
        self, cache: SumCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        return self.try_change(cache, sites, values)[0]

    def update_cache(
        self,
        cache: SumCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> SumCache:
        """The caches after the change where `accepted`, the old ones elsewhere."""
        terms = _parts.update_cache(self.terms, cache.terms, sites, values, accepted)
        moved = self.try_change(cache, sites, values)[1].log_psi
        return SumCache(terms, where_accepted(accepted, moved, cache.log_psi))

    def try_change(
        self, cache: SumCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> tuple[Inexact[Array, "batch"], SumTrial]:
        """`log_ratio`, and what the terms found on the way that `commit` needs."""
        ratios, trials = _parts.try_change(self.terms, cache.terms, sites, values)
        moved = _principal(cache.log_psi + _columns(ratios).astype(cache.log_psi.dtype))
        return self._summed(moved) - self._summed(cache.log_psi), SumTrial(trials, moved)

    def commit(
        self,
        cache: SumCache,
        trial: SumTrial,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> SumCache:
        """`update_cache` for a change that was tried before."""
        terms = _parts.commit(self.terms, cache.terms, trial.terms, sites, values, accepted)
        return SumCache(terms, where_accepted(accepted, trial.log_psi, cache.log_psi))

    def _summed(self, log_psi: Inexact[Array, "batch terms"]) -> Inexact[Array, "batch"]:
        dtype = np.result_type(log_psi.dtype, self.weight.dtype)
        logs = log_psi.astype(dtype) + self.weight.astype(dtype)[None]
        return log_sum(logs, jnp.ones((1, logs.shape[1]), logs.real.dtype), positive=True)


class ModulusPhase(Linear):
    r"""Modulus and phase by two networks: :math:`\log\psi = m(\sigma) + i\,\varphi(\sigma)`.

    Args:
        modulus: Flax (linen) module with real values, sigma -> log |psi|.
        phase: one with real values, sigma -> the phase.

    Raises:
        TypeError: if one is no linen module, or when evaluated, if its values are complex.

    Example:
        >>> import jax, manybody as mb
        >>> from manybody.ansatz import MLP, ModulusPhase, RBM
        >>> sigma = mb.hilbert.Spin(4).all_states()
        >>> ansatz = ModulusPhase(RBM(), MLP())
        >>> ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma).dtype
        dtype('complex128')

    Reference:
        Torlai et al. (2018), arXiv:1703.05334, eq. 2.
    """

    modulus: nn.Module
    phase: nn.Module

    def __post_init__(self) -> None:
        _checks.require_type(self.modulus, nn.Module, "modulus")
        _checks.require_type(self.phase, nn.Module, "phase")
        super().__post_init__()

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """Modulus and phase."""
        return self.modulus, self.phase

    def combined(self, values: list[Inexact[Array, "*batch"]]) -> Inexact[Array, "*batch"]:
        """The complex number that they are the parts of."""
        for value, name in zip(values, ("modulus", "phase"), strict=True):
            if jnp.iscomplexobj(value):
                raise TypeError(_checks.requirement(name, "have real values", value.dtype))
        dtype = np.result_type(*(value.dtype for value in values))
        return jax.lax.complex(*(value.astype(dtype) for value in values))


def _check_modules(modules: Any, name: str) -> None:
    _checks.require_type(modules, tuple, name)
    _checks.require(len(modules) > 0, name, "name at least one module", modules)
    for module in modules:
        _checks.require_type(module, nn.Module, name)


def _columns(parts: list[Array]) -> Inexact[Array, "batch terms"]:
    dtype = np.result_type(*(part.dtype for part in parts))
    return jnp.stack([part.astype(dtype) for part in parts], axis=1)


def _principal(log_psi: Inexact[Array, "batch terms"]) -> Inexact[Array, "batch terms"]:
    """With phases between -pi and pi, whatever the history."""
    if not jnp.iscomplexobj(log_psi):
        return log_psi
    turn = 2 * math.pi
    return jax.lax.complex(log_psi.real, log_psi.imag - turn * jnp.round(log_psi.imag / turn))
