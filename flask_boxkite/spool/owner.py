"""The owner file of a directory of records: the facts by which another process can deliver and count them once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from flask_boxkite.system.files import read_file
from flask_boxkite.system.process import ServerName

__all__ = ["OWNER", "Owner"]

OWNER = "owner"
"""Name of the file in each directory, which its process locks."""


class Owner(NamedTuple):
    """The process that wrote a directory.

    Attributes:
        sink: Name of the sink that packed the records.
        tag: Tag to deliver them under.
        server: Server of the process.
        counts: Path of the file in which the process counts; empty if it counts in its memory only. Counts that
            include this file count the records as accepted.
        section: Key of the section of that file in which they are counted; empty in files of earlier releases.
    """

    sink: str
    tag: str
    server: ServerName
    counts: str = ""
    section: str = ""

    def dump(self) -> bytes:
        """Return the content of the file."""
        return json.dumps(self._asdict() | {"server": list(self.server)}).encode()

    @classmethod
    def load(cls, path: Path) -> Owner:
        """Read the file.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file is not an owner file.
        """
        values = json.loads(read_file(path).rstrip(b"\0"))
        try:
            server = ServerName.parse(values["server"])
            section = str(values.get("section", ""))
            return cls(str(values["sink"]), str(values["tag"]), server, str(values["counts"]), section)
        except (KeyError, TypeError) as error:
            msg = f"'{path}' does not say whose records these are"
            raise ValueError(msg) from error
