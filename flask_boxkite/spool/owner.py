"""Whose a directory of records is: what another process must know to deliver them, and to count them once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from flask_boxkite.system.files import read_file
from flask_boxkite.system.process import ServerName

__all__ = ["OWNER", "Owner"]

OWNER = "owner"
"""Name of the file in each directory: locked by its process, and filled with this."""


@dataclass(frozen=True)
class Owner:
    """The process that wrote a directory.

    Attributes:
        sink: Name of the sink that packed the records.
        tag: Under which they are to be delivered.
        server: To which the process belongs.
        counts: Path of the file in which it counts, empty if that is in its memory only. Whoever has counted this file
            has counted the records as accepted.
        section: Key of the section in which they are counted there; empty in files of earlier releases.
    """

    sink: str
    tag: str
    server: ServerName
    counts: str = ""
    section: str = ""

    def dump(self) -> bytes:
        """Return the content of the file."""
        return json.dumps(asdict(self) | {"server": list(self.server)}).encode()

    @classmethod
    def load(cls, path: Path) -> Owner:
        """Read the file.

        Raises:
            OSError: It cannot be read.
            ValueError: It is no such file.
        """
        values = json.loads(read_file(path).rstrip(b"\0"))
        try:
            boot, namespace, pid, started = values["server"]
            server = ServerName(str(boot), str(namespace), int(pid), str(started))
            section = str(values.get("section", ""))
            return cls(str(values["sink"]), str(values["tag"]), server, str(values["counts"]), section)
        except (KeyError, TypeError) as error:
            msg = f"'{path}' does not say whose records these are"
            raise ValueError(msg) from error
