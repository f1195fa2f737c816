"""The effects of a clock that jumps, a suspend and a slow clock: the table in ``docs/guides/clocks.md``, row by row."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from flask_boxkite.live.retired import RETIRED
from flask_boxkite.records import Records
from tests.integration.clocks import DAY, IMPORT, YEAR, SetClock
from tests.integration.ledger import Account, arrived, settled
from tests.integration.load import SCORING_APP, Load, exchange, post, scrape, select, train
from tests.peers import FluentServer, Gunicorn, fetch, wait_for

pytestmark = pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has this clock")

HOURS = 8 * 3600.0


@dataclass(frozen=True)
class Change:
    """What happens to the clock, and by how much the wall clock is off then."""

    setting: dict[str, float]
    shift: float = 0.0

    @property
    def is_suspend(self) -> bool:
        """Whether time has passed that the server did not see."""
        return "slept" in self.setting


CHANGES = [
    pytest.param(Change({"jump": DAY}, DAY), id="a day ahead"),
    pytest.param(Change({"jump": -DAY}, -DAY), id="a day back"),
    pytest.param(Change({"jump": YEAR}, YEAR), id="a year ahead"),
    pytest.param(Change({"slept": HOURS}, HOURS), id="suspended"),
    pytest.param(Change({"rate": 0.25}), id="slow"),
]


@pytest.fixture
def clock(tmp_path: Path) -> SetClock:
    """Return the clock of the server, which is right."""
    return SetClock(tmp_path / "app")


@pytest.fixture
def baseline(tmp_path: Path, rng: np.random.Generator) -> Baseline:
    """Write the baseline of the app."""
    return train(tmp_path / "baseline.prom", rng)


@pytest.fixture
def start(tmp_path: Path, clock: SetClock, baseline: Baseline) -> Iterator[Callable[..., Gunicorn]]:
    """Return what starts a server whose clock can be set."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Gunicorn:
            given = {
                "baseline": tmp_path / "baseline.prom",
                "state_dir": tmp_path / "state",
                "dashboard_path": "/boxkite",
                **settings,
            }
            env = {f"APP_BOXKITE_{name.upper()}": str(value) for name, value in given.items()} | clock.env
            server = Gunicorn("scoring:app", tmp_path / "app", source=IMPORT + SCORING_APP, workers=2, env=env)
            return stack.enter_context(server)

        yield start


def page(server: Gunicorn, window: str) -> dict[str, Any]:
    """Return what the page says of a window."""
    answer: dict[str, Any] = json.loads(fetch(f"{server.url}/boxkite/drift.json?window={window}").body)
    return answer


def rows(server: Gunicorn, window: str) -> int:
    """Return how many rows the page shows in a window."""
    return int(page(server, window)["models"][0]["rows"]["ok"])


def day_before(days: int) -> str:
    """Return a day of the past as its folder is named."""
    return f"{datetime.now(timezone.utc) - timedelta(days=days):%Y-%m-%d}"


def old_files(root: Path) -> list[Path]:
    """Write records of some days that are within their lifetime of 30 days."""
    folder = root / "models/predictions/unknown-endpoint"
    paths = [folder / day_before(days) / "1200_boxkite-pod-1.txt" for days in (3, 10, 20, 29)]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text("")
    return paths


def of_another_pod(state: Path) -> Path:
    """Leave what another pod has counted, which may come back."""
    directory = state / "boxkite-other-scoring.0"
    directory.mkdir(parents=True, mode=0o700)
    (directory / RETIRED).touch()
    return directory


@pytest.mark.peers
@pytest.mark.parametrize("change", CHANGES)
def test_a_clock_that_changes_costs_nothing(
    tmp_path: Path, start: Callable[..., Gunicorn], clock: SetClock, baseline: Baseline, change: Change
) -> None:
    """No count, no record and no file; and windows hold what came within them."""
    kept = [*old_files(tmp_path / "records"), of_another_pod(tmp_path / "state")]
    fluentd = FluentServer(tmp_path / "fluentd")
    server = start(
        sink="fluentd,file", fluentd_addr=fluentd.addr, log_dir=tmp_path / "records", spool_dir=tmp_path / "spool"
    )
    with Load(server.port, baseline) as load:
        load.wait_answered(40)
        before = time.time()
        clock.set(**change.setting)
        changed_at = load.answered_rows
        load.wait_answered(40)
        os.kill(server.worker_pids()[0], signal.SIGKILL)  # it is folded, and its records adopted, by this clock
        load.wait_answered(40)
        server._process.send_signal(signal.SIGHUP)  # new workers, which sweep  # type: ignore[union-attr]
        load.wait_answered(40)
        middle = page(server, "5m")
        if not change.is_suspend:
            clock.set()
        load.wait_answered(40)
    # The load has held each scrape against the ones before: no counter fell.
    answered, unanswered = load.answered_rows, sum(len(sent.rows) for sent in load.unanswered)
    counted = int(sum(value for status, value in predictions(server).items() if status == "ok"))
    assert answered <= counted <= answered + unanswered

    recent = rows(server, "5m")
    assert rows(server, "24h") == counted
    if change.is_suspend:
        assert counted - changed_at - unanswered - 20 <= recent <= counted - changed_at + 20
    else:
        assert recent == counted
    told = datetime.fromisoformat(middle["time"].replace("Z", "+00:00")).timestamp()
    assert abs(told - before - change.shift) < 100

    with fluentd:  # it was down all the time: another clock measures the pauses between attempts
        accounts = [settled(server.port, sink) for sink in ("fluentd", "file")]
        delivered = arrived(fluentd)
    requests, lost = len(load.answered), len(load.unanswered)
    for account in accounts:
        assert requests <= account.accepted <= requests + lost
        assert account.delivered == account.accepted - sum(account.dropped.values())
        assert account.dropped.keys() <= {"process_died"}
    assert requests <= len({record["entity_id"] for record in delivered}) <= requests + lost
    for sink in ("fluentd", "file"):
        last = select(scrape(server.port)[1], "boxkite_log_last_delivery_timestamp_seconds", "sink")[sink]
        shift = change.shift if change.is_suspend else 0.0
        assert before - 1 <= last - shift <= time.time() + 1

    assert all(path.exists() for path in kept)
    assert ("They are kept until records" in server.log()) is (change.shift == YEAR)
    records = [
        json.loads(line) for path in (tmp_path / "records").rglob("*.txt") for line in path.read_text().split("\n")[:-1]
    ]
    assert requests <= len({record["entity_id"] for record in records}) <= requests + lost
    by_clock = [record for record in records if abs(record["created_at"] - before - change.shift) < 100]
    if change.shift:
        assert len(by_clock) >= 100
        day = f"{datetime.fromtimestamp(before + change.shift, timezone.utc):%Y-%m-%d}"
        assert list((tmp_path / "records").rglob(f"{day}/*.txt"))
    assert len(by_clock) + sum(abs(record["created_at"] - before) < 100 for record in records) >= len(records)


def predictions(server: Gunicorn) -> dict[str, float]:
    """Return the rows that are counted, by status."""
    return select(scrape(server.port)[1], "boxkite_predictions_total", "status")


@pytest.mark.parametrize("change", CHANGES[:4])
def test_counts_of_the_last_baseline_outlive_a_clock_that_jumps(
    tmp_path: Path,
    rng: np.random.Generator,
    start: Callable[..., Gunicorn],
    clock: SetClock,
    baseline: Baseline,
    change: Change,
) -> None:
    """They are shown for ten minutes and kept for a day, which a clock that was set does not make shorter.

    A suspend does: the time has passed.
    """
    server = start(sink="none")
    for _ in range(8):
        assert exchange(server.port, post("/score", {"amount": 1.0})).status == 200
    new = train(tmp_path / "baseline.prom", rng, scale=2.0)
    before = set(server.worker_pids())
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: not before & set(server.worker_pids()) and len(server.worker_pids()) == 2, what="new workers")

    def shown() -> dict[str, float]:
        return select(scrape(server.port)[1], "boxkite_predictions_total", "baseline", status="ok")

    assert exchange(server.port, post("/score", {"amount": 1.0})).status == 200
    assert shown() == {baseline.fingerprint: 8.0, new.fingerprint: 1.0}
    clock.set(**change.setting)
    for killed in server.worker_pids():  # what is folded now looks for what is old
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda pid=killed: pid not in server.worker_pids(), what="the end of a worker")  # type: ignore[misc]
        assert exchange(server.port, post("/score", {"amount": 1.0})).status == 200
    if change.is_suspend:
        assert shown() == {new.fingerprint: 3.0}
    else:
        assert shown() == {baseline.fingerprint: 8.0, new.fingerprint: 3.0}


@pytest.mark.parametrize("ahead", [DAY, YEAR])
def test_records_of_a_period_are_those_by_the_clock_of_their_time(
    tmp_path: Path, start: Callable[..., Gunicorn], clock: SetClock, ahead: float
) -> None:
    server = start(sink="file", log_dir=tmp_path / "records")
    now = time.time()
    for shift in (0.0, ahead, 0.0):
        clock.set(jump=shift)
        for _ in range(5):
            assert exchange(server.port, post("/score", {"amount": 1.0})).status == 200
    settled(server.port, "file")

    def number(start: float, end: float) -> int:
        first, last = (datetime.fromtimestamp(time, timezone.utc).isoformat() for time in (start, end))
        return len(Records(tmp_path / "records", start=first, end=last).to_frame("pandas"))

    assert number(now - 100, now + 1000) == 10
    assert number(now + ahead - 100, now + ahead + 1000) == 5


def test_the_last_delivery_of_a_clock_that_was_ahead_hides_none_after_it(
    tmp_path: Path, start: Callable[..., Gunicorn], clock: SetClock
) -> None:
    """Else the alert on a sink that stalls would be silent for a year."""
    clock.set(jump=YEAR)
    server = start(sink="file", log_dir=tmp_path / "records")
    for _ in range(8):
        assert exchange(server.port, post("/score", {"amount": 1.0})).status == 200
    settled(server.port, "file")
    name = "boxkite_log_last_delivery_timestamp_seconds"
    assert scrape(server.port)[1][f'{name}{{sink="file"}}'] > time.time() + YEAR / 2
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: pid not in server.worker_pids(), what="the end of a worker")  # type: ignore[misc]
    clock.set()
    assert scrape(server.port)[1][f'{name}{{sink="file"}}'] == 0  # it cannot be known
    before = time.time()
    assert exchange(server.port, post("/score", {"amount": 1.0})).status == 200
    Account.of(scrape(server.port)[1], "file")
    settled(server.port, "file")
    assert before - 1 <= scrape(server.port)[1][f'{name}{{sink="file"}}'] <= time.time() + 1
