"""The receivers of notifications: a webhook, and a function of the app."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from flask_boxkite.notify.message import Notification

__all__ = ["FunctionReceiver", "Receiver", "WebhookReceiver"]

Notify = Callable[[Notification], object]


class Receiver(Protocol):
    """Takes messages, one at a time, in the thread of the notifier."""

    @property
    def channel(self) -> str:
        """Kind of the receiver, one of `naming.CHANNELS`."""

    @property
    def key(self) -> str:
        """Name under which its messages are remembered."""

    def send(self, notification: Notification, timeout: float) -> None:
        """Deliver a message.

        Raises:
            Exception: It was not delivered.
        """


class WebhookReceiver:
    """A receiver of HTTP requests.

    Args:
        url: Its address, which is a secret.
        form: Format of the messages, one of `formats.FORMATS`; None for the one of the host.
    """

    channel = "webhook"

    def __init__(self, url: str, form: str | None) -> None:
        self._url = url
        self._form = form
        # Another address is another receiver, which knows nothing.
        self.key = f"webhook-{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"

    def __str__(self) -> str:
        """Return its host, which is no secret."""
        return f"the webhook at {urlsplit(self._url).hostname}"

    __repr__ = __str__

    @property
    def is_usable(self) -> bool:
        """Whether it can take one of our formats."""
        from flask_boxkite.notify.formats import is_plain_discord

        return not is_plain_discord(self._url)

    @property
    def form(self) -> str:
        """The format of its messages."""
        from flask_boxkite.notify.formats import format_of

        return self._form or format_of(self._url)

    def send(self, notification: Notification, timeout: float) -> None:
        """Post a message.

        Raises:
            ReceiverError: It was not taken.
        """
        # Both load with the first message.
        from flask_boxkite.notify.formats import encoded
        from flask_boxkite.notify.webhook import post

        post(self._url, encoded(notification, self.form), key=notification.id, timeout=timeout)


class FunctionReceiver:
    """A function of the app, which may send a mail.

    Args:
        function: Takes a `Notification`. An exception means that it was not delivered.
    """

    channel = key = "function"

    def __init__(self, function: Notify) -> None:
        self._function = function

    def __str__(self) -> str:
        """Return the name of the function."""
        name = getattr(self._function, "__qualname__", type(self._function).__qualname__)
        return f"the function {name!r}"

    __repr__ = __str__

    def send(self, notification: Notification, timeout: float) -> None:
        """Call the function; if it is ``async``, wait for its end."""
        result = self._function(notification)
        if inspect.iscoroutine(result):
            import asyncio

            asyncio.run(result)
