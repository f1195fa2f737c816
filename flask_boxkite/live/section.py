"""A section of the counts: a run of numbers that is counted and exported together, and the key that names it."""

from __future__ import annotations

import json
from typing import NamedTuple

__all__ = ["Section", "SectionKey"]


class SectionKey(NamedTuple):
    """The name of a section; sections with equal keys are added up.

    Files hold it as `str` writes it, a JSON array of its parts.

    Attributes:
        kind: Kind of the section: ``model``, ``sink``, ``files`` or ``retired``.
        name: Name of the model or sink; empty for the other kinds.
        digest: Fingerprint of the model's baseline, or hash of the models of the sink's app; empty for neither.
    """

    kind: str
    name: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> SectionKey:
        """Read a key as `str` writes it.

        Raises:
            ValueError: The text is not a key.
        """
        parts = json.loads(text)
        if isinstance(parts, list) and 1 <= len(parts) <= 3 and all(isinstance(part, str) for part in parts):
            return cls(*parts)
        msg = f"{text!r} is not the key of a section"
        raise ValueError(msg)

    def __str__(self) -> str:
        """Return the text by which files and logs name the section."""
        parts = [self.kind, self.name, self.digest]
        while len(parts) > 1 and not parts[-1]:
            parts.pop()
        return json.dumps(parts)

    @property
    def is_model(self) -> bool:
        """Whether a model's requests are counted."""
        return self.kind == "model"

    @property
    def is_sink(self) -> bool:
        """Whether a sink's records are counted."""
        return self.kind == "sink"


class Section(NamedTuple):
    """The description of a section.

    Attributes:
        key: Name of the section.
        cells: Number of counts.
        sums: Number of sums.
        description: Bytes by which a process that knows only the key can read the numbers: a model's baseline file,
            compressed, or the path of this process's records on disk for a sink.
    """

    key: SectionKey
    cells: int
    sums: int
    description: bytes = b""
