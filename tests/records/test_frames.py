"""Records as frames: one row per predicted row, the same in every engine."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records
from flask_boxkite.records.lines import LineLimits
from tests.records.archives import record, write

FIELDS = [
    "prediction_id",
    "entity_id",
    "key",
    "created_at",
    "model",
    "baseline",
    "version",
    "status",
    "duration_ms",
    "server_id",
]


@pytest.fixture
def trained(tmp_path: Path) -> Baseline:
    """Return a baseline with two features, one of them textual, and one output."""
    rng = np.random.default_rng(1)
    features = {"amount": rng.normal(size=200), "city": rng.choice(["Oslo", "Rome"], 200).tolist()}
    return ModelMonitoringService.export_text(features, rng.random(200), tmp_path / "baseline.prom")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory with records of every form."""
    root = tmp_path / "records"
    write(
        root,
        record([1.5, "Oslo"], output=0.25, entity_id="a", version="2", key="order 7"),
        record({"city": "Rome", "amount": 2, "more": 1}, output=[0.5], entity_id="b"),
        record([[3.5, None], ["x", 7]], rows=2, output=[0.75, None], entity_id="c", key="ö-1"),
        record([{"amount": True}, {"city": "Zürich"}], rows=2, output=[1], entity_id="d"),
        record(None, output=None, entity_id="e", status="error", duration_ms=None),
        record([1.0, 2.0, 3.0], output="nothing", entity_id="f"),
        record({"amount": "Infinity", "city": ["Oslo"]}, output={"output": 0.125}, entity_id="g"),
    )
    return root


EXPECTED = {
    "amount": [1.5, 2.0, 3.5, None, 1.0, None, None, None, float("inf")],
    "city": ["Oslo", "Rome", None, "7", None, "Zürich", None, None, None],
    "output": [0.25, 0.5, 0.75, None, None, None, None, None, 0.125],
    "entity_id": ["a", "b", "c", "c", "d", "d", "e", "f", "g"],
    "key": ["order 7", None, "ö-1/0", "ö-1/1", None, None, None, None, None],
    "version": ["2"] + [None] * 8,
    "status": ["ok"] * 6 + ["error"] + ["ok"] * 2,
    "duration_ms": [1.25] * 6 + [None] + [1.25] * 2,
    "server_id": ["server-1"] * 9,
    "created_at": [datetime(2026, 1, 1, 8, 0, 30, tzinfo=timezone.utc)] * 9,
}


def to_lists(frame: Any) -> dict[str, list[Any]]:
    """Return a frame of any engine as lists."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect().to_arrow()
    elif isinstance(frame, duckdb.DuckDBPyRelation):
        frame = frame.to_arrow_table()
    elif isinstance(frame, pa.RecordBatchReader):
        frame = frame.read_all()
    else:
        assert isinstance(frame, pd.DataFrame)
        frame = pa.Table.from_pandas(frame, preserve_index=False)
    found: dict[str, list[Any]] = frame.to_pydict()
    return found


@pytest.mark.parametrize("engine", ["polars", "pandas", "pyarrow", "duckdb"])
def test_every_predicted_row_is_a_row(root: Path, trained: Baseline, engine: str) -> None:
    found = to_lists(Records(root).to_frame(engine, trained))
    assert list(found) == ["amount", "city", "output", *FIELDS]
    ids = [name.rpartition("server-1/2026-01-01T08:00:30/")[2] for name in found["prediction_id"]]
    assert ids == ["a", "b", "c/0", "c/1", "d/0", "d/1", "e", "f", "g"]
    assert {name: found[name] for name in EXPECTED} == EXPECTED


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by position"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_rows_of_one_form_are_as_those_of_many(tmp_path: Path, by_name: bool, outputs: int) -> None:
    """The fast way for the most common form, beside what was written."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(100, 3))
    scores = {"low": rng.random(100), "high": rng.random(100)} if outputs == 2 else {"output": rng.random(100)}
    trained = ModelMonitoringService.export_text(
        dict(zip("abc", values.T, strict=True)), scores, tmp_path / "baseline.prom"
    )
    rows = values.tolist()
    rows[7][1] = None
    write(
        tmp_path,
        *(
            record(
                dict(zip("abc", row, strict=True)) if by_name else row,
                output={name: column[place] for name, column in scores.items()}
                if outputs == 2
                else scores["output"][place],
            )
            for place, row in enumerate(rows)
        ),
    )
    found = to_lists(Records(tmp_path).to_frame("pyarrow", trained))
    assert [list(row) for row in zip(*(found[name] for name in "abc"), strict=True)] == rows
    for name, column in scores.items():
        assert found[name] == column.tolist()


def test_without_a_baseline_all_features_and_outputs_become_columns(tmp_path: Path) -> None:
    write(
        tmp_path,
        record({"amount": 1, "city": "Oslo", "note": None}, output={"score": 0.5, "label": "yes"}),
        record([{"amount": "Infinity"}, {"flag": True, "city": 7}], rows=2, output=[{"score": 1}, {"score": 2}]),
    )
    found = to_lists(Records(tmp_path).to_frame("pyarrow"))
    assert list(found) == ["amount", "city", "note", "flag", "score", "label", *FIELDS]
    assert found["amount"] == [1.0, float("inf"), None]
    assert found["city"] == ["Oslo", None, "7"]
    assert found["note"] == [None, None, None]
    assert found["flag"] == [None, None, 1.0]
    assert found["score"] == [0.5, 1.0, 2.0]
    assert found["label"] == ["yes", None, None]


def test_without_a_baseline_features_by_position_are_numbered(tmp_path: Path) -> None:
    write(tmp_path, record([1, "a"], output=[0.1, 0.9]), record([[2, "b"], [3, "c"]], rows=2, output=[[0, 1], [1, 0]]))
    found = to_lists(Records(tmp_path).to_frame("pyarrow"))
    assert list(found) == ["feature_0", "feature_1", "output_0", "output_1", *FIELDS]
    assert found["feature_0"] == [1.0, 2.0, 3.0]
    assert found["feature_1"] == ["a", "b", "c"]
    assert found["output_1"] == [0.9, 1.0, 0.0]


def test_without_a_baseline_records_of_several_forms_are_all_there(tmp_path: Path) -> None:
    """As several models have them, or one model whose clients differ."""
    write(
        tmp_path,
        record({"city": "Oslo"}, output=0.25),
        record([1, 2], output=[0.1, 0.9]),
        record([3, 4, 5], output={"score": 0.5}),
        record([[6, 7], [8, 9]], rows=2, output=[0.75, 1.0]),
        record("no row", output=None),
        record([{"city": "Bonn"}, "no row"], rows=2, output={"score": [1.5, 2.5]}),
    )
    found = to_lists(Records(tmp_path).to_frame("pyarrow"))
    none = None
    assert {name: found[name] for name in found if name not in FIELDS} == {
        "city": ["Oslo", *[none] * 5, "Bonn", none],
        "feature_0": [none, 1.0, 3.0, 6.0, 8.0, *[none] * 3],
        "feature_1": [none, 2.0, 4.0, 7.0, 9.0, *[none] * 3],
        "feature_2": [none, none, 5.0, *[none] * 5],
        "output": [0.25, none, none, 0.75, 1.0, *[none] * 3],
        "output_0": [none, 0.1, *[none] * 6],
        "output_1": [none, 0.9, *[none] * 6],
        "score": [none, none, 0.5, none, none, none, 1.5, 2.5],
    }


def test_names_that_two_things_have_say_which_is_meant(tmp_path: Path) -> None:
    write(
        tmp_path,
        record(
            {"model": "T", "score": 1, "feature.model": 2, "plain": 3}, output={"score": 4, "status": 5, "other": 6}
        ),
    )
    found = to_lists(Records(tmp_path).to_frame("pyarrow"))
    assert list(found) == [
        "feature.feature.model",
        "feature.score",
        "feature.model",
        "plain",
        "output.score",
        "output.status",
        "other",
        *FIELDS,
    ]
    assert found["feature.feature.model"] == ["T"]
    assert found["feature.model"] == [2.0]
    assert (found["feature.score"], found["output.score"]) == ([1.0], [4.0])
    assert (found["model"], found["status"], found["output.status"]) == (["credit"], ["ok"], [5.0])


def test_capitals_do_not_tell_a_feature_from_a_field(tmp_path: Path) -> None:
    """They do not in SQL, where the name of the model would be hidden by the feature."""
    write(tmp_path, record({"Model": "T", "Age": 1, "Score": 3}, output={"score": 4}))
    frame = Records(tmp_path).to_frame("duckdb")
    assert frame.columns[:4] == ["feature.Model", "Age", "feature.Score", "output.score"]
    assert frame.project("model").fetchall() == [("credit",)]


def test_names_that_json_must_escape(tmp_path: Path) -> None:
    names = ['quo"te', "back\\slash", "new\nline", "Größe \N{SNOWMAN}", ""]
    trained = ModelMonitoringService.export_text({name: range(50) for name in names}, None, tmp_path / "b.prom")
    write(tmp_path, *(record(dict.fromkeys(names, number)) for number in range(3)))
    found = to_lists(Records(tmp_path).to_frame("pyarrow", trained))
    assert [found[name] for name in names] == [[0.0, 1.0, 2.0]] * 5


def test_polars_reads_only_when_it_collects_and_then_anew(root: Path, trained: Baseline) -> None:
    records = Records(root)
    lazy = records.to_frame("polars", trained)
    assert records.counts.files == 0
    query = lazy.filter(pl.col("amount") > 1).select("city", pl.col("amount") * 2)
    assert query.collect().rows() == [("Oslo", 3.0), ("Rome", 4.0), (None, 7.0), (None, float("inf"))]
    assert lazy.head(3).select("entity_id").collect().to_series().to_list() == ["a", "b", "c"]
    write(root, record([9.0, "Oslo"], "2026-01-01T09:00:00"))
    assert len(query.collect()) == 5
    assert records.counts.rows == 10


def test_polars_stops_reading_when_it_has_enough(tmp_path: Path) -> None:
    body = "x" * (LineLimits().chunk_bytes // 3)
    for minute in range(10):
        at = f"2026-01-01T08:0{minute}:00"
        write(tmp_path, *(record([float(minute)], at, request_body=body) for _ in range(3)))
    records = Records(tmp_path)
    lazy = records.to_frame("polars")
    assert lazy.head(4).collect()["feature_0"].to_list() == [0.0, 0.0, 0.0, 1.0]
    assert records.counts.files < 10


def test_duckdb_reads_anew_whenever_it_is_asked(root: Path, trained: Baseline) -> None:
    relation = Records(root).to_frame("duckdb", trained)
    count = "SELECT city, count(*) FROM relation WHERE status = 'ok' GROUP BY city ORDER BY 2 DESC, 1"
    before = duckdb.sql(count).fetchall()
    assert before[0] == (None, 4)
    write(root, record([9.0, "Rome"], "2026-01-01T09:00:00"))
    assert relation.aggregate("count(*)").fetchall() == [(10,)]
    assert dict(duckdb.sql(count).fetchall())["Rome"] == dict(before)["Rome"] + 1


def test_any_library_that_knows_arrow_can_read(root: Path, trained: Baseline) -> None:
    frame = Records(root).frame(trained)
    assert pl.DataFrame(frame).equals(pl.from_arrow(pa.table(frame)))
    assert sum(batch.num_rows for batch in frame.batches()) == 9


def test_no_records_are_a_frame_without_rows(tmp_path: Path, trained: Baseline) -> None:
    records = Records(tmp_path)
    for engine in ("polars", "pandas", "pyarrow", "duckdb"):
        found = to_lists(records.to_frame(engine, trained))
        assert list(found) == ["amount", "city", "output", *FIELDS]
        assert set(map(len, found.values())) == {0}


def test_an_engine_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    message = "'engine' must be one of 'polars', 'pandas', 'pyarrow', 'duckdb', 'dask', 'pyspark', got 'modin'."
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        Records(tmp_path).to_frame("modin")


def test_an_engine_that_is_not_installed_is_named(
    root: Path, trained: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    message = "This frame of records needs 'duckdb'. Run: pip install duckdb"
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        Records(root).to_frame("duckdb", trained)


@pytest.mark.parametrize("engine", ["pandas", "polars", "pyarrow", "duckdb"])
def test_values_that_become_null_are_counted_and_said_once_a_reading(
    root: Path, trained: Baseline, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(
        root,
        *(record({"amount": f"{number},5", "city": "Oslo"}, output="high") for number in range(3)),
        record({"amount": "n/a", "city": None}, output="[redacted]"),
    )
    frame = Records(root).to_frame(engine, trained)
    if engine != "pandas":
        assert caplog.messages == []
    _ = {
        "pandas": lambda: frame,
        "polars": lambda: frame.collect(),
        "pyarrow": lambda: frame.read_all(),
        "duckdb": lambda: frame.fetchall(),
    }[engine]()
    (line,) = caplog.messages
    assert line == (
        "Values that do not fit their columns are null in the frame: 'amount' (4: texts such as 'x' and '0,5'), 'city' "
        "(1: lists), 'output' (4: texts such as 'nothing' and 'high'). Iterate over the records to see them."
    )


def test_texts_that_stand_for_a_missing_number_are_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = ModelMonitoringService.export_text(
        {"amount": [1.5, 2.5, "unknown"] * 50}, path=tmp_path / "b.prom", missing_texts=("unknown",)
    )
    write(tmp_path / "records", record({"amount": "Unknown"}), record({"amount": 2.0}), record({"amount": None}))
    frame = Records(tmp_path / "records").to_frame("pandas", trained)
    assert frame["amount"].isna().tolist() == [True, False, True]
    assert caplog.messages == []


def test_drift_of_records_tells_the_form_of_invalid_values(tmp_path: Path, trained: Baseline) -> None:
    root = tmp_path / "records"
    write(root, *(record({"amount": "1,5" if number % 4 else 1.5, "city": "Oslo"}) for number in range(80)))
    report = Records(root).drift(trained)
    assert report["amount"].note == "invalid are texts like '9,9' (9: any digit, a: any letter)"
    assert report["city"].note == ""
