"""A tool's process: started by the driver, asked over its standard input and output, round by round.

Every tool is measured in processes of its own, so that no tool's threads, garbage or imports burden another. They live
through a whole comparison and take turns, so that the machine's noise falls on all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

__all__ = ["SIDES", "Side", "SideError", "clean_environment", "last_lines", "run_side"]

SIDES = Path(__file__).parent / "sides"
EXIT_SECONDS = 20.0
"""How long a side may take to deliver what its tool has queued."""


class SideError(Exception):
    """A side's process ended instead of answering; the text is the last of what it wrote to standard error."""


def clean_environment(**extra: str) -> dict[str, str]:
    """Return the environment variables without those that configure one of the tools, and with *extra*."""
    prefixes = ("BOXKITE_", "BEDROCK_", "PROMETHEUS_", "prometheus_", "GUNICORN_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | extra


class Side:
    """One process of one script of ``sides/``, while it runs."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        """Speak to *process*, which writes its standard error to *errors*."""
        self._process = process
        self._errors = errors

    def ask(self, case: str, calls: int = 1) -> dict[str, Any]:
        """Let the process run one round of *case* and return its figures.

        Raises:
            SideError: The process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # A process that has ended takes no order; that it gives no answer either is seen below, with the reason.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"case": case, "calls": calls}) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            raise SideError(last_lines(self._errors))
        figures: dict[str, Any] = json.loads(answer)
        return figures

    def close(self) -> None:
        """Let the process end by itself, which delivers what its tool has queued; kill it if it does not."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextlib.contextmanager
def run_side(script: Path, *, python: str, environment: Mapping[str, str]) -> Iterator[Side]:
    """Run *script* with the interpreter *python*; what it writes to temporary files goes with it."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryFile(mode="w+") as errors,
        subprocess.Popen(
            [python, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**environment, "TMPDIR": scratch},
        ) as process,
    ):
        side = Side(process, errors)
        try:
            yield side
        finally:
            side.close()


def last_lines(errors: IO[str]) -> str:
    """Return the end of what a process wrote to standard error."""
    errors.seek(0)
    return "".join(errors.readlines()[-6:]).rstrip()
