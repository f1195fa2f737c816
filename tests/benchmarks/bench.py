"""What every comparison needs to know: the interpreters, how long to measure, and how to start the sides."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .side import Side, clean_environment, run_side

__all__ = ["ROOT", "Bench", "Rounds"]

ROOT = Path(__file__).parents[2]


class Rounds:
    """The figures of one side, one entry a round."""

    def __init__(self) -> None:
        """Start without a round."""
        self._figures: list[dict[str, Any]] = []

    def add(self, figures: dict[str, Any]) -> None:
        """Take the figures of one more round."""
        self._figures.append(figures)

    def last(self, *keys: str) -> float:
        """Return the figure of the last round at this path of keys."""
        return self._at(self._figures[-1], keys)

    def median(self, *keys: str) -> float:
        """Return the median over the rounds of the figure at this path of keys."""
        return statistics.median(self._at(figures, keys) for figures in self._figures)

    def median_added(self, key: str) -> float:
        """Return the median over the rounds of what the monitored application takes more than the plain one."""
        return statistics.median(
            self._at(figures, ("monitored", key)) - self._at(figures, ("plain", key)) for figures in self._figures
        )

    @staticmethod
    def _at(figures: Any, keys: tuple[str, ...]) -> float:
        for key in keys:
            figures = figures[key]
        return float(figures)


@dataclass(frozen=True)
class Bench:
    """How to measure; made once by the driver.

    Attributes:
        boxkite_python: The interpreter of boxkite's environment.
        quick: Fewer rounds and calls.
    """

    boxkite_python: str
    quick: bool

    def rounds(self, full: int) -> int:
        """Return how many rounds to make where a full run makes *full*."""
        return max(3, full // 4) if self.quick else full

    def calls(self, full: int) -> int:
        """Return how many calls to make in a round where a full run makes *full*."""
        return max(1, full // 4) if self.quick else full

    def receiver(self) -> AbstractContextManager[Side]:
        """Start what plays fluentd."""
        return run_side("receiver.py", python=sys.executable, environment=clean_environment())

    def environment(self, name: str, fluentd_address: str = "") -> dict[str, str]:
        """Return the environment variables of the side with this name."""
        extra = {"BEDROCK_ENDPOINT_ID": name}
        if name == "ours":
            extra |= {"PYTHONPATH": str(ROOT), "BOXKITE_FLUENTD_ADDR": fluentd_address}
        elif name == "boxkite" and fluentd_address:
            extra["BEDROCK_FLUENTD_ADDR"] = fluentd_address
        return clean_environment(**extra)

    def side(self, name: str, fluentd_address: str = "") -> AbstractContextManager[Side]:
        """Start the side with this name: ``ours``, ``boxkite``, ``exporter`` or ``prometheus``."""
        script = "ours.py" if name == "ours" else f"peer_{name}.py"
        python = self.boxkite_python if name == "boxkite" else sys.executable
        return run_side(script, python=python, environment=self.environment(name, fluentd_address))

    def alternate(self, sides: Mapping[str, Side], case: str, *, rounds: int, calls: int) -> dict[str, Rounds]:
        """Let the sides run *case* in turn, so many rounds of so many calls each (fewer when quick)."""
        figures = {name: Rounds() for name in sides}
        for number in range(self.rounds(rounds)):
            for name in list(sides)[:: -1 if number % 2 else 1]:
                figures[name].add(sides[name].ask(case, self.calls(calls)))
        return figures
