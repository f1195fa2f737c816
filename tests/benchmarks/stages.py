"""Where the time of a request goes, by ablation: the same application with more and more of the monitoring, in turn.

A profiler charges time of its own to each function, and functions timed alone are warm. Here whole requests are timed,
and a stage is the difference of two medians.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from .bench import Bench, Rounds
from .environments import is_compiled

__all__ = ["print_stages", "table"]

PAYLOADS = ("by name", "by position")
ROUNDS = 32
CALLS = 400
TITLE_WIDTH, WIDTH = 48, 13


class Stage(NamedTuple):
    """A line of the table: the time that *variant* takes more than *base*."""

    title: str
    variant: str
    base: str


STAGES = (
    Stage("the extension, disabled", "disabled", "plain"),
    Stage("capture: body, id, header, status, duration", "captured", "disabled"),
    Stage("counts of 30 features and an output", "counted", "captured"),
    Stage("record: made, packed, queued", "packed", "counted"),
    Stage("fluentd", "fluentd", "packed"),
    Stage("fluentd with gzip, in place of fluentd", "gzip", "packed"),
    Stage("files, in place of packing and fluentd", "files", "counted"),
)
TOTALS = (
    Stage("all, with fluentd", "fluentd", "plain"),
    Stage("all, with gzip", "gzip", "plain"),
    Stage("all, with files", "files", "plain"),
)
EXPORTER = Stage("prometheus_flask_exporter", "exporter", "plain")


def print_stages(bench: Bench) -> None:
    """Print one table: the stages by name and by position, of each build."""
    figures: dict[str, dict[str, Rounds]] = {}
    with bench.receiver() as receiver, ExitStack() as stack:
        address = f"127.0.0.1:{receiver.ask('port')['port']}"
        sides = {
            title: stack.enter_context(bench.side(name, address, public="our_requests.py", **environment))
            for title, (name, environment) in _builds(bench).items()
        }
        for payload in PAYLOADS:
            figures[payload] = bench.alternate(sides, f"stages {payload}", rounds=ROUNDS, calls=CALLS)
    print("\n".join(table(figures)), flush=True)


def _builds(bench: Bench) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the side and the environment variables of each build that is measured, by its title."""
    builds: dict[str, tuple[str, dict[str, str]]] = {"Python": ("ours", {"BOXKITE_NATIVE": "0"})}
    if is_compiled(bench.environment("ours")):
        builds = {"compiled": ("ours", {})} | builds
    if bench.before is not None:
        builds["earlier"] = ("before", {})
    return builds


def table(figures: Mapping[str, Mapping[str, Rounds]]) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        figures: Rounds of each build, by payload; a round has a figure for each variant.
    """
    columns = [
        (payload, build, rounds, key)
        for payload, builds in figures.items()
        for build, rounds in builds.items()
        for key in ("p50", "cpu")
    ]

    def line(title: str, figure: Callable[[Rounds, str], float], form: str) -> str:
        return _line(title, [format(figure(rounds, key), form) for _, _, rounds, key in columns])

    def added(stage: Stage) -> str:
        return line(stage.title, partial(_added, stage), "+.1f")

    yield "Microseconds of a call, and those that each stage adds: median, and CPU time with threads."
    yield "The CPU time of the record includes unpacking it in the thread, for a sink that drops it."
    yield ""
    yield _line("", [payload for payload, _, _, _ in columns])
    yield _line("", [build for _, build, _, _ in columns])
    yield _line("", [key for _, _, _, key in columns])
    yield line("the plain application", lambda rounds, key: rounds.median("plain", key), ".1f")
    yield from map(added, STAGES)
    yield ""
    yield from map(added, (*TOTALS, EXPORTER))
    yield ""
    for stage in TOTALS:
        yield line(
            f"{stage.title}, in parts of the exporter",
            lambda rounds, key, stage=stage: _added(stage, rounds, key) / _added(EXPORTER, rounds, key),
            ".2f",
        )


def _added(stage: Stage, rounds: Rounds, key: str) -> float:
    return rounds.median(stage.variant, key) - rounds.median(stage.base, key)


def _line(title: str, cells: list[str]) -> str:
    return f"{title:<{TITLE_WIDTH}}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)
