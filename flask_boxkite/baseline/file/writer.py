"""The writer of baseline files: Prometheus text, readable in an editor, diffable, servable as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.families import METRIC_WORDS, variable_families
from flask_boxkite.baseline.file import legacy
from flask_boxkite.baseline.file.pairs import pair_families
from flask_boxkite.baseline.file.policies import policy_comments
from flask_boxkite.baseline.file.validation import validation_families
from flask_boxkite.baseline.variables import SIDES, Side, Variable
from flask_boxkite.derived.documents import document_of
from flask_boxkite.errors import BaselineError
from flask_boxkite.promtext.family import Family, label_text, running_sum
from flask_boxkite.system.atomic import write_whole

__all__ = [
    "BASELINE_INFO",
    "CREATED_FORMAT",
    "INPUTS",
    "RECIPE",
    "ROW_COLLISIONS",
    "SEGMENTS",
    "dump",
    "info_lines",
    "render",
]

BASELINE_INFO = Family("boxkite_baseline_info", "gauge", "Training rows of each baseline in use.")
ROW_COLLISIONS = Family("boxkite_baseline_row_collisions", "gauge", "Probability that two rows of training are equal.")
VARIABLE_INFOS: dict[Side, Family] = {
    side: Family(f"boxkite_{METRIC_WORDS[side]}_info", "gauge", f"Position and kind of each {side}.") for side in SIDES
}

INPUTS, RECIPE, SEGMENTS = "inputs", "derived_", "segments_"
"""Names of the comments with the columns of a row, and, before their numbers, with a recipe, and with segments."""

CREATED_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def dump(baseline: BaselineContents, path: Path, *, names: str) -> None:
    """Write *baseline*, whole or not at all.

    Raises:
        BaselineError: The names are unknown, or the file cannot be written.
    """
    if names not in ("labels", "boxkite"):
        msg = f"'names' must be 'labels' or 'boxkite', got {names!r}."
        raise BaselineError(msg)
    if names == "boxkite" and (baseline.derived or baseline.segmentations):
        what = "derived variables" if baseline.derived else "segments"
        msg = f"The names of boxkite 0.0.5 have no place for {what}. Write the file with names='labels'."
        raise BaselineError(msg)
    data = (render(baseline) if names == "labels" else legacy.render_file(baseline)).encode()
    try:
        write_whole(path, data)
    except OSError as error:
        msg = f"Baseline file '{path}' cannot be written: {error.strerror}. Is its folder there and writable?"
        raise BaselineError(msg, path=str(path)) from error


def render(baseline: BaselineContents) -> str:
    """Return the text of the file."""
    labels = label_text(model=baseline.model, baseline=baseline.fingerprint)
    running = running_sum(baseline.cells)
    parts = list(info_lines(baseline, labels))
    for side in SIDES:
        for family, sample_lines in variable_families(
            side, baseline.on(side), labels, baseline=True, bins=True, openmetrics=False
        ):
            parts.append((family, sample_lines.render(running).decode()))
    if baseline.validation is not None:
        parts += validation_families(baseline.validation, baseline.features, labels)
    if baseline.pairs:
        parts += pair_families(baseline.pairs, baseline.variables, labels)

    comments = [f"{legacy.COMMENT}{comment}\n" for comment in policy_comments(baseline.policies)]
    return "".join((*derived_lines(baseline), *segment_lines(baseline), *comments)) + "".join(
        family.header(openmetrics=False) + "".join(lines for _, lines in same)
        for family, same in groupby(((family, lines) for family, lines in parts if lines), key=itemgetter(0))
    )


def derived_lines(baseline: BaselineContents) -> Iterator[str]:
    """Yield comments with the recipes of derived variables: their parameters are no samples for a scrape."""
    if baseline.derived:
        yield f"{legacy.COMMENT}{INPUTS} {json.dumps(baseline.inputs)}\n"
        for number, recipe in enumerate(baseline.derived):
            yield f"{legacy.COMMENT}{RECIPE}{number} {json.dumps(document_of(recipe))}\n"


def segment_lines(baseline: BaselineContents) -> Iterator[str]:
    """Yield comments with the segments; a server exports their live counts, and needs no samples of training."""
    for number, item in enumerate(baseline.segmentations):
        side, name = item.side_and_name(baseline.variables)
        document = {
            "side": side,
            "variable": name,
            "segments": item.segments,
            "collisions": item.collisions,
            "counts": item.counts,
        }
        yield f"{legacy.COMMENT}{SEGMENTS}{number} {json.dumps(document)}\n"


def info_lines(baseline: BaselineContents, labels: str) -> Iterator[tuple[Family, str]]:
    """Yield the families that describe a baseline, with their lines."""
    created = datetime.fromtimestamp(baseline.created, timezone.utc).strftime(CREATED_FORMAT)
    about = label_text(version=baseline.version or "", created=created)
    yield BASELINE_INFO, f"{BASELINE_INFO.name}{{{labels},{about}}} {baseline.rows}\n"
    if baseline.row_collisions is not None:
        yield ROW_COLLISIONS, f"{ROW_COLLISIONS.name}{{{labels}}} {baseline.row_collisions!r}\n"

    kinds = {name: recipe.kind for recipe in baseline.derived for name in recipe.names}
    for side, family in VARIABLE_INFOS.items():
        own = (_variable_labels(variable, index, kinds) for index, variable in enumerate(baseline.on(side)))
        yield family, "".join(f"{family.name}{{{labels},{text}}} 1\n" for text in own)


def _variable_labels(variable: Variable, position: int, kinds: Mapping[str, str]) -> str:
    """Return the label text that describes a variable.

    Args:
        variable: The variable.
        position: Its index on its side.
        kinds: Kinds of the recipes of derived variables, by the names of these.
    """
    item = variable.distribution
    width = None if item.width == 64 else str(item.width)
    return label_text(
        **{variable.side: item.name, "position": str(position), "kind": item.kind, "width": width},
        type="time" if item.is_time else None,
        missing_texts=json.dumps(sorted(item.missing_texts)) if item.missing_texts else None,
        derived=kinds.get(item.name) if variable.side == "feature" else None,
    )
