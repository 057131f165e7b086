# SPDX-License-Identifier: Apache-2.0
"""The least that a first step takes with JAX: its import, and one program of one operation."""

import jax


class Alone:
    def step(self):
        jax.block_until_ready(jax.jit(lambda x: x + 1.0)(1.0))


def start(options, mark):
    mark("import")
    return Alone()
