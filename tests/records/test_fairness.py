"""Fairness of a past period, against rates that pandas and scikit-learn find in the very rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.metrics import recall_score

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.derived import Text
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.fairness.coverage import OutcomeCoverage
from flask_boxkite.fairness.report import FairnessReport
from flask_boxkite.records import Records
from tests.baseline.training.building import built
from tests.records.archives import record, write

OPPORTUNITY = "equal_opportunity_difference"


@dataclass
class World:
    """A server that has logged predictions, some in batches.

    Attributes:
        baseline: Its baseline.
        records: Directory of its records.
        rows: All rows: ``prediction_id``, ``sex``, ``age``, ``score``, ``actual``.
    """

    baseline: Baseline
    records: Path
    rows: pandas.DataFrame

    def report(self, **options: Any) -> FairnessReport:
        return Records(self.records).fairness(self.baseline, **options)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world in which women get lower scores; the model reads the age alone."""
    directory = tmp_path_factory.mktemp("fairness")
    rng = np.random.default_rng(4)
    age = rng.normal(45, 10, 2000)
    score = 1 / (1 + np.exp(-(age - 45) / 6))
    baseline = built({"age": age}, score, actual=(rng.random(2000) < score).astype(int))

    sex = rng.choice(["F", "M", "X"], 1600, p=[0.4, 0.59, 0.01])
    age = rng.normal(np.where(sex == "F", 40, 47), 10)
    score = (1 / (1 + np.exp(-(age - 45) / 6))).astype(float)
    service = ModelMonitoringService(
        baseline, model="credit", log_dir=directory / "records", state_dir=str(directory / "state")
    )
    ids = []
    rows = [{"age": float(years), "sex": str(each)} for years, each in zip(age, sex, strict=True)]
    for row in range(800):
        ids.append(service.log_prediction(features=rows[row], output=float(score[row])))
    for start in range(800, 1600, 40):
        part = slice(start, start + 40)
        batch = service.log_prediction(features=rows[part], output=score[part].tolist())
        ids += [f"{batch}/{row}" for row in range(40)]
    service.close()
    actual = (rng.random(1600) < score).astype(int)
    frame = pandas.DataFrame({"prediction_id": ids, "sex": sex, "age": age, "score": score, "actual": actual})
    return World(baseline, directory / "records", frame)


def outcomes_of(world: World, *more: str) -> pandas.DataFrame:
    """Return outcomes of six in seven rows."""
    return world.rows.loc[world.rows.index % 7 > 0, ["prediction_id", "actual", *more]]


def check(report: FairnessReport, rows: pandas.DataFrame, known: pandas.DataFrame, groups: Any) -> None:
    """Compare the counts and rates of a report with the rows themselves."""
    assert {group.name for group in report} == set(groups[rows.index])
    for name, own in rows.groupby(groups[rows.index]):
        group = report[str(name)]
        chosen = own["score"] >= 0.5
        assert (group.rows, group.selected) == (len(own), chosen.sum())
        assert group.selection_rate == chosen.mean()
        with_outcome = own.loc[own.index.intersection(known.index)]
        assert (group.outcomes, group.positives) == (len(with_outcome), with_outcome["actual"].sum())
        if group.positives:
            expected = recall_score(with_outcome["actual"], with_outcome["score"] >= 0.5)
            assert group.true_positive_rate == pytest.approx(expected, abs=1e-15)


def test_groups_by_a_value_beside_the_features_of_the_model(world: World) -> None:
    known = outcomes_of(world)
    report = world.report(by="sex", outcomes=known)
    check(report, world.rows, known, world.rows["sex"])
    assert (report.reference, report.verdict, report["F"].verdict) == ("M", "unequal", "unequal")
    assert report["X"].verdict == "not enough data"
    assert report["F"][OPPORTUNITY].value == report["F"].true_positive_rate - report["M"].true_positive_rate
    assert (report.positive, report.selection) == ("1.0", "'output' at least 0.5")
    assert (report.model, report.baseline) == ("credit", world.baseline.fingerprint)
    assert report.rejected == {"unknown": 0, "repeated": 0, "invalid": 0, "unread": 0}
    assert "\nF are selected less often than M: 0." in str(report)


def test_without_outcomes_there_are_selection_rates(world: World) -> None:
    report = world.report(by="sex")
    assert (report.has_outcomes, report.rejected) == (False, {})
    assert {item.measure for item in report["F"].comparisons} == {"statistical_parity_difference", "disparate_impact"}
    assert report["F"].selected == (world.rows.query("sex == 'F'")["score"] >= 0.5).sum()


def test_groups_may_come_with_the_outcomes(world: World) -> None:
    """Then rows with an outcome count."""
    known = outcomes_of(world, "sex").rename(columns={"sex": "gender"})
    report = world.report(by="gender", outcomes=known)
    check(report, world.rows.loc[known.index], known, world.rows["sex"])
    alone = world.report(by="gender", outcomes=known.drop(columns="actual"), actual=None)
    assert [(group.rows, group.selected) for group in alone] == [(group.rows, group.selected) for group in report]
    assert not alone.has_outcomes


@pytest.mark.parametrize(
    "form",
    [
        lambda frame, folder: frame.to_dict("list"),
        lambda frame, folder: iter(frame.to_dict("records")),
        lambda frame, folder: frame.to_csv(folder / "known.csv", index=False) or folder / "known.csv",
    ],
    ids=["columns", "iterator", "file"],
)
def test_groups_come_with_outcomes_of_any_form(
    world: World, tmp_path: Path, form: Callable[[pandas.DataFrame, Path], Any]
) -> None:
    """A whole number may be a float in one form and an integer in another."""
    known = outcomes_of(world)
    known["code"] = world.rows["sex"].map({"F": 1.0, "M": 2.0, "X": np.nan})
    report = world.report(by="code", outcomes=form(known, tmp_path))
    counts = known["code"].value_counts(dropna=False)
    assert {group.name: group.rows for group in report} == {
        "2": counts[2],
        "1": counts[1],
        "__missing__": counts[np.nan],
    }
    assert world.report(by="code", outcomes=form(known, tmp_path), reference=1).reference == "1"


def test_a_feature_of_the_model_comes_before_a_column_of_outcomes(world: World) -> None:
    """Continuous features are grouped as in their baseline, and a value names its group."""
    known = outcomes_of(world).assign(age=1)
    report = world.report(by="age", outcomes=known, reference=41.0)
    (item,) = world.baseline.features
    names = {group.name for group in item.groups}
    assert len(report.groups) > 5
    assert {group.name for group in report} <= names
    low, high = map(float, str(report.reference).strip("(]").split(","))
    assert low < 41.0 <= high


def test_other_thresholds_and_labels_select_other_rows(world: World) -> None:
    women = world.rows.query("sex == 'F'")
    assert world.report(by="sex", threshold=0.3)["F"].selected == (women["score"] >= 0.3).sum()
    lower = world.report(by="sex", positive=0, outcomes=world.rows[["prediction_id", "actual"]])
    assert lower["F"].selected == (women["score"] < 0.5).sum()
    assert lower["F"].positives == (women["actual"] == 0).sum()


def test_outcomes_count_once_by_the_rules_of_performance(world: World) -> None:
    known = outcomes_of(world)
    more = pandas.concat(
        [known, known[:2], pandas.DataFrame({"prediction_id": ["?", known["prediction_id"].iloc[5]], "actual": [1, 7]})]
    )
    report = world.report(by="sex", outcomes=more)
    assert report.rejected == {"unknown": 1, "repeated": 2, "invalid": 1, "unread": 0}
    assert sum(group.outcomes for group in report) == len(known)
    performance = Records(world.records).performance(world.baseline, outcomes=more)
    assert {reason: performance.coverage.rejected.get(reason, 0) for reason in report.rejected} == report.rejected
    assert "Outcomes that were not counted: 1 of unknown predictions, 2 sent again, 1 with a value" in (
        " ".join(str(report).split())
    )


def test_a_key_stands_for_its_last_prediction(world: World, tmp_path: Path) -> None:
    lines = [
        record({"age": 40.0, "sex": "F", "order": 7}, "2026-01-01T08:00:00", output=0.9),
        record({"age": 40.0, "sex": "M", "order": 7}, "2026-01-01T09:00:00", output=0.1),
        record({"age": 40.0, "sex": "F", "order": 7}, "2026-01-01T07:00:00", output=0.9),
    ]
    for line in lines:
        write(tmp_path, line)
    report = Records(tmp_path).fairness(world.baseline, by="sex", outcomes={"order": ["7"], "actual": [1]}, key="order")
    counts = {group.name: (group.rows, group.outcomes, group.true_positives) for group in report}
    assert counts == {"F": (2, 0, 0), "M": (1, 1, 0)}


def test_outcomes_of_selected_rows_alone_show_nothing(world: World) -> None:
    """As of loans that were granted."""
    granted = world.rows[world.rows["score"] >= 0.5]
    report = world.report(by="sex", outcomes=granted[["prediction_id", "actual"]])
    assert report["F"].true_positive_rate == report["M"].true_positive_rate == 1.0
    assert report["F"][OPPORTUNITY].reason == "only selected rows have an outcome"
    assert report["F"]["disparate_impact"].verdict == "unequal"
    assert report.coverage == OutcomeCoverage(len(granted), len(granted), 1600 - len(granted), 0)

    brought = granted.rename(columns={"sex": "gender"})[["prediction_id", "gender"]]
    alone = world.report(by="gender", outcomes=brought, actual=None)
    assert alone["F"].selection_rate == alone["M"].selection_rate == 1.0
    assert alone.verdict == "not enough data", "all of these rows are selected"


def test_further_groups_are_one(world: World) -> None:
    report = world.report(by="sex", most_groups=2)
    assert {group.name for group in report} == {"M", "F", "__rare__"}
    kept = world.report(by="sex", most_groups=2, reference="X")
    assert {group.name for group in kept} == {"M", "X", "__rare__"}


# --- alike rows ------------------------------------------------------------------------------------------------------


def test_rows_that_recur_count_for_fewer(world: World, tmp_path: Path) -> None:
    """Ninety people of either sex, each asked for thirty times in the course of a day."""
    rng = np.random.default_rng(2)
    lines = []
    for person in range(180):
        age = float(rng.normal(45, 10))
        score = float(1 / (1 + np.exp(-(age - 45) / 6)))
        for time in range(30):
            at = f"2026-01-01T{(person + 7 * time) % 24:02}:{time:02}:00"
            lines.append(record({"age": age, "sex": "FM"[person % 2]}, at, output=score))
    write(tmp_path, *lines)
    report = Records(tmp_path).fairness(world.baseline, by="sex")
    assert 20 < report["F"].dispersion < 45
    assert report.verdict == "not enough data"
    assert "rows count as one, since rows recur or are alike." in str(report)


def test_batches_of_alike_rows_count_for_fewer(world: World, tmp_path: Path) -> None:
    """A household in each request; all of its scores lie on one side."""
    rng = np.random.default_rng(3)
    lines = []
    for minute in range(300):
        high, sex = rng.random() < 0.5, "FM"[minute % 2]
        rows = [{"age": float(rng.normal(45, 10)), "sex": sex} for _ in range(12)]
        scores = (0.5 * rng.random(12) + 0.5 * high).tolist()
        lines.append(record(rows, f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00", output=scores, rows=12))
    write(tmp_path, *lines)
    report = Records(tmp_path).fairness(world.baseline, by="sex")
    assert report["F"].dispersion == pytest.approx(12, rel=0.4)
    assert report.verdict == "not enough data"


# --- odd records -----------------------------------------------------------------------------------------------------


def test_rows_that_cannot_be_read_are_said(world: World, tmp_path: Path) -> None:
    batch = [{"age": 40.0, "sex": "F"}, {"age": 41.0}, {"age": 42.0, "sex": ["F"]}, {"age": 43.0, "sex": None}]
    write(
        tmp_path,
        record(batch, rows=4, output=[0.9, 0.1, 0.9, None]),
        record({"age": 40.0, "sex": "F"}, output="?"),
        record({"age": 40.0, "sex": "F"}, output=0.9, status="error"),
        record({"age": 40.0, "sex": "__missing__"}, output=0.9),
        record({"sex": "M"}, output=0.9),
    )
    report = Records(tmp_path).fairness(world.baseline, by="sex")
    counts = {group.name: group.rows for group in report}
    assert counts == {"F": 1, "M": 1, "__missing__": 1, "__invalid__": 1, '"__missing__"': 1}
    assert report.unread == 2
    assert report.verdict == "not enough data"


@dataclass
class Doubtful:
    """Records of two equal groups, of which some outputs, and some outcomes, cannot be read.

    Attributes:
        baseline: Baseline of the model.
        records: Directory of the records.
        outcomes: Outcomes with both spellings.
    """

    baseline: Baseline
    records: Path
    outcomes: pandas.DataFrame

    def report(self, executor: Any = None, **options: Any) -> FairnessReport:
        records = Records(self.records, executor=executor)
        return records.fairness(self.baseline, positive="spam", key="entity_id", **{"by": "sex", **options})


def doubtful(directory: Path, *, lost: int, odd: int, kind: str = "label") -> Doubtful:
    """Write 4,000 rows of each group, half of them selected, whose true positive rate is 0.8.

    Args:
        directory: Directory of the records.
        lost: Number of outputs of women that cannot be read.
        odd: Number of outcomes of women in another spelling.
        kind: Kind of the output, or labels without validation.
    """
    rng = np.random.default_rng(2)
    labels = ["ham", "spam"] * 200
    outputs: Any = rng.random(400) if kind == "score" else labels
    baseline = built({"x": rng.random(400)}, outputs, actual=None if kind == "bare" else labels)
    rows, at = [], []
    for row in range(8000):
        is_spam, is_right = row // 2 % 2 == 0, row // 4 % 5 > 0
        is_chosen = is_spam is is_right
        output: Any = (0.9 if is_chosen else 0.1) if kind == "score" else ("spam" if is_chosen else "ham")
        output = None if row < 2 * lost and row % 2 == 0 else output
        rows.append({"sex": "FM"[row % 2], "output": output, "actual": "spam" if is_spam else "ham"})
        at.append(f"2026-01-01T08:{row // 200:02}:{row % 60:02}")
        features = {"x": float(rng.random()), "sex": rows[-1]["sex"]}
        write(directory, record(features, at[-1], output=output, entity_id=f"e{row}"))
    frame = pandas.DataFrame(rows).assign(entity_id=[f"e{row}" for row in range(8000)])
    spelled = (frame.index % 2 == 0) & (frame.index >= 2 * lost) & (frame.index < 2 * (lost + odd))
    frame.loc[spelled, "actual"] = frame.loc[spelled, "actual"].str.capitalize()
    known = frame[["entity_id", "actual", "sex"]].rename(columns={"sex": "gender"})
    return Doubtful(baseline, directory, known)


@pytest.mark.parametrize("kind", ["label", "score", "bare"])
@pytest.mark.parametrize("by", ["sex", "gender"])
def test_few_rows_that_cannot_be_read_cost_no_verdict(tmp_path: Path, kind: str, by: str) -> None:
    few = doubtful(tmp_path, lost=10, odd=12, kind=kind)
    outcomes = few.outcomes if by == "gender" else few.outcomes.drop(columns="gender")
    report = few.report(outcomes=outcomes, by=by)
    assert report.verdict == "within limits"
    women = report["F"]
    assert (women.rows, women.unread, women.unread_outcomes) == (3990, 10, 12 + 5)  # 5 of the 10 are spam
    assert (report["M"].unread, report["M"].unread_outcomes, report.unread) == (0, 0, 10)
    assert report.rejected == {"unknown": 0, "repeated": 0, "invalid": 12, "unread": 10}
    text = " ".join(str(report).split())
    assert "10 rows have no output that can be read (10 of F): the drift report says what came instead." in text
    counts = "12 with a value that cannot be read, 10 of rows whose output cannot be read."
    assert f"Outcomes that were not counted: {counts}" in text
    assert "12 of 7,990 outcomes could not be read: texts like 'aaa" in report.note
    assert report.note.endswith("where the model has 'ham' and 'spam'. Did you mean 'spam'?") or "'ham'?" in report.note
    assert report.note in text
    assert report.note in " ".join(report.to_markdown().replace("\\", "").split())
    assert report.to_dict()["note"] == report.note


def test_many_rows_that_cannot_be_read_leave_no_verdict(tmp_path: Path) -> None:
    many = doubtful(tmp_path, lost=900, odd=900)
    report = many.report(outcomes=many.outcomes.drop(columns="gender"))
    assert report.verdict == "not enough data"
    reasons = [item.reason for item in report["F"].comparisons]
    assert reasons[0] == reasons[1] == "the outputs of 900 rows cannot be read, too many for a verdict"
    assert re.fullmatch(r"the outputs or outcomes of 1,\d\d\d rows cannot be read, too many for a verdict", reasons[2])
    assert report["F"].unread_outcomes == 900 + 450  # half of the rows without output are spam
    with ThreadPoolExecutor(2) as threads:
        assert many.report(threads, outcomes=many.outcomes.drop(columns="gender")).to_dict() == report.to_dict()


def test_a_group_without_any_output_is_told(tmp_path: Path) -> None:
    none = doubtful(tmp_path, lost=4000, odd=0)
    report = none.report()
    assert (report["F"].rows, report["F"].unread, report["M"].rows) == (0, 4000, 4000)
    assert report.verdict == "not enough data"
    assert "(4,000 of F)" in str(report)


def test_no_records_are_not_enough_data(world: World, tmp_path: Path) -> None:
    report = Records(tmp_path).fairness(world.baseline, by="sex")
    assert (report.groups, report.verdict, report.reference) == ((), "not enough data", None)


def test_hidden_groups_are_said(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`BOXKITE_REDACT` hides what is sensitive first of all."""
    hidden = {"age": 40.0, "sex": "[redacted]"}
    write(tmp_path / "all", record(hidden, output=0.9), record(hidden, output=0.1))
    write(tmp_path / "some", record(hidden, output=0.9), record({"age": 40.0, "sex": "F"}, output=0.1))
    message = (
        "The column 'sex' is hidden in all records, by 'BOXKITE_REDACT' of the server. Give it as a column of the "
        "outcomes, or take it out of that setting."
    )
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        Records(tmp_path / "all").fairness(world.baseline, by="sex")
    report = Records(tmp_path / "some").fairness(world.baseline, by="sex")
    assert {group.name: group.rows for group in report} == {"F": 1, "__missing__": 1}
    assert "The column 'sex' is hidden in 1 rows" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "status"}, "Rows cannot be segmented by 'status'."),
        ({"reference": "W"}, "'reference' names no group with rows: 'W'. There are: 'M', 'F', 'X'."),
        ({"positive": "yes"}, "'positive' is none of the model's classes: 'yes'."),
        ({"alpha": 0}, "'alpha' must be a number between 0 and 1, got 0."),
        ({"least_ratio": 1.25}, "'least_ratio' must be a number above 0, at most 1, got 1.25."),
        ({"most_difference": -1}, "'most_difference' must be a number from 0 to 1, got -1."),
        ({"most_groups": 1}, "'most_groups' must be an integer >= 2, got 1."),
        ({"outcomes": {"prediction_id": []}}, "The outcomes have no column 'actual'."),
        ({"outcomes": 7}, "'outcomes' must be a data frame"),
        (
            {"outcomes": {"prediction_id": []}, "actual": None},
            "The outcomes have neither actual values ('actual' is None) nor the column 'sex'. Leave them out.",
        ),
    ],
    ids=str,
)
def test_options_that_cannot_be_used_are_refused(world: World, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}"):
        world.report(**{"by": "sex", **options})


def test_a_score_without_validation_needs_a_label_for_outcomes(world: World) -> None:
    bare = built({"age": np.arange(100.0)}, np.linspace(0, 1, 100))
    known = outcomes_of(world)
    records = Records(world.records)
    with pytest.raises(BoxkiteError, match="does not say which actual value counts as positive"):
        records.fairness(bare, by="sex", threshold=0.5, outcomes=known)
    report = records.fairness(bare, by="sex", threshold=0.5, positive=1, outcomes=known)
    assert report["F"].true_positives == world.report(by="sex", outcomes=known)["F"].true_positives


# --- other kinds of models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["probabilities", "labels"])
def test_a_class_is_selected_where_it_is_predicted(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    names = np.array(["deny", "grant", "review"])
    chances = rng.dirichlet([1, 1, 1], 1200)
    actual, predicted = names[[rng.choice(3, p=row) for row in chances]], names[chances.argmax(axis=1)]
    outputs = dict(zip(names, chances.T, strict=True)) if kind == "probabilities" else predicted
    trained = {"x": rng.random(1200)}
    baseline = built(trained, outputs, actual=actual)

    sex = rng.choice(["F", "M"], 1200)
    for row in range(0, 1200, 100):
        part = range(row, row + 100)
        given = [
            dict(zip(names.tolist(), chances[each].tolist(), strict=True))
            if kind == "probabilities"
            else predicted[each]
            for each in part
        ]
        rows = [{"x": float(trained["x"][each]), "sex": str(sex[each])} for each in part]
        at = f"2026-01-01T08:{row // 100:02}:00"
        write(tmp_path, record(rows, at, output=given, rows=100, entity_id=f"e{row}"))
    outcomes = {"entity_id": [f"e{row // 100 * 100}/{row % 100}" for row in range(1200)], "actual": actual}
    report = Records(tmp_path).fairness(baseline, by="sex", positive="grant", outcomes=outcomes, key="entity_id")
    for name in ("F", "M"):
        own = sex == name
        assert report[name].selected == (predicted[own] == "grant").sum()
        expected = recall_score(actual[own], predicted[own], labels=["grant"], average="macro")
        assert report[name].true_positive_rate == pytest.approx(expected, abs=1e-15)


def test_derived_variables_are_no_hindrance(tmp_path: Path) -> None:
    """Records have them beside the features; the column stands behind both."""
    rng = np.random.default_rng(6)
    texts = [" ".join(rng.choice(["loan", "car", "house"], 4)) for _ in range(400)]
    path = tmp_path / "texts.prom"
    baseline = ModelMonitoringService.export_text({"text": texts}, rng.random(400), path, derive={"text": Text("text")})
    service = ModelMonitoringService(baseline, log_dir=tmp_path / "records", state_dir=str(tmp_path / "state"))
    for row in range(200):
        service.log_prediction(features={"text": texts[row], "sex": "FM"[row % 2]}, output=row % 2 * 0.9)
    service.close()
    report = Records(tmp_path / "records").fairness(baseline, by="sex", threshold=0.5)
    assert {group.name: (group.rows, group.selected) for group in report} == {"F": (100, 0), "M": (100, 100)}
