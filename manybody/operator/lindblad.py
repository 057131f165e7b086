# SPDX-License-Identifier: Apache-2.0
"""Open systems: the generator of a Lindblad master equation as an operator on pairs of configurations."""

from __future__ import annotations

from collections.abc import Sequence

from manybody import _checks
from manybody.hilbert import Doubled
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
    _checks.require(hamiltonian.is_hermitian, "hamiltonian", "be Hermitian", "an operator that is not")
    total = -1j * (left(hamiltonian) - right(hamiltonian))
    for jump in jumps:
        _checks.require(jump.space == hamiltonian.space, "jumps", f"act on {hamiltonian.space}", jump.space)
        loss = jump.adjoint() @ jump
        # rho K^dag has the elements sum rho_x,y' (K^dag)_y',y, so K^dag stands on the right.
        total = total + left(jump) @ right(jump.adjoint()) - 0.5 * (left(loss) + right(loss))
    return total


def left(operator: DiscreteOperator) -> DiscreteOperator:
    """O x 1, i.e. rho -> O rho, on `Doubled(space)`."""
    space = Doubled(operator.space)
    return from_terms(space, moved(operator.terms, 0, space), operator.couplings)


def right(operator: DiscreteOperator) -> DiscreteOperator:
    """1 x O^T, i.e. rho -> rho O, on `Doubled(space)`."""
    space = Doubled(operator.space)
    transposed = operator.terms.adjoint().conjugate()
    return from_terms(space, moved(transposed, operator.space.size, space), operator.couplings)
