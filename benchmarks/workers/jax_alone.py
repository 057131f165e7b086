# SPDX-License-Identifier: Apache-2.0
"""The least that a first step takes with JAX: its import, and one program of one operation."""

import jax


class Alone:
    def step(self):
        jax.block_until_ready(jax.jit(lambda x: x + 1.0)(1.0))

    def about(self):
        return {"versions": {"jax": jax.__version__}, "device": str(jax.devices()[0].device_kind)}


def start(options, mark):
    mark("import")
    return Alone()
