# SPDX-License-Identifier: Apache-2.0
"""A workload for `test_harness.py` that needs no toolbox."""

import time


def start(options, mark):
    print("what a tool prints when it is imported must not disturb the replies")
    mark("import")
    return Fake(**options)


class Fake:
    def __init__(self, duration, refuse=False):
        if refuse:
            raise ValueError("no such workload")
        self.duration = duration
        self.n_steps = 0

    def step(self):
        print("nor what it prints later")
        time.sleep(self.duration)
        self.n_steps += 1
        return {"n_steps": self.n_steps}

    def add(self, a, b):
        return a + b

    def fail(self):
        raise RuntimeError("this went wrong")

    def sleep(self):
        time.sleep(60)

    def die(self):
        import os

        os._exit(3)
