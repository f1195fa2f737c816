"""The files and metric names of boxkite 0.0.5, the ancestor: read anywhere a baseline is, written on request.

One family per variable, ``feature_<index>_value_baseline``: a histogram, or a counter with the label ``bin``; its name
stands only in the HELP text. Missing values and infinity share the bucket ``+Inf``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flask_boxkite.baseline.binning import even_groups
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.baseline.model import Baseline
from flask_boxkite.errors import BaselineError
from flask_boxkite.families import Block, Family, label_text, running_sum
from flask_boxkite.naming import RARE, UNSEEN, canonical_number, category_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flask_boxkite.baseline.textfile import Sample

__all__ = ["LegacyFamily", "info_family", "is_legacy", "read", "render_file", "variable_families"]

_NAME = re.compile(r"(?:feature_(\d+)|inference)_value_baseline(_bucket|_total|_count|_sum)?")
_INFO = Family("baseline_metrics_info", "gauge", "Metadata about the baseline training metrics")


def is_legacy(samples: Sequence[Sample]) -> bool:
    """Say whether these are samples of a boxkite 0.0.5 file."""
    return any(_NAME.fullmatch(sample.name) for sample in samples)


# --- reading ---------------------------------------------------------------------------------------------------------


def read(samples: Sequence[Sample], helps: dict[str, str], created: int) -> Baseline:
    """Build a baseline from the samples of a boxkite 0.0.5 file.

    Its bins are merged into at most 10 groups of about equal mass. The bucket ``+Inf`` holds missing values too, and
    is the group of what is above; nothing is below.

    Raises:
        BaselineError: Bounds do not increase, counts are not cumulative or not whole numbers.
    """
    variables: dict[int | None, list[Sample]] = {}
    for sample in samples:
        match = _NAME.fullmatch(sample.name)
        if match and match[2] in ("_bucket", "_total"):
            variables.setdefault(int(match[1]) if match[1] else None, []).append(sample)
    outputs = [_distribution("output", variables.pop(None))] if None in variables else []
    features = [
        _distribution(_feature_name(helps, index), found)
        for index, found in sorted(variables.items(), key=lambda item: item[0] or 0)
    ]
    rows = max((distribution.rows for distribution in features or outputs), default=0)
    return Baseline(tuple(features), tuple(outputs), rows, created=created)


def _feature_name(helps: dict[str, str], index: int | None) -> str:
    stem = f"feature_{index}_value_baseline"
    text = helps.get(stem, helps.get(f"{stem}_total", ""))
    return text.partition(":")[2].strip() or f"feature_{index}"


def _distribution(name: str, samples: list[Sample]) -> Distribution:
    if samples[0].name.endswith("_bucket"):
        return _continuous(name, samples)
    counts: dict[str, int] = {}
    missing = 0
    for sample in samples:
        label = sample.labels.get("bin", "")
        if label in ("nan", "None"):
            missing += _count(sample)
        else:
            counts[_category(label)] = counts.get(_category(label), 0) + _count(sample)
    return Discrete.ordered(name, counts, missing=missing)


def _category(label: str) -> str:
    try:
        return canonical_number(float(label))
    except ValueError:
        return category_text(label)


def _count(sample: Sample) -> int:
    if not (sample.value >= 0 and sample.value == int(sample.value)):
        msg = f"a count must be a whole number >= 0, got {sample.value}."
        raise BaselineError(msg, line=sample.line)
    return int(sample.value)


def _continuous(name: str, samples: list[Sample]) -> Continuous:
    bounds: list[float] = []
    counts: list[int] = []
    for sample in samples:
        bound = float(sample.labels.get("le", "nan"))
        count = _count(sample) - sum(counts)
        if not bound > (bounds[-1] if bounds else -math.inf):
            msg = f"the bounds of {name!r} must increase strictly, got {bound!r}."
            raise BaselineError(msg, line=sample.line)
        if count < 0:
            msg = f"the buckets of {name!r} must not decrease."
            raise BaselineError(msg, line=sample.line)
        bounds.append(bound)
        counts.append(count)
    if bounds[-1] != math.inf or len(bounds) < 2:
        msg = f"{name!r} needs a finite bound and the bucket '+Inf'; is the file cut?"
        raise BaselineError(msg, line=samples[-1].line)
    groups = even_groups(bounds[:-1], counts)
    # Its lowest bound is the training minimum itself, so nothing can be told to lie below.
    groups = (-math.inf, *(bound for bound in groups if bound > bounds[0] or bound == bounds[-2]))
    return Continuous(name, tuple(bounds[:-1]), tuple(counts), groups)


# --- writing ---------------------------------------------------------------------------------------------------------


class LegacyFamily:
    """One variable under the ancestor's names.

    Its ``_sum`` is made from the bins' upper bounds, since values themselves are not kept; it is there only where no
    bound is negative, as `prometheus_client` has it.
    """

    def __init__(self, stem: str, documentation: str, distribution: Distribution, offset: int, *, baseline: bool) -> None:
        name = f"{stem}_value_baseline" if baseline else f"{stem}_value"
        self._weights: NDArray[Any] | None = None
        self._offset = offset
        if isinstance(distribution, Continuous):
            self.family = Family(name, "histogram", documentation)
            self.block = Block(_buckets(name, distribution, offset))
            if distribution.upper_bounds[0] >= 0:
                self._weights = np.array(distribution.upper_bounds)
        else:
            self.family = Family(name, "counter", documentation)
            self.block = Block(_categories(f"{name}_total", distribution, offset))

    def render(self, running: NDArray[np.int64]) -> str:
        """Return the sample lines; *running* is the running sum of all cells."""
        text = self.block.render(running)
        if self._weights is not None:
            counts = np.diff(running[self._offset : self._offset + len(self._weights) + 1])
            text += f"{self.family.name}_sum {float(counts @ self._weights)}\n"
        return text


def _buckets(name: str, distribution: Continuous, offset: int) -> Iterator[tuple[str, int, int]]:
    for stop, bound in enumerate(distribution.upper_bounds, offset + 1):
        yield f'{name}_bucket{{le="{bound}"}}', offset, stop
    everything = offset + len(distribution.cells)
    yield f'{name}_bucket{{le="+Inf"}}', offset, everything
    if distribution.upper_bounds[0] >= 0:
        yield f"{name}_count", offset, everything


def _categories(name: str, distribution: Discrete, offset: int) -> Iterator[tuple[str, int, int]]:
    values = map(str, distribution.values)
    for index, value in enumerate((*values, RARE, UNSEEN, "nan", "None"), offset):
        if value in (RARE, UNSEEN, "None") and not distribution.cells[index - offset]:
            continue
        yield f"{name}{{{label_text(bin=value)}}}", index, index + 1


def variable_families(baseline: Baseline, *, training: bool) -> Iterator[LegacyFamily]:
    """Yield a family per variable: *training* counts, or the live ones in the same cells."""
    offset = 0
    words = "Baseline values" if training else "Real time values"
    for index, distribution in enumerate(baseline.features):
        documentation = f"{words} for feature: {distribution.name}"
        yield LegacyFamily(f"feature_{index}", documentation, distribution, offset, baseline=training)
        offset += len(distribution.cells)
    for distribution in baseline.outputs[:1]:
        documentation = f"{'Baseline' if training else 'Real time'} inference values for test set"
        yield LegacyFamily("inference", documentation, distribution, offset, baseline=training)


def info_family(baseline: Baseline) -> tuple[Family, str]:
    """Return ``baseline_metrics_info``, which tells dashboards the names of the variables."""
    lines = [
        f"{_INFO.name}{{{label_text(feature_name=name, metric_name=item.family.name, metric_type=item.family.type)}}} 1.0\n"
        for item in variable_families(baseline, training=True)
        for name in [item.family.help.partition(":")[2].strip() or item.family.help]
    ]
    return _INFO, "".join(lines)


def render_file(baseline: Baseline) -> str:
    """Return the text of a baseline file under the ancestor's names."""
    running = running_sum([cell for item in baseline.features + baseline.outputs for cell in item.cells])
    return "".join(
        item.family.header(openmetrics=False) + item.render(running)
        for item in variable_families(baseline, training=True)
    )
