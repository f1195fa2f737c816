"""The protocol of countings that several processes can do, each of some files, and whose counts add up.

A job is sent to each process, which begins its counting and adds the pieces of a reading. Its counts come back, and are
joined in the order of the files: the same as if one process had read them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.layout import Layout

__all__ = ["Counting", "Job"]

T = TypeVar("T")


class Counting(Protocol[T]):
    """Counts the pieces of a reading."""

    @property
    def names(self) -> Sequence[str] | None:
        """The names of the features to read where they come by name; None for all."""

    def takes(self, layout: Layout) -> bool:
        """Say whether it counts the groups of a table as columns."""

    def add(self, piece: Any) -> None:
        """Count some records, or a group of a table that it takes."""

    @property
    def counted(self) -> T:
        """The counts so far, for a counting in another process."""

    def join(self, counted: T) -> None:
        """Add the counts of another process, of records behind these."""


C = TypeVar("C", bound=Counting[Any], covariant=True)


class Job(Protocol[C]):
    """A description of a counting, which other processes can be sent."""

    def begin(self) -> C:
        """Return the counting before the first record.

        Raises:
            BoxkiteError: Records cannot be counted in this way.
        """
