"""``performance --by``: how good a model is in each segment of logged predictions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from flask_boxkite.cli.group import write
from flask_boxkite.cli.reports import DRIFT_FOUND
from flask_boxkite.cli.sources import note_records, open_records
from flask_boxkite.drift.uncounted import outputs_note
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.naming import MISSING
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted

__all__ = ["check_column", "check_outputs", "show_segments"]


def show_segments(
    location: str,
    by: str,
    form: str,
    output: Path | None,
    failing: Collection[str],
    *,
    baseline: Path | None,
    outcomes: str | None,
    key: str | None,
    actual_column: str | None,
    alpha: float,
    **options: Any,
) -> None:
    """Write a report by segment, and exit with code `DRIFT_FOUND` if a segment has a failing verdict.

    Args:
        location: Location of the records.
        by: Column that segments rows.
        form: Format: ``table``, ``json`` or ``markdown``.
        output: File to write to; None for standard output.
        failing: Verdicts that cause the exit code.
        baseline: Path of the baseline.
        outcomes: File of outcomes.
        key: Column of keys; None for the usual one.
        actual_column: Column of actual values; None for the usual one.
        alpha: False-alarm probability.
        **options: Options of `open_records`.
    """
    with open_records(location, baseline=baseline, must_be_whole=bool(failing), **options) as (source, trained):
        names = {"key": key, "actual": actual_column}
        own: dict[str, Any] = {option: name for option, name in names.items() if name is not None}
        report = source.performance(trained, outcomes=outcomes, by=by, alpha=alpha, **own)
    check_column(by, [segment.name for segment in report])
    if not any(segment.report.coverage.predictions for segment in report):
        note_records(source, trained, location, baseline, must_be_some=bool(failing), side="output")

    if form == "json":
        write(json.dumps({"format": 1, "performance": report.to_dict()}, indent=2) + "\n", output)
    else:
        write((report.to_markdown() if form == "markdown" else str(report)) + "\n", output)
    if worse := [segment for segment in report if segment.verdict in failing]:
        click.echo(f"Worse than validated: {counted(len(worse), 'segment')}.", err=True)
        click.get_current_context().exit(DRIFT_FOUND)
    if failing:
        coverages = [segment.report.coverage for segment in report]
        counts = ("predictions", "uncounted", "unread")
        check_outputs({report.model: {name: sum(getattr(each, name) for each in coverages) for name in counts}})


def check_outputs(coverages: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse performance of which too many answered rows lack the output.

    Args:
        coverages: Coverage of each model, by name, in the form of `performance.report.Coverage`.

    Raises:
        BoxkiteError: The outputs of so many rows were not found.
    """
    if texts := list(filter(None, (outputs_note(model, coverage) for model, coverage in coverages.items()))):
        msg = f"{' '.join(texts)} The drift report says what came instead."
        raise BoxkiteError(printable(msg))


def check_column(by: str, names: Collection[str]) -> None:
    """Refuse a column of which no record has a value.

    Args:
        by: Name of the column.
        names: Names of the segments that were found.

    Raises:
        BoxkiteError: All rows lack a value.
    """
    if set(names) == {MISSING}:
        msg = f"No record has a value of {by!r}. Is that the name of a feature or output?"
        raise BoxkiteError(msg)
