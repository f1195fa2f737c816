"""Keys by which records are joined, with outcomes or with records of another model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.naming import REDACTED
from flask_boxkite.records.alignment import Aligner
from flask_boxkite.records.columns import FIELDS
from flask_boxkite.records.decoding import Record
from flask_boxkite.values.conversion import InvalidValue, to_text
from flask_boxkite.values.keys import one_spelling

__all__ = ["IDS", "KeysOf", "given_key", "key_text", "keys_of"]

IDS = ("prediction_id", "entity_id", "key")
"""Fields of a record that may be the key; row i of a batch then has the key ``{id}/{i}``."""

KeysOf = Callable[[Record, Aligner], Iterator["str | None"]]
"""Yields the key of each row of a record, or `REDACTED`."""


def keys_of(key: str, features: Sequence[str]) -> KeysOf:
    """Return a function that yields the key of each row of a record.

    Args:
        key: Field of the record in `IDS`, or name of a feature.
        features: Names of the features, in the order of the aligner.

    Raises:
        BoxkiteError: Records cannot be joined by this key.
    """
    if key in IDS:

        def of_field(record: Record, aligner: Aligner) -> Iterator[str | None]:
            text: str | None = getattr(record, key)
            if text is not None and key == "key":
                text = one_spelling(text)
            if record.rows == 1 or text is None or text == REDACTED:
                yield from [text] * record.rows
            else:
                yield from (f"{text}/{row}" for row in range(record.rows))

        return of_field

    if key in FIELDS:
        msg = f"Records cannot be joined by {key!r}. Take {', '.join(map(repr, IDS))}, or the name of a feature."
        raise BoxkiteError(msg)
    position = features.index(key)

    def of_feature(record: Record, aligner: Aligner) -> Iterator[str | None]:
        for row in aligner.feature_rows(record) or ():
            yield key_text(row[position])

    return of_feature


def given_key(value: Any, key: str) -> str | None:
    """Return the key of an outcome as text; None if it is missing."""
    text = key_text(value)
    # Headers quote the name of a server that is not plain ASCII.
    return unquote(text) if text is not None and key == "prediction_id" and "%" in text else text


def key_text(value: Any) -> str | None:
    """Return a key as text: 17, 17.0, "17" and "17.0" are the same; None if it is missing, or no single value."""
    if isinstance(value, float):
        if value != value:  # also the mark of an absent feature
            return None
        value = int(value) if value.is_integer() else value
    try:
        return one_spelling(to_text(value) or "") or None
    except InvalidValue:
        return None
