"""Decompression of request bodies, up to a size limit.

Python itself reads gzip and deflate, and zstd from 3.14 on. Brotli and zstd need a package, which apps that write them
have, with Flask-Compress for instance: ``brotli`` 1.2, which can stop at a limit, and ``backports.zstd``.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

__all__ = ["decompressed"]

_ANY = 32 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


def decompressed(data: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its content encoding.

    Args:
        data: The body as it arrived.
        encoding: Value of the header ``Content-Encoding``.
        limit: Largest size of the decompressed body in bytes; nothing beyond it is decompressed.

    Raises:
        ValueError: The encoding is unknown, the body is incomplete or encoded otherwise, or exceeds *limit* bytes.
    """
    for read in _READERS.get(encoding.strip().lower(), ()):
        try:
            return read(data, limit)
        except _Unreadable:
            continue
    msg = f"The body is not encoded as {encoding!r}."
    raise ValueError(msg)


class _Unreadable(Exception):
    """The data have another encoding, or the package that reads this encoding is not installed."""


def _unzipped(window: int, data: bytes, limit: int) -> bytes:
    try:
        return _joined(lambda: zlib.decompressobj(window), data, limit)
    except zlib.error as error:
        raise _Unreadable from error


def _from_zstd(data: bytes, limit: int) -> bytes:
    zstd = _module("compression.zstd", "backports.zstd")
    try:
        return _joined(zstd.ZstdDecompressor, data, limit)
    except zstd.ZstdError as error:
        raise _Unreadable from error


def _from_brotli(data: bytes, limit: int) -> bytes:
    brotli = _module("brotli", "brotlicffi")
    reader = brotli.Decompressor()
    try:
        body: bytes = reader.process(data, output_buffer_limit=limit + 1)
    except (brotli.error, TypeError) as error:  # TypeError: an older version, which accepts no limit
        raise _Unreadable from error
    return _whole(body, limit, is_finished=reader.is_finished())


def _joined(new_reader: Callable[[], Any], data: bytes, limit: int) -> bytes:
    body = b""
    while data:  # a body may consist of several compressed members
        reader = new_reader()
        body = _whole(body + reader.decompress(data, limit - len(body) + 1), limit, is_finished=reader.eof)
        data = reader.unused_data
    return body


def _whole(body: bytes, limit: int, *, is_finished: bool) -> bytes:
    if len(body) > limit or not is_finished:
        msg = f"The body is cut off, or has more than {limit} bytes."
        raise ValueError(msg)
    return body


def _module(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise _Unreadable


_READERS: dict[str, Sequence[Callable[[bytes, int], bytes]]] = {
    "gzip": (partial(_unzipped, _ANY),),
    "x-gzip": (partial(_unzipped, _ANY),),
    "deflate": (partial(_unzipped, _ANY), partial(_unzipped, _RAW)),  # some clients leave out the header of deflate
    "br": (_from_brotli,),
    "zstd": (_from_zstd,),
}
