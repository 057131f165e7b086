# SPDX-License-Identifier: Apache-2.0
"""Our `ResNet` and `ViT` with output "real" on the square lattice, as users of other tools write them: plain JAX.

Functions (parameters by our names, configurations (batch, extent^2)) -> log psi. Batches come first and features last,
as Flax has them, and convolutions are XLA's own. Sites are numbered x * extent + y.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

KERNEL_SIZE = 3
PATCH = 2
EPSILON = 1e-6


def build(name, extent, size):
    """The function log psi of a network, and the shapes of its parameters by name.

    Args:
        name: "resnet" or "vit".
        extent: of the lattice.
        size: its options, as those of our class.
    """
    make = {"resnet": resnet, "vit": vit}[name]
    return make(extent, **size)


def scaled_normal(key, shape, dtype):
    """Random parameters of all kinds to start from: such that sums over inputs are of order one."""
    return jax.random.normal(key, shape, dtype) / math.sqrt(math.prod(shape[:-1]) + 1)


def resnet(extent, features, blocks):
    """Convolutions of 3 x 3 sites, the first of them of the configuration itself."""
    taps = KERNEL_SIZE**2
    shapes = {"Head_0.kernel": (features, 1)}
    for number in range(2 * blocks + 1):
        shapes[f"ResidualNetwork_0.kernel_{number}"] = (taps, features if number else 1, features)
        shapes[f"ResidualNetwork_0.bias_{number}"] = (features,)

    def convolved(params, x, number):
        kernel = params[f"ResidualNetwork_0.kernel_{number}"].reshape(KERNEL_SIZE, KERNEL_SIZE, -1, features)
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
        y = jax.lax.conv_general_dilated(padded, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + params[f"ResidualNetwork_0.bias_{number}"]

    def log_psi(params, sigma):
        x = sigma.reshape(-1, extent, extent, 1).astype(params["Head_0.kernel"].dtype)
        x = convolved(params, x, 0)
        for block in range(blocks):
            step = convolved(params, jax.nn.gelu(x / math.sqrt(block + 1)), 2 * block + 1)
            x = x + convolved(params, jax.nn.gelu(step), 2 * block + 2)
        y = jax.nn.gelu(x / math.sqrt(blocks + 1))
        return (jnp.sum(y, axis=(1, 2)) @ params["Head_0.kernel"])[:, 0].reshape(sigma.shape[:-1])

    return log_psi, shapes


def vit(extent, layers, d_model, heads, mlp_ratio):
    """Patches of 2 x 2 sites, and attention that depends on their displacement."""
    places = _grid(extent // PATCH)
    displacements = (places[None] - places[:, None]) % (extent // PATCH)
    displacements = displacements[..., 0] * (extent // PATCH) + displacements[..., 1]
    sites = PATCH * (places[:, None] * [extent, 1]).sum(-1) + (_grid(PATCH) * [extent, 1]).sum(-1)
    dense = {"embedding": (PATCH**2, d_model)}
    shapes = {"Head_0.kernel": (d_model, 1)}
    norms = ["norm"]
    for layer in range(layers):
        shapes[f"attention_{layer}"] = (len(places), heads)
        dense |= {f"{name}_{layer}": (d_model, d_model) for name in ("values", "heads")}
        dense |= {f"hidden_{layer}": (d_model, mlp_ratio * d_model), f"output_{layer}": (mlp_ratio * d_model, d_model)}
        norms += [f"norm_attention_{layer}", f"norm_hidden_{layer}"]
    shapes |= {f"{name}.kernel": shape for name, shape in dense.items()}
    shapes |= {f"{name}.bias": shape[1:] for name, shape in dense.items()}
    shapes |= {f"{name}_{part}": (d_model,) for name in norms for part in ("scale", "shift")}

    def linear(params, name, x):
        return x @ params[f"{name}.kernel"] + params[f"{name}.bias"]

    def normalised(params, name, x):
        x = jax.nn.standardize(x, axis=-1, epsilon=EPSILON)
        return x * params[f"{name}_scale"] + params[f"{name}_shift"]

    def log_psi(params, sigma):
        x = sigma.reshape(-1, extent**2)[:, sites].astype(params["Head_0.kernel"].dtype)  # (batch, patches, sites)
        x = linear(params, "embedding", x)
        for layer in range(layers):
            values = linear(params, f"values_{layer}", normalised(params, f"norm_attention_{layer}", x))
            alpha = params[f"attention_{layer}"][displacements]  # (patches, patches, heads)
            values = values.reshape(*values.shape[:2], heads, -1)
            mixed = jnp.einsum("ijh,bjhf->bihf", alpha, values).reshape(x.shape)
            x = x + linear(params, f"heads_{layer}", mixed)
            hidden = linear(params, f"hidden_{layer}", normalised(params, f"norm_hidden_{layer}", x))
            x = x + linear(params, f"output_{layer}", jax.nn.gelu(hidden))
        z = jnp.sum(normalised(params, "norm", x), axis=1)
        return (z @ params["Head_0.kernel"])[:, 0].reshape(sigma.shape[:-1])

    return log_psi, shapes


def _grid(extent):
    return np.stack(np.divmod(np.arange(extent**2), extent), axis=1)
