"""The message about changes of verdict, as a function of the app gets it, and its texts for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, Literal, TypeAlias

from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted

__all__ = ["FORMAT", "Change", "Kind", "Notification", "Subject", "sentence"]

FORMAT = 1
"""Format number of `Notification.to_dict`; it increases when a key is removed or changes its meaning."""

Kind: TypeAlias = Literal["began", "continues", "ended"]
Subject: TypeAlias = Literal[
    "feature", "output", "pair", "segment", "performance", "expectation", "outcomes", "capture"
]

_SHOWN = 10
"""Most changes that a text names."""

_MOST_LETTERS = 240
"""Longest line of a text in letters."""

_NOUNS = {"feature": "feature", "output": "output", "pair": "pair", "segment": "segment"}
_SENTENCES = {
    "performance": "worse than validated",
    "expectation": "expected to be worse than validated",
    "outcomes": "no outcomes come",
    "capture": "requests are not understood",
}
"""Parts of a title by the subject of a condition, of which a model has one at most."""

_HEADINGS: dict[Kind, str] = {"began": "", "continues": "It still holds:", "ended": "It has ended:"}


@dataclass(frozen=True)
class Change:
    """One condition that began to hold, still holds, or holds no more.

    Attributes:
        kind: ``began``; ``continues``, a day after it was told last; or ``ended``.
        alert: Name of the alert in Prometheus with the same meaning, such as ``BoxkiteFeatureDrift``.
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        subject: ``feature``, ``output``, ``pair``, ``segment``; ``performance`` by outcomes, ``expectation`` by outputs
            alone; ``outcomes`` that no longer come; or ``capture``, requests that are not understood.
        names: Name of the variable, both names of a pair, a segment such as ``country = SE``, or the reason of capture
            errors; else empty.
        verdict: Verdict, such as ``drifted`` or ``much worse``; empty where there is none.
        text: Sentence for people, without its full stop.
        since: Beginning in Unix seconds, or the time when it was first seen.
        until: End in Unix seconds; None while it holds.
        numbers: Numbers behind the verdict, by name, such as ``size`` or ``share_now``.
    """

    kind: Kind
    alert: str
    model: str
    baseline: str
    subject: Subject
    names: tuple[str, ...]
    verdict: str
    text: str
    since: float
    until: float | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; times in ISO 8601, UTC."""
        return {
            "kind": self.kind,
            "alert": self.alert,
            "model": self.model,
            "baseline": self.baseline,
            "subject": self.subject,
            "names": list(self.names),
            "verdict": self.verdict or None,
            "text": self.text,
            "since": _moment(self.since),
            "until": None if self.until is None else _moment(self.until),
            "numbers": dict(self.numbers),
        }


@dataclass(frozen=True)
class Notification:
    """One message about everything that changed. An immutable value.

    Attributes:
        id: Id of the message. Another attempt at the same message has the same id, so that a receiver can tell.
        time: Time of its making in Unix seconds.
        service: Name of the app, or of the source of a command.
        server: Name of the pod or host.
        changes: Changes, the ones that began first.
        page: Address of the drift page; None if it is unknown.
        is_test: Whether it only shows that messages arrive.
    """

    id: str
    time: float
    service: str
    server: str
    changes: tuple[Change, ...]
    page: str | None = None
    is_test: bool = False

    @property
    def began(self) -> tuple[Change, ...]:
        """The changes that began."""
        return self._of("began")

    @property
    def ended(self) -> tuple[Change, ...]:
        """The changes that ended."""
        return self._of("ended")

    def _of(self, kind: Kind) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.kind == kind)

    @cached_property
    def title(self) -> str:
        """A line about all changes, as the subject of a mail."""
        if self.is_test:
            return "A test of notifications by flask-boxkite"
        titles = [f"{model}: {', '.join(self._parts(model))}" for model in self._models]
        return printable("; ".join(titles))[:_MOST_LETTERS]

    @property
    def _models(self) -> list[str]:
        return list(dict.fromkeys(change.model for change in self.changes))

    def _parts(self, model: str) -> Iterator[str]:
        own = [change for change in self.changes if change.model == model]
        for kind, verb in (("began", "drifted"), ("continues", "still drifted")):
            some = [change for change in own if change.kind == kind]
            nouns = Counter(_NOUNS[change.subject] for change in some if change.subject in _NOUNS)
            if nouns:
                yield f"{' and '.join(counted(number, noun) for noun, number in nouns.items())} {verb}"
            still = "still " if kind == "continues" else ""
            for subject, sentence in _SENTENCES.items():
                if any(change.subject == subject for change in some):
                    yield f"{still}{sentence}"
        if ended := sum(change.kind == "ended" for change in own):
            yield f"{ended} ended"

    @cached_property
    def text(self) -> str:
        """The whole message as plain text, with the address of the page."""
        return self.text_within(None)

    def text_within(self, most: int | None) -> str:
        """Return the message as plain text.

        Args:
            most: Most letters of it; changes are left out until it fits. None for no limit.
        """
        for shown in range(_SHOWN, -1, -1):
            text = "\n".join(self._lines(shown))
            if most is None or len(text) <= most:
                return text
        return text[:most]

    def _lines(self, shown: int) -> Iterator[str]:
        yield f"{self.title} ({printable(self.service)} on {printable(self.server)})"
        kind: Kind = "began"
        has_several = len(self._models) > 1
        for change in self.changes[:shown]:
            if change.kind != kind:
                kind = change.kind
                yield _HEADINGS[kind]
            model = f"{change.model}: " if has_several else ""
            yield f"• {_cut(printable(model + change.text))}"
        if (more := len(self.changes) - shown) > 0:
            yield f"and {more:,} more"
        if self.page is not None:
            yield self.page

    def to_dict(self) -> dict[str, Any]:
        """Return the message as JSON values.

        Keys: ``format`` (1), ``id``, ``time`` (ISO 8601, UTC), ``service``, ``server``, ``test``, ``title``, ``text``,
        ``page`` (an address, or None), and ``changes``, a list of dicts with the attributes of `Change`. Keys may be
        added, in a later release.
        """
        return {
            "format": FORMAT,
            "id": self.id,
            "time": _moment(self.time),
            "service": self.service,
            "server": self.server,
            "test": self.is_test,
            "title": self.title,
            "text": self.text,
            "page": self.page,
            "changes": [change.to_dict() for change in self.changes],
        }


def sentence(
    subject: Subject,
    names: tuple[str, ...],
    verdict: str,
    text: str,
    since: float,
    until: float | None,
    *,
    is_first_sight: bool = False,
) -> str:
    """Return the text of a change.

    Args:
        subject: Kind of its subject.
        names: Names of its subject.
        verdict: Verdict; empty for none.
        text: Sentence about the present state.
        since: Beginning in Unix seconds.
        until: End in Unix seconds; None while it holds.
        is_first_sight: Whether it was first seen then, and may have begun earlier.
    """
    if until is None:
        word = "first seen" if is_first_sight else "since"
        return f"{text}, {word} {_minute(since)}" if subject in _NOUNS else text
    what = " and ".join(names) if subject in _NOUNS else _SENTENCES[subject]
    return f"{what}: {verdict + ' ' if verdict else ''}from {_minute(since)} to {_minute(until)}"


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _minute(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%MZ")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
