# SPDX-License-Identifier: Apache-2.0
r"""Sums over the elements of a group: which are evaluated, and what each contributes.

In the conventions of `manybody.symmetry.Action`, the projection of phi onto row m of a representation D of a group G is

.. math:: \psi(\sigma) = \frac{d}{|G|} \sum_g D(g)_{mm}\, s_g(\sigma)\, \phi(g\sigma) .

Elements of K, which move nothing and only give signs, need no evaluations of their own; nor do those of a subgroup H to
which phi already answers by factors, T_h phi = chi(h) phi. One element a of each coset H K a is evaluated, with

.. math:: c_a(\sigma) = s_a(\sigma) \sum_{z \in K} W_{az}\, s_z(\sigma), \qquad
    W_{az} = \frac{d}{|G|} \sum_h \overline{\chi(h)}\, D(h a z)_{mm} ,

where h runs over elements of H that do different things to the sites.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Inexact, Int, Int8
from manybody.symmetry import Action, PermutationGroup, Sector, action_on

NEGLIGIBLE = 1e-12
"""Weights below this are zero: matrix elements of representations are good to 1e-14."""
PROBES = 64
"""Random configurations with which it is checked that not all of a space is projected out."""
NOISE = 64
"""A sum below so many rounding errors of its terms is zero: a symmetry forbids the configuration."""


class Orbit(NamedTuple):
    """The elements a that are evaluated, (orbit,), those of K, (kernel,), and the weights W, (orbit, kernel)."""

    elements: np.ndarray
    kernel: np.ndarray
    weights: np.ndarray


def as_sector(sector: Sector | PermutationGroup) -> Sector:
    """The trivial representation of a group, a sector as it is."""
    return sector if isinstance(sector, Sector) else Sector(sector)


@functools.lru_cache(maxsize=64)
def orbit(sector: Sector, row: int, known: Sector | None = None) -> Orbit:
    """For row `row` of the sector; `known` is the one-dimensional representation of a subgroup that phi belongs to.

    Raises:
        ValueError: if there is no such row, or nothing in it can be reached from states in `known`.
    """
    _checks.integer(row, "row", minimum=0, maximum=sector.dimension - 1)
    group = sector.group
    label = effects(group)
    kernel = np.flatnonzero(label == label[0])
    own, factors = (np.array([0]), np.ones(1)) if known is None else _embedded(known, group)
    _, first = np.unique(label[own], return_index=True)
    own, factors = own[first], factors[first]
    elements = _representatives(group, label, own)
    diagonal = sector.matrices[:, row, row] * (sector.dimension / group.order)
    inside = group.multiply(own[:, None, None], group.multiply(elements[:, None], kernel))  # (own, orbit, kernel)
    weights = np.einsum("h,haz->az", factors, diagonal[inside])
    counts = np.abs(weights).max(axis=1) > NEGLIGIBLE
    must = f"hold states that are in row {row} of {sector!r} as well"
    _checks.require(bool(counts.any()), "cosets", must, known, "Symmetrise over all elements, or change the row.")
    return Orbit(elements[counts], kernel, _tidy(weights[counts]))


def effects(group: PermutationGroup) -> np.ndarray:
    """A number for each element, (order,), the same for those that differ by signs only."""
    moves = np.concatenate([group.sites, group.inverts[:, None]], axis=1)
    return np.unique(moves, axis=0, return_inverse=True)[1].ravel()


def _representatives(group: PermutationGroup, label: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The lowest element of each coset H K a."""
    found, seen = [], np.zeros(group.order, bool)
    for a in np.sort(np.unique(label, return_index=True)[1]):
        if not seen[label[a]]:
            found.append(a)
            seen[label[group.multiply(own, a)]] = True
    return np.array(found)


def _embedded(known: Sector, group: PermutationGroup) -> tuple[np.ndarray, np.ndarray]:
    """The numbers in `group` of the elements of a subgroup, and the conjugates of their characters."""
    _checks.require(known.dimension == 1, "cosets", "have a representation of one dimension", known)
    numbers = {_content(group, g): g for g in range(group.order)}
    own = [numbers.get(_content(known.group, h), -1) for h in range(known.group.order)]
    _checks.require(min(own) >= 0, "cosets", f"be of a subgroup of {group!r}", known.group)
    return np.array(own), known.characters.conj()


def _content(group: PermutationGroup, element: int) -> bytes:
    moves = np.concatenate([group.sites[element], group.signs[element], group.inverts[element : element + 1]])
    return moves.astype(np.int64).tobytes()


def _tidy(weights: np.ndarray) -> np.ndarray:
    """Real if they are."""
    return weights.real if np.abs(weights.imag).max() < NEGLIGIBLE else weights


# --- images -----------------------------------------------------------------------------------------------------------


def tables(action: Action, elements: np.ndarray) -> tuple[Array, Array]:
    """Where each site of an image comes from, (elements, sites), and whether levels are inverted, (elements,)."""
    back = np.argsort(action.sites[elements], axis=1).astype(np.int32)
    return jnp.asarray(back), jnp.asarray(action.group.inverts[elements])


def moved(
    levels: Int[Array, "batch sites"], dimensions: tuple[int, ...], back: Array, inverts: Array
) -> Int[Array, "batch elements sites"]:
    """Levels of the images, by rows of the tables."""
    images = levels[:, back]
    top = jnp.asarray(np.array(dimensions) - 1, levels.dtype)
    return jnp.where(inverts[None, :, None], top[None, None] - images, images)


# --- signs ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def check_not_empty(sector: Sector, row: int, known: Sector | None, space: Any) -> None:
    """Raise `ValueError` if the signs of K alone rule out every configuration: a wrong parity of fermions."""
    seen, acting = orbit(sector, row, known), action_on(space, sector.group)
    if not acting.has_signs:
        return
    sigma = space.random_state(jax.random.key(0), PROBES)
    signs = np.asarray(acting.signs(sigma, seen.kernel))  # (probes, kernel)
    possible = np.abs(signs @ seen.weights.T).max() > NEGLIGIBLE
    cure = "An element that only gives signs must be represented by the sign that it has there."
    _checks.require(bool(possible), "sector", f"have states on {space!r}", sector, cure)


def coefficients(
    orbit: Orbit, action: Action | None, sigma: Int8[Array, "batch sites"], dtype: Any
) -> Inexact[Array, "..."]:
    """c_a(sigma), (batch, orbit), in a precision; without signs the same for all configurations, (1, orbit)."""
    weights = jnp.asarray(orbit.weights)
    weights = weights.astype(np.result_type(dtype, np.complex64) if jnp.iscomplexobj(weights) else dtype)
    if action is None or not action.has_signs:
        return jnp.sum(weights, axis=1)[None]
    turned = action.signs(sigma, orbit.elements).astype(weights.dtype)
    summed = action.signs(sigma, orbit.kernel).astype(weights.dtype) @ weights.T
    noise = NOISE * jnp.finfo(dtype).eps * jnp.max(jnp.abs(weights))  # of terms that cancel
    return turned * jnp.where(jnp.abs(summed) > noise, summed, jnp.zeros_like(summed))


def is_positive(orbit: Orbit, action: Action | None) -> bool:
    """Whether no c_a is ever negative or complex."""
    has_signs = action is not None and action.has_signs
    return not has_signs and np.isrealobj(orbit.weights) and bool(np.all(orbit.weights >= 0))


def log_sum(
    logs: Inexact[Array, "batch *terms"], coefficients: Inexact[Array, "..."], positive: bool
) -> Inexact[Array, "batch"]:
    """log sum_a c_a exp(x_a) over all axes but the first, with coefficients that may be 0, negative or complex.

    Real if the x are real and all coefficients promised to be positive, else complex. What cancels to rounding is
    -inf, with derivative 0.
    """
    if positive and not jnp.iscomplexobj(logs):
        return _log_sum_positive(logs, coefficients)
    axes = tuple(range(1, logs.ndim))
    counts = coefficients != 0
    top = jax.lax.stop_gradient(_finite(jnp.max(jnp.where(counts, logs.real, -jnp.inf), axis=axes, keepdims=True)))
    dtype = np.result_type(coefficients.dtype, logs.dtype)
    factors = jnp.exp(jnp.where(counts, logs - top.astype(logs.dtype), jnp.zeros_like(logs)))
    terms = coefficients.astype(dtype) * factors.astype(dtype)
    total = jnp.sum(terms, axis=axes)
    is_zero = jnp.abs(total) <= NOISE * jnp.finfo(dtype).eps * jnp.sum(jnp.abs(terms), axis=axes)
    total = jnp.where(is_zero, jnp.ones_like(total), total)
    log_size = jnp.where(is_zero, -jnp.inf, top.reshape(-1) + jnp.log(jnp.abs(total)))
    return jax.lax.complex(log_size, jnp.angle(total))


def _log_sum_positive(logs: Inexact[Array, "batch *terms"], coefficients: Inexact[Array, "..."]) -> Array:
    """Nothing can cancel: half the time of the general sum."""
    axes = tuple(range(1, logs.ndim))
    top = jax.lax.stop_gradient(_finite(jnp.max(logs, axis=axes, keepdims=True)))
    total = jnp.sum(coefficients * jnp.exp(logs - top), axis=axes)
    is_zero = total == 0
    return jnp.where(is_zero, -jnp.inf, top.reshape(-1) + jnp.log(jnp.where(is_zero, 1, total)))


def _finite(top: Array) -> Array:
    return jnp.where(jnp.isneginf(top), jnp.zeros_like(top), top)
