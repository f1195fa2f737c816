"""Outcomes of a challenge that cannot be read: a verdict on a metric stands if none of their values could change it.

They are a selection: in all of them, the champion may be right, or the challenger. So the metrics are computed twice
more, with the actual values that suit either model most:

- of a label, the one that it predicts;
- of the losses and the order of scores, the positive label where its score is the higher one (for the order, by rank);
- of a number, the end of the range of known numbers and outputs on the side of its output.

No other values have a larger difference of shares or of means. The order of scores and averages over classes depend on
all rows at once, so for them these are the extremes to first order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.performance.pair_reader import KnownRows, PairReader

__all__ = ["Completion", "completions"]

_OF_LABELS = frozenset(("accuracy", "precision", "recall", "f1"))
_OF_SCORES = frozenset(("brier", "log_loss"))
_OF_NUMBERS = frozenset(("mae", "rmse"))

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Completion(NamedTuple):
    """Known rows, and unread ones with actual values that suit one model.

    Attributes:
        rows: The rows.
        metrics: Names of the metrics for which they do.
    """

    rows: KnownRows
    metrics: frozenset[str]


def completions(
    reader: PairReader, values: Floats, predicted: Numbers | None, known: KnownRows, unread: Numbers
) -> Iterator[Completion]:
    """Yield the completions that suit the champion, then the ones that suit the challenger.

    Args:
        reader: Reader of the rows.
        values: Numbers that stand for the outputs of all pairs, shape (2, pairs).
        predicted: Places of their predicted labels, likewise; None for numbers.
        known: Rows with a known actual value.
        unread: Places of the rows without one, among the pairs.
    """
    own = values[:, unread]
    for side in (0, 1):
        if predicted is None:
            low, high = _range(values, known, own)
            actuals = np.where(own[side] > own[1 - side], high, low)
            yield Completion(_completed(reader, known, unread, own, actuals=actuals), _OF_NUMBERS)
            continue
        guesses = predicted[:, unread]
        if reader.kind == "classes":
            yield Completion(_completed(reader, known, unread, own, labels=guesses[side]), _OF_LABELS)
            continue
        by_score, by_rank = (_higher(each[:, unread], side) for each in (values, _ranks(values)))
        by_label = np.where(guesses[0] == guesses[1], by_rank, guesses[side])
        for labels, metrics in ((by_label, _OF_LABELS), (by_score, _OF_SCORES), (by_rank, frozenset(("auc",)))):
            yield Completion(_completed(reader, known, unread, own, labels=labels), metrics)


def _range(values: Floats, known: KnownRows, own: Floats) -> tuple[float, float]:
    """Return the least and the largest number that an unread actual value is taken to be."""
    actuals = values[0, known.places] - known.losses(1)[0, 0]
    every = np.concatenate([actuals, own.ravel()])
    return float(every.min()), float(every.max())


def _ranks(values: Floats) -> Floats:
    """Return the ranks of the scores of either model; equal scores have the same."""
    ranks = np.empty_like(values)
    for each, own in zip(values, ranks, strict=True):
        _, places, counts = np.unique(each, return_inverse=True, return_counts=True)
        own[:] = (np.cumsum(counts) - counts / 2)[places]
    return ranks


def _higher(scores: Floats, side: int) -> Numbers:
    labels: Numbers = (scores[side] > scores[1 - side]).astype(np.int64)
    return labels


def _completed(
    reader: PairReader,
    known: KnownRows,
    unread: Numbers,
    own: Floats,
    *,
    labels: Numbers | None = None,
    actuals: Floats | None = None,
) -> KnownRows:
    rows = known.copy()
    count = len(unread)
    supposed = zip(
        unread.tolist(),
        own.T.tolist(),
        [0] * count if labels is None else labels.tolist(),
        [0.0] * count if actuals is None else actuals.tolist(),
        strict=True,
    )
    for place, outputs, label, actual in supposed:
        rows.add(place, reader.supposed(outputs, label, actual))
    return rows
