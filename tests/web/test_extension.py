"""Setting up: apps, models, routes, and what is said when something is wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, current_app, request
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from flask_boxkite import Baseline, BaselineError, Boxkite, ConfigError
from flask_boxkite.config import DEFAULT_BASELINE_PATH
from tests.web.twins import ID_HEADER, Records, Samples, Twins, check_counted, training_baseline

Make = Callable[..., Twins]

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}


def app_of(baseline: Any, **config: Any) -> Flask:
    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline, **config)
    return app


def metrics_of(app: Flask) -> Samples:
    return Samples(app.test_client().get("/metrics").text)


# --- One object, several apps ---------------------------------------------------------------------------------------


def test_a_monitor_shows_its_apps_and_models(baseline: Baseline) -> None:
    assert repr(Boxkite()) == "<Boxkite of 0 apps, models: none>"
    app = app_of({"fraud": baseline, "churn": baseline})
    assert repr(Boxkite(app)) == "<Boxkite of 1 app, models: 'churn', 'fraud'>"


def test_a_decorator_may_stand_before_and_after_init_app(baseline: Baseline) -> None:
    monitor = Boxkite()
    app = app_of(baseline)
    early = Blueprint("early", "early")
    early.post("/early")(monitor.predict(lambda: {"score": 0.5}))
    app.register_blueprint(early)
    monitor.init_app(app)
    late = Blueprint("late", "late")
    late.post("/late")(monitor.predict(lambda: {"score": 0.5}))
    app.register_blueprint(late)
    client = app.test_client()
    for path in ("/early", "/late"):
        assert client.post(path, json=ANN).status_code == 200
    check_counted(metrics_of(app), [ANN, ANN], [0.5, 0.5])


def test_a_factory_called_twice_makes_two_apps_that_share_nothing(baseline: Baseline) -> None:
    def create_app() -> tuple[Flask, Records]:
        sink = Records()
        app = app_of(baseline, BOXKITE_SINK=sink)
        monitor = Boxkite(app)
        app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
        app.extensions["close"] = monitor.close
        return app, sink

    (first, first_sink), (second, second_sink) = create_app(), create_app()
    first.test_client().post("/score", json=ANN)
    check_counted(metrics_of(first), [ANN], [0.5])
    assert metrics_of(second).statuses() == {}
    for app in (first, second):
        app.extensions["close"]()
    assert (len(first_sink.taken), len(second_sink.taken)) == (1, 0)


def test_one_monitor_serves_two_apps_that_share_nothing(baseline: Baseline) -> None:
    monitor = Boxkite()
    view = monitor.predict(lambda: {"score": 0.5})
    sinks = [Records(), Records()]
    apps = [app_of(baseline, BOXKITE_SINK=sink) for sink in sinks]
    for app in apps:
        monitor.init_app(app)
        app.post("/score")(view)
    apps[0].test_client().post("/score", json=ANN)
    apps[1].test_client().post("/score", json=ANN)
    apps[1].test_client().post("/score", json=ANN)
    check_counted(metrics_of(apps[0]), [ANN], [0.5])
    check_counted(metrics_of(apps[1]), [ANN] * 2, [0.5] * 2)
    with apps[1].app_context():
        monitor.log_prediction(None, ANN, 0.5)
    assert metrics_of(apps[0]).statuses() == {"ok": 1}
    assert metrics_of(apps[1]).statuses() == {"ok": 3}
    monitor.close()
    assert [len(sink.taken) for sink in sinks] == [1, 3]


def test_an_app_that_is_mounted_twice_is_one_app(baseline: Baseline) -> None:
    app = app_of(baseline)
    monitor = Boxkite(app)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    client = Client(DispatcherMiddleware(app, {"/again": app}))
    for path, count in (("/score", 2), ("/again/score", 3)):
        for _ in range(count):
            client.post(path, json=ANN)
    for path in ("/metrics", "/again/metrics"):
        assert Samples(client.get(path).text).statuses() == {"ok": 5}


def test_a_second_registration_is_refused(baseline: Baseline) -> None:
    app = app_of(baseline)
    Boxkite(app)
    with pytest.raises(ConfigError) as caught:
        Boxkite(app)
    assert str(caught.value) == "This Flask app has a Boxkite monitor already. Call 'init_app' once for each app."


def test_a_failed_registration_may_be_repeated(baseline: Baseline) -> None:
    """Nothing of the failed one is left in the app."""
    app = app_of("/no/such/file")
    monitor = Boxkite()
    with pytest.raises(BaselineError):
        monitor.init_app(app)
    app.config["BOXKITE_BASELINE"] = baseline
    monitor.init_app(app)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    answer = app.test_client().post("/score", json=ANN)
    assert len(answer.headers.getlist(ID_HEADER)) == 1
    check_counted(metrics_of(app), [ANN], [0.5])


def test_an_app_without_the_monitor_serves_its_views_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    import numpy as np

    monitor, app = Boxkite(), Flask("served")

    @app.post("/score")
    @monitor.predict
    def unregistered_score() -> Any:
        return np.float64(0.5)

    client = app.test_client()
    for _ in range(3):
        assert client.post("/score", json=ANN).get_json() == 0.5
    (message,) = caplog.messages
    assert message == (
        "The app that serves "
        "'test_an_app_without_the_monitor_serves_its_views_and_is_told.<locals>.unregistered_score' "
        "has no Boxkite monitor, so its predictions are not counted. Did you forget to call 'init_app'?"
    )


def test_a_view_that_a_script_calls_works_and_is_told(baseline: Baseline, caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(baseline)
    monitor = Boxkite(app)
    score = monitor.predict(lambda: 0.5)

    async def score_later() -> Any:
        return score()

    assert [score(), score(), asyncio.run(monitor.predict(score_later)())] == [0.5] * 3
    with app.app_context():
        assert score() == 0.5
    first, second = caplog.messages
    name = "test_a_view_that_a_script_calls_works_and_is_told.<locals>"
    remedy = "is called outside of a request, where it is not counted. Log it with monitor.log_prediction()."
    assert [first, second] == [f"'{name}.<lambda>' {remedy}", f"'{name}.score_later' {remedy}"]
    assert metrics_of(app).statuses() == {}


def test_the_name_of_a_service_leaves_its_apps_their_own(
    baseline: Baseline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each process may make its apps in another order."""
    for names in (("api", "admin"), ("admin", "api")):
        apps = {name: Flask(name) for name in names}
        for app in apps.values():
            app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_STATE_DIR=str(tmp_path), BOXKITE_NAME="scoring")
            monitor = Boxkite(app)
            app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
        for name in ("api", "admin", "admin"):
            apps[name].test_client().post("/score", json=ANN)
        counted = {name: metrics_of(app).statuses() for name, app in apps.items()}
        del apps, app, monitor
        gc.collect()
    assert counted == {"api": {"ok": 2}, "admin": {"ok": 4}}
    assert caplog.messages == []


# --- Models ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_baseline() -> Baseline:
    """Return the baseline of another model, of one feature."""
    from flask_boxkite.baseline.training.build import build_baseline

    return build_baseline({"x": [i / 10 for i in range(1000)]}, ["yes", "no"] * 500, model="other")


def test_several_models_count_apart(baseline: Baseline, other_baseline: Baseline) -> None:
    sink = Records()
    app = app_of({"risk": baseline, "churn": other_baseline}, BOXKITE_SINK=sink)
    monitor = Boxkite(app)
    app.add_url_rule("/risk", "risk", monitor.predict(model="risk")(lambda: {"score": 0.5}), methods=["POST"])
    app.add_url_rule("/churn", "churn", monitor.predict(model="churn")(lambda: {"label": "yes"}), methods=["POST"])
    client = app.test_client()
    client.post("/risk", json=ANN)
    client.post("/churn", json={"x": 5})
    client.post("/churn", json={"x": 6})
    samples = metrics_of(app)
    assert samples.value("boxkite_predictions_total", model="risk", status="ok") == 1
    assert samples.value("boxkite_predictions_total", model="churn", status="ok") == 2
    assert samples.by("group", "boxkite_inference_group_total", model="churn") == {"yes": 2}
    assert sum(samples.by("group", "boxkite_feature_group_total", feature="age", model="risk").values()) == 1
    assert samples.errors() == {}
    monitor.close()
    assert [(record["model"], record["baseline"]) for record in sink.taken] == [
        ("risk", baseline.fingerprint),
        ("churn", other_baseline.fingerprint),
        ("churn", other_baseline.fingerprint),
    ]


@pytest.mark.parametrize(("model", "fact"), [("rsik", "there is no model 'rsik'"), (None, "no model is named")])
@pytest.mark.parametrize("is_early", [True, False], ids=["routed before", "decorated after"])
def test_a_model_that_is_not_there_is_refused_at_set_up(
    baseline: Baseline, other_baseline: Baseline, model: str | None, fact: str, is_early: bool
) -> None:
    app = app_of({"risk": baseline, "churn": other_baseline})
    monitor = Boxkite() if is_early else Boxkite(app)
    if is_early:
        app.post("/score")(monitor.predict(model=model)(lambda: {"score": 0.5}))
    with pytest.raises(ConfigError) as caught:
        _ = monitor.init_app(app) if is_early else monitor.predict(model=model)
    assert str(caught.value) == f"'BOXKITE_BASELINE' has several models and {fact}. Known: 'risk', 'churn'."


def test_only_models_that_an_app_routes_are_asked_for(
    baseline: Baseline, other_baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    """One monitor, blueprints of several models, of which each app registers some."""
    monitor = Boxkite()
    blueprints = {}
    for model, answer in (("risk", {"score": 0.5}), ("churn", {"label": "yes"})):
        blueprints[model] = Blueprint(model, model)
        view = monitor.predict(model=model)(lambda answer=answer: answer)
        blueprints[model].add_url_rule("/score", view_func=view, endpoint="score", methods=["POST"])

    def create_app(model: str, baseline: Baseline) -> Flask:
        app = app_of({model: baseline})
        monitor.init_app(app)
        monitor.predict(model="imported after init_app")(lambda: None)
        app.register_blueprint(blueprints[model])
        return app

    apps = {"risk": create_app("risk", baseline), "churn": create_app("churn", other_baseline)}
    apps["risk"].test_client().post("/score", json=ANN)
    apps["churn"].test_client().post("/score", json={"x": 5})
    for model, app in apps.items():
        assert metrics_of(app).by("model", "boxkite_predictions_total") == {model: 1}
    assert caplog.messages == []


def test_a_routed_model_that_is_not_there_is_said_once_and_its_requests_are_counted(
    baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    """It can be known only with the first request, and that must not fail."""
    sink = Records()
    app, monitor = app_of({"risk": baseline}, BOXKITE_SINK=sink), Boxkite()
    monitor.init_app(app)

    @app.post("/score")
    @monitor.predict(model="rsik")
    def misspelt() -> Any:
        return {"score": 0.5}

    for _ in range(3):
        answer = app.test_client().post("/score", json=ANN)
        assert (answer.status_code, answer.get_json()) == (200, {"score": 0.5})
        assert ID_HEADER in answer.headers
    (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert message == (
        "'test_a_routed_model_that_is_not_there_is_said_once_and_its_requests_are_counted.<locals>.misspelt' is "
        "counted without a baseline. 'BOXKITE_BASELINE' has only the model 'risk', not 'rsik'. "
        "Set it to a mapping, such as {'rsik': path}."
    )
    assert metrics_of(app).by("model", "boxkite_predictions_total") == {"rsik": 3}
    monitor.close()
    assert [record["model"] for record in sink.taken] == ["rsik"] * 3


def method_of_a_class(app: Flask, monitor: Boxkite) -> None:
    class Score(MethodView):
        @monitor.predict(model="rsik")
        def post(self) -> Any:
            return {"score": 0.5}

    app.add_url_rule("/score", view_func=Score.as_view("score"))


def method_beside_one_that_raises(app: Flask, monitor: Boxkite) -> None:
    class Unready:
        def __get__(self, *args: Any) -> Any:
            raise RuntimeError("not yet")

    class Base(MethodView):
        ready = Unready()

        @monitor.predict(model="replaced")
        def post(self) -> Any:
            return {"score": 0.5}

    class Score(Base):
        @monitor.predict(model="rsik")
        def post(self) -> Any:
            return {"score": 0.5}

    app.add_url_rule("/score", view_func=Score.as_view("score"))


def bound_method(app: Flask, monitor: Boxkite) -> None:
    class Score:
        @monitor.predict(model="rsik")
        def post(self) -> Any:
            return {"score": 0.5}

    app.add_url_rule("/score", view_func=Score().post, methods=["POST"])


@pytest.mark.parametrize("define", [method_of_a_class, method_beside_one_that_raises, bound_method])
def test_the_model_of_a_method_is_looked_at_before_it_predicts(
    baseline: Baseline, define: Callable[[Flask, Boxkite], None]
) -> None:
    app, monitor = app_of({"risk": baseline}), Boxkite()
    monitor.init_app(app)
    define(app, monitor)
    (problem,) = app.extensions["boxkite"].route_problems(app)
    assert problem == (
        f"'{define.__name__}.<locals>.Score.post' is counted without a baseline. "
        "'BOXKITE_BASELINE' has only the model 'risk', not 'rsik'. Set it to a mapping, such as {'rsik': path}."
    )


def test_a_model_that_no_route_shows_is_said_once_when_it_predicts(
    baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    app, monitor = app_of({"risk": baseline}), Boxkite()
    monitor.init_app(app)
    score = monitor.predict(model="rsik")(lambda: {"score": 0.5})
    app.post("/score")(lambda: score())
    client = app.test_client()
    client.get("/")
    assert caplog.messages == []
    for _ in range(3):
        client.post("/score", json=ANN)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert message.endswith(
        "is counted without a baseline. 'BOXKITE_BASELINE' has only the model 'risk', not 'rsik'. "
        "Set it to a mapping, such as {'rsik': path}."
    )


def test_another_model_than_that_of_the_only_baseline_is_refused(baseline: Baseline) -> None:
    """Without a baseline, its drift would never be judged, and its users would not know why."""
    app = app_of(baseline)  # kept, as the monitor forgets an app that is gone
    monitor = Boxkite(app)
    with pytest.raises(ConfigError) as caught:
        monitor.predict(model="rsik")
    assert str(caught.value) == (
        f"'BOXKITE_BASELINE' has only the model {baseline.model!r}, not 'rsik'. "
        "Set it to a mapping, such as {'rsik': path}."
    )


def challenger_in_the_view(app: Flask, monitor: Boxkite) -> None:
    @app.post("/score")
    @monitor.predict(model="risk")
    def score() -> Any:
        monitor.log_prediction(features=ANN, output=0.25, model="churn")
        return {"score": 0.5}


def challenger_in_the_stream(app: Flask, monitor: Boxkite) -> None:
    def parts() -> Any:
        yield '{"score": '
        monitor.log_prediction(features=ANN, output=0.25, model="churn")
        yield "0.5}"

    app.post("/score")(monitor.predict(model="risk")(lambda: Response(parts(), mimetype="application/json")))


@pytest.mark.parametrize("define", [challenger_in_the_view, challenger_in_the_stream])
def test_a_second_model_that_is_logged_by_hand_takes_no_prediction_away(
    baseline: Baseline, define: Callable[[Flask, Boxkite], None]
) -> None:
    sink = Records()
    app = app_of({"risk": baseline, "churn": baseline}, BOXKITE_SINK=sink)
    monitor = Boxkite(app)
    define(app, monitor)
    answer = app.test_client().post("/score", json=ANN, buffered=True)
    assert metrics_of(app).by("model", "boxkite_predictions_total") == {"risk": 1, "churn": 1}
    monitor.close()
    records = {record["model"]: record for record in sink.taken}
    assert {model: record["output"] for model, record in records.items()} == {"risk": 0.5, "churn": 0.25}
    assert answer.headers[ID_HEADER] == records["risk"]["prediction_id"] != records["churn"]["prediction_id"]


def test_a_decorated_function_of_a_second_model_is_told(baseline: Baseline, caplog: pytest.LogCaptureFixture) -> None:
    """A request is one prediction, of the first that begins."""
    app = app_of({"risk": baseline, "churn": baseline})
    monitor = Boxkite(app)
    risk = monitor.predict(model="risk")(lambda: 0.5)

    @monitor.predict(model="churn")
    def churn() -> Any:
        return 0.25

    app.post("/score")(lambda: {"risk": risk().get_json(), "churn": churn()})
    for _ in range(3):
        assert app.test_client().post("/score", json=ANN).get_json() == {"risk": 0.5, "churn": 0.25}
    assert metrics_of(app).by("model", "boxkite_predictions_total") == {"risk": 3}
    (message,) = caplog.messages
    assert message == (
        "'test_a_decorated_function_of_a_second_model_is_told.<locals>.churn' is called in a request that is a "
        "prediction of another model already, so it is not counted. Log it with monitor.log_prediction(model=...)."
    )


def test_a_model_may_be_left_out_where_there_is_one(baseline: Baseline) -> None:
    app = app_of({"risk": baseline})
    monitor = Boxkite(app)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    app.test_client().post("/score", json=ANN)
    assert metrics_of(app).value("boxkite_predictions_total", model="risk", status="ok") == 1


@pytest.mark.parametrize("given", [{}, {"": "x"}, {5: "x"}], ids=str)
def test_models_must_have_names(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"^'BOXKITE_BASELINE' must name at least one model, each by a text, got \{"):
        Boxkite(app_of(given))


# --- Wrong use ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["features", "output"])
def test_an_option_of_a_wrong_type_is_refused(option: str) -> None:
    options: dict[str, Any] = {option: 5}
    with pytest.raises(ConfigError) as caught:
        Boxkite().predict(**options)
    assert str(caught.value) == f"'{option}' must be a dotted path, a callable or None, got 5."


@pytest.mark.parametrize("model", [3, 0, "", ["risk"], b"risk"], ids=repr)
def test_a_model_without_a_name_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Boxkite().predict(model=model)
    assert str(caught.value) == f"'model' must be a text that is not empty, or None, got {model!r}."


class Served(Flask):
    """A class, not an app."""


class Wrapping:
    """An object that has a Flask app, as connexion's and flask-restx's have."""

    def __init__(self) -> None:
        self.app = Flask("inner")


@pytest.mark.parametrize(
    ("given", "got", "remedy"),
    [
        (
            lambda: Blueprint("api", "api"),
            "the blueprint 'api'",
            "Register the monitor with the app that registers the blueprint.",
        ),
        (lambda: Served, "the class 'Served'", "Make an app of it first."),
        (
            Wrapping,
            "an object of type 'tests.web.test_extension.Wrapping'",
            "Give it the Flask app that is its attribute 'app'.",
        ),
        (lambda: "scoring:app", "an object of type 'builtins.str'", "Give it the Flask app itself."),
    ],
    ids=["blueprint", "class", "wrapping", "text"],
)
@pytest.mark.parametrize("register", [Boxkite, lambda app: Boxkite().init_app(app)], ids=["constructor", "init_app"])
def test_what_is_no_app_is_refused(register: Any, given: Callable[[], Any], got: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        register(given())
    assert str(caught.value) == f"A monitor is registered with a Flask app, got {got}. {remedy}"


def test_the_proxy_of_an_app_is_the_app(baseline: Baseline) -> None:
    app = app_of(baseline)
    with app.app_context():
        monitor = Boxkite(current_app)  # type: ignore[arg-type]

    @app.post("/score")
    @monitor.predict
    def failing() -> Any:
        raise RuntimeError

    assert app.test_client().post("/score", json=ANN).status_code == 500
    assert metrics_of(app).statuses() == {"error": 1}


@pytest.mark.parametrize("name", ["", 5, b"x"])
def test_a_name_is_a_text(baseline: Baseline, name: Any) -> None:
    text = f"^'name' must be a text that is not empty, or None, got {re.escape(repr(name))}\\.$"
    with pytest.raises(ConfigError, match=text):
        Boxkite(app_of(baseline), name=name)
    with pytest.raises(ConfigError, match=text):
        Boxkite().init_app(app_of(baseline), name=name)


@pytest.mark.parametrize("is_bare", [True, False], ids=["bare", "with options"])
def test_a_class_is_no_view(is_bare: bool) -> None:
    """Also below ``predict``, where the route of a class, as `flask_restful` has it, returns the class."""
    monitor = Boxkite()
    with pytest.raises(ConfigError) as caught:

        @(monitor.predict if is_bare else monitor.predict(model="risk"))
        class Score(MethodView):
            pass

    assert str(caught.value) == (
        "'predict' decorates functions, got the class 'Score'. Decorate its methods that predict, or set "
        "'decorators = [monitor.predict]' in it."
    )


def test_what_cannot_be_called_is_no_view() -> None:
    with pytest.raises(ConfigError, match=r"^'predict' takes options by name, and then the view, got 5\.$"):
        Boxkite().predict(model="risk")(5)  # type: ignore[type-var]


def test_a_model_given_by_position_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^'predict' takes options by name, such as predict\(model='risk'\)"):
        Boxkite().predict("risk")  # type: ignore[type-var]


def test_a_decorator_above_the_route_is_told(twins: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Such a decorator sees no request, which would otherwise go unnoticed."""

    def define(app: Flask, predict: Any) -> None:
        @predict
        @app.post("/score")
        def score_upside_down() -> Any:
            return {"score": 0.5}

    app = twins(define)
    for _ in range(3):
        app.send(json=ANN)
    assert app.scrape().statuses() == {}
    (message,) = caplog.messages
    assert message == (
        "'@monitor.predict' stands above the route of "
        "'test_a_decorator_above_the_route_is_told.<locals>.define.<locals>.score_upside_down', so it sees no request "
        "and counts nothing. Write the route first: '@app.post(...)', then '@monitor.predict'."
    )


def test_a_view_that_is_decorated_twice_needs_one_route(twins: Make, caplog: pytest.LogCaptureFixture) -> None:
    def define(app: Flask, predict: Any) -> None:
        def score() -> Any:
            return {"score": 0.5}

        predict(score)
        app.post("/score")(predict(score))

    app = twins(define)
    app.send(json=ANN)
    assert app.scrape().statuses() == {"ok": 1}
    assert caplog.messages == []


def test_a_view_that_cannot_be_looked_at_fails_no_request(baseline: Baseline, caplog: pytest.LogCaptureFixture) -> None:
    class Incomparable:
        def __call__(self) -> str:
            return "compared to nothing"

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparison")

        __hash__ = object.__hash__

    app = app_of(baseline)
    monitor = Boxkite(app)
    app.add_url_rule("/", "other", Incomparable())
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    client = app.test_client()
    assert client.get("/").text == "compared to nothing"
    client.post("/score", json=ANN)
    assert metrics_of(app).statuses() == {"ok": 1}
    assert caplog.messages == ["The routes of the app could not be checked; its requests are not affected."]


def test_an_existing_metrics_route_is_refused(baseline: Baseline) -> None:
    app = app_of(baseline)
    app.add_url_rule("/metrics", "own", lambda: "own")
    with pytest.raises(ConfigError) as caught:
        Boxkite(app)
    assert str(caught.value) == (
        "'BOXKITE_METRICS_PATH' is '/metrics', which is the route of 'own' already. Set another path, or None and "
        "serve monitor.export_http() yourself."
    )


@pytest.mark.parametrize(
    ("path", "own", "key"),
    [
        ("/metrics", "boxkite.metrics", "BOXKITE_METRICS_PATH"),
        ("/boxkite/", "boxkite_dashboard.overview", "BOXKITE_DASHBOARD_PATH"),
    ],
)
def test_a_route_that_is_shadowed_is_told(
    baseline: Baseline, caplog: pytest.LogCaptureFixture, path: str, own: str, key: str
) -> None:
    app = app_of(baseline, BOXKITE_DASHBOARD_PATH="/boxkite")
    Boxkite(app)
    app.add_url_rule(path, "own", lambda: "own")
    app.test_client().get("/")
    app.test_client().get("/")
    (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert message == f"Several routes serve '{path}': '{own}', 'own'. Set '{key}' to another path."


def test_a_route_of_another_method_is_no_conflict(baseline: Baseline, caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(baseline)
    app.add_url_rule("/metrics", "push", lambda: "pushed", methods=["POST"])
    Boxkite(app)
    assert app.test_client().post("/metrics").text == "pushed"
    assert "boxkite_predictions_total" in app.test_client().get("/metrics").text
    assert caplog.messages == []


def test_routes_without_methods_do_no_harm(baseline: Baseline) -> None:
    """Websocket extensions add such rules."""
    from werkzeug.routing import Rule

    app = app_of(baseline)
    app.url_map.add(Rule("/metrics", endpoint="socket", websocket=True))
    Boxkite(app)
    assert app.test_client().get("/").status_code == 404


def test_another_path_and_no_path(baseline: Baseline) -> None:
    app = app_of(baseline, BOXKITE_METRICS_PATH="/internal/metrics")
    Boxkite(app)
    assert app.test_client().get("/metrics").status_code == 404
    assert "boxkite_predictions_total" in app.test_client().get("/internal/metrics").text

    none = app_of(baseline, BOXKITE_METRICS_PATH=None)
    monitor = Boxkite(none)

    @none.get("/by-hand")
    def by_hand() -> Any:
        body, content_type = monitor.export_http(request.args.to_dict(flat=False), dict(request.headers))
        return body, 200, {"Content-Type": content_type}

    assert none.test_client().get("/metrics").status_code == 404
    answer = none.test_client().get("/by-hand?name[]=boxkite_predictions_total", headers={"Accept": "text/plain"})
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert {line.split("{")[0] for line in answer.text.splitlines() if line[0] != "#"} == {"boxkite_predictions_total"}


def test_a_wrong_setting_is_refused_before_anything_is_registered(baseline: Baseline) -> None:
    app = app_of(baseline, BOXKITE_SAMPEL_RATE=0.5)
    with pytest.raises(ConfigError) as caught:
        Boxkite(app)
    assert str(caught.value) == (
        "'BOXKITE_SAMPEL_RATE' is not a setting of flask-boxkite. Did you mean 'BOXKITE_SAMPLE_RATE'?"
    )
    assert "boxkite" not in app.extensions
    assert app.test_client().get("/metrics").status_code == 404


def test_the_default_baseline_may_be_absent_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(None)
    monitor = Boxkite(app)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    assert app.test_client().post("/score", json=ANN).status_code == 200
    (message,) = caplog.messages
    assert message.startswith(f"There is no baseline at '{DEFAULT_BASELINE_PATH}': ")
    assert metrics_of(app).statuses() == {"ok": 1}


# --- Baselines that cannot be used ----------------------------------------------------------------------------------


def damaged(change: Callable[[str], str | bytes]) -> Callable[[str], bytes]:
    def damage(text: str) -> bytes:
        after = change(text)
        assert after != text
        return after if isinstance(after, bytes) else after.encode()

    return damage


def swapped_bounds(text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if "_bucket{" in line)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return "".join(lines)


def repeated_bounds(text: str) -> str:
    line = next(line for line in text.splitlines(keepends=True) if "_bucket{" in line)
    return text.replace(line, line * 2)


DAMAGE: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda text: "",
    "binary": lambda text: bytes(range(256)),
    "not UTF-8": lambda text: text.replace("Paris", "P\xe4ris").encode("latin-1"),
    "truncated": lambda text: text[: len(text) // 2],
    "HTML": lambda text: "<!DOCTYPE html><p>404</p>",
    "pickle": lambda text: pickle.dumps({"age": 1}),
    "unsorted bounds": swapped_bounds,
    "repeated bounds": repeated_bounds,
    "words for counts": lambda text: text.replace(" 1000\n", " many\n"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_baseline_that_cannot_be_read_is_named(
    damage: Callable[[str], str | bytes], baseline_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.prom"
    path.write_bytes(damaged(damage)(baseline_path.read_text()))
    with pytest.raises(BaselineError) as caught:
        Boxkite(app_of(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_baseline_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=r"absent\.prom"):
        Boxkite(app_of(tmp_path / "absent.prom"))


def test_a_baseline_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^'BOXKITE_BASELINE' must be a path, a Baseline, .* got b'b\.prom'\.$"):
        Boxkite(app_of(b"b.prom"))


def test_a_file_and_an_object_serve_alike(baseline: Baseline, baseline_path: Path) -> None:
    texts = []
    for given in (baseline, baseline_path, str(baseline_path)):
        app = app_of(given)
        monitor = Boxkite(app)
        app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
        app.test_client().post("/score", json=ANN)
        samples = metrics_of(app)
        check_counted(samples, [ANN], [0.5])
        texts.append([line for line in samples.text.splitlines() if "feature" in line or "inference" in line])
    assert texts[0] == texts[1] == texts[2]


def test_drift_is_asked_of_the_app(baseline: Baseline) -> None:
    app = app_of(baseline)
    monitor = Boxkite(app)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    client = app.test_client()
    for number in range(200):
        client.post("/score", json=[1000 + number, 1e9, "Oslo"])
    with app.app_context():
        report = monitor.drift()
    assert {variable.name: variable.verdict for variable in report.variables}["age"] == "major"


def test_names_of_models_and_pods_are_only_text(twins: Make, tmp_path: Path) -> None:
    """Whatever they hold, files stay below the directory of the logs."""
    baseline = training_baseline(model="../../evil/../ model.")
    root = tmp_path / "logs"
    app = app_of(
        baseline,
        BOXKITE_LOG_DIR=root,
        BOXKITE_ENDPOINT_ID="../../../up/..",
        BOXKITE_POD_NAME="/etc/passwd .. x",
        BOXKITE_SERVER_ID="../s",
        BOXKITE_LOGGER_ID="../l",
        BOXKITE_FLUENTD_PREFIX="../p/q.r",
    )
    monitor = Boxkite(app)
    app.post("/score")(monitor.predict(lambda: {"score": 0.5}))
    assert app.test_client().post("/score", json=ANN).status_code == 200
    monitor.close()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 1
    assert root in written[0].resolve().parents
    assert metrics_of(app).labels("model", "boxkite_predictions_total") == {"../../evil/../ model."}


# --- Secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {**ANN, "card": "4111-1111"}},
        {"json": [{**ANN, "card": "4111-1111"}, {**ANN, "card": "4111-1111"}]},
        {"json": {"client": {"card": "4111-1111"}, **ANN}},
        {"json": {"features": {**ANN, "card": "4111-1111"}}},
        {"data": {**{k: str(v) for k, v in ANN.items()}, "card": "4111-1111"}},
        {"data": "age,income,city,card\n30,2500,Paris,4111-1111\n", "content_type": "text/csv"},
        {"data": '{"card": "4111-1111", ', "content_type": "application/json"},
        {"data": b"\xff card=4111-1111", "content_type": "application/octet-stream"},
        {"json": {**ANN, "card": "4111-1111", "note": "n" * 500}},
    ],
    ids=["object", "rows", "deep", "features", "form", "CSV", "broken", "binary", "long"],
)
def test_redacted_fields_never_reach_a_sink(twins: Make, sent: dict[str, Any]) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            request.get_data()
            return {"score": 0.5, "card": "4111-1111"}

    app = twins(define, BOXKITE_REDACT=["card"], BOXKITE_MAX_BODY_BYTES=300)
    app.send(**sent)
    (record,) = app.records()
    assert "4111" not in repr(record)
    assert "NDExMS" not in repr(record), "in base64"


def test_a_redacting_callable_that_fails_drops_the_record(twins: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A secret is worth more than a record; the drop is counted."""

    def redact(record: dict[str, Any]) -> Any:
        raise RuntimeError("no idea")

    def define(app: Flask, predict: Any) -> None:
        app.post("/score")(predict(lambda: {"score": 0.5}))

    app = twins(define, BOXKITE_REDACT=redact)
    app.send(json=ANN)
    assert app.records() == []
    samples = app.scrape()
    check_counted(samples, [ANN], [0.5])
    assert samples.by("reason", "boxkite_log_dropped_total") == {"unencodable": 1}
    assert samples.value("boxkite_log_records_total", outcome="accepted") == 1
