"""The writer of baseline files: Prometheus text, readable in an editor, diffable, servable as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.families import variable_families
from flask_boxkite.baseline.file import legacy
from flask_boxkite.errors import BaselineError
from flask_boxkite.promtext.family import Family, label_text, running_sum
from flask_boxkite.system.files import write_whole

__all__ = ["BASELINE_INFO", "CREATED_FORMAT", "ROW_COLLISIONS", "dump", "info_lines", "render"]

BASELINE_INFO = Family("boxkite_baseline_info", "gauge", "Training rows of each baseline in use.")
ROW_COLLISIONS = Family("boxkite_baseline_row_collisions", "gauge", "Probability that two rows of training are equal.")
FEATURE_INFO = Family("boxkite_feature_info", "gauge", "Position and kind of each feature.")
OUTPUT_INFO = Family("boxkite_inference_info", "gauge", "Position and kind of each output.")

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
    running = running_sum([cell for variable in baseline.features + baseline.outputs for cell in variable.cells])
    parts = list(info_lines(baseline, labels))
    offset = 0
    for side, variables in (("feature", baseline.features), ("inference", baseline.outputs)):
        for family, block in variable_families(
            side, variables, offset, labels, baseline=True, bins=True, openmetrics=False
        ):
            parts.append((family, block.render(running)))
        offset += sum(len(variable.cells) for variable in variables)
    return "".join(family.header(openmetrics=False) + lines for family, lines in parts if lines)


def info_lines(baseline: BaselineContents, labels: str) -> Iterator[tuple[Family, str]]:
    """Yield the families that describe a baseline, with their lines."""
    created = datetime.fromtimestamp(baseline.created, timezone.utc).strftime(CREATED_FORMAT)
    about = label_text(version=baseline.version or "", created=created)
    yield BASELINE_INFO, f"{BASELINE_INFO.name}{{{labels},{about}}} {baseline.rows}\n"
    if baseline.row_collisions is not None:
        yield ROW_COLLISIONS, f"{ROW_COLLISIONS.name}{{{labels}}} {baseline.row_collisions!r}\n"
    for family, thing, variables in (
        (FEATURE_INFO, "feature", baseline.features),
        (OUTPUT_INFO, "output", baseline.outputs),
    ):
        lines = []
        for index, variable in enumerate(variables):
            width = None if variable.width == 64 else str(variable.width)
            own = label_text(
                **{thing: variable.name, "position": str(index), "kind": variable.kind, "width": width},
                type="time" if variable.is_time else None,
                missing_texts=json.dumps(sorted(variable.missing_texts)) if variable.missing_texts else None,
            )
            lines.append(f"{family.name}{{{labels},{own}}} 1\n")
        yield family, "".join(lines)
