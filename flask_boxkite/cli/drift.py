"""``drift``: live rows of a server, or logged predictions, compared with training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flask_boxkite.baseline import Baseline
from flask_boxkite.cli.group import boxkite
from flask_boxkite.cli.policies import POLICY_OPTIONS, judged, policy_options
from flask_boxkite.cli.remote import fetch_report, fetch_segments
from flask_boxkite.cli.reports import ALPHA, Findings, Models, finish, report_options
from flask_boxkite.cli.segments import Segments
from flask_boxkite.cli.sources import check_source, note_records, open_records, page_models, source_options, window_of
from flask_boxkite.config import Settings
from flask_boxkite.drift.wording import when
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.naming import MISSING
from flask_boxkite.page.wording import window_text

if TYPE_CHECKING:
    from flask_boxkite.records import Records

__all__ = ["drift"]


@boxkite.command()
@source_options
@click.option(
    "--by",
    metavar="NAME",
    help="Compare each value of this variable separately: for a server, one that has segments; for records, any "
    "feature or output.",
)
@click.option(
    "--alpha",
    type=ALPHA,
    help="Probability that one check of a model finds drift where there is none; not for a page, which has its own.  "
    f"[default: {Settings.drift_alpha}]",
)
@policy_options(of_baseline=True)
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
    predictions (--records). --ignore, --judge, --weight and --drift-size are for records: a server has settings.

    \b
    Examples:
      flask boxkite drift --url http://localhost:8000/boxkite
      flask boxkite drift --url https://scoring/boxkite --window 24h --fail-on drifted
      flask boxkite drift --url http://localhost:8000/boxkite --by country
      flask boxkite drift --state-dir /run/boxkite --format html --output drift.html
      flask boxkite drift --records /var/log/models --baseline fraud.prom --start 2026-01-01 --by country
    """
    check_source(url, state_dir, records, options, POLICY_OPTIONS)
    if form == "html" and (options["by"] is not None or (url is not None and options["model"] is not None)):
        msg = "There is no HTML report by segment (--by), or, with --url, of one model."
        raise click.UsageError(msg)

    findings: Findings
    policies = {name: options.pop(name) for name in POLICY_OPTIONS}
    window, alpha = window_of(options.pop("window")), options.pop("alpha") or Settings.drift_alpha
    if records is not None:
        findings = _of_records(records, policies, alpha=alpha, must_be_some=fail_on is not None, **options)
    elif url is not None:
        findings = _of_page(url, token, window, options["model"], options["by"])
    else:
        assert state_dir is not None
        findings = _of_directory(state_dir, window, options["model"], options["by"], alpha)
    finish(findings, form, output, fail_on, shows_all=shows_all)


def _of_page(url: str, token: str | None, window: str | None, model: str | None, by: str | None) -> Findings:
    if by is not None:
        return Segments(fetch_segments(url, by=by, model=model, window=window, token=token))
    content = page_models(url, token, window, model)
    page = partial(fetch_report, url, window=window, token=token)
    return Models(content, window_text(content["window"]), page)


def _of_directory(directory: Path, window: str | None, model: str | None, by: str | None, alpha: float) -> Findings:
    # These take longer to load than the other modules.
    from flask_boxkite.cli.state_dir import app_of, segments_of
    from flask_boxkite.page.render import drift_content, report_html

    if by is not None:
        return Segments.of_report(segments_of(directory, by=by, model=model, window=window, alpha=alpha))
    app = app_of(directory, model=model, window=window, alpha=alpha)
    return Models(drift_content(app), window_text(window), partial(report_html, app))


def _of_records(
    location: str,
    policies: Mapping[str, Sequence[str]],
    *,
    by: str | None,
    alpha: float,
    must_be_some: bool,
    baseline: Path | None,
    **options: Any,
) -> Findings:
    with open_records(location, baseline=baseline, must_be_whole=must_be_some, **options) as (source, loaded):
        trained = judged(loaded, **policies)
        findings, has_counts = _segments(source, trained, by, alpha) if by else _whole(source, trained, alpha, location)
    if not has_counts and (by or must_be_some):  # a report on the whole has a note
        note_records(source, trained, location, baseline, must_be_some=must_be_some)
    return findings


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
    return Segments.of_report(report), has_counts
