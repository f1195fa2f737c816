"""The forms in which receivers take a message."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from flask_boxkite.notify.formats import encoded, format_of, is_plain_discord
from flask_boxkite.notify.message import Notification
from tests.notify.made import CHANGE, notification


def document(message: Notification, form: str) -> Any:
    return json.loads(encoded(message, form))


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://hooks.slack-gov.com/services/T0/B0/x", "slack"),
        ("https://discord.com/api/webhooks/1/x/slack", "slack"),
        ("https://discord.com/api/webhooks/1/x/slack/?wait=true", "slack"),
        ("https://canary.discord.com/api/webhooks/1/x/slack", "slack"),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/x/triggers/manual/paths/invoke?sig=x", "teams"),
        ("https://x.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/x", "teams"),
        ("https://x.webhook.office.com/webhookb2/x", "teams"),
        ("https://HOOKS.SLACK.COM/services/T0/B0/x", "slack"),
        ("https://chat.example.com/hooks/x", "json"),
        ("https://hooks.slack.com.example.com/x", "json"),
        ("https://notdiscord.com/slack", "json"),
        ("http://127.0.0.1:8000/slack", "json"),
    ],
)
def test_the_format_follows_from_the_host(url: str, form: str) -> None:
    assert format_of(url) == form


def test_discord_takes_our_form_only_below_slack() -> None:
    assert is_plain_discord("https://discord.com/api/webhooks/1/x")
    assert not is_plain_discord("https://discord.com/api/webhooks/1/x/slack")
    assert not is_plain_discord("https://chat.example.com/x")


def test_slack_gets_a_text_alone() -> None:
    """Mattermost and Discord show no blocks; the text is all that the three of them take alike."""
    message = notification()
    assert document(message, "slack") == {"text": message.text}


def test_slack_takes_no_markup_from_names() -> None:
    text = document(notification(dataclasses.replace(CHANGE, text="a<!channel> & @everyone")), "slack")["text"]
    assert "a&lt;!channel&gt; &amp; @\N{ZERO WIDTH SPACE}everyone" in text


@pytest.mark.parametrize("letter", ["x", "<", "@", "é"])
def test_discord_takes_the_largest_text(letter: str) -> None:
    many = (dataclasses.replace(CHANGE, text=letter * 500) for _ in range(200))
    assert 500 < len(document(notification(*many), "slack")["text"]) <= 2000


def test_teams_gets_a_card() -> None:
    message = notification(page="https://scoring/boxkite/")
    made = document(message, "teams")
    (attachment,) = made["attachments"]
    card = attachment["content"]

    assert made["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["type"] == "AdaptiveCard"
    assert [block["text"] for block in card["body"]] == message.text.split("\n")[:-1]
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Drift page", "url": "https://scoring/boxkite/"}]


def test_teams_gets_no_button_without_a_page() -> None:
    card = document(notification(), "teams")["attachments"][0]["content"]
    assert "actions" not in card
    assert len(card["body"]) == 2


def test_json_is_the_whole_document() -> None:
    message = notification()
    assert document(message, "json") == message.to_dict()
