"""Compressed bodies, read up to a bound."""

from __future__ import annotations

import zlib

__all__ = ["decompressed"]

_ANY = 32 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_WINDOWS = {"gzip": (_ANY,), "x-gzip": (_ANY,), "deflate": (_ANY, _RAW)}
"""How zlib reads an encoding; some clients send ``deflate`` without the header that belongs to it."""


def decompressed(data: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its content encoding.

    Args:
        data: The body as it came.
        encoding: Value of the header ``Content-Encoding``.
        limit: Bytes that the body may have; what comes after them is never decompressed.

    Raises:
        ValueError: The encoding is unknown, the data are not of it or not whole, or there are more than *limit* bytes.
    """
    for window in _WINDOWS.get(encoding.strip().lower(), ()):
        try:
            return _decompressed(data, window, limit)
        except zlib.error:
            continue
    msg = f"The body is not encoded as {encoding!r}."
    raise ValueError(msg)


def _decompressed(data: bytes, window: int, limit: int) -> bytes:
    parts = b""
    while data:  # gzip may have several members
        reader = zlib.decompressobj(window)
        parts += reader.decompress(data, limit - len(parts) + 1)
        if len(parts) > limit or not reader.eof:
            msg = f"The body is cut off, or has more than {limit} bytes."
            raise ValueError(msg)
        data = reader.unused_data
    return parts
