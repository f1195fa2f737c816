"""What becomes of drift that a command has found: how it is written, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from flask_boxkite.cli.group import output_option, write
from flask_boxkite.drift.text import as_markdown

__all__ = ["DRIFT_FOUND", "Findings", "finish", "report_options"]

DRIFT_FOUND = 3
"""The exit code."""

_WORST_FIRST = ("major", "drifted", "shifted")


@dataclass(frozen=True)
class Findings:
    """What a command has found.

    Attributes:
        content: As the drift page tells it to programs (`flask_boxkite.page.drift_json`): at least ``models``, each
            with ``model``, ``baseline``, ``version`` and ``drift``.
        when: Completes "2 of 31 variables drifted …".
        html: Makes a page that stands alone.
    """

    content: Mapping[str, Any]
    when: str
    html: Callable[[], str] | None = None

    @property
    def reports(self) -> list[Mapping[str, Any]]:
        """The drift of each model that has a baseline, as `DriftReport.to_dict` gives it."""
        return [model["drift"] for model in self.content["models"] if model["drift"] is not None]


def report_options(*formats: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that say how drift is written, and what it means for the exit code.

    Args:
        formats: What there is besides a table.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--all", "shows_all", is_flag=True, help="List also variables that have not moved."),
            click.option(
                "--fail-on",
                type=click.Choice(_WORST_FIRST[::-1]),
                help=f"Exit with code {DRIFT_FOUND} if any variable has this verdict, or a worse one.",
            ),
            output_option,
            click.option(
                "--format", "form", type=click.Choice(["table", *formats]), default="table", help="How to write it."
            ),
        ):
            command = option(command)
        return command

    return add


def finish(found: Findings, form: str, output: Path | None, fail_on: str | None, *, shows_all: bool) -> None:
    """Write what was found, and end with the exit code that it asks for.

    Args:
        found: What.
        form: ``table``, ``json``, ``markdown`` or ``html``.
        output: File to write to; None for standard output.
        fail_on: The verdict from which on the exit code is `DRIFT_FOUND`; None for never.
        shows_all: Whether a table lists variables that have not moved.
    """
    if form == "json":
        write(json.dumps(found.content, indent=2) + "\n", output)
    elif form == "markdown":
        parts = [as_markdown(report, _heading(report, found.when)) for report in found.reports]
        write("\n\n".join(parts) + "\n", output)
    elif form == "html":
        assert found.html is not None
        write(found.html(), output)
    else:
        _show(found, output, shows_all=shows_all)
    bad = _WORST_FIRST[: _WORST_FIRST.index(fail_on) + 1] if fail_on else ()
    names = [item["name"] for report in found.reports for item in report["variables"] if item["verdict"] in bad]
    if names:
        click.echo(
            f"Drift found: {len(names)} {'variable' if len(names) == 1 else 'variables'}, {fail_on} or worse.", err=True
        )
        click.get_current_context().exit(DRIFT_FOUND)


def _heading(report: Mapping[str, Any], when: str) -> str:
    variables: Sequence[Mapping[str, Any]] = report["variables"]
    moved = sum(item["verdict"] in ("drifted", "major") for item in variables)
    return f"{report['model']}: {moved} of {len(variables)} variables drifted {when}. Baseline {report['baseline']}."


def _show(found: Findings, output: Path | None, *, shows_all: bool) -> None:
    from flask_boxkite.cli.tables import show_model
    from flask_boxkite.cli.terminal import printing

    with printing(output) as console:
        for number, model in enumerate(found.content["models"]):
            if number:
                console.print()
            report = model["drift"]
            heading = _heading(report, found.when) if report else f"{model['model']}: there is no baseline."
            show_model(console, model, heading, shows_all=shows_all)
