"""A challenger beside its champion, from records that real services wrote, as scikit-learn and SciPy see both."""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from flask import Flask, request
from scipy import stats
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from flask_boxkite import Baseline, Boxkite, BoxkiteError, ModelMonitoringService
from flask_boxkite.performance.challenge import ChallengeReport
from flask_boxkite.performance.challenge_wording import as_text
from flask_boxkite.records import Records
from flask_boxkite.records.alignment import Aligner
from flask_boxkite.records.decoding import decoder
from flask_boxkite.records.pairing import ModelRows
from tests.baseline.training.building import built
from tests.records.archives import record, write

CLASSES = ["a", "b", "c"]


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def old(x: float) -> float:
    """Return the champion's score, which is too high, and changes too little."""
    return float(sigmoid(0.4 * x + 0.6))


def new(x: float) -> float:
    return float(sigmoid(2 * x))


def scored(model: Any, version: str, **options: Any) -> Baseline:
    rng = np.random.default_rng(3)
    x = rng.normal(size=2000)
    actual = (rng.random(2000) < sigmoid(2 * x)).astype(int)
    return built({"x": x}, [model(each) for each in x.tolist()], actual=actual, version=version, **options)


@pytest.fixture(scope="module")
def champion() -> Baseline:
    return scored(old, "1", threshold=0.55)


@pytest.fixture(scope="module")
def challenger() -> Baseline:
    return scored(new, "2")


@dataclass
class World:
    """An app whose view asks the champion, and the challenger beside it.

    Attributes:
        records: Its records.
        x: Feature of each request.
        actual: Values that came true.
        ids: Ids that the clients got.
        lines: The records.
    """

    records: Path
    x: np.ndarray
    actual: np.ndarray
    ids: list[str]
    lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
def world(champion: Baseline, challenger: Baseline, tmp_path_factory: pytest.TempPathFactory) -> World:
    directory = tmp_path_factory.mktemp("challenge")
    app = Flask("served")
    app.config.update(
        BOXKITE_BASELINE={"champion": champion, "challenger": challenger},
        BOXKITE_LOG_DIR=directory / "records",
        BOXKITE_STATE_DIR=str(directory / "state"),
        BOXKITE_ID_KEY="a key that replicas share",
    )
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict(model="champion", key="order")
    def score() -> Any:
        x = request.get_json()["x"]
        monitor.log_prediction(features={"x": x}, output=new(x), model="challenger")
        return {"score": old(x)}

    rng = np.random.default_rng(4)
    x = rng.normal(size=500)
    client = app.test_client()
    answers = [client.post("/score", json={"x": each, "order": row}) for row, each in enumerate(x.tolist())]
    assert {answer.status_code for answer in answers} == {200}
    monitor.close()
    lines = list(Records(directory / "records"))
    ids = [answer.headers["Boxkite-Prediction-Id"] for answer in answers]
    return World(directory / "records", x, (rng.random(500) < sigmoid(2 * x)).astype(int), ids, lines)


def outcomes(world: World, rows: slice = slice(None)) -> dict[str, list[Any]]:
    return {"prediction_id": world.ids[rows], "actual": world.actual[rows].tolist()}


# --- in one view -----------------------------------------------------------------------------------------------------


def test_predictions_of_one_view_are_compared_on_the_same_rows(
    world: World, champion: Baseline, challenger: Baseline
) -> None:
    """The outcomes name the champion's ids, which are sealed after the challenger was logged."""
    report = Records(world.records).challenge(champion, challenger, outcomes=outcomes(world))
    scores = [np.array([model(x) for x in world.x.tolist()]) for model in (old, new)]
    guesses = [scores[0] >= 0.55, scores[1] >= 0.5]

    assert (report.rows, report.outcomes, report.kind, report.labels) == (500, 500, "binary", ("0.0", "1.0"))
    assert (report.champion.alone, report.challenger.alone) == (0, 0)
    for name, theirs, given in (
        ("accuracy", accuracy_score, guesses),
        ("auc", roc_auc_score, scores),
        ("brier", brier_score_loss, scores),
        ("log_loss", log_loss, scores),
    ):
        metric = report[name]
        assert [metric.champion, metric.challenger] == pytest.approx([theirs(world.actual, each) for each in given])

    right = [each == world.actual for each in guesses]
    only = [int(np.sum(right[0] & ~right[1])), int(np.sum(right[1] & ~right[0]))]
    assert [report.right["champion"], report.right["challenger"]] == only
    mid_p = stats.binomtest(only[0], sum(only)).pvalue - stats.binom.pmf(only[0], sum(only), 0.5)
    assert report["accuracy"].chance == pytest.approx(mid_p)
    assert (report["accuracy"].verdict, report["brier"].verdict) == ("better", "better")
    assert report["auc"].verdict == "no difference shown"
    assert report["AUC"] is report["auc"]
    apart = int(np.sum(guesses[0] != guesses[1]))
    peer = stats.binomtest(apart, 500).proportion_ci(method="wilson")
    found = report.disagreement
    assert (found.value, found.low, found.high) == pytest.approx((apart / 500, peer.low, peer.high), abs=1e-4)
    assert found.shift == pytest.approx(np.mean(scores[1] - scores[0]))


def test_either_id_of_a_request_names_the_row(world: World, champion: Baseline, challenger: Baseline) -> None:
    ids = [line["prediction_id"] for line in world.lines if line["model"] == "challenger"]
    assert set(ids).isdisjoint(world.ids)
    given = {"prediction_id": ids, "actual": [1] * 500}
    assert Records(world.records).challenge(champion, challenger, outcomes=given).outcomes == 500

    given = {"entity_id": [name.rpartition("/")[2] for name in ids], "actual": [1] * 500}
    report = Records(world.records).challenge(champion, challenger, outcomes=given, key="entity_id")
    assert (report.rows, report.outcomes) == (500, 500)


def test_no_record_is_larger_for_it(world: World) -> None:
    """Both have the fields of any record, the champion its key."""
    fields = set(record()) | {"key"}
    for line in world.lines:
        written = {name for name, value in line.items() if value is not None} - {"body_truncated"}
        assert written <= fields | {"body_encoding"}
    assert len({line["entity_id"] for line in world.lines}) == 1000


def test_without_outcomes_there_is_the_disagreement(world: World, champion: Baseline, challenger: Baseline) -> None:
    report = Records(world.records).challenge(champion, challenger)
    assert (report.rows, report.outcomes, report.verdict) == (500, 0, "not enough data")
    assert report.reason == "0 outcomes of rows that both models answered, where 30 are needed"
    assert report.disagreement.value is not None
    assert np.sum(report.predicted) == 500
    assert {metric.verdict for metric in report} == {"not enough data"}
    assert "metric" not in str(report)


def test_outcomes_that_do_not_count_are_told_apart(world: World, champion: Baseline, challenger: Baseline) -> None:
    given = outcomes(world, slice(0, 100))
    given["prediction_id"] += [world.ids[0], f"{world.ids[1]}/0", f"{world.ids[100]}/0", world.ids[101], "x", None]
    given["actual"] += [0, 1, 1, "maybe", 1, 1]
    report = Records(world.records).challenge(champion, challenger, outcomes=given)
    assert report.outcomes == 101
    assert report.rejected == {"unknown": 2, "alone": 0, "repeated": 2, "invalid": 1}


def test_the_order_of_the_models_only_changes_signs(world: World, champion: Baseline, challenger: Baseline) -> None:
    one = Records(world.records).challenge(champion, challenger, outcomes=outcomes(world))
    other = Records(world.records).challenge(challenger, champion, outcomes=outcomes(world))
    for metric in one:
        back = other[metric.name]
        assert metric.champion == back.challenger
        assert metric.difference == pytest.approx(-back.difference, abs=1e-12)
        assert metric.difference_low == pytest.approx(-back.difference_high, abs=1e-12)
        assert metric.chance == pytest.approx(back.chance)
    assert {one["accuracy"].verdict, other["accuracy"].verdict} == {"better", "worse"}


# --- the same key ----------------------------------------------------------------------------------------------------


def logged(baseline: Baseline, model: Any, directory: Path, x: np.ndarray, *, name: str = "m", batch: int = 0) -> None:
    """Log predictions by their own keys, the last *batch* of them as one batch, in one server's records."""
    service = ModelMonitoringService(baseline, model=name, log_dir=directory)
    values = x.tolist()
    for row, each in enumerate(values[: len(values) - batch]):
        service.log_prediction(features=[each], output=model(each), key=f"A-{row}")
    if batch:
        rows = values[len(values) - batch :]
        service.log_prediction(features=[[each] for each in rows], output=[model(each) for each in rows], key="B")
    service.close()


def test_two_versions_that_answered_the_same_keys_are_compared(
    champion: Baseline, challenger: Baseline, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Of one model name, told apart by the fingerprints of their baselines; the first has answered more."""
    x = rng.normal(size=120)
    logged(champion, old, tmp_path, x, batch=40)
    logged(challenger, new, tmp_path, x[20:60])
    logged(challenger, new, tmp_path, x, batch=40)
    actual = (rng.random(120) < sigmoid(2 * x)).astype(int)
    keys = [f"A-{row}" for row in range(80)] + [f"B/{row}" for row in range(40)]
    frame = pandas.DataFrame({"key": keys, "came_true": actual})

    report = Records(tmp_path).challenge(champion, challenger, outcomes=frame, key="key", actual="came_true")
    assert (report.champion.version, report.challenger.version) == ("1", "2")
    assert (report.champion.model, report.challenger.model) == ("m", "m")
    assert (report.rows, report.outcomes) == (120, 120)
    assert (report.champion.repeated, report.challenger.repeated, report.challenger.rows) == (0, 40, 160)
    scores = [old(each) for each in x.tolist()]
    assert report["auc"].champion == pytest.approx(roc_auc_score(actual, scores))


def test_models_of_one_baseline_are_told_apart_by_their_names(
    champion: Baseline, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=50)
    logged(champion, old, tmp_path, x, name="a")
    logged(champion, new, tmp_path, x[:45], name="b")
    with pytest.raises(BoxkiteError, match=r"Both baselines have the fingerprint .* against=Records\("):
        Records(tmp_path).challenge(champion, champion, key="key")
    own = Records(tmp_path, model="a")
    report = own.challenge(champion, champion, against=Records(tmp_path, model="b"), key="key")
    assert (report.rows, report.champion.alone, report.challenger.alone) == (45, 5, 0)
    assert (report.champion.model, report.challenger.model) == ("a", "b")
    with pytest.raises(BoxkiteError, match="The records are of several models: 'a', 'b'"):
        Records(tmp_path).challenge(champion, champion, against=Records(tmp_path, model="b"), key="key")


def test_without_rows_of_both_the_report_says_how_to_get_them(
    champion: Baseline, challenger: Baseline, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=5)
    logged(champion, old, tmp_path, x)
    logged(challenger, new, tmp_path, x)
    report = Records(tmp_path).challenge(champion, challenger)
    assert (report.rows, report.champion.alone, report.challenger.alone) == (0, 5, 5)
    assert "Log the challenger in the champion's view" in " ".join(str(report).split())
    assert report.disagreement.value is None
    json.dumps(report.to_dict(), allow_nan=False)


# --- records by hand -------------------------------------------------------------------------------------------------


def of(baseline: Baseline, x: float, output: Any, **fields: Any) -> dict[str, Any]:
    return record({"x": x, "order": fields.pop("order", None)}, output=output, baseline=baseline.fingerprint, **fields)


def test_a_feature_may_be_the_key_and_the_last_prediction_counts(
    champion: Baseline, challenger: Baseline, tmp_path: Path
) -> None:
    write(
        tmp_path,
        of(champion, 1.0, 0.9, order=17),
        of(champion, 1.0, 0.2, order="18"),
        of(champion, 1.0, 0.2, order=17.0, at="2026-01-01T08:00:29"),
        of(champion, 1.0, 0.2, order=19, status="client_error"),
        of(champion, 1.0, "?", order=20),
        of(champion, 1.0, 0.2),
        of(challenger, 1.0, 0.1, order="17"),
        of(challenger, 1.0, 0.3, order=18),
        of(challenger, 1.0, 0.3, order=19),
    )
    given = {"order": [17, 18, 18, 19, 21], "actual": [1, 0, 1, 1, 1]}
    report = Records(tmp_path).challenge(champion, challenger, outcomes=given, key="order")
    assert report.predicted == ((1, 0), (1, 0))
    assert report.right == {"both": 1, "champion": 1, "challenger": 0, "neither": 0}
    assert report.rejected == {"unknown": 1, "alone": 1, "repeated": 1, "invalid": 0}
    assert (report.champion.rows, report.champion.unreadable, report.champion.repeated) == (5, 2, 1)
    assert (report.champion.alone, report.challenger.alone) == (0, 1)


def test_rows_of_a_batch_are_paired_one_by_one(champion: Baseline, challenger: Baseline, tmp_path: Path) -> None:
    start = "s/2026-01-01T08:00:30/5a0f1c2d-9e8b-4a7"
    rows = [{"x": 1.0}, {"x": 2.0}]
    fields = {"features": rows, "rows": 2}
    write(
        tmp_path,
        record(output=[0.9, 0.1], baseline=champion.fingerprint, prediction_id=f"{start}c-8d6e-0123456789ab", **fields),
        record(
            output=[0.1, 0.9], baseline=challenger.fingerprint, prediction_id=f"{start}0-9d6e-0123456789ab", **fields
        ),
    )
    given = {"prediction_id": [f"{start}c-8d6e-0123456789ab/{row}" for row in (0, 1, 2)], "actual": [1, 1, 1]}
    report = Records(tmp_path).challenge(champion, challenger, outcomes=given)
    assert report.predicted == ((0, 1), (1, 0))
    assert (report.right["champion"], report.right["challenger"], report.rejected["unknown"]) == (1, 1, 1)


def numbers_of(rng: np.random.Generator, noise: float, version: str) -> Baseline:
    x = rng.random(500)
    return built({"x": x}, 100 * x + noise * rng.normal(size=500), actual=100 * x, version=version, max_bins=20)


def test_numbers_are_compared_by_their_errors(tmp_path: Path, rng: np.random.Generator) -> None:
    baselines = [numbers_of(rng, noise, f"{noise}") for noise in (5.0, 3.0)]
    x = rng.random(200)
    outputs = np.stack([100 * x + noise * rng.standard_t(3, 200) for noise in (5.0, 3.0)])
    lines = [
        of(baseline, row, output, key=f"{number}")
        for baseline, own in zip(baselines, outputs.tolist(), strict=True)
        for number, (row, output) in enumerate(zip(x.tolist(), own, strict=True))
    ]
    write(tmp_path, *lines)
    given = {"key": list(range(200)), "actual": (100 * x).tolist()}
    report = Records(tmp_path).challenge(*baselines, outcomes=given, key="key")
    errors = np.abs(outputs - 100 * x)
    assert (report.kind, report.labels, report.predicted, report.right) == ("regression", (), (), {})
    assert [report["mae"].champion, report["mae"].challenger] == pytest.approx(errors.mean(axis=1))
    assert report["rmse"].difference == pytest.approx(np.diff(np.sqrt((errors**2).mean(axis=1)))[0])
    assert (report["mae"].verdict, report["bias"].verdict) == ("better", None)
    apart = stats.t.interval(0.95, 199, np.mean(abs(outputs[1] - outputs[0])), stats.sem(abs(outputs[1] - outputs[0])))
    assert (report.disagreement.low, report.disagreement.high) == pytest.approx(apart)
    assert "apart on average" in str(report)

    # Numbers of another size: their columns do not touch either.
    told = report.to_dict()
    for metric in told["metrics"]:
        metric.update({key: 98765432.1 * value for key, value in metric.items() if isinstance(value, float)})
    *_, mae, rmse, bias = as_text(told).splitlines()
    assert "e+" not in as_text(told)
    assert re.search(r"\)  +better$", mae)
    assert [line.count("  ") >= 3 for line in (mae, rmse, bias)] == [True, True, True]


def labelled(rng: np.random.Generator, classes: list[str], *, as_probabilities: bool) -> Baseline:
    actual = rng.choice(classes, 600)
    if as_probabilities:
        return built({"x": rng.random(600)}, rng.dirichlet(np.ones(len(classes)), 600), actual=actual, classes=classes)
    return built({"x": rng.random(600)}, rng.choice(classes, 600), actual=actual)


def test_classes_are_compared_by_their_labels(tmp_path: Path, rng: np.random.Generator) -> None:
    """One model says a label, the other the probabilities of its classes, in another order and one more."""
    baselines = (
        labelled(rng, CLASSES, as_probabilities=False),
        labelled(rng, ["d", "c", "b", "a"], as_probabilities=True),
    )
    names = [item.name for item in baselines[1].outputs]
    actual = rng.choice([*CLASSES, "d"], 300)
    first = rng.choice(CLASSES, 300)
    second = np.where(rng.random(300) < 0.6, actual, rng.choice(["a", "b", "c", "d"], 300))
    lines = [of(baselines[0], 0.5, guess, key=f"{row}") for row, guess in enumerate(first.tolist())]
    for row, guess in enumerate(second.tolist()):
        output = {name: 0.7 if name == guess else 0.1 for name in names}
        lines.append(of(baselines[1], 0.5, output, key=f"{row}"))
    write(tmp_path, *lines)
    actual[:20] = "z"  # a class that neither has
    given = {"key": [*range(300), 0, 1], "actual": [*actual.tolist(), None, ["z"]]}
    report = Records(tmp_path).challenge(*baselines, outcomes=given, key="key")

    assert (report.kind, report.labels, report.outcomes) == ("classes", ("a", "b", "c", "d"), 300)
    assert (report.rejected["invalid"], report.unseen) == (2, 20)
    assert "Outcomes of a class that neither validation had, for which both models are wrong: 20." in str(report)
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        both = [score(actual, guess, average="macro", zero_division=0.0) for guess in (first, second)]
        assert [report[name].champion, report[name].challenger] == pytest.approx(both), name
    assert report["accuracy"].champion == pytest.approx(accuracy_score(actual, first))
    assert report["accuracy"].challenger == pytest.approx(accuracy_score(actual, second))
    assert report.disagreement.value == pytest.approx(np.mean(first != second))
    assert report.disagreement.shift is None
    table = pandas.crosstab(first, second).reindex(index=report.labels, columns=report.labels, fill_value=0)
    assert report.predicted == tuple(map(tuple, table.to_numpy().tolist()))
    assert report.verdict == "better"
    assert Records(tmp_path).challenge(*baselines[::-1], outcomes=given, key="key").verdict == "worse"


# --- the report ------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(world: World, champion: Baseline, challenger: Baseline) -> ChallengeReport:
    return Records(world.records).challenge(champion, challenger, outcomes=outcomes(world, slice(0, 400)))


def test_a_report_has_json_rows_and_texts(report: ChallengeReport) -> None:
    told = report.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["metrics"] == report.to_rows()
    assert pandas.DataFrame(report.to_rows())["name"].tolist() == [metric.name for metric in report]
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 100
    assert repr(report) == str(report) == as_text(told)
    assert any(line.startswith("Brier score") and line.endswith("better") for line in lines)
    markdown = report.to_markdown().splitlines()
    assert markdown[4] == "| metric | champion | challenger | difference | verdict |"
    assert len(markdown) == 6 + len(report.metrics)
    with pytest.raises(KeyError, match="Did you mean 'accuracy'"):
        report["acuracy"]


@pytest.mark.parametrize(("alpha", "verdict"), [(1e-300, "no difference shown"), (0.001, "mixed")])
def test_the_verdict_is_the_one_of_all_metrics(
    world: World, champion: Baseline, challenger: Baseline, alpha: float, verdict: str
) -> None:
    """The challenger is right more often, but the champion, which says yes more often, finds more of the positives."""
    found = Records(world.records).challenge(champion, challenger, outcomes=outcomes(world), alpha=alpha)
    assert (found.verdict, found.alpha, found.reason) == (verdict, alpha, "")
    if verdict == "mixed":
        assert (found["accuracy"].verdict, found["recall"].verdict) == ("better", "worse")
        assert "better than the champion in some metrics, and worse in others" in " ".join(str(found).split())


def test_alpha_is_divided_among_the_metrics(world: World, champion: Baseline, challenger: Baseline) -> None:
    def verdict(parts: float) -> str | None:
        alpha = parts * chance
        report = Records(world.records).challenge(champion, challenger, outcomes=outcomes(world), alpha=alpha)
        return report["recall"].verdict

    chance = Records(world.records).challenge(champion, challenger, outcomes=outcomes(world))["recall"].chance
    assert chance is not None
    assert (verdict(6.99), verdict(7.01)) == ("no difference shown", "worse")


def test_a_metric_needs_rows_of_its_own(world: World, champion: Baseline, challenger: Baseline) -> None:
    """Of 200 outcomes, 29 and 30 are positive."""
    negatives = [name for name, actual in zip(world.ids, world.actual, strict=True) if not actual]
    positives = [name for name, actual in zip(world.ids, world.actual, strict=True) if actual]
    for number in (29, 30):
        given = {"prediction_id": negatives[:170] + positives[:number], "actual": [0] * 170 + [1] * number}
        report = Records(world.records).challenge(champion, challenger, outcomes=given)
        for name in ("recall", "auc"):
            assert (report[name].verdict == "not enough data") == (number == 29)
        assert report["accuracy"].verdict != "not enough data"


def test_few_outcomes_are_not_enough(world: World, champion: Baseline, challenger: Baseline) -> None:
    report = Records(world.records).challenge(champion, challenger, outcomes=outcomes(world, slice(0, 29)))
    assert (report.verdict, report.outcomes) == ("not enough data", 29)
    assert report["accuracy"].champion is not None
    assert str(report).startswith("No verdict from ")


# --- wrong usage -----------------------------------------------------------------------------------------------------


def test_models_that_cannot_be_compared_are_refused(
    champion: Baseline, rng: np.random.Generator, tmp_path: Path
) -> None:
    records = Records(tmp_path)
    plain = built({"x": rng.random(100)}, rng.random(100))
    with pytest.raises(BoxkiteError, match=r"The baseline of the challenger has no actual values, .* export_text\("):
        records.challenge(champion, plain)
    with pytest.raises(BoxkiteError, match=r"The champion is of the kind 'binary', the challenger 'regression'.* same"):
        records.challenge(champion, numbers_of(rng, 1.0, "1"))
    x = rng.random(200)
    yes = built({"x": x}, x, actual=np.where(rng.random(200) < x, "yes", "no"))
    with pytest.raises(BoxkiteError, match=r"The champion predicts '0.0' and, as positive, '1.0', the challenger 'no'"):
        records.challenge(champion, yes)


def test_wrong_options_are_refused(champion: Baseline, challenger: Baseline, tmp_path: Path) -> None:
    with pytest.raises(BoxkiteError, match="'alpha' must be a number between 0 and 1, got 0"):
        Records(tmp_path).challenge(champion, challenger, alpha=0)
    with pytest.raises(BoxkiteError, match="Records of one 'fingerprint' are of one model"):
        Records(tmp_path, fingerprint="abc").challenge(champion, challenger)
    with pytest.raises(BoxkiteError, match="Records cannot be joined by 'status'"):
        Records(tmp_path).challenge(champion, challenger, key="status")
    with pytest.raises(BoxkiteError, match="The outcomes have no column 'prediction_id'"):
        Records(tmp_path).challenge(champion, challenger, outcomes={"id": [], "actual": []})


def test_rows_of_another_baseline_are_told(
    world: World, champion: Baseline, challenger: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    """With the challenger's records by name, as in `Records.performance`."""
    against = Records(world.records, model="challenger")
    Records(world.records, model="champion").challenge(challenger, challenger, against=against)
    assert "500 of 500 rows were served with another baseline" in caplog.text


# --- memory ----------------------------------------------------------------------------------------------------------


def test_a_row_takes_24_bytes(champion: Baseline) -> None:
    decode, aligner = decoder(()).one, Aligner((), [item.name for item in champion.outputs])
    rows = ModelRows(lambda row: row[0], "key", ())
    for start in range(0, 20_000, 1000):
        lines = [json.dumps(record({"x": 1.0}, output=0.5, key=f"{start + row}")).encode() for row in range(1000)]
        rows.add(map(decode, lines), aligner)
    held = sum(sys.getsizeof(column) for column in (rows._fingerprints, rows._times, rows._values))
    assert 24 * 20_000 <= held <= 24 * 20_000 * 1.15
    assert len(rows.answers().values) == 20_000


def test_scores_of_float32_are_judged_by_their_decimals(tmp_path: Path) -> None:
    """0.7 of float32 is 0.699999988 as JSON has it, and still at the threshold of 0.7, as everywhere else."""
    random = np.random.default_rng(3)
    scores = random.random(3000).round(1).astype(np.float32)
    actual = random.random(3000) < scores
    baselines = [
        built({"x": np.arange(3000)}, scores, actual=actual, threshold=0.7, version=version) for version in ("1", "2")
    ]
    for baseline, name in zip(baselines, ("a", "b"), strict=True):
        service = ModelMonitoringService(baseline, log_dir=str(tmp_path), model=name)
        for number, score in enumerate(scores[:400].tolist()):
            service.log_prediction(features=[1], output=score, key=number)
        service.close()
    first, second = (Records(tmp_path, model=name) for name in ("a", "b"))
    outcomes = {"key": list(range(400)), "actual": actual[:400].astype(int)}
    report = first.challenge(*baselines, against=second, outcomes=outcomes, key="key")
    alone = first.performance(baselines[0], outcomes=outcomes, key="key")
    for metric in ("accuracy", "precision", "recall", "f1"):
        assert report[metric].champion == alone[metric].realised
    assert alone["recall"].realised == recall_score(actual[:400], scores[:400] >= np.float32(0.7))


# --- what cannot be read ---------------------------------------------------------------------------------------------


@dataclass
class Mail:
    """Two versions of a filter, their records, and outcomes as texts.

    Attributes:
        champion: Baseline of the champion.
        challenger: Baseline of the challenger.
        records: Records of both.
        actual: Values that came true, by key.
    """

    champion: Baseline
    challenger: Baseline
    records: Path
    actual: dict[str, str]

    def outcomes(self, unread: int) -> dict[str, list[str]]:
        """Return the outcomes, of which some have another spelling."""
        texts = list(self.actual.values())
        texts[:unread] = [text.capitalize() for text in texts[:unread]]
        return {"key": list(self.actual), "actual": texts}

    def challenge(self, outcomes: Any, **options: Any) -> ChallengeReport:
        return Records(self.records, **options).challenge(self.champion, self.challenger, outcomes=outcomes, key="key")


@pytest.fixture(scope="module", params=["classes", "binary"])
def mail(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mail:
    """Return 600 mails, which the champion judges at random; of 20, one model has no output, and 10 have no key."""
    rng, directory = np.random.default_rng(8), tmp_path_factory.mktemp("mail")
    is_score = request.param == "binary"
    truth = rng.random(600) < 0.5

    def outputs(right: float) -> list[Any]:
        is_spam = np.where(rng.random(600) < right, truth, ~truth)
        return [(0.9 if each else 0.1) if is_score else ("spam" if each else "ham") for each in is_spam.tolist()]

    labels = np.where(truth, "spam", "ham")
    answers = [outputs(0.5), outputs(0.9)]
    baselines = [
        built({"x": rng.random(600)}, own, actual=labels, version=v) for own, v in zip(answers, "12", strict=True)
    ]
    for row in range(600):
        for side, baseline in enumerate(baselines):
            output = None if row % 30 == 29 and side == (row // 30) % 2 else answers[side][row]
            key = None if row % 60 == 0 else f"m{row}"
            at = f"2026-01-01T08:{row // 10:02}:00"
            write(directory, record({"x": 0.5}, at, baseline=baseline.fingerprint, output=output, key=key))
    keys = {f"m{row}": str(label) for row, label in enumerate(labels) if row % 60}
    return Mail(*baselines, directory, keys)


def test_outcomes_in_another_spelling_are_no_other_class(mail: Mail) -> None:
    report = mail.challenge(mail.outcomes(0))
    assert (report.verdict, report.outcomes, report.rejected["invalid"], report.note) == ("better", 570, 0, "")
    assert [(side.keyless, side.unread, side.unreadable) for side in (report.champion, report.challenger)] == [
        (10, 10, 20)
    ] * 2
    assert "20 rows without a key, 20 rows whose output cannot be read" in " ".join(str(report).split())

    few = mail.challenge(mail.outcomes(10))
    assert (few.verdict, few.unseen, few.outcomes + few.rejected["invalid"]) == ("better", 0, 570)
    assert few.note.startswith(f"{few.rejected['invalid']} of 570 outcomes could not be read: texts like 'aaa")
    assert "where validation had 'ham' and 'spam'. Did you mean '" in few.note

    many = mail.challenge(mail.outcomes(500))
    assert (many.verdict, many.note) == ("not enough data", "")
    assert "of 570 outcomes could not be read, too many for a verdict: texts like 'aaa" in many.reason


def test_processes_count_what_cannot_be_read(mail: Mail) -> None:
    given = mail.outcomes(10)
    with ThreadPoolExecutor(2) as threads:
        assert mail.challenge(given, executor=threads).to_dict() == mail.challenge(given).to_dict()


def test_a_later_outcome_that_can_be_read_counts(mail: Mail) -> None:
    given = mail.outcomes(500)
    again = {name: [*values, *mail.outcomes(0)[name]] for name, values in given.items()}
    report = mail.challenge(again)
    assert (report.verdict, report.outcomes) == ("better", 570)
    assert report.rejected["invalid"] > 400
    assert "They could change" not in report.note
