"""Outcomes that name a model: outcomes of other models are left aside, with a warning."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from flask_boxkite.quoting import printable
from flask_boxkite.records.outcome_rows import OutcomeRow

__all__ = ["listed", "of_models", "warn_of_other_models"]

logger = logging.getLogger("flask_boxkite")

MOST_LISTED = 5
"""Most names that a message shows."""


def of_models(outcomes: Iterable[OutcomeRow], models: Collection[str], named: Counter[str]) -> Iterator[OutcomeRow]:
    """Yield the outcomes of some models, or of none; add the models that outcomes name to *named*."""
    for outcome in outcomes:
        if outcome.model is not None:
            named[outcome.model] += 1
        if outcome.model is None or outcome.model in models:
            yield outcome


def warn_of_other_models(named: Mapping[str, int], own: Collection[str]) -> None:
    """Log the models that outcomes name and that are not asked for, with their numbers of outcomes."""
    others = {model: number for model, number in named.items() if model not in own}
    if others:
        logger.warning(
            "%d outcomes name another model than %s in their column 'model', and are left aside: %s.",
            sum(others.values()),
            " and ".join(map(repr, sorted(own))),
            listed([f"{printable(model)} ({number})" for model, number in others.items()]),
        )


def listed(texts: Sequence[str]) -> str:
    """Return the first texts as a list in a sentence, and the number of the others."""
    more = f" and {len(texts) - MOST_LISTED} more" if len(texts) > MOST_LISTED else ""
    return f"{', '.join(texts[:MOST_LISTED])}{more}"
