"""Posting to real receivers that are well, down, slow, lying or elsewhere; and what is said about it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_boxkite.notify.errors import ReceiverError
from flask_boxkite.notify.receivers import WebhookReceiver
from flask_boxkite.notify.webhook import post
from tests.notify.made import notification
from tests.notify.posted import Behaviour, WebhookServer, answer, dribbling, reset, silent, webhook_server
from tests.peers import free_port
from tests.sinks.certificates import make_authority

LONG = 30.0
"""Seconds that no receiver that works needs."""

ELSEWHERE = "which leads elsewhere; set the final address"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    """Return a receiver that works; no proxy stands before it."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with webhook_server() as running:
        yield running


def failure(url: str, timeout: float = LONG) -> ReceiverError:
    with pytest.raises(ReceiverError) as caught:
        post(url, b"{}", key="1", timeout=timeout)
    return caught.value


def test_a_message_is_posted(server: WebhookServer) -> None:
    message = notification()
    WebhookReceiver(server.url, "slack").send(message, LONG)
    (posted,) = server.posted
    assert posted.line == "POST /services/T0SECRET/B0SECRET HTTP/1.1"
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["idempotency-key"] == message.id
    assert posted.json() == {"text": message.text}


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
def test_each_success_is_one(server: WebhookServer, status: str) -> None:
    server.behaviour = answer(status, b"")
    post(server.url, b"{}", key="1", timeout=LONG)


def test_an_endless_answer_is_not_read(server: WebhookServer) -> None:
    def endless(server: WebhookServer, connection: object) -> None:
        send = connection.sendall  # type: ignore[attr-defined]
        send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.is_over.is_set():
            send(b"x" * 65536)

    server.behaviour = endless
    post(server.url, b"{}", key="1", timeout=LONG)


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (answer("500 Internal Server Error", b"<html>T0SECRET"), "it answers 500"),
        (answer("410 Gone", b"channel_is_archived"), "it answers 410 (channel_is_archived)"),
        (answer("404 Not Found", b"/services/T0SECRET/B0SECRET is not here"), "it answers 404"),
        (answer("400 Bad Request", b"no_service" * 10), "it answers 400"),
        (answer("302 Found", b"", "Location: http://127.0.0.1:1/T0SECRET"), f"it answers 302, {ELSEWHERE}"),
        (answer("307 Temporary Redirect", b"", "Location: /here"), f"it answers 307, {ELSEWHERE}"),
        (lambda server, connection: connection.sendall(b"SSH-2.0-x\r\n"), "its answer is not HTTP"),
        (lambda server, connection: None, "its answer is not HTTP"),
        (reset, "connection reset by peer"),
    ],
    ids=["500", "410", "404", "long", "302", "307", "garbage", "nothing", "reset"],
)
def test_a_failure_is_said_without_the_address(server: WebhookServer, behaviour: Behaviour, text: str) -> None:
    server.behaviour = behaviour
    error = failure(server.url)
    assert str(error) == text
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_redirect_is_not_followed(server: WebhookServer) -> None:
    with webhook_server() as other:
        for status in ("301 x", "302 x", "303 x", "307 x", "308 x"):
            server.behaviour = answer(status, b"", f"Location: {other.url}")
            failure(server.url)
        assert other.posted == []


def test_a_receiver_that_is_down_refuses() -> None:
    assert str(failure(f"http://127.0.0.1:{free_port()}/x")) == "connection refused"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "a" * 300])
def test_an_unknown_host_is_said(host: str) -> None:
    assert str(failure(f"http://{host}/x")) == "its host is not known"


@pytest.mark.parametrize("behaviour", [silent, dribbling], ids=["silent", "dribbling"])
def test_a_receiver_that_hangs_costs_no_more_than_the_timeout(server: WebhookServer, behaviour: Behaviour) -> None:
    """Each letter comes in time, the whole never."""
    server.behaviour = behaviour
    assert str(failure(server.url, timeout=0.3)) == "it does not answer in time"


def test_no_timer_outlives_its_request(server: WebhookServer) -> None:
    before = threading.active_count()
    for _ in range(3):
        post(server.url, b"{}", key="1", timeout=LONG)
    server.wait_for(3)
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(10)
    assert threading.active_count() <= before + 3  # of the server


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("1.5", 1.5), ("99999999", 3600.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)],
)
def test_the_wish_to_be_left_alone_is_heard(server: WebhookServer, header: str, seconds: float | None) -> None:
    server.behaviour = answer("429 Too Many Requests", b"rate_limited", f"Retry-After: {header}")
    error = failure(server.url)
    assert str(error) == "it answers 429 (rate_limited)"
    assert error.retry_after == seconds


def test_a_user_in_the_address_becomes_a_header(server: WebhookServer) -> None:
    post(f"http://us%40er:pass%3Aword@127.0.0.1:{server.port}/x?token=1#part", b"{}", key="1", timeout=LONG)
    (posted,) = server.posted
    assert posted.line == "POST /x?token=1 HTTP/1.1"
    assert posted.headers["authorization"] == f"Basic {base64.b64encode(b'us@er:pass:word').decode()}"


def test_the_proxy_of_the_environment_is_used(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("no_proxy", "")
    post("http://chat.example.com/x", b"{}", key="1", timeout=LONG)
    assert server.posted[0].line == "POST http://chat.example.com/x HTTP/1.1"


def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = make_authority(tmp_path / "tls")
    with webhook_server(tls=authority.server_context()) as server:
        url = f"https://127.0.0.1:{server.port}/x"
        assert str(failure(url)).startswith("its certificate is not valid: ")

        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        monkeypatch.setenv("no_proxy", "*")
        post(url, b"{}", key="1", timeout=LONG)
        assert len(server.posted) == 1


def test_a_receiver_that_hangs_behind_tls_costs_no_more_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = make_authority(tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    monkeypatch.setenv("no_proxy", "*")
    with webhook_server(tls=authority.server_context()) as server:
        server.behaviour = dribbling
        assert str(failure(f"https://127.0.0.1:{server.port}/x", timeout=0.5)) == "it does not answer in time"


def test_what_speaks_no_tls_is_said(server: WebhookServer) -> None:
    server.speaks_first = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert str(failure(server.url.replace("http:", "https:"))) == "no TLS connection can be made"


def test_a_receiver_shows_its_host_alone() -> None:
    receiver = WebhookReceiver("https://user:word@hooks.slack.com/services/T0SECRET?x=SECRET", None)
    assert str(receiver) == repr(receiver) == "the webhook at hooks.slack.com"
    assert "SECRET" not in receiver.key
    assert receiver.key != WebhookReceiver("https://hooks.slack.com/services/other", None).key
