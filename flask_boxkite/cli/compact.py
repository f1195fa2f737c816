"""``compact``: files of logged predictions, one JSON object a line, become Parquet."""

from __future__ import annotations

from pathlib import Path

import click

from flask_boxkite.cli.group import PATH, boxkite
from flask_boxkite.quoting import printable

__all__ = ["compact"]


@boxkite.command()
@click.argument("logs", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--baseline",
    "baselines",
    type=PATH,
    multiple=True,
    help="Baseline file whose features and outputs become columns; may be given several times.  [default: none, and "
    "records are read no faster than before]",
)
@click.option("--remove", is_flag=True, help="Delete a file once the disk has its records as Parquet.")
@click.option(
    "--closed-after",
    type=click.FloatRange(min=0),
    default=60.0,
    metavar="MINUTES",
    help="Leave the files of the last minutes to the servers that write them.",
)
def compact(logs: Path, out: Path, baselines: tuple[Path, ...], remove: bool, closed_after: float) -> None:
    """Write the logged predictions below LOGS as Parquet below OUT.

    Each file is compacted once, so the command may run every hour. A run that was killed is finished by the next one.
    Commands read both: name a folder above LOGS and OUT as --records.

    \b
    Examples:
      flask boxkite compact records records/parquet --baseline baseline.prom
      flask boxkite compact /var/log/models /data/models --baseline fraud.prom --baseline churn.prom --remove
    """
    # The extra it needs is told only to users of the command.
    from flask_boxkite.records import compact

    run = compact(logs, out, baselines, remove=remove, closed_seconds=60 * closed_after)
    click.echo(printable(str(run)))
