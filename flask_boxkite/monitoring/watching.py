"""The watch that tells people of an app's verdicts, made where and when it is needed: in the thread of a process.

Most processes of a server never judge, so the modules for it are loaded by the one that does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flask_boxkite.config import Settings
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.notify.notifier import Notifier, Turns
from flask_boxkite.notify.pace import Pace
from flask_boxkite.notify.receivers import Receiver

if TYPE_CHECKING:
    from flask_boxkite.notify.conditions import Judged
    from flask_boxkite.notify.gaps import OutcomeGaps

__all__ = ["Notified", "app_notifier"]


class Notified(Protocol):
    """The parts of an `AppMonitor` that are needed.

    Attributes:
        settings: Settings of the app.
        receivers: Receivers of its messages.
        clock: Returns the Unix time.
    """

    settings: Settings
    receivers: Sequence[Receiver]
    clock: Callable[[], float]

    @property
    def owner(self) -> str:
        """Hash of its models."""

    def models(self) -> Sequence[ModelMonitor]:
        """Return its models."""

    def notifier_directory(self) -> Path | None:
        """Return the directory in which processes agree on a notifier."""

    def count_notification(self, channel: str, result: str) -> None:
        """Count a message."""


def app_notifier(app: Notified, service: str, pace: Pace) -> Notifier:
    """Return the notifier of an app, whose thread does not hold the app.

    Args:
        app: Monitor of the app.
        service: Name of the app in messages.
        pace: Pace of the notifier.
    """
    known, settings, receivers, owner, wall = weakref.ref(app), app.settings, app.receivers, app.owner, app.clock
    models = [model.model for model in app.models()]

    def judge(gaps: OutcomeGaps, now: float) -> Judged | None:
        from flask_boxkite.monitoring.judging import judged

        app = known()
        return None if app is None else judged(app.models(), gaps, now)

    def directory() -> Path | None:
        app = known()
        return None if app is None else app.notifier_directory()

    def count(channel: str, result: str) -> None:
        app = known()
        if app is not None:
            app.count_notification(channel, result)

    def make_watch() -> Turns:
        from flask_boxkite.notify.memory import Memory
        from flask_boxkite.notify.watch import Sender, Watch

        sender = Sender(service, settings.pod_name, settings.page_url)
        return Watch(judge, receivers, Memory(directory, owner, models, wall), sender, count, pace, wall=wall)

    return Notifier(make_watch)
