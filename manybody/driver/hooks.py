# SPDX-License-Identifier: Apache-2.0
"""What may look at a run, and stop it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from manybody import _checks
from manybody.stats import Estimate

if TYPE_CHECKING:
    from manybody.driver.base import Driver

Record = dict[str, Any]
"""What is known after a step: "step", "energy" (an `Estimate`) or what else is minimised, "acceptance" by kind of move,
reports of solvers."""
SYMBOLS = {"energy": "E", "infidelity": "I", "loss": "L", "contrast": "C", "cost": "C"}
"""Quantities that a progress bar shows, the first one that there is."""


class Hook:
    """Called at every stage of a run, in all processes alike; override what is needed."""

    def on_start(self, driver: Driver, target: int) -> None:
        """Before the first step; `target` is the number of the last one."""

    def on_step(self, driver: Driver, record: Record) -> bool | None:
        """After every step; a true value stops the run."""

    def on_end(self, driver: Driver, error: BaseException | None) -> None:
        """After the last step, also when the run was stopped, or failed with `error`."""


class ProgressBar(Hook):
    """A bar with energy (or what else is minimised), error, variance, acceptance and the time left."""

    def __init__(self) -> None:
        self._bar: Any = None  # made when the run starts

    def on_start(self, driver: Driver, target: int) -> None:
        self._bar = tqdm(total=target, initial=driver.step, unit="step", dynamic_ncols=True)

    def on_step(self, driver: Driver, record: Record) -> None:
        name, value = lowered(record)
        acceptance = "/".join(f"{rate:.2f}" for rate in record.get("acceptance", {}).values())
        text = f"{SYMBOLS[name]}={value.mean:.8g} +- {value.error:.1e}, var={value.variance:.3g}"
        self._bar.set_postfix_str(text + (f", acc={acceptance}" if acceptance else ""), refresh=False)
        self._bar.update(record["step"] - self._bar.n)

    def on_end(self, driver: Driver, error: BaseException | None) -> None:
        self._bar.close()


def check_hooks(hooks: object) -> None:
    """Raise `TypeError` unless this is a sequence of hooks."""
    if isinstance(hooks, Hook):
        cure = f"Write hooks=[{type(hooks).__name__}(...)]."
        raise TypeError(_checks.requirement("hooks", "be a sequence of hooks", "a single one", cure))
    cure = "Derive a class from manybody.driver.Hook, with what is to be done in `on_step`."
    if not isinstance(hooks, Iterable):
        raise TypeError(_checks.requirement("hooks", "be a sequence of hooks", f"{hooks!r:.80}", cure))
    for hook in hooks:
        _checks.require_type(hook, Hook, "hooks", cure)


def lowered(record: Record) -> tuple[str, Estimate]:
    """The name and value of what is looked at first in a record: the energy, or what else is minimised."""
    name = next(name for name in SYMBOLS if name in record)
    return name, record[name]
