"""Lookups of host names that hang, fail, come late and change."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from flask_boxkite.sinks.base import RefusedError
from flask_boxkite.sinks.resolver import Resolver
from tests.faults import no_more_threads
from tests.peers import wait_for
from tests.sinks import scripted_server as script
from tests.sinks.names import Names, lookups_under_way
from tests.sinks.scripted_server import ScriptedServer
from tests.sinks.senders import batch_of, fluentd_sink

HERE = [(socket.AF_INET, ("127.0.0.1", 24224))]


def soon() -> float:
    """Return a deadline that is over before long."""
    return time.monotonic() + 0.05


def in_a_while() -> float:
    """Return a deadline that no test should reach."""
    return time.monotonic() + 30


# --- alone ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"]
)
def test_a_number_needs_no_lookup(names: Names, host: str, family: int) -> None:
    ((found, address),) = Resolver(host, 24224).addresses(in_a_while())
    assert (found, address[:2]) == (family, (host, 24224))
    assert names.lookups == []


def test_a_lookup_that_hangs_is_waited_for_until_the_deadline_and_by_one_thread_only(names: Names) -> None:
    names.answering.clear()
    patient = Resolver("fluentd", 24224)
    for _ in range(5):
        with pytest.raises(TimeoutError, match=r"^the lookup of the host 'fluentd' takes too long$"):
            patient.addresses(soon())
    assert len(lookups_under_way()) == 1
    assert names.lookups == ["fluentd"]


def test_an_answer_that_comes_late_serves_the_next_who_asks_and_only_him(names: Names) -> None:
    """If every lookup takes longer than an attempt may, none would ever come through."""
    names.answering.clear()
    names.hosts["fluentd"] = [("127.0.0.1", 24224)]
    patient = Resolver("fluentd", 24224)
    with pytest.raises(TimeoutError):
        patient.addresses(soon())
    names.answering.set()
    wait_for(lambda: not lookups_under_way())
    names.hosts["fluentd"] = [("127.0.0.2", 24224)]

    assert patient.addresses(in_a_while()) == HERE
    assert len(names.lookups) == 1
    assert patient.addresses(in_a_while()) == [(socket.AF_INET, ("127.0.0.2", 24224))]
    assert len(names.lookups) == 2


@pytest.mark.parametrize("reason", ["it is old", "it is none"])
def test_a_late_answer_is_not_used_if(names: Names, reason: str) -> None:
    names.answering.clear()
    names.hosts["fluentd"] = [("127.0.0.9", 1)] if reason == "it is old" else socket.gaierror("try again")
    patient = Resolver("fluentd", 24224, late_answer_seconds=0.0 if reason == "it is old" else 30.0)
    with pytest.raises(TimeoutError):
        patient.addresses(soon())
    names.answering.set()
    wait_for(lambda: not lookups_under_way())
    names.hosts["fluentd"] = [("127.0.0.1", 24224)]
    assert patient.addresses(in_a_while()) == HERE


def test_a_lookup_that_fails_is_tried_again(names: Names) -> None:
    names.hosts["fluentd"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    patient = Resolver("fluentd", 24224)
    for _ in range(2):
        with pytest.raises(socket.gaierror, match=r"^\[Errno -3\] Temporary failure in name resolution$"):
            patient.addresses(in_a_while())
    names.hosts["fluentd"] = [("127.0.0.1", 24224)]
    assert patient.addresses(in_a_while()) == HERE


def test_where_no_thread_can_start_the_lookup_is_made_all_the_same(names: Names) -> None:
    """From Python 3.12 on, none does once the interpreter is shutting down, when the last records are shipped."""
    names.hosts["fluentd"] = [("127.0.0.1", 24224)]
    with no_more_threads():
        assert Resolver("fluentd", 24224).addresses(in_a_while()) == HERE


def test_a_name_that_can_be_none_is_an_error_and_no_more() -> None:
    with pytest.raises(UnicodeError):
        Resolver("a" * 64, 24224).addresses(in_a_while())


# --- in a sink ------------------------------------------------------------------------------------------------------


def test_the_next_address_of_a_host_is_tried_if_the_first_is_dead(names: Names, free_tcp_port: int) -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink("fluentd") as sink:
        names.hosts["fluentd"] = [("127.0.0.1", free_tcp_port), ("127.0.0.1", server.port)]
        sink.ship(batch_of(sink, {"n": 1}), 10)
        assert server.records() == [{"n": 1}]


def test_a_name_that_has_only_ipv6(names: Names) -> None:
    try:
        server = ScriptedServer(script.acknowledge, host="::1")
    except OSError:
        pytest.skip("This machine has no IPv6.")
    with server, fluentd_sink("fluentd") as sink:
        names.hosts["fluentd"] = [("::1", server.port)]
        sink.ship(batch_of(sink, {"n": 1}), 10)
        assert server.records() == [{"n": 1}]


def test_the_name_is_looked_up_for_every_connection(names: Names) -> None:
    """In a cluster, a restarted server comes back under another address."""
    with (
        ScriptedServer(script.take_and_reset) as before,
        ScriptedServer(script.acknowledge) as after,
        fluentd_sink("fluentd") as sink,
    ):
        batch = batch_of(sink, {})
        names.hosts["fluentd"] = [("127.0.0.1", before.port)]
        with pytest.raises(RefusedError):
            sink.ship(batch, 10)
        names.hosts["fluentd"] = [("127.0.0.1", after.port)]
        sink.ship(batch, 10)

        assert after.chunks() == [batch.id]


def test_a_name_without_addresses(names: Names) -> None:
    names.hosts["fluentd"] = []
    with fluentd_sink("fluentd") as sink, pytest.raises(OSError, match=r"^the host has no address$"):
        sink.ship(batch_of(sink, {}), 10)


def test_records_arrive_once_the_name_servers_answer(names: Names) -> None:
    with ScriptedServer(script.acknowledge) as server, fluentd_sink("fluentd") as sink:
        batch = batch_of(sink, {"n": 1})
        names.answering.clear()
        names.hosts["fluentd"] = [("127.0.0.1", server.port)]
        with pytest.raises(TimeoutError, match=r"^the lookup of the host 'fluentd' takes too long$"):
            sink.ship(batch, 0.05)
        names.answering.set()
        sink.ship(batch, 30)
        assert server.chunks() == [batch.id]


def test_a_forked_child_does_not_wait_for_a_lookup_of_its_parent(names: Names) -> None:
    """The thread in which it is made does not exist there."""
    with ScriptedServer(script.acknowledge) as server, fluentd_sink("fluentd") as sink:
        batch = batch_of(sink, {"from": "child"})
        names.answering.clear()
        names.hosts["fluentd"] = [("127.0.0.1", server.port)]

        with pytest.raises(TimeoutError):
            sink.ship(batch, 0.05)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                names.answering = threading.Event()  # the lock of the other may be held by the thread that waits
                names.answering.set()
                own = sink.forked()
                own.ship(batch, 5)
                own.close()
                code = 0
            finally:
                os._exit(code)

        assert os.waitpid(child, 0)[1] == 0
        assert server.records() == [{"from": "child"}]
