# SPDX-License-Identifier: Apache-2.0
"""Drivers: what makes the steps of a calculation."""

from manybody.driver.hooks import Hook, ProgressBar
from manybody.driver.vmc import VMC, NotFinite

__all__ = ["VMC", "Hook", "NotFinite", "ProgressBar"]
