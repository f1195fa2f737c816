"""Our side: a baseline with actual values, and estimates from the counts of windows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.validation import ClassValidation
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.payloads import Table
from flask_boxkite.performance import binary, classes, regression
from flask_boxkite.performance.live import judged_counts, judged_rows

from .cases import Case, Rows, Window
from .data import Data

__all__ = ["METRICS", "Figures", "Ours"]

METRICS = {
    "binary": ("accuracy", "f1", "auc", "brier", "log_loss"),
    "classes": ("accuracy",),
    "regression": ("mae", "rmse"),
}

CORRECTED = {"accuracy", "f1", "mae", "rmse"}
"""Metrics with an estimate that allows for the features; it is the plain one where the features explain nothing."""

_MODULES: dict[str, ModuleType] = {"binary": binary, "classes": classes, "regression": regression}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Estimates of the windows of one size.

    Attributes:
        estimated: Estimate, low and high end of its band by metric, shape (windows, 3).
        corrected: Estimate that allows for the features by metric, shape (windows,); NaN where there is none.
        counting: CPU seconds for the counting of all windows, which requests take in service.
        estimating: CPU seconds for the estimates of all windows.
    """

    estimated: dict[str, Floats]
    corrected: dict[str, Floats]
    counting: float
    estimating: float


class Ours:
    """A baseline of a case's validation rows.

    Args:
        case: What both sides are given.

    Attributes:
        fit: CPU seconds for the baseline, of its features too.
        validated: Metrics of the validation rows.
    """

    def __init__(self, case: Case) -> None:
        self._data = data = case.data
        self._module = _MODULES[data.kind]
        self._baseline, self.fit = _fitted(case)
        validation = self._baseline.validation
        assert validation is not None
        self._validation = validation
        self.validated = {metric: found.value for metric, found in self._module.validated(validation).items()}

        self._layout = layout = ModelCells.of(self._baseline)
        self._features = VariableCounter(layout.features, 0, layout.size)
        self._outputs = VariableCounter(layout.outputs, layout.outputs_start, layout.size)
        columns = [data.features[item.name].tolist() for item in layout.features]
        self._rows = list(zip(*columns, strict=True))

    def estimate(self, window: Window) -> Figures:
        """Count windows, and estimate their metrics."""
        begin = time.process_time()
        cells = [self._counted(rows) for rows in window.rows]
        counted = time.process_time()
        found = [self._estimated(each) for each in cells]
        estimated = time.process_time()

        metrics = METRICS[self._data.kind]
        plain = {metric: np.array([each[metric] for each, _ in found], dtype=np.float64) for metric in metrics}
        better = {metric: np.array([each[metric] for _, each in found], dtype=np.float64) for metric in metrics}
        if self._validation.effects is None:
            better |= {metric: plain[metric][:, 0] for metric in CORRECTED.intersection(metrics)}
        return Figures(plain, better, counted - begin, estimated - counted)

    def _counted(self, rows: Rows) -> NDArray[np.int64]:
        increments = self._features.count(Table(None, [self._rows[row] for row in rows]))
        score = self._data.score[rows]
        self._outputs.count(Table(None, score.reshape(len(rows), -1)), increments)
        cells = increments.block
        if isinstance(self._validation, ClassValidation):
            bins = np.searchsorted(self._validation.upper_bounds, score.max(axis=1), side="left")
            numbers = score.argmax(axis=1) * (len(self._validation.upper_bounds) + 1) + bins
            cells[self._layout.classes_start :] += np.bincount(numbers, minlength=self._layout.size)[
                : self._layout.size - self._layout.classes_start
            ]
        return cells

    def _estimated(self, cells: NDArray[np.int64]) -> tuple[Any, Any]:
        live = judged_counts(self._validation, self._layout, cells)
        groups, grouped = judged_rows(self._layout, cells)
        corrected = self._module.corrected(self._validation, live, groups, grouped)
        return self._module.expected(self._validation, live), corrected


@cache
def _load() -> None:
    """Load all modules that making a baseline needs, which is no part of its time."""
    rows = np.arange(100.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "baseline.prom")
        ModelMonitoringService.export_text({"x": rows}, rows, path, actual=-rows, discrete=(), progress=False)


def _fitted(case: Case) -> tuple[Baseline, float]:
    """Return the baseline of the validation rows as it is read from its file, and the CPU seconds of its making."""
    _load()
    data, rows = case.data, case.validation
    features = {name: column[rows] for name, column in data.features.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "baseline.prom")
        begin = time.process_time()
        ModelMonitoringService.export_text(
            features,
            data.score[rows],
            path,
            actual=data.actual[rows],
            progress=False,
            **dict(_options(data)),
        )
        seconds = time.process_time() - begin
        return Baseline.load(path), seconds


def _options(data: Data) -> Iterator[tuple[str, Any]]:
    yield "texts", [name for name, column in data.features.items() if column.dtype.kind == "U"]
    if data.kind == "binary":
        yield "threshold", data.threshold
    if data.kind == "classes":
        yield "classes", range(data.score.shape[1])
