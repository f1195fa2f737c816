"""Sources of live rows: the page of a running server, the state directory of one, or its records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flask_boxkite.baseline import Baseline
from flask_boxkite.cli.group import PATH, listed
from flask_boxkite.cli.remote import fetch_json
from flask_boxkite.cli.workers import processes, workers_option
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.history.window import WINDOW_NAMES, is_window
from flask_boxkite.live.history_file import MOST_DAYS
from flask_boxkite.live.windows import LONGEST, WINDOWS

if TYPE_CHECKING:
    from flask_boxkite.records import Records

__all__ = [
    "check_period",
    "check_source",
    "note_records",
    "open_records",
    "page_models",
    "source_options",
    "tell_damage",
    "token_option",
    "window_of",
]

_SHOWN = 5
_ALIASES = {"weights": "weight", "drift_sizes": "drift_size"}
"""Names of options whose parameters have other names."""

_OF_RECORDS = ("baseline", "start", "end", "fingerprint", "workers")


class _Window(click.ParamType):  # type: ignore[type-arg]  # no generic in click before 8.2
    """A window of a server."""

    name = "window"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value != "start" and not is_window(value):
            self.fail(f"{value!r} is not one of {WINDOW_NAMES}, or 'start'.", param, ctx)
        return value


def token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--token``, the token that a server requires."""
    option = click.option(
        "--token",
        envvar="BOXKITE_METRICS_TOKEN",
        show_envvar=True,
        help="Token that the server requires. On a command line, others can see it.",
    )
    return option(command)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name the source, and a part of it."""
    options = (
        click.option("--url", help="Address of the drift page of a running server."),
        token_option,
        click.option("--state-dir", type=PATH, help="State directory of a server on this machine, running or not."),
        click.option(
            "--window",
            type=_Window(),
            metavar=f"[{'|'.join(WINDOWS)}|start|DAYSd]",
            help="Window of a server: the last minutes, hour or day, all since its start, or the last days, as 30d; up "
            f"to {MOST_DAYS}d.  [default: 24h]",
        ),
        click.option("--records", metavar="LOCATION", help="Folder or URL of logged predictions, such as s3://…"),
        click.option("--baseline", type=PATH, help="For records: baseline file for the comparison."),
        click.option("--start", help="For records: time of the first record, as 2026-01-31T12:00; UTC."),
        click.option("--end", help="For records: time after the last record."),
        click.option(
            "--fingerprint", metavar="HEX", help="For records: only records that were served with this baseline."
        ),
        click.option("--model", metavar="NAME", help="Name of the model.  [default: all]"),
        workers_option("For records: number of processes that count them"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_source(
    url: str | None, state_dir: Path | None, records: str | None, options: Mapping[str, Any], own: Sequence[str] = ()
) -> None:
    """Refuse more or fewer sources than one, and options that would have no effect.

    Args:
        url: Address of a page.
        state_dir: State directory.
        records: Location of records.
        options: The other options, by the names of their parameters.
        own: Names of those that apply to records only, besides the ones of `source_options`.

    Raises:
        click.UsageError: The options do not fit.
    """
    if [url, state_dir, records].count(None) != 2:
        msg = "No source is given. Name one of --url, --state-dir and --records."
        raise click.UsageError(msg)
    useless = ["window"] if records is not None else [*_OF_RECORDS, *own]
    if url is not None:
        useless.append("alpha")
    for name in useless:
        if options[name] not in (None, ()):
            msg = f"'--{_ALIASES.get(name, name).replace('_', '-')}' does not apply to this source."
            raise click.UsageError(msg)


def window_of(text: str | None) -> str | None:
    """Return the window that ``--window`` names; None for all since the start."""
    return None if text == "start" else text or LONGEST


def page_models(url: str, token: str | None, window: str | None, model: str | None) -> dict[str, Any]:
    """Return the JSON of a server's page, with one model or all.

    Raises:
        BoxkiteError: The page cannot be read, or has no such model.
    """
    content = fetch_json(url, window=window, token=token)
    models = [item for item in content["models"] if model in (None, item["model"])]
    if not models:
        known = listed([repr(item["model"]) for item in content["models"]])
        of = f"no model {model!r}" if model is not None else "no model"
        msg = f"The server has {of}. It has: {known or 'none'}."
        raise BoxkiteError(msg)
    return {**content, "models": models}


# --- records ---------------------------------------------------------------------------------------------------------


@contextmanager
def open_records(
    location: str,
    *,
    baseline: Path | None,
    start: str | None,
    end: str | None,
    fingerprint: str | None,
    model: str | None,
    workers: int | None = None,
    must_be_whole: bool = False,
) -> Iterator[tuple[Records, Baseline]]:
    """Yield the records and the baseline to compare with, and show on a terminal that they are being read.

    Errors name options. At the end, a line tells of data that is not a record.

    Raises:
        click.UsageError: There is no baseline.
        BoxkiteError: The records or the baseline cannot be used; or, if *must_be_whole*, some are in damaged Parquet.
    """
    from flask_boxkite.cli.terminal import waiting
    from flask_boxkite.records import Records

    if baseline is None:
        msg = "'--records' needs '--baseline' to compare with."
        raise click.UsageError(msg)
    check_period(start, end)
    trained = Baseline.load(baseline)
    with processes(workers) as executor:
        source = Records(location, start=start, end=end, model=model, fingerprint=fingerprint, executor=executor)
        with waiting("Reading records"), _one_model(source):
            yield source, trained
    tell_damage(source, must_be_whole=must_be_whole)


def tell_damage(source: Records, *, must_be_whole: bool) -> None:
    """Tell of data that is not a record.

    Raises:
        BoxkiteError: Records in Parquet cannot be read, but *must_be_whole*.
    """
    if damage := source.counts.damage:
        click.echo(f"Some data at '{source.location}' is not a record and was left out: {damage}.", err=True)
    if must_be_whole and source.counts.loss:
        raise BoxkiteError(source.counts.loss)


def note_records(
    source: Records, trained: Baseline, location: str, baseline: Path | None, *, must_be_some: bool, side: str = ""
) -> None:
    """Say why nothing was counted in records.

    Args:
        source: Records that were read.
        trained: Baseline of the comparison.
        location: Location of the records.
        baseline: Path of the baseline.
        must_be_some: Whether that is an error.
        side: Side of the variables that are counted; empty for both.

    Raises:
        BoxkiteError: There must be some.
    """
    from flask_boxkite.records.uncounted import uncounted_note

    remedy = "Give the baseline of this model: --baseline"
    msg = uncounted_note(source.counts, trained, location, side=side, file=f"'{baseline}'", remedy=remedy)
    if must_be_some:
        raise BoxkiteError(msg)
    click.echo(msg, err=True)


def check_period(start: str | None, end: str | None) -> None:
    """Refuse times that `Records` would refuse, with the names of the options."""
    from flask_boxkite.records.period import parse_moment

    if parse_moment("--start", start, -math.inf) >= parse_moment("--end", end, math.inf):
        msg = f"'--end' must be after '--start', got {start!r} and {end!r}. The end itself is not part of the period."
        raise BoxkiteError(msg)


@contextmanager
def _one_model(source: Records) -> Iterator[None]:
    """Name the option if the records are of several models."""
    try:
        yield
    except BoxkiteError as error:
        models = source.counts.models
        if len(models) < 2:
            raise
        names = listed(sorted(map(repr, models)), _SHOWN)
        msg = f"The records are of several models: {names}. Name one of them: --model"
        raise BoxkiteError(msg) from error
