# SPDX-License-Identifier: Apache-2.0
"""A ground state in a given time with NetKet's GCNN, samples of `MetropolisExchange` and `VMC_SR` with momentum."""

import jax
import jax.numpy as jnp
import netket as nk
import optax
from timed_rate import TimedRate


def start(options, mark):
    mark("import")
    return GroundState(**options)


class GroundState:
    """Heisenberg and J1-J2 models, from a configuration of `accuracy/`.

    Args:
        config: its tables.
    """

    def __init__(self, config):
        self.extent, self.options = config["lattice"]["lx"], config["optimisation"]
        sampling, model = config["sampler"], config["ansatz"]
        self.space = nk.hilbert.Spin(0.5, self.extent**2, total_sz=0)
        self.bonds = nk.graph.Square(self.extent)
        self.hamiltonian = self._hamiltonian(config["hamiltonian"].get("J2", 0.0))
        network = nk.models.GCNN(
            symmetries=self.bonds.space_group(),
            layers=len(model["features"]),
            features=tuple(model["features"]),
            param_dtype=jnp.dtype(model["param_dtype"]),
        )
        sampler = self._sampler(sampling["n_chains"], sampling["sweep_size"])
        self.state = nk.vqs.MCState(sampler, network, n_samples=sampling["n_samples"], n_discard_per_chain=0, seed=1)

    def _hamiltonian(self, J2):
        """NetKet's bonds are those of Pauli matrices; the sign rule is that of the sublattices."""
        both = nk.graph.Lattice(
            basis_vectors=[[1, 0], [0, 1]], extent=[self.extent] * 2, pbc=True, max_neighbor_order=2
        )
        bonds, couplings, rule = (both, [0.25, J2 / 4], [True, False]) if J2 else (self.bonds, 0.25, True)
        return nk.operator.Heisenberg(self.space, bonds, J=couplings, sign_rule=rule).to_jax_operator()

    def _sampler(self, n_chains, sweep_size):
        return nk.sampler.MetropolisExchange(
            self.space, graph=self.bonds, n_chains=n_chains, sweep_size=sweep_size, dtype=jnp.int8
        )

    def train(self, seconds):
        """Steps until the time is over."""
        rate = TimedRate(self.options["learning_rate"], seconds)
        driver = nk.driver.VMC_SR(
            self.hamiltonian,
            optax.inject_hyperparams(optax.sgd)(learning_rate=rate() / 2),  # of the gradient, twice the force
            diag_shift=1e-3,
            momentum=self.options["sr"]["momentum"],
            variational_state=self.state,
        )
        while not rate.is_over:
            driver._optimizer_state.hyperparams["learning_rate"] = jnp.asarray(rate() / 2)
            driver.run(1, out=None, show_progress=False)
            jax.block_until_ready(self.state.parameters)
        return {"steps": int(driver.step_count), "n_params": self.n_params}

    @property
    def n_params(self):
        """Number of real parameters."""
        return sum(x.size * (1 + jnp.iscomplexobj(x)) for x in jax.tree.leaves(self.state.parameters))

    def measure(self, n_samples, n_chains, n_burn_in):
        """The energy from fresh chains."""
        final = nk.vqs.MCState(
            self._sampler(n_chains, self.state.sampler.sweep_size),
            self.state.model,
            n_samples=n_samples,
            n_discard_per_chain=n_burn_in,
            seed=2,
            chunk_size=4096,
        )
        final.parameters = self.state.parameters
        energy = final.expect(self.hamiltonian)
        return {
            "energy": float(energy.mean.real),
            "error": float(energy.error_of_mean),
            "variance": float(energy.variance),
            "versions": {"netket": nk.__version__, "jax": jax.__version__},
        }
