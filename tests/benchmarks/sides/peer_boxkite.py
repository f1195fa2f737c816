"""boxkite's side of every comparison; runs in boxkite's own environment and takes orders on standard input."""

from __future__ import annotations

import os

from apps import FEATURES, boxkite_app, boxkite_service, plain_app
from bare import prediction_case, scrape_case, training_case
from boxkite.monitoring.exporter.type import LogExporter
from boxkite.monitoring.service import ModelMonitoringService
from profile_case import profile_case
from timing import Case, serve
from workload import Array, bodies, large_columns, wide_columns
from wsgi import added_cost_case


class NoExporter(LogExporter):
    """Throw every record away."""

    def emit(self, prediction: object) -> None:
        """Do nothing."""


def _training(columns: list[tuple[str, Array]]) -> Case:
    return training_case(lambda: ModelMonitoringService.export_text(features=columns, path=os.devnull))


def _added_cost(*, by_name: bool) -> Case:
    return added_cost_case(plain_app().wsgi_app, boxkite_app().wsgi_app, bodies(FEATURES, by_name=by_name))


def _profile() -> Case:
    return profile_case(plain_app().wsgi_app, boxkite_app().wsgi_app, bodies(FEATURES, by_name=True))


if __name__ == "__main__":
    serve(
        {
            "request by name": lambda: _added_cost(by_name=True),
            "request by position": lambda: _added_cost(by_name=False),
            "prediction 30": lambda: prediction_case(boxkite_service(30, NoExporter()), 30),
            "prediction 100": lambda: prediction_case(boxkite_service(100, NoExporter()), 100),
            "training": lambda: _training(large_columns()),
            "training, wide": lambda: _training(wide_columns()),
            "scrape": lambda: scrape_case(boxkite_service(100, NoExporter()), 100),
            "profile": _profile,
        }
    )
