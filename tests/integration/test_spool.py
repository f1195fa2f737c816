"""Records on disk outlive the processes that took them: killed workers, killed servers, deployments, scripts.

Real servers, killed at random moments, share a spool. What was answered must arrive, and every scrape must add up.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import ConfigError, ModelMonitoringService
from tests.faults import fill, mounted
from tests.integration.ledger import (
    NUMBERED_APP,
    SHARE_OF_DUPLICATES,
    Account,
    Clients,
    Keeper,
    account_of,
    arrived,
    check_all_arrived,
    compare,
    keep,
    keep_one,
    number_of,
    samples_of,
    send,
    settled,
    write_baseline,
)
from tests.integration.load import scrape, total
from tests.peers import FluentServer, Gunicorn, PythonServer, Uwsgi, fetch, wait_for
from tests.sinks.scripted_server import Peer

WORKERS = 4
ROUNDS = 3

Setup = tuple[type[Gunicorn] | type[Uwsgi], dict[str, Any]]
Start = Callable[..., Any]

GUNICORN: Setup = (Gunicorn, {})
GTHREAD: Setup = (Gunicorn, {"worker_class": "gthread", "args": ["--threads=4"]})
PRELOAD: Setup = (Gunicorn, {"preload": True})
RECYCLED: Setup = (Gunicorn, {"args": ["--max-requests=40", "--max-requests-jitter=40"]})
UWSGI: Setup = (Uwsgi, {"args": ["--forkbomb-delay=0"]})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a server of the app with a spool; they end with the test."""
    with ExitStack() as stack:

        def start(addr: str, setup: Setup = GUNICORN, *, name: str = "app", workers: int = 2, **settings: Any) -> Any:
            kind, options = setup
            settings = {
                "baseline": write_baseline(tmp_path / "baseline.prom"),
                "fluentd_addr": addr,
                "spool_dir": tmp_path / "spool",
                **settings,
            }
            env = {f"APP_BOXKITE_{name.upper()}": str(value) for name, value in settings.items()}
            directory = tmp_path / name
            server = kind("numbered:app", directory, source=NUMBERED_APP, workers=workers, env=env, **options)
            return stack.enter_context(server)

        yield start


@pytest.fixture
def fluentd(tmp_path: Path) -> FluentServer:
    """Return a server that is down, and knows its port."""
    return FluentServer(tmp_path / "fluentd")


def kill_workers(server: Any) -> None:
    """Kill all processes but the master, at once."""
    for pid in server.worker_pids():
        if pid != server.pid:
            os.kill(pid, signal.SIGKILL)


# --- workers that die -----------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize(
    "setup",
    [
        pytest.param(GUNICORN, id="sync"),
        pytest.param(GTHREAD, id="gthread"),
        pytest.param(PRELOAD, id="preload"),
        pytest.param(RECYCLED, id="recycled"),
        pytest.param(UWSGI, id="uWSGI"),
    ],
)
def test_workers_killed_while_fluentd_is_restarted_lose_nothing(
    start: Start, fluentd: FluentServer, rng: np.random.Generator, setup: Setup
) -> None:
    with fluentd:
        server = start(fluentd.addr, setup, workers=WORKERS)
        killed: set[int] = set()

        def kill_one() -> None:
            alive = [pid for pid in server.worker_pids() if pid not in killed]
            killed.add(alive[int(rng.integers(len(alive)))])
            os.kill(max(killed & set(alive)), signal.SIGKILL)

        with Clients(server.port) as clients:
            for _ in range(ROUNDS):
                clients.wait_answered(int(rng.integers(20, 60)))
                kill_one()
                clients.wait_answered(int(rng.integers(1, 40)))
                fluentd.kill()
                clients.wait_answered(int(rng.integers(1, 40)))
                kill_one()
                fluentd.start()
        account = settled(server.port)
        records = arrived(fluentd)
    # What a batch has in common with its double is its acknowledgement, lost with the process or the server.
    books = check_all_arrived(clients, records, most_duplicates=0.5)
    assert clients.scrapes
    # A process may be killed just between counting a request and writing it, of which no client has an answer.
    unanswered = len(clients.unanswered)
    assert account.dropped.keys() <= {"process_died"}
    assert sum(account.dropped.values()) <= unanswered <= 2 * ROUNDS * 4
    assert len(clients.answered) <= account.delivered <= len(clients.answered) + unanswered + books.duplicates


@pytest.mark.peers
def test_workers_killed_while_fluentd_works_deliver_only_what_was_in_hand_twice(
    start: Start, fluentd: FluentServer, rng: np.random.Generator
) -> None:
    """A batch whose acknowledgement did not arrive any more; how large it is depends on how busy the machine is."""
    with fluentd:
        server = start(fluentd.addr, workers=WORKERS)
        with Clients(server.port) as clients:
            for _ in range(5):
                clients.wait_answered(int(rng.integers(100, 200)))
                pids = server.worker_pids()
                os.kill(pids[int(rng.integers(len(pids)))], signal.SIGKILL)
        settled(server.port)
        check_all_arrived(clients, arrived(fluentd), most_duplicates=0.5)


@pytest.mark.peers
def test_workers_that_are_stopped_and_go_on_lose_and_double_nothing(
    start: Start, fluentd: FluentServer, rng: np.random.Generator
) -> None:
    """As by a debugger, a container that is paused, or a machine that swaps; others answer, count and scrape."""
    with fluentd:
        server = start(fluentd.addr)
        with Clients(server.port) as clients:
            for pid in 2 * server.worker_pids():
                clients.wait_answered(int(rng.integers(20, 60)))
                os.kill(pid, signal.SIGSTOP)
                clients.wait_answered(60)
                os.kill(pid, signal.SIGCONT)
        account = settled(server.port)
        check_all_arrived(clients, arrived(fluentd))
    assert not clients.unanswered
    assert account.accepted == account.delivered == len(clients.answered)


def test_a_process_killed_while_it_delivers_what_another_left_counts_nothing_twice(start: Start) -> None:
    """What follows a record that is refused was delivered, and cannot be struck off on the disk before it."""
    mode = "down"

    def behave(peer: Peer) -> None:
        while mode != "down":
            keep_one(peer, lambda records: mode == "up" or 0 not in map(number_of, records))

    with Keeper(behave) as keeper:
        server = start(keeper.addr, queue_bytes=40_000)  # small batches
        clients = send(server.port, 300)
        kill_workers(server)
        mode = "refuses one"

        def all_others_came() -> bool:
            Account.of(scrape(server.port)[1])
            return len(compare(clients, keeper.kept).missing) == 1

        wait_for(all_others_came, what="all records but one")
        kill_workers(server)
        mode = "up"
        account = settled(server.port)
        books = check_all_arrived(clients, keeper.kept, most_duplicates=1)
    assert account.delivered <= len(clients.answered) + books.duplicates


# --- servers that die -----------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize(
    "setup",
    [
        pytest.param(GUNICORN, id="gunicorn"),
        pytest.param(PRELOAD, id="gunicorn, preload"),
        pytest.param(UWSGI, id="uWSGI"),
    ],
)
def test_what_a_killed_server_left_is_delivered_by_the_next_with_its_first_scrape(
    start: Start, fluentd: FluentServer, setup: Setup
) -> None:
    """By one of another name too: records keep the tag under which they were taken."""
    server = start(fluentd.addr, setup, name="old", pod_name="old.pod", endpoint_id="fraud")
    clients = send(server.port, 150)
    server.kill()
    with fluentd:
        other = start(fluentd.addr, setup, name="new", pod_name="new.pod", endpoint_id="fraud")

        def nothing_is_missing() -> bool:
            Account.of(scrape(other.port)[1])
            return not compare(clients, arrived(fluentd)).missing

        wait_for(nothing_is_missing, what="what was left on disk")
        more = send(other.port, 20)
        account = settled(other.port)
        check_all_arrived(more, arrived(fluentd)[len(clients.answered) :])
        entries = fluentd.records()
    # No process counted them when the old server had taken them: the one that delivers them accepts them.
    assert account.accepted == account.delivered == len(clients.answered) + len(more.answered)
    ids = {one: set(sent.answered.values()) for one, sent in (("old", clients), ("new", more))}
    for entry in entries:
        pod = "old" if entry["record"]["entity_id"] in ids["old"] else "new"
        assert entry["tag"] == f"models.predictions.fraud.{pod}_pod"


@pytest.mark.peers
def test_a_server_restarted_with_a_named_directory_of_counts_accepts_nothing_twice(
    tmp_path: Path, start: Start, fluentd: FluentServer
) -> None:
    server = start(fluentd.addr, state_dir=tmp_path / "state")
    clients = send(server.port, 100)
    server.kill()
    server.start()
    more = send(server.port, 1)
    _, samples = scrape(server.port)
    account = Account.of(samples)
    assert account.waiting == account.accepted == len(clients.answered) + len(more.answered)
    with fluentd:
        account = settled(server.port)
        found = [record["entity_id"] for record in arrived(fluentd)]
    assert sorted(found) == sorted([*clients.answered.values(), *more.answered.values()])
    assert account.accepted == account.delivered == len(clients.answered) + len(more.answered)


@pytest.mark.peers
def test_of_two_servers_that_share_a_spool_one_delivers_what_the_other_left(
    start: Start, fluentd: FluentServer
) -> None:
    one, other = (start(fluentd.addr, name=name) for name in ("one", "other"))
    with Clients(one.port) as first, Clients(other.port) as second:
        first.wait_answered(100)
        second.wait_answered(100)
        one.kill()
        second.wait_answered(50)
    before = Account.of(scrape(other.port)[1])
    assert before.accepted == before.waiting == len(second.answered)
    with fluentd:

        def nothing_is_missing() -> bool:
            Account.of(scrape(other.port)[1])
            ids = {record["entity_id"] for record in arrived(fluentd)}
            return {*first.answered.values(), *second.answered.values()} <= ids

        wait_for(nothing_is_missing, what="what both have taken")
        account = settled(other.port)
        times = Counter(record["entity_id"] for record in arrived(fluentd))
    assert set(times.values()) == {1}
    assert account.accepted == account.delivered == len(times)
    assert len(times) <= len(first.answered) + len(second.answered) + len(first.unanswered)


@pytest.mark.peers
def test_of_two_servers_that_share_a_spool_and_live_each_delivers_its_own(start: Start, fluentd: FluentServer) -> None:
    """What workers left that were killed, too: the other server would accept it once more."""
    one, other = (start(fluentd.addr, name=name) for name in ("one", "other"))
    with Clients(one.port) as first, Clients(other.port) as second:
        for server, clients in ((one, first), (other, second)):
            clients.wait_answered(60)
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            clients.wait_answered(60)
    with fluentd:
        accounts = [settled(server.port) for server in (one, other)]
        check_all_arrived([first, second], arrived(fluentd))
    for account, clients in zip(accounts, (first, second), strict=True):
        assert len(clients.answered) <= account.accepted <= len(clients.answered) + len(clients.unanswered)
        assert account.dropped.keys() <= {"process_died"}


@pytest.mark.peers
def test_what_a_server_left_that_was_not_reaped_is_delivered_by_another(start: Start, fluentd: FluentServer) -> None:
    """As in a container whose first process asks for no exit codes: the master stays in the table of processes."""
    one, other = (start(fluentd.addr, name=name) for name in ("one", "other"))
    clients = send(one.port, 50)
    os.killpg(one.pid, signal.SIGKILL)
    with fluentd:

        def nothing_is_missing() -> bool:
            Account.of(scrape(other.port)[1])
            return not compare(clients, arrived(fluentd)).missing

        wait_for(nothing_is_missing, what="what the other left on disk")
        account = settled(other.port)
    assert Path(f"/proc/{one.pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    assert account.accepted == account.delivered == len(clients.answered)


@pytest.mark.peers
def test_what_flask_run_leaves_when_it_is_killed_comes_when_it_runs_again(
    tmp_path: Path, fluentd: FluentServer
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "numbered.py").write_text(NUMBERED_APP)
    env = {
        "APP_BOXKITE_FLUENTD_ADDR": fluentd.addr,
        "APP_BOXKITE_SPOOL_DIR": str(tmp_path / "spool"),
        "APP_BOXKITE_BASELINE": str(write_baseline(tmp_path / "baseline.prom")),
    }
    command = ["-m", "flask", "--app=numbered", "run", "--port=0"]
    with PythonServer(command, tmp_path / "app", env=env) as server:
        for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            for number in range(10):
                assert fetch(f"{server.url}/score", json_body={"number": number}).status == 200
            server.stop(signum)
            server.start()
        with fluentd:
            wait_for(lambda: fetch(f"{server.url}/metrics") and len(arrived(fluentd)) >= 30, what="what was left")
            assert len({record["entity_id"] for record in arrived(fluentd)}) == len(arrived(fluentd)) == 30


SCRIPT = """
    import os, signal, sys
    from flask_boxkite import ModelMonitoringService

    addr, spool, number, end = sys.argv[1:]
    places = {"spool_dir": spool, "state_dir": spool + "-state"}
    service = ModelMonitoringService(sink="fluentd", fluentd_addr=addr, shutdown_timeout=0.2, **places)
    print("left", service.flush(20) if end == "flush" else 0)
    for index in range(int(number)):
        print(service.log_prediction({"number": index}, features=[index], output=index).rpartition("/")[2])
    sys.stdout.flush()
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def script(*arguments: object) -> list[str]:
    """Run the script; return what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert "Dropped" not in done.stderr
    return done.stdout.split()


@pytest.mark.peers
def test_a_script_that_is_run_again_flushes_what_several_before_it_left(tmp_path: Path, fluentd: FluentServer) -> None:
    spool = tmp_path / "spool"
    left = [*script(fluentd.addr, spool, 500, "kill"), *script(fluentd.addr, spool, 300, "exit")]
    left += script(fluentd.addr, spool, 1, "kill")
    with fluentd:
        assert script(fluentd.addr, spool, 0, "flush") == ["left", "0"]
        assert Counter(record["entity_id"] for record in arrived(fluentd)) == Counter(
            word for word in left if word not in ("left", "0")
        )
    assert list(spool.iterdir()) == []


# --- disks that are full, read-only or damaged ----------------------------------------------------------------------


def service_for(keeper: Keeper | str, spool: Path, **settings: Any) -> ModelMonitoringService:
    """Make a service with a spool."""
    addr = keeper if isinstance(keeper, str) else keeper.addr
    options: dict[str, Any] = {"spool_dir": str(spool), "shutdown_timeout": 0, **settings}
    return ModelMonitoringService(sink="fluentd", fluentd_addr=addr, **options)


def log(service: ModelMonitoringService, number: int, size: int = 0) -> list[str]:
    """Log so many predictions; return their entity ids."""
    bodies = ({"number": index, "pad": "x" * size} for index in range(number))
    return [service.log_prediction(body, features=[1], output=1).rpartition("/")[2] for body in bodies]


@pytest.mark.peers
def test_a_full_disk_degrades_to_memory_and_recovers_when_it_has_room(tmp_path: Path, fluentd: FluentServer) -> None:
    with mounted(tmp_path / "disk", "4m"):
        service = service_for(fluentd.addr, tmp_path / "disk" / "spool")
        ids = log(service, 50)
        fill(tmp_path / "disk" / "filler")
        ids += log(service, 500, 10_000)
        samples = samples_of(service)
        account = Account.of(samples)
        unspooled = total(samples, "boxkite_log_unspooled_total")
        assert 100 < unspooled < len(ids)
        assert account.accepted == account.waiting == len(ids)
        in_memory = total(samples, "boxkite_log_queue_bytes")
        assert in_memory >= 10_000 * unspooled
        (tmp_path / "disk" / "filler").unlink()
        # There is no room for all of it, but for more than there was.
        wait_for(lambda: total(samples_of(service), "boxkite_log_queue_bytes") < in_memory, what="a move to the disk")
        assert account_of(service).waiting == len(ids)
        assert total(samples_of(service), "boxkite_log_unspooled_total") == unspooled
        with fluentd:
            assert service.flush(30) == 0
            assert Counter(record["entity_id"] for record in arrived(fluentd)) == Counter(ids)
            wait_for(lambda: total(samples_of(service), "boxkite_log_queue_bytes") == 0, what="an empty memory")
        account = account_of(service)
        assert account.accepted == account.delivered == len(ids)
        service.close()


@pytest.mark.parametrize("kind", ["a file", "below a file", "below a read-only disk"])
def test_a_spool_that_cannot_be_written_is_said_at_set_up(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        spool = tmp_path / "spool"
        if kind == "a read-only disk":
            stack.enter_context(mounted(spool, "1m"))
            subprocess.run(["mount", "-o", "remount,ro", str(spool)], check=True)
        else:
            spool.touch()
            spool = spool / "below" if kind == "below a file" else spool
        with pytest.raises(ConfigError, match="BOXKITE_SPOOL_DIR") as caught:
            service_for("127.0.0.1:1", spool)
        assert str(spool) in str(caught.value) or str(spool.parent) in str(caught.value)


@pytest.mark.peers
def test_beyond_the_bound_the_oldest_are_dropped_and_counted_exactly(tmp_path: Path, fluentd: FluentServer) -> None:
    spool = tmp_path / "spool"
    service = service_for(fluentd.addr, spool, spool_bytes=1024 * 1024)
    ids = log(service, 5000)
    account = account_of(service)
    assert account.dropped.keys() == {"spool_full"}
    assert account.accepted == len(ids)
    assert sum(path.stat().st_size for path in spool.rglob("*") if path.is_file()) <= 1.01 * 1024 * 1024
    with fluentd:
        assert service.flush(30) == 0
        found = [record["entity_id"] for record in arrived(fluentd)]
        service.close()
    dropped = account_of(service).dropped
    assert len(set(found)) == len(found) == account_of(service).delivered
    assert dropped == {"spool_full": len(ids) - len(found)}
    assert 500 < dropped["spool_full"] < 4000
    # A batch that is on its way is not given up for newer ones; of the others, the oldest are.
    assert ids[-1000:] == found[-1000:]


@pytest.mark.peers
def test_workers_that_share_a_small_spool_lose_nothing_uncounted(start: Start, fluentd: FluentServer) -> None:
    """Two of them were killed: the others make room at the expense of the oldest."""
    server = start(fluentd.addr, spool_bytes=1024 * 1024, queue_bytes=50_000)
    first = send(server.port, 300)
    kill_workers(server)
    with Clients(server.port) as second:
        second.wait_answered(2000)
    answered = {*first.answered.values(), *second.answered.values()}
    with fluentd:
        account = settled(server.port)
        times = Counter(record["entity_id"] for record in arrived(fluentd))
    assert not second.unanswered
    assert account.accepted == len(answered)
    assert times.keys() <= answered
    assert account.dropped.keys() <= {"spool_full", "queue_full"}
    assert sum(account.dropped.values()) == len(answered) - len(times)
    assert account.delivered == len(times)


@pytest.mark.parametrize("what", ["directory", "spool", "segments"])
def test_a_spool_deleted_while_it_is_in_use_costs_nothing_that_was_not_sealed(tmp_path: Path, what: str) -> None:
    with Keeper(keep) as keeper:
        service = service_for(keeper, tmp_path / "spool")
        ids = log(service, 100)
        assert service.flush(20) == 0
        (directory,) = (tmp_path / "spool").iterdir()
        if what == "segments":
            for path in directory.glob("*.seg"):
                path.unlink()
        else:
            shutil.rmtree(directory if what == "directory" else tmp_path / "spool")
        for _ in range(5):
            ids += log(service, 100)
            assert service.flush(20) == 0
        account = account_of(service)
        assert account.accepted == account.delivered == 600
        service.close()
    assert Counter(record["entity_id"] for record in keeper.kept) == Counter(ids)


def test_damaged_files_in_a_spool_keep_no_others_from_being_delivered(
    tmp_path: Path, rng: np.random.Generator, free_tcp_port: int
) -> None:
    """Each process left a few segments, of which something was torn, cut, emptied, overwritten or replaced."""
    spool = tmp_path / "spool"
    ids: dict[str, list[str]] = {}
    damages = [tear, cut, empty, overwrite, make_a_directory, make_a_link, spoil_owner, no_damage]
    for damage in damages:
        before = set(spool.iterdir()) if spool.exists() else set()
        ids[damage.__name__] = script(f"127.0.0.1:{free_tcp_port}", spool, 40, "kill")[2:]
        (directory,) = set(spool.iterdir()) - before
        damage(directory, rng)
    (spool / "fluentd-README").write_text("Not ours.")
    (spool / f"fluentd-{'0' * 32}").mkdir()
    with Keeper(keep) as keeper:
        service = service_for(keeper, spool)
        own = log(service, 10)
        assert service.flush(30) == 0
        account = account_of(service)
        service.close()
    found = Counter(record["entity_id"] for record in keeper.kept)
    assert found.keys() <= {*own, *(one for some in ids.values() for one in some)}
    assert set(found.values()) == {1}
    assert set(own) <= found.keys()
    assert set(ids["no_damage"]) <= found.keys()
    assert len(set(ids["tear"]) - found.keys()) == 1
    assert len(set(ids["make_a_link"]) - found.keys()) == 40
    assert account.delivered == len(found)
    assert account.dropped.get("damaged", 0) >= 1


def segment_of(directory: Path) -> Path:
    """Return the only segment."""
    (segment,) = directory.glob("*.seg")
    return segment


def tear(directory: Path, rng: np.random.Generator) -> None:
    """Change a byte of the third record."""
    path = segment_of(directory)
    data = bytearray(path.read_bytes())
    position = [at for at in range(len(data)) if data.startswith(b"entity_id", at)][2]
    data[position + 20] ^= 1
    path.write_bytes(data)


def cut(directory: Path, rng: np.random.Generator) -> None:
    """Cut in the middle of a record."""
    os.truncate(segment_of(directory), 5000)


def empty(directory: Path, rng: np.random.Generator) -> None:
    """Leave nothing."""
    os.truncate(segment_of(directory), 0)


def overwrite(directory: Path, rng: np.random.Generator) -> None:
    """Overwrite all with chance."""
    path = segment_of(directory)
    path.write_bytes(rng.bytes(path.stat().st_size))


def make_a_directory(directory: Path, rng: np.random.Generator) -> None:
    """Put a directory in the place of the segment."""
    path = segment_of(directory)
    path.unlink()
    path.mkdir()


def make_a_link(directory: Path, rng: np.random.Generator) -> None:
    """Put a link in the place of the segment, to its content elsewhere."""
    path = segment_of(directory)
    elsewhere = directory.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def spoil_owner(directory: Path, rng: np.random.Generator) -> None:
    """Make it unknown whose records these are."""
    (directory / "owner").write_text(json.dumps({"sink": "fluentd"}))


def no_damage(directory: Path, rng: np.random.Generator) -> None:
    """Leave it as it is."""


# --- counts that are deleted ----------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("kills", [0, 1, 2])
def test_accounts_balance_though_the_counts_are_deleted(
    tmp_path: Path, start: Start, fluentd: FluentServer, kills: int
) -> None:
    """The clients' scraper holds every scrape against the account; no record is lost, and none waits unseen."""
    server = start(fluentd.addr, state_dir=tmp_path / "state", workers=WORKERS)
    with Clients(server.port) as clients:
        clients.wait_answered(60)
        kill_workers(server)  # what these left is delivered by others, who are not those that accepted it
        clients.wait_answered(60)
    with fluentd:
        settled(server.port)
    with Clients(server.port) as more:
        more.wait_answered(60)
        shutil.rmtree(tmp_path / "state", ignore_errors=True)  # a worker may be the faster, and make a new file
        for _ in range(kills):
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            more.wait_answered(60)
        if not kills:
            more.wait_answered(60)
    with fluentd:
        # What a killed process left whose counts are gone is in no account before it is delivered.
        wait_for(lambda: not compare([clients, more], arrived(fluentd)).missing, what="all records")
        account = settled(server.port)
    assert account.dropped.keys() <= {"process_died"}
    last = send(server.port, 20)

    def all_that_waits_is_seen() -> bool:
        """Say so once each worker has noticed, which it does with its next slot of ten seconds, if it is asked."""
        waiting = Account.of(scrape(server.port)[1]).waiting
        return len(last.answered) <= waiting <= len(last.answered) + len(last.unanswered)

    wait_for(all_that_waits_is_seen, what="accounts that are exact")


# --- several sinks --------------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_of_two_sinks_one_that_is_down_keeps_nothing_from_the_other(
    tmp_path: Path, start: Start, fluentd: FluentServer
) -> None:
    server = start(fluentd.addr, sink="fluentd,file", log_dir=tmp_path / "records")
    with Clients(server.port) as clients:
        clients.wait_answered(100)
        kill_workers(server)
        clients.wait_answered(100)
    files = settled(server.port, "file")
    written = [
        json.loads(line) for path in (tmp_path / "records").rglob("*.txt") for line in path.read_text().splitlines()
    ]
    check_all_arrived(clients, written, most_duplicates=SHARE_OF_DUPLICATES)
    waiting = Account.of(scrape(server.port)[1])
    assert waiting.waiting == waiting.accepted >= len(clients.answered)
    assert waiting.delivered == 0
    with fluentd:
        account = settled(server.port)
        check_all_arrived(clients, arrived(fluentd))
    for one in (files, account):
        assert len(clients.answered) <= one.accepted <= len(clients.answered) + len(clients.unanswered)
        assert one.dropped.keys() <= {"process_died"}
