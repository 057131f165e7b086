# SPDX-License-Identifier: Apache-2.0
"""Excited states of a Heisenberg ring, as ground states of other symmetry sectors, in about half a minute.

    python examples/02_excited_states.py

A network is projected onto the states of one momentum after the other, and optimised among them. The exact level stands
beside the result.
"""

import numpy as np
import optax

import manybody as mb

lattice = mb.lattice.chain(8)
space = mb.hilbert.Spin(lattice.n_sites, total_sz=0)
ham = mb.hamiltonian.heisenberg(space, lattice, marshall=True)

# Symmetries are found from the lattice. A momentum leaves a few representations: for k = 0 and pi those that are even
# and odd under reflection, for all others one. The first is taken here.
group = lattice.space_group()
print(f"{group.order} translations and reflections, {group.n_irreps} irreducible representations")

for momentum in (0.0, np.pi, 3 * np.pi / 4):
    sector = mb.symmetry.Sector(group, momentum=[momentum])
    exact = mb.exact.ground_state(ham, sector=sector).energies[0]

    # Any ansatz will do; most sectors need complex parameters, as translations turn the phase of the wave function.
    ansatz = mb.ansatz.Symmetrised(mb.ansatz.RBM(alpha=2, param_dtype=complex), sector, space)

    # So few states are summed up exactly; on larger lattices chains sample them, as in the first example.
    state = mb.VariationalState(ansatz, mb.sampler.Exact(space), seed=1)
    driver = mb.driver.VMC(ham, state, optimizer=optax.sgd(0.1), preconditioner=mb.sr.SR(diag_shift=1e-3))
    energy = driver.run(70, progress=False).expect(ham)
    print(f"k = {momentum / np.pi:.2f} pi   energy {energy.mean:.5f}   exact {exact:.5f}")
