"""The monitoring of one model in any script or server, without Flask."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, overload

from flask_boxkite.baseline import Baseline
from flask_boxkite.config import DEFAULT_BASELINE_PATH, Settings
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.assembly import load_baseline, model_name
from flask_boxkite.notify.message import Notification

if TYPE_CHECKING:
    from flask_boxkite.baseline.progress import Progress
    from flask_boxkite.drift.report import DriftReport
    from flask_boxkite.drift.segments import SegmentReport
    from flask_boxkite.history.report import HistoryReport
    from flask_boxkite.performance.report import PerformanceReport

__all__ = ["ModelMonitoringService"]


class ModelMonitoringService:
    """Monitors one model: counts its features and outputs, logs each prediction, exports metrics.

    Safe to use from any thread, and in processes forked after its creation. It starts a thread only when the first
    prediction is logged, and only if there is a sink.

    Attributes:
        app: The `AppMonitor` behind this object, which adapters to other frameworks need.
        monitor: The `ModelMonitor` of the model, likewise.

    Args:
        baseline: A `Baseline`, the path of one, or None for ``/artefact/histogram.prom``, which may be absent.
        model: Name of the model; None for the one in the baseline.
        sink: ``"fluentd"``, ``"file"``, ``"none"``, ``"auto"``, or an object with ``emit_batch(records)``; None for
            ``"auto"``.
        derive: Functions of derived variables, by the names that they have in training.
        notify: Function that is told of changes of verdict, as for `Boxkite`.
        **settings: Any other setting, named as its configuration key without ``BOXKITE_``, in lower case:
            ``log_dir``, ``sample_rate``, … (see `Settings`).

    Raises:
        ConfigError: A setting is wrong, or the baseline needs a function that is missing.
        BaselineError: The baseline is missing or invalid.
    """

    _default_path: ClassVar[str | os.PathLike[str]] = DEFAULT_BASELINE_PATH

    def __init__(
        self,
        baseline: Baseline | str | os.PathLike[str] | None = None,
        *,
        model: str | None = None,
        sink: Any = None,
        derive: Mapping[str, Callable[[dict[str, Any]], Any]] | None = None,
        notify: Callable[[Notification], object] | None = None,
        **settings: Any,
    ) -> None:
        mapping = {f"BOXKITE_{name.upper()}": value for name, value in settings.items()}
        if sink is not None:
            mapping["BOXKITE_SINK"] = sink
        checked = Settings.from_mapping(mapping)
        loaded = load_baseline(baseline, self._default_path)
        name = model_name(loaded, model)
        self.app = AppMonitor(checked, name, {name: loaded}, derive=derive, notify=notify)
        self.monitor = self.app.model_or_new(name)

    def __repr__(self) -> str:
        """Return the model and its baseline."""
        baseline = f"baseline {self.baseline.fingerprint}" if self.baseline else "no baseline"
        return f"<ModelMonitoringService of model {self.model!r}, {baseline}>"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.monitor.model

    @property
    def baseline(self) -> Baseline | None:
        """Baseline of the model; None if it has none."""
        return self.monitor.baseline

    @property
    def feature_names(self) -> Collection[str]:
        """The columns that are read from a row: features, and sources of derived variables; none without a baseline."""
        return self.monitor.feature_names

    @property
    def output_names(self) -> Sequence[str]:
        """The outputs that are counted."""
        return self.monitor.output_names

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
        actual: Any = None,
        threshold: float | None = None,
        positive: Any = None,
        pairs: bool = True,
        names: str = "labels",
        progress: Progress = None,
        derive: Mapping[str, Any] | None = None,
        segments: Collection[str] | Mapping[str, Any] = (),
        ignore: Collection[str] = (),
        weights: Mapping[str, float] | None = None,
        drift_sizes: Mapping[str, float | tuple[float, float]] | None = None,
    ) -> Baseline:
        """Count training data in bins chosen from it, and write the baseline file.

        Every row counts; there is no sampling. A column may hold numbers, booleans, dates, durations (in seconds),
        texts and categoricals, with None, NaN and infinities anywhere. Texts that are all ISO 8601 dates are dates.

        Args:
            features: ``(name, column)`` pairs such as ``df.items()``, a mapping of name to column, a 2-D array (its
                columns are named ``feature_0``, ``feature_1``, …), a data frame, or a list of rows by name, in which
                nested values are named by their paths (``home.zip``, ``temps.0``). A lazy or distributed frame (Polars,
                DuckDB, Dask, PySpark) is counted by its engine, in a few passes, with the same result.
            inference: Output of the model for test data, or for training data by cross-validation (for rows that it
                was fitted to, a model is surer than for others): shape (n,), numbers or labels; or a mapping, rows by
                name, frame or (n, k) array for k outputs; or the name of the column of *features* that holds it. None:
                no output distribution.
            path: Path of the file; None for ``/artefact/histogram.prom``. Replaced whole or not at all.
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
            exclude: Names of columns to leave out, such as ``"customer_id"``. Positions count the other columns only.
            classes: Names of the columns of *inference*, if that is an (n, k) array of probabilities: the classifier's
                ``model.classes_``. None: they are ``output_0``, ``output_1``, …
            actual: Values that came true for the rows of *inference*: labels or numbers, shape (n,), None or NaN where
                they are unknown; or the name of the column of *features* that holds them. With them, the file knows
                how good the model is, and a server can tell how good it is now, and compare outcomes. Give rows that
                the model was **not** fitted to (held-out, or by cross-validation): with others, it looks better than
                it is, and live data will always look worse. Kind of the comparison: with two values and a number as
                output, *binary*; with a label as output, or an output for each class, *classes*; else *regression*.
            threshold: Score from which a row is predicted to be positive, for *binary*; a row at the threshold is
                positive. None: 0.5.
            positive: Actual value that the score stands for, for *binary*. None: the larger of the two.
            pairs: Whether each variable is also watched together with the one that tells most about it, so that a
                broken join shows, which leaves each variable alone as it was. Of many rows, a random sample of 50,000
                is counted for it. Equally many rows are taken for the same rows in the same order, also of outputs and
                of features, unless row labels of pandas say otherwise: False suits outputs of as many other rows.
                Each pair adds 16 series.
            names: ``"boxkite"`` writes the metric names of boxkite 0.0.5, as for `Baseline.dump`.
            progress: Display of long work: None for a bar on a terminal (with the extra ``cli``) and nothing
                elsewhere, False for nothing, or a callable that gets the number of steps done, the number of all steps
                (None if unknown), and the name of the work.
            derive: Variables to derive from each row, and to watch like features, by name: `Text`, `Vector`, `Row` and
                `Observed` of ``flask_boxkite.derived``, a recipe of another baseline (`Baseline.recipes`), or a
                function, which gets a row as a dict of all its columns and returns a number or a category. Functions
                are given to the server by the same names; all other parameters are in the file.
            segments: Variables whose rows are also counted and judged apart for each of their values, of at most ten
                values or groups; all other rows together: names of features, outputs or derived variables. A column
                that *exclude* names, too, only segments rows: requests bring it by its name, or the view by
                ``monitor.observe(country="SE")``. A mapping gives training values that are no column:
                ``{"country": countries, "age": None}``. Counts come from a random sample of 50,000 rows. As for
                *pairs*, outputs of as many rows as the features are taken for outputs of the same rows.
            ignore: Names of variables (features and outputs) that are counted, but not judged: they raise no alert, and
                their share of the false-alarm probability goes to the others. ``BOXKITE_VARIABLES`` may take this, and
                the two decisions that follow, back in a server.
            weights: Importance of variables, by name, beside 1 for all others: reports show important ones first among
                equal verdicts, and a variable of three times the weight has three times the share of the false-alarm
                probability. Of a fitted model: ``dict(zip(names, model.feature_importances_ * len(names)))``. A
                variable of weight 0 is ignored.
            drift_sizes: Sizes from which a real change is ``drifted``, by name: a number instead of 0.1, or a pair
                instead of 0.1 and 0.25, of which the second is for ``major``.

        Returns:
            The baseline.

        Raises:
            BaselineError: The data or an option cannot be used, or the file cannot be written.
        """
        # Serving needs neither.
        from flask_boxkite.baseline.training.build import build_baseline
        from flask_boxkite.baseline.training.options import BaselineOptions

        options = BaselineOptions.of(
            discrete=discrete,
            bins=bins,
            max_bins=max_bins,
            max_categories=max_categories,
            min_category_rows=min_category_rows,
            texts=texts,
            missing_texts=missing_texts,
            exclude=exclude,
            ignore=ignore,
            weights=weights,
            drift_sizes=drift_sizes,
        )
        baseline = build_baseline(
            features,
            inference,
            options,
            model=model,
            version=version,
            classes=classes,
            actual=actual,
            threshold=threshold,
            positive=positive,
            pairs=pairs,
            progress=progress,
            derive=derive,
            segments=segments,
        )
        baseline.dump(path or cls._default_path, names=names)
        return baseline

    # --- serving -----------------------------------------------------------------------------------------------------

    def log_prediction(
        self,
        request_body: Any = None,
        features: Any = None,
        output: Any = None,
        *,
        key: str | int | None = None,
        observed: Mapping[str, Any] | None = None,
    ) -> str:
        """Count one prediction, or a batch of n, and log it.

        Args:
            request_body: Body that the client sent: text, bytes, or an object that is kept as JSON.
            features: One row, by position (a list) or by name (a dict), or n rows: a list of those, an (n, features)
                array or a data frame. An array is the fastest way for large batches.
            output: Output of the model: a value for one row; for n rows a list or array of n.
            key: Caller's own key of the prediction, such as the number of an order: an integer, or a text of at most
                512 characters. It stands as ``key`` in the record, and `log_outcome` finds the prediction of one row by
                it, while the server remembers it. A key stands for its last prediction, and has one outcome. The
                setting ``redact`` hides it by the name ``key``. Anything else is no key.
            observed: Values of variables that are `Observed` in training, by name: a value for one row; for n rows a
                list of n, or one value for all. Others only stand in the record.

        Returns:
            The prediction id ``{server_id}/{YYYY-MM-DDTHH:MM:SS}/{uuid4}`` (UTC). Row i of a batch is ``{id}/{i}``.
        """
        return self.monitor.log_prediction(request_body, features, output, key=key, observed=observed)

    def log_outcome(
        self,
        prediction_id: str | None = None,
        actual: Any = None,
        *,
        predicted: Any = None,
        key: str | int | None = None,
    ) -> bool:
        """Count the value that came true for a prediction, at once or weeks later, in any process.

        Args:
            prediction_id: Id of the prediction; ``{id}/{i}`` for row *i* of a batch.
            actual: Value that came true: a label, or a number.
            predicted: Output of the prediction, where this process cannot know it any more; else None.
            key: Caller's own key of the prediction, instead of the id. An outcome that is sent once by the id and once
                by the key counts twice.

        Returns:
            Whether it was counted; ``boxkite_outcomes_rejected_total`` tells why others were not.

        Raises:
            BoxkiteError: The baseline has no actual values to compare with.
        """
        return self.app.log_outcome(prediction_id, actual, predicted=predicted, key=key, model=self.model)

    # --- reading -----------------------------------------------------------------------------------------------------

    def export_http(
        self, params: Mapping[str, Sequence[str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, str]:
        """Return the text that ``/metrics`` serves, and its content type.

        Args:
            params: Query parameters; ``name[]`` lists the families or samples to return.
            headers: Request headers; ``Accept`` chooses Prometheus text or OpenMetrics.
        """
        return self.app.export_http(params, headers)

    @overload
    def drift(self, window: str | None = None, *, by: None = None) -> DriftReport: ...

    @overload
    def drift(self, window: str | None = None, *, by: str) -> SegmentReport: ...

    def drift(self, window: str | None = None, *, by: str | None = None) -> DriftReport | SegmentReport:
        """Compare the counts of all processes of this server with the baseline.

        Every stretch of time within the window is compared, so a change is found however long all was well before.

        Args:
            window: ``"5m"``, ``"1h"`` or ``"24h"``: whether something has changed in the last five minutes, hour or
                day. Days from ``"2d"`` to ``"400d"``, such as ``"30d"``: in the last days, from the history, with days
                as parts and without pairs. None: at any time since the start, and not gone since; it holds all that the
                windows up to a day see.
            by: Name of a variable among the baseline's ``segments``, to judge each of its values; not in days.

        Returns:
            A report: ``print`` it, or take ``to_dict()``, ``to_rows()`` for a data frame, ``to_markdown()``,
            ``report["age"].verdict`` or ``report.drifted``. With *by*, a report for each segment,
            ``report["SE"].report["age"]``.

        Raises:
            BoxkiteError: There is no baseline to compare with, it has no segments by that name, or the counts
                cannot be read.
            ConfigError: There is no such window.
        """
        return self.monitor.drift(window) if by is None else self.monitor.drift(window, by=by)

    def history(self, days: int = 35) -> HistoryReport:
        """Return the last days of the model: traffic, size of drift and performance by day, and changes.

        Args:
            days: Number of days, with today, up to 400.

        Returns:
            A report: ``print`` it, or take ``report["age"].changed``, ``report.moved``, ``to_dict()``, or ``to_rows()``
            for a data frame.

        Raises:
            BoxkiteError: There is no state directory, or it cannot be read.
            ConfigError: There is no such number of days.
        """
        return self.monitor.history(days)

    def performance(self, window: str | None = None) -> PerformanceReport:
        """Return how good the model is: as validated, as its live outputs lead to expect, and as outcomes show it.

        Args:
            window: ``"5m"``, ``"1h"`` or ``"24h"``, of predictions and of outcomes that came; None for all since the
                start.

        Returns:
            A report: ``print`` it, or take ``report["accuracy"].estimated``, ``report.verdict``, ``to_dict()``,
            ``to_rows()`` or ``to_markdown()``.

        Raises:
            BoxkiteError: The baseline has no actual values, or the counts cannot be read.
            ConfigError: There is no such window.
        """
        return self.monitor.performance(window)

    def flush(self, timeout: float = 5.0) -> int:
        """Wait until all records are delivered; return the number left after *timeout* seconds.

        With several sinks, a record counts for each that has not got it. With a spool, records that dead processes left
        there are delivered too, as far as this process may take them over.
        """
        return self.app.recorders.flush(timeout)

    def close(self) -> None:
        """Deliver waiting records, within the shutdown timeout; others are counted as dropped, or stay in the spool.

        Notifications end too; another process of the server goes on with them.
        """
        self.app.close()
