"""`notify` and the settings of webhooks in an app: checked at set-up, begun by requests, ended by `close`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flask import Flask
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ConfigError, ModelMonitoringService
from flask_boxkite.config import Settings
from tests.faults import run_in_child
from tests.peers import wait_for


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """Train."""
    rng = np.random.default_rng(0)
    return ModelMonitoringService.export_text({"age": rng.normal(40, 10, 500)}, rng.random(500), "/dev/null")


@pytest.fixture(autouse=True)
def no_thread() -> Iterator[None]:
    """Begin without a notifier's thread, and wait until the test's own has ended."""
    wait_for(lambda: not is_watching())
    yield
    wait_for(lambda: not is_watching())


def is_watching() -> bool:
    return any(thread.name == "boxkite-notifier" for thread in threading.enumerate())


def made(baseline: Baseline, **options: Any) -> tuple[Flask, Boxkite]:
    app = Flask("scoring")
    app.config["BOXKITE_BASELINE"] = baseline
    monitor = Boxkite(app, **options)

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, float]:
        return {"score": 0.5}

    return app, monitor


def test_no_thread_begins_at_set_up_nor_with_a_look_by_a_test_client(baseline: Baseline) -> None:
    app, monitor = made(baseline, notify=print)
    assert not is_watching()
    app.test_client().get("/metrics")
    assert not is_watching()
    monitor.close()


def test_the_first_request_begins_it(baseline: Baseline) -> None:
    app, monitor = made(baseline, notify=print)
    app.test_client().get("/metrics", headers={"User-Agent": "Prometheus/3"})
    assert is_watching()
    monitor.close()


def test_the_first_prediction_begins_it(baseline: Baseline) -> None:
    app, monitor = made(baseline, notify=print)
    app.test_client().post("/score", json={"age": 41})
    assert is_watching()
    monitor.close()


def test_a_forked_process_begins_its_own_with_its_first_prediction(baseline: Baseline) -> None:
    app, monitor = made(baseline, notify=print)
    app.test_client().post("/score", json={"age": 41})

    def in_child() -> None:
        assert not is_watching()
        app.test_client().post("/score", json={"age": 41})
        assert is_watching()

    run_in_child(in_child)
    monitor.close()


def test_an_app_without_receivers_begins_none(baseline: Baseline) -> None:
    app, monitor = made(baseline)
    app.test_client().post("/score", json={"age": 41}, headers={"User-Agent": "curl"})
    assert not is_watching()
    monitor.close()


def test_a_service_and_its_middleware_begin_it(baseline: Baseline) -> None:
    service = ModelMonitoringService(baseline, notify=print)
    assert not is_watching()
    middleware = BoxkiteMiddleware(Flask("other"), service, {})
    Client(middleware).get("/metrics")
    assert is_watching()
    service.close()


@pytest.mark.parametrize("notify", ["x", 7, [print]], ids=repr)
def test_a_receiver_that_cannot_be_called_is_refused(baseline: Baseline, notify: Any) -> None:
    text = "'notify' must be a function that takes a notification, got "
    with pytest.raises(ConfigError, match=text):
        made(baseline, notify=notify)
    with pytest.raises(ConfigError, match=text):
        ModelMonitoringService(baseline, notify=notify)


MALFORMED = (
    *("hooks.slack.com/SECRET", "ftp://SECRET", "http://", "http://[SECRET", "http://x:0/SECRET", "http://x:99999/"),
    *("https://x/SECRET y", "https://x/SECRET\n/y", "https://x/SECRETé", 7.5, True, ["https://x/SECRET"]),
)


@pytest.mark.parametrize("url", MALFORMED, ids=repr)
def test_a_malformed_address_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(ConfigError, match="'BOXKITE_WEBHOOK_URL' must be a") as caught:
        Settings.from_mapping({"BOXKITE_WEBHOOK_URL": url})
    assert "SECRET" not in str(caught.value)


def test_discord_is_refused_without_its_ending_and_the_address_not_shown(baseline: Baseline) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelMonitoringService(baseline, webhook_url="https://discord.com/api/webhooks/1/SECRET")
    assert str(caught.value) == (
        "'BOXKITE_WEBHOOK_URL' is an address of Discord, which takes our form below '/slack'. Append that."
    )


def test_the_settings_do_not_show_the_address() -> None:
    settings = Settings.from_mapping({"BOXKITE_WEBHOOK_URL": " https://hooks.slack.com/SECRET\n"})
    assert settings.webhook_url == "https://hooks.slack.com/SECRET"
    assert "SECRET" not in repr(settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"WEBHOOK_FORMAT": "slack"}, "'BOXKITE_WEBHOOK_FORMAT' is set, but there is no address."),
        ({"WEBHOOK_FORMAT": "xml", "WEBHOOK_URL": "https://x/y"}, "must be one of 'slack', 'teams', 'json', got 'xml'"),
        ({"PAGE_URL": "/boxkite"}, "'BOXKITE_PAGE_URL' must be an address that begins with http:// or https://"),
        ({"PAGE_URL": "https://user:SECRET@x/"}, "without a user or password, got 'https://\\*\\*\\*@x/'"),
    ],
    ids=["alone", "format", "path", "password"],
)
def test_other_wrong_settings_are_refused(settings: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Settings.from_mapping({f"BOXKITE_{key}": value for key, value in settings.items()})


def test_empty_settings_stand_for_none() -> None:
    names = ("WEBHOOK_URL", "WEBHOOK_FORMAT", "PAGE_URL")
    assert Settings.from_mapping({f"BOXKITE_{name}": "" for name in names}).webhook_url is None
