"""Progress of long work: a bar on a terminal, a callable of the user's, or nothing.

The bar stands on standard error, disappears when the work is done, and needs the library Rich (the extra ``cli``).
Without Rich, and where standard error is not a terminal, no bar is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Progress", "Steps"]

Progress: TypeAlias = Callable[[int, int | None, str], object] | Literal[False] | None
"""``None`` for a bar on a terminal; ``False`` for none; or a callable that gets the number of steps done, the number of
all steps (None if unknown), and the name of the work."""

T = TypeVar("T")


class Steps:
    """The steps of one piece of work; a context manager that lives as long as the work.

    Args:
        progress: Display of the progress.
    """

    def __init__(self, progress: Progress) -> None:
        self._call = progress or None
        self._bar = _bar() if progress is None else None
        self._task = self._bar.add_task("", total=None) if self._bar else None

    def __enter__(self) -> Steps:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, done: int, total: int | None, what: str) -> None:
        """Show that *done* of *total* steps of *what* are done."""
        if self._call is not None:
            self._call(done, total, what)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=what)

    def each(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """Yield *items*, and show their number so far."""
        for done, item in enumerate(items, 1):
            yield item
            self.tell(done, total, what)


def _bar() -> Bar | None:
    if not (sys.stderr and sys.stderr.isatty()) or find_spec("rich") is None:
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
