# SPDX-License-Identifier: Apache-2.0
"""Matrix product states."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass
from manybody._types import Array, Bool, Complex, Float, Inexact, Int, Int8, PyTree
from manybody.amplitude import apply_change, where_accepted
from manybody.ansatz._numerics import check_dtype, working_dtype
from manybody.ansatz.tensor import environments
from manybody.ansatz.tensor.environments import Scaled
from manybody.ansatz.tensor.shapes import Shape, bond_dimensions, check_tensors, name_of, padded, tensor_shapes
from manybody.hilbert import DiscreteSpace


@dataclass
class MPSCache:
    """Configurations, their log psi, and the products of the matrices before and behind each site."""

    sigma: Int8[Array, "batch sites"]
    log_psi: Complex[Array, "batch"]
    before: Scaled
    behind: Scaled


class MPS(nn.Module):
    r"""The matrix product state.

    .. math:: \psi(\sigma) = \mathrm{Tr}\, A_1[\sigma_1] A_2[\sigma_2] \cdots A_N[\sigma_N]

    The tensors A_i have the indices (left bond, level, right bond), and levels are those of the local basis of the
    space. With open boundaries the bond between the last and the first site has dimension 1, and bonds near the ends
    are no larger than they need to be: `bond_dim`, but at most the product of the local dimensions on either side.

    log psi is always complex, since real tensors can make negative amplitudes: log|psi| + i pi. It is -inf, with
    derivative zero, where psi vanishes. Products are rescaled site by site, so that any number of sites will do.

    With D the bond dimension, an amplitude costs O(N d D^2), of a periodic state O(N d D^3). A change of a few sites
    costs the same per site, but only for the sites from the first to the last one that changes (or, if these are more
    than a fourth of all, for all sites); an accepted one costs two amplitudes.

    Samples can be drawn without Markov chains (`Direct` and its relatives) if the space has no constraint. Conditional
    probabilities come from the environments of |psi|^2: these take O(N d D^3) once, and a sample O(N d D^2). If
    periodic, they take O(N d D^5) and memory for N D^4 numbers, and a sample O(N d D^4).

    Parameters ``tensors_LxdxR`` (tensors, L, d, R) hold the tensors of one shape, in the order of the sites. They begin
    as identity matrices, the same for all levels, and random parts: a product state in which all configurations are
    about equally likely. Other factors, for instance those of a `Jastrow`, can be put before it with `Product`.

    Args:
        space: the space of the configurations; local dimensions may differ.
        bond_dim: the largest bond dimension; or one for each bond, from left to right, which for a periodic state ends
            with the bond that closes the ring.
        periodic: whether there is a bond between the last and the first site.
        translation_invariant: whether all sites share one tensor; a translation then leaves psi as it is.
        param_dtype: type of the tensors; computations are made in it.
        noise: size of the random parts at the beginning; log psi varies by about so much, less for large bonds.

    Raises:
        TypeError: if `space` is no discrete space, `bond_dim` no integer or tuple of them, or `param_dtype` not a
            floating-point type.
        ValueError: if a number is negative, there are too many or too few bond dimensions, or a translation-invariant
            state is not periodic or has sites or bonds of different dimensions.

    Example:
        >>> import jax, manybody as mb
        >>> space = mb.hilbert.Spin(6)
        >>> mps = mb.ansatz.MPS(space, bond_dim=4)
        >>> variables = mps.init(jax.random.key(0), space.all_states())
        >>> mps.apply(variables, space.all_states()).shape
        (64,)
        >>> [tensor.shape for tensor in mps.apply(variables, method="tensors")]
        [(1, 2, 2), (2, 2, 4), (4, 2, 4), (4, 2, 4), (4, 2, 2), (2, 2, 1)]

    Reference:
        Sandvik, Vidal (2007), arXiv:0708.2232 (Monte Carlo); Schollwöck (2011), arXiv:1008.3477, section 4.1;
        direct samples: Ferris, Vidal (2012), arXiv:1201.3974.
    """

    space: DiscreteSpace
    bond_dim: int | tuple[int, ...] = 16
    periodic: bool = False
    translation_invariant: bool = False
    param_dtype: Any = jnp.float64
    noise: float = 1.0

    def __post_init__(self) -> None:
        _checks.require_type(self.space, DiscreteSpace, "space")
        check_dtype(self.param_dtype)
        _checks.positive(self.noise, "noise", strict=False)
        shapes = self._shapes
        if self.translation_invariant:
            cure = "Set periodic=True, and one bond dimension for all bonds."
            _checks.require(self.periodic, "periodic", "be True for a translation-invariant state", False, cure)
            same = "have the same dimensions at all sites of a translation-invariant state"
            _checks.require(len(set(shapes)) == 1, "space and bond_dim", same, sorted(set(shapes)))
        super().__post_init__()

    def setup(self) -> None:
        dtype = working_dtype(self.param_dtype)
        self.groups = tuple(
            self.param(name_of(shape), self._near_product, (n, *shape), dtype) for shape, n in self._counts.items()
        )

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Complex[Array, "*batch"]:
        self._check_sites(sigma)
        flat = jnp.asarray(sigma).reshape(-1, self.space.size)
        end, _ = environments.products(self._matrices(), self._levels(flat), self._n_rows)
        return environments.log_trace(end).reshape(sigma.shape[:-1])

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> MPSCache:
        """The cache of these configurations, from scratch."""
        return MPSCache(sigma, *environments.environments(self._matrices(), self._levels(sigma), self._n_rows))

    def log_ratio(
        self, cache: MPSCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Complex[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache), imaginary part modulo 2 pi."""
        levels = self._levels(apply_change(cache.sigma, sites, values))
        stretch = _stretch(cache.sigma, sites, values)
        new = environments.log_psi_of_stretch(self._matrices(), levels, cache.before, cache.behind, *stretch)
        return new - cache.log_psi

    def update_cache(
        self,
        cache: MPSCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> MPSCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        # All products on one side of a change are new, and chains change at different sites: all are made again.
        new = self.init_cache(apply_change(cache.sigma, sites, values))
        return where_accepted(accepted, new, cache)

    @property
    def order(self) -> np.ndarray:
        """The site at each position: from left to right."""
        return np.arange(self.space.size)

    def init_draw(self, n_draws: int) -> Inexact[Array, "draws K D"]:
        """The product of no matrices for each draw.

        Raises:
            ValueError: if the space has fixed sums, or another constraint: |psi|^2 summed over all levels is no
                probability there.
        """
        free = not self.space.sectors and self.space.has_only_sectors
        cure = "Sample with `Metropolis`, or give the MPS the space without the constraint."
        _checks.require(free, "space", "have no constraint for an MPS to be drawn from", self.space, cure)
        matrices = self._matrices()
        return jnp.tile(jnp.eye(self._n_rows, matrices.shape[-1], dtype=matrices.dtype), (n_draws, 1, 1))

    def draw_step(
        self, cache: Inexact[Array, "draws K D"], position: Int[Array, ""], levels: Int[Array, "draws"]
    ) -> tuple[Float[Array, "draws levels"], Inexact[Array, "draws K D"]]:
        """log p of each level at this position, and the products of the matrices of the levels before it."""
        matrices = self._matrices()
        # The environments depend on parameters only. A compiled loop over positions makes them once, before it starts.
        _, behind = environments.norms(matrices, self._n_rows)
        further = environments.times_chosen(cache, matrices[position - 1], levels)
        further = environments.rescaled(further, jnp.zeros_like(further[:, 0, 0].real)).value
        cache = jnp.where(position > 0, further, cache)
        return environments.log_conditional(cache, matrices[position], behind.value[position]), cache

    def log_norm(self) -> Float[Array, ""]:
        """log of the sum of |psi|^2 over all levels of all sites, legal in a constrained space or not."""
        total, _ = environments.norms(self._matrices(), self._n_rows)
        return environments.log_trace(total).real

    def tensors(self) -> list[Inexact[Array, "left level right"]]:
        """The tensor of each site."""
        found = zip(self._matrices(), self._shapes, strict=True)
        return [jnp.swapaxes(site[:level, :left, :right], 0, 1) for site, (left, level, right) in found]

    @classmethod
    def from_tensors(
        cls, space: DiscreteSpace, tensors: Sequence[Any], periodic: bool = False
    ) -> tuple[MPS, dict[str, PyTree]]:
        """The state with these tensors, for instance of another package, and its variables.

        From TeNPy: ``[psi.get_B(i).transpose(["vL", "p", "vR"]).to_ndarray() for i in range(psi.L)]``. Its sites may
        sort their levels by charge; `site.state_labels` tells their order, and ``tensor[:, [1, 0]]`` turns it around.
        From quimb, whose tensors have no outer bonds: ``psi.permute_arrays("lpr")``, and then
        ``first, *rest, last = psi.arrays; [first[None], *rest, last[..., None]]``.

        Args:
            space: the space of the configurations, whose levels are those of the tensors, in the same order.
            tensors: one for each site, (left bond, level, right bond), real or complex.
            periodic: whether there is a bond between the last and the first site; if not, the outer bonds have
                dimension 1.

        Returns:
            The module, with the bond dimensions of the tensors, and variables for its `apply`.

        Raises:
            ValueError: if the tensors are too many or too few, or do not fit the space or each other.

        Example:
            >>> import numpy as np, manybody as mb
            >>> space = mb.hilbert.Qubit(3)
            >>> copy = np.eye(2)[:, :, None] * np.eye(2)[:, None, :]  # GHZ: all levels are the same
            >>> tensors = [copy[:1] + copy[1:], copy, copy.sum(axis=2, keepdims=True)]
            >>> mps, variables = mb.ansatz.MPS.from_tensors(space, tensors)
            >>> np.exp(mps.apply(variables, space.all_states())).real
            array([1., 0., 0., 0., 0., 0., 0., 1.])
        """
        arrays = [np.asarray(tensor) for tensor in tensors]
        check_tensors(arrays, space.local_dimensions, periodic)
        bonds = tuple(array.shape[2] for array in arrays)
        dtype = working_dtype(np.result_type(np.float32, *arrays))
        mps = cls(space, bonds if periodic else bonds[:-1], periodic, param_dtype=dtype)
        groups: dict[str, list] = {}
        for array in arrays:
            groups.setdefault(name_of(array.shape), []).append(array)
        return mps, {"params": {name: jnp.asarray(np.stack(group), dtype) for name, group in groups.items()}}

    @property
    def _shapes(self) -> tuple[Shape, ...]:
        return tensor_shapes(self.space.local_dimensions, self._bonds)

    @property
    def _bonds(self) -> tuple[int, ...]:
        return bond_dimensions(self.space.local_dimensions, self.bond_dim, self.periodic)

    @property
    def _counts(self) -> dict[Shape, int]:
        """How many tensors of each shape there are."""
        return dict.fromkeys(self._shapes, 1) if self.translation_invariant else Counter(self._shapes)

    @property
    def _n_rows(self) -> int:
        """K: dimension of the bond that closes the ring, 1 for open boundaries."""
        return self._shapes[0][0]

    def _matrices(self) -> Inexact[Array, "sites levels D D"]:
        matrices = padded(dict(zip(self._counts, self.groups, strict=True)), self._shapes[: sum(self._counts.values())])
        return jnp.broadcast_to(matrices, (self.space.size, *matrices.shape[1:]))

    def _check_sites(self, sigma: Array) -> None:
        good = sigma.ndim > 0 and sigma.shape[-1] == self.space.size
        cure = f"The MPS is one on {self.space}."
        _checks.require(good, "sigma", f"have shape (..., {self.space.size})", sigma.shape, cure)

    def _levels(self, sigma: Int8[Array, "batch sites"]) -> Int[Array, "batch sites"]:
        return jnp.asarray(self.space.to_levels(sigma))

    def _near_product(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        """Identities, whose product is one, and random parts that cancel in the mean over the levels of a site."""
        _, left, _, right = shape
        random = jax.random.normal(key, shape, dtype)
        random = random - jnp.mean(random, axis=2, keepdims=True)
        scale = self.noise / math.sqrt(self.space.size * max(self._bonds))
        return jnp.eye(left, right, dtype=dtype)[None, :, None, :] + scale * random


def _stretch(
    sigma: Int8[Array, "batch sites"], sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
) -> tuple[Int[Array, "batch"], Int[Array, "batch"]]:
    """The first and the last site that really changes; twice the same one if there is none."""
    differs = jnp.take_along_axis(sigma, sites, axis=1) != values
    one = jnp.take_along_axis(sites, jnp.argmax(differs, axis=1)[:, None], axis=1)
    changed = jnp.where(differs, sites, one)
    return jnp.min(changed, axis=1), jnp.max(changed, axis=1)
