"""Whichever process of a server answers a scrape, it shows the counts of all, also of those that have ended.

Nothing is configured but the baseline: processes find each other by themselves, under every server that forks.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from tests.integration.load import (
    SCORING_APP,
    Load,
    Row,
    Samples,
    Sent,
    Server,
    check_counts,
    check_histograms,
    check_records_add_up,
    kill_some,
    row_totals,
    scrape,
    scrape_all,
    select,
    total,
    train,
)
from tests.peers import Gunicorn, Uwsgi, wait_for

WORKERS = 4
KILLS = 5

# Jitter, so that not all end at once.
GUNICORN_RECYCLES = ["--max-requests=20", "--max-requests-jitter=20"]
# uWSGI lets a worker live for some time whatever it is told.
UWSGI_RECYCLES = ["--max-requests=30", "--max-requests-delta=5", "--min-worker-lifetime=0"]


@pytest.fixture
def baseline(tmp_path: Path, rng: np.random.Generator) -> Baseline:
    """Train."""
    return train(tmp_path / "histogram.prom", rng)


Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path, baseline: Baseline) -> Iterator[Start]:
    """Return what starts a server of the app; they end with the test."""
    with ExitStack() as stack:

        def start(
            kind: type[Gunicorn] | type[Uwsgi],
            *,
            name: str = "app",
            source: str = SCORING_APP,
            args: tuple[str, ...] | list[str] = (),
            env: dict[str, str] | None = None,
            **options: Any,
        ) -> Gunicorn | Uwsgi:
            env = {
                "APP_BOXKITE_BASELINE": str(tmp_path / "histogram.prom"),
                "APP_BOXKITE_LOG_DIR": str(tmp_path / name / "records"),
                **(env or {}),
            }
            directory = tmp_path / name
            server = kind("scoring:app", directory, source=source, workers=WORKERS, args=args, env=env, **options)
            return stack.enter_context(server)

        yield start


THREADS = ["--threads=4"]
# Else it waits for two seconds before it replaces workers that ended early.
UWSGI = ["--forkbomb-delay=0"]
# Those whose workers import the app are in `tests.web.test_server_matrix`, with all other servers.
SERVERS = [
    pytest.param((Gunicorn, {"worker_class": "sync", "preload": True}), id="sync, preload"),
    pytest.param((Gunicorn, {"worker_class": "gthread", "args": THREADS, "preload": True}), id="gthread, preload"),
    pytest.param((Gunicorn, {"worker_class": "gevent", "preload": True}), id="gevent, preload"),
    pytest.param((Uwsgi, {"args": [*UWSGI, "--lazy-apps"]}), id="uWSGI, lazy apps"),
]
# Without a master uWSGI replaces no worker that ends.
LONE = [
    pytest.param((Uwsgi, {"master": False}), id="uWSGI, no master"),
    pytest.param((Uwsgi, {"master": False, "args": ["--lazy-apps"]}), id="uWSGI, no master, lazy apps"),
]

Setup = tuple[Any, dict[str, Any]]


@pytest.mark.parametrize("server", SERVERS)
def test_recycled_workers_leave_their_counts_behind(
    tmp_path: Path, start: Start, baseline: Baseline, server: Setup
) -> None:
    kind, options = server
    recycles = GUNICORN_RECYCLES if kind is Gunicorn else UWSGI_RECYCLES
    program = start(kind, **{**options, "args": [*options.get("args", ()), *recycles]})
    with Load(program.port, baseline) as load:
        load.wait_until(150)
        load.wait_for(lambda: len(load.scraper.pids) > 2 * WORKERS, "scrapes of recycled workers")
    # Graceful ends cut no request off.
    assert load.unanswered == []
    check_every_process(program, baseline, load)
    check_records(program, load, tmp_path / "app" / "records")


@pytest.mark.parametrize("server", LONE)
def test_workers_without_a_master_share_their_counts(
    tmp_path: Path, start: Start, baseline: Baseline, server: Setup
) -> None:
    kind, options = server
    program = start(kind, **options)
    with Load(program.port, baseline) as load:
        load.wait_until(150)
    assert load.unanswered == []
    check_every_process(program, baseline, load)
    check_records(program, load, tmp_path / "app" / "records")


@pytest.mark.parametrize("server", SERVERS)
def test_killed_workers_leave_their_counts_behind(
    tmp_path: Path, rng: np.random.Generator, start: Start, baseline: Baseline, server: Setup
) -> None:
    kind, options = server
    program = start(kind, **options)
    with Load(program.port, baseline) as load:
        killed = kill_some(program, load, rng, times=KILLS)
        load.wait_answered(100)
        load.wait_for(lambda: len(load.scraper.pids - set(killed)) >= WORKERS, "scrapes of the new workers")
    check_every_process(program, baseline, load, killed=killed)
    check_records(program, load, tmp_path / "app" / "records")


@pytest.mark.parametrize("server", LONE)
def test_killed_workers_without_a_master_leave_their_counts_behind(
    tmp_path: Path, start: Start, baseline: Baseline, server: Setup
) -> None:
    """The first worker is the parent of the others, which go on without it."""
    kind, options = server
    program = start(kind, **options)
    first, second, *others = program.worker_pids()
    with Load(program.port, baseline) as load:
        for pid in (second, first):
            load.wait_answered(100)
            os.kill(pid, signal.SIGKILL)
        load.wait_answered(100)
    found = check_every_process(program, baseline, load, killed=[first, second])
    assert found.keys() == set(others)
    check_records(program, load, tmp_path / "app" / "records")


@pytest.mark.parametrize(
    "server",
    [
        pytest.param((Gunicorn, {"preload": True, "args": GUNICORN_RECYCLES}), id="gunicorn"),
        pytest.param((Uwsgi, {"args": [*UWSGI, *UWSGI_RECYCLES]}), id="uWSGI"),
        pytest.param((Uwsgi, {"master": False}), id="uWSGI, no master"),
    ],
)
def test_what_was_counted_before_the_fork_counts_once(start: Start, baseline: Baseline, server: Setup) -> None:
    """A master that predicts, to warm its model up, has counted and has a file when it forks; uWSGI tells no hook.

    Nor does it hold the interpreter's lock when it forks: a thread that runs just then takes it along into the child,
    which waits for it for ever. So the recorder's must have come to rest.
    """
    kind, options = server
    row: Row = {"amount": 12.5, "temperature": None, "visits": 2, "city": "Oslo"}
    warm_up = f"for _ in range(7):\n    monitor.log_prediction('', {row!r}, rate({row!r}))\nmonitor.flush()\n"
    program = start(kind, source=f"{SCORING_APP}\n\n{warm_up}", **options)
    with Load(program.port, baseline, already=[Sent((row,))] * 7) as load:
        load.wait_until(100)
    check_every_process(program, baseline, load)


def check_every_process(
    server: Server, baseline: Baseline, load: Load, *, killed: list[int] | None = None
) -> dict[int, Samples]:
    """Check what every process shows that runs now; return it."""
    found = scrape_all(server, without=killed or ())
    for samples in found.values():
        check_histograms(samples)
        check_counts(samples, baseline, load.answered, load.unanswered, by_hand=load.already)
    return found


def check_records(server: Server, load: Load, directory: Path) -> None:
    """Check that every answered prediction's record is accepted, and delivered unless a killed process had it."""

    def settled() -> Samples | None:
        _, samples = scrape(server.port)
        check_records_add_up(samples)
        return samples if total(samples, "boxkite_log_queue_records") == 0 else None

    samples = wait_for(settled, what="delivery of what waits")
    assert samples is not None
    outcomes = select(samples, "boxkite_log_records_total", "outcome")
    dropped = select(samples, "boxkite_log_dropped_total", "reason")
    assert len(load.answered) <= outcomes["accepted"] <= len(load.answered) + len(load.unanswered)
    # Written, and perhaps not counted as delivered any more when the process was killed.
    written = sum(len(path.read_bytes().splitlines()) for path in directory.rglob("*.txt"))
    assert outcomes["delivered"] <= written <= outcomes["accepted"]
    assert {reason for reason, count in dropped.items() if count} <= {"process_died"}


# --- With a directory of its own ------------------------------------------------------------------------------------


@pytest.mark.parametrize("preload", [pytest.param(False, id="after fork"), pytest.param(True, id="preload")])
def test_a_directory_that_is_named_keeps_counts_over_a_restart(
    tmp_path: Path, start: Start, baseline: Baseline, preload: bool
) -> None:
    env = {"APP_BOXKITE_STATE_DIR": str(tmp_path / "state")}
    program = start(Gunicorn, env=env, preload=preload)
    with Load(program.port, baseline) as first:
        first.wait_until(100)
    check_every_process(program, baseline, first)
    assert any((tmp_path / "state").rglob("*"))
    assert program.stop() == 0
    program.start()
    with Load(program.port, baseline) as second:
        second.wait_until(100)
    answered, unanswered = [*first.answered, *second.answered], [*first.unanswered, *second.unanswered]
    for samples in scrape_all(program).values():
        check_counts(samples, baseline, answered, unanswered)


@pytest.mark.parametrize("kind", [Gunicorn, Uwsgi], ids=["gunicorn", "uWSGI"])
def test_servers_side_by_side_share_nothing(start: Start, baseline: Baseline, kind: Any) -> None:
    one, other = start(kind, name="one"), start(kind, name="other")
    with Load(one.port, baseline) as load, Load(other.port, baseline) as other_load:
        load.wait_until(100)
        other_load.wait_until(150)
    check_every_process(one, baseline, load)
    check_every_process(other, baseline, other_load)


# --- A new baseline under load --------------------------------------------------------------------------------------


def test_a_reload_to_a_new_baseline_loses_nothing_of_either(
    tmp_path: Path, rng: np.random.Generator, start: Start, baseline: Baseline
) -> None:
    """Old and new processes serve side by side for a while, each counting in its own baseline's bins."""
    program = start(Gunicorn)
    old_pids = set(program.worker_pids())
    with Load(program.port, baseline) as load:
        load.wait_answered(150)
        new_baseline = train(tmp_path / "histogram.prom", rng, scale=1.5)
        assert new_baseline.fingerprint != baseline.fingerprint
        os.kill(program.pid, signal.SIGHUP)
        load.wait_for(lambda: not old_pids & set(program.worker_pids()), "the end of the old workers")
        load.wait_answered(150)
    by_generation: dict[str, list[Sent]] = {baseline.fingerprint: [], new_baseline.fingerprint: []}
    for request in load.answered:
        by_generation[request.generation].append(request)
    assert all(len(requests) >= 100 for requests in by_generation.values())
    for samples in scrape_all(program).values():
        check_histograms(samples)
        check_sums(samples, load)
        for generation in (baseline, new_baseline):
            check_counts(samples, generation, by_generation[generation.fingerprint], load.unanswered)
            own = {series: value for series, value in samples.items() if f'"{generation.fingerprint}"' in series}
            assert len(Counter(row_totals(own).values())) == 1
    check_records(program, load, tmp_path / "app" / "records")


def check_sums(samples: Samples, load: Load) -> None:
    """Check that the sums over all baselines are what was answered."""
    for name, count in row_totals(samples).items():
        most = load.answered_rows + sum(len(request.rows) for request in load.unanswered)
        assert load.answered_rows <= count <= most, name
