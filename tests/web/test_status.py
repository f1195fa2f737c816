"""The counted and recorded status is the client's, with any extensions in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    got_request_exception,
    request,
    request_finished,
)
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite
from flask_boxkite.testing import RecordingSink
from tests.web.twins import ID_HEADER, Samples, check_nothing_counted

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}


class Broken(Exception):
    """An exception that a hook raises."""


class Scoring:
    """An app with one view that predicts, and what was counted and recorded of it.

    Args:
        baseline: Baseline of the app.
        prepare: Gets the app, and changes what its client gets.
        is_first: Whether it does so before the monitor is there.
        config: Settings of the app.
    """

    def __init__(self, baseline: Baseline, prepare: Callable[[Flask], Any], *, is_first: bool, **config: Any) -> None:
        self.sink = RecordingSink()
        self.app = app = Flask("served")
        app.logger.disabled = True
        app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=self.sink, **config)
        if is_first:
            self.held = prepare(app)
        self.monitor = Boxkite(app)
        if not is_first:
            self.held = prepare(app)

        models = Blueprint("models", "models")
        models.post("/score")(self.monitor.predict(lambda: {"score": 0.5}))
        app.register_blueprint(models)

    def send(self) -> tuple[int, bool]:
        """Return the status that the client of a server gets, and whether it is told an id."""
        try:
            answer = Client(self.app).post("/score", json=ANN)
        except (Broken, HTTPException):  # as every server answers it
            return 500, False
        return answer.status_code, ID_HEADER in answer.headers

    def counted(self) -> dict[str, float]:
        samples = Samples(Client(self.app).get("/metrics").text)
        if "ok" not in samples.statuses():
            check_nothing_counted(samples)
        return samples.statuses()

    def recorded(self) -> list[str]:
        with self.app.app_context():
            assert self.monitor.flush(30) == 0
        return [record["status"] for record in self.sink.records]

    def close(self) -> None:
        self.monitor.close()


@pytest.fixture
def scoring(baseline: Baseline) -> Iterator[Callable[..., Scoring]]:
    made: list[Scoring] = []

    def make(*arguments: Any, **options: Any) -> Scoring:
        made.append(Scoring(baseline, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def is_prediction() -> bool:
    return request.path == "/score"


# --- What changes the status -----------------------------------------------------------------------------------------


def hook_answers(app: Flask) -> None:
    @app.after_request
    def refuse(response: Response) -> Response:
        return Response("too many", 429) if is_prediction() else response


def hook_changes(app: Flask) -> None:
    @app.after_request
    def hide(response: Response) -> Response:
        if is_prediction():
            response.status_code = 404
        return response


def hook_that_comes_last(app: Flask) -> None:
    def refuse(response: Response) -> Response:
        return Response("too many", 429) if is_prediction() else response

    app.after_request_funcs.setdefault(None, []).insert(0, refuse)


def hook_of_the_request(app: Flask) -> None:
    @app.before_request
    def begin() -> None:
        if is_prediction():
            after_this_request(lambda response: Response("gone", 410))


def hook_fails(app: Flask) -> None:
    @app.after_request
    def fail(response: Response) -> Response:
        if is_prediction():
            raise Broken
        return response


def hook_aborts(app: Flask) -> None:
    """Once: Flask answers 500 to an abort in a hook."""

    @app.after_request
    def fail(response: Response) -> Response:
        if is_prediction() and response.status_code == 200:
            abort(409)
        return response


def hook_fails_once(app: Flask) -> None:
    @app.after_request
    def fail(response: Response) -> Response:
        if is_prediction() and response.status_code == 200:
            raise Broken
        return response

    app.register_error_handler(500, lambda error: ("later", 503))


def session_is_not_saved(app: Flask) -> None:
    class Interface(SecureCookieSessionInterface):
        def save_session(self, app: Any, session: Any, response: Response) -> None:
            if is_prediction() and response.status_code == 200:
                raise Broken

    app.secret_key = "secret"
    app.session_interface = Interface()


def receiver_fails(app: Flask) -> Any:
    def receive(sender: Flask, response: Response, **details: Any) -> None:
        if is_prediction() and response.status_code == 200:
            raise Broken

    request_finished.connect(receive, app)
    return receive


def receiver_changes(app: Flask) -> Any:
    def receive(sender: Flask, response: Response, **details: Any) -> None:
        if is_prediction():
            response.status_code = 418

    request_finished.connect(receive, app)
    return receive


def teardown_fails(app: Flask) -> None:
    @app.teardown_request
    def fail(error: Any) -> None:
        if is_prediction():
            raise Broken


def teardown_of_the_blueprint_fails(app: Flask) -> None:
    def fail(error: Any) -> None:
        raise Broken

    app.teardown_request_funcs["models"] = [fail]


def error_page_of_an_extension(app: Flask) -> None:
    hook_fails(app)
    answer_without_hooks(app)


def error_page_after_all_hooks(app: Flask) -> None:
    session_is_not_saved(app)
    answer_without_hooks(app)


def answer_without_hooks(app: Flask) -> None:
    """Flask-RESTful and Flask-RESTX send the signal, and answer without any more hooks."""

    def answer(error: Exception) -> Response:
        got_request_exception.send(app, exception=error)
        return Response("an error", 500)

    app.handle_exception = answer  # type: ignore[method-assign]


def signal_for_an_abort(app: Flask) -> None:
    """They send it for an error of the client, too."""

    @app.after_request
    def answer(response: Response) -> Response:
        if not is_prediction():
            return response
        got_request_exception.send(app, exception=Broken())
        return Response("no", 400)


CHANGES = {
    hook_answers: 429,
    hook_changes: 404,
    hook_that_comes_last: 429,
    hook_of_the_request: 410,
    hook_fails: 500,
    hook_aborts: 500,
    hook_fails_once: 503,
    session_is_not_saved: 500,
    receiver_fails: 500,
    receiver_changes: 418,
    teardown_fails: 500,
    teardown_of_the_blueprint_fails: 500,
    error_page_of_an_extension: 500,
    error_page_after_all_hooks: 500,
    signal_for_an_abort: 400,
}


@pytest.mark.parametrize("propagates", [False, True], ids=["pages", "propagates"])
@pytest.mark.parametrize("is_first", [True, False], ids=["before us", "after us"])
@pytest.mark.parametrize("prepare", CHANGES, ids=lambda prepare: prepare.__name__)
def test_the_status_is_the_clients(
    scoring: Callable[..., Scoring], prepare: Callable[[Flask], Any], is_first: bool, propagates: bool
) -> None:
    app = scoring(prepare, is_first=is_first, PROPAGATE_EXCEPTIONS=propagates)
    code, _ = app.send()
    if not propagates:
        assert code == CHANGES[prepare]
    status = "error" if code >= 500 else "client_error"
    assert app.counted() == {status: 1}
    assert app.recorded() == [status]


@pytest.mark.parametrize("is_first", [True, False], ids=["before us", "after us"])
def test_hooks_that_change_nothing_are_not_in_the_way(scoring: Callable[..., Scoring], is_first: bool) -> None:
    app = scoring(lambda app: app.after_request(lambda response: response), is_first=is_first)
    assert app.send() == (200, True)
    assert app.counted() == {"ok": 1}


def test_a_request_that_the_app_makes_by_hand_counts_too(scoring: Callable[..., Scoring]) -> None:
    """Endpoints that answer several requests at once do so with a copy of the request's environment."""

    def prepare(app: Flask) -> None:
        @app.post("/batch")
        def batch() -> Any:
            environ = {key: value for key, value in request.environ.items() if not key.startswith("werkzeug.")}
            statuses = []
            for path in ("/score", "/score", "/missing"):
                with app.test_request_context(path, method="POST", json=ANN, environ_base=environ):
                    statuses.append(app.full_dispatch_request().status_code)
            return {"statuses": statuses}

    app = scoring(prepare, is_first=True)
    assert Client(app.app).post("/batch").json == {"statuses": [200, 200, 404]}
    assert app.counted() == {"ok": 2}
    assert app.recorded() == ["ok", "ok"]


def test_an_app_whose_wsgi_app_was_taken_before_counts_too(baseline: Baseline) -> None:
    """Connexion takes the bound method when it makes the app."""
    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline)
    taken = app.wsgi_app
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        if "age" not in request.get_json():
            abort(422)
        return {"score": 1 / request.get_json()["age"]}

    client = Client(taken)
    codes = [client.post("/score", json=row).status_code for row in (ANN, {}, {"age": 0})]
    assert codes == [200, 422, 500]
    assert Samples(client.get("/metrics").text).statuses() == {"ok": 1, "client_error": 1, "error": 1}
