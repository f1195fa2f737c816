"""Access to the drift page, for every setting: its answer, its own hints, the log, and ``flask boxkite check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask, request

from flask_boxkite import Baseline, Boxkite
from flask_boxkite.cli.setup import outcomes, setup_of_app, setup_of_environment

HINT = "Everybody who reaches the server can see the drift page."
TOKEN = "secret"


class Case(NamedTuple):
    """Settings, and who sees the page.

    Attributes:
        path: Value of ``BOXKITE_DASHBOARD_PATH``; an empty one for a key that is absent.
        has_token: Whether there is a token.
        has_guard: Whether the app decides itself.
        is_debug: Whether the app is in debug mode.
        status: Status that a visitor without anything gets.
        page_hints: Whether the page itself says that everybody sees it; None if there is no page.
        log_warns: Whether the log says it.
        check_hints: Whether ``flask boxkite check`` says it.
    """

    path: str | None
    has_token: bool
    has_guard: bool
    is_debug: bool
    status: int
    page_hints: bool | None
    log_warns: bool
    check_hints: bool


CASES = [
    # path, token, guard, debug: status, page, log, check
    Case("/drift", False, False, False, 200, True, True, True),
    Case("/drift", False, False, True, 200, False, False, True),
    Case("/drift", False, True, False, 403, False, False, False),
    Case("/drift", False, True, True, 403, False, False, False),
    Case("/drift", True, False, False, 401, False, False, False),
    Case("/drift", True, False, True, 401, False, False, False),
    Case("/drift", True, True, False, 403, False, False, False),
    Case("/drift", True, True, True, 403, False, False, False),
    Case("", False, False, False, 404, None, False, False),
    Case("", False, False, True, 200, False, False, False),
    Case("", False, True, False, 404, None, False, False),
    Case("", False, True, True, 403, False, False, False),
    Case("", True, False, False, 404, None, False, False),
    Case("", True, False, True, 401, False, False, False),
    Case("", True, True, False, 404, None, False, False),
    Case("", True, True, True, 403, False, False, False),
    *(
        Case(None, has_token, has_guard, is_debug, 404, None, False, False)
        for has_token in (False, True)
        for has_guard in (False, True)
        for is_debug in (False, True)
    ),
]


def name_of(case: Case) -> str:
    path = {"": "no path", None: "no page"}.get(case.path, "a path")
    parts = {"token": case.has_token, "guard": case.has_guard, "debug": case.is_debug}
    return ", ".join([path, *(word for word, is_there in parts.items() if is_there)])


@pytest.fixture
def app(case: Case, baseline: Baseline, tmp_path: Path) -> Iterator[Flask]:
    """Return an app with the settings of a case."""
    app = Flask("scoring")
    app.debug = case.is_debug
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_STATE_DIR=str(tmp_path))
    if case.path != "":
        app.config["BOXKITE_DASHBOARD_PATH"] = case.path
    if case.has_token:
        app.config["BOXKITE_METRICS_TOKEN"] = TOKEN

    def guard() -> Any:
        return None if request.args.get("may") else ("no", 403)

    monitor = Boxkite(app, dashboard_guard=guard if case.has_guard else None)
    yield app
    monitor.close()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_each_setting_has_one_answer_everywhere(case: Case, app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    client, address = app.test_client(), f"{case.path or '/boxkite'}/"
    client.get("/metrics", headers={"User-Agent": "Prometheus"})
    (warning,) = [text for text in caplog.messages if text.startswith("Everyone")] or [""]
    page = client.get(f"{address}?may=yes", headers={"Authorization": f"Bearer {TOKEN}"})

    assert client.get(address).status_code == case.status
    assert (HINT in page.text if page.status_code == 200 else None) == case.page_hints
    assert ("the drift page" in warning) == case.log_warns
    assert (HINT in [outcome.what for outcome in outcomes(setup_of_app(app))]) == case.check_hints


@pytest.mark.parametrize(
    ("path", "token", "is_open"),
    [("/drift", None, True), ("/drift", TOKEN, False), (None, None, False), (None, TOKEN, False)],
)
def test_an_environment_without_an_app_is_judged_alike(
    path: str | None, token: str | None, is_open: bool, monkeypatch: pytest.MonkeyPatch, baseline_path: Path
) -> None:
    environment = {"BASELINE": str(baseline_path), "DASHBOARD_PATH": path, "METRICS_TOKEN": token}
    for key, value in environment.items():
        if value is not None:
            monkeypatch.setenv(f"FLASK_BOXKITE_{key}", value)

    assert (HINT in [outcome.what for outcome in outcomes(setup_of_environment())]) == is_open
