"""The distributions of features and outputs in training: as values, in a file (`file`), and counted (`training`).

`Baseline` is the whole, `distribution` one variable of it. Counting is `training`, which serving never imports.
"""

from flask_boxkite.baseline.baseline import Baseline
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, Span

__all__ = ["Baseline", "Continuous", "Discrete", "Distribution", "Span"]
