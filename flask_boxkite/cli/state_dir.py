"""Counts of a server, read from its state directory by another process, without changing it.

Its predictions are read without a lock; its outcomes under their lock, for a moment.
"""

from __future__ import annotations

import errno
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from flask_boxkite.delivery import RecorderCounts
from flask_boxkite.drift.segment_wording import unknown_segments
from flask_boxkite.drift.segments import SegmentJudge, SegmentReport
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.exposition import ExportedModel
from flask_boxkite.history.model import HistorySource, baseline_of
from flask_boxkite.history.past import Past, PastReader
from flask_boxkite.history.report import HistoryReport
from flask_boxkite.history.window import days_of
from flask_boxkite.live.folding import is_ours, read_directory, windows_path
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.section import Section
from flask_boxkite.live.snapshot_ring import RingFile
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import History, Slots, Windows
from flask_boxkite.monitoring.days import observed_days
from flask_boxkite.monitoring.notes import Notes
from flask_boxkite.monitoring.observation import Observation, observe, observe_segments, observed_performance
from flask_boxkite.outcomes.place import outcome_book, outcome_section
from flask_boxkite.page.content import App, Query
from flask_boxkite.performance.report import PerformanceReport

__all__ = ["app_of", "histories_of", "observations", "segments_of", "server_directory"]

Read = TypeVar("Read")


def app_of(path: Path, *, model: str | None, window: str | None, alpha: float) -> App:
    """Return the content of the server's page.

    Args:
        path: Path of its state directory, or of the directory in ``BOXKITE_STATE_DIR``.
        model: Name of the model; None for all.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        alpha: False-alarm probability of one check of a whole model.

    Raises:
        BoxkiteError: There are no counts, or counts of several servers, or the counts cannot be read.
    """
    directory, reading, found = _read(
        path, lambda directory, reading: observations(directory, reading, model, window, alpha)
    )
    names = {key.name for key in reading.sections if key.is_sink}
    sinks = {name: RecorderCounts.of(reading.sink_cells(name).tolist()) for name in sorted(names)}
    return App(directory.name, Query(window), found, sinks=sinks, now=time.time())


def segments_of(path: Path, *, by: str, model: str | None, window: str | None, alpha: float) -> SegmentReport:
    """Return the verdicts on the segments of a model; see `app_of` for the other arguments and errors.

    Args:
        path: Path of the server's state directory.
        by: Variable that segments rows.
        model: Name of the model; None for the only one that has such segments.
        window: Window of the counts; None for all since the start.
        alpha: False-alarm probability of all verdicts together.

    Raises:
        BoxkiteError: No model has such segments, or several have them.
    """
    return _read(path, lambda directory, reading: _segments(directory, reading, by, model, window, alpha))[2]


def _read(path: Path, read: Callable[[Path, Reading], Read]) -> tuple[Path, Reading, Read]:
    """Return the state directory of one server, its counts, and the result of a function of both."""
    try:
        directory = server_directory(path)
        reading = read_directory(directory)
        return directory, reading, read(directory, reading)
    except OSError as error:
        msg = f"The counts in '{path}' cannot be read: {error.strerror}."
        raise BoxkiteError(msg) from error
    except (ValueError, zlib.error) as error:
        msg = f"The counts in '{path}' cannot be understood: {error} Were they written by this release?"
        raise BoxkiteError(msg) from error


def histories_of(path: Path, *, model: str | None, days: int, alpha: float) -> list[HistoryReport]:
    """Return the last days of each model; `app_of` explains the other arguments and errors.

    The history of a model stays when its counts are gone. Then the baseline that it had last is taken.

    Args:
        path: Path of the state directory.
        model: Name of the model; None for all.
        days: Number of days.
        alpha: False-alarm probability of one check of a whole model.
    """
    try:
        directory = server_directory(path)
        reading = read_directory(directory)
        reader = PastReader(directory)
        pasts = [reader.read(file, lambda extract: None) for file in reader.keys().values()]
    except OSError as error:
        msg = f"The history in '{path}' cannot be read: {error.strerror}."
        raise BoxkiteError(msg) from error

    last: dict[str, Past] = {}
    for past in pasts:
        key = None if past is None else past.extract.key
        if past is None or key is None or not key.is_model or model not in (None, key.name):
            continue
        known = last.get(key.name)
        if known is None or _is_later(past, known, reading):
            last[key.name] = past
    if not last:
        of = f"of a model {model!r} " if model is not None else ""
        msg = f"There is no history {of}in '{directory}'. It begins with the first prediction of a server."
        raise BoxkiteError(msg)
    return [
        HistorySource(
            name,
            baseline_of(past.extract.description),
            past.extract.key,
            alpha,
            lambda: directory,
            lambda: reading,
        ).report(days, time.time())
        for name, past in sorted(last.items())
    ]


def _is_later(past: Past, known: Past, reading: Reading) -> bool:
    """Say whether a baseline was served later than another one."""
    ranks = [(item.extract.key in reading.current, item.open_hour) for item in (past, known)]
    return ranks[0] > ranks[1]


def server_directory(path: Path) -> Path:
    """Return the directory of one server.

    Args:
        path: This directory, or the one in ``BOXKITE_STATE_DIR``.

    Raises:
        BoxkiteError: There are counts of several servers, or none.
        OSError: The directory cannot be read.
    """
    names = sorted(entry.name for entry in path.iterdir())
    if any(map(is_ours, names)):
        return path
    directories = [path / name for name in names if name.startswith("boxkite-") and (path / name).is_dir()]
    if not directories:
        msg = f"There are no counts in '{path}'. Name the directory that 'BOXKITE_STATE_DIR' names."
        raise BoxkiteError(msg)
    if len(directories) > 1:
        msg = f"There are counts of several servers in '{path}'. Name one of: {', '.join(map(str, directories))}."
        raise BoxkiteError(msg)
    return directories[0]


def observations(
    directory: Path, reading: Reading, model: str | None, window: str | None, alpha: float
) -> list[Observation]:
    """Return the counts of each model; `app_of` explains the arguments and errors.

    Args:
        directory: State directory of one server.
        reading: Counts of its processes.
        model: Name of the model; None for all.
        window: Window of the counts; None for all since the start.
        alpha: False-alarm probability of one check of a whole model.
    """
    return [_observation(directory, item, window) for item in _models(directory, reading, model, alpha)]


def _models(directory: Path, reading: Reading, model: str | None, alpha: float) -> list[ExportedModel]:
    # A server that has ended has no current state.
    keys = sorted(reading.current or reading.sections, key=str)
    models = [
        ExportedModel.of_section(key, reading.description(key), alpha)
        for key in keys
        if key.is_model and model in (None, key.name)
    ]
    if not models:
        of = f"of a model {model!r} " if model is not None else ""
        msg = f"Nothing {of}was counted in '{directory}'."
        raise BoxkiteError(msg)
    return models


def _segments(
    directory: Path, reading: Reading, by: str, model: str | None, window: str | None, alpha: float
) -> SegmentReport:
    models = _models(directory, reading, model, alpha)
    having = [(item, own) for item in models if item.baseline and (own := item.baseline.segmentation_by(by))]
    if not having:
        known = chain.from_iterable(item.baseline.segmented_by for item in models if item.baseline)
        raise BoxkiteError(unknown_segments(by, model, list(dict.fromkeys(known))))
    if len(having) > 1:
        names = ", ".join(repr(item.name) for item, _ in having)
        msg = f"Several models have segments by {by!r}: {names}. Name one of them: --model"
        raise BoxkiteError(msg)
    ((chosen, item),) = having
    assert chosen.baseline is not None
    return observe_segments(
        SegmentJudge(chosen.name, chosen.baseline, item),
        chosen.layout,
        _counts(directory, chosen),
        Timelines(chosen.layout),
        window=window,
        alpha=alpha,
        together=_observation(directory, chosen, window).report,
    ).report


def _observation(directory: Path, model: ExportedModel, window: str | None) -> Observation:
    notes = Notes(model.name, str(model.key), lambda: directory)
    if (days := days_of(window)) is not None:
        source = HistorySource(
            model.name, model.baseline, model.key, model.alpha, lambda: directory, lambda: read_directory(directory)
        )
        seen = observed_days(model.name, source.coarse, source.past(), days, time.time(), model.alpha)
        return seen.with_notes(notes)
    seen = observe(
        model.name,
        model.baseline,
        model.layout,
        _counts(directory, model),
        window=window,
        alpha=model.alpha,
        timelines=Timelines(model.layout) if model.baseline else None,
    )
    return replace(seen, performance=_performance(directory, seen)).with_notes(notes)


def _counts(directory: Path, model: ExportedModel) -> _Counts:
    return _Counts(directory, model.section, lambda: read_directory(directory).totals(model.section))


def _performance(directory: Path, seen: Observation) -> PerformanceReport | None:
    """Return how good a model is; None if its baseline has no actual values.

    Raises:
        OSError: The outcomes cannot be read.
    """
    if seen.baseline is None or seen.baseline.validation is None:
        return None
    layout = OutcomeCells(seen.baseline.validation)
    section = outcome_section(seen.model, seen.baseline, layout)
    counts = _Counts(directory, section, outcome_book(directory, section).totals)
    return observed_performance(seen, layout, counts, now=time.time())


class _Counts:
    """Counts of one section from all processes of a server.

    Args:
        directory: State directory of the server.
        section: Section of the counts.
        totals: Function that returns all counts since the start.
    """

    def __init__(self, directory: Path, section: Section, totals: Callable[[], Totals]) -> None:
        self._ring = windows_path(directory, section.key)
        self._windows = Windows(RingFile(self._ring, is_read_only=True), section)
        self.totals = totals

    def history(self) -> tuple[History, Totals]:
        """Return the snapshots of the last day, and totals from just after them.

        Raises:
            OSError: The counts cannot be read, or the disk had no space for snapshots.
        """
        # Without space for snapshots, the file is empty.
        if not self._ring.exists() or not self._ring.stat().st_size:
            if not (totals := self.totals()).cells.any():  # no rows yet, so every window is known
                return History.none(time.time()), totals
            raise FileNotFoundError(errno.ENOENT, "it has no snapshots. Only '--window start' needs none")
        history = self._windows.history()
        return history, self.totals()

    def slots(self, name: str) -> Slots:
        """Return the counts of a window, slot by slot.

        Raises:
            OSError: The counts cannot be read, or the disk had no space for snapshots.
        """
        history, totals = self.history()
        return history.slots(name, totals)
