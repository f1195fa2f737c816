"""One request and its response, as a prediction: the features before the view, the output after it, the status last.

The same for Flask and for any other WSGI app. Nothing here raises into the request: what cannot be captured is counted
by reason, and logged with its traceback once in a while.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from flask_boxkite.body import BodyTee, JsonSpy, buffered_body, put_back
from flask_boxkite.payloads import Table, as_table, csv_output, csv_table, form_table, found_output, json_table
from flask_boxkite.prediction import body_of
from flask_boxkite.service import ModelMonitoringService, Tally
from flask_boxkite.values import plain

__all__ = ["Capture", "Options", "Pick", "json_value", "payload_of_text"]

Pick: TypeAlias = "str | Callable[[Any], Any] | None"

LONG_BODY_BYTES = 16 * 1024 * 1024
"""Most that is kept of a body whose features can only be read from its bytes."""

_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_LONGEST_LABEL = 256


@dataclass(frozen=True)
class Options:
    """Where features and output of a view are.

    Attributes:
        features: None: by payload convention. A text: dotted path into the JSON request. A callable: gets the request.
        output: None: by payload convention. A text: dotted path into the JSON response. A callable: gets what the view
            returned.
    """

    features: Pick = None
    output: Pick = None


class Capture:
    """The prediction of one request, until it is finished.

    Args:
        service: Where it is counted and logged.
        options: Where its features and output are.
        keeps_long_bodies: Whether to keep long JSON bodies too, for apps that do not parse them with *request*.
    """

    __slots__ = (
        "_body",
        "_keeps_long_bodies",
        "_options",
        "_output",
        "_started",
        "_table",
        "_tee",
        "has_raised",
        "is_finished",
        "is_logged",
        "prediction",
        "service",
        "tally",
    )

    def __init__(self, service: ModelMonitoringService, options: Options, *, keeps_long_bodies: bool = False) -> None:
        self._started = perf_counter()
        self.service = service
        self.prediction = service.new_id()
        self.tally = Tally()
        self.is_finished = False
        self.is_logged: str | None = None
        self.has_raised = False
        self._options = options
        self._keeps_long_bodies = keeps_long_bodies
        self._body: bytes | None = None
        self._tee: BodyTee | None = None
        self._table: Table | None = None
        self._output: Any = None

    @property
    def prediction_id(self) -> str:
        """The id that the client gets: that of the view's own call of ``log_prediction``, if it made one."""
        return self.is_logged or self.prediction.text

    # --- before the view ---------------------------------------------------------------------------------------------

    def read_request(self, request: Request) -> None:
        """Take the features from the request, and leave it as it was."""
        try:
            self._body = body = buffered_body(request, self.service.settings.max_body_bytes)
            if body is None:
                self._watch_body(request)
            elif self._options.features is None:
                self._table = self._convention(request, body)
                put_back(request, body)
            if callable(self._options.features):
                self._table = as_table(self._options.features(request))
                if body is not None:
                    put_back(request, body)
            elif self._options.features is not None and body is not None:
                self._table = self._at_path(_json_of(request, body))
                put_back(request, body)
            if self._table is not None:
                self.service.count_features(self.tally, self._table)
        except Exception:
            self._fail()

    def _watch_body(self, request: Request) -> None:
        """Let the view read a long body itself, and look on."""
        if "stream" in request.__dict__:
            return
        limit = self.service.settings.max_body_bytes
        if self._keeps_long_bodies or request.mimetype == "text/csv":
            limit = max(limit, LONG_BODY_BYTES)
        self._tee = BodyTee(request.environ["wsgi.input"], limit)
        request.environ["wsgi.input"] = self._tee
        if not callable(self._options.features):
            request.json_module = JsonSpy(request.json_module, self._take_document)

    def _take_document(self, document: Any) -> None:
        if self._table is not None:
            return
        try:
            self._take_table(
                json_table(document, self.service.feature_names)
                if self._options.features is None
                else self._at_path(document)
            )
        except Exception:
            self._fail()

    def _take_table(self, table: Table | None) -> None:
        self._table = table
        if table is not None:
            self.service.count_features(self.tally, table)

    def _convention(self, request: Request, body: bytes) -> Table | None:
        names = self.service.feature_names
        if request.is_json:
            return json_table(_json_of(request, body), names)
        mimetype = request.mimetype
        if mimetype == "text/csv":
            return csv_table(body.decode("utf-8-sig"), names)
        if body[:1] in (b"{", b"["):  # as curl sends JSON when it is not told what it sends
            return json_table(_json_of(request, body), names)
        if mimetype in _FORMS:
            return form_table(request.form.to_dict(flat=False), names)
        return None

    def _at_path(self, document: Any) -> Table | None:
        assert isinstance(self._options.features, str)
        return as_table(value_at(document, self._options.features))

    # --- after the view ----------------------------------------------------------------------------------------------

    def take_output(self, returned: Any) -> None:
        """Take the output from what the view returned."""
        pick = self._options.output
        self.take_document(lambda: returned if callable(pick) else _document_of(returned))

    def take_document(self, document: Callable[[], Any]) -> None:
        """Take the output from the payload of a response; *document* raises LookupError if there is none."""
        try:
            self._read_late()
            pick = self._options.output
            self._output = value = pick(document()) if callable(pick) else self._pick_output(document())
            self.service.count_output(self.tally, value)
        except LookupError:
            self.tally.errors.append("output")
        except Exception:
            self._fail()

    def _pick_output(self, document: Any) -> Any:
        if isinstance(self._options.output, str):
            return value_at(document, self._options.output)
        return found_output(document, self.service.output_names)

    def _read_late(self) -> None:
        """Find the features in a body that the view has read by now and that nobody parsed for us."""
        tee = self._tee
        if self._table is not None or tee is None or callable(self._options.features):
            return
        if tee.is_whole and tee.size:
            data = tee.data
            if data.lstrip()[:1] in (b"{", b"["):
                self._take_document(json.loads(data))
            elif self._options.features is None:
                self._take_table(csv_table(data.decode("utf-8-sig"), self.service.feature_names))

    def finish(self, status_code: int) -> None:
        """Count and log the prediction, once; its values only if it was answered."""
        if self.is_finished:
            return
        self.is_finished = True
        if self.is_logged is not None:  # the view called log_prediction() itself
            return
        duration = perf_counter() - self._started
        status = "error" if status_code >= 500 else "client_error" if status_code >= 400 else "ok"
        if self.has_raised and status == "ok":  # an error handler made a page of it
            status = "error"
        try:
            if status == "ok" and self._table is None and "internal" not in self.tally.errors:
                self.tally.errors.append("features")
            elif status != "ok":
                self.tally.errors = [reason for reason in self.tally.errors if reason == "internal"]
            self.service.commit(self.tally, status, duration)
            if self.service.wants_record(self.prediction):
                self._record(status, duration)
        except Exception:
            self.service.complain("A prediction could not be counted; the response is not affected.")

    def _record(self, status: str, duration: float) -> None:
        limit = self.service.settings.max_body_bytes
        tee = self._tee
        body = body_of(tee.data if tee else self._body, limit, is_complete=tee is None or tee.size <= limit)
        features = self._table.content() if self._table is not None else None
        output = self._output if status == "ok" else None
        self.service.record(self.prediction, body, features, output, status, self.tally.rows, duration)

    def _fail(self) -> None:
        self.tally.errors.append("internal")
        self.service.complain("A prediction could not be captured; the response is not affected.")


def value_at(document: Any, path: str) -> Any:
    """Return what stands at a dotted path.

    Raises:
        LookupError: Nothing does.
    """
    for key in path.split("."):
        if isinstance(document, Mapping):
            document = document[key]
        elif isinstance(document, Sequence) and not isinstance(document, str) and key.isdecimal():
            document = document[int(key)]
        else:
            raise LookupError(path)
    return document


def _json_of(request: Request, body: bytes) -> Any:
    """Return the request's JSON, parsed once for us and the view; None where it has none."""
    try:
        if request.is_json:
            return request.get_json(silent=True)
        # Not through the request, whose cache would hand the view JSON where it expects an error.
        return json.loads(body)
    except (ValueError, HTTPException):
        return None


def _document_of(returned: Any) -> Any:
    """Return the payload in what a view returned: plain values, arrays, or the parsed body of a response.

    Raises:
        LookupError: It is a stream or nothing, which is left alone.
    """
    if isinstance(returned, tuple) and returned:
        returned = returned[0]
    if isinstance(returned, (str, bytes)):
        return payload_of_text(returned, "")
    if isinstance(returned, Response):
        if returned.is_streamed or returned.direct_passthrough:
            raise LookupError
        return payload_of_text(returned.get_data(), returned.mimetype or "")
    if returned is None or hasattr(returned, "__next__") or callable(returned):
        raise LookupError
    return returned


def payload_of_text(data: str | bytes, mimetype: str) -> Any:
    """Return the payload of a response body: JSON, CSV, or a label in one short line.

    Raises:
        LookupError: It is something else.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        if mimetype == "text/csv":
            return csv_output(text)
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise LookupError from error
    except ValueError as error:
        if not text or len(text) > _LONGEST_LABEL or "\n" in text or "<" in text:
            raise LookupError from error
        return text


def json_value(returned: Any) -> Any:
    """Return what a view returned with NumPy, pandas and the like as plain JSON values; itself where it is plain."""
    if isinstance(returned, tuple) and returned:
        first = json_value(returned[0])
        return returned if first is returned[0] else (first, *returned[1:])
    if returned is None or isinstance(returned, (str, bytes, bytearray, Response)):
        return returned
    if hasattr(returned, "__next__") or (callable(returned) and not hasattr(returned, "__array__")):
        return returned
    if type(returned) in (dict, list):
        return _with_plain_leaves(returned)
    return plain(returned)


def _with_plain_leaves(value: Any) -> Any:
    """Convert only what Flask's JSON could not write; floats stay as the view made them, NaN included."""
    kind = type(value)
    if kind is dict:
        return value if _is_native(value.values()) else {k: _with_plain_leaves(item) for k, item in value.items()}
    if kind is list:
        return value if _is_native(value) else [_with_plain_leaves(item) for item in value]
    return plain(value) if hasattr(value, "__array__") else value


_NATIVE = frozenset({str, int, float, bool, type(None)})


def _is_native(values: Any) -> bool:
    return set(map(type, values)) <= _NATIVE
