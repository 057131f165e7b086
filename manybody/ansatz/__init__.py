# SPDX-License-Identifier: Apache-2.0
"""Variational wave functions: Flax modules that map configurations to log psi."""

from manybody.ansatz._numerics import log_cosh
from manybody.ansatz.autoregressive import ARRNN, ARConv, ARDense, ARTransformer
from manybody.ansatz.composition import ModulusPhase, Product, Sum
from manybody.ansatz.conditioned import Conditioned
from manybody.ansatz.density_rbm import DensityRBM
from manybody.ansatz.gcnn import GCNN
from manybody.ansatz.graph_network import GraphNetwork
from manybody.ansatz.jastrow import Jastrow
from manybody.ansatz.mean_field import MeanField
from manybody.ansatz.mixed_precision import MixedPrecision
from manybody.ansatz.mlp import MLP
from manybody.ansatz.purified import PurifiedDensity
from manybody.ansatz.rbm import RBM
from manybody.ansatz.resnet import ResNet
from manybody.ansatz.sign_rule import MarshallSign
from manybody.ansatz.summary import summary
from manybody.ansatz.symmetrised import Symmetrised, spin_inversion
from manybody.ansatz.tensor import MPS
from manybody.ansatz.vit import ViT

__all__ = [
    "ARRNN",
    "GCNN",
    "MLP",
    "MPS",
    "RBM",
    "ARConv",
    "ARDense",
    "ARTransformer",
    "Conditioned",
    "DensityRBM",
    "GraphNetwork",
    "Jastrow",
    "MarshallSign",
    "MeanField",
    "MixedPrecision",
    "ModulusPhase",
    "Product",
    "PurifiedDensity",
    "ResNet",
    "Sum",
    "Symmetrised",
    "ViT",
    "log_cosh",
    "spin_inversion",
    "summary",
]
