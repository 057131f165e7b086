# SPDX-License-Identifier: Apache-2.0
"""Molecules: the formula against Jordan-Wigner matrices, FCIDUMP files good and bad, and energies of PySCF's FCI."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import Integrals, hubbard, molecule
from manybody.hamiltonian.fcidump import read_fcidump
from manybody.hilbert import Fermion, Spin
from tests.operator.jordan_wigner import annihilation

C = functools.cache(annihilation)
H2 = """ &FCI NORB=   2,NELEC= 2,MS2=0,
  ORBSYM=1,1,
  ISYM=1,
 &END
 0.675710154804    1    1    1    1
 0.664581730255    1    1    2    2
 0.180931199784    2    1    2    1
 0.664581730255    2    2    1    1
 0.698573722732    2    2    2    2
 -1.256339073003    1    1  0  0
 -0.471896007281    2    2  0  0
 0.719968994449  0  0  0  0
"""
"""H2 in STO-3G at 0.735 Angstrom, written by PySCF 2.14."""
H2_ENERGY = -1.1373060358


def random_integrals(n: int, seed: int = 0) -> Integrals:
    """With the symmetries of real orbitals, and no others."""
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(n, n)), rng.normal(size=(n,) * 4)
    two = two + two.transpose(1, 0, 2, 3)
    two = two + two.transpose(0, 1, 3, 2)
    return Integrals(one + one.T, two + two.transpose(2, 3, 0, 1), constant=0.3)


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "FCIDUMP"
        path.write_text(text, encoding="utf-8")
        return path

    return written


# --- the formula ------------------------------------------------------------------------------------------------------


def test_formula() -> None:
    """H = constant + sum h_pq c_p^dag c_q + 1/2 sum (pq|rs) c_p^dag c_r^dag c_s c_q, spin by spin."""
    n = 3
    integrals = random_integrals(n)
    one, two = integrals.one.array, integrals.two.array
    expected = 0.3 * np.eye(4**n)
    for p, q in itertools.product(range(n), repeat=2):
        for s in (0, n):
            expected += one[p, q] * C(p + s, 2 * n).T @ C(q + s, 2 * n)
    for p, q, r, u in itertools.product(range(n), repeat=4):
        for s, t in itertools.product((0, n), repeat=2):
            pair = C(p + s, 2 * n).T @ C(r + t, 2 * n).T @ C(u + t, 2 * n) @ C(q + s, 2 * n)
            expected += two[p, q, r, u] / 2 * pair
    operator = molecule(integrals, Fermion(n, n_components=2))
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-12)
    assert operator.is_hermitian
    assert operator.is_real


def test_the_hubbard_model_is_a_molecule() -> None:
    lattice = mb.lattice.square(2, 3)
    one, two = np.zeros((6, 6)), np.zeros((6,) * 4)
    one[tuple(lattice.bonds().T)] = -1.0
    two[(range(6),) * 4] = 4.0
    operator = molecule(Integrals(one + one.T, two, n_electrons=5, two_sz=1))
    assert operator.space == Fermion(6, n_per_component=(3, 2), n_components=2)
    expected = hubbard(operator.space, lattice, U=4.0)
    difference = operator.to_sparse() - expected.to_sparse()
    assert abs(difference).max() < 1e-13


def test_orbitals_may_be_rotated() -> None:
    """The spectrum does not depend on the basis of the orbitals."""
    integrals = random_integrals(3)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    one = rotation.T @ integrals.one.array @ rotation
    two = np.einsum("pqrs,pa,qb,rc,sd->abcd", integrals.two.array, *[rotation] * 4)
    space = Fermion(3, n_per_component=(2, 1), n_components=2)
    spectra = [mb.exact.spectrum(molecule(x, space)).energies for x in (integrals, Integrals(one, two, 0.3))]
    np.testing.assert_allclose(*spectra, atol=1e-11)


def test_a_doublet_needs_no_sign_of_its_spin() -> None:
    """Sectors of 2 S_z and -2 S_z have the same energies, and every triplet is in that of S_z = 0."""
    integrals = random_integrals(3)

    def energies(up: int, down: int) -> np.ndarray:
        return mb.exact.spectrum(molecule(integrals, Fermion(3, n_per_component=(up, down), n_components=2))).energies

    np.testing.assert_allclose(energies(2, 1), energies(1, 2), atol=1e-11)
    zero = energies(1, 1)
    assert all(np.abs(zero - energy).min() < 1e-11 for energy in energies(2, 0))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Integrals(np.ones((2, 3)), np.ones((2,) * 4)),
            ValueError,
            r"`one` must have shape \(orbitals, orbita",
        ),
        (lambda: Integrals(np.ones((2, 2)), np.ones((2,) * 3)), ValueError, r"`two` must have shape \(2, 2, 2, 2\)"),
        (lambda: Integrals([[0, 1], [2, 0]], np.ones((2,) * 4)), ValueError, "`one` must be equal with its orbitals"),
        (lambda: Integrals(np.eye(2), np.arange(16.0).reshape((2,) * 4)), ValueError, "`two` must be equal with its"),
        (lambda: Integrals(np.eye(2) * 1j, np.ones((2,) * 4)), TypeError, "`one` must be an array of real numbers"),
        (lambda: Integrals(np.eye(2), np.full((2,) * 4, np.nan)), ValueError, "`two` must be finite"),
        (lambda: molecule(random_integrals(2)), ValueError, "`space` must be given, got no number of electrons"),
        (lambda: molecule(random_integrals(2), Fermion(2)), ValueError, "have n_components = 2"),
        (lambda: molecule(random_integrals(2), Fermion(3, n_components=2)), ValueError, "have n_orbitals = 2"),
        (lambda: molecule(random_integrals(2), Spin(4)), TypeError, "be a space of fermions"),
        (lambda: molecule(3), TypeError, "`source` must be a restricted calculation"),
        (lambda: molecule(electrons(3, 0)), ValueError, "`two_sz` must be even or odd like the number of electrons"),
        (lambda: molecule(electrons(3, 3)), ValueError, "`two_sz` must lie between -1 and 1, for 3 electrons in 2 orb"),
        (lambda: molecule(electrons(5, 1)), ValueError, "`two_sz` must lie between"),
    ],
)
def test_what_does_not_fit(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def electrons(n_electrons: int, two_sz: int) -> Integrals:
    return Integrals(np.eye(2), np.zeros((2,) * 4), 0.0, n_electrons, two_sz)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_of_hydrogen(write) -> None:
    integrals = read_fcidump(write(H2))
    assert (integrals.n_orbitals, integrals.n_electrons, integrals.two_sz) == (2, 2, 0)
    assert integrals.constant == 0.719968994449
    assert integrals.one.array.tolist() == [[-1.256339073003, 0], [0, -0.471896007281]]
    operator = molecule(write(H2))
    assert operator.space == Fermion(2, n_per_component=(1, 1), n_components=2)
    for source in (write(H2), str(write(H2)), integrals):
        assert mb.exact.ground_state(molecule(source)).energies[0] == pytest.approx(H2_ENERGY, abs=1e-8)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" &END", " /"),
        (" &FCI", "&fci"),
        (" &FCI", " $FCI"),
        ("&END", "$END"),
        ("NORB=   2,NELEC= 2,MS2=0,\n  ORBSYM=1,1,\n  ISYM=1,\n &END", "NORB=2 NELEC=2 MS2=0 ORBSYM=1 1 ISYM=1 /"),
        ("ISYM=1,", "ISYM=1, IUHF=0, UHF=.FALSE.,"),
        ("ISYM=1,", "ISYM=1"),
        ("0.675710154804 ", "0.675710154804D+00 "),
        ("0.675710154804 ", "6.75710154804d-1 "),
        ("-1.256339073003", " -0.57797 1 0 0 0\n -1.256339073003"),  # energy of an orbital
        (" 0.664581730255    2    2    1    1\n", "\n"),  # once is enough
        (" 0.180931199784    2    1    2    1", " 0.180931199784    1    2    2    1"),
    ],
)
def test_ways_to_write_the_same(write, old: str, new: str) -> None:
    assert old in H2
    assert read_fcidump(write(H2.replace(old, new, 1))) == read_fcidump(write(H2))


def test_each_integral_stands_for_its_symmetric_partners(write) -> None:
    """The lines of random integrals, one for each class of eight and in any order of orbitals."""
    rng, full, written = np.random.default_rng(2), random_integrals(4), set()
    one, two = full.one.array, full.two.array
    lines = ["&FCI NORB=4, NELEC=4, MS2=2 &END"]
    for p, q, r, s in rng.permutation(list(itertools.product(range(4), repeat=4))).tolist():
        pairs = frozenset([(frozenset([p, q]), 0), (frozenset([r, s]), frozenset([p, q]) == frozenset([r, s]))])
        if pairs not in written:
            written.add(pairs)
            lines.append(
                f"{two[p, q, r, s]!r} {p + 1} {q + 1} {r + 1} {s + 1}".replace("np.float64(", "").replace(")", "")
            )
    lines += [f"{float(one[p, q])!r} {q + 1} {p + 1} 0 0" for p in range(4) for q in range(p + 1)]
    integrals = read_fcidump(write("\n".join([*lines, "0.3 0 0 0 0"])))
    assert len(lines) == 1 + 55 + 10
    np.testing.assert_array_equal(integrals.one.array, one)
    np.testing.assert_allclose(integrals.two.array, two, rtol=0, atol=0)
    assert (integrals.n_electrons, integrals.two_sz, integrals.constant) == (4, 2, 0.3)


BAD = {
    "empty": ("", "", "", r"`header` must begin with &FCI \(.*FCIDUMP, line 1\), got an empty file"),
    "no header": (H2, "&FCI", "", "`header` must begin with &FCI .*line 1"),
    "no end": (H2, "&END", "", "`header` must end with &END or / .*line 12"),
    "no orbitals": (H2, "NORB=   2,", "", r"`NORB` must be a whole number \(.*line 1\), got nothing"),
    "half an orbital": (H2, "NORB=   2", "NORB=2.5", "`NORB` must be a whole number .*line 1.*, got 2.5"),
    "none at all": (H2, "NORB=   2", "NORB=0", "`NORB` must satisfy NORB >= 1 .*line 1.*, got 0"),
    "electrons": (H2, "NELEC= 2", "NELEC=two", "`NELEC` must be a whole number .*line 1.*, got two"),
    "spin on another line": (H2, "MS2=0,\n", "\n MS2=0.5,\n", "`MS2` must be a whole number .*line 2.*, got 0.5"),
    "unrestricted": (H2, "ISYM=1", "IUHF=1", "`IUHF` must be 0 .*line 3.* Orbitals that differ"),
    "unrestricted, other word": (H2, "ISYM=1", "UHF=.TRUE.", "`UHF` must be 0 .*line 3"),
    "no number": (H2, "0.664581730255    1", "0.66x581730255    1", r"number and four orbitals \(.*line 6\)"),
    "not finite": (H2, "0.664581730255    1", "nan    1", r"number and four orbitals \(.*line 6\)"),
    "complex": (H2, "0.664581730255    1", "(0.66,0.0)    1", "line 6"),
    "half an index": (H2, "1    1    2    2", "1    1.5    2    2", "line 6"),
    "three orbitals": (H2, "1    1    2    2", "1    1    2    0", r"name 0, 1, 2 or 4 orbitals, .*line 6\)"),
    "a gap": (H2, "1    1  0  0", "1    0  1  0", r"name 0, 1, 2 or 4 orbitals, zeros last \(.*line 10\)"),
    "too large": (H2, "1    1    2    2", "1    1    3    2", r"`orbital` must be between 0 and NORB = 2 \(.*line 6\)"),
    "negative": (H2, "1    1    2    2", "1    1    -1    2", "`orbital` must be between 0 .*line 6"),
    "a line too short": (H2, "2    1    2    1", "2    1    2", "line 7"),
    "a line too long": (H2, "2    1    2    1", "2    1    2    1    1", "line 7"),
    "cut within a line": (H2[:-35], "", "", "line 11"),
    "cut between lines": (
        H2[:-28],
        "",
        "",
        "`constant` must be given .* got 11 lines without one. Is the file cut off",
    ),
    "twice, differently": (
        H2,
        "0.664581730255    2",
        "0.6646    2",
        r"`integral` must have one value \(.*line 8\).* after",
    ),
    "twice, in another order": (
        H2,
        "    2    1    2    1\n",
        "    2    1    2    1\n 0.2 1 2 2 1\n",
        r"one value \(.*line 8\)",
    ),
    "two constants": (H2, " 0.71", " 0.5 0 0 0 0\n 0.71", r"one value \(.*line 13\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_the_line(write, name: str) -> None:
    text, old, new, message = BAD[name]
    path = write(text.replace(old, new, 1) if old else text)
    with pytest.raises(ValueError, match=message):
        molecule(path)


def test_the_last_digit_may_differ_where_an_integral_is_given_twice(write) -> None:
    assert read_fcidump(write(H2.replace("0.664581730255    2", "0.664581730256    2"))).n_orbitals == 2


def test_a_missing_file_is_said_to_be_missing() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        molecule("nowhere.fcidump")


# --- PySCF ------------------------------------------------------------------------------------------------------------

MOLECULES = {
    "H2": "H 0 0 0; H 0 0 0.735",
    "LiH": "Li 0 0 0; H 0 0 1.6",
    "H2O": "O 0 0 0; H -0.757 0.586 0; H 0.757 0.586 0",
}


def restricted(atoms: str, **options):
    """A converged calculation in STO-3G."""
    scf, gto = pytest.importorskip("pyscf.scf"), pytest.importorskip("pyscf.gto")
    molecule = gto.M(atom=atoms, basis="sto-3g", verbose=0, **options)
    return (scf.ROHF if molecule.spin else scf.RHF)(molecule).run(conv_tol=1e-12)


def fci(mean_field) -> float:
    solver = pytest.importorskip("pyscf.fci").FCI(mean_field)
    solver.conv_tol = 1e-12
    return solver.kernel()[0]


@pytest.mark.parametrize("name", MOLECULES)
@pytest.mark.parametrize("symmetry", [False, True])
def test_energies_of_pyscf(tmp_path: Path, name: str, symmetry: bool) -> None:
    """To 1e-8 Hartree, from the calculation and through a file, whose header names irreducible representations."""
    fcidump = pytest.importorskip("pyscf.tools.fcidump")
    mean_field = restricted(MOLECULES[name], symmetry=symmetry)
    expected, path = fci(mean_field), tmp_path / "FCIDUMP"
    fcidump.from_mo(mean_field.mol, str(path), mean_field.mo_coeff)
    assert ("ORBSYM=1,1," in path.read_text()) != symmetry
    for source in (mean_field, path):
        operator = molecule(source)
        assert mb.exact.ground_state(operator).energies[0] == pytest.approx(expected, rel=0, abs=1e-8)
    from_file, direct = read_fcidump(path), molecule(mean_field)
    assert from_file.n_electrons == mean_field.mol.nelectron
    assert abs(molecule(from_file).to_sparse() - direct.to_sparse()).max() < 1e-10


def test_files_of_pyscf_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Random integrals, with a number of electrons and a spin."""
    fcidump, full = pytest.importorskip("pyscf.tools.fcidump"), random_integrals(5)
    path = str(tmp_path / "FCIDUMP")
    fcidump.from_integrals(path, full.one.array, full.two.array, 5, 5, nuc=-1.5, ms=3, float_format=" %.17g")
    integrals = read_fcidump(path)
    np.testing.assert_array_equal(integrals.one.array, full.one.array)
    np.testing.assert_allclose(integrals.two.array, full.two.array, rtol=1e-15)
    assert (integrals.n_electrons, integrals.two_sz, integrals.constant) == (5, 3, -1.5)
    assert molecule(path).space == Fermion(5, n_per_component=(4, 1), n_components=2)


def test_open_shells() -> None:
    """The triplet of a stretched ring of four hydrogens, and a radical, by ROHF."""
    for atoms, options in (("H 0 0 0; H 0 0 1.2; H 0 1.3 0; H 0 1.3 1.2", {"spin": 2}), ("Li 0 0 0", {"spin": 1})):
        mean_field = restricted(atoms, **options)
        operator = molecule(mean_field)
        up, down = operator.space.n_per_component
        assert (up - down, up + down) == (options["spin"], mean_field.mol.nelectron)
        assert mb.exact.ground_state(operator).energies[0] == pytest.approx(fci(mean_field), rel=0, abs=1e-8)


def test_an_active_space_freezes_the_core(tmp_path: Path) -> None:
    """Water without the 1s electrons of oxygen, and as a file of PySCF."""
    mcscf, fcidump = pytest.importorskip("pyscf.mcscf"), pytest.importorskip("pyscf.tools.fcidump")
    active = mcscf.CASCI(restricted(MOLECULES["H2O"]), 6, 8)
    active.fcisolver.conv_tol = 1e-12
    expected = active.kernel()[0]
    path = str(tmp_path / "FCIDUMP")
    fcidump.from_mcscf(active, path)
    for source in (active, path):
        operator = molecule(source)
        assert operator.space == Fermion(6, n_per_component=(4, 4), n_components=2)
        assert mb.exact.ground_state(operator).energies[0] == pytest.approx(expected, rel=0, abs=1e-8)


def test_unrestricted_calculations_are_refused() -> None:
    scf, gto = pytest.importorskip("pyscf.scf"), pytest.importorskip("pyscf.gto")
    hydrogen = gto.M(atom=MOLECULES["H2"], basis="sto-3g", verbose=0)
    for calculation in (scf.UHF(hydrogen).run(), scf.GHF(hydrogen).run(), scf.RHF(hydrogen), hydrogen):
        with pytest.raises(TypeError, match=r"`source` must be a restricted calculation .* that has run, got"):
            molecule(calculation)
