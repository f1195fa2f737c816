"""Several fluentd addresses, of which some are dead, silent, or not who they should be."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from flask_boxkite.sinks.fluentd import FluentdSink, ForwardError
from flask_boxkite.sinks.forward import UnacknowledgedError
from tests.peers import free_port
from tests.sinks import scripted_server as script
from tests.sinks.certificates import Authority
from tests.sinks.names import Names
from tests.sinks.scripted_server import ScriptedServer
from tests.sinks.senders import batch_of, fluentd_sink, settings_for


def ship(sink: FluentdSink, number: int, timeout: float = 10) -> None:
    """Ship a batch of one record."""
    sink.ship(batch_of(sink, {"n": number}), timeout)


def test_the_first_address_is_used_while_it_works() -> None:
    with (
        ScriptedServer(script.acknowledge) as first,
        ScriptedServer(script.acknowledge) as second,
        fluentd_sink(f"{first.addr},{second.addr}") as sink,
    ):
        for number in range(3):
            ship(sink, number)
        assert first.records() == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert (first.connections, second.connections) == (1, 0)


@pytest.mark.parametrize("number_dead", [1, 2, 5])
def test_dead_ones_are_skipped_and_the_one_that_works_is_kept(number_dead: int) -> None:
    dead = ",".join(f"127.0.0.1:{free_port()}" for _ in range(number_dead))
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(f"{dead},{server.addr}") as sink:
        for number in range(3):
            ship(sink, number)
        assert server.records() == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert server.connections == 1


@pytest.mark.parametrize(
    ("behaviour", "size"),
    [
        pytest.param(script.never_read, 20_000_000, id="never reads"),  # more than the system holds for it
        pytest.param(script.swallow, 1, id="never acknowledges"),
        pytest.param(script.dribble, 1, id="answers a byte at a time"),
        pytest.param(script.hang_up, 1, id="hangs up"),
        pytest.param(script.answer(b"\xc1"), 1, id="answers garbage"),
    ],
)
def test_a_server_that_only_seems_to_work_uses_up_its_share_of_the_time(behaviour: script.Behaviour, size: int) -> None:
    with (
        ScriptedServer(behaviour) as hole,
        ScriptedServer(script.acknowledge) as server,
        fluentd_sink(f"{hole.addr},{server.addr}") as sink,
    ):
        sink.ship(batch_of(sink, {"text": "x" * size}), 4)
        ship(sink, 1)
        assert server.records()[-1] == {"n": 1}
        assert (len(server.batches), hole.connections) == (2, 1)


def test_a_name_whose_lookup_hangs_uses_up_its_share_of_the_time(names: Names) -> None:
    names.answering.clear()
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(f"fluentd,{server.addr}") as sink:
        ship(sink, 1, timeout=1)
        assert server.records() == [{"n": 1}]


def test_a_name_that_can_be_none_is_skipped_like_a_dead_one() -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink(f"{'a' * 64},{server.addr}") as sink:
        ship(sink, 1)
        assert server.records() == [{"n": 1}]


def test_a_server_with_another_key_is_skipped_and_gets_no_record() -> None:
    with (
        ScriptedServer(script.greet(b"another")) as wrong,
        ScriptedServer(script.greet(b"key")) as right,
        fluentd_sink(f"{wrong.addr},{right.addr}", fluentd_shared_key="key") as sink,
    ):
        ship(sink, 1)
        assert right.records() == [{"n": 1}]
        assert wrong.batches == []


def test_a_server_with_a_certificate_that_nobody_trusts_is_skipped(authority: Authority, stranger: Authority) -> None:
    with (
        ScriptedServer(script.acknowledge, tls=stranger.server_context()) as wrong,
        ScriptedServer(script.acknowledge, tls=authority.server_context()) as right,
        fluentd_sink(f"{wrong.addr},{right.addr}", fluentd_ca_file=authority.ca_file) as sink,
    ):
        ship(sink, 1)
        assert right.records() == [{"n": 1}]
        assert wrong.received_bytes == b""


def test_a_server_without_tls_is_not_spoken_to_in_plain_text_though_the_next_one_is_dead(authority: Authority) -> None:
    with (
        ScriptedServer(script.Peer.wait_until_gone) as server,
        fluentd_sink(
            f"tls://127.0.0.1:{server.port},tls://127.0.0.1:{free_port()}", fluentd_ca_file=authority.ca_file
        ) as sink,
    ):
        for _ in range(2):
            with pytest.raises(ForwardError):
                sink.ship(batch_of(sink, {"secret": "ssn"}), 0.5)
        assert b"ssn" not in server.received_bytes


def test_if_all_fail_the_error_names_each_with_what_it_said(tmp_path: Path) -> None:
    dead = free_port()
    with (
        ScriptedServer(script.greet(b"another")) as server,
        fluentd_sink(f"unix://{tmp_path}/none,{server.addr},127.0.0.1:{dead}", fluentd_shared_key="key") as sink,
    ):
        for _ in range(2):
            with pytest.raises(ForwardError) as caught:
                ship(sink, 1)

            assert str(caught.value) == (
                f"no fluentd took the batch: unix://{tmp_path}/none: [Errno 2] No such file or directory; "
                f"{server.addr}: fluentd refused us: 'shared key mismatch'; "
                f"127.0.0.1:{dead}: [Errno 111] Connection refused"
            )
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        assert server.connections == 2


def test_all_silent_ones_together_use_up_no_more_than_the_timeout() -> None:
    with (
        ScriptedServer(script.swallow) as first,
        ScriptedServer(script.swallow) as second,
        fluentd_sink(f"{first.addr},{second.addr}") as sink,
    ):
        with pytest.raises(ForwardError, match=re.escape(f"{first.addr}: timed out; {second.addr}: timed out")):
            ship(sink, 1, timeout=0.4)
        assert first.chunks() == second.chunks()


def test_each_silent_one_has_a_share_of_the_timeout_not_all_of_it() -> None:
    """A batch at the exit of the process would hold that up, however long the list."""
    shares: list[float] = []

    def wait_in_vain(message: bytes, chunk: str, timeout: float) -> None:
        shares.append(timeout)
        raise UnacknowledgedError

    addr = ",".join(f"127.0.0.1:{port}" for port in range(1, 21))
    sink = FluentdSink(settings_for(addr), clock=lambda: sum(shares))
    for connection in sink._connections:
        connection.deliver = wait_in_vain  # type: ignore[method-assign]
    with pytest.raises(ForwardError):
        ship(sink, 1, timeout=40)
    assert shares == pytest.approx([2] * 20)


def test_when_the_second_dies_the_first_is_tried_again(tmp_path: Path) -> None:
    paths = [tmp_path / "first", tmp_path / "second"]
    with (
        fluentd_sink(",".join(f"unix://{path}" for path in paths)) as sink,
        ScriptedServer(script.acknowledge, path=paths[1]) as second,
    ):
        ship(sink, 1)
        with ScriptedServer(script.acknowledge, path=paths[0]) as first:
            ship(sink, 2)  # stays, though the first has come
            assert first.connections == 0
            second.close()
            ship(sink, 3)

            assert first.records() == [{"n": 3}]
            assert second.records() == [{"n": 1}, {"n": 2}]


def test_a_forked_child_begins_with_the_server_that_works(free_tcp_port: int) -> None:
    with (
        ScriptedServer(script.acknowledge) as server,
        fluentd_sink(f"127.0.0.1:{free_tcp_port},{server.addr}") as sink,
    ):
        ship(sink, 1)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                own = sink.forked()
                assert str(own._connections[0].address) == server.addr
                ship(own, 2)
                own.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        ship(sink, 3)

        assert server.records() == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert server.connections == 2
