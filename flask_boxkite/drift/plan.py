"""The plan of one check of a model: which variables and pairs are judged, and how strictly, by the user's policies.

The false-alarm probability of the model is divided by weight: alpha·w / Σw for a variable or pair of weight w, with the
sum over all that are judged. A pair has the geometric mean of its variables' weights, so it is ignored with either one.
With equal weights this is alpha by the number of tests (Bonferroni). The shares always add up to alpha.

References:
    Genovese, Roeder and Wasserman, False discovery control with p-value weighting, Biometrika 93, 2006 (weights by
    prior importance; the weighted Bonferroni rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.variables import Variable
from flask_boxkite.policies import DRIFTED_SIZE, MAJOR_SIZE, Policy

__all__ = ["Plan"]

Floats = NDArray[np.float64]

LEAST = 1e-300
"""Least share of a weight, above the numbers that lose precision."""

NO_WEIGHT = "weight 0"


@dataclass(frozen=True)
class Plan:
    """How one check judges the variables and pairs of a baseline, in the baseline's order.

    Attributes:
        weights: Weight of each variable; 0 if it is ignored.
        alphas: False-alarm probability of each variable. Of an ignored one, the share of weight 1: it has numbers, but
            no verdict, so its share is no part of the sum.
        drifted: Size from which each variable is ``drifted``.
        major: Size from which it is ``major``.
        pair_weights: Weight of each pair; 0 if one of its variables is ignored.
        pair_alphas: False-alarm probability of each pair; likewise.
        reasons: Reason for which each variable is ignored, as a phrase; empty if the user said so, or it is judged.
        unit: False-alarm probability of a variable of weight 1.
    """

    weights: Floats
    alphas: Floats
    drifted: Floats
    major: Floats
    pair_weights: Floats
    pair_alphas: Floats
    reasons: tuple[str, ...]
    unit: float

    @classmethod
    def of(cls, baseline: BaselineContents, alpha: float) -> Plan:
        """Return the plan.

        Args:
            baseline: Baseline with the user's policies.
            alpha: False-alarm probability of one check of the whole model.
        """
        by_name = {policy.name: policy for policy in baseline.policies}
        policies = [by_name.get(item.name) for item in baseline.distributions]
        weights = np.array([_weight(policy) for policy in policies], dtype=np.float64)
        pairs = np.array([(pair.first, pair.second) for pair in baseline.pairs], dtype=np.intp).reshape(-1, 2)
        of_pairs = np.sqrt(weights[pairs[:, 0]]) * np.sqrt(weights[pairs[:, 1]])

        # Weights by the largest one, whose sum is finite; without any, nothing is judged.
        largest = max(weights.max(initial=0.0), of_pairs.max(initial=0.0)) or 1.0
        total = (weights / largest).sum() + (of_pairs / largest).sum() or 1.0
        unit = float(min(alpha / largest / total, alpha))
        sizes = np.array([_sizes(policy) for policy in policies], dtype=np.float64).reshape(-1, 2)

        def shares(of: Floats) -> Floats:
            return np.where(of > 0, np.maximum(alpha * (of / largest) / total, LEAST), unit)

        return cls(
            weights,
            shares(weights),
            sizes[:, 0],
            sizes[:, 1],
            of_pairs,
            shares(of_pairs),
            tuple(map(_reason, policies)),
            unit,
        )

    def own_weights(self, variables: Sequence[Variable]) -> list[tuple[Variable, float]]:
        """Return the variables whose weight is not 1, each with its weight.

        Args:
            variables: All variables of the baseline.
        """
        pairs = zip(variables, self.weights.tolist(), strict=True)
        return [(variable, weight) for variable, weight in pairs if weight != 1]


def _weight(policy: Policy | None) -> float:
    if policy is None:
        return 1.0
    return 0.0 if policy.is_ignored else 1.0 if policy.weight is None else policy.weight


def _reason(policy: Policy | None) -> str:
    return NO_WEIGHT if policy is not None and policy.weight == 0 and not policy.ignore else ""


def _sizes(policy: Policy | None) -> tuple[float, float]:
    return (DRIFTED_SIZE, MAJOR_SIZE) if policy is None else policy.sizes
