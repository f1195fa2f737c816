"""Examples of the values that count as invalid, by variable: why a share of rows cannot be read.

A request hands in the first such value of each variable; it is kept if the request is answered. This process keeps two
examples of a variable, of different forms, and shares them by a small file in the directory where the processes of a
server count together, so that any process, and ``flask boxkite check``, can show them. The log has a line about each
variable once in an hour.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Container, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.distribution import Discrete
from flask_boxkite.baseline.validation import Validation
from flask_boxkite.live.apart import NOTE
from flask_boxkite.monitoring.redaction import Redaction
from flask_boxkite.quoting import printable
from flask_boxkite.system.files import open_private, read_file
from flask_boxkite.values.unread import MOST_EXAMPLES, UnreadValue, listed_values, unread_value

__all__ = ["Key", "Unread", "expected_of", "outcome_key", "unread_of"]

logger = logging.getLogger("flask_boxkite")

Key: TypeAlias = tuple[str, str]
"""A variable: ``feature`` or ``output``, and its name; ``outcome`` and the name of the output for actual values."""

_MOST_VARIABLES = 20
"""Most variables of a model with examples, the latest ones."""

_MOST_SAID = 5
"""Most variables in one line of the log."""

_LOOK_SECONDS = 0.1
"""Shortest time between two looks at a variable's values: a client may send invalid ones with every request."""

_SAY_SECONDS, _SAY_AGAIN_SECONDS = 60.0, 3600.0
_SAVE_SECONDS, _FRESH_SECONDS = 1.0, 60.0
"""Shortest time between two writes of the file, and age at which an example that arrives again is written again."""

_MOST_BYTES = 16384


@dataclass(frozen=True)
class _Seen:
    """The knowledge about one variable; times are Unix seconds."""

    time: float
    said: float
    examples: tuple[UnreadValue, ...]


class Unread:
    """The unread values of one model. Safe to use from any thread and after a fork; methods never raise.

    Attributes:
        waiting: First unread value of each variable in requests that are not answered yet. Threads share it, so a
            request that fails may leave an example, or another one may lose its own: both are harmless.

    Args:
        model: Name of the model.
        key: Key of its counts, which differs between models and baselines.
        directory: Returns the directory where the processes of the server count together; None if there is none.
        expected: Kind of training values of each variable, such as ``numbers``; other variables are not logged.
        is_hidden: Says whether the values of a variable, or a text among them, are secret.
        derived: Names of derived variables.
        clock: Returns the Unix time.
        is_quoted: Whether values may be quoted: a hidden one may arrive in the place of another.
    """

    def __init__(
        self,
        model: str,
        key: str,
        directory: Callable[[], Path | None],
        expected: Mapping[Key, str],
        is_hidden: Callable[[str, Any], bool],
        derived: Container[str] = (),
        clock: Callable[[], float] = time.time,
        *,
        is_quoted: bool = True,
    ) -> None:
        self._derived = derived
        self._is_quoted = is_quoted
        self.waiting: MutableMapping[Key, Any] = {}
        self._model = model
        self._name = f"{NOTE}{hashlib.sha256(key.encode()).hexdigest()[:16]}-unread"
        self._directory = directory
        self._expected = expected
        self._is_hidden = is_hidden
        self._clock = clock
        self._own: dict[Key, _Seen] = {}
        self._say_at = self._save_at = 0.0
        self._is_unsaved = False

    def settle(self, *, is_answered: bool) -> None:
        """Keep the waiting values if their request was answered, else drop them."""
        taken = dict(self.waiting)
        self.waiting.clear()
        if is_answered:
            with contextlib.suppress(Exception):  # a value's own methods may do anything
                self._keep(taken)

    def note(self, key: Key, value: Any) -> None:
        """Keep a value that comes by itself, such as the actual value of an outcome."""
        with contextlib.suppress(Exception):
            self._keep({key: value})

    def read(self) -> Mapping[Key, Sequence[UnreadValue]]:
        """Return the examples of each variable, from all processes, the latest first."""
        seen = dict(self._own)
        with contextlib.suppress(OSError):
            _merge(seen, self._saved())
        return {key: item.examples for key, item in seen.items()}

    def _keep(self, values: Mapping[Key, Any]) -> None:
        now, is_new = self._clock(), False
        for key, value in values.items():
            known = self._own.get(key)
            if known is not None and 0 <= now - known.time < _LOOK_SECONDS:
                continue
            is_shown = not self._is_hidden(key[1], value)
            example = unread_value(
                value, is_shown=is_shown, is_quoted=self._is_quoted, is_derived=key[1] in self._derived
            )
            if known is None:
                self._own[key], is_new = _Seen(now, 0.0, (example,)), True
            else:
                others = [each for each in known.examples if each[:2] != example[:2]]
                is_new |= len(others) == len(known.examples)
                is_new |= now - known.time > _FRESH_SECONDS
                self._own[key] = _Seen(now, known.said, (example, *others)[:MOST_EXAMPLES])

        if len(self._own) > _MOST_VARIABLES:
            self._own = _latest(self._own)
        self._is_unsaved |= is_new
        if now >= self._save_at and (self._is_unsaved or (now >= self._say_at and self._due(now))):
            self._save_at, self._is_unsaved = now + _SAVE_SECONDS, False
            self._share(now)

    def _share(self, now: float) -> None:
        """Take over the knowledge of other processes, log variables that are new to all, and write the file."""
        directory = None
        with contextlib.suppress(OSError):
            _merge(self._own, self._saved())
            directory = self._directory()
        self._say(now)
        if directory is not None:
            with contextlib.suppress(OSError):
                _write(directory / self._name, _latest(self._own))

    def _due(self, now: float) -> list[Key]:
        """Return the variables that the log has not named lately."""
        again = now - _SAY_AGAIN_SECONDS
        return [key for key, item in self._own.items() if item.said < again and key in self._expected]

    def _say(self, now: float) -> None:
        due = self._due(now)
        if not due or now < self._say_at:
            return
        self._say_at = now + _SAY_SECONDS
        texts = []
        for key in due[:_MOST_SAID]:
            item = self._own[key]
            self._own[key] = _Seen(item.time, now, item.examples)
            texts.append(f"{key[1]!r} ({listed_values(item.examples)}, where training had {self._expected[key]})")
        more = f", and values of {len(due) - _MOST_SAID} more variables" if len(due) > _MOST_SAID else ""
        logger.warning(
            "Model %r: some values cannot be read, and count as invalid: %s%s. Send values as in training; name texts "
            "that mean a missing value in 'missing_texts' of export_text().",
            self._model,
            printable(", ".join(texts)),
            more,
        )

    def _saved(self) -> dict[Key, _Seen]:
        """Return the content of the file.

        Raises:
            OSError: It cannot be read.
        """
        directory = self._directory()
        if directory is None or not (path := directory / self._name).exists():
            return {}
        try:
            content = json.loads(read_file(path)[:_MOST_BYTES])
            return {
                (str(side), str(name)): _Seen(
                    float(moment), float(said), tuple(map(UnreadValue.of_json, examples[:MOST_EXAMPLES]))
                )
                for side, name, moment, said, examples in content[:_MOST_VARIABLES]
            }
        except (ValueError, TypeError):
            return {}


def unread_of(
    model: str,
    key: str,
    directory: Callable[[], Path | None],
    baseline: Baseline | None,
    redact: Redaction | Callable[..., Any] | None,
    clock: Callable[[], float],
) -> Unread:
    """Return the unread values of a model.

    Args:
        model: Name of the model.
        key: Key of its counts.
        directory: Returns the directory where the processes of the server count together; None if there is none.
        baseline: Baseline of the model; None if it has none.
        redact: Redaction of records. A function of the user may hide any field, so it hides all values here.
        clock: Returns the Unix time.
    """

    def is_hidden(name: str, value: Any) -> bool:
        return redact is not None and (not isinstance(redact, Redaction) or redact.hides(name, value))

    derived = frozenset(name for recipe in (baseline.derived if baseline else ()) for name in recipe.names)
    # Where training had such values they are no news, and functions that fail are logged with their error.
    news: dict[Key, str] = {
        (side, item.name): expected_of(item)
        for side, item, _ in (baseline.variables if baseline else ())
        if not item.invalid and item.name not in derived
    }
    return Unread(model, key, directory, news, is_hidden, derived, clock, is_quoted=redact is None)


def outcome_key(validation: Validation) -> Key:
    """Return the key of actual values. They are hidden as the output is that they belong to."""
    return "outcome", validation.outputs[0]


def expected_of(item: Distribution) -> str:
    """Return the kind of values that training had of a variable, in the plural."""
    if item.is_time:
        return "dates"
    return "texts" if isinstance(item, Discrete) and item.is_text else "numbers"


def _merge(own: dict[Key, _Seen], others: Mapping[Key, _Seen]) -> None:
    """Take over the knowledge of others about variables, where it is later."""
    for key, other in others.items():
        mine = own.get(key)
        if mine is None:
            own[key] = other
        else:
            later, earlier = (other, mine) if other.time > mine.time else (mine, other)
            forms = {each[:2]: each for each in (*reversed(earlier.examples), *reversed(later.examples))}
            examples = tuple(reversed(forms.values()))[:MOST_EXAMPLES]
            own[key] = _Seen(later.time, max(mine.said, other.said), examples)


def _latest(seen: Mapping[Key, _Seen]) -> dict[Key, _Seen]:
    """Return the variables whose values came last."""
    order = sorted(seen, key=lambda key: seen[key].time, reverse=True)
    return {key: seen[key] for key in order[:_MOST_VARIABLES]}


def _write(path: Path, seen: Mapping[Key, _Seen]) -> None:
    """Write the file under another name and rename it, so that no reader sees half of it."""
    content = b""
    for count in range(len(seen), 0, -1):  # names may be long
        rows = [[*key, item.time, item.said, item.examples] for key, item in list(seen.items())[:count]]
        content = json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace")
        if len(content) <= _MOST_BYTES:
            break
    else:
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
