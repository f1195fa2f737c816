"""One connection to one server, which may misbehave."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest

from flask_boxkite.sinks.base import Batch, RefusedError
from flask_boxkite.sinks.fluentd import FluentdSink, ForwardError
from tests.sinks import scripted_server as script
from tests.sinks.scripted_server import ScriptedServer
from tests.sinks.senders import NOON_NS, batch_of, fluentd_sink

# --- servers that misbehave ------------------------------------------------------------------------------------------


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
    pytest.param(script.answer(b"\xc1" * 100), "fluentd sent an answer that is not MessagePack", id="garbage"),
    pytest.param(
        script.answer(b"\xdd\xff\xff\xff\xff"),
        "fluentd sent an answer that is not MessagePack",
        id="announces a huge answer",
    ),
    pytest.param(
        script.answer(b"\x92" * 70_000),
        "fluentd (answers without end|sent an answer that is not MessagePack)",
        id="endless nesting",
    ),
    pytest.param(
        script.answer(b"\x92" + TEXT_OF_64_KIB + b"x" * 60_000 + TEXT_OF_64_KIB + b"x" * 50_000),
        "fluentd answers without end",
        id="endless answer",
    ),
    pytest.param(
        script.answer(msgpack.packb({"ack": "x" * 1_000_000})), "fluentd answers without end", id="huge acknowledgement"
    ),
    pytest.param(
        script.answer(msgpack.packb(["HELO", {"nonce": b"n", "auth": b"", "keepalive": True}])),
        "fluentd asks for a shared key, but 'BOXKITE_FLUENTD_SHARED_KEY' is not set",
        id="asks for a key",
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
        with pytest.raises(RefusedError):
            sink.ship(batch_of(sink, {"text": "x" * size}), 0.3)
        sink.ship(batch_of(sink, {"n": 1}), 30)
        assert server.records()[-1] == {"n": 1}


def test_a_late_acknowledgement_is_not_taken_for_that_of_the_next_batch() -> None:
    """The connection is dropped after a timeout, so nothing of it can be read later."""
    with ScriptedServer(script.swallow, script.swallow) as server, fluentd_sink(server.addr) as sink:
        for _ in range(2):
            with pytest.raises(RefusedError):
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
    return _next_byte(sink) == b""


def _next_byte(sink: FluentdSink) -> bytes:
    """Wait for what the server has sent, and leave it there."""
    connection = sink._connections[0].socket
    assert connection is not None
    connection.settimeout(30)
    return connection.recv(1, socket.MSG_PEEK)


EXTRAS = [
    pytest.param({"ack": "second"}, id="the acknowledgement of the next batch"),
    pytest.param({"ack": "zeroth"}, id="an older acknowledgement"),
    pytest.param(None, id="a heartbeat"),
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_comes_with_an_acknowledgement_is_not_taken_for_the_next(extra: Any) -> None:
    with ScriptedServer(script.say_more(extra), script.acknowledge) as server, fluentd_sink(server.addr) as sink:
        for chunk in ("first", "second"):
            sink.ship(Batch([sink.pack(NOON_NS, {})], sink.tag, chunk), 10)
        assert server.chunks() == ["first", "second"]
        assert server.connections == 2


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_comes_after_an_acknowledgement_is_not_taken_for_the_next(extra: Any) -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(server.addr) as sink:
        for chunk in ("first", "second"):
            sink.ship(Batch([sink.pack(NOON_NS, {})], sink.tag, chunk), 10)
            server.batches[-1][0].send(extra)
            assert _next_byte(sink)
        assert server.chunks() == ["first", "second"]
        assert server.connections == 2


def test_an_acknowledgement_of_the_batch_before_is_refused() -> None:
    def acknowledge_the_one_before(peer: script.Peer) -> None:
        chunk = peer.receive_batch()[2]["chunk"]
        peer.send({"ack": chunk})
        peer.receive_batch()
        peer.send({"ack": chunk})
        peer.wait_until_gone()

    with (
        ScriptedServer(acknowledge_the_one_before, script.acknowledge) as server,
        fluentd_sink(server.addr) as sink,
    ):
        first, second = (batch_of(sink, {"n": number}) for number in range(2))
        sink.ship(first, 10)
        with pytest.raises(
            ForwardError, match=f"^fluentd acknowledged {{'ack': '{first.id}'}}, expected chunk '{second.id}'$"
        ):
            sink.ship(second, 10)
        sink.ship(second, 10)
        assert server.chunks() == [first.id, second.id, second.id]


def test_an_acknowledgement_may_come_in_many_packets() -> None:
    with ScriptedServer(script.acknowledge_in_crumbs) as server, fluentd_sink(server.addr) as sink:
        for number in range(2):
            sink.ship(batch_of(sink, {"n": number}), 30)
        assert server.records() == [{"n": 0}, {"n": 1}]
        assert server.connections == 1


def test_nobody_listening_is_an_error_and_no_more(free_tcp_port: int) -> None:
    with fluentd_sink(f"127.0.0.1:{free_tcp_port}") as sink, pytest.raises(ConnectionRefusedError):
        sink.ship(batch_of(sink, {}), 10)


# --- addresses -------------------------------------------------------------------------------------------------------


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
