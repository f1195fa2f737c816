"""The Forward protocol, against a real server and against one that misbehaves."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.sinks.base import Batch
from flask_boxkite.sinks.fluentd import FluentdSink, ForwardError
from tests.peers import FluentServer, free_port
from tests.sinks import scripted_server as script
from tests.sinks.certificates import Authority, make_authority
from tests.sinks.scripted_server import ScriptedServer, entries_of

NOON_NS = 1_700_000_000_123_456_789


@contextlib.contextmanager
def fluentd_sink(addr: str, **settings: Any) -> Iterator[FluentdSink]:
    """Make a sink, and close it at the end."""
    given = {"BOXKITE_FLUENTD_ADDR": addr, "BOXKITE_POD_NAME": "pod", "BOXKITE_ENDPOINT_ID": "endpoint"}
    given.update({f"BOXKITE_{name.upper()}": value for name, value in settings.items()})
    sink = FluentdSink(Settings.from_mapping(given, {}))
    try:
        yield sink
    finally:
        sink.close()


def batch_of(sink: FluentdSink, *records: dict[str, Any]) -> Batch:
    """Pack records into one batch."""
    return Batch([sink.pack(NOON_NS + number, record) for number, record in enumerate(records)], sink.tag)


# --- the wire -------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_packed_forward_message() -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(server.addr) as sink:
        batch = batch_of(sink, {"n": 1}, {"n": 2})
        sink.ship(batch, 10)
        ((_, tag, entries, option),) = server.batches
        assert tag == "models.predictions.endpoint.pod"
        assert option == {"chunk": batch.id, "size": 2}
        event_times = [
            msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + nanoseconds.to_bytes(4, "big"))
            for nanoseconds in (123_456_789, 123_456_790)
        ]
        assert list(entries_of(entries)) == [[event_times[0], {"n": 1}], [event_times[1], {"n": 2}]]


def test_batches_share_one_connection() -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(server.addr) as sink:
        for number in range(3):
            sink.ship(batch_of(sink, {"n": number}), 10)
        assert (server.connections, server.records()) == (1, [{"n": 0}, {"n": 1}, {"n": 2}])


@pytest.mark.parametrize(
    ("endpoint", "pod", "tag"),
    [
        pytest.param("fraud", "pod-1", "models.predictions.fraud.pod-1", id="plain"),
        pytest.param("a.b", "c.d", "models.predictions.a_b.c_d", id="dots"),
        pytest.param("../../etc", "x/y z", "models.predictions.______etc.x_y_z", id="path and blank"),
        pytest.param("bücher", '"\n', "models.predictions.bücher.__", id="letters and controls"),
        pytest.param("\udcff", "**", "models.predictions._.__", id="not text, and a pattern"),
    ],
)
def test_odd_names_cannot_shift_the_parts_of_a_tag(endpoint: str, pod: str, tag: str) -> None:
    with (
        ScriptedServer(script.acknowledge) as server,
        fluentd_sink(server.addr, endpoint_id=endpoint, pod_name=pod) as sink,
    ):
        sink.ship(batch_of(sink, {}), 10)
        assert server.batches[0][1] == tag


def test_lone_surrogates_are_replaced() -> None:
    """They come from JSON such as "\\ud800", and no UTF-8 can hold them."""
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(server.addr) as sink:
        sink.ship(batch_of(sink, {"text": "a\ud800b"}), 10)
        assert server.records() == [{"text": "a?b"}]


@pytest.mark.peers
@pytest.mark.parametrize("key", [None, "sécret"], ids=["no key", "shared key"])
def test_a_real_server_keeps_every_record_to_the_nanosecond(tmp_path: Path, key: str | None) -> None:
    with FluentServer(tmp_path, shared_key=key) as server, fluentd_sink(server.addr, fluentd_shared_key=key) as sink:
        for start in (0, 500):
            sink.ship(batch_of(sink, *({"n": number} for number in range(start, start + 500))), 30)
        received = server.records()
        assert [entry["record"]["n"] for entry in received] == list(range(1000))
        assert received[7]["time"] == NOON_NS + 7
        assert received[7]["event_time"] is True
        assert received[7]["tag"] == "models.predictions.endpoint.pod"


@pytest.mark.peers
def test_a_real_server_refuses_another_key(tmp_path: Path) -> None:
    with (
        FluentServer(tmp_path, shared_key="right") as server,
        fluentd_sink(server.addr, fluentd_shared_key="wrong") as sink,
    ):
        with pytest.raises(ForwardError, match=r"^fluentd refused the shared key: 'shared key mismatch'$"):
            sink.ship(batch_of(sink, {"n": 1}), 30)
        assert server.records() == []


# --- servers that misbehave -----------------------------------------------------------------------------------------

TEXT_OF_64_KIB = b"\xdb" + (60_000).to_bytes(4, "big")

MISBEHAVIOURS = [
    pytest.param(script.reset_in_mid_batch, r"\[Errno (32|104)\] .*", id="reset in mid-batch"),
    pytest.param(script.take_and_reset, r"\[Errno 104\] Connection reset by peer", id="acknowledgement lost"),
    pytest.param(script.hang_up, r"fluentd closed the connection|\[Errno (32|104)\] .*", id="hangs up at once"),
    pytest.param(script.half_an_answer, "fluentd closed the connection", id="half an acknowledgement"),
    pytest.param(
        script.answer(msgpack.packb({"ack": "other"})),
        r"fluentd acknowledged {'ack': 'other'}, expected chunk '[0-9a-f]{32}'",
        id="acknowledges another batch",
    ),
    pytest.param(
        script.answer(b"HTTP/1.1 400 Bad Request\r\n"),
        r"fluentd acknowledged 72, expected chunk '[0-9a-f]{32}'",
        id="not a Forward server",
    ),
    pytest.param(script.answer(b"\xc1" * 100), "fluentd answered what is no MessagePack", id="garbage"),
    pytest.param(
        script.answer(b"\xdd\xff\xff\xff\xff"), "fluentd answered what is no MessagePack", id="announces a huge answer"
    ),
    pytest.param(
        script.answer(b"\x92" * 70_000),
        "fluentd (answers without end|answered what is no MessagePack)",
        id="endless nesting",
    ),
    pytest.param(
        script.answer(b"\x92" + TEXT_OF_64_KIB + b"x" * 60_000 + TEXT_OF_64_KIB + b"x" * 50_000),
        "fluentd answers without end",
        id="endless answer",
    ),
]


@pytest.mark.parametrize(("behaviour", "message"), MISBEHAVIOURS)
def test_a_batch_that_was_not_acknowledged_goes_again_under_its_id(behaviour: script.Behaviour, message: str) -> None:
    with ScriptedServer(behaviour, script.acknowledge) as server, fluentd_sink(server.addr) as sink:
        batch = batch_of(sink, {"text": "x" * 1_000_000})
        with pytest.raises(OSError, match=f"^({message})$"):
            sink.ship(batch, 30)
        sink.ship(batch, 30)
        assert server.connections == 2
        assert server.chunks()[-1] == batch.id
        assert set(server.chunks()) == {batch.id}


@pytest.mark.parametrize(
    ("behaviour", "size"),
    [
        pytest.param(script.never_read, 20_000_000, id="never reads"),  # more than the system holds for it
        pytest.param(script.swallow, 1, id="never acknowledges"),
        pytest.param(script.dribble, 1, id="answers a byte at a time"),
    ],
)
def test_a_silent_server_uses_up_no_more_than_the_timeout(behaviour: script.Behaviour, size: int) -> None:
    with ScriptedServer(behaviour, script.acknowledge) as server, fluentd_sink(server.addr) as sink:
        with pytest.raises(TimeoutError):
            sink.ship(batch_of(sink, {"text": "x" * size}), 0.3)
        sink.ship(batch_of(sink, {"n": 1}), 30)
        assert server.records()[-1] == {"n": 1}


def test_a_late_acknowledgement_is_not_taken_for_that_of_the_next_batch() -> None:
    """The connection is dropped after a timeout, so nothing of it can be read later."""
    with ScriptedServer(script.swallow, script.swallow) as server, fluentd_sink(server.addr) as sink:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                sink.ship(batch_of(sink, {}), 0.1)
        assert server.connections == 2


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_before_anything_is_sent() -> None:
    """A batch sent into it would have to be sent twice."""
    with ScriptedServer(script.acknowledge_once) as server, fluentd_sink(server.addr) as sink:
        for number in range(3):
            batch = batch_of(sink, {"n": number})
            sink.ship(batch, 10)
            server.batches[-1][0].connection.close()
            assert _is_closed(sink)
        assert server.records() == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert server.connections == 3


def _is_closed(sink: FluentdSink) -> bool:
    """Wait for the end that the server has sent."""
    connection = sink._connection.socket
    assert connection is not None
    connection.settimeout(30)
    return connection.recv(1, socket.MSG_PEEK) == b""


def test_nobody_listening_is_an_error_and_no_more(free_tcp_port: int) -> None:
    with fluentd_sink(f"127.0.0.1:{free_tcp_port}") as sink, pytest.raises(ConnectionRefusedError):
        sink.ship(batch_of(sink, {}), 10)


# --- addresses ------------------------------------------------------------------------------------------------------


def test_a_server_that_has_only_ipv6() -> None:
    try:
        server = ScriptedServer(script.acknowledge, host="::1")
    except OSError:
        pytest.skip("This machine has no IPv6.")
    with server, fluentd_sink(server.addr) as sink:
        sink.ship(batch_of(sink, {"n": 1}), 10)
        assert server.records() == [{"n": 1}]


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "fluentd.sock"
    with ScriptedServer(script.acknowledge, path=path) as server, fluentd_sink(f"unix://{path}") as sink:
        sink.ship(batch_of(sink, {"n": 1}), 10)
        assert server.records() == [{"n": 1}]


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    with fluentd_sink(f"unix://{tmp_path}/none") as sink, pytest.raises(FileNotFoundError):
        sink.ship(batch_of(sink, {}), 10)


def test_the_next_address_of_a_host_is_tried_if_the_first_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink("fluentd:24224") as sink:
        resolve(monkeypatch, [("127.0.0.1", free_port()), ("127.0.0.1", server.port)])
        sink.ship(batch_of(sink, {"n": 1}), 10)
        assert server.records() == [{"n": 1}]


def test_the_address_is_looked_up_for_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster, a restarted server comes back under another address."""
    with (
        ScriptedServer(script.take_and_reset) as before,
        ScriptedServer(script.acknowledge) as after,
        fluentd_sink("fluentd:24224") as sink,
    ):
        batch = batch_of(sink, {})
        resolve(monkeypatch, [("127.0.0.1", before.port)])
        with pytest.raises(ConnectionResetError):
            sink.ship(batch, 10)
        resolve(monkeypatch, [("127.0.0.1", after.port)])
        sink.ship(batch, 10)
        assert after.chunks() == [batch.id]


def resolve(monkeypatch: pytest.MonkeyPatch, addresses: list[tuple[str, int]]) -> None:
    """Have every host name stand for these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


# --- the shared key -------------------------------------------------------------------------------------------------


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
        pytest.param(
            script.greet(b"another"), "fluentd refused the shared key: 'shared key mismatch'", id="another key"
        ),
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
            script.greet(b"key", helo=["HELO", {"nonce": b"", "auth": b"salt"}]),
            "fluentd asks for a user and password; only a shared key is supported",
            id="asks for a user",
        ),
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


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that the tests trust."""
    return make_authority(tmp_path_factory.mktemp("tls") / "trusted")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that nobody trusts."""
    return make_authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture(scope="module")
def namesake(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority with a certificate for another host."""
    return make_authority(tmp_path_factory.mktemp("tls") / "namesake", "DNS:elsewhere.example")


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


# --- forks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_a_forked_child_leaves_the_parents_connection_alone(authority: Authority, is_secure: bool) -> None:
    tls = authority.server_context() if is_secure else None
    options = {"fluentd_ca_file": authority.ca_file} if is_secure else {}
    with ScriptedServer(script.acknowledge, tls=tls) as server, fluentd_sink(server.addr, **options) as sink:
        sink.ship(batch_of(sink, {"from": "parent"}), 30)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                own = sink.forked()
                own.ship(batch_of(own, {"from": "child"}), 30)
                own.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        sink.ship(batch_of(sink, {"from": "parent again"}), 30)
        assert server.records() == [{"from": "parent"}, {"from": "child"}, {"from": "parent again"}]
        peers = [peer for peer, _, _, _ in server.batches]
        assert peers[0] is peers[2]
        assert peers[1] is not peers[0]
        assert server.connections == 2
