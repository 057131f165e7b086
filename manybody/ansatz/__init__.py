# SPDX-License-Identifier: Apache-2.0
"""Variational wave functions: Flax modules that map configurations to log psi."""

from manybody.ansatz._numerics import log_cosh
from manybody.ansatz.gcnn import GCNN
from manybody.ansatz.jastrow import Jastrow
from manybody.ansatz.mean_field import MeanField
from manybody.ansatz.mlp import MLP
from manybody.ansatz.rbm import RBM
from manybody.ansatz.symmetrised import Symmetrised

__all__ = ["GCNN", "MLP", "RBM", "Jastrow", "MeanField", "Symmetrised", "log_cosh"]
