"""The metric families of a model's outcomes, and of the outcomes that its live outputs lead to expect.

Both have the same labels, so one rule serves both. Expected numbers are linear in the live counts: a rule takes their
increase over any window, and adds them over replicas. They are whole numbers times a fixed fraction, so they never
fall, as a sum of floats would by a rounding error; Prometheus takes a fall for a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.file.validation import bin_names, cell_labels, validation_families
from flask_boxkite.baseline.validation import BinaryValidation, RegressionValidation, Validation
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.outcome_cells import LAG_BOUNDS, OutcomeCells
from flask_boxkite.naming import REJECTIONS, canonical_number
from flask_boxkite.performance.live import judged_counts
from flask_boxkite.performance.rates import expected_losses, expected_shares, validated
from flask_boxkite.promtext.family import Family, label_text

__all__ = ["OutcomeFamilies"]

VALIDATED = Family("boxkite_validated_metric", "gauge", "Metrics of the validation rows, by name.")
OUTCOMES = Family("boxkite_outcomes", "counter", "Outcomes by bin of the output, predicted and actual value.")
EXPECTED = Family("boxkite_expected_outcomes", "counter", "Outcomes that the live outputs lead to expect.")
BELOW = Family("boxkite_outcomes_below", "counter", "Negative outcomes below a row of each bin, for the AUC.")
EXPECTED_BELOW = Family("boxkite_expected_outcomes_below", "counter", "The same, as the live outputs lead to expect.")
LOSSES = Family("boxkite_outcome_loss", "counter", "Sum of each loss, or error, over the outcomes.")
EXPECTED_LOSSES = Family("boxkite_expected_outcome_loss", "counter", "The same, as the live outputs lead to expect.")
ERRORS = Family("boxkite_outcome_error", "histogram", "Size of the error of each outcome.")
LAGS = Family("boxkite_outcome_lag_seconds", "histogram", "Time from a prediction to its outcome.")
REJECTED = Family("boxkite_outcomes_rejected", "counter", "Outcomes that were not counted, by reason.")

_FRACTION = 2**30
"""Parts in which shares are whole numbers."""


class OutcomeFamilies:
    """Renders the outcomes of one model.

    Args:
        validation: Validation that outcomes are compared with.
        layout: Meaning of the counts of the model's predictions.
        labels: Label text of every sample.
        with_baseline: Whether the counts of the validation are exported too.
    """

    def __init__(self, validation: Validation, layout: ModelCells, labels: str, *, with_baseline: bool) -> None:
        self._validation, self._layout, self._labels = validation, layout, labels
        self._outcomes = OutcomeCells(validation)
        self._expected = cell_labels(validation)
        self._cells = cell_labels(validation, with_unseen=True)
        self._sources = _sources(validation)
        shares, losses = expected_shares(validation), expected_losses(validation)
        self._shares = [round(share * _FRACTION) for share in shares.ravel().tolist()]
        self._losses = {name: _whole(of_bins) for name, of_bins in losses.items()}
        areas = validation.known_areas.tolist() if isinstance(validation, BinaryValidation) else []
        self._areas = [round(area * _FRACTION) for area in areas]
        self._constant = [
            (VALIDATED, "".join(self._validated()).encode()),
        ]
        self._constant += [
            (family, text.encode())
            for family, text in validation_families(validation, layout.features, labels)
            if with_baseline and family.name in ("boxkite_validation_info", "boxkite_outcomes_baseline")
        ]

    def _validated(self) -> Iterator[str]:
        for name, estimate in validated(self._validation).items():
            if estimate.value is not None:
                yield f"{VALIDATED.name}{{{self._labels},{label_text(metric=name)}}} {estimate.value!r}\n"

    def render(self, cells: NDArray[np.int64], outcomes: NDArray[np.int64] | None) -> Iterator[tuple[Family, bytes]]:
        """Yield each family with its sample lines.

        Args:
            cells: Counts of the model's predictions.
            outcomes: Counts of its outcomes; None if only other processes count them.
        """
        yield from self._constant
        live = judged_counts(self._validation, self._layout, cells).ravel().tolist()
        expected = [live[source] * share for source, share in zip(self._sources, self._shares, strict=True)]
        numbers = [number / _FRACTION for number in expected]
        yield EXPECTED, self._lines(EXPECTED, self._expected, numbers)
        if isinstance(self._validation, BinaryValidation):
            below = self._below(expected)
            yield EXPECTED_BELOW, self._below_lines(EXPECTED_BELOW, [number / _FRACTION for number in below])
        yield EXPECTED_LOSSES, "".join(self._expected_losses(live)).encode()
        if outcomes is not None:
            yield from self._counted(outcomes)

    def _expected_losses(self, live: Sequence[int]) -> Iterator[str]:
        for name, (unit, of_bins) in self._losses.items():
            total = sum(rows * loss for rows, loss in zip(live, of_bins, strict=True))
            yield f"{EXPECTED_LOSSES.sample_name}{{{self._labels},{label_text(loss=name)}}} {total * unit!r}\n"

    def _counted(self, outcomes: NDArray[np.int64]) -> Iterator[tuple[Family, bytes]]:
        layout, labels = self._outcomes, self._labels
        counts = layout.counts(outcomes).ravel().tolist()
        if isinstance(self._validation, RegressionValidation):
            yield ERRORS, "".join(self._buckets(ERRORS, self._validation.error_bounds, counts)).encode()
            yield OUTCOMES, f"{OUTCOMES.sample_name}{{{labels}}} {sum(counts)}\n".encode()
        else:
            yield OUTCOMES, self._lines(OUTCOMES, self._cells, counts)
        if isinstance(self._validation, BinaryValidation):
            yield BELOW, self._below_lines(BELOW, self._below(counts))
        losses = layout.sums(outcomes).items()
        text = (f"{LOSSES.sample_name}{{{labels},{label_text(loss=name)}}} {total!r}\n" for name, total in losses)
        yield LOSSES, "".join(text).encode()
        yield LAGS, "".join(self._buckets(LAGS, LAG_BOUNDS, layout.lags(outcomes).tolist())).encode()
        rejected = layout.rejections(outcomes)
        lines = (
            f"{REJECTED.sample_name}{{{labels},{label_text(reason=reason)}}} {rejected[reason]}\n"
            for reason in REJECTIONS
        )
        yield REJECTED, "".join(lines).encode()

    def _lines(self, family: Family, cells: Sequence[str], numbers: Sequence[float]) -> bytes:
        name, labels = family.sample_name, self._labels
        pairs = zip(cells, numbers, strict=True)
        return "".join([f"{name}{{{labels},{own}}} {number!r}\n" for own, number in pairs]).encode()

    def _below(self, of_cells: Sequence[int]) -> list[float]:
        """Return the negative rows below a row of each bin, given negative and positive rows of all bins, in turns.

        Of the ones in the same bin, so many are below as of the validation rows.
        """
        before, found = 0, []
        for negatives, share in zip(of_cells[::2], self._areas, strict=True):
            found.append((before * _FRACTION + negatives * share) / _FRACTION)
            before += negatives
        return found

    def _below_lines(self, family: Family, numbers: Sequence[float]) -> bytes:
        names = bin_names(self._validation.upper_bounds)
        lines = (
            f"{family.sample_name}{{{self._labels},{label_text(bin=name)}}} {number!r}\n"
            for name, number in zip(names, numbers, strict=True)
        )
        return "".join(lines).encode()

    def _buckets(self, family: Family, bounds: Sequence[float], counts: Sequence[int]) -> Iterator[str]:
        below = 0
        for bound, count in zip((*bounds, float("inf")), counts, strict=True):
            below += count
            yield f'{family.name}_bucket{{{self._labels},le="{canonical_number(bound)}"}} {below}\n'


def _whole(of_bins: NDArray[np.float64]) -> tuple[float, list[int]]:
    """Return losses per row as whole numbers of a small unit, and that unit."""
    largest = max(float(np.abs(of_bins).max(initial=0.0)), 1e-290)
    unit = 2.0 ** int(np.ceil(np.log2(largest))) / _FRACTION
    return unit, [round(loss / unit) for loss in of_bins.ravel().tolist()]


def _sources(validation: Validation) -> list[int]:
    """Return the index of the live count that each cell of outcomes is expected from."""
    bins = len(validation.upper_bounds) + 1
    if isinstance(validation, RegressionValidation):
        return list(range(bins))
    classes = len(validation.labels)
    predicted = 1 if isinstance(validation, BinaryValidation) else classes
    return [source for source in range(predicted * bins) for _ in range(classes)]
