"""The records of a period, in any storage: as objects, as frames, as drift, or as a new baseline."""

from __future__ import annotations

import copy
import logging
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Discrete
from flask_boxkite.config import Settings
from flask_boxkite.drift.failures import failed_line
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.drift.segments import SegmentReport
from flask_boxkite.drift.wording import when
from flask_boxkite.errors import BaselineError, BoxkiteError
from flask_boxkite.fairness.report import ALPHA as FAIRNESS_ALPHA
from flask_boxkite.fairness.report import FairnessReport, fairness_report
from flask_boxkite.fairness.verdict import Limits
from flask_boxkite.live.failed import Failures
from flask_boxkite.naming import MISSING
from flask_boxkite.performance.challenge import ALPHA, ChallengeReport
from flask_boxkite.performance.pair_reader import PairReader
from flask_boxkite.performance.report import PerformanceReport
from flask_boxkite.quoting import printable
from flask_boxkite.records.challenging import AnswerJob, Side, challenged
from flask_boxkite.records.columns import Columns, seconds_or_none
from flask_boxkite.records.compaction import check_arrow
from flask_boxkite.records.counting import RecordCounter
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.folders import Folders, Location, RecordFile
from flask_boxkite.records.frames import ENGINES, ON_TABLES, Frame, required
from flask_boxkite.records.garbage import rarely_collected
from flask_boxkite.records.grouping import GroupJob
from flask_boxkite.records.job import Counting, Job
from flask_boxkite.records.outcome_models import listed, warn_of_other_models
from flask_boxkite.records.outcome_rows import has_column, outcome_rows
from flask_boxkite.records.period import Moment, Period
from flask_boxkite.records.read_counts import ReadCounts
from flask_boxkite.records.reader import Reader
from flask_boxkite.records.record_columns import ColumnsJob
from flask_boxkite.records.row_counting import RowCounting, RowJob
from flask_boxkite.records.segment_counts import SegmentCounts, whole_of
from flask_boxkite.records.segment_performance import Counted, SegmentPerformanceReport
from flask_boxkite.records.segmentation import Segmentation, is_by_model
from flask_boxkite.records.segments import Judging
from flask_boxkite.records.selection import Filter
from flask_boxkite.records.shares import Executor, count_shares
from flask_boxkite.records.tabling import TableJob
from flask_boxkite.records.uncounted import rows_note
from flask_boxkite.values.times import nearest_microsecond

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.layout import Layout
    from flask_boxkite.records.parquet.part import Group

__all__ = ["Records"]

logger = logging.getLogger("flask_boxkite")

SLACK_SECONDS = 300.0
AnyBaseline = Baseline | str | os.PathLike[str]
Variables = Mapping[str, Mapping[str, Any]]
C = TypeVar("C", bound=Counting[Any])


class Records:
    """Records in files of the layout that the file sink and the receivers of ``examples/fluentd`` write, or in Parquet.

    Each use reads the files again. A reading takes a few megabytes of memory, 300 bytes for each file, and 120 bytes
    for each record in a file of lines, by which duplicates are found. One line may take 300 MB; a line of more than 32
    MiB or 2,000,000 values is damaged. Only one thread at a time may use the object.

    Args:
        location: Directory, or URL of any kind that fsspec knows (``s3://bucket/models``), with all levels below; or
            several of them. They may hold files of lines and the Parquet files of `compact`; a record in both is read
            once. Name the folder of lines first: its files may become Parquet while it is read.
        start: Time of the first records: a datetime, a date or an ISO 8601 text; UTC unless it has a zone.
        end: Time before which records were made. Files further than *slack_seconds* outside the period are not opened.
        model: Name of the only model to read; None for all.
        version: Version of the model; None for all.
        fingerprint: Fingerprint of the baseline that served the records; None for all.
        slack_seconds: Greatest distance of a record's time from the minute in its file's name. Fluent Bit names a file
            by its first record: after an outage of an hour, the distance may be hours.
        options: Options for fsspec, such as credentials.
        executor: Executor that counts the files in several processes, with the same numbers, for `drift`,
            `performance`, `fairness`, `challenge` and `to_baseline`: a ``ProcessPoolExecutor``, Dask's
            ``client.get_executor()``, or a `SparkExecutor`. Its processes need this package, and the files at the same
            location. None for this process alone.

    Raises:
        BoxkiteError: A bound is not a time, the slack is negative, or the URL cannot be read.
    """

    def __init__(
        self,
        location: Location,
        *,
        start: Moment = None,
        end: Moment = None,
        model: str | None = None,
        version: str | None = None,
        fingerprint: str | None = None,
        slack_seconds: float = SLACK_SECONDS,
        options: Mapping[str, Any] | None = None,
        executor: Executor | None = None,
    ) -> None:
        _check("slack_seconds", slack_seconds, "a number >= 0", is_valid=slack_seconds >= 0)
        self._wanted = Filter(Period.of(start, end), model, version, fingerprint)
        self._folder = Folders(location, options or {})
        self._slack_seconds = slack_seconds
        if executor is not None and not hasattr(executor, "map"):
            msg = f"'executor' must be an executor, such as ProcessPoolExecutor(8), got {executor!r}."
            raise BoxkiteError(msg)
        self._executor = executor
        self._counts = ReadCounts()

    def __repr__(self) -> str:
        """Return the location, the period and the other selections, if there are any."""
        wanted = self._wanted
        chosen = {"model": wanted.model, "version": wanted.version, "fingerprint": wanted.fingerprint}
        given = [
            repr(self._folder.location),
            *(f"{key}={value!r}" for key, value in chosen.items() if value is not None),
        ]
        return f"<Records {', '.join([*given, when(str(wanted.period))])}>"

    @property
    def counts(self) -> ReadCounts:
        """The counts of the latest reading: files, records, rows, duplicates, damage; complete when it has ended."""
        return self._counts

    @property
    def location(self) -> str:
        """The directory or URL of the records."""
        return self._folder.location

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each record as a dict of all its fields."""
        for chunk in self._chunks(None, is_whole=True):
            yield from map(msgspec.structs.asdict, chunk)

    # --- frames ------------------------------------------------------------------------------------------------------

    def to_frame(self, engine: str = "polars", baseline: AnyBaseline | None = None) -> Any:
        """Return one row per predicted row: features, outputs, and fields of the prediction.

        Columns are features and outputs by name, then ``prediction_id`` (``{id}/{i}`` for row i of a batch),
        ``entity_id``, ``key`` (the caller's own, likewise by row), ``created_at``, ``model``, ``baseline``,
        ``version``, ``status``, ``duration_ms`` and ``server_id``. A feature with the name of such a field, or of an
        output, in capitals or not, has the column ``feature.NAME``; such an output has ``output.NAME``. Numbers are
        float64, all other values texts. A value that does not fit is null, which the log says with examples, once a
        reading; and so are the features of rows that do not fit the model. Refused and failed rows are included, with
        their ``status``.

        Args:
            engine: Library of the frame: ``"polars"`` for a LazyFrame and ``"duckdb"`` for a relation, which read the
                files each time they are executed (a relation of DuckDB before 1.5 once only); ``"pyarrow"`` for a
                RecordBatchReader, which can be read once; ``"pandas"`` for a DataFrame, in memory; ``"dask"`` and
                ``"pyspark"`` for a lazy frame of Parquet that `compact` wrote. Of such Parquet with the columns of
                *baseline*, Polars and DuckDB too read the files themselves, and rows may come in any order.
            baseline: Baseline whose features and outputs become columns. None for all that the records have; then the
                records are read once more, now.

        Raises:
            BoxkiteError: The engine is unknown or not installed, or the records cannot be read; or without *baseline*,
                they have more than 10,000 features or outputs.
        """
        if engine not in ENGINES and engine not in ON_TABLES:
            msg = f"'engine' must be one of {', '.join(map(repr, (*ENGINES, *ON_TABLES)))}, got {engine!r}."
            raise BoxkiteError(msg)
        if (own := self._scanned(engine, baseline)) is not None:
            return own
        return ENGINES[engine](self.frame(baseline))

    def _scanned(self, engine: str, baseline: AnyBaseline | None) -> Any:
        """Return a lazy frame of Parquet that the engine reads on its own; None if it cannot."""
        if engine not in ON_TABLES and (baseline is None or engine not in ("polars", "duckdb")):
            return None
        files = self._files()
        if engine not in ON_TABLES and not any(file.unit for file in files):
            return None
        check_arrow()
        from flask_boxkite.records.parquet.engines import READERS, only_tables, scan_of, warn_of_nulls

        for package in (engine, "pandas") if engine == "dask" else (engine,):
            required(package)
        known = None if baseline is None else _loaded(baseline)
        scan = scan_of(self._folder, files, self._wanted, None if known is None else Columns.of(known))
        if scan is not None:
            if known is not None:
                warn_of_nulls(scan, self.frame(known), self._folder, self._wanted)
            return READERS[engine](scan)
        if engine in ON_TABLES:
            raise only_tables(engine)
        return None

    def frame(self, baseline: AnyBaseline | None = None) -> Frame:
        """Return a frame for any other engine: an object with Arrow's stream interface, and ``batches()``.

        Args:
            baseline: Baseline whose features and outputs become columns; None for all that the records have.
        """
        columns = self._columns(baseline)
        return Frame(columns, lambda: self._of_columns(columns))

    def _of_columns(self, columns: Columns) -> Iterator[list[Record] | Group]:
        """Begin a new reading, in which groups of tables with these columns come as they are."""
        files = self._files()
        if not any(file.unit for file in files):
            return self._chunks(columns.by_name, files=files)
        check_arrow()
        from flask_boxkite.records.parquet.layout import Layout

        layout = None if columns.baseline is None else Layout.of(columns.baseline)
        return self._pieces(columns.by_name, files, lambda own: own == layout)

    def _columns(self, baseline: AnyBaseline | None) -> Columns:
        if baseline is not None:
            return Columns.of(_loaded(baseline))
        columns = self._count(ColumnsJob(), self._files(), may_be_several=True).columns
        if columns.has_unnamed:
            logger.warning(
                "Some records have features without names, which are in the columns 'feature_0', … of the frame. Give "
                "the model's baseline, as in to_frame(baseline='baseline.prom'), for their names."
            )
        return columns

    # --- drift -------------------------------------------------------------------------------------------------------

    @overload
    def drift(
        self,
        baseline: AnyBaseline,
        *,
        by: None = None,
        against: Records | None = None,
        alpha: float = ...,
        variables: Variables | None = ...,
    ) -> DriftReport: ...

    @overload
    def drift(
        self,
        baseline: AnyBaseline,
        *,
        by: str,
        against: Records | None = None,
        alpha: float = ...,
        most_segments: int = ...,
        variables: Variables | None = ...,
    ) -> SegmentReport: ...

    def drift(
        self,
        baseline: AnyBaseline,
        *,
        by: str | None = None,
        against: Records | None = None,
        alpha: float = Settings.drift_alpha,
        most_segments: int = 20,
        variables: Variables | None = None,
    ) -> DriftReport | SegmentReport:
        """Compare the answered rows of the period with the baseline: with the same counts and verdicts as live.

        A stretch of time may differ from live by the requests that were under way when it began: a record has the whole
        second in which its request came, while a live row counts when its response is ready. So a size at the edge of a
        verdict may fall on the other side. Rows that were not sampled, or were lost, are not counted. As live, the rows
        of requests that ended in 5xx are left out of verdicts, and the report names features that were odd in them.

        Args:
            baseline: Baseline to compare with, in whose bins all rows are counted.
            by: Column to segment by: a feature, an output, or ``model``, ``baseline``, ``version`` or ``server_id``.
                Each of its values (or groups of values, if it is continuous) gets a report, without the column itself.
                It may be a feature that the baseline lacks, if it comes by name. If the baseline has segments by it
                (``segments`` of `export_text`), these are compared with themselves in training, as live.
            against: Records of an earlier period, whose counts take the place of training, to see which segments have
                moved since.
            alpha: False-alarm probability of the whole, divided among variables and segments.
            most_segments: Number of segments to report, the largest; all others together are ``__rare__``. A reading
                has 256 MB for counts of segments, for about 300 segments of 20 features; values that come later are
                ``__rare__`` too. At least *most_segments* are counted, even if they take more.
            variables: Decisions on how variables are judged, by name, as for `Baseline.with_policies`. They win over
                the baseline.

        Raises:
            BoxkiteError: An option cannot be used, no record has the column *by*, the records are of several models, or
                they cannot be read.
        """
        _check("most_segments", most_segments, "an integer >= 1", is_valid=most_segments >= 1)
        if variables is not None:
            baseline = _loaded(baseline).with_policies(variables)
        if by is None:
            return self.observed(baseline, against=against, alpha=alpha)[0]
        judging, counting, before = self._compared(baseline, by, against, alpha, most_segments)
        counter, segmentation = counting.counter, counting.segmentation
        assert segmentation is not None
        segmentation.check({*counter.segments, *(before or ())})
        report = judging.segments(segmentation, by, counter.segments, before, most_segments)
        whole = counter.whole
        return replace(
            report,
            failed=failed_line(counter.failures, judging.window),
            uncounted=whole.uncounted(judging.baseline),
            note=self._note(judging.baseline, whole, before, is_answered=bool(counter.segments)),
        )

    def observed(
        self, baseline: AnyBaseline, *, against: Records | None = None, alpha: float = Settings.drift_alpha
    ) -> tuple[DriftReport, NDArray[np.int64], Failures]:
        """Return the report of `drift`, the counts of features and outputs in the order of cells, and failed requests.

        Arguments and errors are the same as for `drift`.
        """
        judging, counting, before = self._compared(baseline, None, against, alpha)
        counter = counting.counter
        whole, failures = counter.whole, counter.failures
        none = SegmentCounts.none(len(whole.cells))
        report = judging.report(whole, None if before is None else before.get("", none)).with_unread(counter.unread)
        note = self._note(judging.baseline, whole, before, is_answered=bool(counter.segments))
        return replace(report, failed=failed_line(failures, judging.window), note=note), whole.cells, failures

    def _note(
        self,
        baseline: Baseline,
        counts: SegmentCounts,
        before: Mapping[str, SegmentCounts] | None,
        *,
        is_answered: bool,
    ) -> str:
        """Return the note on rows that were not counted: in this period, and in the earlier one if there is one."""
        texts = [rows_note(counts, baseline, self._counts, self.location, is_answered=is_answered)]
        if before:
            earlier = str(whole_of(before.values()).uncounted(baseline))
            texts.append(f"In the earlier period: {earlier[0].lower()}{earlier[1:]}" if earlier else "")
        return " ".join(filter(None, texts))

    def _compared(
        self, baseline: AnyBaseline, by: str | None, against: Records | None, alpha: float, most_segments: int = 1
    ) -> tuple[Judging, RowCounting, dict[str, SegmentCounts] | None]:
        """Count this period, and the earlier one if there is one, by segment; return the `Judging` for them, too."""
        _check("alpha", alpha, "a number between 0 and 1", is_valid=0 < alpha < 1)
        known = _loaded(baseline)
        counting, period = self._counted(known, by, most_segments, is_trained=against is None)
        self._warn_of_others(known)
        model = self._wanted.model or self._model(may_be_several=is_by_model(by, known)) or known.model

        before = span = None
        if against is not None:
            earlier, span = against._counted(known, by, most_segments)
            before = earlier.counter.segments

        end = self._wanted.period.end
        if math.isinf(end):  # the last row of all ends the period, so that all segments end at the same time
            end = max((item.last for item in counting.counter.segments.values()), default=0.0) + 1.0
        judging = Judging(model, known, alpha, str(period), end, None if span is None else str(span))
        return judging, counting, before

    def _counted(
        self, baseline: Baseline, by: str | None, most_segments: int = 1, *, is_trained: bool = False
    ) -> tuple[RowCounting, Period]:
        """Count in the cells of a baseline, by segment, of the baseline if it has them; return the period too."""
        files = self._files()
        span = self._span(files)
        job = RowJob(baseline, span.end, by, most_segments, is_trained)
        counting = self._count(job, files, may_be_several=is_by_model(by, baseline))
        return counting, self._wanted.period.bounded_by(span)

    def count_into(self, counter: RecordCounter) -> None:
        """Count all records, of one model, with a counter of the caller.

        Raises:
            BoxkiteError: A file cannot be read, or the records are of several models.
        """
        for chunk in self._chunks(counter.aligner.features):
            counter.add(chunk)
            self._model()

    def _count(self, job: Job[C], files: Sequence[RecordFile], *, may_be_several: bool = False) -> C:
        """Count the records of some files, here or in the processes of the executor."""
        counting = job.begin()
        if self._executor is None:
            pieces = self._pieces(counting.names, files, counting.takes)
            for piece in rarely_collected(pieces):
                counting.add(piece)
                self._model(may_be_several=may_be_several)
        else:
            self._counts = ReadCounts()
            for counted, counts in count_shares(self._executor, self._reader, job, files):
                self._counts.join(counts)
                self._model(may_be_several=may_be_several)
                counting.join(counted)
        if loss := self._counts.loss:
            logger.warning("%s", loss)
        return counting

    def _model(self, *, may_be_several: bool = False) -> str | None:
        """Return the model of the records; None if there are no records, or if they are of several models."""
        models = self._counts.models
        if len(models) < 2:
            return next(iter(models), None)
        if may_be_several:
            return None
        names = listed(sorted(map(repr, models)))
        msg = f"The records are of several models: {names}. Name one of them as 'model'."
        raise BoxkiteError(msg)

    def _warn_of_others(self, baseline: Baseline) -> None:
        served = self._counts.rows_by_baseline
        others = {name: rows for name, rows in served.items() if name != baseline.fingerprint}
        if others:
            logger.warning(
                "%d of %d rows were served with another baseline than %s: %s. They are counted in its bins too; "
                "'fingerprint' ('--fingerprint' of the command) leaves them out.",
                sum(others.values()),
                self._counts.rows,
                baseline.fingerprint,
                listed([f"{printable(name or 'none')} ({rows})" for name, rows in others.items()]),
            )

    # --- performance -------------------------------------------------------------------------------------------------

    @overload
    def performance(
        self,
        baseline: AnyBaseline,
        *,
        outcomes: Any = None,
        key: str = ...,
        actual: str = ...,
        by: None = None,
        alpha: float = ...,
    ) -> PerformanceReport: ...

    @overload
    def performance(
        self,
        baseline: AnyBaseline,
        *,
        outcomes: Any = None,
        key: str = ...,
        actual: str = ...,
        by: str,
        alpha: float = ...,
        most_segments: int = ...,
    ) -> SegmentPerformanceReport: ...

    def performance(
        self,
        baseline: AnyBaseline,
        *,
        outcomes: Any = None,
        key: str = "prediction_id",
        actual: str = "actual",
        by: str | None = None,
        alpha: float = Settings.drift_alpha,
        most_segments: int = 20,
    ) -> PerformanceReport | SegmentPerformanceReport:
        """Return how good the model was: as validated, as its outputs lead to expect, and as outcomes show it.

        Answered rows of the period are joined with outcomes, whenever these came. The numbers are the same as live, but
        for losses of float32 outputs; how long outcomes took is not known. Each prediction counts once. Outcomes of no
        answered row of the period are ``unknown``, further ones of a row ``repeated``, and ones without a known actual
        value ``invalid``.

        Args:
            baseline: Baseline with actual values, in whose bins all rows are counted.
            outcomes: Outcomes: a data frame of any library that narwhals knows, a mapping of columns, rows by name, or
                the path or URL of a file (CSV, TSV, JSON lines, Parquet). They are held in memory. If there
                is a column ``model``, outcomes of other models are left aside, with a warning. None for the expected
                values alone.
            key: Name of the column of *outcomes* that names the prediction, and of its counterpart in the record:
                ``prediction_id``, ``entity_id`` or the caller's own ``key``, each with ``/{i}`` for row i of a batch;
                or a feature, such as the number of an order, which the baseline may lack if it comes by name. A key
                stands for its last prediction.
            actual: Name of the column of *outcomes* with the values that came true.
            by: Column to segment by, as in `drift`. Each segment gets a report; it is compared with all validation
                rows of the same outputs. None for one report of all rows.
            alpha: False-alarm probability of the verdict, divided among segments.
            most_segments: Number of segments to report, the largest; all others together are ``__rare__``.

        Raises:
            BoxkiteError: The baseline has no actual values, an option or the outcomes cannot be used, the records are
                of several models, hide all keys or outputs, or cannot be read.
        """
        _check("alpha", alpha, "a number between 0 and 1", is_valid=0 < alpha < 1)
        _check("most_segments", most_segments, "an integer >= 1", is_valid=most_segments >= 1)
        known = _loaded(baseline)
        if known.validation is None:
            msg = (
                "The baseline has no actual values. Write one with export_text(..., actual=...), of rows that the "
                "model was not fitted to."
            )
            raise BoxkiteError(msg)
        is_with_outcomes = False
        if by is not None and outcomes is not None and Segmentation(by, known).others:
            is_with_outcomes, outcomes = has_column(outcomes, by)
        named = () if outcomes is None else tuple(outcome_rows(outcomes, key, actual))

        files = self._files()
        span = self._span(files)
        job = RowJob(known, span.end, by, most_segments, outcomes=named, key=key)
        counting = self._count(job, files, may_be_several=is_by_model(by, known))
        counter, joining = counting.counter, counting.joining
        assert joining is not None
        joining.hidden.check()
        if is_with_outcomes and counter.segments.keys() == {MISSING}:
            msg = (
                f"No record has a value of {by!r}. It is a column of the outcomes, by which 'fairness' compares "
                "groups. Performance goes by columns of records: send it beside the features."
            )
            raise BoxkiteError(msg)
        if counting.segmentation is not None:
            counting.segmentation.check(counter.segments)
        self._warn_of_others(known)

        model = self._wanted.model or self._model(may_be_several=is_by_model(by, known)) or known.model
        warn_of_other_models(joining.models, {model})
        counted = Counted(known, joining.layout, model, str(self._wanted.period.bounded_by(span)))
        if counting.segmentation is None:
            whole = counted.cells(counter.segments.get(""), joining.classes)
            return counted.report(
                whole,
                joining.cells(model),
                alpha,
                joining.unread.found,
                uncounted=counter.whole.uncounted(known).outputs if counter.segments else 0,
                keyless=joining.hidden.keyless,
            )
        return counted.by_segment(counting.segmentation, by or "", counter.segments, joining, alpha, most_segments)

    def challenge(
        self,
        champion: AnyBaseline,
        challenger: AnyBaseline,
        *,
        against: Records | None = None,
        outcomes: Any = None,
        key: str = "prediction_id",
        actual: str = "actual",
        alpha: float = ALPHA,
    ) -> ChallengeReport:
        """Compare two models, or two versions of one, that answered the same requests.

        Answered rows of both are paired by key. The report says how far apart their outputs are and, with outcomes, how
        good each model is on the same rows, with an interval and a verdict for each difference. As in `performance`, a
        key stands for its last prediction, and counts once, with its first readable outcome. Rows count as independent
        of each other. Each reading holds 24 bytes for each row.

        Args:
            champion: Baseline of the model that serves, with actual values, by which its outputs are judged. Its
                records are the ones of its fingerprint, or with *against*, all.
            challenger: Baseline of the other model, likewise.
            against: Records of the challenger, where fingerprints do not tell the models apart, or where they are
                elsewhere: ``Records("records", model="challenger")``. None if they are among these.
            outcomes: Outcomes, as for `performance`; None for the disagreement alone.
            key: Field that both records of a row share, and the column of *outcomes* with it: ``prediction_id`` (or
                ``entity_id``) for a challenger that was logged in the champion's view, of which outcomes may name
                either id; the caller's own ``key``; or a feature, such as the number of an order.
            actual: Name of the column of *outcomes* with the values that came true.
            alpha: Probability that equally good models get another verdict than ``no difference shown``; it is divided
                among the metrics.

        Raises:
            BoxkiteError: A baseline has no actual values, the models are of different kinds, an option or the outcomes
                cannot be used, the records of a side are of several models, hide all keys or outputs, or cannot be
                read.
        """
        _check("alpha", alpha, "a number between 0 and 1", is_valid=0 < alpha < 1)
        baselines = _loaded(champion), _loaded(challenger)
        reader = PairReader(*baselines)
        named = () if outcomes is None else outcome_rows(outcomes, key, actual)
        sources = (self, against) if against is not None else self._by_fingerprint(*baselines)

        sides, files = [], [source._files() for source in sources]
        for source, baseline, own in zip(sources, baselines, files, strict=True):
            answers = source._count(AnswerJob(baseline, key), own).answers()
            sides.append(Side(source._wanted.model or source._model() or baseline.model, baseline, answers))
            if against is not None:
                source._warn_of_others(baseline)
        self._counts = sources[0].counts

        window = str(self._wanted.period.bounded_by(self._span(files[0])))
        return challenged(sides, reader, named, key=key, alpha=alpha, window=window)

    def _by_fingerprint(self, *baselines: Baseline) -> tuple[Records, ...]:
        """Return the records that were served with each baseline."""
        first, second = (baseline.fingerprint for baseline in baselines)
        if first == second:
            msg = (
                f"Both baselines have the fingerprint {first}, by which records do not tell the models apart. Give the "
                "challenger's records: against=Records(..., model='challenger')."
            )
            raise BoxkiteError(msg)
        if self._wanted.fingerprint is not None:
            msg = "Records of one 'fingerprint' are of one model. Leave it out, or give the challenger's as 'against'."
            raise BoxkiteError(msg)
        chosen = []
        for fingerprint in (first, second):
            records = copy.copy(self)
            records._wanted = replace(self._wanted, fingerprint=fingerprint)
            chosen.append(records)
        return tuple(chosen)

    # --- fairness ----------------------------------------------------------------------------------------------------

    def fairness(
        self,
        baseline: AnyBaseline,
        *,
        by: str,
        outcomes: Any = None,
        key: str = "prediction_id",
        actual: str | None = "actual",
        reference: Any = None,
        positive: Any = None,
        threshold: float | None = None,
        alpha: float = FAIRNESS_ALPHA,
        least_ratio: float = Limits().ratio,
        most_difference: float = Limits().difference,
        most_groups: int = 20,
    ) -> FairnessReport:
        """Compare how often the model selected the rows of each group, and with outcomes, those that came true.

        Answered rows of the period count. Rows that recur, or are alike within a short while, count for fewer rows.

        Args:
            baseline: Baseline of the model, which says how its outputs are read.
            by: Column of the groups: a feature, an output, ``model``, ``baseline``, ``version`` or ``server_id``; else
                a column of *outcomes*; else a feature that the model does not read, if it comes by name. Each value, or
                group of values of a continuous feature, is a group. If it comes with outcomes, only rows with one
                count, each key once.
            outcomes: Outcomes, as for `performance`; None for selection rates alone.
            key: Name of the column of *outcomes* that names the prediction, as for `performance`.
            actual: Name of the column of *outcomes* with the values that came true; None if there is none, so that
                outcomes give groups alone.
            reference: Value or name of the group that others are compared with; None for the one with most rows.
            positive: Class that counts as selected, and as a positive actual value; None for the one of the score.
            threshold: Score or number from which a row is selected; None for the threshold of the baseline.
            alpha: Probability that groups which are treated equally get the verdict ``unequal``, divided among groups
                and rates.
            least_ratio: Least ratio of two selection rates: 0.8 is the four-fifths rule.
            most_difference: Largest difference of two rates.
            most_groups: Number of groups to report, the largest; all others together are ``__rare__``.

        Raises:
            BoxkiteError: An option or the outcomes cannot be used, the outputs need an option, the records are of
                several models, hide all groups, keys or outputs, or cannot be read.
        """
        _check("alpha", alpha, "a number between 0 and 1", is_valid=0 < alpha < 1)
        _check("least_ratio", least_ratio, "a number above 0, at most 1", is_valid=0 < least_ratio <= 1)
        _check("most_difference", most_difference, "a number from 0 to 1", is_valid=0 <= most_difference <= 1)
        _check("most_groups", most_groups, "an integer >= 2", is_valid=most_groups >= 2)
        known = _loaded(baseline)
        job = GroupJob.of(known, by, outcomes, key, actual, positive, threshold, most_groups)

        files = self._files()
        span = self._span(files)
        grouping = self._count(job, files, may_be_several=is_by_model(by, known))
        counter, selection = grouping.counter, grouping.selection
        counter.hidden.check()
        counter.check_groups(by)
        self._warn_of_others(known)
        model = self._wanted.model or self._model(may_be_several=is_by_model(by, known)) or known.model
        warn_of_other_models(counter.models, {model})
        rejected = counter.join_outcomes(model)
        named = grouping.name_of(reference)
        return fairness_report(
            counter.groups(most_groups, grouping.text_of, named),
            by=by,
            model=model,
            baseline=known.fingerprint,
            selection=selection.text,
            positive=selection.positive,
            reference=named,
            alpha=alpha,
            limits=Limits(least_ratio, most_difference),
            has_outcomes=job.has_actual,
            window=str(self._wanted.period.bounded_by(span)),
            unread=counter.unread,
            rejected=rejected if outcomes is not None else {},
            coverage=counter.coverage if outcomes is not None else None,
            are_all_known=grouping.segmentation is None,
            note=counter.note,
        )

    # --- a new baseline ----------------------------------------------------------------------------------------------

    def to_baseline(
        self,
        path: str | os.PathLike[str] | None = None,
        baseline: AnyBaseline | None = None,
        *,
        model: str | None = None,
        version: str | None = None,
        segments: Collection[str] | None = None,
        **options: Any,
    ) -> Baseline:
        """Make a new baseline from answered rows, as `export_text` makes one from training data.

        It takes 8 bytes of memory for each row and variable, for texts their length. A line may claim a row for two
        bytes. With an executor, its processes read the rows, which is most of the work if they are in lines: 5 of 6 s
        for a million rows of 10 features. This process gets them as columns, and makes the baseline.

        Args:
            path: Path to write the baseline to; None to write no file.
            baseline: Baseline whose features and outputs the new one gets, discrete where they are discrete there, and
                judged as there; None for all that the records have.
            model: Name of the model; None for the model of the records.
            version: Name of the version, for people.
            segments: Variables whose rows are also counted apart for each of their values, as in `export_text`; None
                for the ones of *baseline*.
            **options: Options ``discrete``, ``bins``, ``max_bins``, ``max_categories``, ``min_category_rows``,
                ``texts``, ``missing_texts``, ``exclude``, ``ignore``, ``weights`` and ``drift_sizes``, as in
                `export_text`.

        Raises:
            BaselineError: There are no records, or an option cannot be used.
            BoxkiteError: The records are of several models.
        """
        # For training only.
        from flask_boxkite.baseline.training.build import build_baseline
        from flask_boxkite.baseline.training.deriving import recorded
        from flask_boxkite.baseline.training.options import BaselineOptions

        known = None if baseline is None else _loaded(baseline)
        columns = self._columns(known)
        if known is None:  # a request does not hold them, so they are no features without their recipes
            columns = columns.without_derived()
        tabling = self._count(TableJob(columns), self._files())
        table = tabling.table()
        served = self._model() or self._wanted.model
        if not len(table) and not tabling.records:
            msg = f"No record at '{self._folder.location}' was answered, so there is no baseline. Take a longer period."
            raise BaselineError(msg)
        if known is not None:
            variables = known.distributions
            discrete = [item for item in variables if isinstance(item, Discrete)]
            options.setdefault("discrete", [item.name for item in discrete])
            options.setdefault("texts", [item.name for item in discrete if item.is_text])
            options.setdefault("missing_texts", frozenset().union(*(item.missing_texts for item in variables)))
            for side, called in ((known.features, columns.feature_columns), (known.outputs, columns.output_columns)):
                for item in side:
                    if item.is_time:
                        table = _with_times(table, called[item.name])
        features, outputs = (
            table.select(list(called.values())).rename_columns(list(called))
            for called in (columns.feature_columns, columns.output_columns)
        )
        derive = None
        if known is not None and known.derived:
            features, derive = recorded(features, known)
        decisions = BaselineOptions.of(**options)
        if segments is None:
            kept = () if known is None else known.segmented_by
            segments = [name for name in kept if name not in decisions.exclude]
        made = build_baseline(
            features if columns.features else {},
            outputs if columns.outputs else None,
            decisions,
            model=model or served or "default",
            version=version,
            derive=derive,
            segments=segments,
        )
        if known is not None:
            names = {item.name for item in made.distributions}
            policies = tuple(policy for policy in known.policies if policy.name in names)
            made = replace(made, policies=policies).judged_by(made.policies)
        if path is not None:
            made.dump(path)
        return made

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def _reader(self) -> Reader:
        return Reader(self._folder, self._wanted, self._slack_seconds)

    def _chunks(
        self, names: Sequence[str] | None, *, is_whole: bool = False, files: Sequence[RecordFile] | None = None
    ) -> Iterator[list[Record]]:
        """Begin a new reading."""
        files = self._files() if files is None else files
        return cast("Iterator[list[Record]]", self._pieces(names, files, None, is_whole=is_whole))

    def _pieces(
        self,
        names: Sequence[str] | None,
        files: Sequence[RecordFile],
        takes: Callable[[Layout], bool] | None,
        *,
        is_whole: bool = False,
    ) -> Iterator[list[Record] | Group]:
        """Begin a new reading, in which groups of Parquet files come as columns where *takes* says so."""
        self._counts = ReadCounts()
        return self._reader.read(names, files, self._counts, takes, is_whole=is_whole)

    def _files(self) -> list[RecordFile]:
        return self._reader.files()

    def _span(self, files: Sequence[RecordFile]) -> Period:
        """Return the part of the period that has files."""
        if not files:
            return self._wanted.period
        return self._wanted.period.within(Period(files[0].minute, max(file.end for file in files)))


def _with_times(table: Any, name: str) -> Any:
    """Return an Arrow table with a column of texts as moments; other texts become missing."""
    pa = import_module("pyarrow")

    seconds = map(seconds_or_none, table.column(name).to_pylist())
    microseconds = [None if value is None else nearest_microsecond(value) for value in seconds]
    column = pa.array(microseconds, pa.timestamp("us", tz="UTC"))
    return table.set_column(table.schema.get_field_index(name), name, column)


def _loaded(baseline: AnyBaseline) -> Baseline:
    return baseline if isinstance(baseline, Baseline) else Baseline.load(baseline)


def _check(name: str, value: float, wanted: str, *, is_valid: bool) -> None:
    if not is_valid:
        msg = f"{name!r} must be {wanted}, got {value!r}."
        raise BoxkiteError(msg)
