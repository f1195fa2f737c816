"""Outcomes that find the recorded predictions of their keys.

The rules are the same as while serving. Only answered rows are predictions. A key stands for its last prediction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flask_boxkite.naming import REDACTED
from flask_boxkite.records.alignment import Aligner
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.keys import IDS, given_key, keys_of
from flask_boxkite.records.outcome_rows import OutcomeRow

__all__ = ["Notes", "OutcomeFinder"]

T = TypeVar("T")


@dataclass(frozen=True)
class Notes(Generic[T]):
    """Predictions that outcomes have found.

    Attributes:
        found: Time in Unix seconds, and a note, of the last prediction of each key.
        of_one_row: Ids of predictions of one row whose outcomes name row 0.
    """

    found: dict[str, tuple[float, T]]
    of_one_row: list[str]


class OutcomeFinder(Generic[T]):
    """Holds outcomes by key, and for each key notes about its last prediction.

    Attributes:
        others: Names of features that the key needs and the baseline lacks.
        models: Number of outcomes by the model that they name.

    Args:
        outcomes: Outcomes, perhaps of other models too.
        key: Field of the record in `IDS`, or name of a feature.
        features: Names of the features, in the order of the aligner.
        others: Names of more features that stand behind them, whether the key needs them or not.

    Raises:
        BoxkiteError: Records cannot be joined by this key.
    """

    def __init__(
        self, outcomes: Iterable[OutcomeRow], key: str, features: Sequence[str], others: Sequence[str] = ()
    ) -> None:
        is_known = key in (*IDS, *features, *others)
        self.others = tuple(others) if is_known else (*others, key)
        self._keys_of = keys_of(key, [*features, *self.others])
        self._id = key if key in ("prediction_id", "entity_id") else None
        self._nameless: Counter[str | None] = Counter()
        self._outcomes: dict[str, list[OutcomeRow]] = {}
        self.models: Counter[str] = Counter()
        self._found: dict[str, tuple[float, T]] = {}
        self._of_one_row: list[str] = []

        for outcome in outcomes:
            text = given_key(outcome.key, key)
            if text is None:
                self._nameless[outcome.model] += 1
            else:
                self._outcomes.setdefault(text, []).append(outcome)
            if outcome.model is not None:
                self.models[outcome.model] += 1

    @property
    def keys(self) -> list[str]:
        """The keys of outcomes."""
        return list(self._outcomes)

    def names(self, record: Record, aligner: Aligner) -> list[str | None]:
        """Return the keys of the rows of a record, None where there is none; nothing if there are no outcomes."""
        if self._id is not None and record.rows == 1:
            self._join_row_zero(getattr(record, self._id))
        if not self._outcomes:
            return []
        names = list(self._keys_of(record, aligner))
        return names + [None] * (record.rows - len(names))

    def named(self, names: Sequence[str | None]) -> list[tuple[int, str]]:
        """Return the keys that an outcome names, with their places."""
        wanted = self._outcomes
        return [(place, name) for place, name in enumerate(names) if name in wanted and name not in (None, REDACTED)]

    def note(self, name: str, seconds: float, item: T) -> None:
        """Note a prediction of a key, unless a later one is known."""
        if name not in self._found or seconds >= self._found[name][0]:
            self._found[name] = seconds, item

    def _join_row_zero(self, id_: str | None) -> None:
        """Take outcomes of row 0 of a prediction of one row for outcomes of the prediction."""
        if (outcomes := self._outcomes.pop(f"{id_}/0", None)) is not None and id_ is not None:
            self._outcomes.setdefault(id_, []).extend(outcomes)
            self._of_one_row.append(id_)

    @property
    def notes(self) -> Notes[T]:
        """The predictions so far."""
        return Notes(self._found, self._of_one_row)

    def join(self, notes: Notes[T]) -> None:
        """Add the notes on records that stand behind these."""
        for id_ in notes.of_one_row:
            self._join_row_zero(id_)
        for name, (seconds, item) in notes.found.items():
            self.note(name, seconds, item)

    def nameless(self, model: str) -> int:
        """Return the number of outcomes of a model that have no key."""
        return self._nameless[None] + self._nameless[model]

    def by_key(self, model: str) -> Iterator[tuple[T | None, list[OutcomeRow]]]:
        """Yield the notes on each key's prediction, None without one, and its outcomes of a model, perhaps none."""
        for name, outcomes in self._outcomes.items():
            own = [outcome for outcome in outcomes if outcome.model in (None, model)]
            yield self._found[name][1] if name in self._found else None, own
