# SPDX-License-Identifier: Apache-2.0
"""Variational wave functions: Flax modules that map configurations to log psi."""

from manybody.ansatz._numerics import log_cosh
from manybody.ansatz.gcnn import GCNN
from manybody.ansatz.graph_network import GraphNetwork
from manybody.ansatz.jastrow import Jastrow
from manybody.ansatz.mean_field import MeanField
from manybody.ansatz.mlp import MLP
from manybody.ansatz.rbm import RBM
from manybody.ansatz.resnet import ResNet
from manybody.ansatz.symmetrised import Symmetrised
from manybody.ansatz.tensor import MPS
from manybody.ansatz.vit import ViT

__all__ = [
    "GCNN",
    "MLP",
    "MPS",
    "RBM",
    "GraphNetwork",
    "Jastrow",
    "MeanField",
    "ResNet",
    "Symmetrised",
    "ViT",
    "log_cosh",
]
