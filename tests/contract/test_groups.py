# SPDX-License-Identifier: Apache-2.0
"""What every group and its representations must obey. A new lattice or group is added to the list and is held to it."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from manybody.lattice import (
    Lattice,
    bcc,
    chain,
    cubic,
    diamond,
    fcc,
    from_networkx,
    honeycomb,
    kagome,
    pyrochlore,
    rectangle,
    shastry_sutherland,
    shuriken,
    square,
    triangular,
)
from manybody.symmetry import FiniteGroup, Permutation, PermutationGroup, TableGroup, direct_product

S5 = PermutationGroup.generated([Permutation([1, 2, 3, 4, 0]), Permutation([1, 0, 2, 3, 4])])
S4 = PermutationGroup.generated([Permutation([1, 2, 3, 0]), Permutation([1, 0, 2, 3])])
A5 = PermutationGroup.generated([Permutation([1, 2, 3, 4, 0]), Permutation([1, 2, 0, 3, 4])])
QUATERNIONS = PermutationGroup.generated(
    [Permutation([1, 0, 3, 2], [1, -1, 1, -1]), Permutation([2, 3, 0, 1], [1, -1, -1, 1])]
)

GROUPS: dict[str, FiniteGroup] = {
    "trivial": TableGroup([[0]]),
    "S5": S5,
    "A5": A5,
    "quaternions": QUATERNIONS,
    "S5 x inversion": S5.with_inversion(),
    "S4 x quaternions": direct_product(S4, QUATERNIONS),
    "petersen": from_networkx(nx.petersen_graph()).automorphism_group(),
    "4x4 torus": square(4).automorphism_group(),
    "translations": square(4, 6).translation_group(),
    "skewed translations": square([[5, 1], [-1, 5]]).translation_group(),
    "antiperiodic translations": chain(6, twist=np.pi).translation_group(),
}
LATTICES: dict[str, Lattice] = {
    "chain": chain(8),
    "two sites": chain(2),
    "square": square(6),
    "open square": square(4, periodic=False),
    "cylinder": square(4, 3, periodic=(True, False)),
    "antiperiodic square": square(4, twist=(np.pi, 0.0)),
    "tilted square": square([[5, 1], [-1, 5]]),
    "rectangle": rectangle(3, 4, a=1.0, b=1.3),
    "triangular": triangular(4),
    "36 triangular": triangular([[6, 0], [0, 6]]),
    "skewed triangular": triangular([[3, 3], [-3, 6]]),
    "honeycomb": honeycomb(3),
    "kagome": kagome(3),
    "36 kagome": kagome([[2, 2], [-2, 4]]),
    "shuriken": shuriken(3),
    "shastry sutherland": shastry_sutherland(2),
    "cubic": cubic(2, 2, 3),
    "bcc": bcc(2),
    "fcc": fcc(2),
    "diamond": diamond(2),
    "pyrochlore": pyrochlore(2),
    "glides": Lattice([[1, 0], [0, 1]], 4, [[0.1, 0.2], [0.6, -0.2]]),
    "screw": Lattice(np.diag([1.0, 1.1, 1.5]), (2, 2, 3), [[0.2, 0.1, 0.0], [-0.2, -0.1, 0.75]]),
    "not primitive": Lattice([[2, 0], [0, 1]], (2, 4), [[0, 0], [1, 0]]),
}
GROUPS |= {name: lattice.space_group() for name, lattice in LATTICES.items()}

every_group = pytest.mark.parametrize("group", GROUPS.values(), ids=list(GROUPS))


@every_group
def test_axioms(group: FiniteGroup) -> None:
    """Identity, inverse, associativity (of random triples), and products are those of the table."""
    every = np.arange(group.order)
    np.testing.assert_array_equal(group.multiply(every, 0), every)
    np.testing.assert_array_equal(group.multiply(0, every), every)
    np.testing.assert_array_equal(group.multiply(every, group.inverse), 0)
    a, b, c = np.random.default_rng(1).integers(group.order, size=(3, 500))
    left, right = group.multiply(group.multiply(a, b), c), group.multiply(a, group.multiply(b, c))
    np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(group.product_table[a, b], group.multiply(a, b))
    assert len(group.generated_by(group.generators)) == group.order


@every_group
def test_classes(group: FiniteGroup) -> None:
    """Conjugation stays within a class, and reaches all of it."""
    classes, every = group.classes, np.arange(group.order)
    assert classes.of[0] == 0 and classes.sizes[0] == 1 and classes.sizes.sum() == group.order
    for number, one in enumerate(classes.representatives[:40]):
        orbit = np.unique(group.multiply(group.multiply(every, one), group.inverse))
        np.testing.assert_array_equal(orbit, np.flatnonzero(classes.of == number))


@every_group
def test_orthogonality_of_characters(group: FiniteGroup) -> None:
    """Rows and columns, to 1e-12; as many rows as classes; the squares of the dimensions add up."""
    table, sizes = group.character_table, group.classes.sizes
    assert table.shape == (len(sizes),) * 2
    rows = (table * sizes) @ table.conj().T / group.order
    np.testing.assert_allclose(rows, np.eye(len(sizes)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(table.conj().T @ table, np.diag(group.order / sizes), rtol=0, atol=1e-12 * group.order)
    assert (group.irrep_dimensions**2).sum() == group.order
    np.testing.assert_array_equal(table[0], 1)


@every_group
def test_matrices_are_representations(group: FiniteGroup) -> None:
    """Unitary, multiplicative for generators, with the right trace and the right reality, to 1e-12."""
    every = np.arange(group.order)
    for k, matrices in enumerate(group.irreps):
        d = matrices.shape[1]
        unit = matrices @ matrices.conj().transpose(0, 2, 1)
        np.testing.assert_allclose(unit, np.broadcast_to(np.eye(d), unit.shape), rtol=0, atol=1e-12)
        traces = np.trace(matrices, axis1=1, axis2=2)
        np.testing.assert_allclose(traces, group.characters(k), rtol=0, atol=1e-12)
        for g in group.generators:
            product = matrices[g] @ matrices
            np.testing.assert_allclose(matrices[group.multiply(g, every)], product, rtol=0, atol=1e-12)
        assert np.isrealobj(matrices) == (group.frobenius_schur(k) == 1)


@every_group
def test_orthogonality_of_matrices(group: FiniteGroup) -> None:
    """Great orthogonality theorem, all irreducible representations at once, to 1e-12 (up to some 400 elements)."""
    if group.order > 500:
        pytest.skip("the matrix of all elements would be large")
    rows = [m.transpose(1, 2, 0).reshape(-1, group.order) * np.sqrt(m.shape[1] / group.order) for m in group.irreps]
    every = np.concatenate(rows)
    np.testing.assert_allclose(every @ every.conj().T, np.eye(group.order), rtol=0, atol=1e-12)


@every_group
def test_projectors_are_idempotent_and_complete(group: FiniteGroup) -> None:
    """In the regular representation: P_k P_l = delta_kl P_k, and their sum is one; by random vectors."""
    every = np.arange(group.order)
    chosen = np.random.default_rng(2).normal(size=(group.order, 3))
    back = group.multiply(group.inverse[:, None], every)  # g^-1 h
    total = np.zeros_like(chosen, complex)
    for k in range(min(group.n_irreps, 25)):
        weights = group.irrep_dimensions[k] / group.order * group.characters(k).conj()
        project = _convolution(weights, back)
        once = project @ chosen
        np.testing.assert_allclose(project @ once, once, rtol=0, atol=1e-11)
        total += once
    if group.n_irreps <= 25:
        np.testing.assert_allclose(total, chosen, rtol=0, atol=1e-11)


def _convolution(weights: np.ndarray, back: np.ndarray) -> np.ndarray:
    """sum over g of weights(g) L(g), with (L(g) f)(h) = f(g^-1 h)."""
    matrix = np.zeros(back.shape, complex)
    np.add.at(matrix, (np.arange(len(back))[None, :], back), weights[:, None])
    return matrix


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=list(LATTICES))
def test_symmetries_of_a_lattice_map_bonds_to_bonds(lattice: Lattice) -> None:
    """With their multiplicities, of the first orders; and distances to distances."""
    group = lattice.space_group()
    for order in range(1, min(3, lattice.n_shells) + 1):
        bonds = lattice.bonds(order, images=True)
        codes = np.sort(bonds @ [lattice.n_sites, 1])
        moved = np.sort(np.sort(group.sites[:, bonds], axis=2) @ [lattice.n_sites, 1], axis=1)
        assert (moved == codes).all()
    distances = lattice.distances()
    for sites in group.sites:
        np.testing.assert_allclose(distances[np.ix_(sites, sites)], distances, rtol=1e-6)
