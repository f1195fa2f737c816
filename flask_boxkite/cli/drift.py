"""``drift``: live rows of a server, or logged predictions, compared with training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flask_boxkite.baseline import Baseline
from flask_boxkite.cli.group import PATH, boxkite, listed, write
from flask_boxkite.cli.remote import fetch_json, fetch_report
from flask_boxkite.cli.reports import ALPHA, Findings, Models, finish, report_options
from flask_boxkite.config import Settings
from flask_boxkite.drift.wording import when
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.windows import LONGEST, WINDOWS
from flask_boxkite.naming import MISSING
from flask_boxkite.page.wording import window_text

if TYPE_CHECKING:
    from flask_boxkite.records import Records, SegmentReport

__all__ = ["drift"]

_SHOWN = 5


@boxkite.command()
@click.option("--url", help="Address of the drift page of a running server.")
@click.option(
    "--token",
    envvar="BOXKITE_METRICS_TOKEN",
    show_envvar=True,
    help="Token that the page requires. On a command line, others can see it.",
)
@click.option(
    "--state-dir",
    type=PATH,
    help="State directory of a server on this machine, running or not.",
)
@click.option(
    "--window",
    type=click.Choice([*WINDOWS, "start"]),
    help="Window of a server: the last minutes, hour or day, or all since its start.  [default: 24h]",
)
@click.option("--records", metavar="LOCATION", help="Folder or URL of logged predictions, such as s3://…")
@click.option("--baseline", type=PATH, help="For records: baseline file for the comparison.")
@click.option("--start", help="For records: time of the first record, as 2026-01-31T12:00; UTC.")
@click.option("--end", help="For records: time after the last record.")
@click.option("--fingerprint", metavar="HEX", help="For records: only records that were served with this baseline.")
@click.option("--by", metavar="NAME", help="For records: compare each value of this feature or output separately.")
@click.option("--model", metavar="NAME", help="Name of the model.  [default: all]")
@click.option(
    "--alpha",
    type=ALPHA,
    help="Probability that one check of a model finds drift where there is none; not for a page, which has its own.  "
    f"[default: {Settings.drift_alpha}]",
)
@report_options("json", "markdown", "html")
def drift(
    url: str | None,
    token: str | None,
    state_dir: Path | None,
    records: str | None,
    form: str,
    output: Path | None,
    fail_on: str | None,
    shows_all: bool,
    **options: Any,
) -> None:
    """Compare a model's live rows with training.

    The rows come from a server's drift page (--url), its state directory on the same machine (--state-dir), or logged
    predictions (--records).

    \b
    Examples:
      flask boxkite drift --url http://localhost:8000/boxkite
      flask boxkite drift --url https://scoring/boxkite --window 24h --fail-on drifted
      flask boxkite drift --state-dir /run/boxkite --format html --output drift.html
      flask boxkite drift --records /var/log/models --baseline fraud.prom --start 2026-01-01 --by country
    """
    if [url, state_dir, records].count(None) != 2:
        msg = "No source is given. Name one of --url, --state-dir and --records."
        raise click.UsageError(msg)
    _check_options(options, url=url, records=records)
    if form == "html" and (options["by"] is not None or (url is not None and options["model"] is not None)):
        msg = "There is no HTML report by segment (--by), or, with --url, of one model."
        raise click.UsageError(msg)

    findings: Findings
    window, alpha = options.pop("window") or LONGEST, options.pop("alpha") or Settings.drift_alpha
    window = None if window == "start" else window
    if records is not None:
        findings = _of_records(records, alpha=alpha, must_be_some=fail_on is not None, **options)
    elif url is not None:
        findings = _of_page(url, token, window, options["model"])
    else:
        assert state_dir is not None
        findings = _of_directory(state_dir, window, options["model"], alpha)
    finish(findings, form, output, fail_on, shows_all=shows_all)


def _check_options(options: dict[str, Any], *, url: str | None, records: str | None) -> None:
    """Refuse options that would have no effect."""
    useless = ["window"] if records is not None else ["baseline", "start", "end", "fingerprint", "by"]
    if url is not None:
        useless.append("alpha")
    for name in useless:
        if options[name] is not None:
            msg = f"'--{name}' does not apply to this source."
            raise click.UsageError(msg)


def _of_page(url: str, token: str | None, window: str | None, model: str | None) -> Findings:
    content = fetch_json(url, window=window, token=token)
    models = [item for item in content["models"] if model in (None, item["model"])]
    if not models:
        known = listed([repr(item["model"]) for item in content["models"]])
        of = f"no model {model!r}" if model is not None else "no model"
        msg = f"The server has {of}. It has: {known or 'none'}."
        raise BoxkiteError(msg)
    page = partial(fetch_report, url, window=window, token=token)
    return Models({**content, "models": models}, window_text(content["window"]), page)


def _of_directory(directory: Path, window: str | None, model: str | None, alpha: float) -> Findings:
    # These take longer to load than the other modules.
    from flask_boxkite.cli.state_dir import app_of
    from flask_boxkite.page.render import drift_content, report_html

    app = app_of(directory, model=model, window=window, alpha=alpha)
    return Models(drift_content(app), window_text(window), partial(report_html, app))


def _of_records(
    location: str,
    *,
    baseline: Path | None,
    start: str | None,
    end: str | None,
    fingerprint: str | None,
    by: str | None,
    model: str | None,
    alpha: float,
    must_be_some: bool,
) -> Findings:
    from flask_boxkite.cli.terminal import waiting
    from flask_boxkite.records import Records

    if baseline is None:
        msg = "'--records' needs '--baseline' to compare with."
        raise click.UsageError(msg)
    _check_period(start, end)
    trained = Baseline.load(baseline)
    source = Records(location, start=start, end=end, model=model, fingerprint=fingerprint)
    with waiting("Reading records"), _one_model(source):
        findings, has_counts = _segments(source, trained, by, alpha) if by else _whole(source, trained, alpha, location)
    if damage := source.counts.damage:
        click.echo(f"Some data at '{location}' is not a record and was left out: {damage}.", err=True)
    if not has_counts:
        msg = f"There are no records of this model and period at '{location}'. Is it the right place?"
        if source.counts.records:
            names = listed([repr(item.name) for item in trained.variables], _SHOWN)
            msg = (
                f"No record at '{location}' has a feature or output of '{baseline}', which has {names}. Give the "
                "baseline of this model: --baseline"
            )
        if must_be_some:
            raise BoxkiteError(msg)
        click.echo(msg, err=True)
    return findings


def _check_period(start: str | None, end: str | None) -> None:
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


def _whole(source: Records, baseline: Baseline, alpha: float, location: str) -> tuple[Findings, bool]:
    """Return the findings, and whether anything was counted."""
    report, cells, failures = source.observed(baseline, alpha=alpha)
    models = Models.of_report(report, baseline, cells, source=location, when=when(report.window), failures=failures)
    return models, bool(cells.any())


def _segments(source: Records, baseline: Baseline, by: str, alpha: float) -> tuple[Findings, bool]:
    """Return the findings, and whether anything was counted."""
    report = source.drift(baseline, by=by, alpha=alpha)
    if [segment.name for segment in report] == [MISSING]:
        msg = f"No record has a value of {by!r}. Is that the name of a feature or output?"
        raise BoxkiteError(msg)
    variables = [item for segment in report for item in segment.report]
    # The variable that defines the segments is not compared.
    has_counts = any(item.live_rows for item in variables) if variables else source.counts.records > 0
    return _Segments(report), has_counts


class _Segments:
    """Drift of each segment of one model."""

    def __init__(self, report: SegmentReport) -> None:
        self._report = report

    @property
    def verdicts(self) -> Sequence[tuple[str, str]]:
        """Name and verdict of each variable of all segments."""
        return [(item.name, item.verdict) for segment in self._report for item in segment.report]

    def to_json(self) -> Any:
        """Return JSON values, as `SegmentReport.to_dict` gives them."""
        return self._report.to_dict()

    def to_markdown(self) -> str:
        """Return a table of the segments."""
        return self._report.to_markdown()

    def show(self, output: Path | None, *, shows_all: bool) -> None:
        """Print a table of the segments."""
        write(f"{self._report}\n", output)
