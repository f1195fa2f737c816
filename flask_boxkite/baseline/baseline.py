"""The baseline: the distributions of every feature and output in training, as one value.

`ModelMonitoringService.export_text` writes it, and every process that serves the model reads it. It is immutable and
safe to share between threads.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from flask_boxkite.baseline.artifacts import download, is_artifact
from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Discrete, Distribution
from flask_boxkite.baseline.file.reader import load
from flask_boxkite.baseline.file.writer import dump
from flask_boxkite.baseline.merged_segments import added_segments, merge_for_segments
from flask_boxkite.baseline.merging import merge, merge_validations
from flask_boxkite.baseline.pairs import parts_of_cells
from flask_boxkite.derived.row import RowRecipe
from flask_boxkite.errors import BinMismatchError
from flask_boxkite.policies import Policy, merged, named_policies, over, policy_lines

if TYPE_CHECKING:
    from flask_boxkite.baseline.progress import Progress

__all__ = ["Baseline"]

_SHOWN = 20
"""Most variables of a kind that a summary names."""


@dataclass(frozen=True, repr=False)
class Baseline(BaselineContents):
    """The features and outputs of a model in training.

    Attributes:
        features: Distributions of the features, in training order.
        outputs: Distributions of the outputs; empty if no inference was given.
        rows: Number of training rows.
        model: Name of the model.
        version: Name of the version, for people, or None. Identity is the `fingerprint`.
        created: Time when it was made, in Unix seconds.
        row_collisions: Probability that two of the rows are equal (`training.collisions`); None if it is unknown, as in
            files of earlier releases and of boxkite 0.0.5. Not part of the identity.
        validation: Outputs beside the actual values of the same rows; None if no actual values were given.
        pairs: Pairs of variables that go together (`pairs`); none in files of earlier releases.
        derived: Recipes of the derived variables, which are the last features.
        inputs: Names of a row's values in the order of their positions, if there are derived variables: features that
            are not derived, and columns that recipes read in their place.
        segmentations: Variables whose values' rows are also counted and judged apart (`segmentation`).
        policies: Decisions of the user on how variables are judged (`policies`); none in files of earlier releases. Not
            part of the identity.
    """

    def __repr__(self) -> str:
        """Return a summary of a few lines: model, rows, and the kind of each variable."""
        version = f", version {self.version!r}" if self.version else ""
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        lines = [f"Baseline of model {self.model!r}{version}: {rows}, fingerprint {self.fingerprint}"]
        for title, items in (("features", self.features), ("outputs", self.outputs)):
            if items:
                lines.append(f"  {title}: {_listed(items)}")
        return "\n".join([*lines, *(f"  {line}" for line in policy_lines(self.policies))])

    @classmethod
    def of(cls, contents: BaselineContents) -> Baseline:
        """Return the baseline with contents that were read or counted."""
        return cls(**{field.name: getattr(contents, field.name) for field in fields(contents)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Baseline:
        """Read a baseline file, of this package or of boxkite 0.0.5.

        Args:
            path: Path of the file, or URI of an artifact of MLflow, such as ``runs:/RUN_ID/baseline.prom``, which needs
                the extra ``mlflow``.

        Raises:
            BaselineError: The file is missing, unreadable, or not a valid baseline; names file and line.
        """
        if not is_artifact(path):
            return cls.of(load(Path(path)))
        with TemporaryDirectory() as directory:
            return cls.of(load(download(str(path), directory)))

    @classmethod
    def from_chunks(
        cls,
        chunks: Iterable[Any],
        inference: str | Collection[str] | None = None,
        *,
        model: str = "default",
        version: str | None = None,
        discrete: Iterable[str | int] | None = None,
        bins: Mapping[str, Sequence[Any]] | None = None,
        max_bins: int = 50,
        max_categories: int = 50,
        min_category_rows: int | None = None,
        texts: Collection[str] = (),
        missing_texts: Collection[str] = (),
        exclude: Collection[str] = (),
        actual: str | None = None,
        threshold: float | None = None,
        positive: Any = None,
        pairs: bool = True,
        progress: Progress = None,
        derive: Mapping[str, Any] | None = None,
        segments: Collection[str] | Mapping[str, Any] = (),
        ignore: Collection[str] = (),
        weights: Mapping[str, float] | None = None,
        drift_sizes: Mapping[str, float | tuple[float, float]] | None = None,
    ) -> Baseline:
        """Count training data that comes in chunks, such as the parts of a file, once and in bounded memory.

        Counts are exact, and the order of the chunks makes no difference. Bounds are the same as of `export_text` for a
        column of at most 65,536 distinct values. With more values, they lie up to one part in 32,768 higher, for each
        power of two that the values span. A text column of more than 262,144 distinct texts keeps no category.

        Args:
            chunks: Tables in the form of `export_text`'s features, all with the same columns.
            inference: Names of the columns that are outputs; the others are features.
            model: Name of the model. This and the arguments that follow are the same as for `export_text`.
            version: Name of the version, for people.
            discrete: Names or positions of discrete columns.
            bins: Upper bounds, by name; for dates, dates or their texts.
            max_bins: Most upper bounds of a continuous column.
            max_categories: Most categories of a discrete column.
            min_category_rows: Least number of rows for a category to be named.
            texts: Names of text columns that stay texts, even if they look like numbers or dates.
            missing_texts: Texts that stand for a missing value.
            exclude: Names of columns to leave out.
            actual: Name of the column that holds the values that came true. Its values and the outputs are kept until
                the end: about 16 bytes a row.
            threshold: Score from which a row is predicted to be positive.
            positive: Actual value that the score stands for.
            pairs: Whether each variable is also watched together with the one that tells most about it. Of more rows
                than 50,000, a random sample is counted for it, which depends on the order of the chunks.
            progress: Display of the rows done (`Progress`).
            derive: Variables to derive from each row, as for `export_text`: functions, `Observed` with the name of a
                column, and recipes that were fitted to a sample of the rows, ``sample_baseline.recipes``.
            segments: Names of variables whose rows are also counted apart for each of their values, as for
                `export_text`.
            ignore: Names of variables that are counted, but not judged, as for `export_text`.
            weights: Importance of variables, by name, as for `export_text`.
            drift_sizes: Sizes from which variables have drifted, by name, as for `export_text`.

        Raises:
            BaselineError: A chunk or an option cannot be used, chunks have different columns, or there are no rows.
        """
        # Serving needs neither.
        from flask_boxkite.baseline.training.options import BaselineOptions
        from flask_boxkite.baseline.training.stream import count_chunks

        options = BaselineOptions.of(
            discrete=discrete,
            bins=bins,
            max_bins=max_bins,
            max_categories=max_categories,
            min_category_rows=min_category_rows,
            texts=texts,
            missing_texts=missing_texts,
            exclude=exclude,
            ignore=ignore,
            weights=weights,
            drift_sizes=drift_sizes,
        )
        contents = count_chunks(
            chunks,
            inference,
            options,
            model=model,
            version=version,
            actual=actual,
            threshold=threshold,
            positive=positive,
            pairs=pairs,
            progress=progress,
            derive=derive,
            segments=segments,
        )
        return cls.of(contents)

    def with_policies(self, variables: Mapping[str, Mapping[str, Any]]) -> Baseline:
        """Return this baseline with other decisions on how variables are judged; counts and fingerprint stay the same.

        Args:
            variables: Decisions by name, in the form of ``BOXKITE_VARIABLES`` for one model: ``{"age": {"ignore":
                True}, "income": {"weight": 3, "drifted": 0.15, "major": 0.4}}``. They win over the present ones, key by
                key.

        Raises:
            BaselineError: A variable or key is unknown, or a value makes no sense.
        """
        return self.judged_by(named_policies(variables))

    def judged_by(self, policies: Iterable[Policy]) -> Baseline:
        """Return this baseline with *policies* laid over its own; see `with_policies`."""
        names = [item.name for item in self.distributions]
        return replace(self, policies=over(policies, self.policies, names))

    def with_variables(self, features: Iterable[Distribution], outputs: Iterable[Distribution]) -> Baseline:
        """Return a baseline of other variables, without actual values, pairs, segments and recipes of these here."""
        return replace(
            self,
            features=tuple(features),
            outputs=tuple(outputs),
            validation=None,
            pairs=(),
            segmentations=(),
            derived=(),
            inputs=(),
        )

    def dump(self, path: str | os.PathLike[str], *, names: str = "labels") -> None:
        """Write the baseline file, whole or not at all.

        Args:
            path: Path of the file; an existing file is replaced.
            names: ``"labels"``, or ``"boxkite"`` for the metric names of boxkite 0.0.5, which has no dates, no texts of
                missing values and only one output: a warning names the parts that it does not read.

        Raises:
            BaselineError: The file cannot be written.
        """
        dump(self, Path(path), names=names)

    def merge(self, other: Baseline) -> Baseline:
        """Add the counts of another baseline with equal bins; commutative and exact.

        Segments that both have are kept as far as groups of both end at the same bounds; a warning in the log names
        segments and variables that are left out.

        Raises:
            BinMismatchError: Models, variables, bins, groups or policies differ.
        """
        for mine, theirs in ((self.features, other.features), (self.outputs, other.outputs)):
            if len(mine) != len(theirs):
                msg = f"One baseline has {len(mine)} variables where the other has {len(theirs)}."
                raise BinMismatchError(msg)
        if (
            self.derived != other.derived
            or self.inputs != other.inputs
            or any(isinstance(recipe, RowRecipe) for recipe in self.derived)
        ):
            msg = (
                "Baselines with derived variables can be merged only if their recipes are equal, and none is a Row, "
                "which is measured by the counts of its own baseline. Make both with derive=first.recipes."
            )
            raise BinMismatchError(msg)
        if self.model != other.model:
            msg = f"One baseline is of model {self.model!r}, the other of {other.model!r}."
            raise BinMismatchError(msg)

        add = merge_for_segments if self.segmentations and other.segmentations else merge
        return Baseline(
            tuple(map(add, self.features, other.features)),
            tuple(map(add, self.outputs, other.outputs)),
            self.rows + other.rows,
            self.model,
            self.version if self.version == other.version else None,
            max(self.created, other.created),
            self._merged_collisions(other),
            merge_validations(
                self.validation,
                other.validation,
                has_equal_groups=_group_names(self.features) == _group_names(other.features),
            ),
            derived=self.derived,
            inputs=self.inputs,
            policies=merged(self.policies, other.policies, [item.name for item in self.distributions]),
        )._with_relations_of(self, other)

    def _with_relations_of(self, left: Baseline, right: Baseline) -> Baseline:
        """Return this baseline with the pairs and segments that both others have, of the same parts."""
        others = {(pair.first, pair.second): pair for pair in right.pairs}
        parts = [
            {_parts_by_value(side[place]) for side in (self.distributions, left.distributions, right.distributions)}
            for place in range(len(self.distributions))
        ]
        found = [
            replace(pair, counts=tuple(map(sum, zip(pair.counts, other.counts, strict=True))))
            for pair in left.pairs
            if (other := others.get((pair.first, pair.second))) is not None
            and len(parts[pair.first]) == len(parts[pair.second]) == 1
        ]
        return replace(self, pairs=tuple(found), segmentations=added_segments(self, left, right))

    def _merged_collisions(self, other: Baseline) -> float | None:
        """Return the mean weighted by rows; equal rows between the two samples are unknown."""
        if self.row_collisions is None or other.row_collisions is None:
            return None
        rows = max(self.rows + other.rows, 1)
        return (self.rows * self.row_collisions + other.rows * other.row_collisions) / rows


def _parts_by_value(item: Distribution) -> Collection[object]:
    """Return the parts of a variable, of categories in no order: samples may have them in another one."""
    parts = parts_of_cells(item)
    return frozenset(zip(item.categories, parts, strict=False)) if isinstance(item, Discrete) else parts


def _listed(items: Sequence[Distribution]) -> str:
    shown = [f"{item.name} ({_kind(item)})" for item in items[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else "")


def _group_names(items: Iterable[Distribution]) -> list[list[str]]:
    return [[group.name for group in item.groups] for item in items]


def _kind(item: Distribution) -> str:
    if not isinstance(item, Discrete):
        return item.kind
    number = len(item.categories)
    return f"{item.kind}, {number:,} {'category' if number == 1 else 'categories'}"
