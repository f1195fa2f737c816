"""Servers that may open few files, or have little memory, answer as ever and lose nothing uncounted."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.integration.ledger import NUMBERED_APP, settled, write_baseline
from tests.integration.load import scrape, total
from tests.peers import Gunicorn, fetch

REQUESTS = 50


class LimitedGunicorn(Gunicorn):
    """A gunicorn that is started with limits, as by ``ulimit``."""

    def _spawn(self, command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path | None = None) -> None:
        super()._spawn(["prlimit", "--nofile=64", f"--as={2**30}", *command], env=env, cwd=cwd)


def in_use(pid: int, limit: int) -> int:
    """Return how much a process has of what a limit bounds."""
    if limit == resource.RLIMIT_NOFILE:
        return max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("spool", ["spool", ""], ids=["on disk", "in memory"])
def test_a_server_that_has_reached_its_limits_answers_and_accounts_for_all(tmp_path: Path, spool: str) -> None:
    """Of files, it may open the connection and one more; of memory, it has what it has."""
    env = {"BASELINE": write_baseline(tmp_path / "b.prom"), "SINK": "file", "LOG_DIR": tmp_path / "logs"}
    env |= {"SPOOL_DIR": tmp_path / spool} if spool else {}
    names = {f"APP_BOXKITE_{name}": str(value) for name, value in env.items()}
    with LimitedGunicorn("numbered:app", tmp_path / "app", source=NUMBERED_APP, env=names) as server:
        (pid,) = server.worker_pids()
        number = 0
        for limit, spare in ((resource.RLIMIT_NOFILE, 2), (resource.RLIMIT_AS, 0)):
            before = resource.prlimit(pid, limit)
            resource.prlimit(pid, limit, (in_use(pid, limit) + spare, before[1]))
            for _ in range(REQUESTS):
                answer = fetch(f"{server.url}/score", json_body={"number": number})
                assert (answer.status, answer.json()) == (200, {"score": number})
                assert answer.headers["Boxkite-Prediction-Id"]
                number += 1
            assert fetch(f"{server.url}/metrics").status in (200, 503)  # as many as the other thread has open
            resource.prlimit(pid, limit, before)
            account = settled(server.port, "file")
            assert account.accepted == account.delivered == number
            assert total(scrape(server.port)[1], "boxkite_predictions_total") == number
        assert server.worker_pids() == [pid]
    assert sum(len(path.read_text().splitlines()) for path in (tmp_path / "logs").rglob("*.txt")) == number


FIRST_VISIT = """
import logging, os, sys
from flask import Flask
from flask_boxkite import Boxkite, BoxkiteError
from tests.faults import no_more_files

logging.basicConfig(stream=sys.stdout, format="%(message)s")
app = Flask("app")
names = {"BASELINE": os.environ["BASELINE"], "SINK": "none", "STATE_DIR": os.environ["STATE_DIR"]}
app.config.update({f"BOXKITE_{name}": value for name, value in names.items()}, BOXKITE_DASHBOARD_PATH="/boxkite")
monitor = Boxkite(app)
client = app.test_client()
client.get("/metrics")  # loads the client's own parts
with no_more_files(), app.app_context():
    for address in ("/boxkite/", "/boxkite/drift.json", "/boxkite/boxkite.css"):
        answer = client.get(address)
        print(answer.status_code, answer.text, end="")
    try:
        monitor.drift()
    except BoxkiteError as error:
        print(str(error).partition(": ")[0], str(error).endswith("let the server open more (ulimit -n)."))
with app.app_context():
    print(client.get("/boxkite/").status_code, monitor.drift().model)
"""


def test_a_first_visit_while_too_many_files_are_open_is_told_so(tmp_path: Path) -> None:
    """The modules of the page and of the verdicts are files too, which load at the first visit."""
    env = {**os.environ, "BASELINE": str(write_baseline(tmp_path / "b.prom")), "STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-W", "error", "-c", FIRST_VISIT]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr

    lines = [line for line in result.stdout.splitlines() if not line.startswith((" ", "Traceback", "OSError"))]
    assert lines == [
        "The page cannot be loaded just now.",
        *["503 The page cannot be loaded just now: Too many open files. Try again."] * 3,
        "The counts since the start cannot be read True",
        "200 default",
    ]
