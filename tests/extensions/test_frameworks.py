"""Frameworks on top of Flask: schemas around the view, error pages and documents of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort, request
from werkzeug.test import Client

from tests.extensions.pair import ANN, Pair, Side

Make = Callable[..., Pair]

both_orders = pytest.mark.parametrize("is_first", [True, False], ids=["before us", "after us"])

OURS = ("/metrics", "boxkite")


def scored(row: Any) -> dict[str, float]:
    """Return what the model says; negative ages are the client's fault, zero breaks it."""
    if row["age"] < 0:
        abort(400)
    return {"score": 10 / row["age"]}


ROWS = (ANN, {**ANN, "age": -1.0}, {**ANN, "age": 0.0})


def check_rows(app: Pair, path: str = "/score", *, refused: int = 400) -> None:
    """Send a row that is answered, one that is refused and one that breaks the model."""
    statuses = [app.send(path=path, json=row).status_code for row in ROWS]
    assert statuses == [200, refused, 500]
    app.check(3)


def check_document(app: Pair, path: str) -> None:
    """Check that the document of an app, which is that without us, does not know our routes."""
    document = app.send("GET", path)
    assert document.status_code == 200
    assert "/score" in document.text
    assert not any(word in document.text for word in OURS)


def test_flask_smorest(pair: Make) -> None:
    import marshmallow
    from flask_smorest import Api, Blueprint

    class Row(marshmallow.Schema):
        age = marshmallow.fields.Float(required=True)
        income = marshmallow.fields.Float()

    class Score(marshmallow.Schema):
        score = marshmallow.fields.Float()

    def make(side: Side) -> Flask:
        app = Flask("served")
        side.init_app(app)
        api, blueprint = Api(app), Blueprint("models", "models")

        @blueprint.route("/score", methods=["POST"])
        @blueprint.arguments(Row)
        @blueprint.response(200, Score)
        @side.predict
        def score(row: Any) -> Any:
            return scored(row)

        api.register_blueprint(blueprint)
        return app

    app = pair(make, API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.2", OPENAPI_URL_PREFIX="/")
    check_rows(app)
    assert app.send(json={"income": 1}).status_code == 422  # refused above the view, which is no prediction
    app.check(3)
    check_document(app, "/openapi.json")


class Scored:
    """An object whose fields only a schema knows, such as an entity with a computed score."""

    @property
    def score(self) -> float:
        return 0.5


PLACES: dict[str, dict[str, Any]] = {
    "convention": {},
    "path": {"output": "score"},
    "function": {"output": lambda answer: answer["score"]},
}


@pytest.mark.parametrize("place", PLACES)
def test_objects_below_flask_smorest(pair: Make, place: str) -> None:
    import marshmallow
    from flask_smorest import Api, Blueprint

    class Score(marshmallow.Schema):
        score = marshmallow.fields.Float()

    def make(side: Side) -> Flask:
        app = Flask("served")
        side.init_app(app)
        blueprint = Blueprint("models", "models")

        @blueprint.route("/score", methods=["POST"])
        @blueprint.response(200, Score)
        @side.predicting(**PLACES[place])
        def score() -> Any:
            return Scored()

        Api(app).register_blueprint(blueprint)
        return app

    app = pair(make, API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.2")
    assert app.send(json=ANN).get_json() == {"score": 0.5}
    app.check(1)
    assert app.ours.records()[0]["output"] == 0.5


@pytest.mark.parametrize("debug", [False, True])
def test_apiflask(pair: Make, debug: bool) -> None:
    """In debug mode the drift page is there."""
    import apiflask

    class Row(apiflask.Schema):
        age = apiflask.fields.Float(required=True)
        income = apiflask.fields.Float()

    class Score(apiflask.Schema):
        score = apiflask.fields.Float()

    def make(side: Side) -> Flask:
        app = apiflask.APIFlask("served")
        side.init_app(app)

        @app.post("/score")
        @app.input(Row)
        @app.output(Score)
        @side.predict
        def score(json_data: Any) -> Any:
            return scored(json_data)

        return app

    app = pair(make, DEBUG=debug, PROPAGATE_EXCEPTIONS=False)
    check_rows(app)
    assert app.send(json={"income": 1}).status_code == 422
    app.check(3)
    check_document(app, "/openapi.json")
    assert app.ours.app is not None
    assert Client(app.ours.app).get("/boxkite/").status_code == (200 if debug else 404)


@both_orders
@pytest.mark.parametrize("propagates", [False, None], ids=["pages", "default"])
def test_flask_restx(pair: Make, is_first: bool, propagates: bool | None) -> None:
    """It sends `got_request_exception` for what it answers with 4xx, too."""
    import flask_restx

    class TooOldError(Exception):
        pass

    def make(side: Side) -> Flask:
        app = Flask("served")
        if not is_first:
            side.init_app(app)
        api = flask_restx.Api(app)
        if is_first:
            side.init_app(app)

        @api.errorhandler(TooOldError)
        def too_old(error: TooOldError) -> Any:
            return {"message": "too old"}, 409

        @api.route("/score")
        class Score(flask_restx.Resource):  # type: ignore[misc]
            method_decorators = [side.predict]  # noqa: RUF012  (as its documentation has it)

            def post(self) -> Any:
                row = request.get_json()
                if row["age"] > 150:
                    raise TooOldError
                if row["age"] < 0:
                    flask_restx.abort(400, "age must not be negative")
                return scored(row)

        return app

    app = pair(make, PROPAGATE_EXCEPTIONS=propagates)
    check_rows(app)
    assert app.send(json={**ANN, "age": 200}).status_code == 409
    app.check(4)
    check_document(app, "/swagger.json")


@both_orders
def test_flask_restful(pair: Make, is_first: bool) -> None:
    import flask_restful

    def make(side: Side) -> Flask:
        app = Flask("served")
        if not is_first:
            side.init_app(app)
        api = flask_restful.Api(app)
        if is_first:
            side.init_app(app)

        class Score(flask_restful.Resource):  # type: ignore[misc]
            method_decorators = [side.predict]  # noqa: RUF012

            def post(self) -> Any:
                row = request.get_json()
                if row["age"] < 0:
                    flask_restful.abort(400, message="age must not be negative")
                return scored(row)

        api.add_resource(Score, "/score")
        return app

    check_rows(pair(make))


@both_orders
@pytest.mark.parametrize("name", ["flask_restx", "flask_restful"])
def test_an_error_page_that_bypasses_all_hooks(pair: Make, name: str, is_first: bool) -> None:
    """They answer a failing hook themselves, without Flask's hooks: there is no id then, and one error."""
    module = pytest.importorskip(name)

    def make(side: Side) -> Flask:
        app = Flask("served")
        if not is_first:
            side.init_app(app)
        api = module.Api(app)
        if is_first:
            side.init_app(app)

        class Score(module.Resource):  # type: ignore[misc, name-defined]
            method_decorators = [side.predict]  # noqa: RUF012

            def post(self) -> Any:
                return scored(request.get_json())

        api.add_resource(Score, "/score")

        @app.after_request
        def fail(response: Any) -> Any:
            if request.path == "/score":
                raise RuntimeError("no cache")
            return response

        return app

    app = pair(make, PROPAGATE_EXCEPTIONS=False)
    assert app.send(json=ANN).status_code == 500
    assert [record["status"] for record in app.ours.records()] == ["error"]
    assert app.counted() == {"error": 1}


def test_flask_pydantic(pair: Make) -> None:
    import pydantic
    from flask_pydantic import validate

    class Row(pydantic.BaseModel):
        age: float
        income: float = 0

    class Score(pydantic.BaseModel):
        score: float

    def make(side: Side) -> Flask:
        app = Flask("served")
        side.init_app(app)

        def score(body: Row) -> Any:
            return Score(**scored(body.model_dump()))

        # The annotations of a nested function are texts that nothing can look up.
        score.__annotations__ = {"body": Row}
        app.post("/score")(validate()(side.predict(score)))
        app.post("/above", endpoint="above")(side.predict(validate()(score)))
        return app

    app = pair(make)
    check_rows(app)
    for path, predictions in (("/score", 3), ("/above", 4)):
        assert app.send(path=path, json={"income": 1}).status_code == 400
        app.check(predictions)


def test_flask_openapi3(pair: Make) -> None:
    import flask_openapi3
    import pydantic

    class Row(pydantic.BaseModel):
        age: float
        income: float = 0

    def make(side: Side) -> Flask:
        app = flask_openapi3.OpenAPI("served")
        side.init_app(app)

        def score(body: Row) -> Any:
            return scored(body.model_dump())

        score.__annotations__ = {"body": Row}
        app.post("/score")(side.predict(score))
        return app

    app = pair(make)
    check_rows(app)
    assert app.send(json={"income": 1}).status_code == 422
    app.check(3)
    check_document(app, "/openapi/openapi.json")


CONTRACT = """
openapi: "3.0.0"
info: {title: t, version: "1"}
paths:
  /score:
    post:
      operationId: score
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [age], properties: {age: {type: number}, income: {type: number}}}
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object}}}}}
"""


def test_connexion(pair: Make, tmp_path: Path) -> None:
    """It asks Flask by a way of its own, and makes its error pages outside of it."""
    import connexion

    (tmp_path / "contract.yaml").write_text(CONTRACT)

    def make(side: Side) -> Any:
        outer = connexion.FlaskApp("served", specification_dir=str(tmp_path))
        side.init_app(outer.app)

        def score(body: Any) -> Any:
            return scored(body)

        predicting = side.predict(score)
        outer.add_api("contract.yaml", resolver=connexion.resolver.Resolver(lambda name: predicting))
        client = outer.test_client(raise_server_exceptions=False)
        return lambda method, path, **options: client.request(method, path, **options)

    app = pair(make, says=["This server runs several processes"])
    statuses = [app.send(json=row).status_code for row in (*ROWS, {"income": 1})]
    assert statuses == [200, 400, 500, 400]
    # Its pages of errors have no id, and what its contract refuses never reaches the view.
    assert sorted(record["status"] for record in app.ours.records()) == ["client_error", "error", "ok"]
    assert app.counted() == {"ok": 1, "client_error": 1, "error": 1}
    check_document(app, "/openapi.json")
