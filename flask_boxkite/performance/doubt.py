"""Outcomes that are not known: a verdict stands if none of their values could change it.

Outcomes that cannot be read, or that are still to come, are a selection: all positives may be among them. Of u unknown
rows beside n known ones, each is wrong or right, and was expected to be so with some probability. So the difference D
between the share of wrong rows and the expected one becomes (n·D ± u)/(n + u) at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation
from flask_boxkite.drift.wording import cut
from flask_boxkite.live.outcome_cells import CAP, LargeErrors
from flask_boxkite.performance import comparisons
from flask_boxkite.performance.regression import ErrorSums
from flask_boxkite.performance.significance import signed_root
from flask_boxkite.performance.verdict import Comparison, Judgement, judge
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import suggestion
from flask_boxkite.values.unread import UnreadValue, listed_forms

__all__ = ["Extremes", "extremes_of_errors", "extremes_of_shares", "is_sure", "unread_forms", "unread_reason"]

_SHOWN_LABELS, _MOST_LETTERS = 10, 30

Extremes: TypeAlias = tuple[list[Comparison], list[Comparison]]
"""Comparisons if unknown outcomes were as good as can be, and as bad."""


def is_sure(judgement: Judgement, extremes: Extremes, outcomes: int, *, alpha: float) -> bool:
    """Say whether a model is as good, or worse, at both extremes of unknown outcomes, too.

    Args:
        judgement: Verdict by the known outcomes.
        extremes: Comparisons at the extremes.
        outcomes: Number of outcomes, or of validation rows if they are fewer.
        alpha: Probability of a false alarm.
    """
    return len({judgement.is_worse, *(judge(each, outcomes, alpha=alpha).is_worse for each in extremes)}) == 1


def extremes_of_shares(
    validation: BinaryValidation | ClassValidation,
    counts: NDArray[np.int64],
    found: Sequence[Comparison],
    unknown: int,
    dispersion: float,
) -> Extremes:
    """Return the comparisons of a score or of classes for the extremes of unknown outcomes.

    The order of scores is compared by pairs of a positive and a negative row. If all unknown rows are of the rarer
    class, of which m are known, the share u/(m + u) of the pairs is unknown.

    Args:
        validation: Validation of the model.
        counts: Known outcomes, as `comparisons.of_binary` and `comparisons.of_classes` have them.
        found: Their comparisons.
        unknown: Number of unknown outcomes.
        dispersion: Number of rows that count as one.
    """
    best, worst = [], []
    is_known = np.sum(_table(validation), axis=-1) > 0
    compared = int(counts[is_known].sum())  # rows where validation had none are not compared
    for item in found:
        rows, trained = compared, validation.rows
        if item.subject == "wrong order" and isinstance(validation, BinaryValidation):
            rows = int(counts.sum(axis=0).min())
            trained = min(sum(validation.negatives), sum(validation.positives))
        change = item.now - item.before
        low, high = ((rows * change + sign * unknown) / (rows + unknown) for sign in (-1, 1))
        if item.is_two_sided:
            low, high = min(max(low, 0.0), high), max(low, high, key=abs)
        best.append(_moved(item, low, rows, unknown, trained, dispersion))
        worst.append(_moved(item, high, rows, unknown, trained, dispersion))
    return best, worst


def _table(validation: BinaryValidation | ClassValidation) -> NDArray[np.int64]:
    """Return the validation rows by their output and actual value."""
    if isinstance(validation, ClassValidation):
        return np.array(validation.counts)
    return np.transpose([validation.negatives, validation.positives])


def _moved(item: Comparison, change: float, rows: int, unknown: int, trained: int, dispersion: float) -> Comparison:
    """Return a comparison with another change, and with the z that more rows with this share add."""
    now = min(max(item.before + change, 0.0), 1.0)
    before = item.before * trained, trained, dispersion
    z = signed_root((rows + unknown) * now, rows + unknown, *before) - signed_root(rows * item.now, rows, *before)
    return item._replace(z=item.z + float(z), now=item.before + change)


def extremes_of_errors(
    validation: RegressionValidation,
    errors: NDArray[np.int64],
    sums: ErrorSums,
    large: LargeErrors,
    unknown: int,
    dispersion: float,
) -> Extremes:
    """Return the comparisons of a number if unknown outcomes had no error, and if their errors were beyond all.

    Args:
        validation: Validation of the model.
        errors: Known outcomes per bin of the absolute error.
        sums: Sums of their errors.
        large: Large errors among them.
        unknown: Number of unknown outcomes.
        dispersion: Number of rows that count as one.
    """
    none, most = errors.copy(), errors.copy()
    none[0] += unknown
    most[-1] += unknown
    rows, size = sums.rows + unknown, unknown * CAP * math.sqrt(validation.mean_square)
    far = LargeErrors(large.capped + unknown, large.beyond + unknown)
    return (
        comparisons.of_regression(validation, none, sums._replace(rows=rows), large, dispersion),
        comparisons.of_regression(validation, most, sums._replace(rows=rows, over=sums.over + size), far, dispersion),
    )


def unread_reason(read: int, unread: int, labels: Sequence[str], examples: Sequence[UnreadValue]) -> str:
    """Say that too many outcomes cannot be read, and how they are to be written.

    Args:
        read: Number of outcomes that can be read.
        unread: Number of the others.
        labels: Actual values of validation; empty for numbers.
        examples: Examples of unread values; of texts and numbers, only the form is told.
    """
    return (
        f"{unread:,} of {read + unread:,} outcomes could not be read, too many for a verdict: "
        f"{unread_forms(labels, examples)}"
    )


def unread_forms(labels: Sequence[str], examples: Sequence[UnreadValue], where: str = "validation had") -> str:
    """Say how unread actual values look, and how they are to be written.

    Args:
        labels: Actual values that are known; empty for numbers.
        examples: Examples of unread values.
        where: Beginning of the sentence that ends with the labels.
    """
    shown = [repr(cut(printable(label.strip('"')), _MOST_LETTERS)) for label in labels[:_SHOWN_LABELS]]
    listed = " and ".join(shown) if len(shown) < 3 else ", ".join(shown)
    trained = f"{where} {listed or 'numbers'}"
    seen = f"{listed_forms(examples)}, where " if examples else ""
    hints = [suggestion(example.value, labels) for example in examples if example.value and labels]
    near = next((f" {hint}" for hint in hints if hint.endswith("?")), "")
    return f"{seen}{trained}.{near}"
