"""Counting of a stream of chunks, in bounded memory; the order of the chunks makes no difference.

Numbers are counted by their leading bits: at first by all bits, so that every distinct value is known. While a column
has more than 65,536 distinct ones, one bit less is used. The remaining bits, and so the baseline, follow from the set
of all values alone, not from chunks or order.

Counts are exact. A bound that would lie among values with the same leading bits moves up to the largest of them: by at
most one part in 32,768 of itself for each power of two that the column's values span (for 8 powers, as from 1 to 256,
one part in 4,096). Columns of up to 65,536 distinct values are the same as in memory, and so are texts of up to
262,144 distinct ones. A column of more texts, such as identifiers, has no categories: all of them are rare.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import even_groups
from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.baseline.progress import Progress, Steps
from flask_boxkite.baseline.training.aligned import as_items
from flask_boxkite.baseline.training.assembly import assembled
from flask_boxkite.baseline.training.binning import count_bins, float_width
from flask_boxkite.baseline.training.collisions import RowHashes, StreamCollisions, reusable
from flask_boxkite.baseline.training.columns import Column, as_column
from flask_boxkite.baseline.training.deriving import Derivation, Derive, check_for_chunks, derivation_of
from flask_boxkite.baseline.training.effects import LIMITS, Limits
from flask_boxkite.baseline.training.judged import rereadable
from flask_boxkite.baseline.training.leading_bits import LeadingBits
from flask_boxkite.baseline.training.memory import count_columns
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.pairing import PAIRING, with_pairs
from flask_boxkite.baseline.training.problems import ColumnError
from flask_boxkite.baseline.training.ranges import Counts
from flask_boxkite.baseline.training.ranking import Ranking
from flask_boxkite.baseline.training.row_labels import labels_of
from flask_boxkite.baseline.training.row_sample import RowSample, joined
from flask_boxkite.baseline.training.seen import Seen
from flask_boxkite.baseline.training.segmenting import Segments, wanted_segments, with_segments
from flask_boxkite.baseline.training.tables import named_columns
from flask_boxkite.baseline.training.text_columns import (
    SHOWN,
    TextRows,
    Usual,
    amounts_in,
    numbers_of,
    odd_texts,
    rows_of_texts,
    seconds_of,
    unclear,
)
from flask_boxkite.baseline.training.validating import (
    ValidationRows,
    check_judging,
    validation_rows,
    with_effects,
)
from flask_boxkite.baseline.training.value_words import Words
from flask_boxkite.errors import BaselineError

__all__ = ["StreamLimits", "count_chunks"]


@dataclass(frozen=True)
class StreamLimits:
    """Limits of the memory for one column, and for rows.

    Attributes:
        ranges: Most ranges of numbers with the same leading bits: 2 MiB.
        texts: Most distinct texts: about 30 MiB.
        effects: Most rows and values in which effects are sought.
    """

    ranges: int = 2**16
    texts: int = 2**18
    effects: Limits = LIMITS


def count_chunks(
    chunks: Iterable[Any],
    inference: str | Collection[str] | None = None,
    options: BaselineOptions | None = None,
    *,
    model: str = "default",
    version: str | None = None,
    actual: str | None = None,
    threshold: float | None = None,
    positive: Any = None,
    pairs: bool = True,
    progress: Progress = None,
    derive: Derive | None = None,
    segments: Segments = (),
    clock: Callable[[], float] = time.time,
    limits: StreamLimits = StreamLimits(),
) -> BaselineContents:
    """Count chunks of training data; `Baseline.from_chunks` explains the parameters."""
    named, derive, options = wanted_segments(segments, derive, options or BaselineOptions.of())
    options.check_outputs(inference)
    check_judging(options, inference, actual, threshold=threshold, positive=positive)
    if derive:
        check_for_chunks(derive)
    derivation: Derivation | None = None
    streams: dict[str, _Stream] = {}
    rows, seen = StreamCollisions(), Seen()
    outputs = frozenset([inference] if isinstance(inference, str) else inference or ())
    held = _Held(() if actual is None else (*outputs, actual))
    sample = _Sample(outputs, actual, limits.effects, is_random=pairs or bool(named))

    with Steps(progress) as steps:
        for number, chunk in enumerate(chunks):
            if derive:
                others = [*outputs, *([] if actual is None else [actual])]
                derivation = derivation_of(rereadable(chunk), derive, options, seen, others, is_part=True)
                options, chunk = replace(options, ordered=derivation.order), derivation.columns
            rows.add(_take(sample.seen_in(held.seen_in(chunk)), number, streams, options, seen, outputs, limits))
            steps.tell(max((stream.rows for stream in streams.values()), default=0), None, "rows")
    if not any(stream.rows for stream in streams.values()):
        msg = "The chunks of training data have no rows. Was the iterator used up before?"
        raise BaselineError(msg)

    wanted = _names(inference, streams)
    features = [stream for name, stream in streams.items() if name not in (*wanted, actual)]
    validation: ValidationRows | None = None
    if actual is None:
        of_outputs = tuple(_counted(((None, streams[name]) for name in wanted), seen))
    else:
        _names(actual, streams)
        columns = {name: held.column(name) for name in wanted}
        validation = validation_rows(columns, held.column(actual), options, threshold=threshold, positive=positive)
        options = options.with_validation(validation.edges, actual)
        of_outputs = tuple(count_columns(((name, None, values) for name, values in columns.items()), options, seen))
        seen.excluded.add(actual)
    contents = assembled(
        tuple(_counted(((position, stream) for position, stream in enumerate(features)), seen)),
        of_outputs,
        options,
        seen,
        model=model,
        version=version,
        created=int(clock()),
        collisions=rows.collisions,
        validate=None if validation is None else validation.validation,
        derived=() if derivation is None else derivation.recipes,
        inputs=() if derivation is None else derivation.inputs,
    )
    if validation is not None:
        contents = with_effects(contents, validation, *sample.of_effects(contents.features))
    if pairs or named:
        of_rows = sample.of_pairs(contents.features), sample.of_pairs(contents.outputs)
        contents = with_segments(contents, named, *of_rows) if named else contents
        contents = with_pairs(contents, *of_rows) if pairs else contents
    return contents


class _Held:
    """The columns of all chunks that are compared row by row, and so are kept: about 16 bytes a row.

    Args:
        names: Names of the columns; empty if none is compared.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._parts: dict[str, list[Any]] = {name: [] for name in names}

    def seen_in(self, chunk: Any) -> Any:
        """Keep the columns of a chunk; return the chunk, or its columns if it can be read only once."""
        if not self._parts:
            return chunk
        chunk = rereadable(chunk)
        for name, values in named_columns(chunk, prefix="feature"):
            if name in self._parts:
                self._parts[name].append(as_items(values))
        return chunk

    def column(self, name: str) -> Any:
        """Return a column of all chunks."""
        return joined(self._parts[name])


class _Sample:
    """Random rows of the chunks: features for `group_effects`, and all columns for pairs and segments.

    Args:
        outputs: Names of the outputs.
        actual: Name of the column of actual values; None if nothing is compared.
        limits: Limits of the search for effects.
        is_random: Whether random rows are wanted, too.
    """

    def __init__(self, outputs: Collection[str], actual: str | None, limits: Limits, *, is_random: bool) -> None:
        self._limits = limits
        self._actual = actual
        self._others = None if actual is None else {*outputs, actual}
        self._of_effects: RowSample | None = None
        self._of_pairs = RowSample(PAIRING.rows) if is_random else None

    def seen_in(self, chunk: Any) -> Any:
        """Take rows of a chunk; return it, or its columns if it can be read only once."""
        if self._of_pairs is None and self._others is None:
            return chunk
        chunk = rereadable(chunk)
        columns = {name: as_items(values) for name, values in named_columns(chunk, prefix="feature")}
        if self._of_pairs is not None:
            self._of_pairs.add({name: items for name, items in columns.items() if name != self._actual})
        features = {name: items for name, items in columns.items() if name not in (self._others or ())}
        if self._others is not None and features:
            if self._of_effects is None:
                self._of_effects = RowSample(self._limits.most_rows(len(features)))
            self._of_effects.add(features)
        return chunk

    def of_effects(self, items: Iterable[Distribution]) -> tuple[dict[str, Any], NDArray[np.intp] | None]:
        """Return the columns of features of random rows, by name, and the numbers of these rows among all."""
        sample = self._of_effects
        return ({}, None) if sample is None else (sample.columns([item.name for item in items]), sample.numbers)

    def of_pairs(self, items: Iterable[Distribution]) -> dict[str, Any]:
        """Return the columns of some variables, by name, of random rows."""
        assert self._of_pairs is not None
        return self._of_pairs.columns([item.name for item in items])


def _counted(streams: Iterable[tuple[int | None, _Stream]], seen: Seen) -> Iterator[Distribution]:
    """Yield the distributions of columns, except columns that *seen* notes as problems."""
    for position, stream in streams:
        try:
            yield stream.distribution(position)
        except ColumnError as error:
            seen.problems += error.problems


def _names(inference: str | Collection[str] | None, known: Collection[str]) -> list[str]:
    wanted = [inference] if isinstance(inference, str) else list(inference or ())
    for name in wanted:
        if name not in known:
            names = ", ".join(map(repr, known))
            msg = f"'inference' names the column {name!r}, which the chunks do not have. Known: {names}."
            raise BaselineError(msg)
    return wanted


def _take(
    chunk: Any,
    number: int,
    streams: dict[str, _Stream],
    options: BaselineOptions,
    seen: Seen,
    outputs: Collection[str],
    limits: StreamLimits,
) -> Words | None:
    """Count a chunk; return hashes of its rows of features, or of outputs if there are no features."""
    names = set()
    rows, rows_of_outputs = RowHashes(most=None), RowHashes(most=None)
    labels = labels_of(chunk)
    for name, once in named_columns(chunk, prefix="feature"):
        if options.leaves_out(name, seen, labels, is_output=name in outputs):
            continue
        values = reusable(once)
        (rows_of_outputs if name in outputs else rows).take(name, values)
        if number == 0:
            streams[name] = _Stream(name, options, seen, limits)
        elif name not in streams:
            raise _other_columns(number, name, "has the column", "has not")
        streams[name].take(as_column(values, name))
        names.add(name)
    for name in streams:
        if name not in names:
            raise _other_columns(number, name, "lacks the column", "has")

    return rows_of_outputs.hashes if names <= set(outputs) else rows.hashes


def _other_columns(number: int, name: str, has: str, others: str) -> BaselineError:
    return BaselineError(
        f"Chunk {number} {has} {name!r}, which the first one {others}. All chunks must have the same columns."
    )


class _Stream:
    """The counts of one column so far.

    Args:
        name: Name of the column.
        options: Decisions of the user.
        seen: Observations, to which this counting adds.
        limits: Limits of its memory.
    """

    def __init__(self, name: str, options: BaselineOptions, seen: Seen, limits: StreamLimits) -> None:
        self._name, self._options = name, options
        self._seen, self._most_texts = seen, limits.texts
        bins = options.bins.get(name)
        self._in_bins: Counts = np.zeros(len(bins.values if bins else ()) + 1, dtype=np.int64)

        self._numbers = LeadingBits(limits.ranges)
        self._texts: Counter[str] | None = Counter()
        self._number_rows = self._missing_texts = self._missing = self._invalid = 0
        self._is_category = True
        self._is_time: bool | None = None  # not known yet
        self._of_texts = TextRows()
        self._odd_of: dict[Usual, Counter[str]] = {usual: Counter() for usual in Usual}
        self._amounts: Counter[str] = Counter()

        # Texts are also counted as numbers, or as moments, while they may turn out to be such.
        self._may_be_times = name not in options.texts
        self._may_be_numbers = bool(options.missing_texts) and self._may_be_times

    @property
    def rows(self) -> int:
        """The number of rows so far."""
        return self._number_rows + self._of_texts.rows + self._missing + self._invalid

    def take(self, column: Column) -> None:
        """Count one chunk's values.

        Raises:
            BaselineError: The values are texts where earlier ones were numbers, or the other way round.
        """
        self._missing += column.missing
        self._invalid += column.invalid
        if column.texts:
            self._take_texts(column.texts)
        if column.numbers is not None and len(column.numbers):
            self._number_rows += len(column.numbers)
            self._is_category &= column.is_category
            self._take_numbers(column.numbers, is_time=column.is_time)
        may_be_read = self._may_be_times if self._is_time else self._may_be_numbers
        if self._number_rows and self._of_texts.rows and not may_be_read:
            raise self._mixed()

    def _take_numbers(self, numbers: NDArray[Any], *, is_time: bool) -> None:
        if self._is_time not in (None, is_time):
            msg = f"Column {self._name!r} holds dates in one chunk and numbers in another. Give it one type."
            raise BaselineError(msg)
        self._is_time = is_time
        self._numbers.add(numbers)
        bins = self._options.bins.get(self._name)
        if bins and bins.are_dates <= is_time:  # bins that do not fit are refused in the end
            bounds = self._options.given_bounds(self._name, is_time=is_time) or ()
            self._in_bins += count_bins(Ranking(numbers), bounds)

    def _take_texts(self, rows_by_text: Counter[str]) -> None:
        texts, missing = self._options.without_missing(rows_by_text)
        self._missing_texts += missing
        self._missing += missing
        counts = rows_of_texts(texts)
        self._of_texts += counts

        for usual, odd in self._odd_of.items():
            self._keep(odd, texts, odd_texts(texts, usual))
        if counts.amounts:
            self._keep(self._amounts, texts, amounts_in(texts))
        if self._texts is not None:
            self._texts.update(texts)
            if len(self._texts) > self._most_texts:
                self._texts = None

        self._may_be_times &= counts.times == counts.rows
        self._may_be_numbers &= counts.numbers == counts.rows
        if texts and (self._may_be_times or self._may_be_numbers):
            self._is_category = False
            self._take_numbers((seconds_of if self._may_be_times else numbers_of)(texts), is_time=self._may_be_times)

    def _keep(self, kept: Counter[str], texts: Counter[str], some: list[str]) -> None:
        """Add the rows of some texts to earlier ones; forget the rare texts if there are too many."""
        kept.update({text: texts[text] for text in some})
        if len(kept) > self._most_texts:
            frequent = dict(kept.most_common(SHOWN + 1))
            kept.clear()
            kept.update(frequent)

    def _mixed(self) -> BaselineError:
        usual = Usual.DATE if self._is_time else Usual.NUMBER
        odd = (odd_texts(self._odd_of[usual], usual) or amounts_in(self._amounts))[:SHOWN]
        such = f", such as {', '.join(map(repr, odd))}" if odd else ""
        return BaselineError(
            f"Column {self._name!r} holds {usual.value}s in one chunk and texts in another{such}. Give it one type."
        )

    def distribution(self, position: int | None) -> Distribution:
        """Return the distribution of all values.

        Raises:
            ColumnError: Nearly all texts are numbers, dates or durations, or an option does not apply.
            BaselineError: Some values are numbers and others texts.
        """
        name, options = self._name, self._options
        others: dict[str, Any] = {"missing": self._missing, "invalid": self._invalid}
        are_read = options.are_times(name, self._of_texts) or options.are_numbers(
            name, self._of_texts, self._missing_texts
        )
        if self._of_texts.rows and not are_read:
            return self._of_categories(is_output=position is None, **others)

        if self._number_rows:
            options.refuse_texts(name, "dates" if self._is_time else "booleans" if self._is_category else "numbers")
        is_time = options.is_time(name, is_time=bool(self._is_time), present=self._numbers.rows)
        if bounds := options.given_bounds(name, is_time=is_time):
            counts = tuple(self._in_bins.tolist())
            others |= {"width": float_width(self._numbers.dtype), "is_time": is_time}
            return Continuous(name, bounds, counts, even_groups(bounds, counts), **others)

        numbers = self._numbers.result(**others, is_time=is_time)
        if numbers.is_discrete(name, position, options, is_category=self._is_category):
            return numbers.discrete(name, options, is_output=position is None)
        bounds, groups = numbers.chosen_bounds(name, options, is_output=position is None)
        bounds = numbers.ranges.reached(bounds)
        return numbers.continuous(name, bounds, groups, numbers.ranges.at_most(bounds)[0])

    def _of_categories(self, *, is_output: bool, **others: int) -> Distribution:
        if self._number_rows:
            raise self._mixed()
        counts, distinct = self._of_texts, self._most_texts if self._texts is None else len(self._texts)
        if self._options.are_unclear(self._name, counts, distinct=distinct):
            odd = odd_texts(self._odd_of[counts.usual], counts.usual)
            raise ColumnError([unclear(self._name, counts, odd, amounts_in(self._amounts))])
        self._options.refuse_bins(self._name)
        texts, rows = dict(sorted((self._texts or {}).items())), counts.rows
        self._options.look_at_texts(self._name, texts, rows, self._seen)
        return self._options.discrete_of(self._name, texts, rows, is_output=is_output, **others)
