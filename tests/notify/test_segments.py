"""Conditions of segments: people are told where one group of rows has moved, and not all rows together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.monitoring.judging import judged, moved_segments
from flask_boxkite.notify.conditions import Condition, key_of, segment_conditions
from flask_boxkite.notify.gaps import OutcomeGaps
from flask_boxkite.notify.message import sentence


@pytest.fixture
def service(tmp_path: Path) -> ModelMonitoringService:
    """Return a model with segments by country, of which the incomes in one are halved."""
    rng = np.random.default_rng(0)
    country = rng.choice(["SE", "NO", "FI"], 6000, p=[0.55, 0.4, 0.05])
    features = {"country": country, "age": rng.normal(40, 10, 6000), "income": rng.lognormal(10, 0.5, 6000)}
    path = tmp_path / "baseline.prom"
    baseline = ModelMonitoringService.export_text(features, path=path, segments=["country"], progress=False)
    made = ModelMonitoringService(baseline, sink="none")
    live = {**features, "income": np.where(country == "FI", features["income"] / 3, features["income"])}
    for row in zip(*(values.tolist() for values in live.values()), strict=True):
        made.log_prediction(features=dict(zip(live, row, strict=True)))
    return made


def conditions(service: ModelMonitoringService) -> dict[str, Condition]:
    return judged([service.monitor], OutcomeGaps(), 0.0).conditions


def test_a_segment_that_moved_alone_is_told(service: ModelMonitoringService) -> None:
    found = conditions(service)
    assert [(item.alert, item.subject, item.names) for item in found.values()] == [
        ("BoxkiteSegmentDrift", "segment", ("country = FI",))
    ]
    (item,) = found.values()
    segment = service.drift("24h", by="country")["FI"].report["income"]
    assert (item.verdict, item.numbers["size"]) == (segment.verdict, segment.judgement.size)
    assert item.text.startswith(f"country = FI: income: {segment.verdict}, size ")
    assert item.text.endswith(", unlike all rows together")
    assert sentence(item.subject, item.names, item.verdict, item.text, 0.0, 60.0).startswith("country = FI: ")


def test_a_segment_as_in_training_is_clear(service: ModelMonitoringService) -> None:
    found = judged([service.monitor], OutcomeGaps(), 0.0)
    assert service.baseline is not None
    fingerprint = service.baseline.fingerprint
    clear = {key_of("segment", "default", fingerprint, f"country = {name}") for name in ("SE", "NO")}
    assert clear <= found.clear


def test_segments_of_two_variables_are_told_apart() -> None:
    """A variable's name may hold the sign that ends it."""
    stable = [{"side": "feature", "name": "age", "verdict": "stable"}]
    keys = [
        list(
            segment_conditions(
                {
                    "model": "m",
                    "baseline": "b",
                    "by": by,
                    "together": [],
                    "segments": [{"text": text, "variables": stable}],
                }
            )
        )
        for by, text in (("a", "b = c"), ("a = b", "c"))
    ]
    assert keys[0] != keys[1]


def test_a_variable_that_moved_everywhere_is_told_once(service: ModelMonitoringService) -> None:
    content = moved_segments(service.drift("24h", by="country"))
    content["together"] = [{"side": "feature", "name": "income", "verdict": "major"}]
    assert not any(isinstance(item, Condition) for item in segment_conditions(content))


def test_what_is_not_known_of_a_segment_is_neither_told_nor_clear(service: ModelMonitoringService) -> None:
    content = moved_segments(service.drift("24h", by="country"))
    for segment in content["segments"]:
        for item in segment["variables"]:
            item["verdict"] = "not enough data"
    assert list(segment_conditions(content)) == []
