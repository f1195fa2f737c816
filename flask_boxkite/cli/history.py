"""``history``: the last days of a server's models, and days of before filled from its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from flask_boxkite.cli.group import PATH, boxkite, output_option, write
from flask_boxkite.cli.remote import fetch_history
from flask_boxkite.cli.sources import token_option
from flask_boxkite.config import Settings
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.history.window import HISTORY_DAYS
from flask_boxkite.history.wording import as_text
from flask_boxkite.live.history_file import MOST_DAYS
from flask_boxkite.suggestion import counted

__all__ = ["history"]


@boxkite.command()
@click.option("--url", help="Address of the drift page of a running server.")
@token_option
@click.option("--state-dir", type=PATH, help="State directory of a server on this machine, running or not.")
@click.option("--model", metavar="NAME", help="Name of the model.  [default: all]")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=HISTORY_DAYS, help="Number of days, with today.")
@click.option(
    "--fill",
    metavar="LOCATION",
    help="For a state directory: first add the hours and days that it does not know, from the folder or URL of logged "
    "predictions.",
)
@output_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Output format.")
def history(
    url: str | None,
    token: str | None,
    state_dir: Path | None,
    model: str | None,
    days: int,
    fill: str | None,
    output: Path | None,
    form: str,
) -> None:
    """Show the last days of a server's models: traffic, drift, performance and changes.

    They come from a server's drift page (--url), or its state directory on the same machine (--state-dir).

    \b
    Examples:
      flask boxkite history --url http://localhost:8000/boxkite
      flask boxkite history --state-dir /var/lib/boxkite --days 400 --format json
      flask boxkite history --state-dir /var/lib/boxkite --fill /var/log/models
    """
    if (url is None) == (state_dir is None):
        msg = "Name one source: --url or --state-dir."
        raise click.UsageError(msg)
    if fill is not None and state_dir is None:
        msg = "'--fill' needs '--state-dir': only there can days be added."
        raise click.UsageError(msg)
    if fill is not None:
        assert state_dir is not None
        _fill(state_dir, fill, model)
    models = _of_page(url, token, days, model) if state_dir is None else _of_directory(state_dir, model, days)
    text = (
        json.dumps({"format": 1, "models": models}, indent=2) if form == "json" else "\n\n".join(map(as_text, models))
    )
    write(f"{text}\n", output)


def _of_page(url: str | None, token: str | None, days: int, model: str | None) -> list[dict[str, Any]]:
    assert url is not None
    content = fetch_history(url, days=days, token=token)
    models = [item for item in content["models"] if model in (None, item["model"])]
    if not models:
        names = ", ".join(repr(item["model"]) for item in content["models"])
        msg = f"The server has no history of {'a model' if model is None else repr(model)}. It has: {names or 'none'}."
        raise BoxkiteError(msg)
    return models


def _of_directory(directory: Path, model: str | None, days: int) -> list[dict[str, Any]]:
    from flask_boxkite.cli.state_dir import histories_of

    reports = histories_of(directory, model=model, days=days, alpha=Settings.drift_alpha)
    return [report.to_dict() for report in reports]


def _fill(directory: Path, location: str, model: str | None) -> None:
    """Add hours and days from records, and tell how many."""
    from flask_boxkite.cli.state_dir import server_directory
    from flask_boxkite.cli.terminal import waiting
    from flask_boxkite.history.filling import fill_history

    with waiting("Reading records"):
        filled = fill_history(server_directory(directory), location, model=model)
    for item in filled:
        what = f"{counted(item.hours, 'hour')} and {counted(item.days, 'day')} with {counted(item.rows, 'row')}"
        click.echo(f"{item.model}, baseline {item.baseline or 'none'}: {what} were added.", err=True)
