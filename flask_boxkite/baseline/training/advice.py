"""Warnings, by the package's logger, of columns that a baseline should not hold or cannot judge."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from flask_boxkite.baseline.blindness import blind_spots
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.training.personal import DURATIONS, NUMBERS, looks_like_id

__all__ = ["warn_of_columns"]

logger = logging.getLogger("flask_boxkite")

SHOWN = 5
"""Most columns that a warning names."""


def warn_of_columns(items: Sequence[Distribution], looks: Mapping[str, str]) -> None:
    """Warn of columns that look personal, and of those whose drift cannot show; each is named once.

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
        if look in (NUMBERS, DURATIONS):
            listed = ", ".join(map(repr, names[:SHOWN]))
            plain = "numbers" if look == NUMBERS else "seconds"
            remedy = f"If that is meant: texts=({listed},), or --text. If not, give {plain}."
        logger.warning("%s %s like %s. %s", _columns(names), "looks" if is_one else "look", look, remedy)

    for spot, names in blind_spots(others).items():
        logger.warning("%s: %s.", _columns(names), spot)


def _columns(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"Column{'s' * (len(names) != 1)} {', '.join(map(repr, names[:SHOWN]))}{more}"
