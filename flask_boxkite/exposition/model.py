"""The metric families of one model: labels rendered when the model is set up, numbers filled in at each scrape."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.families import METRIC_WORDS, variable_families
from flask_boxkite.baseline.file import legacy
from flask_boxkite.baseline.file.pairs import PAIR_INFO, pair_families, pair_info_lines, part_labels
from flask_boxkite.baseline.file.reader import loads
from flask_boxkite.baseline.file.writer import info_lines, render
from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.baseline.variables import SIDES, Side, Variable
from flask_boxkite.drift.plan import Plan
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.tables import degrees_of_freedom
from flask_boxkite.exposition.outcomes import OutcomeFamilies
from flask_boxkite.live.model_cells import DURATION_BOUNDS, ModelCells
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import WINDOWS
from flask_boxkite.naming import CAPTURE_REASONS, FAILED_STATES, STATUSES, canonical_number, escape_label, segment_text
from flask_boxkite.promtext.family import Family, SampleLines, label_text, running_sum

__all__ = ["ExportedModel", "Gauges", "ModelFamilies", "segment_label", "segment_variables"]

PREDICTIONS = Family("boxkite_predictions", "counter", "Predicted rows by the status of their response.")
DURATIONS = Family("boxkite_prediction_duration_seconds", "histogram", "Time from request to response.")
CAPTURE_ERRORS = Family("boxkite_capture_errors", "counter", "Requests whose features or output were not found.")
FAILED = Family("boxkite_feature_failed", "counter", "Rows of failed requests by the state of each feature's value.")
SIGNIFICANCE = Family(
    "boxkite_drift_significance", "gauge", "False-alarm probability of one check of one variable of weight 1."
)
PAIRS = Family("boxkite_pair", "counter", "Rows by the parts of both variables of each pair, in production.")
PAIR_VERDICT = Family(
    "boxkite_pair_verdict",
    "gauge",
    "Verdict on each pair, by window: -1 ignored, 0 not enough data, 1 stable or unclear, 2 shifted, 3 drifted, "
    "4 major.",
)
PAIR_SIZE = Family("boxkite_pair_size", "gauge", "Size of the change of each pair's association, by window.")
SEGMENTS = Family("boxkite_segment_group", "counter", "Rows of each segment in each group of each variable.")
SEGMENT_VERDICT = Family(
    "boxkite_segment_verdict", "gauge", "Verdict on each variable in each segment, by window, as for pairs."
)
SEGMENT_SIZE = Family(
    "boxkite_segment_size", "gauge", "Size of the change of each variable in each segment, by window."
)
OUTPUT_SUMS = Family("boxkite_inference_sum", "counter", "Sum of positive, and of the size of negative outputs.")


class Gauges(NamedTuple):
    """The gauges of drift of one model.

    Attributes:
        dispersions: φ of each feature and output in each window, shape (windows, variables); 1 where it is unknown.
        pair_verdicts: Number of each pair's verdict, shape (windows, pairs).
        pair_sizes: Size of each pair's change, of the same shape.
        segment_verdicts: Number of the verdict on each variable in each segment, in the order of `segment_variables`,
            shape (windows, verdicts).
        segment_sizes: Size of its change, of the same shape.
    """

    dispersions: NDArray[np.float64]
    pair_verdicts: NDArray[np.int64]
    pair_sizes: NDArray[np.float64]
    segment_verdicts: NDArray[np.int64]
    segment_sizes: NDArray[np.float64]


class Numbers(NamedTuple):
    """Numbers that a scrape fills in.

    Attributes:
        running: The `running_sum` of all cells.
        sums: The sums.
        gauges: Gauges of drift.
    """

    running: NDArray[np.int64]
    sums: NDArray[np.float64]
    gauges: Gauges


Render = Callable[[Numbers], bytes]


@dataclass(frozen=True)
class ExportedModel:
    """The part of a model that the exposition needs.

    Attributes:
        name: Value of the label ``model``.
        baseline: Baseline of the model; None if it has none.
        alpha: False-alarm probability of one check of the whole model.
    """

    name: str
    baseline: Baseline | None
    alpha: float

    @cached_property
    def layout(self) -> ModelCells:
        """Cells of its counts."""
        return ModelCells.of(self.baseline)

    @cached_property
    def section(self) -> Section:
        """Its section of the counts, which describes its baseline to other processes."""
        description = zlib.compress(render(self.baseline).encode(), 1) if self.baseline else b""
        return Section(self.key, self.layout.size, self.layout.sums_size, description)

    @classmethod
    def of_section(cls, key: SectionKey, description: bytes, alpha: float) -> ExportedModel:
        """Return the model whose section another process has described.

        Raises:
            BaselineError, ValueError, zlib.error: The section does not describe a model.
        """
        baseline = Baseline.of(loads(zlib.decompress(description).decode())) if description else None
        return cls(key.name, baseline, alpha)

    @property
    def key(self) -> SectionKey:
        """The key of its section."""
        return SectionKey("model", self.name, self._fingerprint)

    @property
    def labels(self) -> str:
        """The labels on all its series."""
        return label_text(model=self.name, baseline=self._fingerprint)

    @property
    def _fingerprint(self) -> str:
        return self.baseline.fingerprint if self.baseline else "none"


class ModelFamilies:
    """Renders one model in one format.

    Args:
        model: The model.
        openmetrics: Whether to write OpenMetrics instead of Prometheus text.
        names: ``labels``, or ``boxkite`` for the ancestor's names of variables.
        with_baseline: Whether training counts are exported too.
        with_bins: Whether histograms and categories are exported too, or only groups.
    """

    def __init__(
        self, model: ExportedModel, *, openmetrics: bool, names: str, with_baseline: bool, with_bins: bool
    ) -> None:
        self._model = model
        self._openmetrics = openmetrics
        self._parts: list[tuple[Family, Render]] = []
        if model.baseline is not None:
            if names == "boxkite" and with_bins:
                self._add_legacy(model.baseline, with_baseline)
                with_bins = False
            self._add_variables(model.baseline, with_baseline, with_bins)
            plan = Plan.of(model.baseline, model.alpha)
            self._add_drift_limits(model.baseline, plan)
            self._add_policies(model.baseline, plan)
            self._add_dispersions(model.baseline)
            if model.baseline.pairs:
                self._add_pairs(model.baseline, with_baseline)
            if model.baseline.segmentations:
                self._add_segments(model.baseline)
            self._add_output_sums(model.baseline.outputs)
            self._add_failed(model.baseline.features)

        self._add_requests()
        self._outcomes: OutcomeFamilies | None = None
        if model.baseline is not None and model.baseline.validation is not None:
            self._outcomes = OutcomeFamilies(
                model.baseline.validation, model.layout, model.labels, with_baseline=with_baseline
            )

    def render(
        self, totals: Totals, gauges: Gauges, outcomes: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[Family, bytes]]:
        """Yield each family with its sample lines.

        Args:
            totals: Counts of all processes.
            gauges: Gauges of drift.
            outcomes: Counts of the model's outcomes; None if it has none, or other processes count them.
        """
        numbers = Numbers(running_sum(totals.cells), totals.sums, gauges)
        for family, fill_in in self._parts:
            yield family, fill_in(numbers)
        if self._outcomes is not None:
            yield from self._outcomes.render(totals.cells, outcomes)

    # --- families ----------------------------------------------------------------------------------------------------

    def _add_text(self, family: Family, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        self._parts.append((family, lambda numbers: data))

    def _add_lines(self, family: Family, sample_lines: SampleLines) -> None:
        self._parts.append((family, lambda numbers: sample_lines.render(numbers.running)))

    def _add_variables(self, baseline: Baseline, with_baseline: bool, with_bins: bool) -> None:
        for family, text in info_lines(baseline, self._model.labels):
            self._add_text(family, text)

        trained = running_sum(baseline.cells)
        for side in SIDES:
            for is_baseline in (True, False) if with_baseline else (False,):
                for family, sample_lines in variable_families(
                    side,
                    baseline.on(side),
                    self._model.labels,
                    baseline=is_baseline,
                    bins=with_bins,
                    openmetrics=self._openmetrics,
                ):
                    if is_baseline:
                        self._add_text(family, sample_lines.render(trained))
                    else:
                        self._add_lines(family, sample_lines)

    def _add_legacy(self, baseline: Baseline, with_baseline: bool) -> None:
        if with_baseline:
            trained = running_sum(baseline.cells)
            for item in legacy.variable_families(baseline, training=True):
                self._add_text(item.family, item.render(trained))
        for item in legacy.variable_families(baseline, training=False):
            self._add_legacy_family(item)
        self._add_text(*legacy.info_family(baseline))

    def _add_legacy_family(self, item: legacy.LegacyFamily) -> None:
        self._parts.append((item.family, lambda numbers: item.render(numbers.running)))

    def _add_drift_limits(self, baseline: Baseline, plan: Plan) -> None:
        """Add the limits of G; ignored variables have none."""
        self._add_text(SIGNIFICANCE, f"{SIGNIFICANCE.name}{{{self._model.labels}}} {plan.unit!r}\n")
        judged = zip(baseline.variables, plan.alphas.tolist(), plan.weights.tolist(), strict=True)
        limits = [
            (item, chi_squared_limit(alpha, degrees_of_freedom(item.distribution)))
            for item, alpha, weight in judged
            if weight
        ]
        self._add_gauges("drift_limit", "What G of each {} must exceed to be real.", limits)

    def _add_policies(self, baseline: Baseline, plan: Plan) -> None:
        """Add the user's decisions about variables; a variable without a decision has no sample."""
        variables, policies = baseline.variables, {policy.name: policy for policy in baseline.policies}
        sized = [(item, policies[item.name].sizes) for item in variables if item.name in policies]
        sized = [(item, sizes) for item, sizes in sized if policies[item.name].has_sizes]
        for name, text, values in (
            ("weight", "Importance of {}s whose weight is not 1; 0: ignored.", plan.own_weights(variables)),
            ("drifted_size", "Size from which {}s with sizes of their own are drifted.", [(v, s[0]) for v, s in sized]),
            ("major_size", "Size from which {}s with sizes of their own are major.", [(v, s[1]) for v, s in sized]),
        ):
            self._add_gauges(name, text, values)

    def _add_gauges(self, name: str, text: str, values: Sequence[tuple[Variable, float]]) -> None:
        """Add a family for features, and one for outputs."""
        for side in SIDES:
            family = Family(f"boxkite_{METRIC_WORDS[side]}_{name}", "gauge", text.format(side))
            own = [self._line(family, side, item.name, "", value) for item, value in values if item.side == side]
            self._add_text(family, "".join(own))

    def _add_dispersions(self, baseline: Baseline) -> None:
        for side in SIDES:
            name = f"boxkite_{METRIC_WORDS[side]}_dispersion"
            family = Family(name, "gauge", f"What G of each {side} is divided by, by window.")
            own = [index for index, item in enumerate(baseline.variables) if item.side == side]
            heads = [
                self._line(family, side, baseline.variables[index].name, f',window="{window}"', None)
                for window in WINDOWS
                for index in own
            ]
            self._parts.append((family, _GaugeLines(heads, own)))

    def _add_pairs(self, baseline: Baseline, with_baseline: bool) -> None:
        pairs, variables, labels = baseline.pairs, baseline.variables, self._model.labels
        if with_baseline:
            for family, text in pair_families(pairs, variables, labels):
                self._add_text(family, text)
        else:
            self._add_text(PAIR_INFO, pair_info_lines(pairs, variables, labels))
        own = [label for pair in pairs for label in part_labels(pair, variables)]
        lines = [
            (f"{PAIRS.sample_name}{{{labels},{label}}}", cell, cell + 1)
            for cell, label in enumerate(own, self._model.layout.pairs_start)
        ]
        self._add_lines(PAIRS, SampleLines(lines))

        self._add_windowed(
            [label_text(pair=pair.label(variables)) for pair in pairs],
            (PAIR_VERDICT, lambda gauges: gauges.pair_verdicts),
            (PAIR_SIZE, lambda gauges: gauges.pair_sizes),
        )

    def _add_segments(self, baseline: Baseline) -> None:
        layout, labels = self._model.layout, self._model.labels
        lines = []
        for item in baseline.segmentations:
            start = layout.cells_of_segments(item).start
            for number, name in enumerate(item.names):
                segment = segment_label(baseline, item, name)
                groups = (
                    label_text(segment=segment, side=each.side, variable=each.name, group=group.name)
                    for each in baseline.variables
                    for group in each.distribution.groups
                )
                for cell, group in enumerate(groups, start + number * layout.segment_size):
                    lines.append((f"{SEGMENTS.sample_name}{{{labels},{group}}}", cell, cell + 1))
        self._add_lines(SEGMENTS, SampleLines(lines))
        self._add_windowed(
            [
                label_text(segment=segment_label(baseline, item, name), side=each.side, variable=each.name)
                for item, name, each in segment_variables(baseline)
            ],
            (SEGMENT_VERDICT, lambda gauges: gauges.segment_verdicts),
            (SEGMENT_SIZE, lambda gauges: gauges.segment_sizes),
        )

    def _add_windowed(self, named: Sequence[str], *families: tuple[Family, Callable[[Gauges], NDArray[Any]]]) -> None:
        """Add gauges that have a sample in each window for each of some labels."""
        for family, values in families:
            heads = [
                f'{family.name}{{{self._model.labels},{name},window="{window}"}}'
                for window in WINDOWS
                for name in named
            ]
            self._parts.append((family, partial(_gauge_lines, heads, values)))

    def _add_output_sums(self, outputs: tuple[Distribution, ...]) -> None:
        heads = [
            (self._line(OUTPUT_SUMS, "output", item.name, f',sign="{sign}"', None), 2 * index + offset)
            for index, item in enumerate(outputs)
            if not item.is_text
            for offset, sign in enumerate(("positive", "negative"))
        ]
        self._parts.append(
            (
                OUTPUT_SUMS,
                lambda numbers: "".join(f"{head} {float(numbers.sums[at])!r}\n" for head, at in heads).encode(),
            )
        )

    def _add_failed(self, features: tuple[Distribution, ...]) -> None:
        pairs = [(item.name, state) for item in features for state in FAILED_STATES]
        lines = [
            (self._line(FAILED, "feature", name, f',state="{state}"', None), cell, cell + 1)
            for cell, (name, state) in enumerate(pairs, self._model.layout.failed_start)
        ]
        self._add_lines(FAILED, SampleLines(lines))

    def _line(self, family: Family, side: Side, name: str, more: str, value: float | None) -> str:
        head = f'{family.sample_name}{{{self._model.labels},{side}="{escape_label(name)}"{more}}}'
        return head if value is None else f"{head} {value!r}\n"

    def _add_requests(self) -> None:
        layout, labels = self._model.layout, self._model.labels
        for family, label, values, start in (
            (PREDICTIONS, "status", STATUSES, layout.statuses_start),
            (CAPTURE_ERRORS, "reason", CAPTURE_REASONS, layout.captures_start),
        ):
            lines = [
                (f'{family.sample_name}{{{labels},{label}="{value}"}}', at, at + 1)
                for at, value in enumerate(values, start)
            ]
            self._add_lines(family, SampleLines(lines))

        sample_lines = SampleLines(_duration_lines(labels, layout.durations_start))
        sum_head = f"{DURATIONS.name}_sum{{{labels}}}"
        self._parts.append(
            (
                DURATIONS,
                lambda numbers: (
                    sample_lines.render(numbers.running)
                    + f"{sum_head} {float(numbers.sums[layout.duration_sum])!r}\n".encode()
                ),
            )
        )


class _GaugeLines:
    """Fills in the dispersions of all features or all outputs.

    Args:
        heads: The samples without their values, window by window.
        indices: Index of each variable among all variables.
    """

    def __init__(self, heads: list[str], indices: list[int]) -> None:
        self._heads = heads
        self._indices = indices

    def __call__(self, numbers: Numbers) -> bytes:
        values = numbers.gauges.dispersions[:, self._indices].ravel().tolist()
        return "".join([f"{head} {value!r}\n" for head, value in zip(self._heads, values, strict=True)]).encode()


def segment_label(baseline: Baseline, item: Segmentation, name: str) -> str:
    """Return the name of a segment in metrics, such as ``country=SE``."""
    return segment_text(baseline.variables[item.variable].name, name)


def segment_variables(baseline: Baseline) -> Iterator[tuple[Segmentation, str, Variable]]:
    """Yield the variables that are judged in each segment, in the order of their gauges: all but the one of it."""
    for item in baseline.segmentations:
        for name in item.names:
            for number, variable in enumerate(baseline.variables):
                if number != item.variable:
                    yield item, name, variable


def _gauge_lines(heads: list[str], values: Callable[[Gauges], NDArray[Any]], numbers: Numbers) -> bytes:
    """Fill in a gauge, window by window."""
    items = zip(heads, values(numbers.gauges).ravel().tolist(), strict=True)
    return "".join([f"{head} {value!r}\n" for head, value in items]).encode()


def _duration_lines(labels: str, start: int) -> Iterator[tuple[str, int, int]]:
    stop = start
    for bound in (*DURATION_BOUNDS, float("inf")):
        stop += 1
        yield f'{DURATIONS.name}_bucket{{{labels},le="{canonical_number(bound)}"}}', start, stop
    yield f"{DURATIONS.name}_count{{{labels}}}", start, stop
