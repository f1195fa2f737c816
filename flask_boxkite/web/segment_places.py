"""The places of values that segment rows and are no features: a view's option ``segments``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction, signature
from typing import Any, TypeAlias

from flask_boxkite.errors import ConfigError
from flask_boxkite.web.options import is_place

__all__ = ["SegmentPlace", "SegmentPlaces", "checked_places"]

SegmentPlace: TypeAlias = "str | Callable[[], Any]"
"""Dotted path into the JSON request, ``"header:"`` and the name of a header, or a function without arguments."""

SegmentPlaces: TypeAlias = tuple[tuple[str, SegmentPlace], ...]
"""Names of variables, each with the place of its value."""

_PLACES = "a dotted path into the JSON request, such as 'customer.country', a header, such as 'header:X-Tenant'"
_OR_FUNCTION = ", or a function without arguments, such as lambda: request.headers.get('X-Tenant')"


def checked_places(
    segments: Mapping[str, SegmentPlace] | None, start: str = "", *, takes_functions: bool = True
) -> SegmentPlaces:
    """Return the option ``segments`` as pairs of a name and a place.

    Args:
        segments: Places by the names of variables; None for none.
        start: Beginning of the message.
        takes_functions: Whether a place may be a function.

    Raises:
        ConfigError: It is no mapping of names to places.
    """
    if segments is None:
        return ()
    if not isinstance(segments, Mapping) or not all(isinstance(name, str) and name for name in segments):
        msg = (
            f"{start}'segments' must map names of variables to places, such as {{'country': 'customer.country'}}, "
            f"got {segments!r}."
        )
        raise ConfigError(msg)
    for name, place in segments.items():
        if not (is_place(place) or (takes_functions and _is_function(place))):
            msg = (
                f"{start}'segments' must name the place of {name!r}: {_PLACES}"
                f"{_OR_FUNCTION if takes_functions else ''}; got {place!r}."
            )
            raise ConfigError(msg)
    return tuple(segments.items())


def _is_function(place: Any) -> bool:
    """Say whether a place is a function that can be called without arguments, and that does not have to be awaited."""
    if not callable(place) or iscoroutinefunction(place):
        return False
    try:
        signature(place).bind()
    except TypeError:
        return False
    except ValueError:  # a function of C may have no signature
        return True
    return True
