"""Streamed answers are counted when they end, by the way they end, in Flask and around any app."""

from __future__ import annotations

import gc
import gzip
import zlib
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import pytest
from flask import Flask, Response, request, stream_with_context
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ModelMonitoringService
from flask_boxkite.testing import RecordingSink
from tests.web.twins import ID_HEADER, Samples, check_nothing_counted

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}
BOB = {"age": 40, "income": 3500.0, "city": "Rome"}

View = Callable[[], Any]


class Broken(Exception):
    """An exception that a generator raises."""


class Served:
    """A WSGI app whose path ``/score`` predicts, called as a server calls it.

    Args:
        wsgi_app: The app.
        sink: Gets its records.
        flush: Waits until it has them.
        scrape: Returns the text of the metrics.
    """

    def __init__(self, wsgi_app: Any, sink: RecordingSink, flush: Any, scrape: Callable[[], str]) -> None:
        self.wsgi_app = wsgi_app
        self.sink = sink
        self._flush = flush
        self._scrape = scrape
        self.headers: dict[str, str] = {}

    def start(self, **options: Any) -> Any:
        """Send a request; return the body, of which nothing is read yet."""
        builder = EnvironBuilder("/score", method="POST", **{"json": ANN, **options})

        def start_response(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self.headers = dict(headers)

        return self.wsgi_app(builder.get_environ(), start_response)

    def samples(self) -> Samples:
        return Samples(self._scrape())

    def statuses(self) -> dict[str, float]:
        return self.samples().statuses()

    def record(self) -> dict[str, Any]:
        self._flush(30)
        (record,) = self.sink.records
        return record


def in_flask(baseline: Baseline, view: View, **options: Any) -> tuple[Served, Callable[[], None]]:
    app, sink = Flask("served"), RecordingSink()
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=sink, **options)
    monitor = Boxkite(app)
    app.post("/score")(monitor.predict(view))
    served = Served(app, sink, monitor.flush, lambda: app.test_client().get("/metrics").text)
    return served, monitor.close


def around_an_app(baseline: Baseline, view: View, **options: Any) -> tuple[Served, Callable[[], None]]:
    app, sink = Flask("served"), RecordingSink()
    app.post("/score")(view)
    settings = {key.removeprefix("BOXKITE_").lower(): value for key, value in options.items()}
    service = ModelMonitoringService(baseline, sink=sink, **settings)
    wrapped = BoxkiteMiddleware(app, service, {"/score": None})
    return Served(wrapped, sink, service.flush, lambda: service.export_http()[0].decode()), service.close


@pytest.fixture(params=[in_flask, around_an_app], ids=lambda make: make.__name__)
def serve(request: pytest.FixtureRequest, baseline: Baseline) -> Iterator[Callable[..., Served]]:
    ends: list[Callable[[], None]] = []

    def make(view: View, **options: Any) -> Served:
        served, end = request.param(baseline, view, **options)
        ends.append(end)
        return served

    yield make
    for end in ends:
        end()


def streaming(*parts: Any, **options: Any) -> View:
    """Return a view that answers with parts; one that is an exception is raised."""

    def generate() -> Iterator[Any]:
        for part in parts:
            if isinstance(part, Exception):
                raise part
            yield part

    return lambda: Response(generate(), **{"mimetype": "application/json", **options})


# --- Duration and status ---------------------------------------------------------------------------------------------


def test_a_stream_is_passed_on_as_it_comes_and_counted_at_its_end(serve: Callable[..., Served]) -> None:
    asked: list[str] = []

    def generate() -> Iterator[str]:
        for part in ('{"sco', 're": ', "0.5}"):
            asked.append(part)
            yield part

    served = serve(lambda: Response(generate(), mimetype="application/json"))
    body = served.start()
    assert asked == []
    chunks = iter(body)
    assert (next(chunks), asked) == (b'{"sco', ['{"sco'])
    assert list(chunks) == [b're": ', b"0.5}"]
    assert served.statuses() == {"ok": 1}, "counted when the app has no more, before the server closes it"
    body.close()
    assert served.statuses() == {"ok": 1}
    assert served.samples().errors() == {}
    assert (served.record()["output"], served.record()["features"]) == (0.5, ANN)


def test_the_duration_is_that_of_the_whole_answer(serve: Callable[..., Served]) -> None:
    """It lies between the time that making the answer takes, and the time that its client sees."""
    inside = 0.0

    def generate() -> Iterator[str]:
        nonlocal inside
        start = perf_counter()
        for part in ("0", ".", "5"):
            while perf_counter() < start + inside + 0.02:  # longer than a request takes without its answer
                pass
            inside = perf_counter() - start
            yield part

    served = serve(lambda: Response(generate(), mimetype="application/json"))
    start = perf_counter()
    body = served.start()
    assert b"".join(body) == b"0.5"
    body.close()
    outside = perf_counter() - start
    seconds = served.samples().value("boxkite_prediction_duration_seconds_sum")
    assert inside <= seconds <= outside
    assert served.record()["duration_ms"] == pytest.approx(seconds * 1000, abs=0.001)


def test_the_last_chunk_of_a_known_length_is_counted_before_it_leaves(serve: Callable[..., Served]) -> None:
    """A client that has its whole answer scrapes and sees itself."""
    served = serve(streaming("0.", "5", headers={"Content-Length": "3"}))
    chunks = iter(served.start())
    next(chunks)
    assert served.statuses() == {}
    assert next(chunks) == b"5"
    assert served.statuses() == {"ok": 1}


@pytest.mark.parametrize("status", [200, 404])
def test_a_stream_that_fails_half_way_is_an_error(serve: Callable[..., Served], status: int) -> None:
    served = serve(streaming('{"score"', Broken("half-way"), status=status))
    body = served.start()
    with pytest.raises(Broken, match="half-way"):
        list(body)
    assert served.statuses() == {"error": 1}
    body.close()
    samples = served.samples()
    assert samples.statuses() == {"error": 1}
    check_nothing_counted(samples)
    assert (served.record()["status"], served.record()["features"]) == ("error", ANN)


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_client_that_leaves_is_no_error_of_the_server(serve: Callable[..., Served], status: int) -> None:
    """It counts as a client's error, and its values do not; an answer that had failed before has failed."""
    served = serve(streaming("a", "b", "c", status=status))
    body = served.start()
    next(iter(body))
    assert served.statuses() == {}
    body.close()
    samples = served.samples()
    assert samples.statuses() == {"error" if status == 503 else "client_error": 1}
    assert samples.errors() == {}
    check_nothing_counted(samples)
    assert served.record()["features"] == ANN


def test_a_body_that_nothing_closes_is_counted_too(serve: Callable[..., Served]) -> None:
    """A middleware that is a plain generator closes nothing when its client leaves."""
    served = serve(streaming("a", "b"))
    inner = served.wsgi_app

    def middleware(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield from (chunk for chunk in inner(environ, start_response))

    served.wsgi_app = middleware
    body = served.start()
    next(body)
    body.close()
    del body
    gc.collect()
    assert served.statuses() == {"client_error": 1}


def test_a_stream_that_nothing_closes_ends_when_it_is_dropped(serve: Callable[..., Served]) -> None:
    """And not with its request, which the server may keep for longer."""
    ended: list[str] = []

    def generate() -> Iterator[str]:
        try:
            yield from "ab"
        finally:
            ended.append("stream")

    served = serve(lambda: Response(generate()))
    environ = EnvironBuilder("/score", method="POST", json=ANN).get_environ()
    body = served.wsgi_app(environ, lambda status, headers: None)
    next(iter(body))
    del body
    assert ended == ["stream"]


def test_a_generator_that_is_passed_through_is_a_stream_too(serve: Callable[..., Served]) -> None:
    """A proxy hands bytes on so; a file is left to the server."""
    served = serve(streaming(b'{"score":', b" 0.5}", direct_passthrough=True))
    assert list(served.start()) == [b'{"score":', b" 0.5}"]
    served.start().close()
    samples = served.samples()
    assert (samples.statuses(), samples.errors()) == ({"ok": 1, "client_error": 1}, {})


def test_the_refusal_of_a_stream_keeps_its_status(serve: Callable[..., Served]) -> None:
    served = serve(streaming("busy", status=429))
    assert list(served.start()) == [b"busy"]
    assert served.statuses() == {"client_error": 1}


def test_the_app_closes_its_stream_once(serve: Callable[..., Served]) -> None:
    closed: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"0.5"

        def close(self) -> None:
            closed.append("closed")

    served = serve(lambda: Response(Body(), mimetype="application/json"))
    body = served.start()
    assert list(body) == [b"0.5"]
    assert closed == []
    body.close()
    body.close()
    assert closed == ["closed"]


def test_a_close_that_fails_is_the_apps(serve: Callable[..., Served]) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"0.5"

        def close(self) -> None:
            raise Broken

    served = serve(lambda: Response(Body(), mimetype="application/json"))
    body = served.start()
    assert list(body) == [b"0.5"]
    with pytest.raises(Broken):
        body.close()
    assert served.statuses() == {"ok": 1}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_output_is_found_in_what_is_compressed(serve: Callable[..., Served], encoding: str) -> None:
    data = {"gzip": gzip, "deflate": zlib}[encoding].compress(b'{"score": 0.5}')
    served = serve(streaming(data[:9], data[9:], headers={"Content-Encoding": encoding}))
    body = served.start()
    assert b"".join(body) == data
    assert served.samples().errors() == {}
    assert served.record()["output"] == 0.5


def test_events_are_no_output(serve: Callable[..., Served]) -> None:
    served = serve(streaming("data: 1\n\n", "data: 2\n\n", mimetype="text/event-stream"))
    list(served.start())
    assert served.samples().errors() == {"output": 1}
    assert served.record()["response"] == "data: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("limit", [10, 65536], ids=["long", "short"])
def test_features_that_the_stream_reads(serve: Callable[..., Served], limit: int) -> None:
    """A body that is too long to be read before the view is read while the answer is sent."""

    def view() -> Response:
        def generate() -> Iterator[str]:
            yield str(request.get_json()["age"] / 100)

        return Response(stream_with_context(generate()), mimetype="application/json")

    served = serve(view, BOXKITE_MAX_BODY_BYTES=limit)
    body = served.start()
    assert list(body) == [b"0.3"]
    body.close()
    samples = served.samples()
    assert (samples.statuses(), samples.errors()) == ({"ok": 1}, {})
    assert samples.groups("city") == {"Paris": 1}
    assert served.record()["output"] == 0.3


def test_features_that_the_stream_reads_beside_an_output_of_the_users(baseline: Baseline) -> None:
    """Their function finds the output in the response, before anything is sent."""
    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK="none", BOXKITE_MAX_BODY_BYTES=10)
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict(output=lambda response: response.headers["Score"])
    def score() -> Response:
        def generate() -> Iterator[bytes]:
            yield request.get_data()

        return Response(stream_with_context(generate()), headers={"Score": "0.5"})

    sent = {"data": "age,income,city\n30,2500,Paris\n", "content_type": "text/csv"}
    assert app.test_client().post("/score", **sent, buffered=True).text == sent["data"]
    samples = Samples(app.test_client().get("/metrics").text)
    assert (samples.statuses(), samples.errors()) == ({"ok": 1}, {})
    assert samples.groups("city") == {"Paris": 1}


# --- Logged by hand --------------------------------------------------------------------------------------------------


class Manual:
    """A Flask app whose view logs its prediction itself, at some time."""

    def __init__(self, baseline: Baseline, view: Callable[[Boxkite], Any]) -> None:
        self.sink = RecordingSink()
        self.app = Flask("served")
        self.app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=self.sink)
        self.monitor = Boxkite(self.app)
        self.app.post("/score")(self.monitor.predict(lambda: view(self.monitor)))

    def send(self) -> tuple[bytes, str | None]:
        """Return an answer, read and closed as servers do it, and its prediction id."""
        environ = EnvironBuilder("/score", method="POST", json=ANN).get_environ()
        body, _, headers = run_wsgi_app(self.app, environ, buffered=True)
        return b"".join(body), headers.get(ID_HEADER)


def in_the_generator(monitor: Boxkite) -> Any:
    def generate() -> Iterator[str]:
        yield "0."
        monitor.log_prediction(features=BOB, output=0.5)
        yield "5"

    return Response(generate())


def in_the_generator_with_context(monitor: Boxkite) -> Any:
    def generate() -> Iterator[str]:
        yield "0.5"
        monitor.log_prediction(features=request.get_json() | BOB, output=0.5)

    return Response(stream_with_context(generate()))


def at_the_end_of_the_generator(monitor: Boxkite) -> Any:
    def generate() -> Iterator[str]:
        try:
            yield "0.5"
        finally:
            monitor.log_prediction(features=BOB, output=0.5)

    return Response(generate())


def on_closing_a_stream(monitor: Boxkite) -> Any:
    response = Response(iter(["0.", "5"]))
    response.call_on_close(lambda: monitor.log_prediction(features=BOB, output=0.5))
    return response


def on_closing_an_answer(monitor: Boxkite) -> Any:
    response = Response("0.5")
    response.call_on_close(lambda: monitor.log_prediction(features=BOB, output=0.5))
    return response


@pytest.mark.parametrize("others", [0, 2], ids=["one app", "several apps"])
@pytest.mark.parametrize(
    "view",
    [
        in_the_generator,
        in_the_generator_with_context,
        at_the_end_of_the_generator,
        on_closing_a_stream,
        on_closing_an_answer,
    ],
)
def test_what_is_logged_by_hand_wins(baseline: Baseline, view: Callable[[Boxkite], Any], others: int) -> None:
    """Also where one monitor serves several apps, and no request context says which."""
    served = Manual(baseline, view)
    kept = [Flask(f"other{number}") for number in range(others)]
    for app in kept:
        app.config["BOXKITE_BASELINE"] = baseline
        served.monitor.init_app(app)

    body, prediction_id = served.send()
    assert body == b"0.5"
    samples = Samples(served.app.test_client().get("/metrics").text)
    assert (samples.statuses(), samples.errors()) == ({"ok": 1}, {})
    assert samples.groups("city") == {"Rome": 1}
    with served.app.app_context():
        served.monitor.flush(30)
    (record,) = served.sink.records
    assert (record["features"], record["output"], record["prediction_id"]) == (BOB, 0.5, prediction_id)
    served.monitor.close()


def test_a_second_prediction_of_the_answer_has_an_id_of_its_own(baseline: Baseline) -> None:
    def view(monitor: Boxkite) -> Any:
        def generate() -> Iterator[str]:
            for score in (0.1, 0.9):
                monitor.log_prediction(features=BOB, output=score)
                yield str(score)

        return Response(generate())

    served = Manual(baseline, view)
    _, prediction_id = served.send()
    served.monitor.flush(30)
    ids = [record["prediction_id"] for record in served.sink.records]
    assert ids[0] == prediction_id != ids[1]
    served.monitor.close()


def test_a_prediction_that_is_over_takes_no_other(baseline: Baseline) -> None:
    """A test's client keeps the context of its last request; what is logged there is a prediction of its own."""
    served = Manual(baseline, lambda monitor: "0.5")
    with served.app.test_client() as client:
        answer = client.post("/score", json=ANN)
        prediction_id = served.monitor.log_prediction(features=BOB, output=0.5)
        assert prediction_id != answer.headers[ID_HEADER]
    assert Samples(served.app.test_client().get("/metrics").text).statuses() == {"ok": 2}
    served.monitor.close()


def test_what_happens_on_closing_does_not_hide_a_failure(baseline: Baseline) -> None:
    def view(monitor: Boxkite) -> Any:
        def generate() -> Iterator[str]:
            yield "0"
            raise Broken

        response = Response(generate())
        response.call_on_close(lambda: None)
        return response

    served = Manual(baseline, view)
    with pytest.raises(Broken):
        served.send()
    assert Samples(served.app.test_client().get("/metrics").text).statuses() == {"error": 1}
    served.monitor.close()
