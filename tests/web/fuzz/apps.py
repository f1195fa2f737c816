"""One app that does what a request's script says; it is defined twice, monitored and plain."""

from __future__ import annotations

import functools
import inspect
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, abort, after_this_request, current_app, g, jsonify, request
from flask.views import MethodView

from tests.web.fuzz.requests import Answer, Script
from tests.web.test_bodies import READERS, outcome
from tests.web.test_returns import ACCEPTED, CONVERTED, REFUSED

__all__ = ["NOTES", "Killed", "Notes", "define", "unmonitored"]

NOTES = "fuzz.notes"
"""Key of a WSGI environment: the `Notes` of its request."""

ANY = ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH"]
ANN = {"age": 30, "income": 2500.0, "city": "Paris"}


class Broken(Exception):
    """An exception for which the app has no handler."""


class Known(Exception):
    """An exception that a handler turns into a page."""


class Killed(BaseException):
    """An exception with which a server ends a greenlet."""


@dataclass
class Notes:
    """Events of a request in an app.

    Attributes:
        script: Actions to perform.
        journal: Actions and observations of view, hooks and streams, in order.
        calls: Number of calls of a decorated view; noted by the plain app.
        logged: Number of predictions logged by hand; noted by the plain app.
        has_raised: Whether a view raised.
    """

    script: Script
    journal: list[Any] = field(default_factory=list)
    calls: int = 0
    logged: int = 0
    has_raised: bool = False


def notes() -> Notes:
    """Return the notes of the current request."""
    found: Notes = request.environ[NOTES]
    return found


def unmonitored(view: Any = None, **options: Any) -> Any:
    """Stand for `Boxkite.predict` in the plain app: count calls, and make JSON of what Flask would refuse."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def call(*args: Any, **kwargs: Any) -> Any:
            notes().calls += 1
            return _converted(view(*args, **kwargs))

        @functools.wraps(view)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            notes().calls += 1
            return _converted(await view(*args, **kwargs))

        return call_async if inspect.iscoroutinefunction(view) else call

    return decorate if view is None else decorate(view)


def _converted(returned: Any) -> Any:
    answer = notes().script.answer
    if answer.kind != "converted" or isinstance(returned, Response):
        return returned
    body = current_app.json.response(CONVERTED[answer.data][1])
    return (body, *returned[1:]) if isinstance(returned, tuple) else body


# --- routes ----------------------------------------------------------------------------------------------------------


def define(app: Flask, predict: Callable[..., Any], log: Callable[..., Any]) -> None:
    """Register routes and hooks.

    Args:
        app: The app.
        predict: The decorator of views that predict.
        log: Logs a prediction by hand.
    """
    act = _acting(log)
    score = predict(act)
    _add_views(app, predict, act, score)
    _add_blueprint(app, act, score)
    app.before_request(_before)
    app.after_request(_after)
    app.teardown_request(_teardown)
    app.register_error_handler(Known, lambda error: "known")
    app.register_error_handler(404, lambda error: ("not here", 404))


def _acting(log: Callable[..., Any]) -> Callable[..., Any]:
    """Return the view that does what the script of its request says."""
    same = Response('{"score": 0.5}', mimetype="application/json")

    def act(**place: Any) -> Any:
        try:
            return follow(notes(), place)
        except BaseException:
            notes().has_raised = True
            raise

    def follow(now: Notes, place: dict[str, Any]) -> Any:
        now.journal.append(["view", place])
        for name in now.script.reads:
            now.journal.append([name, _read(name)])
        for _ in range(now.script.logs):
            log(features=ANN, output=0.5)
        if now.script.on_close:
            after_this_request(_noting_close)
        answer = now.script.answer
        if answer.kind != "same":
            return _MAKERS[answer.kind](answer)
        same._on_close.clear()  # hooks add functions to it in every request
        return same

    return act


def _add_views(app: Flask, predict: Callable[..., Any], act: Callable[..., Any], score: Callable[..., Any]) -> None:
    """Add *act* as all kinds of views, and under all options of *predict*."""

    def route(path: str, view: Callable[..., Any]) -> None:
        app.add_url_rule(path, f"view {path}", view, methods=ANY)

    route("/score", score)
    route("/score/<int:row>", score)
    route("/tree/", score)
    route("/path", predict(features="data.rows", output="scores")(act))
    route("/query", predict(features="?")(act))
    route("/picked", predict(features=lambda request: request.get_json(silent=True), output=lambda returned: 0.5)(act))
    route("/answered", predict(output=lambda answer: answer)(act))
    route("/plain", act)
    route("/nested", predict(lambda **place: score(**place)))
    route("/by-plain", lambda **place: score(**place))

    async def act_later(**place: Any) -> Any:
        return act(**place)

    route("/async", predict(act_later))

    class Scores(MethodView):
        decorators = (predict,)

        def get(self) -> Any:
            return act()

        def post(self) -> Any:
            return act()

    app.add_url_rule("/class", view_func=Scores.as_view("scores"))


def _add_blueprint(app: Flask, act: Callable[..., Any], score: Callable[..., Any]) -> None:
    """Add a blueprint with both views and hooks of its own."""
    blueprint = Blueprint("bp", __name__, url_prefix="/bp")
    blueprint.add_url_rule("/score", "score", score, methods=ANY)
    blueprint.add_url_rule("/plain", "plain", act, methods=ANY)
    blueprint.before_request(lambda: notes().journal.append("blueprint"))
    blueprint.after_request(_adding_header)
    app.register_blueprint(blueprint)


def _read(name: str) -> Any:
    if name == "args":
        return request.args.to_dict(flat=False)
    if name == "headers":
        return list(request.headers)
    if name == "cookies":
        return request.cookies.to_dict()
    if name == "place":
        return [request.url, request.full_path, request.endpoint, request.max_content_length]
    return outcome(READERS[name])


# --- hooks -----------------------------------------------------------------------------------------------------------


def _before() -> Any:
    for name in notes().script.before:
        if name == "answer":
            return "answered before"
        if name == "raise":
            raise Broken("before")
        notes().journal.append(["before", name, _read(name)])
    return None


def _adding_header(response: Response) -> Response:
    response.headers["X-Blueprint"] = "bp"
    return response


def _after(response: Response) -> Response:
    now = notes()
    now.journal.append(["after", response.status, response.is_sequence])
    for name in now.script.after:
        response = _CHANGES[name](response)
    return response


def _teardown(error: BaseException | None) -> None:
    now = notes()
    now.journal.append(["teardown", type(error).__name__])
    if now.script.teardown:
        raise Broken("teardown")


def _noting_close(response: Response) -> Response:
    journal = notes().journal
    response.call_on_close(lambda: journal.append("closed response"))
    return response


def _changed_data(response: Response) -> Response:
    if response.is_sequence and not response.direct_passthrough:
        response.set_data(response.get_data() + b" ")
    return response


def _changed_status(response: Response) -> Response:
    response.status_code = 203 if response.status_code == 200 else response.status_code
    return response


def _wrapped(response: Response) -> Response:
    if not response.direct_passthrough:
        response.response = _Chunks(list(response.iter_encoded()), notes().journal)
    return response


def _tagged(response: Response) -> Response:
    if response.is_sequence and not response.direct_passthrough:
        response.add_etag()
        response.make_conditional(request)
    return response


def _later(response: Response) -> Response:
    journal = notes().journal
    g.seen = True
    response.call_on_close(lambda: journal.append("later"))
    return response


def _without_length(response: Response) -> Response:
    response.headers.pop("Content-Length", None)
    return response


def _with_header(response: Response) -> Response:
    response.headers.add("X-After", "1")
    return response


def _with_cookie(response: Response) -> Response:
    response.set_cookie("seen", "1")
    return response


def _broken(response: Response) -> Response:
    raise Broken("after")


_CHANGES: dict[str, Callable[[Response], Response]] = {
    "header": _with_header,
    "cookie": _with_cookie,
    "replace": lambda response: Response("replaced", 202),
    "data": _changed_data,
    "raise": _broken,
    "status": _changed_status,
    "wrap": _wrapped,
    "etag": _tagged,
    "later": _later,
    "no length": _without_length,
}

# --- answers ---------------------------------------------------------------------------------------------------------


class _Chunks:
    """An iterable that notes what is done to it."""

    def __init__(self, parts: list[bytes], journal: list[Any]) -> None:
        self._parts = iter(parts)
        self._journal = journal

    def __iter__(self) -> Iterator[bytes]:
        self._journal.append("iterated")
        return self

    def __next__(self) -> bytes:
        part = next(self._parts)
        self._journal.append(len(part))
        return part

    def close(self) -> None:
        """Note it."""
        self._journal.append("closed iterable")


class _File:
    """A file that notes that it is closed; one of Python's would also close when it is collected, at any time."""

    def __init__(self, data: bytes, journal: list[Any]) -> None:
        self.read = io.BytesIO(data).read
        self._journal = journal

    def close(self) -> None:
        """Note it."""
        self._journal.append("closed file")


def _stream(answer: Answer) -> Response:
    parts, mimetype, length, fails, is_direct = answer.data
    journal = notes().journal

    def generate() -> Iterator[bytes]:
        try:
            for part in parts:
                journal.append(["sent", len(part)])
                yield part
            if fails:
                raise Broken("half-way")
        finally:
            journal.append("generator ended")

    body: Any = generate()
    if answer.kind == "iterable":
        body = _Chunks(list(parts), journal)
    elif answer.kind == "chunks":
        body = list(parts)
    elif answer.kind == "file":
        body = request.environ["wsgi.file_wrapper"](_File(b"".join(parts), journal), 4)
    headers = [*answer.headers]
    if length is not None:
        headers.append(("Content-Length", str(length)))
    return Response(body, answer.status, headers, mimetype=mimetype, direct_passthrough=is_direct)


def _raise(answer: Answer) -> Any:
    if answer.data == "known":
        raise Known("known")
    if answer.data == "killed":
        raise Killed("killed")
    if answer.data == "key":
        return {}["age"]
    if answer.data == "deep":
        raise RecursionError("deep")
    raise Broken("view")


def _aborted(answer: Answer) -> Any:
    abort(answer.data)


_MAKERS: dict[str, Callable[[Answer], Any]] = {
    "json": lambda answer: (answer.data, answer.status, list(answer.headers)) if answer.headers else answer.data,
    "json response": lambda answer: Response(
        json.dumps(answer.data), answer.status, list(answer.headers), mimetype="application/json"
    ),
    "json text": lambda answer: (json.dumps(answer.data), answer.status, dict(answer.headers)),
    "jsonify": lambda answer: (jsonify(answer.data), answer.status),
    "accepted": lambda answer: ACCEPTED[answer.data](),
    "converted": lambda answer: CONVERTED[answer.data][0](),
    "refused": lambda answer: REFUSED[answer.data](),
    "stream": _stream,
    "iterable": _stream,
    "chunks": _stream,
    "file": _stream,
    "raise": _raise,
    "abort": _aborted,
}
