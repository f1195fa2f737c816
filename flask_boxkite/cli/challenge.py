"""``challenge``: whether a challenger is better than the champion, by logged predictions of both and outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flask_boxkite.baseline import Baseline
from flask_boxkite.cli.group import PATH, boxkite, output_option, write
from flask_boxkite.cli.reports import ALPHA, DRIFT_FOUND
from flask_boxkite.cli.sources import check_period, tell_damage
from flask_boxkite.cli.workers import processes, workers_option
from flask_boxkite.errors import BoxkiteError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from flask_boxkite.performance.challenge import ChallengeReport

__all__ = ["challenge"]

_FAILING = {"worse": ("worse",), "not-better": ("worse", "mixed", "no difference shown", "not enough data")}
"""Verdicts that cause the exit code, by the value of ``--fail-on``."""


@boxkite.command()
@click.option("--records", metavar="LOCATION", required=True, help="Folder or URL of logged predictions.")
@click.option("--champion", type=PATH, required=True, help="Baseline file of the model that serves.")
@click.option("--challenger", type=PATH, required=True, help="Baseline file of the other model or version.")
@click.option("--start", help="Time of the first record, as 2026-01-31T12:00; UTC.")
@click.option("--end", help="Time after the last record.")
@click.option(
    "--model", metavar="NAME", help="Name of the champion in records.  [default: the records of its baseline]"
)
@click.option(
    "--challenger-model",
    metavar="NAME",
    help="Name of the challenger in records.  [default: the records of its baseline]",
)
@click.option(
    "--challenger-records", metavar="LOCATION", help="Records of the challenger.  [default: the same as --records]"
)
@workers_option()
@click.option(
    "--outcomes",
    metavar="FILE",
    help="File or URL of outcomes, CSV, TSV, JSON lines or Parquet.  [default: only the disagreement]",
)
@click.option(
    "--key",
    metavar="NAME",
    default="prediction_id",
    help="Field that both records of a row share, and its column in the outcomes: prediction_id of models in one view, "
    "key, or a feature.",
)
@click.option("--actual-column", metavar="NAME", default="actual", help="Column of the values that came true.")
@click.option(
    "--alpha",
    type=ALPHA,
    help="Probability that equally good models get another verdict.  [default: 0.001]",
)
@click.option(
    "--fail-on",
    type=click.Choice([*_FAILING]),
    help=f"Exit with code {DRIFT_FOUND} if outcomes show that the challenger is worse, or unless they show that it is "
    "better.",
)
@output_option
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", help="Output format."
)
def challenge(
    champion: Path,
    challenger: Path,
    outcomes: str | None,
    key: str,
    actual_column: str,
    alpha: float | None,
    fail_on: str | None,
    form: str,
    output: Path | None,
    workers: int | None,
    **selection: Any,
) -> None:
    """Compare two models, or two versions of one, that answered the same requests.

    Logged predictions of both are paired by a key. The report says how often the models disagree and, with a file of
    outcomes, how good each is on the same rows, with an interval of 95 % and a verdict for each difference.

    \b
    Examples:
      flask boxkite challenge --records /var/log/models --champion v1.prom --challenger v2.prom
      flask boxkite challenge --records s3://logs --champion v1.prom --challenger v2.prom --outcomes chargebacks.csv
      flask boxkite challenge --records logs --champion v1.prom --challenger v2.prom --outcomes o.csv --key order_id
      flask boxkite challenge --records logs --champion v1.prom --challenger v2.prom --outcomes o.csv --fail-on worse
    """
    from flask_boxkite.cli.terminal import printing, waiting

    if fail_on is not None and outcomes is None:
        msg = "'--fail-on' needs the outcomes: --outcomes"
        raise click.UsageError(msg)
    given = {} if alpha is None else {"alpha": alpha}
    with processes(workers) as executor, waiting("Reading records"):
        sources = _sources(**selection, executor=executor)
        report = sources[0].challenge(
            Baseline.load(champion),
            Baseline.load(challenger),
            against=sources[1],
            outcomes=outcomes,
            key=key,
            actual=actual_column,
            **given,
        )
    for source in filter(None, sources):
        tell_damage(source, must_be_whole=fail_on is not None)

    _note_rows(report, must_be_some=fail_on is not None)
    if form == "json":
        write(json.dumps({"format": 1, "challenge": report.to_dict()}, indent=2) + "\n", output)
    elif form == "markdown":
        write(report.to_markdown() + "\n", output)
    else:
        with printing(output) as console:
            console.print(str(report), soft_wrap=True)
    if fail_on is not None and report.verdict in _FAILING[fail_on]:
        click.echo(f"The verdict on the challenger is: {report.verdict}.", err=True)
        click.get_current_context().exit(DRIFT_FOUND)


def _note_rows(report: ChallengeReport, *, must_be_some: bool) -> None:
    """Say which model has no rows.

    Raises:
        BoxkiteError: Each must have some.
    """
    for side, option in (("champion", "model"), ("challenger", "challenger-model")):
        found = getattr(report, side)
        if found.rows == 0:
            msg = (
                f"There are no records of the {side} in this period, baseline {found.baseline}. Records of another "
                f"baseline are found by the name of their model: --{option}"
            )
            if must_be_some:
                raise BoxkiteError(msg)
            click.echo(msg, err=True)


def _sources(
    *,
    records: str,
    start: str | None,
    end: str | None,
    model: str | None,
    challenger_model: str | None,
    challenger_records: str | None,
    executor: Executor | None,
) -> tuple[Any, Any]:
    """Return the records of the champion, and of the challenger; None for these if baselines tell them apart."""
    from flask_boxkite.records import Records

    check_period(start, end)
    own = Records(records, start=start, end=end, model=model, executor=executor)
    if model is None and challenger_model is None and challenger_records is None:
        return own, None
    location = challenger_records or records
    return own, Records(location, start=start, end=end, model=challenger_model, executor=executor)
