"""How long outcomes usually take to come: whether they have stopped, as the alert ``BoxkiteOutcomesStopped`` tells.

The longest time without an outcome is kept for each of the last days, so nothing grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask_boxkite.notify.conditions import Condition, key_of
from flask_boxkite.performance.wording import duration
from flask_boxkite.provision.performance import MARGIN, MEMORY_DAYS

__all__ = ["OutcomeGaps"]

_DAY = 86400.0
_HOUR = 3600.0
_KNOWN_DAYS = 7
"""Days for which outcomes must have come before their absence means something."""


class OutcomeGaps:
    """The times without outcomes of all models, by model and baseline.

    Args:
        stored: Values as from `to_dict`; anything else is ignored.
    """

    def __init__(self, stored: Any = None) -> None:
        self._models: dict[str, _Model] = {}
        for key, item in (stored if isinstance(stored, dict) else {}).items():
            try:
                self._models[key] = _Model.of(item)
            except (TypeError, ValueError, KeyError, AttributeError):
                continue

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {key: model.to_dict() for key, model in self._models.items()}

    def see(self, model: str, baseline: str, outcomes: int, now: float) -> Iterator[Condition | str]:
        """Note the number of outcomes; yield the condition that they have stopped, or its key if they have not.

        Without a week of outcomes, neither is known.

        Args:
            model: Name of the model.
            baseline: Fingerprint of its baseline.
            outcomes: Number of its outcomes since the start.
            now: Present Unix time.
        """
        key = key_of("outcomes", model, baseline)
        own = self._models.setdefault(key, _Model(outcomes))
        own.see(outcomes, now)
        if own.first is None or own.came is None or now - own.first < _KNOWN_DAYS * _DAY:
            return
        gap, usual = now - own.came, max(own.gaps.values(), default=0.0)
        if gap > MARGIN * usual + _HOUR:
            text = (
                f"No outcome has come for {duration(gap)}; in the {MEMORY_DAYS} days before, the longest time without "
                f"one was {duration(usual)}"
            )
            numbers = {"seconds": gap, "longest_seconds": usual}
            yield Condition("BoxkiteOutcomesStopped", model, baseline, "outcomes", (), "", text, own.came, numbers)
        else:
            yield key

    def keep(self, models: Mapping[str, str]) -> None:
        """Forget models that are served no more.

        Args:
            models: Fingerprint of the baseline of each served model, by name.
        """
        known = {key_of("outcomes", model, baseline) for model, baseline in models.items()}
        self._models = {key: own for key, own in self._models.items() if key in known}


class _Model:
    """One model: its outcomes so far, when the first and the last came, and the longest gap of each day."""

    def __init__(self, outcomes: int) -> None:
        self.outcomes = outcomes
        self.first: float | None = None
        self.came: float | None = None
        self.gaps: dict[int, float] = {}

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> _Model:
        own = cls(int(item["outcomes"]))
        if item["first"] is not None and item["came"] is not None:
            own.first, own.came = float(item["first"]), float(item["came"])
        own.gaps = {int(day): float(seconds) for day, seconds in item["gaps"].items()}
        return own

    def to_dict(self) -> dict[str, Any]:
        gaps = {str(day): seconds for day, seconds in self.gaps.items()}
        return {"outcomes": self.outcomes, "first": self.first, "came": self.came, "gaps": gaps}

    def see(self, outcomes: int, now: float) -> None:
        if outcomes > self.outcomes:
            if self.came is not None:
                day = int(now // _DAY)
                self.gaps[day] = max(self.gaps.get(day, 0.0), now - self.came)
            self.first, self.came = now if self.first is None else self.first, now
        self.outcomes = outcomes
        oldest = now // _DAY - MEMORY_DAYS
        self.gaps = {day: seconds for day, seconds in self.gaps.items() if day >= oldest}
