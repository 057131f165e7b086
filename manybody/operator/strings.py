# SPDX-License-Identifier: Apache-2.0
"""Rows of masks from many strings at once: Pauli strings, and products of fermionic operators.

Everything is done for all strings together, one factor after the other, so that millions of terms take seconds.
"""

from __future__ import annotations

import numpy as np

from manybody.operator.bits import BitTerms, merged_rows, pack_sites, parity_sign, words


def pauli_rows(n_sites: int, letters: np.ndarray, coupling: np.ndarray, weight: np.ndarray) -> BitTerms:
    """Sum of weighted Pauli strings.

    Args:
        n_sites: number of sites.
        letters: int8 (strings, sites): 0, 1, 2, 3 for I, X, Y, Z.
        coupling: (strings,) number of the coupling of each.
        weight: (strings,) real or complex.
    """
    flips, signs = (letters == 1) | (letters == 2), letters >= 2
    zero = np.zeros((len(letters), words(n_sites)), np.uint32)
    n_y = (letters == 2).sum(axis=1)  # Y|0> = i|1>, Y|1> = -i|0>
    phase = np.array([1, 1j, -1, -1j])[n_y % 4]
    weight = weight * (phase if np.any(n_y % 2) else phase.real)
    masks = np.stack([pack_rows(flips), zero, zero, pack_rows(signs)])
    return merged_rows(n_sites, masks, coupling, weight)


def fermion_rows(
    n_modes: int, modes: np.ndarray, creates: np.ndarray, coupling: np.ndarray, weight: np.ndarray
) -> BitTerms:
    """Sum of weighted products of creation and annihilation operators, in the order of Jordan and Wigner.

    The operator of mode i changes the occupation of site i and has the sign (-1)^(occupied modes before i).

    Args:
        n_modes: number of modes.
        modes: int (products, factors), the last factor acts first.
        creates: bool (products, factors), whether the factor creates.
        coupling: (products,) number of the coupling of each.
        weight: (products,) real or complex.
    """
    bit = np.stack([pack_sites([i], n_modes) for i in range(n_modes)])
    before = np.stack([pack_sites(range(i), n_modes) for i in range(n_modes)])
    flip, need, value, sign = np.zeros((4, len(modes), words(n_modes)), np.uint32)
    weight = np.array(weight)
    possible = np.ones(len(modes), bool)
    for factor in reversed(range(modes.shape[1])):
        own, string = bit[modes[:, factor]], before[modes[:, factor]]
        weight = weight * parity_sign(flip & string)
        sign ^= string
        # What the mode must hold at the start, for the factor to find it empty or occupied.
        wanted = (flip ^ np.where(creates[:, factor, None], np.uint32(0), own)) & own
        possible &= ~np.any(need & own & (value ^ wanted), axis=1)
        need |= own
        value |= wanted
        flip ^= own
    masks = np.stack([flip, need, value, sign])[:, possible]
    return merged_rows(n_modes, masks, coupling[possible], weight[possible])


def pack_rows(bits: np.ndarray) -> np.ndarray:
    """bool (rows, sites) as uint32 (rows, words)."""
    n_rows, n_sites = bits.shape
    padded = np.zeros((n_rows, 32 * words(n_sites)), bool)
    padded[:, :n_sites] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32)
