# SPDX-License-Identifier: Apache-2.0
"""How processes of one node share its cores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import threadpoolctl

from manybody.parallel import Comm, threads


@dataclass(frozen=True)
class Job(Comm):
    """A job of which only one process is real: the others say that they are at `places` (node, cores)."""

    places: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def exchange(self, value: np.ndarray) -> np.ndarray:
        every = []
        for node, cores in self.places:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(threads.socket, "gethostname", lambda node=node: node)
                patch.setattr(threads, "_cores", lambda cores=cores: set(cores))
                every.append(threads._place())
        assert every[0].shape == value.shape
        return np.stack(every)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The limits that are set, instead of setting them."""
    found: list[int] = []

    def record(limits: int, user_api: str) -> None:
        assert user_api == "blas"
        found.append(limits)

    monkeypatch.setattr(threads.threadpoolctl, "threadpool_limits", record)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return found


FOUR, EIGHT = tuple(range(4)), tuple(range(8))


@pytest.mark.parametrize(
    ("places", "rank", "expected"),
    [
        ((("a", EIGHT), ("a", EIGHT)), 1, 4),  # not bound: all see the same cores
        ((("a", FOUR), ("a", FOUR), ("a", FOUR)), 0, 1),
        ((("a", (0,)), ("a", (0,))), 0, 1),  # more processes than cores
        ((("a", (0, 1)), ("a", (2, 3))), 0, 2),  # bound: each sees its own
        ((("a", (0, 1, 2)), ("a", (2, 3, 4, 4095))), 0, 3),  # overlapping: 6 cores in all
        ((("a", EIGHT), ("b", EIGHT)), 1, 8),  # on different nodes
        ((("a", EIGHT), ("b", EIGHT), ("b", EIGHT)), 0, 8),
        ((("a", EIGHT), ("b", EIGHT), ("b", EIGHT)), 2, 4),
    ],
)
def test_cores_are_shared_within_a_node(limits: list, places: tuple, rank: int, expected: int) -> None:
    threads.share_cores(Job(len(places), rank, len(places), places))
    assert limits == [expected]


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_the_user_may_choose(limits: list, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    threads.share_cores(Job(2, 0, 2, (("a", EIGHT), ("a", EIGHT))))
    assert limits == []
    monkeypatch.setenv(name, "")
    threads.share_cores(Job(2, 0, 2, (("a", EIGHT), ("a", EIGHT))))
    assert limits == [4]


def test_a_single_process_keeps_all(limits: list) -> None:
    threads.share_cores(Comm())
    assert limits == []


def test_count_is_that_of_linear_algebra() -> None:
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        assert threads.count() == 1
    assert threads.cores() >= 1
