"""Every record is delivered, or counted as dropped: through servers that are down, silent, lie, reset or come and go.

What is told to clients, what arrives, and what the metrics say are held against each other, with records in memory and
on disk.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.delivery import TIMINGS, Timings
from flask_boxkite.monitoring.app import AppMonitor
from tests.integration.ledger import (
    NUMBERED_APP,
    Clients,
    Keeper,
    account_of,
    arrived,
    check_all_arrived,
    compare,
    dropped_in,
    keep,
    keep_one,
    number_of,
    samples_of,
    send,
    settled,
    write_baseline,
)
from tests.integration.load import scrape, select, total
from tests.peers import FluentServer, Gunicorn, wait_for
from tests.sinks import scripted_server as script
from tests.sinks.scripted_server import Behaviour, Peer

KEY = "open-sesame"
Start = Callable[..., Gunicorn]


@pytest.fixture(params=["memory", "spool"])
def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return the settings that say where records wait."""
    return {} if request.param == "memory" else {"spool_dir": str(tmp_path / "spool")}


# --- real servers of both kinds -------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path: Path, keeping: dict[str, str]) -> Iterator[Start]:
    """Return what starts a server of the app; they end with the test."""
    with ExitStack() as stack:

        def start(addr: str, **settings: Any) -> Gunicorn:
            settings = {
                "baseline": write_baseline(tmp_path / "baseline.prom"),
                "fluentd_addr": addr,
                "shutdown_timeout": 1,
                **keeping,
                **settings,
            }
            env = {f"APP_BOXKITE_{name.upper()}": str(value) for name, value in settings.items()}
            server = Gunicorn("numbered:app", tmp_path / "app", source=NUMBERED_APP, workers=2, env=env)
            return stack.enter_context(server)

        yield start


@pytest.mark.peers
@pytest.mark.parametrize("key", [None, KEY], ids=["no key", "shared key"])
def test_what_a_server_misses_while_it_is_down_comes_when_it_is_up(
    tmp_path: Path, start: Start, key: str | None
) -> None:
    """Down at the start, killed under load and back, and in the end no client sends or scrapes any more."""
    fluentd = FluentServer(tmp_path / "fluentd", shared_key=key)
    with ExitStack() as stack:
        server = start(fluentd.addr, **({} if key is None else {"fluentd_shared_key": key}))
        with Clients(server.port) as clients:
            clients.wait_answered(100)
            stack.enter_context(fluentd)
            for signum in (signal.SIGKILL, signal.SIGTERM):
                clients.wait_answered(100)
                fluentd.stop(signum)
                clients.wait_answered(100)
                if signum == signal.SIGKILL:
                    fluentd.start()
        assert compare(clients, arrived(fluentd)).missing
        fluentd.start()
        wait_for(lambda: not compare(clients, arrived(fluentd)).missing, what="what is missing")
        account = settled(server.port)
        # A server that is killed may have kept a batch, and not acknowledged it.
        books = check_all_arrived(clients, arrived(fluentd), most_duplicates=1)
    assert clients.scrapes
    assert not clients.unanswered
    assert account.accepted == account.delivered == books.received == len(clients.answered)
    assert not account.dropped


@pytest.mark.peers
def test_a_server_that_is_killed_again_and_again_under_load_loses_nothing(
    tmp_path: Path, start: Start, rng: np.random.Generator
) -> None:
    with FluentServer(tmp_path / "fluentd") as fluentd:
        server = start(fluentd.addr)
        with Clients(server.port) as clients:
            for _ in range(6):
                clients.wait_answered(int(rng.integers(1, 80)))
                fluentd.kill()
                clients.wait_answered(int(rng.integers(1, 40)))
                fluentd.start()
        account = settled(server.port)
        check_all_arrived(clients, arrived(fluentd), most_duplicates=1)
    assert account.accepted == account.delivered == len(clients.answered)
    assert not account.dropped


@pytest.mark.peers
def test_of_two_servers_the_other_takes_what_one_cannot(tmp_path: Path, start: Start) -> None:
    with FluentServer(tmp_path / "one") as one, FluentServer(tmp_path / "other") as other:
        server = start(f"{one.addr},{other.addr}")
        with Clients(server.port) as clients:
            for victim, heir in ((one, other), (other, one), (one, other)):
                clients.wait_answered(60)
                victim.kill()
                before = len(heir.records())
                clients.wait_for(lambda heir=heir, before=before: len(heir.records()) > before, "records elsewhere")
                victim.start()
        account = settled(server.port)
        check_all_arrived(clients, arrived(one, other), most_duplicates=1)
        assert one.records()
        assert other.records()
    assert account.accepted == account.delivered == len(clients.answered)
    assert not account.dropped


@pytest.mark.peers
def test_a_server_that_is_stopped_under_load_delivers_what_it_answered(tmp_path: Path, start: Start) -> None:
    """From memory before it is gone; from the disk then or after its next start, without any request."""
    with FluentServer(tmp_path / "fluentd") as fluentd:
        server = start(fluentd.addr)
        with Clients(server.port) as clients:
            clients.wait_answered(200)
            assert server.stop(timeout=20) == 0
        assert dropped_in(server.log()) == 0
        if "APP_BOXKITE_SPOOL_DIR" in server._env:
            server.start()
            settled(server.port)
            wait_for(lambda: not compare(clients, arrived(fluentd)).missing, what="what was left on disk")
        check_all_arrived(clients, arrived(fluentd))


@pytest.mark.peers
def test_a_server_is_stopped_although_fluentd_is_a_black_hole(tmp_path: Path, start: Start) -> None:
    """What is in memory is dropped, and said so; what is on disk comes after the next start."""
    with Keeper(script.swallow) as black_hole:
        server = start(black_hole.addr)
        clients = send(server.port, 100)
        wait_for(lambda: black_hole.batches, what="a batch on its way")
        assert server.stop(timeout=20) == 0
        log = server.log()
        port = black_hole.port
    if "APP_BOXKITE_SPOOL_DIR" not in server._env:
        assert dropped_in(log) == len(clients.answered)
        return
    assert dropped_in(log) == 0
    with FluentServer(tmp_path / "fluentd", port=port) as fluentd:
        server.start()

        def nothing_is_missing() -> bool:
            scrape(server.port)
            return not compare(clients, arrived(fluentd)).missing

        wait_for(nothing_is_missing, what="what was left on disk")
        account = settled(server.port)
        books = check_all_arrived(clients, arrived(fluentd))
    assert account.accepted == account.delivered == books.received == len(clients.answered)


@pytest.mark.peers
@pytest.mark.parametrize("keeping", ["memory"], indirect=True)
def test_a_full_queue_drops_the_oldest_and_counts_them_but_every_row_is_counted(tmp_path: Path, start: Start) -> None:
    fluentd = FluentServer(tmp_path / "fluentd")
    server = start(fluentd.addr, queue_bytes=20_000)
    clients = send(server.port, 300)
    with fluentd:
        account = settled(server.port)
        _, samples = scrape(server.port)
        books = compare(clients, arrived(fluentd))
    assert not clients.unanswered
    assert account.accepted == len(clients.answered)
    assert account.dropped == {"queue_full": len(books.missing)}
    assert len(books.missing) > 100
    assert account.delivered == books.received > 50
    assert total(samples, "boxkite_predictions_total", status="ok") == len(clients.answered)
    assert total(samples, "boxkite_feature_value_count", feature="number") == len(clients.answered)
    last = sorted(clients.answered)[-10:]
    assert not books.missing & set(last)


# --- a server that does not do as it should -------------------------------------------------------------------------


HASTY = Timings(
    linger_seconds=0.01,
    ship_timeout_seconds=0.3,
    first_backoff_seconds=0.01,
    last_backoff_seconds=0.05,
    first_suspect_pause_seconds=0.02,
)
"""Times after which the recorder loses patience, made short; their order stays."""


@contextmanager
def service_for(
    server: Keeper, keeping: dict[str, str], timings: Timings = TIMINGS, **settings: Any
) -> Iterator[ModelMonitoringService]:
    """Make a service whose records go to a server; it is closed at the end, without waiting."""
    options: dict[str, Any] = {"shutdown_timeout": 0, **keeping, **settings}
    service = ModelMonitoringService(sink="fluentd", fluentd_addr=server.addr, **options)
    service.app = AppMonitor(service.app.settings, service.model, {service.model: None}, timings=timings)
    service.monitor = service.app.model_or_new(service.model)
    try:
        yield service
    finally:
        service.close()


class Writer:
    """Logs numbered predictions through a service.

    Attributes:
        ids: The entity id of each, by its number.
    """

    def __init__(self, service: ModelMonitoringService) -> None:
        self.ids: dict[int, str] = {}
        self._service = service

    def log(self, number: int, body: str = "") -> None:
        """Log so many."""
        for _ in range(number):
            serial = len(self.ids)
            prediction = self._service.log_prediction(body or {"number": serial}, features=[serial], output=serial)
            self.ids[serial] = prediction.rpartition("/")[2]


def check_kept(server: Keeper, writer: Writer, *, dropped: int = 0) -> None:
    """Check that the server has kept exactly what was logged, and so often as it may."""
    times = Counter(record["entity_id"] for record in server.kept)
    assert times.keys() <= set(writer.ids.values())
    assert len(writer.ids) - len(times) == dropped


def reset_behind(size: int) -> Behaviour:
    """Read so many bytes of what comes, then reset."""

    def behave(peer: Peer) -> None:
        read = 0
        while read < size:
            read += len(peer.receive_bytes())
        peer.reset()

    return behave


def acknowledge_something_else(peer: Peer) -> None:
    """Acknowledge a chunk that was never sent."""
    peer.receive_batch()
    peer.send({"ack": "another"})
    peer.wait_until_gone()


def acknowledge_the_batch_before(peer: Peer) -> None:
    """Keep one batch, and acknowledge it once more instead of the next."""
    _, entries, option = peer.receive_batch()
    assert isinstance(peer.server, Keeper)
    peer.server.kept += [record for _, record in script.entries_of(entries)]
    peer.send({"ack": option["chunk"]})
    peer.receive_batch()
    peer.send({"ack": option["chunk"]})
    peer.wait_until_gone()


def acknowledge_before_it_is_asked(peer: Peer) -> None:
    """Send acknowledgements at once, then take what comes."""
    for _ in range(3):
        peer.send({"ack": "early"})
    peer.wait_until_gone()


def answer_without_end(peer: Peer) -> None:
    """Answer a batch with a text that has no end, as fast as it is read."""
    peer.receive_batch()
    peer.connection.sendall(b"\xdb\xff\xff\xff\xff")
    while True:
        peer.connection.sendall(b"x" * 65536)


def keep_and_lose_the_acknowledgement(peer: Peer) -> None:
    """Keep a batch; reset before its acknowledgement is out."""
    _, entries, _ = peer.receive_batch()
    assert isinstance(peer.server, Keeper)
    peer.server.kept += [record for _, record in script.entries_of(entries)]
    peer.reset()


def keep_in_crumbs(peer: Peer) -> None:
    """Keep one batch, and acknowledge it a byte at a time."""
    _, entries, option = peer.receive_batch()
    assert isinstance(peer.server, Keeper)
    peer.server.kept += [record for _, record in script.entries_of(entries)]
    for byte in msgpack.packb({"ack": option["chunk"]}):
        peer.connection.sendall(bytes([byte]))
        peer.server.closing.wait(0.001)


BAD = {
    "hangs up": script.hang_up,
    "resets in mid-batch": reset_behind(3000),
    "resets before the acknowledgement": script.take_and_reset,
    "keeps, and loses the acknowledgement": keep_and_lose_the_acknowledgement,
    "acknowledges half": script.half_an_answer,
    "acknowledges another chunk": acknowledge_something_else,
    "acknowledges the batch before": acknowledge_the_batch_before,
    "acknowledges too early": acknowledge_before_it_is_asked,
    "answers garbage": script.answer(b"\xc1\xff\x00garbage"),
    "answers a number": script.answer(b"\x07"),
    "answers nothing": script.answer(b""),
    "answers nil as a chunk": script.answer(msgpack.packb({"ack": None})),
    "answers a list": script.answer(msgpack.packb([["ack"]])),
    "answers without end": answer_without_end,
    "dribbles": script.dribble,
    "never reads": script.never_read,
    "never answers": script.swallow,
}


@pytest.mark.parametrize("behaviour", BAD.values(), ids=BAD.keys())
def test_nothing_is_lost_to_a_server_that_now_and_then(keeping: dict[str, str], behaviour: Behaviour) -> None:
    """It misbehaves twice, with a batch or two in order between."""
    with Keeper(behaviour, keep_one, behaviour, keep) as server, service_for(server, keeping, HASTY) as service:
        writer = Writer(service)
        writer.log(100)

        def has_come_to_the_last() -> bool:
            writer.log(5)
            return server.connections >= 4

        wait_for(has_come_to_the_last, what="the last connection")
        wait_for(lambda: account_of(service).waiting == 0, what="delivery of all")
        account = account_of(service)
        assert account.accepted == account.delivered == len(writer.ids)
        assert not account.dropped
        check_kept(server, writer)
        assert total(samples_of(service), "boxkite_log_retries_total") >= 1
        # What is sent again is the same, under the same id.
        entries = {}
        for _, tag, data, option in server.batches:
            assert entries.setdefault(option["chunk"], (tag, data)) == (tag, data)


def test_nothing_is_lost_to_a_server_that_does_anything_at_random(
    keeping: dict[str, str], rng: np.random.Generator
) -> None:
    """A server that fails so often may seem to refuse a record; here no record is given up for it."""
    timings = replace(HASTY, refusals_before_giving_up=1000)
    bad = [
        behaviour for name, behaviour in BAD.items() if not name.startswith(("never", "dribbles", "answers nothing"))
    ]
    good = [keep_one, keep_in_crumbs]
    behaviours = [
        *(bad[index] if rng.random() < 0.6 else good[index % 2] for index in rng.integers(len(bad), size=60)),
        keep,
    ]
    with Keeper(*behaviours) as server, service_for(server, keeping, timings, queue_bytes=100_000) as service:
        writer = Writer(service)
        while server.connections <= 60:
            writer.log(10)
            time.sleep(0.005)
            assert len(writer.ids) < 50_000
        wait_for(lambda: account_of(service).waiting == 0, what="delivery of all")
        account = account_of(service)
        assert account.accepted == account.delivered + sum(account.dropped.values()) == len(writer.ids)
        assert account.dropped.keys() <= {"queue_full"}
        check_kept(server, writer, dropped=account.dropped.get("queue_full", 0))


def test_predictions_do_not_wait_for_a_server_that_never_reads(keeping: dict[str, str]) -> None:
    """They are all done while the first batch still fills the buffers of a connection whose server reads nothing."""
    with Keeper(script.never_read) as server, service_for(server, keeping) as service:
        writer = Writer(service)
        writer.log(10)
        wait_for(lambda: server.connections == 1, what="a connection")
        writer.log(2000)
        assert server.connections == 1
        account = account_of(service)
        assert (account.accepted, account.delivered, account.waiting) == (2010, 0, 2010)
        assert total(samples_of(service), "boxkite_predictions_total", status="ok") == 2010


def test_a_flood_that_nobody_takes_stays_within_the_bound(keeping: dict[str, str], free_tcp_port: int) -> None:
    addr = f"127.0.0.1:{free_tcp_port}"
    bounds = {"queue_bytes": 200_000, "spool_bytes": 1024 * 1024}
    service = ModelMonitoringService(sink="fluentd", fluentd_addr=addr, shutdown_timeout=0, **keeping, **bounds)
    threads = [threading.Thread(target=Writer(service).log, args=(1500,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    most_bytes = 0.0
    while any(thread.is_alive() for thread in threads):
        samples = samples_of(service)
        most_bytes = max(most_bytes, total(samples, "boxkite_log_queue_bytes"))
        assert total(samples, "boxkite_log_spool_bytes") <= 1.1 * 1024 * 1024
        account = account_of(service)
    for thread in threads:
        thread.join()
    account = account_of(service)
    service.close()
    assert account.accepted == 6000
    assert account.delivered == 0
    assert 100 < account.waiting < 6000
    assert account.dropped.keys() == {"spool_full" if keeping else "queue_full"}
    assert most_bytes <= 200_000


def test_records_that_a_server_never_acknowledges_are_given_up_and_all_others_delivered(
    keeping: dict[str, str],
) -> None:
    poison = {7, 8, 250}

    def keep_what_is_no_poison(peer: Peer) -> None:
        while True:
            keep_one(peer, lambda records: not poison & set(map(number_of, records)))

    # An acknowledgement that is only late would bring a record twice.
    patient = replace(HASTY, ship_timeout_seconds=60)
    with Keeper(keep_what_is_no_poison) as server, service_for(server, keeping, patient) as service:
        writer = Writer(service)
        writer.log(300)

        def is_given_up() -> bool:
            writer.log(5)
            return account_of(service).dropped.get("refused", 0) == len(poison)

        wait_for(is_given_up, what="the end of patience with poison")
        wait_for(lambda: account_of(service).waiting == 0, what="delivery of all others")
        account = account_of(service)
        assert account.dropped == {"refused": len(poison)}
        assert account.delivered == len(writer.ids) - len(poison)
        check_kept(server, writer, dropped=len(poison))
        assert {number_of(record) for record in server.kept} == writer.ids.keys() - poison
        assert max(Counter(record["entity_id"] for record in server.kept).values()) == 1


def test_an_outage_of_a_server_that_takes_connections_is_no_refusal(keeping: dict[str, str]) -> None:
    """However long it lasts: a load balancer, say, whose servers are all gone."""
    with Keeper(*[script.hang_up] * 60, keep) as server, service_for(server, keeping, HASTY) as service:
        writer = Writer(service)
        writer.log(3)  # so few that each is tried alone, often enough to be given up
        wait_for(lambda: server.connections > 60, what="the end of the outage")
        writer.log(100)
        wait_for(lambda: account_of(service).waiting == 0, what="delivery of all")
        account = account_of(service)
        assert account.accepted == account.delivered == len(writer.ids)
        assert not account.dropped
        check_kept(server, writer)


def test_a_record_that_is_too_large_is_counted_and_holds_up_no_others(keeping: dict[str, str]) -> None:
    with Keeper(keep) as server, service_for(server, keeping, queue_bytes=10_000) as service:
        writer = Writer(service)
        writer.log(1)
        writer.log(1, "x" * 20_000)
        writer.log(1)
        assert service.flush(30) == 0
        account = account_of(service)
        assert (account.accepted, account.delivered, account.dropped) == (3, 2, {"too_large": 1})
        assert [record["output"] for record in server.kept] == [0, 2]


def test_names_of_dropped_reasons_are_all_there_from_the_start(keeping: dict[str, str]) -> None:
    """Else the first drop would be no increase."""
    with Keeper(keep) as server, service_for(server, keeping) as service:
        reasons = select(samples_of(service), "boxkite_log_dropped_total", "reason", sink="fluentd")
        assert set(reasons.values()) == {0.0}
        assert {"queue_full", "spool_full", "refused", "shutdown", "process_died", "damaged"} <= reasons.keys()
