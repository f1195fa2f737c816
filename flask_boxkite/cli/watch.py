"""``watch``: one run of a job that tells people which verdicts have changed since the run before."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from flask_boxkite.cli.group import PATH, boxkite, write, writing
from flask_boxkite.cli.reports import ALPHA, DRIFT_FOUND
from flask_boxkite.cli.sources import check_source, note_records, open_records, page_models, source_options, window_of
from flask_boxkite.config import Settings
from flask_boxkite.drift.uncounted import too_many, uncounted
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.monitoring.assembly import make_webhook
from flask_boxkite.notify.conditions import Condition, Judged, drift_conditions, performance_conditions
from flask_boxkite.notify.episodes import Episodes
from flask_boxkite.notify.errors import ReceiverError
from flask_boxkite.notify.message import Notification
from flask_boxkite.notify.pace import Pace
from flask_boxkite.notify.receivers import WebhookReceiver
from flask_boxkite.notify.watch import Sender
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted
from flask_boxkite.system.atomic import write_whole

__all__ = ["watch"]

_PACE = Pace(check=0.0, hold=0.0, gap=0.0)
"""The pace of single runs: each tells at once of its findings."""

_FORMAT = 1
_TIMEOUT_SECONDS = 10.0
_FAILING = {"drifted": (), "major": ("major", "much worse")}
"""Verdicts that cause the exit code, by the value of ``--fail-on``; all if empty."""


@boxkite.command()
@source_options
@click.option(
    "--outcomes",
    metavar="FILE",
    help="For records: file or URL of outcomes, CSV, TSV, JSON lines or Parquet.  [default: none]",
)
@click.option(
    "--key", metavar="NAME", help="For records: column of the outcomes that names the prediction, as for performance."
)
@click.option(
    "--actual-column", metavar="NAME", help="For records: column of the values that came true.  [default: actual]"
)
@click.option(
    "--alpha",
    type=ALPHA,
    help="Probability that one check of a model finds drift where there is none; not for a page, which has its own.  "
    f"[default: {Settings.drift_alpha}]",
)
@click.option(
    "--webhook-url",
    envvar="BOXKITE_WEBHOOK_URL",
    show_envvar=True,
    help="Address to send the message to. On a command line, others can see it.  [default: standard output alone]",
)
@click.option(
    "--webhook-format",
    type=click.Choice(["slack", "teams", "json"]),
    help="Format of the message.  [default: by the host of the webhook]",
)
@click.option("--page-url", help="Address of the drift page, for a link in the message.")
@click.option(
    "--state",
    type=PATH,
    help="File that remembers the messages.  [default: none, so each run tells everything that holds]",
)
@click.option(
    "--fail-on",
    type=click.Choice([*_FAILING]),
    help=f"Exit with code {DRIFT_FOUND} if something has drifted or is worse than validated; or only if by much.",
)
def watch(
    url: str | None,
    token: str | None,
    state_dir: Path | None,
    records: str | None,
    webhook_url: str | None,
    webhook_format: str | None,
    page_url: str | None,
    state: Path | None,
    fail_on: str | None,
    **options: Any,
) -> None:
    """Tell which verdicts have changed since the last run: for a job that runs every hour or day.

    Judges drift and, where the baseline has actual values, quality. If something began to drift or became worse, has
    stayed so for a day since it was told, or has ended, it prints one message, and sends it to a webhook. Otherwise it
    prints nothing. If the webhook does not take the message, the next run tries again.

    \b
    Examples:
      flask boxkite watch --url http://localhost:8000/boxkite --state /var/lib/scoring/told.json
      flask boxkite watch --records /var/log/models --baseline fraud.prom --start 2026-01-01 --state told.json
    """
    check_source(url, state_dir, records, options, ["outcomes", "key", "actual_column"])
    receiver = _receiver(webhook_url, webhook_format, page_url)
    episodes = _recalled(state)
    window, alpha = window_of(options.pop("window")), options.pop("alpha") or Settings.drift_alpha
    judged = Judged.nothing()
    if records is not None:
        is_counted = _judge_records(judged, records, alpha=alpha, **options)
    elif url is not None:
        is_counted = _judge_models(judged, page_models(url, token, window, options["model"])["models"])
    else:
        assert state_dir is not None
        is_counted = _judge_models(judged, _models_of(state_dir, window, options["model"], alpha))

    sender = Sender(str(records or url or state_dir), socket.gethostname(), page_url)
    _tell(episodes, judged, receiver, state, sender)
    _fail(episodes.holding, fail_on)
    if fail_on is not None and not is_counted:
        msg = "Nothing was counted, so nothing can be found. Is it the right place, model and period?"
        raise BoxkiteError(msg)


def _receiver(url: str | None, form: str | None, page: str | None) -> WebhookReceiver | None:
    """Return the webhook; None if there is none.

    Raises:
        ConfigError: An address is malformed, or the webhook takes none of our formats.
    """
    keys = {"BOXKITE_WEBHOOK_URL": url, "BOXKITE_WEBHOOK_FORMAT": form, "BOXKITE_PAGE_URL": page}
    settings = Settings.from_mapping({key: value for key, value in keys.items() if value is not None}, {})
    return make_webhook(settings)


# --- judging ---------------------------------------------------------------------------------------------------------


def _judge_models(judged: Judged, models: Sequence[Mapping[str, Any]]) -> bool:
    """Judge models by the JSON of a page; return whether anything was counted.

    Raises:
        BoxkiteError: A report lacks something that this release needs.
    """
    is_counted = False
    for item in models:
        if item["drift"] is None:
            continue
        is_counted |= uncounted(item["drift"]["variables"]) != "nothing"
        judged.models[item["model"]] = item["baseline"]
        _note(item["drift"])
        try:
            judged.add(list(drift_conditions(item["drift"])))
            judged.add(list(performance_conditions([item["performance"]] if item.get("performance") else [])))
        except (KeyError, TypeError, ValueError) as error:
            msg = "The report is of a server of another release, which this one cannot judge. Update the older of both."
            raise BoxkiteError(msg) from error
    return is_counted


def _note(report: Mapping[str, Any]) -> None:
    """Say on standard error that too many rows of a model were not counted."""
    if too_many(report):
        click.echo(printable(f"{report['model']!r}: {report['note']}"), err=True)


def _models_of(directory: Path, window: str | None, model: str | None, alpha: float) -> Sequence[Mapping[str, Any]]:
    # These take longer to load than the other modules.
    from flask_boxkite.cli.state_dir import app_of
    from flask_boxkite.page.render import drift_content

    models: Sequence[Mapping[str, Any]] = drift_content(app_of(directory, model=model, window=window, alpha=alpha))[
        "models"
    ]
    return models


def _judge_records(
    judged: Judged,
    location: str,
    *,
    baseline: Path | None,
    outcomes: str | None,
    key: str | None,
    actual_column: str | None,
    alpha: float,
    **options: Any,
) -> bool:
    """Judge records; return whether anything was counted."""
    with open_records(location, baseline=baseline, **options) as (source, trained):
        report, cells, _ = source.observed(trained, alpha=alpha)
        judged.models[report.model] = report.baseline
        judged.add(drift_conditions(report.to_dict()))
        if trained.validation is not None or outcomes is not None:
            own: dict[str, Any] = {"key": key, "actual": actual_column}
            own = {name: value for name, value in own.items() if value is not None}
            quality = source.performance(trained, outcomes=outcomes, alpha=alpha, **own)
            judged.add(performance_conditions([quality.to_dict()]))
    if cells.any():
        _note(report.to_dict())
    else:
        note_records(source, trained, location, baseline, must_be_some=False)
    return bool(cells.any())


# --- telling ---------------------------------------------------------------------------------------------------------


def _recalled(state: Path | None) -> Episodes:
    """Return the episodes that earlier runs have seen.

    Raises:
        BoxkiteError: The file cannot be read, or is something else, which must not be replaced.
    """
    if state is None or not state.exists():
        return Episodes(_PACE)
    try:
        values = json.loads(state.read_bytes())
    except OSError as error:
        msg = f"'{state}' cannot be read: {error.strerror}."
        raise BoxkiteError(msg) from error
    except ValueError:
        values = None
    if not isinstance(values, dict) or values.get("format") != _FORMAT or "episodes" not in values:
        msg = f"'{state}' is no file of this command, so it is left as it is. Name another one: --state"
        raise BoxkiteError(msg)
    return Episodes(_PACE, values["episodes"])


def _tell(
    episodes: Episodes, judged: Judged, receiver: WebhookReceiver | None, state: Path | None, sender: Sender
) -> None:
    """Print and send the changes, and remember them.

    Raises:
        BoxkiteError: The webhook did not take it, or it cannot be remembered.
    """
    now, key = time.time(), "output" if receiver is None else receiver.key
    episodes.see(judged, now)
    telling = episodes.to_tell(key, now)
    failure = ""
    if telling is not None:
        _remember(episodes, state)  # nothing is sent that could not be remembered
        notification = telling.notification(time=now, **sender._asdict())
        write(f"{notification.text}\n", None)
        failure = _sent(receiver, notification)
        if not failure:
            episodes.told(telling, now)

    list(episodes.tidy([key], now))
    _remember(episodes, state)
    if failure:
        raise BoxkiteError(failure)


def _remember(episodes: Episodes, state: Path | None) -> None:
    """Write the file that remembers the messages, if there is one."""
    if state is not None:
        with writing(state):
            write_whole(state, json.dumps({"format": _FORMAT, "episodes": episodes.to_dict()}).encode())


def _sent(receiver: WebhookReceiver | None, notification: Notification) -> str:
    """Send a message; return why that failed, or an empty text."""
    if receiver is not None:
        try:
            receiver.send(notification, _TIMEOUT_SECONDS)
        except ReceiverError as error:
            return f"The message was not taken by {receiver}: {error}. The next run tries again."
    return ""


def _fail(holding: Sequence[Condition], fail_on: str | None) -> None:
    """Exit with code `DRIFT_FOUND` if that was requested and something holds."""
    if fail_on is None:
        return
    bad = [item for item in holding if not _FAILING[fail_on] or item.verdict in _FAILING[fail_on]]
    if bad:
        click.echo(f"Found: {counted(len(bad), 'condition')}, {fail_on} or worse.", err=True)
        click.get_current_context().exit(DRIFT_FOUND)
