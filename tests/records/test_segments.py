"""Drift of a past period, of the whole and by segment, against a recount of the very rows, with SciPy's statistics."""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.scan import TESTS
from flask_boxkite.drift.variable import VariableDrift
from flask_boxkite.errors import BaselineError, BoxkiteError
from flask_boxkite.records import Records, SegmentReport
from flask_boxkite.records.segmentation import Segmentation
from tests.records.archives import record, seconds, write

COUNTRIES = ("DE", "FR", "IT")
ALPHA = 1e-5


@pytest.fixture
def trained(tmp_path: Path) -> Baseline:
    """Return a baseline of three features and an output."""
    rng = np.random.default_rng(3)
    features = {
        "age": rng.normal(40, 10, 2000),
        "country": rng.choice(COUNTRIES, 2000).tolist(),
        "children": rng.integers(0, 3, 2000),
    }
    return ModelMonitoringService.export_text(features, rng.random(2000), tmp_path / "baseline.prom", model="credit")


Row = tuple[dict[str, Any], Any, str]
"""Features, output, and when."""


def traffic(seed: int, *, day: str = "2026-01-01", moved: str | None = "FR", rows: int = 1500) -> list[Row]:
    """Make rows of a day, in which the age of one country has moved."""
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    for number in range(rows):
        country = str(rng.choice(COUNTRIES))
        age = float(rng.normal(62 if country == moved else 40, 10))
        minute = number * 1440 // rows
        features = {"age": age, "country": country, "children": int(rng.integers(0, 3)), "plan": f"p{number % 2}"}
        found.append((features, float(rng.random()), f"{day}T{minute // 60:02}:{minute % 60:02}:{number % 60:02}"))
    return found


def write_rows(root: Path, rows: list[Row], **fields: Any) -> Path:
    """Write rows as records, file by file."""
    files = defaultdict(list)
    for features, output, at in rows:
        files[at[:16]].append(record(features, at, output=output, **fields))
    for lines in files.values():
        write(root, *lines)
    return root


def group_of(groups: list[tuple[str, float, float]], value: float) -> str:
    """Return the group of a number, by its bounds."""
    return next(name for name, low, high in groups if low < value <= high)


def groups_of(trained: Baseline, name: str) -> tuple[list[str], Callable[[Any], str]]:
    """Return the names of a variable's groups, and what tells the group of a value, both by what the names say."""
    item = next(item for item in (*trained.features, *trained.outputs) if item.name == name)
    names = [group.name for group in item.groups]
    if item.kind == "discrete":
        return names, lambda value: value if isinstance(value, str) else f"{value}.0"
    inner = [(name, *map(float, name[1:-1].split(","))) for name in names if name[0] == "("]
    bounds = [
        ("__below__", -math.inf, inner[0][1]),
        *inner,
        ("__above__", inner[-1][2], math.inf),
    ]
    return names, lambda value: group_of(bounds, value)


def recount(trained: Baseline, name: str, values: list[Any]) -> list[int]:
    """Count values by group, one by one."""
    names, find = groups_of(trained, name)
    found = [find(value) for value in values]
    assert set(found) <= set(names)
    return [found.count(each) for each in names]


def g_of(before: list[int], now: list[int], dispersion: float = 1.0) -> float:
    """Return SciPy's likelihood-ratio statistic of homogeneity, of live rows of which so many count as one."""
    table = np.array([before, np.divide(now, dispersion)])[:, np.array(before) + np.array(now) > 0]
    return float(stats.chi2_contingency(table, lambda_="log-likelihood", correction=False)[0])


def trained_counts(trained: Baseline, name: str) -> list[int]:
    """Return the training counts of the groups."""
    item = next(item for item in (*trained.features, *trained.outputs) if item.name == name)
    return [sum(item.cells[group.start : group.stop]) for group in item.groups]


def values_of(rows: list[Row], name: str) -> list[Any]:
    """Return a variable of all rows."""
    return [output if name == "output" else features[name] for features, output, _ in rows]


def since(rows: list[Row], item: VariableDrift) -> list[Row]:
    """Return the rows of the stretch that decided."""
    return [row for row in rows if item.since is None or seconds(row[2]) >= item.since]


def check(report: DriftReport, trained: Baseline, rows: list[Row], names: list[str], alpha: float) -> None:
    """Compare the numbers of a report on all these variables with a recount."""
    assert sorted(item.name for item in report) == sorted(names)
    for name in names:
        item, judged = report[name], report[name].judgement
        now = recount(trained, name, values_of(since(rows, item), name))
        assert list(item.now) == now
        assert (item.live_rows, item.rows) == (len(rows), sum(now))
        assert judged.g == pytest.approx(g_of(trained_counts(trained, name), now, judged.dispersion), rel=1e-9)
        assert 1 <= judged.dispersion < 3
        used = sum(
            count > 0 or group not in ("__invalid__", "__rare__")
            for group, count in zip(groups_of(trained, name)[0], trained_counts(trained, name), strict=True)
        )
        assert judged.limit == pytest.approx(stats.chi2.isf(alpha / 4 / TESTS, used - 1), rel=1e-6)
        assert (item.verdict == "stable") == (judged.g <= judged.limit)
        assert (item.since is None) or (item.verdict != "stable")


# --- The whole ------------------------------------------------------------------------------------------------------


def test_drift_of_a_past_day_is_that_of_its_rows(tmp_path: Path, trained: Baseline) -> None:
    rows = traffic(1)
    root = write_rows(tmp_path / "records", [*traffic(2, day="2025-12-31"), *rows, *traffic(3, day="2026-01-02")])
    write(root, record({"age": 1e9}, "2026-01-01T08:00:00", status="error"), name="other")
    report = Records(root, start="2026-01-01", end="2026-01-02").drift(trained)
    assert report.window == "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"
    assert (report.model, report.baseline, report.alpha) == ("credit", trained.fingerprint, ALPHA)
    check(report, trained, rows, ["age", "country", "children", "output"], ALPHA)
    assert {item.name for item in report.drifted} == {"age"}
    assert "1 of 4 variables drifted from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z." in str(report)
    assert max(map(len, str(report).splitlines())) <= 100


def test_the_period_is_that_of_the_files_where_none_is_given(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "records", record({"age": 1.0}, "2026-01-01T08:00:30"))
    write(tmp_path / "records", record({"age": 1.0}, "2026-01-03T09:59:59"))
    records = Records(tmp_path / "records")
    assert records.drift(trained).window == "2026-01-01T08:00:00Z/2026-01-03T10:00:00Z"
    assert Records(tmp_path / "records", end="2026-01-02").drift(trained).window == (
        "2026-01-01T08:00:00Z/2026-01-02T00:00:00Z"
    )


def test_no_records_are_not_enough_data(tmp_path: Path, trained: Baseline) -> None:
    report = Records(tmp_path).drift(trained)
    assert {item.verdict for item in report} == {"not enough data"}
    assert report.window == "../.."
    assert str(report).startswith("Nothing was counted at any time. ")


def test_against_an_earlier_period_only_what_moved_since_has_drifted(tmp_path: Path, trained: Baseline) -> None:
    before, now = traffic(1, day="2025-12-31"), traffic(2)
    root = write_rows(tmp_path / "records", [*before, *now])
    records = Records(root, start="2026-01-01")
    earlier = Records(root, end="2026-01-01")
    assert records.drift(trained)["age"].verdict == "major"
    report = records.drift(trained, against=earlier)
    assert report.drifted == ()
    for name in ("age", "country", "children", "output"):
        counts = [recount(trained, name, values_of(rows, name)) for rows in (before, since(now, report[name]))]
        # Different rows fill buckets by chance, so that each seems to have come 1.0 to 1.1 times.
        judgement = report[name].judgement
        assert judgement.dispersion < 1.1
        assert judgement.g == pytest.approx(g_of(*counts, judgement.dispersion), rel=1e-9)


def test_rows_that_come_again_and_again_are_no_drift(tmp_path: Path, trained: Baseline) -> None:
    """Returning users, each for a minute: chance alone moves G many times as far."""
    rows = [
        (features, output, f"{at[:-2]}{number:02}")
        for features, output, at in traffic(1, moved=None, rows=200)
        for number in range(30)
    ]
    records = Records(write_rows(tmp_path / "records", rows))
    report, cells, _ = records.observed(trained)

    assert {item.verdict for item in report} <= {"stable", "unclear"}
    assert [item.live_rows for item in report] == [6000] * 4
    everything = drift_report("credit", trained, cells, alpha=ALPHA)
    assert any(item.verdict != "stable" for item in everything), "of independent rows it would be one"


def test_records_of_another_baseline_are_counted_and_said(
    tmp_path: Path, trained: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    write(
        tmp_path / "records",
        record({"age": 40.0}, baseline="0123456789ab"),
        record({"age": 40.0}, baseline=trained.fingerprint),
        record({"age": 40.0}),
    )
    records = Records(tmp_path / "records")
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        assert records.drift(trained)["age"].live_rows == 3
    assert (
        f"2 of 3 rows were served with another baseline than {trained.fingerprint}: 0123456789ab (1), none (1)."
        in caplog.text
    )
    caplog.clear()
    own = Records(tmp_path / "records", fingerprint=trained.fingerprint)
    assert own.drift(trained)["age"].live_rows == 1
    assert caplog.text == ""


def test_the_baseline_that_a_record_names_forges_no_line(
    tmp_path: Path, trained: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "records", record({"age": 40.0}, baseline="\x1b[2J\nERROR all is well"))
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        Records(tmp_path / "records").drift(trained)
    (message,) = caplog.messages
    assert "\ufffd[2J\ufffdERROR all is well (1)" in message


def test_records_of_several_models_are_an_error(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "records", record({"age": 1.0}), record({"age": 1.0}, model="churn"))
    message = "The records are of several models: 'churn', 'credit'. Name one of them as 'model'."
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        Records(tmp_path / "records").drift(trained)
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        Records(tmp_path / "records").to_baseline(model="credit")
    assert Records(tmp_path / "records", model="churn").drift(trained).model == "churn"
    report = Records(tmp_path / "records").drift(replace(trained, model="both"), by="model")
    assert (report.model, {each.name for each in report}) == ("both", {"churn", "credit"})


# --- By segment -----------------------------------------------------------------------------------------------------


def segments(root: Path, trained: Baseline, by: str, **options: Any) -> SegmentReport:
    """Return the report of all records by segment."""
    return Records(root).drift(trained, by=by, **options)


def test_segments_say_which_group_of_users_moved(tmp_path: Path, trained: Baseline) -> None:
    rows = traffic(1)
    report = segments(write_rows(tmp_path / "records", rows), trained, "country")
    assert next(each.name for each in report) == "FR"
    assert [each.name for each in report.drifted] == ["FR"]
    assert {each.verdict for each in report.segments[1:]} == {"stable"}
    for country in COUNTRIES:
        own = [row for row in rows if row[0]["country"] == country]
        assert report[country].rows == len(own)
        # Alpha is divided among three segments; the country itself is left out.
        check(report[country].report, trained, own, ["age", "children", "output"], ALPHA / 3)


@pytest.mark.parametrize(
    ("by", "segment_of"),
    [
        ("children", lambda trained, row: f"{row[0]['children']}.0"),
        ("age", lambda trained, row: groups_of(trained, "age")[1](row[0]["age"])),
        ("output", lambda trained, row: groups_of(trained, "output")[1](row[1])),
        ("plan", lambda trained, row: row[0]["plan"]),
        ("server_id", lambda trained, row: "server-1"),
    ],
    ids=["numbers", "groups of a continuous feature", "an output", "a feature that training had not", "a field"],
)
def test_segments_go_by_any_column(
    tmp_path: Path, trained: Baseline, by: str, segment_of: Callable[[Baseline, Row], str]
) -> None:
    rows = traffic(1)
    report = segments(write_rows(tmp_path / "records", rows), trained, by)
    expected = defaultdict(list)
    for row in rows:
        expected[segment_of(trained, row)].append(row)
    assert {each.name: each.rows for each in report} == {name: len(own) for name, own in expected.items()}
    names = [name for name in ("age", "country", "children", "output") if name != by]
    tests = sum(len(own) >= 30 for own in expected.values())
    for each in report:
        if each.rows >= 30:
            check(each.report, trained, expected[each.name], names, ALPHA / tests)
        else:
            assert each.verdict == "not enough data"


def test_rows_of_a_batch_are_shared_out(tmp_path: Path, trained: Baseline) -> None:
    """Each row to its own segment, its output with it; what cannot be told is missing or invalid."""
    batch = [{"country": "DE", "age": 40.0}, {"country": "FR", "age": 41.0}, {"country": None}, {"country": [1]}]
    write(
        tmp_path / "records",
        record(batch, rows=4, output=[0.1, 0.2, 0.3, 0.4]),
        record([["DE", 1.0], ["FR", 2.0]], rows=2, output=[0.5, 0.6]),  # too few features
        record({"country": "DE"}, output=None),
        record({"country": "__missing__"}),
    )
    report = segments(tmp_path / "records", trained, "country")
    assert {each.name: each.rows for each in report} == {
        "DE": 2,
        "FR": 1,
        "__missing__": 3,
        "__invalid__": 1,
        '"__missing__"': 1,
    }
    assert [report[name].report["output"].live_rows for name in ("DE", "FR", "__missing__")] == [1, 1, 3]
    assert [report[name].report["age"].live_rows for name in ("DE", "FR", "__missing__")] == [2, 1, 1]


@pytest.mark.parametrize(("by", "name"), [("server_id", "server-1"), ("country", "__missing__")])
def test_rows_of_which_nothing_is_known_are_rows_all_the_same(
    tmp_path: Path, trained: Baseline, by: str, name: str
) -> None:
    write(tmp_path / "records", record(None, rows=3), record([["DE", 1.0], ["FR", 2.0]], rows=2))
    assert [(each.name, each.rows) for each in segments(tmp_path / "records", trained, by)] == [(name, 5)]


def test_small_segments_are_put_together(tmp_path: Path, trained: Baseline) -> None:
    rows = [
        ({"age": 40.0, "shop": f"s{shop}"}, 0.5, f"2026-01-01T08:{shop:02}:00")
        for shop in range(6)
        for _ in range(6 - shop)
    ]
    report = segments(write_rows(tmp_path / "records", rows), trained, "shop", most_segments=2)
    assert {each.name: each.rows for each in report} == {"s0": 6, "s1": 5, "__rare__": 4 + 3 + 2 + 1}
    assert report["__rare__"].report["age"].live_rows == 10


def test_endless_values_do_not_fill_the_memory(trained: Baseline) -> None:
    segmentation = Segmentation("user", trained, most=3)
    features = [None] * len(trained.features)
    names = Counter(segmentation(None, [*features, f"u{user % 50}"], None) for user in range(100))
    assert segmentation.others == ("user",)
    assert names == {"u0": 2, "u1": 2, "u2": 2, "__rare__": 94}


def test_a_segment_that_was_always_different_has_not_moved_since(tmp_path: Path, trained: Baseline) -> None:
    before, now = traffic(1, day="2025-12-31", moved="FR"), traffic(2, moved="FR")
    for features, _, _ in now:
        if features["country"] == "IT":
            features["age"] += 15
    root = write_rows(tmp_path / "records", [*before, *now])
    records, earlier = Records(root, start="2026-01-01"), Records(root, end="2026-01-01")
    assert {each.name for each in records.drift(trained, by="country").drifted} == {"FR", "IT"}
    report = records.drift(trained, by="country", against=earlier)
    assert {each.name for each in report.drifted} == {"IT"}
    assert report.against == "2025-12-31T00:00:00Z/2026-01-01T00:00:00Z"
    for country in COUNTRIES:
        own = [[row for row in rows if row[0]["country"] == country] for rows in (before, now)]
        found = report[country].report["age"]
        counts = [recount(trained, "age", values_of(rows, "age")) for rows in (own[0], since(own[1], found))]
        assert found.judgement.g == pytest.approx(g_of(*counts, found.judgement.dispersion), rel=1e-9)


def test_a_segment_that_was_not_there_before_cannot_be_compared(tmp_path: Path, trained: Baseline) -> None:
    root = write_rows(tmp_path / "records", [*traffic(1, day="2025-12-31", moved=None), *traffic(2)])
    late = [({**features, "country": "ES"}, output, at) for features, output, at in traffic(3, rows=100)]
    write_rows(root, late)
    report = Records(root, start="2026-01-01").drift(trained, by="country", against=Records(root, end="2026-01-01"))
    assert report["ES"].verdict == "not enough data"
    assert report["FR"].verdict == "major"


def test_segments_without_drift_raise_no_alarm(tmp_path: Path, trained: Baseline) -> None:
    """A significance of 1 % for the whole: of 40 reports over three segments and their variables, 0.4 are expected."""
    alarms = 0
    for seed in range(40):
        root = write_rows(tmp_path / f"records-{seed}", traffic(100 + seed, moved=None, rows=240))
        report = segments(root, trained, "country", alpha=0.01)
        alarms += any(each.verdict != "stable" for each in report)
    assert alarms <= 4  # more than that has a probability of less than 1 in 10,000


@pytest.mark.parametrize("by", ["created_at", "duration_ms", "entity_id", "key", "prediction_id", "status"])
def test_fields_that_make_no_segments_are_an_error(tmp_path: Path, trained: Baseline, by: str) -> None:
    message = (
        f"Rows cannot be segmented by '{by}'. Take a feature, an output, or one of model, baseline, version, server_id."
    )
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        segments(tmp_path, trained, by)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "'alpha' must be a number between 0 and 1, got 0.0."),
        ({"alpha": 1.0}, "'alpha' must be a number between 0 and 1, got 1.0."),
        ({"by": "country", "most_segments": 0}, "'most_segments' must be an integer >= 1, got 0."),
    ],
)
def test_options_that_cannot_be_used_are_an_error(
    tmp_path: Path, trained: Baseline, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        Records(tmp_path).drift(trained, **options)


def test_a_report_of_segments_can_be_printed_and_stored(tmp_path: Path, trained: Baseline) -> None:
    root = write_rows(tmp_path / "records", traffic(1))
    write(root, record({"country": "a|b\n" + "c" * 200, "age": 1.0}, output=0.5), name="other")
    report = Records(root, start="2026-01-01", end="2026-01-02").drift(trained, by="country")
    text = str(report).splitlines()
    assert max(map(len, text)) <= 100
    summary = "1 of 4 segments by 'country' drifted from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z"
    assert " ".join(text[:2]).startswith(f"{summary}, against all rows of training. ")
    assert next(line.split()[0] for line in text if line[:2] in COUNTRIES) == "FR"
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (found["by"], found["reference"]) == ("country", "all rows")
    assert "against all rows of training" in report.to_markdown()
    assert [each["name"] for each in found["segments"]] == [each.name for each in report]
    assert found["segments"][0]["variables"] == report.segments[0].report.to_rows()
    rows = report.to_rows()
    assert len(rows) == 4 * 3
    assert rows[0] == {"segment": "FR", "segment_rows": report["FR"].rows, **report["FR"].report.to_rows()[0]}
    table = report.to_markdown().splitlines()
    assert len(table) == 2 + 2 + 4
    assert {line.replace("\\|", "").count("|") for line in table[2:]} == {6}
    with pytest.raises(KeyError):
        report["nowhere"]


# --- A new baseline -------------------------------------------------------------------------------------------------


def test_a_new_baseline_is_that_of_the_answered_rows(tmp_path: Path, trained: Baseline) -> None:
    rows = traffic(1)
    root = write_rows(tmp_path / "records", rows)
    write(root, record({"age": 1e9}, "2026-01-01T08:00:00", status="error"), name="other")
    path = tmp_path / "new.prom"
    made = Records(root).to_baseline(path, trained, version="2026-01")
    names = ("age", "country", "children")
    expected = ModelMonitoringService.export_text(
        {name: values_of(rows, name) for name in names},
        values_of(rows, "output"),
        tmp_path / "expected.prom",
        discrete=["country", "children"],
    )
    assert made.fingerprint == expected.fingerprint == Baseline.load(path).fingerprint
    assert (made.model, made.version, made.rows) == ("credit", "2026-01", 1500)
    assert {item.verdict for item in Records(root).drift(made)} == {"stable"}


def test_a_new_baseline_may_have_all_that_records_have(tmp_path: Path) -> None:
    write(tmp_path / "records", *(record([float(number), "a"], output=number % 3) for number in range(100)))
    made = Records(tmp_path / "records").to_baseline(max_bins=20)
    assert [item.name for item in made.features] == ["feature_0", "feature_1"]
    assert [(item.name, item.kind) for item in made.outputs] == [("output", "discrete")]


def test_texts_that_look_like_numbers_stay_texts_in_a_new_baseline(tmp_path: Path) -> None:
    codes = ["12345"] * 99 + ["K1A 0B1"]
    known = ModelMonitoringService.export_text({"zip": codes}, path=tmp_path / "known.prom", texts=["zip"])
    write(tmp_path / "records", *(record({"zip": code}) for code in codes))

    assert Records(tmp_path / "records").to_baseline(baseline=known).features == known.features
    with pytest.raises(BaselineError, match=r"Column 'zip' holds 99 numbers and 1 other text, such as 'K1A 0B1'\."):
        Records(tmp_path / "records").to_baseline()


def test_a_baseline_of_nothing_is_an_error(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "records", record({"age": 1.0}, status="error"))
    message = f"No record at '{tmp_path / 'records'}' was answered, so there is no baseline. Take a longer period."
    with pytest.raises(BaselineError, match=f"^{re.escape(message)}$"):
        Records(tmp_path / "records").to_baseline(baseline=trained)


def test_answers_without_features_and_outputs_make_no_baseline(tmp_path: Path) -> None:
    write(tmp_path, record(), record())
    with pytest.raises(BaselineError, match=r"^The training data has no columns"):
        Records(tmp_path).to_baseline()
