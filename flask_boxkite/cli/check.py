"""``check``: whether everything that a set-up needs is there and works."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import click
from flask import Flask
from flask.cli import NoAppException, ScriptInfo

from flask_boxkite.cli.group import boxkite, counted
from flask_boxkite.cli.probes import Outcome, probes
from flask_boxkite.cli.setup import outcomes, setup_of_app, setup_of_environment
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.quoting import masked, printable

__all__ = ["check"]

_MARKS = {"ok": "✓", "problem": "✗", "hint": "!"}
_PLAIN_MARKS = {"ok": "+", "problem": "x", "hint": "!"}
"""For terminals that have only ASCII: all of them would be question marks."""

_STYLES = {"ok": "green", "problem": "bold red", "hint": "yellow"}


@boxkite.command()
@click.option("--offline", is_flag=True, help="Do not talk to fluentd.")
@click.pass_context
def check(context: click.Context, offline: bool) -> None:
    """Look for what is wrong in a set-up, or could be better.

    In the app that flask finds (--app); without one, in the settings of the environment: FLASK_BOXKITE_…, as
    app.config.from_prefixed_env() reads them. Run it where the server runs, as the same user. Directories are written
    to for a moment, and fluentd is sent one record, under the tag 'boxkite.check', to see it acknowledged.

    Exits with 1 if there is a problem.

    \b
    Examples:
      flask --app scoring boxkite check
      FLASK_BOXKITE_FLUENTD_ADDR=fluentd:24224 python -m flask_boxkite check
    """
    # Without a handler, what they say would be printed between the lines.
    logging.getLogger("flask_boxkite").addHandler(logging.NullHandler())
    found = list(_all_outcomes(context, offline=offline))
    _show(found)
    if any(outcome.level == "problem" for outcome in found):
        context.exit(1)


def _all_outcomes(context: click.Context, *, offline: bool) -> Iterator[Outcome]:
    try:
        app = _app(context)
        setup = setup_of_environment() if app is None else setup_of_app(app)
    except BoxkiteError as error:
        yield Outcome("problem", str(error))
        return
    yield from outcomes(setup)
    if setup.settings.enabled:
        yield from probes(setup.settings, offline=offline)


def _app(context: click.Context) -> Flask | None:
    """Return the app that flask was told of, or finds; None if there is none, or flask was not what was run."""
    info = context.find_object(ScriptInfo)
    if info is None:
        return None
    try:
        return info.load_app()
    except NoAppException:
        if info.app_import_path is not None:
            raise
        return None


def _show(found: Sequence[Outcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    from flask_boxkite.cli.terminal import printing

    table = Table.grid(padding=(0, 1))
    levels = Counter(outcome.level for outcome in found)
    with printing(None) as console:
        marks = _PLAIN_MARKS if console.options.ascii_only else _MARKS
        for outcome in found:
            table.add_row(Text(marks[outcome.level], style=_STYLES[outcome.level]), printable(masked(outcome.what)))
            if outcome.remedy:
                table.add_row("", Text(printable(masked(outcome.remedy)), style="dim"))
        console.print(table)
        console.print(f"\n{counted(levels['problem'], 'problem')}, {counted(levels['hint'], 'hint')}")
