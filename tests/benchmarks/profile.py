"""Where the microseconds of the Flask call go: sampled stacks of the plain and of each monitored application."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from .bench import Bench

__all__ = ["print_profile"]

CALLS = 40_000
TOP_FUNCTIONS = 16
TOOLS = ("ours", "boxkite", "exporter")
OUR_CODE = {"apps", "wsgi", "workload", "sampling"}


def print_profile(bench: Bench) -> None:
    """Print one table by package for all tools, then for each tool the functions that add most."""
    with bench.receiver() as receiver, ExitStack() as stack:
        address = f"127.0.0.1:{receiver.ask('port')['port']}"
        sides = {name: stack.enter_context(bench.side(name, address)) for name in TOOLS}
        figures = {name: side.ask("profile", bench.calls(CALLS)) for name, side in sides.items()}
    print("\nMicroseconds a call by package, sampled; for each tool what it adds to the plain application\n")
    _print_packages(figures)
    for name in TOOLS:
        print(f"\n{name}: the functions that add most (own: without what they call; total: with it)\n")
        _print_functions(figures[name])


def _package(function: str) -> str:
    """Return the package of a ``module:function``, with what belongs to no package under a name of its own."""
    package = function.partition(":")[0].partition(".")[0]
    if package in OUR_CODE:
        return "(view and caller)"
    if package.startswith("namedtuple_"):  # the namespace in which a named tuple's constructor is made
        return "(named tuples)"
    return "(standard library)" if package in sys.stdlib_module_names else package


def _by_package(own: Mapping[str, float]) -> Counter[str]:
    packages: Counter[str] = Counter()
    for function, microseconds in own.items():
        packages[_package(function)] += microseconds  # type: ignore[assignment]
    return packages


def _print_packages(figures: Mapping[str, Mapping[str, Any]]) -> None:
    plain = _by_package(figures["ours"]["plain"]["own"])
    added = {}
    for name, figure in figures.items():
        added[name] = _by_package(figure["monitored"]["own"])
        added[name].subtract(_by_package(figure["plain"]["own"]))
    packages = sorted({*plain, *(package for counts in added.values() for package in counts)}, key=str.lower)
    print(f"{'package':<28}{'plain':>10}" + "".join(f"{name:>12}" for name in added))
    for package in packages:
        cells = [added[name][package] for name in added]
        if max(map(abs, (plain[package], *cells))) >= 0.2:
            print(f"{package:<28}{plain[package]:>10.1f}" + "".join(f"{cell:>+12.1f}" for cell in cells))
    sums = "".join(f"{sum(counts.values()):>+12.1f}" for counts in added.values())
    print(f"{'sum':<28}{sum(plain.values()):>10.1f}{sums}")


def _print_functions(figure: Mapping[str, Any]) -> None:
    plain, monitored = figure["plain"], figure["monitored"]
    added = {function: own - plain["own"].get(function, 0.0) for function, own in monitored["own"].items()}
    print(f"{'own added':>10}{'total':>10}  function")
    for function in sorted(added, key=added.__getitem__, reverse=True)[:TOP_FUNCTIONS]:
        print(f"{added[function]:>10.1f}{monitored['total'][function]:>10.1f}  {function}")
