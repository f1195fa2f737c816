"""One table: values of every kind, through every way in, fall in the groups in which training has them.

Rows of the table are kinds of values, columns are ways in: what training data comes as, what files the command
compares, and what bodies, objects and arrays live rows come as. Each cell is that the groups are the same.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import flask_boxkite
from flask_boxkite import Baseline, Boxkite, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.cli import boxkite
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.records import Records
from flask_boxkite.values.times import is_time_text
from tests import peers
from tests.integration.kinds import ROWS, made

Columns = dict[str, list[Any]]

FRAME = made()
NAMES = list(FRAME.columns)
NARROW = {"float32": np.float32, "float32 few": np.float32, "float16": np.float16}


class Grade(Enum):
    """A category whose value is a text."""

    LOW, HIGH = "low", "high"


class Level(IntEnum):
    """A category that is a number."""

    LOW, HIGH = 1, 2


@pytest.fixture(scope="module")
def trained() -> Baseline:
    return build_baseline(FRAME, None, clock=lambda: 0)


def other_groups(service: ModelMonitoringService | Boxkite, names: list[str] = NAMES) -> dict[str, Any]:
    """Return the variables whose live counts differ from training."""
    return other_cells(service.drift(), names)


def other_cells(report: DriftReport, names: list[str] = NAMES) -> dict[str, Any]:
    """Return the same of a report: by the whole window, since rows come in order, which looks like a change."""
    return {
        item.name: (item.item.cells, item.window_cells)
        for item in report
        if item.name in names and item.item.cells != item.window_cells
    }


# --- training --------------------------------------------------------------------------------------------------------


def with_types(frame: pd.DataFrame) -> Columns:
    """Return lists of Python's own values; narrow floats as NumPy's scalars, which know their type."""
    return {
        name: [None if pd.isna(value) else value for value in (frame[name].array if name in NARROW else frame[name])]
        for name in frame
    }


def dask_frame(frame: pd.DataFrame) -> Any:
    return peers.library("dask.dataframe").from_pandas(frame.astype({"category": object}), npartitions=2)


def duckdb_relation(frame: pd.DataFrame) -> Any:
    """Return the frame without float16, which DuckDB refuses."""
    table = pa.Table.from_pandas(frame.drop(columns="float16"), preserve_index=False)
    return peers.library("duckdb").connect().from_arrow(table)


TRAINING: dict[str, Callable[[pd.DataFrame], Any]] = {
    "lists": with_types,
    "pairs": lambda frame: [(name, frame[name]) for name in frame],
    "arrays": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "pandas of Arrow": lambda frame: pa.Table.from_pandas(frame).to_pandas(types_mapper=pd.ArrowDtype),
    "Polars": pl.from_pandas,
    "Polars, lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "Arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "DuckDB": duckdb_relation,
    "Dask": dask_frame,
}


@pytest.mark.parametrize("way", TRAINING)
@pytest.mark.filterwarnings("ignore:Dask support is moving:FutureWarning")
def test_training_data_is_the_same_in_every_form(trained: Baseline, way: str) -> None:
    with peers.library("dask").config.set(scheduler="synchronous"):
        found = build_baseline(TRAINING[way](FRAME), None, clock=lambda: 0)

    known = {item.name: item for item in trained.features}
    assert len(found.features) >= len(known) - (way == "DuckDB")
    for item in found.features:
        assert item == known[item.name]


def test_chunks_are_the_same(trained: Baseline) -> None:
    found = Baseline.from_chunks([FRAME[:100], FRAME[100:]])

    for one, other in zip(found.features, trained.features, strict=True):
        assert one == other


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support:FutureWarning")
def test_training_data_in_spark_is_the_same(trained: Baseline, spark: Any, tmp_path: Path) -> None:
    """All kinds at once, but float16, of which Spark has none, and durations, which it reads as integers."""
    FRAME.drop(columns=["float16", "duration"]).to_parquet(tmp_path / "t.parquet", index=False)
    found = build_baseline(spark.read.parquet(str(tmp_path / "t.parquet")), None, clock=lambda: 0)

    known = {item.name: item for item in trained.features if item.name not in ("float16", "duration")}
    assert [item.name for item in found.features] == list(known)
    for item in found.features:
        assert item == known[item.name]


IN_PANDAS_2 = """
import json, sys
import pandas as pd
from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from tests.integration.kinds import made

assert pd.__version__.startswith("2."), pd.__version__
path, trained = sys.argv[1], Baseline.load(sys.argv[1])
frame = made()
build_baseline(frame, None, clock=lambda: 0).dump(sys.argv[2])
found = {}
for way, features in {"frame": frame, "nullable": frame.convert_dtypes(), "records": frame.to_dict("records")}.items():
    service = ModelMonitoringService(trained, sink="none")
    service.log_prediction(features=features)
    found[way] = [item.name for item in service.drift() if item.now != item.before]
print(json.dumps(found))
"""


def test_pandas_2_says_the_same_in_training_and_live(trained: Baseline, tmp_path: Path) -> None:
    python = Path(sys.executable) if pd.__version__.startswith("2.") else peers.pandas_2_python()
    # The package that is tested, and nothing of the environment around it, in which pandas is another one.
    (tmp_path / "flask_boxkite").symlink_to(Path(flask_boxkite.__file__).parent)
    (tmp_path / "tests").symlink_to(Path(__file__).parent.parent)
    trained.dump(tmp_path / "t.prom")
    command = [str(python), "-W", "error", "-c", IN_PANDAS_2, "t.prom", "pandas2.prom"]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert Baseline.load(tmp_path / "pandas2.prom").features == trained.features
    assert json.loads(done.stdout) == {"frame": [], "nullable": [], "records": []}


# --- files -----------------------------------------------------------------------------------------------------------

FILES: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "t.parquet": lambda frame, path: frame.to_parquet(path, index=False),
    "t.csv": lambda frame, path: frame.to_csv(path, index=False),
    "t.jsonl": lambda frame, path: frame.astype({"float16": float}).to_json(
        path, orient="records", lines=True, date_format="iso", double_precision=15
    ),
    # Polars writes no durations in CSV.
    "polars.csv": lambda frame, path: pl.from_pandas(frame.astype({"duration": str})).write_csv(path),
    "polars.jsonl": lambda frame, path: pl.from_pandas(frame).write_ndjson(path),
    "dumps.jsonl": lambda frame, path: path.write_text("".join(json.dumps(row) + "\n" for row in plain_rows(frame))),
}


@pytest.mark.parametrize("file", FILES)
def test_the_command_compares_files_as_training_was_read(trained: Baseline, tmp_path: Path, file: str) -> None:
    trained.dump(tmp_path / "t.prom")
    FILES[file](FRAME, tmp_path / file)
    done = CliRunner().invoke(boxkite, ["compare", str(tmp_path / "t.prom"), str(tmp_path / file), "--format", "json"])

    assert done.exit_code == 0, done.output
    found = {item["name"]: item for item in json.loads(done.stdout)["models"][0]["drift"]["variables"]}
    assert set(found) == set(NAMES)
    assert {name: item["psi"] for name, item in found.items() if abs(item["psi"]) > 1e-12} == {}


# --- live ------------------------------------------------------------------------------------------------------------


def plain_value(value: Any) -> Any:
    """Return a value as JSON has it; a narrow float widened, as ``tolist()`` does."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (datetime, date, pd.Timedelta)):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON has them."""
    columns = {name: [plain_value(value) for value in frame[name]] for name in frame}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def texts_of(row: dict[str, Any]) -> dict[str, str]:
    """Return a row as a form has it."""
    return {name: "" if value is None else str(value) for name, value in row.items()}


DATATYPES = {"b": "BOOL", "f2": "FP16", "f4": "FP32", "f8": "FP64", "i8": "INT64"}


def tensors(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the columns as tensors of Open Inference v2; what has no datatype as BYTES."""
    found = []
    for name in frame:
        kind = frame[name].dtype
        code = kind.kind if kind.kind == "b" else f"{kind.kind}{kind.itemsize}" if hasattr(kind, "kind") else "O"
        data = [plain_value(value) for value in frame[name]]
        datatype = DATATYPES.get(code, "BYTES") if None not in data else "BYTES"
        if datatype == "BYTES":
            data = ["" if value is None else str(value) for value in data]
        found.append({"name": name, "shape": [len(frame), 1], "datatype": datatype, "data": data})
    return found


def binary_body(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what tritonclient 2.73 posts: a JSON header, raw tensors behind it, and no content type."""
    described, data = [], b""
    types = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}
    for each in tensors(frame):
        if each["datatype"] == "BYTES":
            encoded = [text.encode() for text in each["data"]]
            part = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
        else:
            part = np.array(each["data"], dtype=types[each["datatype"]]).tobytes()
        about = {name: each[name] for name in ("name", "shape", "datatype")}
        described.append({**about, "parameters": {"binary_data_size": len(part)}})
        data += part
    header = json.dumps({"inputs": described}).encode()
    return {"data": header + data, "headers": {"Inference-Header-Content-Length": str(len(header))}}


def csv_body(frame: pd.DataFrame) -> dict[str, Any]:
    text = io.StringIO()
    frame.to_csv(text, index=False)
    return {"data": text.getvalue(), "content_type": "text/csv"}


def split_of(frame: pd.DataFrame) -> dict[str, Any]:
    return {"columns": NAMES, "data": [list(row.values()) for row in plain_rows(frame)]}


BODIES: dict[str, Callable[[pd.DataFrame], list[dict[str, Any]]]] = {
    "JSON": lambda frame: [{"json": plain_rows(frame)}],
    "JSON, row by row": lambda frame: [{"json": row} for row in plain_rows(frame)],
    "JSON, lists": lambda frame: [{"json": [list(row.values()) for row in plain_rows(frame)]}],
    "JSON of texts": lambda frame: [{"json": {"instances": [texts_of(row) for row in plain_rows(frame)]}}],
    "JSON, columns": lambda frame: [{"json": {name: [row[name] for row in plain_rows(frame)] for name in NAMES}}],
    "JSON of pandas": lambda frame: [
        {
            "data": frame.astype({"float16": float}).to_json(orient="records", date_format="iso", double_precision=15),
            "content_type": "application/json",
        }
    ],
    "JSON lines": lambda frame: [
        {"data": "\n".join(map(json.dumps, plain_rows(frame))), "content_type": "application/jsonlines"}
    ],
    "CSV": lambda frame: [csv_body(frame)],
    "form": lambda frame: [{"data": texts_of(row)} for row in plain_rows(frame)],
    "MLflow": lambda frame: [{"json": {"dataframe_split": split_of(frame)}}],
    "MLflow, records": lambda frame: [{"json": {"dataframe_records": plain_rows(frame)}}],
    "Open Inference v2": lambda frame: [{"json": {"inputs": tensors(frame)}}],
    "Open Inference v2, binary": lambda frame: [binary_body(frame)],
}


@pytest.fixture
def app(trained: Baseline, tmp_path: Path) -> tuple[Flask, Boxkite]:
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=trained, BOXKITE_LOG_DIR=str(tmp_path / "records"), BOXKITE_MAX_BODY_BYTES=2**20)
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, Any]:
        return {"ok": True}

    return app, monitor


@pytest.mark.parametrize("way", BODIES)
def test_bodies_fall_where_training_put_them(app: tuple[Flask, Boxkite], tmp_path: Path, way: str) -> None:
    """Live, and read back from the records."""
    client, monitor = app[0].test_client(), app[1]
    for body in BODIES[way](FRAME):
        assert client.post("/score", **body).status_code == 200

    assert other_groups(monitor) == {}
    monitor.close()
    report = Records(tmp_path / "records").drift(app[0].config["BOXKITE_BASELINE"])
    assert other_cells(report) == {}


def as_objects(frame: pd.DataFrame) -> list[Any]:
    fields = [name.replace(" ", "_") for name in NAMES]
    kind = dataclasses.make_dataclass("Row", fields)
    return [kind(*row) for row in zip(*with_types(frame).values(), strict=True)]


OBJECTS: dict[str, Callable[[pd.DataFrame], list[Any]]] = {
    "pandas": lambda frame: [frame],
    "Polars": lambda frame: [pl.from_pandas(frame)],
    "Arrow": lambda frame: [pa.Table.from_pandas(frame, preserve_index=False)],
    "dicts of NumPy's scalars": lambda frame: [
        dict(zip(NAMES, row, strict=True)) for row in zip(*with_types(frame).values(), strict=True)
    ],
    "dicts of pandas": lambda frame: [frame.to_dict("records")],
    "dicts of Polars": lambda frame: [pl.from_pandas(frame).to_dicts()],
    "columns": lambda frame: [{name: frame[name].to_numpy() for name in frame}],
    "Arrow's own": lambda frame: [pa.Table.from_pandas(frame, preserve_index=False).to_pylist()],
}


@pytest.mark.parametrize("way", OBJECTS)
def test_objects_fall_where_training_put_them(trained: Baseline, way: str) -> None:
    service = ModelMonitoringService(trained, sink="none")
    for features in OBJECTS[way](FRAME):
        service.log_prediction(features=features)

    assert other_groups(service) == {}


def test_objects_with_fields_fall_where_training_put_them() -> None:
    frame = FRAME.rename(columns={name: name.replace(" ", "_") for name in NAMES})
    service = ModelMonitoringService(build_baseline(frame, None), sink="none")
    for row in as_objects(FRAME):
        service.log_prediction(features=row)

    assert other_groups(service, list(frame.columns)) == {}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_fall_where_training_put_them(dtype: Any) -> None:
    array = np.random.default_rng(9).normal(size=(ROWS, 3)).astype(dtype)
    array[::9, 1] = np.nan
    service = ModelMonitoringService(build_baseline(array), sink="none")
    for rows in (array, array.tolist(), list(array), array.astype(np.float64)):
        service.log_prediction(features=rows)

    for item in service.drift():
        assert item.now == tuple(4 * count for count in item.before)


@pytest.mark.parametrize(
    "values",
    [
        [b"1.0", b"2.5"],
        [b"1", b"x"],
        [b"\xff\x00", b"a"],
        [b"2024-01-01", b"2024-02-01"],
        [pd.Period("2024-01-01", "D"), pd.Period("2024-02-01", "D")],
        [pd.Period("2024-01", "M"), pd.Period("2024-02", "M")],
        [Fraction(1, 3), Fraction(2, 3), 1],
        [Decimal("0.1"), Decimal("1e3"), 0.1],
        [Grade.LOW, Grade.HIGH],
        [Level.LOW, Level.HIGH],
        [UUID(int=1), UUID(int=2)],
        [timedelta(seconds=1), 2.5],
        [2**53 + 1, 2**70],
        [np.timedelta64(1, "M"), np.timedelta64(2, "M")],
        [np.array("a"), np.array("b")],
        [True, "True", "no"],
    ],
    ids=lambda values: f"{type(values[0]).__name__} {values[0]}",
)
def test_objects_of_other_types_fall_where_training_put_them(values: list[Any]) -> None:
    column = values * 60
    service = ModelMonitoringService(build_baseline({"x": column}), sink="none")
    for features in ([{"x": value} for value in column], pd.DataFrame({"x": pd.Series(column, dtype=object)})):
        service.log_prediction(features=features)
    for value in column:
        service.log_prediction(features={"x": value})
    (item,) = service.drift()

    assert item.window_cells == tuple(3 * count for count in item.item.cells)


# --- any column ------------------------------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**70), 2**70) | st.none() | st.booleans()
TEXTS = st.text(max_size=8) | st.sampled_from(["NA", "", " x", "1.0", "true", "2024-01-31", "__rare__"]) | st.none()
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)) | st.none()
MOMENTS_AS_TEXTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda moment: f"{moment}Z") | st.none()
KINDS = (NUMBERS, TEXTS, MOMENTS, MOMENTS_AS_TEXTS)
COLUMNS = st.one_of(*(st.lists(values, min_size=30, max_size=60) for values in KINDS))


def one_by_one(service: ModelMonitoringService, values: list[Any]) -> None:
    for value in values:
        service.log_prediction(features={"x": value})


def at_once(service: ModelMonitoringService, values: list[Any]) -> None:
    service.log_prediction(features=[{"x": value} for value in values])


def as_frame(service: ModelMonitoringService, values: list[Any]) -> None:
    service.log_prediction(features=pd.DataFrame({"x": pd.Series(values, dtype=object)}))


@pytest.mark.parametrize("send", [one_by_one, at_once, as_frame])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=COLUMNS)
@example(values=[""] * 27 + ["TRUE", "true", "true"])
def test_the_rows_of_training_are_as_in_training(
    send: Callable[[ModelMonitoringService, list[Any]], None], values: list[Any]
) -> None:
    # Numbers or dates with odd texts among them are refused.
    is_text = any(isinstance(value, str) and not is_time_text(value) for value in values)
    baseline = build_baseline({"x": values}, options=BaselineOptions.of(texts=["x"] if is_text else []))
    service = ModelMonitoringService(baseline, sink="none")
    send(service, values)
    (item,) = service.drift()

    assert item.now == item.before
    assert item.verdict in ("stable", "not enough data")
