"""The builder of baselines from training data: the kind of each variable, its bins or categories, and its counts.

All decisions are made at training time and stored in the file, so that all processes that serve the model, and all
tools that read its numbers, use the same ones. Columns in memory are sorted (`memory`), the engine of a lazy frame
computes sums (`engine`), and a stream of chunks is condensed (`stream`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from flask_boxkite.baseline.baseline import Baseline
from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.progress import Progress, Steps
from flask_boxkite.baseline.training.assembly import assembled
from flask_boxkite.baseline.training.collisions import RowHashes, collisions_of_frame, reusable
from flask_boxkite.baseline.training.deriving import Derivation, Derive, derivation_of, without_invalid
from flask_boxkite.baseline.training.judged import first_columns, judged_columns, rereadable, sampled_columns
from flask_boxkite.baseline.training.memory import count_columns
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.pairing import PAIRING, with_pairs
from flask_boxkite.baseline.training.rarity import row_values
from flask_boxkite.baseline.training.row_labels import labels_of
from flask_boxkite.baseline.training.same_rows import are_same_rows, common_labels, row_labels
from flask_boxkite.baseline.training.seen import Seen
from flask_boxkite.baseline.training.segmenting import Segments, wanted_segments, with_segments
from flask_boxkite.baseline.training.tables import as_lazy_frame, named_columns, named_outputs, with_classes
from flask_boxkite.baseline.training.validating import ValidationRows, check_judging, validation_rows, with_effects
from flask_boxkite.errors import BaselineError

__all__ = ["build_baseline"]


def build_baseline(
    features: Any,
    inference: Any = None,
    options: BaselineOptions | None = None,
    *,
    model: str = "default",
    version: str | None = None,
    classes: Iterable[Any] | None = None,
    actual: Any = None,
    threshold: float | None = None,
    positive: Any = None,
    pairs: bool = True,
    progress: Progress = None,
    derive: Derive | None = None,
    segments: Segments = (),
    clock: Callable[[], float] = time.time,
) -> Baseline:
    """Count training data in bins chosen from it; `ModelMonitoringService.export_text` explains the parameters.

    Raises:
        BaselineError: The data has no columns or columns of different lengths, or an option names an unknown column.
    """
    wanted, derive, options = wanted_segments(segments, derive, options or BaselineOptions.of())
    if isinstance(inference, str):
        options.check_outputs(inference)
    if classes is not None:
        inference = with_classes(inference, classes)
    rows: ValidationRows | None = None
    seen, derivation, is_one_table = Seen(), None, True
    if derive:
        features, inference = rereadable(features), rereadable(inference)
        others = [name for name in (inference, actual) if isinstance(name, str)]
        derivation = derivation_of(features, derive, options, seen, others)
        features, options = derivation.columns, replace(options, ordered=derivation.order)
    check_judging(options, inference, actual, threshold=threshold, positive=positive)
    if pairs or wanted or actual is not None:
        features, inference = rereadable(features), rereadable(inference)
        is_one_table = _is_one_table(features, inference, actual, options)
    if actual is not None:
        rows = validation_rows(
            *judged_columns(features, inference, actual), options, threshold=threshold, positive=positive
        )
        options = options.with_validation(rows.edges, actual)

    with Steps(progress) as steps:
        counting = _Counting(options, seen, steps, derivation)
        if isinstance(inference, str):
            sides = counting.one_table(features, inference)
        else:
            sides = counting.two_tables(features, inference)
        if derivation is not None and derivation.row is not None and not seen.problems:
            sides = counting.with_row(sides, derivation)

    contents = assembled(
        sides.features,
        sides.outputs,
        options,
        seen,
        model=model,
        version=version,
        created=int(clock()),
        collisions=sides.collisions,
        validate=None if rows is None else rows.validation,
        derived=() if derivation is None else derivation.recipes,
        inputs=() if derivation is None else derivation.inputs,
    )
    if rows is not None:
        names = [item.name for item in contents.features]
        contents = with_effects(contents, rows, first_columns(features, names) if names and is_one_table else {})
    if wanted or (pairs and len(contents.distributions) > 1):
        columns = _sampled(contents, features, inference)
        if not is_one_table:  # and so no feature and output belong together
            columns = columns[0], {}
        # Of vectors, some rows are fitted to and not counted, so that their variables have other rows than all others.
        apart = () if derivation is None else derivation.held.keys()
        if wanted:
            contents = with_segments(contents, wanted, *columns, apart=apart)
        if pairs and len(contents.distributions) > 1:
            contents = _with_pairs(contents, *columns, apart=apart)
    return Baseline.of(contents)


def _is_one_table(features: Any, inference: Any, actual: Any, options: BaselineOptions) -> bool:
    """Say whether features and outputs of equally many rows are of the same rows, as far as row labels tell.

    Raises:
        BaselineError: They have the same labels in different orders, or columns that must be of the same rows are not.
    """
    of_features = row_labels(features, options.exclude)
    of_outputs = of_features if isinstance(inference, str) else row_labels(inference, options.exclude)
    of_actual = of_features if isinstance(actual, str) else row_labels(actual)
    known = common_labels([("'inference'", of_outputs), ("'actual'", of_actual)])
    return are_same_rows(of_features, known, "'features'", "'inference'" if known is of_outputs else "'actual'")


def _sampled(contents: BaselineContents, features: Any, inference: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns of the features and of the outputs; of a lazy frame, a sample."""
    of_features, of_outputs = ([item.name for item in side] for side in (contents.features, contents.outputs))
    rows = PAIRING.most_rows(len(contents.distributions))
    return sampled_columns(features, inference, of_features, of_outputs, rows=rows, total=contents.rows)


def _with_pairs(
    contents: BaselineContents, features: Mapping[str, Any], outputs: Mapping[str, Any], *, apart: Collection[str]
) -> BaselineContents:
    """Add pairs, without the variables that are counted on other rows: they are all missing here."""
    missing = {name: [None] * len(features[name]) for name in apart}
    return with_pairs(contents, {**features, **missing}, outputs)


class _Sides(NamedTuple):
    """Distributions of features and outputs, and the probability that two rows are equal in the features.

    Without features, it is the probability that two rows are equal in the outputs.
    """

    features: tuple[Distribution, ...]
    outputs: tuple[Distribution, ...]
    collisions: float | None


class _Counted(NamedTuple):
    """Distributions of some columns, and the probability that two of their rows are equal."""

    distributions: tuple[Distribution, ...]
    collisions: float | None


@dataclass(frozen=True)
class _Counting:
    """The counting of one call's data.

    Attributes:
        options: Decisions of the user.
        seen: Observations, which the counting adds to.
        steps: Display of the progress.
        derivation: Derived variables of the features; None for none.
    """

    options: BaselineOptions
    seen: Seen
    steps: Steps
    derivation: Derivation | None = None

    def one_table(self, table: Any, output: str) -> _Sides:
        """Count a table in which one column is the output.

        Raises:
            BaselineError: The table has no such column.
        """
        counted = self._features(table, output)
        outputs = tuple(item for item in counted.distributions if item.name == output)
        if not outputs and not self.seen.problems:
            known = ", ".join(repr(item.name) for item in counted.distributions)
            msg = f"'inference' names the column {output!r}, which 'features' does not have. Known: {known}."
            raise BaselineError(msg)

        features = tuple(item for item in counted.distributions if item.name != output)
        return _Sides(features, outputs, counted.collisions)

    def two_tables(self, features: Any, inference: Any) -> _Sides:
        """Count features and outputs that come apart."""
        of_features, of_outputs = self._features(features), self._outputs(inference)
        collisions = (of_features if of_features.distributions else of_outputs).collisions
        return _Sides(of_features.distributions, of_outputs.distributions, collisions)

    def with_row(self, sides: _Sides, derivation: Derivation) -> _Sides:
        """Add the variables of the whole row, which are measured by the distributions of the features.

        Raises:
            BaselineError: There is no feature that is not derived.
        """
        recipe = derivation.row
        assert recipe is not None
        derived = [name for other in derivation.recipes for name in other.names]
        given = [item for item in sides.features if item.name not in derived]
        if not given:
            msg = f"Row(), as {recipe.name!r}, measures the features of a row, and there are only derived ones."
            raise BaselineError(msg)
        others = [derivation.columns[each.names[0]] for each in derivation.recipes if each.column is not None]
        values = dict(zip(recipe.names, row_values(derivation.columns, given, others), strict=True))
        if clash := derivation.columns.keys() & values:
            msg = f"The derived variable {min(clash)!r} has the name of a column. Give one of them another name."
            raise BaselineError(msg)
        derivation.columns.update(values)
        columns = ((name, place, column) for place, (name, column) in enumerate(values.items(), len(sides.features)))
        return sides._replace(features=(*sides.features, *count_columns(columns, self.options, self.seen)))

    def _features(self, data: Any, output: str | None = None) -> _Counted:
        """Count all columns of the features, including *output*, whose values do not make rows differ."""
        if (frame := self._lazy_frame(data)) is not None:
            return self._by_engine(frame, lambda name: name != output, output)
        rows, rows_of_output = RowHashes(), RowHashes()
        held = {} if self.derivation is None else self.derivation.held
        self.seen.whole_rows.update({name: len(data[name]) for name in held})

        def columns() -> Iterator[tuple[str, int | None, Any]]:
            positions = iter(range(2**31))
            for name, values in self._included(data, named_columns(data, prefix="feature"), output):
                hashed = values if self.derivation is None else without_invalid(values)
                (rows_of_output if name == output else rows).take(name, hashed)
                yield name, None if name == output else next(positions), held.get(name, values)

        distributions = tuple(self.steps.each(count_columns(columns(), self.options, self.seen), "columns"))
        has_features = any(item.name != output for item in distributions)
        return _Counted(distributions, (rows if has_features else rows_of_output).collisions)

    def _outputs(self, inference: Any) -> _Counted:
        if (frame := self._lazy_frame(inference)) is not None:
            return self._by_engine(frame, lambda name: False)
        rows = RowHashes()

        def columns() -> Iterator[tuple[str, None, Any]]:
            for name, values in self._included(inference, named_outputs(inference)):
                rows.take(name, values)
                yield name, None, values

        distributions = tuple(self.steps.each(count_columns(columns(), self.options, self.seen), "outputs"))
        return _Counted(distributions, rows.collisions)

    def _included(
        self, data: Any, columns: Iterable[tuple[str, Any]], output: str | None = None
    ) -> Iterator[tuple[str, Any]]:
        """Yield the columns of *data* that are not left out, in a form that can be read twice."""
        labels = labels_of(data)
        for name, values in columns:
            if not self.options.leaves_out(name, self.seen, labels, is_output=name == output):
                yield name, reusable(values)

    def _lazy_frame(self, data: Any) -> Any | None:
        """Return *data* as a lazy frame without excluded columns; None if it is not lazy."""
        frame = as_lazy_frame(data)
        if frame is None or not self.options.exclude:
            return frame
        excluded = [name for name in frame.collect_schema().names() if name in self.options.exclude]
        self.seen.excluded.update(excluded)
        return frame.drop(*excluded)

    def _by_engine(self, frame: Any, is_feature: Callable[[str], bool], output: str | None = None) -> _Counted:
        from flask_boxkite.baseline.training.engine import count_lazily  # which loads narwhals

        distributions = count_lazily(frame, is_feature, self.options, self.seen, self.steps, output=output)
        names = [item.name for item in distributions]
        return _Counted(distributions, collisions_of_frame(frame, list(filter(is_feature, names)) or names))
