"""NaN in Parquet files, whose statistics leave it out: engines that trust these must still count every row.

DuckDB 2.0 takes a finite maximum for proof that a column holds no NaN, so ``isnan`` is false in all of its rows; where
minimum and maximum are equal, all rows pass ``isfinite`` as a filter.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flask_boxkite import Baseline
from flask_boxkite.baseline.training.engine import EngineLimits
from tests import peers
from tests.baseline.training.building import built

ROWS = EngineLimits().ranges + 1616
GROUP_ROWS = 4096
"""Some groups of rows, each with statistics of its own."""


def gaps(values: Any) -> Any:
    """Return values with NaN for one in seven, but none in the first group of rows."""
    places = np.arange(ROWS)
    return np.where((places % 7 == 0) & (places > GROUP_ROWS), math.nan, values)


def made_columns() -> dict[str, Any]:
    """Return what statistics can say of floats, by name."""
    normal, places = np.random.default_rng(0).normal(size=ROWS), np.arange(ROWS)
    return {
        "finite": normal,
        "finite or NaN": gaps(normal),
        "float32 or NaN": gaps(normal).astype(np.float32),
        "few or NaN": gaps(places % 3),
        "one value or NaN": gaps(7.5),
        "one value a group, or NaN": gaps(places // GROUP_ROWS),
        "finite, inf or NaN": gaps(np.where(places % 11 == 0, math.inf, normal)),
        "finite, -inf or NaN": gaps(np.where(places % 11 == 0, -math.inf, normal)),
        "inf or NaN": gaps(math.inf),
        "-inf or NaN": gaps(-math.inf),
        "NaN": np.full(ROWS, math.nan),
    }


COLUMNS = made_columns()

WRITERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "pyarrow": lambda table, path: pq.write_table(table, path, row_group_size=GROUP_ROWS),
    "pyarrow, one group": pq.write_table,
    "polars": lambda table, path: pl.DataFrame(table).write_parquet(path, row_group_size=GROUP_ROWS),
    # Of Arrow's types, since pandas' own are null where they are NaN.
    "pandas": lambda table, path: table.to_pandas(types_mapper=pd.ArrowDtype).to_parquet(path),
    "duckdb": lambda table, path: peers.library("duckdb").from_arrow(table).write_parquet(str(path)),
}

OPTIONS: dict[str, dict[str, Any]] = {"continuous": {}, "discrete": {"discrete": list(COLUMNS)}}


@functools.cache
def expected(options: str) -> Baseline:
    return built(COLUMNS, clock=lambda: 0, **OPTIONS[options])


READERS: dict[str, Callable[[Path], Any]] = {
    "duckdb": lambda path: peers.library("duckdb").read_parquet(str(path)),
    "polars": pl.scan_parquet,
}


@pytest.fixture(scope="module", params=WRITERS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("statistics") / "train.parquet"
    WRITERS[request.param](pa.table(COLUMNS), path)
    return path


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("options", OPTIONS)
def test_nan_is_missing_whatever_the_statistics_of_a_file_say(reader: str, options: str, path: Path) -> None:
    found = built(READERS[reader](path), clock=lambda: 0, **OPTIONS[options])
    for one, wanted in zip(found.features, expected(options).features, strict=True):
        assert one == wanted
