"""Names in ``BOXKITE_REDACT`` that are no feature or output: fields of a body only, or misspelt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from flask_boxkite.baseline import Baseline
from flask_boxkite.monitoring.nearest import nearest_known
from flask_boxkite.monitoring.redaction import Redaction

__all__ = ["near_misses", "other_names", "warn_of_near_misses"]

logger = logging.getLogger("flask_boxkite")


def other_names(redact: Sequence[str] | Callable[..., Any], baselines: Iterable[Baseline | None]) -> dict[str, str]:
    """Return the names that are no variable of a baseline, each with the variable that may be meant; empty for none.

    Args:
        redact: Value of the setting.
        baselines: Baselines of the models; without any, no name can be judged.
    """
    variables = [
        name
        for baseline in baselines
        if baseline
        for name in dict.fromkeys([*(item.name for item in baseline.distributions), *baseline.columns])
    ]
    if callable(redact) or not variables:
        return {}
    others = [path for path in redact if not Redaction([path], ()).names_one(variables)]
    return {path: _meant(path, variables) for path in others}


def _meant(path: str, variables: Sequence[str]) -> str:
    """Return the variable that a path, or its last part, may mean; empty for none."""
    return nearest_known(path, variables) or nearest_known(path.rpartition(".")[2], variables) or ""


def near_misses(others: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield a fact and a remedy for each name that is nearly a variable."""
    for path, meant in others.items():
        if meant:
            what = f"'BOXKITE_REDACT' names {path!r}, which is no feature or output."
            yield (
                what,
                f"Did you mean {meant!r}? If {path!r} is another field of the requests, it is redacted as it is.",
            )


def warn_of_near_misses(redact: Any, baselines: Iterable[Baseline | None]) -> None:
    """Log each name that is nearly a variable, whose values would be recorded."""
    for what, remedy in near_misses(other_names(redact, baselines)):
        logger.warning("%s %s", what, remedy)
