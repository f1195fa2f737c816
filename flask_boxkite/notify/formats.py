"""The forms in which receivers of webhooks take a message.

``slack`` is ``{"text": …}`` alone, which Slack, Mattermost and Discord (below ``/slack``) take alike: the others do not
show Slack's blocks, and write bold differently. ``teams`` is an Adaptive Card, as workflows of Microsoft Teams post it.
``json`` is the message's own document.

References:
    Slack: Formatting text for app surfaces. Mattermost: Slack compatibility. Discord: Execute Slack-Compatible Webhook.
    Microsoft: Create incoming webhooks with Workflows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask_boxkite.notify.message import Notification

__all__ = ["FORMATS", "encoded", "format_of", "is_plain_discord"]

_MOST_LETTERS = 1900
"""Longest text for people; Discord takes 2,000 letters."""

_SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
_DISCORD_HOSTS = ("discord.com", "discordapp.com")
_TEAMS_HOSTS = (".logic.azure.com", ".powerplatform.com", ".webhook.office.com")


def format_of(url: str) -> str:
    """Return the format that the host of a webhook takes; ``json`` for an unknown host."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _SLACK_HOSTS or (_is_below(host, _DISCORD_HOSTS) and parts.path.rstrip("/").endswith("/slack")):
        return "slack"
    return "teams" if host.endswith(_TEAMS_HOSTS) else "json"


def is_plain_discord(url: str) -> bool:
    """Say whether a webhook is Discord's own, which takes none of our formats."""
    parts = urlsplit(url)
    return _is_below(parts.hostname or "", _DISCORD_HOSTS) and not parts.path.rstrip("/").endswith("/slack")


def _is_below(host: str, domains: tuple[str, ...]) -> bool:
    return host in domains or host.endswith(tuple(f".{domain}" for domain in domains))


def encoded(notification: Notification, form: str) -> bytes:
    """Return the body of a request.

    Args:
        notification: The message.
        form: Format, a key of `FORMATS`.
    """
    return json.dumps(FORMATS[form](notification), allow_nan=False).encode()


def _slack(notification: Notification) -> dict[str, Any]:
    most = _MOST_LETTERS
    while len(text := _unmentioned(_escaped(notification.text_within(most)))) > _MOST_LETTERS:
        most //= 2  # an escaped letter takes up to five
    return {"text": text}


def _escaped(text: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(letter, entity)
    return text


def _teams(notification: Notification) -> dict[str, Any]:
    title, *lines = notification.text_within(_MOST_LETTERS).split("\n")
    body: list[dict[str, Any]] = [{"type": "TextBlock", "text": title, "weight": "Bolder", "wrap": True}]
    body += ({"type": "TextBlock", "text": line, "wrap": True, "spacing": "Small"} for line in lines)
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    if notification.page is not None:
        del body[-1]  # its address, which the button has
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Drift page", "url": notification.page}]
    content_type = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content_type, "content": card}]}


def _unmentioned(text: str) -> str:
    """Return a text in which no name or category, such as ``@all``, calls people."""
    return text.replace("@", "@\N{ZERO WIDTH SPACE}")


FORMATS: dict[str, Callable[[Notification], dict[str, Any]]] = {
    "slack": _slack,
    "json": Notification.to_dict,
    "teams": _teams,
}
"""Functions that write a message, by format."""
