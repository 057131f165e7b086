# SPDX-License-Identifier: Apache-2.0
"""The tangent map: how a change of parameters changes log psi on the samples.

Rows are sqrt(w_i) (O_i - <O>), O_ik = d log psi(sigma_i) / d theta_k, as *real* rows: a complex log psi has two rows a
sample, for its real and its imaginary part, and a complex parameter two columns. In this form

    S = Re <DO^* DO> = rows^T rows,     Re f = rows^T e,     e_i = sqrt(w_i) (E_i - <E>),

so one real least-squares problem serves real, complex and holomorphic states alike. For a holomorphic state S is the
real form of the complex metric, which has half the size and the same solution: where such a state is known to be one
(`manybody.sr.holomorphic`) and S is formed, it is that one which is solved.
"""

from __future__ import annotations

import abc
import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from manybody._precision import count_real, widen
from manybody._types import Array, Complex, Float, Inexact, PyTree
from manybody.estimator import weighted_gradient
from manybody.estimator.derivatives import jacobian_rows
from manybody.estimator.expect import LogPsi
from manybody.parallel import Comm
from manybody.parallel.chunk import map_each, map_rows
from manybody.sampler import Samples
from manybody.sr.holomorphic import is_holomorphic


class Tangent(abc.ABC):
    """A worker's block of a tangent map, as preconditioners see it; lives within one traced step.

    Its samples may come in groups, as many of each, which have a mean and parameters of their own (`TangentFamily`).

    Attributes:
        comm: the workers.
        params: what is optimised.
    """

    comm: Comm
    params: PyTree

    @property
    @abc.abstractmethod
    def n_parts(self) -> int:
        """Rows per sample: 1 for a real log psi, 2 for a complex one."""

    @property
    @abc.abstractmethod
    def n_local(self) -> int:
        """Number of samples of this worker."""

    @property
    def n_params(self) -> int:
        """Number of real parameters."""
        return count_real(self.params)

    @abc.abstractmethod
    def residual(self, values: Inexact[Array, "samples"], mean: Array) -> Float[Array, "samples parts"]:
        """e: centred and weighted local values, from their mean, () or that of each group."""

    @abc.abstractmethod
    def apply(self, tangent: PyTree) -> Float[Array, "samples parts"]:
        """rows @ tangent, for a tree like the parameters."""

    def adjoint(self, rows: Float[Array, "samples parts"]) -> PyTree:
        """rows^T @ x, a tree like the parameters, the same on all workers."""
        return self.collected(TangentMap.pulled, rows)

    @abc.abstractmethod
    def jacobian(self) -> Float[Array, "samples parts params"]:
        """The rows themselves, dense, with the parameters flattened as by `flatten_real`."""

    # --- for holomorphic states --------------------------------------------------------------------------------------

    @property
    def is_holomorphic(self) -> bool:
        """Whether log psi is known to be a holomorphic function of the parameters; then there is `complex_jacobian`."""
        return False

    def complex_jacobian(self) -> Complex[Array, "samples params"]:
        """The centred and weighted d log psi / d theta of a holomorphic state, the parameters flattened in their order.

        Its real form, and that of the metric O^dag O, hold the same numbers twice.
        """
        raise TypeError("This state is not known to be holomorphic.")

    # --- for the kernel ----------------------------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def example(self) -> TangentMap:
        """The tangent map of one group, with shapes in place of arrays."""

    @abc.abstractmethod
    def each(self, function: Callable[[TangentMap], PyTree]) -> PyTree:
        """Arrays (samples, ...) that a function finds from the tangent map of a group, for those of all groups."""

    @abc.abstractmethod
    def collected(self, function: Callable[..., PyTree], *rows: PyTree) -> PyTree:
        """The adjoint of all groups.

        Args:
            function: finds that of a group, from its tangent map and its part of `rows`.
            *rows: arrays (samples, ...) of all groups, the first of them x.
        """

    @abc.abstractmethod
    def centered_kernel(self, own: Float[Array, "a u b v"]) -> Float[Array, "a u b v"]:
        """Products of rows (of this worker's and all samples, and their parts), from those of derivatives in `each`."""


@dataclass(frozen=True)
class TangentMap(Tangent):
    """The tangent map of one state at `params`.

    Attributes:
        comm: the workers.
        log_psi: the wave function.
        params: its parameters.
        samples: the samples.
        chunk_size: configurations differentiated at a time.
    """

    comm: Comm
    log_psi: LogPsi
    params: PyTree
    samples: Samples
    chunk_size: int | None

    @property
    def n_parts(self) -> int:
        shape = self.samples.sigma.shape
        flat = jax.ShapeDtypeStruct((math.prod(shape[:-1]), shape[-1]), self.samples.sigma.dtype)
        out = jax.eval_shape(self.log_psi, self.params, flat)
        return 2 if jnp.issubdtype(out.dtype, jnp.complexfloating) else 1

    @property
    def n_local(self) -> int:
        return math.prod(self.samples.weight.shape)

    def parts(self, x: Inexact[Array, "samples"]) -> Float[Array, "samples parts"]:
        """Real and, for a complex log psi, imaginary part, in double precision."""
        x = widen(x)
        return jnp.stack([x.real, x.imag][: self.n_parts], axis=-1)

    def center(self, rows: Inexact[Array, "samples *rest"]) -> Inexact[Array, "samples *rest"]:
        """sqrt(w) (x - <x>) along the first axis, for rows with any further axes."""
        weight = self.samples.flat_weight.astype(rows.dtype).reshape((-1,) + (1,) * (rows.ndim - 1))
        mean = self.comm.psum(jnp.sum(weight * rows, axis=0, keepdims=True))
        return jnp.sqrt(weight) * (rows - mean)

    def residual(self, values: Inexact[Array, "samples"], mean: Array) -> Float[Array, "samples parts"]:
        difference = self.parts(values - mean.astype(values.dtype))
        return jnp.sqrt(self.samples.flat_weight)[:, None] * difference

    def apply(self, tangent: PyTree) -> Float[Array, "samples parts"]:
        params, tangent = self.comm.pvary((self.params, tangent))

        def push(sigma: Array) -> Array:
            return widen(jax.jvp(lambda p: self.log_psi(p, sigma), (params,), (tangent,))[1])

        return self.center(self.parts(map_rows(push, self.samples.flat_sigma, self.chunk_size)))

    def coefficients(self, rows: Float[Array, "samples parts"]) -> Float[Array, "samples parts"]:
        """c such that rows^T @ x is the sum over all samples of c_i O_i, neither centred nor weighted."""
        weight = self.samples.flat_weight[:, None]
        scaled = jnp.sqrt(weight) * rows
        return scaled - weight * self.comm.psum(jnp.sum(scaled, axis=0, keepdims=True))

    def pulled(self, rows: Float[Array, "samples parts"]) -> PyTree:
        """rows^T @ x, by differentiating log psi."""
        c = self.coefficients(rows)
        coefficient = c[:, 0] if self.n_parts == 1 else jax.lax.complex(c[:, 0], c[:, 1])
        sigma = self.samples.flat_sigma
        return self.comm.psum(
            weighted_gradient(self.comm, self.log_psi, self.params, sigma, coefficient, self.chunk_size)
        )

    def jacobian(self) -> Float[Array, "samples parts params"]:
        params = self.comm.pvary(self.params)

        def one(sigma: Array) -> Array:
            return jacobian_rows(self.log_psi, params, sigma[None], self.n_parts)[0]

        return self.center(map_each(one, self.samples.flat_sigma, self.chunk_size))

    @functools.cached_property
    def is_holomorphic(self) -> bool:
        sigma = jax.ShapeDtypeStruct((1, self.samples.sigma.shape[-1]), self.samples.sigma.dtype)
        return is_holomorphic(self.log_psi, self.params, sigma)

    def complex_jacobian(self) -> Complex[Array, "samples params"]:
        params = self.comm.pvary(self.params)

        def one(sigma: Array) -> Array:
            gradient = jax.grad(lambda p: self.log_psi(p, sigma[None])[0], holomorphic=True)(params)
            return jnp.concatenate([widen(g).ravel() for g in jax.tree.leaves(gradient)])

        return self.center(map_each(one, self.samples.flat_sigma, self.chunk_size))

    @property
    def example(self) -> TangentMap:
        return self

    def each(self, function: Callable[[TangentMap], PyTree]) -> PyTree:
        return function(self)

    def collected(self, function: Callable[..., PyTree], *rows: PyTree) -> PyTree:
        return function(self, *rows)

    def centered_kernel(self, own: Float[Array, "a u b v"]) -> Float[Array, "a u b v"]:
        weight = self.samples.flat_weight
        return deviations(self.comm, own, weight, self.comm.all_gather(weight))


def deviations(
    comm: Comm, own: Float[Array, "a u b v"], weight: Float[Array, "a"], every: Float[Array, "b"]
) -> Float[Array, "a u b v"]:
    """From the products x_i y_j to sqrt(w_i) (x_i - <x>) (y_j - <y>) sqrt(w_j), for a worker's x and every y."""
    columns = comm.psum(jnp.einsum("i,iujv->ujv", weight, own))  # <x> y_j
    rows = jnp.einsum("iujv,j->iuv", own, every)  # x_i <y>
    rows = rows - jnp.einsum("ujv,j->uv", columns, every)[None]
    own = own - columns[None] - rows[:, :, None]
    return own * jnp.sqrt(weight)[:, None, None, None] * jnp.sqrt(every)[None, None, :, None]


def unflatten_complex(vector: Complex[Array, "params"], like: PyTree) -> PyTree:
    """The tree with the structure and complex types of `like` whose leaves are pieces of a vector."""
    leaves, structure = jax.tree.flatten(like)
    ends = list(itertools.accumulate(x.size for x in leaves))[:-1]
    pieces = jnp.split(vector, ends)
    return jax.tree.unflatten(
        structure, [p.reshape(x.shape).astype(x.dtype) for p, x in zip(pieces, leaves, strict=True)]
    )


def unflatten_real(vector: Float[Array, "params"], like: PyTree) -> PyTree:
    """The inverse of `flatten_real`, with the structure and types of `like`."""
    leaves, structure = jax.tree.flatten(like)
    out, start = [], 0
    for x in leaves:
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            real, imag = vector[start : start + x.size], vector[start + x.size : start + 2 * x.size]
            out.append(jax.lax.complex(real, imag).reshape(x.shape).astype(x.dtype))
            start += 2 * x.size
        else:
            out.append(vector[start : start + x.size].reshape(x.shape).astype(x.dtype))
            start += x.size
    return jax.tree.unflatten(structure, out)
