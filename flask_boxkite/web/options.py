"""The options of a view that predicts: the places of its features, its output and the caller's key."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any, TypeAlias

from flask_boxkite.errors import ConfigError
from flask_boxkite.monitoring.hints import Where

__all__ = ["QUERY", "Options", "Pick", "check_key", "is_place", "key_header"]

Pick: TypeAlias = Where

QUERY = "?"
"""Option ``features`` of a view that gets its features as parameters of the query string."""

_HEADER = "header:"
_PATH = re.compile(r"[^.]+(\.[^.]+)*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""Name of a header, by RFC 9110."""


@dataclass(frozen=True)
class Options:
    """The places of a view's features, its output and the caller's key.

    Attributes:
        features: None: by payload convention. A text: dotted path into the JSON request, or ``"?"`` for the query
            string. A callable: receives the request.
        output: None: by payload convention. A text: dotted path into the JSON response. A callable: receives the view's
            return value or, if its first parameter is named ``answer``, the parsed answer.
        key: None: no key. A text: dotted path into the JSON request, or ``"header:"`` and the name of a header.
        segments: Names of variables that segment rows and are no features, each with the place of its value: such a
            text, or a function without arguments.
    """

    features: Pick = None
    output: Pick = None
    key: str | None = None
    segments: tuple[tuple[str, str | Callable[[], Any]], ...] = ()

    @cached_property
    def wants_answer(self) -> bool:
        """Whether the callable for the output takes the parsed answer."""
        return callable(self.output) and _first_parameter(self.output) == "answer"


def key_header(place: str) -> str | None:
    """Return the name of the header in which a key stands; None if it stands in the JSON."""
    return place.removeprefix(_HEADER) if place.startswith(_HEADER) else None


def is_place(place: Any) -> bool:
    """Say whether this is a dotted path into the JSON request, or a header, as for `Options.key`."""
    if not isinstance(place, str):
        return False
    header = key_header(place)
    return (_PATH.fullmatch(place) if header is None else _HEADER_NAME.fullmatch(header)) is not None


def check_key(place: Any, start: str = "") -> None:
    """Refuse a place of a key that cannot be one.

    Args:
        place: Place of the key, as for `Options`.
        start: Beginning of the message.

    Raises:
        ConfigError: It is neither None nor such a text.
    """
    if place is None or is_place(place):
        return
    msg = (
        f"{start}'key' must be a dotted path into the JSON request, such as 'order.id', or a header, such as "
        f"'header:X-Request-Id', or None, got {place!r}."
    )
    raise ConfigError(msg)


def _first_parameter(function: Callable[..., Any]) -> str | None:
    """Return the name of a function's first parameter; None if it is unknown."""
    try:
        return next(iter(signature(function).parameters), None)
    except (TypeError, ValueError):
        return None
