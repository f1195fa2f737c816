"""Records of two models, paired by key, and their outcomes.

Rules are the same as in `joining`: only answered rows are predictions. A key stands for its last prediction, and counts
once, with the first outcome of the key that can be read. A reading holds 24 bytes for each row: a fingerprint of the
key of 64 bits, the time, and the number that stands for the outputs. Two of a million keys have the same fingerprint
with a probability of 3 in 100 million.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.naming import REDACTED
from flask_boxkite.performance.pair_reader import KnownRows, PairReader
from flask_boxkite.records.alignment import Aligner
from flask_boxkite.records.counting import is_answered
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.hidden import Hidden
from flask_boxkite.records.keys import given_key, keys_of
from flask_boxkite.records.outcome_rows import OutcomeRow
from flask_boxkite.values.ids import request_part
from flask_boxkite.values.unread import Examples

__all__ = ["Answers", "Collected", "Matched", "ModelRows", "Pairs", "ValueOf", "known_rows"]

ValueOf = Callable[[Sequence[Any]], "float | None"]
"""Returns the number that stands for a row's outputs, or None: `OutcomeReader.value_of`."""

_SHARED = ("prediction_id", "entity_id")
"""Fields of which predictions of one request share the beginning."""

_AT_ONCE = 10_000
"""Outcomes that are looked up at once."""


class Answers(NamedTuple):
    """The last answer to each key, in the order of their fingerprints.

    Attributes:
        fingerprints: Fingerprints of the keys.
        values: Numbers that stand for the outputs.
        rows: Number of answered rows.
        keyless: Number of these without a key.
        unread: Number of these with a key, and without outputs that can be judged.
        repeated: Number of the others whose key came again later.
    """

    fingerprints: NDArray[np.uint64]
    values: NDArray[np.float64]
    rows: int
    keyless: int
    unread: int
    repeated: int


@dataclass(frozen=True)
class Collected:
    """The rows of one process.

    Attributes:
        fingerprints: Fingerprints of the keys of rows that can be judged, in the order of reading.
        times: Times of these rows, in Unix seconds.
        values: Numbers that stand for their outputs.
        rows: Number of answered rows.
        keyless: Number of these without a key.
        hidden: Rows whose key or output is hidden.
    """

    fingerprints: array[int]
    times: array[float]
    values: array[float]
    rows: int
    keyless: int
    hidden: Hidden


class ModelRows:
    """Collects the answered rows of one model.

    Attributes:
        hidden: Rows whose key or output is hidden.

    Args:
        value_of: Reads the outputs of a row (`OutcomeReader.value_of`).
        key: Field of the record in `keys.IDS`, or name of a feature.
        features: Names of the features, in the order of the aligner.

    Raises:
        BoxkiteError: Records cannot be joined by this key.
    """

    def __init__(self, value_of: ValueOf, key: str, features: Sequence[str]) -> None:
        self._value_of = value_of
        self._keys_of = keys_of(key, features)
        self.hidden = Hidden(key)
        self._is_shared = key in _SHARED
        self._fingerprints, self._times, self._values = array("Q"), array("d"), array("d")
        self._rows = self._keyless = 0

    def add(self, records: Iterable[Record], aligner: Aligner) -> None:
        """Collect some records."""
        for record in filter(is_answered, records):
            self._rows += record.rows
            names = list(self._keys_of(record, aligner))
            self._keyless += record.rows - len(names) + names.count(None) + names.count(REDACTED)
            values = [self._value_of(row) for row in aligner.output_rows(record) or ()]
            self.hidden.see(record.rows, names, record.output, values)
            for name, value in zip(names, values, strict=False):
                if name is not None and name != REDACTED and value is not None:
                    self._fingerprints.append(_fingerprint(name, is_shared=self._is_shared))
                    self._times.append(record.created_at)
                    self._values.append(value)

    @property
    def collected(self) -> Collected:
        """The rows so far, for a collection in another process."""
        return Collected(self._fingerprints, self._times, self._values, self._rows, self._keyless, self.hidden)

    def join(self, collected: Collected) -> None:
        """Add the rows of records behind these."""
        self._fingerprints += collected.fingerprints
        self._times += collected.times
        self._values += collected.values
        self._rows += collected.rows
        self._keyless += collected.keyless
        self.hidden.join(collected.hidden)

    def answers(self) -> Answers:
        """Return the last answer to each key; of several in one second, the one that was read last."""
        fingerprints = np.frombuffer(self._fingerprints, dtype=np.uint64)
        order = np.lexsort((np.frombuffer(self._times), fingerprints))
        ordered = fingerprints[order]
        is_last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
        values = np.frombuffer(self._values)[order[is_last]]
        found = int(is_last.sum())
        unread = max(self._rows - self._keyless - len(ordered), 0)
        return Answers(ordered[is_last], values, self._rows, self._keyless, unread, len(ordered) - found)


class Pairs:
    """Rows that both models answered.

    Attributes:
        values: Numbers that stand for the outputs of either model, shape (2, rows).

    Args:
        first: Answers of one model.
        second: Answers of the other.
        key: Name of the key.
    """

    def __init__(self, first: Answers, second: Answers, key: str) -> None:
        self._either = [first.fingerprints, second.fingerprints]
        self._both, places, others = np.intersect1d(
            first.fingerprints, second.fingerprints, assume_unique=True, return_indices=True
        )
        self.values = np.stack([first.values[places], second.values[others]])
        self._key = key

    def __len__(self) -> int:
        return len(self._both)

    def find(self, names: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the place of the pair that each outcome names, -1 for none, and whether one model answered its row.

        Row 0 of a prediction of one row is the prediction.

        Args:
            names: Keys as outcomes have them.
        """
        places, is_of_one = np.full(len(names), -1), np.zeros(len(names), dtype=np.bool_)
        for spelled in (_as_given, _without_row_0):
            texts = [None if (text := given_key(name, self._key)) is None else spelled(text) for name in names]
            is_text = np.array([text is not None for text in texts], dtype=np.bool_)
            given = [_fingerprint(text, is_shared=self._key in _SHARED) for text in texts if text is not None]
            fingerprints = np.zeros(len(names), dtype=np.uint64)
            fingerprints[is_text] = np.array(given, dtype=np.uint64)
            for own in self._either:
                is_of_one |= is_text & (_places(own, fingerprints) >= 0)
            places = np.where((places < 0) & is_text, _places(self._both, fingerprints), places)
            if self._key not in _SHARED:
                break
        return places, is_of_one


class Matched(NamedTuple):
    """Pairs and their outcomes.

    Attributes:
        known: Pairs with an outcome that can be read.
        rejected: Number of outcomes that were not counted, by reason.
        unread: Places of pairs of which no outcome can be read.
        examples: Examples of such outcomes.
    """

    known: KnownRows
    rejected: dict[str, int]
    unread: list[int]
    examples: Examples


def known_rows(pairs: Pairs, reader: PairReader, outcomes: Iterable[OutcomeRow]) -> Matched:
    """Return the pairs that have an outcome, and the outcomes that do not count.

    Args:
        pairs: Rows that both models answered.
        reader: Reader of their outputs and actual values.
        outcomes: Outcomes of these models.
    """
    known, is_known = KnownRows(), bytearray(len(pairs))
    rejected = dict.fromkeys(("unknown", "alone", "repeated", "invalid"), 0)
    unread: set[int] = set()
    examples = Examples()
    left = iter(outcomes)
    while chunk := list(islice(left, _AT_ONCE)):
        places, is_of_one = pairs.find([outcome.key for outcome in chunk])
        values = iter(pairs.values[:, places[places >= 0]].T.tolist())
        for outcome, place, is_alone in zip(chunk, places.tolist(), is_of_one.tolist(), strict=True):
            if place < 0:
                rejected["alone" if is_alone else "unknown"] += 1
            elif (row := reader.known(next(values), outcome.actual)) is None:
                rejected["invalid"] += 1
                unread.add(place)
                examples.note(outcome.actual)
            elif is_known[place]:
                rejected["repeated"] += 1
            else:
                is_known[place] = True
                known.add(place, row)
    return Matched(known, rejected, sorted(place for place in unread if not is_known[place]), examples)


def _as_given(text: str) -> str | None:
    return text


def _without_row_0(text: str) -> str | None:
    return text.removesuffix("/0") if text.endswith("/0") else None


def _fingerprint(name: str, *, is_shared: bool) -> int:
    if is_shared:
        name = request_part(name)
        start, slash, row = name.rpartition("/")
        if slash and row.isdecimal():
            name = f"{request_part(start)}/{row}"
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _places(own: NDArray[np.uint64], fingerprints: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the place of each fingerprint among a model's own, -1 for none."""
    if not len(own):
        return np.full(len(fingerprints), -1)
    places = np.minimum(np.searchsorted(own, fingerprints), len(own) - 1)
    return np.where(own[places] == fingerprints, places, -1)
