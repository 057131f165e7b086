# SPDX-License-Identifier: Apache-2.0
"""Space groups with their representations, and group-convolutional networks: NetKet's side, in each of its modes."""

import sys

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
from symmetry_parts import Laps, Network, largest_error


def start(options, mark):
    mark("import")
    return {"group": Group, "network": network}[options.pop("part")](**options)


def versions():
    return {"netket": nk.__version__, "jax": jax.__version__, "python": sys.version.split()[0]}


class Group:
    """As in `manybody_symmetry.py`."""

    def __init__(self, lattice, extent):
        self.lattice, self.extent = lattice, extent

    def build(self):
        """From the lattice on; the time of each part."""
        laps = Laps()
        make = {"square": nk.graph.Square, "kagome": lambda n: nk.graph.Kagome([n, n])}[self.lattice]
        group = make(self.extent).space_group()
        laps.end("elements")
        table = group.product_table
        laps.end("product_table")
        characters = group.character_table_by_class
        laps.end("character_table")
        irreps = group.irrep_matrices()
        laps.end("irreps")
        return laps.times | {
            "order": len(group),
            "dimensions": sorted(round(float(row[0].real)) for row in characters),
            "error": largest_error(np.asarray(table), irreps, of_inverse=True),
        }

    def about(self):
        return {"versions": versions()}


def network(extent, layers, features, problem, mode):
    """As in `manybody_symmetry.py`, with the same weights; `mode` is "fft" or "irreps"."""
    with np.load(problem) as data:
        data = dict(data)
    graph = nk.graph.Square(extent)
    ansatz = nk.models.GCNN(symmetries=graph, layers=layers, features=features, mode=mode, complex_output=False)
    own = {row.astype(np.int64).tobytes(): g for g, row in enumerate(data["sites"])}
    rows = np.asarray(graph.space_group().to_array()).astype(np.int64)
    # NetKet's weight of an element is ours of the inverse.
    elements = data["inverse"][np.array([own[row.tobytes()] for row in rows])]
    params = {"dense_symm": {"bias": data["bias_0"], "kernel": data["kernel_0"].T[:, None, :]}}
    for k in range(1, layers):
        kernel = data[f"kernel_{k}"][elements].transpose(2, 1, 0)
        params[f"equivariant_layers_{k - 1}"] = {"bias": data[f"bias_{k}"], "kernel": kernel}
    variables = {"params": jax.tree.map(jnp.asarray, params)}
    return Network(ansatz, variables, jnp.asarray(data["sigma"]), versions())
