# SPDX-License-Identifier: Apache-2.0
"""Space groups with their representations, and group-convolutional networks: manybody's side."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import numpy as np
from manybody_version import versions
from symmetry_parts import Laps, Network, largest_error

import manybody as mb
from manybody.ansatz import GCNN


def start(options, mark):
    mark("import")
    return {"group": Group, "network": network}[options.pop("part")](**options)


class Group:
    """The space group of a lattice, "square" or "kagome", and all that is known of its representations."""

    def __init__(self, lattice, extent):
        self.lattice, self.extent = lattice, extent

    def build(self):
        """From the lattice on; the time of each part."""
        laps = Laps()
        group = getattr(mb.lattice, self.lattice)(self.extent, self.extent).space_group()
        laps.end("elements")
        table = group.product_table
        laps.end("product_table")
        characters = group.character_table
        laps.end("character_table")
        irreps = group.irreps
        laps.end("irreps")
        return laps.times | {
            "order": group.order,
            "dimensions": sorted(round(row[0].real) for row in characters),
            "error": largest_error(table, irreps),
        }

    def about(self):
        return {"versions": versions()}


def network(extent, layers, features, samples, problem):
    """A GCNN of real weights on the space group of the square lattice, in the trivial sector.

    Configurations, weights and the elements that these belong to are written into the file `problem`, for others.
    """
    lattice = mb.lattice.square(extent)
    ansatz = GCNN(lattice.space_group(), features=(features,) * layers)
    sigma = mb.hilbert.Spin(lattice.n_sites, total_sz=0).random_state(jax.random.key(0), samples)
    variables = jax.jit(ansatz.init)(jax.random.key(1), sigma[:2])
    group = ansatz.sector
    params = {name: np.asarray(x) for name, x in variables["params"].items()}
    np.savez(problem, sigma=np.asarray(sigma), sites=group.sites, inverse=group.inverse, **params)
    # Our psi is a mean over elements and features, NetKet's a sum.
    return Network(ansatz, variables, sigma, versions(), log_scale=np.log(group.order * features))
