"""The same app twice, monitored and plain: every request goes to both, and the answers must be the same.

What was counted is read as Prometheus reads it, from the text of `/metrics`; what was recorded as a sink gets it. What
should have been counted is worked out here from the labels alone, not with the code under test.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from flask_boxkite import Baseline, Boxkite

ID_HEADER = "Boxkite-Prediction-Id"

FEATURES = ("age", "income", "city")
CITIES = ("Berlin", "Paris", "Rome")

Define = Callable[[Flask, Callable[..., Any]], Any]


class Records:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def emit_batch(self, records: Sequence[dict[str, Any]]) -> None:
        """Keep them."""
        with self._lock:
            self.taken.extend(records)


class Samples:
    """The samples of one scrape.

    Args:
        text: Text in the Prometheus format.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._values = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def all(self) -> list[tuple[str, dict[str, str], float]]:
        """Return name, labels and value of each."""
        return self._values

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels; there must be one."""
        found = [value for sample, given, value in self._values if sample == name and labels.items() <= given.items()]
        assert found, f"no sample {name} {labels}"
        return sum(found)

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the samples that have these labels, by the value of another label; zeros are left out."""
        return {
            given[label]: value
            for sample, given, value in self._values
            if sample == name and value and labels.items() <= given.items()
        }

    def labels(self, label: str, name: str) -> set[str]:
        """Return all values of a label of a metric."""
        return {given[label] for sample, given, _ in self._values if sample == name}

    def statuses(self) -> dict[str, float]:
        """Return the predicted rows by status, over all models."""
        counts: Counter[str] = Counter()
        for sample, given, value in self._values:
            if sample == "boxkite_predictions_total" and value:
                counts[given["status"]] += value
        return dict(counts)

    def errors(self) -> dict[str, float]:
        """Return the capture errors by reason, over all models."""
        counts: Counter[str] = Counter()
        for sample, given, value in self._values:
            if sample == "boxkite_capture_errors_total" and value:
                counts[given["reason"]] += value
        return dict(counts)

    def groups(self, feature: str) -> dict[str, float]:
        """Return the rows of a feature by group."""
        return self.by("group", "boxkite_feature_group_total", feature=feature)

    def outputs(self, output: str = "output") -> dict[str, float]:
        """Return the rows of an output by group."""
        return self.by("group", "boxkite_inference_group_total", output=output)

    def group_of(self, side: str, name: str, value: Any) -> str:
        """Say in which group of a variable a value belongs, from the names of the groups alone."""
        thing = {"feature": "feature", "inference": "output"}[side]
        names = [
            given["group"]
            for sample, given, _ in self._values
            if sample == f"boxkite_{side}_group_baseline_total" and given[thing] == name
        ]
        if value is None or value != value:
            return "__missing__"
        intervals = [text for text in names if text.startswith("(")]
        if not intervals:
            return value if value in names else "__unseen__"
        try:
            number = float(value)
        except (TypeError, ValueError):
            return "__invalid__"
        edges = {text: tuple(map(float, text[1:-1].split(","))) for text in intervals}
        for text, (lower, upper) in edges.items():
            if lower < number <= upper:
                return text
        return "__below__" if number <= min(edge[0] for edge in edges.values()) else "__above__"


class Twins:
    """One app twice: monitored, and plain.

    Args:
        define: Gets an app and the decorator of its predicting views, with which it registers its routes.
        baseline: Baseline of the monitored app; None for none.
        flask: Settings of both apps.
        config: ``BOXKITE_*`` settings of the monitored one.
    """

    def __init__(
        self, define: Define, *, baseline: Any = None, flask: Mapping[str, Any] | None = None, **config: Any
    ) -> None:
        self.sink = Records()
        self.monitor = Boxkite()
        self.app = Flask("served")
        self.app.config.update(flask or {}, BOXKITE_BASELINE=baseline, BOXKITE_SINK=self.sink, **config)
        self.monitor.init_app(self.app)
        define(self.app, self.monitor.predict)
        self.plain = Flask("served")
        self.plain.config.update(flask or {})
        define(self.plain, _unmonitored)
        self.client: FlaskClient = self.app.test_client()
        self.plain_client: FlaskClient = self.plain.test_client()

    def send(self, path: str = "/score", *, method: str = "POST", **options: Any) -> TestResponse:
        """Send a request to both apps; return the monitored one's answer, after checking that it is the other's."""
        ours = self.client.open(path, method=method, **options)
        theirs = self.plain_client.open(path, method=method, **options)
        check_same(ours, theirs)
        return ours

    def scrape(self) -> Samples:
        """Scrape the monitored app."""
        return Samples(self.client.get("/metrics").get_data(as_text=True))

    def records(self) -> list[dict[str, Any]]:
        """Return all records so far."""
        with self.app.app_context():
            assert self.monitor.flush(30.0) == 0
        return self.sink.taken

    def record(self) -> dict[str, Any]:
        """Return the only record."""
        (record,) = self.records()
        return record

    def close(self) -> None:
        """End the recorder."""
        self.monitor.close()


def _unmonitored(view: Any = None, **options: Any) -> Any:
    """Stand for the decorator in the plain app."""
    return view if view is not None else lambda view: view


def check_same(ours: TestResponse, theirs: TestResponse) -> None:
    """Check that two answers differ in nothing but the prediction id."""
    assert (ours.status, ours.get_data()) == (theirs.status, theirs.get_data())
    assert headers_of(ours) == headers_of(theirs)


def headers_of(response: TestResponse) -> list[tuple[str, str]]:
    """Return the headers, less the prediction id and the date."""
    return [(name, value) for name, value in response.headers if name not in (ID_HEADER, "Date")]


def check_counted(
    samples: Samples, rows: Iterable[Mapping[str, Any]], outputs: Iterable[Any], *, features: Sequence[str] = FEATURES
) -> None:
    """Check that `/metrics` counts just these rows of features and these outputs, and nothing went wrong."""
    rows, outputs = list(rows), list(outputs)
    assert samples.errors() == {}
    assert samples.statuses() == {"ok": len(rows)}
    for name in features:
        expected = Counter(samples.group_of("feature", name, row.get(name)) for row in rows)
        assert samples.groups(name) == dict(expected), name
    assert samples.outputs() == dict(Counter(samples.group_of("inference", "output", value) for value in outputs))
    for name in ("age", "income"):
        finite = sum(
            samples.group_of("feature", name, row.get(name)) not in ("__missing__", "__invalid__") for row in rows
        )
        assert samples.value("boxkite_feature_value_bucket", feature=name, le="+Inf") == finite
    assert samples.value("boxkite_prediction_duration_seconds_count") > 0


def check_nothing_counted(samples: Samples) -> None:
    """Check that no value of a feature or an output is counted."""
    for name in FEATURES:
        assert samples.groups(name) == {}
    assert samples.outputs() == {}


def check_consistent(samples: Samples) -> float:
    """Check conditions that hold in every scrape, also during writes; return the rows of every variable."""
    totals: set[float] = set()
    for side, thing in (("feature", "feature"), ("inference", "output")):
        for name in samples.labels(thing, f"boxkite_{side}_group_total"):
            groups = samples.by("group", f"boxkite_{side}_group_total", **{thing: name})
            totals.add(sum(groups.values()))
            buckets = samples.by("le", f"boxkite_{side}_value_bucket", **{thing: name})
            if not buckets:
                continue
            ordered = [buckets[le] for le in sorted(buckets, key=lambda le: math.inf if le == "+Inf" else float(le))]
            assert ordered == sorted(ordered)
            count = samples.value(f"boxkite_{side}_value_count", **{thing: name})
            assert ordered[-1] == count
            special = groups.get("__missing__", 0) + groups.get("__invalid__", 0)
            assert count + special == sum(groups.values())
    durations = samples.by("le", "boxkite_prediction_duration_seconds_bucket")
    if durations:
        assert durations["+Inf"] == samples.value("boxkite_prediction_duration_seconds_count")
    assert len(totals) == 1, totals
    return totals.pop()


def training_baseline(model: str = "default", version: str | None = None) -> Baseline:
    """Build the baseline of the tests: two continuous features, a textual one, and a continuous output."""
    from flask_boxkite.baseline.training.build import build_baseline

    number = 1000
    return build_baseline(
        {
            "age": [18 + 60 * i / number for i in range(number)],
            "income": [1000.0 + 7 * (i * 37 % number) for i in range(number)],
            "city": [CITIES[i % 3] for i in range(number)],
        },
        [i / number for i in range(number)],
        model=model,
        version=version,
    )
