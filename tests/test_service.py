"""The monitoring of one model without Flask: what is counted, what is recorded, and that it never raises."""

from __future__ import annotations

import gc
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from flask_boxkite import Baseline, BoxkiteError, ConfigError, ModelMonitoringService
from flask_boxkite.config import Settings
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.live.store import Store
from flask_boxkite.live.windows import Windows
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.assembly import load_baseline
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.testing import RecordingSink


@pytest.fixture
def baseline(tmp_path: Path, rng: np.random.Generator) -> Baseline:
    """Return a baseline of two features and one output."""
    return ModelMonitoringService.export_text(
        features={"age": rng.integers(18, 90, 500).astype(float), "city": ["Bern", "Oslo"] * 250},
        inference=rng.random(500),
        path=tmp_path / "histogram.prom",
        model="credit",
        version="v1",
    )


def test_a_service_shows_its_model_and_baseline(baseline: Baseline) -> None:
    shown = repr(ModelMonitoringService(baseline, sink="none"))
    assert shown == f"<ModelMonitoringService of model 'credit', baseline {baseline.fingerprint}>"


def clocked(baseline: Baseline) -> tuple[ModelMonitor, list[float]]:
    """Return a monitor whose clocks are the number in a list: at the beginning of a slot of every window."""
    clock = [1_000_800.0]
    store = Store(None, lambda: clock[0], lambda: clock[0])
    settings = Settings.from_mapping({"BOXKITE_SINK": "none"})
    return AppMonitor(settings, "test", {None: baseline}, store=store).model(None), clock


@contextmanager
def service_of(baseline: Any = None, **settings: Any) -> Iterator[tuple[ModelMonitoringService, RecordingSink]]:
    """Make a service that records in memory; close it at the end."""
    sink = RecordingSink()
    service = ModelMonitoringService(baseline, sink=sink, **settings)
    try:
        yield service, sink
    finally:
        service.close()


def recorded(service: ModelMonitoringService, sink: RecordingSink) -> list[dict[str, Any]]:
    """Return all records, once they are delivered."""
    assert service.flush(30) == 0
    return sink.records


def value(service: ModelMonitoringService, name: str, **labels: str) -> float:
    """Return the sum of the samples of that name that have these labels."""
    text = service.export_http()[0].decode()
    wanted = [f'{label}="{content}"' for label, content in labels.items()]
    samples = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
    assert samples, f"There is no {name}."
    return sum(float(line.rpartition(" ")[2]) for line in samples if all(label in line for label in wanted))


# --- records --------------------------------------------------------------------------------------------------------


def test_a_record_has_the_fields_of_the_contract(baseline: Baseline) -> None:
    with service_of(baseline, server_id="server") as (service, sink):
        before = datetime.now(timezone.utc).timestamp()
        prediction_id = service.log_prediction('{"age": 41}', {"age": 41, "city": "Bern"}, 0.25)
        (record,) = recorded(service, sink)
        server, moment, entity_id = prediction_id.split("/")
        created_at = record.pop("created_at")
        assert isinstance(created_at, int)
        assert int(before) <= created_at <= datetime.now(timezone.utc).timestamp()
        assert moment == datetime.fromtimestamp(created_at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        assert record == {
            "entity_id": entity_id,
            "features": {"age": 41, "city": "Bern"},
            "request_body": '{"age": 41}',
            "server_id": "server",
            "output": 0.25,
            "prediction_id": prediction_id,
            "model": "credit",
            "baseline": baseline.fingerprint,
            "version": "v1",
            "status": "ok",
            "duration_ms": None,
            "rows": 1,
        }
        assert server == "server"


@pytest.mark.parametrize(
    ("features", "content", "rows"),
    [
        pytest.param([41, "Bern"], [41, "Bern"], 1, id="list"),
        pytest.param([[41, "Bern"], [42, "Oslo"]], [[41, "Bern"], [42, "Oslo"]], 2, id="lists"),
        pytest.param([{"age": 1}, {"age": 2}], [{"age": 1}, {"age": 2}], 2, id="objects"),
        pytest.param(np.array([[1.5, 2.5]] * 20), [[1.5, 2.5]] * 20, 20, id="array"),
        pytest.param(
            pd.DataFrame({"age": [1, 2], "city": ["Bern", None]}),
            [{"age": 1, "city": "Bern"}, {"age": 2, "city": None}],
            2,
            id="frame",
        ),
        pytest.param("nothing of the kind", "nothing of the kind", 1, id="text"),
        pytest.param(None, None, 1, id="none"),
    ],
)
def test_features_of_every_form_are_recorded(baseline: Baseline, features: Any, content: Any, rows: int) -> None:
    with service_of(baseline) as (service, sink):
        service.log_prediction(features=features, output=[0.5] * rows)
        (record,) = recorded(service, sink)
        assert (record["features"], record["rows"]) == (content, rows)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(np.float32(0.1), 0.1, id="float32"),
        pytest.param(np.int64(7), 7, id="int64"),
        pytest.param(np.bool_(True), True, id="bool"),
        pytest.param(np.array([1, 2]), [1, 2], id="array"),
        pytest.param(float("nan"), None, id="nan"),
        pytest.param(float("inf"), "Infinity", id="inf"),
        pytest.param(-np.inf, "-Infinity", id="minus inf"),
        pytest.param(2**64 - 1, 2**64 - 1, id="64 bits"),
        pytest.param(2**64, str(2**64), id="65 bits"),
        pytest.param(-(2**63) - 1, str(-(2**63) - 1), id="minus 64 bits"),
        pytest.param(Decimal("1.5"), 1.5, id="decimal"),
        pytest.param(UUID(int=1), "00000000-0000-0000-0000-000000000001", id="uuid"),
        pytest.param(date(2024, 2, 29), "2024-02-29", id="date"),
        pytest.param(datetime(2024, 2, 29, 12), "2024-02-29T12:00:00", id="datetime"),
        pytest.param(pd.NaT, None, id="NaT"),
        pytest.param(b"abc", "abc", id="bytes"),
        pytest.param(b"\xff", "/w==", id="bytes that are no text"),
        pytest.param("a\ud800b", "a?b", id="lone surrogate"),
        pytest.param({"k": (1, {2})}, {"k": [1, [2]]}, id="tuples and sets"),
        pytest.param({1: "x", None: "y"}, {"1": "x", "None": "y"}, id="keys that are no texts"),
        pytest.param({"\ud800": 1}, {"?": 1}, id="key with a lone surrogate"),
        pytest.param("", "", id="empty"),
    ],
)
@pytest.mark.parametrize("kind", ["object", "file"])
def test_values_that_are_hard_to_encode_are_recorded(tmp_path: Path, kind: str, given: Any, kept: Any) -> None:
    sink = RecordingSink()
    options: dict[str, Any] = {"sink": sink} if kind == "object" else {"log_dir": tmp_path}
    service = ModelMonitoringService(**options)
    service.log_prediction(features={"x": given, "y": [given]}, output=given)
    service.close()
    records = sink.records or [json.loads(path.read_text()) for path in tmp_path.rglob("*.txt")]
    assert [(record["features"], record["output"]) for record in records] == [({"x": kept, "y": [kept]}, kept)]


def nested(depth: int) -> list[Any]:
    """Return a list in a list, and so on."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


class Malicious:
    """A value that cannot even be written as text."""

    def __str__(self) -> str:
        msg = "no text"
        raise ValueError(msg)


def test_huge_integers_that_cancel_out_are_recorded_by_their_digits(tmp_path: Path, rng: np.random.Generator) -> None:
    """Their row looks like plain numbers, whose sum is small."""
    columns = {name: rng.normal(size=500) for name in ("a", "b", "c")}
    numbers = ModelMonitoringService.export_text(columns, path=tmp_path / "numbers.prom")
    with service_of(numbers) as (service, sink):
        service.log_prediction(features=[10**30, -(10**30), 0.5], output=1.0)
        sink.wait_for(1)
        assert sink.records[0]["features"] == [str(10**30), str(-(10**30)), 0.5]


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Have no garbage collected: what is finalised at the limit of recursion fails, in pytest's hook for that too."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"features": {"x": [[1, nested(100_000)]]}, "output": 1}, id="features too deep"),
        pytest.param({"features": [1], "output": nested(100_000)}, id="output too deep"),
        pytest.param({"features": [1], "output": {"x": nested(100)}}, id="too deep for fluentd"),
        pytest.param({"features": [1], "output": 1, "request_body": nested(100_000)}, id="body too deep"),
        pytest.param({"features": [Malicious()], "output": 1}, id="no text"),
        pytest.param({"features": [1], "output": 1, "request_body": Malicious()}, id="body no text"),
    ],
)
def test_what_cannot_be_recorded_is_counted_and_does_not_raise(
    baseline: Baseline, caplog: pytest.LogCaptureFixture, given: dict[str, Any]
) -> None:
    with service_of(baseline) as (service, sink):
        assert service.log_prediction(**given)
        assert recorded(service, sink) == []
        assert value(service, "boxkite_log_records_total", outcome="accepted") == 1
        assert value(service, "boxkite_log_dropped_total", reason="unencodable") == 1
        assert value(service, "boxkite_log_dropped_total") == 1
        assert value(service, "boxkite_predictions_total") == 1
        assert "A prediction could not be logged; it is counted as dropped." in caplog.messages


def test_features_that_cannot_be_read_are_counted_and_their_record_accounted_for() -> None:

    class Odd(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return 1

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[str]:
            msg = "no keys today"
            raise RuntimeError(msg)

    with service_of() as (service, sink):
        service.log_prediction(features=Odd(), output=1)
        accounted = len(recorded(service, sink)) + value(service, "boxkite_log_dropped_total")
        assert accounted == value(service, "boxkite_log_records_total", outcome="accepted") == 1
        assert value(service, "boxkite_capture_errors_total", reason="internal") == 1


def test_a_long_body_is_cut_and_flagged() -> None:
    with service_of(max_body_bytes=4) as (service, sink):
        service.log_prediction(b"12345", [1], 1)
        service.log_prediction(b"\xff\xff", [1], 1)
        cut, binary = recorded(service, sink)
        assert (cut["request_body"], cut["body_truncated"], "body_encoding" in cut) == ("1234", True, False)
        assert (binary["request_body"], binary["body_encoding"], "body_truncated" in binary) == (
            "//8=",
            "base64",
            False,
        )


def test_a_share_is_recorded_and_everything_counted() -> None:
    with service_of(sample_rate=0.25) as (service, sink):
        ids = [service.log_prediction(features=[1], output=1) for _ in range(400)]
        sampled = [text for text in ids if int(text.split("/")[2][:8], 16) < 2**30]
        assert [record["prediction_id"] for record in recorded(service, sink)] == sampled
        assert 0 < len(sampled) < 400
        assert value(service, "boxkite_predictions_total") == 400
        assert value(service, "boxkite_log_records_total", outcome="accepted") == len(sampled)


# --- redaction ------------------------------------------------------------------------------------------------------


def test_a_secret_is_gone_before_it_is_queued(tmp_path: Path, baseline: Baseline) -> None:
    release = threading.Event()

    class Held:
        def emit_batch(self, records: list[dict[str, Any]]) -> None:
            release.wait(60)

    service = ModelMonitoringService(baseline, sink=Held(), spool_dir=tmp_path, redact="city,card.number")
    bodies: list[Any] = [{"city": "SECRET", "age": 41}, "city=SECRET", b"SECRET", {"card": {"number": "SECRET"}}]
    for body in bodies:
        service.log_prediction(body, {"age": 41, "city": "SECRET"}, {"score": 0.5, "card": {"number": "SECRET"}})
        service.log_prediction(body, [41, "SECRET"], 0.5)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert written.count(b"entity_id") == 2 * len(bodies)
    assert b"[redacted]" in written
    assert b"SECRET" not in written
    release.set()
    service.close()


def test_a_redacting_callable_that_fails_drops_the_record(caplog: pytest.LogCaptureFixture) -> None:
    def fail(record: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("ssn")

    with service_of(redact=fail) as (service, sink):
        service.log_prediction(features={"ssn": "SECRET"}, output=1)
        assert recorded(service, sink) == []
        assert value(service, "boxkite_log_dropped_total", reason="unencodable") == 1
        assert "SECRET" not in caplog.text


def test_a_redacting_callable_decides_what_is_recorded() -> None:
    with service_of(redact=lambda record: {"only": np.int8(1)}) as (service, sink):
        service.log_prediction(features=[1], output=1)
        assert recorded(service, sink) == [{"only": 1}]


# --- counts ---------------------------------------------------------------------------------------------------------


def test_a_prediction_is_counted_before_the_call_returns(baseline: Baseline) -> None:
    with service_of(baseline) as (service, _):
        service.log_prediction(features=[[41, "Bern"], [42, "Rome"], [None, "Oslo"]], output=[0.1, 0.2, None])
        assert value(service, "boxkite_predictions_total", status="ok") == 3
        assert value(service, "boxkite_feature_category_total", feature="city", category="Bern") == 1
        assert value(service, "boxkite_feature_group_total", feature="city", group="__unseen__") == 1
        assert value(service, "boxkite_feature_group_total", feature="age", group="__missing__") == 1
        assert value(service, "boxkite_inference_group_total") == 3


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param({"features": [1, 2, 3], "output": 0.5}, "features", id="too many features"),
        pytest.param({"features": {"other": 1}, "output": 0.5}, "features", id="unknown names"),
        pytest.param({"features": None, "output": 0.5}, "features", id="no features"),
        pytest.param({"features": [41, "Bern"], "output": None}, "output", id="no output"),
    ],
)
def test_what_cannot_be_matched_is_counted_by_reason(baseline: Baseline, given: dict[str, Any], reason: str) -> None:
    with service_of(baseline) as (service, sink):
        service.log_prediction(**given)
        assert value(service, "boxkite_capture_errors_total", reason=reason) == 1
        assert value(service, "boxkite_capture_errors_total") == 1
        assert value(service, "boxkite_predictions_total") == 1
        assert len(recorded(service, sink)) == 1


@pytest.mark.parametrize("output", [None, [], np.empty(0), pd.Series([], dtype=float)], ids=repr)
@pytest.mark.parametrize(
    "features", [[], np.empty((0, 2)), pd.DataFrame({"age": [], "city": []}), {"age": [], "city": []}], ids=repr
)
def test_an_empty_batch_by_hand_is_no_prediction_and_no_error(baseline: Baseline, features: Any, output: Any) -> None:
    with service_of(baseline) as (service, sink):
        service.log_prediction(features=features, output=output)
        observed = service.monitor.observe()

    assert sum(observed.rows.values()) == sum(observed.capture_errors.values()) == observed.cells.sum() == 0
    assert sink.records == []


def test_without_a_baseline_a_prediction_may_have_no_features() -> None:
    with service_of(None) as (service, sink):
        for output in (1, "yes", [0.5], np.array(2.5), None, []):
            service.log_prediction(features=[], output=output)
        assert [record["output"] for record in recorded(service, sink)] == [1, "yes", [0.5], 2.5]
        observation = service.monitor.observe()
        assert (observation.rows["ok"], observation.capture_errors["internal"]) == (4, 0)


@pytest.mark.parametrize(("features", "output"), [([], 0.5), ([], [0.5]), ([[1.0, "Bern"]], [])], ids=repr)
def test_an_output_of_other_rows_than_an_empty_batch_is_told(baseline: Baseline, features: Any, output: Any) -> None:
    with service_of(baseline) as (service, sink):
        service.log_prediction(features=features, output=output)
        observed = service.monitor.observe()

    assert observed.capture_errors == {"features": 0, "output": 1, "internal": 0}
    assert len(sink.records) == 1


def test_threads_lose_neither_counts_nor_records(baseline: Baseline) -> None:
    with service_of(baseline) as (service, sink):

        def predict() -> None:
            for _ in range(500):
                service.log_prediction(features=[41, "Bern"], output=0.5)

        threads = [threading.Thread(target=predict) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert value(service, "boxkite_feature_category_total", category="Bern") == 2000
        assert value(service, "boxkite_log_records_total", outcome="accepted") == 2000
        records = recorded(service, sink)
        assert len({record["entity_id"] for record in records}) == len(records) == 2000
        assert value(service, "boxkite_log_records_total", outcome="delivered") == 2000
        assert value(service, "boxkite_log_queue_records") == 0


# --- set-up and end -------------------------------------------------------------------------------------------------


def test_without_a_sink_nothing_is_recorded_and_no_thread_starts(baseline: Baseline) -> None:
    service = ModelMonitoringService(baseline, sink="none")
    before = threading.active_count()
    assert service.log_prediction(features=[41, "Bern"], output=0.5)
    assert threading.active_count() == before
    assert value(service, "boxkite_predictions_total") == 1
    assert "boxkite_log_records_total" not in service.export_http()[0].decode()
    assert service.flush() == 0
    service.close()


def test_disabled_it_makes_ids_and_nothing_else(baseline: Baseline) -> None:
    with service_of(baseline, enabled=False) as (service, sink):
        assert re.fullmatch(r"unknown-server/[-:T\d]+/[-\da-f]{36}", service.log_prediction(features=[1], output=1))
        assert recorded(service, sink) == []
        assert value(service, "boxkite_predictions_total") == 0


def test_the_default_baseline_may_be_absent(caplog: pytest.LogCaptureFixture) -> None:
    assert load_baseline(None, "/nowhere/histogram.prom") is None
    assert caplog.messages == [
        "There is no baseline at '/nowhere/histogram.prom': predictions are logged and requests counted, but no "
        "distributions. Write one with ModelMonitoringService.export_text() and set 'BOXKITE_BASELINE' to its path."
    ]


def test_the_default_baseline_is_found(baseline: Baseline, tmp_path: Path) -> None:
    found = load_baseline(None, tmp_path / "histogram.prom")
    assert found is not None
    assert found.fingerprint == baseline.fingerprint


def test_a_service_without_a_baseline_logs_and_counts() -> None:
    with service_of() as (service, sink):
        service.log_prediction(features=[1], output=1)
        assert recorded(service, sink)[0]["baseline"] is None
        assert service.model == "default"


def test_a_baseline_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load_baseline(7)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "'BOXKITE_BASELINE' must be a path, a Baseline, or a mapping of model names to those, got 7."
    )


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^'BOXKITE_LOGDIR' is not a setting .* Did you mean 'BOXKITE_LOG_DIR'\?$"):
        ModelMonitoringService(logdir="/logs")


def test_drift_needs_a_baseline() -> None:
    with service_of() as (service, _):
        with pytest.raises(BoxkiteError) as caught:
            service.drift()
        assert str(caught.value) == (
            "Model 'default' has no baseline. Write one with export_text() and set 'BOXKITE_BASELINE'."
        )


@pytest.mark.parametrize("window", ["5m", "1h", "24h", None])
def test_rows_that_come_in_heaps_are_no_drift(baseline: Baseline, window: str | None) -> None:
    """In each slot, all rows come from one visitor."""
    service, clock = clocked(baseline)
    slot = {"5m": 10, "1h": 60}.get(window or "24h", 900)
    for number, city in enumerate(("Oslo", "Oslo", "Oslo", "Bern", "Oslo", "Oslo", "Oslo", "Oslo", "Oslo")):
        for _ in range(20):
            service.log_prediction(None, [30.0 + number, city], 0.5)
        clock[0] += slot
    found = service.drift(window)["city"]

    assert (found.live_rows, found.verdict) == (180, "unclear")
    assert 1 < found.judgement.g < chi2.isf(service.settings.drift_alpha / 3, 5)
    assert found.judgement.dispersion > 10
    assert service.drift(window).window == window


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0, "unclear"), (10, "major"), (75, "major"), (900, "major")], ids=str
)
def test_a_change_is_seen_on_a_server_that_has_just_started(
    baseline: Baseline, rng: np.random.Generator, seconds: int, verdict: str
) -> None:
    """24 times some rows, half of them the same row, without a feature: in one moment, in some slots, or in each."""
    service, clock = clocked(baseline)
    for number in range(24):
        for age in rng.integers(18, 90, 20).tolist():
            service.log_prediction(None, [None if number >= 12 else float(age), "Bern"], 0.5)
        clock[0] += seconds
    found = service.drift()["age"]

    assert (found.live_rows, found.verdict) == (480, verdict)


def test_a_process_that_has_counted_nothing_says_that_it_counts_alone(baseline: Baseline, tmp_path: Path) -> None:
    """As a notebook beside a server."""
    service, _ = clocked(baseline)
    report = service.drift()
    note = report.to_dict()["note"]
    assert note.startswith("Nothing has been counted here. A shell or a notebook counts alone: ")
    assert "'flask boxkite drift --url URL'" in note
    assert "'BOXKITE_STATE_DIR'" in note
    assert note in " ".join(str(report).split())
    assert note in report.to_markdown().replace("\\", "")

    service.log_prediction(None, [40.0, "Bern"], 0.5)
    assert service.drift().to_dict()["note"] is None

    with service_of(baseline, state_dir=str(tmp_path / "state")) as (shared, _):
        assert shared.drift().note == "No prediction came since the start."


HOURS = [float(hour) for hour in range(24)]


def verdicts_of_batches(tmp_path: Path, rng: np.random.Generator, *, alike: bool, fault: float) -> dict[int, str]:
    """Send two batches of 20 rows each second for five minutes; return the verdict on hours every ten seconds.

    Args:
        tmp_path: Folder of the baseline.
        rng: Random numbers.
        alike: Whether all rows of a batch are of one hour.
        fault: Seconds after which 60 % of the hours are 0.
    """
    features = {"hour": HOURS * 200, "age": rng.normal(40, 10, 4800)}
    path = tmp_path / "histogram.prom"
    service, clock = clocked(ModelMonitoringService.export_text(features, None, path, discrete=["hour"]))
    began, verdicts = clock[0], {}
    for half in range(600):
        clock[0] = began + 13 + half / 2
        hours = np.full(20, rng.integers(24)) if alike else rng.integers(24, size=20)
        if half / 2 >= fault:
            hours = np.where(rng.random(20) < 0.6, 0, hours)
        service.log_prediction(None, np.column_stack([hours, rng.normal(40, 10, 20)]).tolist(), None)
        if half % 20 == 19:
            verdicts[half // 2 + 1] = service.drift()["hour"].verdict
    return verdicts


def test_batches_whose_rows_are_alike_are_no_drift(tmp_path: Path, rng: np.random.Generator) -> None:
    """As if each request has the rows of one hour: requests, not rows, are independent of each other."""
    verdicts = verdicts_of_batches(tmp_path, rng, alike=True, fault=math.inf)

    assert set(verdicts.values()) == {"unclear", "stable"}
    assert {verdict for seconds, verdict in verdicts.items() if seconds >= 120} == {"stable"}


@pytest.mark.parametrize("alike", [True, False])
def test_faults_in_batches_are_called_within_a_minute(tmp_path: Path, rng: np.random.Generator, alike: bool) -> None:
    verdicts = verdicts_of_batches(tmp_path, rng, alike=alike, fault=120)

    assert not {verdict for seconds, verdict in verdicts.items() if seconds <= 120} & {"shifted", "drifted", "major"}
    assert {verdict for seconds, verdict in verdicts.items() if seconds >= 180} == {"major"}


@pytest.mark.parametrize(("size", "verdict"), [(1, "major"), (20, "major"), (21, "unclear"), (600, "unclear")], ids=str)
def test_rows_of_few_requests_say_nothing_yet(
    tmp_path: Path, rng: np.random.Generator, size: int, verdict: str
) -> None:
    """30 requests are needed."""
    path = tmp_path / "histogram.prom"
    service, _ = clocked(ModelMonitoringService.export_text({"age": rng.normal(40, 10, 2000)}, None, path))
    rows = [[float(age)] for age in rng.normal(90, 10, 600)]
    for start in range(0, 600, size):
        service.log_prediction(None, rows[start : start + size], None)
    found = service.drift()["age"]

    assert (found.live_rows, found.verdict) == (600, verdict)


def test_windows_that_cannot_be_read_are_no_reason_to_judge_nothing(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ModelMonitoringService(baseline, sink="none")
    for number in range(50):
        service.log_prediction(None, [1000.0 + number, "Bern"], 0.5)

    def fail(*arguments: object) -> None:
        raise OSError("too many files")

    for name in ("history", "_snapshot"):
        with monkeypatch.context() as patch:
            patch.setattr(Windows, name, fail)
            service.monitor._timelines = Timelines(service.monitor.counter.layout)
            assert (service.drift()["age"].live_rows, service.drift()["age"].verdict) == (50, "major")
            with pytest.raises(BoxkiteError, match=r"^The counts of the window '1h' cannot be read: too many files\."):
                service.drift("1h")


def test_two_services_share_nothing(baseline: Baseline) -> None:
    with service_of(baseline) as (first, first_sink), service_of(baseline) as (second, second_sink):
        first.log_prediction(features=[41, "Bern"], output=0.5)
        assert value(second, "boxkite_predictions_total") == 0
        assert len(recorded(first, first_sink)) == 1
        assert recorded(second, second_sink) == []
