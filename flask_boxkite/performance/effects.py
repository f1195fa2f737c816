"""Effects of drift: how much the shift of each feature changes the expected quality of a model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.distribution import group_counts
from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, Validation

__all__ = ["FeatureEffect", "feature_effects"]


class FeatureEffect(NamedTuple):
    """The effect of one feature's shift.

    Attributes:
        feature: Name of the feature.
        effect: Change of the expected accuracy (of the mean absolute error, for numbers) by the shift of its groups.
    """

    feature: str
    effect: float


def feature_effects(validation: Validation, baseline: Baseline, groups: NDArray[np.int64]) -> list[FeatureEffect]:
    """Return the effect of each feature, the one that makes the model worse most first; empty if it is unknown.

    The shares of a feature's groups now, less their shares in training, times the effect of each group. It is a part of
    the expected change: features that move together share it.

    Args:
        validation: Validation of the model.
        baseline: Baseline with the features' training counts.
        groups: Live rows per group of each feature.
    """
    weights = _weights(validation)
    if weights is None or not groups.any():
        return []
    found, start = [], 0
    for item in baseline.features:
        before = np.array(group_counts(item, item.cells), dtype=np.float64)
        stop = start + len(before)
        now = groups[start:stop].astype(np.float64)
        shift = now / max(now.sum(), 1.0) - before / max(before.sum(), 1.0)
        found.append(FeatureEffect(item.name, float(weights[start:stop] @ shift)))
        start = stop

    sign = 1 if validation.kind != "regression" else -1  # an accuracy is worse if it is lower
    return sorted(found, key=lambda item: sign * item.effect)


def _weights(validation: Validation) -> NDArray[np.float64] | None:
    """Return the change of the accuracy, or of the absolute error, by a row of each group."""
    if validation.effects is None:
        return None
    if isinstance(validation, BinaryValidation):
        # More positives among rows that are predicted negative make more of these wrong.
        negative, positive = validation.effects
        return np.subtract(positive, negative)
    return np.asarray(validation.effects[0 if isinstance(validation, ClassValidation) else 1], dtype=np.float64)
