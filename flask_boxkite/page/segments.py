"""Content of the page of a model's segments: a table of them, and the variables of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

from flask_boxkite.drift.segment_wording import moved_variables, sentence_name, uncounted_lines
from flask_boxkite.drift.segments import Segment, verdict_dict
from flask_boxkite.drift.variable import VariableDrift
from flask_boxkite.drift.verdict import MOVED, WORST_FIRST, Verdict
from flask_boxkite.monitoring.observation import SegmentObservation
from flask_boxkite.page.content import ModelView, Query
from flask_boxkite.page.wording import window_text

__all__ = ["SegmentsView"]


class SegmentsView:
    """The segments of a model by one variable.

    Args:
        seen: Observation of the segments.
        choices: Names of all variables that segment the model's rows.
        query: The visitor's choices.
        chosen: Name of the segment whose variables are shown; empty for the one that moved most.
        now: Time in Unix seconds, whose date is omitted from times.

    Attributes:
        report: The verdicts.
        choices: Names of all variables that segment the model's rows.
        query: The visitor's choices.
        when: End of the sentence "2 of 4 segments have drifted …".

    Raises:
        KeyError: There is no segment of that name.
    """

    def __init__(
        self, seen: SegmentObservation, choices: Sequence[str], query: Query, *, chosen: str, now: float
    ) -> None:
        self.report = seen.report
        self.choices = choices
        self.query = query
        self.when = window_text(seen.report.window)
        self._seen = seen
        self._named = seen.report[chosen] if chosen else None
        self._now = now

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, the largest changes first."""
        return self.report.segments

    @property
    def has_variables(self) -> bool:
        """Whether the model has another variable than the one that segments rows."""
        return any(segment.report.variables for segment in self.segments)

    @property
    def rows(self) -> int:
        """Number of answered rows of all segments."""
        return sum(segment.rows for segment in self.segments)

    @property
    def uncounted(self) -> list[str]:
        """Sentences about segments of which too many rows were not counted."""
        return uncounted_lines(self.report.to_dict()["segments"])

    @property
    def moved(self) -> tuple[Segment, ...]:
        """Segments in which a variable has drifted."""
        return self.report.drifted

    @property
    def unclear(self) -> list[Segment]:
        """Segments that may have drifted."""
        return [segment for segment in self.segments if segment.verdict == "unclear"]

    @property
    def unknown(self) -> list[Segment]:
        """Segments without enough data."""
        return [segment for segment in self.segments if segment.verdict == "not enough data"]

    @property
    def state(self) -> Verdict:
        """The worst verdict; "shifted" is not worth an alert, as in `ModelView`."""
        verdicts = {segment.verdict for segment in self.segments}
        if verdicts <= {"not enough data"}:
            return "not enough data"
        return next((verdict for verdict in (*WORST_FIRST[:2], "unclear") if verdict in verdicts), "stable")

    @property
    def leader(self) -> str:
        """Name of the segment that moved most, as a sentence begins with it."""
        return sentence_name(self.segments[0].name, self.segments[0].text)

    @cached_property
    def changes(self) -> str:
        """Sentence part about the segment that moved most, beside all rows together; empty if none has drifted."""
        if not self.moved:
            return ""
        together = self.report.together
        # The numbers of all segments as JSON would take ten times as long.
        return moved_variables(
            {"variables": list(map(verdict_dict, self.segments[0].report))},
            None if together is None else list(map(verdict_dict, together)),
        )

    @property
    def chosen(self) -> Segment | None:
        """The segment whose variables are shown: the named one, or the one that moved most; None if none has."""
        return self._named or next(iter(self.moved), None)

    @cached_property
    def view(self) -> ModelView | None:
        """The variables of that segment; its charts show groups."""
        segment = self.chosen
        if segment is None:
            return None
        since = partial(self._seen.cells_since, segment.name)
        return ModelView(
            segment.text,
            self._seen.baseline(segment.name),
            segment.report,
            since(None),
            when=self.when,
            query=self.query,
            since=since,
            has_groups=True,
            now=self._now,
        )

    @staticmethod
    def drifted(segment: Segment) -> int:
        """Return the number of its variables that are drifted or major."""
        return sum(item.verdict in MOVED for item in segment.report)

    @staticmethod
    def worst(segment: Segment) -> VariableDrift | None:
        """Return the variable that moved most; None if there are too few rows to tell."""
        if segment.verdict == "not enough data":
            return None
        return next(iter(segment.report), None)
