# SPDX-License-Identifier: Apache-2.0
"""Connected configurations and matrix elements of a batch: NetKet's side, in each of its forms."""

import functools
import sys
import time

import jax
import netket as nk
import netket.experimental as nkx
import numpy as np


def start(options, mark):
    mark("import")
    return Connected(**options)


class Connected:
    """One operator and one batch; arguments as in `manybody_operators.py`.

    Args:
        form: "jax" for `get_conn_padded` of the general JAX operator, compiled; "special", "number_conserving" and
            "spin_conserving" for that of operators made for such Hamiltonians; "numba_padded" and "numba_flattened".
    """

    def __init__(self, case, form, problem):
        with np.load(problem) as data:
            self.data = dict(data)
        self.case, self.form = case, form
        self.is_numba = form.startswith("numba")
        self.sigma = self.data["sigma"] if self.is_numba else jax.numpy.asarray(self.data["sigma"])

    def build(self, scale):
        """The operator with its couplings times a number."""
        self.operator = BUILD[self.case](self.data, scale, self.form)

    def evaluate(self, n):
        """So many batches, one after the other."""
        for _ in range(n):
            result = jax.block_until_ready(self._batch()[:2])
        return [list(array.shape) for array in result]

    def repeat(self, seconds):
        """Batches until the time is over; their number."""
        end, n = time.perf_counter() + seconds, 0
        while n == 0 or time.perf_counter() < end:
            self.evaluate(1)
            n += 1
        return n

    def check(self, out):
        """Sums over connections of element * f(sigma'), and the number of distinct connections."""
        sigma_p, elements, sections = self._batch()
        sigma_p, elements = np.asarray(sigma_p), np.asarray(elements)
        terms = elements * np.cos(sigma_p @ self.data["weights"])
        if sections is None:  # (samples, conn)
            sums, rows = terms.sum(axis=1), np.repeat(np.arange(len(terms)), terms.shape[1])
        else:
            sums = np.array([part.sum() for part in np.split(terms, sections[:-1])])
            rows = np.repeat(np.arange(len(sections)), np.diff(sections, prepend=0))
        np.savez(out, sums=sums, n_connections=distinct(rows, sigma_p.reshape(len(rows), -1), elements.ravel()))

    def about(self):
        sigma_p, elements, _ = self._batch()
        return {
            "versions": {"netket": nk.__version__, "jax": jax.__version__, "python": sys.version.split()[0]},
            "device": str(jax.devices()[0].device_kind),
            "n_slots": elements.size // len(self.sigma),
            "operator": type(self.operator).__name__,
            "types": [str(sigma_p.dtype), str(elements.dtype)],
        }

    def _batch(self):
        """Configurations, matrix elements, and the ends of the samples among them if these are not padded."""
        if self.form == "numba_flattened":
            sections = np.empty(len(self.sigma), np.int64)
            return *self.operator.get_conn_flattened(self.sigma, sections), sections
        if self.form == "numba_padded":
            return *self.operator.get_conn_padded(self.sigma), None
        return *padded(self.operator, self.sigma), None


@jax.jit
def padded(operator, sigma):
    return operator.get_conn_padded(sigma)


def distinct(rows, sigma_p, elements):
    """Number of different connections whose matrix elements do not add up to zero."""
    bits = np.packbits(sigma_p > 0, axis=1)
    keys = np.concatenate([rows[:, None].astype(">u4").view(np.uint8), bits], axis=1)
    _, group = np.unique(keys.view(f"V{keys.shape[1]}").ravel(), return_inverse=True)
    total = np.bincount(group, weights=elements)
    return np.count_nonzero(np.abs(total) > 1e-12 * np.abs(total).max())


# --- operators --------------------------------------------------------------------------------------------------------


def heisenberg(data, scale, form):
    extent = int(data["extent"])
    space = nk.hilbert.Spin(0.5, extent**2, total_sz=0)
    graph = nk.graph.Graph(edges=[tuple(edge) for edge in data["edges"].tolist()], n_nodes=extent**2)
    # NetKet's coupling multiplies Pauli matrices; the sign rule would rotate a sublattice.
    make = functools.partial(nk.operator.Heisenberg, space, graph, J=scale / 4, sign_rule=False)
    return make(cls=nk.operator.LocalOperatorNumba if form.startswith("numba") else nk.operator.LocalOperatorJax)


def hubbard(data, scale, form):
    n_sites, electrons = int(data["extent"]) ** 2, int(data["electrons"])
    space = nk.hilbert.SpinOrbitalFermions(n_sites, s=1 / 2, n_fermions_per_spin=(electrons, electrons))
    edges = data["edges"].tolist()
    if form == "special":
        graph = nk.graph.Graph(edges=[tuple(edge) for edge in edges], n_nodes=n_sites)
        return nk.operator.FermiHubbardJax(space, graph=graph, t=scale, U=8.0 * scale)
    spins = (0, n_sites)
    hops = [((i + s, 1), (j + s, 0)) for a, b in edges for i, j in ((a, b), (b, a)) for s in spins]
    pairs = [((i, 1), (i, 0), (i + n_sites, 1), (i + n_sites, 0)) for i in range(n_sites)]
    return second_quantised(space, hops + pairs, [-scale] * len(hops) + [8.0 * scale] * len(pairs), form)


def molecule(data, scale, form):
    one, two = scale * data["one"], scale * data["two"]
    n, electrons = len(one), int(data["electrons"])
    space = nk.hilbert.SpinOrbitalFermions(n, s=1 / 2, n_fermions_per_spin=(electrons, electrons))
    physicists = two.transpose(0, 2, 3, 1) / 2  # of c_p^dag c_r^dag c_s c_q, from (pq|rs)
    if form == "spin_conserving":
        # Its constructors for users start from a molecule of PySCF or from FermionOperator2nd, which takes longer.
        from sparse import as_coo

        make = nkx.operator.ParticleNumberAndSpinConservingFermioperator2nd
        arrays = [0.0, as_coo(one), as_coo(physicists)]
        return make._from_sparse_arrays_normal_order_all_sectors(space, arrays)
    terms, weights = normal_ordered(one, physicists)
    if form == "number_conserving":
        general = second_quantised(space, terms, weights, "jax")
        return nkx.operator.ParticleNumberConservingFermioperator2nd.from_fermionoperator2nd(general)
    return second_quantised(space, terms, weights, form)


def normal_ordered(one, physicists):
    """Distinct terms over modes, creators and annihilators in descending order: the fewest that NetKet can get."""
    n = len(one)
    full = np.zeros((2 * n,) * 4)
    spins = (slice(0, n), slice(n, 2 * n))
    for a in spins:
        for b in spins:
            full[a, b, b, a] = physicists
    full = full - full.transpose(1, 0, 2, 3)
    full = full - full.transpose(0, 1, 3, 2)
    p, r, s, q = np.nonzero(full)
    p, r, s, q = (modes[(p > r) & (s > q)] for modes in (p, r, s, q))
    hops = np.argwhere(np.kron(np.eye(2), one))
    terms = [((i, 1), (j, 0)) for i, j in hops.tolist()]
    terms += [((a, 1), (b, 1), (c, 0), (d, 0)) for a, b, c, d in np.stack([p, r, s, q], axis=1).tolist()]
    return terms, [*one[tuple((hops % n).T)].tolist(), *full[p, r, s, q].tolist()]


def second_quantised(space, terms, weights, form):
    make = nk.operator.FermionOperator2ndNumba if form.startswith("numba") else nk.operator.FermionOperator2ndJax
    operator = make(space, terms, weights)
    operator.max_conn_size  # noqa: B018  (sets up its tables)
    return operator


BUILD = {"heisenberg": heisenberg, "hubbard": hubbard, "molecule": molecule}
