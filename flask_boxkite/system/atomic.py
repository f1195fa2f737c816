"""Files for users, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from secrets import token_hex

__all__ = ["write_whole"]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it: no reader sees half a file, and no fault costs the old one.

    A link stays, and its target is replaced; a device or a pipe is written to.

    Raises:
        OSError: The file cannot be written; the old one is unchanged.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return

    temporary = path.parent / f".{token_hex(8)}.tmp"

    try:
        with open(temporary, "xb") as file:
            file.write(data)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
