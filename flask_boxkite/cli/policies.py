"""Options of commands that say how variables are judged: ignored ones, weights, and sizes of drift."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from flask_boxkite.baseline import Baseline
from flask_boxkite.errors import BaselineError
from flask_boxkite.policies import Policy, policies_of
from flask_boxkite.quoting import printable

__all__ = ["POLICY_OPTIONS", "judged", "named_numbers", "named_sizes", "policy_options"]

POLICY_OPTIONS = ("ignore", "judge", "weights", "drift_sizes")
"""Names of the parameters that `policy_options` adds."""


def policy_options(*, of_baseline: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options.

    Args:
        of_baseline: Whether a baseline says how its variables are judged, over which the options win.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        ignore = "Variable that is counted, but not judged; repeatable."
        judge = "Variable that is judged, though the baseline ignores it; repeatable."
        weight = "Importance of a variable beside the 1 of others, such as 'income=3'; 0 ignores it; repeatable."
        size = (
            "Size from which a variable has drifted, instead of 0.1, such as 'age=0.2', and from which it is major, "
            "instead of 0.25, such as 'age=0.2,0.5'; repeatable."
        )
        options = [
            click.option("--ignore", multiple=True, metavar="NAME", help=ignore),
            *([click.option("--judge", multiple=True, metavar="NAME", help=judge)] if of_baseline else []),
            click.option("--weight", "weights", multiple=True, metavar="NAME=NUMBER", help=weight),
            click.option("--drift-size", "drift_sizes", multiple=True, metavar="NAME=SIZE[,SIZE]", help=size),
        ]
        for option in reversed(options):
            command = option(command)
        return command

    return add


def judged(
    baseline: Baseline,
    *,
    ignore: Sequence[str],
    judge: Sequence[str],
    weights: Sequence[str],
    drift_sizes: Sequence[str],
) -> Baseline:
    """Return a baseline with the decisions of the options laid over its own.

    Raises:
        BaselineError: An option is malformed, names an unknown variable, or contradicts another.
    """
    if both := sorted({*ignore} & {*judge}):
        msg = f"'--ignore' and '--judge' both name {both[0]!r}. Remove it from one of them."
        raise BaselineError(msg)
    decisions = policies_of(
        ignore=ignore, weights=named_numbers(weights), drift_sizes=named_sizes(drift_sizes), are_whole=False
    )
    return baseline.judged_by([*(Policy(name, ignore=False) for name in judge), *decisions])


def named_numbers(texts: Sequence[str]) -> dict[str, float]:
    """Return the numbers of ``--weight`` by name.

    Raises:
        BaselineError: A text is not of a name and a number.
    """
    found = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            msg = f"'--weight' must be a name and a number, such as 'income=3', got {printable(text)!r}."
            raise BaselineError(msg)
    return found


def named_sizes(texts: Sequence[str]) -> dict[str, float | tuple[float, float]]:
    """Return the sizes of ``--drift-size`` by name.

    Raises:
        BaselineError: A text is not of a name and one or two numbers.
    """
    found: dict[str, float | tuple[float, float]] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        try:
            numbers = tuple(map(float, sizes.split(",")))
        except ValueError:
            numbers = ()
        if not equals or not name or len(numbers) not in (1, 2):
            example = "such as 'age=0.2' or 'age=0.2,0.5'"
            msg = f"'--drift-size' must be a name and one or two numbers, {example}, got {printable(text)!r}."
            raise BaselineError(msg)
        found[name] = numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
    return found
