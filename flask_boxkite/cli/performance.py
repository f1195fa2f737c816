"""``performance``: how good a model is, by a server's outcomes, or by logged predictions and a file of outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from flask_boxkite.cli.group import boxkite, output_option, write
from flask_boxkite.cli.reports import ALPHA, DRIFT_FOUND
from flask_boxkite.cli.segment_performance import check_outputs, show_segments
from flask_boxkite.cli.sources import check_source, note_records, open_records, page_models, source_options, window_of
from flask_boxkite.config import Settings
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.performance.wording import as_markdown, as_text
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted

__all__ = ["performance"]

_FAILING = {"worse": ("worse", "much worse"), "much-worse": ("much worse",)}
"""Verdicts that cause the exit code, by the value of ``--fail-on``."""

_NO_ACTUAL = (
    "there are no actual values in its baseline. Write one with: flask boxkite baseline held_out.csv --output-column "
    "NAME --actual-column NAME --out FILE"
)


@boxkite.command()
@source_options
@click.option(
    "--outcomes",
    metavar="FILE",
    help="For records: file or URL of outcomes, CSV, TSV, JSON lines or Parquet.  [default: only what is expected]",
)
@click.option(
    "--key",
    metavar="NAME",
    help="For records: column of the outcomes that names the prediction, as the record does: prediction_id, entity_id, "
    "key, or a feature.  [default: prediction_id]",
)
@click.option(
    "--actual-column", metavar="NAME", help="For records: column of the values that came true.  [default: actual]"
)
@click.option("--by", metavar="NAME", help="For records: report on each value of this feature or output separately.")
@click.option(
    "--alpha",
    type=ALPHA,
    help="Probability that one check finds a model worse that is as validated; not for a page, which has its own.  "
    f"[default: {Settings.drift_alpha}]",
)
@click.option(
    "--fail-on",
    type=click.Choice([*_FAILING]),
    help=f"Exit with code {DRIFT_FOUND} if outcomes show that any model is this much worse than validated; "
    "with 1 if no prediction was counted, or the output of too many was not found.",
)
@output_option
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", help="Output format."
)
def performance(
    url: str | None,
    token: str | None,
    state_dir: Path | None,
    records: str | None,
    form: str,
    output: Path | None,
    fail_on: str | None,
    **options: Any,
) -> None:
    """Say how good a model is: as validated, as expected from its outputs, and as outcomes show it.

    The numbers come from a server's drift page (--url), its state directory on the same machine (--state-dir), or
    logged predictions (--records), which are joined with a file of outcomes.

    \b
    Examples:
      flask boxkite performance --url http://localhost:8000/boxkite
      flask boxkite performance --state-dir /run/boxkite --window start --fail-on worse
      flask boxkite performance --records /var/log/models --baseline fraud.prom --outcomes chargebacks.csv
      flask boxkite performance --records s3://logs --baseline fraud.prom --outcomes orders.parquet --key order_id
      flask boxkite performance --records logs --baseline fraud.prom --outcomes chargebacks.csv --by country
    """
    if options["by"] is not None and records is None:
        msg = "Performance by segment is read from records: '--by' needs '--records'."
        raise click.UsageError(msg)
    check_source(url, state_dir, records, options, ["outcomes", "key", "actual_column", "by"])
    if records is not None and options["outcomes"] is None:
        _refuse_without_outcomes({"fail_on": fail_on, **options})

    window, alpha = window_of(options.pop("window")), options.pop("alpha") or Settings.drift_alpha
    if (by := options.pop("by")) is not None and records is not None:
        show_segments(records, by, form, output, _FAILING[fail_on] if fail_on else (), alpha=alpha, **options)
        return
    if records is not None:
        content = _of_records(records, alpha=alpha, must_be_some=fail_on is not None, **options)
    elif url is not None:
        content = _of_page(url, token, window, options["model"])
    else:
        assert state_dir is not None
        content = _of_directory(state_dir, window, options["model"], alpha)
    _check_some(content["models"])
    _show(content, form, output)
    _fail(content["models"], fail_on)
    if records is None:
        _note_uncounted(content["models"], must_be_some=fail_on is not None)
    if fail_on is not None:
        coverages = {
            item["model"]: item["performance"].get("coverage", {}) for item in content["models"] if item["performance"]
        }
        check_outputs(coverages)


def _refuse_without_outcomes(options: Mapping[str, Any]) -> None:
    """Refuse options that would have no effect on the expectation alone."""
    for name in ("fail_on", "key", "actual_column"):
        if options[name] is not None:
            msg = f"'--{name.replace('_', '-')}' needs the outcomes: --outcomes"
            raise click.UsageError(msg)


# --- sources ---------------------------------------------------------------------------------------------------------


def _of_page(url: str, token: str | None, window: str | None, model: str | None) -> dict[str, Any]:
    content = page_models(url, token, window, model)
    return _content(content["window"], content["models"])


def _of_directory(directory: Path, window: str | None, model: str | None, alpha: float) -> dict[str, Any]:
    # These take longer to load than the other modules.
    from flask_boxkite.cli.state_dir import app_of
    from flask_boxkite.page.render import drift_content

    return _content(window, drift_content(app_of(directory, model=model, window=window, alpha=alpha))["models"])


def _of_records(
    location: str,
    *,
    baseline: Path | None,
    outcomes: str | None,
    key: str | None,
    actual_column: str | None,
    alpha: float,
    must_be_some: bool,
    **options: Any,
) -> dict[str, Any]:
    with open_records(location, baseline=baseline, must_be_whole=must_be_some, **options) as (source, trained):
        names = {"key": key, "actual": actual_column}
        own: dict[str, Any] = {option: name for option, name in names.items() if name is not None}
        report = source.performance(trained, outcomes=outcomes, alpha=alpha, **own)
    if not report.coverage.predictions:
        note_records(source, trained, location, baseline, must_be_some=must_be_some, side="output")
    about = {"model": report.model, "baseline": report.baseline, "version": trained.version}
    return _content(report.window, [{**about, "performance": report.to_dict()}])


def _content(window: str | None, models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON of the output: of each model the same as on the page, and of its drift the note alone."""
    keys = ("model", "baseline", "version", "performance")
    # A server of an earlier release has no performance, and no note.
    content = [
        {**{key: item.get(key) for key in keys}, "note": (item.get("drift") or {}).get("note")} for item in models
    ]
    return {"format": 1, "window": window, "models": content}


def _check_some(models: Sequence[Mapping[str, Any]]) -> None:
    """Refuse models of which nothing can be said.

    Raises:
        BoxkiteError: No model has a baseline with actual values.
    """
    if not any(item["performance"] for item in models):
        msg = f"{', '.join(repr(item['model']) for item in models)}: {_NO_ACTUAL}"
        raise BoxkiteError(msg)


# --- output ----------------------------------------------------------------------------------------------------------


def _show(content: Mapping[str, Any], form: str, output: Path | None) -> None:
    if form == "json":
        write(json.dumps(content, indent=2) + "\n", output)
    elif form == "markdown":
        write("\n\n".join(_texts(content, as_markdown)) + "\n", output)
    else:
        from flask_boxkite.cli.terminal import printing

        with printing(output) as console:
            console.print("\n\n".join(_texts(content, as_text)), soft_wrap=True)


def _texts(content: Mapping[str, Any], write_one: Callable[[Mapping[str, Any]], str]) -> Iterator[str]:
    """Yield the text of each model, printable.

    Raises:
        BoxkiteError: A report has something that this release does not know.
    """
    for item in content["models"]:
        report = item["performance"]
        try:
            text = write_one(report) if report else f"{item['model']}: {_NO_ACTUAL}"
        except (KeyError, TypeError, ValueError) as error:
            msg = "The report is of a server of another release. '--format json' writes it as it is."
            raise BoxkiteError(msg) from error
        yield "\n".join(map(printable, text.split("\n")))


def _note_uncounted(models: Sequence[Mapping[str, Any]], *, must_be_some: bool) -> None:
    """Name the models of which no prediction was counted.

    Raises:
        BoxkiteError: There must be some.
    """
    texts = [
        f"No prediction of {item['model']!r} was counted. {item['note'] or ''}".rstrip()
        for item in models
        if item["performance"] and not item["performance"].get("coverage", {}).get("predictions", True)
    ]
    if texts and must_be_some:
        raise BoxkiteError(printable(" ".join(texts)))
    for text in texts:
        click.echo(printable(text), err=True)


def _fail(models: Sequence[Mapping[str, Any]], fail_on: str | None) -> None:
    """Exit with code `DRIFT_FOUND` if that was requested and a model is worse."""
    bad = _FAILING[fail_on] if fail_on else ()
    names = [item["model"] for item in models if item["performance"] and item["performance"].get("verdict") in bad]
    if names:
        text = f"{counted(len(names), 'model')} worse than validated: {', '.join(map(repr, names))}."
        click.echo(printable(text), err=True)
        click.get_current_context().exit(DRIFT_FOUND)
