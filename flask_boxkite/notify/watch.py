"""The watch over the conditions of an app: who is the notifier, which hold, and who is to be told.

Each turn does the work that is due and returns the time until the next one. Failures are logged and tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flask_boxkite.notify.conditions import Judged
from flask_boxkite.notify.episodes import Episodes
from flask_boxkite.notify.errors import ReceiverError
from flask_boxkite.notify.gaps import OutcomeGaps
from flask_boxkite.notify.memory import Memory
from flask_boxkite.notify.pace import PACE, Pace
from flask_boxkite.notify.receivers import Receiver
from flask_boxkite.quoting import loggable, printable
from flask_boxkite.system.faults import warn_of
from flask_boxkite.system.throttle import Throttle

__all__ = ["Sender", "Watch"]

logger = logging.getLogger("flask_boxkite")

Judge = Callable[[OutcomeGaps, float], "Judged | None"]
"""Judges all models, given the memory of outcomes and the Unix time; returns None once the app is gone."""

_COMPLAINT_SECONDS = 3600.0
"""Time in which a fault of the disk or of the counts is logged once: each check would meet it again."""

Count = Callable[[str, str], None]
"""Counts a message of a channel, by its result (`naming.NOTIFICATION_RESULTS`)."""


class Sender(NamedTuple):
    """The facts about a server that all its messages name.

    Attributes:
        service: Name of the app.
        server: Name of the pod or host.
        page: Address of the drift page; None if it is not known.
    """

    service: str
    server: str
    page: str | None


@dataclass
class _Attempts:
    """The attempts at one receiver: when the next one may be, and the pause after a failure."""

    not_before: float = 0.0
    backoff: float = 0.0
    throttle: Throttle = field(default_factory=Throttle)


class Watch:
    """Looks after the conditions of an app, turn by turn. One thread of one process uses it.

    Args:
        judge: Judges all models.
        receivers: Receivers of the messages.
        memory: Memory of the messages, with the lock of the notifier.
        sender: Names for the messages.
        count: Counts messages by result.
        pace: Pace of the work.
        clock: Returns a monotonic time, by which turns go.
        wall: Returns the Unix time.
    """

    def __init__(
        self,
        judge: Judge,
        receivers: Sequence[Receiver],
        memory: Memory,
        sender: Sender,
        count: Count,
        pace: Pace = PACE,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._judge = judge
        self._receivers = receivers
        self._memory = memory
        self._sender = sender
        self._count = count
        self._pace = pace
        self._clock = clock
        self._wall = wall
        self._known: Episodes | None = None
        self._gaps = OutcomeGaps()
        self._stored = ""
        self._tenure = 0
        self._next_check = 0.0
        self._attempts = {receiver.key: _Attempts() for receiver in receivers}
        self._throttle = Throttle(_COMPLAINT_SECONDS, clock)

    def turn(self) -> float | None:
        """Do the work that is due, if this process is the notifier; return the seconds until the next turn.

        Returns:
            None once the app is gone.
        """
        try:
            if not self._memory.is_mine():
                self._known = None  # the notifier will know better
                return self._pace.check
            if self._known is None or self._tenure != self._memory.tenures:
                self._recall()
            if self._clock() >= self._next_check and not self._check():
                return None
            self._tell_all()
            return self._pause()
        except Exception as error:  # no failure may end the thread
            if self._throttle.allows():
                warn_of(error, "Notifications cannot be made just now; they are tried again.")
            return self._pace.check

    def _recall(self) -> None:
        stored = self._memory.load()
        if stored or self._known is None:  # a user may have deleted the file
            self._known = Episodes(self._pace, stored.get("episodes"))
            self._gaps = OutcomeGaps(stored.get("gaps"))
        self._next_check, self._stored, self._tenure = 0.0, "", self._memory.tenures

    def _check(self) -> bool:
        """Judge the models; return whether they are still there."""
        assert self._known is not None
        now, began = self._wall(), self._clock()
        judged = self._judge(self._gaps, now)
        if judged is None:
            return False
        ended = self._clock()
        self._next_check = ended + max(self._pace.check, self._pace.rest * (ended - began))
        self._known.keep(judged.models)
        self._known.see(judged, now)
        self._gaps.keep(judged.models)
        self._remember()
        return True

    def _tell_all(self) -> None:
        assert self._known is not None
        for receiver in self._receivers:
            if self._clock() >= self._attempts[receiver.key].not_before:
                self._tell(receiver)
        keys = {receiver.key: receiver.channel for receiver in self._receivers}
        for key in self._known.tidy(keys, self._wall()):
            self._count(keys[key], "dropped")
        self._remember()

    def _tell(self, receiver: Receiver) -> None:
        assert self._known is not None
        telling = self._known.to_tell(receiver.key, self._wall())
        if telling is None:
            return
        attempts = self._attempts[receiver.key]
        notification = telling.notification(time=self._wall(), **self._sender._asdict())
        try:
            receiver.send(notification, self._pace.timeout)
        except (Exception, SystemExit) as error:  # a function may try to end the process
            self._back_off(receiver, attempts, error)
            self._count(receiver.channel, "failed")
            return
        self._known.told(telling, self._wall())
        self._remember()
        self._count(receiver.channel, "delivered")
        attempts.backoff = 0.0
        attempts.not_before = self._clock() + self._pace.gap

    def _back_off(self, receiver: Receiver, attempts: _Attempts, error: BaseException) -> None:
        longer = max(2 * attempts.backoff, self._pace.first_backoff)
        attempts.backoff = min(longer, self._pace.last_backoff)
        wished = getattr(error, "retry_after", None) or 0.0
        pause = max(attempts.backoff, wished)
        attempts.not_before = self._clock() + pause
        if not attempts.throttle.allows():
            return
        text = "A notification was not taken by %s%s. It is tried again in %.0f s."
        if isinstance(error, ReceiverError):
            logger.warning(text, receiver, f": {printable(str(error))}", pause)
        else:
            logger.warning(text, receiver, "", pause, exc_info=loggable(error))

    def _remember(self) -> None:
        """Write the episodes, if they have changed; on a full disk, this process goes on and tries again."""
        assert self._known is not None
        values = {"episodes": self._known.to_dict(), "gaps": self._gaps.to_dict()}
        if (text := repr(values)) == self._stored:
            return
        try:
            self._memory.store(values)
        except OSError as error:
            if self._throttle.allows():
                warn_of(error, "Notifications cannot be remembered, so a restart may repeat them.")
        else:
            self._stored = text

    def _pause(self) -> float:
        """Return the seconds until the next check or attempt."""
        assert self._known is not None
        waiting = [
            self._attempts[receiver.key].not_before
            for receiver in self._receivers
            if self._known.to_tell(receiver.key, self._wall()) is not None
        ]
        return max(min([self._next_check, *waiting]) - self._clock(), 0.0)

    def release(self) -> None:
        """Let another process be the notifier."""
        self._memory.release()
