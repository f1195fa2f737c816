"""The answer to a scrape: format, filter, compression, token, and consistent numbers under load."""

from __future__ import annotations

import gzip
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
import pytest
from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from flask_boxkite import Baseline, Boxkite
from tests.faults import no_more_files
from tests.web.twins import Samples, Twins, check_consistent

Make = Callable[..., Twins]

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_NATIVE = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," + PROMETHEUS_3
)
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_OLD = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def scoring(app: Flask, predict: Any) -> None:
    @app.post("/score")
    @predict
    def score() -> Any:
        rows = request.get_json()
        return {"predictions": [0.5] * len(rows)} if isinstance(rows, list) else {"score": 0.5}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (PROMETHEUS_3_NATIVE, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (PROMETHEUS_2, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;version=2.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (PROMETHEUS_OLD, "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/json", "text/plain; version=0.0.4; charset=utf-8"),
        (";;,,=;q", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=latest", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=", None),
        ("application/openmetrics-text;version=1.0.0;escaping=upside-down", None),
        ("\xe9\xff" * 1000, "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_accept_header_chooses_the_format(twins: Make, accept: str | None, content_type: str | None) -> None:
    """Whatever a scraper says, it gets one of the two formats, whole, and with our numbers in it."""
    app = twins(scoring)
    app.send(json=ANN)
    answer = app.client.get("/metrics", headers={} if accept is None else {"Accept": accept})
    assert answer.status_code == 200
    given = answer.headers["Content-Type"]
    if content_type is not None:
        assert given.startswith(content_type)
    is_openmetrics = given.startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n") is is_openmetrics
    families = {family.name: family for family in (parse_openmetrics if is_openmetrics else parse_text)(answer.text)}
    counted = {
        s.labels["status"]: s.value for s in families["boxkite_predictions"].samples if s.name.endswith("_total")
    }
    assert counted == {"ok": 1, "client_error": 0, "error": 0}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/metrics?a=%s", 200),
        ("/boxkite/?name=%s", 200),
        ("/boxkite/?window=%s", 400),
        ("/boxkite/drift.json?page=%s", 400),
        ("/boxkite/variable?model=%s", 404),
    ],
)
def test_a_query_string_may_be_no_text(twins: Make, path: str, status: int) -> None:
    app = twins(scoring, BOXKITE_DASHBOARD_PATH="/boxkite")
    path, _, query = path.partition("?")
    answer = app.client.get(path, environ_overrides={"QUERY_STRING": query.replace("%s", "\xff")})
    assert answer.status_code == status


def test_both_formats_say_the_same(twins: Make) -> None:
    """Except that a histogram without a sum has no count in OpenMetrics."""
    app = twins(scoring)
    app.send(json=[ANN, {"age": None}, {"city": 5}])

    def samples(text: str, parse: Any) -> set[Any]:
        return {
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for family in parse(text)
            for sample in family.samples
            if sample.name.startswith("boxkite_") and not sample.name.startswith("boxkite_log")
        }

    text = samples(app.client.get("/metrics").text, parse_text)
    openmetrics = samples(app.client.get("/metrics", headers={"Accept": PROMETHEUS_2}).text, parse_openmetrics)
    assert openmetrics < text
    assert {name for name, _, _ in text - openmetrics} == {
        f"boxkite_{side}_value{suffix}_count" for side in ("feature", "inference") for suffix in ("", "_baseline")
    }


# --- Filter ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name[]=boxkite_predictions_total", {"boxkite_predictions_total"}),
        ("name[]=boxkite_predictions", {"boxkite_predictions_total"}),
        (
            "name[]=boxkite_predictions_total&name[]=boxkite_feature_info",
            {"boxkite_predictions_total", "boxkite_feature_info"},
        ),
        ("name[]=boxkite_feature_value_count", {"boxkite_feature_value_count"}),
        ("name[]=boxkite_feature_value", {"boxkite_feature_value_bucket", "boxkite_feature_value_count"}),
        ("name[]=none_such", set()),
        ("name[]=rides_total", {"rides_total"}),
    ],
)
def test_names_filter(twins: Make, rides: Counter, query: str, names: set[str]) -> None:
    app = twins(scoring)
    text = app.client.get(f"/metrics?{query}").text
    assert {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")} == names
    list(parse_text(text))


@pytest.fixture
def rides() -> Iterator[Counter]:
    """Return a metric that the app registered itself, in the default registry."""
    counter = Counter("rides", "Rides so far.", ["city"])
    counter.labels("Berlin").inc(7)
    yield counter
    prometheus_client.REGISTRY.unregister(counter)


@pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS_3])
def test_the_apps_own_metrics_are_in_it_once(twins: Make, rides: Counter, accept: str) -> None:
    app = twins(scoring)
    text = app.client.get("/metrics", headers={"Accept": accept}).text
    assert text.count('\nrides_total{city="Berlin"} 7.0\n') == 1
    assert text.count("# EOF") == ("openmetrics" in accept)
    assert "boxkite_" not in prometheus_client.generate_latest().decode(), "nothing of ours in the default registry"


def test_a_registry_may_have_ours_too(twins: Make) -> None:
    app = twins(scoring)
    app.send(json=ANN)
    registry = CollectorRegistry()
    with app.app.app_context():
        app.monitor.register(registry)
        with pytest.raises(ValueError, match=r"Duplicated timeseries"):
            app.monitor.register(registry)
    ours = Samples(app.client.get("/metrics?name[]=boxkite_feature_value&name[]=boxkite_predictions_total").text)
    theirs = Samples(prometheus_client.generate_latest(registry).decode())
    assert theirs.statuses() == ours.statuses() == {"ok": 1}
    for le in ours.labels("le", "boxkite_feature_value_bucket"):
        if le in ours.by("le", "boxkite_feature_value_bucket", feature="age"):
            assert theirs.value("boxkite_feature_value_bucket", feature="age", le=le) == ours.value(
                "boxkite_feature_value_bucket", feature="age", le=le
            )


def test_ours_in_the_default_registry_is_not_served_twice(twins: Make) -> None:
    app = twins(scoring)
    app.send(json=ANN)
    before = set(prometheus_client.REGISTRY._collector_to_names)
    with app.app.app_context():
        app.monitor.register(prometheus_client.REGISTRY)
    (collector,) = set(prometheus_client.REGISTRY._collector_to_names) - before
    try:
        text = app.client.get("/metrics").text
    finally:
        prometheus_client.REGISTRY.unregister(collector)
    assert text.count("# TYPE boxkite_predictions_total counter") == 1
    assert Samples(text).statuses() == {"ok": 1}


# --- HTTP -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encodings", "is_compressed"),
    [
        ("gzip", True),
        ("gzip;q=1.0,identity;q=0.5", True),
        ("deflate, gzip, zstd", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("", False),
        (None, False),
        ("br", False),
    ],
)
def test_compression(twins: Make, encodings: str | None, is_compressed: bool) -> None:
    app = twins(scoring)
    answer = app.client.get("/metrics", headers={} if encodings is None else {"Accept-Encoding": encodings})
    assert (answer.headers.get("Content-Encoding") == "gzip") is is_compressed
    text = (gzip.decompress(answer.data) if is_compressed else answer.data).decode()
    assert Samples(text).statuses() == {}
    assert answer.content_length == len(answer.data)


@pytest.mark.parametrize("token", ["open-sesame", "größe", "voilà"])
def test_a_token_is_asked_for(twins: Make, token: str) -> None:
    app = twins(scoring, BOXKITE_METRICS_TOKEN=token)
    # As it comes over the wire, where headers are bytes and WSGI hands them on as Latin-1.
    given = token.encode().decode("latin-1")
    for wrong in (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {given}x",
        f"Bearer {given[:-1]}",
        f"Basic {given}",
        given,
        "Bearer \xff\xfe",
        f"Bearer {given.upper()}",
        "Bearer " + "x" * 100_000,
    ):
        headers = {} if wrong is None else {"Authorization": wrong}
        answer = app.client.get("/metrics", headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"'), wrong
        assert "boxkite" not in answer.text
        assert app.client.head("/metrics", headers=headers).status_code == 401
    for right in (f"Bearer {given}", f"bearer {given}", f"BEARER  {given} "):
        answer = app.client.get("/metrics", headers={"Authorization": right})
        assert answer.status_code == 200, right
        assert "boxkite_predictions_total" in answer.text
    assert app.client.get(f"/metrics?token={token}").status_code == 401


def test_the_token_is_compared_in_constant_time(twins: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the function that is made for it, whatever the length."""
    from flask_boxkite.web import http as views

    seen: list[tuple[bytes, bytes]] = []
    real = views.hmac.compare_digest

    def compare(a: Any, b: Any) -> bool:
        seen.append((a, b))
        return real(a, b)

    monkeypatch.setattr(views.hmac, "compare_digest", compare)
    app = twins(scoring, BOXKITE_METRICS_TOKEN="secret")
    app.client.get("/metrics", headers={"Authorization": "Bearer nope"})
    assert seen == [(b"nope", b"secret")]


def test_methods(twins: Make) -> None:
    app = twins(scoring)
    get, head = app.client.get("/metrics"), app.client.head("/metrics")
    assert head.status_code == 200
    assert head.data == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert app.client.open("/metrics", method=method).status_code == 405
    assert app.scrape().statuses() == {}, "a scrape is no prediction"


def test_a_want_of_descriptors_is_said_and_no_counter_falls(twins: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A scrape that fails is a gap; one without what other processes have counted would be a fall."""
    app = twins(scoring)
    app.client.post("/score", json=ANN)
    with no_more_files():
        answers = [app.client.get("/metrics") for _ in range(2)]
    text = "The counts cannot be read just now: Too many open files. The next scrape tries again.\n"
    assert [(answer.status_code, answer.text) for answer in answers] == [(503, text)] * 2
    assert caplog.messages.count("The counts cannot be read just now.") == 1
    assert app.client.get("/metrics").status_code == 200


def test_a_replica_may_leave_out_baseline_and_bins(twins: Make) -> None:
    full = twins(scoring).scrape()
    groups = twins(scoring, BOXKITE_EXPORT_BINS=False).scrape()
    live = twins(scoring, BOXKITE_EXPORT_BASELINE=False).scrape()

    def names(samples: Samples) -> set[str]:
        lines = (line for line in samples.text.splitlines() if line.startswith("boxkite_"))
        return {line.partition("{")[0] for line in lines}

    bins = {name for name in names(full) if "_value" in name or "_category" in name}
    about = {"boxkite_baseline_info", "boxkite_baseline_row_collisions"}
    trained = {name for name in names(full) if "_baseline" in name} - about
    assert len(bins) == 10
    assert len(trained) == 8  # with pairs
    assert names(groups) == names(full) - bins
    assert names(live) == names(full) - trained


# --- Under load -----------------------------------------------------------------------------------------------------


def test_scrapes_under_load_are_consistent_and_complete(baseline: Baseline, hectic_threads: None) -> None:
    """50 at once, again and again, while others write.

    In each one the variables have the same number of rows and buckets add up; a scraper never sees a number fall; and
    every prediction that was answered before a scrape began is in it.
    """
    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline)
    monitor = Boxkite(app)
    scoring(app, monitor.predict)
    done = threading.Event()
    problems: list[BaseException] = []
    answered = [itertools.count() for _ in range(4)]
    finished = [0] * 4

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                problems.append(error)
                done.set()
                rounds.abort()

        return threading.Thread(target=run)

    def write(number: int) -> None:
        client = app.test_client()
        bodies: list[Any] = [ANN, [ANN] * 3, [ANN] * 40, {**ANN, "age": None, "city": "?"}]
        while not done.is_set():
            body = bodies[next(answered[number]) % len(bodies)]
            assert client.post("/score", json=body).status_code == 200
            finished[number] += len(body) if isinstance(body, list) else 1

    rounds = threading.Barrier(50)

    def scrape() -> None:
        client = app.test_client()
        before = -1.0
        for _ in range(4):
            rounds.wait(60)
            least = sum(finished)
            samples = Samples(client.get("/metrics?" + "&".join(f"name[]={name}" for name in LOAD_NAMES)).text)
            rows = check_consistent(samples)
            assert samples.statuses() == {"ok": rows}
            assert rows >= least
            assert rows >= before
            before = rows

    writers = [guarded(lambda number=number: write(number)) for number in range(4)]  # type: ignore[misc]
    scrapers = [guarded(scrape) for _ in range(50)]
    for thread in [*writers, *scrapers]:
        thread.start()
    for thread in scrapers:
        thread.join()
    done.set()
    for thread in writers:
        thread.join()
    if problems:
        raise problems[0]
    samples = Samples(app.test_client().get("/metrics").text)
    assert check_consistent(samples) == sum(finished)


@pytest.fixture
def hectic_threads() -> Iterator[None]:
    """Make threads change places as often as can be, in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


LOAD_NAMES = [
    "boxkite_feature_value",
    "boxkite_feature_group",
    "boxkite_inference_value",
    "boxkite_inference_group",
    "boxkite_predictions",
    "boxkite_prediction_duration_seconds",
]


def test_scrapes_at_once_share_the_work(twins: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rendering serves all who came before it began, so 20 scrapers cost two or a few, not 20."""
    from flask_boxkite.exposition import exposition
    from flask_boxkite.exposition.model import ModelFamilies

    app = twins(scoring)
    app.scrape()
    renderings = 0
    scrapers = 20
    arrived = threading.Semaphore(0)
    may_render = threading.Event()
    render = ModelFamilies.render

    def counted(self: ModelFamilies, *arguments: Any) -> Any:
        nonlocal renderings
        renderings += 1
        assert may_render.wait(30)
        return render(self, *arguments)

    class Shared(exposition._Shared):
        def get(self) -> Any:
            arrived.release()
            return super().get()

    monkeypatch.setattr(ModelFamilies, "render", counted)
    monkeypatch.setattr(exposition, "_Shared", Shared)
    app.app.extensions["boxkite"].monitor.exposition._shared.clear()
    threads = [threading.Thread(target=lambda: app.app.test_client().get("/metrics")) for _ in range(scrapers)]
    for thread in threads:
        thread.start()
    for _ in range(scrapers):
        arrived.acquire()
    may_render.set()
    for thread in threads:
        thread.join()
    assert 1 <= renderings <= scrapers / 2
