# SPDX-License-Identifier: Apache-2.0
"""Samplers of |psi|^2 and the moves of their chains."""

from manybody.sampler.base import Sampler, Samples
from manybody.sampler.counted import Counted
from manybody.sampler.diagonal import Diagonal
from manybody.sampler.direct import Direct
from manybody.sampler.distinct import Distinct
from manybody.sampler.exact import Exact
from manybody.sampler.exchange import Exchange
from manybody.sampler.flips import LocalFlip, MultiFlip
from manybody.sampler.hop import Hop
from manybody.sampler.law import Law
from manybody.sampler.metropolis import Metropolis
from manybody.sampler.mixture import Mixture
from manybody.sampler.move import Move, TwoStage, uniform_index
from manybody.sampler.surrogate import Surrogate

__all__ = [
    "Counted",
    "Diagonal",
    "Direct",
    "Distinct",
    "Exact",
    "Exchange",
    "Hop",
    "Law",
    "LocalFlip",
    "Metropolis",
    "Mixture",
    "Move",
    "MultiFlip",
    "Sampler",
    "Samples",
    "Surrogate",
    "TwoStage",
    "uniform_index",
]
