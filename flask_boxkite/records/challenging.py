"""A challenge between two models whose answers to the same requests are in records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from flask_boxkite.baseline import Baseline
from flask_boxkite.outcomes.reader import outcome_reader
from flask_boxkite.performance.challenge import ChallengeReport, Contestant, challenge_report
from flask_boxkite.performance.pair_reader import PairReader
from flask_boxkite.records.alignment import Aligner, aligner_of
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.keys import IDS
from flask_boxkite.records.outcome_models import of_models, warn_of_other_models
from flask_boxkite.records.outcome_rows import OutcomeRow
from flask_boxkite.records.pairing import Answers, Collected, ModelRows, Pairs, known_rows

if TYPE_CHECKING:
    from flask_boxkite.records.parquet.layout import Layout

__all__ = ["AnswerJob", "Side", "challenged"]


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


@dataclass(frozen=True)
class AnswerJob:
    """A description of the answers of a model.

    Attributes:
        baseline: Baseline of the model, with actual values.
        key: Field or feature that both records of a row share.
    """

    baseline: Baseline
    key: str

    def begin(self) -> Answering:
        """Return the collection before the first record; see `Job.begin`."""
        return Answering(self)


class Answering:
    """Collects the answered rows of a model; a `Counting`.

    Args:
        job: Description of the rows.

    Raises:
        BoxkiteError: Records cannot be joined by this key.
    """

    def __init__(self, job: AnswerJob) -> None:
        # Without features, which only a key may need, lines are read in half the time.
        features = [] if job.key in IDS else [item.name for item in job.baseline.features]
        others = () if job.key in (*IDS, *features) else (job.key,)
        outputs = [item.name for item in job.baseline.outputs]
        self._aligner = aligner_of(job.baseline, others) if features else Aligner((), outputs, others)
        reader = outcome_reader(job.baseline)
        assert reader is not None
        self._rows = ModelRows(reader.value_of, job.key, [*features, *others])

    @property
    def names(self) -> Sequence[str]:
        """The names of the features to read where they come by name."""
        return self._aligner.features

    def takes(self, layout: Layout) -> bool:
        """Take no columns: keys and outputs are read from lines."""
        return False

    def add(self, records: Iterable[Record]) -> None:
        """Collect some records."""
        self._rows.add(records, self._aligner)

    @property
    def counted(self) -> Collected:
        """The rows so far."""
        return self._rows.collected

    def join(self, counted: Collected) -> None:
        """Add the rows of another process, of records behind these."""
        self._rows.join(counted)

    def answers(self) -> Answers:
        """Return the last answer to each key; see `ModelRows.answers`.

        Raises:
            BoxkiteError: All keys or outputs are hidden.
        """
        self._rows.hidden.check()
        return self._rows.answers()


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
    found = known_rows(pairs, reader, of_models(outcomes, names, models))
    warn_of_other_models(models, names)
    contestants = (_contestant(first, len(pairs)), _contestant(second, len(pairs)))
    return challenge_report(
        contestants,
        reader,
        pairs.values,
        found.known,
        found.rejected,
        alpha=alpha,
        key=key,
        window=window,
        unread=found.unread,
        examples=found.examples.found,
    )


def _contestant(side: Side, paired: int) -> Contestant:
    return Contestant(
        model=side.model,
        baseline=side.baseline.fingerprint,
        version=side.baseline.version,
        rows=side.answers.rows,
        unreadable=side.answers.keyless + side.answers.unread,
        repeated=side.answers.repeated,
        alone=len(side.answers.values) - paired,
        keyless=side.answers.keyless,
        unread=side.answers.unread,
    )
