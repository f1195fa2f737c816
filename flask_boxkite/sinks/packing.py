"""Records as MessagePack."""

from __future__ import annotations

from typing import Any

import msgpack

from flask_boxkite.values.conversion import plain

__all__ = ["packed"]


def packed(value: Any) -> bytes:
    """Return a value of plain JSON types as MessagePack; lone surrogates, which UTF-8 lacks, become question marks."""
    try:
        return msgpack.Packer().pack(value)  # type: ignore[no-any-return]
    except OverflowError:  # integers beyond 64 bits, of both signs, in a row that was counted as all numbers
        return packed(plain(value))
    except UnicodeEncodeError:  # replacing from the start would take half as long again for every record
        return msgpack.packb(value, unicode_errors="replace")  # type: ignore[no-any-return]
