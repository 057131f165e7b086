# SPDX-License-Identifier: Apache-2.0
"""Random operators of all kinds, each with the matrix that it should be.

The matrices come from Kronecker products in NumPy, on all choices of levels; what a sector or a constraint allows is
cut out at the end. `DRAW` names the kinds: each draws a space, and a function that draws operators on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from manybody.hilbert import Blockade, Constrained, DiscreteSpace, Doubled, Fermion, Fock, Parity, Product, Qubit, Spin
from manybody.operator import (
    DiscreteOperator,
    FermionOperator,
    Liouvillian,
    LocalOperator,
    PauliStrings,
    boson,
    fermion,
    identity,
    on_part,
    spin,
)
from tests.operator.jordan_wigner import annihilation, pauli, product
from tests.operator.kronecker import dense

Rng = np.random.Generator


@dataclass
class Case:
    """An operator and what it should be.

    Attributes:
        operator: the operator.
        matrix: (D, D) on all choices of levels; only the part between legal configurations counts.
        everywhere: whether the terms are those of `matrix` outside the legal configurations as well.
        plain: whether no terms of different forms cancel, so that what is seen of the matrix is seen of the terms.
    """

    operator: DiscreteOperator
    matrix: np.ndarray
    everywhere: bool = True
    plain: bool = True


Draw = Callable[[Rng], Case]


def keep(space: DiscreteSpace) -> np.ndarray:
    """Numbers, among all choices of levels, of the states of a space in their order."""
    dimensions = space.local_dimensions
    place = np.array([math.prod(dimensions[i + 1 :]) for i in range(len(dimensions))])
    return space.to_levels(space.all_states()) @ place


def one_of(rng: Rng, *options):
    return options[int(rng.integers(len(options)))]


def few(rng: Rng) -> int:
    """1 to 3, seldom 0."""
    return int(rng.choice(4, p=[0.05, 0.25, 0.35, 0.35]))


def numbers(rng: Rng, n: int, real: bool) -> np.ndarray:
    """Weights; often small integers, so that sums cancel."""
    values = rng.normal(size=n) if rng.integers(2) else rng.choice([-2.0, -1, 1, 2, 0], n)
    return values if real else values + 1j * rng.integers(-2, 3, n)


# --- matrices on a few sites ------------------------------------------------------------------------------------------


def random_matrix(rng: Rng, space: DiscreteSpace, sites: tuple[int, ...], real: bool) -> np.ndarray:
    """Dense, with few entries, diagonal or Hermitian; it stays within the sectors."""
    levels = np.array(list(itertools.product(*(range(space.local_dimensions[s]) for s in sites))), int)
    matrix = numbers(rng, len(levels) ** 2, real).reshape(len(levels), -1)
    kind = one_of(rng, "dense", "few", "diagonal", "hermitian")
    if kind == "few":
        matrix = matrix * (rng.random(matrix.shape) < 2 / len(levels))
    if kind == "diagonal":
        matrix = np.diag(np.diag(matrix))
    for sector in space.sectors:
        charge = levels[:, [s in sector.sites for s in sites]].sum(axis=1)
        matrix = np.where(charge[:, None] == charge[None, :], matrix, 0)
    return matrix + matrix.conj().T if kind == "hermitian" else matrix


def in_two_parts(rng: Rng, space: DiscreteSpace) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Two terms on different sites that only together stay in a sector, because they cancel, or are Hermitian."""
    one, other = map(int, rng.permutation(space.size)[:2])
    d, e = (space.local_dimensions[site] for site in (one, other))
    part = (rng.integers(-3, 4, (d, d)) * (rng.random((d, d)) < 0.5)).astype(float)
    return [((one, other), np.kron(part, np.eye(e))), ((one,), -part if space.sectors else part.T)]


def local(rng: Rng, space: DiscreteSpace, real: bool) -> Case:
    terms = []
    for _ in range(few(rng)):
        sites = tuple(map(int, rng.permutation(space.size)[: few(rng)]))
        if math.prod(space.local_dimensions[s] for s in sites) <= 16:
            terms.append((sites, random_matrix(rng, space, sites, real)))
    couplings = None if rng.integers(2) else rng.integers(-2, 3, len(terms)).astype(float)
    plain = couplings is not None or space.size == 1
    if not plain:
        terms = (terms if rng.integers(2) else []) + in_two_parts(rng, space)
    values = np.ones(len(terms)) if couplings is None else couplings
    scaled = [(sites, c * matrix) for c, (sites, matrix) in zip(values, terms, strict=True)]
    return Case(LocalOperator(space, terms, couplings), dense(space.local_dimensions, scaled), plain=plain)


def inside(rng: Rng, most: int) -> int:
    """A sum of levels, seldom the lowest or highest one, which has a single state."""
    return int(rng.integers(most + 1) if most < 2 or rng.integers(8) == 0 else rng.integers(1, most))


def factor(rng: Rng, in_sector: bool) -> DiscreteSpace:
    """A few sites of one kind."""
    d = int(rng.integers(2, 5))
    n = int(rng.integers(2 if in_sector else 1, {2: 4, 3: 3, 4: 3}[d]))
    kind = one_of(rng, "spin", "fock") if in_sector else one_of(rng, "spin", "fock", "qubit")
    if kind == "spin":
        steps = n * (d - 1)
        return Spin(n, (d - 1) / 2, total_sz=steps / 2 - inside(rng, steps) if in_sector else None)
    if kind == "fock":
        n_max = rng.integers(1, d, n).tolist()
        return Fock(n, n_max, n_particles=inside(rng, sum(n_max)) if in_sector else None)
    return Qubit(n)


def mixed_space(rng: Rng, sectors: bool) -> DiscreteSpace:
    """Up to three factors, at most 48 choices of levels."""
    spaces = [factor(rng, sectors)]
    for _ in range(rng.integers(3)):
        other = factor(rng, sectors and bool(rng.integers(2)))
        if math.prod(d for space in (*spaces, other) for d in space.local_dimensions) <= 48:
            spaces.append(other)
    return spaces[0] if len(spaces) == 1 else Product(*spaces)


def draw_local(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    space, real = mixed_space(rng, sectors=False), bool(rng.integers(2))
    return space, lambda rng: local(rng, space, real)


def draw_in_sectors(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    space, real = mixed_space(rng, sectors=True), bool(rng.integers(2))
    return space, lambda rng: local(rng, space, real)


# --- Pauli strings and fermions ---------------------------------------------------------------------------------------


def strings(rng: Rng, space: DiscreteSpace, real: bool) -> Case:
    names = ["".join(rng.choice(list(one_of(rng, "IXYZ", "IZ", "IX")), space.size)) for _ in range(2 * few(rng))]
    if real:
        names = [name.replace("Y", "Z") for name in names]
    weights = numbers(rng, len(names), real)
    couplings = None if rng.integers(2) else rng.normal(size=len(names))
    scaled = weights if couplings is None else weights * couplings
    matrix = sum((w * pauli(name) for w, name in zip(scaled, names, strict=True)), np.zeros((2**space.size,) * 2))
    return Case(PauliStrings(space, names, weights, couplings), matrix)


def projected(draw: Draw, space: DiscreteSpace) -> Draw:
    """Operators on the free space, projected on a sector or a constraint."""

    def onto(rng: Rng) -> Case:
        case, legal = draw(rng), keep(space)
        matrix = np.zeros_like(case.matrix)
        matrix[np.ix_(legal, legal)] = case.matrix[np.ix_(legal, legal)]
        return Case(case.operator.on(space, project=True), matrix, everywhere=False, plain=False)

    return onto


def draw_strings(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    n, real = int(rng.integers(1, 6)), bool(rng.integers(2))
    free = one_of(rng, Qubit(n), Spin(n), Fermion(n), Product(Spin(n), Qubit(1)), Fock(n, n_max=1))
    return free, lambda rng: strings(rng, free, real)


def ladders(rng: Rng, space: Fermion, real: bool) -> Case:
    """Products of creation and annihilation operators in any order, as many of each as the sectors ask for."""
    products = []
    for _ in range(2 * few(rng)):
        if space.sectors:
            sectors = [one_of(rng, *space.sectors) for _ in range(rng.integers(1, 3))]
            pairs = [((int(rng.choice(s.sites)), True), (int(rng.choice(s.sites)), False)) for s in sectors]
            factors = [x for pair in pairs for x in pair]
            products.append([factors[i] for i in rng.permutation(len(factors))])
        else:
            products.append([(int(rng.integers(space.size)), bool(rng.integers(2))) for _ in range(rng.integers(0, 6))])
    weights = numbers(rng, len(products), real)
    if rng.integers(3) == 0:  # Hermitian
        products = products + [[(mode, not creates) for mode, creates in p[::-1]] for p in products]
        weights = np.concatenate([weights, weights.conj()])
    couplings = None if rng.integers(2) else rng.normal(size=len(products))
    scaled = weights if couplings is None else weights * couplings
    dense_products = [w * product(p, space.size) for w, p in zip(scaled, products, strict=True)]
    matrix = sum(dense_products, np.zeros((2**space.size,) * 2))
    return Case(FermionOperator(space, products, weights, couplings), matrix)


def fermion_space(rng: Rng) -> Fermion:
    """One to three components, six modes at most."""
    n_components = int(rng.integers(1, 4))
    n = int(rng.integers(2, {1: 6, 2: 4, 3: 3}[n_components]))
    kind = one_of(rng, "free", "total", "each")
    if kind == "total":
        return Fermion(n, n_fermions=inside(rng, n * n_components), n_components=n_components)
    each = tuple(inside(rng, n) for _ in range(n_components)) if kind == "each" else None
    return Fermion(n, n_per_component=each, n_components=n_components)


def draw_fermions(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    space, real = fermion_space(rng), bool(rng.integers(2))
    return space, lambda rng: ladders(rng, space, real)


# --- single sites -----------------------------------------------------------------------------------------------------


def angular_momentum(dimension: int) -> dict[str, np.ndarray]:
    """S^+ |m> = sqrt(s (s + 1) - m (m + 1)) |m + 1>, levels from m = s downwards."""
    s = (dimension - 1) / 2
    up = np.zeros((dimension, dimension))
    for level in range(1, dimension):
        m = s - level
        up[level - 1, level] = math.sqrt(s * (s + 1) - m * (m + 1))
    down = up.T.copy()
    diagonal = np.diag([s - level for level in range(dimension)])
    return {"sp": up, "sm": down, "sx": (up + down) / 2, "sy": (up - down) / 2j, "sz": diagonal}


def single(rng: Rng, space: DiscreteSpace) -> Case:
    """One operator on one site."""
    dimensions = space.local_dimensions
    if isinstance(space, Fermion):
        name, orbital = one_of(rng, "create", "destroy", "number"), int(rng.integers(space.n_orbitals))
        component = int(rng.integers(space.n_components))
        lower = annihilation(component * space.n_orbitals + orbital, space.size)
        matrix = {"create": lower.T, "destroy": lower, "number": lower.T @ lower}[name]
        return Case(getattr(fermion, name)(space, orbital, component), matrix)
    site = int(rng.integers(space.size))
    if isinstance(space, Fock):
        lower = np.zeros((dimensions[site],) * 2)
        for n in range(1, dimensions[site]):
            lower[n - 1, n] = math.sqrt(n)
        small = {"create": lower.T, "destroy": lower, "number": np.diag(np.arange(dimensions[site]))}
        name = one_of(rng, *small)
        return Case(getattr(boson, name)(space, site), dense(dimensions, [((site,), small[name])]))
    small = angular_momentum(dimensions[site])
    if dimensions[site] == 2:
        small |= {"sigmax": 2 * small["sx"], "sigmay": 2 * small["sy"], "sigmaz": 2 * small["sz"]}
    name = one_of(rng, *small)
    return Case(getattr(spin, name)(space, site), dense(dimensions, [((site,), small[name])]))


def draw_single(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    d, n = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    n = min(n, 2) if d == 4 else n
    space = one_of(
        rng, Spin(n, (d - 1) / 2), Fock(n, rng.integers(1, d, n).tolist()), Fermion(n), Fermion(2, None, None, 2)
    )

    def products(rng: Rng) -> Case:
        total = Case(0.0 * identity(space), np.zeros((math.prod(space.local_dimensions),) * 2))
        for weight in numbers(rng, int(rng.integers(1, 4)), real=False):
            factors = [single(rng, space) for _ in range(rng.integers(1, 4))]
            operator = reduce(lambda a, b: a @ b, [f.operator for f in factors])
            matrix = reduce(np.matmul, [f.matrix for f in factors])
            total = Case(total.operator + complex(weight) * operator, total.matrix + weight * matrix)
        return total

    return space, products


# --- open systems, parts, constraints ---------------------------------------------------------------------------------


def draw_liouvillian(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    space = one_of(
        rng,
        Qubit(1),
        Spin(2),
        Spin(3, total_sz=0.5),
        Spin(1, s=1.5),
        Spin(2, s=1, total_sz=0),
        Fock(1, n_max=3),
        Fock(2, n_max=(1, 2), n_particles=1),
        Fermion(2),
        Fermion(1, n_per_component=(1, 0, 1), n_components=3),
    )
    make = ladders if isinstance(space, Fermion) else local

    def generator(rng: Rng) -> Case:
        half = make(rng, space, False)
        h, hamiltonian = half.matrix + half.matrix.conj().T, half.operator + half.operator.adjoint()
        one = np.eye(len(h))
        total = -1j * (np.kron(h, one) - np.kron(one, h.T))
        jumps = [make(rng, space, False) for _ in range(rng.integers(0, 3))]
        for k in (jump.matrix for jump in jumps):
            loss = k.conj().T @ k
            total = total + np.kron(k, k.conj()) - (np.kron(loss, one) + np.kron(one, loss.T)) / 2
        return Case(Liouvillian(hamiltonian, [jump.operator for jump in jumps]), total, plain=False)

    return Doubled(space), generator


def draw_parts(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    fermions = one_of(rng, Fermion(3), Fermion(3, n_fermions=2), Fermion(1, n_components=3))
    while True:
        others = [factor(rng, bool(rng.integers(2))) for _ in range(rng.integers(1, 3))]
        dimensions = [d for space in others for d in space.local_dimensions]
        if math.prod(dimensions) <= 8 and (max(dimensions) > 2 or rng.integers(4) == 0):
            break
    spaces = [*others[1:], fermions, *others[:1]]
    space, real = Product(*spaces), bool(rng.integers(2))

    def placed(rng: Rng) -> Case:
        part = int(rng.integers(len(spaces)))
        case = (ladders if isinstance(spaces[part], Fermion) else local)(rng, spaces[part], real)
        factors = [np.eye(math.prod(s.local_dimensions)) for s in spaces]
        factors[part] = case.matrix
        return Case(on_part(case.operator, space, part), reduce(np.kron, factors), plain=case.plain)

    return space, placed


def sector(rng: Rng, space: DiscreteSpace) -> DiscreteSpace | None:
    """A sector on the same sites, for spaces that can have one."""
    if isinstance(space, Spin):
        steps = sum(space.local_dimensions) - space.size
        return Spin(space.n_sites, space.s, total_sz=steps / 2 - inside(rng, steps))
    if isinstance(space, Fock):
        return Fock(space.n_sites, space.n_max, inside(rng, sum(space.local_dimensions) - space.size))
    if isinstance(space, Fermion):
        each = tuple(inside(rng, space.n_orbitals) for _ in range(space.n_components))
        return Fermion(space.n_orbitals, n_per_component=each, n_components=space.n_components)
    return None


def draw_projected(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    free = one_of(
        rng, Spin(int(rng.integers(2, 6))), Spin(3, s=1), Fock(3, n_max=(1, 2, 3)), Fermion(2, n_components=2)
    )
    space, real = sector(rng, free), bool(rng.integers(2))
    two_level = set(free.local_dimensions) == {2}
    make = ladders if isinstance(free, Fermion) else strings if two_level and rng.integers(2) else local
    return space, projected(lambda rng: make(rng, free, real), space)


def draw_constrained(rng: Rng) -> tuple[DiscreteSpace, Draw]:
    free = one_of(rng, Qubit(4), Spin(3), Spin(4, total_sz=0), Spin(2, s=1), Fock(3, n_max=(1, 2, 2)), Fermion(4))
    pairs = [(i, i + 1) for i in range(free.size - 1)]
    parity = Parity(free, [tuple(range(free.size)), (0,)], (0, int(rng.integers(2))))
    space = Constrained(free, one_of(rng, Blockade(pairs[:1]), Blockade(pairs), parity))
    make, real = ladders if isinstance(free, Fermion) else local, bool(rng.integers(2))
    return space, projected(lambda rng: make(rng, free, real), space)


DRAW = {
    "local": draw_local,
    "sectors": draw_in_sectors,
    "strings": draw_strings,
    "fermions": draw_fermions,
    "single": draw_single,
    "liouvillian": draw_liouvillian,
    "parts": draw_parts,
    "projected": draw_projected,
    "constrained": draw_constrained,
}
