"""Our metrics as a `prometheus_client` collector, for apps that serve a registry of their own."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from flask_boxkite.exposition.exposition import Exposition
from flask_boxkite.promtext.sample import parse_sample

__all__ = ["ExpositionCollector"]


class ExpositionCollector(Collector):
    """Hands the families of an exposition to a registry."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    def describe(self) -> list[Metric]:
        """Name the families, so that a registry refuses a second one of the same name."""
        return [
            Metric(family.name, family.help, family.type) for family, _ in self._exposition.families(openmetrics=False)
        ]

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand now."""
        for family, lines in self._exposition.families(openmetrics=False):
            metric = Metric(family.name, family.help, family.type)
            # Our text is read back: samples kept beside it would hold 10 MB per 100 features in every process, and the
            # registry's own rendering takes longer than this.
            for line in lines.decode().split("\n"):
                if line and (parsed := parse_sample(line)) is not None:
                    name, labels, value = parsed
                    metric.samples.append(Sample(name, labels, value))
            yield metric
