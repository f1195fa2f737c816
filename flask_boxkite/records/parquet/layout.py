"""The columns of a table: variables by the baseline, fields of the prediction, and columns of the layout itself.

All files of a table have the same columns, even if a column is empty: many readers take the types from the first file.
Only types that all engines read are used: float64, text, boolean, 32-bit integers, and microseconds in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

from flask_boxkite.baseline import Baseline, Continuous, Distribution
from flask_boxkite.records.columns import FIELDS, Columns

__all__ = ["FEATURES_FIT", "FORMAT", "LINE", "ODD", "OUTPUTS_FIT", "ROW", "ROWS", "UNNAMED", "Layout", "Variable"]

FORMAT = 1
"""Number of the layout, in each file."""

UNNAMED = "unnamed"
"""Beginning of the name of the table for records that have no table of their own."""

_OWN = "boxkite_"
ROW, ROWS, FEATURES_FIT, OUTPUTS_FIT, ODD, LINE = (
    f"{_OWN}{name}" for name in ("row", "rows", "features_fit", "outputs_fit", "odd", "line")
)

Kind: TypeAlias = Literal["number", "text", "time"]
"""A number is float64. A time is the text that came, as in frames."""


class Variable(NamedTuple):
    """A feature or output in a table.

    Attributes:
        name: Name in the baseline.
        column: Name of the column.
        kind: Kind of its values.
    """

    name: str
    column: str
    kind: Kind


@dataclass(frozen=True)
class Layout:
    """The variables of a table; no variables for records that no baseline describes.

    Attributes:
        features: Features, in the order of the baseline.
        outputs: Outputs, likewise.
        inputs: Names of a row's values in the order of their positions.
        derived: Names of derived variables among the features.
    """

    features: tuple[Variable, ...] = ()
    outputs: tuple[Variable, ...] = ()
    inputs: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()

    @classmethod
    def of(cls, baseline: Baseline) -> Layout:
        """Return the layout of a baseline's records."""
        columns = Columns.of(baseline)
        taken = {name.casefold() for name in FIELDS}
        features, outputs = (
            tuple(_variables(side, items, called, taken))
            for side, items, called in (
                ("feature", baseline.features, columns.feature_columns),
                ("output", baseline.outputs, columns.output_columns),
            )
        )
        derived = tuple(name for recipe in baseline.derived for name in recipe.names)
        return cls(features, outputs, tuple(baseline.columns), derived)

    @classmethod
    def from_json(cls, text: str | bytes) -> Layout:
        """Read the layout of a file."""
        found = json.loads(text)
        features, outputs = (tuple(Variable(*item) for item in found[side]) for side in ("features", "outputs"))
        return cls(features, outputs, tuple(found["inputs"]), tuple(found["derived"]))

    def to_json(self) -> str:
        """Return the layout as text."""
        return json.dumps(
            {
                "features": self.features,
                "outputs": self.outputs,
                "inputs": self.inputs,
                "derived": self.derived,
            }
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Features, then outputs."""
        return self.features + self.outputs

    @cached_property
    def schema(self) -> Any:
        """The Arrow schema of its files."""
        import pyarrow as pa

        types = {"number": pa.float64(), "text": pa.string(), "time": pa.string()}
        own: Mapping[str, Any] = {"created_at": pa.timestamp("us", tz="UTC"), "duration_ms": pa.float64()}
        return pa.schema(
            [
                *((item.column, types[item.kind]) for item in self.variables),
                *((name, own.get(name, pa.string())) for name in FIELDS),
                *((name, pa.int32()) for name in (ROW, ROWS)),
                *((name, pa.bool_()) for name in (FEATURES_FIT, OUTPUTS_FIT)),
                *((name, pa.string()) for name in (ODD, LINE)),
            ]
        )


def _variables(
    side: str, items: Sequence[Distribution], called: Mapping[str, str], taken: set[str]
) -> Iterator[Variable]:
    for item in items:
        column = called[item.name] or side
        while column.casefold() in taken or column.casefold().startswith(_OWN):
            column = f"{side}.{column}"
        taken.add(column.casefold())
        is_text = not isinstance(item, Continuous) and item.is_text
        yield Variable(item.name, column, "time" if item.is_time else "text" if is_text else "number")
