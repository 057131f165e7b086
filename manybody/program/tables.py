# SPDX-License-Identifier: Apache-2.0
"""From tables of plain values, as TOML has them, to frozen dataclasses; strict, and nothing is evaluated.

The annotations of a dataclass say what its table may hold. A field of type `Call` with a `Registry` is a table that
names a function or class in one key and gives its arguments in the others:

    [lattice]
    kind = "square"
    lx = 6

What these arguments are called, and of which type they are, is read off the signature.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manybody import _checks

NOT_OPTIONS = frozenset({"space", "lattice", "graph", "n_sites", "n_orbitals", "parent", "name"})
"""Parameters that a program supplies itself (the last two: those of every Flax module)."""
WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file, the key and what would be right."""


@dataclass(frozen=True)
class Call:
    """A function or class by name, with keyword arguments."""

    kind: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        """As Python would write it."""
        return f"{self.kind}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True)
class Registry:
    """Functions and classes that a table may name.

    Attributes:
        functions: by name; classes are dataclasses.
        values: for arguments that TOML cannot write (functions, types): the values by name.
    """

    functions: Mapping[str, Callable]
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def options(self, kind: str) -> dict[str, Any]:
        """Arguments of a function that can be given, and their types."""
        function = self.functions[kind]
        hints = typing.get_type_hints(function)
        names = [name for name in inspect.signature(function).parameters if name not in NOT_OPTIONS]
        return {name: hints[name] for name in names if name in self.values or not _is_function(hints[name])}

    def required(self, kind: str) -> list[str]:
        """Arguments without a default that must be given."""
        parameters = inspect.signature(self.functions[kind]).parameters.values()
        return [p.name for p in parameters if p.default is p.empty and p.name not in NOT_OPTIONS]

    def make(self, call: Call, *supplied: Any) -> Any:
        """Call the function, with what the program supplies before the arguments of the table."""
        named = {name: self.values.get(name, {}).get(value, value) for name, value in call.arguments.items()}
        return self.functions[call.kind](*supplied, **named)


def from_table(cls: type, table: Mapping[str, Any], where: str = "") -> Any:
    """An instance of the dataclass `cls` from a table.

    Args:
        cls: a dataclass. Fields may be bool, int, float, str, None (for what is left out), Literal, tuples and
            sequences of these, unions, other dataclasses, and `Call` (with a `Registry` in the metadata of the field).
            `Any` is a number: that is what couplings are. A mapping from str is a table whose keys the file chooses.
        table: what the file says.
        where: dotted name of the table.

    Raises:
        ValueError: for an unknown key, one that is missing, or a value that is out of range; names the nearest key.
        TypeError: for a value of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    _check_keys(table, fields, where)
    values = {
        key: _convert(value, hints[key], _join(where, key), fields[key].metadata.get("registry"))
        for key, value in table.items()
    }
    needed = [f.name for f in fields.values() if f.default is f.default_factory is dataclasses.MISSING]
    _check_complete(values, needed, where)
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise type(error)(f"[{where}] {error}" if where else str(error)) from error


def plain(value: Any) -> Any:
    """The inverse of `from_table`, without what is None: dataclasses as tables of plain values."""
    if isinstance(value, Call):
        return {"kind": value.kind, **{key: plain(item) for key, item in value.arguments.items()}}
    if dataclasses.is_dataclass(value):
        items = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {key: plain(item) for key, item in items.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _convert(value: Any, hint: Any, key: str, registry: Registry | None) -> Any:
    """`value` as the type that `hint` says."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _convert_union(value, typing.get_args(hint), key, registry)
    if typing.get_origin(hint) is typing.Literal:
        _checks.require_type(value, str, key)
        return _checks.choice(value, typing.get_args(hint), key)
    if _is_table(hint):
        _checks.require_type(value, dict, key, "It is a table.")
        return _call(value, key, registry) if hint is Call else from_table(hint, value, key)
    if typing.get_origin(hint) in (tuple, collections.abc.Sequence):
        if not isinstance(value, list):
            raise TypeError(_checks.requirement(key, "be a list", _shown(value)))
        item = typing.get_args(hint)[0]
        return tuple(_convert(x, item, f"{key}[{i}]", registry) for i, x in enumerate(value))
    if typing.get_origin(hint) is collections.abc.Mapping:
        _checks.require_type(value, dict, key, "It is a table.")
        item = typing.get_args(hint)[1]
        return {name: _convert(x, item, _join(key, name), registry) for name, x in value.items()}
    wanted = float if hint is Any else hint
    accepted = (int, float) if wanted is float else wanted
    if not isinstance(value, accepted) or isinstance(value, bool) != (wanted is bool):
        raise TypeError(_checks.requirement(key, f"be {WORDS[wanted]}", _shown(value)))
    _checks.require(wanted is not float or math.isfinite(value), key, "be finite", value)
    return float(value) if hint is float else value


def _convert_union(value: Any, options: Sequence[Any], key: str, registry: Registry | None) -> Any:
    tables = [hint for hint in options if _is_table(hint)]
    if isinstance(value, dict) and len(tables) == 1:
        return _convert(value, tables[0], key, registry)
    lists = [hint for hint in options if typing.get_origin(hint) in (tuple, collections.abc.Sequence)]
    if isinstance(value, list) and len(lists) == 1:
        return _convert(value, lists[0], key, registry)
    scalars = [hint for hint in options if hint not in (*tables, *lists, type(None))]
    for hint in scalars:
        try:
            return _convert(value, hint, key, registry)
        except (TypeError, ValueError):
            if len(scalars) == 1 and not (tables or lists):
                raise
    words = [_words(hint) for hint in options if hint is not type(None)]
    raise TypeError(_checks.requirement(key, f"be {' or '.join(dict.fromkeys(words))}", _shown(value)))


def _call(table: Mapping[str, Any], key: str, registry: Registry | None) -> Call:
    assert registry is not None  # a mistake of the dataclass, not of the file
    _check_complete(table, ["kind"], key)
    _checks.require_type(table["kind"], str, _join(key, "kind"))
    kind = _checks.choice(table["kind"], registry.functions, _join(key, "kind"))
    options = registry.options(kind)
    arguments = {name: value for name, value in table.items() if name != "kind"}
    _check_keys(arguments, ["kind", *options], key)
    for name, value in arguments.items():
        if name in registry.values:
            _checks.require_type(value, str, _join(key, name))
            _checks.choice(value, registry.values[name], _join(key, name))
        else:
            arguments[name] = _convert(value, options[name], _join(key, name), None)
    _check_complete(arguments, registry.required(kind), key)
    return Call(kind, arguments)


def _check_keys(table: Mapping[str, Any], known: collections.abc.Iterable[str], where: str) -> None:
    known = list(known)
    for key in table:
        name = where or "the file"
        must = f"hold only the keys {', '.join(known)}"
        _checks.require(key in known, name, must, repr(key), _checks.did_you_mean(key, known))


def _check_complete(given: Mapping[str, Any], needed: Sequence[str], where: str) -> None:
    for name in needed:
        _checks.require(name in given, _join(where, name), "be given", "nothing")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _is_table(hint: Any) -> bool:
    return inspect.isclass(hint) and dataclasses.is_dataclass(hint)


def _is_function(hint: Any) -> bool:
    return typing.get_origin(hint) is collections.abc.Callable


def _words(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(map(repr, typing.get_args(hint)))
    if _is_table(hint):
        return "a table"
    return WORDS.get(float if hint is Any else hint, "a list")


def _shown(value: Any) -> str:
    return f"{value!r:.80}" if not isinstance(value, bool) else str(value).lower()
