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
        title: Name of the whole work, for a bar.
    """

    def __init__(self, progress: Progress, title: str = "") -> None:
        self._call = progress or None
        self._title = self._description = title
        self._bar = _bar() if progress is None else None
        self._task = self._bar.add_task(title, total=None, count="") if self._bar else None

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
        """Show that *done* of *total* steps of the work *what* are done."""
        if self._call is not None:
            self._call(done, total, what)
        if self._bar is not None and self._task is not None:
            description = f"{self._title}: {what}" if self._title else what
            count = f"{done:,}" if total is None else f"{done:,}/{total:,}"
            # The bar draws itself ten times a second; a new step shows at once.
            is_new, self._description = description != self._description, description
            self._bar.update(
                self._task, completed=done, total=total, description=description, count=count, refresh=is_new
            )

    def each(self, items: Iterable[T], what: str) -> Iterator[T]:
        """Yield *items*, and show their number so far."""
        for done, item in enumerate(items, 1):
            yield item
            self.tell(done, None, what)


def _bar() -> Bar | None:
    if not (sys.stderr and sys.stderr.isatty()) or find_spec("rich") is None:
        return None
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    # Names of columns may look like markup.
    description, count = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[count]"))
    console = Console(stderr=True, highlight=False, markup=False)
    return Progress(description, BarColumn(), count, TimeElapsedColumn(), console=console, transient=True)
