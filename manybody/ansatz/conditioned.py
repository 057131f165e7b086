# SPDX-License-Identifier: Apache-2.0
"""Wave functions that depend on couplings: parameters as Chebyshev series."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._lazy import nnx
from manybody._types import Array, Float, Inexact, Int8, PyTree
from manybody.network import as_network, is_nnx

Bound = float | tuple[float, ...]
"""A number if there is one coupling, otherwise one number for each."""

_ROUNDING = 1e-12
"""By how much of its width couplings may lie outside of the box: ends of a grid are rarely exact."""


class Conditioned(nn.Module):
    r"""Any ansatz, with parameters that are smooth functions of couplings of the Hamiltonian: psi(sigma; g).

    .. math:: \theta(g) = \sum_k c_k \prod_a T_{k_a}(x_a), \qquad x_a = 2\,\frac{g_a - l_a}{u_a - l_a} - 1

    The sum runs over the products of Chebyshev polynomials T with k_1 + ... + k_m up to `degree`, and their
    coefficients c are the parameters: a tree like that of the ansatz below the name "ansatz", with one more, leading
    axis. At first only c_0 is there, as the ansatz draws its parameters: one state for all couplings. Ground states are
    analytic in the couplings on a finite system, so that the series converges exponentially, and the faster the further
    the box is from transitions.

    At each coupling it is a plain state of the ansatz, whose parameters are given by `at`, with all its ways to follow
    changes or to be drawn from. `manybody.driver.FamilyVMC` optimises it.

    Args:
        ansatz: Flax (linen or nnx) module, sigma -> log psi.
        lower: smallest couplings l; a number if there is one coupling, otherwise one number for each.
        upper: largest couplings u, in the same form.
        degree: of the polynomials.

    Raises:
        TypeError: if `ansatz` is no Flax module.
        ValueError: if `lower` and `upper` differ in form or enclose nothing, or `degree` is negative.

    Example:
        >>> import jax, manybody as mb
        >>> from manybody.ansatz import RBM, Conditioned
        >>> sigma = mb.hilbert.Spin(4).all_states()
        >>> family = Conditioned(RBM(), lower=0.5, upper=1.5, degree=3)
        >>> variables = family.init(jax.random.key(0), sigma, 1.0)
        >>> family.apply(variables, sigma, 0.7).shape
        (16,)
        >>> jax.tree.map(lambda x: x.shape, family.at(variables["params"], 0.7)["visible"])
        {'kernel': (4, 1)}

    Reference:
        L. N. Trefethen, Approximation Theory and Approximation Practice (2013), theorems 3.1 and 8.2 (convergence of
        Chebyshev series).
    """

    ansatz: nn.Module | nnx.Module
    lower: Bound
    upper: Bound
    degree: int

    def __post_init__(self) -> None:
        if not (isinstance(self.ansatz, nn.Module) or is_nnx(self.ansatz)):
            raise TypeError(_checks.requirement("ansatz", "be a flax.linen or flax.nnx module", repr(self.ansatz)))
        _checks.integer(self.degree, "degree", minimum=0)
        for name, bound in zip(("lower", "upper"), check_box(self.lower, self.upper), strict=True):
            object.__setattr__(self, name, bound)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, sigma: Int8[Array, "*batch sites"], couplings: Float[Array, "..."] | float
    ) -> Inexact[Array, "*batch"]:
        """Log psi of configurations, all at the same couplings (a number, or one for each coupling)."""
        if not isinstance(self.ansatz, nn.Module):
            return self._of_nnx(sigma, couplings)
        run = nn.map_variables(
            lambda ansatz, sigma: ansatz(sigma),
            "params",
            trans_in_fn=functools.partial(self._summed, features=self.features(couplings)),
            trans_out_fn=self._series,
            init=self.is_initializing(),
        )
        return run(self.ansatz, sigma)

    def _of_nnx(self, sigma: Array, couplings: Float[Array, "..."] | float) -> Array:
        network = as_network(self.ansatz)
        first, constants = network.init(jax.random.key(0), sigma)  # which such a module is born with
        coefficients = self.param("ansatz", lambda _: self._series(first))
        return network.log_psi(self._summed(coefficients, self.features(couplings)), constants, sigma)

    @property
    def n_couplings(self) -> int:
        """Number of couplings m."""
        return np.size(self.lower)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the couplings at one point: () for one that is a number, otherwise (m,)."""
        return np.shape(self.lower)

    def at(self, params: PyTree, couplings: Float[Array, "..."] | float) -> PyTree:
        """Parameters of the plain ansatz at some couplings, from those of this one.

        Raises:
            ValueError: if the couplings have another shape.
        """
        return self._summed(params["ansatz"], self.features(couplings))

    def slopes(self, params: PyTree, couplings: Float[Array, "..."] | float) -> PyTree:
        """Their derivatives d theta / d g_a: a tree like `at`, with a leading axis for several couplings."""
        point = self._point(couplings)
        slopes = jax.jacfwd(lambda g: self.at(params, g))(point)
        return slopes if not self.shape else jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), slopes)

    def from_plain(self, params: PyTree) -> PyTree:
        """Parameters of this ansatz that are those of a plain one at all couplings."""
        return {"ansatz": self._series(params)}

    def features(self, couplings: Float[Array, "..."] | float) -> Float[Array, "terms"]:
        """The products of polynomials, in the order of the coefficients; the first one is 1.

        Raises:
            ValueError: if the couplings have another shape.
        """
        lower, upper = np.atleast_1d(self.lower), np.atleast_1d(self.upper)
        x = 2 * (self._point(couplings).reshape(-1) - lower) / (upper - lower) - 1  # (couplings,)
        polynomials = [jnp.ones_like(x), x]
        for _ in range(self.degree - 1):
            polynomials.append(2 * x * polynomials[-1] - polynomials[-2])
        table = jnp.stack(polynomials)  # (degree + 1, couplings)
        powers = _exponents(self.n_couplings, self.degree)
        return jnp.prod(table[powers, np.arange(self.n_couplings)[None]], axis=1)

    def check_inside(self, couplings: Any, name: str = "couplings") -> np.ndarray:
        """Couplings as an array, of one point or of several, if they lie in the box.

        Raises:
            ValueError: if they do not, or have another shape.
        """
        array = np.asarray(couplings, float)
        shape = ", ".join(["...", *map(str, self.shape)])
        fits = array.ndim >= len(self.shape) and array.shape[array.ndim - len(self.shape) :] == self.shape
        _checks.require(fits, name, f"have shape ({shape})", array.shape)
        lower, upper = np.asarray(self.lower), np.asarray(self.upper)
        room = _ROUNDING * (upper - lower)
        inside = np.all((array >= lower - room) & (array <= upper + room))
        _checks.require(bool(inside), name, f"lie between {self.lower} and {self.upper}", array.tolist())
        return array

    def _point(self, couplings: Float[Array, "..."] | float) -> Float[Array, "..."]:
        point = jnp.asarray(couplings, float)
        _checks.require(point.shape == self.shape, "couplings", f"have shape {self.shape}", point.shape)
        return point

    def _series(self, params: PyTree) -> PyTree:
        """Coefficients of a constant."""
        n_terms = len(_exponents(self.n_couplings, self.degree))
        return jax.tree.map(lambda x: jnp.concatenate([x[None], jnp.zeros((n_terms - 1, *x.shape), x.dtype)]), params)

    def _summed(self, coefficients: PyTree, features: Float[Array, "terms"]) -> PyTree:
        return jax.tree.map(lambda c: jnp.tensordot(features.astype(c.dtype), c, axes=1), coefficients)


def check_box(lower: Any, upper: Any) -> tuple[Bound, Bound]:
    """The bounds of a box of couplings, in the form in which they are hashed.

    Raises:
        ValueError: if they are no numbers, differ in form or enclose nothing.
    """
    lower, upper = _numbers(lower, "lower"), _numbers(upper, "upper")
    _checks.require(np.shape(upper) == np.shape(lower), "upper", f"have the form of `lower` ({lower})", upper)
    encloses = np.all(np.asarray(lower) < np.asarray(upper))
    _checks.require(bool(encloses), "upper", f"be larger than `lower` ({lower})", upper)
    return lower, upper


def _numbers(value: Any, name: str) -> Bound:
    """A number, or several as a tuple: it is hashed."""
    array = np.asarray(value, float)
    good = array.ndim <= 1 and array.size > 0 and bool(np.all(np.isfinite(array)))
    _checks.require(good, name, "be a number, or one for each coupling", value)
    return float(array) if array.ndim == 0 else tuple(map(float, array))


@functools.cache
def _exponents(n_couplings: int, degree: int) -> np.ndarray:
    """Degrees (terms, couplings) of the polynomials of each term, by total degree."""
    every = itertools.product(range(degree + 1), repeat=n_couplings)
    chosen = sorted((powers for powers in every if sum(powers) <= degree), key=lambda powers: (sum(powers), powers))
    return np.array(chosen)
