# SPDX-License-Identifier: Apache-2.0
"""What the steps of several drivers are made of."""

from __future__ import annotations

import functools
import math

from manybody._compile import ONCE
from manybody._types import Array, Float, PyTree
from manybody.estimator import count_rows
from manybody.operator import CompiledOperator
from manybody.parallel import REPLICATED
from manybody.sampler import Samples
from manybody.sr import TangentMap
from manybody.state import VariationalState


def tangent_map(state: VariationalState, params: PyTree, constants: PyTree, samples: Samples) -> TangentMap:
    """The tangent map of a state at other parameters, on a worker's samples."""

    def log_psi(p: PyTree, sigma: Array) -> Array:
        return state.network.log_psi(p, constants, sigma)

    return TangentMap(state.comm, log_psi, params, samples, state.chunk_size)


def present(state: VariationalState, params: PyTree, chains: PyTree) -> VariationalState:
    """The state at these parameters, with samples; the state itself if it has them."""
    if state.params is not params:
        state = state.replace(params=params, chains=chains)
    return state if state.samples is not None else state.sample()


def count_from_examples(state: VariationalState, chains: PyTree, operator: CompiledOperator) -> Float[Array, ""]:
    """About how many connections a worker's samples have; runs on a worker.

    Those of the present chains, or of random configurations, scaled up to the number of samples.
    """
    sigma = state.sampler.examples(state.comm, chains)
    return count_rows(state.comm, operator, sigma, state.chunk_size) * state.n_local / len(sigma)


def first_count(state: VariationalState, chains: PyTree, operator: CompiledOperator) -> int:
    """About how many connections a worker's samples have, before there are any."""
    if operator.never_vanishes:
        return state.n_local * operator.n_connections
    count = functools.partial(count_from_examples, state)
    layout = (state.sampler.state_spec, REPLICATED)
    run = state.comm.spmd(count, layout, REPLICATED, compiler_options=ONCE)
    return math.ceil(run(chains, operator))
