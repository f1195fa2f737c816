"""Warnings, by the package's logger, of columns that a baseline should not hold or cannot judge."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from flask_boxkite.baseline.blindness import blind_spots
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.training.date_looks import DATE_LOOKS
from flask_boxkite.baseline.training.personal import DURATIONS, NUMBERS, looks_like_id
from flask_boxkite.naming import MOST_LETTERS, short_text

__all__ = ["warn_of_columns", "warn_of_row_labels"]

logger = logging.getLogger("flask_boxkite")

SHOWN = 5
"""Most columns that a warning names."""


def warn_of_columns(items: Sequence[Distribution], looks: Mapping[str, str]) -> None:
    """Warn of columns that look personal, and of those whose drift cannot show, each once; and of long names.

    Args:
        items: Distributions of features and outputs.
        looks: Kind of thing that a column's texts look like, by its name.
    """
    personal: dict[str, list[str]] = {}
    others = []
    for item in items:
        look = looks.get(item.name) or ("an identifier, by its name" if looks_like_id(item) else "")
        if look:
            personal.setdefault(look, []).append(item.name)
        else:
            others.append(item)

    for look, names in personal.items():
        is_one = len(names) == 1
        them = "it" if is_one else "them"
        remedy = f"If the model does not need {them}: exclude=({', '.join(map(repr, names[:SHOWN]))},), or --exclude."
        if look in DATE_LOOKS:
            remedy = f"Give {them} as 2024-01-31, or as a type of dates (pandas.to_datetime), in requests too."
        elif look in (NUMBERS, DURATIONS):
            listed = ", ".join(map(repr, names[:SHOWN]))
            plain = "numbers" if look == NUMBERS else "seconds"
            remedy = f"If that is meant: texts=({listed},), or --text. If not, give {plain}."
        logger.warning("%s %s like %s. %s", _columns(names), "looks" if is_one else "look", look, remedy)

    if long := [short_text(item.name) for item in items if len(item.name) > MOST_LETTERS]:
        text = "%s: names of more than %s characters stand whole in metrics; some receivers refuse these. Shorten them."
        logger.warning(text, _columns(long), MOST_LETTERS)
    for spot, names in blind_spots(others).items():
        logger.warning("%s: %s.", _columns(names), spot)


def warn_of_row_labels(names: Iterable[str]) -> None:
    """Warn of columns that were left out because they hold row labels of pandas."""
    if columns := list(names):
        text = "Row labels of pandas (its index) are left out: %s. If the model gets them, write df.reset_index()."
        logger.warning(text, _listed(columns))


def _columns(names: Sequence[str]) -> str:
    return f"Column{'s' * (len(names) != 1)} {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(map(repr, names[:SHOWN]))}{more}"
