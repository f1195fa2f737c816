"""Drift of each segment of a model, as a command finds it: from a server's page, its state directory, or records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_boxkite.cli.group import write
from flask_boxkite.drift.segment_wording import as_markdown, as_text
from flask_boxkite.drift.uncounted import are_uncounted, too_many
from flask_boxkite.drift.wording import when

if TYPE_CHECKING:
    from flask_boxkite.drift.segments import SegmentReport

__all__ = ["Segments"]


@dataclass(frozen=True)
class Segments:
    """Drift of each segment of one model.

    Attributes:
        content: Report, in the form of `SegmentReport.to_dict`; more keys may be there.
        failed: Text about odd features of failed requests; empty for none.
    """

    content: Mapping[str, Any]
    failed: str = ""

    @classmethod
    def of_report(cls, report: SegmentReport) -> Segments:
        """Return the findings of a report that was made here."""
        return cls(report.to_dict(), report.failed)

    @property
    def verdicts(self) -> Sequence[tuple[str, str]]:
        """``variable``, and the verdict, of each of all segments."""
        return [("variable", item["verdict"]) for segment in self.content["segments"] for item in segment["variables"]]

    @property
    def uncounted(self) -> str:
        """The reason for which nothing has passed: too little was counted; empty if enough was."""
        if are_uncounted(self.content["segments"]):
            said = f"Nothing was counted {when(self.content['window'])} in segments by {self.content['by']!r}."
            return f"{said} {self.content.get('note') or ''}".rstrip()
        return f"{self.content['model']!r}: {self.content['note']}" if too_many(self.content) else ""

    def to_json(self) -> Any:
        """Return the content."""
        return self.content

    def to_markdown(self, *, shows_all: bool) -> str:
        """Return a table of the segments; all are listed, as in a terminal."""
        return as_markdown(self.content)

    def show(self, output: Path | None, *, shows_all: bool) -> None:
        """Print a table of the segments."""
        write(f"{as_text(self.content, self.failed)}\n", output)
