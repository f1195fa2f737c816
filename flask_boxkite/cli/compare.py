"""``compare``: whether new training data differs from the population of a baseline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.variables import Side
from flask_boxkite.cli.group import PATH, boxkite, listed
from flask_boxkite.cli.inspect import variable_named
from flask_boxkite.cli.policies import judged, policy_options
from flask_boxkite.cli.reports import ALPHA, Models, finish, report_options
from flask_boxkite.config import Settings
from flask_boxkite.drift.report import drift_report
from flask_boxkite.errors import BaselineError, BinMismatchError
from flask_boxkite.suggestion import counted, suggestion

__all__ = ["compare"]

Cells: TypeAlias = "NDArray[np.int64]"
Count: TypeAlias = Callable[[Side, Distribution], Cells]
"""Counts a variable, given its side; raises BinMismatchError, with the reason, if it cannot."""


@boxkite.command()
@click.argument("first", type=PATH)
@click.argument("second", nargs=-1, required=True)
@click.option("--exclude", multiple=True, metavar="NAME", help="Variable to leave out; repeatable.")
@click.option(
    "--alpha",
    type=ALPHA,
    default=Settings.drift_alpha,
    help="Probability of finding drift where there is none.",
)
@click.option(
    "--missing-text",
    "missing",
    multiple=True,
    metavar="TEXT",
    help="Text that also stands for a missing value in CSV, as in the command that made the baseline; repeatable.",
)
@policy_options(of_baseline=True)
@report_options("json", "markdown", "html")
def compare(
    first: Path,
    second: tuple[str, ...],
    exclude: tuple[str, ...],
    missing: tuple[str, ...],
    alpha: float,
    form: str,
    output: Path | None,
    fail_on: str | None,
    shows_all: bool,
    **policies: tuple[str, ...],
) -> None:
    """Compare a baseline (FIRST) with other data, or with another baseline (SECOND).

    Data, in one or more files, is counted in the baseline's bins, piece by piece. With another baseline, only
    variables with the same bins, or finer ones, can be compared; if some cannot, --fail-on fails.

    \b
    Examples:
      flask boxkite compare baseline.prom new.parquet
      flask boxkite compare baseline.prom 'new/*.csv' --fail-on drifted
      flask boxkite compare january.prom february.prom --format html --output february.html
    """
    from flask_boxkite.cli.training_data import is_data, is_data_set

    if is_data(str(first)):
        msg = f"'{first}' is data. Make a baseline from it: flask boxkite baseline {first} --out baseline.prom"
        raise BaselineError(msg)
    baseline = judged(Baseline.load(first), **policies)
    count: Count
    if len(second) > 1 or is_data_set(second[0]):
        wanted, count = _of_data(_without(baseline, [*exclude, *_derived(baseline)]), second, exclude, missing)
    else:
        wanted, count = _without(baseline, exclude), _of_baseline(baseline, _second(second[0]))
    compared, cells, reasons = _compared(wanted, count)
    for line in _left_out(reasons):
        click.echo(line, err=True)
    if reasons and cells:
        remedy = f"flask boxkite compare {first} DATA"
        click.echo(f"Give the data from which '{second[0]}' was made to compare all variables: {remedy}", err=True)
    if baseline.pairs:
        click.echo("Pairs of variables are not compared here; drift() and 'flask boxkite drift' judge them.", err=True)
    if not cells:
        remedy = "Give the data from which it was made instead." if reasons else "Exclude fewer variables (--exclude)."
        msg = f"Nothing in '{second[0]}' can be compared with '{first}'. {remedy}"
        raise BaselineError(msg)
    counts = np.concatenate(cells)
    report = replace(drift_report(baseline.model, compared, counts, alpha=alpha), baseline=baseline.fingerprint)
    source = listed(second)
    models = Models.of_report(report, compared, counts, source=source, when=f"in {source}")
    finish(models, form, output, fail_on, shows_all=shows_all)
    ignored = {policy.name for policy in baseline.policies if policy.is_ignored}
    reasons = {name: reason for name, reason in reasons.items() if name not in ignored}
    if fail_on and reasons:
        msg = f"{len(reasons)} variables could not be compared. Give the data instead, or leave them out: --exclude"
        raise BaselineError(msg)


def _second(name: str) -> Baseline:
    """Load the other baseline.

    Raises:
        BaselineError: It cannot be read; it may be data of a format that is not supported.
    """
    from flask_boxkite.cli.training_file import SUFFIX_ADVICE

    try:
        return Baseline.load(name)
    except BaselineError as error:
        if not Path(name).is_file():
            raise
        msg = f"{error} If it is data, it has an unknown suffix. {SUFFIX_ADVICE}"
        raise BaselineError(msg, path=name) from error


def _derived(baseline: Baseline) -> list[str]:
    """Return the derived variables, which are no columns of data, and say that they are left out."""
    derived = [name for recipe in baseline.derived for name in recipe.names]
    if derived:
        click.echo(f"Derived from rows, so not compared with data: {listed(list(map(repr, derived)))}.", err=True)
    return derived


def _without(baseline: Baseline, names: Sequence[str]) -> Baseline:
    for name in names:
        variable_named(baseline, name)
    features, outputs = (
        tuple(item for item in items if item.name not in names) for items in (baseline.features, baseline.outputs)
    )
    return baseline.with_variables(features, outputs)


def _compared(baseline: Baseline, count: Count) -> tuple[Baseline, list[Cells], dict[str, str]]:
    """Count each variable; return the comparable ones, their counts, and by name the reasons why others are not."""
    cells: list[Cells] = []
    reasons: dict[str, str] = {}
    compared_items: dict[str, list[Distribution]] = {"feature": [], "output": []}
    for side, item, _ in baseline.variables:
        try:
            cells.append(count(side, item))
        except BinMismatchError as error:
            reasons[item.name] = str(error)
        else:
            compared_items[side].append(item)

    return baseline.with_variables(compared_items["feature"], compared_items["output"]), cells, reasons


def _left_out(reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each reason, about all variables that were not compared for it."""
    names_by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names_by_reason.setdefault(reason, []).append(repr(name))
    for reason, names in names_by_reason.items():
        why = reason if len(names) == 1 else re.sub("^it ", "each ", reason)
        yield f"Not compared: {listed(names)}, since {why}."


def _of_baseline(baseline: Baseline, other: Baseline) -> Count:
    from flask_boxkite.cli.rebinning import recount

    theirs = {(variable.side, variable.name): variable.distribution for variable in other.variables}
    measured = set(_measured(baseline)) if baseline.recipes != other.recipes else set()

    def count(side: Side, item: Distribution) -> Cells:
        if (side, item.name) not in theirs:
            msg = f"the other baseline has no such {side}"
            raise BinMismatchError(msg)
        if side == "feature" and item.name in measured:
            msg = "it is measured by other words, vectors or rows of training in the other baseline"
            raise BinMismatchError(msg)
        return recount(item, theirs[side, item.name])

    return count


def _measured(baseline: Baseline) -> Iterator[str]:
    """Yield derived variables whose values depend on the training rows of their recipe."""
    for recipe in baseline.derived:
        if recipe.kind == "vector":
            yield from recipe.names[1:]  # all but the norm
        elif recipe.kind in ("text", "row"):
            yield recipe.names[-1]


def _of_data(
    baseline: Baseline, names: Sequence[str], excluded: Sequence[str], missing: Sequence[str]
) -> tuple[Baseline, Count]:
    """Count data; return its variables and their counts. Outputs may be absent from the data.

    Plain texts of CSV are read by the types of the baseline's variables, not by their looks.

    Raises:
        BaselineError: The data cannot be read, or lacks a feature.
    """
    from flask_boxkite.cli.rebinning import ColumnCounter, count_columns
    from flask_boxkite.cli.terminal import waiting
    from flask_boxkite.cli.training_data import scan
    from flask_boxkite.cli.training_files import readable

    with waiting("Looking at the data"):
        named = {*excluded, *(item.name for item in baseline.distributions)}
        frame = scan(names, missing, _texts(baseline), is_decided=False, named=named)
    columns = frame.collect_schema().names()
    _check_features(baseline, columns)
    outputs = tuple(item for item in baseline.outputs if item.name in columns)
    found = baseline.with_variables(baseline.features, outputs)
    counters = {(side, item.name): ColumnCounter(item) for side, item, _ in found.variables}
    known = {name for _, name in counters}
    if unknown := [name for name in columns if name not in known and name not in excluded]:
        click.echo(f"Not in the baseline, so left out: {listed(list(map(repr, unknown)))}.", err=True)
    with waiting(f"Counting {counted(len(known), 'column')}"), readable(listed(names)):
        count_columns(frame, [(name, counter) for (_, name), counter in counters.items()])
    return found, lambda side, item: counters[side, item.name].cells


def _texts(baseline: Baseline) -> list[str]:
    """Return the variables of texts, which may look like numbers in CSV."""
    variables = baseline.distributions
    return [item.name for item in variables if item.is_time or item.is_text]


def _check_features(baseline: Baseline, columns: Sequence[str]) -> None:
    for item in baseline.features:
        if item.name not in columns:
            hint = suggestion(item.name, columns)
            msg = f"The data has no column {item.name!r}, but the baseline has. {hint} (--exclude leaves it out.)"
            raise BaselineError(msg)
