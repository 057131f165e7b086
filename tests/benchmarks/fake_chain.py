# SPDX-License-Identifier: Apache-2.0
"""A workload for `test_ground_states.py`: a tool that finds what it is told."""


def start(options, mark):
    mark("import")
    return Fake(**options)


class Fake:
    def __init__(self, energy, n_states=4, has_matrix=True):
        self.energy, self.n_states, self.has_matrix = energy, n_states, has_matrix

    def solve(self):
        return self.energy

    def matrix(self):
        if not self.has_matrix:
            raise NotImplementedError

    def about(self):
        return {"versions": {"fake": "1"}, "n_states": self.n_states, "residual": 0.0}
