"""One answer to a scrape: our families of all models, and what the app itself registered with `prometheus_client`.

Concurrent scrapes share one rendering, as long as it began after they arrived: so fifty at once cost two, and each
sees every prediction that was answered before it.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from flask_boxkite.exposition.model import ExportedModel, ModelFamilies
from flask_boxkite.families import Family, label_text
from flask_boxkite.naming import DROP_REASONS
from flask_boxkite.recorder import Recorder

__all__ = ["Exposition"]

LOG_RECORDS = Family("boxkite_log_records", "counter", "Records by outcome: accepted from requests, delivered.")
LOG_DROPPED = Family("boxkite_log_dropped", "counter", "Records that were lost, by reason.")
LOG_QUEUE_RECORDS = Family("boxkite_log_queue_records", "gauge", "Records that wait to be delivered.")
LOG_QUEUE_BYTES = Family("boxkite_log_queue_bytes", "gauge", "Bytes of records that wait in memory.")

Rendering = list[tuple[Family, str]]


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
                self._began = began  # not before: those who wait must not get an old result if the work fails
            return self._result


class Exposition:
    """Renders the metrics of some models and of a recorder.

    Args:
        models: Returns the models; asked at each scrape, since models without a baseline come with their first use.
        recorder: Where records wait; None if nothing is recorded.
        names: ``labels`` or ``boxkite``.
        with_baseline: Whether training counts are exported.
        with_bins: Whether histograms and categories are exported, or only groups.
    """

    def __init__(
        self,
        models: Callable[[], Sequence[ExportedModel]],
        recorder: Recorder | None,
        *,
        names: str = "labels",
        with_baseline: bool = True,
        with_bins: bool = True,
    ) -> None:
        self._models = models
        self._recorder = recorder
        self._options: dict[str, Any] = {"names": names, "with_baseline": with_baseline, "with_bins": with_bins}
        self._families: dict[tuple[str, bool], ModelFamilies] = {}
        # A fork may happen while a scrape holds the lock, so each process has its own.
        self._shared: dict[tuple[int, bool], _Shared] = {}

    def export(
        self, accept: str | None, names: Collection[str] | None = None, *, with_app: bool = True
    ) -> tuple[bytes, str]:
        """Return the text in the format that an Accept header asks for, and its content type.

        Args:
            accept: The header; None means Prometheus text.
            names: If given, only families or samples of these names.
            with_app: Whether what the app registered with `prometheus_client` is in it.
        """
        encode, content_type = _chosen(accept or "")
        openmetrics = content_type.startswith("application/openmetrics-text")
        rendering = self.families(openmetrics=openmetrics)
        data = "".join(self._selected(rendering, names, openmetrics=openmetrics)).encode("utf-8")
        if with_app:
            own = frozenset(family.name for family, _ in rendering)
            data += encode(_AppMetrics(own, names)).removesuffix(b"# EOF\n")
        return data + b"# EOF\n" * openmetrics, content_type

    def families(self, *, openmetrics: bool) -> Rendering:
        """Return all our families with their sample lines; those of one family stand together."""
        key = (os.getpid(), openmetrics)
        shared = self._shared.get(key) or self._shared.setdefault(key, _Shared(lambda: self._render(openmetrics)))
        return shared.get()

    def _render(self, openmetrics: bool) -> Rendering:
        lines: dict[str, list[str]] = {}
        families: dict[str, Family] = {}
        for family, text in itertools.chain(self._model_parts(openmetrics), self._recorder_parts()):
            families.setdefault(family.name, family)
            lines.setdefault(family.name, []).append(text)
        return [(family, text) for name, family in families.items() if (text := "".join(lines[name]))]

    def _model_parts(self, openmetrics: bool) -> Iterator[tuple[Family, str]]:
        for model in self._models():
            key = (model.name, openmetrics)
            families = self._families.get(key)
            if families is None:
                families = self._families[key] = ModelFamilies(model, openmetrics=openmetrics, **self._options)
            yield from families.render()

    def _recorder_parts(self) -> Iterator[tuple[Family, str]]:
        if self._recorder is None:
            return
        counts, sink = self._recorder.counts(), self._recorder.sink_name
        for outcome, value in (("accepted", counts.accepted), ("delivered", counts.delivered)):
            yield LOG_RECORDS, f"{LOG_RECORDS.sample_name}{{{label_text(sink=sink, outcome=outcome)}}} {value}\n"
        for reason in DROP_REASONS:
            labels = label_text(sink=sink, reason=reason)
            yield LOG_DROPPED, f"{LOG_DROPPED.sample_name}{{{labels}}} {counts.dropped[reason]}\n"
        for family, value in ((LOG_QUEUE_RECORDS, counts.waiting), (LOG_QUEUE_BYTES, counts.waiting_bytes)):
            yield family, f"{family.name}{{{label_text(sink=sink)}}} {value}\n"

    @staticmethod
    def _selected(rendering: Rendering, names: Collection[str] | None, *, openmetrics: bool) -> Iterator[str]:
        for family, text in rendering:
            if names is None or family.name in names or family.sample_name in names:
                yield family.header(openmetrics=openmetrics) + text
            elif kept := "".join(
                # Only "\n" ends a line here: str.splitlines() would also cut at characters that names may hold.
                f"{line}\n"
                for line in text.split("\n")
                if line and line.partition("{")[0].partition(" ")[0] in names
            ):
                yield family.header(openmetrics=openmetrics) + kept


def _chosen(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Return the encoder and content type for an Accept header, of the two formats that we write ourselves."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # no version that can be read
        return choose_encoder("")
    if content_type.startswith("application/openmetrics-text") and "version=1.0.0;" not in content_type:
        return choose_encoder("application/openmetrics-text;version=1.0.0")
    return encode, content_type


class _AppMetrics(CollectorRegistry):
    """What the app registered itself, less what is ours, as a registry that encoders can read."""

    def __init__(self, own: Collection[str], names: Collection[str] | None) -> None:
        super().__init__()
        self._own = own
        self._wanted = names

    def collect(self) -> Iterable[Metric]:
        """Yield the app's families, restricted to the wanted names."""
        for metric in _app_registry(os.environ).collect():
            if metric.name in self._own:
                continue
            if self._wanted is None or metric.name in self._wanted:
                yield metric
            elif samples := [sample for sample in metric.samples if sample.name in self._wanted]:
                restricted = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                restricted.samples = samples
                yield restricted


def _app_registry(environ: Mapping[str, str]) -> CollectorRegistry:
    """Return the default registry, or that of the client's multi-process mode where it is on."""
    if "PROMETHEUS_MULTIPROC_DIR" not in environ and "prometheus_multiproc_dir" not in environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
