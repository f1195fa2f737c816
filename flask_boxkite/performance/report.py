"""The performance report: how good a model is, as validated, as expected from live outputs, and as outcomes show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation, Validation
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.outcome_cells import LAG_BOUNDS, LargeErrors, OutcomeCells
from flask_boxkite.performance import binary, classes, comparisons, regression
from flask_boxkite.performance.doubt import (
    Extremes,
    extremes_of_errors,
    extremes_of_shares,
    is_sure,
    unread_reason,
)
from flask_boxkite.performance.effects import FeatureEffect, feature_effects
from flask_boxkite.performance.live import judged_counts, judged_rows, output_rows
from flask_boxkite.performance.metric import BAND, METRICS, NOTHING, Estimate
from flask_boxkite.performance.outside import is_foreign, outside_share
from flask_boxkite.performance.significance import dispersion_of
from flask_boxkite.performance.verdict import MINIMUM_OUTCOMES, Comparison, Judgement, Verdict, judge
from flask_boxkite.performance.wording import as_markdown, as_text, metric_named
from flask_boxkite.suggestion import counted
from flask_boxkite.values.unread import UnreadValue

__all__ = ["BinReport", "Coverage", "MetricReport", "PerformanceReport", "performance_report"]


@dataclass(frozen=True)
class MetricReport:
    """One metric. Each number is None where it is not defined or not known; ends are of intervals of 95 %.

    Attributes:
        name: Name of the metric.
        validated: Value for the validation rows.
        estimated: Value that the live outputs lead to expect, without outcomes.
        estimated_low: Lower end of its interval.
        estimated_high: Upper end of its interval.
        corrected: Expected value that also allows for the features of the rows; it has no interval.
        realised: Value for the rows with an outcome.
        realised_low: Lower end of its interval.
        realised_high: Upper end of its interval.
        represented: Value for all rows, from the outcomes of some: within bins of the output they stand for the others.
        represented_low: Lower end of its interval.
        represented_high: Upper end of its interval.
    """

    name: str
    validated: float | None
    estimated: float | None
    estimated_low: float | None
    estimated_high: float | None
    corrected: float | None
    realised: float | None
    realised_low: float | None
    realised_high: float | None
    represented: float | None
    represented_low: float | None
    represented_high: float | None


@dataclass(frozen=True)
class BinReport:
    """Rows of one bin of a score or probability, for the calibration.

    Attributes:
        upper: Upper bound of the bin; None for the last.
        validated: Share of positives (of right rows, for classes) among the validation rows; None without rows.
        validation_rows: Number of validation rows.
        live_rows: Number of live rows.
        outcomes: Number of rows with an outcome.
        realised: Share of positives (or right rows) among them; None without rows.
    """

    upper: float | None
    validated: float | None
    validation_rows: int
    live_rows: int
    outcomes: int
    realised: float | None


@dataclass(frozen=True)
class Coverage:
    """How many outcomes have come, and when.

    Attributes:
        predictions: Number of predictions in the window.
        outcomes: Number of outcomes that came in the window.
        unseen: Number of these of a class that validation never had, all of which are wrong; 0 of scores and numbers.
        share: Outcomes by predictions; None without predictions.
        lag_median: Time in seconds from the prediction, of those in `LAG_BOUNDS`, within which half of the outcomes
            came; None without outcomes.
        lag_95: Time within which 95 % of them came.
        rejected: Number of outcomes in the window that were not counted, by reason.
        uncounted: Number of answered rows whose output was not found or does not fit; *predictions* leave them out.
        unread: Number of answered rows whose output is there and cannot be read; likewise.
        keyless: Number of answered rows of records without the key that outcomes have.
    """

    predictions: int
    outcomes: int
    unseen: int
    share: float | None
    lag_median: float | None
    lag_95: float | None
    rejected: dict[str, int]
    uncounted: int = 0
    unread: int = 0
    keyless: int = 0


@dataclass(frozen=True, repr=False)
class PerformanceReport:
    """The performance of a model. An immutable value, which can be kept and shared.

    Attributes:
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all time since the start; for records the period.
        kind: ``binary``, ``classes`` or ``regression``.
        alpha: False-alarm probability of one check.
        metrics: Metrics of the kind, the most important first.
        judgement: Verdict on the outcomes, with its reason.
        expectation: Verdict on the quality that live outputs lead to expect, without outcomes.
        reason: Reason for ``not enough data``; empty for other verdicts.
        outside: Share of the outputs in bins where validation had hardly any rows. No metric is
            expected if it is large, see `outside.is_foreign`.
        coverage: Number and lag of the outcomes.
        bins: Calibration; empty for numbers.
        labels: Actual values; empty for numbers.
        confusion: Rows with an outcome by predicted and actual value, in the order of *labels*; empty for numbers. If
            any are ``coverage.unseen``, they are one actual value more, the last.
        effects: Features whose shift changes the expected quality, the largest effect first.
    """

    model: str
    baseline: str
    window: str | None
    kind: str
    alpha: float
    metrics: tuple[MetricReport, ...]
    judgement: Judgement
    expectation: Judgement
    reason: str
    outside: float
    coverage: Coverage
    bins: tuple[BinReport, ...]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    effects: tuple[FeatureEffect, ...]

    def __getitem__(self, name: str) -> MetricReport:
        """Return the metric of that name, in code such as ``auc`` or as the text of the report has it, such as ``AUC``.

        Raises:
            KeyError: The kind of model has no such metric.
        """
        return metric_named(self.metrics, name)

    def __iter__(self) -> Iterator[MetricReport]:
        return iter(self.metrics)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the outcomes: ``not enough data``, ``as validated``, ``worse`` or ``much worse``."""
        return self.judgement.verdict

    @property
    def outcomes(self) -> int:
        """The number of outcomes in the window."""
        return self.coverage.outcomes

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per metric, as ``pandas.DataFrame(...)`` takes them; keys as of `MetricReport`."""
        return [asdict(metric) for metric in self.metrics]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: neither NaN nor infinity, but None for a number that does not exist.

        Keys: ``model``, ``baseline``, ``window``, ``kind``, ``alpha``, ``verdict``, ``reason``, ``expectation`` (a
        verdict), ``outside`` (a share), ``comparisons`` (dicts with ``subject``, ``before``, ``now``, ``z``,
        ``chance``), ``metrics`` (dicts, see `MetricReport`), ``coverage`` (see `Coverage`), ``bins`` (see `BinReport`),
        ``labels``, ``confusion``, and ``effects`` (dicts, see `effects.FeatureEffect`). Keys may be added, in a later
        release; none goes or changes its meaning.
        """
        return {
            "model": self.model,
            "baseline": self.baseline,
            "window": self.window,
            "kind": self.kind,
            "alpha": self.alpha,
            "verdict": self.verdict,
            "reason": self.reason or None,
            "expectation": self.expectation.verdict,
            "outside": self.outside,
            "comparisons": list(map(_comparison, self.judgement.comparisons)),
            "metrics": self.to_rows(),
            "coverage": asdict(self.coverage),
            "bins": [asdict(item) for item in self.bins],
            "labels": list(self.labels),
            "confusion": [list(row) for row in self.confusion],
            "effects": [item._asdict() for item in self.effects],
        }

    def to_markdown(self) -> str:
        """Return the metrics as a Markdown table."""
        return as_markdown(self.to_dict())

    def __str__(self) -> str:
        """Return a table of at most 100 columns."""
        return as_text(self.to_dict())

    __repr__ = __str__


def _comparison(item: Comparison) -> dict[str, Any]:
    return {
        "subject": item.subject,
        "before": _finite(item.before),
        "now": _finite(item.now),
        "z": item.z,
        "chance": item.chance,
    }


def performance_report(
    model: str,
    baseline: Baseline,
    layout: ModelCells,
    cells: NDArray[np.int64],
    outcome_layout: OutcomeCells,
    outcomes: NDArray[np.int64],
    *,
    alpha: float,
    whole: NDArray[np.int64] | None = None,
    predictions: int | None = None,
    examples: Sequence[UnreadValue] = (),
    slots: NDArray[np.int64] | None = None,
    now: float = math.inf,
    window: str | None = None,
    uncounted: int = 0,
    keyless: int = 0,
) -> PerformanceReport:
    """Report on a model.

    Args:
        model: Name of the model.
        baseline: Baseline of the model, with a validation.
        layout: Meaning of the counts of its predictions.
        cells: Counts of its predictions in the window.
        outcome_layout: Meaning of the counts of its outcomes.
        outcomes: Counts of its outcomes in the window.
        alpha: False-alarm probability.
        whole: Counts of its outcomes since the start, which tell how long outcomes take; None for *outcomes*.
        predictions: Number of its predictions since the start, which tells how many outcomes are missing; None for the
            ones of *cells*.
        examples: Examples of actual values that cannot be read; of texts and numbers, only the form is told.
        slots: Counts of the outcomes of the last day by slot of time, shape (slots, outcome cells), which tell how many
            rows count as one; None to take all for independent.
        now: Present Unix time; infinite if no outcome is still to come.
        window: Name of the window, or a period.
        uncounted: Number of answered rows that *cells* have no output of.
        keyless: Number of answered rows without the key of the outcomes.
    """
    validation = baseline.validation
    assert validation is not None
    live, (groups, grouped) = judged_counts(validation, layout, cells), judged_rows(layout, cells)
    counts, sums = outcome_layout.counts(outcomes), outcome_layout.sums(outcomes)
    dispersion = 1.0 if slots is None else _dispersion(validation, outcome_layout, slots)
    large = outcome_layout.large_errors(outcomes)
    parts = _Parts.of(validation, live, groups, grouped, counts, sums, large, dispersion)
    outside = outside_share(validation, live)
    has_foreign = is_foreign(validation, outside)
    if has_foreign:
        parts = replace(parts, expected=dict.fromkeys(parts.expected, NOTHING), corrected={})
    number = int(counts.sum())
    labels = () if isinstance(validation, RegressionValidation) else validation.labels

    whole, unread = outcomes if whole is None else whole, outcome_layout.rejections(outcomes)["invalid"]
    missing = _missing(outcome_layout, whole, int(live.sum()) if predictions is None else predictions)
    too_many = unread_reason(number, unread, labels, examples)
    judgement, reason = _judged(
        parts,
        min(number, validation.rows),
        alpha,
        early=_too_early(outcome_layout, whole, now),
        missing=missing,
        unread=unread,
        unread_reason=too_many,
    )
    if judgement.verdict == "not enough data" and not reason:
        if number >= MINIMUM_OUTCOMES:
            reason = "nothing to compare"
        elif number + unread >= MINIMUM_OUTCOMES:
            reason = too_many
        else:
            reason = f"{counted(number, 'outcome')}, where {MINIMUM_OUTCOMES} are needed"
    return PerformanceReport(
        model,
        baseline.fingerprint,
        window,
        validation.kind,
        alpha,
        tuple(parts.metrics(METRICS[validation.kind])),
        judgement,
        _expectation(validation, parts, int(live.sum()), alpha),
        reason,
        outside,
        replace(
            _coverage(outcome_layout, outcomes, int(live.sum()), number),
            uncounted=uncounted,
            unread=max(output_rows(validation, layout, cells) - int(live.sum()), 0),
            keyless=keyless,
        ),
        tuple(_bins(validation, live, counts)),
        labels,
        _confusion(validation, counts),
        () if has_foreign else tuple(feature_effects(validation, baseline, groups)),
    )


@dataclass(frozen=True)
class _Parts:
    """The metrics of one kind of model by their origin, and the comparisons of its outcomes.

    Attributes:
        validated: Metrics of the validation rows.
        expected: Metrics that live outputs lead to expect.
        corrected: The same, with the features of the rows.
        realised: Metrics of the outcomes.
        represented: Metrics of all rows, from the outcomes.
        comparisons: Comparisons of the outcomes with validation.
        extremes: Returns the same for the extremes of a number of unknown outcomes.
    """

    validated: Mapping[str, Estimate]
    expected: Mapping[str, Estimate]
    corrected: Mapping[str, float | None]
    realised: Mapping[str, Estimate]
    represented: Mapping[str, Estimate]
    comparisons: list[Comparison]
    extremes: Callable[[int], Extremes]

    @classmethod
    def of(
        cls,
        validation: Validation,
        live: NDArray[np.int64],
        groups: NDArray[np.int64],
        grouped: int,
        counts: NDArray[np.int64],
        sums: Mapping[str, float],
        large: LargeErrors,
        dispersion: float,
    ) -> _Parts:
        """Return the metrics and comparisons of live counts and outcomes."""
        if isinstance(validation, BinaryValidation):
            losses = binary.LossSums(sums["brier"], sums["log_loss"]) if sums else None
            return cls(
                binary.validated(validation),
                binary.expected(validation, live),
                binary.corrected(validation, live, groups, grouped),
                binary.realised(validation, counts, losses),
                binary.represented(validation, live, counts) if counts.any() else {},
                own := comparisons.of_binary(validation, counts, dispersion) if counts.any() else [],
                lambda unknown: extremes_of_shares(validation, counts, own, unknown, dispersion),
            )
        if isinstance(validation, ClassValidation):
            return cls(
                classes.validated(validation),
                classes.expected(validation, live),
                classes.corrected(validation, live, groups, grouped),
                classes.realised(validation, counts),
                classes.represented(validation, live, counts) if counts.any() else {},
                own := comparisons.of_classes(validation, counts, dispersion) if counts.any() else [],
                lambda unknown: extremes_of_shares(validation, counts, own, unknown, dispersion),
            )
        errors = regression.ErrorSums(int(counts.sum()), sums["over"], sums["under"], sums["squares"])
        return cls(
            regression.validated(validation),
            regression.expected(validation, live),
            regression.corrected(validation, live, groups, grouped),
            regression.realised(errors),
            {},
            comparisons.of_regression(validation, counts, errors, large, dispersion),
            lambda unknown: extremes_of_errors(validation, counts, errors, large, unknown, dispersion),
        )

    def metrics(self, names: tuple[str, ...]) -> Iterator[MetricReport]:
        """Yield the metrics of these names."""
        for name in names:
            yield MetricReport(
                name,
                self.validated[name].value,
                *self.expected[name],
                self.corrected.get(name),
                *self.realised[name],
                *self.represented.get(name, NOTHING),
            )


def _dispersion(validation: Validation, layout: OutcomeCells, slots: NDArray[np.int64]) -> float:
    """Return the number of outcomes that count as one, from the wrong rows (large errors, of numbers) by slot."""
    tables = [layout.counts(cells) for cells in slots]
    if isinstance(validation, BinaryValidation):
        first = validation.first_positive
        wrong = [int(table[:first, 1].sum() + table[first:, 0].sum()) for table in tables]
    elif isinstance(validation, ClassValidation):
        wrong = [int(table.sum() - np.einsum("pbp->", table[..., : len(table)])) for table in tables]
    else:
        wrong = [int(table[len(table) // 2 :].sum()) for table in tables]
    return dispersion_of(wrong, [int(table.sum()) for table in tables])


def _judged(
    parts: _Parts, rows: int, alpha: float, *, early: str, missing: int | None, unread: int, unread_reason: str
) -> tuple[Judgement, str]:
    """Return the verdict on the outcomes, and why there is none if the unknown ones could change it.

    Args:
        parts: Comparisons of the outcomes.
        rows: Number of outcomes, or of validation rows if they are fewer.
        alpha: Probability of a false alarm.
        early: Reason for which outcomes may still come; empty if none is awaited.
        missing: Number of predictions without an outcome; None if it is not known.
        unread: Number of outcomes that cannot be read. Some may have come again, so no more than *missing* count.
        unread_reason: Reason if these could change the verdict.
    """
    none = judge([], rows, alpha=alpha)
    if early and missing is None:
        return none, early
    judgement = judge(parts.comparisons, rows, alpha=alpha)
    known_unread = unread if missing is None else min(unread, missing)
    awaited = missing or 0 if early else 0
    for unknown, reason in ((known_unread, unread_reason), (awaited, early)):
        if unknown and parts.comparisons and not is_sure(judgement, parts.extremes(unknown), rows, alpha=alpha):
            return none, reason
    return judgement, ""


def _missing(layout: OutcomeCells, outcomes: NDArray[np.int64], predictions: int) -> int | None:
    """Return the number of predictions without an outcome.

    None if it is not known: with more outcomes than predictions, some are of predictions that others counted.
    """
    missing = predictions - int(layout.counts(outcomes).sum())
    return missing if missing >= 0 else None


def _expectation(validation: Validation, parts: _Parts, rows: int, alpha: float) -> Judgement:
    """Judge the quality that live outputs lead to expect: fewer right rows, or larger errors, than in validation."""
    name = "mae" if isinstance(validation, RegressionValidation) else "accuracy"
    before, (now, low, high) = parts.validated[name].value, parts.expected[name]
    if before is None or now is None or low is None or high is None:
        return judge([], rows, alpha=alpha)
    error = max((high - low) / (2 * BAND), 1e-300)
    if name == "mae":
        comparison = Comparison("absolute error", (now - before) / error, before, now)
    else:
        comparison = Comparison("wrong rows", (before - now) / error, 1 - before, 1 - now)
    return judge([comparison], rows, alpha=alpha)


# --- coverage and lag ------------------------------------------------------------------------------------------------


def _coverage(layout: OutcomeCells, outcomes: NDArray[np.int64], predictions: int, number: int) -> Coverage:
    lags = layout.lags(outcomes)
    return Coverage(
        predictions,
        number,
        layout.unseen(outcomes),
        number / predictions if predictions else None,
        _lag(lags, 0.5),
        _lag(lags, 0.95),
        layout.rejections(outcomes),
    )


def _lag(lags: NDArray[np.int64], share: float) -> float | None:
    """Return the upper bound of the bin that holds a quantile of the time to an outcome; None without outcomes."""
    total = int(lags.sum())
    if not total:
        return None
    place = int(np.searchsorted(np.cumsum(lags), share * total))
    return LAG_BOUNDS[min(place, len(LAG_BOUNDS) - 1)]


def _too_early(layout: OutcomeCells, outcomes: NDArray[np.int64], now: float) -> str:
    """Say why it is too early for a verdict; empty if it is not.

    While outcomes of one kind take longer than others, early rates lie. The lags that were seen so far are cut off by
    the time since the first prediction with an outcome, so that time has to be twice as long as 95 % of them. Outcomes
    within a minute hide no slow ones.
    """
    since, lag = layout.first_prediction(outcomes), _lag(layout.lags(outcomes), 0.95)
    if since is None or lag is None or lag <= LAG_BOUNDS[0] or now - since >= 2 * lag:
        return ""
    return "outcomes take about as long as they have been coming: slow ones are still missing"


# --- tables ----------------------------------------------------------------------------------------------------------


def _bins(validation: Validation, live: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[BinReport]:
    if isinstance(validation, RegressionValidation):
        return
    if isinstance(validation, BinaryValidation):
        trained = np.column_stack([validation.negatives, validation.positives])
        rows, hits = trained.sum(axis=1), trained[:, 1]
        outcomes, found = counts.sum(axis=1), counts[:, 1]
    else:
        table = np.array(validation.counts)
        rows, hits = table.sum(axis=(0, 2)), np.einsum("pbp->b", table)
        outcomes, found = counts.sum(axis=(0, 2)), np.einsum("pbp->b", counts[..., : len(counts)])
        live = live.sum(axis=0)

    columns = (column.tolist() for column in (rows, hits, live, outcomes, found))
    for upper, n, k, now, m, j in zip((*validation.upper_bounds, None), *columns, strict=True):
        yield BinReport(upper, k / n if n else None, n, now, m, j / m if m else None)


def _confusion(validation: Validation, counts: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """Return outcomes by predicted and actual value; the class that validation never had is there if it has any."""
    if isinstance(validation, RegressionValidation):
        return ()
    if isinstance(validation, BinaryValidation):
        first = validation.first_positive
        table = np.array([counts[:first].sum(axis=0), counts[first:].sum(axis=0)])
    else:
        table = counts.sum(axis=1)
        table = table if table[:, -1].any() else table[:, :-1]
    return tuple(map(tuple, table.tolist()))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
