"""`check` on notifications: who is told, whether a restart forgets, and a message that arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import run, run_module
from tests.cli.test_check import SOURCE, Done, lines
from tests.cli.test_check import directory as directory
from tests.notify.posted import answer, webhook_server

WITH_FUNCTION = SOURCE.replace(
    "monitor = Boxkite(app)",
    "def mail(message):\n    CALLED\n\n\nmonitor = Boxkite(app, notify=mail)",
)


def check(cwd: Path, *words: str, app: bool = True, **settings: str | Path) -> Done:
    env = {f"FLASK_BOXKITE_{key}": str(value) for key, value in settings.items()} | {"COLUMNS": "200", "NO_PROXY": "*"}
    if not app:
        return run("check", *words, cwd=cwd, **env)
    return run_module("flask", "--app", "scoring", "boxkite", "check", *words, cwd=cwd, **env)


@pytest.mark.parametrize("app", [True, False], ids=["app", "environment"])
def test_a_test_message_arrives(directory: Path, *, app: bool) -> None:
    settings = {"BASELINE": "b.prom", "STATE_DIR": str(directory / "state"), "WEBHOOK_FORMAT": "slack"}
    with webhook_server() as server:
        found = lines(check(directory, "--notify", app=app, WEBHOOK_URL=server.url, **settings))
        (posted,) = server.posted
    assert "✓ Changes of verdict are told to the webhook at 127.0.0.1, as slack." in found
    assert any(text.startswith("✓ A test message was taken by the webhook at 127.0.0.1 in ") for text in found)
    assert posted.json()["text"].startswith("A test of notifications by flask-boxkite (")
    assert "SECRET" not in "\n".join(found)


def test_no_message_is_sent_unless_it_is_wanted(directory: Path) -> None:
    with webhook_server() as server:
        found = lines(check(directory, BASELINE="b.prom", WEBHOOK_URL=server.url, DASHBOARD_PATH="/drift"))
    assert server.posted == []
    place = found.index("! A restart of the server forgets what was told, and begins to count afresh.")
    assert found[place + 1] == "  Set 'BOXKITE_STATE_DIR' to a directory on a local disk."
    place = found.index("! Messages have no link to the drift page, whose address for people is not known.")
    assert found[place + 1] == "  Set 'BOXKITE_PAGE_URL' to it."


def test_a_link_to_a_page_that_is_off_is_a_hint(directory: Path) -> None:
    settings = {"BASELINE": "b.prom", "WEBHOOK_URL": "http://127.0.0.1:1/x", "PAGE_URL": "https://x/boxkite/"}
    found = lines(check(directory, **settings))
    assert any(text.startswith("! 'BOXKITE_PAGE_URL' is set, and messages link to it, but") for text in found)


def test_a_webhook_that_fails_is_a_problem(directory: Path) -> None:
    with webhook_server() as server:
        server.behaviour = answer("404 Not Found", b"no_service")
        done = check(directory, "--notify", BASELINE="b.prom", WEBHOOK_URL=server.url)
    assert done.returncode == 1
    what = "✗ A test message was not taken by the webhook at 127.0.0.1: it answers 404 (no_service)."
    assert what in lines(done)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("open('mail', 'w').write(message.text)", "✓ A test message was taken by the function 'mail' in "),
        ("raise OSError('no route')", "✗ A test message was not taken: the function 'mail' raised OSError: no route."),
    ],
    ids=["taken", "raises"],
)
def test_a_function_gets_a_test_message(directory: Path, call: str, text: str) -> None:
    (directory / "scoring.py").write_text(WITH_FUNCTION.replace("CALLED", call))
    found = lines(check(directory, "--notify", BASELINE="b.prom"))
    assert any(line.startswith(text) for line in found)
    if "open" in call:
        assert (directory / "mail").read_text().startswith("A test of notifications by flask-boxkite (scoring on ")


def test_without_a_receiver_nothing_can_be_sent(directory: Path) -> None:
    done = check(directory, "--notify", BASELINE="b.prom")
    assert done.returncode == 1
    assert "✗ There is no receiver of notifications." in lines(done)


def test_a_test_message_needs_the_network(directory: Path) -> None:
    done = check(directory, "--notify", "--offline", BASELINE="b.prom")
    assert done.returncode == 2
    assert "'--notify' needs the network, which '--offline' leaves out." in done.stderr


def test_a_webhook_that_takes_no_form_of_ours_is_a_problem(directory: Path) -> None:
    done = check(directory, app=False, BASELINE="b.prom", WEBHOOK_URL="https://discord.com/api/webhooks/1/SECRET")
    assert done.returncode == 1
    assert "below '/slack'" in done.stdout
    assert "SECRET" not in done.stdout


def test_the_command_is_no_notifier(directory: Path) -> None:
    """It asks the app's routes, as the first request does."""
    check(directory, BASELINE="b.prom", STATE_DIR=directory / "state", WEBHOOK_URL="http://127.0.0.1:1/x")
    assert list((directory / "state").rglob("note-notifier-*")) == []
