"""What every comparison needs to know: the interpreters, how long to measure, and how to start the sides."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import Row
from .side import SIDES, Side, clean_environment, run_side

__all__ = ["ROOT", "Bench", "Rounds", "compared"]

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
        before: Folder of an earlier checkout of ours, measured in turn with today's; None to measure today's alone.
    """

    boxkite_python: str
    quick: bool
    before: Path | None = None

    def rounds(self, full: int) -> int:
        """Return how many rounds to make where a full run makes *full*."""
        return max(3, full // 4) if self.quick else full

    def calls(self, full: int) -> int:
        """Return how many calls to make in a round where a full run makes *full*."""
        return max(1, full // 4) if self.quick else full

    def receiver(self) -> AbstractContextManager[Side]:
        """Start what plays fluentd."""
        return run_side(SIDES / "receiver.py", python=sys.executable, environment=clean_environment())

    def root(self, name: str) -> Path | None:
        """Return the folder of the checkout that the side with this name runs; None for a peer."""
        return {"ours": ROOT, "before": self.before}.get(name)

    def names(self, *names: str) -> list[str]:
        """Return *names*, and behind ``ours`` also ``before`` if an earlier checkout is measured too."""
        has_before = self.before is not None
        return [side for name in names for side in ((name, "before") if name == "ours" and has_before else (name,))]

    def environment(self, name: str, fluentd_address: str = "") -> dict[str, str]:
        """Return the environment variables of the side with this name."""
        extra = {"BEDROCK_ENDPOINT_ID": name}
        root = self.root(name)
        if root:
            extra |= {"PYTHONPATH": str(root), "BOXKITE_FLUENTD_ADDR": fluentd_address}
        elif name == "boxkite" and fluentd_address:
            extra["BEDROCK_FLUENTD_ADDR"] = fluentd_address
        return clean_environment(**extra)

    def side(
        self, name: str, fluentd_address: str = "", *, public: str = "", **environment: str
    ) -> AbstractContextManager[Side]:
        """Start the side with this name: ``ours``, ``before``, ``boxkite``, ``exporter`` or ``prometheus``.

        Args:
            name: Name of the side.
            fluentd_address: Address of fluentd.
            public: Script of ours that calls nothing but the package's public interface, so that an earlier checkout
                is measured by it too. Empty for the script that each checkout brings: what its cases call may have had
                another name.
            **environment: More environment variables of the side.
        """
        root = self.root(name)
        if root:
            script = SIDES / public if public else root / SIDES.relative_to(ROOT) / "ours.py"
        else:
            script = SIDES / f"peer_{name}.py"
        python = self.boxkite_python if name == "boxkite" else sys.executable
        return run_side(script, python=python, environment=self.environment(name, fluentd_address) | environment)

    @contextmanager
    def sides(self, *names: str, fluentd_address: str = "", public: str = "") -> Iterator[dict[str, Side]]:
        """Start the sides with these names, and the earlier checkout beside ours; see `side`."""
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(self.side(name, fluentd_address, public=public))
                for name in self.names(*names)
            }

    def alternate(
        self, sides: Mapping[str, Side], case: str | Mapping[str, str], *, rounds: int, calls: int
    ) -> dict[str, Rounds]:
        """Let the sides run *case* in turn, so many rounds of so many calls each (fewer when quick).

        Args:
            sides: Sides by name.
            case: Name of the case; or of the case of each side, where they differ.
            rounds: How many rounds to make in a full run.
            calls: How many calls to make in a round of a full run.
        """
        cases = dict.fromkeys(sides, case) if isinstance(case, str) else case
        figures = {name: Rounds() for name in sides}
        for number in range(self.rounds(rounds)):
            for name in list(sides)[:: -1 if number % 2 else 1]:
                figures[name].add(sides[name].ask(cases[name], self.calls(calls)))
        return figures


def compared(
    what: str,
    figures: Mapping[str, Rounds],
    measure: Callable[[Rounds], float],
    unit: str,
    peer: str | None = None,
    **bars: float | None,
) -> Row:
    """Return the row that shows *measure* of our rounds beside the peer's and the earlier checkout's.

    Args:
        what: Title of the row.
        figures: Rounds of each side.
        measure: Function that makes the figure out of a side's rounds.
        unit: Unit of the figure.
        peer: Name of the side to compare with, if there is one.
        **bars: Bars of the row, as `Row` takes them.
    """
    return Row(
        what,
        measure(figures["ours"]),
        unit,
        peer=measure(figures[peer]) if peer else None,
        peer_name=peer or "",
        before=measure(figures["before"]) if "before" in figures else None,
        **bars,
    )
