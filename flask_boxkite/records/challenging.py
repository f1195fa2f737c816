"""A challenge between two models whose answers to the same requests are in records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flask_boxkite.baseline import Baseline
from flask_boxkite.performance.challenge import ChallengeReport, Contestant, challenge_report
from flask_boxkite.performance.pair_reader import PairReader
from flask_boxkite.records.alignment import Aligner, aligner_of
from flask_boxkite.records.keys import IDS
from flask_boxkite.records.outcome_models import of_models, warn_of_other_models
from flask_boxkite.records.outcome_rows import OutcomeRow
from flask_boxkite.records.pairing import Answers, ModelRows, Pairs, ValueOf, known_rows

__all__ = ["Side", "aligned_rows", "challenged"]


class Side(NamedTuple):
    """One of both models.

    Attributes:
        model: Name of the model.
        baseline: Its baseline.
        answers: Its last answer to each key.
    """

    model: str
    baseline: Baseline
    answers: Answers


def aligned_rows(baseline: Baseline, value_of: ValueOf, key: str) -> tuple[ModelRows, Aligner]:
    """Return the collector of rows of a model, and the aligner that lays out its records.

    Args:
        baseline: Baseline of the model.
        value_of: Reads a row of outputs.
        key: Field or feature that both records of a row share.
    """
    # Without features, which only a key may need, lines are read in half the time.
    features = [] if key in IDS else [item.name for item in baseline.features]
    others = () if key in (*IDS, *features) else (key,)
    outputs = [item.name for item in baseline.outputs]
    aligner = aligner_of(baseline, others) if features else Aligner((), outputs, others)
    return ModelRows(value_of, key, [*features, *others]), aligner


def challenged(
    sides: Sequence[Side], reader: PairReader, outcomes: Iterable[OutcomeRow], *, key: str, alpha: float, window: str
) -> ChallengeReport:
    """Return the report on two models.

    Args:
        sides: The champion and the challenger.
        reader: Reads their outputs and actual values.
        outcomes: Outcomes, of these models and of others.
        key: Field or feature that both records of a row share.
        alpha: Probability that equally good models get another verdict than ``no difference shown``.
        window: Period of the records, as text.
    """
    first, second = sides
    names = {first.model, second.model}
    pairs = Pairs(first.answers, second.answers, key)
    models: Counter[str] = Counter()
    known, rejected = known_rows(pairs, reader, of_models(outcomes, names, models))
    warn_of_other_models(models, names)
    contestants = (_contestant(first, len(pairs)), _contestant(second, len(pairs)))
    return challenge_report(contestants, reader, pairs.values, known, rejected, alpha=alpha, key=key, window=window)


def _contestant(side: Side, paired: int) -> Contestant:
    return Contestant(
        model=side.model,
        baseline=side.baseline.fingerprint,
        version=side.baseline.version,
        rows=side.answers.rows,
        unreadable=side.answers.unreadable,
        repeated=side.answers.repeated,
        alone=len(side.answers.values) - paired,
    )
