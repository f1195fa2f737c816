"""The answer to a scrape: our families of all models, and the app's own metrics from `prometheus_client`.

All numbers cover all processes of the server, from one reading of their counts. So models and baselines of other
processes are included: during a reload, a baseline may be new in this process and old in others.

Concurrent scrapes share one rendering if it began after they arrived: fifty at once cost two renderings, and each
sees every prediction answered before it.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder

from flask_boxkite.delivery import RecorderCounts, Recorders
from flask_boxkite.exposition.gauges import LiveGauges
from flask_boxkite.exposition.model import ExportedModel, Gauges, ModelFamilies
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.store import Store
from flask_boxkite.live.totals import Totals
from flask_boxkite.notify.counts import NOTIFICATIONS, results_of
from flask_boxkite.promtext.family import Family, label_text

__all__ = ["Exposition"]

logger = logging.getLogger("flask_boxkite")

LOG_RECORDS = Family("boxkite_log_records", "counter", "Records by outcome: accepted from requests, delivered.")
LOG_DROPPED = Family("boxkite_log_dropped", "counter", "Records that were lost, by reason.")
LOG_QUEUE_RECORDS = Family("boxkite_log_queue_records", "gauge", "Records that wait to be delivered.")
LOG_QUEUE_BYTES = Family("boxkite_log_queue_bytes", "gauge", "Bytes of records that wait in memory.")
LOG_SPOOL_BYTES = Family("boxkite_log_spool_bytes", "gauge", "Bytes of the disk that the spool takes.")
LOG_UNSPOOLED = Family("boxkite_log_unspooled", "counter", "Records that the spool could not take, kept in memory.")
LOG_RETRIES = Family("boxkite_log_retries", "counter", "Batches that were sent again.")
LOG_BACKOFF = Family(
    "boxkite_log_backoff_seconds", "gauge", "Pause before the next attempt, the longest of all processes; 0: none."
)
LOG_LAST_DELIVERY = Family(
    "boxkite_log_last_delivery_timestamp_seconds", "gauge", "When the sink last took something; 0: never."
)
STATE_FILES = Family(
    "boxkite_state_files", "counter", "State files by what became of them; unwritable: failed attempts to make one."
)
NOTIFIED = {
    "delivered": Family("boxkite_notifications", "counter", "Messages about changes of verdict that were delivered."),
    "failed": Family("boxkite_notifications_failed", "counter", "Attempts at a message that failed; each is repeated."),
    "dropped": Family("boxkite_notifications_dropped", "counter", "Changes that could not be told within a day."),
}

Rendering = list[tuple[Family, bytes]]


class _Shared:
    """Lets callers that wait for the same work share its result."""

    def __init__(self, work: Callable[[], Rendering]) -> None:
        self._work = work
        self._ticket = itertools.count()
        self._lock = threading.Lock()
        self._began = -1
        self._result: Rendering = []

    def get(self) -> Rendering:
        """Return a result of work that began after this call."""
        arrived = next(self._ticket)
        with self._lock:
            if self._began < arrived:
                began = next(self._ticket)
                self._result = self._work()
                self._began = began  # only now: if the work fails, waiting callers must not get an old result
            return self._result


class Exposition:
    """Renders the metrics of some models and sinks.

    Args:
        models: Returns the models; asked at each scrape, since models without a baseline come with their first use.
        store: Store of all counts; None if nothing is counted.
        recorders: Recorders of this process, for the names of its sinks; None if nothing is recorded.
        alpha: False-alarm probability of one check of a model that only other processes have.
        names: ``labels`` or ``boxkite``.
        with_baseline: Whether training counts are exported.
        with_bins: Whether histograms and categories are exported, or only groups.
        registry: Registry of the app's own metrics, unless the client's multi-process mode is on.
        outcomes: Returns the counts of a model's outcomes; None for a model that has none here.
        notifies: Whether messages about changes of verdict are sent.
    """

    def __init__(
        self,
        models: Callable[[], Sequence[ExportedModel]],
        store: Store | None,
        *,
        recorders: Recorders | None = None,
        alpha: float,
        names: str = "labels",
        with_baseline: bool = True,
        with_bins: bool = True,
        registry: CollectorRegistry = REGISTRY,
        outcomes: Callable[[SectionKey], NDArray[np.int64] | None] = lambda key: None,
        notifies: bool = False,
    ) -> None:
        self._models = models
        self._outcomes = outcomes
        self._store = store
        self._recorders = recorders or Recorders(())
        self._alpha = alpha
        self._names = names
        self._registry = registry
        self._notifies = notifies
        self._options: dict[str, Any] = {"with_baseline": with_baseline, "with_bins": with_bins}

        self._families: dict[tuple[SectionKey, bool], ModelFamilies] = {}
        self._gauges: dict[SectionKey, LiveGauges] = {}
        self._foreign: dict[SectionKey, ExportedModel | None] = {}
        # A fork may happen while a scrape holds the lock, so each process has its own lock.
        self._shared: dict[tuple[int, bool], _Shared] = {}

    def export(
        self, accept: str | None, names: Collection[str] | None = None, *, with_app: bool = True
    ) -> tuple[bytes, str]:
        """Return the text in the format that an Accept header asks for, and its content type.

        Args:
            accept: The header; None means Prometheus text.
            names: Names of the families or samples to return; None for all.
            with_app: Whether the text includes the app's own metrics from `prometheus_client`.
        """
        encode, content_type = _chosen(accept or "")
        openmetrics = content_type.startswith("application/openmetrics-text")
        rendering = self.families(openmetrics=openmetrics)
        data = b"".join(self._selected(rendering, names, openmetrics=openmetrics))
        if with_app:
            own = frozenset(family.name for family, _ in rendering)
            data += encode(_AppMetrics(_app_registry(self._registry, os.environ), own, names)).removesuffix(b"# EOF\n")
        return data + b"# EOF\n" * openmetrics, content_type

    def families(self, *, openmetrics: bool) -> Rendering:
        """Return all our families with their sample lines; the lines of one family stand together."""
        key = (os.getpid(), openmetrics)
        shared = self._shared.get(key) or self._shared.setdefault(key, _Shared(lambda: self._render(openmetrics)))
        return shared.get()

    def _render(self, openmetrics: bool) -> Rendering:
        if self._store is None:
            return []

        self._store.tidy()
        self._recorders.adopt_orphans()
        reading = self._store.read()
        lines: dict[str, list[bytes]] = {}
        families: dict[str, Family] = {}
        for family, text in itertools.chain(
            self._model_parts(reading, openmetrics),
            self._sink_parts(reading),
            _notification_parts(reading) if self._notifies else (),
            _state_parts(reading),
        ):
            families.setdefault(family.name, family)
            lines.setdefault(family.name, []).append(text)
        return [(family, text) for name, family in families.items() if (text := b"".join(lines[name]))]

    def _model_parts(self, reading: Reading, openmetrics: bool) -> Iterator[tuple[Family, bytes]]:
        own = {model.key: model for model in self._models()}
        for key, model in (own | self._models_elsewhere(reading, own.keys())).items():
            families = self._families.get((key, openmetrics))
            if families is None:
                # The ancestor's names can express one baseline only.
                options = {**self._options, "names": self._names if key in own else "labels"}
                families = self._families[key, openmetrics] = ModelFamilies(model, openmetrics=openmetrics, **options)
            totals = reading.totals(model.section)
            yield from families.render(totals, self._gauges_of(key, model, totals), self._outcomes(key))

    def _gauges_of(self, key: SectionKey, model: ExportedModel, totals: Totals) -> Gauges:
        """Return the gauges of the model's drift."""
        assert self._store is not None  # without a store there is no reading
        if key not in self._gauges:
            self._gauges[key] = LiveGauges(model)
        return self._gauges[key].of(self._store.windows(model.section), totals)

    def _models_elsewhere(self, reading: Reading, own: Collection[SectionKey]) -> dict[SectionKey, ExportedModel]:
        """Return the models, by key, that only other processes have."""
        models = {}
        for key in sorted(reading.current.difference(own), key=str):
            if key.is_model:
                if key not in self._foreign:
                    self._foreign[key] = self._described(key, reading.description(key))
                if (model := self._foreign[key]) is not None:
                    models[key] = model
        return models

    def _described(self, key: SectionKey, description: bytes) -> ExportedModel | None:
        try:
            return ExportedModel.of_section(key, description, self._alpha)
        except (ValueError, zlib.error):
            logger.warning("The counts of %s cannot be shown: their baseline cannot be read.", key, exc_info=True)
            return None

    def _sink_parts(self, reading: Reading) -> Iterator[tuple[Family, bytes]]:
        """Yield the counts of records in all processes; our own sinks have theirs from the start."""
        own = {recorder.sink.name: recorder for recorder in self._recorders}
        for name in sorted({key.name for key in reading.current if key.is_sink}.union(own)):
            counts = RecorderCounts.of(reading.sink_cells(name).tolist())
            yield from _sink_lines(name, counts, own[name].spool_bytes() if name in own else 0)

    @staticmethod
    def _selected(rendering: Rendering, names: Collection[str] | None, *, openmetrics: bool) -> Iterator[bytes]:
        """Yield the wanted families, in pieces."""
        wanted = {name.encode() for name in names or ()}
        for family, lines in rendering:
            if names is not None and family.name not in names and family.sample_name not in names:
                # Only "\n" ends a line here: str.splitlines() would also split at characters that names may contain.
                chosen = [line for line in lines.split(b"\n") if line and _name_of(line) in wanted]
                lines = b"".join(line + b"\n" for line in chosen)
            if lines:
                yield family.header(openmetrics=openmetrics).encode()
                yield lines


def _name_of(line: bytes) -> bytes:
    return line.partition(b"{")[0].partition(b" ")[0]


def _sink_lines(sink: str, counts: RecorderCounts, spool_bytes: int) -> Iterator[tuple[Family, bytes]]:
    for outcome, value in (("accepted", counts.accepted), ("delivered", counts.delivered)):
        yield LOG_RECORDS, f"{LOG_RECORDS.sample_name}{{{label_text(sink=sink, outcome=outcome)}}} {value}\n".encode()
    for reason, value in counts.dropped.items():
        yield LOG_DROPPED, f"{LOG_DROPPED.sample_name}{{{label_text(sink=sink, reason=reason)}}} {value}\n".encode()

    for family, number in (
        (LOG_QUEUE_RECORDS, counts.waiting),
        (LOG_QUEUE_BYTES, counts.waiting_bytes),
        (LOG_SPOOL_BYTES, spool_bytes),
        (LOG_UNSPOOLED, counts.unspooled),
        (LOG_RETRIES, counts.retries),
        (LOG_BACKOFF, counts.backoff),
        (LOG_LAST_DELIVERY, counts.last_delivery),
    ):
        yield family, f"{family.sample_name}{{{label_text(sink=sink)}}} {number}\n".encode()


def _notification_parts(reading: Reading) -> Iterator[tuple[Family, bytes]]:
    for channel, result, value in results_of(reading.totals(NOTIFICATIONS).cells.tolist()):
        family = NOTIFIED[result]
        yield family, f"{family.sample_name}{{{label_text(channel=channel)}}} {value}\n".encode()


def _state_parts(reading: Reading) -> Iterator[tuple[Family, bytes]]:
    lines = [
        f"{STATE_FILES.sample_name}{{{label_text(state=state)}}} {value}\n" for state, value in reading.files.items()
    ]
    yield STATE_FILES, "".join(lines).encode()


def _chosen(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Return the encoder and content type for an Accept header, from the two formats that we write ourselves."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the version cannot be read
        return choose_encoder("")
    if content_type.startswith("application/openmetrics-text") and "version=1.0.0;" not in content_type:
        return choose_encoder("application/openmetrics-text;version=1.0.0")
    return encode, content_type


class _AppMetrics(CollectorRegistry):
    """The app's own metrics, without ours, as a registry that encoders can read."""

    def __init__(self, registry: CollectorRegistry, own: Collection[str], names: Collection[str] | None) -> None:
        super().__init__()
        self._registry = registry
        self._own = own
        self._wanted = names

    def collect(self) -> Iterable[Metric]:
        """Yield the app's families, restricted to the wanted names."""
        for metric in self._registry.collect():
            if metric.name in self._own:
                continue
            if self._wanted is None or metric.name in self._wanted:
                yield metric
            elif samples := [sample for sample in metric.samples if sample.name in self._wanted]:
                restricted = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                restricted.samples = samples
                yield restricted


def _app_registry(registry: CollectorRegistry, environ: Mapping[str, str]) -> CollectorRegistry:
    """Return the app's registry, or the registry of the client's multi-process mode if it is on."""
    if "PROMETHEUS_MULTIPROC_DIR" not in environ and "prometheus_multiproc_dir" not in environ:
        return registry
    of_processes = CollectorRegistry()
    from prometheus_client.multiprocess import MultiProcessCollector

    MultiProcessCollector(of_processes)  # type: ignore[no-untyped-call]
    return of_processes
