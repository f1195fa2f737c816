"""The prediction of a request with fields that must not be recorded.

Such a prediction is counted like any other. For the record and for messages, the documents are read a second time
without the hidden values. So a hidden field disappears under any convention.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask_boxkite.config import Settings
from flask_boxkite.monitoring.redaction import REDACTED, Redaction
from flask_boxkite.monitoring.reply import Reply
from flask_boxkite.payloads import Table
from flask_boxkite.values.conversion import plain
from flask_boxkite.web.capture import Capture

__all__ = ["RedactedCapture", "capture_type"]


def capture_type(settings: Settings) -> type[Capture]:
    """Return the capture class of an app: a function in ``BOXKITE_REDACT`` receives whole records and hides itself."""
    names_fields = bool(settings.redact) and not callable(settings.redact)
    return RedactedCapture if names_fields else Capture


class RedactedCapture(Capture):
    """A capture for models that have a `Redaction`."""

    _shown: Any = None  # features to record; None for the features themselves
    _shown_output: Any = None  # output to record; None for the output itself

    @property
    def _redaction(self) -> Redaction:
        redaction = self.model.redaction
        assert redaction is not None
        return redaction

    # --- features ----------------------------------------------------------------------------------------------------

    def _table_of(self, document: Any) -> Table | None:
        table = super()._table_of(document)
        if table is not None:
            hidden = self._redaction.hidden
            self._show(table, document, lambda: super(RedactedCapture, self)._table_of(hidden(document)))
        return table

    def _table_of_lines(self, text: str) -> Table | None:
        table = super()._table_of_lines(text)
        if table is not None:
            lines = [json.loads(line) for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
            self._show(table, lines, lambda: super(RedactedCapture, self)._table_of_lines(self._hidden_lines(lines)))
        return table

    def _table_of_csv(self, text: str) -> Table | None:
        table = super()._table_of_csv(text)
        # Without a baseline, only its look makes the first line a header.
        if table is not None and not self.model.feature_names and not self._redaction.names_one(table.names or ()):
            self._shown = REDACTED
        return table

    def _hidden_lines(self, lines: list[Any]) -> str:
        return "\n".join(json.dumps(self._redaction.hidden(line)) for line in lines)

    def _show(self, table: Table, document: Any, read_hidden: Callable[[], Table | None]) -> None:
        """Keep the remaining rows, if they equal the counted rows except for the hidden values."""
        self._shown = REDACTED
        try:
            shown, whole = read_hidden(), plain(table.content())
            is_certain = shown is not None and _is_rest(plain(shown.content()), whole)
            if is_certain and not self._redaction.names_apart(document, whole):
                self._shown = shown
        except Exception:  # any failure hides everything, which the record shows
            return

    # --- output ------------------------------------------------------------------------------------------------------

    def _output_of(self, document: Any) -> Any:
        value = super()._output_of(document)
        self._shown_output = self._rest_of(value, document)
        return value

    def _rest_of(self, value: Any, document: Any) -> Any:
        """Return an output without the hidden values; a placeholder if it cannot be found without them."""
        try:
            shown = super()._output_of(self._redaction.hidden(document))
            whole = plain(value)
            is_certain = _is_rest(plain(shown), whole) and not _may_be_csv(value)
            is_certain = is_certain and not self._redaction.names_apart(document, whole)
        except Exception:  # any failure hides everything, which the record shows
            return REDACTED
        return shown if is_certain else REDACTED

    # --- messages and records ----------------------------------------------------------------------------------------

    def _explain(self, response: Any) -> None:
        self._hide()
        table = self._table
        self._table = table if isinstance(table, Table) else None
        super()._explain(response)
        self._table = table

    def _seen_body(self) -> bytes | None:
        body = super()._seen_body()
        return None if body is None else self._described(body)

    def _seen_reply(self, response: Any) -> Reply | None:
        reply = super()._seen_reply(response)
        return reply if reply is None or reply.data is None else reply._replace(data=self._described(reply.data))

    def _described(self, data: bytes) -> bytes:
        """Return JSON without hidden values, whose keys may be data too. Messages quote no other data anyway."""
        try:
            return json.dumps(self._redaction.described(json.loads(data))).encode()
        except (ValueError, RecursionError):
            return data

    def _record(self, status: str, duration: float, reply: Reply | None) -> None:
        self._hide()
        super()._record(status, duration, reply)

    def _hide(self) -> None:
        """Replace the counted values by the values that may be shown."""
        if self._shown is not None:
            self._shown = self._flattened(self._shown)
            self._table = self._shown
        if self._shown_output is not None:
            self._output = self._shown_output

    def _flattened(self, shown: Any) -> Any:
        """Return the rows with the columns of the counted rows, whose nested values have columns of their own."""
        counted = self._table
        if not (isinstance(shown, Table) and isinstance(counted, Table)) or shown.names == counted.names:
            return shown
        names = self.model.counter.inputs.nesting.flatten(shown, shown.names or ())
        if names != counted.names:  # all nested values are hidden
            return REDACTED
        # A value below a hidden one is hidden, not missing.
        rows = [list(map(_shown_or_hidden, *pair)) for pair in zip(shown.rows, counted.rows, strict=True)]
        shown.replace(names, rows)
        return shown


def _is_rest(shown: Any, whole: Any) -> bool:
    """Return whether *shown* is *whole* with some values hidden."""
    if isinstance(shown, list):
        return isinstance(whole, list) and len(shown) == len(whole) and all(map(_is_rest, shown, whole))
    if isinstance(shown, dict):
        has_same_keys = isinstance(whole, dict) and list(shown) == list(whole)
        return has_same_keys and all(map(_is_rest, shown.values(), whole.values()))
    return bool(shown in (REDACTED, whole))


def _shown_or_hidden(shown: Any, counted: Any) -> Any:
    return REDACTED if shown is None and counted is not None else shown


def _may_be_csv(output: Any) -> bool:
    """Return whether these are rows of texts, as from a CSV answer, whose header is not read."""
    return isinstance(output, list) and all(
        isinstance(row, list) and {str, type(None)}.issuperset(map(type, row)) for row in output
    )
