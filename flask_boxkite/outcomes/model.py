"""The outcomes of one model: it finds the prediction of an outcome, and counts it."""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.validation import ClassValidation
from flask_boxkite.live.folding import RECENT_FILE
from flask_boxkite.live.history_extract import extract_of_outcomes
from flask_boxkite.live.history_keeper import Keeper
from flask_boxkite.live.outcome_cells import LAG_BOUNDS, OutcomeCells
from flask_boxkite.live.store import Store
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import History
from flask_boxkite.naming import REJECTIONS
from flask_boxkite.outcomes.book import Outcome, OutcomeBook
from flask_boxkite.outcomes.book_file import AT_ONCE
from flask_boxkite.outcomes.place import outcome_book, outcome_section
from flask_boxkite.outcomes.reader import OutcomeReader, outcome_reader
from flask_boxkite.outcomes.recent import RecentPredictions, row_fingerprint, row_fingerprints
from flask_boxkite.outcomes.sealing import IdSeal, id_key
from flask_boxkite.system.faults import warn_of
from flask_boxkite.system.fork_mark import ForkMark, fork_mark
from flask_boxkite.system.throttle import Throttle
from flask_boxkite.values.ids import PredictionId

__all__ = ["Found", "Given", "ModelOutcomes", "model_outcomes"]

_ROW = re.compile(r"(.+)/([0-9]{1,9})", re.DOTALL)
_MOMENT = re.compile(r"/([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})/[0-9a-f-]{36}(?:/[0-9]{1,9})?\Z")
_BEFORE_UUID = 37
"""Place of the slash before the uuid in an id, from the end; a row's id has a digit of the uuid there."""
_RETRY_SECONDS = 10.0
_FIRST = 2
"""Fingerprint of the note on the first outcome."""


class Given(NamedTuple):
    """An outcome as it arrives.

    Attributes:
        prediction_id: Id of the prediction, ``{id}/{i}`` for a row of a batch; None if only a key is known.
        actual: Value that came true.
        predicted: Output of the prediction, if the caller knows it, in any form; in the end, a row of values in the
            order of the baseline's outputs. None if it is not known.
        key: Caller's own key of the prediction.
    """

    prediction_id: str | None
    actual: Any
    predicted: Any = None
    key: str | None = None


class Found(NamedTuple):
    """A prediction that was found.

    Attributes:
        value: Number that stands for its outputs.
        time: Time of the prediction in Unix seconds.
        fingerprint: Fingerprint of its id.
    """

    value: float
    time: float
    fingerprint: int


class _Counted(NamedTuple):
    """An outcome that can be counted.

    Attributes:
        outcome: The outcome, in the form of the book.
        time: Time of its prediction in Unix seconds.
    """

    outcome: Outcome
    time: float


class _Place(NamedTuple):
    """The files and keys of one process.

    Attributes:
        mark: Fork mark of the process.
        seal: Seals and opens ids.
        book: Counts outcomes.
        recent: Table of recent predictions, opened when it is first needed.
    """

    mark: ForkMark
    seal: IdSeal
    book: OutcomeBook
    recent: _LazyTable


class _LazyTable:
    """The table of recent predictions, of which a server with sealed ids needs none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._table: RecentPredictions | None = None
        self._throttle = Throttle()

    def get(self, *, to_write: bool) -> RecentPredictions | None:
        """Return the table; None if it cannot be opened, or if there is none to read."""
        if self._table is None:
            if not to_write and (self._path is None or not self._path.exists()):
                return None
            try:
                self._table = RecentPredictions(self._path)
            except OSError as error:
                if self._throttle.allows():
                    warn_of(error, "Predictions cannot be remembered for their outcomes; send 'predicted' with these.")
        return self._table


def model_outcomes(
    baseline: Baseline | None,
    model: str,
    store: Store,
    key: str | None,
    server_id: str,
    *,
    clock: Callable[[], float] = time.time,
    description: Callable[[], bytes] = bytes,
) -> ModelOutcomes | None:
    """Return the outcomes of a model, as `ModelOutcomes` explains; None if its baseline has no actual values."""
    reader = None if baseline is None else outcome_reader(baseline)
    if baseline is None or reader is None:
        return None
    return ModelOutcomes(baseline, reader, model, store, key, server_id, clock=clock, description=description)


class ModelOutcomes:
    """The outcomes of one model. Any thread may use it, also after a fork.

    Attributes:
        layout: Meaning of each count and sum.
        reader: Reader of its outputs and actual values.
        are_numbers: Whether the model has one output, which is a number.

    Args:
        baseline: Baseline of the model, with a validation.
        reader: Reader of its outputs and actual values.
        model: Name of the model.
        store: Store of the app's counts, in whose directory outcomes are counted.
        key: Setting ``BOXKITE_ID_KEY``; None if it is not set.
        server_id: Name of the server, with which its ids begin.
        clock: Returns the Unix time.
        description: Returns the description of the model's own section, for the history.
    """

    def __init__(
        self,
        baseline: Baseline,
        reader: OutcomeReader,
        model: str,
        store: Store,
        key: str | None,
        server_id: str,
        *,
        clock: Callable[[], float] = time.time,
        description: Callable[[], bytes] = bytes,
    ) -> None:
        assert baseline.validation is not None
        self.layout = OutcomeCells(baseline.validation)
        self.reader = reader
        self.are_numbers = len(baseline.outputs) == 1 and not isinstance(baseline.validation, ClassValidation)
        self._name = f"{model}\n{baseline.fingerprint}"
        self._section = outcome_section(model, baseline, self.layout)
        self._store = store
        self._key = key
        self._server = f"{server_id}/"
        self._clock = clock
        self._throttle = Throttle()
        self._keeper = Keeper(
            store,
            lambda: extract_of_outcomes(self._section, description()),
            lambda: self._place.book.totals().cells,
        )
        self._current: _Place | None = None
        self._slot_ends = 0.0
        self._has_first = False
        self._note_unread: Callable[[Any], object] = lambda value: None
        self._rejections = {reason: cell for cell, reason in enumerate(REJECTIONS, start=self.layout.rejections_start)}

    @property
    def _place(self) -> _Place:
        place = self._current
        if place is None or not place.mark[0]:
            place = self._current = self._new_place()
        return place

    def _new_place(self) -> _Place:
        directory = self._store.directory()
        try:
            key = id_key(self._key, directory)
        except OSError as error:
            warn_of(error, "Ids of predictions are sealed for this process alone: others cannot take their outcomes.")
            key = id_key(None, None)
        recent = None if directory is None else directory / RECENT_FILE
        book = outcome_book(directory, self._section)
        return _Place(fork_mark(), IdSeal(key, self._name, self.reader.code), book, _LazyTable(recent))

    def watch_unread(self, note: Callable[[Any], object]) -> None:
        """Hand each actual value that cannot be read to a function, which never raises."""
        self._note_unread = note

    # --- predictions -------------------------------------------------------------------------------------------------

    def sealed_number(self, prediction: PredictionId, value: float) -> PredictionId | None:
        """Return the same as `sealed` for the only output, a number as in most requests, with fewer questions."""
        place = self._current
        if place is None or not place.mark[0]:
            place = self._place
        return place.seal.seal(prediction, value)

    def sealed(self, prediction: PredictionId, row: Sequence[Any]) -> PredictionId | None:
        """Return the id under which a prediction is found again; None if an id cannot carry its outputs.

        Args:
            prediction: Id that no client knows yet.
            row: Outputs in the order of the baseline.
        """
        value = self.reader.value_of(row)
        return None if value is None else self._place.seal.seal(prediction, value)

    def remember(self, prediction: PredictionId, rows: Any) -> None:
        """Remember the outputs of a prediction whose id does not carry them.

        Args:
            prediction: Id of the prediction.
            rows: Outputs of each row, in the order of the baseline, shape (rows, outputs).
        """
        seconds, fingerprint = prediction.time_ns / 1e9, self._place.seal.fingerprint(prediction.text)
        codes = [self._carried(row) for row in rows]
        known = [code for code in codes if code is not None]
        if not known or (table := self._place.recent.get(to_write=True)) is None:
            return
        if len(codes) == 1:
            table.put(fingerprint, known[0], seconds)
            return
        is_known = np.array([code is not None for code in codes])
        fingerprints = row_fingerprints(fingerprint, len(codes))[is_known]
        table.put_many(fingerprints, np.array(known, dtype=np.uint32), seconds)

    def remember_key(self, key: str, row: Sequence[Any], seconds: float) -> None:
        """Remember the outputs of a prediction under a key of the caller.

        Args:
            key: Key of the prediction.
            row: Outputs in the order of the baseline.
            seconds: Time of the prediction in Unix seconds.
        """
        bits = self._carried(row)
        if bits is not None and (table := self._place.recent.get(to_write=True)) is not None:
            table.put(self._fingerprint_of_key(key), bits, seconds)

    def _carried(self, row: Sequence[Any]) -> int | None:
        value = self.reader.value_of(row)
        return None if value is None else self.reader.code.bits(value)

    def _fingerprint_of_key(self, key: str) -> int:
        return self._place.seal.fingerprint(f"key\n{key}")

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def log(self, given: Sequence[Given], found: Sequence[Found | None] | None = None) -> list[str | None]:
        """Count outcomes; return, for each, the reason for which it was not counted (`REJECTIONS`), or None.

        Never raises OSError: outcomes that cannot be written are ``failed``.

        Args:
            given: The outcomes.
            found: Predictions of the outcomes, as `find` returns them; None to find them.
        """
        predictions = map(self.find, given) if found is None else found
        read = [self._read(item, prediction) for item, prediction in zip(given, predictions, strict=True)]
        self._begin_slot()
        answers: list[str | None] = []
        try:
            self._note_first(read)
            # One transaction at a time, so that outcomes before a failure are not called failed.
            for first in range(0, len(read), AT_ONCE):
                answers += self._count(read[first : first + AT_ONCE])
        except OSError as error:
            if self._throttle.allows():
                warn_of(error, "Outcomes cannot be counted; the caller is told, and should send them again.")
            answers += [item if isinstance(item, str) else "failed" for item in read[len(answers) :]]
        return answers

    def _count(self, found: Sequence[_Counted | str]) -> list[str | None]:
        """Count outcomes in one transaction; answer as `log` does.

        Raises:
            OSError: They cannot be written; none of them was counted.
        """
        outcomes = [
            Outcome(None, ((self._rejections[item], 1),)) if isinstance(item, str) else item.outcome for item in found
        ]
        is_new = self._place.book.count(outcomes, repeated=self._rejections["repeated"])
        return [
            item if isinstance(item, str) else None if is_counted else "repeated"
            for item, is_counted in zip(found, is_new, strict=True)
        ]

    def find(self, given: Given) -> Found | None:
        """Return the prediction of an outcome, by its id, else by its key; None if it is not known here."""
        text: Any = given.prediction_id
        if isinstance(text, str):  # and not NaN, of a frame in which an id is missing
            found = self.opened(text) or self.remembered(text)
            if found is not None:
                return found
        return None if given.key is None else self.of_key(given.key)

    def opened(self, text: str) -> Found | None:
        """Return the prediction whose id carries its output; None for any other text."""
        text, row = _parts(text)
        opened = None if row else self._place.seal.open(text)
        return None if opened is None else Found(*opened)

    def remembered(self, text: str) -> Found | None:
        """Return the prediction of an id that is remembered; None for any other text."""
        text, row = _parts(text)
        fingerprint = self._place.seal.fingerprint(text)
        found = None if row is None else self._remembered(row_fingerprint(fingerprint, row))
        # A batch of one is a prediction of one row.
        return self._remembered(fingerprint) if found is None and not row else found

    def of_key(self, key: str) -> Found | None:
        """Return the last prediction of a caller's key; None if it is not remembered."""
        return self._remembered(self._fingerprint_of_key(key))

    def _note_first(self, found: Sequence[_Counted | str]) -> None:
        """Note the time of the first prediction with an outcome, once for all processes.

        Raises:
            OSError: The book cannot be written.
        """
        times = [item.time for item in found if not isinstance(item, str)]
        if times and not self._has_first:
            # As an outcome of its own, it is counted once, like any other.
            first = Outcome(_FIRST, ((self.layout.first_cell, max(int(min(times)), 1)),))
            self._place.book.count([first])
            self._has_first = True

    def _read(self, given: Given, found: Found | None) -> _Counted | str:
        """Return an outcome in the form of the book, or the reason for which it is rejected."""
        prediction = self._prediction(given, found)
        if isinstance(prediction, str):
            return prediction
        counted = self.reader.count(prediction.value, given.actual)
        if counted is None:
            self._note_unread(given.actual)
            return "invalid"
        cell, losses = counted
        lag = bisect_left(LAG_BOUNDS, self._clock() - prediction.time)
        cells = (cell, 1), (self.layout.lags_start + lag, 1), *self.layout.amounts(losses)
        return _Counted(Outcome(prediction.fingerprint, cells), prediction.time)

    def _prediction(self, given: Given, found: Found | None) -> Found | str:
        text: Any = given.prediction_id
        if not isinstance(text, str):
            text = None
        if given.predicted is not None:
            value = self.reader.value_of(given.predicted)
            if value is None:
                return "invalid"
            if found is not None:
                return found._replace(value=value)
            name = f"key\n{given.key}" if text is None else text
            moment = None if text is None else _time_of(text)
            seconds = self._clock() if moment is None else moment
            return Found(value, seconds, self._place.seal.fingerprint(name))
        if found is not None:
            return found
        return "late" if text is not None and self._is_late(text) else "unknown"

    def _remembered(self, fingerprint: int) -> Found | None:
        table = self._place.recent.get(to_write=False)
        found = None if table is None else table.find(fingerprint)
        return None if found is None else Found(self.reader.code.value(found[0]), found[1], fingerprint)

    def _is_late(self, text: str) -> bool:
        """Say whether an id is one of this server, made before all predictions that the table remembers."""
        moment = _time_of(text)
        if moment is None or not text.startswith(self._server):
            return False
        table = self._place.recent.get(to_write=False)
        oldest = None if table is None else table.oldest(self._place.seal.fingerprint(text))
        return oldest is not None and moment < oldest

    # --- reading -----------------------------------------------------------------------------------------------------

    def _begin_slot(self) -> None:
        """Take the snapshots that are due before the next outcomes are counted."""
        if self._store.clock() < self._slot_ends:
            return
        try:
            windows = self._store.windows(self._section)
            self._slot_ends = windows.begin_slot(lambda began: self._place.book.totals())
        except Exception as error:  # no failure here may cost an outcome
            self._slot_ends = self._store.clock() + _RETRY_SECONDS
            if self._throttle.allows():
                warn_of(error, "The outcomes of the last minutes and hours cannot be told apart.")
        self._keeper.tick()

    def totals(self) -> Totals:
        """Return the outcomes of all processes of this server.

        Raises:
            OSError: They cannot be read just now.
        """
        return self._place.book.totals()

    def history(self) -> tuple[History, Totals]:
        """Return the snapshots of the last day, and the totals read just after them.

        Raises:
            OSError: They cannot be read.
        """
        history = self._store.windows(self._section).history()
        return history, self.totals()


def _parts(text: str) -> tuple[str, int | None]:
    """Return the id of a prediction and the number of the row; None for an id without one."""
    if "%" in text:  # headers quote the name of a server that is not plain ASCII
        text = unquote(text)
    if text[-_BEFORE_UUID : 1 - _BEFORE_UUID] == "/":
        return text, None
    row = _ROW.fullmatch(text)
    return (text, None) if row is None or _time_of(text) is None else (row[1], int(row[2]))


def _time_of(text: str) -> float | None:
    """Return the time in a prediction's id, in Unix seconds; None if it is not the id of a prediction."""
    found = _MOMENT.search(text)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}+00:00").timestamp()
    except ValueError:
        return None
