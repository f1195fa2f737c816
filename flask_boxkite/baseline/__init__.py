"""The training side: distributions of features and outputs, how they are made, stored and read back."""

from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, Span
from flask_boxkite.baseline.model import Baseline

__all__ = ["Baseline", "Continuous", "Discrete", "Distribution", "Span"]
