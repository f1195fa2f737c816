"""The segments of a baseline: the rows of training by the groups of all variables, apart for each value of one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.segmentation import Segmentation, possible_segments, segment_of_cells
from flask_boxkite.baseline.training.aligned import as_items
from flask_boxkite.baseline.training.collisions import RowHashes, collisions_of
from flask_boxkite.baseline.training.group_codes import cells_of_column
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.pairing import PAIRING, PairingLimits
from flask_boxkite.baseline.training.row_sample import spread_rows, taken
from flask_boxkite.derived import Observed
from flask_boxkite.errors import BaselineError
from flask_boxkite.suggestion import suggestion
from flask_boxkite.values.conversion import InvalidValue, is_missing_text, to_number, to_text
from flask_boxkite.values.times import to_seconds

__all__ = ["MOST_SEGMENTATIONS", "Segments", "Wanted", "wanted_segments", "with_segments"]

MOST_SEGMENTATIONS = 5
"""Most variables by which the rows of a model are segmented: each takes memory, series, and a scan of its own."""

Segments = Collection[str] | Mapping[str, Any]
"""Names of variables; or of variables, with None, and of columns that are no features, with their values."""


class Wanted(NamedTuple):
    """The segments that a user wants, and the other options with all that follows from them.

    Attributes:
        names: Names of the variables.
        derive: Recipes of derived variables, with columns that only segment rows.
        options: Decisions of the user; a column that only segments rows is not left out.
    """

    names: tuple[str, ...]
    derive: Mapping[str, Any] | None
    options: BaselineOptions


def wanted_segments(segments: Segments, derive: Mapping[str, Any] | None, options: BaselineOptions) -> Wanted:
    """Read the option ``segments``: an excluded column, or values that are no column, become observed variables.

    Raises:
        BaselineError: The option is wrong, or names too many variables.
    """
    if isinstance(segments, str) or not isinstance(segments, Collection):
        msg = f"'segments' must be a list of names, or a mapping of names to values, got {segments!r}."
        raise BaselineError(msg)
    names = tuple(dict.fromkeys(segments))
    if not all(isinstance(name, str) and name for name in names):
        msg = f"'segments' must be names of columns, got {list(names)!r}."
        raise BaselineError(msg)
    if len(names) > MOST_SEGMENTATIONS:
        msg = f"'segments' names {len(names)} variables; {MOST_SEGMENTATIONS} are possible."
        raise BaselineError(msg)

    given = (
        {name: values for name, values in segments.items() if values is not None}
        if isinstance(segments, Mapping)
        else {}
    )
    observed = {name: Observed(given.get(name, name)) for name in names if name in given or name in options.exclude}
    if not observed or not isinstance(derive or {}, Mapping):  # other code refuses the latter
        return Wanted(names, derive, options)
    if clash := sorted(observed.keys() & (derive or {}).keys()):
        msg = f"'segments' and 'derive' both make the variable {clash[0]!r}. Take it out of 'exclude'."
        raise BaselineError(msg)
    options = replace(options, exclude=options.exclude - observed.keys())
    return Wanted(names, {**(derive or {}), **observed}, options)


def with_segments(
    contents: BaselineContents,
    names: Collection[str],
    features: Mapping[str, Any],
    outputs: Mapping[str, Any],
    *,
    apart: Collection[str] = (),
    limits: PairingLimits = PAIRING,
) -> BaselineContents:
    """Add segments to a baseline.

    Args:
        contents: Contents of the baseline.
        names: Names of the variables that segment rows.
        features: Columns of the features, by name; a sample of rows is enough.
        outputs: Columns of the outputs; other rows than of the features are not counted by segment.
        apart: Names of variables that are counted on other rows than the rest, and so are not counted by segment.
        limits: Limits of the sample.

    Raises:
        BaselineError: A name is of no variable, or of one whose rows are not known.
    """
    columns = dict(_known_columns(contents, features, outputs, apart))
    lengths = set(map(len, columns.values()))
    if len(lengths) != 1:
        msg = "The rows cannot be segmented: the columns of the training data can be read only once, or have no rows."
        raise BaselineError(msg)
    (length,) = lengths
    rows = spread_rows(length, limits.most_rows(len(columns)))
    sampled = {place: taken(as_items(column), rows) for place, column in columns.items()}
    cells = {place: _cells(contents.distributions[place], column) for place, column in sampled.items()}
    words = _hashes(contents, sampled)
    found = [_segmentation(contents, _place_of(contents, name, columns), cells, words) for name in names]
    return replace(contents, segmentations=tuple(sorted(found, key=lambda item: item.variable)))


def _known_columns(
    contents: BaselineContents, features: Mapping[str, Any], outputs: Mapping[str, Any], apart: Collection[str]
) -> Iterator[tuple[int, Any]]:
    """Yield the place and the column of each variable whose rows are of the same people as all others'."""
    has_equal_rows = not contents.features or not contents.outputs or contents.rows == contents.outputs[0].rows
    for place, item in enumerate(contents.distributions):
        if place < len(contents.features):
            if item.name not in apart:
                yield place, features[item.name]
        elif has_equal_rows and item.name in outputs:
            yield place, outputs[item.name]


def _place_of(contents: BaselineContents, name: str, columns: Mapping[int, Any]) -> int:
    known = [item.name for item in contents.distributions]
    if name not in known:
        msg = f"'segments' names {name!r}, which is neither a feature nor an output. {suggestion(name, known)}"
        raise BaselineError(msg)
    place = known.index(name)
    if place not in columns:
        msg = f"Rows cannot be segmented by {name!r}, which is counted on other rows than the features."
        raise BaselineError(msg)
    if not possible_segments(contents.distributions[place]):
        msg = f"Rows cannot be segmented by {name!r}, which has only rare values, or none. Leave it out."
        raise BaselineError(msg)
    return place


def _cells(item: Distribution, column: Any) -> NDArray[np.intp]:
    """Return the cell of each value, as live values are counted."""
    cells = cells_of_column(item, column, len(column))
    if item.invalid:  # which are taken for missing there
        is_invalid = np.fromiter((_is_invalid(item, value) for value in column), dtype=bool, count=len(column))
        cells = np.where(is_invalid, len(item.cells) - 1, cells)
    return cells


def _is_invalid(item: Distribution, value: Any) -> bool:
    try:
        (to_seconds if item.is_time else to_text if item.is_text else to_number)(value)
    except InvalidValue:
        return not (isinstance(value, str) and is_missing_text(value, item.missing_texts))
    return False


def _hashes(contents: BaselineContents, sampled: Mapping[int, Any]) -> NDArray[np.uint64] | None:
    """Return a hash of each row: of its features, or of its outputs if there are no features."""
    hashes = RowHashes(most=None)
    for place, column in sampled.items():
        if place < len(contents.features) or not contents.features:
            hashes.take(contents.distributions[place].name, _without_objects(column))
    return hashes.hashes


def _without_objects(column: Any) -> Any:
    return column if isinstance(column, np.ndarray) else [None if type(value) is dict else value for value in column]


def _segmentation(
    contents: BaselineContents,
    place: int,
    cells: Mapping[int, NDArray[np.intp]],
    hashes: NDArray[np.uint64] | None,
) -> Segmentation:
    item = contents.distributions[place]
    segments = possible_segments(item)
    numbers = np.frombuffer(segment_of_cells(item, segments), dtype=np.uint8)[cells[place]].astype(np.intp)
    tables = []
    for other, variable in enumerate(contents.distributions):
        groups = len(variable.groups)
        if other not in cells:
            tables.append(np.zeros((len(segments) + 1, groups), dtype=np.int64))
            continue
        sizes = [group.stop - group.start for group in variable.groups]
        of_rows = np.repeat(np.arange(groups), sizes)[cells[other]]
        counts = np.bincount(numbers * groups + of_rows, minlength=(len(segments) + 1) * groups)
        tables.append(counts.reshape(len(segments) + 1, groups))
    collisions = tuple(
        None if hashes is None else collisions_of(hashes[numbers == number]) for number in range(len(segments) + 1)
    )
    return Segmentation(place, segments, tuple(map(tuple, np.hstack(tables).tolist())), collisions)
