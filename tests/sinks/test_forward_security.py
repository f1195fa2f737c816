"""Who is spoken to, and who may speak: keys, users, certificates."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.errors import ConfigError
from flask_boxkite.sinks.fluentd import ForwardError
from tests.peers import FluentServer
from tests.sinks import scripted_server as script
from tests.sinks.certificates import Authority
from tests.sinks.scripted_server import ScriptedServer
from tests.sinks.senders import batch_of, fluentd_sink

# --- the shared key --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [pytest.param({}, id="nonce as bytes"), pytest.param({"use_bin_type": False}, id="nonce as text")]
)
def test_the_key_is_proved_by_both_sides(options: dict[str, Any]) -> None:
    """Fluentd's nonce is bytes; old versions of MessagePack know only text."""
    with (
        ScriptedServer(script.greet(b"key", **options)) as server,
        fluentd_sink(server.addr, fluentd_shared_key="key") as sink,
    ):
        sink.ship(batch_of(sink, {"n": 1}), 10)
        assert server.records() == [{"n": 1}]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        pytest.param(script.greet(b"another"), "fluentd refused us: 'shared key mismatch'", id="another key"),
        pytest.param(
            script.greet(b"key", pong=lambda pong: [*pong[:4], "0" * 128]),
            "the server does not know the shared key itself",
            id="an impostor",
        ),
        pytest.param(
            script.greet(b"key", pong=lambda pong: [*pong[:4], 7]), "fluentd sent 7, expected a text", id="odd proof"
        ),
        pytest.param(
            script.greet(b"key", pong=lambda pong: {"ack": "x"}),
            "fluentd answered {'ack': 'x'}, expected PONG",
            id="no PONG",
        ),
        pytest.param(
            script.greet(b"key", helo={"hello": 1}), "fluentd greeted with {'hello': 1}, expected HELO", id="no HELO"
        ),
        pytest.param(
            script.greet(b"key", helo=["HELO", {"nonce": 2**60}]),
            "fluentd sent 1152921504606846976, expected a text",
            id="nonce that is a number",
        ),
        pytest.param(
            script.greet(b"key", user=("bob", "password")),
            r"fluentd refused us: 'username/password mismatch' \(does it ask for a user\? Set 'BOXKITE_FLUENTD_USER'\)",
            id="asks for a user",
        ),
        pytest.param(
            script.greet(b"key", helo=["HELO", {"nonce": b"", "auth": 7}]),
            "fluentd sent 7, expected a text",
            id="salt that is a number",
        ),
        pytest.param(
            script.reflect,
            "fluentd calls itself 'boxkite-pod', which is our name",
            id="our own proof sent back",
        ),
        pytest.param(script.say_too_much, r"fluentd said more than \['HELO', {'nonce': b'n'}\]", id="says too much"),
        pytest.param(script.hang_up, r"fluentd closed the connection|\[Errno 104\] .*", id="hangs up"),
    ],
)
def test_nothing_is_sent_to_a_server_that_does_not_prove_the_key(behaviour: script.Behaviour, message: str) -> None:
    with (
        ScriptedServer(behaviour) as server,
        fluentd_sink(server.addr, fluentd_shared_key="key") as sink,
    ):
        with pytest.raises(OSError, match=f"^({message})$"):
            sink.ship(batch_of(sink, {"secret": "ssn"}), 10)
        assert server.batches == []
        assert b"ssn" not in server.received_bytes
        assert b"key" not in server.received_bytes


# --- users -----------------------------------------------------------------------------------------------------------

BOB = {"fluentd_shared_key": "key", "fluentd_user": "bob", "fluentd_password": "pässword"}


@pytest.mark.parametrize(
    "options", [pytest.param({}, id="salt as bytes"), pytest.param({"use_bin_type": False}, id="salt as text")]
)
def test_a_user_is_named_to_a_server_that_asks(options: dict[str, Any]) -> None:
    with (
        ScriptedServer(script.greet(b"key", user=("bob", "pässword"), **options)) as server,
        fluentd_sink(server.addr, **BOB) as sink,
    ):
        for number in range(2):
            sink.ship(batch_of(sink, {"n": number}), 10)
        assert server.records() == [{"n": 0}, {"n": 1}]
        assert server.connections == 1


def test_a_user_is_not_named_to_a_server_that_does_not_ask() -> None:
    """A server without users sends no salt and learns no name. (fluentd sends one anyway, and learns the name.)"""
    with ScriptedServer(script.greet(b"key", auth=b"")) as server, fluentd_sink(server.addr, **BOB) as sink:
        sink.ship(batch_of(sink, {"n": 1}), 10)
        assert server.records() == [{"n": 1}]
        assert b"bob" not in server.received_bytes


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        pytest.param(
            script.greet(b"key", user=("bob", "another")),
            "fluentd refused us: 'username/password mismatch'",
            id="another password",
        ),
        pytest.param(
            script.greet(b"key", user=("alice", "pässword")),
            "fluentd refused us: 'username/password mismatch'",
            id="another user",
        ),
        pytest.param(
            script.greet(b"another", user=("bob", "pässword")),
            "fluentd refused us: 'shared key mismatch'",
            id="another key",
        ),
        pytest.param(
            script.greet(b"key", user=("bob", "pässword"), pong=lambda pong: [*pong[:4], "0" * 128]),
            "the server does not know the shared key itself",
            id="an impostor",
        ),
    ],
)
def test_nothing_is_sent_where_user_or_server_are_not_who_they_say(behaviour: script.Behaviour, message: str) -> None:
    with ScriptedServer(behaviour) as server, fluentd_sink(server.addr, **BOB) as sink:
        with pytest.raises(ForwardError, match=f"^{message}$"):
            sink.ship(batch_of(sink, {"secret": "ssn"}), 10)
        assert server.batches == []
        assert not [word for word in ("ssn", "pässword", "key") if word.encode() in server.received_bytes]


@pytest.mark.peers
def test_a_real_server_lets_its_user_in(tmp_path: Path) -> None:
    with (
        FluentServer(tmp_path, shared_key="key", user=("bob", "pässword")) as server,
        fluentd_sink(server.addr, **BOB) as sink,
    ):
        sink.ship(batch_of(sink, {"n": 1}), 30)
        assert [entry["record"] for entry in server.records()] == [{"n": 1}]


@pytest.mark.peers
@pytest.mark.parametrize(
    "change", [{"fluentd_user": "alice"}, {"fluentd_password": "another"}], ids=["user", "password"]
)
def test_a_real_server_refuses_another(tmp_path: Path, change: dict[str, str]) -> None:
    with (
        FluentServer(tmp_path, shared_key="key", user=("bob", "pässword")) as server,
        fluentd_sink(server.addr, **{**BOB, **change}) as sink,
    ):
        with pytest.raises(ForwardError, match=r"^fluentd refused us: 'username/password mismatch'$"):
            sink.ship(batch_of(sink, {"n": 1}), 30)
        assert server.records() == []


@pytest.mark.peers
def test_a_real_server_that_asks_for_a_user_where_there_is_none(tmp_path: Path) -> None:
    with (
        FluentServer(tmp_path, shared_key="key", user=("bob", "pässword")) as server,
        fluentd_sink(server.addr, fluentd_shared_key="key") as sink,
    ):
        with pytest.raises(ForwardError, match="does it ask for a user"):
            sink.ship(batch_of(sink, {"n": 1}), 30)
        assert server.records() == []


# --- TLS -------------------------------------------------------------------------------------------------------------


def test_tls_with_an_authority_of_ones_own(authority: Authority) -> None:
    with (
        ScriptedServer(script.acknowledge, tls=authority.server_context()) as server,
        fluentd_sink(server.addr, fluentd_ca_file=authority.ca_file) as sink,
    ):
        for number in range(2):
            sink.ship(batch_of(sink, {"n": number}, {"text": "x" * 500_000}), 30)
        assert server.connections == 1
        assert [record.get("n") for record in server.records()] == [0, None, 1, None]


def test_a_certificate_of_another_authority_is_refused(authority: Authority, stranger: Authority) -> None:
    with (
        ScriptedServer(script.acknowledge, tls=stranger.server_context()) as server,
        fluentd_sink(server.addr, fluentd_ca_file=authority.ca_file) as sink,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            sink.ship(batch_of(sink, {"secret": "ssn"}), 30)
        assert server.received_bytes == b""


def test_a_certificate_for_another_host_is_refused(namesake: Authority) -> None:
    with (
        ScriptedServer(script.acknowledge, tls=namesake.server_context()) as server,
        fluentd_sink(server.addr, fluentd_ca_file=namesake.ca_file) as sink,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            sink.ship(batch_of(sink, {"secret": "ssn"}), 30)
        assert server.received_bytes == b""


def test_the_authorities_of_the_system_do_not_know_ours(authority: Authority) -> None:
    with (
        ScriptedServer(script.acknowledge, tls=authority.server_context()) as server,
        fluentd_sink(server.addr) as sink,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        sink.ship(batch_of(sink, {}), 30)


def test_a_server_without_tls_is_never_spoken_to_in_plain_text(authority: Authority) -> None:
    with (
        ScriptedServer(script.Peer.wait_until_gone) as server,
        fluentd_sink(f"tls://127.0.0.1:{server.port}", fluentd_ca_file=authority.ca_file) as sink,
    ):
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011 - how the handshake fails is up to OpenSSL
                sink.ship(batch_of(sink, {"secret": "ssn"}), 0.3)
        assert server.received_bytes.startswith(b"\x16\x03")
        assert b"ssn" not in server.received_bytes


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "something else"])
def test_certificates_that_cannot_be_read_are_said_at_set_up(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    message = f"^'BOXKITE_FLUENTD_CA_FILE': cannot read certificates from '{re.escape(str(path))}': .*\\.$"
    with pytest.raises(ConfigError, match=message), fluentd_sink("tls://fluentd:24224", fluentd_ca_file=path):
        pass
