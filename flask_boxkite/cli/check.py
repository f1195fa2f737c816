"""``check``: whether all parts of a set-up are present and work."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import click
from flask import Flask
from flask.cli import NoAppException, ScriptInfo

from flask_boxkite.cli.group import boxkite
from flask_boxkite.cli.notifications import notification_outcomes
from flask_boxkite.cli.probes import Outcome, probes
from flask_boxkite.cli.setup import not_seen, outcomes, setup_of_app, setup_of_environment
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.monitoring.assembly import make_webhook
from flask_boxkite.quoting import masked, printable
from flask_boxkite.suggestion import counted

__all__ = ["check"]

_MARKS = {"ok": "✓", "problem": "✗", "hint": "!"}
_PLAIN_MARKS = {"ok": "+", "problem": "x", "hint": "!"}
"""Marks for terminals with only ASCII, where all others would be question marks."""

_STYLES = {"ok": "green", "problem": "bold red", "hint": "yellow"}


@boxkite.command()
@click.option("--offline", is_flag=True, help="Do not talk to fluentd.")
@click.option(
    "--notify", "sends", is_flag=True, help="Send a test message to the receivers of notifications: webhook, function."
)
@click.pass_context
def check(context: click.Context, offline: bool, sends: bool) -> None:
    """Look for problems of a set-up, and for possible improvements.

    The app is the one that flask finds (--app); without an app, settings come from the environment: FLASK_BOXKITE_…, as
    app.config.from_prefixed_env() reads them. Run the command where the server runs, as the same user. It writes to
    directories for a moment, and sends fluentd one record with the tag 'boxkite.check', to see it acknowledged. Only if
    a running server has the same BOXKITE_STATE_DIR, it looks at its requests.

    Exits with 1 if there is a problem.

    \b
    Examples:
      flask --app scoring boxkite check
      FLASK_BOXKITE_FLUENTD_ADDR=fluentd:24224 python -m flask_boxkite check
    """
    # Without a handler, the messages of our loggers would be printed between the lines.
    logging.getLogger("flask_boxkite").addHandler(logging.NullHandler())
    if offline and sends:
        msg = "'--notify' needs the network, which '--offline' leaves out."
        raise click.UsageError(msg)
    results = list(_all_outcomes(context, offline=offline, sends=sends))
    _show(results)
    if any(outcome.level == "problem" for outcome in results):
        context.exit(1)


def _all_outcomes(context: click.Context, *, offline: bool, sends: bool) -> Iterator[Outcome]:
    try:
        app = _app(context)
        setup = setup_of_environment() if app is None else setup_of_app(app)
        make_webhook(setup.settings)
    except BoxkiteError as error:
        yield Outcome("problem", str(error))
        return
    yield from outcomes(setup)
    if setup.settings.enabled:
        yield from probes(setup.settings, offline=offline)
        yield from notification_outcomes(setup, sends=sends)
    if note := not_seen(setup):
        yield Outcome("note", note)


def _app(context: click.Context) -> Flask | None:
    """Return the app that flask finds; None if there is none, or if the command was not run by flask."""
    info = context.find_object(ScriptInfo)
    if info is None:
        return None
    try:
        return info.load_app()
    except NoAppException:
        if info.app_import_path is not None:
            raise
        return None


def _show(results: Sequence[Outcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    from flask_boxkite.cli.terminal import printing

    table = Table.grid(padding=(0, 1))
    levels = Counter(outcome.level for outcome in results)
    with printing(None) as console:
        marks = _PLAIN_MARKS if console.options.ascii_only else _MARKS
        for outcome in (each for each in results if each.level != "note"):
            table.add_row(Text(marks[outcome.level], style=_STYLES[outcome.level]), printable(masked(outcome.what)))
            if outcome.remedy:
                table.add_row("", Text(printable(masked(outcome.remedy)), style="dim"))
        console.print(table)
        for note in (each.what for each in results if each.level == "note"):
            console.print(f"\n{note}", soft_wrap=True)
        console.print(f"\n{counted(levels['problem'], 'problem')}, {counted(levels['hint'], 'hint')}")
