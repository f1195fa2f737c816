"""The conditions over time: since when each holds, whether it lasts, and who was told of it.

A condition is told once it has held for a while (``Pace.hold``), and its end once it has been gone for as long. The
message follows from the conditions that hold and the ones that were told: nothing is queued. So a receiver that was
away for a day gets one message about all that still matters, and memory has a bound: an episode for each variable and
pair, and some for each model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from flask_boxkite.notify.conditions import Condition, Judged
from flask_boxkite.notify.message import Change, Kind, Notification, Subject, sentence
from flask_boxkite.notify.pace import Pace

__all__ = ["Episode", "Episodes", "Telling"]

_ORDER: tuple[Kind, ...] = ("began", "continues", "ended")
_PATIENCES = 2
"""Number of ``Pace.hold`` without a check after which a condition that was not yet told must hold afresh."""


@dataclass
class Episode:
    """A condition from its beginning to its end.

    Attributes:
        condition: The condition as last seen.
        began: Unix time when it was first seen.
        seen: Unix time when it was last seen.
        holds: Whether it has held long enough to be told.
        gone: Unix time since which it does not hold; None while it does.
        has_ended: Whether it has been gone long enough.
        told: Unix time of the last message about it, by receiver.
        closed: Receivers that were told its end.
    """

    condition: Condition
    began: float
    seen: float
    holds: bool = False
    gone: float | None = None
    has_ended: bool = False
    told: dict[str, float] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    @property
    def since(self) -> float:
        """The beginning, as far as it is known."""
        since = self.condition.since
        return self.began if since is None else min(since, self.began)

    def change(self, kind: Kind) -> Change:
        """Return the message's part about it."""
        item = self.condition
        until = self.gone if kind == "ended" else None
        return Change(
            kind,
            item.alert,
            item.model,
            item.baseline,
            item.subject,
            item.names,
            item.verdict,
            sentence(
                item.subject,
                item.names,
                item.verdict,
                item.text,
                self.since,
                until,
                is_first_sight=item.since is None,
            ),
            self.since,
            until,
            item.numbers,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        values = {"condition": self.condition._asdict(), "closed": sorted(self.closed)}
        return values | {name: getattr(self, name) for name in ("began", "seen", "holds", "gone", "has_ended", "told")}

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Episode:
        """Return the episode that `to_dict` has written.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: It is something else.
        """
        values = item["condition"]
        texts = {name: str(values[name]) for name in ("alert", "model", "baseline", "verdict", "text")}
        condition = Condition(
            **texts,
            subject=cast("Subject", str(values["subject"])),
            names=tuple(map(str, values["names"])),
            since=_number(values["since"]),
            numbers={str(name): _number(number) for name, number in values["numbers"].items()},
        )
        return cls(
            condition,
            float(item["began"]),
            float(item["seen"]),
            bool(item["holds"]),
            _number(item["gone"]),
            bool(item["has_ended"]),
            {str(name): float(time) for name, time in item["told"].items()},
            set(map(str, item["closed"])),
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True)
class Telling:
    """A message to one receiver.

    Attributes:
        receiver: Receiver.
        changes: Changes by the key of their episode.
        began: Unix time when each of these episodes was first seen, by key.
    """

    receiver: str
    changes: Mapping[str, Change]
    began: Mapping[str, float]

    @property
    def id(self) -> str:
        """The id of the message, which another attempt at it has too."""
        named = sorted((change.kind, key, self.began[key], change.until) for key, change in self.changes.items())
        return hashlib.sha256(json.dumps([self.receiver, named]).encode()).hexdigest()[:16]

    def notification(self, *, time: float, service: str, server: str, page: str | None) -> Notification:
        """Return the message; `message.Notification` explains the arguments."""
        ordered = sorted(self.changes.values(), key=lambda change: (_ORDER.index(change.kind), change.model))
        return Notification(self.id, time, service, server, tuple(ordered), page)


class Episodes:
    """All episodes of an app.

    Args:
        pace: Pace of the notifier.
        stored: Values as from `to_dict`; parts that cannot be read are left out.
    """

    def __init__(self, pace: Pace, stored: Any = None) -> None:
        self._pace = pace
        self._last_check: float | None = None
        self._episodes: dict[str, Episode] = {}
        for item in stored if isinstance(stored, list) else []:
            try:
                episode = Episode.of(item)
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
            self._episodes[episode.condition.key] = episode

    def __len__(self) -> int:
        return len(self._episodes)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return JSON values."""
        return [episode.to_dict() for episode in self._episodes.values()]

    @property
    def holding(self) -> list[Condition]:
        """The conditions that have held long enough, and hold."""
        return [item.condition for item in self._episodes.values() if item.holds and not item.has_ended]

    def see(self, judged: Judged, now: float) -> None:
        """Note which conditions hold.

        Args:
            judged: Findings of a check.
            now: Present Unix time.
        """
        for key, condition in judged.conditions.items():
            episode = self._episodes.get(key)
            if episode is None or episode.has_ended:
                # Its end may not have been told yet: then the new beginning continues it.
                episode = self._episodes[key] = self._begun(condition, now, episode)
            self._hold(episode, condition, now)

        for key, episode in list(self._episodes.items()):
            if judged.about(key) is False:
                self._release(key, episode, now)
        self._last_check = now

    def keep(self, models: Collection[str]) -> None:
        """Forget episodes of models that an app does not have, by their names."""
        self._episodes = {key: item for key, item in self._episodes.items() if item.condition.model in models}

    def _begun(self, condition: Condition, now: float, before: Episode | None) -> Episode:
        if before is None:
            return Episode(condition, now, now)
        unaware = {name: time for name, time in before.told.items() if name not in before.closed}
        if not unaware:
            return Episode(condition, now, now)
        return Episode(condition, before.began, now, holds=True, told=unaware)

    def _hold(self, episode: Episode, condition: Condition, now: float) -> None:
        was_seen = episode.seen == self._last_check
        is_gap = not was_seen and now - episode.seen > _PATIENCES * max(self._pace.hold, self._pace.check)
        if not episode.holds and (now < episode.began or is_gap):
            episode.began = now  # no process has looked in between, or the clock was set back
        episode.condition, episode.seen, episode.gone = condition, now, None
        episode.holds = episode.holds or now - episode.began >= self._pace.hold

    def _release(self, key: str, episode: Episode, now: float) -> None:
        if not episode.holds:
            del self._episodes[key]
            return
        if episode.gone is None or episode.gone > now:
            episode.gone = now
        episode.has_ended = episode.has_ended or now - episode.gone >= self._pace.hold

    # --- telling -----------------------------------------------------------------------------------------------------

    def to_tell(self, receiver: str, now: float) -> Telling | None:
        """Return the changes that a receiver does not know; None if it knows everything.

        A reminder of one condition is a reminder of all, so that they do not come one by one.

        Args:
            receiver: Name of the receiver.
            now: Present Unix time.
        """
        kinds = {key: kind for key, item in self._episodes.items() if (kind := self._kind(item, receiver, now))}
        if "continues" in kinds.values():
            kinds |= {
                key: "continues"
                for key, item in self._episodes.items()
                if key not in kinds and item.holds and not item.has_ended and receiver in item.told
            }
        if not kinds:
            return None
        changes = {key: self._episodes[key].change(kind) for key, kind in kinds.items()}
        return Telling(receiver, changes, {key: self._episodes[key].began for key in kinds})

    def _kind(self, episode: Episode, receiver: str, now: float) -> Kind | None:
        """Return how an episode is to be told; None if it is not."""
        if not episode.holds or receiver in episode.closed:
            return None
        if episode.has_ended:
            return "ended"  # also if its beginning was never told: then one line tells both
        told = episode.told.get(receiver)
        if told is None:
            return "began"
        is_due = episode.gone is None and not 0 <= now - told < self._pace.reminder
        return "continues" if is_due else None

    def told(self, telling: Telling, now: float) -> None:
        """Note that a receiver has got a message."""
        for key, change in telling.changes.items():
            episode = self._episodes.get(key)
            if episode is None:
                continue
            if change.kind == "ended":
                episode.closed.add(telling.receiver)
            else:
                episode.told[telling.receiver] = now

    def tidy(self, receivers: Collection[str], now: float) -> Iterator[str]:
        """Forget episodes that all receivers know to have ended, and ends that could not be told for a day.

        Args:
            receivers: Names of all receivers.
            now: Present Unix time.

        Yields:
            Receiver for each end that was given up.
        """
        for key, episode in list(self._episodes.items()):
            if not episode.has_ended or episode.gone is None:
                continue
            unaware = [name for name in receivers if name not in episode.closed]
            if unaware and 0 <= now - episode.gone <= self._pace.expiry:
                continue
            yield from unaware
            del self._episodes[key]
