"""Our side of every comparison."""

from __future__ import annotations

import os
import tempfile

import numpy as np
from apps import FEATURES, our_app, our_baseline, plain_app
from bare import prediction_case, scrape_case, training_case
from bulk_case import bulk_case
from page_case import page_case
from profile_case import profile_case
from records_case import logger_records_case, our_records_case
from shared_case import in_memory_case, recycled_case, row_case, workers_case
from timing import Case, Figures, serve, summary, time_calls
from workload import Array, bodies, large_columns, rows, wide_columns
from wsgi import WSGIApp

from flask_boxkite import ModelMonitoringService

BATCH_ROWS = 1_000


def _service(features: int) -> ModelMonitoringService:
    return ModelMonitoringService(baseline=our_baseline(features), sink="none")


def _training(columns: list[tuple[str, Array]]) -> Case:
    path = os.path.join(tempfile.mkdtemp(prefix="benchmark-"), "histogram.prom")
    return training_case(lambda: ModelMonitoringService.export_text(features=columns, path=path))


def _training_of_a_frame() -> Case:
    """Return a case that makes a baseline of what whylogs profiles; nothing is written."""
    from frames import large_frame  # pandas, which other cases are to be without

    frame = large_frame()
    return training_case(lambda: ModelMonitoringService.export_text(features=frame, path=os.devnull))


def _drift_report() -> Case:
    """Return a case that does all of the work: a baseline of one frame, the counts of another, and the report."""
    from frames import compared_frames

    before, now = compared_frames()

    def report() -> None:
        baseline = ModelMonitoringService.export_text(features=before, path=os.devnull)
        service = ModelMonitoringService(baseline, sink="none")
        service.log_prediction(features=now)
        assert len(service.drift().to_dict()["variables"]) == before.shape[1]

    return training_case(report)


def _monitored(**settings: object) -> WSGIApp:
    return our_app(os.environ["BOXKITE_FLUENTD_ADDR"], **settings).wsgi_app


def _batch(*, as_lists: bool) -> Case:
    """Return a case that times a batch and answers in microseconds a row."""
    service = _service(FEATURES)
    batch = rows(FEATURES, BATCH_ROWS)
    features = batch.tolist() if as_lists else batch
    output = 1.0 / (1.0 + np.square(batch[:, 0]))
    item = {"features": features, "output": output.tolist() if as_lists else output}

    def run(calls: int) -> Figures:
        figures = summary(time_calls(lambda _: service.log_prediction(**item), lambda _: None, calls))
        return {name: microseconds / BATCH_ROWS for name, microseconds in figures.items()}

    run(5)
    return run


if __name__ == "__main__":
    serve(
        {
            "records": lambda: our_records_case(FEATURES),
            "records, fluent-logger": lambda: logger_records_case(FEATURES),
            "prediction 30": lambda: prediction_case(_service(30), 30),
            "prediction 100": lambda: prediction_case(_service(100), 100),
            "batch of arrays": lambda: _batch(as_lists=False),
            "batch of lists": lambda: _batch(as_lists=True),
            "bulk 1000": lambda: bulk_case(1_000),
            "bulk 100000": lambda: bulk_case(100_000),
            "row": row_case,
            "in memory": in_memory_case,
            "scrape of 8": workers_case,
            "scrape recycled": recycled_case,
            "baseline of 100": lambda: lambda calls: {"path": our_baseline(100)},
            "training": lambda: _training(large_columns()),
            "training, wide": lambda: _training(wide_columns()),
            "training of a frame": _training_of_a_frame,
            "drift report": _drift_report,
            "page: overview": lambda: page_case("overview"),
            "page: variable": lambda: page_case("variable"),
            "scrape": lambda: scrape_case(_service(100), 100),
            "profile": lambda: profile_case(plain_app().wsgi_app, _monitored(), bodies(FEATURES, by_name=True)),
        }
    )
