"""``fairness``: whether a model selects the rows of one group as often as of another, by logged predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from flask_boxkite.cli.group import PATH, boxkite, output_option, write
from flask_boxkite.cli.reports import ALPHA, DRIFT_FOUND
from flask_boxkite.cli.segment_performance import check_column
from flask_boxkite.cli.sources import note_records, open_records
from flask_boxkite.cli.workers import workers_option
from flask_boxkite.fairness.verdict import Limits
from flask_boxkite.quoting import printable

__all__ = ["fairness"]

_FAILING = {"unequal": ("unequal",), "not-within-limits": ("unequal", "not enough data")}
"""Verdicts that cause the exit code, by the value of ``--fail-on``."""


@boxkite.command()
@click.option("--records", metavar="LOCATION", required=True, help="Folder or URL of logged predictions.")
@click.option("--baseline", type=PATH, required=True, help="Baseline file of the model.")
@click.option(
    "--by",
    metavar="NAME",
    required=True,
    help="Column of the groups: a feature, a column of the outcomes, or a value that requests carry by name beside the "
    "features.",
)
@click.option("--start", help="Time of the first record, as 2026-01-31T12:00; UTC.")
@click.option("--end", help="Time after the last record.")
@click.option("--fingerprint", metavar="HEX", help="Only records that were served with this baseline.")
@click.option("--model", metavar="NAME", help="Name of the model.  [default: all]")
@workers_option()
@click.option(
    "--outcomes",
    metavar="FILE",
    help="File or URL of outcomes, CSV, TSV, JSON lines or Parquet.  [default: selection rates alone]",
)
@click.option(
    "--key",
    metavar="NAME",
    default="prediction_id",
    help="Column of the outcomes that names the prediction, as the record does: prediction_id, entity_id, key, or a "
    "feature.",
)
@click.option("--actual-column", metavar="NAME", default="actual", help="Column of the values that came true.")
@click.option("--groups-only", is_flag=True, help="The outcomes have groups, and no values that came true.")
@click.option(
    "--reference", metavar="VALUE", help="Group that others are compared with.  [default: the one with most rows]"
)
@click.option(
    "--positive",
    metavar="LABEL",
    help="Class that counts as selected, and as a positive outcome.  [default: the one of the score]",
)
@click.option(
    "--threshold", type=float, help="Score or number from which a row is selected.  [default: the one of the baseline]"
)
@click.option(
    "--least-ratio",
    type=click.FloatRange(0, 1, min_open=True),
    default=Limits().ratio,
    help="Least ratio of two selection rates; 0.8 is the four-fifths rule.",
)
@click.option(
    "--most-difference",
    type=click.FloatRange(0, 1),
    default=Limits().difference,
    help="Largest difference of two rates.",
)
@click.option(
    "--alpha",
    type=ALPHA,
    help="Probability that groups which are treated equally are called unequal.  [default: 0.001]",
)
@click.option(
    "--fail-on",
    type=click.Choice([*_FAILING]),
    help=f"Exit with code {DRIFT_FOUND} if any group is unequal, or unless all are shown to be within limits.",
)
@output_option
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", help="Output format."
)
def fairness(
    records: str,
    baseline: Path,
    by: str,
    outcomes: str | None,
    key: str,
    actual_column: str,
    groups_only: bool,
    alpha: float | None,
    fail_on: str | None,
    form: str,
    output: Path | None,
    reference: str | None,
    positive: str | None,
    threshold: float | None,
    least_ratio: float,
    most_difference: float,
    **selection: Any,
) -> None:
    """Compare how often a model selects the rows of each group, and with outcomes, those that came true.

    A group is unequal if its rate differs from the reference's by more than chance, and beyond a limit. It is within
    limits if the interval of the difference is. Otherwise, there is not enough data.

    \b
    Examples:
      flask boxkite fairness --records /var/log/models --baseline credit.prom --by sex
      flask boxkite fairness --records logs --baseline credit.prom --by sex --outcomes repaid.csv --fail-on unequal
      flask boxkite fairness --records s3://logs --baseline credit.prom --by age --positive repaid --reference 40
    """
    if groups_only and outcomes is None:
        msg = "'--groups-only' needs the outcomes: --outcomes"
        raise click.UsageError(msg)
    given: dict[str, Any] = {} if alpha is None else {"alpha": alpha}
    must_be_whole = fail_on is not None
    with open_records(records, baseline=baseline, must_be_whole=must_be_whole, **selection) as (source, trained):
        report = source.fairness(
            trained,
            by=by,
            outcomes=outcomes,
            key=key,
            actual=None if groups_only else actual_column,
            reference=reference,
            positive=positive,
            threshold=threshold,
            least_ratio=least_ratio,
            most_difference=most_difference,
            **given,
        )
    check_column(by, [group.name for group in report])
    if not report.groups:
        note_records(source, trained, records, baseline, must_be_some=must_be_whole, side="output")

    if form == "json":
        write(json.dumps({"format": 1, "fairness": report.to_dict()}, indent=2) + "\n", output)
    else:
        write((report.to_markdown() if form == "markdown" else str(report)) + "\n", output)
    if fail_on is not None and report.verdict in _FAILING[fail_on]:
        click.echo(printable(f"The verdict on groups by {by!r} is: {report.verdict}."), err=True)
        click.get_current_context().exit(DRIFT_FOUND)
