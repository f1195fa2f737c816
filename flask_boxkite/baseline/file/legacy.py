"""Files and metric names of boxkite 0.0.5, the ancestor: read like any baseline file, written on request.

One family per variable, ``feature_<index>_value_baseline``: a histogram, or a counter with the label ``bin``. The name
of the variable stands only in the HELP text. Missing values and infinity share the bucket ``+Inf``.

Facts for which the format has no place, such as that a variable holds dates, stand in comments that only this package
reads.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import even_groups
from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, category_labels
from flask_boxkite.baseline.file.buckets import read_buckets, read_count
from flask_boxkite.baseline.file.policies import policy_comments, read_policies
from flask_boxkite.baseline.variables import Side, Variable
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import INVALID, MISSING, RARE, UNSEEN, canonical_number, parse_number
from flask_boxkite.policies import Policy
from flask_boxkite.promtext.family import Family, SampleLines, label_text, running_sum
from flask_boxkite.promtext.sample import Sample

__all__ = ["COMMENT", "LegacyFamily", "info_family", "is_legacy", "read", "render_file", "variable_families"]

logger = logging.getLogger("flask_boxkite")

COMMENT = "# flask_boxkite "
"""Prefix of such a comment; the family and a JSON object follow."""

_OUTPUT = "output"
"""Name of the only output, for which such a file has no place."""

_NAME = re.compile(r"(?:feature_([0-9]{1,9})|inference)_value_baseline(_bucket|_total|_count|_sum)?")
_INFO = Family("baseline_metrics_info", "gauge", "Metadata about the baseline training metrics")
_WORDS: dict[Side, tuple[str, str]] = {
    "feature": ("Baseline values for feature: ", "Real time values for feature: "),
    "output": ("Baseline inference values for test set", "Real time inference values for test set"),
}
"""HELP texts of training counts and of live counts; the name of a feature follows."""


def is_legacy(samples: Sequence[Sample]) -> bool:
    """Say whether samples come from a boxkite 0.0.5 file."""
    return any(_NAME.fullmatch(sample.name) for sample in samples)


# --- reading ---------------------------------------------------------------------------------------------------------


def read(
    samples: Sequence[Sample], helps: Mapping[str, str], comments: Mapping[str, str], created: int
) -> BaselineContents:
    """Build a baseline from the samples of a boxkite 0.0.5 file.

    Its bins are merged into at most 10 groups of about equal mass. The bucket ``+Inf``, which holds missing values too,
    becomes the group above all bounds; there is no group below.

    Args:
        samples: All samples.
        helps: HELP texts, by family.
        comments: JSON objects of `COMMENT` lines, by family.
        created: Time when the file was made, in Unix seconds.

    Raises:
        BaselineError: Bounds do not increase, counts are not cumulative or not whole numbers.
    """
    features: dict[int, list[Sample]] = {}
    outputs: list[Sample] = []
    for sample in samples:
        match = _NAME.fullmatch(sample.name)
        if match and match[2] in ("_bucket", "_total"):
            (features.setdefault(int(match[1]), []) if match[1] else outputs).append(sample)

    trained = tuple(
        _distribution(_feature_name(helps, index), features[index], comments.get(f"feature_{index}_value_baseline"))
        for index in sorted(features)
    )
    said = (_distribution(_OUTPUT, outputs, comments.get("inference_value_baseline")),) if outputs else ()
    rows = max((distribution.rows for distribution in trained or said), default=0)
    # The HELP text cannot hold every name.
    policies = read_policies(comments, [item.name for item in (*trained, *said)], are_all=False)
    return BaselineContents(trained, said, rows, created=created, policies=policies)


def _feature_name(helps: Mapping[str, str], index: int) -> str:
    stem = f"feature_{index}_value_baseline"
    return helps.get(stem, helps.get(f"{stem}_total", "")).removeprefix(_WORDS["feature"][0]) or f"feature_{index}"


def _distribution(name: str, samples: list[Sample], comment: str | None) -> Distribution:
    distribution = (_continuous if samples[0].name.endswith("_bucket") else _discrete)(name, samples)
    if comment is None:
        return distribution
    try:
        return _with_extras(distribution, **json.loads(comment))
    except (TypeError, ValueError) as error:
        msg = f"the comment '{COMMENT.strip()}' of {name!r} is damaged: {comment!r}. Export the file again."
        raise BaselineError(msg, line=samples[0].line) from error


def _with_extras(
    item: Distribution, *, type: str | None = None, width: int = 64, missing_texts: Sequence[str] = ()
) -> Distribution:
    if (
        type not in (None, "time")
        or width not in (16, 32, 64)
        or not all(isinstance(text, str) for text in missing_texts)
    ):
        raise ValueError
    return replace(item, is_time=type == "time", width=width, missing_texts=frozenset(missing_texts))


def _extras(item: Distribution) -> dict[str, Any]:
    """Return the properties that differ from the defaults, for `_with_extras`."""
    return {
        **({"type": "time"} if item.is_time else {}),
        **({"width": item.width} if item.width != 64 else {}),
        **({"missing_texts": sorted(item.missing_texts)} if item.missing_texts else {}),
    }


def _discrete(name: str, samples: list[Sample]) -> Distribution:
    counts: dict[str, int] = {}
    others = {"nan": 0, "None": 0, RARE: 0, UNSEEN: 0}
    seen: set[str] = set()

    for sample in samples:
        label = sample.labels.get("bin", "")
        if label in seen:
            msg = f"bin {label!r} of {name!r} is there twice."
            raise BaselineError(msg, line=sample.line)
        seen.add(label)
        (others if label in others else counts)[label] = read_count(sample)
    labels = _category_labels(list(counts))
    if len(set(labels)) < len(labels):
        msg = f"{name!r} has a category twice."
        raise BaselineError(msg, line=samples[0].line)

    return Discrete.ordered(
        name,
        dict(zip(labels, counts.values(), strict=True)),
        rare=others[RARE],
        unseen=others[UNSEEN],
        missing=others["nan"] + others["None"],
    )


def _category_labels(values: list[str]) -> list[str]:
    """Return labels: of numbers if all values read like numbers, else of texts."""
    try:
        return [canonical_number(parse_number(value)) for value in values]
    except ValueError:
        return category_labels(values)


def _continuous(name: str, samples: list[Sample]) -> Distribution:
    bounds, counts = read_buckets(name, samples)
    if not bounds:
        msg = f"{name!r} needs a finite bound and the bucket '+Inf'; is the file cut?"
        raise BaselineError(msg, line=samples[-1].line)
    # The lowest bound is the training minimum itself, so no value is known to lie below.
    groups = (float("-inf"), *even_groups(bounds, counts)[1:])
    return Continuous(name, bounds, counts, groups)


# --- writing ---------------------------------------------------------------------------------------------------------


class LegacyFamily:
    """One variable under the ancestor's names.

    Its ``_sum`` is computed from the bins' upper bounds, because values are not kept. As in `prometheus_client`,
    there is no sum if a bound is negative.

    Attributes:
        variable: Name of the variable in ``baseline_metrics_info``.
        family: Name, type and help.
    """

    def __init__(self, stem: str, variable: Variable, *, training: bool) -> None:
        _, distribution, cells = variable
        name = f"{stem}_value_baseline" if training else f"{stem}_value"
        words = _WORDS[variable.side][0 if training else 1]
        is_feature = variable.side == "feature"
        self.variable = distribution.name if is_feature else words
        self._weights: NDArray[Any] | None = None
        self._start = cells.start
        documentation = f"{words}{distribution.name}" if is_feature else words

        if isinstance(distribution, Continuous):
            self.family = Family(name, "histogram", documentation)
            self._lines = SampleLines(_buckets(name, distribution, cells))
            if distribution.upper_bounds[0] >= 0:
                self._weights = np.array(distribution.upper_bounds)
        else:
            self.family = Family(name, "counter", documentation)
            self._lines = SampleLines(_categories(f"{name}_total", distribution, cells.start, training=training))

    def render(self, running: NDArray[np.int64]) -> bytes:
        """Return the sample lines; *running* is the running sum of all cells."""
        text = self._lines.render(running)
        if self._weights is not None:
            counts = np.diff(running[self._start : self._start + len(self._weights) + 1])
            with np.errstate(over="ignore"):
                text += f"{self.family.name}_sum {canonical_number(counts @ self._weights)}\n".encode()
        return text


def _buckets(name: str, distribution: Continuous, cells: slice) -> Iterator[tuple[str, int, int]]:
    for stop, bound in enumerate(distribution.upper_bounds, cells.start + 1):
        yield f'{name}_bucket{{le="{bound}"}}', cells.start, stop
    yield f'{name}_bucket{{le="+Inf"}}', cells.start, cells.stop
    if distribution.upper_bounds[0] >= 0:
        yield f"{name}_count", cells.start, cells.stop


def _categories(name: str, distribution: Discrete, start: int, *, training: bool) -> Iterator[tuple[str, int, int]]:
    values = list(distribution.categories) if distribution.is_time else list(map(str, distribution.values))
    # Texts must differ: two samples with the same labels would make the whole answer invalid.
    missing, invalid = ("nan", "None") if {"nan", "None"}.isdisjoint(values) else (MISSING, INVALID)
    for cell, value in enumerate((*values, RARE, UNSEEN, missing, invalid)):
        # The ancestor has no line for a training value that did not occur; its live lines all exist from the start.
        if cell < len(values) or not training or distribution.cells[cell]:
            yield f"{name}{{{label_text(bin=value)}}}", start + cell, start + cell + 1


def variable_families(baseline: BaselineContents, *, training: bool) -> Iterator[LegacyFamily]:
    """Yield a family per variable: of *training* counts, or of live counts in the same cells."""
    for index, variable in enumerate(_written(baseline)):
        stem = f"feature_{index}" if variable.side == "feature" else "inference"
        yield LegacyFamily(stem, variable, training=training)


def _written(baseline: BaselineContents) -> Sequence[Variable]:
    """Return the variables for which the format has a place: all features, and one output."""
    return baseline.variables[: len(baseline.features) + 1]


def info_family(baseline: BaselineContents) -> tuple[Family, str]:
    """Return ``baseline_metrics_info``, from which dashboards read the names of the variables."""
    lines = []
    for item in variable_families(baseline, training=True):
        labels = label_text(feature_name=item.variable, metric_name=item.family.name, metric_type=item.family.type)
        lines.append(f"{_INFO.name}{{{labels}}} 1\n")
    return _INFO, "".join(lines)


def render_file(baseline: BaselineContents) -> str:
    """Return a baseline file's text under the ancestor's names; warn of parts that only this package reads."""
    _warn_of_losses(baseline)
    running = running_sum(baseline.cells)
    parts = [f"{COMMENT}{comment}\n" for comment in policy_comments(_policies(baseline))]
    for variable, family in zip(_written(baseline), variable_families(baseline, training=True), strict=True):
        extras = _extras(variable.distribution)
        comment = f"{COMMENT}{family.family.name} {json.dumps(extras)}\n" if extras else ""
        parts.append(family.family.header(openmetrics=False) + comment + family.render(running).decode())
    return "".join(parts)


def _policies(baseline: BaselineContents) -> Iterator[Policy]:
    """Yield the policies of the variables that such a file has, under the names that they have when it is read."""
    by_name = {policy.name: policy for policy in baseline.policies}
    names = {item.name: item.name for item in baseline.features}
    names |= {item.name: _OUTPUT for item in baseline.outputs[:1] if item.name not in names}
    for name, own in names.items():
        if (policy := by_name.get(name)) is not None:
            yield replace(policy, name=own)


def _warn_of_losses(baseline: BaselineContents) -> None:
    written = [variable.distribution for variable in _written(baseline)]
    times = [item.name for item in written if item.is_time and isinstance(item, Continuous)]
    texts = sorted({text for item in written for text in item.missing_texts})
    outputs = [item.name for item in baseline.outputs[1:]]
    losses = [
        *([f"dates are seconds since 1970 ({', '.join(map(repr, times))})"] if times else []),
        *([f"{', '.join(map(repr, texts))} do not stand for missing values"] if texts else []),
    ]

    if losses:
        logger.warning("To boxkite 0.0.5, %s. flask_boxkite reads the file as it was meant.", ", and ".join(losses))
    if outputs:
        logger.warning("A file of boxkite 0.0.5 has one output. Left out: %s.", ", ".join(map(repr, outputs)))
    if baseline.validation is not None:
        logger.warning("A file of boxkite 0.0.5 has no actual values: what they tell of the model is left out.")
