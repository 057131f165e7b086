# SPDX-License-Identifier: Apache-2.0
"""What programs for batch jobs share: typed configuration files, and the console command that runs the programs."""

from manybody.program.config import GroundState
from manybody.program.dynamics import SteadyState, TimeEvolution
from manybody.program.run import Job
from manybody.program.tables import Call, ConfigError

__all__ = ["Call", "ConfigError", "GroundState", "Job", "SteadyState", "TimeEvolution"]
