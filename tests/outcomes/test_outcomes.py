"""Outcomes in a service, in a Flask app and over HTTP: which prediction they find, and what they count."""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask, request
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    recall_score,
    roc_auc_score,
)

from flask_boxkite import Baseline, Boxkite, BoxkiteError, ConfigError, ModelMonitoringService
from flask_boxkite.live.folding import outcomes_path, windows_path
from flask_boxkite.live.model_cells import FORMAT, ModelCells
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.store import Store
from flask_boxkite.outcomes.book_file import FORMAT as BOOK_FORMAT
from flask_boxkite.outcomes.model import Given, model_outcomes
from flask_boxkite.outcomes.sealing import IdSeal
from flask_boxkite.performance.comparisons import of_classes
from flask_boxkite.performance.report import performance_report
from flask_boxkite.performance.significance import dispersion_of
from flask_boxkite.records import Records
from flask_boxkite.testing import RecordingSink
from tests.baseline.training.building import built
from tests.faults import file_size_limit
from tests.live.directories import directory_of, same_directory

KEY = "correct horse battery staple"
HEADER = "Boxkite-Prediction-Id"


def scores(rows: int, seed: int = 1, shift: float = 0.0) -> tuple[Any, Any, Any]:
    """Return a feature, a calibrated score and actual values that are drawn with its probability."""
    random = np.random.default_rng(seed)
    age = random.normal(40 + shift, 10, rows)
    score = 1 / (1 + np.exp(-(age - 45) / 6))
    return age, score, (random.random(rows) < score).astype(int)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    age, score, actual = scores(4000, seed=7)
    return built({"age": age, "income": age * 2}, score, actual=actual)


@pytest.fixture
def service(baseline: Baseline, tmp_path: Path) -> Iterator[ModelMonitoringService]:
    service = ModelMonitoringService(baseline, sink="none", state_dir=str(tmp_path))
    yield service
    service.close()


def sample(service: Any, name: str, **labels: str) -> float:
    """Return the sum of a family's samples that have these labels."""
    text, _ = service.export_http()
    total = 0.0
    for line in text.decode().splitlines():
        head, _, number = line.rpartition(" ")
        if head.partition("{")[0] == name and all(f'{key}="{value}"' in head for key, value in labels.items()):
            total += float(number)
    return total


# --- realised numbers -------------------------------------------------------------------------------------------------


def test_realised_metrics_are_the_ones_of_scikit_learn(service: ModelMonitoringService) -> None:
    age, score, actual = scores(2000)
    for a, s, y in zip(age.tolist(), score.tolist(), actual.tolist(), strict=True):
        prediction = service.log_prediction(features=[a, 2 * a], output=s)
        assert service.log_outcome(prediction, y)
    report, predicted = service.performance(), score >= 0.5

    assert report.outcomes == report.coverage.predictions == 2000
    assert report["accuracy"].realised == accuracy_score(actual, predicted)
    assert report["precision"].realised == precision_score(actual, predicted)
    assert report["recall"].realised == recall_score(actual, predicted)
    assert report["f1"].realised == pytest.approx(f1_score(actual, predicted), abs=1e-15)
    assert report["auc"].realised == pytest.approx(roc_auc_score(actual, score), abs=0.002)
    # The ids carry scores as float32.
    assert report["brier"].realised == pytest.approx(brier_score_loss(actual, score), abs=1e-8)
    assert report["log_loss"].realised == pytest.approx(log_loss(actual, score), abs=1e-7)


def test_the_loss_of_nearly_certain_scores_is_the_one_of_their_outputs(tmp_path: Path) -> None:
    """Float32 has no number between 1 - 6e-8 and 1, where a wrong score costs 17 to 36."""
    random = np.random.default_rng(0)
    logit = random.normal(0, 12, 1000)
    score, actual = 1 / (1 + np.exp(-logit)), (random.random(1000) < 1 / (1 + np.exp(-logit / 6))).astype(int)
    service = ModelMonitoringService(
        built({"x": logit}, score, actual=actual), sink="none", state_dir=str(tmp_path / "state")
    )
    for x, s, y in zip(logit.tolist(), score.tolist(), actual.tolist(), strict=True):
        assert service.log_outcome(service.log_prediction(features=[x], output=s), y)
    assert service.performance()["log_loss"].realised == pytest.approx(log_loss(actual, score), abs=1e-7)
    assert service.performance()["brier"].realised == pytest.approx(brier_score_loss(actual, score), abs=1e-8)


def test_losses_of_given_outputs_are_exact(service: ModelMonitoringService) -> None:
    _, score, actual = scores(500)
    for row, (s, y) in enumerate(zip(score.tolist(), actual.tolist(), strict=True)):
        assert service.log_outcome(f"elsewhere/{row}", y, predicted=s)
    report = service.performance()
    assert report["brier"].realised == pytest.approx(brier_score_loss(actual, score), abs=1e-9)
    assert report["log_loss"].realised == pytest.approx(log_loss(actual, score), abs=1e-9)


def test_numbers_that_came_true() -> None:
    random = np.random.default_rng(3)
    actual = random.normal(200, 50, 1500)
    predicted = actual + random.normal(3, 20, 1500)
    baseline = built({"x": random.random(1500), "y": random.random(1500)}, predicted, actual=actual)
    service = ModelMonitoringService(baseline, sink="none")
    for row, (p, y) in enumerate(zip(predicted[:600].tolist(), actual[:600].tolist(), strict=True)):
        assert service.log_outcome(f"{row}", y, predicted=p)
    report = service.performance()
    assert report["mae"].realised == pytest.approx(mean_absolute_error(actual[:600], predicted[:600]), abs=1e-7)
    assert report["rmse"].realised == pytest.approx(mean_squared_error(actual[:600], predicted[:600]) ** 0.5, abs=1e-7)
    assert report["bias"].realised == pytest.approx(float((predicted - actual)[:600].mean()), abs=1e-7)


NUMBERS: dict[str, Any] = {
    # (actual values, live ones, errors)
    "seconds of later months": (1.7e9, 1.71e9, 2.6e6, lambda random, rows: random.normal(0, 30, rows)),
    "millions": (1e7, 1e7, 3e6, lambda random, rows: random.normal(0, 1, rows)),
    "often exact": (50, 50, 20, lambda random, rows: random.normal(0, 1, rows).round(2) * (random.random(rows) < 0.6)),
    "many magnitudes": (0, 0, 0, None),
}


@pytest.mark.parametrize("way", ["id", "batch", "key"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_errors_of_numbers_are_as_exact_by_id_as_from_the_outputs_themselves(kind: str, way: str) -> None:
    """Beside seconds since 1970, float32 has steps of 128, and errors of 30 would look much worse."""
    random = np.random.default_rng(5)
    before, live, spread, errors = NUMBERS[kind]

    def drawn(middle: float, rows: int) -> tuple[Any, Any]:
        if errors is None:
            actual = 10.0 ** random.uniform(-9, 6, rows)
            return actual * random.lognormal(0, 0.1, rows), actual
        actual = random.normal(middle, spread, rows).round(1)
        return (actual + errors(random, rows)).round(3), actual

    predicted, actual = drawn(before, 2000)
    service = ModelMonitoringService(built({"x": range(2000)}, predicted, actual=actual), sink="none")
    exact = ModelMonitoringService(service.baseline, sink="none")
    predicted, actual = drawn(live, 400)
    ids = []
    if way == "batch":
        sent = service.log_prediction(features=[[1.0]] * 400, output=predicted.tolist())
        ids = [f"{sent}/{row}" for row in range(400)]
    for row, (p, y) in enumerate(zip(predicted.tolist(), actual.tolist(), strict=True)):
        assert exact.log_outcome(f"{row}", y, predicted=p)
        if way == "batch":
            assert service.log_outcome(ids[row], y)
        elif way == "key":
            service.log_prediction(features=[1.0], output=p, key=row)
            assert service.log_outcome(key=str(row), actual=y)
        else:
            assert service.log_outcome(service.log_prediction(features=[1.0], output=p), y)
    ours, theirs = service.performance(), exact.performance()
    assert ours.verdict == theirs.verdict == "as validated"
    # Steps are 1/64 beside ten millions, and far smaller beside the other errors.
    assert ours["mae"].realised == pytest.approx(np.abs(predicted - actual).mean(), rel=1e-3)
    assert ours["rmse"].realised == pytest.approx(((predicted - actual) ** 2).mean() ** 0.5, rel=1e-3)
    moved = np.abs(cells(service) - cells(exact)).sum() / 2
    assert moved <= (6 if kind in ("seconds of later months", "millions") else 0)


def cells(service: ModelMonitoringService) -> Any:
    """Return the outcomes by bin of the absolute error."""
    outcomes = service.monitor.outcomes
    assert outcomes is not None
    return outcomes.layout.counts(outcomes.totals().cells)


@pytest.mark.parametrize("actual", [1e200, -1e308, 10**400, math.inf])
def test_a_number_whose_error_has_no_square_is_rejected(actual: float) -> None:
    baseline = built(
        {"x": range(40), "y": range(40)}, [float(n) for n in range(40)], actual=[n + 1.0 for n in range(40)]
    )
    service = ModelMonitoringService(baseline, sink="none")
    assert not service.log_outcome(service.log_prediction(features=[1.0, 1.0], output=7.0), actual)
    assert sample(service, "boxkite_outcomes_rejected_total", reason="invalid") == 1


def test_classes_that_came_true() -> None:
    random = np.random.default_rng(2)
    probabilities = random.dirichlet([1, 1, 1], 900)
    actual = np.array(["a", "b", "c"])[[random.choice(3, p=row) for row in probabilities]]
    baseline = built({"x": random.random(900), "y": random.random(900)}, probabilities, actual=actual, classes="abc")
    service = ModelMonitoringService(baseline, sink="none")
    predicted = np.array(["a", "b", "c"])[probabilities.argmax(axis=1)]
    for row, y in zip(probabilities.tolist(), actual.tolist(), strict=True):
        prediction = service.log_prediction(features=[1.0, 1.0], output=dict(zip("abc", row, strict=True)))
        assert service.log_outcome(prediction, y)
    report = service.performance()
    assert report["accuracy"].realised == pytest.approx(accuracy_score(actual, predicted), abs=1e-15)
    assert report["f1"].realised == pytest.approx(f1_score(actual, predicted, average="macro"), abs=1e-12)
    # The rows are the ones of validation, so the expectation is what was validated.
    assert report["accuracy"].estimated == pytest.approx(report["accuracy"].validated, abs=1e-12)


VARIETIES = ["kidney", "navy", "pinto"]


def of_varieties(*, as_label: bool, names: Any = VARIETIES, rows: int = 900, seed: int = 2) -> tuple[Baseline, Any]:
    """Return the baseline of a model of classes, and outputs of its validation rows, of which each second is wrong."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([1, 1, 1], rows)
    predicted = np.array(names)[probabilities.argmax(axis=1)]
    actual = np.where(np.arange(rows) % 2, predicted, np.array(names)[random.integers(0, 3, rows)])
    columns = {"x": random.random(rows), "y": random.random(rows)}
    if as_label:
        return built(columns, predicted, actual=actual, discrete=["output"]), predicted
    return built(columns, probabilities, actual=actual, classes=names), [
        dict(zip(map(str, names), row, strict=True)) for row in probabilities.tolist()
    ]


@pytest.mark.parametrize("as_label", [True, False], ids=["label", "probabilities"])
def test_a_class_that_training_never_had_is_wrong(as_label: bool, tmp_path: Path) -> None:
    """145 of 200 beans are of a new variety."""
    baseline, outputs = of_varieties(as_label=as_label)
    service = ModelMonitoringService(baseline, sink="none", state_dir=str(tmp_path))
    guesses = [output if as_label else max(output, key=output.get) for output in outputs[:200]]
    actual = [*["SIRA"] * 145, *guesses[145:]]
    for output, value in zip(outputs[:200], actual, strict=True):
        prediction = service.log_prediction(features=[1.0, 1.0], output=output if not as_label else str(output))
        assert service.log_outcome(prediction, value)
    report = service.performance()
    service.close()

    coverage, of = report.coverage, {"average": "macro", "zero_division": 0.0}
    assert (coverage.outcomes, coverage.unseen, coverage.rejected["invalid"]) == (200, 145, 0)
    assert report["accuracy"].realised == accuracy_score(actual, guesses) == 55 / 200
    assert report["precision"].realised == pytest.approx(precision_score(actual, guesses, **of), abs=1e-12)
    assert report["recall"].realised == pytest.approx(recall_score(actual, guesses, **of), abs=1e-12)
    assert report["f1"].realised == pytest.approx(f1_score(actual, guesses, **of), abs=1e-12)
    assert report.verdict == "much worse"
    assert report.labels == tuple(VARIETIES)
    table = confusion_matrix(actual, guesses, labels=[*VARIETIES, "SIRA"]).T[:3]
    assert [list(row) for row in report.confusion] == table.tolist()
    assert sample(service, "boxkite_outcomes_total", actual="__unseen__", result="wrong") == 145
    assert sample(service, "boxkite_outcomes_total", result="right") == 55
    assert (
        "145 of the 200 outcomes are of a class that validation never had, and count as wrong: look for actual values "
        "that are none of kidney, navy, pinto."
    ) in " ".join(str(report).split())
    assert "SIRA" not in str(report.to_dict())


@pytest.mark.parametrize("as_label", [True, False], ids=["label", "probabilities"])
@pytest.mark.parametrize("name", ["none", "NA", "-", "null"])
def test_a_class_called_none_is_a_class_live_and_in_records(as_label: bool, name: str, tmp_path: Path) -> None:
    baseline, outputs = of_varieties(as_label=as_label, names=["navy", name, "pinto"])
    service = ModelMonitoringService(baseline, log_dir=tmp_path / "records", state_dir=str(tmp_path / "state"))
    guesses = [str(output) if as_label else max(output, key=output.get) for output in outputs[:300]]
    actual = [guess if row % 2 else guesses[row - 7] for row, guess in enumerate(guesses)]
    lines = ["prediction_id,actual"]
    for output, guess, value in zip(outputs, guesses, actual, strict=False):
        prediction = service.log_prediction(features=[1.0, 1.0], output=guess if as_label else output)
        assert service.log_outcome(prediction, value)
        lines.append(f"{prediction},{value}")
    live = service.performance()
    service.close()
    (tmp_path / "outcomes.csv").write_text("\n".join(lines))
    joined = Records(tmp_path / "records").performance(baseline, outcomes=tmp_path / "outcomes.csv")

    other, _ = of_varieties(as_label=as_label)  # the same rows, but for the names of the classes
    validated = ModelMonitoringService(other, sink="none").performance()["accuracy"].validated
    table = confusion_matrix(actual, guesses, labels=live.labels).T
    assert table[live.labels.index(name)].sum() > 50
    for report in (live, joined):
        assert set(report.labels) == {"navy", name, "pinto"}
        assert [list(row[:3]) for row in report.confusion] == table.tolist()
        assert report.coverage.unseen == 0
        assert report["accuracy"].validated == validated


def test_texts_for_missing_values_are_of_no_other_class() -> None:
    _, predicted = of_varieties(as_label=True)
    actual = np.where(np.arange(900) % 9, predicted, "?")
    for outputs, options in ((predicted, {}), (np.eye(3)[np.arange(900) % 3], {"classes": VARIETIES})):
        baseline = built({"x": np.arange(900)}, outputs, actual=actual, missing_texts=("?",), **options)
        service = ModelMonitoringService(baseline, sink="none")
        output = "navy" if not options else [0.1, 0.8, 0.1]
        assert not service.log_outcome(service.log_prediction(features=[1.0], output=output), " ? ")
        assert service.log_outcome(service.log_prediction(features=[1.0], output=output), "!")


def test_an_empty_text_is_no_actual_value() -> None:
    """It may be a prediction; the field of an outcome is empty where nothing is known."""
    _, predicted = of_varieties(as_label=True)
    output = np.where(np.arange(900) % 9, predicted, "")
    baseline = built({"x": np.arange(900)}, output, actual=predicted)
    assert '""' in baseline.validation.classes
    service = ModelMonitoringService(baseline, sink="none")
    assert not service.log_outcome(service.log_prediction(features=[1.0], output="navy"), "")
    assert service.log_outcome(service.log_prediction(features=[1.0], output=""), "navy")


def test_another_class_that_comes_in_bursts_counts_for_less() -> None:
    """In each second slot of time, all eight rows are of it; in the others, all are right."""
    baseline, _ = of_varieties(as_label=True)
    validation = baseline.validation
    layout, cells = OutcomeCells(validation), ModelCells.of(baseline)
    slots = np.zeros((30, layout.size), dtype=np.int64)
    for number, slot in enumerate(slots):
        layout.counts(slot)[0, 0, 0 if number % 2 else -1] = 8
    none, outcomes = np.zeros(cells.size, dtype=np.int64), slots.sum(axis=0)
    report = performance_report("m", baseline, cells, none, layout, outcomes, alpha=1e-5, slots=slots)

    phi = dispersion_of([8, 0] * 15, [8] * 30)
    (expected,) = of_classes(validation, layout.counts(outcomes), phi)
    assert phi > 8
    assert report.judgement.comparisons == (expected,)
    assert report.coverage.unseen == 120


@pytest.mark.parametrize("as_label", [True, False], ids=["label", "probabilities"])
@pytest.mark.parametrize("names", [VARIETIES, [0, 1, 2]], ids=["texts", "numbers"])
def test_only_single_values_are_of_another_class(as_label: bool, names: list[Any]) -> None:
    baseline, outputs = of_varieties(as_label=as_label, names=names)
    service = ModelMonitoringService(baseline, sink="none")
    output = outputs[0].item() if as_label else outputs[0]

    def counted(value: Any) -> bool:
        return service.log_outcome(service.log_prediction(features=[1.0, 1.0], output=output), value)

    others = ["SIRA", 7, 7.5, -1, 2**60, "7", False if names is VARIETIES else "maybe", "__unseen__", np.int64(8)]
    assert all(map(counted, others))
    none = [None, math.nan, np.float64("nan"), "", " ", "nan", [], ["kidney"], {"a": 1}, [names[0]], np.array([7, 8])]
    assert not any(map(counted, none))
    assert counted(names[1])
    report = service.performance()
    assert (report.outcomes, report.coverage.unseen) == (len(others) + 1, len(others))
    assert report.coverage.rejected["invalid"] == len(none)


def test_without_another_class_nothing_speaks_of_it() -> None:
    baseline, outputs = of_varieties(as_label=True)
    service = ModelMonitoringService(baseline, sink="none")
    assert service.log_outcome(service.log_prediction(features=[1.0, 1.0], output=str(outputs[0])), "navy")
    report = service.performance()
    assert report.coverage.unseen == 0
    assert {len(row) for row in report.confusion} == {3}
    assert "never had" not in str(report)
    text = service.export_http()[0].decode()
    assert text.count('actual="__unseen__"') == 3, "a counter is there before it counts, for increase()"
    assert "__unseen__" not in "".join(line for line in text.splitlines() if "expected_outcomes" in line)


def test_a_class_named_as_unseen_ones_are_counted_is_a_class() -> None:
    names = ["__unseen__", "navy", "pinto"]
    baseline, _ = of_varieties(as_label=True, names=names)
    service = ModelMonitoringService(baseline, sink="none")
    for value in (names[0], "SIRA"):
        assert service.log_outcome(service.log_prediction(features=[1.0, 1.0], output=names[0]), value)
    report = service.performance()
    assert (report.coverage.unseen, report["accuracy"].realised) == (1, 0.5)
    lines = [line for line in service.export_http()[0].decode().splitlines() if line.startswith("boxkite_outcomes_to")]
    assert len(lines) == len({line.rpartition(" ")[0] for line in lines}) == 12


def test_the_route_and_the_page_tell_another_class(tmp_path: Path) -> None:
    baseline, outputs = of_varieties(as_label=True)
    app = Flask(__name__)
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=RecordingSink(), BOXKITE_STATE_DIR=str(tmp_path))
    app.config.update(BOXKITE_OUTCOMES_PATH="/outcomes", BOXKITE_DASHBOARD_PATH="/boxkite", BOXKITE_METRICS_TOKEN="s")
    monitor = Boxkite(app)
    client, token = app.test_client(), {"Authorization": "Bearer s"}
    with app.app_context():
        ids = [monitor.log_prediction(features=[1.0, 1.0], output=str(output)) for output in outputs[:6]]
    actual = ["SIRA", "SIRA", ["SIRA"], None, *map(str, outputs[4:6])]
    items = [{"prediction_id": name, "actual": value} for name, value in zip(ids, actual, strict=True)]
    answer = client.post("/outcomes", json=items, headers=token).get_json()

    assert (answer["counted"], answer["rejected"]) == (4, {"invalid": 2})
    page = " ".join(client.get("/boxkite/?window=start", headers=token).text.split())
    assert "2 of the 4 outcomes are of a class that validation never had" in page
    header, body = page.partition("Outcomes by predicted and actual value")[2].split("</thead>", 1)
    assert re.findall(r"<th[^>]*>([^<]*)</th>", header) == ["Actual", "Predicted", *VARIETIES, "unseen"]
    cells = re.findall(r'data-label="Actual unseen" class="number">(\d+)', body)
    assert len(cells) == 3
    assert sum(map(int, cells)) == 2


def test_the_expectation_follows_the_live_scores(service: ModelMonitoringService) -> None:
    age, score, actual = scores(3000, seed=4, shift=-12)
    for a, s in zip(age.tolist(), score.tolist(), strict=True):
        service.log_prediction(features=[a, 2 * a], output=s)
    metric = service.performance()["accuracy"]
    assert metric.realised is None
    assert metric.estimated_low < accuracy_score(actual, score >= 0.5) < metric.estimated_high
    assert metric.estimated > metric.validated + 0.02


def test_features_correct_the_expectation_of_classes() -> None:
    """Where x is high, the probabilities are of no use; the outputs alone cannot tell that."""
    random = np.random.default_rng(5)
    x = random.random(4000)
    probabilities = random.dirichlet([1, 1, 1], 4000)
    drawn = [random.choice(3, p=row) for row in probabilities]
    actual = np.array(["a", "b", "c"])[np.where(x > 0.7, random.integers(0, 3, 4000), drawn)]
    baseline = built({"x": x, "y": random.random(4000)}, probabilities, actual=actual, classes="abc")
    service = ModelMonitoringService(baseline, sink="none")
    rows = random.dirichlet([1, 1, 1], 1000).tolist()
    outputs = [dict(zip("abc", row, strict=True)) for row in rows]
    service.log_prediction(
        features=np.column_stack([random.uniform(0.7, 1, 1000), random.random(1000)]), output=outputs
    )
    report = service.performance()
    accuracy = report["accuracy"]
    assert accuracy.estimated == pytest.approx(accuracy.validated, abs=0.03)
    assert accuracy.corrected == pytest.approx(1 / 3, abs=0.05)
    assert report.effects[0].feature == "x"
    assert report.effects[0].effect < -0.1


def test_a_release_with_another_format_begins_at_0_in_all_windows(baseline: Baseline, tmp_path: Path) -> None:
    """Snapshots of the first release with outcomes have a name without their format; its outcomes are not found.

    Else the first outcomes would be less than the ones of these snapshots, and no window had any.
    """
    now = 1e9

    def counted(rows: int) -> dict[str, int]:
        nonlocal now
        outcomes = model_outcomes(baseline, "m", Store(same_directory(tmp_path), clock, clock), KEY, "s", clock=clock)
        assert outcomes is not None
        for _ in range(rows):
            now += 4
            assert outcomes.log([Given(f"{now}", 1, predicted=(0.7,))]) == [None]
        history, totals = outcomes.history()
        found = {name: history.window(name, totals) for name in ("5m", "1h")} | {"start": totals.cells}
        return {name: int(outcomes.layout.counts(cells).sum()) for name, cells in found.items()}

    def clock() -> float:
        return now

    assert counted(300)["start"] == 300
    directory, key = directory_of(tmp_path), SectionKey("outcomes", "m", baseline.fingerprint)
    outcomes_path(directory, key, BOOK_FORMAT).unlink()
    ring, digest = windows_path(directory, key), hashlib.sha256(f"{FORMAT} {key}".encode()).hexdigest()
    ring.rename(ring.with_name(ring.name[:-16] + digest[:16]))
    assert counted(30) == {"5m": 30, "1h": 30, "start": 30}


# --- which prediction an outcome finds --------------------------------------------------------------------------------


def test_another_process_with_the_key_opens_the_id(baseline: Baseline, tmp_path: Path) -> None:
    first, second, stranger = (
        ModelMonitoringService(baseline, sink="none", state_dir=str(tmp_path / name), id_key=key)
        for name, key in (("a", KEY), ("b", KEY), ("c", f"{KEY}!"))
    )
    prediction = first.log_prediction(features=[40.0, 80.0], output=0.25)
    assert second.log_outcome(prediction, 1)
    assert not stranger.log_outcome(prediction, 1)
    assert sample(second, "boxkite_outcomes_total", actual="1.0", predicted="0.0", result="false_negative") == 1
    assert sample(stranger, "boxkite_outcomes_rejected_total", reason="unknown") == 1


def test_rows_of_a_batch_are_remembered(service: ModelMonitoringService) -> None:
    age, score, actual = scores(300)
    prediction = service.log_prediction(features=np.column_stack([age, 2 * age]), output=score)
    assert all(service.log_outcome(f"{prediction}/{row}", y) for row, y in enumerate(actual.tolist()))
    assert not service.log_outcome(f"{prediction}/300", 1)
    assert not service.log_outcome(prediction, 1)  # of which row?
    assert service.performance()["accuracy"].realised == accuracy_score(actual, score >= 0.5)


@pytest.mark.parametrize("is_told", [False, True], ids=["sealed", "remembered"])
def test_row_0_of_a_batch_of_one_is_the_prediction(service: ModelMonitoringService, is_told: bool) -> None:
    """The client need not know how many rows it has sent."""
    monitor = service.monitor
    first, second = (monitor.log_as(monitor.new_id(), None, [[40.0, 80.0]], [0.25], is_told=is_told) for _ in range(2))
    assert service.log_outcome(f"{first}/0", 1)
    assert not service.log_outcome(first, 1)
    assert service.log_outcome(second, 0)
    assert not service.log_outcome(f"{second}/0", 0)
    assert not service.log_outcome(f"{second}/1", 0)
    rejected = service.performance().coverage.rejected
    assert (rejected["repeated"], rejected["unknown"]) == (2, 1)


def test_repeated_and_wrong_outcomes_are_counted_by_reason(service: ModelMonitoringService) -> None:
    prediction = service.log_prediction(features=[40.0, 80.0], output=0.75)
    assert service.log_outcome(prediction, True)
    assert not service.log_outcome(prediction, 1)
    assert not service.log_outcome(prediction[:-1] + ("0" if prediction[-1] != "0" else "1"), 1)
    assert not service.log_outcome("nonsense", 1)
    other = service.log_prediction(features=[40.0, 80.0], output=0.75)
    assert not service.log_outcome(other, "maybe")
    assert not service.log_outcome(other, None)
    assert service.log_outcome(other, "0")
    assert service.performance().coverage.rejected == {
        "unknown": 2,
        "repeated": 1,
        "late": 0,
        "invalid": 2,
        "failed": 0,
    }
    assert sample(service, "boxkite_outcomes_total") == 2
    assert sample(service, "boxkite_outcome_lag_seconds_bucket", le="+Inf") == 2


def test_without_actual_values_there_is_nothing_to_compare() -> None:
    service = ModelMonitoringService(built({"x": [1.0, 2.0] * 50, "y": [1.0] * 100}, [0.1, 0.9] * 50), sink="none")
    with pytest.raises(BoxkiteError, match=r"export_text\(\.\.\., actual="):
        service.log_outcome("x", 1)
    with pytest.raises(BoxkiteError, match="has no actual values"):
        service.performance()


def test_a_full_disk_fails_only_outcomes_without_room(service: ModelMonitoringService, tmp_path: Path) -> None:
    """They can be sent again; the others were counted, and need not be."""
    given = [Given(f"elsewhere/{row}", 1, 0.25) for row in range(5000)]
    service.app.log_outcomes(given[:1])
    (book,) = (path for path in tmp_path.rglob("*") if "outcomes" in path.name)
    with file_size_limit(book.stat().st_size):
        answers = service.app.log_outcomes(given)
    failed = [item for item, answer in zip(given, answers, strict=True) if answer == "failed"]
    assert answers[0] == "repeated"
    assert 256 <= answers.count(None) < 4000
    assert set(service.app.log_outcomes(failed)) == {None}
    assert service.performance().outcomes == 5000


# --- in a Flask app ---------------------------------------------------------------------------------------------------


def make_app(baseline: Any, **config: Any) -> tuple[Flask, Boxkite, RecordingSink]:
    """Return an app whose view answers with the score that it is sent, or with a list of them."""
    app, sink = Flask(__name__), RecordingSink()
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=sink, **config)
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        body = request.get_json()
        return {"output": [row[0] / 100 for row in body]} if isinstance(body, list) else {"output": body["age"] / 100}

    @app.post("/stream")
    @monitor.predict
    def stream() -> Any:
        return iter([json.dumps({"output": request.get_json()["age"] / 100})]), {"Content-Type": "application/json"}

    @app.post("/by-hand")
    @monitor.predict
    def by_hand() -> Any:
        body = request.get_json()
        return {"id": monitor.log_prediction(features=body, output=body["age"] / 100)}

    return app, monitor, sink


@pytest.mark.parametrize("path", ["/score", "/stream", "/by-hand"])
def test_the_header_names_the_prediction(baseline: Baseline, tmp_path: Path, path: str) -> None:
    app, monitor, sink = make_app(baseline, BOXKITE_STATE_DIR=str(tmp_path))
    answer = app.test_client().post(path, json={"age": 77.0, "income": 150.0})
    answer.get_data()  # a stream is a prediction when it ends
    prediction = answer.headers[HEADER]
    if path == "/by-hand":
        assert answer.json == {"id": prediction}
    with app.app_context():
        assert monitor.log_outcome(prediction, 1)
        assert not monitor.log_outcome(prediction, 1)
        assert monitor.performance()["accuracy"].realised == 1
        monitor.flush()
    assert [record["prediction_id"] for record in sink.records] == [prediction]
    assert sink.records[0]["entity_id"] == prediction.rpartition("/")[2]


def test_outcomes_over_http(baseline: Baseline, tmp_path: Path) -> None:
    app, monitor, _ = make_app(
        baseline,
        BOXKITE_STATE_DIR=str(tmp_path),
        BOXKITE_OUTCOMES_PATH="/outcomes",
        BOXKITE_METRICS_TOKEN="secret",
    )
    client, token = app.test_client(), {"Authorization": "Bearer secret"}
    ids = [client.post("/score", json={"age": 60.0, "income": 1.0}).headers[HEADER] for _ in range(8)]
    batch = client.post("/score", json=[[60.0, 1.0], [30.0, 1.0]]).headers[HEADER]

    def send(data: Any, content_type: str = "application/json") -> Any:
        text = data if isinstance(data, str) else json.dumps(data)
        return client.post("/outcomes", data=text, headers=token, content_type=content_type)

    assert client.post("/outcomes", json={}).status_code == 401
    assert send({"prediction_id": ids[0], "actual": 1}).json == {"counted": 1, "rejected": {}, "reasons": []}
    answer = send(
        [
            {"prediction_id": ids[0], "actual": 1},
            {"prediction_id": ids[1], "actual": 0},
            {"prediction_id": "x", "actual": 0},
            7,
            {"prediction_id": ids[2], "actual": "maybe"},
            {"prediction_id": f"{batch}/1", "actual": 0},
        ]
    )
    assert answer.status_code == 200
    assert answer.json == {
        "counted": 2,
        "rejected": {"invalid": 1, "repeated": 1, "unknown": 2},
        "reasons": [
            {"index": 0, "reason": "repeated"},
            {"index": 2, "reason": "unknown"},
            {"index": 3, "reason": "unknown"},
            {"index": 4, "reason": "invalid"},
        ],
    }
    lines = "".join(json.dumps({"prediction_id": name, "actual": True}) + "\n" for name in ids[3:5])
    assert send(lines, "application/x-ndjson").json["counted"] == 2
    assert send(f"actual,prediction_id\n1, {ids[5]} \n,{ids[6]}\n  ,{ids[6]}\n", "text/csv").json["counted"] == 1
    assert send({"prediction_id": "none", "actual": 1, "predicted": 0.9}).json["counted"] == 1

    assert send("{", "application/json").status_code == 400
    assert send("a,b\n1,2\n", "text/csv").status_code == 400
    answer = send(f"prediction_id;actual\n{ids[6]};1\n", "text/csv")
    assert (answer.status_code, answer.text.strip()) == (
        400,
        "The body cannot be read: the first line has semicolons between the names of columns; separate fields by "
        "commas.",
    )
    assert send("x", "text/plain").status_code == 415
    assert send([{"prediction_id": "x" * 1000, "actual": 1}] * 9000).status_code == 413
    with app.app_context():
        assert monitor.performance().outcomes == 7


def test_over_http_an_outcome_of_several_models_has_the_answer_of_each(baseline: Baseline) -> None:
    labels = built({"age": [1.0, 2.0] * 50}, ["yes", "no"] * 50, actual=["yes", "no"] * 50)
    app = Flask("scoring")
    app.config.update(
        BOXKITE_BASELINE={"champion": baseline, "labels": labels, "plain": built({"age": [1.0, 2.0] * 50})},
        BOXKITE_SINK="none",
        BOXKITE_OUTCOMES_PATH="/outcomes",
        BOXKITE_METRICS_TOKEN="secret",
    )
    monitor = Boxkite(app)
    with app.app_context():
        for key in ("A-1", "A-2", "A-3"):
            monitor.log_prediction(features={"age": 60.0, "income": 1.0}, output=0.7, model="champion", key=key)
            monitor.log_prediction(features={"age": 1.0}, output="yes", model="labels", key=key)
    outcomes = [
        {"key": "A-1", "actual": 1},
        {"key": "A-1", "actual": 1},
        {"key": "A-2", "actual": None},
        {"key": "A-3", "actual": ["yes"], "model": "labels"},
        {"key": "A-9", "actual": 1},
        {"key": "A-3", "actual": 1, "model": "plain"},
    ]
    headers = {"Authorization": "Bearer secret"}
    answer = app.test_client().post("/outcomes", json=outcomes, headers=headers).json
    assert {name: answer[name] for name in ("counted", "rejected")} == {
        "counted": 1,
        "rejected": {"invalid": 2, "no_model": 1, "repeated": 1, "unknown": 1},
    }
    assert answer["models"] == {
        "champion": {"counted": 1, "rejected": {"invalid": 1, "repeated": 1}},
        "labels": {"counted": 1, "rejected": {"invalid": 2, "repeated": 1}},
    }


def test_the_route_needs_a_token_or_a_guard(baseline: Baseline) -> None:
    with pytest.raises(ConfigError, match="everyone who reaches the server could send outcomes"):
        make_app(baseline, BOXKITE_OUTCOMES_PATH="/outcomes")
    app = Flask(__name__)
    app.add_url_rule("/outcomes", "mine", lambda: "", methods=["POST"])
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_OUTCOMES_PATH="/outcomes", BOXKITE_METRICS_TOKEN="x")
    with pytest.raises(ConfigError, match="is the route of 'mine' already"):
        Boxkite(app)


def test_a_short_key_is_refused(baseline: Baseline) -> None:
    with pytest.raises(ConfigError, match="must have at least 16 characters, got 5"):
        make_app(baseline, BOXKITE_ID_KEY="short")


def test_of_several_models_the_id_tells(baseline: Baseline, tmp_path: Path) -> None:
    app = Flask(__name__)
    app.config.update(BOXKITE_BASELINE={"a": baseline, "b": baseline}, BOXKITE_STATE_DIR=str(tmp_path))
    monitor = Boxkite(app)
    with app.app_context():
        first, second = (monitor.log_prediction(features=[60.0, 1.0], output=0.6, model=model) for model in ("a", "b"))
        assert monitor.log_outcome(second, 1)
        assert monitor.log_outcome(first, 0)
        assert [monitor.performance(model)["accuracy"].realised for model in ("a", "b")] == [0, 1]


@pytest.fixture
def two_models(baseline: Baseline, tmp_path: Path) -> Iterator[Boxkite]:
    """Return the monitor of an app with two models, within the app."""
    app = Flask(__name__)
    app.config.update(BOXKITE_BASELINE={"a": baseline, "b": baseline}, BOXKITE_STATE_DIR=str(tmp_path))
    monitor = Boxkite(app)
    with app.app_context():
        yield monitor
    monitor.close()


def accuracies(monitor: Boxkite) -> list[Any]:
    return [monitor.performance(model)["accuracy"].realised for model in ("a", "b")]


def test_an_outcome_by_key_is_true_for_all_models_that_know_the_key(two_models: Boxkite) -> None:
    """A challenger in the same view answers the same order."""
    monitor = two_models
    for model, score in (("a", 0.4), ("b", 0.6)):
        monitor.log_prediction(features=[60.0, 1.0], output=score, model=model, key="both")
        monitor.log_prediction(features=[60.0, 1.0], output=score, model=model, key="named")
    monitor.log_prediction(features=[60.0, 1.0], output=0.6, model="b", key="challenger's")

    assert monitor.log_outcome(key="both", actual=1)
    assert accuracies(monitor) == [0, 1]
    assert not monitor.log_outcome(key="both", actual=1)
    assert monitor.log_outcome(key="named", actual=1, model="a")
    assert monitor.log_outcome(key="named", actual=0)  # it still counts for the other
    assert accuracies(monitor) == [0, 0.5]
    assert monitor.log_outcome(key="challenger's", actual=1)
    assert [monitor.performance(model).outcomes for model in ("a", "b")] == [2, 3]
    assert not monitor.log_outcome(key="unknown", actual=1)


def test_an_outcome_with_an_output_is_of_one_model(two_models: Boxkite) -> None:
    for model in ("a", "b"):
        two_models.log_prediction(features=[60.0, 1.0], output=0.6, model=model, key=7)
    assert two_models.log_outcome(key=7, actual=0, predicted=0.4)
    assert [two_models.performance(model).outcomes for model in ("a", "b")] == [1, 0]
    assert accuracies(two_models)[0] == 1


def test_what_one_of_several_models_cannot_write_is_to_be_sent_again(two_models: Boxkite, baseline: Baseline) -> None:
    for model in ("a", "b"):
        two_models.log_prediction(features=[60.0, 1.0], output=0.6, model=model, key=7)
    monitor = two_models._state().monitor
    directory = monitor.state_directory()
    assert directory is not None
    book = outcomes_path(directory, SectionKey("outcomes", "b", baseline.fingerprint), BOOK_FORMAT)
    book.mkdir()  # where no file can be opened
    given = [Given(None, 1, key="7")]
    assert monitor.log_outcomes(given) == ["failed"]
    book.rmdir()
    assert monitor.log_outcomes(given) == [None]
    assert [two_models.performance(model).outcomes for model in ("a", "b")] == [1, 1]


def test_the_prediction_of_an_id_is_looked_up_once(two_models: Boxkite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of outcomes in one request, each lookup counts."""
    opened: list[str] = []
    unwatched = IdSeal.open
    monkeypatch.setattr(IdSeal, "open", lambda seal, text: opened.append(text) or unwatched(seal, text))
    for model, lookups in (("a", 1), ("b", 2)):
        sent = two_models.log_prediction(features=[60.0, 1.0], output=0.6, model=model)
        opened.clear()
        assert two_models.log_outcome(sent, 1)
        assert opened == [sent] * lookups


def test_an_outcome_of_an_unknown_model_costs_no_other(baseline: Baseline, tmp_path: Path) -> None:
    plain = built({"age": [1.0, 2.0] * 50, "income": [1.0, 2.0] * 50}, [0.1, 0.9] * 50)
    app = Flask(__name__)
    app.config.update(
        BOXKITE_BASELINE={"a": baseline, "b": baseline, "plain": plain},
        BOXKITE_STATE_DIR=str(tmp_path),
        BOXKITE_OUTCOMES_PATH="/outcomes",
        BOXKITE_METRICS_TOKEN="secret",
    )
    monitor = Boxkite(app)
    with app.app_context():
        for model in ("a", "b"):
            monitor.log_prediction(features=[60.0, 1.0], output=0.6, key="7", model=model)
    models = ["a", "retired", "plain", "b"]
    answer = app.test_client().post(
        "/outcomes",
        json=[{"key": "7", "actual": 1, "model": model} for model in models],
        headers={"Authorization": "Bearer secret"},
    )
    assert (answer.status_code, answer.json) == (
        200,
        {
            "counted": 2,
            "rejected": {"no_model": 2},
            "reasons": [{"index": 1, "reason": "no_model"}, {"index": 2, "reason": "no_model"}],
            "models": {name: {"counted": 1, "rejected": {}} for name in "ab"},
        },
    )
    with app.app_context():
        assert [monitor.performance(model).outcomes for model in ("a", "b")] == [1, 1]


def test_a_server_without_actual_values_takes_no_outcomes() -> None:
    plain = built({"age": [1.0, 2.0] * 50, "income": [1.0, 2.0] * 50}, [0.1, 0.9] * 50)
    app, _, _ = make_app(plain, BOXKITE_OUTCOMES_PATH="/outcomes", BOXKITE_METRICS_TOKEN="secret")
    for outcome in ({"key": "7", "actual": 1}, {"key": "7", "actual": 1, "model": "other"}):
        answer = app.test_client().post("/outcomes", json=outcome, headers={"Authorization": "Bearer secret"})
        assert answer.status_code == 409
        assert "Outcomes need a baseline with actual values" in answer.text


def test_outcomes_are_redacted_nowhere_else(baseline: Baseline, tmp_path: Path) -> None:
    """A redacted record keeps the id by which outcomes find the prediction."""
    app, monitor, sink = make_app(baseline, BOXKITE_STATE_DIR=str(tmp_path), BOXKITE_REDACT=["age"])
    prediction = app.test_client().post("/score", json={"age": 77.0, "income": 150.0}).headers[HEADER]
    with app.app_context():
        assert monitor.log_outcome(prediction, 1)
        monitor.flush()
    assert sink.records[0]["prediction_id"] == prediction


@pytest.mark.parametrize("wrong", [math.nan, 7, b"id", ["id"], uuid.UUID(int=7), pd.NA, np.float64("nan")], ids=repr)
def test_an_id_that_is_no_text_is_unknown(service: ModelMonitoringService, wrong: Any) -> None:
    """A frame in which an id is missing has NaN there."""
    assert not service.log_outcome(wrong, 1)
    assert sample(service, "boxkite_outcomes_rejected_total", reason="unknown") == 1
    prediction = service.log_prediction(features=[40.0, 80.0], output=0.25, key="A-7")
    assert service.log_outcome(wrong, 1, key="A-7")
    assert prediction
