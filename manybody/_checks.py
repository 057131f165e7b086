# SPDX-License-Identifier: Apache-2.0
"""The one place where argument errors are worded.

Every message has the same grammar: the argument in backticks, what it must satisfy, what it got, and the cure if
there is one: "`n_max` must satisfy n_max >= 1, got 0.".
"""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable
from typing import Any


def requirement(name: str, must: str, got: object, cure: str = "") -> str:
    """The sentence "`name` must ..., got ...", with a cure behind it if one is known."""
    return f"`{name}` must {must}, got {got}." + (f" {cure}" if cure else "")


def require(condition: bool, name: str, must: str, got: object, cure: str = "") -> None:
    """Raise the `ValueError` that says what `name` must satisfy, unless `condition` holds."""
    if not condition:
        raise ValueError(requirement(name, must, got, cure))


def require_type(value: object, types: type | tuple[type, ...], name: str, cure: str = "") -> None:
    """Raise the `TypeError` that says what type `name` must have, unless `value` has it."""
    if not isinstance(value, types):
        allowed = types if isinstance(types, tuple) else (types,)
        wanted = " or ".join(t.__name__ for t in allowed)
        raise TypeError(requirement(name, f"be a {wanted}", f"{type(value).__name__} ({value!r:.80})", cure))


def integer(value: Any, name: str, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """`value` as a Python int within bounds.

    Raises:
        TypeError: if `value` is not an integer (a float with an integral value is not one, nor is a bool).
        ValueError: if it lies outside [minimum, maximum].
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(requirement(name, "be an integer", f"{type(value).__name__} ({value!r:.80})"))
    number = int(value)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        lower = "" if minimum is None else f"{minimum} <= "
        upper = "" if maximum is None else f" <= {maximum}"
        raise ValueError(requirement(name, f"satisfy {lower}{name}{upper}", number))
    return number


def positive(value: Any, name: str, *, strict: bool = True) -> float:
    """`value` as a float that is positive (or not negative, with ``strict=False``)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(requirement(name, "be a real number", f"{type(value).__name__} ({value!r:.80})"))
    sign, number = ">" if strict else ">=", float(value)
    require(number > 0 or (not strict and number == 0), name, f"satisfy {name} {sign} 0", value)
    return number


def choice(value: str, options: Iterable[str], name: str) -> str:
    """`value` if it is one of `options`; otherwise an error that names them and the nearest one."""
    options = tuple(options)
    if value not in options:
        raise ValueError(
            requirement(name, f"be one of {', '.join(map(repr, options))}", repr(value), did_you_mean(value, options))
        )
    return value


def did_you_mean(word: object, options: Iterable[str]) -> str:
    """ "Did you mean ...?" for the option nearest to `word`, or nothing when none is near."""
    by_name = {str(option).casefold(): option for option in options}
    near = difflib.get_close_matches(str(word).casefold(), list(by_name), n=1)
    return f"Did you mean {by_name[near[0]]!r}?" if near else ""
