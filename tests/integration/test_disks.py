"""Servers whose disks are full, or become read-only under them, answer as ever and lose nothing uncounted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults import fill, mounted, mounted_until_it_fails, read_only
from tests.integration.ledger import NUMBERED_APP, Account, settled, write_baseline
from tests.integration.load import scrape, total
from tests.peers import Gunicorn, fetch, wait_for

WORKERS = 2


def server_of(tmp_path: Path, kind: type[Gunicorn] = Gunicorn, **settings: Any) -> Gunicorn:
    """Return a server that writes its records to files."""
    settings = {"sink": "file", "baseline": write_baseline(tmp_path / "baseline.prom"), **settings}
    env = {f"APP_BOXKITE_{name.upper()}": str(value) for name, value in settings.items()}
    return kind("numbered:app", tmp_path / "app", source=NUMBERED_APP, workers=WORKERS, env=env)


def predict(server: Gunicorn, requests: int) -> None:
    """Send requests, and fail unless each is answered as without us."""
    for number in range(requests):
        answer = fetch(f"{server.url}/score", json_body={"number": number})
        assert (answer.status, answer.json()) == (200, {"score": number})
        assert answer.headers["Boxkite-Prediction-Id"]


def answered_by_all(server: Gunicorn) -> float:
    """Return how many predictions every worker shows; fail unless all records are accounted for."""
    shown = set()
    for _ in range(4 * WORKERS):
        _, samples = scrape(server.port)
        Account.of(samples, "file")
        shown.add(total(samples, "boxkite_predictions_total"))
    (number,) = shown
    return number


def lines_below(directory: Path) -> int:
    """Return how many records were written."""
    return sum(len(path.read_text().splitlines()) for path in directory.rglob("*.txt"))


class GunicornOfLittleSharedMemory(Gunicorn):
    """A gunicorn that sees a small ``/dev/shm`` of its own, as in a container."""

    def _spawn(self, command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path | None = None) -> None:
        mount = 'mount -t tmpfs -o size=2m boxkite-test /dev/shm && exec "$@"'
        super()._spawn(["unshare", "--mount", "sh", "-c", mount, "sh", *command], env=env, cwd=cwd)


def test_a_shared_memory_that_fills_up_costs_no_count_and_no_process(tmp_path: Path) -> None:
    """Whatever others put there. A page that cannot be had when it is written to would be the end of a process."""
    settings = {"log_dir": tmp_path / "logs", "spool_dir": "/dev/shm/spool", "spool_bytes": 1024 * 1024}
    with mounted(tmp_path / "disk", "1m"):  # where nothing can be mounted, skip
        pass
    with server_of(tmp_path, GunicornOfLittleSharedMemory, **settings) as server:
        pids = server.worker_pids()
        wait_for(lambda: predict(server, 5) or len(state_files(pids)) == WORKERS, what="a file of each worker")
        before = answered_by_all(server)
        fill(Path(f"/proc/{server.pid}/root/dev/shm/filler"))
        predict(server, 200)
        assert answered_by_all(server) == before + 200
        assert server.worker_pids() == pids
        assert settled(server.port, "file").delivered == before + 200


def state_files(pids: Sequence[int]) -> list[str]:
    """Return the files in which workers count, as they see them."""
    (directory,) = Path(f"/proc/{pids[0]}/root/dev/shm").glob("boxkite-*")
    return [name for name in os.listdir(directory) if name.startswith("live-")]


def test_files_of_records_on_a_disk_that_is_read_only_for_a_while(tmp_path: Path) -> None:
    with mounted(tmp_path / "logs", "1m"), server_of(tmp_path, log_dir=tmp_path / "logs") as server:
        predict(server, 20)
        settled(server.port, "file")
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "logs")], check=True)
        predict(server, 50)
        account = Account.of(scrape(server.port)[1], "file")
        assert (account.accepted, account.delivered, account.waiting) == (70, 20, 50)
        subprocess.run(["mount", "-o", "remount,rw", str(tmp_path / "logs")], check=True)
        assert settled(server.port, "file").delivered == 70
        assert lines_below(tmp_path / "logs") == 70
        assert answered_by_all(server) == 70


def test_a_disk_that_fails_under_everything_takes_no_request_down(tmp_path: Path) -> None:
    """Counts, spool and files of records are on it. Mapped files can still be written to."""
    disk = tmp_path / "disk"
    with mounted_until_it_fails(disk) as fail:
        settings = {"state_dir": disk / "state", "spool_dir": disk / "spool", "log_dir": disk / "logs"}
        with server_of(tmp_path, **settings) as server:
            pids = server.worker_pids()
            predict(server, 40)
            settled(server.port, "file")
            fail()
            predict(server, 100)
            assert answered_by_all(server) == 140
            account = Account.of(scrape(server.port)[1], "file")
            assert (account.accepted, account.delivered, account.waiting) == (140, 40, 100)
            assert server.worker_pids() == pids
        assert lines_below(disk / "logs") == 40


@pytest.mark.parametrize("setting", ["state_dir", "spool_dir", "log_dir"])
def test_a_worker_killed_while_a_disk_is_read_only_is_replaced(tmp_path: Path, setting: str) -> None:
    """The new one serves, keeps in memory what it cannot write, and writes it once it can."""
    disk = tmp_path / "disk"
    settings = {"log_dir": tmp_path / "logs", "dashboard_path": "/boxkite", setting: disk}
    with server_of(tmp_path, **settings) as server:
        predict(server, 20)
        settled(server.port, "file")
        with read_only(disk):
            killed, survivor = server.worker_pids()
            os.kill(killed, signal.SIGKILL)
            wait_for(lambda: server.log().count("Worker is ready") > WORKERS, what="the new worker")
            predict(server, 50)
            (fresh,) = {*server.worker_pids()} - {survivor}
            of_fresh = wait_for(lambda: shown_by(server, fresh), what="a scrape of the new worker")
            assert of_fresh >= 20  # it reads what the others have counted
            for window in ("5m", "24h"):
                answer = fetch(f"{server.url}/boxkite/drift.json?window={window}")
                assert (answer.status, answer.json()["models"][0]["rows"]["ok"] >= 20) == (200, True)
            told = wait_for(lambda: re.findall("^.*Read-only file system.*$", server.log(), re.M), what="a warning")
            assert "Traceback" not in server.log()
            assert len(told) <= 2 * WORKERS
        wait_for(lambda: answered_by_all(server) == 70, what="the counts of all workers")
        assert settled(server.port, "file").delivered == 70
    assert lines_below(disk if setting == "log_dir" else tmp_path / "logs") == 70


def shown_by(server: Gunicorn, pid: int) -> float:
    """Return how many predictions a worker shows; 0 if another one has answered."""
    reply, samples = scrape(server.port)
    return total(samples, "boxkite_predictions_total") if reply == pid else 0
