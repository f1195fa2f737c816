"""Counts of the answered rows of records by group: how many were selected, and how many of those came true.

The group of a row stands in its record, or comes with its outcome. In the first case, all rows count; in the second,
the rows with an outcome, each key once. Actual values find their rows by the rules of `finding`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.recurrence import at_least, recurrence
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.fairness.counts import GroupCounts
from flask_boxkite.fairness.coverage import OutcomeCoverage
from flask_boxkite.fairness.selection import Selection
from flask_boxkite.fairness.slots import SlotSeries
from flask_boxkite.naming import MISSING, RARE, REDACTED, category_text, short_text
from flask_boxkite.performance.doubt import unread_forms
from flask_boxkite.performance.significance import LEAST_SLOTS
from flask_boxkite.records.alignment import Aligner, Row
from flask_boxkite.records.counting import is_answered
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.finding import Notes, OutcomeFinder
from flask_boxkite.records.hidden import Hidden
from flask_boxkite.records.keys import key_text
from flask_boxkite.records.outcome_rows import OutcomeRow
from flask_boxkite.records.segmentation import MOST_COUNTED, Segmentation
from flask_boxkite.values.rowhash import ROW_BUCKETS, bucket_of
from flask_boxkite.values.unread import Examples

__all__ = ["GroupCounter", "Grouped", "outcome_group"]

logger = logging.getLogger("flask_boxkite")


class _Prediction(NamedTuple):
    """A row that an outcome names.

    Attributes:
        seconds: Time of the prediction.
        is_selected: Whether the model selected it; None if its output cannot be read.
        group: Name of its group; empty if that comes with the outcome.
        bucket: Bucket of the hash of its features; -1 without features.
    """

    seconds: float
    is_selected: bool | None
    group: str
    bucket: int


@dataclass
class _Tally:
    """The counts of one group.

    Attributes:
        rows: Number of rows.
        selected: Number of selected rows.
        outcomes: Number of rows with an outcome.
        positives: Number of actual positives.
        true_positives: Number of selected ones among them.
        buckets: Rows per bucket of the hash of their features.
        slots: Selected rows by time.
        positive_slots: True positives among positives by time.
    """

    rows: int = 0
    selected: int = 0
    outcomes: int = 0
    positives: int = 0
    true_positives: int = 0
    buckets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(ROW_BUCKETS, dtype=np.int64))
    slots: SlotSeries = field(default_factory=SlotSeries)
    positive_slots: SlotSeries = field(default_factory=SlotSeries)

    def add(self, row: _Prediction) -> None:
        """Count a row whose output can be read."""
        is_selected = bool(row.is_selected)
        self.rows += 1
        self.selected += is_selected
        if row.bucket >= 0:
            self.buckets[row.bucket] += 1
        self.slots.add(row.seconds, is_selected)

    def add_actual(self, row: _Prediction, *, is_positive: bool) -> None:
        """Count the outcome of such a row."""
        is_selected = bool(row.is_selected)
        self.outcomes += 1
        if is_positive:
            self.positives += 1
            self.true_positives += is_selected
            self.positive_slots.add(row.seconds, is_selected)

    def join(self, other: _Tally) -> None:
        """Add the counts of another group."""
        self.rows += other.rows
        self.selected += other.selected
        self.outcomes += other.outcomes
        self.positives += other.positives
        self.true_positives += other.true_positives
        self.buckets += other.buckets
        self.slots.join(other.slots)
        self.positive_slots.join(other.positive_slots)


@dataclass
class _Unread:
    """The rows of one group that cannot be read.

    Attributes:
        rows: Number of rows whose output cannot be read.
        outcomes: Number of rows with an outcome whose output, or whose actual value, cannot be read.
        maybe_found: Number of these that may be selected actual positives.
        maybe_missed: Number of these that may be actual positives which are not selected.
    """

    rows: int = 0
    outcomes: int = 0
    maybe_found: int = 0
    maybe_missed: int = 0

    def add_outcome(self, row: _Prediction) -> None:
        """Count a row that may be an actual positive."""
        self.outcomes += 1
        self.maybe_found += row.is_selected is not False
        self.maybe_missed += row.is_selected is not True

    def join(self, other: _Unread) -> None:
        """Add the counts of another group."""
        self.rows += other.rows
        self.outcomes += other.outcomes
        self.maybe_found += other.maybe_found
        self.maybe_missed += other.maybe_missed


@dataclass(frozen=True)
class Grouped:
    """The counts of one counter.

    Attributes:
        groups: Counts of each group.
        notes: Predictions that outcomes name.
        hidden: Rows whose key or output is hidden.
        hidden_groups: Number of rows whose group is hidden.
        unread: Number of answered rows whose outputs cannot be read.
        unread_groups: Number of these by group.
        seen: Number of the other answered rows: of ones that were not selected, and of selected ones.
    """

    groups: dict[str, _Tally]
    notes: Notes[_Prediction]
    hidden: Hidden
    hidden_groups: int
    unread: int
    unread_groups: dict[str, _Unread]
    seen: Sequence[int]


class GroupCounter:
    """Counts records by group.

    Attributes:
        others: Names of features that the groups or the key need and the baseline lacks.
        hidden: Rows whose key or output is hidden.
        models: Number of outcomes by the model that they name.
        unread: Number of answered rows whose outputs cannot be read.

    Args:
        baseline: Baseline of the model.
        selection: Reader of its outputs and actual values.
        segmentation: Segmentation that names the groups; None if outcomes do.
        outcomes: Outcomes, perhaps of other models too.
        key: Field of the record in `keys.IDS`, or name of a feature.
        has_actual: Whether outcomes have actual values.

    Raises:
        BoxkiteError: Records cannot be joined by this key.
    """

    def __init__(
        self,
        baseline: Baseline,
        selection: Selection,
        segmentation: Segmentation | None,
        outcomes: Iterable[OutcomeRow],
        key: str,
        *,
        has_actual: bool,
    ) -> None:
        features = [item.name for item in baseline.features]
        own = () if segmentation is None else segmentation.others
        self._finder: OutcomeFinder[_Prediction] = OutcomeFinder(outcomes, key, features, own)
        self.others = self._finder.others
        self.hidden = Hidden(key)
        self.unread = 0
        self._unread_groups: dict[str, _Unread] = {}
        self._examples = Examples()
        self._rejected: dict[str, int] = {}
        self._selection = selection
        self._segmentation = segmentation
        self._width = len(features)
        self._collisions = baseline.row_collisions
        self._groups: dict[str, _Tally] = {}
        self._hidden_groups = 0
        self._has_actual = has_actual
        self._seen, self._known = [0, 0], [0, 0]  # of other rows, and of selected ones

    @property
    def models(self) -> Counter[str]:
        """The number of outcomes by the model that they name."""
        return self._finder.models

    def add(self, records: Sequence[Record], aligner: Aligner) -> None:
        """Count some records.

        Args:
            records: Records.
            aligner: Aligner of the baseline's features, then of *others*, and of its outputs.
        """
        for record in filter(is_answered, records):
            names = self._finder.names(record, aligner)
            outputs = aligner.output_rows(record) or ()
            selected = [self._selection.is_selected(row) for row in outputs]
            values = [None if chosen is None else float(chosen) for chosen in selected]
            self.hidden.see(record.rows, names, record.output, values)
            self.unread += max(record.rows - len(selected), 0) + selected.count(None)

            features = aligner.feature_rows(record) or ()
            self._seen[0] += selected.count(False)
            self._seen[1] += selected.count(True)
            found: dict[int, _Prediction] = {}
            named = dict(self._finder.named(names))
            for place, (row, output, chosen) in enumerate(zip_longest(features, outputs, selected)):
                if self._segmentation is None and place not in named:
                    continue
                found[place] = one = self._prediction(record, row, output, is_selected=chosen)
                if self._segmentation is not None and chosen is not None:
                    self._tally(one.group).add(one)
                elif self._segmentation is not None:
                    self._unread_of(one.group).rows += 1
            self._add_bare(record, max(len(features), len(outputs)), named, found)
            for place, name in named.items():
                self._finder.note(name, record.created_at, found[place])

    def _add_bare(self, record: Record, first: int, named: Iterable[int], found: dict[int, _Prediction]) -> None:
        """Note the rows of a record from one on, of which nothing was read."""
        if first >= record.rows:
            return
        bare = self._prediction(record, None, None, is_selected=None)
        found.update((place, bare) for place in named if place >= first)
        if self._segmentation is not None:
            self._unread_of(bare.group).rows += record.rows - first

    def _prediction(
        self, record: Record, row: Row | None, output: Row | None, *, is_selected: bool | None
    ) -> _Prediction:
        own = () if row is None else row[: self._width]
        bucket = bucket_of(_bytes_of(own)) if len(own) else -1
        return _Prediction(record.created_at, is_selected, self._group_of(record, row, output), bucket)

    def _group_of(self, record: Record, row: Row | None, output: Row | None) -> str:
        if self._segmentation is None:
            return ""
        if self._segmentation.value(record, row, output) == REDACTED:
            self._hidden_groups += 1
            return MISSING
        return self._segmentation(record, row, output)

    def _tally(self, name: str) -> _Tally:
        if name not in self._groups:
            if len(self._groups) > MOST_COUNTED:
                name = RARE
            return self._groups.setdefault(name, _Tally())
        return self._groups[name]

    def _unread_of(self, name: str) -> _Unread:
        if name not in self._unread_groups and len(self._unread_groups) > MOST_COUNTED:
            name = RARE
        return self._unread_groups.setdefault(name, _Unread())

    @property
    def grouped(self) -> Grouped:
        """The counts so far, for a counter in another process; before `join_outcomes`."""
        notes, seen = self._finder.notes, tuple(self._seen)
        return Grouped(self._groups, notes, self.hidden, self._hidden_groups, self.unread, self._unread_groups, seen)

    def join(self, grouped: Grouped) -> None:
        """Add the counts of another counter of the same kind, of records behind these."""
        named = str if self._segmentation is None else self._segmentation.here
        for name, tally in grouped.groups.items():
            self._tally(named(name)).join(tally)
        notes = grouped.notes.found.items()
        here = {key: (seconds, row._replace(group=named(row.group))) for key, (seconds, row) in notes}
        self._finder.join(replace(grouped.notes, found=here))
        self.hidden.join(grouped.hidden)
        self._hidden_groups += grouped.hidden_groups
        self.unread += grouped.unread
        for name, unread in grouped.unread_groups.items():
            self._unread_of(named(name)).join(unread)
        self._seen = [own + other for own, other in zip(self._seen, grouped.seen, strict=True)]

    def join_outcomes(self, model: str) -> dict[str, int]:
        """Count the outcomes of a model; return how many were not counted, by reason."""
        rejected = Counter(unknown=self._finder.nameless(model), repeated=0, invalid=0, unread=0)
        for row, outcomes in self._finder.by_key(model):
            if row is None:
                rejected["unknown"] += len(outcomes)
            elif outcomes and row.is_selected is None:
                rejected["unread"] += len(outcomes)
                self._add_unread(row, outcomes)
            elif outcomes:
                tally = self._tally(row.group or _group_among(outcomes))
                if self._segmentation is None:
                    tally.add(row)
                    self._known[bool(row.is_selected)] += not self._has_actual
                if self._has_actual:
                    known = self._known_actuals(outcomes)
                    rejected["invalid"] += len(outcomes) - len(known)
                    rejected["repeated"] += max(len(known) - 1, 0)
                    if known:
                        tally.add_actual(row, is_positive=known[0])
                        self._known[bool(row.is_selected)] += 1
                    else:
                        self._unread_of(row.group or _group_among(outcomes)).add_outcome(row)
        self._rejected = dict(rejected)
        return self._rejected

    def _known_actuals(self, outcomes: Sequence[OutcomeRow]) -> list[bool]:
        """Return the actual values that can be read, and keep examples of others."""
        known = []
        for outcome in outcomes:
            if (is_positive := self._selection.is_positive(outcome.actual)) is None:
                self._examples.note(outcome.actual)
            else:
                known.append(is_positive)
        return known

    def _add_unread(self, row: _Prediction, outcomes: Sequence[OutcomeRow]) -> None:
        """Count the outcomes of a row whose output cannot be read."""
        unread = self._unread_of(row.group or _group_among(outcomes))
        unread.rows += self._segmentation is None
        if self._has_actual:
            known = self._known_actuals(outcomes)
            if not known or known[0]:
                unread.add_outcome(row)

    @property
    def note(self) -> str:
        """The note on outcomes that cannot be read, after `join_outcomes`; empty if there are none."""
        invalid = self._rejected.get("invalid", 0)
        if not invalid:
            return ""
        forms = unread_forms(self._selection.labels, self._examples.found, "the model has")
        return f"{invalid:,} of {invalid + sum(self._known):,} outcomes could not be read: {forms}"

    @property
    def coverage(self) -> OutcomeCoverage:
        """The rows with an outcome, by selection; known after `join_outcomes`."""
        return OutcomeCoverage(self._seen[1], self._known[1], self._seen[0], self._known[0])

    def check_groups(self, by: str) -> None:
        """Warn if the groups of some rows are hidden.

        Raises:
            BoxkiteError: The groups of all rows are hidden, or no record has such a column.
        """
        if not self._hidden_groups:
            if self._segmentation is not None:
                self._segmentation.check(self._groups)
            return
        remedy = "Give it as a column of the outcomes, or take it out of that setting."
        if self._groups.keys() <= {MISSING}:
            msg = f"The column {by!r} is hidden in all records, by 'BOXKITE_REDACT' of the server. {remedy}"
            raise BoxkiteError(msg)
        text = "The column %r is hidden in %d rows, by 'BOXKITE_REDACT' of the server; they count as missing. %s"
        logger.warning(text, by, self._hidden_groups, remedy)

    def groups(self, most: int, text_of: Callable[[str], str], kept: str | None = None) -> list[GroupCounts]:
        """Return the counts of the groups with most rows, and of all others together.

        Args:
            most: Number of groups of their own.
            text_of: Returns the name of a group for people.
            kept: Name of a group that is among them in any case.
        """
        if not self._groups:
            return []
        none = _Tally()
        found = {**dict.fromkeys(self._unread_groups, none), **self._groups}  # a group may have unread rows alone
        named = sorted(found.keys() - {RARE}, key=lambda name: (name != kept, -found[name].rows, name))
        tallies, unread = {name: found[name] for name in named[:most]}, dict(self._unread_groups)
        rest = [name for name in found if name not in tallies]
        if rest:
            tallies[RARE] = together = _Tally()
            unread[RARE] = _Unread()
            for name in rest:
                together.join(found[name])
                unread[RARE].join(self._unread_groups.get(name, _Unread()))
        whole = _Tally()
        for tally in tallies.values():
            whole.join(tally)
        return list(self._counts(tallies, unread, whole, text_of))

    def _counts(
        self,
        tallies: dict[str, _Tally],
        unread: dict[str, _Unread],
        whole: _Tally,
        text_of: Callable[[str], str],
    ) -> Iterator[GroupCounts]:
        for name, tally in tallies.items():
            own = unread.get(name, _Unread())
            recurring = float(at_least(recurrence(tally.buckets[np.newaxis], self._collisions))[0])
            yield GroupCounts(
                name,
                tally.rows,
                tally.selected,
                tally.outcomes,
                tally.positives,
                tally.true_positives,
                max(recurring, _dispersion(tally.slots, whole.slots)),
                max(recurring, _dispersion(tally.positive_slots, whole.positive_slots)),
                text_of(name),
                own.rows,
                own.outcomes,
                own.maybe_found,
                own.maybe_missed,
            )


def outcome_group(value: Any) -> str:
    """Return the name of the group that an outcome gives: 1, 1.0, "1" and "1.0" are the same."""
    text = key_text(value)
    return MISSING if text is None else category_text(short_text(text))


def _group_among(outcomes: Sequence[OutcomeRow]) -> str:
    """Return the first known group that the outcomes of one row give."""
    names = (outcome_group(outcome.group) for outcome in outcomes)
    return next((name for name in names if name != MISSING), MISSING)


def _dispersion(slots: SlotSeries, whole: SlotSeries) -> float:
    """Return the dispersion of a group by its slots; if these are few, by the ones of all groups."""
    return (slots if len(slots) >= LEAST_SLOTS else whole).dispersion


def _bytes_of(row: Sequence[Any]) -> bytes:
    """Return the same bytes for equal rows."""
    try:
        return msgspec.msgpack.encode(row)
    except (OverflowError, TypeError):  # an integer beyond 64 bits
        return repr(row).encode()
