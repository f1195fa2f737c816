"""An app that is gone takes everything with it: objects, descriptors, directories, threads."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask

from flask_boxkite import Baseline, Boxkite
from tests.peers import wait_for
from tests.web.twins import Samples

APPS = int(os.environ.get("BOXKITE_TEST_APPS", "60"))
"""Number of apps that are made and dropped for each shape of a factory."""

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}

Factory = Callable[[], Flask]


class Records:
    """A sink of one app, which knows when it was closed."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.is_closed = False

    def emit_batch(self, records: list[dict[str, Any]]) -> None:
        """Keep them."""
        self.taken += records

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


def directories_of_counts() -> set[Path]:
    """Return the directories in which this process counts, as long as it is a server by itself."""
    bases = (Path("/dev/shm"), Path(tempfile.gettempdir()))
    return {path for base in bases for path in base.glob(f"boxkite-{os.geteuid()}-*-{os.getpid()}-*")}


@pytest.fixture
def left() -> Callable[[], set[Path]]:
    """Return a function that returns the directories of counts that apps have left since."""
    before = directories_of_counts()
    return lambda: directories_of_counts() - before


def plain_app(baseline: Baseline, **config: Any) -> Flask:
    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline, **config)
    return app


def all_in_the_factory(baseline: Baseline) -> Factory:
    """Have a monitor for each app."""
    return lambda: app_with_view(baseline, Boxkite)


def views_in_the_factory(baseline: Baseline) -> Factory:
    """Have one monitor, and views that are defined with each app, which they refer to."""
    monitor = Boxkite()

    def register(app: Flask) -> Boxkite:
        monitor.init_app(app)
        return monitor

    return lambda: app_with_view(baseline, register)


def app_with_view(baseline: Baseline, register: Callable[[Flask], Boxkite]) -> Flask:
    """Return an app with a view of its own, which refers to it."""
    app = plain_app(baseline)
    monitor = register(app)

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        return {"score": len(app.name)}

    return app


def one_blueprint(baseline: Baseline) -> Factory:
    """Have one monitor and one blueprint for all apps."""
    monitor = Boxkite()
    blueprint = Blueprint("scoring", "scoring")
    blueprint.post("/score")(monitor.predict(lambda: {"score": 0.5}))

    def create_app() -> Flask:
        app = plain_app(baseline)
        monitor.init_app(app)
        app.register_blueprint(blueprint)
        return app

    return create_app


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def objects() -> int:
    """Return how many objects there are, of those that the garbage collector knows."""
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.parametrize("shape", [all_in_the_factory, views_in_the_factory, one_blueprint])
def test_apps_that_are_made_and_dropped_leave_nothing(
    left: Callable[[], set[Path]], baseline: Baseline, shape: Callable[[Baseline], Factory]
) -> None:
    """Each begins with counts of its own, though all look alike."""
    create_app = shape(baseline)

    def serve() -> weakref.ref[Flask]:
        app = create_app()
        client = app.test_client()
        for _ in range(2):
            client.post("/score", json=ANN)
        assert Samples(client.get("/metrics").text).statuses() == {"ok": 2}
        return weakref.ref(app)

    for _ in range(3):  # what is made once, such as patterns and caches
        serve()
    before = objects(), descriptors()
    apps = [serve() for _ in range(APPS)]
    gc.collect()

    assert sum(app() is not None for app in apps) == 0
    apps.clear()
    grown = objects() - before[0]
    assert grown < APPS  # less than one for each
    assert descriptors() <= before[1]  # what other tests left may go too
    assert left() == set()


def recorders() -> list[threading.Thread]:
    """Return the threads that deliver records."""
    return [thread for thread in threading.enumerate() if thread.name == "boxkite-recorder"]


@pytest.fixture
def no_recorders() -> None:
    """Wait for threads of apps that other tests have dropped."""
    gc.collect()
    wait_for(lambda: not recorders(), what="the end of other recorders")


@pytest.mark.parametrize("is_spooling", [False, True], ids=["memory", "spool"])
def test_the_thread_delivers_what_waits_and_ends(
    tmp_path: Path, left: Callable[[], set[Path]], baseline: Baseline, no_recorders: None, is_spooling: bool
) -> None:
    before = descriptors()
    config: dict[str, Any] = {"BOXKITE_SPOOL_DIR": str(tmp_path / "spool")} if is_spooling else {}
    sinks = [Records() for _ in range(5)]
    for sink in sinks:
        app = plain_app(baseline, BOXKITE_SINK=sink, **config)
        monitor = Boxkite(app)
        app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
        assert app.test_client().post("/score", json=ANN).status_code == 200
    assert recorders()
    del app, monitor
    gc.collect()
    wait_for(lambda: not recorders(), what="the end of the recorders")
    assert sum(len(sink.taken) for sink in sinks) == 5
    assert all(sink.is_closed for sink in sinks)
    gc.collect()
    assert descriptors() <= before
    assert left() == set()
    assert [path.name for path in tmp_path.iterdir()] == ["spool"] * is_spooling


def test_a_sink_that_two_apps_use_is_closed_with_the_second(baseline: Baseline, no_recorders: None) -> None:
    sink = Records()
    apps = [plain_app(baseline, BOXKITE_SINK=sink) for _ in range(2)]
    for app in apps:
        monitor = Boxkite(app)
        app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
        app.test_client().post("/score", json=ANN)
    del app, monitor
    apps.pop()
    gc.collect()
    wait_for(lambda: len(recorders()) == 1, what="the end of one recorder")
    assert not sink.is_closed
    apps.pop()
    gc.collect()
    wait_for(lambda: not recorders(), what="the end of the other recorder")
    assert sink.is_closed
    assert len(sink.taken) == 2


def test_records_that_no_sink_takes_end_with_the_shutdown_timeout(
    baseline: Baseline, no_recorders: None, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        def emit_batch(self, records: list[dict[str, Any]]) -> None:
            raise OSError("no")

    app = plain_app(baseline, BOXKITE_SINK=Refusing(), BOXKITE_SHUTDOWN_TIMEOUT=0.2)
    monitor = Boxkite(app)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    app.test_client().post("/score", json=ANN)
    del app, monitor
    gc.collect()
    wait_for(lambda: not recorders(), what="the end of the recorder")
    assert "Dropped 1 records that the sink 'custom' did not take in time." in caplog.messages
