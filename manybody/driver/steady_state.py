# SPDX-License-Identifier: Apache-2.0
"""Steady states of open systems."""

from __future__ import annotations

from collections.abc import Mapping

import optax

from manybody import _checks
from manybody.driver.grid import check_liouvillian
from manybody.driver.hooks import Record
from manybody.driver.identity import identity
from manybody.driver.measured import Measured
from manybody.driver.minimisation import Minimisation
from manybody.operator import DiscreteOperator, Operator
from manybody.sampler import Sampler
from manybody.sr import SR, Preconditioner
from manybody.state import VariationalState


class SteadyState(Minimisation):
    r"""Finds the density matrix of an open system that does not change, L rho = 0.

    It minimises

    .. math:: C = \frac{\langle\rho| L^\dagger L |\rho\rangle}{\langle\rho|\rho\rangle} ,

    from pairs of configurations drawn with probability |rho(sigma, eta)|^2. C is 0 in a steady state, where its local
    values do not fluctuate, and positive elsewhere. How good a rho with some C is depends on the gap of L^dag L, so
    look at observables as well.

    L^dag L is multiplied out, which joins what leads to the same pair: where each configuration has n connections by L,
    it has about n^2 / 2 by the product (of a driven-dissipative Ising ring of 20 spins, 45 and 1217).

    Args:
        liouvillian: L on a `Doubled` space, as `operator.Liouvillian` makes it.
        state: where to start; rho is as Hermitian and positive as the ansatz makes it (`DensityRBM`,
            `PurifiedDensity`).
        optimizer: any optax optimizer. The largest eigenvalue of L^dag L grows with the square of the system: a
            learning rate above about its inverse, with little shift, is too much.
        preconditioner: turns local values into a direction; None for the plain force.
        observables: operators whose expectation values are recorded, by name: on the space of one copy, Tr(rho O) / Tr
            rho; or on that of pairs.
        observe_every: steps from one record with observables to the next.
        diagonal: sampler of one copy that those on its space need.
        n_diagonal: number of its samples.

    Attributes:
        step: number of steps made.
        n_buffer: size of a worker's buffer for connections, 0 before the first step.
        n_traces: how often the step was traced (once, and once more whenever the buffer for connections grew).
        n_regrowths: how often that buffer grew.

    Records have C before the step in "cost" and, after every `observe_every`-th step, expectation values after it in
    "observables".

    Raises:
        TypeError: if L is no sum of terms, or a sampler is none.
        ValueError: if L acts on another space or does not preserve the trace, or an observable cannot be measured.

    Example:
        >>> import manybody as mb, optax
        >>> space = mb.hilbert.Spin(1)
        >>> decay = mb.operator.spin.sm(space, 0)
        >>> generator = mb.operator.Liouvillian(mb.operator.spin.sx(space, 0), [decay])
        >>> state = mb.VariationalState(mb.ansatz.DensityRBM(), mb.sampler.Exact(mb.hilbert.Doubled(space)))
        >>> driver = mb.driver.SteadyState(generator, state, optimizer=optax.sgd(0.1))
        >>> measured = driver.run(200, progress=False).diagonal(mb.sampler.Exact(space)).sample()
        >>> round(float(measured.expect(mb.operator.spin.sigmaz(space, 0)).mean), 3)
        -0.333

    Reference:
        Vicentini, Biella, Regnault, Ciuti (2019), arXiv:1902.10104; Weimer (2015), arXiv:1409.8307, for the
        principle.
    """

    quantity = "cost"

    def __init__(
        self,
        liouvillian: DiscreteOperator,
        state: VariationalState,
        *,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None = SR(),
        observables: Mapping[str, Operator] | None = None,
        observe_every: int = 10,
        diagonal: Sampler | None = None,
        n_diagonal: int | None = None,
    ) -> None:
        _checks.require_type(state, VariationalState, "state")
        _checks.require_type(liouvillian, DiscreteOperator, "liouvillian")
        check_liouvillian(liouvillian, state, "liouvillian")
        self.liouvillian = liouvillian
        self.observe_every = _checks.integer(observe_every, "observe_every", minimum=1)
        self._measured = Measured(state, observables, diagonal, n_diagonal)
        super().__init__(liouvillian.adjoint() @ liouvillian, state, optimizer, preconditioner)

    def _advance_by(self, n: int, most: int) -> list[Record]:
        if not self._measured.operators:
            return super()._advance_by(n, most)
        records = super()._advance_by(min(n, self.observe_every - self.step % self.observe_every), most)
        if self.step % self.observe_every == 0:
            records[-1] |= {"observables": self._measured(self.state, self.step)}
        return records

    def _about(self) -> dict[str, str]:
        return identity(self.liouvillian, self._state, self.preconditioner) | {"kind": "steady state"}
