"""The world of a page: a folder and names in which its blocks run from top to bottom, as for its reader."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.markdown import Block, blocks_of
from tests.peers import PATIENCE_SECONDS

__all__ = ["DATA", "World", "world"]

DATA = ("json", "promql", "toml", "yaml")
"""Languages whose blocks are only parsed."""

NAME = "page"
COLUMNS = "80"


class World:
    """A page's folder and names.

    Args:
        folder: Empty folder, which is the current one.
        page: Module whose names the Python blocks share.
        given: What other tests give a page that begins in the middle, by its path.
    """

    def __init__(self, folder: Path, page: ModuleType, given: dict[Path, Callable[[], dict[str, object]]]) -> None:
        self._folder = folder
        self._page = page
        self._given = given
        self._printed = ""

    @property
    def names(self) -> dict[str, object]:
        """The names that the blocks have made."""
        return vars(self._page)

    def run(self, path: Path) -> None:
        """Run a page, after the page whose world it goes on with.

        Raises:
            AssertionError: A command fails, or does not print the output that is shown.
        """
        text = path.read_text(encoding="utf-8")
        if before := re.search(r"^<!-- world: (.*) -->$", text, re.M):
            self.run((path.parent / before[1]).resolve())
        if given := self._given.get(path):
            self.names.update(given())
        for block in blocks_of(text):
            self._take(block, path)

    def _take(self, block: Block, path: Path) -> None:
        where = f"{path}:{block.line}"
        if block.mark == "output":
            assert block.is_next, f"{where}: output stands right below the block that prints it."
            assert matches(block.source, self._printed), f"{where}: the block above prints\n{self._printed}"
        elif block.reason is not None:
            self._printed = ""
        elif block.file_name:
            self._write(block.file_name, block.source)
        elif block.language == "python":
            # Tracebacks show the lines of the page.
            self._printed = self._execute("\n" * block.line + block.source, path)
        elif block.language == "sh":
            self._printed = self._call(block.source, where)
        else:
            assert block.language in (*DATA, "text", ""), f"{where}: '{block.language}' is neither run nor parsed."

    def _write(self, name: str, source: str) -> None:
        """Write a file; a module that was imported from it before is read again."""
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)

    def _execute(self, source: str, path: Path) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(source, path, "exec"), self.names)
        return printed.getvalue()

    def _call(self, script: str, where: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, f"{where}: exits with {done.returncode}\n{done.stdout}"
        return done.stdout


def matches(shown: str, printed: str) -> bool:
    """Say whether a page shows what was printed; `…` stands for anything."""
    pattern = re.escape(without_blanks(shown)).replace("…", ".*?")
    return re.fullmatch(pattern, without_blanks(printed), re.S) is not None


def without_blanks(text: str) -> str:
    """Return a text without blanks at the ends of lines, and empty lines at its own ends."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


@contextlib.contextmanager
def world(folder: Path, given: dict[Path, Callable[[], dict[str, object]]]) -> Iterator[World]:
    """Make *folder* the world of a page; afterwards nothing of it is left in this process."""
    page = ModuleType(NAME)
    page.__file__ = str(folder / f"{NAME}.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setitem(sys.modules, NAME, page)
        # Python would take a file that changes twice within a second for the same.
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        patch.setenv("COLUMNS", COLUMNS)
        try:
            yield World(folder, page, given)
        finally:
            for name, module in list(sys.modules.items()):
                if (file := getattr(module, "__file__", None)) and Path(file).is_relative_to(folder):
                    del sys.modules[name]
            # Apps that are gone deliver the records that wait, into this folder.
            vars(page).clear()
            gc.collect()
