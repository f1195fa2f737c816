"""Objects with named fields are rows by name; arrays and frames of any library are read as their values."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from werkzeug.datastructures import MultiDict

from flask_boxkite import ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.payloads import as_table, found_output, output_table
from flask_boxkite.testing import RecordingSink
from flask_boxkite.values.conversion import InvalidValue, plain, to_number, to_text
from tests.payloads.test_requests import laid_out
from tests.peers import library

VALUES = {"k": 1050.0, "x": 50.0}
"""Values in another order than in training."""
BY_NAME = (("k", "x"), [[1050.0, 50.0]])


@dataclass
class Data:
    """A dataclass."""

    k: float = 1050.0
    x: float = 50.0


@dataclass
class Slotted:
    """A dataclass without a dict."""

    __slots__ = ("k", "x")
    k: float
    x: float


class Typed(NamedTuple):
    """A typed tuple."""

    k: float
    x: float


Named = namedtuple("Named", ["k", "x"])


class Attrs:
    """A class as attrs makes it, as far as it is read here."""

    __attrs_attrs__ = (Named, Data)

    def __init__(self) -> None:
        self.k, self.x = VALUES.values()


Attrs.__attrs_attrs__ = tuple(type("Attribute", (), {"name": name})() for name in VALUES)  # type: ignore[assignment]


class Indexed:
    """An object with keys and a value for each of them that is not a mapping."""

    def keys(self) -> list[str]:
        return list(VALUES)

    def __getitem__(self, name: str) -> float:
        return VALUES[name]


def sqlite_row() -> Any:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute("SELECT 1050.0 AS k, 50.0 AS x").fetchone()
    finally:
        connection.close()


def pydantic_model() -> Any:
    pydantic = pytest.importorskip("pydantic")
    model: Any = pydantic.create_model("Features", k=(float, ...), x=(float, ...))
    return model(**VALUES)


def pydantic_root() -> Any:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    return pydantic.RootModel[dict[str, float]](VALUES)


def pydantic_1_model() -> Any:
    pydantic = pytest.importorskip("pydantic.v1")
    model: Any = pydantic.create_model("Features", k=(float, ...), x=(float, ...))
    return model(**VALUES)


def attrs_class() -> Any:
    attrs = pytest.importorskip("attrs")
    return attrs.make_class("Features", list(VALUES))(**VALUES)


def msgspec_struct() -> Any:
    msgspec = pytest.importorskip("msgspec")
    return msgspec.defstruct("Features", [("k", float), ("x", float)])(**VALUES)


def spark_row() -> Any:
    return pytest.importorskip("pyspark.sql").Row(**VALUES)


def sqlalchemy_session() -> Any:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    orm = pytest.importorskip("sqlalchemy.orm")
    base: Any = orm.declarative_base()
    entity = type(
        "Entity",
        (base,),
        {
            "__tablename__": "entities",
            "k": sqlalchemy.Column(sqlalchemy.Float, primary_key=True),
            "x": sqlalchemy.Column(sqlalchemy.Float),
        },
    )
    engine = sqlalchemy.create_engine("sqlite://")
    base.metadata.create_all(engine)
    session = orm.Session(engine)
    session.add(entity(**VALUES))
    session.flush()
    return sqlalchemy, session, entity


def sqlalchemy_row() -> Any:
    sqlalchemy, session, entity = sqlalchemy_session()
    return session.execute(sqlalchemy.select(entity.k, entity.x)).first()


def sqlalchemy_entity() -> Any:
    _, session, entity = sqlalchemy_session()
    return session.get(entity, VALUES["k"])


def sqlalchemy_row_of_an_entity() -> Any:
    sqlalchemy, session, entity = sqlalchemy_session()
    return session.execute(sqlalchemy.select(entity)).first()


def django_model() -> Any:
    """Return what Django makes of a model, as far as it is read here."""
    names = [type("Field", (), {"attname": name})() for name in VALUES]
    model = type("Model", (), {"_meta": type("Options", (), {"concrete_fields": names})})()
    model.__dict__.update(VALUES, _state=object())
    return model


OBJECTS: dict[str, Callable[[], Any]] = {
    "dataclass": Data,
    "slotted dataclass": lambda: Slotted(**VALUES),
    "named tuple": lambda: Named(**VALUES),
    "typed named tuple": lambda: Typed(**VALUES),
    "itertuples": lambda: next(pd.DataFrame([VALUES]).itertuples(index=False)),
    "mapping-like": Indexed,
    "sqlite3": sqlite_row,
    "MultiDict": lambda: MultiDict(VALUES),
    "row of a pandas frame": lambda: pd.DataFrame([VALUES]).iloc[0],
    "pydantic": pydantic_model,
    "pydantic root model": pydantic_root,
    "pydantic 1": pydantic_1_model,
    "attrs": attrs_class,
    "attrs' marks": Attrs,
    "msgspec": msgspec_struct,
    "PySpark": spark_row,
    "SQLAlchemy row": sqlalchemy_row,
    "SQLAlchemy entity": sqlalchemy_entity,
    "SQLAlchemy row of an entity": sqlalchemy_row_of_an_entity,
    "Django": django_model,
}


# SQLAlchemy's pool is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_a_row_by_name(make: Callable[[], Any]) -> None:
    value = make()

    assert laid_out(as_table(value)) == BY_NAME
    if not isinstance(value, pd.Series):
        assert laid_out(as_table([value, value])) == (("k", "x"), [[1050.0, 50.0]] * 2)
        assert plain(value) == plain({"row": value})["row"] == VALUES or isinstance(value, MultiDict)


def logged(features: Any, output: Any = 0.5) -> tuple[dict[str, Any], str]:
    """Return the record of a prediction, and what is counted."""
    columns = {"x": [float(i) for i in range(100)], "k": [1000.0 + i for i in range(100)]}
    baseline = build_baseline(columns, [i / 100 for i in range(100)])
    sink = RecordingSink()
    service = ModelMonitoringService(baseline, sink=sink)
    service.log_prediction(features=features, output=output)
    (record,) = sink.wait_for(1)
    service.close()
    lines = service.export_http()[0].decode().splitlines()
    prefixes = ("boxkite_feature_group_total", "boxkite_inference_group_total", "boxkite_capture_errors_total")
    return record, "\n".join(line for line in lines if line.startswith(prefixes) and not line.endswith(" 0"))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_counted_and_recorded_as_its_fields(make: Callable[[], Any]) -> None:
    record, counted = logged(make())

    assert record["features"] == VALUES
    assert counted == logged(VALUES)[1]
    assert "capture_errors" not in counted


@dataclass
class Said:
    """An answer."""

    output: Any
    why: Any = field(default_factory=lambda: Named(1, 2))


def test_an_object_as_output_is_counted_and_recorded_by_name() -> None:
    record, counted = logged(VALUES, Said(0.5))

    assert record["output"] == {"output": 0.5, "why": {"k": 1, "x": 2}}
    assert counted == logged(VALUES)[1]


class Thing:
    """Nothing that says what it holds."""


class Broken:
    """Something whose fields cannot be read."""

    __struct_fields__ = ("k",)

    @property
    def k(self) -> float:
        raise RuntimeError("no")


class BrokenArray:
    """An array that cannot be read."""

    def __array__(self) -> Any:
        raise RuntimeError("no")


class BrokenStream:
    """Columns of Arrow that their library cannot export."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        raise RuntimeError("no")


UNREADABLE = [
    Thing(),
    BrokenStream(),
    [BrokenStream()],
    [Thing()],
    Broken(),
    [Broken()],
    BrokenArray(),
    [BrokenArray()],
    Thing,
    Data,
    len,
    iter([1]),
]


@pytest.mark.parametrize("value", UNREADABLE, ids=lambda value: str(value).split(" at ")[0])
def test_what_cannot_be_read_is_a_capture_error_and_no_value(value: Any) -> None:
    assert as_table(value) is None
    for features, output, side in ((value, 0.5, "features"), (VALUES, value, "output")):
        record, counted = logged(features, output)
        assert f'reason="{side}"}} 1' in counted
        assert "__invalid__" not in counted
        assert " at 0x" not in json.dumps(record)


def test_a_field_that_is_no_value_is_invalid_in_its_place() -> None:
    record, counted = logged({**VALUES, "k": Thing()})

    assert 'feature="k",group="__invalid__"' in counted
    assert "capture_errors" not in counted
    assert " at 0x" not in json.dumps(record)


@pytest.mark.parametrize("renamed", [["a b", "x"], ["x", "class"]])
def test_a_row_of_itertuples_whose_names_are_lost_is_known_by_position(renamed: list[str]) -> None:
    row = next(pd.DataFrame([[1.0, 2.0]], columns=renamed).itertuples(index=False))

    assert laid_out(as_table(row)) == (None, [[1.0, 2.0]])
    assert laid_out(as_table([row])) == (None, [[1.0, 2.0]])


def test_a_spark_row_without_names_is_known_by_position() -> None:
    row = pytest.importorskip("pyspark.sql").Row(1.0, 2.0)

    assert laid_out(as_table(row)) == (None, [[1.0, 2.0]])


def test_a_field_that_a_pydantic_model_leaves_out_is_not_recorded() -> None:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    model: Any = pydantic.create_model("Features", k=(float, ...), secret=(str, pydantic.Field(exclude=True)))

    assert plain(model(k=1.0, secret="s")) == {"k": 1.0}


# --- names of fields -------------------------------------------------------------------------------------------------


def pydantic_aliases() -> Any:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    fields = {"k_": (float, pydantic.Field(alias="k")), "x": (float, ...), "more": (float, 0.0)}
    return pydantic.create_model("Features", **fields)(**VALUES)


def pydantic_serialization_aliases() -> Any:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    fields = {"k_": (float, pydantic.Field(serialization_alias="k")), "x": (float, ...)}
    return pydantic.create_model("Features", **fields)(k_=VALUES["k"], x=VALUES["x"])


def pydantic_choices() -> Any:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    choices = pydantic.AliasChoices(pydantic.AliasPath("nested", 0), "kay", "k")
    fields = {"k_": (float, pydantic.Field(validation_alias=choices)), "x": (float, ...)}
    return pydantic.create_model("Features", **fields)(**VALUES)


def pydantic_path() -> Any:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    path = pydantic.AliasPath("k", 0)
    fields = {"k_": (float, pydantic.Field(validation_alias=path, serialization_alias="k")), "x": (float, ...)}
    return pydantic.create_model("Features", **fields)(k=[VALUES["k"]], x=VALUES["x"])


def pydantic_dataclass() -> Any:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    dataclasses = pytest.importorskip("pydantic.dataclasses")

    class Features:
        k_: float = pydantic.Field(alias="k")
        x: float = pydantic.Field()

    Features.__annotations__ = {"k_": float, "x": float}
    return dataclasses.dataclass(Features)(**VALUES)


def pydantic_1_aliases() -> Any:
    pydantic = pytest.importorskip("pydantic.v1")
    model: Any = pydantic.create_model("Features", k_=(float, pydantic.Field(..., alias="k")), x=(float, ...))
    return model(**VALUES)


def msgspec_rename() -> Any:
    msgspec = pytest.importorskip("msgspec")
    fields = [("k_", float, msgspec.field(name="k")), ("x", float)]
    return msgspec.defstruct("Features", fields)(k_=VALUES["k"], x=VALUES["x"])


def sqlalchemy_column() -> Any:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    base: Any = pytest.importorskip("sqlalchemy.orm").declarative_base()
    columns = {
        "k_": sqlalchemy.Column("k", sqlalchemy.Float, primary_key=True),
        "x": sqlalchemy.Column(sqlalchemy.Float),
    }
    return type("Entity", (base,), {"__tablename__": "entities", **columns})(k_=VALUES["k"], x=VALUES["x"])


def django_column() -> Any:
    columns = {"k_": "k", "x": "x"}
    fields = [type("Field", (), {"attname": name, "column": column})() for name, column in columns.items()]
    model = type("Model", (), {"_meta": type("Options", (), {"concrete_fields": fields})})()
    model.__dict__.update(k_=VALUES["k"], x=VALUES["x"])
    return model


ALIASES: dict[str, Callable[[], Any]] = {
    "pydantic": pydantic_aliases,
    "pydantic, serialization": pydantic_serialization_aliases,
    "pydantic, choices": pydantic_choices,
    "pydantic, path": pydantic_path,
    "pydantic dataclass": pydantic_dataclass,
    "pydantic 1": pydantic_1_aliases,
    "msgspec": msgspec_rename,
    "SQLAlchemy": sqlalchemy_column,
    "Django": django_column,
}


@pytest.mark.parametrize("make", ALIASES.values(), ids=ALIASES)
def test_a_field_comes_under_the_name_that_the_baseline_has(make: Callable[[], Any]) -> None:
    """Its own, or its alias: training data may have had either."""
    value = make()

    for names, known in ((("k", "x"), {"k", "x"}), (("k_", "x"), {"k_", "x"}), (("k_", "x"), {"k", "k_", "x"})):
        for table in (as_table(value, known), as_table([value], known)):
            assert table is not None
            assert table.names is not None
            assert (
                dict(zip(table.names, table.rows[0], strict=True)).items()
                >= dict(zip(names, VALUES.values(), strict=True)).items()
            )
    assert as_table(value).names[:2] == ("k_", "x")  # type: ignore[index,union-attr]


def test_an_object_with_aliases_is_counted_and_recorded_by_the_names_of_training() -> None:
    record, counts = logged(pydantic_aliases())
    assert record["features"] == {**VALUES, "more": 0.0}
    assert 'feature="k"' in counts
    assert "__missing__" not in counts


def test_an_answer_with_aliases_is_an_output_by_the_names_of_training() -> None:
    pydantic = pytest.importorskip("pydantic", minversion="2")
    model = pydantic.create_model("Answer", no_=(float, pydantic.Field(alias="no")), yes=(float, ...))
    answer, names = model(no=0.25, yes=0.75), ("no", "yes")

    assert found_output(answer, names) == {"no": 0.25, "yes": 0.75}
    assert laid_out(output_table([answer], names, 1)) == (names, [[0.25, 0.75]])


# --- arrays and frames -----------------------------------------------------------------------------------------------

SINGLE = np.array([[0.1, 0.5], [0.7, 1.5]], dtype=np.float32)


class ByArray:
    """An array with NumPy's interface."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.values

    def tolist(self) -> Any:
        """Widen, as most libraries do."""
        return self.values.astype(np.float64).tolist()


class ByDlpack:
    """An array with DLPack's interface, and none of NumPy's."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


class ByTorch(ByDlpack):
    """A tensor that has a gradient: NumPy may not look at it."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("Can't export tensors that require gradient.")

    def detach(self) -> ByTorch:
        return self

    def cpu(self) -> ByTorch:
        return self

    def numpy(self) -> Any:
        return self.values


BFLOAT16_TENTH = 0.10009765625
"""The bfloat16 that is nearest to 0.1."""


class ByTorchBfloat16(ByTorch):
    """A tensor of a type that NumPy lacks."""

    def numpy(self) -> Any:
        raise TypeError("Got unsupported ScalarType BFloat16")

    def double(self) -> ByTorch:
        return ByTorch(self.values.astype(np.float64))


class Stream:
    """A frame or a column with Arrow's interface only."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._inner.__arrow_c_stream__(requested_schema)


class Capsule:
    """A batch or an array with Arrow's other interface only."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self._inner.__arrow_c_array__(requested_schema)


def jax_array() -> Any:
    return pytest.importorskip("jax.numpy").asarray(SINGLE)


MATRICES: dict[str, Callable[[], Any]] = {
    "__array__": lambda: ByArray(SINGLE),
    "__dlpack__": lambda: ByDlpack(SINGLE),
    "PyTorch": lambda: ByTorch(SINGLE),
    "JAX": jax_array,
}


@pytest.mark.parametrize("make", MATRICES.values(), ids=MATRICES)
def test_arrays_of_other_libraries_are_read_as_numpys(make: Callable[[], Any]) -> None:
    kind: Any = type(make())
    build = kind if kind.__module__ == __name__ else (lambda values: pytest.importorskip("jax.numpy").asarray(values))

    for value, expected in (
        (build(SINGLE), SINGLE.tolist()),
        ([build(SINGLE[0]), build(SINGLE[1])], SINGLE.tolist()),
        (build(SINGLE[0]), SINGLE[:1].tolist()),
        ([build(SINGLE[0, 0]), build(SINGLE[0, 1])], SINGLE[:1].tolist()),
        ({"k": build(SINGLE[:, 0]), "x": build(SINGLE[:, 1:])}, SINGLE.tolist()),
        ({"k": build(SINGLE[0, 0]), "x": build(SINGLE[0, 1])}, None),
    ):
        table = as_table(value)
        assert table is not None
        if expected is not None:
            assert [list(map(float, row)) for row in table.rows] == expected
        content = plain(table.content())
        assert "0.1," in json.dumps(content), "by its shortest decimals"
    assert to_number(build(SINGLE[0, 0])) == 0.1
    assert to_text(build(SINGLE[0, 0])) == "0.1"
    with pytest.raises(InvalidValue):
        to_number(build(SINGLE))


def test_a_bfloat16_tensor_is_read() -> None:
    values = np.array([BFLOAT16_TENTH, 1.5], dtype=np.float32)
    assert laid_out(as_table(ByTorchBfloat16(values))) == (None, [[BFLOAT16_TENTH, 1.5]])


def test_a_bfloat16_is_the_number_that_it_is_exactly() -> None:
    """Training, ``float()`` and ``tolist()`` give the same number."""
    array = np.array([0.1, 1.5], dtype=library("ml_dtypes").bfloat16)
    for value in (array, list(array), array.tolist()):
        table = as_table(value)
        assert table is not None
        assert [to_number(item) for item in table.rows[0]] == [BFLOAT16_TENTH, 1.5]
    (trained,) = build_baseline({"x": np.repeat(array, 50)}).features
    assert trained.values == (BFLOAT16_TENTH, 1.5)  # type: ignore[union-attr]


COLUMNS = {"k": [0.1, 0.7], "x": ["a", None]}
SCHEMA = pa.schema({"k": pa.float32(), "x": pa.string()})

FRAMES: dict[str, Callable[[], Any]] = {
    "Polars": lambda: pl.DataFrame(COLUMNS, schema={"k": pl.Float32, "x": pl.String}),
    "Arrow": lambda: pa.table(COLUMNS, schema=SCHEMA),
    "Arrow batch": lambda: pa.record_batch(COLUMNS, schema=SCHEMA),
    "pandas": lambda: pd.DataFrame(COLUMNS).astype({"k": "float32"}),
    "pandas' own types": lambda: pd.DataFrame(COLUMNS).convert_dtypes().astype({"k": "Float32"}),
    "pandas over Arrow": lambda: pa.table(COLUMNS, schema=SCHEMA).to_pandas(types_mapper=pd.ArrowDtype),
    "Arrow's stream": lambda: Stream(pa.table(COLUMNS, schema=SCHEMA)),
    "Arrow's capsule": lambda: Capsule(pa.record_batch(COLUMNS, schema=SCHEMA)),
    "nanoarrow": lambda: pytest.importorskip("nanoarrow").ArrayStream(pa.table(COLUMNS, schema=SCHEMA)),
    "DuckDB": lambda: pytest.importorskip("duckdb").sql(
        "SELECT * FROM (VALUES (0.1::FLOAT, 'a'), (0.7::FLOAT, NULL)) AS t(k, x)"
    ),
    "narwhals": lambda: pytest.importorskip("narwhals").from_native(pa.table(COLUMNS, schema=SCHEMA)),
    "columns": lambda: {"k": pd.Series(COLUMNS["k"], dtype="float32"), "x": pl.Series(COLUMNS["x"])},
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_frames_keep_the_decimals_of_single_precision(make: Callable[[], Any]) -> None:
    table = as_table(make())

    assert table is not None
    assert table.names == ("k", "x")
    assert plain(table.content()) == [{"k": 0.1, "x": "a"}, {"k": 0.7, "x": None}]


@pytest.mark.parametrize("make", [*FRAMES.values()][:-1], ids=[*FRAMES][:-1])
def test_a_frame_in_plain_values_is_its_rows(make: Callable[[], Any]) -> None:
    frame = make()
    native = frame.to_native() if hasattr(frame, "to_native") else frame

    assert plain(native) == [{"k": 0.1, "x": "a"}, {"k": 0.7, "x": None}]


@pytest.mark.parametrize(
    "value",
    [
        Stream(pa.chunked_array([[1.5, 2.5]])),
        Capsule(pa.array([1.5, 2.5])),
        pa.array([1.5, 2.5]),
        pa.chunked_array([[1.5], [2.5]]),
        pl.Series([1.5, 2.5]),
    ],
    ids=["stream", "capsule", "Arrow", "chunks", "Polars"],
)
def test_a_column_is_one_row(value: Any) -> None:
    assert laid_out(as_table(value)) == (None, [[1.5, 2.5]])


@pytest.mark.parametrize(
    "value",
    [
        [np.zeros((3, 1)), np.zeros((3, 1))],
        [np.zeros((3, 2)), np.zeros((3, 2))],
        {},
    ],
    ids=["columns without names", "heads", "nothing"],
)
def test_arrays_without_names_are_no_columns(value: Any) -> None:
    assert as_table(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"k": [1.0, 2.0], "x": [3.0, 4.0]}, (("k", "x"), [[1.0, 3.0], [2.0, 4.0]])),
        ({"k": np.array([[1.0], [2.0]]), "x": np.array([3.0, 4.0])}, (("k", "x"), [[1.0, 3.0], [2.0, 4.0]])),
        ({"k": [1.0, 2.0], "x": [3.0]}, (("k", "x"), [[[1.0, 2.0], [3.0]]])),
        ({"k": [1.0], "x": 3.0}, (("k", "x"), [[[1.0], 3.0]])),
        ({"k": {"0": 1.0, "1": 2.0}, "x": {"0": 3.0, "1": 4.0}}, (("k", "x"), [[1.0, 3.0], [2.0, 4.0]])),
        ({"k": {"0": 1.0}, "x": {"1": 3.0}}, (("k", "x"), [[{"0": 1.0}, {"1": 3.0}]])),
    ],
    ids=["lists", "arrays", "lengths", "a value", "by index", "other index"],
)
def test_columns_by_name(value: Any, expected: Any) -> None:
    assert laid_out(as_table(value)) == expected


FLOATS = pa.list_(pa.float32())


@pytest.mark.parametrize(
    "value",
    [
        array("f", [0.1, 0.7]),
        memoryview(array("f", [0.1, 0.7])),
        pa.scalar([0.1, 0.7], FLOATS),
        [pa.scalar(0.1, pa.float32()), pa.scalar(0.7, pa.float32())],
        [array("f", [0.1, 0.7])],
        [pa.scalar([0.1, 0.7], FLOATS)],
    ],
    ids=["array", "view", "Arrow list", "Arrow values", "row", "Arrow row"],
)
def test_numbers_of_python_and_arrow_are_read_where_a_list_is(value: Any) -> None:
    table = as_table(value)
    assert table is not None
    assert [to_number(item) for item in table.rows[0]] == [0.1, 0.7]

    names = ("low", "high")
    output = output_table(found_output(value, names, [], 1), names, 1)
    assert output is not None
    assert [to_number(item) for item in output.rows[0]] == [0.1, 0.7]
    assert plain(value) in ([0.1, 0.7], [[0.1, 0.7]])


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        (pa.scalar(0.1, pa.float32()), 0.1, "0.1"),
        (pa.scalar(True), 1.0, "true"),
        (pa.scalar(Decimal("1.5")), 1.5, "1.5"),
        (pa.scalar(timedelta(seconds=3)), 3.0, "3.0"),
        (pa.scalar("7"), 7.0, "7"),
    ],
    ids=["float32", "boolean", "decimal", "duration", "text"],
)
def test_a_value_of_arrow_is_its_content(value: Any, number: float, text: str) -> None:
    assert (to_number(value), to_text(value)) == (number, text)
    output = output_table(found_output(value, ("output",), [], 1), ("output",), 1)
    assert output is not None
    assert to_number(output.rows[0][0]) == number


def test_a_view_of_bytes_is_one_value() -> None:
    assert plain(memoryview(b"Oslo")) == to_text(memoryview(b"Oslo")) == "Oslo"
    assert laid_out(as_table({"k": 1.0, "x": memoryview(b"Oslo")})) == (("k", "x"), [[1.0, memoryview(b"Oslo")]])


@pytest.mark.parametrize("holder", [ByArray, ByDlpack, ByTorch, ByTorchBfloat16], ids=lambda kind: kind.__name__)
def test_training_reads_arrays_of_others_as_serving_does(holder: Any, rng: np.random.Generator) -> None:
    rows = rng.normal(size=(200, 2))
    build = partial(build_baseline, clock=lambda: 0.0)
    expected = build(rows, rows[:, 0])

    assert build(holder(rows), holder(rows[:, 0])) == expected
    columns = {f"feature_{place}": holder(rows[:, place]) for place in range(2)}
    assert build(columns, holder(rows[:, 0])) == expected
