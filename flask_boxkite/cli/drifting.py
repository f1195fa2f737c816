"""``drift``: what a server has seen, compared with training."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flask_boxkite.cli.group import boxkite
from flask_boxkite.cli.remote import fetch_json, fetch_report
from flask_boxkite.cli.reports import Findings, finish, report_options
from flask_boxkite.config import Settings
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.windows import WINDOWS
from flask_boxkite.page.words import window_text

__all__ = ["drift"]


@boxkite.command()
@click.option("--url", help="Address of the drift page of a running server.")
@click.option(
    "--token",
    envvar="BOXKITE_METRICS_TOKEN",
    show_envvar=True,
    help="What the page asks for. On a command line, others can see it.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="State directory of a server on this machine, running or not.",
)
@click.option(
    "--window", type=click.Choice([*WINDOWS, "start"]), default="1h", help="The last minutes, hour or day, or all."
)
@click.option("--model", metavar="NAME", help="Which model.  [default: all]")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=Settings.drift_alpha,
    help="Probability that one check of a model finds drift where there is none; a page has its own.",
)
@report_options("json", "markdown", "html")
def drift(
    url: str | None,
    token: str | None,
    state_dir: Path | None,
    window: str,
    model: str | None,
    alpha: float,
    form: str,
    output: Path | None,
    fail_on: str | None,
    shows_all: bool,
) -> None:
    """Compare what a server has seen with training.

    It is asked by its drift page (--url), or its counts are read on the same machine (--state-dir).

    \b
    Examples:
      flask boxkite drift --url http://localhost:8000/boxkite
      flask boxkite drift --url https://scoring/boxkite --window 24h --fail-on drifted
      flask boxkite drift --state-dir /run/boxkite --format html --output drift.html
    """
    if (url is None) == (state_dir is None):
        msg = "Say where to look: either --url or --state-dir."
        raise click.UsageError(msg)
    span = None if window == "start" else window
    if url is not None:
        found = _of_page(url, token, span, model)
        if form == "html" and model is not None:
            msg = "The page makes one report of all models: leave out --model."
            raise click.UsageError(msg)
    else:
        assert state_dir is not None
        found = _of_directory(state_dir, span, model, alpha)
    finish(found, form, output, fail_on, shows_all=shows_all)


def _of_page(url: str, token: str | None, window: str | None, model: str | None) -> Findings:
    content = fetch_json(url, window=window, token=token)
    models = [item for item in content["models"] if model in (None, item["model"])]
    if not models:
        known = ", ".join(repr(item["model"]) for item in content["models"])
        msg = f"The server has no model {model!r}. It has: {known or 'none'}."
        raise BoxkiteError(msg)
    return Findings(
        {**content, "models": models},
        window_text(content["window"]),
        lambda: fetch_report(url, window=window, token=token),
    )


def _of_directory(directory: Path, window: str | None, model: str | None, alpha: float) -> Findings:
    # They take longer to load than the others need.
    from flask_boxkite.cli.statedir import app_of
    from flask_boxkite.page import drift_json, report_html

    app = app_of(directory, model=model, window=window, alpha=alpha)
    return Findings(json.loads(drift_json(app)), window_text(window), lambda: report_html(app))
