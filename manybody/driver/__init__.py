# SPDX-License-Identifier: Apache-2.0
"""Drivers: what makes the steps of a calculation."""

from manybody.driver.base import Driver
from manybody.driver.couplings import Stratified
from manybody.driver.family import Family, FamilyVMC
from manybody.driver.hooks import Hook, ProgressBar
from manybody.driver.measurements import Measurements
from manybody.driver.projected import ProjectedEvolution
from manybody.driver.projection import Projection
from manybody.driver.reconstruction import Reconstruction
from manybody.driver.recorder import MadeBefore, NotFinite
from manybody.driver.steady_state import SteadyState
from manybody.driver.stop import StopOnRequest, Stopped
from manybody.driver.target import Applied, Data, Target
from manybody.driver.tdvp import TDVP
from manybody.driver.vmc import VMC

__all__ = [
    "TDVP",
    "VMC",
    "Applied",
    "Data",
    "Driver",
    "Family",
    "FamilyVMC",
    "Hook",
    "MadeBefore",
    "Measurements",
    "NotFinite",
    "ProgressBar",
    "ProjectedEvolution",
    "Projection",
    "Reconstruction",
    "SteadyState",
    "StopOnRequest",
    "Stopped",
    "Stratified",
    "Target",
]
