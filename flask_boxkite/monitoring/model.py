"""The monitoring of one model: what its predictions count, which records they leave, and what was seen of all.

It knows no web framework: requests come as features and outputs.
"""

from __future__ import annotations

import logging
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask_boxkite.baseline import Distribution
from flask_boxkite.config import Settings
from flask_boxkite.delivery import Recorders
from flask_boxkite.drift import DriftReport
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.exposition import ExportedModel
from flask_boxkite.live.counting import UnmatchedError, VariableCounter
from flask_boxkite.live.failed import FailedCells
from flask_boxkite.live.layout import DURATION_BOUNDS, Layout
from flask_boxkite.live.shared import Counts, Store
from flask_boxkite.live.store import Increments
from flask_boxkite.live.windows import LONGEST, WINDOWS
from flask_boxkite.monitoring.body import Body, body_of
from flask_boxkite.monitoring.hints import given_hint, given_output_hint, names_hint, unmatched_hint
from flask_boxkite.monitoring.ids import IdMaker, PredictionId
from flask_boxkite.monitoring.notes import Notes
from flask_boxkite.monitoring.observation import CoursePoint, Observation, course, observe
from flask_boxkite.monitoring.record import RecordMaker
from flask_boxkite.monitoring.redaction import Redaction, redaction
from flask_boxkite.monitoring.reply import Reply
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.naming import CAPTURE_REASONS, FEATURE_GAP, GAPS, OUTPUT_GAP, STATUSES
from flask_boxkite.payloads import Table, as_table, output_table
from flask_boxkite.quoting import loggable
from flask_boxkite.system.throttle import Throttle
from flask_boxkite.values.conversion import plain

__all__ = ["ModelMonitor"]

logger = logging.getLogger("flask_boxkite")

_SCALARS = frozenset({float, int, str, bool})
_LONGEST_ERROR = 200
"""Letters of an error that are kept for the page."""


class ModelMonitor:
    """Counts the predictions of one model and queues their records. Safe to use from any thread, also after a fork.

    Attributes:
        settings: Settings of the app.
        baseline: Baseline of the model; None if it has none.
        model: Name of the model.
        exported: The model as metrics show it.
        new_id: Makes the id of a prediction.
        feature_names: The features that are counted; none without a baseline.
        output_names: The outputs that are counted.
        notes: The last note of each kind on features or output that were not captured.
        has_header_ids: Whether prediction ids can stand in an HTTP header as they are.
        redaction: Hides fields of a request; None if none is hidden by name.

    Args:
        settings: Settings of the app.
        exported: The model as metrics show it.
        store: Home of the counts of its app.
        recorders: Recorders of its app.
        clock: Returns the Unix time.
    """

    def __init__(
        self,
        settings: Settings,
        exported: ExportedModel,
        store: Store,
        recorders: Recorders,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.exported = exported
        self.baseline = baseline = exported.baseline
        self.model = exported.name
        self.new_id = IdMaker(settings.server_id)
        self.has_header_ids = settings.server_id.isascii() and settings.server_id.isprintable()
        self._recorders = recorders
        self._has_sink = bool(recorders)
        self._logs_all = settings.sample_rate >= 1
        self._records = RecordMaker(settings.server_id, self.model, baseline)
        self._throttle = Throttle()

        self._layout = layout = Layout.of(baseline)
        self._status_cells = {status: cell for cell, status in enumerate(STATUSES, layout.statuses_start)}
        self._unhashed = "features" if layout.features else "output"
        self._one_answered = (self._status_cells["ok"], layout.squares)
        self._failed = FailedCells(layout)
        self._counts = Counts(store, exported.section)
        self._timelines = Timelines(layout) if baseline else None
        self.notes = Notes(self.model, exported.key, store.directory, clock)

        # Rows are known again by their features; by their outputs where nothing is known of features.
        of_features, of_outputs = (layout.buckets_start, None) if layout.features else (None, layout.buckets_start)
        self._features = VariableCounter(
            layout.features,
            0,
            layout.size,
            buckets=of_features,
            keeps_interpreter=self._has_sink,
            gap=FEATURE_GAP,
        )
        self._outputs = VariableCounter(
            layout.outputs,
            layout.outputs_start,
            layout.size,
            buckets=of_outputs if layout.outputs else None,
            sums=0,
            gap=OUTPUT_GAP,
        )
        self.feature_names = self._features.known
        self.output_names = self._outputs.names
        self._redact = redaction(settings.redact, self._features.names, self.output_names)
        self.redaction = self._redact if isinstance(self._redact, Redaction) else None

    # --- serving -----------------------------------------------------------------------------------------------------

    def log_prediction(self, request_body: Any = None, features: Any = None, output: Any = None) -> str:
        """Count and log a prediction, or a batch, as `ModelMonitoringService.log_prediction` does; return its id."""
        return self.log_as(self.new_id(), request_body, features, output)

    def log_as(self, prediction: PredictionId, request_body: Any, features: Any, output: Any) -> str:
        """Count and log a prediction, or a batch, under an id that the client may know already; return its text.

        `ModelMonitoringService.log_prediction` explains the arguments.
        """
        if not self.settings.enabled:
            return prediction.text
        tally = Tally()
        table: Table | None = None
        try:
            if type(features) is list and features and type(features[0]) in _SCALARS:
                table = Table(None, [features])  # not copied: nothing is kept of it when this returns
            else:
                table = features if isinstance(features, Table) else as_table(features, self.feature_names)
            self.count_features(tally, table)
            self.count_output(tally, output)
        except Exception:
            self.fail(tally)
        if tally.errors:
            self._explain_arguments(tally, table, features, output)
        if self.commit(tally, "ok", None) and self.wants_record(prediction):
            try:
                body = body_of(request_body, self.settings.max_body_bytes)
            except Exception:
                self._lose_record()
            else:
                self.record(prediction, body, features if table is None else table, output, "ok", tally.rows, None)
        return prediction.text

    def count_features(self, tally: Tally, table: Table | None) -> Table | None:
        """Find the cells of all features; returns the table."""
        if table is None:
            tally.errors.append("features")
            return None
        tally.rows = rows = len(table)
        if rows and self._features.names:
            try:
                self._features.count(table, tally)
            except UnmatchedError:
                tally.errors.append("features")
        return table

    def count_output(self, tally: Tally, output: Any) -> None:
        """Find the cells of the outputs, for as many rows as there are of features."""
        if not self.output_names:
            if tally.rows == 0 and not self._features.names and _holds_something(output):
                tally.rows = None  # of features nothing is known, so that an empty list need be no batch
            return
        if output is None:
            if tally.rows != 0:  # an empty batch has no output to miss
                tally.errors.append("output")
            return
        if type(output) in _SCALARS and tally.rows == 1 and len(self.output_names) == 1:
            self._outputs.count_value(output, tally)
            return
        table = output_table(output, self.output_names, tally.rows)
        if table is None:
            tally.errors.append("output")
            return
        try:
            if len(table):
                self._outputs.count(table, tally)
        except UnmatchedError:
            tally.errors.append("output")
            return
        if tally.rows is None and self._unhashed == "output":  # nothing is known of features
            tally.rows = len(table)

    def commit(self, tally: Tally, status: str, duration: float | None) -> int:
        """Add a prediction to the live counts, all at once; its values to the bins only if it was answered.

        Args:
            tally: Cells and errors of the prediction.
            status: ``ok``, ``client_error`` or ``error``.
            duration: Seconds from request to response; None if not known.

        Returns:
            How many predictions it is: 0 for an empty batch, of which nothing is counted but the time.
        """
        rows = tally.rows or _predictions_without_rows(tally, status)
        if status == "ok":
            increments: Increments = tally
            if rows == 1:
                increments.cells += self._one_answered
            else:
                increments.amounts.append((self._status_cells["ok"], rows))
                if self._unhashed not in tally.errors:  # else none of its rows is in a bucket
                    increments.amounts.append((self._layout.squares, rows * rows))
        else:
            increments = self._failed.increments(tally) if status == "error" else Increments()
            increments.amounts.append((self._status_cells[status], rows))
        for reason in tally.errors:
            if reason in GAPS:
                continue
            increments.cells.append(self._layout.captures_start + CAPTURE_REASONS.index(reason))
        if duration is not None:
            increments.cells.append(self._layout.durations_start + bisect_left(DURATION_BOUNDS, duration))
            increments.sums.append((self._layout.duration_sum, duration))
        self._counts.add(increments)
        return rows

    def wants_record(self, prediction: PredictionId) -> bool:
        """Say whether this prediction is to be logged at all."""
        return self._has_sink and (self._logs_all or prediction.is_sampled(self.settings.sample_rate))

    def record(
        self,
        prediction: PredictionId,
        body: Body,
        features: Any,
        output: Any,
        status: str,
        rows: int | None,
        duration: float | None,
        reply: Reply | None = None,
    ) -> None:
        """Pack the record of a prediction and queue it for the sink; `RecordMaker.make` explains the arguments.

        Never raises, never waits.
        """
        if not self._has_sink:
            return
        try:
            record = self._records.make(prediction, body, features, output, status, rows, duration, reply)
            if self._redact is not None:
                record = self._redact(record)
            self._recorders.record(prediction.time_ns, record)
        except Exception:
            self._lose_record()

    def _lose_record(self) -> None:
        """Count a record that cannot be made or redacted; it must not be sent in part."""
        self._recorders.drop("unencodable")
        self.complain("A prediction could not be logged; it is counted as dropped.")

    def fail(self, tally: Tally) -> None:
        """Count the current exception, and log it, instead of raising it into the request."""
        tally.errors.append("internal")
        if self.complain("A prediction could not be captured; the response is not affected."):
            error = sys.exc_info()[1]
            text = "" if self._redact else f": {str(error)[:_LONGEST_ERROR]}"
            self.notes.keep("internal", f"{type(error).__name__}{text}")

    def complain(self, message: str) -> bool:
        """Log the current exception, at most once in a minute; return whether it was.

        With redaction, its text is left out, since it may quote a value.
        """
        error = sys.exc_info()[1]
        is_due = self._throttle.allows()
        if is_due and error is not None:
            logger.warning(message, exc_info=loggable(error, has_text=not self._redact))
        return is_due

    # --- what was not captured ---------------------------------------------------------------------------------------

    def _explain_arguments(self, tally: Tally, table: Table | None, features: Any, output: Any) -> None:
        """Say, once in a while, what is wrong with the arguments of ``log_prediction``."""
        self.explain_features(
            tally, table, lambda: given_hint("features", self._described(features), self._features.names)
        )
        self.explain_output(
            tally,
            output,
            lambda: given_output_hint(self._described(output), self.output_names, tally.rows),
        )

    def _described(self, value: Any) -> Any:
        """Return a value whose keys a message may name: below a hidden field, they may be data."""
        return value if self.redaction is None else self.redaction.described(plain(value))

    def explain_features(
        self, tally: Tally, table: Table | None, describe: Callable[[], str], *, is_placed: bool = True
    ) -> None:
        """Say, once in a while, why features were not found, or which have another name. Never raises.

        Args:
            tally: Cells and errors of the prediction.
            table: The rows that were found; None for none.
            describe: Says what was there instead of rows.
            is_placed: Whether the user has said where the rows are.
        """
        if "features" in tally.errors:
            rows, known = table, self._features.names
            self._tell(
                "features", describe if rows is None else lambda: unmatched_hint(rows, known, is_placed=is_placed)
            )
        elif FEATURE_GAP in tally.errors:
            self._tell(FEATURE_GAP, lambda: _names_hint(self._features, table, "features of a request"))

    def explain_output(self, tally: Tally, output: Any, describe: Callable[[], str]) -> None:
        """Say, once in a while, why the output was not found, or which outputs have another name. Never raises.

        Args:
            tally: Cells and errors of the prediction.
            output: The output that was found; None for none.
            describe: Says what was there instead.
        """
        if "output" in tally.errors:
            self._tell("output", describe)
        elif OUTPUT_GAP in tally.errors:
            names, rows = self.output_names, tally.rows
            self._tell(
                OUTPUT_GAP,
                lambda: _names_hint(self._outputs, output_table(output, names, rows), "outputs of an answer"),
            )

    def _tell(self, kind: str, describe: Callable[[], str | None]) -> None:
        try:
            self.notes.tell(kind, describe)
        except Exception:
            self.complain("It cannot be said what was not captured; the response is not affected.")

    # --- reading -----------------------------------------------------------------------------------------------------

    def drift(self, window: str | None = None) -> DriftReport:
        """Compare what all processes of this server have counted with the baseline.

        `ModelMonitoringService.drift` explains the window and the report.

        Raises:
            BoxkiteError: There is no baseline to compare with, or the counts cannot be read.
            ConfigError: There is no such window.
        """
        observation = self.observe(window)
        if observation.report is None:
            msg = f"Model {self.model!r} has no baseline. Write one with export_text() and set 'BOXKITE_BASELINE'."
            raise BoxkiteError(msg)
        return observation.report

    def observe(self, window: str | None = None) -> Observation:
        """Return what all processes of this server have counted: verdicts, requests, latency; works without a baseline.

        Args:
            window: Window, as for `drift`.

        Raises:
            BoxkiteError: The counts cannot be read.
            ConfigError: There is no such window.
        """
        if window is not None and window not in WINDOWS:
            msg = f"'window' must be one of {', '.join(map(repr, WINDOWS))} or None, got {window!r}."
            raise ConfigError(msg)
        alpha = self.settings.drift_alpha
        with _readable(window):
            return observe(
                self.model,
                self.baseline,
                self._layout,
                self._counts,
                window=window,
                alpha=alpha,
                timelines=self._timelines,
            )

    def course(self, variable: Distribution) -> list[CoursePoint]:
        """Return how far one of the baseline's variables was from training in the course of the last day.

        Raises:
            BoxkiteError: The counts cannot be read.
        """
        with _readable(LONGEST):
            return course(self._timelines.trained, self._counts, variable) if self._timelines else []


@contextmanager
def _readable(window: str | None) -> Iterator[None]:
    """Say what it means that counts cannot be read."""
    try:
        yield
    except OSError as error:
        what = f"of the window {window!r}" if window else "since the start"
        msg = f"The counts {what} cannot be read: {error}. Is the state directory there, and are files not too many?"
        raise BoxkiteError(msg) from error


def _names_hint(counter: VariableCounter, table: Table | None, what: str) -> str | None:
    """Return which variables have another name; if none, rows of these names are not looked at again."""
    if table is None or table.names is None:
        return None
    hint = names_hint(table.names, counter.names, what)
    if hint is None:
        counter.gaps.discard(table.names)
    return hint


def _predictions_without_rows(tally: Tally, status: str) -> int:
    """Return 0 for an empty batch; 1 where rows are not known, or something went wrong, so that it is seen."""
    return 0 if tally.rows == 0 and status == "ok" and not tally.errors else 1


def _holds_something(output: Any) -> bool:
    try:
        return len(output) > 0
    except TypeError:  # a single value, or an array without dimensions
        return output is not None
