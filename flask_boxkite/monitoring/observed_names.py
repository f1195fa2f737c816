"""The names in the option ``segments`` of a view or route, checked against the baseline of its model."""

from __future__ import annotations

from collections.abc import Collection

from flask_boxkite.baseline import Baseline
from flask_boxkite.derived.given import ObservedRecipe
from flask_boxkite.errors import ConfigError
from flask_boxkite.suggestion import suggestion

__all__ = ["check_observed"]


def check_observed(baseline: Baseline | None, model: str, names: Collection[str], start: str = "") -> None:
    """Refuse names of values that are to be observed, and that the baseline does not know as such.

    Args:
        baseline: Baseline of the model; without one, records take any name.
        model: Name of the model.
        names: The names.
        start: Beginning of the message.

    Raises:
        ConfigError: A name is of no observed variable.
    """
    if baseline is None:
        return
    known = [item.name for item in baseline.derived if isinstance(item, ObservedRecipe)]
    for name in names:
        if name in known:
            continue
        if name in {item.name for item in baseline.variables}:
            msg = (
                f"{start}'segments' names {name!r}, which is a feature or output of model {model!r}. Remove it there: "
                "its values come with each row."
            )
        else:
            msg = (
                f"{start}'segments' names {name!r}, which the baseline of model {model!r} does not have. "
                f"{suggestion(name, known)} Training makes it: export_text(..., segments={{{name!r}: values}})."
            )
        raise ConfigError(msg)
