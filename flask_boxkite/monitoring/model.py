"""The monitoring of one model: its counts, its records, and its drift.

It knows no web framework: requests come as features and outputs.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from flask_boxkite.config import Settings
from flask_boxkite.delivery import Recorders
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.exposition import ExportedModel
from flask_boxkite.history.window import HISTORY_DAYS, WINDOW_NAMES, check_days, days_of, is_window
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.deriving import RowDeriver
from flask_boxkite.live.history_extract import extract_of_model
from flask_boxkite.live.history_keeper import Keeper
from flask_boxkite.live.store import Store
from flask_boxkite.live.windows import LONGEST, WINDOWS
from flask_boxkite.monitoring.body import Body, body_of
from flask_boxkite.monitoring.complaints import Complaints
from flask_boxkite.monitoring.counter import SCALARS, PredictionCounter
from flask_boxkite.monitoring.explanations import Explanations
from flask_boxkite.monitoring.notes import Notes
from flask_boxkite.monitoring.record import RecordMaker
from flask_boxkite.monitoring.redaction import REDACTED, Redaction, redaction
from flask_boxkite.monitoring.reply import Reply
from flask_boxkite.monitoring.short_way import short_way
from flask_boxkite.monitoring.tally import DerivedTally, Tally
from flask_boxkite.monitoring.unread import outcome_key, unread_of
from flask_boxkite.naming import FEATURE_GAP
from flask_boxkite.outcomes.model import Given, model_outcomes
from flask_boxkite.payloads import Table, as_table
from flask_boxkite.policies import Policy
from flask_boxkite.values.conversion import plain
from flask_boxkite.values.ids import PredictionId, id_maker
from flask_boxkite.values.keys import key_of

if TYPE_CHECKING:  # loaded by the first process that asks for verdicts, not by each that serves
    from flask_boxkite.drift.report import DriftReport
    from flask_boxkite.drift.segments import SegmentJudge, SegmentReport
    from flask_boxkite.history.model import HistorySource
    from flask_boxkite.history.report import HistoryReport
    from flask_boxkite.monitoring.observation import Course, Observation, SegmentObservation
    from flask_boxkite.performance.report import PerformanceReport

__all__ = ["ModelMonitor"]

Rows = TypeVar("Rows", Table, "Table | None")

_LONGEST_ERROR = 200
"""Letters of an error that are kept for the page."""

_NOTHING_COUNTED = (
    "Nothing has been counted here. A shell or a notebook counts alone: for the counts of a server, run 'flask boxkite "
    "drift --url URL', or give both processes the same 'BOXKITE_STATE_DIR'."
)


class ModelMonitor:
    """Counts the predictions of one model and queues their records. Safe to use from any thread, also after a fork.

    Attributes:
        settings: Settings of the app.
        baseline: Baseline of the model; None if it has none.
        model: Name of the model.
        exported: The model as metrics show it.
        new_id: Makes the id of a prediction.
        counter: Counter of its predictions.
        count_features: `PredictionCounter.count_features`.
        count_output: `PredictionCounter.count_output`.
        commit: `PredictionCounter.commit`.
        explanations: Explanations of capture errors.
        outcomes: Outcomes of its predictions; None if its baseline has no actual values.
        feature_names: The features that are counted; none without a baseline.
        beside_names: Names that a row may have beside these, for derived variables; None for any.
        field_names: All these names, by which the fields of objects are known.
        output_names: The outputs that are counted.
        notes: The last note of each kind on features or output that were not captured.
        unread: Examples of values that count as invalid.
        waiting_unread: `Unread.waiting`; if it is not empty, `Unread.settle` is to be called after a commit.
        has_header_ids: Whether prediction ids can stand in an HTTP header as they are.
        logs_all: Whether each prediction is to be logged.
        redaction: Hides fields of a request; None if none is hidden by name.
        short_way: Counts its most common predictions; None if it has none.
        new_tally: Makes the additions of a prediction, before any is known.

    Args:
        settings: Settings of the app.
        exported: The model as metrics show it.
        store: Home of the counts of its app.
        recorders: Recorders of its app.
        functions: Functions of derived variables, by name.
        clock: Returns the Unix time.

    Raises:
        ConfigError: The baseline needs a function that is missing.
    """

    def __init__(
        self,
        settings: Settings,
        exported: ExportedModel,
        store: Store,
        recorders: Recorders,
        *,
        functions: Mapping[str, Callable[[dict[str, Any]], Any]] = MappingProxyType({}),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.exported = exported
        self.baseline = baseline = exported.baseline
        self.model = exported.name
        self.new_id = id_maker(settings.server_id)
        self.has_header_ids = settings.server_id.isascii() and settings.server_id.isprintable()
        self._recorders = recorders
        self._has_sink = bool(recorders)
        self._clock = clock
        self.logs_all = self._has_sink and settings.sample_rate >= 1
        self._records = RecordMaker(settings.server_id, self.model, baseline)

        self._store = store
        self.outcomes = model_outcomes(
            baseline,
            self.model,
            store,
            settings.id_key,
            settings.server_id,
            clock=clock,
            description=lambda: exported.section.description,
        )
        layout = exported.layout
        keeper = Keeper(store, lambda: extract_of_model(exported.section, layout))
        counts = Counts(store, exported.section, keeper.tick)
        deriver = None
        if baseline is not None and baseline.derived:
            deriver = RowDeriver(baseline, functions, self.complain, FEATURE_GAP)
        self._derives = deriver is not None
        self.new_tally: Callable[[], Tally] = Tally if deriver is None else DerivedTally
        has_classes = layout.classes_start < layout.pairs_start
        self.counter = counter = PredictionCounter(
            baseline,
            counts,
            keeps_interpreter=self._has_sink,
            class_of=self.outcomes.reader.value_of if self.outcomes and has_classes else None,
            deriver=deriver,
        )
        # Bound once, since every request calls them.
        self.count_features = counter.count_features
        self.count_output = counter.count_output
        self.commit = counter.commit
        self.feature_names = counter.inputs.known
        self.beside_names = frozenset() if deriver is None else deriver.beside
        self.field_names = self.feature_names | (self.beside_names or frozenset())
        self.output_names = counter.outputs.names
        self._judges: dict[str, SegmentJudge] = {}
        self._timelines = Timelines(counter.layout) if baseline else None
        self.notes = Notes(self.model, str(exported.key), store.directory, clock)
        self._redact = redaction(
            settings.redact, counter.inputs.names, self.output_names, baseline.derived if baseline else ()
        )
        self.redaction = self._redact if isinstance(self._redact, Redaction) else None
        is_common = self.redaction is None and not settings.record_response
        self.short_way = short_way(counter) if is_common else None
        self.unread = unread_of(self.model, str(exported.key), store.directory, baseline, self._redact, clock)
        self.waiting_unread = self.unread.waiting
        counter.watch_unread(self.unread)
        if baseline is not None and baseline.validation is not None and self.outcomes is not None:
            self.outcomes.watch_unread(partial(self.unread.note, outcome_key(baseline.validation)))
        self._complaints = Complaints(has_text=not self._redact)
        self.explanations = Explanations(self.notes, counter.inputs, counter.outputs, self.redaction, self._complaints)

    # --- serving -----------------------------------------------------------------------------------------------------

    def log_prediction(
        self,
        request_body: Any = None,
        features: Any = None,
        output: Any = None,
        *,
        key: Any = None,
        observed: Mapping[str, Any] | None = None,
    ) -> str:
        """Count and log a prediction, or a batch, as `ModelMonitoringService.log_prediction` does; return its id."""
        return self.log_as(self.new_id(), request_body, features, output, key=key, observed=observed)

    def log_as(
        self,
        prediction: PredictionId,
        request_body: Any,
        features: Any,
        output: Any,
        *,
        key: Any = None,
        is_told: bool = False,
        observed: Mapping[str, Any] | None = None,
        hidden: Collection[str] = frozenset(),
    ) -> str:
        """Count and log a prediction, or a batch; return the text of its id.

        `ModelMonitoringService.log_prediction` explains the other arguments.

        Args:
            prediction: Id of the prediction.
            is_told: Whether the client knows that id already.
            hidden: Names of observed values that the record must not show.
        """
        if not self.settings.enabled:
            return prediction.text

        tally = self.new_tally()
        if observed:
            self.take_observed(tally, observed)
        table: Table | None = None
        try:
            if type(features) is list and features and type(features[0]) in SCALARS:
                table = Table(None, [features])  # not copied: nothing is kept of it when this returns
            else:
                table = features if isinstance(features, Table) else as_table(features, self.field_names)
            self.count_features(tally, table)
            table = self.shaped(tally, table)
            self.count_output(tally, output)
        except Exception:
            self.fail(tally)

        if tally.errors:
            self.explanations.explain_arguments(tally, table, features, output)
        elif self.outcomes is not None:
            prediction = self.findable(prediction, output, tally.rows, is_told=is_told)
        key = None if key is None else key_of(key)
        if key is not None:
            self.remember_key(key, prediction, output, tally.rows)
        rows = self.commit(tally, "ok", None)
        if self.waiting_unread:
            self.unread.settle(is_answered=True)
        if rows and self.wants_record(prediction):
            whole = b"" if request_body is None else request_body
            plain = (prediction, whole, table, output, "ok", tally.rows, None)
            if key is None and not observed and type(whole) is bytes and self.record_plain(*plain):
                return prediction.text
            try:
                body = body_of(request_body, self.settings.max_body_bytes)
            except Exception:
                self._lose_record()
            else:
                content = features if table is None else table
                derived = self.derived(tally, observed, hidden=hidden)
                self.record(prediction, body, content, output, "ok", tally.rows, None, key=key, derived=derived)
        return prediction.text

    def findable(
        self, prediction: PredictionId, output: Any, rows: int | None, *, is_told: bool = False
    ) -> PredictionId:
        """Let outcomes find a prediction: return the id that carries its output, or remember the output for the id.

        This never raises. It is for a model with `outcomes`.

        Args:
            prediction: Id of the prediction.
            output: Output of the model.
            rows: Number of rows; None if unknown.
            is_told: Whether the client knows that id already.
        """
        outcomes = self.outcomes
        assert outcomes is not None
        try:
            if type(output) is float and rows == 1 and not is_told and outcomes.are_numbers:
                sealed = outcomes.sealed_number(prediction, output)
                if sealed is not None:
                    return sealed
            outputs = self.counter.rows_of_output(output, rows)
            if len(outputs) == 1 and not is_told:
                sealed = outcomes.sealed(prediction, outputs[0])
                if sealed is not None:
                    return sealed
            outcomes.remember(prediction, outputs)
        except Exception:
            self.complain("Outcomes will not find a prediction; the response is not affected.")
        return prediction

    def remember_key(self, key: str, prediction: PredictionId, output: Any, rows: int | None) -> None:
        """Let outcomes find a prediction of one row by the caller's key; nothing for a batch, or without `outcomes`.

        This never raises.

        Args:
            key: Key of the prediction.
            prediction: Id of the prediction.
            output: Output of the model.
            rows: Number of rows; None if unknown.
        """
        if self.outcomes is None:
            return
        try:
            outputs = self.counter.rows_of_output(output, rows)
            if len(outputs) == 1:
                self.outcomes.remember_key(key, outputs[0], prediction.time_ns / 1e9)
        except Exception:
            self.complain("Outcomes will not find a prediction by its key; the response is not affected.")

    def with_row(self, given: Given) -> Given:
        """Return an outcome whose prediction, if it is given, is a row of values in the order of the outputs."""
        if given.predicted is None:
            return given
        try:
            rows = self.counter.rows_of_output(given.predicted, 1)
        except Exception:  # of any form
            rows = []
        # One that cannot be read is as wrong as an actual value that cannot.
        return given._replace(predicted=rows[0] if len(rows) == 1 else (None,) * len(self.output_names))

    def wants_record(self, prediction: PredictionId) -> bool:
        """Say whether this prediction is to be logged at all."""
        return self.logs_all or (self._has_sink and prediction.is_sampled(self.settings.sample_rate))

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
        key: str | None = None,
        derived: Any = None,
    ) -> None:
        """Pack the record of a prediction, which `wants_record` has chosen, and queue it for the sinks.

        `RecordMaker.make` explains the arguments. This never raises and never waits.
        """
        try:
            record = self._records.make(prediction, body, features, output, status, rows, duration, reply, key, derived)
            if self._redact is not None:
                record = self._redact(record)
            self._recorders.record(prediction.time_ns, record)
        except Exception:
            self._lose_record()

    def record_plain(
        self,
        prediction: PredictionId,
        body: bytes | None,
        features: Any,
        output: Any,
        status: str,
        rows: int | None,
        duration: float | None,
    ) -> bool:
        """Queue the record of a prediction without surprises, as `record` does but faster; return whether it was one.

        Args:
            body: Whole body of the request; None if it is not known.
        """
        if self._derives or self._redact is not None or body is None or len(body) > self.settings.max_body_bytes:
            return False
        if not isinstance(features, Table) or not features.is_plain:
            return False
        splice = self._records.splice
        entries = []
        try:
            shippers = self._recorders.own()
            for shipper in shippers:
                sink = shipper.sink
                head = sink.entry_head(prediction.time_ns)
                entry = splice[sink.is_of_lines](head, prediction, body, features, output, status, rows, duration)
                if entry is None:  # for one sink as for all
                    return False
                entries.append(entry)
            for shipper, entry in zip(shippers, entries, strict=True):
                shipper.submit(entry)
        except Exception:
            self._lose_record()
        return True

    def shaped(self, tally: Tally, table: Rows) -> Rows:
        """Return the rows of a prediction after they were counted, each vector a value of its own."""
        if isinstance(tally, DerivedTally) and tally.extended is not None and table is not None:
            return tally.extended.table
        return table

    def take_observed(self, tally: Tally, observed: Mapping[str, Any]) -> None:
        """Take values that a view observes, if there are derived variables."""
        if isinstance(tally, DerivedTally):
            tally.observed.update(observed)

    def derived(
        self, tally: Tally, observed: Mapping[str, Any] | None, *, hidden: Collection[str] = frozenset()
    ) -> Any:
        """Return the derived values of a prediction as its record stores them; None if there are none.

        Args:
            tally: Additions of the prediction, committed.
            observed: Values that the view observed, by name; None for none.
            hidden: Names of values that the record must not show.
        """
        try:
            if isinstance(tally, DerivedTally):  # by which records tell that features did not fit
                values = None if tally.extended is None else tally.extended.by_name(tally.observed)
            else:
                values = plain(dict(observed)) if observed else None
            return _without(values, hidden) if hidden and values is not None else values
        except Exception:
            self.complain("The derived values of a prediction could not be recorded; the response is not affected.")
            return None

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
        return self._complaints.complain(message)

    # --- reading -----------------------------------------------------------------------------------------------------

    @overload
    def drift(self, window: str | None = None, *, by: None = None) -> DriftReport: ...

    @overload
    def drift(self, window: str | None = None, *, by: str) -> SegmentReport: ...

    def drift(self, window: str | None = None, *, by: str | None = None) -> DriftReport | SegmentReport:
        """Compare the counts of all processes of this server with the baseline.

        `ModelMonitoringService.drift` explains the window and the report.

        Raises:
            BoxkiteError: There is no baseline to compare with, it has no segments by that name, or the counts cannot be
                read.
            ConfigError: There is no such window.
        """
        if by is not None:
            return self.observe_segments(by, window).report
        observation = self._observed(window)
        if observation.report is None:
            msg = f"Model {self.model!r} has no baseline. Write one with export_text() and set 'BOXKITE_BASELINE'."
            raise BoxkiteError(msg)
        if (days := days_of(window)) is not None:
            notes = [observation.report.note, self._history.note(days, self._clock())]
            if all(notes) and not any(observation.capture_errors.values()):
                del notes[0]  # predictions of this hour may be there
            return replace(observation.report, note=" ".join(filter(None, notes)))
        is_alone = self.settings.state_dir is None and not observation.totals.any()
        return replace(observation.report, note=_NOTHING_COUNTED) if is_alone else observation.report

    def history(self, days: int = HISTORY_DAYS, *, is_latest: bool = True) -> HistoryReport:
        """Return the last days of the model, as `ModelMonitoringService.history` explains.

        Args:
            days: Number of days.
            is_latest: Whether it must be read now; else it may be some minutes old.

        Raises:
            BoxkiteError: There is no state directory, or it cannot be read.
            ConfigError: There is no such number of days.
        """
        check_days(days)
        with _readable(f"{days}d"):
            history = self._history
            return (history.report if is_latest else history.latest)(days, self._clock())

    @cached_property
    def _history(self) -> HistorySource:
        from flask_boxkite.history.model import HistorySource

        store, alpha = self._store, self.settings.drift_alpha
        return HistorySource(self.model, self.baseline, self.exported.key, alpha, store.directory, store.read)

    def performance(self, window: str | None = None) -> PerformanceReport:
        """Return how good the model is, as `ModelMonitoringService.performance` explains.

        Raises:
            BoxkiteError: The baseline has no actual values, or the counts cannot be read.
            ConfigError: There is no such window.
        """
        if days_of(window) is not None:
            msg = (
                f"'window' must be one of {', '.join(map(repr, WINDOWS))} or None for performance, got {window!r}. "
                "history() has the performance by day."
            )
            raise ConfigError(msg)
        report = self.observe(window).performance
        if report is None:
            msg = (
                f"The baseline of model {self.model!r} has no actual values. Write one with export_text(..., "
                "actual=...), of rows that the model was not fitted to."
            )
            raise BoxkiteError(msg)
        return report

    def observe(self, window: str | None = None) -> Observation:
        """Return the counts of all processes of this server, with verdicts and latency; works without a baseline.

        Args:
            window: Window, as for `drift`.

        Raises:
            BoxkiteError: The counts cannot be read.
            ConfigError: There is no such window.
        """
        seen = self._observed(window)
        if self.outcomes is None or days_of(window) is not None:
            return seen
        with _readable(window):
            from flask_boxkite.monitoring.observation import observed_performance

            performance = observed_performance(seen, self.outcomes.layout, self.outcomes, now=self._clock())
            return replace(seen, performance=performance)

    def observe_segments(self, by: str, window: str | None = None) -> SegmentObservation:
        """Return the verdicts on each segment, and its counts.

        Args:
            by: Variable that segments rows.
            window: Window, as for `drift`.

        Raises:
            BoxkiteError: There is no baseline, it has no such segments, or the counts cannot be read.
            ConfigError: There is no such window.
        """
        _check_window(window)
        judge = self._judge_by(by)
        assert self._timelines is not None
        together = self._observed(window).report
        with _readable(window):
            from flask_boxkite.monitoring.observation import observe_segments

            return observe_segments(
                judge,
                self.counter.layout,
                self.counter.counts,
                self._timelines,
                window=window,
                alpha=self.settings.drift_alpha,
                together=together,
            )

    def _judge_by(self, by: str) -> SegmentJudge:
        """Return the judge of the segments by a variable, which is made once."""
        judge = self._judges.get(by)
        if judge is None:
            from flask_boxkite.drift.segments import SegmentJudge

            item = None if self.baseline is None else self.baseline.segmentation_by(by)
            if item is None or self.baseline is None:
                msg = f"The baseline of model {self.model!r} has no segments by {by!r}. {self._segmented()}"
                raise BoxkiteError(msg)
            judge = self._judges[by] = SegmentJudge(self.model, self.baseline, item)
        return judge

    def _segmented(self) -> str:
        """Return the remedy for unknown segments."""
        known = () if self.baseline is None else self.baseline.segmented_by
        if not known:
            return "Write one with export_text(..., segments=[...]), or read records: Records(...).drift(by=...)."
        return f"It has segments by {', '.join(map(repr, known))}."

    def _observed(self, window: str | None) -> Observation:
        """Return the same without its performance."""
        if window is not None and not is_window(window):
            msg = f"'window' must be one of {WINDOW_NAMES} or None, got {window!r}."
            raise ConfigError(msg)

        with _readable(window):
            if (days := days_of(window)) is not None:
                from flask_boxkite.monitoring.days import observed_days

                history, alpha = self._history, self.settings.drift_alpha
                seen = observed_days(self.model, history.coarse, history.past(), days, self._clock(), alpha)
                return seen.with_notes(self.notes)
            from flask_boxkite.monitoring.observation import observe  # in here: its file may not open either

            seen = observe(
                self.model,
                self.baseline,
                self.counter.layout,
                self.counter.counts,
                window=window,
                alpha=self.settings.drift_alpha,
                timelines=self._timelines,
            )
        return replace(seen, unread=self.unread.read()).with_notes(self.notes)

    def course(self, side: str, name: str) -> Course:
        """Return how far one of the baseline's variables was from training in the course of the last day.

        Raises:
            BoxkiteError: The counts cannot be read.
        """
        with _readable(LONGEST):
            from flask_boxkite.monitoring.observation import Course, course

            if self._timelines is None:
                return Course(0.0, [])
            policies = {policy.name: policy for policy in self.baseline.policies} if self.baseline else {}
            drifted, _ = policies.get(name, Policy(name)).sizes
            trained = self._timelines.trained
            variable = next(item for item in trained.variables if (item.side, item.name) == (side, name))
            return course(trained, self.counter.counts, variable.distribution, drifted_size=drifted)


def _without(derived: Any, hidden: Collection[str]) -> Any:
    """Return derived values, of one row or of several, with a placeholder for each hidden one."""
    if isinstance(derived, list):
        return [_without(row, hidden) for row in derived]
    return {name: REDACTED if name in hidden else value for name, value in derived.items()}


def _check_window(window: str | None) -> None:
    if window is not None and window not in WINDOWS:
        msg = f"'window' of segments must be one of {', '.join(map(repr, WINDOWS))} or None, got {window!r}."
        raise ConfigError(msg)


_TOO_MANY_FILES = " Too many files are open: let the server open more (ulimit -n)."
_REMEDIES: dict[int | None, str] = {
    errno.ENOENT: " Is the state directory there?",
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.EROFS: " No snapshot was taken before the disk became read-only. Counts since the start can be read.",
}
"""Remedy for counts that cannot be read, by the number of the error."""


@contextmanager
def _readable(window: str | None) -> Iterator[None]:
    """Turn an error of reading counts into a message with a remedy."""
    try:
        yield
    except OSError as error:
        what = f"of the window {window!r}" if window else "since the start"
        msg = f"The counts {what} cannot be read: {error}.{_REMEDIES.get(error.errno, '')}"
        raise BoxkiteError(msg) from error
