"""Records as MessagePack and as JSON."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import msgpack

from flask_boxkite.compiled import native
from flask_boxkite.values.conversion import plain

__all__ = ["json_line", "packed"]

_new_packer = msgpack.Packer if native is None else native.Packer
_packers: deque[Any] = deque()
"""Packers that nothing uses. Each has memory of its own, which costs as much time to get as a record takes to pack."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_writer = None if native is None else native.JSONWriter()  # for all threads: none can come in between


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


def json_line(value: Any, head: bytes) -> bytes:
    """Return a value of plain JSON types as a line of JSON behind *head*; lone surrogates become question marks.

    Raises:
        ValueError: A number is not finite.
    """
    if _writer is not None:
        try:
            return _writer.pack(value, head, b"\n")  # type: ignore[no-any-return]
        except (OverflowError, TypeError, ValueError):
            pass  # Python writes it, or raises an error that names the fault
    return head + _encode(value).encode("utf-8", "replace") + b"\n"
