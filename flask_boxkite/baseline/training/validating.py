"""The validation of a model: its outputs beside the actual values of the same rows, counted in the outputs' bins.

The kind follows from both: a score of two actual values, a predicted class, or a predicted number. It has to be known
before the outputs are counted, because a score gets bins of its own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import narrow_bounds
from flask_boxkite.baseline.codes import FINE, largest_step, number_code, typical_coarseness
from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, category_labels
from flask_boxkite.baseline.losses import BELOW_ONE, losses_of_scores
from flask_boxkite.baseline.training.aligned import as_items, labels_of_rows, numbers_of_rows
from flask_boxkite.baseline.training.binning import distinct_limit
from flask_boxkite.baseline.training.effects import group_effects
from flask_boxkite.baseline.training.group_codes import group_codes, label_key
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.validation import (
    BinaryValidation,
    ClassValidation,
    MeanLosses,
    Means,
    RegressionValidation,
    Validation,
)
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import canonical_number
from flask_boxkite.values.conversion import is_missing_text

__all__ = ["ValidationRows", "check_judging", "validation_rows", "with_effects"]

logger = logging.getLogger("flask_boxkite")

GRID = tuple(step / 20 for step in range(1, 20))
"""Bounds of a probability's bins, besides its deciles and the threshold."""

DECILES = tuple(tenth / 10 for tenth in range(1, 10))

MOST_CLASSES = 100
"""Most classes: pairs of predicted and actual class are counted."""

MOST_CELLS = 10_000
"""Most pairs of predicted and actual class, times bins of probability."""

FEWEST_ROWS = 30
"""Number of rows with an actual value below which nothing can be said."""

SUSPECT_AREA, SUSPECT_ROWS = 0.99, 100
"""Area under the ROC curve, and rows, from which the model was probably fitted to the very rows."""

Floats = NDArray[np.float64]


class ValidationRows(Protocol):
    """Outputs and actual values of the same rows."""

    @property
    def edges(self) -> Mapping[str, tuple[float, ...]]:
        """Bounds that the bins of outputs must have, by name; these outputs are continuous."""

    def validation(self, outputs: Sequence[Distribution]) -> Validation:
        """Count the rows.

        Args:
            outputs: Distributions of the outputs.
        """

    def targets(self, validation: Any) -> tuple[NDArray[np.bool_], Floats]:
        """Return the rows that were counted, and the numbers of them that groups of features may explain.

        Args:
            validation: Result of `validation`.

        Returns:
            A mask of all rows, and the targets of `effects`, shape (targets, counted rows).
        """


def check_judging(
    options: BaselineOptions, inference: Any, actual: Any, *, threshold: float | None, positive: Any
) -> None:
    """Refuse arguments that do not go together; `validation_rows` explains them.

    Raises:
        BaselineError: The threshold is no number; or an argument needs actual values, which are not given, or names a
            column of another role.
    """
    if threshold is not None and not _is_finite(threshold):
        msg = f"'threshold' must be a finite number, got {threshold!r}."
        raise BaselineError(msg)
    if actual is None:
        for option, value in (("threshold", threshold), ("positive", positive)):
            if value is not None:
                msg = f"'{option}' needs the actual values of the rows. Give them as 'actual'."
                raise BaselineError(msg)
    elif isinstance(actual, str):
        if isinstance(inference, str) and inference == actual:
            msg = (
                f"'inference' and 'actual' both name {actual!r}. One is the output, the other the value that came true."
            )
            raise BaselineError(msg)
        if actual in options.exclude:
            msg = f"'actual' and 'exclude' both name {actual!r}. Take it out of 'exclude': it is no feature anyway."
            raise BaselineError(msg)


def validation_rows(
    outputs: Mapping[str, Any],
    actual: Any,
    options: BaselineOptions,
    *,
    threshold: float | None = None,
    positive: Any = None,
) -> ValidationRows:
    """Read outputs and actual values, and decide on the kind of model.

    Args:
        outputs: Columns of the outputs, by name.
        actual: Actual values, shape (n,), in the order of the rows.
        options: Decisions of the user.
        threshold: Score from which a row is predicted to be positive; None for 0.5.
        positive: Actual value that the score stands for; None for the larger one.

    Raises:
        BaselineError: The outputs and the actual values do not fit together, or an argument does not apply.
    """
    actual = _single_values(actual)
    labels, places = labels_of_rows(actual, {"", *options.missing_texts})
    _check_rows(outputs, labels, places)
    read = {name: numbers_of_rows(values) for name, values in outputs.items()}
    if len(outputs) > 1:
        return _of_probabilities(read, labels, places, threshold, positive)
    ((name, values),) = outputs.items()

    if not _is_score(name, values, read[name], labels, options):
        _refuse_score_options("predicted class", threshold, positive)
        own, predicted = labels_of_rows(values, options.missing_texts)
        _warn_of_missing_texts(own, labels)
        return _LabelRows(name, own, predicted, labels, places)
    if len(labels) == 2:
        return _binary(name, read[name], labels, places, threshold, positive)
    if labels and isinstance(labels[0], str):
        shown = ", ".join(map(repr, labels[:5]))
        msg = (
            f"'actual' holds {len(labels)} labels ({shown}{', …' if len(labels) > 5 else ''}), but the output {name!r} "
            "is a number. Give the predicted label as the output, or the probability of each class: "
            f"inference=model.predict_proba(X), classes=model.classes_.{_missing_hint(labels)}"
        )
        raise BaselineError(msg)
    _refuse_score_options("predicted number", threshold, positive)
    return _RegressionRows(name, read[name], numbers_of_rows(actual))


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def _single_values(actual: Any) -> NDArray[Any] | Sequence[Any]:
    """Return the actual values as a column; refuse other numbers of values in a row than one."""
    try:
        column = as_items(actual)
    except TypeError as error:
        msg = f"'actual' must be a column of values, or the name of one, got {type(actual).__name__}."
        raise BaselineError(msg) from error
    if np.ndim(column) > 1 if isinstance(column, np.ndarray) else any(map(_is_container, column)):
        msg = (
            "'actual' has several values in a row, as one-hot labels have. Give the label of each row: "
            "numpy.array(classes)[numpy.argmax(actual, axis=1)]."
        )
        raise BaselineError(msg)
    return column


def _is_container(value: Any) -> bool:
    return isinstance(value, (list, tuple, Mapping)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _check_rows(outputs: Mapping[str, Any], labels: Sequence[str | float], places: NDArray[np.intp]) -> None:
    if not outputs:
        msg = "'actual' needs the outputs of the same rows. Give them as 'inference'."
        raise BaselineError(msg)
    for name, values in outputs.items():
        if (rows := len(values)) != len(places):
            msg = f"'actual' has {len(places):,} rows, the output {name!r} has {rows:,}. Both must be of the same rows."
            raise BaselineError(msg)
    if (known := int(np.count_nonzero(places >= 0))) < FEWEST_ROWS:
        msg = f"'actual' has a value in {known:,} rows; at least {FEWEST_ROWS} are needed to say how good a model is."
        raise BaselineError(msg)
    if len(labels) == 1:
        msg = f"'actual' is {_label_texts(labels)[0]} in all rows. At least two values are needed for a comparison."
        if isinstance(labels[0], str):
            msg += " A command reads 'none', 'NA' and the like in CSV as missing; in Parquet, they are labels."
        raise BaselineError(msg)


def _missing_hint(labels: Sequence[str | float]) -> str:
    """Return a sentence on labels that may stand for an unknown value, after a blank; empty if there are none."""
    texts = _suspects(labels)
    return f" If {', '.join(map(repr, texts))} stands for an unknown value: missing_texts={texts!r}." if texts else ""


def _warn_of_missing_texts(predicted: Sequence[str | float], actual: Sequence[str | float]) -> None:
    """Warn of actual labels such as ``NA`` that are never predicted."""
    if texts := _suspects([label for label in actual if label not in predicted]):
        text = "'actual' holds %s, which counts as a class. If it stands for an unknown value, give missing_texts=%r."
        logger.warning(text, ", ".join(map(repr, texts)), texts)


def _suspects(labels: Sequence[str | float]) -> tuple[str, ...]:
    return tuple(label for label in labels if isinstance(label, str) and is_missing_text(label))


def _is_score(
    name: str, values: Any, numbers: NDArray[Any], labels: Sequence[str | float], options: BaselineOptions
) -> bool:
    """Say whether an output is a number to judge as such, rather than one of the labels."""
    if name in options.bins:
        return True
    own, _ = labels_of_rows(values, options.missing_texts)
    if own and isinstance(own[0], str):
        return False
    decided = options.is_discrete(name, None, is_category=False)
    if len(labels) <= 2:  # classes are predicted as one of the two, a score has other values
        return not set(own) <= set(labels)
    present = int(np.count_nonzero(np.isfinite(numbers)))
    is_discrete = len(own) < distinct_limit(present) if decided is None else decided
    return not (is_discrete and set(own) <= set(labels))


def _refuse_score_options(kind: str, threshold: float | None, positive: Any) -> None:
    for option, value in (("threshold", threshold), ("positive", positive)):
        if value is not None:
            msg = f"'{option}' is for a score of two actual values, but the output is a {kind}. Leave it out."
            raise BaselineError(msg)


def with_effects(
    contents: BaselineContents,
    rows: ValidationRows,
    columns: Mapping[str, Any],
    numbers: NDArray[np.intp] | None = None,
) -> BaselineContents:
    """Add the effects of the features' groups to the validation of a baseline.

    There are none if the features are other rows than the outputs.

    Args:
        contents: Contents of the baseline.
        rows: Rows of its validation.
        columns: Columns of all its features, by name, of some rows.
        numbers: Numbers of these rows among all, ascending; None for the first rows.
    """
    features = contents.features
    lengths = {len(values) for values in columns.values()}
    if contents.validation is None or len(lengths) != 1 or contents.rows != contents.outputs[0].rows:
        return contents
    is_known, targets = rows.targets(contents.validation)
    (length,) = lengths
    numbers = np.arange(min(length, len(is_known))) if numbers is None else numbers
    is_used = is_known[numbers]
    codes = group_codes(columns, features, len(numbers))[is_used]
    places = (np.cumsum(is_known) - 1)[numbers[is_used]]  # targets are of known rows alone
    found = group_effects(codes, sum(len(item.groups) for item in features), targets[:, places])
    if not found.any():
        return contents
    effects = tuple(map(tuple, found.tolist()))
    return replace(contents, validation=replace(contents.validation, effects=effects))


# --- a score ---------------------------------------------------------------------------------------------------------


def _binary(
    name: str,
    scores: NDArray[Any],
    labels: Sequence[str | float],
    places: NDArray[np.intp],
    threshold: float | None,
    positive: Any,
) -> _BinaryRows:
    chosen = _positive_place(labels, positive)
    texts = _label_texts(labels)
    present = scores[~np.isnan(scores)]
    is_probability = bool(len(present)) and float(present.min()) >= 0 and float(present.max()) <= 1
    if threshold is None and not is_probability:
        msg = (
            f"The output {name!r} is not a probability: its values lie outside of 0 to 1. Give the value from which a "
            "row is predicted to be positive: threshold=0.0, for example."
        )
        raise BaselineError(msg)
    is_positive = np.where(places < 0, -1, places == chosen)
    limit = 0.5 if threshold is None else float(threshold)
    return _BinaryRows(name, scores, is_positive, texts[chosen], texts[1 - chosen], limit, is_probability)


def _positive_place(labels: Sequence[str | float], positive: Any) -> int:
    """Return the place of the positive label among the two, ascending."""
    if positive is None:
        return 1
    given, _ = labels_of_rows([positive])
    keys = list(map(label_key, labels))
    if not given or label_key(given[0]) not in keys:
        known = " and ".join(_label_texts(labels))
        msg = f"'positive' must be one of the actual values, {known}, got {positive!r}."
        raise BaselineError(msg)
    return keys.index(label_key(given[0]))


def _label_texts(labels: Sequence[str | float]) -> list[str]:
    """Return labels as the file and the metrics write them."""
    if labels and not isinstance(labels[0], str):
        return [canonical_number(float(label)) for label in labels]
    return category_labels([str(label) for label in labels])


@dataclass(frozen=True)
class _BinaryRows:
    """A score beside two actual values.

    Attributes:
        name: Name of the output.
        scores: Score of each row.
        is_positive: 1 for a positive actual value, 0 for a negative one, -1 for an unknown one.
        positive: Label of the positive actual value.
        negative: Label of the other one.
        threshold: Score from which a row is predicted to be positive.
        is_probability: Whether scores are probabilities.
    """

    name: str
    scores: NDArray[Any]
    is_positive: NDArray[Any]
    positive: str
    negative: str
    threshold: float
    is_probability: bool

    @property
    def edges(self) -> Mapping[str, tuple[float, ...]]:
        """The threshold, as the largest number below it, and a grid; see `ValidationRows`.

        Scores of 0 and of 1 have bins of their own, because the logarithmic loss of a wrong one is far larger.
        """
        below = math.nextafter(self.threshold, -math.inf)
        if not self.is_probability:
            return {self.name: (below,)}
        ends = {0.0: np.any(self.scores == 0), BELOW_ONE: np.any(self.scores == 1)}
        reached = (end for end, is_reached in ends.items() if is_reached)
        return {self.name: tuple(dict.fromkeys((below, *reached, *GRID)))}

    def validation(self, outputs: Sequence[Distribution]) -> BinaryValidation:
        """Count the rows; see `ValidationRows`."""
        (item,) = (item for item in outputs if item.name == self.name)
        assert isinstance(item, Continuous)
        scores, actual = self.scores[self._is_known], self.is_positive[self._is_known]
        bins = _bins_of(scores, item.upper_bounds)
        negatives, positives = (np.bincount(bins[actual == side], minlength=len(item.counts)) for side in (0, 1))
        if not negatives.any() or not positives.any():
            msg = f"All rows with a score in {self.name!r} have the same actual value. Both values are needed."
            raise BaselineError(msg)
        _warn_of_scores(self, negatives, positives)
        found = BinaryValidation(
            self.name,
            self.threshold,
            self.positive,
            self.negative,
            item.upper_bounds,
            tuple(negatives.tolist()),
            tuple(positives.tolist()),
            areas=_areas(scores, actual, bins, len(item.counts)),
        )
        if not self.is_probability:
            return found
        return replace(found, losses=_mean_losses(scores, actual, bins, len(item.counts)))

    def targets(self, validation: BinaryValidation) -> tuple[NDArray[np.bool_], Floats]:
        """Return positive less its expected share, for rows predicted negative and positive; see `ValidationRows`."""
        bins = _bins_of(self.scores[self._is_known], validation.upper_bounds)
        surplus = self.is_positive[self._is_known] - validation.calibration.shares[bins]
        is_predicted = bins >= validation.first_positive
        return self._is_known, np.array([np.where(is_predicted, 0.0, surplus), np.where(is_predicted, surplus, 0.0)])

    @property
    def _is_known(self) -> NDArray[np.bool_]:
        is_known: NDArray[np.bool_] = (self.is_positive >= 0) & ~np.isnan(self.scores)
        return is_known


def _mean_losses(scores: NDArray[Any], actual: NDArray[Any], bins: NDArray[np.intp], size: int) -> MeanLosses:
    """Return the losses of the rows in each bin, by actual value."""
    brier, logs = losses_of_scores(scores)
    sides = [(side, actual == side) for side in (0, 1)]

    def by_side(losses: Floats) -> tuple[Means, Means]:
        negative, positive = (_means(losses[own, side], bins[own], size) for side, own in sides)
        return negative, positive

    return MeanLosses(by_side(brier), by_side(logs), by_side(logs**2))


def _areas(scores: NDArray[Any], actual: NDArray[Any], bins: NDArray[np.intp], size: int) -> Means:
    """Return the area under the ROC curve of the rows in each bin; NaN where one of the actual values is missing."""
    _, first, places = np.unique(scores, return_index=True, return_inverse=True)
    own = bins[first]  # equal scores are in one bin
    misses, hits = (np.bincount(places[actual == side], minlength=len(first)) for side in (0, 1))
    before = np.cumsum(misses) - misses
    before -= before[np.searchsorted(own, own)]  # only the ones in the same bin
    in_order = np.bincount(own, hits * (before + misses / 2), minlength=size)
    pairs = np.bincount(own, hits, minlength=size) * np.bincount(own, misses, minlength=size)
    with np.errstate(invalid="ignore"):
        return tuple((in_order / pairs).tolist())


def _means(values: Floats, bins: NDArray[np.intp], size: int) -> Means:
    """Return the mean of the values in each bin; NaN in an empty one."""
    counts = np.bincount(bins, minlength=size)
    with np.errstate(invalid="ignore"):
        return tuple((np.bincount(bins, values, minlength=size) / counts).tolist())


def _bins_of(numbers: NDArray[Any], bounds: Sequence[float]) -> NDArray[np.intp]:
    """Return the bin of each number, as live values are sorted into them."""
    limits = narrow_bounds(bounds, numbers.dtype).astype(numbers.dtype)
    return np.searchsorted(limits, numbers, side="left")


def _warn_of_steps(validation: RegressionValidation) -> None:
    """Warn of outputs that spread so wide beside their errors that ids, which carry 32 bits, change the errors."""
    code = number_code(validation)
    if typical_coarseness(code, validation) > FINE:
        step = largest_step(code, validation.upper_bounds)
        text = (
            "The output %r spreads so wide that prediction ids carry it in steps of %.3g, beside a mean absolute error "
            "of %.3g: outcomes that are sent by id will show larger errors. Send 'predicted' with them."
        )
        logger.warning(text, validation.output, step, validation.mean_error)


def _warn_of_scores(rows: _BinaryRows, negatives: NDArray[Any], positives: NDArray[Any]) -> None:
    """Warn of scores that point the wrong way, or are so good that the model was probably fitted to these rows."""
    below = np.cumsum(negatives) - negatives
    area = float(positives @ (below + negatives / 2)) / (int(negatives.sum()) * int(positives.sum()))
    if area < 0.5:
        text = "The score %r is lower where 'actual' is %s (area under the ROC curve %.3f). Is positive=%s meant?"
        logger.warning(text, rows.name, rows.positive, area, rows.negative)
    elif area >= SUSPECT_AREA and negatives.sum() + positives.sum() >= SUSPECT_ROWS:
        text = (
            "The score %r separates 'actual' nearly perfectly (area under the ROC curve %.3f). Rows that the model was "
            "fitted to look so. Give held-out rows, or outputs by cross-validation."
        )
        logger.warning(text, rows.name, area)


# --- a class ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LabelRows:
    """A predicted label beside the actual one.

    Attributes:
        name: Name of the output.
        own: Predicted labels, ascending.
        predicted: Index of each row's predicted label; -1 if it is missing.
        labels: Actual labels, ascending.
        actual: Index of each row's actual label; -1 if it is unknown.
    """

    name: str
    own: Sequence[str | float]
    predicted: NDArray[np.intp]
    labels: Sequence[str | float]
    actual: NDArray[np.intp]

    @property
    def edges(self) -> Mapping[str, tuple[float, ...]]:
        """No bounds; see `ValidationRows`."""
        return {}

    def validation(self, outputs: Sequence[Distribution]) -> ClassValidation:
        """Count the rows; see `ValidationRows`."""
        (item,) = (item for item in outputs if item.name == self.name)
        if not isinstance(item, Discrete):
            msg = f"The output {self.name!r} holds labels, but it is counted as a number. Name it in 'discrete'."
            raise BaselineError(msg)
        classes = _classes({label_key(value): value for value in (*self.own, *self.labels, *item.values)})
        places = {label_key(value): place for place, value in enumerate(classes)}
        is_known = self._is_known
        predicted, actual = (
            np.array([places[label_key(value)] for value in labels], dtype=np.intp)[rows[is_known]]
            for labels, rows in ((self.own, self.predicted), (self.labels, self.actual))
        )
        return _class_validation((self.name,), classes, (), predicted, np.zeros_like(predicted), actual)

    def targets(self, validation: ClassValidation) -> tuple[NDArray[np.bool_], Floats]:
        """Return right less the expected share of right rows; see `ValidationRows`."""
        is_known = self._is_known
        own, other = ([label_key(value) for value in labels] for labels in (self.own, self.labels))
        predicted = np.array([own[place] for place in self.predicted[is_known]], dtype=object)
        actual = np.array([other[place] for place in self.actual[is_known]], dtype=object)
        is_right = (predicted == actual).astype(np.float64)
        _, places = np.unique(self.predicted[is_known], return_inverse=True)
        return is_known, _surplus(is_right, places)[None]

    @property
    def _is_known(self) -> NDArray[np.bool_]:
        return (self.predicted >= 0) & (self.actual >= 0)


def _classes(by_key: Mapping[str | float, str | float]) -> list[str | float]:
    """Return classes, ascending: numbers if all are, else texts."""
    if len(by_key) > MOST_CLASSES:
        msg = f"There are {len(by_key):,} classes; at most {MOST_CLASSES} can be compared. Merge the rare ones."
        raise BaselineError(msg)
    if all(isinstance(value, float) for value in by_key.values()):
        return sorted(by_key.values(), key=float)
    return sorted(by_key.values(), key=str)


def _of_probabilities(
    outputs: Mapping[str, NDArray[Any]],
    labels: Sequence[str | float],
    places: NDArray[np.intp],
    threshold: float | None,
    positive: Any,
) -> ValidationRows:
    """Read several outputs, which must be the probabilities of the classes, named as these are."""
    names = {label_key(name): name for name in outputs}
    if missing := [label for label in labels if label_key(label) not in names]:
        msg = (
            f"'actual' holds {_label_texts(missing)[0]}, but no output has this name: {', '.join(map(repr, outputs))}. "
            "Name the probabilities by their classes: inference=model.predict_proba(X), classes=model.classes_. "
            f"Of several other outputs, give the one that 'actual' belongs to.{_missing_hint(missing)}"
        )
        raise BaselineError(msg)
    if len(outputs) == 2 and len(labels) == 2:
        chosen = _positive_place(labels, positive)
        name = names[label_key(labels[chosen])]
        return _binary(name, outputs[name], labels, places, threshold, labels[chosen])
    _refuse_score_options("probability of each class", threshold, positive)
    if len(outputs) > MOST_CLASSES:
        _classes(dict(zip(names, names, strict=True)))
    order = {label_key(name): place for place, name in enumerate(outputs)}
    actual = np.array([*(order[label_key(label)] for label in labels), -1], dtype=np.intp)[places]
    return _ProbabilityRows(tuple(outputs), np.column_stack(list(outputs.values())), actual)


@dataclass(frozen=True)
class _ProbabilityRows:
    """The probabilities of several classes beside the actual class.

    Attributes:
        names: Names of the outputs, which are the classes.
        probabilities: Probabilities, shape (n, classes).
        actual: Index of each row's actual class; -1 if it is unknown.
    """

    names: tuple[str, ...]
    probabilities: NDArray[Any]
    actual: NDArray[np.intp]

    @property
    def edges(self) -> Mapping[str, tuple[float, ...]]:
        """No bounds: each output may have any, but is continuous; see `ValidationRows`."""
        return {}

    def validation(self, outputs: Sequence[Distribution]) -> ClassValidation:
        """Count the rows; see `ValidationRows`."""
        probabilities, actual = self.probabilities[self._is_known], self.actual[self._is_known]
        predicted = probabilities.argmax(axis=1)
        largest = probabilities.max(axis=1).astype(np.float64)
        bins = max(min(10, MOST_CELLS // len(self.names) ** 2), 1)
        bounds = _quantiles(largest, [step / bins for step in range(1, bins)])
        return _class_validation(self.names, list(self.names), bounds, predicted, _bins_of(largest, bounds), actual)

    def targets(self, validation: ClassValidation) -> tuple[NDArray[np.bool_], Floats]:
        """Return right less the expected share of right rows; see `ValidationRows`."""
        is_known = self._is_known
        probabilities = self.probabilities[is_known]
        predicted, bounds = probabilities.argmax(axis=1), validation.upper_bounds
        bins = _bins_of(probabilities.max(axis=1).astype(np.float64), bounds)
        is_right = (predicted == self.actual[is_known]).astype(np.float64)
        return is_known, _surplus(is_right, predicted * (len(bounds) + 1) + bins)[None]

    @property
    def _is_known(self) -> NDArray[np.bool_]:
        is_known: NDArray[np.bool_] = (self.actual >= 0) & ~np.isnan(self.probabilities).any(axis=1)
        return is_known


def _surplus(values: Floats, places: NDArray[np.intp]) -> Floats:
    """Return values less the mean of the values in the same place."""
    counts = np.maximum(np.bincount(places), 1)
    surplus: Floats = values - (np.bincount(places, values) / counts)[places]
    return surplus


def _quantiles(numbers: Floats, shares: Sequence[float]) -> tuple[float, ...]:
    """Return the distinct quantiles below the largest number."""
    found = np.quantile(numbers, shares, method="inverted_cdf") if shares else np.empty(0)
    return tuple(np.unique(found[found < numbers.max()] + 0.0).tolist())


def _class_validation(
    outputs: tuple[str, ...],
    classes: Sequence[str | float],
    bounds: tuple[float, ...],
    predicted: NDArray[np.intp],
    bins: NDArray[np.intp],
    actual: NDArray[np.intp],
) -> ClassValidation:
    shape = len(classes), len(bounds) + 1, len(classes)
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, (predicted, bins, actual), 1)
    nested = tuple(tuple(map(tuple, of_class)) for of_class in counts.tolist())
    return ClassValidation(outputs, tuple(_label_texts(classes)), bounds, nested)


# --- a number --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _RegressionRows:
    """A predicted number beside the actual one.

    Attributes:
        name: Name of the output.
        predicted: Output of each row.
        actual: Actual value of each row, NaN if it is unknown.
    """

    name: str
    predicted: NDArray[Any]
    actual: NDArray[Any]

    @property
    def edges(self) -> Mapping[str, tuple[float, ...]]:
        """No bounds, but the output is continuous; see `ValidationRows`."""
        return {self.name: ()}

    def validation(self, outputs: Sequence[Distribution]) -> RegressionValidation:
        """Count the rows; see `ValidationRows`."""
        (item,) = (item for item in outputs if item.name == self.name)
        if not isinstance(item, Continuous) or item.is_time:
            msg = f"The output {self.name!r} holds dates. Only numbers and labels can be compared with 'actual'."
            raise BaselineError(msg)
        errors = self._errors
        sizes = np.abs(errors)
        bins, number = _bins_of(self.predicted[self._is_known], item.upper_bounds), len(item.counts)
        error_bounds = _quantiles(sizes, DECILES)
        validation = RegressionValidation(
            self.name,
            item.upper_bounds,
            tuple(np.bincount(bins, minlength=number).tolist()),
            _means(errors, bins, number),
            _means(sizes, bins, number),
            _means(errors**2, bins, number),
            error_bounds,
            tuple(np.bincount(_bins_of(sizes, error_bounds), minlength=len(error_bounds) + 1).tolist()),
        )
        _warn_of_steps(validation)
        return validation

    def targets(self, validation: RegressionValidation) -> tuple[NDArray[np.bool_], Floats]:
        """Return the errors, their sizes and squares, less their means in the bin; see `ValidationRows`."""
        bins, errors = _bins_of(self.predicted[self._is_known], validation.upper_bounds), self._errors
        return self._is_known, np.array([_surplus(of, bins) for of in (errors, np.abs(errors), errors**2)])

    @property
    def _is_known(self) -> NDArray[np.bool_]:
        is_known: NDArray[np.bool_] = np.isfinite(self.predicted) & np.isfinite(self.actual)
        return is_known

    @property
    def _errors(self) -> Floats:
        is_known = self._is_known
        return self.predicted[is_known].astype(np.float64) - self.actual[is_known].astype(np.float64)
