"""Each app finds its own counts, in every process of its server and after every start, and shows no other app's.

Apps of one factory have one name, and which of them a process makes first is chance: a tenant is served by an app that
is made with the first request for it. In these tests the two processes of a server make them in opposite orders.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Baseline, ModelMonitoringService
from tests.peers import Gunicorn, Uwsgi, fetch, wait_for

Server = Gunicorn | Uwsgi

TENANTS = """
import json
import os

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_boxkite import Boxkite

TENANTS = json.loads(os.environ["TENANTS"])
HAS_NAMES = "HAS_NAMES" in os.environ


def create_app(tenant):
    app = Flask(__name__)
    app.config["BOXKITE_BASELINE"] = TENANTS[tenant]
    app.config["BOXKITE_LOG_DIR"] = os.environ["RECORDS"]
    app.config["BOXKITE_STATE_DIR"] = os.environ.get("STATE_DIR", "")
    monitor = Boxkite(app, name=tenant if HAS_NAMES else None)

    @app.post("/score")
    @monitor.predict
    def score():
        return {"score": 0.5}

    @app.get("/pid")
    def pid():
        return {"pid": os.getpid(), "order": order}

    return app


def is_first():
    try:
        os.mkdir(os.environ["FIRST"])
    except FileExistsError:
        return False
    return True


order = sorted(TENANTS, reverse=is_first())
apps = {f"/{tenant}": create_app(tenant) for tenant in order}
app = DispatcherMiddleware(Flask("none"), apps)
"""

ROW = {"age": 30.0, "income": 40.0}


def train(path: Path, seed: int, model: str = "m") -> Baseline:
    """Write a baseline."""
    rng = np.random.default_rng(seed)
    table = {name: rng.normal(40, 10, 500) for name in ROW}
    return ModelMonitoringService.export_text(table, rng.random(500), path, model=model)


@pytest.fixture
def baselines(tmp_path: Path) -> dict[str, Baseline]:
    """Return the baselines of two tenants, of one model name."""
    return {tenant: train(tmp_path / f"{tenant}.prom", seed) for seed, tenant in enumerate(("a", "b"))}


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return what starts a server of the tenants' apps, whose two processes make them in opposite orders."""
    with ExitStack() as stack:
        started = 0

        def start(
            paths: Mapping[str, str],
            name: str = "server",
            workers: int = 2,
            kind: type[Gunicorn] | type[Uwsgi] = Gunicorn,
            args: Sequence[str] = (),
            **env: str,
        ) -> Server:
            nonlocal started
            started += 1
            directory = tmp_path / f"{name}-{started}"
            about = {
                "TENANTS": json.dumps(paths),
                "RECORDS": str(tmp_path / "records"),
                "FIRST": str(tmp_path / f"first-{started}"),
                **env,
            }
            program = kind("scoring:app", directory, source=TENANTS, workers=workers, args=args, env=about)
            return stack.enter_context(program)

        yield start


def paths_of(tmp_path: Path, *tenants: str) -> dict[str, str]:
    """Return the paths of the tenants' baselines."""
    return {tenant: str(tmp_path / f"{tenant}.prom") for tenant in tenants}


def orders(server: Server) -> set[str]:
    """Return which tenants come first in the processes of a server."""
    found: dict[int, str] = {}

    def ask() -> bool:
        answer = json.loads(fetch(f"{server.url}/a/pid").body)
        found[answer["pid"]] = answer["order"][0]
        return len(found) == 2

    wait_for(ask, what="answers of both processes")
    return set(found.values())


def send(server: Server, requests: Mapping[str, int]) -> None:
    """Have rows predicted, tenant after tenant in turn."""
    for number in range(max(requests.values())):
        for tenant, count in requests.items():
            if number < count:
                assert fetch(f"{server.url}/{tenant}/score", json_body=ROW).status == 200


Counted = dict[str, float]


def counted(text: str) -> tuple[Counted, float]:
    """Return predicted rows by baseline, and how many records were accepted."""
    rows: Counted = {}
    accepted = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "boxkite_predictions_total":
                rows[sample.labels["baseline"]] = rows.get(sample.labels["baseline"], 0) + sample.value
            elif sample.name == "boxkite_log_records_total" and sample.labels["outcome"] == "accepted":
                accepted += sample.value
    return rows, accepted


def scrapes(server: Server, tenant: str, count: int = 12) -> list[tuple[Counted, float]]:
    """Return what the processes of a server say, some of them several times."""
    return [counted(fetch(f"{server.url}/{tenant}/metrics").text) for _ in range(count)]


def check(server: Server, tenant: str, expected: Counted, accepted: float) -> None:
    """Check that every scrape shows these baselines with these rows, and no other."""
    for found in scrapes(server, tenant):
        assert found == (expected, accepted)


@pytest.mark.parametrize(
    ("kind", "args"),
    [(Gunicorn, []), (Gunicorn, ["--threads=4"]), (Uwsgi, ["--lazy-apps"])],
    ids=["gunicorn", "gunicorn, threads", "uWSGI"],
)
def test_apps_that_are_made_in_another_order_in_each_process(
    tmp_path: Path,
    baselines: dict[str, Baseline],
    tenants: Callable[..., Server],
    kind: type[Gunicorn] | type[Uwsgi],
    args: list[str],
) -> None:
    server = tenants(paths_of(tmp_path, "a", "b"), kind=kind, args=args)
    assert orders(server) == {"a", "b"}
    send(server, {"a": 30, "b": 20})
    check(server, "a", {baselines["a"].fingerprint: 30}, 30)
    check(server, "b", {baselines["b"].fingerprint: 20}, 20)
    assert "Several apps" not in server.log()


def test_a_process_that_is_killed_leaves_each_app_its_own(
    tmp_path: Path, baselines: dict[str, Baseline], tenants: Callable[..., Server]
) -> None:
    server = tenants(paths_of(tmp_path, "a", "b"))
    send(server, {"a": 30, "b": 20})
    killed = set(server.worker_pids())
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(set(server.worker_pids()) - killed) == 2, what="other processes")
    send(server, {"a": 5, "b": 7})
    check(server, "a", {baselines["a"].fingerprint: 35}, 35)
    check(server, "b", {baselines["b"].fingerprint: 27}, 27)


def test_a_restart_goes_on_counting_whatever_the_order(
    tmp_path: Path, baselines: dict[str, Baseline], tenants: Callable[..., Server]
) -> None:
    state = str(tmp_path / "state")
    for number in (1, 2, 3):
        server = tenants(paths_of(tmp_path, "a", "b"), STATE_DIR=state, workers=1 + number % 2)
        send(server, {"a": 3, "b": 5})
        check(server, "a", {baselines["a"].fingerprint: 3 * number}, 3 * number)
        check(server, "b", {baselines["b"].fingerprint: 5 * number}, 5 * number)
        server.stop()


def test_services_of_one_name_that_share_a_directory(
    tmp_path: Path, baselines: dict[str, Baseline], tenants: Callable[..., Server]
) -> None:
    """Both are called ``scoring:app``, on one host; one ends, the other goes on, and it comes back."""
    state = str(tmp_path / "state")
    a, b = baselines["a"].fingerprint, baselines["b"].fingerprint
    one = tenants(paths_of(tmp_path, "a"), "one", STATE_DIR=state)
    other = tenants(paths_of(tmp_path, "b"), "other", STATE_DIR=state)
    send(one, {"a": 10})
    send(other, {"b": 20})
    check(one, "a", {a: 10}, 10)
    check(other, "b", {b: 20}, 20)
    other.stop()
    check(one, "a", {a: 10}, 10)
    back = tenants(paths_of(tmp_path, "b"), "other", STATE_DIR=state)
    send(back, {"b": 1})
    check(back, "b", {b: 21}, 21)
    check(one, "a", {a: 10}, 10)


def test_a_deploy_with_a_new_baseline_shows_both_and_goes_on_counting_records(
    tmp_path: Path, baselines: dict[str, Baseline], tenants: Callable[..., Server]
) -> None:
    """The last scrape of the old server may have missed its last counts."""
    state = str(tmp_path / "state")
    old = tenants(paths_of(tmp_path, "a"), STATE_DIR=state)
    send(old, {"a": 10})
    old.stop()
    new = train(tmp_path / "a.prom", 7)
    server = tenants(paths_of(tmp_path, "a"), STATE_DIR=state)
    send(server, {"a": 3})
    check(server, "a", {baselines["a"].fingerprint: 10, new.fingerprint: 3}, 13)


@pytest.mark.parametrize("has_names", [False, True], ids=["without names", "with names"])
def test_apps_that_nothing_tells_apart_need_names(
    tmp_path: Path, baselines: dict[str, Baseline], tenants: Callable[..., Server], has_names: bool
) -> None:
    path = str(tmp_path / "a.prom")
    server = tenants({"a": path, "b": path}, **({"HAS_NAMES": "1"} if has_names else {}))
    assert orders(server) == {"a", "b"}
    send(server, {"a": 30, "b": 20})
    found = [*scrapes(server, "a"), *scrapes(server, "b")]
    text = (
        "Several apps of this process have the same name and monitor the same model with the same baseline, so only "
        "the order in which a process makes them tells their counts apart. Give each a name: Boxkite(app, name=...)."
    )
    if has_names:
        assert found == [({baselines["a"].fingerprint: 30}, 30)] * 12 + [({baselines["a"].fingerprint: 20}, 20)] * 12
        assert text not in server.log()
    else:
        assert server.log().count(text) == 2  # once in each process
