# SPDX-License-Identifier: Apache-2.0
"""A learning rate that falls as the time runs out, for tools that are given time and not a number of steps."""

import math
import time


class TimedRate:
    """Half a period of a cosine, from `start` to `stop`, in so many seconds.

    Args:
        schedule: "learning_rate" of a configuration: a table with `start` and `stop`.
        seconds: from now on.
    """

    def __init__(self, schedule, seconds):
        self._schedule = schedule
        self._seconds = seconds
        self._began = time.perf_counter()

    @property
    def is_over(self):
        """Whether the time is used up."""
        return self._share() >= 1

    def __call__(self):
        """The rate of now."""
        start, stop = self._schedule["start"], self._schedule["stop"]
        return stop + (start - stop) * (1 + math.cos(math.pi * min(1.0, self._share()))) / 2

    def _share(self):
        return (time.perf_counter() - self._began) / self._seconds if self._seconds > 0 else 1.0
