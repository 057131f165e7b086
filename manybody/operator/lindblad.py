# SPDX-License-Identifier: Apache-2.0
"""Open systems: the generator of a Lindblad master equation as an operator on pairs of configurations."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Float, Int8
from manybody.amplitude import apply_change
from manybody.hilbert import DiscreteSpace, Doubled
from manybody.operator.compiled import CompiledOperator, Connections
from manybody.operator.discrete import DiscreteOperator, from_terms
from manybody.operator.parts import moved


def Liouvillian(hamiltonian: DiscreteOperator, jumps: Sequence[DiscreteOperator] = ()) -> DiscreteOperator:
    """L with d rho / dt = L rho = -i [H, rho] + sum_k (K_k rho K_k^dag - {K_k^dag K_k, rho} / 2).

    It acts on `Doubled(space)`, whose vectors are density matrices row by row, so that

        L = -i (H x 1 - 1 x H^T) + sum_k (K_k x K_k^* - (K_k^dag K_k x 1 + 1 x (K_k^dag K_k)^T) / 2).

    Args:
        hamiltonian: Hermitian operator.
        jumps: jump operators K_k on the same space, their rates included as square roots.

    Raises:
        TypeError: if the Hamiltonian is no operator, or the jump operators are no list of operators.
        ValueError: if the Hamiltonian is not Hermitian, or a jump operator acts on another space.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(1)
        >>> decay = mb.operator.spin.sm(space, 0)
        >>> generator = mb.operator.Liouvillian(mb.operator.spin.sz(space, 0), [decay])
        >>> mb.exact.steady_state(generator).real.round(12)
        array([[0., 0.],
               [0., 1.]])
    """
    _checks.require_type(hamiltonian, DiscreteOperator, "hamiltonian")
    if isinstance(jumps, DiscreteOperator):
        raise TypeError(_checks.requirement("jumps", "be a list of operators", "one operator", "Write [jump]."))
    _checks.require(hamiltonian.is_hermitian, "hamiltonian", "be Hermitian", "an operator that is not")
    total = -1j * (left(hamiltonian) - right(hamiltonian))
    for jump in jumps:
        _checks.require_type(jump, DiscreteOperator, "jumps")
        _checks.require(jump.space == hamiltonian.space, "jumps", f"act on {hamiltonian.space}", jump.space)
        loss = jump.adjoint() @ jump
        # rho K^dag has the elements sum rho_x,y' (K^dag)_y',y, so K^dag stands on the right.
        total = total + left(jump) @ right(jump.adjoint()) - 0.5 * (left(loss) + right(loss))
    return total


def trace_defect(generator: DiscreteOperator, n: int = 64) -> float:
    """By how much a generator on `Doubled(space)` changes the trace: 0 for a Liouvillian.

    Tr(L |x><y|) is the sum of L's elements <z,z|L|x,y>, the conjugates of those of L^dag from (x,y) to diagonal pairs.

    Args:
        generator: L.
        n: how many random elementary matrices |x><x| are looked at, with all |x><y| that L connects them to.

    Returns:
        The largest |Tr(L |x><y|)|, in units of the largest element of L that was seen, or 0 if there is none.

    Raises:
        TypeError: if the space is not doubled.
    """
    _checks.require_type(generator.space, Doubled, "space")
    own: DiscreteSpace = generator.space.space  # type: ignore[attr-defined]
    diagonal = jnp.tile(own.random_state(jax.random.key(0), n), (1, 2))  # (n, 2 sites)
    change, largest = map(float, _trace_change(generator.compile(), generator.adjoint().compile(), diagonal))
    return change / largest if largest > 0 else 0.0


@jax.jit
def _trace_change(
    generator: CompiledOperator, adjoint: CompiledOperator, diagonal: Int8[Array, "samples sites"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The largest |Tr(L |x><y|)| and the largest element, of pairs on the diagonal and what L connects them to."""
    n_sites = diagonal.shape[1] // 2
    pairs = _reached(diagonal, generator.connections(diagonal)).reshape(-1, 2 * n_sites)
    pairs = jnp.concatenate([diagonal, pairs])
    onward = adjoint.connections(pairs)
    ends = _reached(pairs, onward)  # (pairs, conn, 2 sites)
    is_diagonal = jnp.all(ends[..., :n_sites] == ends[..., n_sites:], axis=-1)
    stays = jnp.all(pairs[:, :n_sites] == pairs[:, n_sites:], axis=-1)
    at_home = adjoint.diagonal(pairs)
    change = jnp.sum(jnp.where(is_diagonal, onward.elements, 0.0), axis=-1) + jnp.where(stays, at_home, 0.0)
    largest = jnp.max(jnp.concatenate([jnp.abs(x).ravel() for x in (onward.elements, at_home)]))
    return jnp.max(jnp.abs(change)), largest


def _reached(sigma: Int8[Array, "samples sites"], connections: Connections) -> Int8[Array, "samples conn sites"]:
    """Where connections lead; those without an element lead nowhere."""
    n_conn = connections.elements.shape[-1]
    rows = jnp.repeat(sigma, n_conn, axis=0)
    sites, values = (x.reshape(len(rows), -1) for x in (connections.sites, connections.values))
    exists = (connections.elements != 0).reshape(-1, 1)
    return jnp.where(exists, apply_change(rows, sites, values), rows).reshape(len(sigma), n_conn, -1)


def left(operator: DiscreteOperator) -> DiscreteOperator:
    """O x 1, i.e. rho -> O rho, on `Doubled(space)`."""
    space = Doubled(operator.space)
    return from_terms(space, moved(operator.terms, 0, space), operator.couplings)


def right(operator: DiscreteOperator) -> DiscreteOperator:
    """1 x O^T, i.e. rho -> rho O, on `Doubled(space)`."""
    space = Doubled(operator.space)
    transposed = operator.terms.adjoint().conjugate()
    return from_terms(space, moved(transposed, operator.space.size, space), operator.couplings)
