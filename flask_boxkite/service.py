"""The monitoring of one model, without Flask: its baseline, its live counts and its records.

Works in any script or server. The Flask extension holds one per model.
"""

from __future__ import annotations

import logging
import os
import sys
import weakref
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.progress import Progress
from flask_boxkite.config import DEFAULT_BASELINE_PATH, Settings
from flask_boxkite.delivery import Recorder, Recorders, Spooling
from flask_boxkite.drift import DriftReport
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.exposition import ExportedModel, Exposition
from flask_boxkite.live.counting import UnmatchedError, VariableCounter
from flask_boxkite.live.failed import FailedCells
from flask_boxkite.live.layout import DURATION_BOUNDS, Layout
from flask_boxkite.live.place import Place
from flask_boxkite.live.shared import Counts, Store
from flask_boxkite.live.store import Increments
from flask_boxkite.live.windows import LONGEST, WINDOWS
from flask_boxkite.monitoring.hints import given_hint, given_output_hint, names_hint, unmatched_hint
from flask_boxkite.monitoring.notes import Notes
from flask_boxkite.monitoring.observation import CoursePoint, Observation, course, observe
from flask_boxkite.monitoring.prediction import Body, IdMaker, PredictionId, body_of
from flask_boxkite.monitoring.redaction import Redaction, redaction
from flask_boxkite.monitoring.reply import Reply, response_fields
from flask_boxkite.naming import CAPTURE_REASONS, FEATURE_GAP, GAPS, OUTPUT_GAP, STATUSES
from flask_boxkite.payloads import Table, as_table, output_table
from flask_boxkite.quoting import loggable
from flask_boxkite.sinks import make_sinks
from flask_boxkite.system.files import can_lock, unwritable
from flask_boxkite.system.throttle import Throttle
from flask_boxkite.values.conversion import is_too_deep, plain

__all__ = ["ModelMonitoringService", "Tally"]

logger = logging.getLogger("flask_boxkite")

_SCALARS = frozenset({float, int, str, bool})
_ATOMS = frozenset({str, bool, type(None)})
_LONGEST_ERROR = 200
"""Letters of an error that are kept for the page."""


class Tally(Increments):
    """What one prediction adds to the counts if it is answered, gathered until its status is known.

    Attributes:
        rows: Rows of features, or None while unknown.
        errors: Reasons why something could not be captured.
    """

    __slots__ = ("errors", "rows")

    def __init__(self) -> None:
        # Not by way of the parent's: this runs in every request.
        self.cells = []
        self.amounts = []
        self.wide = self.block = None
        self.sums = []
        self.rows: int | None = None
        self.errors: list[str] = []

    def note_gap(self, kind: str) -> None:
        """Note that a variable may have come under another name; it counts as missing, and the request as captured."""
        self.errors.append(kind)


class ModelMonitoringService:
    """Monitors one model: counts what it sees and says, logs each prediction, exports metrics.

    Safe to use from any thread, and in processes forked after its creation. It starts a thread only when the first
    prediction is logged, and only if there is a sink.

    Attributes:
        feature_names: The features that are counted; none without a baseline.
        output_names: The outputs that are counted.
        notes: What was seen and expected when something was not captured, of each kind the last.
        has_header_ids: Whether prediction ids can stand in an HTTP header as they are.

    Args:
        baseline: A `Baseline`, the path of one, or None for ``/artefact/histogram.prom``, which may be absent.
        model: Name of the model; None for the one in the baseline.
        sink: ``"fluentd"``, ``"file"``, ``"none"``, ``"auto"``, or an object with ``emit_batch(records)``; None for
            ``"auto"``.
        **settings: Any other setting, named as its configuration key without ``BOXKITE_``, in lower case:
            ``log_dir``, ``sample_rate``, … (see `Settings`).

    Raises:
        ConfigError: A setting is wrong.
        BaselineError: The baseline is missing or invalid.
    """

    def __init__(
        self,
        baseline: Baseline | str | os.PathLike[str] | None = None,
        *,
        model: str | None = None,
        sink: Any = None,
        **settings: Any,
    ) -> None:
        given = {f"BOXKITE_{name.upper()}": value for name, value in settings.items()}
        if sink is not None:
            given["BOXKITE_SINK"] = sink
        checked = Settings.from_mapping(given)
        loaded = load_baseline(baseline)
        exported = exported_model(checked, loaded, model)
        store = make_store(checked, exported.name, [exported])
        self._setup(checked, loaded, model, store, make_recorders(checked, store))

    @classmethod
    def from_settings(
        cls, settings: Settings, baseline: Baseline | None, model: str | None, store: Store, recorders: Recorders
    ) -> ModelMonitoringService:
        """Build one that shares the home of its counts and recorders with others."""
        service = cls.__new__(cls)
        service._setup(settings, baseline, model, store, recorders)
        return service

    def _setup(
        self, settings: Settings, baseline: Baseline | None, model: str | None, store: Store, recorders: Recorders
    ) -> None:
        self.settings = settings
        self.baseline = baseline
        self.exported = exported_model(settings, baseline, model)
        self.model = self.exported.name
        self.new_id = IdMaker(settings.server_id)
        self.has_header_ids = settings.server_id.isascii() and settings.server_id.isprintable()
        self._recorders = recorders
        self._has_sink = bool(recorders)
        self._logs_all = settings.sample_rate >= 1
        self._layout = layout = Layout.of(baseline)
        self._status_cells = {status: cell for cell, status in enumerate(STATUSES, layout.statuses_start)}
        self._unhashed = "features" if layout.features else "output"
        self._one_answered = (self._status_cells["ok"], layout.squares)
        self._failed = FailedCells(layout)
        self.notes = Notes(self.model, self.exported.key, store.directory)
        self._check_store = store.check_server
        self._counts = Counts(store, self.exported.section)
        self._timelines = Timelines(layout) if baseline else None
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
        self._throttle = Throttle()
        self._exposition = make_exposition(settings, lambda: [self.exported], store, recorders)
        # All fields of a record, in their order, with those that never change.
        self._template: dict[str, Any] = {
            "entity_id": None,
            "features": None,
            "request_body": None,
            "server_id": settings.server_id,
            "output": None,
            "created_at": None,
            "prediction_id": None,
            "model": self.model,
            "baseline": baseline.fingerprint if baseline else None,
            "version": baseline.version if baseline else None,
            "status": None,
            "duration_ms": None,
            "rows": None,
        }

    # --- training ----------------------------------------------------------------------------------------------------

    @classmethod
    def export_text(
        cls,
        features: Any,
        inference: Any = None,
        path: str | os.PathLike[str] | None = None,
        *,
        model: str = "default",
        version: str | None = None,
        discrete: Collection[str | int] | None = None,
        bins: Mapping[str, Sequence[Any]] | None = None,
        max_bins: int = 50,
        max_categories: int = 50,
        min_category_rows: int | None = None,
        texts: Collection[str] = (),
        missing_texts: Collection[str] = (),
        exclude: Collection[str] = (),
        classes: Collection[Any] | None = None,
        names: str = "labels",
        progress: Progress = None,
    ) -> Baseline:
        """Count training data in bins chosen from it, and write the baseline file.

        Every row counts; there is no sampling. A column may hold numbers, booleans, dates, durations (in seconds),
        texts and categoricals, with None, NaN and infinities anywhere. Texts that are all ISO 8601 dates are dates.

        Args:
            features: ``(name, column)`` pairs such as ``df.items()``, a mapping of name to column, a 2-D array (its
                columns are named ``feature_0``, ``feature_1``, …) or a data frame. A lazy or distributed one (Polars,
                DuckDB, Dask, PySpark) is counted by its engine, in a few passes, with the same result.
            inference: What the model says of the training or test data: shape (n,), numbers or labels; or a mapping,
                frame or (n, k) array for k outputs; or the name of the column of *features* that holds it. None: no
                output distribution.
            path: Where to write; None for ``/artefact/histogram.prom``. Replaced whole or not at all.
            model: Name of the model.
            version: A name for people. Identity is the hash of the content.
            discrete: Names (of outputs too) or positions of the numeric features that are discrete; the other ones are
                continuous then. None: a numeric column is discrete if it has fewer than 3 distinct values, or fewer
                than ``min(n, 1000) / 20``. Texts, booleans and categoricals are always discrete.
            bins: Upper bounds for some columns, by name, instead of those chosen from the data: numbers; of dates,
                dates, their ISO 8601 texts, or seconds since 1970.
            max_bins: Most upper bounds of a continuous column (its deciles are always among them).
            max_categories: Most categories of a discrete column, the most frequent; the rest is ``__rare__``.
            min_category_rows: Rows that a category needs to be named in the file; with fewer, it is ``__rare__``.
                None: 5, or a twentieth of the column's values where that is less (below 100 rows; of 20 rows, every
                category is named). Booleans are always named, and the labels of an output if they are at most
                *max_categories*.
            texts: Names of columns of texts that are categories, although they look like numbers, as postcodes do, or
                like dates. Without it, a column of more different numbers than *max_categories* is refused, and so is
                one in which only some texts are neither numbers nor dates.
            missing_texts: Texts that stand for a missing value, such as ``"?"``, in any capitals. A column of texts in
                which one of them stands is read as numbers, or dates, if all its other texts are. The file keeps them,
                so live values are read by them too.
            exclude: Names of columns to leave out, such as ``"customer_id"``. Positions are those of the other ones.
            classes: Names of the columns of *inference*, if that is an (n, k) array of probabilities: the classifier's
                ``model.classes_``. None: they are ``output_0``, ``output_1``, …
            names: ``"boxkite"`` writes the metric names of boxkite 0.0.5, as for `Baseline.dump`.
            progress: How to tell of long work: None for a bar on a terminal (with the extra ``cli``) and nothing
                elsewhere, False for nothing, or what is called with the steps done, of how many (None: not known), and
                what is being done.

        Returns:
            The baseline.

        Raises:
            BaselineError: The data or an option cannot be used, or the file cannot be written.
        """
        from flask_boxkite.baseline.training.build import build_baseline  # serving does not need it

        baseline = build_baseline(
            features,
            inference,
            model=model,
            version=version,
            discrete=discrete,
            bins=bins,
            max_bins=max_bins,
            max_categories=max_categories,
            min_category_rows=min_category_rows,
            texts=texts,
            missing_texts=missing_texts,
            exclude=exclude,
            classes=classes,
            progress=progress,
        )
        baseline.dump(path or DEFAULT_BASELINE_PATH, names=names)
        return baseline

    # --- serving -----------------------------------------------------------------------------------------------------

    def log_prediction(self, request_body: Any = None, features: Any = None, output: Any = None) -> str:
        """Count one prediction, or a batch of n, and log it.

        Args:
            request_body: What the client sent: text, bytes, or an object that is kept as JSON.
            features: One row, by position (a list) or by name (a dict), or n rows: a list of those, an (n, features)
                array or a data frame. An array is the fastest way for large batches.
            output: What the model said: a value for one row; for n rows a list or array of n.

        Returns:
            The prediction id ``{server_id}/{YYYY-MM-DDTHH:MM:SS}/{uuid4}`` (UTC). Row i of a batch is ``{id}/{i}``.
        """
        return self.log_as(self.new_id(), request_body, features, output)

    def log_as(self, prediction: PredictionId, request_body: Any, features: Any, output: Any) -> str:
        """Do as `log_prediction`, under an id that the client may know already."""
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
            tally: What was gathered.
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
        """Pack the record of a prediction and queue it for the sink. Never raises, never waits.

        Args:
            prediction: Its id.
            body: What the client sent.
            features: A `Table`, or values in any other form.
            output: What the model said.
            status: ``ok``, ``client_error`` or ``error``.
            rows: How many; None if not known.
            duration: Seconds from request to response; None if not known.
            reply: The raw response, if it is to be kept.
        """
        if not self._has_sink:
            return
        try:
            record = self._template.copy()
            record["entity_id"] = prediction.entity_id
            record["prediction_id"] = prediction.text
            record["created_at"] = prediction.time_ns // 1_000_000_000
            record["request_body"] = body.text
            is_numeric = isinstance(features, Table) and features.is_numeric  # counted as such, so nothing to convert
            record["features"] = features.content() if is_numeric else _plain_features(features)
            kind = type(output)
            is_plain = kind in _ATOMS or (kind is float and output - output == 0)
            record["output"] = output if is_plain else _plain(output)
            record["status"] = status
            record["duration_ms"] = None if duration is None else int(duration * 1_000_000) / 1000
            record["rows"] = rows or 1
            if body.is_truncated:
                record["body_truncated"] = True
            if body.is_base64:
                record["body_encoding"] = "base64"
            if reply is not None:
                record.update(response_fields(reply))
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
            tally: What was gathered, with its errors.
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
            tally: What was gathered, with its errors.
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

    def export_http(
        self, params: Mapping[str, Sequence[str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, str]:
        """Return what ``/metrics`` serves, and its content type.

        Args:
            params: Query parameters; ``name[]`` lists the families or samples to return.
            headers: Request headers; ``Accept`` chooses Prometheus text or OpenMetrics.
        """
        return export_http(self._exposition, params, headers)

    def drift(self, window: str | None = None) -> DriftReport:
        """Compare what all processes of this server have counted with the baseline.

        Every stretch of time within the window is compared, so a change is found however long all was well before.

        Args:
            window: ``"5m"``, ``"1h"`` or ``"24h"``: whether something has changed in the last five minutes, hour or
                day. None: at any time since the start, and not gone since; it holds all that the others see.

        Returns:
            A report: ``print`` it, or take ``to_dict()``, ``to_rows()`` for a data frame, ``to_markdown()``,
            ``report["age"].verdict`` or ``report.drifted``.

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
            window: As `drift` takes it.

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

    def check_server(self, environ: Mapping[str, Any]) -> bool:
        """Say once what to set under a server whose processes do not share counts, or end with records that wait.

        Args:
            environ: Environment of a WSGI request.

        Returns:
            Whether `hand_over` must be called when the request is answered, since the process ends then.
        """
        self._check_store(environ)
        return self._recorders.check_server(environ)

    def hand_over(self) -> None:
        """Deliver what waits, in the time that healthy sinks need: this process ends without exit hooks."""
        self._recorders.hand_over()

    def flush(self, timeout: float = 5.0) -> int:
        """Wait until all records are delivered; return how many are left after *timeout* seconds.

        With several sinks, a record counts for each that has not got it. With a spool, what dead processes left there
        is delivered too, as far as it is this one's to deliver.
        """
        return self._recorders.flush(timeout)

    def close(self) -> None:
        """Deliver what waits, within the shutdown timeout; the rest is counted as dropped, or stays in the spool."""
        self._recorders.close()


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
    return output is not None and not (hasattr(output, "__len__") and len(output) == 0)


def _plain_features(features: Any) -> Any:
    """Return features as plain JSON values."""
    return _plain(features.content() if isinstance(features, Table) else features)


def _plain(value: Any) -> Any:
    """Return a value as plain JSON values.

    Raises:
        ValueError: It is nested more deeply than receivers can read.
    """
    simple = plain(value)
    if is_too_deep(simple):
        msg = "Features or output are nested too deeply."
        raise ValueError(msg)
    return simple


# --- parts that the extension shares ---------------------------------------------------------------------------------


def load_baselines(given: Any) -> dict[str | None, Baseline | None]:
    """Return the baseline of each model; of a single one, which says itself whose it is, under None.

    Args:
        given: What ``BOXKITE_BASELINE`` is.

    Raises:
        BaselineError: One is missing or invalid.
        ConfigError: They are given in another way than a path, a `Baseline` or a mapping of model names to those.
    """
    if not isinstance(given, Mapping):
        return {None: load_baseline(given)}
    if not given or not all(isinstance(name, str) and name for name in given):
        msg = f"'BOXKITE_BASELINE' must name at least one model, each by a text, got {dict(given)!r}."
        raise ConfigError(msg, key="BOXKITE_BASELINE")
    return {name: load_baseline(baseline) for name, baseline in given.items()}


def load_baseline(baseline: Baseline | str | os.PathLike[str] | None) -> Baseline | None:
    """Return the baseline; only that of the default path may be absent, which is said in one warning.

    Raises:
        BaselineError: It is missing or invalid.
        ConfigError: It is of another type.
    """
    if isinstance(baseline, Baseline):
        return baseline
    if baseline is None:
        if not Path(DEFAULT_BASELINE_PATH).exists():
            logger.warning(
                "There is no baseline at '%s': predictions are logged and requests counted, but no distributions. "
                "Write one with ModelMonitoringService.export_text() and set 'BOXKITE_BASELINE' to its path.",
                DEFAULT_BASELINE_PATH,
            )
            return None
        baseline = DEFAULT_BASELINE_PATH
    if not isinstance(baseline, (str, os.PathLike)):
        msg = f"'BOXKITE_BASELINE' must be a path, a Baseline, or a mapping of model names to those, got {baseline!r}."
        raise ConfigError(msg, key="BOXKITE_BASELINE")
    return Baseline.load(baseline)


def exported_model(settings: Settings, baseline: Baseline | None, model: str | None) -> ExportedModel:
    """Return a model as metrics show it; without a name of its own, under the name in its baseline."""
    return ExportedModel(model or (baseline.model if baseline else "default"), baseline, settings.drift_alpha)


def make_store(settings: Settings, app: str, models: Iterable[ExportedModel], name: str | None = None) -> Store:
    """Build the home of an app's counts; nothing is made on disk before the first prediction.

    Args:
        settings: Settings, which may name a directory and the service.
        app: A name for the app, the same in all processes of a server.
        models: What it monitors, which tells it from other apps of its name.
        name: The name that a programmer gave it; None for none.

    Raises:
        ConfigError: The directory that is set cannot be used.
    """
    if not settings.enabled:
        return Store(None)
    place = Place(
        "/".join(filter(None, [settings.name, name or app])),
        replica=settings.pod_name,
        explicit=settings.state_dir,
        environ=os.environ,
        monitored=[model.key for model in models],
        is_named=bool(settings.name or name),
    )
    return Store(place)


def make_recorders(settings: Settings, store: Store) -> Recorders:
    """Build a recorder for each sink that is set.

    Raises:
        ConfigError: A sink, or the spool, cannot work.
    """
    options: dict[str, Any] = {"max_bytes": settings.queue_bytes, "shutdown_timeout": settings.shutdown_timeout}
    if settings.spool_dir is not None:
        options["spooling"] = Spooling(_checked_spool(settings.spool_dir), settings.spool_bytes)
    recorders = Recorders([Recorder(sink, store, **options) for sink in make_sinks(settings)])
    # All that belongs to the app holds them, but what they still deliver for it does not.
    weakref.finalize(recorders, store.release).atexit = False
    return recorders


def _checked_spool(directory: str) -> Path:
    """Return the directory of the spool; it is made later, by the process that writes to it.

    Raises:
        ConfigError: It cannot be made or written, or this system cannot have one.
    """
    path = Path(directory).absolute()
    if not can_lock:
        msg = "'BOXKITE_SPOOL_DIR' needs file locks as Linux and macOS have them. Leave it out on this system."
        raise ConfigError(msg, key="BOXKITE_SPOOL_DIR")
    if (obstacle := unwritable(path)) is not None:
        msg = f"'BOXKITE_SPOOL_DIR': cannot write to '{obstacle}'. Name a directory on a local disk of this user."
        raise ConfigError(msg, key="BOXKITE_SPOOL_DIR")
    return path


def make_exposition(
    settings: Settings, models: Callable[[], Sequence[ExportedModel]], store: Store | None, recorders: Recorders
) -> Exposition:
    """Build the exposition that the settings ask for."""
    return Exposition(
        models,
        store,
        recorders=recorders,
        alpha=settings.drift_alpha,
        names=settings.metric_names,
        with_baseline=settings.export_baseline,
        with_bins=settings.export_bins,
    )


def export_http(
    exposition: Exposition, params: Mapping[str, Sequence[str]] | None, headers: Mapping[str, str] | None
) -> tuple[bytes, str]:
    """Answer a scrape given its parameters and headers."""
    names = (params or {}).get("name[]")
    accept = next((value for name, value in (headers or {}).items() if name.lower() == "accept"), None)
    return exposition.export(accept, frozenset(names) if names else None)
