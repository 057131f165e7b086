# SPDX-License-Identifier: Apache-2.0
"""The ground state of the Heisenberg model on a 4 x 4 square lattice, in well under a minute.

    python examples/01_first_ground_state.py

A Hilbert space, a lattice and an operator define the problem; a neural network is the ansatz for its wave function.
Markov chains sample it, stochastic reconfiguration optimises it, and the result is compared with the exact energy.
"""

import optax

import manybody as mb

# The problem: J sum S.S over nearest neighbours, each bond once. Configurations are 2 S_z on every site, and only those
# with as many spins up as down belong to the space. The rotation of one sublattice (Marshall's sign rule) makes the
# ground state positive, so that real parameters are enough.
lattice = mb.lattice.square(4, 4)
space = mb.hilbert.Spin(lattice.n_sites, total_sz=0)
ham = mb.hamiltonian.heisenberg(space, lattice, J=1.0, marshall=True)

# The ansatz maps configurations to log psi. Any Flax module does; this one has four hidden units per site, which share
# their weights so that translations leave the state as it is.
ansatz = mb.ansatz.RBM(alpha=4, symmetries=lattice.translations())

# Chains walk by swapping two different spins, which stays in the space.
sampler = mb.sampler.Metropolis(space, mb.sampler.Exchange(lattice), n_chains=256)
state = mb.VariationalState(ansatz, sampler, n_samples=512, seed=0)

# The learning rate is the step of imaginary time; the shift regularises the metric.
driver = mb.driver.VMC(ham, state, optimizer=optax.sgd(0.05), preconditioner=mb.sr.SR(diag_shift=1e-3))
print(driver.describe())
state = driver.run(100)

# The last samples give the energy with its error bar, and the variance says how close the state is to an eigenstate.
energy = state.expect(ham)
exact = mb.exact.ground_state(ham).energies[0]
print(f"energy  {energy}")
print(f"exact   {exact:.6f}")
print(f"relative error {energy.mean / exact - 1:+.1e}")
print(f"V-score {mb.stats.v_score(energy, space.size):.1e}")
