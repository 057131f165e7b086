# SPDX-License-Identifier: Apache-2.0
"""Tables of ansatzes."""

import pytest

from manybody.ansatz import GCNN, MLP, RBM, Jastrow, ResNet, Symmetrised
from manybody.ansatz.composition import Product
from manybody.ansatz.summary import summary
from manybody.hilbert import Spin
from manybody.lattice import square
from tests.estimator.ansatzes import NnxNet, pair_apply, pair_init

SPACE = Spin(4)


def lines(ansatz, space=SPACE):
    return summary(ansatz, space).splitlines()


def cells(line):
    return line.split()


def test_layers_of_a_network():
    head, first, second, output, elsewhere, total, *paths = lines(MLP(hidden=(8, 3), use_hidden_bias=False))
    assert cells(head) == ["layer", "parameters", "type", "shapes", "operations"]
    assert cells(first) == ["layers_0", "32", "float64", "kernel", "4x8", "64"]
    assert cells(second) == ["layers_1", "24", "float64", "kernel", "8x3", "48"]
    assert cells(output) == ["output", "3", "float64", "kernel", "3x1", "6"]
    assert cells(elsewhere)[:2] == ["(elsewhere)", "0"]  # the activation
    assert cells(total) == ["MLP", "59", str(64 + 48 + 6 + int(cells(elsewhere)[2]))]
    assert paths[0].startswith("changes of one site: followed, with ")
    assert paths[1:] == ["direct draws: no", "symmetry: none known"]


def test_a_change_costs_less_than_an_evaluation():
    *_, total, changes, _, _ = lines(RBM(alpha=4), Spin(64))
    assert int(cells(changes)[-2]) < int(cells(total)[-1]) / 10


def test_complex_parameters_count_twice():
    assert cells(lines(RBM(param_dtype=complex))[1])[:3] == ["hidden", "40", "complex128"]


def test_parts_of_a_whole():
    text = summary(Product((Jastrow(), MLP(hidden=(5,)))), SPACE)
    assert "factors_0/visible " in text
    assert "factors_1/layers_0" in text


def test_symmetry_and_evaluation():
    group = square(2).space_group()
    for ansatz in (GCNN(group, (2, 2)), Symmetrised(RBM(), group, SPACE)):
        *_, changes, _, symmetry = lines(ansatz)
        assert changes == "changes of one site: evaluated anew"
        assert repr(group) in symmetry


def test_long_lists_of_shapes_are_cut():
    assert "..." in summary(ResNet(square(4), blocks=4), Spin(16))
    assert max(map(len, lines(ResNet(square(4), blocks=4), Spin(16)))) < 120


@pytest.mark.parametrize("ansatz", [NnxNet(4), (pair_init, pair_apply)])
def test_other_kinds_of_ansatz(ansatz):
    assert "direct draws: no" in summary(ansatz, SPACE)


def test_bad_input():
    with pytest.raises(TypeError, match="`space` must be a DiscreteSpace"):
        summary(RBM(), 4)
    with pytest.raises(TypeError, match="`ansatz` must be"):
        summary(3, SPACE)
