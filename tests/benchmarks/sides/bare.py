"""The cases around a service without Flask that our side and boxkite's have in common.

Both services are used through the calls that they share: ``log_prediction(request_body, features, output)`` and
``export_http()``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from timing import Case, Figures, summary, time_calls
from workload import bodies, rows, score

__all__ = ["prediction_case", "scrape_case", "training_case"]

WARM_UP_CALLS = 300

Log = Callable[[tuple[str, list[float], float]], object]


def _requests(features: int) -> list[tuple[str, list[float], float]]:
    """Return the body, features and output of each prediction to log."""
    texts = [body.decode() for body in bodies(features, by_name=False)]
    return [(text, row, score(row[0])) for text, row in zip(texts, rows(features).tolist(), strict=True)]


def _log_with(service: Any) -> Log:
    """Return the call that logs one prediction, the same for both services."""
    log_prediction = service.log_prediction
    return lambda item: log_prediction(request_body=item[0], features=item[1], output=item[2])


def prediction_case(service: Any, features: int) -> Case:
    """Return a case that times ``log_prediction`` of one row."""
    requests = _requests(features)
    log = _log_with(service)

    def run(calls: int) -> Figures:
        return summary(time_calls(log, lambda number: requests[number % len(requests)], calls))

    run(WARM_UP_CALLS)
    return run


def scrape_case(service: Any, features: int) -> Case:
    """Return a case that times ``export_http``; a prediction before each scrape keeps the counts live."""
    requests = _requests(features)
    log = _log_with(service)
    for number in range(WARM_UP_CALLS):
        log(requests[number % len(requests)])

    def run(calls: int) -> Figures:
        durations = time_calls(
            lambda _: service.export_http(), lambda number: log(requests[number % len(requests)]), calls
        )
        return {**summary(durations), "bytes": len(service.export_http()[0])}

    return run


def training_case(export: Callable[[], object]) -> Case:
    """Return a case that times *export* and answers in seconds."""

    def run(calls: int) -> Figures:
        start = time.perf_counter()
        for _ in range(calls):
            export()
        return {"seconds": (time.perf_counter() - start) / calls}

    return run
