"""Notes on capture errors: the app's input, the expectation, and the remedy; the last note of each kind.

A note is logged at most once a minute. This process keeps it, and writes it to a small file in the directory where the
processes of a server count together. So the page of any process shows it. There are five kinds, so a model has at most
five files of a few KiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from flask_boxkite.live.apart import NOTE
from flask_boxkite.naming import CAPTURE_REASONS, GAPS
from flask_boxkite.quoting import printable
from flask_boxkite.system.files import open_private, read_file
from flask_boxkite.system.throttle import Throttle

__all__ = ["Note", "Notes", "is_first_to_say", "latest"]

logger = logging.getLogger("flask_boxkite")

MOST_LETTERS = 950
"""Longest note in characters; hints limit their quotations to far less."""

_KINDS = (*CAPTURE_REASONS, *GAPS)
_MOST_BYTES = 4096
_SAID = f"{NOTE}said-"
_PAUSE_SECONDS = 1.0
"""Shortest time between two comparisons of names: a comparison takes milliseconds, and clients choose the names."""


class Note(NamedTuple):
    """One note.

    Attributes:
        time: Time of the note in Unix seconds.
        text: Facts, expectation and remedy.
    """

    time: float
    text: str


class Notes:
    """The notes of one model. Safe to use from any thread and after a fork; never raises.

    Args:
        model: Name of the model.
        key: Key of its counts, which differs between models and baselines.
        directory: Returns the directory where the processes of the server count together; None if there is none.
        clock: Returns the Unix time.
        make_throttle: Makes the limit on log lines of one kind.
    """

    def __init__(
        self,
        model: str,
        key: str,
        directory: Callable[[], Path | None],
        clock: Callable[[], float] = time.time,
        make_throttle: Callable[[], Throttle] = Throttle,
    ) -> None:
        self._model = model
        self._name = hashlib.sha256(key.encode()).hexdigest()[:16]
        self._directory = directory
        self._clock = clock
        self._throttles = {kind: make_throttle() for kind in _KINDS}
        self._own: dict[str, Note] = {}

    def tell(self, kind: str, describe: Callable[[], str | None]) -> None:
        """Log and store a note, if there was none of its kind lately.

        Args:
            kind: One of `CAPTURE_REASONS` or `GAPS`.
            describe: Makes the text; None if there is nothing to say.
        """
        if not self._throttles[kind].allows():
            return
        text = describe()
        if text:
            logger.warning("Model %r: %s", self._model, self.keep(kind, text))
        else:
            self._throttles[kind].allow_after(_PAUSE_SECONDS)

    def keep(self, kind: str, text: str) -> str:
        """Store a note without logging it; return its text as stored."""
        note = self._own[kind] = Note(self._clock(), printable(text)[:MOST_LETTERS])
        with contextlib.suppress(OSError):
            directory = self._directory()
            if directory is not None:
                _write(self._path(directory, kind), note)
        return note.text

    def read(self) -> Mapping[str, Note]:
        """Return the last note of each kind, from all processes of the server that this one knows."""
        directory = None
        with contextlib.suppress(OSError):
            directory = self._directory()
        notes, now = dict(self._own), self._clock()
        for kind in _KINDS if directory is not None else ():
            assert directory is not None
            note = _read(self._path(directory, kind))
            if note is not None and (kind not in notes or _age(note, now) < _age(notes[kind], now)):
                notes[kind] = note
        return notes

    def _path(self, directory: Path, kind: str) -> Path:
        return directory / f"{NOTE}{self._name}-{kind}"


def is_first_to_say(directory: Path | None, server: str, topic: str = "open") -> bool:
    """Say whether this process is the first of its server to ask about a topic; never raises.

    Args:
        directory: Directory where the processes of the server count together; None if there is none.
        server: Permanent name of the server.
        topic: Name of the topic, of letters that a file name may have.
    """
    if directory is None:
        return True

    own = f"{_SAID}{hashlib.sha256(server.encode()).hexdigest()[:16]}"
    with contextlib.suppress(OSError):
        try:
            os.close(open_private(directory / f"{own}-{topic}", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        for old in directory.glob(f"{_SAID}*"):  # files of earlier servers
            if not old.name.startswith(own):
                old.unlink()
    return True


def latest(notes: Iterable[Mapping[str, Note]], now: float, oldest_seconds: float = math.inf) -> dict[str, str]:
    """Return the text of the last note of each kind, over all models.

    Args:
        notes: The notes of each model.
        now: The time, in Unix seconds.
        oldest_seconds: Age above which a note is ignored.
    """
    newest: dict[str, Note] = {}
    for each in notes:
        for kind, note in each.items():
            if _age(note, now) <= oldest_seconds and (kind not in newest or _age(note, now) < _age(newest[kind], now)):
                newest[kind] = note
    return {kind: note.text for kind, note in newest.items()}


def _age(note: Note, now: float) -> float:
    """Return the age of a note; as long if its clock was ahead by so much, since its true age is unknown."""
    return abs(now - note.time)


def _write(path: Path, note: Note) -> None:
    """Write a note under another name and rename it, so that no reader sees half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        # Escapes would make letters of other scripts longer than the reader's limit.
        os.write(descriptor, json.dumps(note._asdict(), ensure_ascii=False).encode())
    finally:
        os.close(descriptor)
    os.replace(temporary, path)


def _read(path: Path) -> Note | None:
    """Return the note in a file; None if there is none."""
    try:
        content = json.loads(read_file(path)[:_MOST_BYTES])
        return Note(float(content["time"]), printable(str(content["text"]))[:MOST_LETTERS])
    except (OSError, ValueError, TypeError, KeyError):
        return None
