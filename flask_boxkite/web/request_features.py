"""The features in the body of a request, by payload convention or at the place that a view names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import IO, Any

from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.wrappers import Request

from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.monitoring.short_way import CountsCommon
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.payloads import (
    INFERENCE_HEADER,
    JSON_LINES,
    Table,
    as_table,
    binary_document,
    csv_table,
    decompressed,
    form_table,
    json_lines_table,
    json_table,
)
from flask_boxkite.values.paths import value_at
from flask_boxkite.web.options import Options
from flask_boxkite.web.parsed_json import parsed_once
from flask_boxkite.web.return_values import LONGEST_PAYLOAD

__all__ = ["BINARY_LENGTH", "RequestFeatures"]

BINARY_LENGTH = "HTTP_" + INFERENCE_HEADER.upper().replace("-", "_")
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class RequestFeatures:
    """The part of a capture that finds features in a body.

    Attributes:
        model: Monitor of the model.
        tally: Additions of the prediction to the counts.
    """

    model: ModelMonitor
    tally: Tally
    _options: Options
    _table: Table | None = None
    _short_way: CountsCommon | None = None
    _config: Mapping[str, Any] | None = None  # of the Flask app; None for another app

    def _find(self, request: Request, body: bytes) -> Table | None:
        """Find the features in a body; None if they are taken already, or it cannot be read or fits no convention."""
        config = self._config
        is_fast = config is not None and self.model.settings.fast_json
        try:
            # Comparing first avoids parsing the content type, which the view may never ask for.
            if request.environ.get("CONTENT_TYPE") == "application/json" and "_cached_data" not in request.__dict__:
                document = parsed_once(request, body, config, is_fast=is_fast)
            else:
                document = _json_of(request, body, config, is_fast=is_fast)
            if document is not None:
                short_way = self._short_way
                if short_way is not None and (table := short_way.count_features(document, self.tally)) is not None:
                    if table.is_plain:
                        self._table = table
                    else:
                        self._keep(table)
                    return None
                return self._table_of(document)
            if self._options.features is None and (table := self._table_of_text(request, body)) is not None:
                return table
        except (LookupError, ValueError, RecursionError, csv.Error, HTTPException):
            pass
        return self._find_encoded(request, body)

    def _keep(self, table: Table) -> None:
        """Keep counted features, which the view may change in the request."""
        try:
            self._table = table.kept()
        except RecursionError:  # no features are nested so deeply
            self.tally = self.model.new_tally()

    def _find_encoded(self, request: Request, body: bytes) -> Table | None:
        """Find the features in a body that is not plain JSON: compressed, binary tensors, or JSON lines."""
        environ = request.environ
        encoding, length = environ.get("HTTP_CONTENT_ENCODING"), environ.get(BINARY_LENGTH)
        mimetype = request.mimetype
        if not encoding and not length and mimetype not in JSON_LINES:
            return None

        try:
            if encoding:
                body = decompressed(body, encoding, max(LONGEST_PAYLOAD, self.model.settings.max_body_bytes))
            if length:
                return self._table_of(binary_document(body, length))
            if mimetype in JSON_LINES and self._options.features is None:
                return self._table_of_lines(_text_of(request, body))
            if encoding and (request.is_json or body.lstrip()[:1] in (b"{", b"[")):
                return self._table_of(json.loads(body))
            return self._table_of_body(request, body) if encoding and self._options.features is None else None
        except (LookupError, ValueError, RecursionError, csv.Error, HTTPException):
            return None

    def _table_of(self, document: Any) -> Table | None:
        if self._options.features is None:
            return json_table(document, self.model.feature_names, self.model.beside_names)
        try:
            return as_table(value_at(document, str(self._options.features)))
        except LookupError:
            return None

    def _table_of_text(self, request: Request, body: bytes) -> Table | None:
        if request.mimetype in _FORMS and "form" in request.__dict__:  # a hook or the view has parsed the form
            return form_table(request.form.to_dict(flat=False), self.model.feature_names, self.model.beside_names)
        return self._table_of_body(request, body)

    def _table_of_body(self, request: Request, body: bytes) -> Table | None:
        mimetype = request.mimetype
        if mimetype == "text/csv":
            return self._table_of_csv(_text_of(request, body))
        if mimetype in _FORMS:
            # The request's own form and stream belong to the view.
            parser = FormDataParser(stream_factory=_in_memory)
            form = parser.parse(io.BytesIO(body), mimetype, len(body), dict(request.mimetype_params))[1]
            return form_table(form.to_dict(flat=False), self.model.feature_names, self.model.beside_names)
        return None

    def _table_of_lines(self, text: str) -> Table | None:
        return json_lines_table(text, self.model.feature_names, self.model.beside_names)

    def _table_of_csv(self, text: str) -> Table | None:
        return csv_table(text, self.model.feature_names)


def _json_of(request: Request, body: bytes, config: Mapping[str, Any] | None, *, is_fast: bool) -> Any:
    """Return the request's JSON, parsed once for us and the view; None if the body is not JSON.

    Raises:
        ValueError, RecursionError: The JSON cannot be read.
    """
    if request.is_json:
        if "_cached_data" in request.__dict__:
            return request.get_json(silent=True)
        return parsed_once(request, body, config, is_fast=is_fast)
    # `curl -d` labels JSON as a form unless told otherwise. Tensors without values have only JSON.
    is_json = body.lstrip()[:1] in (b"{", b"[") and BINARY_LENGTH not in request.environ
    return json.loads(body) if is_json else None


def _text_of(request: Request, body: bytes) -> str:
    """Return a body as text, in the character set that the client names.

    Raises:
        LookupError, ValueError: The character set is unknown, or the body does not conform to it.
    """
    return body.decode(request.mimetype_params.get("charset", "utf-8")).removeprefix("\ufeff")


def _in_memory(*args: Any, **kwargs: Any) -> IO[bytes]:
    return io.BytesIO()
