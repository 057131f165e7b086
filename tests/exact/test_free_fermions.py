# SPDX-License-Identifier: Apache-2.0

import pytest

import manybody as mb


@pytest.mark.parametrize(("n_sites", "J", "h"), [(4, 1.0, 1.0), (8, 1.0, 0.5), (8, -0.7, 1.3), (10, 1.0, -2.0)])
def test_ising_chain_against_diagonalisation(n_sites: int, J: float, h: float) -> None:
    space, lattice = mb.hilbert.Spin(n_sites), mb.lattice.chain(n_sites)
    exact = mb.exact.ground_state(mb.hamiltonian.ising(space, lattice, J=J, h=h)).energies[0]
    assert mb.exact.ising_chain_energy(n_sites, J, h) == pytest.approx(exact)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="`n_sites` must be even"):
        mb.exact.ising_chain_energy(5)
