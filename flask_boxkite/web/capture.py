"""One request and its response as a prediction: the features before the view, the output after it, the status last.

Flask and any other WSGI app share this code. Nothing here raises into the request: a part that cannot be captured is
counted by reason, and logged with its traceback at most once a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from copy import deepcopy
from time import perf_counter
from typing import Any
from urllib.parse import quote

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from flask_boxkite.monitoring.body import body_of
from flask_boxkite.monitoring.hints import features_hint, output_hint
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.monitoring.reply import Reply
from flask_boxkite.monitoring.short_way import NOT_TAKEN, CountsCommon
from flask_boxkite.naming import FEATURE_GAP
from flask_boxkite.payloads import JSON_LINES, Table, as_table, form_table, found_output, readable
from flask_boxkite.values.conversion import plain
from flask_boxkite.values.ids import PredictionId
from flask_boxkite.values.paths import value_at
from flask_boxkite.web.options import QUERY, Options
from flask_boxkite.web.request_body import BodyTee, JsonSpy, breaks_off, buffered_body, reread, untouched
from flask_boxkite.web.request_features import BINARY_LENGTH, RequestFeatures
from flask_boxkite.web.request_key import RequestKey
from flask_boxkite.web.request_segments import RequestSegments
from flask_boxkite.web.return_values import (
    LONGEST_PAYLOAD,
    StreamedError,
    document_of,
    document_of_body,
    is_body,
    is_streamed,
    reply_of,
)

__all__ = ["PASSING", "Capture"]

_WITHOUT_OUTPUT = frozenset({"output", "internal"})
"""Capture errors that may also lose the output."""

PASSING: ContextVar[Capture | None] = ContextVar("flask_boxkite.passing", default=None)
"""The prediction whose answer is being sent: the app may log it by hand during that time."""


class Capture(RequestFeatures):
    """The prediction of one request, until it is finished.

    Args:
        model: Monitor of the model, which counts and logs it.
        options: Places of its features and output.
        config: Configuration of the Flask app; None for another app.
        keeps_long_bodies: Whether to keep long JSON bodies too, for apps that do not parse them with *request*.
    """

    # Defaults are class attributes, since most requests set few of them.
    is_finished = False
    is_logged: str | None = None
    has_raised = False
    is_watched = False  # whether the response stream finishes it, once the client's status is certain
    awaits_body = False  # whether the output is searched in the body that is sent
    _committing: CountsCommon | None = None  # set for one row with its features and output
    is_streamed = False  # whether the answer is made while it is sent
    owner: Any = None  # the object whose `log_prediction` finds this capture while its answer is sent
    failed_status = 500  # the status that the client gets if there is no response
    _is_findable = False  # whether outcomes can find it
    is_told = False  # whether the client knows the id, so that it must not change any more
    answer: Response | None = None
    makes_response = False  # whether Flask makes a new response; else the view may return the same one each time
    _body: bytes | None = None
    _length: int | None = None
    _request: Request | None = None  # set only if the view reads the body by itself
    _tee: BodyTee | None = None
    _table: Table | None = None
    _content_type = ""  # set only if the request has no features, like the next attribute
    _query_string = b""
    _output: Any = None
    _key: RequestKey | None = None  # set only if the view has the option
    _beside: tuple[str, ...] = ()  # names of other models with a prediction in this request
    observed: dict[str, Any] | None = None  # values that the view observes, by name
    hidden: frozenset[str] = frozenset()  # names of observed values that records must not show
    _segments: RequestSegments | None = None  # set only if the view has the option
    _named: dict[str, Any] | None = None  # values that the view itself observes, among those

    def __init__(
        self,
        model: ModelMonitor,
        options: Options,
        config: Mapping[str, Any] | None = None,
        *,
        keeps_long_bodies: bool = False,
    ) -> None:
        self._started = perf_counter()
        self.model = model
        self.prediction = prediction = model.new_id()
        self.prediction_id = prediction.text if model.has_header_ids else _quoted(prediction.text)
        self.tally = model.new_tally()
        self._options = options
        self._config = config
        self._keeps_long_bodies = keeps_long_bodies
        if options.features is None and options.key is None:
            self._short_way = model.short_way

    def take_logged(self, text: str) -> None:
        """Note that the view has called ``log_prediction`` itself, and the id that it got."""
        self.is_logged = text
        self.prediction_id = text if self.model.has_header_ids else _quoted(text)

    def observe(self, values: Mapping[str, Any]) -> None:
        """Take values that the view observes, as they are now."""
        try:
            kept = {name: deepcopy(plain(value)) for name, value in values.items()}
            self.observed = {**(self.observed or {}), **kept}
            self._named = {**(self._named or {}), **kept}
        except Exception:
            self.model.complain("Observed values could not be read; the response is not affected.")

    def id_beside(self, model: ModelMonitor) -> PredictionId:
        """Return the id of a prediction of another model; the first one of each model begins as the request's."""
        prediction = model.new_id()
        # Two sealed ids of one model with the same beginning would show the difference of their outputs.
        if model.model in (self.model.model, *self._beside):
            return prediction
        self._beside = (*self._beside, model.model)
        return prediction.beside(self.prediction)

    # --- before the view ---------------------------------------------------------------------------------------------

    def read_request(self, request: Request) -> None:
        """Take the features from the request, and leave the request as it was."""
        try:
            self._body = body = buffered_body(request, self.model.settings.max_body_bytes)
            pick = self._options.features
            if body is None:
                self._watch_body(request)
            elif pick is None or (pick != QUERY and not callable(pick)):
                table = self._find(request, body)
                if table is not None:
                    self._take_table(table)
            elif callable(pick):
                with untouched(request):
                    self._take_picked(pick, request)
            if pick == QUERY:
                fields = request.args.to_dict(flat=False)
                self._take_table(form_table(fields, self.model.feature_names, self.model.beside_names))
        except (LookupError, UnicodeDecodeError):  # a client may send any query string
            pass
        except Exception:
            self.model.fail(self.tally)

        if self._table is None:
            self._content_type = request.environ.get("CONTENT_TYPE", "")
            self._query_string = request.query_string
        if self._options.key is not None:
            self._take_key(request, self._options.key)
        if self._options.segments:
            self._take_segments(request)

    def _take_key(self, request: Request, place: str) -> None:
        """Find the key in the request; one in a long body comes with the document, or with the whole body."""
        try:
            self._key = key = RequestKey(place, request, self.model.redaction, self._longest)
            if self._body is not None:
                key.take_body(self._body)
        except Exception:
            self.model.complain("The key of a prediction could not be read; the response is not affected.")

    def _take_segments(self, request: Request) -> None:
        """Find the values that segment rows, as the key is found; functions are called before the view."""
        try:
            model = self.model
            self._segments = found = RequestSegments(
                self._options.segments, request, model.redaction, self._longest, model.complain
            )
            if self._body is not None:
                found.take_body(self._body)
            found.call(request, is_buffered=self._body is not None)
            self._observe_segments(found)
        except Exception:
            self._complain_of_segments()

    def _observe_segments(self, found: RequestSegments) -> None:
        """Take these values as observed ones; a value that the view observes itself comes before."""
        own = {} if self._named is None else self._named
        self.observed = {**found.values, **own}
        self.hidden = found.hidden

    def _complain_of_segments(self) -> None:
        self.model.complain("Values of 'segments' could not be read; the response is not affected.")

    @property
    def _longest(self) -> int:
        """Largest size of a decompressed body in bytes."""
        return max(LONGEST_PAYLOAD, self.model.settings.max_body_bytes)

    def _watch_body(self, request: Request) -> None:
        """Let the view read a long body itself, and keep a copy."""
        self._request = request
        self._length = request.content_length
        if self._length is None and "HTTP_TRANSFER_ENCODING" not in request.environ:
            self._length = 0
        if "stream" in request.__dict__:  # a hook has read the stream before
            return

        limit = self.model.settings.max_body_bytes
        if self._keeps_long_bodies or _is_read_whole(request):
            limit = max(limit, LONGEST_PAYLOAD)
        self._tee = BodyTee(request.environ["wsgi.input"], limit)
        request.environ["wsgi.input"] = self._tee
        if not callable(self._options.features) and self._options.features != QUERY:
            request.json_module = JsonSpy(request.json_module, self._take_document)  # type: ignore[assignment]

    def _take_picked(self, pick: Callable[[Any], Any], request: Request) -> None:
        try:
            self._take_table(as_table(pick(request), self.model.field_names))
        except (LookupError, RecursionError, HTTPException):  # the function expects another body
            pass
        except Exception:
            if not breaks_off(request):
                self.model.fail(self.tally)

    def _take_document(self, document: Any) -> None:
        if self._table is not None:
            return
        try:
            if self._key is not None:
                self._key.take_document(document)
            if self._segments is not None:
                self._segments.take_document(document)
                self._observe_segments(self._segments)
            self._take_table(self._table_of(document))
        except Exception:
            self.model.fail(self.tally)
        if self._tee is not None and self._table is not None:
            self._tee.keep_only(self.model.settings.max_body_bytes)

    def _take_table(self, table: Table | None) -> None:
        if table is None:
            return
        self.model.count_features(self.tally, table)
        self._keep(self.model.shaped(self.tally, table))

    # --- after the view ----------------------------------------------------------------------------------------------

    def take_output(self, returned: Any) -> None:
        """Take the output from the view's return value. A stream gives it later, with its body."""
        short_way = self._short_way
        if short_way is not None and self._request is None and self._options.output is None:
            try:
                output = short_way.count_output(returned, self.tally)
            except Exception:
                self.model.fail(self.tally)
                return
            if output is not NOT_TAKEN:
                self._output = output
                if self._table is not None:
                    self._committing = short_way
                if self.model.outcomes is not None:
                    self._make_findable()
                return
        self._take(returned, document_of)

    def take_raised(self, error: Exception) -> None:
        """Note that the view raised; this may be Werkzeug's way to answer, such as ``abort(redirect(…))``."""
        answer = error.response if isinstance(error, HTTPException) else None
        if answer is not None and answer.status_code < 400:
            self.take_output(answer)
        else:
            self.has_raised = True

    def take_payload(self, data: bytes, mimetype: str, headers: Headers) -> None:
        """Take the output from the bytes of a response; a callable for the output receives them parsed."""
        self._take(data, lambda data: document_of_body(data, mimetype, headers), is_parsed=True)

    def _take(self, answer: Any, read: Callable[[Any], Any], *, is_parsed: bool = False) -> None:
        pick = self._options.output

        try:
            # A stream may still have to read the request.
            if self._request is not None and (is_parsed or not is_streamed(answer)):
                self._read_late(self._request)
            if callable(pick):
                if self._may_come_later(answer, is_parsed=is_parsed):
                    value = _tried(pick, read(answer))
                else:
                    value = pick(read(answer) if is_parsed or self._options.wants_answer else answer)
                if value is None:
                    raise LookupError
            else:
                value = self._output_of(read(answer))
            self._output = value
            self.model.count_output(self.tally, [None] if value is None and self.tally.rows != 0 else value)
            if self.model.outcomes is not None:
                self._make_findable()
        except StreamedError:
            self.awaits_body = True
        except LookupError:
            if self._may_come_later(answer, is_parsed=is_parsed):
                self.awaits_body = True
            elif self.tally.rows != 0:  # an empty batch has no output
                self.tally.errors.append("output")
        except Exception:
            self.model.fail(self.tally)

    def _make_findable(self) -> None:
        """Let outcomes find this prediction by its id; once, since an id must carry one output only."""
        if self._is_findable or self.is_logged is not None:
            return
        self._is_findable = True
        model = self.model
        prediction = model.findable(self.prediction, self._output, self.tally.rows, is_told=self.is_told)
        if prediction is not self.prediction:
            self.prediction = prediction
            self.prediction_id = prediction.text if model.has_header_ids else _quoted(prediction.text)

    def _may_come_later(self, answer: Any, *, is_parsed: bool) -> bool:
        """Say whether a place in the answer may still exist: a decorator above the view makes JSON of an object."""
        is_of_answer = not callable(self._options.output) or self._options.wants_answer
        return is_of_answer and not is_parsed and not is_body(answer)

    def _output_of(self, document: Any) -> Any:
        if pick := self._options.output:
            return readable(value_at(document, str(pick)))
        outputs = self.model.counter.layout.outputs
        return found_output(document, self.model.output_names, outputs, self.tally.rows)

    def _read_late(self, request: Request) -> None:
        """Find the features in a body that the view has read, but that no parser has shown us."""
        tee = self._tee
        if self._table is not None:
            return

        is_whole = tee is not None and tee.size > 0 and tee.is_whole(request.content_length)
        if callable(pick := self._options.features):
            self._request = None  # one attempt is enough, even if it finds nothing
            with reread(request, tee.data if tee is not None and is_whole else None) as again:
                self._take_picked(pick, again)
            return
        if isinstance(spy := request.json_module, JsonSpy):
            request.json_module = spy.module
        if "form" in request.__dict__ or is_whole:
            self._take_table(self._find(request, tee.data if tee is not None else b""))

    def _read_unparsed(self, request: Request) -> None:
        """Find the features that a view had read before it failed, or while its answer was being sent."""
        try:
            self._read_late(request)
        except Exception:
            self.model.fail(self.tally)

    @property
    def keeps_reply(self) -> bool:
        """Whether the raw response is recorded: the output was not found, or a setting asks for it."""
        errors = self.tally.errors
        return self.model.settings.record_response or (bool(errors) and not _WITHOUT_OUTPUT.isdisjoint(errors))

    def finish(self, status_code: int, response: Response | Reply | None = None) -> None:
        """Count and log the prediction, once; its values count only if it was answered.

        Args:
            status_code: Status of the response.
            response: The response; None if there is none, or the record does not need it.
        """
        if self.is_finished:
            return

        self.is_finished = True
        if self.is_logged is not None:  # the view called log_prediction() itself
            return

        duration = perf_counter() - self._started
        try:
            committing = self._committing
            if committing is not None and status_code < 400 and not self.tally.errors:
                model = self.model
                committing.commit(self.tally, duration)
                if model.waiting_unread:
                    model.unread.settle(is_answered=True)
                if not (model.logs_all or model.wants_record(self.prediction)):
                    return
                prediction, body, table = self.prediction, self._body, self._table
                if self.observed is not None or not model.record_plain(
                    prediction, body, table, self._output, "ok", 1, duration
                ):
                    self._record("ok", duration, None)
            else:
                self._finish(status_code, response, duration)
        except Exception:
            self.model.complain("A prediction could not be counted; the response is not affected.")

    def _finish(self, status_code: int, response: Response | Reply | None, duration: float) -> None:
        """Count and log a prediction of any kind."""
        status = "ok" if status_code < 400 else "client_error" if status_code < 500 else "error"
        if self.has_raised and status == "ok":  # an error handler turned the exception into a page
            status = "error"
        # The model saw the data that the view, or its stream, has read.
        if self._request is not None and (status == "error" or self.is_streamed):
            self._read_unparsed(self._request)
        if status == "ok" and self._table is None and "internal" not in self.tally.errors:
            self.tally.errors.append("features")
        elif status != "ok":
            # A misspelt name may have made the view fail.
            reasons = ("internal", FEATURE_GAP) if status == "error" else ("internal",)
            self.tally.errors = [reason for reason in self.tally.errors if reason in reasons]

        model = self.model
        if self._segments is not None:
            self._finish_segments(self._segments)
        if self.observed is not None:
            model.take_observed(self.tally, self.observed)
        predictions = model.commit(self.tally, status, duration)
        if model.waiting_unread:
            model.unread.settle(is_answered=status == "ok")
        if self._key is not None:
            self._finish_key(self._key, status)
        if self.tally.errors:
            self._explain(response)
        if predictions and model.wants_record(self.prediction):
            self._record(status, duration, self._reply(response) if self.keeps_reply else None)

    def _finish_segments(self, found: RequestSegments) -> None:
        """Find values in a body that the view has read by itself."""
        tee = self._tee
        try:
            if tee is not None and tee.size and tee.is_whole(self._length):
                found.take_body(tee.data)
                self._observe_segments(found)
        except Exception:
            self._complain_of_segments()

    def _finish_key(self, key: RequestKey, status: str) -> None:
        """Take a key from a body that the view has read by itself, and let outcomes find the prediction by it."""
        tee, model = self._tee, self.model
        try:
            if tee is not None and tee.size and tee.is_whole(self._length):
                key.take_body(tee.data)
        except Exception:
            model.complain("The key of a prediction could not be read; the response is not affected.")
        if key.text is not None and status == "ok":
            model.remember_key(key.text, self.prediction, self._output, self.tally.rows)

    def _explain(self, response: Response | Reply | None) -> None:
        """Explain, once in a while, why something was not captured."""
        model, options = self.model, self._options
        explanations = model.explanations
        explanations.explain_features(
            self.tally, self._table, self._features_hint, is_placed=options.features is not None
        )

        explanations.explain_output(
            self.tally,
            self._output,
            lambda: output_hint(
                self._seen_reply(response),
                self._output,
                model.output_names,
                self.tally.rows,
                options.output,
                model.counter.layout.outputs,
            ),
        )

    def _features_hint(self) -> str:
        pick = self._options.features
        seen = self._query_string if pick == QUERY else self._seen_body()
        return features_hint(seen, self._content_type, self.model.counter.inputs.names, pick)

    def _seen_body(self) -> bytes | None:
        """Return the body whose keys a message may quote; None if it was not read completely."""
        tee = self._tee
        if tee is None:
            return self._body
        return tee.data if tee.is_whole(self._length) else None

    def _seen_reply(self, response: Response | Reply | None) -> Reply | None:
        """Return the response whose keys a message may quote."""
        return self._reply(response)

    @staticmethod
    def _reply(response: Response | Reply | None) -> Reply | None:
        return reply_of(response) if isinstance(response, Response) else response

    def _record(self, status: str, duration: float, reply: Reply | None) -> None:
        tee, rows = self._tee, self.tally.rows
        output = self._output if status == "ok" else None
        key = None if self._key is None else self._key.shown
        if tee is None and reply is None and key is None and self.observed is None:
            plain = (self.prediction, self._body, self._table, output, status, rows, duration)
            if self.model.record_plain(*plain):
                return

        limit = self.model.settings.max_body_bytes
        is_complete = tee is None or (tee.size <= limit and tee.is_whole(self._length))
        body = body_of(tee.data if tee else self._body, limit, is_complete=is_complete)
        derived = self.model.derived(self.tally, self.observed, hidden=self.hidden)
        self.model.record(self.prediction, body, self._table, output, status, rows, duration, reply, key, derived)


def _quoted(text: str) -> str:
    """Return an id without characters that a header's value must not contain; a server's name may have some."""
    return quote(text, safe="/:")


def _tried(pick: Callable[[Any], Any], document: Any) -> Any:
    """Return the output that a function of the answer finds in the value that becomes the answer.

    Raises:
        LookupError: The function fails. It expects JSON: with that it is called again, and then a failure counts.
    """
    try:
        return pick(document)
    except Exception as error:
        raise LookupError from error


def _is_read_whole(request: Request) -> bool:
    """Return whether a long body is kept until the view has read it, since no parser may show it to us."""
    environ = request.environ
    is_text = request.is_json or request.mimetype == "text/csv" or request.mimetype in JSON_LINES
    return is_text or BINARY_LENGTH in environ or "HTTP_CONTENT_ENCODING" in environ
