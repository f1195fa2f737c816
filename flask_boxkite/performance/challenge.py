"""The report on a challenger: its performance beside the champion's on the same rows, and how often they disagree."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.uncounted import Uncounted
from flask_boxkite.performance import intervals
from flask_boxkite.performance.challenge_doubt import completions
from flask_boxkite.performance.challenge_wording import as_markdown, as_text
from flask_boxkite.performance.doubt import unread_forms, unread_reason
from flask_boxkite.performance.exchange import difference
from flask_boxkite.performance.metric import Estimate
from flask_boxkite.performance.pair_reader import KnownRows, PairReader
from flask_boxkite.performance.paired import HIGHER_IS_BETTER, PairedMetric, of_binary, of_classes, of_regression
from flask_boxkite.performance.verdict import MINIMUM_OUTCOMES
from flask_boxkite.performance.wording import METRIC_NAMES, metric_named
from flask_boxkite.values.unread import UnreadValue

__all__ = [
    "ALPHA",
    "ChallengeReport",
    "ChallengeVerdict",
    "Contestant",
    "Disagreement",
    "MetricComparison",
    "challenge_report",
]

ALPHA = 0.001
"""Default probability that equally good models get another verdict: once in three years of daily comparisons."""

ChallengeVerdict: TypeAlias = Literal["better", "worse", "mixed", "no difference shown", "not enough data"]


@dataclass(frozen=True)
class Contestant:
    """One of the two models, and its rows.

    Attributes:
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        version: Version of its baseline; None if it has none.
        rows: Number of its answered rows in the period.
        unreadable: Number of these without a key, or without outputs that can be judged: *keyless* and *unread*.
        repeated: Number of these whose key came again later; the last one counts.
        alone: Number of the remaining rows that the other model has not answered.
        keyless: Number of rows without a key.
        unread: Number of rows with a key whose outputs cannot be judged.
    """

    model: str
    baseline: str
    version: str | None
    rows: int
    unreadable: int
    repeated: int
    alone: int
    keyless: int = 0
    unread: int = 0

    @property
    def are_too_many_unread(self) -> bool:
        """Whether the outputs of so many rows cannot be judged that the others tell too little."""
        return Uncounted(self.rows - self.keyless, 0, self.unread).are_too_many


@dataclass(frozen=True)
class Disagreement:
    """How far apart the outputs of the two models are, in all rows that both answered. Intervals are of 95 %.

    Attributes:
        value: Share of rows with another predicted class, or the mean absolute difference of predicted numbers; None
            without rows.
        low: Lower end of its interval; None if unknown.
        high: Upper end of its interval.
        shift: Mean output of the challenger less the champion's, of scores and numbers; None for classes.
        shift_low: Lower end of its interval.
        shift_high: Upper end of its interval.
    """

    value: float | None
    low: float | None
    high: float | None
    shift: float | None
    shift_low: float | None
    shift_high: float | None


@dataclass(frozen=True)
class MetricComparison:
    """One metric of both models. Each number is None where it is not defined; ends are of intervals of 95 %.

    Attributes:
        name: Name of the metric.
        champion: Value of the champion.
        champion_low: Lower end of its interval.
        champion_high: Upper end of its interval.
        challenger: Value of the challenger.
        challenger_low: Lower end of its interval.
        challenger_high: Upper end of its interval.
        difference: Challenger less champion.
        difference_low: Lower end of its interval.
        difference_high: Upper end of its interval.
        chance: Probability of a difference at least so large between equally good models.
        verdict: ``better``, ``worse``, ``no difference shown`` or ``not enough data``; None for the bias, of which
            neither sign is better.
    """

    name: str
    champion: float | None
    champion_low: float | None
    champion_high: float | None
    challenger: float | None
    challenger_low: float | None
    challenger_high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    chance: float | None
    verdict: ChallengeVerdict | None


@dataclass(frozen=True, repr=False)
class ChallengeReport:
    """Two models on the same rows. An immutable value, which can be kept and shared.

    Attributes:
        champion: The model that serves, and its rows.
        challenger: The other model.
        window: Period of the records.
        key: Key by which rows were paired.
        kind: ``binary``, ``classes`` or ``regression``.
        alpha: Probability that equally good models get the verdict ``better``, ``worse`` or ``mixed``.
        verdict: Verdict on the challenger: ``better`` if any metric is better and none worse, ``worse`` the other way
            round, ``mixed`` if there are both, ``no difference shown`` or ``not enough data``.
        reason: Reason for ``not enough data``; empty for other verdicts.
        rows: Number of rows that both models answered.
        outcomes: Number of these with an outcome.
        unseen: Number of these of a class that neither validation had, for which both models are wrong; 0 of scores and
            numbers.
        rejected: Number of outcomes that were not counted, by reason: ``unknown``, of no answered row; ``alone``, of a
            row that one model answered; ``repeated``; ``invalid``.
        disagreement: Distance of the outputs, in all rows that both answered.
        metrics: Metrics of the rows with an outcome, the most important first.
        labels: Predicted and actual values; empty for numbers.
        predicted: Rows by the champion's and the challenger's prediction, in the order of *labels*; empty for numbers.
        right: Rows with an outcome that ``both``, the ``champion`` alone, the ``challenger`` alone and ``neither``
            predicted right; empty for numbers.
        note: Note on outcomes that cannot be read: how they look, and which verdicts they could change; or empty.
    """

    champion: Contestant
    challenger: Contestant
    window: str
    key: str
    kind: str
    alpha: float
    verdict: ChallengeVerdict
    reason: str
    rows: int
    outcomes: int
    unseen: int
    rejected: dict[str, int]
    disagreement: Disagreement
    metrics: tuple[MetricComparison, ...]
    labels: tuple[str, ...]
    predicted: tuple[tuple[int, ...], ...]
    right: dict[str, int]
    note: str = ""

    def __getitem__(self, name: str) -> MetricComparison:
        """Return the metric of that name, in code such as ``auc`` or as the text of the report has it, such as ``AUC``.

        Raises:
            KeyError: The kind of model has no such metric.
        """
        return metric_named(self.metrics, name)

    def __iter__(self) -> Iterator[MetricComparison]:
        return iter(self.metrics)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per metric, as ``pandas.DataFrame(...)`` takes them; keys as of `MetricComparison`."""
        return [asdict(metric) for metric in self.metrics]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: neither NaN nor infinity, but None for a number that does not exist.

        Keys: the names of the attributes. ``champion`` and ``challenger`` are dicts, see `Contestant`;
        ``disagreement`` too, see `Disagreement`; ``metrics`` are dicts, see `MetricComparison`. Keys may be added, in a
        later release; none goes or changes its meaning.
        """
        return {
            **asdict(self),
            "reason": self.reason or None,
            "note": self.note or None,
            "labels": list(self.labels),
            "predicted": [list(row) for row in self.predicted],
            "metrics": self.to_rows(),
        }

    def to_markdown(self) -> str:
        """Return the metrics as a Markdown table."""
        return as_markdown(self.to_dict())

    def __str__(self) -> str:
        """Return a table of at most 100 columns."""
        return as_text(self.to_dict())

    __repr__ = __str__


def challenge_report(
    contestants: tuple[Contestant, Contestant],
    reader: PairReader,
    values: NDArray[np.float64],
    known: KnownRows,
    rejected: Mapping[str, int],
    *,
    alpha: float,
    key: str,
    window: str,
    unread: Sequence[int] = (),
    examples: Sequence[UnreadValue] = (),
) -> ChallengeReport:
    """Report on a challenger. No verdict stands that outcomes which cannot be read could change.

    Args:
        contestants: The champion and the challenger.
        reader: Reader of their rows.
        values: Numbers that stand for the outputs of rows that both answered, shape (2, rows).
        known: Rows with an outcome, which have their places in *values*.
        rejected: Number of outcomes that were not counted, by reason.
        alpha: Probability that equally good models get another verdict.
        key: Key by which rows were paired.
        window: Period of the records.
        unread: Places in *values* of rows of which no outcome can be read.
        examples: Examples of such outcomes.
    """
    predicted = reader.predicted(values) if reader.labels else None
    places = known.places
    compared = list(_compared(reader, values[:, places], None if predicted is None else predicted[:, places], known))
    tests = sum(metric.name in HIGHER_IS_BETTER for metric in compared)
    verdicts = {metric.name: _verdict(metric, alpha / tests) for metric in compared}
    doubtful: set[str] = set()
    if len(unread) and len(known):
        doubtful.update(_doubtful(reader, values, predicted, known, np.array(unread), alpha / tests, verdicts))
    lost = _lost(contestants)
    metrics = tuple(
        _comparison(metric, verdicts[metric.name], is_sure=not lost and metric.name not in doubtful)
        for metric in compared
    )
    verdict = _overall(metrics)

    forms = unread_forms(reader.labels, examples)
    reason = ""
    if lost and known:
        reason = lost
    elif len(known) < MINIMUM_OUTCOMES <= len(known) + len(unread) or (verdict == "not enough data" and doubtful):
        reason = unread_reason(len(known), len(unread), reader.labels, examples)
    elif len(known) < MINIMUM_OUTCOMES:
        reason = f"{len(known):,} outcomes of rows that both models answered, where {MINIMUM_OUTCOMES} are needed"
    note = "" if forms in reason else _note(len(known), rejected.get("invalid", 0), forms, doubtful)
    return ChallengeReport(
        *contestants,
        window,
        key,
        reader.kind,
        alpha,
        verdict,
        reason,
        values.shape[1],
        len(known),
        int(np.count_nonzero(known.labels == len(reader.labels))) if reader.kind == "classes" else 0,
        dict(rejected),
        _disagreement(values, predicted, is_number=reader.kind != "classes"),
        metrics,
        reader.labels,
        () if predicted is None else _table(predicted, len(reader.labels)),
        {} if predicted is None else _right(predicted[:, places] == known.labels),
        note,
    )


def _doubtful(
    reader: PairReader,
    values: NDArray[np.float64],
    predicted: NDArray[np.int64] | None,
    known: KnownRows,
    unread: NDArray[np.int64],
    alpha: float,
    verdicts: Mapping[str, ChallengeVerdict | None],
) -> Iterator[str]:
    """Yield the names of metrics whose verdict outcomes that cannot be read could change."""
    for rows, names in completions(reader, values, predicted, known, unread):
        own = None if predicted is None else predicted[:, rows.places]
        for metric in _compared(reader, values[:, rows.places], own, rows):
            verdict = verdicts[metric.name]
            if metric.name in names and verdict != "not enough data" and _verdict(metric, alpha) != verdict:
                yield metric.name


def _lost(contestants: Sequence[Contestant]) -> str:
    """Say of which model too many outputs cannot be read; empty if of none."""
    for side, each in zip(("champion", "challenger"), contestants, strict=True):
        if each.are_too_many_unread:
            rows = each.rows - each.keyless
            return (
                f"the outputs of {each.unread:,} of {rows:,} rows of the {side} cannot be read, too many for a verdict"
            )
    return ""


def _note(known: int, invalid: int, forms: str, doubtful: Collection[str]) -> str:
    """Say how many outcomes could not be read, how they look, and which verdicts they could change; or nothing."""
    if not invalid:
        return ""
    names = ", ".join(METRIC_NAMES[name] for name in METRIC_NAMES if name in doubtful)
    change = f" They could change the verdict on {names}." if names else ""
    return f"{invalid:,} of {known + invalid:,} outcomes could not be read: {forms}{change}"


def _compared(
    reader: PairReader,
    values: NDArray[np.float64],
    predicted: NDArray[np.int64] | None,
    known: KnownRows,
) -> Iterator[PairedMetric]:
    """Yield the metrics of the rows with an outcome."""
    if predicted is None:
        (errors,) = known.losses(1)
        yield from of_regression(errors)
    elif reader.kind == "classes":
        yield from of_classes(predicted, known.labels, len(reader.labels) + 1)
    else:
        losses = known.losses(2) if reader.has_losses else None
        yield from of_binary(values, predicted == 1, known.labels == 1, losses)


def _comparison(metric: PairedMetric, verdict: ChallengeVerdict | None, *, is_sure: bool) -> MetricComparison:
    numbers = (*metric.champion, *metric.challenger, *metric.difference)
    if verdict is not None and not is_sure:
        verdict = "not enough data"
    return MetricComparison(metric.name, *numbers, metric.chance, verdict)


def _verdict(metric: PairedMetric, alpha: float) -> ChallengeVerdict | None:
    if metric.name not in HIGHER_IS_BETTER:
        return None
    value, chance = metric.difference.value, metric.chance
    if value is None or chance is None or metric.rows < MINIMUM_OUTCOMES:
        return "not enough data"
    if chance > alpha or value == 0:
        return "no difference shown"
    return "better" if (value > 0) is HIGHER_IS_BETTER[metric.name] else "worse"


def _overall(metrics: Sequence[MetricComparison]) -> ChallengeVerdict:
    verdicts = {metric.verdict for metric in metrics}
    if {"better", "worse"} <= verdicts:
        return "mixed"
    order: tuple[ChallengeVerdict, ...] = ("better", "worse", "no difference shown")
    return next((verdict for verdict in order if verdict in verdicts), "not enough data")


def _disagreement(values: NDArray[np.float64], predicted: NDArray[np.int64] | None, *, is_number: bool) -> Disagreement:
    rows = values.shape[1]
    apart = values[1] - values[0]
    if predicted is None:
        sizes = np.abs(apart)
        found = intervals.of_mean("mae", float(sizes.sum()), float(sizes.var()) if rows else 0.0, rows)
    else:
        found = intervals.of_share("disagreement", int(np.count_nonzero(predicted[0] != predicted[1])), rows)
    shift = difference(float(apart.mean()), apart / rows) if is_number and rows else Estimate()
    return Disagreement(*found, *shift)


def _table(predicted: NDArray[np.int64], labels: int) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(predicted[0] * labels + predicted[1], minlength=labels**2).reshape(labels, labels)
    return tuple(map(tuple, counts.tolist()))


def _right(is_right: NDArray[np.bool_]) -> dict[str, int]:
    champion, challenger = is_right
    parts = {
        "both": champion & challenger,
        "champion": champion & ~challenger,
        "challenger": challenger & ~champion,
        "neither": ~champion & ~challenger,
    }
    return {name: int(np.count_nonzero(part)) for name, part in parts.items()}
