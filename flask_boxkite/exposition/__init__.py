"""Counts written as Prometheus and OpenMetrics text, for scrapes and for other registries."""

from flask_boxkite.exposition.collector import ExpositionCollector
from flask_boxkite.exposition.exposition import Exposition
from flask_boxkite.exposition.model import ExportedModel

__all__ = ["ExportedModel", "Exposition", "ExpositionCollector"]
