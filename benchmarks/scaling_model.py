# SPDX-License-Identifier: Apache-2.0
"""What a step should take on many ranks: measured constants, and formulas for what grows with the ranks.

A step on R ranks with m samples each, n = R m in all, is the sum of these terms (results: docs/clusters.md):

sampling   fixed + m * per_sample: sampling, local energies, and the derivative of the update; what is fixed is the
           time of the operations of a sweep for hardly any chains
matrix     own rows of the kernel: m n * per_pair; or the part of S that own samples make: m * per_row
solve      of n rows (samples) or of P parameters, by every rank for itself
messages   the collectives, as measured between two ranks, and between nodes with latency and bandwidth

Waiting for the slowest rank is not in it, nor that cores share the bandwidth of memory.
"""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np

BYTES = 8
"""Of a number in double precision, in which all messages of SR travel."""
TERMS = ("sampling", "matrix", "solve", "messages")


class Problem(NamedTuple):
    """A real wave function with one dense layer.

    Attributes:
        method: where SR is solved, "samples" or "parameters".
        sites: inputs of the layer.
        hidden: outputs of the layer.
    """

    method: str
    sites: int
    hidden: int

    @property
    def n_params(self):
        return (self.sites + 1) * self.hidden


class Costs(NamedTuple):
    """Measured on one core.

    Attributes:
        fixed: seconds of a step that do not depend on the samples.
        per_sample: seconds.
        per_pair: seconds for each pair of rows of the kernel.
        per_row: seconds for each sample in S.
        cubic: seconds for each cube of the rows of a Cholesky solution.
        square: seconds for each square of them.
    """

    fixed: float
    per_sample: float
    per_pair: float
    per_row: float
    cubic: float
    square: float


class Network(NamedTuple):
    """What connects the ranks.

    Attributes:
        curves: for each kind of collective among neighbours on a node, points (bytes that a rank gets from others,
            seconds) with bytes ascending: lines between them, and in proportion to the bytes beyond the last.
        latency: seconds until a message arrives at another node.
        link: bytes per second that a node receives.
        ranks_per_node: how many share its link.
        n_small: collectives of a few bytes in a step (energies, acceptance, ...).
    """

    curves: dict[str, list[tuple[float, float]]]
    latency: float
    link: float
    ranks_per_node: int
    n_small: int


def large_messages(problem, ranks, local):
    """Collectives of a step that grow with the problem: list of (kind, bytes that one rank puts in)."""
    n, p = ranks * local, problem.n_params
    if problem.method == "parameters":
        return [("allreduce", BYTES * p), ("allreduce", BYTES * (p**2 + p))]  # mean of the rows; S and the force
    return [
        ("allgather", BYTES * local),  # residual
        ("allgather", BYTES * local * problem.sites),  # inputs of the layer
        ("allgather", BYTES * local * problem.hidden),  # slopes
        ("allgather", BYTES * local),  # weights
        ("allreduce", BYTES * n),  # mean row of the kernel
        ("allgather", BYTES * local * n),  # kernel
        ("allreduce", BYTES * p),  # direction
    ]


def message_time(kind, size, ranks, network):
    """Seconds of a collective into which each rank puts `size` bytes.

    Every rank copies what it gets from others at the speed that was measured; between nodes each node receives once
    what its ranks need. Rounds as in the usual algorithms: reduce-scatter and gather, doubling, pair by pair
    (R. Thakur, R. Rabenseifner and W. Gropp, Int. J. High Perform. Comput. Appl. 19, 49 (2005)).
    """
    if ranks == 1:
        return 0.0
    doubling = math.ceil(math.log2(ranks))
    elsewhere = max(0.0, 1 - network.ranks_per_node / ranks)  # share of the ranks on other nodes
    rounds, received = {
        "allreduce": (2 * doubling, 2 * size),
        "allgather": (doubling, ranks * size),
        "alltoall": (ranks - 1, network.ranks_per_node * size),
    }[kind]
    between = rounds * network.latency + elsewhere * received / network.link if elsewhere else 0.0
    return copy_time(network.curves[kind], copied_bytes(kind, size, ranks)) + between


def copied_bytes(kind, size, ranks):
    """Bytes that each rank gets from others in a collective into which each puts `size` bytes."""
    return {"allreduce": 2 * size / ranks, "allgather": size, "alltoall": size / ranks}[kind] * (ranks - 1)


def copy_time(curve, n_bytes):
    """Seconds on a curve of `Network`."""
    sizes, times = zip(*curve, strict=True)
    return float(np.interp(n_bytes, sizes, times)) * max(1.0, n_bytes / sizes[-1])


def step(problem, costs, network, ranks, local):
    """Seconds of each term of a step."""
    n_rows = ranks * local if problem.method == "samples" else problem.n_params
    per_row = costs.per_pair * ranks * local if problem.method == "samples" else costs.per_row
    small = network.n_small * message_time("allreduce", 0, ranks, network)
    large = [message_time(kind, size, ranks, network) for kind, size in large_messages(problem, ranks, local)]
    return {
        "sampling": costs.fixed + local * costs.per_sample,
        "matrix": local * per_row,
        "solve": costs.cubic * n_rows**3 + costs.square * n_rows**2,
        "messages": small + sum(large),
    }


def efficiency(problem, costs, network, ranks, samples, *, weak, shared=False):
    """How well `ranks` are used.

    Args:
        problem: the problem.
        costs: its constants.
        network: the network.
        ranks: number of ranks.
        samples: of each rank for weak scaling, of all together for strong scaling.
        weak: which of the two.
        shared: as if the ranks shared out the solve evenly and for nothing.

    Returns:
        {"efficiency", "terms_s": of a step, "lost": part of the step beyond the ideal one, for each term, the
        "matrix_mb" of the linear system on every rank}.
    """
    local = samples if weak else samples / ranks
    alone, terms = step(problem, costs, network, 1, samples), step(problem, costs, network, ranks, local)
    if shared:
        terms["solve"] /= ranks
    ideal = {term: alone[term] / (1 if weak else ranks) for term in TERMS}
    total = sum(terms.values())
    n_rows = ranks * local if problem.method == "samples" else problem.n_params
    return {
        "ranks": ranks,
        "efficiency": sum(ideal.values()) / total,
        "terms_s": terms,
        "lost": {term: (terms[term] - ideal[term]) / total for term in TERMS},
        "matrix_mb": BYTES * n_rows**2 / 1e6,
    }


def breaks_first(rows, limit=0.9):
    """The first row with less than this efficiency, and the term that loses most there; None if all are good."""
    for row in rows:
        if row["efficiency"] < limit:
            return {"ranks": row["ranks"], "term": max(row["lost"], key=row["lost"].get)}
    return None


def fit_solve(times):
    """(cubic, square) of the a n^3 + b n^2 that is nearest to the times in relative terms, with a and b not negative.

    Args:
        times: dictionary rows -> seconds.
    """
    powers = np.array([[n**3 / t, n**2 / t] for n, t in times.items()])
    cubic, square = np.linalg.lstsq(powers, np.ones(len(times)), rcond=None)[0]
    if cubic < 0 or square < 0:  # then the better one of the two alone
        alone = [(column @ np.ones(len(times))) / (column @ column) for column in powers.T]
        misses = [np.linalg.norm(column * x - 1) for column, x in zip(powers.T, alone, strict=True)]
        cubic, square = (alone[0], 0.0) if misses[0] < misses[1] else (0.0, alone[1])
    return float(cubic), float(square)


def others(problem, ranks, local, counted):
    """How many of the counted collectives the formulas of `large_messages` do not know, and the formulas' that lack.

    Args:
        problem: the problem.
        ranks: number of ranks that were watched.
        local: samples of each.
        counted: list of {"kind", "bytes", "count"}.

    Returns:
        The number, and the list of (kind, bytes) that were not counted: not empty if the step is no longer the one
        that the model is about.
    """
    found, expected = Counter(), Counter(large_messages(problem, ranks, local))
    for row in counted:
        found[row["kind"], row["bytes"]] += row["count"]
    return (found - expected).total(), sorted((expected - found).elements())
