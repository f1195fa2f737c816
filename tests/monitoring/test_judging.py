"""Models judged for people: the conditions of the alerts, from real counts, and the message that follows."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.config import Settings
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.judging import judged
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.notify import Notification
from flask_boxkite.notify.conditions import Condition, Judged, drift_conditions, key_of
from flask_boxkite.notify.gaps import OutcomeGaps
from flask_boxkite.notify.memory import Memory
from flask_boxkite.notify.pace import Pace
from flask_boxkite.notify.receivers import FunctionReceiver
from flask_boxkite.notify.watch import Sender, Watch
from tests.clocked import monitored
from tests.notify.posted import webhook_server
from tests.peers import wait_for

START = 1_767_300_000.0
QUICK = Pace(check=0.05, rest=0.0, hold=0.0, gap=0.0, first_backoff=0.05)
ROWS = 400


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """Train a model of two features that go together, and one alone."""
    return trained()


def trained(**options: Any) -> Baseline:
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, 2000)
    features = {"age": age, "tenure": age / 2 + rng.normal(0, 1, 2000), "city": rng.choice(["Oslo", "Wien"], 2000)}
    score = rng.random(2000)
    actual = (rng.random(2000) < score).astype(int) if options.pop("actual", False) else None
    path = Path(options.pop("path", "/dev/null"))
    return ModelMonitoringService.export_text(features, score, path, model="credit", actual=actual, progress=False)


class Serving:
    """An app on a clock of the test's own, whose predictions spread over an hour."""

    def __init__(self, baseline: Baseline) -> None:
        self.now = START
        clock = lambda: self.now  # noqa: E731
        settings = Settings.from_mapping({"BOXKITE_BASELINE": baseline})
        self.app = AppMonitor(settings, "scoring", {None: baseline}, store=Store(None, clock, clock), clock=clock)
        self.gaps = OutcomeGaps()
        self.rng = np.random.default_rng(1)

    def predict(
        self, change: Callable[[dict[str, Any]], None] = lambda row: None, low: float = 0.0, high: float = 1.0
    ) -> list[str]:
        """Predict scores between two bounds, for rows like the ones of training, changed by a function."""
        ids = []
        for _ in range(ROWS):
            self.now += 9
            age = self.rng.normal(40, 10)
            city = str(self.rng.choice(["Oslo", "Wien"]))
            row = {"age": age, "tenure": age / 2 + self.rng.normal(0, 1), "city": city}
            change(row)
            ids.append(self.app.model(None).log_prediction(None, row, self.rng.uniform(low, high)))
        return ids

    def judge(self) -> Judged:
        return judged(self.app.models(), self.gaps, self.now)

    def alerts(self) -> dict[str, list[tuple[str, ...]]]:
        """Return the names of what holds, by alert."""
        found: dict[str, list[tuple[str, ...]]] = {}
        for item in self.judge().conditions.values():
            found.setdefault(item.alert, []).append(item.names)
        return found


def test_rows_like_in_training_are_no_condition(baseline: Baseline) -> None:
    serving = Serving(baseline)
    serving.predict()
    found = serving.judge()
    assert found.conditions == {}
    assert found.models == {"credit": baseline.fingerprint}
    assert found.about(key_of("feature", "credit", baseline.fingerprint, "age")) is False


def test_without_rows_nothing_is_known(baseline: Baseline) -> None:
    found = Serving(baseline).judge()
    assert not found.conditions
    assert not found.clear
    for subject, names in (
        ("feature", ["age"]),
        ("output", ["output"]),
        ("pair", ["age", "tenure"]),
        ("capture", ["features"]),
    ):
        assert found.about(key_of(subject, "credit", baseline.fingerprint, *names)) is None  # type: ignore[arg-type]
    assert found.about(key_of("feature", "other", "0", "age")) is None
    assert found.about(key_of("feature", "credit", "replaced", "age")) is False


def test_each_alert_on_drift_has_its_condition(baseline: Baseline) -> None:
    serving = Serving(baseline)

    def change(row: dict[str, Any]) -> None:
        row["city"] = None
        row["tenure"] = float(serving.rng.normal(20, 5.1))

    serving.predict(change, low=0.99)
    assert serving.alerts() == {
        "BoxkiteFeatureStopped": [("city",)],
        "BoxkiteOutputDrift": [("output",)],
        "BoxkitePairDrift": [("age", "tenure")],
    }


def test_numbers_that_json_lacks_are_left_out() -> None:
    names = ("size", "psi", "g", "limit", "share_before", "share_now", "missing_before", "missing_now", "rows")
    item = {**dict.fromkeys(names, 0.5), "g": math.inf, "name": "age", "side": "feature", "verdict": "major"}
    item |= {"since": None, "kind": "continuous", "moved_most_text": "50 to 60"}
    (found,) = drift_conditions({"model": "credit", "baseline": "0123", "variables": [item]})
    assert isinstance(found, Condition)
    assert found.numbers["g"] is None
    assert found.numbers["size"] == 0.5


def test_the_sentences_say_how_much_and_where(baseline: Baseline) -> None:
    serving = Serving(baseline)
    serving.predict()

    def change(row: dict[str, Any]) -> None:
        row["city"] = "Bern"
        row["age"] += 40

    begun = serving.now
    serving.predict(change)
    found = {item.names: item for item in serving.judge().conditions.values()}
    report = serving.app.model(None).drift("24h")
    age, city = found["age",], found["city",]

    assert age.verdict == report["age"].verdict == "major"
    assert age.text.startswith(f"age: major, size {report['age'].judgement.size:.2f}; ")
    assert "unseen: 0% → " in city.text
    assert city.numbers["share_now"] == report["city"].share_now > 0.9
    assert age.since is not None
    assert abs(age.since - begun) <= 900


def test_a_feature_that_never_arrived_has_not_stopped() -> None:
    """As the alert has it: it was missing in most of training."""
    rng = np.random.default_rng(0)
    features = {"age": np.where(rng.random(2000) < 0.6, np.nan, rng.normal(40, 10, 2000)), "x": rng.random(2000)}
    made = ModelMonitoringService.export_text(features, rng.random(2000), "/dev/null", model="credit", progress=False)
    serving = Serving(made)
    model = serving.app.model(None)
    for _ in range(ROWS):
        serving.now += 9
        model.log_prediction(None, {"age": None, "x": serving.rng.random()}, serving.rng.random())
    assert serving.alerts() == {"BoxkiteFeatureDrift": [("age",)]}


def test_worse_outcomes_and_expectations_have_their_conditions() -> None:
    serving = Serving(trained(actual=True))
    ids = serving.predict(low=0.8)
    assert "BoxkiteModelWorse" not in serving.alerts()
    for prediction in ids[:90]:
        serving.app.log_outcome(prediction, 0)
    assert "BoxkiteModelWorse" not in serving.alerts()  # it needs as many as the alert
    for prediction in ids[90:]:
        serving.app.log_outcome(prediction, 0)

    (worse,) = (item for item in serving.judge().conditions.values() if item.alert == "BoxkiteModelWorse")
    assert worse.verdict == "much worse"
    assert worse.text.startswith("By outcomes in the last 24h, the model is much worse than validated.")
    assert worse.numbers["accuracy_realised"] == 0.0
    assert worse.numbers["outcomes"] == ROWS


def test_outputs_that_are_less_sure_are_expected_to_be_worse() -> None:
    serving = Serving(trained(actual=True))
    serving.predict(low=0.4, high=0.6)
    (item,) = (item for item in serving.judge().conditions.values() if item.alert == "BoxkiteExpectedWorse")
    assert item.text.startswith("By its outputs, the model is expected to be much worse than validated: accuracy ")


def test_requests_that_are_not_understood_have_their_condition(baseline: Baseline) -> None:
    now = [START]
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=baseline)
    boxkite, monitor = monitored(app, lambda: now[0])

    @app.post("/score")
    @boxkite.predict
    def score() -> dict[str, float]:
        return {"score": 0.5}

    client = app.test_client()
    row = {"age": 40, "tenure": 20, "city": "Oslo"}
    for number in range(200):
        now[0] += 1
        client.post("/score", json=row if number % 50 else "nothing")
    found = judged(monitor.models(), OutcomeGaps(), now[0])
    (item,) = (item for item in found.conditions.values() if item.alert == "BoxkiteCaptureErrors")
    assert item.names == ("features",)
    assert item.text == "In 2.0% of requests in the last 1h, something was not captured: features"
    monitor.close()


def test_a_model_that_cannot_be_read_is_left_as_it_was(baseline: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Serving(baseline)
    serving.predict(lambda row: row.update(city=None))
    (key,) = serving.judge().conditions

    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Store, "read", fail)
    found = serving.judge()
    assert found.models == {"credit": baseline.fingerprint}
    assert found.about(key) is None


def test_a_repair_is_told_when_the_day_no_longer_holds_the_rows(baseline: Baseline) -> None:
    """As the alerts end when the longest window of the rules no longer does."""
    serving = Serving(baseline)
    told: list[Notification] = []
    watch = Watch(
        lambda gaps, now: serving.judge(),
        [FunctionReceiver(told.append)],
        Memory(lambda: None, "", ["credit"]),
        Sender("scoring", "pod-1", None),
        lambda channel, result: None,
        clock=lambda: serving.now,
        wall=lambda: serving.now,
    )
    watch.turn()
    serving.predict(lambda row: row.update(city=None))
    for _ in range(10):
        watch.turn()
        serving.now += 60
    assert [change.alert for change in told[0].began] == ["BoxkiteFeatureStopped"]

    for _ in range(26):
        serving.predict()
        watch.turn()
    serving.now += 600
    watch.turn()
    kinds = [[change.kind for change in message.changes] for message in told]
    assert kinds == [["began"], ["ended"]]


# --- in a process ---------------------------------------------------------------------------------------------------


def lose_the_city(model: ModelMonitor) -> None:
    """Predict for rows without a city."""
    rng = np.random.default_rng(2)
    for age in rng.normal(40, 10, ROWS).tolist():
        model.log_prediction(None, [age, age / 2 + rng.normal(0, 1), None], rng.random())


def test_a_service_tells_its_function_and_its_webhook(baseline: Baseline, tmp_path: Path) -> None:
    told: list[Notification] = []
    with webhook_server() as server:
        settings = Settings.from_mapping({"BOXKITE_WEBHOOK_URL": server.url, "BOXKITE_STATE_DIR": str(tmp_path)})
        app = AppMonitor(settings, "scoring", {None: baseline}, notify=told.append, pace=QUICK)
        model = app.models()[0]
        assert not any(thread.name == "boxkite-notifier" for thread in threading.enumerate())
        lose_the_city(model)
        (posted,) = server.wait_for(1)
        wait_for(lambda: told)
        assert [change.names for change in told[0].changes] == [("city",)]
        assert posted.json()["changes"] == told[0].to_dict()["changes"]
        for channel in ("webhook", "function"):
            line = f'boxkite_notifications_total{{channel="{channel}"}} 1\n'
            wait_for(lambda line=line: line in app.export_http()[0].decode())
            assert f'boxkite_notifications_failed_total{{channel="{channel}"}} 0\n' in app.export_http()[0].decode()
        app.close()
    assert [thread for thread in threading.enumerate() if thread.name == "boxkite-notifier"] == []


def test_a_process_that_cannot_know_whether_it_is_alone_tells_nothing(
    baseline: Baseline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise, on a full disk, each worker would send the message."""
    told: list[Notification] = []
    state = tmp_path / "state"
    settings = Settings.from_mapping({"BOXKITE_STATE_DIR": str(state)})
    app = AppMonitor(settings, "scoring", {None: baseline}, notify=told.append, pace=QUICK)
    state.write_text("a file in its place")
    with caplog.at_level("WARNING", "flask_boxkite"):
        lose_the_city(app.models()[0])
        wait_for(lambda: "Notifications cannot be made just now" in caplog.text)
    app.close()
    assert told == []


def test_an_app_without_receivers_has_no_metrics_and_no_thread(baseline: Baseline) -> None:
    app = AppMonitor(Settings.from_mapping({}), "scoring", {None: baseline})
    app.models()[0].log_prediction(None, [40, 20, "Oslo"], 0.5)
    app.wake_notifier()
    assert "boxkite_notifications" not in app.export_http()[0].decode()
    assert [thread for thread in threading.enumerate() if thread.name == "boxkite-notifier"] == []
    app.close()


def test_a_disabled_app_tells_nothing(baseline: Baseline) -> None:
    settings = Settings.from_mapping({"BOXKITE_ENABLED": False, "BOXKITE_WEBHOOK_URL": "http://127.0.0.1:1/x"})
    app = AppMonitor(settings, "scoring", {}, notify=print)
    assert list(app.receivers) == []


def test_the_notifier_does_not_keep_an_app_alive(baseline: Baseline) -> None:
    app = AppMonitor(Settings.from_mapping({}), "scoring", {None: baseline}, notify=lambda _: None, pace=QUICK)
    app.models()[0].log_prediction(None, [40, 20, "Oslo"], 0.5)
    gone = weakref.ref(app)
    del app

    def is_gone() -> bool:
        gc.collect()
        return gone() is None and not any(thread.name == "boxkite-notifier" for thread in threading.enumerate())

    wait_for(is_gone)


def test_a_view_answers_while_its_function_hangs(baseline: Baseline) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def notify(notification: Notification) -> None:
        hangs.set()
        goes_on.wait(60)

    app = AppMonitor(Settings.from_mapping({}), "scoring", {None: baseline}, notify=notify, pace=QUICK)
    model = app.models()[0]
    lose_the_city(model)
    assert hangs.wait(60)
    assert model.log_prediction(None, [40.0, 20.0, "Oslo"], 0.5)
    app.close()
    goes_on.set()
