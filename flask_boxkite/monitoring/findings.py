"""Problems of a deployment, and their remedies, found from settings and counts at no cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from flask_boxkite.config import Settings
from flask_boxkite.delivery import RecorderCounts
from flask_boxkite.drift.wording import percent
from flask_boxkite.live.windows import Shortage
from flask_boxkite.naming import GAPS
from flask_boxkite.system.locks import can_lock

__all__ = ["Deployment", "Finding", "InvalidShare", "Level", "bytes_text"]

Level = Literal["problem", "hint"]

_SHOWN = 5
"""Most variables that a finding names."""

_LOSSES = {
    "queue_full": "Raise 'BOXKITE_QUEUE_BYTES', or set 'BOXKITE_SPOOL_DIR', so that they wait on disk.",
    "spool_full": "Raise 'BOXKITE_SPOOL_BYTES', or find out why the sink does not take them.",
    "too_large": "Lower 'BOXKITE_MAX_BODY_BYTES', or raise 'BOXKITE_QUEUE_BYTES'.",
    "unencodable": "The log names the value that could not be written.",
    "refused": "The log gives the reason of the sink.",
    "damaged": "Check the disk of 'BOXKITE_SPOOL_DIR'.",
    "shutdown": "Raise 'BOXKITE_SHUTDOWN_TIMEOUT', or set 'BOXKITE_SPOOL_DIR'.",
    "process_died": "Set 'BOXKITE_SPOOL_DIR': records on disk outlive a process that is killed.",
}
"""Remedy for lost records, by reason of the loss."""

_SEND = "Send values as in training; name texts that mean a missing value in 'missing_texts' of export_text()."
"""Remedy for values that cannot be read."""

_NOT_CAPTURED = {
    "features": "Features were not found",
    "output": "The output was not found",
    "internal": "Capturing failed",
}
"""Text about capture errors, by reason of the error."""


class Finding(NamedTuple):
    """One problem or hint.

    Attributes:
        level: ``problem``, which needs attention, or ``hint``.
        what: The fact, as a sentence.
        remedy: The remedy, as a sentence.
    """

    level: Level
    what: str
    remedy: str


class InvalidShare(NamedTuple):
    """A variable of which some values could not be read.

    Attributes:
        name: Name of the variable.
        share: Their share of its live rows.
        examples: Examples as a phrase, quoted or by their form; empty if they are unknown.
        expected: Kind of values that training had.
    """

    name: str
    share: float
    examples: str
    expected: str


@dataclass(frozen=True)
class Deployment:
    """The facts about a deployment from which its findings follow.

    Attributes:
        settings: Settings of the app.
        models: Whether each model has a baseline, by name.
        sinks: Counts of accepted, delivered and lost records, by sink.
        capture_errors: Requests whose features or output were not found, by reason.
        is_open: Whether everybody may see the drift page.
        alone: Level of the finding that each process counts for itself. ``problem``: there are several processes.
            ``hint``: there may be several. None: they count together, or there is one.
        shortage: Disk space that time windows lack; None if they lack none.
        notes: Last note about a request that was not captured, by kind.
        ambiguous: Level of the finding that only the order of apps tells the counts of this app from another app's.
            ``problem``: other processes have to find them. ``hint``: they may have to. None: the counts are distinct.
        has_actual: Whether a baseline has actual values, so that outcomes are compared with them.
        unreadable: Names of variables of which no live value could be read, by model.
        invalid: Variables of which a share of the live values could not be read, by model.
    """

    settings: Settings
    models: Mapping[str, bool]
    sinks: Mapping[str, RecorderCounts] = field(default_factory=dict)
    capture_errors: Mapping[str, int] = field(default_factory=dict)
    is_open: bool = False
    alone: Level | None = None
    shortage: Shortage | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    ambiguous: Level | None = None
    has_actual: bool = False
    unreadable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    invalid: Mapping[str, Sequence[InvalidShare]] = field(default_factory=dict)

    def findings(self) -> list[Finding]:
        """Return all findings, problems first."""
        items = [
            *self._of_models(),
            *self._of_identity(),
            *self._of_counts(),
            *self._of_losses(),
            *self._of_settings(),
        ]
        return sorted(items, key=lambda finding: finding.level != "problem")

    def _of_models(self) -> Iterator[Finding]:
        for name, has_baseline in self.models.items():
            if not has_baseline:
                remedy = "Write one with ModelMonitoringService.export_text() and set 'BOXKITE_BASELINE' to its path."
                yield Finding("problem", f"Model {name!r} has no baseline, so nothing can drift.", remedy)

        for name, variables in self.unreadable.items():
            what = f"Model {name!r}: no live value of {', '.join(map(repr, variables[:_SHOWN]))} can be read"
            remedy = "Is it the baseline of another model? If not, send the type of values that training had."
            examples = _examples(
                (item for item in self.invalid.get(name, ()) if item.name in variables), len(variables)
            )
            seen = f": {examples}." if examples else ", such as texts where training had numbers."
            yield Finding("problem", f"{what}{seen}", remedy)

        for name, items in self.invalid.items():
            some = [item for item in items if item.name not in self.unreadable.get(name, ())]
            if some:
                shares = ", ".join(f"{percent(item.share)} of the values of {item.name!r}" for item in some[:_SHOWN])
                examples = _examples(some, len(some))
                seen = f"They are: {examples}. " if examples else ""
                yield Finding(
                    "hint", f"Model {name!r}: {shares} cannot be read, and count as invalid.", f"{seen}{_SEND}"
                )

        for reason, what in _NOT_CAPTURED.items():
            if count := self.capture_errors.get(reason, 0):
                where = f"in {count:,} request{'s' * (count != 1)}"
                remedy = self.notes.get(reason) or "The log says what was received."
                yield Finding("problem", f"{what} {where}.", remedy)

        for gap, what in zip(GAPS, ("Features", "Outputs"), strict=True):
            if gap in self.notes:
                yield Finding("problem", f"{what} come under other names than in training.", self.notes[gap])

    def _of_identity(self) -> Iterator[Finding]:
        if self.ambiguous is not None:
            what = (
                "Another app of this process has the same name, and monitors the same model with the same baseline: "
                "only the order in which a process creates the apps tells their counts apart."
            )
            yield Finding(self.ambiguous, what, "Give each app a name: Boxkite(app, name=...).")

    def _of_counts(self) -> Iterator[Finding]:
        if self.alone is not None:
            if not can_lock:
                remedy = "Run one process, with threads: this system lacks the file locks that sharing counts needs."
            elif self.settings.state_dir is not None:
                remedy = "See the log: 'BOXKITE_STATE_DIR' must be on a local disk with free space, and belong to you."
            else:
                remedy = "Set 'BOXKITE_STATE_DIR' to a directory on a local disk that all processes can write."
            what = "Each process counts in its own memory, so metrics and page show only the process that answers."
            yield Finding(self.alone, what, remedy)

        if (shortage := self.shortage) is not None:
            space = f"need {bytes_text(shortage.needed)}, and {bytes_text(shortage.free)} are free"
            what = f"The last 5 minutes, hour and day stay empty: their snapshots {space}."
            if self.settings.state_dir is not None:
                remedy = "Free space in 'BOXKITE_STATE_DIR'."
            else:
                disk = "set 'BOXKITE_STATE_DIR' to a local disk with space"
                remedy = f"Give '/dev/shm' more space (Docker: --shm-size), or {disk}."
            yield Finding("problem", what, remedy)

    def _of_losses(self) -> Iterator[Finding]:
        for name, counts in self.sinks.items():
            for reason, count in counts.dropped.items():
                if count:
                    yield Finding("problem", f"Sink {name!r} has lost {count:,} records ({reason}).", _LOSSES[reason])

    def _of_settings(self) -> Iterator[Finding]:
        settings = self.settings
        if self.is_open:
            remedy = "Set 'BOXKITE_METRICS_TOKEN', or give Boxkite a 'dashboard_guard'."
            yield Finding("hint", "Everybody who reaches the server can see the drift page.", remedy)
        if not settings.sink:
            remedy = "Set 'BOXKITE_FLUENTD_ADDR', or 'BOXKITE_LOG_DIR' for files."
            yield Finding("hint", "Predictions are counted, but not recorded.", remedy)
        elif settings.spool_dir is None and settings.sink != ("file",):
            remedy = "Set 'BOXKITE_SPOOL_DIR' to a directory on a local disk."
            yield Finding("hint", "Records wait in memory, and are lost if the process is killed.", remedy)

        if settings.sink and settings.sample_rate < 1:
            what = f"Only {settings.sample_rate:.3g} of all predictions are recorded."
            yield Finding("hint", what, "Set 'BOXKITE_SAMPLE_RATE' to 1.0 to record all.")
        if not settings.export_bins:
            what = "Prometheus receives groups only: all verdicts, but no Kolmogorov-Smirnov and no histograms."
            remedy = "Set 'BOXKITE_EXPORT_BINS' to true: a continuous feature then has some 140 series, instead of 35."
            yield Finding("hint", what, remedy)
        if self.has_actual and settings.id_key is None:
            what = "The ids of predictions are known to this server only, and until it ends; outcomes come later."
            yield Finding("hint", what, "Set 'BOXKITE_ID_KEY' to a secret text, the same for all replicas.")
        if settings.metrics_path is None:
            yield Finding(
                "hint", "There is no route for Prometheus.", "Set 'BOXKITE_METRICS_PATH', or serve export_http()."
            )


def _examples(items: Iterable[InvalidShare], variables: int) -> str:
    """Describe examples of the values of variables, of which the sentence names so many; empty if none are known."""
    known = [item for item in items if item.examples]
    texts = [f"{item.examples}, not {item.expected}" for item in known]
    if variables > 1:
        texts = [f"{item.name!r} {text}" for item, text in zip(known, texts, strict=True)]
    return "; ".join(texts[:_SHOWN])


def bytes_text(number: float) -> str:
    """Write a number of bytes with a suitable unit."""
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:,.0f} GiB"
