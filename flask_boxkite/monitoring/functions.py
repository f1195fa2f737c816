"""The functions of derived variables that an app gives its monitor: by name, or by model and name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask_boxkite.errors import ConfigError

__all__ = ["Function", "checked_functions", "functions_of"]

Function = Callable[[dict[str, Any]], Any]


def checked_functions(derive: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the functions as they were given.

    Raises:
        ConfigError: They are no mapping of names to functions, or of models to such mappings.
    """
    functions = {} if derive is None else derive
    if not isinstance(functions, Mapping) or not all(map(_is_known, functions.values())):
        msg = (
            "'derive' must map names to functions of a row, such as {'debt_ratio': function}, or models to such "
            f"mappings, got {derive!r}. Texts, vectors and rows need nothing here: the baseline file has their recipes."
        )
        raise ConfigError(msg)
    return functions


def _is_known(value: Any) -> bool:
    return all(map(callable, value.values())) if isinstance(value, Mapping) else callable(value)


def functions_of(functions: Mapping[str, Any], model: str) -> dict[str, Function]:
    """Return the functions for a model by name; its own ones come before those for all models."""
    own = functions.get(model)
    return {
        **{name: function for name, function in functions.items() if not isinstance(function, Mapping)},
        **(own if isinstance(own, Mapping) else {}),
    }
