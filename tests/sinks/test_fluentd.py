"""Batches on the wire of the Forward protocol, to a real server and to one that tells what it got."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest

from flask_boxkite.compiled import native
from flask_boxkite.sinks.base import RefusedError
from flask_boxkite.sinks.fluentd import ForwardError, entry_head
from tests.peers import FluentServer
from tests.sinks import scripted_server as script
from tests.sinks.certificates import Authority
from tests.sinks.scripted_server import ScriptedServer, entries_of
from tests.sinks.senders import NOON_NS, batch_of, fluentd_sink

HEADS = [entry_head] if native is None else [entry_head, native.entry_head]

# --- the wire --------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("time_ns", "seconds", "nanoseconds"),
    [
        pytest.param(NOON_NS, 1_700_000_000, 123_456_789, id="now"),
        pytest.param(-1, 0, 0, id="before 1970"),
        pytest.param(2**32 * 10**9 - 1, 2**32 - 1, 999_999_999, id="last"),
        pytest.param(2**32 * 10**9, 2**32 - 1, 999_999_999, id="after 2106"),
        pytest.param(2**63 - 1, 2**32 - 1, 999_999_999, id="last of the system"),
    ],
)
def test_a_time_that_fluentd_lacks_becomes_the_nearest(
    head: Callable[[int], bytes], time_ns: int, seconds: int, nanoseconds: int
) -> None:
    (time, _) = msgpack.unpackb(head(time_ns) + msgpack.packb({}))
    assert time == msgpack.ExtType(0, seconds.to_bytes(4, "big") + nanoseconds.to_bytes(4, "big"))


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
        with pytest.raises(ForwardError, match=r"^fluentd refused us: 'shared key mismatch'$"):
            sink.ship(batch_of(sink, {"n": 1}), 30)
        assert server.records() == []


# --- gzip ------------------------------------------------------------------------------------------------------------


def test_a_batch_can_be_compressed() -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(server.addr, fluentd_gzip=True) as sink:
        records = [{"n": number, "text": "x" * 100} for number in range(1000)]
        batch = batch_of(sink, *records)
        sink.ship(batch, 10)
        ((_, tag, entries, option),) = server.batches
        assert tag == "models.predictions.endpoint.pod"
        assert option == {"chunk": batch.id, "size": 1000, "compressed": "gzip"}
        assert gzip.decompress(entries) == b"".join(batch.records)
        assert server.records() == records


def test_a_compressed_batch_goes_again_as_it_was() -> None:
    with (
        ScriptedServer(script.take_and_reset, script.acknowledge) as server,
        fluentd_sink(server.addr, fluentd_gzip=True) as sink,
    ):
        batch = batch_of(sink, {"n": 1})
        with pytest.raises(RefusedError):
            sink.ship(batch, 10)
        sink.ship(batch, 10)
        lost, kept = (message[1:] for message in server.batches)
        assert lost == kept


@pytest.mark.peers
def test_a_real_server_reads_compressed_batches(tmp_path: Path) -> None:
    with FluentServer(tmp_path) as server, fluentd_sink(server.addr, fluentd_gzip=True) as sink:
        for start in (0, 500):
            sink.ship(batch_of(sink, *({"n": number} for number in range(start, start + 500))), 30)
        received = server.records()
        assert [entry["record"]["n"] for entry in received] == list(range(1000))
        assert received[7]["time"] == NOON_NS + 7


# --- forks -----------------------------------------------------------------------------------------------------------


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
