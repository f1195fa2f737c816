"""Every prediction is counted once, whatever happens to its request, and errors go their own way."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, current_app, g, jsonify, request
from flask.views import MethodView, View

from flask_boxkite import Baseline, Boxkite, BoxkiteError
from tests.faults import run_in_child
from tests.web.twins import ID_HEADER, Records, Samples, Twins, check_counted, check_nothing_counted

Make = Callable[..., Twins]

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}


class Broken(Exception):
    """An exception that a view raises."""


def raising(make: Callable[[], BaseException]) -> Callable[[Flask, Any], None]:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            raise make()

    return define


# --- Exceptions -----------------------------------------------------------------------------------------------------


def test_an_exception_becomes_the_500_of_the_app(twins: Make) -> None:
    app = twins(raising(lambda: Broken("no")))
    answer = app.send(json=ANN)
    assert answer.status_code == 500
    samples = app.scrape()
    assert samples.statuses() == {"error": 1}
    check_nothing_counted(samples)
    record = app.record()
    assert (record["status"], record["features"], record["output"]) == ("error", ANN, None)
    assert record["prediction_id"] == answer.headers[ID_HEADER]


@pytest.mark.parametrize("setting", ["TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"])
def test_a_propagated_exception_is_the_views_own(twins: Make, setting: str) -> None:
    """With these settings no hook runs after the view."""
    error = Broken("no")
    app = twins(raising(lambda: error), flask={setting: True})
    for client in (app.client, app.plain_client):
        with pytest.raises(Broken) as caught:
            client.post("/score", json=ANN)
        assert caught.value is error
    assert app.scrape().statuses() == {"error": 1}
    assert app.record()["status"] == "error"


@pytest.mark.parametrize("setting", ["TESTING", "PROPAGATE_EXCEPTIONS"])
def test_a_kept_context_does_not_delay_the_count(twins: Make, setting: str) -> None:
    """`with client:` keeps the request's context, so its teardown has not run yet."""
    app = twins(raising(lambda: Broken("no")), flask={setting: True})
    with app.app.test_client() as client:
        with pytest.raises(Broken):
            client.post("/score", json=ANN)
        counted = app.scrape().statuses()
    assert counted == {"error": 1}


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_the_end_of_a_worker_is_not_caught(twins: Make, error: BaseException) -> None:
    app = twins(raising(lambda: error))
    with pytest.raises(type(error)):
        app.client.post("/score", json=ANN)
    assert app.scrape().statuses() == {"error": 1}
    assert app.record()["status"] == "error"


@pytest.mark.parametrize(("code", "status"), [(400, "client_error"), (404, "client_error"), (503, "error")])
def test_abort_counts_by_its_code(twins: Make, code: int, status: str) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            abort(code)

    app = twins(define)
    assert app.send(json=ANN).status_code == code
    samples = app.scrape()
    assert samples.statuses() == {status: 1}
    check_nothing_counted(samples)


def test_a_bad_request_raised_by_flask_is_a_client_error(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            return {"score": request.get_json()["age"] / 100}

    app = twins(define)
    assert app.send(data="{", content_type="application/json").status_code == 400
    assert app.send(data="{}", content_type="text/plain").status_code == 415
    assert app.scrape().statuses() == {"client_error": 2}


@pytest.mark.parametrize(
    ("answer", "status"),
    [(({"score": 0.5}, 200), "error"), (("sorry", 500), "error"), (("what?", 422), "client_error")],
)
@pytest.mark.parametrize("handled", [Broken, Exception, 500], ids=str)
def test_a_page_made_of_an_exception_is_no_prediction(twins: Make, handled: Any, answer: Any, status: str) -> None:
    """Even if its status says that all is well."""

    def define(app: Flask, predict: Any) -> None:
        raising(lambda: Broken("no"))(app, predict)
        app.register_error_handler(handled, lambda error: answer)

    app = twins(define)
    app.send(json=ANN)
    samples = app.scrape()
    assert samples.statuses() == {status: 1}
    check_nothing_counted(samples)
    assert len(app.records()) == 1


def test_a_404_page_with_status_200_is_no_prediction(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            abort(404)

        app.register_error_handler(404, lambda error: ("nothing here", 200))

    app = twins(define)
    assert app.send(json=ANN).status_code == 200
    assert app.scrape().statuses() == {"error": 1}


def test_an_error_handler_that_fails_leaves_one_error(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        raising(lambda: Broken("no"))(app, predict)

        @app.errorhandler(Broken)
        def handle(error: Broken) -> Any:
            raise RuntimeError("worse")

    app = twins(define)
    assert app.send(json=ANN).status_code == 500
    assert app.scrape().statuses() == {"error": 1}
    assert len(app.records()) == 1


# --- Other extensions' hooks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_before", [True, False], ids=["registered before", "registered after"])
@pytest.mark.parametrize("propagates", [True, False])
def test_a_hook_that_fails_makes_an_error_of_the_prediction(
    baseline: Baseline, is_before: bool, propagates: bool
) -> None:
    """Its client gets a 500, so one error is counted, not a success."""
    app, sink = Flask("served"), Records()
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=sink, PROPAGATE_EXCEPTIONS=propagates)

    def fail(response: Response) -> Response:
        if request.path == "/score":
            raise Broken("hook")
        return response

    if is_before:
        app.after_request(fail)
    monitor = Boxkite(app)
    if not is_before:
        app.after_request(fail)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    client = app.test_client()
    if propagates:
        with pytest.raises(Broken):
            client.post("/score", json=ANN)
    else:
        assert client.post("/score", json=ANN).status_code == 500
    samples = Samples(client.get("/metrics").text)
    assert samples.statuses() == {"error": 1}
    check_nothing_counted(samples)
    monitor.flush(30)
    assert [record["status"] for record in sink.taken] == ["error"]
    monitor.close()


@pytest.mark.parametrize("is_before", [True, False], ids=["registered before", "registered after"])
def test_a_hook_that_changes_the_status_changes_what_is_counted(baseline: Baseline, is_before: bool) -> None:
    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline)

    def refuse(response: Response) -> Response:
        return Response("too many", 429) if request.path == "/score" else response

    if is_before:
        app.after_request(refuse)
    monitor = Boxkite(app)
    if not is_before:
        app.after_request(refuse)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    client = app.test_client()
    answer = client.post("/score", json=ANN)
    assert answer.status_code == 429
    assert ID_HEADER in answer.headers
    assert Samples(client.get("/metrics").text).statuses() == {"client_error": 1}


def test_compression_by_another_hook_does_not_hide_the_output(twins: Make) -> None:
    import gzip

    def define(app: Flask, predict: Any) -> None:
        @app.after_request
        def compress(response: Response) -> Response:
            if request.path == "/score":
                response.set_data(gzip.compress(response.get_data(), mtime=0))
                response.headers["Content-Encoding"] = "gzip"
            return response

        app.post("/score")(predict(lambda: {"score": 0.5}))

    app = twins(define)
    app.send(json=ANN)
    check_counted(app.scrape(), [ANN], [0.5])


def test_a_request_refused_before_the_view_is_no_prediction(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.before_request
        def refuse() -> Any:
            return ("login first", 401) if request.path == "/score" else None

        app.post("/score")(predict(lambda: {"score": 0.5}))

    app = twins(define)
    assert app.send(json=ANN).status_code == 401
    assert app.scrape().statuses() == {}
    assert app.records() == []


# --- Views of every kind --------------------------------------------------------------------------------------------


def plain_view(app: Flask, predict: Any) -> None:
    @app.post("/score")
    @predict
    def score() -> Any:
        """Say it."""
        return {"score": request.get_json()["age"] / 100}

    assert (score.__name__, score.__doc__) == ("score", "Say it.")


def async_view(app: Flask, predict: Any) -> None:
    @app.post("/score")
    @predict
    async def score() -> Any:
        await asyncio.sleep(0)
        return {"score": request.get_json()["age"] / 100}


def method_view_decorators(app: Flask, predict: Any) -> None:
    class Score(MethodView):
        decorators = [predict]  # noqa: RUF012  (as Flask's documentation has it)

        def post(self) -> Any:
            return {"score": request.get_json()["age"] / 100}

    app.add_url_rule("/score", view_func=Score.as_view("score"))


def decorated_method(app: Flask, predict: Any) -> None:
    class Score(MethodView):
        @predict
        def post(self) -> Any:
            return {"score": request.get_json()["age"] / 100}

        def get(self) -> Any:
            return "no prediction"

    app.add_url_rule("/score", view_func=Score.as_view("score"))


def decorated_async_method(app: Flask, predict: Any) -> None:
    class Score(MethodView):
        init_every_request = False

        @predict(model=None)
        async def post(self) -> Any:
            return {"score": request.get_json()["age"] / 100}

    app.add_url_rule("/score", view_func=Score.as_view("score"))


def bound_method(app: Flask, predict: Any) -> None:
    class Model:
        @predict
        def score(self) -> Any:
            return {"score": request.get_json()["age"] / 100}

    app.add_url_rule("/score", view_func=Model().score, methods=["POST"])


def partial_of_decorated(app: Flask, predict: Any) -> None:
    @predict
    def score(divisor: int) -> Any:
        return {"score": request.get_json()["age"] / divisor}

    app.add_url_rule("/score", "score", functools.partial(score, 100), methods=["POST"])


def below_an_async_decorator(app: Flask, predict: Any) -> None:
    def logged(view: Any) -> Any:
        @functools.wraps(view)
        async def wrapper(*args: Any) -> Any:
            return await view(*args)

        return wrapper

    @app.post("/score")
    @logged
    @predict
    async def score() -> Any:
        await asyncio.sleep(0)
        return {"score": request.get_json()["age"] / 100}


def async_view_that_awaits_another(app: Flask, predict: Any) -> None:
    @app.post("/inner")
    @predict
    async def inner() -> Any:
        return request.get_json()["age"]

    @app.post("/score")
    @predict
    async def score() -> Any:
        return {"score": await inner() / 100}


def async_view_below_one_that_is_none(app: Flask, predict: Any) -> None:
    @predict
    async def score() -> Any:
        return {"score": request.get_json()["age"] / 100}

    @app.post("/score")
    async def route() -> Any:
        return await score()


def view_class(app: Flask, predict: Any) -> None:
    class Score(View):
        methods = ["POST"]  # noqa: RUF012  (as Flask's documentation has it)
        decorators = [predict()]  # noqa: RUF012

        def dispatch_request(self) -> Any:
            return {"score": request.get_json()["age"] / 100}

    app.add_url_rule("/score", view_func=Score.as_view("score"))


def blueprint(app: Flask, predict: Any) -> None:
    models = Blueprint("models", "models")

    @models.post("/score")
    @predict
    def score() -> Any:
        return {"score": request.get_json()["age"] / 100}

    app.register_blueprint(models)


def nested_blueprint(app: Flask, predict: Any) -> None:
    outer, inner = Blueprint("outer", "outer"), Blueprint("inner", "inner")
    inner.post("/score")(predict(lambda: {"score": request.get_json()["age"] / 100}))
    outer.register_blueprint(inner)
    app.register_blueprint(outer, url_prefix="/")


def view_that_calls_another(app: Flask, predict: Any) -> None:
    @app.post("/inner")
    @predict
    def inner() -> Any:
        return {"score": request.get_json()["age"] / 100}

    @app.post("/score")
    @predict
    def score() -> Any:
        return inner()


def twice_decorated(app: Flask, predict: Any) -> None:
    app.post("/score")(predict(predict(lambda: {"score": request.get_json()["age"] / 100})))


def decorated_below_another(app: Flask, predict: Any) -> None:
    def logged(view: Any) -> Any:
        @functools.wraps(view)
        def wrapper(*args: Any) -> Any:
            g.seen = True
            return view(*args)

        return wrapper

    app.post("/score")(logged(predict(logged(lambda: {"score": request.get_json()["age"] / 100}))))


def view_with_arguments(app: Flask, predict: Any) -> None:
    @app.post("/<string:name>")
    @predict
    def score(name: str) -> Any:
        assert name == "score"
        return {"score": request.get_json()["age"] / 100}


VIEWS = [
    plain_view,
    async_view,
    method_view_decorators,
    decorated_method,
    decorated_async_method,
    bound_method,
    partial_of_decorated,
    below_an_async_decorator,
    async_view_that_awaits_another,
    async_view_below_one_that_is_none,
    view_class,
    blueprint,
    nested_blueprint,
    view_that_calls_another,
    twice_decorated,
    decorated_below_another,
    view_with_arguments,
]


@pytest.mark.parametrize("define", VIEWS)
def test_views_of_every_kind(twins: Make, define: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = twins(define)
    people = [{**ANN, "age": age} for age in (20, 30, 70)]
    for person in people:
        app.send(json=person)
    check_counted(app.scrape(), people, [0.2, 0.3, 0.7])
    assert [record["features"] for record in app.records()] == people
    assert caplog.messages == []


def test_only_decorated_views_are_predictions(twins: Make) -> None:
    app = twins(decorated_method)
    app.send(method="GET")
    assert app.scrape().statuses() == {}


def test_a_view_may_call_its_own_app(twins: Make) -> None:
    """In a test, `flask.g` is the same object for both requests; their captures must not mix."""

    def define(app: Flask, predict: Any) -> None:
        @app.post("/inner")
        @predict
        def inner() -> Any:
            return {"score": 0.9}

        @app.post("/score")
        @predict
        def score() -> Any:
            with current_app.test_client() as client:
                return {"score": client.post("/inner", json={**ANN, "age": 70}).get_json()["score"] / 2}

    app = twins(define)
    answer = app.send(json=ANN)
    check_counted(app.scrape(), [{**ANN, "age": 70}, ANN], [0.9, 0.45])
    inner, outer = app.records()
    assert outer["prediction_id"] == answer.headers[ID_HEADER] != inner["prediction_id"]
    assert (inner["output"], outer["output"]) == (0.9, 0.45)


def test_a_view_of_another_app_counts_there(baseline: Baseline, twins: Make) -> None:
    inner = twins(plain_view)

    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            return inner.app.test_client().post("/score", json={**ANN, "age": 70}).get_json()

    outer = twins(define)
    outer.client.post("/score", json=ANN)
    check_counted(inner.scrape(), [{**ANN, "age": 70}], [0.7])
    check_counted(outer.scrape(), [ANN], [0.7])


# --- By hand --------------------------------------------------------------------------------------------------------


def test_a_prediction_logged_in_the_view_wins(baseline: Baseline) -> None:
    app, sink = Flask("served"), Records()
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=sink)
    monitor = Boxkite(app)
    ids: list[str] = []

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        ids.append(monitor.log_prediction(request.get_data(), [70, 900.0, "Rome"], 0.9))
        return {"score": 0.1}

    client = app.test_client()
    answer = client.post("/score", json=ANN)
    samples = Samples(client.get("/metrics").text)
    expected = {"age": 70, "income": 900.0, "city": "Rome"}
    assert samples.statuses() == {"ok": 1}
    for name, value in expected.items():
        assert samples.groups(name) == {samples.group_of("feature", name, value): 1}
    assert samples.outputs() == {samples.group_of("inference", "output", 0.9): 1}
    monitor.flush(30)
    (record,) = sink.taken
    assert [record["prediction_id"]] == ids == [answer.headers[ID_HEADER]]
    assert (record["features"], record["output"]) == ([70, 900.0, "Rome"], 0.9)
    monitor.close()


def test_a_prediction_can_be_logged_anywhere(baseline: Baseline) -> None:
    app, sink = Flask("served"), Records()
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=sink)
    monitor = Boxkite(app)

    @app.post("/batch")
    def batch() -> Any:
        return monitor.log_prediction(None, request.get_json(), 0.5)

    outside = monitor.log_prediction("text", ANN, 0.5)
    with app.app_context():
        in_context = monitor.log_prediction({"any": "thing"}, ANN, 0.5)
    in_thread: list[str] = []
    thread = threading.Thread(target=lambda: in_thread.append(monitor.log_prediction(b"\xff", ANN, 0.5)))
    thread.start()
    thread.join()
    client = app.test_client()
    answer = client.post("/batch", json=ANN)
    assert ID_HEADER not in answer.headers
    assert Samples(client.get("/metrics").text).statuses() == {"ok": 4}
    monitor.flush(30)
    assert [record["prediction_id"] for record in sink.taken] == [outside, in_context, *in_thread, answer.text]
    assert [record["request_body"] for record in sink.taken] == ["text", '{"any": "thing"}', "/w==", ""]
    monitor.close()


def test_without_an_app_there_is_nothing_to_log_to() -> None:
    with pytest.raises(BoxkiteError) as caught:
        Boxkite().log_prediction(None, ANN, 0.5)
    assert str(caught.value) == "The current Flask app has no Boxkite monitor. Did you forget to call 'init_app'?"


# --- Threads and forks ----------------------------------------------------------------------------------------------


def test_threads_count_exactly(twins: Make) -> None:
    app = twins(plain_view)
    threads, each = 32, 25
    start = threading.Barrier(threads)
    problems: list[BaseException] = []

    def work(number: int) -> None:
        client = app.app.test_client()
        start.wait()
        try:
            for i in range(each):
                person = {**ANN, "age": 20 + (number + i) % 50}
                assert client.post("/score", json=person).get_json() == {"score": person["age"] / 100}
        except BaseException as error:
            problems.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert problems == []
    people = [{**ANN, "age": 20 + (number + i) % 50} for number in range(threads) for i in range(each)]
    check_counted(app.scrape(), people, [person["age"] / 100 for person in people])
    records = app.records()
    assert len(records) == len(people)
    assert len({record["prediction_id"] for record in records}) == len(people)


def test_a_forked_process_serves_and_leaves_the_parents_counts_alone(twins: Make) -> None:
    """The parent's records are shipped once, by the parent."""
    app = twins(plain_view)
    app.send(json=ANN)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        ok = False
        try:
            answer = app.client.post("/score", json={**ANN, "age": 70})
            ok = (
                answer.get_json() == {"score": 0.7}
                and app.scrape().value("boxkite_predictions_total", status="ok") >= 1
            )
        finally:
            os.write(write, b"1" if ok else b"0")
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as result:
        assert result.read() == b"1"
    os.waitpid(pid, 0)
    app.send(json=ANN)
    assert [record["features"] for record in app.records()] == [ANN, ANN]


def test_ids_of_answers_are_those_of_records(twins: Make) -> None:
    import re

    app = twins(plain_view, BOXKITE_SERVER_ID="blue/1")
    ids = [app.send(json=ANN).headers[ID_HEADER] for _ in range(20)]
    assert [record["prediction_id"] for record in app.records()] == ids
    assert all(re.fullmatch(r"blue/1/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/[0-9a-f]{8}-[0-9a-f-]{27}", each) for each in ids)
    assert [record["entity_id"] for record in app.records()] == [each.rpartition("/")[2] for each in ids]


@pytest.mark.parametrize("name", ["größe\n", "東京", "a b", "../../etc", "a\r\nX-Evil: 1", 'q"'])
def test_any_server_name_makes_a_header(twins: Make, name: str) -> None:
    """A name that no header can hold must not cost the client its answer."""
    app = twins(plain_view, BOXKITE_SERVER_ID=name)
    answer = app.send(json=ANN)
    assert "X-Evil" not in answer.headers
    assert answer.headers[ID_HEADER].isascii()
    record = app.record()
    assert record["server_id"] == name
    assert answer.headers[ID_HEADER].rpartition("/")[2] == record["entity_id"]


def test_disabled_monitoring_leaves_ids_and_conversion(baseline: Baseline) -> None:
    """So that what is tested locally answers as it does in production."""
    import numpy as np

    app, sink = Flask("served"), Records()
    app.config.update(BOXKITE_ENABLED=False, BOXKITE_BASELINE={"a": "/nowhere"}, BOXKITE_SINK=sink)
    monitor = Boxkite()
    logged: list[str] = []

    @app.route("/score", methods=["GET", "POST"])
    @monitor.predict(model="a", features=lambda request: 1 / 0)
    def score() -> Any:
        return np.array([0.5])

    @app.post("/by-hand")
    @monitor.predict(model="a")
    def by_hand() -> Any:
        logged.append(monitor.log_prediction(None, ANN, 0.5, model="a"))
        return jsonify(0.5)

    monitor.init_app(app)
    client = app.test_client()
    answer = client.post("/score", json=ANN)
    assert answer.get_json() == [0.5]
    assert answer.headers[ID_HEADER].startswith("unknown-server/")
    assert client.post("/by-hand", json=ANN).headers[ID_HEADER] == logged[0]
    assert ID_HEADER not in client.head("/score").headers
    assert client.get("/metrics").status_code == 404
    with app.app_context():
        assert monitor.flush(1.0) == 0
        assert b"boxkite" not in monitor.export_http()[0]
    assert sink.taken == []
    monitor.close()


# --- Several processes ----------------------------------------------------------------------------------------------

SEVERAL = {"SERVER_SOFTWARE": "Unit/1.34", "wsgi.multiprocess": True}
WHAT_TO_SET = (
    "This server runs several processes, and how they belong together cannot be seen, so '/metrics' shows the counts "
    "of one of them. Set 'BOXKITE_STATE_DIR' to a directory that all of them can write."
)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said about several processes."""
    return [message for message in caplog.messages if "several processes" in message]


def test_an_unknown_server_of_several_processes_is_told_once_what_to_set(
    baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("served")
    app.config["BOXKITE_BASELINE"] = baseline
    Boxkite(app)
    for _ in range(3):
        app.test_client().get("/metrics", environ_overrides=SEVERAL)
    assert warnings_of(caplog) == [WHAT_TO_SET]


@pytest.mark.parametrize("set_up", ["one process", "adapter", "explicit directory", "gunicorn", "fork", "disabled"])
def test_who_counts_together_is_told_nothing(
    baseline: Baseline,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    set_up: str,
) -> None:
    if set_up == "gunicorn":
        monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/23.0.0")
    app = Flask("served")
    app.config["BOXKITE_BASELINE"] = baseline
    if set_up == "explicit directory":
        app.config["BOXKITE_STATE_DIR"] = str(tmp_path)
    app.config["BOXKITE_ENABLED"] = set_up != "disabled"
    Boxkite(app)

    def is_quiet() -> bool:
        said = {"one process": {}, "adapter": {"wsgi.multiprocess": True}}.get(set_up, SEVERAL)
        app.test_client().get("/metrics", environ_overrides=said)
        return warnings_of(caplog) == []

    if set_up == "fork":
        run_in_child(lambda: assert_true(is_quiet()))
    else:
        assert is_quiet()


def assert_true(value: bool) -> None:
    """Fail in a child, whose exit code tells."""
    assert value
