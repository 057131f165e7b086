# SPDX-License-Identifier: Apache-2.0
"""A quantum phase transition from one optimisation, in about a minute.

    python examples/03_phase_diagram.py

The Ising chain orders when its transverse field h is weak. One network, whose parameters are polynomials of h, learns
the ground states at a few fields at once and interpolates between them. How fast its state changes with h, the fidelity
susceptibility, peaks at the transition; no order parameter needs to be known.
"""

import numpy as np
import optax

import manybody as mb

lattice = mb.lattice.chain(12)
space = mb.hilbert.Spin(lattice.n_sites)


def hamiltonian(h):
    return mb.hamiltonian.ising(space, lattice, J=1.0, h=h)


# Any ansatz becomes a family. Without biases this one is even under the inversion of all spins, as the ground state is.
rbm = mb.ansatz.RBM(alpha=2, symmetries=lattice.translations(), use_visible_bias=False, use_hidden_bias=False)
ansatz = mb.ansatz.Conditioned(rbm, lower=0.5, upper=1.5, degree=6)

# Ten fields, denser at the ends of the range, where polynomials need them most. Each has its own chains; one step
# samples and improves all of them. Slopes feel more of the noise than energies do: steps get shorter.
fields = 1 + 0.5 * np.cos(np.pi * (np.arange(10) + 0.5) / 10)
sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=64, n_burn_in=30)
steps = optax.sgd(optax.exponential_decay(0.1, transition_steps=40, decay_rate=0.5))
driver = mb.driver.FamilyVMC(hamiltonian, ansatz, sampler, fields, n_samples=512, optimizer=steps)
print(driver.describe())
family = driver.run(150)

# At each field, seen or not, the family has a state like any other.
print("    h        energy     exact      fidelity susceptibility")
best = 0.0, 0.0
for h in np.linspace(0.6, 1.4, 9):
    state = family.at(h, n_samples=4096)
    energy, exact = state.expect(hamiltonian(h)), mb.exact.ising_chain_energy(lattice.n_sites, h=h)
    chi = mb.observables.fidelity_susceptibility(state, family.slopes(h))
    best = max(best, (float(chi.mean), h))
    print(f"h = {h:.2f}   {energy.mean:.4f}   {exact:.4f}   {chi.mean:6.3f} +- {chi.error:.3f}")
print(f"largest at h = {best[1]:.1f}; the infinite chain has its transition at h = 1")
