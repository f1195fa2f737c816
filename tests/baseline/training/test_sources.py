"""Relations of DuckDB over files: the types of the first rows must not decide for all rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flask_boxkite import BaselineError
from flask_boxkite.baseline.training.build import build_baseline
from tests import peers
from tests.baseline.training.building import built

Make = Callable[[Any], Any]

MESSAGE = (
    "Column 'x' is BIGINT in the first file that DuckDB reads, but DOUBLE in all of them, and DuckDB would cast, and "
    "round, the others. Read them with union_by_name=True."
)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go where a column has whole numbers on the first day, others on the second; and one that only grows wider."""
    monkeypatch.chdir(tmp_path)
    Path("it's").mkdir()
    for name in ("x", "it's/x"):
        for day, values in {1: [1, 2], 2: [1.5, 2.5]}.items():
            narrow = pl.Series([1, 2], dtype=pl.Int32 if day == 1 else pl.Int64)
            pl.DataFrame({"x": values, "n": narrow, "s": ["a", "b"]}).write_parquet(f"{name}{day}.parquet")
    return tmp_path


SOURCES: dict[str, Make] = {
    "README": lambda duckdb: duckdb.read_parquet("x*.parquet"),
    "list": lambda duckdb: duckdb.read_parquet(["x1.parquet", "x2.parquet"]),
    "quote": lambda duckdb: duckdb.read_parquet("it's/*.parquet"),
    "SQL": lambda duckdb: duckdb.sql("SELECT * FROM read_parquet('x*.parquet')"),
    "name": lambda duckdb: duckdb.sql("FROM 'x*.parquet'"),
    "filter": lambda duckdb: duckdb.read_parquet("x*.parquet").filter("x > 0").select("x, s"),
    "join": lambda duckdb: duckdb.sql("SELECT t.x, u.n FROM 'x1.parquet' u JOIN 'x*.parquet' t ON t.s = u.s"),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
def test_files_of_other_types_than_the_first_are_refused(make: Make) -> None:
    with pytest.raises(BaselineError) as caught:
        build_baseline(make(peers.library("duckdb")))
    assert str(caught.value) == MESSAGE


LINES: dict[str, Make] = {
    "README": lambda duckdb: duckdb.read_json("x.jsonl"),
    "options": lambda duckdb: duckdb.read_json("x.jsonl", format="newline_delimited", sample_size=9),
    "SQL": lambda duckdb: duckdb.sql("SELECT x FROM read_json_auto('x.jsonl', sample_size = 9)"),
    "name": lambda duckdb: duckdb.sql("FROM 'x.jsonl'"),
    "filter": lambda duckdb: duckdb.read_json("x.jsonl").filter("x > 0"),
}


@pytest.fixture(scope="module")
def lines() -> str:
    """Return JSON lines of whole numbers, and of one fraction behind those that DuckDB looks at."""
    return '{"x": 1, "s": "a"}\n{"x": 2, "s": "1"}\n' * 12_000 + '{"x": 2.5, "s": "b"}\n'


@pytest.mark.parametrize("make", LINES.values(), ids=LINES.keys())
def test_lines_of_other_types_than_those_that_duckdb_looks_at_are_refused(make: Make, lines: str) -> None:
    Path("x.jsonl").write_text(lines)
    with pytest.raises(BaselineError) as caught:
        build_baseline(make(peers.library("duckdb")))
    assert str(caught.value) == (
        "Column 'x' is BIGINT in the lines that DuckDB looks at, but DOUBLE in all of them, and DuckDB would cast, and "
        "round, the others. Read them with sample_size=-1, maximum_sample_files=-1."
    )


@pytest.mark.parametrize(
    ("options", "categories"),
    [
        ({"sample_size": -1, "maximum_sample_files": -1}, ["1.0", "2.0", "2.5"]),
        ({"columns": {"x": "BIGINT"}}, ["1.0", "2.0"]),
        ({"columns": {"x": "DOUBLE"}}, ["1.0", "2.0", "2.5"]),
    ],
    ids=["all", "given", "right"],
)
def test_lines_are_counted_by_the_types_of_all_or_by_given_ones(
    options: dict[str, Any], categories: list[str], lines: str
) -> None:
    Path("x.jsonl").write_text(lines)
    frame = peers.library("duckdb").read_json("x.jsonl", **options)
    (x, *_) = built(frame, discrete=["x"], min_category_rows=1).features
    assert sorted(x.categories) == categories  # type: ignore[union-attr]


COUNTED: dict[str, tuple[Make, list[str]]] = {
    "by name": (lambda duckdb: duckdb.read_parquet("x*.parquet", union_by_name=True), ["1.0", "1.5", "2.0", "2.5"]),
    "one file": (lambda duckdb: duckdb.read_parquet("x1.parquet"), ["1.0", "2.0"]),
    "other column": (lambda duckdb: duckdb.read_parquet("x*.parquet").select("n AS x"), ["1.0", "2.0"]),
    "no file": (lambda duckdb: duckdb.sql("SELECT unnest([1, 2]) AS x"), ["1.0", "2.0"]),
}


@pytest.mark.parametrize(("make", "categories"), COUNTED.values(), ids=COUNTED.keys())
def test_what_is_read_right_is_counted(make: Make, categories: list[str]) -> None:
    (x, *_) = built(make(peers.library("duckdb")), discrete=["x"]).features
    assert x.categories == tuple(categories)  # type: ignore[union-attr]
