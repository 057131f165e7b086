# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from manybody.program.tables import Call, Registry, from_table, plain


@dataclass(frozen=True)
class Box:
    """A class of a registry."""

    n_sites: int
    width: int
    tall: bool = False
    shape: Callable[[float], float] = abs
    init: Callable[[float], float] = abs


def couple(space: object, *, J: Any | Sequence[Any] = 1.0, name: str = "") -> tuple:
    return space, J, name


REGISTRY = Registry({"Box": Box, "couple": couple}, {"shape": {"round": round, "abs": abs}})


@dataclass(frozen=True)
class Inner:
    x: float
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("`x` must satisfy x >= 0.")


@dataclass(frozen=True)
class Outer:
    number: int
    flag: bool = False
    maybe: float | None = None
    way: Literal["up", "down"] = "up"
    either: float | Inner = 0.0
    sizes: int | tuple[int, ...] = 1
    inner: Inner | None = None
    call: Call = field(default=Call("couple", {}), metadata={"registry": REGISTRY})
    named: Mapping[str, Call] = field(default_factory=dict, metadata={"registry": REGISTRY})
    several: Sequence[Call] = field(default=(), metadata={"registry": REGISTRY})


def test_values_arrive() -> None:
    table = {
        "number": 3,
        "flag": True,
        "maybe": 2,
        "way": "down",
        "either": {"x": 1},
        "sizes": [4, 5],
        "inner": {"x": 0.5, "names": ["a", "b"]},
        "call": {"kind": "Box", "width": 2, "shape": "round"},
        "named": {"any name": {"kind": "couple", "J": 2.0}},
        "several": [{"kind": "Box", "width": 1}, {"kind": "couple"}],
    }
    outer = from_table(Outer, table)
    call = Call("Box", {"width": 2, "shape": "round"})
    more = {"any name": Call("couple", {"J": 2.0})}, (Call("Box", {"width": 1}), Call("couple", {}))
    assert outer == Outer(3, True, 2.0, "down", Inner(1.0), (4, 5), Inner(0.5, ("a", "b")), call, *more)
    assert isinstance(outer.maybe, float)
    assert plain(outer) == {**table, "either": {"x": 1.0, "names": []}}
    assert from_table(Outer, plain(outer)) == outer
    assert from_table(Outer, {"number": 1, "sizes": 7, "either": 2}) == Outer(1, sizes=7, either=2.0)


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        ({}, ValueError, ["`number`", "be given"]),
        ({"number": 1, "flg": True}, ValueError, ["'flg'", "Did you mean 'flag'"]),
        ({"number": 1.0}, TypeError, ["`number`", "an integer", "1.0"]),
        ({"number": True}, TypeError, ["`number`", "an integer", "true"]),
        ({"number": 1, "flag": 1}, TypeError, ["`flag`", "true or false", "1"]),
        ({"number": 1, "maybe": "2"}, TypeError, ["`maybe`", "a number", "'2'"]),
        ({"number": 1, "maybe": float("nan")}, ValueError, ["`maybe`", "finite"]),
        ({"number": 1, "way": "UP"}, ValueError, ["`way`", "'UP'", "Did you mean 'up'"]),
        ({"number": 1, "way": 1}, TypeError, ["`way`", "str"]),
        ({"number": 1, "either": "x"}, TypeError, ["`either`", "a number or a table", "'x'"]),
        ({"number": 1, "either": {"y": 1}}, ValueError, ["`either`", "'y'"]),
        ({"number": 1, "sizes": 1.5}, TypeError, ["`sizes`", "an integer or a list", "1.5"]),
        ({"number": 1, "sizes": [1, "a"]}, TypeError, ["`sizes[1]`", "an integer", "'a'"]),
        ({"number": 1, "inner": 3}, TypeError, ["`inner`", "table"]),
        ({"number": 1, "inner": {}}, ValueError, ["`inner.x`", "be given"]),
        ({"number": 1, "inner": {"x": -1}}, ValueError, ["[inner]", "`x` must satisfy x >= 0"]),
        ({"number": 1, "inner": {"x": 1, "names": "a"}}, TypeError, ["`inner.names`", "a list"]),
        ({"number": 1, "call": {}}, ValueError, ["`call.kind`", "be given"]),
        ({"number": 1, "call": {"kind": 1}}, TypeError, ["`call.kind`"]),
        ({"number": 1, "call": {"kind": "box"}}, ValueError, ["`call.kind`", "'box'", "Did you mean 'Box'"]),
        ({"number": 1, "call": {"kind": "Box"}}, ValueError, ["`call.width`", "be given"]),
        ({"number": 1, "call": {"kind": "Box", "widt": 1}}, ValueError, ["`call`", "'widt'", "Did you mean 'width'"]),
        ({"number": 1, "call": {"kind": "Box", "width": 1, "n_sites": 2}}, ValueError, ["'n_sites'"]),
        ({"number": 1, "call": {"kind": "Box", "width": 1, "init": "abs"}}, ValueError, ["'init'"]),
        ({"number": 1, "call": {"kind": "Box", "width": 1, "shape": "squar"}}, ValueError, ["`call.shape`", "'squar'"]),
        ({"number": 1, "call": {"kind": "Box", "width": 1, "shape": 2}}, TypeError, ["`call.shape`"]),
        ({"number": 1, "call": {"kind": "couple", "J": "1"}}, TypeError, ["`call.J`", "a number or a list", "'1'"]),
        ({"number": 1, "call": {"kind": "couple", "name": "x"}}, ValueError, ["'name'"]),
        ({"number": 1, "named": [1]}, TypeError, ["`named`", "table"]),
        ({"number": 1, "named": {"a": {"kind": "Bax"}}}, ValueError, ["`named.a.kind`", "Did you mean 'Box'"]),
        ({"number": 1, "several": {"kind": "Box"}}, TypeError, ["`several`", "a list"]),
        ({"number": 1, "several": [{"kind": "Box"}]}, ValueError, ["`several[0].width`", "be given"]),
    ],
    ids=str,
)
def test_refusals(table: dict, error: type, words: list[str]) -> None:
    with pytest.raises(error) as caught:
        from_table(Outer, table)
    assert [word for word in words if word not in str(caught.value)] == []


def test_registry_passes_all_arguments() -> None:
    assert REGISTRY.make(Call("Box", {"width": 2, "tall": True, "shape": "round"}), 5) == Box(5, 2, True, round)
    assert REGISTRY.make(Call("couple", {"J": (1.0, 2.0)}), "space") == ("space", (1.0, 2.0), "")
    assert list(REGISTRY.options("Box")) == ["width", "tall", "shape"]
    assert REGISTRY.required("Box") == ["width"]


def test_call_reads_like_python() -> None:
    assert str(Call("Box", {"width": 2, "shape": "round"})) == "Box(width=2, shape='round')"
