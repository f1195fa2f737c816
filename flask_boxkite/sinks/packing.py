"""Records as MessagePack."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgpack

from flask_boxkite.compiled import native
from flask_boxkite.values.conversion import plain

__all__ = ["packed"]

_new_packer = msgpack.Packer if native is None else native.Packer
_packers: deque[Any] = deque()
"""Packers that nothing uses. Each has memory of its own, which costs as much time to get as a record takes to pack."""


def packed(value: Any) -> bytes:
    """Return a value of plain JSON types as MessagePack; lone surrogates, which UTF-8 lacks, become question marks."""
    try:
        packer = _packers.pop()  # no two threads get the same one
    except IndexError:
        packer = _new_packer()
    try:
        data: bytes = packer.pack(value)
    except OverflowError:  # integers beyond 64 bits, of both signs, in a row that was counted as all numbers
        return packed(plain(value))
    except UnicodeEncodeError:  # replacing from the start would take half as long again for every record
        return msgpack.packb(value, unicode_errors="replace")  # type: ignore[no-any-return]
    _packers.append(packer)
    return data
