"""The same application with more and more of the monitoring, beside the plain one and the exporter's, in one process.

Only settings differ. Each variant leaves out a stage that the next one has, so that the difference of two variants is
what the stage costs inside a request: timed alone, the same functions find their code and data in the caches.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache

from apps import FEATURES, exporter_app, our_baseline, our_monitored, plain_app
from timing import Case, Figures
from workload import bodies
from wsgi import WSGIApp, call_app, environ_maker, timed_round

__all__ = ["stages_case"]

WARM_UP_CALLS = 300
DELIVERY_SECONDS = 5.0


class Dropping:
    """A sink that drops each record that it gets."""

    name = "dropping"

    def emit_batch(self, records: list[object]) -> None:
        """Do nothing."""


SETTINGS: dict[str, dict[str, object]] = {
    "disabled": {"BOXKITE_ENABLED": False},
    "captured": {"BOXKITE_BASELINE": None, "BOXKITE_SINK": "none"},
    "counted": {"BOXKITE_SINK": "none"},
    "packed": {"BOXKITE_SINK": Dropping()},
    "fluentd": {},
    "gzip": {"BOXKITE_FLUENTD_GZIP": True},
    "files": {"BOXKITE_SINK": "file"},
}
"""Settings of each variant of ours."""


def _nothing() -> None:
    """Wait for nothing: these leave no work to a thread."""


@cache
def _variants() -> dict[str, tuple[WSGIApp, Callable[[], object]]]:
    """Return the application of each variant, and the call that waits for what the variant left to a thread.

    They are made once, since the exporter registers its metrics with the process.
    """
    baseline = our_baseline()
    directory = {"BOXKITE_LOG_DIR": tempfile.mkdtemp(prefix="benchmark-")}
    variants: dict[str, tuple[WSGIApp, Callable[[], object]]] = {
        "plain": (plain_app().wsgi_app, _nothing),
        "exporter": (exporter_app().wsgi_app, _nothing),
    }
    for name, settings in SETTINGS.items():
        app, monitor = our_monitored(os.environ["BOXKITE_FLUENTD_ADDR"], baseline, **directory, **settings)
        settle = _nothing if name == "disabled" else lambda monitor=monitor: monitor.flush(DELIVERY_SECONDS)
        variants[name] = (app.wsgi_app, settle)
    return variants


def stages_case(*, by_name: bool) -> Case:
    """Return a case that answers with p50, p99 and CPU time of each variant, in microseconds a call."""
    make = environ_maker(bodies(FEATURES, by_name=by_name))
    variants = _variants()
    answers = {
        name: [call_app(app, make(number)) for number in range(WARM_UP_CALLS)] for name, (app, _) in variants.items()
    }
    for name, answer in answers.items():
        if answer != answers["plain"]:
            msg = f"The variant {name!r} answered {answer[0]!r}, expected {answers['plain'][0]!r}."
            raise RuntimeError(msg)
    rounds = 0

    def run(calls: int) -> Figures:
        nonlocal rounds
        rounds += 1
        order = list(variants.items())[:: -1 if rounds % 2 else 1]
        return {name: timed_round(app, make, calls, settle) for name, (app, settle) in order}

    return run
