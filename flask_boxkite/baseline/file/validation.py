"""The validation in a baseline file: counts by bin, predicted and actual value, means in the bins, and effects."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.baseline.file.buckets import read_buckets, read_count
from flask_boxkite.baseline.file.damage import fail
from flask_boxkite.baseline.losses import losses_of_moments
from flask_boxkite.baseline.validation import (
    BinaryValidation,
    ClassValidation,
    Effects,
    MeanLosses,
    Means,
    RegressionValidation,
    Validation,
)
from flask_boxkite.naming import UNSEEN, canonical_number, parse_number
from flask_boxkite.promtext.family import Family, label_text
from flask_boxkite.promtext.sample import Sample

__all__ = ["LISTS", "ValidationSamples", "bin_names", "cell_labels", "validation_families"]

INFO = Family("boxkite_validation_info", "gauge", "Rows with an actual value, and how outputs are compared with it.")
COUNTS = Family("boxkite_outcomes_baseline", "counter", "Validation rows by bin, predicted and actual value.")
MEANS = Family("boxkite_validation_mean", "gauge", "Means of the validation rows in each bin of the output.")
ERRORS = Family("boxkite_outcome_error_baseline", "histogram", "Size of the error of each validation row.")
EFFECTS = Family("boxkite_validation_effect", "gauge", "Effect of each group of a feature on the expected quality.")

Key = TypeVar("Key", bound="tuple[str, ...]")

LISTS = frozenset({"outputs", "classes"})
"""Labels that hold lists, as JSON has them."""

_AREAS = "areas"

_MOMENTS = ("scores", "squares")
"""Means that files of earlier versions have in place of losses."""

_REGRESSION_MEANS = ("errors", "absolute_errors", "squared_errors")
_TARGETS = {
    BinaryValidation.kind: ("negative", "positive"),
    ClassValidation.kind: ("right",),
    RegressionValidation.kind: _REGRESSION_MEANS,
}
"""Names of the numbers that effects change."""

_RESULTS = (("true_negative", "false_negative"), ("false_positive", "true_positive"))
"""Results by predicted and actual class, negative first."""


def bin_names(upper_bounds: Iterable[float]) -> list[str]:
    """Return the names of bins: their upper bounds, the last one infinite."""
    return [canonical_number(bound) for bound in (*upper_bounds, math.inf)]


# --- writing ---------------------------------------------------------------------------------------------------------


def validation_families(
    validation: Validation, features: Sequence[Distribution], labels: str
) -> Iterator[tuple[Family, str]]:
    """Yield the families that hold a validation, with their lines.

    Args:
        validation: The validation.
        features: Distributions of the features, whose groups have effects.
        labels: Label text of every sample.
    """
    yield INFO, f"{INFO.name}{{{labels},{_about(validation)}}} {validation.rows}\n"
    cells = zip(cell_labels(validation), _counts(validation), strict=True)
    yield COUNTS, "".join(f"{COUNTS.sample_name}{{{labels},{cell}}} {count}\n" for cell, count in cells)

    names = bin_names(validation.upper_bounds)
    for own, means in _means(validation):
        lines = zip(names, means, strict=True)
        text = (
            f"{MEANS.name}{{{labels},{own},{label_text(bin=name)}}} {mean!r}\n" for name, mean in lines if mean == mean
        )
        yield MEANS, "".join(text)
    if isinstance(validation, RegressionValidation):
        yield ERRORS, "".join(_buckets(validation, labels))
    if validation.effects is not None:
        yield EFFECTS, "".join(_effect_lines(validation, features, labels))


def _about(validation: Validation) -> str:
    if isinstance(validation, BinaryValidation):
        return label_text(
            kind=validation.kind,
            output=validation.output,
            threshold=repr(validation.threshold),
            positive=validation.positive,
            negative=validation.negative,
        )
    if isinstance(validation, ClassValidation):
        outputs, classes = json.dumps(validation.outputs), json.dumps(validation.classes)
        return label_text(kind=validation.kind, outputs=outputs, classes=classes)
    return label_text(kind=validation.kind, output=validation.output)


def cell_labels(validation: Validation, *, with_unseen: bool = False) -> list[str]:
    """Return the label text of each cell of outcomes: bin, predicted and actual value, and how right that is.

    A number has only bins here.

    Args:
        validation: Validation of the model.
        with_unseen: Whether classes have one actual value more, `UNSEEN`, as `OutcomeCells` has them.
    """
    names = bin_names(validation.upper_bounds)
    if isinstance(validation, BinaryValidation):
        return [
            label_text(
                bin=name, predicted=validation.labels[predicted], actual=validation.labels[actual], result=result
            )
            for number, name in enumerate(names)
            for predicted in [int(number >= validation.first_positive)]
            for actual, result in enumerate(_RESULTS[predicted])
        ]
    if isinstance(validation, ClassValidation):
        others = (UNSEEN,) if with_unseen else ()
        return [
            label_text(bin=name, predicted=predicted, actual=actual, result="right" if actual == predicted else "wrong")
            for predicted in validation.classes
            for name in names
            for actual in (*validation.classes, *others)
        ]
    return [label_text(bin=name) for name in names]


def _counts(validation: Validation) -> Iterator[int]:
    """Yield the validation rows of each cell, in the order of `cell_labels`."""
    if isinstance(validation, BinaryValidation):
        return chain.from_iterable(zip(validation.negatives, validation.positives, strict=True))
    if isinstance(validation, ClassValidation):
        return chain.from_iterable(row for bins in validation.counts for row in bins)
    return iter(validation.counts)


def _means(validation: Validation) -> Iterator[tuple[str, Means]]:
    """Yield the label text of each kind of mean, and the means."""
    if isinstance(validation, BinaryValidation):
        if validation.areas is not None:
            yield label_text(of=_AREAS), validation.areas
        losses = {} if validation.losses is None else validation.losses._asdict()
        for of, by_class in losses.items():
            for actual, means in zip(validation.labels, by_class, strict=True):
                yield label_text(of=of, actual=actual), means
    elif isinstance(validation, RegressionValidation):
        for of in _REGRESSION_MEANS:
            yield label_text(of=of), getattr(validation, of)


def _buckets(validation: RegressionValidation, labels: str) -> Iterator[str]:
    below = 0
    for name, count in zip(bin_names(validation.error_bounds), validation.error_counts, strict=True):
        below += count
        yield f"{ERRORS.name}_bucket{{{labels},{label_text(le=name)}}} {below}\n"


def _effect_lines(validation: Validation, features: Sequence[Distribution], labels: str) -> Iterator[str]:
    groups = [(item.name, group.name) for item in features for group in item.groups]
    for on, effects in zip(_TARGETS[validation.kind], validation.effects or (), strict=True):
        for (feature, group), effect in zip(groups, effects, strict=True):
            if effect:
                yield f"{EFFECTS.name}{{{labels},{label_text(on=on, feature=feature, group=group)}}} {effect!r}\n"


# --- reading ---------------------------------------------------------------------------------------------------------


class ValidationSamples:
    """The samples of a validation in a file, before the checks."""

    def __init__(self) -> None:
        self._about: Sample | None = None
        self._counts: dict[tuple[str, str, str], Sample] = {}
        self._means: dict[tuple[str, str, str], Sample] = {}
        self._errors: list[Sample] = []
        self._effects: dict[tuple[str, str, str], Sample] = {}

    def take(self, sample: Sample) -> bool:
        """Keep a sample if it belongs to a validation; return whether it does.

        Raises:
            BaselineError: The sample is there twice.
        """
        labels = sample.labels
        if sample.name == INFO.name:
            if self._about is not None:
                fail("a second validation begins here. A file holds one.", sample.line)
            self._about = sample
        elif sample.name == COUNTS.sample_name:
            key = labels.get("bin", ""), labels.get("predicted", ""), labels.get("actual", "")
            _keep(self._counts, key, sample)
        elif sample.name == MEANS.name:
            _keep(self._means, (labels.get("of", ""), labels.get("actual", ""), labels.get("bin", "")), sample)
        elif sample.name == EFFECTS.name:
            _keep(self._effects, (labels.get("on", ""), labels.get("feature", ""), labels.get("group", "")), sample)
        elif sample.name == f"{ERRORS.name}_bucket":
            self._errors.append(sample)
        else:
            return False
        return True

    def validation(self, features: Sequence[Distribution], outputs: Sequence[Distribution]) -> Validation | None:
        """Return the validation; None if the file has none.

        Args:
            features: Features of the baseline.
            outputs: Outputs of the baseline.

        Raises:
            BaselineError: A part is missing, or does not belong to the baseline.
        """
        about = self._about
        if about is None:
            if self._counts:
                sample = next(iter(self._counts.values()))
                fail(f"'{sample.name}' has no '{INFO.name}' before it. Export the file again.", sample.line)
            return None
        kind = about.labels.get("kind", "")
        if kind not in _TARGETS:
            fail(f"a validation of kind {kind!r} is not known. Is the file of a later release?", about.line)
        effects = self._effects_of(kind, features)
        validation: Validation
        if kind == BinaryValidation.kind:
            validation = self._binary(about, outputs, effects)
        elif kind == ClassValidation.kind:
            validation = self._classes(about, outputs, effects)
        else:
            validation = self._regression(about, outputs, effects)
        if self._counts or validation.rows != read_count(about):
            fail("the counts of the validation do not belong to it: the file was cut or edited.", about.line)
        return validation

    def _binary(
        self, about: Sample, outputs: Sequence[Distribution], effects: tuple[Effects, ...] | None
    ) -> BinaryValidation:
        item = _output(about, outputs)
        try:
            threshold = parse_number(about.labels.get("threshold", ""))
        except ValueError:
            fail("the threshold of the validation must be a number.", about.line)
        if math.nextafter(threshold, -math.inf) not in item.upper_bounds:
            fail(f"no bin of {item.name!r} ends just below the threshold {threshold!r}.", about.line)

        labels = about.labels.get("negative", ""), about.labels.get("positive", "")
        blank = BinaryValidation(item.name, threshold, labels[1], labels[0], item.upper_bounds, (), ())
        names = bin_names(item.upper_bounds)
        negatives, positives = (
            tuple(
                self._count(about, name, labels[number >= blank.first_positive], actual)
                for number, name in enumerate(names)
            )
            for actual in labels
        )
        found = replace(blank, negatives=negatives, positives=positives, effects=effects)
        kinds = {of for of, _, _ in self._means}
        areas = self._areas(about, found) if _AREAS in kinds else None
        # Scores that are no probabilities have no losses.
        losses = self._losses(about, found) if kinds - {_AREAS} else None
        return replace(found, areas=areas, losses=losses)

    def _areas(self, about: Sample, validation: BinaryValidation) -> Means:
        areas = self._means_of(_AREAS, validation.upper_bounds)
        _check_means(about, [areas], [m * k for m, k in zip(validation.negatives, validation.positives, strict=True)])
        if not all(0 <= area <= 1 for area in areas if area == area):
            fail("a share of pairs of the validation is not in [0, 1].", about.line)
        return areas

    def _losses(self, about: Sample, validation: BinaryValidation) -> MeanLosses:
        bounds = validation.upper_bounds
        if any(of in _MOMENTS for of, _, _ in self._means):
            moments = [self._means_of(of, bounds) for of in _MOMENTS]
            _check_means(about, moments, validation.bin_rows)
            of_old = (map(tuple, means.tolist()) for means in losses_of_moments(*moments))
            return MeanLosses(*((negative, positive) for negative, positive in of_old))

        found = MeanLosses(
            *(
                (self._means_of(of, bounds, validation.negative), self._means_of(of, bounds, validation.positive))
                for of in MeanLosses._fields
            )
        )
        for rows, means in zip((validation.negatives, validation.positives), zip(*found, strict=True), strict=True):
            _check_means(about, means, rows)
        if any(mean < 0 for mean in chain(*chain(*found))):
            fail("a loss of the validation is negative.", about.line)
        return found

    def _classes(
        self, about: Sample, outputs: Sequence[Distribution], effects: tuple[Effects, ...] | None
    ) -> ClassValidation:
        names, classes = (_list(about, label) for label in ("outputs", "classes"))
        if missing := set(names) - {item.name for item in outputs}:
            fail(f"the validation is of the output {min(missing)!r}, which the baseline does not have.", about.line)
        bins = {bin_ for bin_, _, _ in self._counts}
        try:
            bounds = sorted(map(parse_number, bins))
        except ValueError:
            fail("a bin of the validation is not a number.", about.line)
        if not bounds or bounds[-1] != math.inf:
            fail("the validation has no bin '+Inf': the file was cut or edited.", about.line)
        counts = tuple(
            tuple(
                tuple(self._count(about, name, predicted, actual) for actual in classes)
                for name in bin_names(bounds[:-1])
            )
            for predicted in classes
        )
        return ClassValidation(names, classes, tuple(bounds[:-1]), counts, effects)

    def _regression(
        self, about: Sample, outputs: Sequence[Distribution], effects: tuple[Effects, ...] | None
    ) -> RegressionValidation:
        item = _output(about, outputs)
        counts = tuple(self._count(about, name) for name in bin_names(item.upper_bounds))
        errors, absolute, squared = means = [self._means_of(of, item.upper_bounds) for of in _REGRESSION_MEANS]
        _check_means(about, means, counts)
        bounds, error_counts = read_buckets("the errors of the validation", self._errors)
        return RegressionValidation(
            item.name, item.upper_bounds, counts, errors, absolute, squared, bounds, error_counts, effects
        )

    def _count(self, about: Sample, *key: str) -> int:
        """Return the rows of a cell, which then counts as read."""
        full = (*key, *("",) * (3 - len(key)))
        sample = self._counts.pop((full[0], full[1], full[2]), None)
        if sample is None:
            fail(f"the validation lacks its rows of {', '.join(map(repr, key))}: the file was cut.", about.line)
        return read_count(sample)

    def _means_of(self, of: str, upper_bounds: Sequence[float], actual: str = "") -> Means:
        """Return the means of a name, NaN where the file has none."""
        samples = (self._means.get((of, actual, name)) for name in bin_names(upper_bounds))
        return tuple(math.nan if sample is None else sample.value for sample in samples)

    def _effects_of(self, kind: str, features: Sequence[Distribution]) -> tuple[Effects, ...] | None:
        if not self._effects:
            return None
        groups = [(item.name, group.name) for item in features for group in item.groups]
        effects = tuple(
            tuple(sample.value if (sample := self._effects.pop((on, *group), None)) else 0.0 for group in groups)
            for on in _TARGETS[kind]
        )
        if self._effects:
            sample = next(iter(self._effects.values()))
            fail("the effect is on a group that the baseline does not have.", sample.line)
        if not all(map(math.isfinite, chain.from_iterable(effects))):
            fail("an effect in the validation is not a finite number.")
        return effects


def _keep(kept: dict[Key, Sample], key: Key, sample: Sample) -> None:
    if key in kept:
        fail(f"'{sample.name}' is there twice for {', '.join(map(repr, key))}.", sample.line)
    kept[key] = sample


def _output(about: Sample, outputs: Sequence[Distribution]) -> Continuous:
    """Return the output that a validation is of."""
    name = about.labels.get("output")
    for item in outputs:
        if item.name == name and isinstance(item, Continuous):
            return item
    fail(f"the validation is of the output {name!r}, which the baseline does not have as a number.", about.line)


def _list(about: Sample, label: str) -> tuple[str, ...]:
    try:
        texts = json.loads(about.labels.get(label, ""))
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        fail(f"{label!r} of the validation must be a list of texts, as JSON has it.", about.line)
    if len(set(texts)) < len(texts):
        fail(f"{label!r} of the validation names one twice.", about.line)
    return tuple(texts)


def _check_means(about: Sample, means: Sequence[Means], counts: Sequence[int]) -> None:
    """Refuse means that are infinite, or missing where there are rows."""
    for of_bins in means:
        if any(math.isinf(mean) or (rows and math.isnan(mean)) for mean, rows in zip(of_bins, counts, strict=True)):
            fail("a mean of the validation is missing or not a finite number.", about.line)
