"""Segmentation of rows by the value, or the group of values, in one column."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Continuous, Distribution
from flask_boxkite.baseline.segmentation import Segmentation as TrainedSegments
from flask_boxkite.baseline.segmentation import segment_of_cells
from flask_boxkite.drift.wording import group_name, group_text
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.cells import cells_of
from flask_boxkite.naming import INVALID, MISSING, RARE, canonical_number, category_text, short_text
from flask_boxkite.records.alignment import Row
from flask_boxkite.records.columns import FIELDS, Columns
from flask_boxkite.records.decoding import Record
from flask_boxkite.suggestion import suggestion
from flask_boxkite.values.conversion import InvalidValue, to_number, to_text
from flask_boxkite.values.rowhash import ROW_BUCKETS
from flask_boxkite.values.times import time_text, to_seconds

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.part import Group

__all__ = ["MOST_COUNTED", "SEGMENT_FIELDS", "Segmentation", "is_by_model"]

MOST_COUNTED = 1000
"""Most values with counts of their own in a reading; rows with further values are `RARE`."""

COUNTED_BYTES = 256 << 20
"""Memory for the counts of all segments."""

_SLOTS = 30 + 60 + 96 + 3
"""Most slots of a segment: of 10 seconds, a minute, a quarter of an hour; and margins."""

SEGMENT_FIELDS = ("model", "baseline", "version", "server_id")


class Segmentation:
    """Names the segment of each row.

    Attributes:
        others: Names of features that it needs and the baseline lacks: one or none.
        variable: Side and name of the baseline's variable that segments rows, or None.
        trained: Segments of the baseline by that variable, if it has them, and they are wanted.

    Args:
        by: Variable by which the baseline has segments; else a column, by its name in frames; or a feature that the
            baseline lacks and that comes by name.
        baseline: Baseline of the variables. A continuous variable gives a segment for each of its groups.
        least: Number of values with counts of their own even if memory is short, up to *most*.
        most: Most values with counts of their own.
        is_trained: Whether rows are put into the segments of the baseline, if it has them.

    Raises:
        BoxkiteError: Rows cannot be segmented by this field.
    """

    def __init__(
        self, by: str, baseline: Baseline, *, least: int = 1, most: int = MOST_COUNTED, is_trained: bool = False
    ) -> None:
        columns = Columns.of(baseline)
        self._by = by
        self._most = min(most, max(least, COUNTED_BYTES // _segment_bytes(baseline)))
        self.others: tuple[str, ...] = ()
        self._columns: tuple[str, ...] = ()
        self.variable: tuple[str, str] | None = None
        self._item: Distribution | None = None
        self._known: set[str] = set()
        self.trained: TrainedSegments | None = None
        sides = (
            ("feature", baseline.features, columns.feature_columns),
            ("output", baseline.outputs, columns.output_columns),
        )

        known = baseline.segmentation_by(by)  # as live, by the name of the variable, which a field may have, too
        wanted = None if known is None else known.side_and_name(baseline.variables)
        for side, items, called in sides:
            for index, item in enumerate(items):
                if (called[item.name] == by) if wanted is None else (side, item.name) == wanted:
                    self.variable, self._item = (side, item.name), item
                    self._value = _value_at(index, is_output=side == "output")
                    self._label = _labels_of(item)
                    trained = _trained(baseline, self.variable) if is_trained else None
                    if trained is not None:
                        self.trained, self._label = trained, _label_of_segment(item, trained)
                        self._most = len(trained.names)
                    return

        self._label = _text_label
        if by in SEGMENT_FIELDS:
            self._value = lambda record, row, output: getattr(record, by)
        elif by in FIELDS:
            msg = (
                f"Rows cannot be segmented by {by!r}. Take a feature, an output, or one of {', '.join(SEGMENT_FIELDS)}."
            )
            raise BoxkiteError(msg)
        else:
            self.others = (by,)
            self._columns = (*columns.feature_columns.values(), *columns.output_columns.values(), *SEGMENT_FIELDS)
            self._value = _value_at(len(baseline.features), is_output=False)

    def __call__(self, record: Record, row: Row | None, output: Row | None) -> str:
        """Return the segment of a row."""
        return self._known_label(self._label(self._value(record, row, output)))

    def check(self, found: Iterable[str]) -> None:
        """Refuse a column that the baseline lacks and no record has.

        Args:
            found: Names of the segments of all rows.

        Raises:
            BoxkiteError: There are rows, and none has a value.
        """
        if self.others and set(found) == {MISSING}:
            remedy = suggestion(self._by, self._columns)
            beside = "" if remedy.endswith("?") else " A feature beside these must come by name."
            msg = f"No record has a value of {self._by!r}. {remedy}{beside}"
            raise BoxkiteError(msg)

    def here(self, segment: str) -> str:
        """Return the name of a segment that another segmentation of the same kind has named."""
        return segment if segment == RARE else self._known_label(segment)

    def _known_label(self, label: str) -> str:
        if label not in self._known:
            if len(self._known) >= self._most:
                return RARE
            self._known.add(label)
        return label

    def value(self, record: Record, row: Row | None, output: Row | None) -> Any:
        """Return the value of a row in the column, as the record has it."""
        return self._value(record, row, output)

    def name_of(self, value: Any) -> str:
        """Return the segment of a value as users give it: one in the column, or the name of a segment."""
        label = self._label(value)
        return label if label in self._known else str(value)

    def _names_of_bins(self, item: Continuous) -> list[str]:
        """Return the segment of each bin, and of missing values."""
        if self.trained is None:
            *bins, missing, _ = (own.name for own in item.groups for _ in range(own.start, own.stop))
            return [*bins, missing]
        *numbers, _ = segment_of_cells(item, self.trained.segments)
        return [self.trained.names[number] for number in numbers]

    def of_group(
        self, group: Group, places: NDArray[np.intp], others: int
    ) -> tuple[list[str], NDArray[np.intp]] | None:
        """Return the segments of some rows of a group of columns.

        Args:
            group: Group of a table with the baseline's variables.
            places: Indices of the rows.
            others: Number of rows of the group that are not among these.

        Returns:
            Names of segments, and of each row, the index of its segment among them. None if there may be more values
            than are counted, of which the first ones are: then rows must come in their order.
        """
        item = self._item
        if self.variable is None or item is None:
            column = self._by
        else:
            side, name = self.variable
            variables = group.part.layout.features if side == "feature" else group.part.layout.outputs
            (column,) = (variable.column for variable in variables if variable.name == name)
        if isinstance(item, Continuous) and not item.is_time:
            numbers = group.floats(column)[places]
            names = self._names_of_bins(item)
            bins = np.searchsorted(np.array(item.upper_bounds), numbers, side="left")
            codes = np.where(np.isnan(numbers), len(names) - 1, bins)
        else:
            encoded = group.taken(column, places).dictionary_encode()
            names = [self._label(value) for value in (*encoded.dictionary.to_pylist(), None)]
            codes = encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
        used, codes = np.unique(codes, return_inverse=True)
        labels = [names[code] for code in used]
        if self.trained is None and 0 < self._most - len(self._known) < len(labels) + others:
            return None
        segments: dict[str, int] = {}
        index = np.array([segments.setdefault(self._known_label(label), len(segments)) for label in labels], np.intp)
        return list(segments), index[codes]

    def text_of(self, segment: str) -> str:
        """Return the name of a segment for people."""
        return group_text(segment, "discrete") if self._item is None else group_name(self._item, segment)


def is_by_model(by: str | None, baseline: Baseline) -> bool:
    """Say whether rows are segmented by their model, and not by a variable of that name."""
    return by == "model" and baseline.segmentation_by("model") is None


def _trained(baseline: Baseline, variable: tuple[str, str]) -> TrainedSegments | None:
    found = (item for item in baseline.segmentations if item.side_and_name(baseline.variables) == variable)
    return next(found, None)


def _label_of_segment(item: Distribution, trained: TrainedSegments) -> Callable[[Any], str]:
    """Return the function that names the segment of a value, as a server counts it."""
    locate, names, segment_of = cells_of(item, 0).locate, trained.names, segment_of_cells(item, trained.segments)
    return lambda value: names[segment_of[locate(value)[0]]]


def _segment_bytes(baseline: Baseline) -> int:
    """Return the bytes of a segment's counts, if its rows are spread over a day."""
    groups = sum(len(item.groups) for item in baseline.distributions)
    return _SLOTS * (groups + ROW_BUCKETS) * 8


def _value_at(index: int, *, is_output: bool) -> Callable[[Record, Row | None, Row | None], Any]:
    def value(record: Record, row: Row | None, output: Row | None) -> Any:
        values = output if is_output else row
        return None if values is None else values[index]

    return value


def _labels_of(item: Distribution) -> Callable[[Any], str]:
    if not isinstance(item, Continuous):
        return _text_label if item.is_text else _time_label if item.is_time else _number_label
    names = [group.name for group in item.groups for _ in range(group.start, group.stop)]
    read = to_seconds if item.is_time else to_number
    return lambda value: _number_label(value, lambda number: names[bisect_left(item.upper_bounds, number)], read)


def _time_label(value: Any) -> str:
    return _number_label(value, time_text, to_seconds)


def _number_label(
    value: Any, label: Callable[[float], str] = canonical_number, read: Callable[[Any], float] = to_number
) -> str:
    try:
        number = read(value)
    except InvalidValue:
        return INVALID
    return label(number) if number == number else MISSING


def _text_label(value: Any) -> str:
    try:
        text = to_text(value)
    except InvalidValue:
        return INVALID
    return MISSING if text is None else category_text(short_text(text))
