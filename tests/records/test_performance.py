"""Performance of a past period, beside the report of the server that had the same predictions, and scikit-learn."""

from __future__ import annotations

import csv
import gzip
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    recall_score,
    roc_auc_score,
)

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.performance.report import PerformanceReport
from flask_boxkite.records import Records
from tests.baseline.training.building import built
from tests.records.archives import record, write

CLASSES = np.array(["a", "b", "c"])


@dataclass
class World:
    """A server that has logged predictions and counted outcomes, some of them wrong.

    Attributes:
        baseline: Its baseline.
        records: Its records.
        live: Its report.
        outcomes: Ids and actual values, in the order in which they came.
        outputs: Outputs of the counted rows: scores, numbers, or the name of the likeliest class.
        actual: Actual values of these rows.
    """

    baseline: Baseline
    records: Path
    live: PerformanceReport
    outcomes: list[tuple[str, Any]]
    outputs: Any
    actual: Any

    def report(self, **options: Any) -> PerformanceReport:
        """Return the report of the records, joined with all outcomes."""
        ids, actual = zip(*self.outcomes, strict=True)
        outcomes = {"prediction_id": ids, "actual": actual}
        return Records(self.records).performance(self.baseline, **{"outcomes": outcomes, **options})


def served(baseline: Baseline, rows: Any, outputs: Any, actual: Any, directory: Path, wrong: Any) -> World:
    """Answer the first half of the rows one by one, and the rest in batches of 40; send outcomes of most.

    Args:
        baseline: Baseline of the model.
        rows: Features, shape (rows, features).
        outputs: Output of each row.
        actual: Actual value of each row.
        directory: Directory for records and counts.
        wrong: Actual value that cannot be read.
    """
    service = ModelMonitoringService(baseline, log_dir=directory / "records", state_dir=str(directory / "state"))
    half = len(rows) // 2
    ids = [service.log_prediction(features=rows[row], output=outputs[row]) for row in range(half)]
    for start in range(half, len(rows), 40):
        batch = service.log_prediction(features=rows[start : start + 40], output=outputs[start : start + 40])
        ids += [f"{batch}/{row}" for row in range(len(rows[start : start + 40]))]

    # Every seventh row has no outcome yet; some outcomes come twice, are of no prediction, or cannot be read.
    outcomes = [(ids[row], actual[row]) for row in range(len(rows)) if row % 7]
    outcomes[5:5] = [(ids[1], actual[1]), (ids[2], actual[2]), (ids[7], wrong), ("nonsense", actual[0])]
    outcomes += [(ids[8], wrong), (f"{ids[3]}/0", actual[3]), (f"{ids[-1]}000", actual[0]), (ids[0], None)]
    for name, value in outcomes:
        service.log_outcome(name, value)
    service.close()
    return World(baseline, directory / "records", service.performance(), outcomes, None, None)


def binary(directory: Path) -> World:
    rng = np.random.default_rng(5)

    def drawn(rows: int, shift: float) -> tuple[Any, Any, Any]:
        age = rng.normal(40 + shift, 10, rows)
        # As the ids carry them, so that losses are the same to the last digit.
        score = (1 / (1 + np.exp(-(age - 45) / 6))).astype(np.float32).astype(float)
        return np.column_stack([age, 2 * age]), score, (rng.random(rows) < score).astype(int)

    features, score, actual = drawn(4000, 0.0)
    baseline = built({"age": features[:, 0], "income": features[:, 1]}, score, actual=actual)
    features, score, actual = drawn(1400, 4.0)
    world = served(baseline, features.tolist(), score.tolist(), actual.tolist(), directory, "maybe")
    known = np.arange(1400) % 7 > 0
    return replace(world, outputs=score[known], actual=actual[known])


def of_classes(directory: Path) -> World:
    rng = np.random.default_rng(6)
    features = rng.random((3000, 2))
    probabilities = rng.dirichlet([1, 1, 1], 3000)
    actual = CLASSES[[rng.choice(3, p=row) for row in probabilities]]
    columns = {"x": features[:2000, 0], "y": features[:2000, 1]}
    baseline = built(columns, probabilities[:2000], actual=actual[:2000], classes=CLASSES)
    features, probabilities, actual = features[2000:], probabilities[2000:], actual[2000:]
    actual[::9] = "d"  # a class that training never had
    outputs = [dict(zip(CLASSES.tolist(), row, strict=True)) for row in probabilities.tolist()]
    world = served(baseline, features.tolist(), outputs, actual.tolist(), directory, ["d"])
    known = np.arange(1000) % 7 > 0
    return replace(world, outputs=CLASSES[probabilities.argmax(axis=1)][known], actual=actual[known])


def regression(directory: Path) -> World:
    rng = np.random.default_rng(7)
    features = rng.random((3000, 2))
    actual = np.rint(1000 * features.sum(axis=1) + rng.normal(0, 100, 3000))
    output = np.rint(1000 * features.sum(axis=1))  # whole numbers, as the ids carry them
    columns = {"x": features[:2000, 0], "y": features[:2000, 1]}
    baseline = built(columns, output[:2000], actual=actual[:2000], max_bins=20)
    features, output, actual = features[2000:], output[2000:], actual[2000:]
    world = served(baseline, features.tolist(), output.tolist(), actual.tolist(), directory, "much")
    known = np.arange(1000) % 7 > 0
    return replace(world, outputs=output[known], actual=actual[known])


KINDS: dict[str, Callable[[Path], World]] = {"binary": binary, "classes": of_classes, "regression": regression}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in KINDS.items()}


@pytest.fixture
def world(worlds: dict[str, World]) -> World:
    """Return the world of scores."""
    return worlds["binary"]


# --- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_is_the_one_of_the_server(worlds: dict[str, World], kind: str) -> None:
    """But for the time that outcomes took, which records do not know."""
    live, report = worlds[kind].live.to_dict(), worlds[kind].report().to_dict()
    assert live["kind"] == kind
    assert live["coverage"]["rejected"] == {"unknown": 2, "repeated": 3, "late": 0, "invalid": 3, "failed": 0}
    assert live["coverage"]["outcomes"] == len(worlds[kind].actual)

    for name in ("lag_median", "lag_95"):
        assert live["coverage"].pop(name) > 0
        assert report["coverage"].pop(name) is None
    assert report.pop("window").count("Z") == 2
    assert live.pop("window") is None
    assert report == live


def test_realised_metrics_of_scores_are_the_ones_of_scikit_learn(world: World) -> None:
    report, score, actual = world.report(), world.outputs, world.actual
    assert report["accuracy"].realised == accuracy_score(actual, score >= 0.5)
    assert report["recall"].realised == recall_score(actual, score >= 0.5)
    assert report["auc"].realised == pytest.approx(roc_auc_score(actual, score), abs=0.002)
    assert report["brier"].realised == pytest.approx(brier_score_loss(actual, score), abs=1e-9)
    assert report["log_loss"].realised == pytest.approx(log_loss(actual, score), abs=1e-9)


def test_realised_metrics_of_classes_are_the_ones_of_scikit_learn(worlds: dict[str, World]) -> None:
    world = worlds["classes"]
    report = world.report()
    assert report["accuracy"].realised == pytest.approx(accuracy_score(world.actual, world.outputs), abs=1e-15)
    assert report["f1"].realised == pytest.approx(f1_score(world.actual, world.outputs, average="macro"), abs=1e-12)
    assert report.coverage.unseen == np.count_nonzero(world.actual == "d") > 90
    table = confusion_matrix(world.actual, world.outputs, labels=[*CLASSES, "d"]).T[:3]
    assert [list(row) for row in report.confusion] == table.tolist()


def test_realised_metrics_of_numbers_are_the_ones_of_scikit_learn(worlds: dict[str, World]) -> None:
    world = worlds["regression"]
    report = world.report()
    assert report["mae"].realised == pytest.approx(mean_absolute_error(world.actual, world.outputs), abs=1e-7)
    assert report["rmse"].realised == pytest.approx(mean_squared_error(world.actual, world.outputs) ** 0.5, abs=1e-7)
    assert report["bias"].realised == pytest.approx(float((world.outputs - world.actual).mean()), abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_without_outcomes_there_is_the_expectation(worlds: dict[str, World], kind: str) -> None:
    report = worlds[kind].report(outcomes=None)
    assert (report.outcomes, report.verdict) == (0, "not enough data")
    for metric, live in zip(report, worlds[kind].live, strict=True):
        assert (metric.realised, metric.represented) == (None, None)
        assert (metric.validated, metric.estimated, metric.corrected) == (
            live.validated,
            live.estimated,
            live.corrected,
        )


def test_only_rows_of_the_period_have_outcomes(world: World) -> None:
    ids = [name for name, _ in world.outcomes]
    records = Records(world.records, end="2020-01-01")
    report = records.performance(world.baseline, outcomes={"prediction_id": ids, "actual": [1] * len(ids)})
    assert report.coverage.rejected["unknown"] == len(ids)
    assert (report.coverage.predictions, report.outcomes) == (0, 0)


# --- forms of outcomes -----------------------------------------------------------------------------------------------


def rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def csv_file(columns: dict[str, list[Any]]) -> Path:
    with Path("outcomes.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([[" prediction_id", "actual ", "note"], *zip(*columns.values(), strict=True)])
    return Path("outcomes.csv")


def lines_file(columns: dict[str, list[Any]]) -> str:
    with gzip.open("outcomes.jsonl.gz", "wt") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows(columns))
    return "outcomes.jsonl.gz"


def parquet_file(columns: dict[str, list[Any]]) -> str:
    pyarrow.parquet.write_table(pyarrow.table(columns), "outcomes.parquet")
    return "outcomes.parquet"


FORMS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "rows": rows,
    "iterator": lambda columns: iter(rows(columns)),
    "arrays": lambda columns: {name: np.array(values) for name, values in columns.items()},
    "series": lambda columns: {name: pandas.Series(values) for name, values in columns.items()},
    "pandas": pandas.DataFrame,
    "polars": polars.DataFrame,
    "lazy": lambda columns: polars.DataFrame(columns).lazy(),
    "arrow": pyarrow.table,
    "batch": pyarrow.RecordBatch.from_pydict,
    "duckdb": lambda columns: duckdb.from_arrow(pyarrow.table(columns)),
    "csv": csv_file,
    "lines": lines_file,
    "parquet": parquet_file,
}


@pytest.mark.parametrize("form", FORMS)
def test_outcomes_may_have_any_form(world: World, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sound = [pair for pair in world.outcomes if pair[1] in (0, 1)]
    columns = {"prediction_id": [name for name, _ in sound], "actual": [int(value) for _, value in sound]}
    columns["note"] = ["x, y"] * len(sound)
    report = world.report(outcomes=FORMS[form](columns))
    assert report.coverage.rejected == {"unknown": 2, "repeated": 3, "late": 0, "invalid": 0, "failed": 0}
    assert report.metrics == world.report().metrics


def test_blanks_around_fields_of_a_table_are_no_part_of_them(world: World, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.csv"
    lines = [f" {name} ,\t{actual} " for name, actual in world.outcomes if actual in (0, 1)]
    path.write_text("\n".join(["prediction_id,actual", *lines]))
    report = world.report(outcomes=path)
    assert report.coverage.rejected == {"unknown": 2, "repeated": 3, "late": 0, "invalid": 0, "failed": 0}
    assert report.metrics == world.report().metrics


def test_narrow_floats_are_read_by_their_decimals(worlds: dict[str, World], tmp_path: Path) -> None:
    """As in requests: 100000.1 is no 100000.1015625."""
    write(tmp_path, record({"x": 0.5, "y": 0.5}, output=100000.1, entity_id="e"))
    outcomes = polars.DataFrame({"entity_id": ["e"], "actual": polars.Series([100000.1], dtype=polars.Float32)})
    report = Records(tmp_path).performance(worlds["regression"].baseline, outcomes=outcomes, key="entity_id")
    assert (report.outcomes, report["mae"].realised) == (1, 0.0)


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        (7, "'outcomes' must be a data frame, a mapping of columns, .*, got int."),
        ([7], "'outcomes' must be a data frame, .*, but item 0 is of type int."),
        ({"prediction_id": [], "actually": []}, "The outcomes have no column 'actual'. Did you mean 'actually'?"),
        ([{"id": 1, "actual": 1}], "The outcomes have no column 'prediction_id'. There are: 'id', 'actual'."),
        (pandas.DataFrame({"actual": [1]}), "The outcomes have no column 'prediction_id'. There are: 'actual'."),
        (
            [{"key": 1, "actual": 1}],
            "no column 'prediction_id'. They have 'key': give key='key' \\('--key key' of the command\\).",
        ),
        (
            pandas.DataFrame({"entity_id": [1], "actual": [1]}),
            "no column 'prediction_id'. They have 'entity_id': give key='entity_id' ",
        ),
        ({"prediction_id": ["x"], "actual": []}, "The outcomes have 1 values of 'prediction_id' and 0 of 'actual'."),
        ("outcomes.txt", "'outcomes.txt' has an unknown suffix. Use .csv, .tsv, .jsonl, .ndjson, .parquet, .pq"),
        ("missing.csv", "'missing.csv' cannot be read: .*No such file"),
        ("latin.csv", "'latin.csv' cannot be read: 'utf-8' codec can't decode"),
        (
            "semicolons.csv",
            "'semicolons.csv' cannot be read: the first line has semicolons between the names of columns",
        ),
        ("commas.tsv", "'commas.tsv' cannot be read: .* has commas between .*; separate fields by tabs"),
        ("broken.jsonl", "'broken.jsonl' cannot be read: JSON is malformed"),
        ("broken.parquet", "'broken.parquet' cannot be read: "),
    ],
)
def test_what_is_no_table_of_outcomes_is_refused(
    world: World, outcomes: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latin.csv").write_bytes("prediction_id,actual\nx,größer\n".encode("latin-1"))
    Path("semicolons.csv").write_text("prediction_id;actual\nx;1\n")
    Path("commas.tsv").write_text("prediction_id,actual\nx,1\n")
    for name in ("broken.jsonl", "broken.parquet"):
        Path(name).write_text("{x")
    with pytest.raises(BoxkiteError, match=message.replace("?", r"\?")):
        world.report(outcomes=outcomes)


# --- outcomes of several models ---------------------------------------------------------------------------------------


@dataclass
class Shared:
    """Records of two models with the same keys.

    Attributes:
        records: Their directory.
        outcomes: Outcomes of both, and one of no model.
    """

    records: Path
    outcomes: list[dict[str, Any]]


@pytest.fixture(scope="module")
def two_models(worlds: dict[str, World], tmp_path_factory: pytest.TempPathFactory) -> Shared:
    directory = tmp_path_factory.mktemp("two_models")
    rng = np.random.default_rng(9)
    outcomes: list[dict[str, Any]] = [{"key": "300", "model": None, "actual": 0}]
    for model in ("fraud", "churn"):
        service = ModelMonitoringService(
            worlds["binary"].baseline, model=model, log_dir=directory / "records", state_dir=str(directory / model)
        )
        for key in range(301):
            score = float(rng.random())
            service.log_prediction(features=[40.0, 80.0], output=score, key=str(key))
            outcomes.append({"key": str(key), "model": model, "actual": int(rng.random() < score)})
        service.close()
    return Shared(directory / "records", outcomes)


@pytest.mark.parametrize("form", FORMS)
def test_outcomes_name_their_model(
    form: str,
    two_models: Shared,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    order = ("key", "actual", "model")
    columns = {name: [row[name] for row in two_models.outcomes] for name in order}
    outcomes = csv_of(columns) if form == "csv" else FORMS[form](columns)
    records = Records(two_models.records, model="churn")
    report = records.performance(world.baseline, outcomes=outcomes, key="key")

    own = [row for row in two_models.outcomes if row["model"] != "fraud"]
    alone = {name: [row[name] for row in own] for name in order[:2]}
    expected = records.performance(world.baseline, outcomes=alone, key="key")
    assert report.metrics == expected.metrics
    assert report.outcomes == 301
    assert report.coverage.rejected == {"unknown": 0, "repeated": 1, "late": 0, "invalid": 0, "failed": 0}
    assert "301 outcomes name another model than 'churn' in their column 'model', and are left aside: fraud (301)" in (
        caplog.text
    )


def csv_of(columns: dict[str, list[Any]]) -> Path:
    with Path("outcomes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return Path("outcomes.csv")


def test_the_model_of_the_records_is_enough(two_models: Shared, world: World, tmp_path: Path) -> None:
    """Without the name of a model, the records say which it is."""
    write(tmp_path / "one", record([40.0, 80.0], output=0.7, key="1", model="churn"))
    report = Records(tmp_path / "one").performance(world.baseline, outcomes=two_models.outcomes, key="key")
    assert (report.outcomes, report.coverage.rejected["unknown"]) == (1, 301)


def test_a_column_of_models_may_be_the_actual_value(tmp_path: Path, worlds: dict[str, World]) -> None:
    write(tmp_path, record({"x": 0.5, "y": 0.5}, output={"a": 0.7, "b": 0.2, "c": 0.1}, entity_id="e"))
    outcomes = {"entity_id": ["e"], "model": ["a"]}
    report = Records(tmp_path).performance(
        worlds["classes"].baseline, outcomes=outcomes, key="entity_id", actual="model"
    )
    assert (report.outcomes, report["accuracy"].realised) == (1, 1.0)


def test_a_challenge_takes_outcomes_of_either_model(
    two_models: Shared, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    either = [Records(two_models.records, model=model) for model in ("fraud", "churn")]
    others = [{**row, "model": "other", "actual": 1 - row["actual"]} for row in two_models.outcomes]
    arguments = {"against": either[1], "key": "key"}
    report = either[0].challenge(world.baseline, world.baseline, outcomes=[*others, *two_models.outcomes], **arguments)
    expected = either[0].challenge(world.baseline, world.baseline, outcomes=two_models.outcomes, **arguments)
    assert report.to_dict() == expected.to_dict()
    assert "603 outcomes name another model than 'churn' and 'fraud'" in caplog.text


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def orders(tmp_path: Path, world: World) -> Path:
    """Write records of orders, whose numbers stand among the features by name; one was refused."""
    lines = [
        record({"age": 60.0, "income": 120.0, "order": 17}, output=0.9, entity_id="e-1"),
        record({"age": 30.0, "income": 60.0, "order": "18"}, output=0.1, entity_id="e-2", status=None),
        record({"age": 60.0, "income": 120.0, "order": 19}, output=0.9, entity_id="e-3", status="client_error"),
        record(
            [{"age": 60.0, "income": 120.0, "order": 20}, {"age": 60.0, "income": 120.0}],
            output=[0.9, 0.9],
            rows=2,
            entity_id="e-4",
        ),
        record({"age": 60.0, "income": 120.0, "order": 17}, "2026-01-01T08:00:29", output=0.1, entity_id="e-5"),
        record({"age": 60.0, "income": 120.0, "order": 21}, output="?", entity_id="e-6"),
    ]
    write(tmp_path, *lines)
    return tmp_path


def joined(orders: Path, world: World, key: str, ids: list[Any], actual: list[Any]) -> PerformanceReport:
    frame = pandas.DataFrame({key: ids, "came_true": actual})
    return Records(orders).performance(world.baseline, outcomes=frame, key=key, actual="came_true")


def test_any_id_of_the_record_may_be_the_key(orders: Path, world: World) -> None:
    report = joined(orders, world, "entity_id", ["e-1", "e-2", "e-3", "e-4/0", "e-4/2", "e-4"], [1, 1, 1, 0, 1, 1])
    assert report.confusion == ((0, 1), (1, 1))
    assert report.coverage.rejected["unknown"] == 3


def test_row_0_of_a_prediction_of_one_row_is_the_prediction(orders: Path, world: World) -> None:
    report = joined(orders, world, "entity_id", ["e-1/0", "e-2/0", "e-2", "e-2/1"], [1, 1, 1, 0])
    assert report.confusion == ((0, 1), (0, 1))
    assert (report.coverage.rejected["repeated"], report.coverage.rejected["unknown"]) == (1, 1)


def test_a_feature_may_be_the_key(orders: Path, world: World) -> None:
    """Numbers and their texts are one; of two predictions with one number, the later one counts."""
    report = joined(orders, world, "order", [17.0, 18, 19, None, 20, 21, 22, 17], [0, 1, 1, 1, 1, 1, 1, 0])
    assert report.confusion == ((0, 1), (1, 1))
    assert report.coverage.rejected == {"unknown": 4, "repeated": 1, "late": 0, "invalid": 0, "failed": 0}
    assert report.coverage.predictions == 5
    expected = Records(orders).performance(world.baseline)
    assert [metric.estimated for metric in report] == [metric.estimated for metric in expected]
    by_age = joined(orders, world, "age", ["30"], [0])
    assert by_age.confusion == ((1, 0), (0, 0))


def test_the_callers_own_key_may_be_the_key(tmp_path: Path, world: World) -> None:
    """As far as records have one, which others may lack."""
    features = {"age": 60.0, "income": 120.0}
    write(
        tmp_path,
        record(features, output=0.9, key="17"),
        record(features, output=[0.9, 0.9], rows=2, key="18"),
        record(features, output=0.1),
        record(features, "2026-01-01T08:00:31", output=0.1, key="17"),
        record(features, "2026-01-01T08:00:32", output="?", key="17"),
    )
    report = joined(tmp_path, world, "key", [17, "18/1", "18", 19], [1, 1, 1, 1])
    assert report.confusion == ((0, 1), (0, 1))
    assert report.coverage.rejected["unknown"] == 2


# --- what redaction hides --------------------------------------------------------------------------------------------

HIDDEN = {
    "key": ("key", "key", "The key 'key' is hidden in all records"),
    "feature": ("income", "income", "The key 'income' is hidden in all records"),
    "output": ("output", "key", "The output is hidden in all records"),
}


def redacted(baseline: Baseline, directory: Path, *names: str) -> Records:
    """Return the records of four predictions, one by one and in a batch."""
    service = ModelMonitoringService(
        baseline, log_dir=directory / "r", state_dir=str(directory / "s"), redact=names, model=baseline.model
    )
    for order in (1, 2):
        service.log_prediction(features={"age": 60.0, "income": 120.0}, output=0.9, key=order)
    service.log_prediction(features=[[60.0, 120.0]] * 2, output=[0.9, 0.1], key=3)
    service.close()
    return Records(directory / "r")


@pytest.mark.parametrize("case", HIDDEN)
def test_what_a_report_needs_must_not_be_hidden(case: str, tmp_path: Path, world: World) -> None:
    """Else each outcome is unknown, or all rows have one key, and nothing says why."""
    name, key, text = HIDDEN[case]
    records = redacted(world.baseline, tmp_path, name)
    with pytest.raises(BoxkiteError, match=f"{text}, by 'BOXKITE_REDACT' of the server"):
        records.performance(world.baseline, outcomes={key: ["1"], "actual": [1]}, key=key)
    with pytest.raises(BoxkiteError, match=f"{text}, by 'BOXKITE_REDACT' of the server"):
        records.challenge(world.baseline, world.baseline, against=records, key=key)


def test_the_expectation_needs_outputs(tmp_path: Path, world: World) -> None:
    with pytest.raises(BoxkiteError, match="The output is hidden in all records"):
        redacted(world.baseline, tmp_path / "output", "output").performance(world.baseline)
    assert redacted(world.baseline, tmp_path / "key", "key").performance(world.baseline).coverage.predictions == 4


def test_keys_that_are_hidden_in_some_records_are_told(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    redacted(world.baseline, tmp_path, "key")
    records = redacted(world.baseline, tmp_path)
    report = records.performance(world.baseline, outcomes={"key": ["1", "[redacted]"], "actual": [1, 1]}, key="key")
    assert report.outcomes == 1
    assert "The key 'key' is hidden in 4 of 8 rows, by 'BOXKITE_REDACT' of the server; they are left aside." in (
        caplog.text
    )
    assert records.challenge(world.baseline, world.baseline, against=records, key="key").rows == 4


def test_an_id_in_the_index_of_a_frame_is_pointed_out(world: World) -> None:
    frame = pandas.DataFrame({"prediction_id": ["1"], "actual": [1]}).set_index("prediction_id")
    with pytest.raises(
        BoxkiteError, match=r"no column 'prediction_id'. It is the index of the frame: give frame.reset"
    ):
        Records(world.records).performance(world.baseline, outcomes=frame)


def test_rows_of_a_batch_without_a_key_have_none(tmp_path: Path, world: World) -> None:
    features = {"age": 60.0, "income": 120.0}
    write(tmp_path, record([features] * 2, output=[0.9, 0.9], rows=2))
    assert joined(tmp_path, world, "key", ["None/0", "None/1"], [1, 1]).coverage.rejected["unknown"] == 2


def test_ids_may_be_quoted_as_headers_quote_them(tmp_path: Path, world: World) -> None:
    write(tmp_path, record({"age": 60.0, "income": 120.0}, output=0.9, prediction_id="bö/1"))
    outcomes = {"prediction_id": ["b%C3%B6/1"], "actual": [1]}
    assert Records(tmp_path).performance(world.baseline, outcomes=outcomes).outcomes == 1


@pytest.mark.parametrize("key", ["model", "created_at", "status"])
def test_a_field_that_names_no_prediction_is_refused(world: World, key: str) -> None:
    message = (
        f"Records cannot be joined by '{key}'. Take 'prediction_id', 'entity_id', 'key', or the name of a feature."
    )
    with pytest.raises(BoxkiteError, match=message):
        world.report(outcomes={key: [], "actual": []}, key=key)


# --- baselines -------------------------------------------------------------------------------------------------------


def test_a_baseline_without_actual_values_is_refused(world: World) -> None:
    with pytest.raises(BoxkiteError, match=r"has no actual values. Write one with export_text\(\.\.\., actual="):
        Records(world.records).performance(built({"age": [1.0, 2.0] * 50}, [0.1, 0.9] * 50))


def test_rows_of_another_baseline_are_counted_with_a_warning(
    worlds: dict[str, World], caplog: pytest.LogCaptureFixture
) -> None:
    world = worlds["binary"]
    ids = [name for name, _ in world.outcomes]
    other = built({"age": np.arange(200.0), "income": np.arange(200.0)}, np.arange(200) / 200, actual=[0, 1] * 100)
    with caplog.at_level(logging.WARNING):
        report = Records(world.records).performance(
            other, outcomes={"prediction_id": ids, "actual": [int(value == 1) for _, value in world.outcomes]}
        )
    assert report.outcomes == 1202
    assert "served with another baseline" in caplog.text


def test_alpha_is_checked(world: World) -> None:
    with pytest.raises(BoxkiteError, match="'alpha' must be a number between 0 and 1, got 1"):
        world.report(alpha=1)
