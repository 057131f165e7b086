# SPDX-License-Identifier: Apache-2.0
"""The same wave function sampled with and without a surrogate; and the two of them, found first."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
import optax
from manybody_version import versions

import manybody as mb
from manybody.stats import estimate

GROUPS = 4
"""Groups of chains whose autocorrelation times are averaged: found by Geyer's sequence in groups of few chains."""


def start(options, mark):
    mark("import")
    return {"prepare": Preparation, "sample": Way}[options.pop("part")](**options)


class Problem:
    """The Heisenberg model on a square lattice at Sz = 0, with Marshall's sign: psi is a ResNet, phi an RBM, both > 0.

    Args:
        extent: length of the lattice.
        features: of psi, which has two blocks.
        chains: number of chains.
        folder: where the parameters are, or shall be.
    """

    def __init__(self, extent, features, chains, folder):
        self.lattice = mb.lattice.square(extent, extent)
        self.space = mb.hilbert.Spin(self.lattice.n_sites, total_sz=0)
        heisenberg = mb.hamiltonian.heisenberg(self.space, self.lattice)
        self.hamiltonian = mb.hamiltonian.marshall(heisenberg, self.lattice)
        self.full = mb.ansatz.ResNet(self.lattice, features=features, blocks=2, output="real")
        self.rough = mb.ansatz.RBM(alpha=2, symmetries=self.lattice.translations())
        self.chains, self.folder = chains, Path(folder)

    def state(self, ansatz, n_samples=None, **sampling):
        return mb.VariationalState(ansatz, self.sampler(**sampling), n_samples, seed=1)

    def sampler(self, **options):
        return mb.sampler.Metropolis(self.space, mb.sampler.Exchange(self.lattice), self.chains, **options)


class Preparation:
    """Optimises psi without a surrogate, and fits phi to it; leaves both in files."""

    def __init__(self, **problem):
        self.problem = Problem(**problem)

    def prepare(self, steps, fit_steps, samples):
        """What was reached, and how long it took."""
        made, begin = self.problem, time.perf_counter()
        full = made.state(made.full, samples)
        vmc = mb.driver.VMC(made.hamiltonian, full, optimizer=optax.sgd(0.05), preconditioner=mb.sr.SR(diag_shift=1e-3))
        vmc.run(steps, progress=False)
        vmc.state.save(made.folder / "full.npz")
        middle = time.perf_counter()
        rough = made.state(made.rough, 4 * samples)
        target = vmc.state.replace(draws=4 * vmc.state.draws, samples=None)
        fit = mb.driver.Projection(target, rough, optimizer=optax.sgd(0.1), preconditioner=mb.sr.SR(diag_shift=1e-3))
        fit.run(fit_steps, progress=False)
        fit.state.save(made.folder / "rough.npz")
        seconds = {"train_s": middle - begin, "fit_s": time.perf_counter() - middle}
        infidelity = float(fit.advance()["infidelity"].mean)
        n_params = {"full": full.n_params, "rough": rough.n_params}
        return {"n_params": n_params, "infidelity": infidelity, **seconds}


class Way:
    """psi, sampled with walks of `n_steps` along phi; 0 for no surrogate."""

    def __init__(self, n_steps, draws, chains, **problem):
        self.problem = made = Problem(chains=chains, **problem)
        self.n_steps, self.draws = n_steps, draws
        rough = made.state(made.rough).load(made.folder / "rough.npz")
        bound = rough.network.bind(rough.params, rough.constants)
        self.options = {"surrogate": mb.sampler.Surrogate(bound, n_steps)} if n_steps else {}
        self.state = made.state(made.full, chains * draws, **self.options).load(made.folder / "full.npz")
        self.walk = self.sampling(self.state.sampler, draws)
        self.samples, self.infos = [], []

    def sampling(self, sampler, draws):
        network, comm = self.state.network, mb.parallel.Comm()

        @jax.jit
        def walk(params, constants, chains):
            return sampler.sample(comm, network.bind(params, constants), chains, draws)

        return walk

    def draw(self):
        """New samples, and go on from there."""
        state = self.state
        chains, samples, info = jax.block_until_ready(self.walk(state.params, state.constants, state.chains))
        self.state = state.replace(chains=chains)
        self.samples.append(samples)
        self.infos.append(jax.device_get(info))

    def changes(self, draws):
        """Exchanges that turn a configuration into the one after the next evaluation of psi, on average."""
        sampler = self.problem.sampler(sweep_size=max(self.n_steps, 1), n_burn_in=0, **self.options)
        state = self.state
        _, samples, _ = self.sampling(sampler, draws)(state.params, state.constants, state.chains)
        sigma = np.asarray(samples.sigma)
        return float(np.mean(np.sum(sigma[:, 1:] != sigma[:, :-1], axis=-1)) / 2)

    def energy(self):
        """Energy with error and autocorrelation time (in draws), of all that was drawn; and the rates."""
        values = [
            np.asarray(self.state.replace(samples=x).local_values(self.problem.hamiltonian)) for x in self.samples
        ]
        values = np.concatenate(values, axis=1).real  # (chains, draws)
        whole = self.estimate(values)
        taus = [float(self.estimate(part).tau) for part in np.array_split(values, GROUPS)]
        rates = {name: float(np.mean([info[name] for info in self.infos])) for name in self.infos[0]}
        return {
            "mean": float(whole.mean),
            "error": float(whole.error),
            "tau": float(np.mean(taus)),
            "tau_error": float(np.std(taus, ddof=1) / np.sqrt(GROUPS)),
            "n_samples": values.size,
            "rates": rates,
        }

    @staticmethod
    def estimate(values):
        weight = jnp.full(values.shape, 1 / values.size)
        return jax.device_get(estimate(mb.parallel.Comm(), jnp.asarray(values), weight, "chain"))

    def about(self):
        return {"versions": versions(), "device": str(jax.devices()[0].device_kind), "precision": "f64"}
