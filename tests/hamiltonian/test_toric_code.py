# SPDX-License-Identifier: Apache-2.0
"""The toric code against Kronecker products, its stabilisers, and its four ground states."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import toric_code
from manybody.hilbert import Constrained, Parity, Qubit, Spin
from manybody.lattice import chain, honeycomb, kagome, square, triangular
from tests.operator.jordan_wigner import pauli


def on_bonds(letter: str, bonds, n_bonds: int) -> np.ndarray:
    return pauli("".join(letter if bond in bonds else "I" for bond in range(n_bonds)))


def kitaev_2x2() -> tuple[list[set], list[set]]:
    """Stars and plaquettes of the square torus of 2 x 2 sites, from the unit cell: a bond is (x, y, its direction).

    The rows of `bonds(images=True)` are the pairs of sites, of each the bond in the positive direction from site i.
    """
    rows = [(0, 0, "y"), (0, 1, "y"), (0, 0, "x"), (1, 0, "x"), (0, 1, "x"), (1, 1, "x"), (1, 0, "y"), (1, 1, "y")]
    number = {bond: row for row, bond in enumerate(rows)}
    cells = list(itertools.product((0, 1), repeat=2))
    stars = [{(x, y, "x"), (1 - x, y, "x"), (x, y, "y"), (x, 1 - y, "y")} for x, y in cells]
    loops = [{(x, y, "x"), (x, y, "y"), (x, 1 - y, "x"), (1 - x, y, "y")} for x, y in cells]
    return [[{number[bond] for bond in one} for one in sets] for sets in (stars, loops)]


@pytest.mark.parametrize("make", [Spin, Qubit])
def test_smallest_torus_written_out(make) -> None:
    stars, loops = kitaev_2x2()
    expected = -0.7 * sum(on_bonds("X", star, 8) for star in stars) - 1.3 * sum(on_bonds("Z", p, 8) for p in loops)
    operator = toric_code(make(8), square(2), Js=0.7, Jp=1.3)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    assert operator.is_hermitian
    assert operator.is_real


LATTICES = {
    "square-2": (square(2), 4),
    "square-2x3": (square(2, 3), 4),
    "triangular-2": (triangular(2), 4),
    "honeycomb-2": (honeycomb(2), 4),
    "honeycomb-1": (honeycomb(1), 4),
    "kagome-1": (kagome(1), 4),
    "open": (square(3, periodic=False), 1),
    "cylinder": (square(3, 2, periodic=(True, False)), 2),
}
"""With the number of ground states, 2^(independent loops that are no sum of plaquettes)."""


@pytest.mark.parametrize("name", LATTICES)
def test_ground_states(name: str) -> None:
    """-Js n_sites - Jp n_plaquettes, as often as the surface demands; one more level lies two violations above."""
    lattice, degeneracy = LATTICES[name]
    n_sites, n_plaquettes = lattice.n_sites, len(lattice.plaquettes())
    operator = toric_code(Spin(len(lattice.bonds(images=True))), lattice, Js=0.7, Jp=1.3)
    energies = mb.exact.ground_state(operator, k=degeneracy + 1).energies
    np.testing.assert_allclose(energies[:degeneracy], -0.7 * n_sites - 1.3 * n_plaquettes, atol=1e-10)
    assert energies[degeneracy] > energies[0] + 1


@pytest.mark.parametrize(
    "lattice", [square(5, 4), triangular(4), honeycomb(3), kagome(2, 3), square(4, periodic=False)]
)
def test_stars_and_plaquettes_commute(lattice) -> None:
    """They have an even number of bonds in common, also where there are too many spins for a matrix."""
    space = Spin(len(lattice.bonds(images=True)))
    operator = toric_code(space, lattice)
    flips, _, _, signs = operator.terms.masks
    x, z = (np.unpackbits(mask.view(np.uint8), axis=1).astype(int) for mask in (flips, signs))
    assert len(x) == lattice.n_sites + len(lattice.plaquettes())
    assert not np.any((x @ z.T) % 2)


def test_loops_round_the_torus_tell_the_ground_states_apart() -> None:
    """The product of sigma^z over them is conserved, that over a part is not; two ground states have -1, and two +1."""
    lattice = square(2)
    hamiltonian = toric_code(Spin(8), lattice).to_dense()
    across = [b for b, (i, j) in enumerate(lattice.bonds(images=True).tolist()) if (i, j) == (0, 2)]
    conserved, other = on_bonds("Z", across, 8), on_bonds("Z", across[:1], 8)
    np.testing.assert_allclose(hamiltonian @ conserved, conserved @ hamiltonian, atol=1e-13)
    assert np.abs(hamiltonian @ other - other @ hamiltonian).max() > 1
    _, states = np.linalg.eigh(hamiltonian)
    within = states[:, :4].T @ conserved @ states[:, :4]
    np.testing.assert_allclose(np.linalg.eigvalsh(within), [-1, -1, 1, 1], atol=1e-10)


def test_without_plaquettes_only_stars_are_left() -> None:
    """Of a space where every plaquette is +1, and so its part of the energy a number."""
    lattice = square(2)
    flat = Parity(Spin(8), [plaquette.bonds.tolist() for plaquette in lattice.plaquettes()])
    operator = toric_code(Constrained(Spin(8), flat), lattice, Js=0.7, Jp=1.3)
    assert operator.space.n_states == 32
    np.testing.assert_allclose(operator.diagonal(operator.space.all_states()), -4 * 1.3)
    np.testing.assert_allclose(mb.exact.ground_state(operator, k=4).energies, -4 * 2.0, atol=1e-12)


def test_couplings_are_leaves() -> None:
    lattice, traces = square(2), []
    sigma = np.ones((1, 8), np.int8)

    @jax.jit
    def sums(operator):
        traces.append(None)
        return operator.diagonal(sigma)[0], operator.elements(sigma).sum()

    for js, jp in ((1.0, 1.0), (0.5, -2.0)):
        np.testing.assert_allclose(sums(toric_code(Spin(8), lattice, Js=js, Jp=jp).compile()), (-4 * jp, -4 * js))
    assert len(traces) == 1
    traced = jax.jit(lambda jp: toric_code(Spin(8), lattice, Jp=jp).diagonal(sigma)[0])
    assert traced(3.0) == pytest.approx(-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: toric_code(Spin(4), square(2)), ValueError, r"`space` must have 8 sites, one for each of `lattice.bo"),
        (lambda: toric_code(Spin(8, s=1), square(2)), ValueError, "`space` must have two levels on each site"),
        (lambda: toric_code(Spin(8, total_sz=0), square(2)), ValueError, "stay within the sector"),
        (lambda: toric_code(Spin(8), square(2, twist=0.1)), ValueError, "no twisted boundary"),
        (lambda: toric_code(Spin(4), chain(4)), ValueError, "sites with two coordinates"),
        (lambda: toric_code(8, square(2)), TypeError, "`space` must be a DiscreteSpace"),
        (lambda: toric_code(Spin(8), 2), TypeError, "`lattice` must be a AbstractLattice"),
    ],
)
def test_what_does_not_fit(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
