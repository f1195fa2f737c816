"""Explanations of capture errors: the app's input, the expectation, and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.deriving import RowDeriver
from flask_boxkite.monitoring.complaints import Complaints
from flask_boxkite.monitoring.hints import argument_hint, names_hint, nested_hint, output_argument_hint, unmatched_hint
from flask_boxkite.monitoring.notes import Notes
from flask_boxkite.monitoring.redaction import Redaction
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.naming import FEATURE_GAP, OUTPUT_GAP
from flask_boxkite.payloads import Table, output_table
from flask_boxkite.values.conversion import plain

__all__ = ["Explanations"]

_MOST_ROWS = 50
"""Most rows of a batch in which features below a key are sought."""


class Explanations:
    """Explains, once in a while, the capture errors of one model. Its methods never raise.

    Args:
        notes: Notes of the model.
        features: Counter of its features, or its deriver.
        outputs: Counter of its outputs.
        redaction: Hides fields whose keys may be data; None if none is hidden by name.
        complaints: Log of our own failures.
    """

    def __init__(
        self,
        notes: Notes,
        features: VariableCounter | RowDeriver,
        outputs: VariableCounter,
        redaction: Redaction | None,
        complaints: Complaints,
    ) -> None:
        self._notes = notes
        self._features = features
        self._outputs = outputs
        self._redaction = redaction
        self._complaints = complaints

    def explain_arguments(self, tally: Tally, table: Table | None, features: Any, output: Any) -> None:
        """Say why the arguments of ``log_prediction`` do not fit."""
        self.explain_features(
            tally, table, lambda: argument_hint("features", self._described(features), self._features.names)
        )
        self.explain_output(
            tally,
            output,
            lambda: output_argument_hint(self._described(output), self._outputs.names, tally.rows),
        )

    def _described(self, value: Any) -> Any:
        """Return a value whose keys a message may name: below a hidden field, they may be data."""
        return value if self._redaction is None else self._redaction.described(plain(value))

    def explain_features(
        self, tally: Tally, table: Table | None, describe: Callable[[], str], *, is_placed: bool = True
    ) -> None:
        """Say why features were not found, or which have another name.

        Args:
            tally: Cells and errors of the prediction.
            table: The rows that were found; None for none.
            describe: Function that describes the value in place of rows.
            is_placed: Whether the user has said where the rows are.
        """
        if "features" in tally.errors:
            rows, known = table, self._features.names
            self._tell(
                "features", describe if rows is None else lambda: unmatched_hint(rows, known, is_placed=is_placed)
            )
        elif FEATURE_GAP in tally.errors:
            self._tell(FEATURE_GAP, lambda: self._gap_hint(self._features, table, "features of a request"))

    def explain_output(self, tally: Tally, output: Any, describe: Callable[[], str]) -> None:
        """Say why the output was not found, or which outputs have another name.

        Args:
            tally: Cells and errors of the prediction.
            output: The output that was found; None for none.
            describe: Function that describes the value in its place.
        """
        if "output" in tally.errors:
            self._tell("output", describe)
        elif OUTPUT_GAP in tally.errors:
            names, rows = self._outputs.names, tally.rows
            self._tell(
                OUTPUT_GAP,
                lambda: self._gap_hint(self._outputs, output_table(output, names, rows), "outputs of an answer"),
            )

    def _gap_hint(self, counter: VariableCounter | RowDeriver, table: Table | None, what: str) -> str | None:
        """Return which variables have another name or stand below another key.

        If none does, and no row can have one below a key, rows of these names are not looked at again.
        """
        if table is None or table.names is None:
            return None
        if (hint := names_hint(table.names, counter.names, what)) is not None:
            return hint

        rows = [dict(zip(table.names, row, strict=True)) for row in table.rows[:_MOST_ROWS]]
        for row in rows:
            if (hint := nested_hint(self._described(row), counter.names, what)) is not None:
                return hint
        unknown = [value for row in rows for name, value in row.items() if name not in counter.known]
        if not any(value is None or isinstance(value, (Mapping, list)) for value in unknown):
            counter.gaps.discard(table.names)
        return None

    def _tell(self, kind: str, describe: Callable[[], str | None]) -> None:
        try:
            self._notes.tell(kind, describe)
        except Exception:
            self._complaints.complain("It cannot be said what was not captured; the response is not affected.")
