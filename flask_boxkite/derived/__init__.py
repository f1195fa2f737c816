"""Derived variables: numbers that are computed from a row, or observed beside it, and watched like its features.

`Text`, `Vector`, `Row` and `Observed` name them in training. A fitted *recipe* stands in the baseline file
with its parameters, and computes the same numbers while serving.
"""

from flask_boxkite.derived.given import Observed
from flask_boxkite.derived.row import Row
from flask_boxkite.derived.text import Text
from flask_boxkite.derived.vector import Vector

__all__ = ["Observed", "Row", "Text", "Vector"]
