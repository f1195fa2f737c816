"""``inspect``: the content of a baseline file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.blindness import blind_spot
from flask_boxkite.baseline.distribution import Continuous, Discrete, group_counts
from flask_boxkite.baseline.pairs import CELLS, PARTS, Pair
from flask_boxkite.baseline.segment_baselines import segment_baselines
from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.cli.group import PATH, boxkite, output_option, write
from flask_boxkite.drift.segments import segment_texts
from flask_boxkite.errors import BaselineError
from flask_boxkite.page.wording import moment
from flask_boxkite.suggestion import suggestion

__all__ = ["inspect", "variable_named"]


@boxkite.command()
@click.argument("file", type=PATH)
@click.option("--variable", metavar="NAME", help="Show only this feature or output, enlarged.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Format of the output.")
@output_option
def inspect(file: Path, variable: str | None, form: str, output: Path | None) -> None:
    """Show the distributions in a baseline file.

    \b
    Examples:
      flask boxkite inspect baseline.prom
      flask boxkite inspect baseline.prom --variable "mean radius"
      flask boxkite inspect baseline.prom --format json | jq '.features[].name'
    """
    baseline = Baseline.load(file)
    item = variable_named(baseline, variable) if variable is not None else None
    if form == "json":
        content = _variable_dict(item) if item is not None else _baseline_dict(baseline)
        write(json.dumps(content, indent=2, ensure_ascii=False) + "\n", output)
        return
    from flask_boxkite.cli.pictures import show_baseline, show_variable
    from flask_boxkite.cli.terminal import printing

    with printing(output) as console:
        if item is not None:
            show_variable(console, item)
        else:
            show_baseline(console, baseline, moment(baseline.created))


def variable_named(baseline: Baseline, name: str) -> Distribution:
    """Return a feature or output.

    Raises:
        BaselineError: There is no such variable; the message names the one that was probably meant.
    """
    variables = {item.name: item for item in (*baseline.outputs, *baseline.features)}
    if name in variables:
        return variables[name]
    msg = f"The baseline has no variable {name!r}. {suggestion(name, list(variables))}"
    raise BaselineError(msg)


def _baseline_dict(baseline: Baseline) -> dict[str, Any]:
    kinds = {name: recipe.kind for recipe in baseline.derived for name in recipe.names}
    policies = {policy.name: policy.to_dict() for policy in baseline.policies}
    return {
        "model": baseline.model,
        "version": baseline.version,
        "baseline": baseline.fingerprint,
        "created": moment(baseline.created),
        "rows": baseline.rows,
        "features": [
            {**_variable_dict(item), "derived": kinds.get(item.name), "policy": policies.get(item.name)}
            for item in baseline.features
        ],
        "outputs": [{**_variable_dict(item), "policy": policies.get(item.name)} for item in baseline.outputs],
        "pairs": [_pair_dict(baseline, pair) for pair in baseline.pairs],
        "segmentations": [_segmentation_dict(baseline, item) for item in baseline.segmentations],
    }


def _segmentation_dict(baseline: Baseline, item: Segmentation) -> dict[str, Any]:
    """Return the segments by one variable, and the training rows of each; they may be a sample's."""
    side, by = item.side_and_name(baseline.variables)
    rows = [own.rows for own in segment_baselines(baseline, item)]
    parts = zip(item.names, segment_texts(baseline, item), rows, strict=True)
    return {
        "by": by,
        "side": side,
        "segments": [{"name": name, "text": text, "rows": number} for name, text, number in parts],
    }


def _pair_dict(baseline: Baseline, pair: Pair) -> dict[str, Any]:
    first, second = baseline.variables[pair.first], baseline.variables[pair.second]
    return {
        "first": first.name,
        "first_side": first.side,
        "second": second.name,
        "second_side": second.side,
        "rows": pair.rows,
        "counts": [pair.counts[start : start + PARTS] for start in range(0, CELLS, PARTS)],
    }


def _variable_dict(item: Distribution) -> dict[str, Any]:
    """Return a variable's counts; a continuous one has one more than bounds, for values above all of them."""
    common: dict[str, Any] = {
        "name": item.name,
        "kind": item.kind,
        "rows": item.rows,
        "missing": item.missing,
        "invalid": item.invalid,
    }
    common["note"] = blind_spot(item) or None
    names = [group.name for group in item.groups]
    groups = dict(zip(names, group_counts(item, item.cells), strict=True))
    if isinstance(item, Continuous):
        return {**common, "upper_bounds": item.upper_bounds, "counts": item.counts, "groups": groups}

    assert isinstance(item, Discrete)
    categories = dict(zip(item.categories, item.counts, strict=True))
    return {**common, "categories": categories, "rare": item.rare, "groups": groups}
