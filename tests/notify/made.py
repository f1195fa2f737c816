"""Conditions, findings and messages for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_boxkite.notify.conditions import Condition, Judged
from flask_boxkite.notify.message import Change, Notification

__all__ = ["CHANGE", "condition", "judged", "notification"]

CHANGE = Change(
    "began",
    "BoxkiteFeatureDrift",
    "credit",
    "0123456789ab",
    "feature",
    ("income",),
    "major",
    "income: major, size 0.53; 25,000 to 50,000: 12% → 45% of rows, since 2026-01-02 14:03Z",
    1767362580.0,
    None,
    {"size": 0.53},
)


def condition(name: str = "income", **changes: Any) -> Condition:
    """Return a feature that has drifted."""
    text = f"{name}: drifted, size 0.2"
    made = Condition("BoxkiteFeatureDrift", "credit", "0123", "feature", (name,), "drifted", text, None, {"size": 0.2})
    return made._replace(**changes)


def judged(
    *conditions: Condition | str,
    clear: Iterable[str] = ("income", "age"),
    models: dict[str, str] | None = None,
) -> Judged:
    """Return findings; a text stands for the feature of that name, and others are clear."""
    own = [condition(item) if isinstance(item, str) else item for item in conditions]
    keys = {item.key: item for item in own}
    others = {condition(name).key for name in clear} - keys.keys()
    return Judged(keys, others, {"credit": "0123"} if models is None else models)


def notification(*changes: Change, **options: Any) -> Notification:
    """Return a message."""
    values: dict[str, Any] = {"id": "0011", "time": 1767362880.0, "service": "scoring", "server": "pod-1"} | options
    return Notification(changes=changes or (CHANGE,), **values)
