"""Output of all commands for people: terminals, their width, and progress while they wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO, TextIOWrapper
from pathlib import Path

from rich.console import Console

from flask_boxkite.baseline.progress import Steps
from flask_boxkite.cli.group import write, writing
from flask_boxkite.drift.wording import COLUMNS

__all__ = ["printing", "waiting"]


@contextmanager
def printing(output: Path | None) -> Iterator[Console]:
    """Yield a console for the output: standard output, or a file, which is written at the end.

    It is as wide as the terminal; without one, as wide as our text reports. A terminal that cannot show a letter shows
    a question mark.

    Raises:
        BoxkiteError: The output cannot be written.
    """
    if output is not None:
        page = StringIO()
        yield Console(width=COLUMNS, file=page, highlight=False, markup=False, emoji=False)
        write(page.getvalue(), output)
        return

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = COLUMNS
    with writing(None):
        yield console


@contextmanager
def waiting(what: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """Show on a terminal that work is going on, and for how long; the line disappears at the end.

    Yields a function to call with the number of finished steps, their total, and the current step.
    """
    with Steps(None, what) as steps:
        yield steps.tell
