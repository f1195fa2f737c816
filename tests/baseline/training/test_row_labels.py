"""Row labels of pandas are no features, by whatever way the training data comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flask_boxkite import Baseline
from flask_boxkite.baseline.training.row_labels import labels_in
from tests.baseline.training.building import built

duckdb = pytest.importorskip("duckdb")

ROWS = 200
BY_NAME: dict[str, Callable[[Path], Any]] = {
    "polars": lambda path: built(pl.read_parquet(path)),
    "polars, lazy": lambda path: built(pl.scan_parquet(path)),
    "duckdb": lambda path: built(duckdb.read_parquet(str(path))),
}
BY_METADATA: dict[str, Callable[[Path], Any]] = {
    "pandas": lambda path: built(pd.read_parquet(path)),
    "arrow": lambda path: built(pq.read_table(path)),
    "narwhals": lambda path: built(nw.from_native(pq.read_table(path))),
    "chunks": lambda path: Baseline.from_chunks(pq.ParquetFile(path).iter_batches(batch_size=30)),
}


@pytest.fixture
def frame(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"x": rng.normal(size=ROWS), "y": ["a", "b"] * (ROWS // 2)})


def shuffled(name: str | None) -> pd.Index:
    return pd.Index(np.random.default_rng(1).permutation(ROWS), name=name)


def warning(*names: str) -> str:
    listed = ", ".join(map(repr, names))
    return f"Row labels of pandas (its index) are left out: {listed}. If the model gets them, write df.reset_index()."


@pytest.mark.parametrize("door", [*BY_NAME, *BY_METADATA])
def test_labels_without_a_name_are_no_feature_by_any_door(
    frame: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture, door: str
) -> None:
    frame.set_index(shuffled(None)).to_parquet(tmp_path / "t.parquet")
    baseline = (BY_NAME | BY_METADATA)[door](tmp_path / "t.parquet")

    assert [item.name for item in baseline.features] == ["x", "y"]
    assert caplog.messages == ([] if door == "pandas" else [warning("__index_level_0__")])
    assert baseline.fingerprint == built(frame).fingerprint


@pytest.mark.parametrize("door", BY_METADATA)
def test_labels_with_names_are_no_features_where_the_data_says_what_they_are(
    frame: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture, door: str
) -> None:
    index = pd.MultiIndex.from_arrays([shuffled(None), np.arange(ROWS)], names=["group", "customer_id"])
    frame.set_index(index).to_parquet(tmp_path / "t.parquet")
    baseline = BY_METADATA[door](tmp_path / "t.parquet")

    assert [item.name for item in baseline.features] == ["x", "y"]
    assert caplog.messages == ([] if door == "pandas" else [warning("group", "customer_id")])


def test_labels_that_an_option_names_are_counted(frame: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    table = pa.Table.from_pandas(frame.set_index("y"))
    assert [item.name for item in built(table, "y").outputs] == ["y"]
    assert [item.name for item in Baseline.from_chunks([table], "y").outputs] == ["y"]
    assert [item.name for item in built(table, texts=["y"]).features] == ["x", "y"]
    assert [item.name for item in built(table, exclude=["y"]).features] == ["x"]

    numbers = pa.Table.from_pandas(frame.set_index(pd.Index(np.arange(ROWS) % 5, name="n")))
    assert [item.name for item in built(numbers, discrete=["n"]).features] == ["x", "y", "n"]
    assert [item.name for item in built(numbers, bins={"n": [1, 3]}).features] == ["x", "y", "n"]
    lazy = pl.LazyFrame({"x": [1.0, 2.0], "__index_level_0__": [1.0, 0.0]})
    assert [item.name for item in built(lazy, "__index_level_0__").outputs] == ["__index_level_0__"]
    assert caplog.messages == []


def test_labels_of_an_output_are_no_output(frame: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    scores = pa.Table.from_pandas(frame[["x"]].set_index(shuffled("id")))
    assert [item.name for item in built(frame, scores).outputs] == ["x"]
    assert caplog.messages == [warning("id")]


@pytest.mark.parametrize(
    "metadata", [None, {}, {b"pandas": b"\xff"}, {b"pandas": b"[]"}, {b"pandas": b'{"index_columns": [{"start": 0}]}'}]
)
def test_metadata_that_names_no_labels_gives_none(metadata: Any) -> None:
    assert not labels_in(metadata)
