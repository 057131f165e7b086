# SPDX-License-Identifier: Apache-2.0
"""Wave functions whose kernels are made in different ways: dense ones that are large, and one of every kind."""

import flax.linen as nn

import manybody as mb

LATTICE = mb.lattice.square(4)
SPIN = mb.hilbert.Spin(LATTICE.n_sites)
SECTOR = mb.symmetry.Sector(LATTICE.space_group())
TRANSLATIONS = mb.symmetry.Sector(LATTICE.translation_group())


def network(name, dtype):
    """The space and the ansatz of this name, with parameters of this real type or the complex one of its precision."""
    space, make = TABLE[name]
    return space, make(dtype, {"float32": "complex64", "float64": "complex128"}[dtype])


def _dense(dtype, *widths):
    layers = [layer for width in widths for layer in (nn.Dense(width, dtype=dtype, param_dtype=dtype), nn.tanh)]
    return nn.Sequential(layers)


LARGE = {
    "rbm": (mb.hilbert.Spin(128), lambda r, c: mb.ansatz.RBM(alpha=13, param_dtype=r)),
    "mlp": (mb.hilbert.Spin(128), lambda r, c: mb.ansatz.MLP((392, 392), param_dtype=r)),
    "mlp, complex": (mb.hilbert.Spin(128), lambda r, c: mb.ansatz.MLP((288, 256), mb.ansatz.log_cosh, param_dtype=c)),
}
"""All of at least 200,000 real parameters. Name -> space, function of the real and the complex type."""

SMALL = {
    "MeanField": (SPIN, lambda r, c: mb.ansatz.MeanField(param_dtype=r)),
    "Jastrow": (SPIN, lambda r, c: mb.ansatz.Jastrow(param_dtype=r)),
    "RBM": (SPIN, lambda r, c: mb.ansatz.RBM(alpha=2, param_dtype=r)),
    "RBM, complex": (SPIN, lambda r, c: mb.ansatz.RBM(alpha=2, param_dtype=c)),
    "RBM, phase": (SPIN, lambda r, c: mb.ansatz.RBM(alpha=2, separate_phase=True, param_dtype=r)),
    "RBM, translations": (
        SPIN,
        lambda r, c: mb.ansatz.RBM(alpha=2, symmetries=LATTICE.translations(), param_dtype=r),
    ),
    "MLP": (SPIN, lambda r, c: mb.ansatz.MLP((32, 32), param_dtype=r)),
    "MLP, phase": (SPIN, lambda r, c: mb.ansatz.MLP((32,), separate_phase=True, param_dtype=r)),
    "ResNet": (SPIN, lambda r, c: mb.ansatz.ResNet(LATTICE, 8, 2, output="real", param_dtype=r)),
    "ViT": (SPIN, lambda r, c: mb.ansatz.ViT(LATTICE, layers=2, d_model=16, heads=4, param_dtype=r)),
    "GCNN": (SPIN, lambda r, c: mb.ansatz.GCNN(SECTOR, (4, 4), param_dtype=r)),
    "GraphNetwork": (SPIN, lambda r, c: mb.ansatz.GraphNetwork(LATTICE, (1, 2), 8, 2, param_dtype=r)),
    "Symmetrised": (SPIN, lambda r, c: mb.ansatz.Symmetrised(mb.ansatz.MLP((32,), param_dtype=r), TRANSLATIONS, SPIN)),
    "MPS": (SPIN, lambda r, c: mb.ansatz.MPS(SPIN, 6, param_dtype=r)),
    "ARDense": (SPIN, lambda r, c: mb.ansatz.ARDense(SPIN, (8,), param_dtype=r)),
    "ARConv": (SPIN, lambda r, c: mb.ansatz.ARConv(SPIN, (8, 8), 4, param_dtype=r)),
    "ARRNN": (SPIN, lambda r, c: mb.ansatz.ARRNN(SPIN, 8, param_dtype=r)),
    "ARTransformer": (SPIN, lambda r, c: mb.ansatz.ARTransformer(SPIN, layers=1, d_model=8, heads=2, param_dtype=r)),
    "Product": (SPIN, lambda r, c: mb.ansatz.Product((mb.ansatz.Jastrow(param_dtype=r), mb.ansatz.RBM(param_dtype=c)))),
    "Sum": (SPIN, lambda r, c: mb.ansatz.Sum((mb.ansatz.RBM(param_dtype=r), mb.ansatz.Jastrow(param_dtype=r)), r)),
    "ModulusPhase": (
        SPIN,
        lambda r, c: mb.ansatz.ModulusPhase(mb.ansatz.RBM(param_dtype=r), mb.ansatz.MLP((16,), param_dtype=r)),
    ),
    "DensityRBM": (mb.hilbert.Doubled(mb.hilbert.Spin(8)), lambda r, c: mb.ansatz.DensityRBM(beta=2, param_dtype=r)),
    "PurifiedDensity": (
        mb.hilbert.Doubled(mb.hilbert.Spin(8)),
        lambda r, c: mb.ansatz.PurifiedDensity(_dense(r, 16, 16), 4, r),
    ),
}
"""One of every kind of ansatz, of a size for 16 spins, in the same way."""

TABLE = LARGE | SMALL
