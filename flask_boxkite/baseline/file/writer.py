"""The writer of baseline files: Prometheus text, readable in an editor, diffable, servable as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.families import METRIC_WORDS, variable_families
from flask_boxkite.baseline.file import legacy
from flask_boxkite.baseline.file.pairs import pair_families
from flask_boxkite.baseline.file.validation import validation_families
from flask_boxkite.baseline.variables import SIDES, Side, Variable
from flask_boxkite.errors import BaselineError
from flask_boxkite.promtext.family import Family, label_text, running_sum
from flask_boxkite.system.atomic import write_whole

__all__ = ["BASELINE_INFO", "CREATED_FORMAT", "ROW_COLLISIONS", "dump", "info_lines", "render"]

BASELINE_INFO = Family("boxkite_baseline_info", "gauge", "Training rows of each baseline in use.")
ROW_COLLISIONS = Family("boxkite_baseline_row_collisions", "gauge", "Probability that two rows of training are equal.")
VARIABLE_INFOS: dict[Side, Family] = {
    side: Family(f"boxkite_{METRIC_WORDS[side]}_info", "gauge", f"Position and kind of each {side}.") for side in SIDES
}

CREATED_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def dump(baseline: BaselineContents, path: Path, *, names: str) -> None:
    """Write *baseline*, whole or not at all.

    Raises:
        BaselineError: The names are unknown, or the file cannot be written.
    """
    if names not in ("labels", "boxkite"):
        msg = f"'names' must be 'labels' or 'boxkite', got {names!r}."
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

    return "".join(
        family.header(openmetrics=False) + "".join(lines for _, lines in same)
        for family, same in groupby(((family, lines) for family, lines in parts if lines), key=itemgetter(0))
    )


def info_lines(baseline: BaselineContents, labels: str) -> Iterator[tuple[Family, str]]:
    """Yield the families that describe a baseline, with their lines."""
    created = datetime.fromtimestamp(baseline.created, timezone.utc).strftime(CREATED_FORMAT)
    about = label_text(version=baseline.version or "", created=created)
    yield BASELINE_INFO, f"{BASELINE_INFO.name}{{{labels},{about}}} {baseline.rows}\n"
    if baseline.row_collisions is not None:
        yield ROW_COLLISIONS, f"{ROW_COLLISIONS.name}{{{labels}}} {baseline.row_collisions!r}\n"

    for side, family in VARIABLE_INFOS.items():
        own = (_variable_labels(variable, index) for index, variable in enumerate(baseline.on(side)))
        yield family, "".join(f"{family.name}{{{labels},{text}}} 1\n" for text in own)


def _variable_labels(variable: Variable, position: int) -> str:
    """Return the label text that describes a variable; *position* is its index on its side."""
    item = variable.distribution
    width = None if item.width == 64 else str(item.width)
    return label_text(
        **{variable.side: item.name, "position": str(position), "kind": item.kind, "width": width},
        type="time" if item.is_time else None,
        missing_texts=json.dumps(sorted(item.missing_texts)) if item.missing_texts else None,
    )
