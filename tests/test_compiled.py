"""Each compiled twin does what its class in Python does."""

from __future__ import annotations

import array
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite import compiled as compiled_part
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.compiled import native
from flask_boxkite.live.batches import BatchCounter, Batches, CompiledBatches, _of_type
from flask_boxkite.live.cells import Cells, cells_of
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.process_counts import Raiser
from flask_boxkite.live.row_cells import RowCells
from flask_boxkite.sinks import packing
from flask_boxkite.values.conversion import plain
from flask_boxkite.values.rowhash import MISSING_TEXT
from tests.baseline.strategies import continuous, discrete
from tests.peers import missing


@pytest.fixture(autouse=True, scope="module")
def compiled() -> None:
    if native is None:
        missing("The compiled part of the package")


def test_a_module_of_another_version_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert compiled_part._native() is native
    assert compiled_part._native(state=native.STATE + 1) is None
    assert "Install flask-boxkite again" in caplog.text


# --- Rows -----------------------------------------------------------------------------------------------------------

X = Continuous("x", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0))
SINGLE = Continuous("s", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0), width=32)
HALF = Continuous("h", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0), width=16)
DAY = Continuous("d", (0.0, 86400.0), (0, 0, 0), (0.0, 86400.0), is_time=True)
NUMBER = Discrete("n", ("1.0", "2.5", "0.0"), (3, 2, 1))
RARE = Discrete("r", ("1.0", "2.5"), (3, 2), rare=2)
TEXT = Discrete("t", ("red", "1", "true", "1.0", '""', "né"), (5, 4, 3, 2, 1, 1))
GAPS = Discrete("g", ("red", "?"), (5, 4), missing_texts=frozenset({"?", "none"}))
KINDS: list[Distribution] = [X, SINGLE, HALF, DAY, NUMBER, RARE, TEXT, GAPS]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.floats(width=32),
    st.integers(-3, 11),
    st.integers(-(2**70), 2**70),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([0.0, -0.0, 0.1, 0.7, 2.5, 1e39, 10**400, -(2**63), 2**63, float("nan"), float("inf")]),
    st.sampled_from(["red", "1", "true", " red", "?", "none", "", "TRUE", "né", "1970-01-02", "\ud800", "0.1"]),
    st.sampled_from([np.float32(0.1), np.float64(0.1), np.int8(1), np.str_("red"), np.bool_(True)]),
)


def laid_out(variables: Sequence[Distribution]) -> list[Cells]:
    """Return the cells of variables, one after the other."""
    offset, cells = 3, []
    for variable in variables:
        cells.append(cells_of(variable, offset))
        offset += len(variable.cells)
    return cells


def check_row(variables: Sequence[Distribution], row: list[Any], buckets: int | None) -> None:
    cells = laid_out(variables)
    python, compiled = Increments([7]), Increments([7])
    knows = [
        RowCells(cells, buckets, keeps_interpreter=True).count(row, python),
        native.RowCells(cells, buckets, MISSING_TEXT).count(row, compiled),
    ]
    assert compiled.cells == python.cells
    if any(knows):
        assert plain(row) == row


@given(st.lists(st.sampled_from(KINDS) | discrete() | continuous(), min_size=1, max_size=12), st.data())
def test_a_row_has_the_same_cells(variables: list[Distribution], data: st.DataObject) -> None:
    row = data.draw(st.lists(VALUES, min_size=len(variables), max_size=len(variables)))
    check_row(variables, row, data.draw(st.none() | st.just(1000)))


@pytest.mark.parametrize("variable", KINDS, ids=lambda variable: variable.name)
def test_each_value_has_the_same_cell(variable: Distribution) -> None:
    for value in [None, True, -1, 0, 1, 0.1, 0.7, 2.5, 10, 10.1, "red", "x", 2**80, 1e39, float("nan"), float("-inf")]:
        check_row([variable], [value], 1000)


@pytest.mark.parametrize("kind", [tuple, list, np.array])
def test_a_row_may_be_any_sequence(kind: Callable[[Any], Any]) -> None:
    increments = Increments()
    assert native.RowCells(laid_out([X, X]), None, MISSING_TEXT).count(kind([0.5, 20.0]), increments) in (True, False)
    assert increments.cells == [5, 14]


def test_a_row_of_another_length_is_refused() -> None:
    increments = Increments()
    with pytest.raises(ValueError, match="another number of values"):
        native.RowCells(laid_out([X, X]), None, MISSING_TEXT).count((1.0,), increments)
    assert increments.cells == []


# --- Batches --------------------------------------------------------------------------------------------------------

NUMERIC = [X, SINGLE, HALF, NUMBER, RARE]
EDGES = [
    0.0,
    -0.0,
    0.1,
    0.7,
    2.5,
    1.0,
    5e-324,
    1e39,
    -1e300,
    65504.0,
    2.0**53 + 2,
    math.nan,
    -math.nan,
    math.inf,
    -math.inf,
]
DTYPES = ["f2", "f4", "f8", ">f8", "i1", "i8", "u8", "?"]


def both_batches(variables: Sequence[Distribution], buckets: int | None) -> list[BatchCounter]:
    """Return the counter with NumPy, and the compiled one."""
    cells = laid_out(variables)
    numpy = Batches(cells, 2000, buckets)
    return [numpy, CompiledBatches(numpy, cells, 2000, buckets)]


def check_batch(variables: Sequence[Distribution], rows: Any, buckets: int | None) -> None:
    numpy, compiled = both_batches(variables, buckets)
    (expected, _), (block, is_plain) = numpy.count(rows), compiled.count(rows)
    assert block.tolist() == expected.tolist()
    if is_plain:
        assert all(plain(list(row)) == list(row) for row in rows)

    for more in (0, 1):
        located = numpy.locate(rows, with_buckets=bool(more))
        found = np.full((len(rows), len(variables) + more), -1, dtype=np.int32)
        assert compiled.count(rows, found)[0].tolist() == expected.tolist()
        assert found.tolist() == compiled.locate(rows, with_buckets=bool(more)).tolist() == located.tolist()
        if isinstance(rows, np.ndarray) and rows.dtype == np.float64 and all(item in NUMERIC for item in variables):
            for counter in (numpy, compiled):
                found[:] = -1
                assert counter.count_columns(list(rows.T), found).tolist() == expected.tolist()
                assert found.tolist() == located.tolist()


@given(st.lists(st.sampled_from(KINDS) | discrete() | continuous(), min_size=1, max_size=6), st.data())
def test_lists_of_rows_have_the_same_cells(variables: list[Distribution], data: st.DataObject) -> None:
    values = data.draw(st.sampled_from([VALUES, st.floats(), st.floats() | st.none() | st.integers(-3, 2**70)]))
    rows = data.draw(
        st.lists(st.lists(values, min_size=len(variables), max_size=len(variables)), min_size=1, max_size=20)
    )
    kind = data.draw(st.sampled_from([list, tuple]))
    check_batch(variables, [kind(row) for row in rows], data.draw(st.none() | st.just(1000)))


@given(st.lists(st.sampled_from(NUMERIC) | continuous(), min_size=1, max_size=6), st.data())
def test_arrays_have_the_same_cells(variables: list[Distribution], data: st.DataObject) -> None:
    bounds = [bound for item in variables if isinstance(item, Continuous) for bound in item.upper_bounds]
    near = [math.nextafter(bound, end) for bound in bounds for end in (-math.inf, math.inf)]
    values = st.sampled_from([*EDGES, *bounds, *near]) | st.floats()
    rows = data.draw(st.lists(st.lists(values, min_size=len(variables), max_size=len(variables)), max_size=20))
    with np.errstate(all="ignore"):
        array = np.array(rows, dtype="f8").reshape(-1, len(variables)).astype(data.draw(st.sampled_from(DTYPES)))
    order = data.draw(st.sampled_from("CF"))
    check_batch(variables, np.array(array, order=order), data.draw(st.none() | st.just(1000)))


def test_a_long_batch_lets_other_threads_run_and_counts_all() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40_000, 2))
    check_batch([X, NUMBER], rows, 1000)
    check_batch([X, NUMBER], rows.tolist(), 1000)


@pytest.mark.parametrize("number", [1, 255, 256, 257, 513])
def test_rows_that_are_counted_in_several_turns_have_the_same_cells(number: int) -> None:
    rows = np.random.default_rng(1).standard_normal((number, 3))
    check_batch([X, NUMBER, RARE], rows, 1000)
    check_batch([X, NUMBER, RARE], rows, None)


def test_integers_beside_a_narrow_variable_have_the_same_cells_as_texts() -> None:
    rows = np.arange(24, dtype=np.int64).reshape(-1, 2) % 3
    for kind in (rows, rows.astype(bool)):
        check_batch([SINGLE, TEXT], kind, 1000)
        numpy, _ = both_batches([SINGLE, TEXT], 1000)
        assert numpy.count(kind)[0].tolist() == numpy.count(kind.tolist())[0].tolist()
        located = numpy.locate(kind.tolist(), with_buckets=True)
        assert numpy.locate(kind, with_buckets=True).tolist() == located.tolist()


def test_an_array_with_texts_is_counted_with_numpy() -> None:
    check_batch([X, TEXT, DAY], np.ones((30, 3)), 1000)
    check_batch([X, X], np.array([[0.5, "x"]] * 30, dtype=object), 1000)


@pytest.mark.parametrize("rows", [[[1.0, 1.0], [1.0]], [[1.0, 1.0], [1.0, 1.0, 1.0]]], ids=["short", "long"])
def test_rows_of_another_length_are_refused(rows: list[list[float]]) -> None:
    for counter in both_batches([X, X], None):
        with pytest.raises(ValueError, match=r"reshape|number of values"):
            counter.count(rows)


def test_a_row_that_is_shortened_while_it_is_read_is_refused() -> None:
    row: list[Any] = [None, 1.0, 1.0]

    class Shortening:
        def __str__(self) -> str:
            row.clear()
            return "x"

    row[0] = Shortening()
    with pytest.raises(IndexError):
        native.RowCells(laid_out([TEXT, X, X]), None, MISSING_TEXT).count_rows([row], np.zeros(100, dtype=np.int64))


@pytest.mark.parametrize("change", [lambda rows: rows.append([1.0, 1.0, 1.0]), lambda rows: rows.pop()])
def test_rows_whose_number_changes_while_they_are_read_are_refused(change: Callable[[list[Any]], Any]) -> None:
    rows: list[list[Any]] = [[None, 1.0, 1.0], [1.0, 1.0, 1.0]]

    class Changing:
        def __str__(self) -> str:
            change(rows)
            return "x"

    rows[0][0] = Changing()
    counter = native.RowCells(laid_out([TEXT, X, X]), None, MISSING_TEXT)
    with pytest.raises(IndexError):
        counter.count_rows(rows, np.zeros(100, dtype=np.int64), np.empty((2, 3), dtype=np.int32))


@pytest.mark.parametrize("columns", [[np.zeros(3)], [np.zeros(3), np.zeros(2)], [np.zeros(3), np.zeros(3, dtype="f4")]])
def test_columns_that_are_no_rows_are_refused(columns: list[NDArray[Any]]) -> None:
    counter = native.ArrayRows([_of_type(cells, np.dtype("f8")) for cells in laid_out([X, X])], None)
    with pytest.raises(ValueError, match=r"number of values|lengths|mismatch"):
        counter.count_columns(columns, np.zeros(100, dtype=np.int64))


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 4), (0, 2)])
def test_cells_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    located, block = np.empty(shape, dtype=np.int32), np.zeros(100, dtype=np.int64)
    cells = laid_out([X, X])
    with pytest.raises(ValueError, match="shape"):
        native.ArrayRows([_of_type(item, np.dtype("f8")) for item in cells], None).count(
            np.ones((2, 2)), block, located
        )
    with pytest.raises(ValueError, match="shape"):
        native.RowCells(cells, None, MISSING_TEXT).count_rows([[1.0, 1.0]] * 2, block, located)
    assert not block.any()


@pytest.mark.parametrize(
    ("rows", "size"),
    [(np.zeros((1, 1)), 100), (np.zeros((1, 2), dtype=np.int8), 100), (np.zeros(2), 100), (np.zeros((1, 2)), 4)],
    ids=["width", "type", "shape", "cells"],
)
def test_memory_of_another_shape_is_refused(rows: NDArray[Any], size: int) -> None:
    counter = native.ArrayRows([_of_type(cells, np.dtype("f8")) for cells in laid_out([X, X])], None)
    with pytest.raises((ValueError, IndexError)):
        counter.count(rows, np.zeros(size, dtype=np.int64))


# --- Cells ----------------------------------------------------------------------------------------------------------


def increments(draw: st.DrawFn) -> Increments:
    """Draw increments of ten cells and four sums."""
    cell = st.integers(0, 9)
    made = Increments(draw(st.lists(cell)))
    made.amounts = draw(st.lists(st.tuples(cell, st.integers(-(2**40), 2**40))))
    made.wide = draw(st.none() | st.lists(cell, unique=True).map(lambda cells: np.array(cells, dtype=np.intp)))
    made.block = draw(st.none() | st.lists(cell, min_size=10, max_size=10).map(np.array))
    made.sums = draw(st.lists(st.tuples(st.integers(0, 3), st.floats(allow_nan=False))))
    return made


def raised(kind: Callable[..., Any], made: Increments) -> list[Any]:
    """Return the counts and sums after *made* was added to some."""
    cells, sums = array.array("q", range(10)), array.array("d", [0.0, 1.0, 2.0, 3.0])
    counts = np.frombuffer(cells, dtype=np.int64)
    kind(memoryview(cells), memoryview(sums), counts)(made)
    return [cells.tolist(), sums.tolist()]


@given(st.composite(increments)())
def test_increments_are_added_alike(made: Increments) -> None:
    assert repr(raised(native.Raiser, made)) == repr(raised(Raiser, made))


@pytest.mark.parametrize("cell", [-1, 10, 2**62])
@pytest.mark.parametrize("field", ["cells", "amounts", "sums"])
def test_a_cell_beyond_the_memory_is_refused(cell: int, field: str) -> None:
    counts, sums = array.array("q", range(10)), array.array("d", range(10))
    made = Increments()
    setattr(made, field, [cell] if field == "cells" else [(cell, 1)])
    with pytest.raises(IndexError):
        native.Raiser(counts, sums, np.zeros(10, dtype=np.int64))(made)
    assert (counts, sums) == (array.array("q", range(10)), array.array("d", range(10)))


def test_memory_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(BufferError):
        native.Raiser(bytes(80), array.array("d"), np.zeros(10, dtype=np.int64))


# --- MessagePack ----------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    lambda values: st.lists(values, max_size=20) | st.dictionaries(st.text(max_size=3), values, max_size=20),
    max_leaves=60,
)
AROUND = [sign * 2**power + offset for power in range(65) for sign in (1, -1) for offset in (-1, 0, 1)]


def check_packed(value: Any) -> None:
    assert native.Packer().pack(value) == msgpack.packb(value)


@given(JSON)
@example({"a": [1, {"b": None}], "c": "é" * 31})
def test_values_are_packed_as_msgpack_does(value: Any) -> None:
    try:
        expected = msgpack.packb(value)
    except UnicodeEncodeError:  # a key with a lone surrogate
        with pytest.raises(UnicodeEncodeError):
            native.Packer().pack(value)
    else:
        assert native.Packer().pack(value) == expected


def test_integers_of_all_widths_are_packed_alike() -> None:
    check_packed([number for number in AROUND if -(2**63) <= number < 2**64])


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65535, 65536, 2_000_000])
def test_sizes_of_all_widths_are_packed_alike(size: int) -> None:
    check_packed("x" * size)
    check_packed([None] * size)
    check_packed(dict.fromkeys(range(size)))


def nested(depth: int) -> Any:
    """Return a list in a list, so many deep."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**64, OverflowError),
        (-(2**63) - 1, OverflowError),
        ("\ud800", UnicodeEncodeError),
        ({"a": np.float64(1)}, TypeError),
        (object(), TypeError),
        (nested(600), ValueError),
    ],
    ids=["wide", "wide and negative", "surrogate", "subclass", "object", "deep"],
)
def test_other_values_are_refused_and_leave_nothing_behind(value: Any, error: type[Exception]) -> None:
    packer = native.Packer()
    with pytest.raises(error):
        packer.pack(["before", value])
    assert packer.pack(1.5) == struct.pack(">Bd", 0xCB, 1.5)


def test_a_head_stands_before_the_value() -> None:
    assert native.Packer().pack([1], b"head") == b"head" + msgpack.packb([1])


# --- JSON -----------------------------------------------------------------------------------------------------------

ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def check_written(value: Any) -> None:
    assert native.JSONWriter().pack(value) == ENCODER.encode(value).encode()


@given(JSON)
@example({"a": [1, {"b": None}], "c": "é" * 31})
def test_values_are_written_as_json_does(value: Any) -> None:
    try:
        expected = ENCODER.encode(value).encode()
    except ValueError:  # NaN or infinite, or a key with a lone surrogate
        with pytest.raises((OverflowError, ValueError)):
            native.JSONWriter().pack(value)
        return
    try:
        assert native.JSONWriter().pack(value) == expected
    except OverflowError:
        assert max(map(int, re.findall(rb"\d+", expected))) >= 2**63


@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_is_written_as_its_repr(number: float) -> None:
    assert native.JSONWriter().pack(number).decode() == repr(number)


def test_floats_of_all_magnitudes_are_written_as_their_repr(rng: np.random.Generator) -> None:
    powers = np.array(
        [float(f"1e{power}") for power in range(-323, 309)] + [2.0**power for power in range(-1074, 1024)]
    )
    bits = rng.integers(0, 2**64, 100_000, np.uint64).view(np.float64)
    short = rng.integers(0, 10**6, 20_000) / 10.0 ** rng.integers(0, 9, 20_000)
    numbers = np.concatenate([powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf), bits, short])
    numbers = np.concatenate([numbers, -numbers, [0.0, -0.0]])
    check_written(numbers[np.isfinite(numbers)].tolist())


def test_integers_are_written_alike() -> None:
    check_written([number for number in AROUND if -(2**63) <= number < 2**64])


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 4095, 4096, 4097, 100_000])
def test_each_character_is_written_alike_at_each_place(size: int) -> None:
    for character in [chr(code) for code in range(129)] + ["é", "\u2028", "\U0001d11e"]:
        check_written("x" * size + character)
        check_written(character + "x" * size)
    check_written('"' * size)
    check_written("\x00" * size)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**64, OverflowError),
        (-(2**63) - 1, OverflowError),
        ("\ud800", UnicodeEncodeError),
        (float("nan"), ValueError),
        (float("-inf"), ValueError),
        ({1: 2}, TypeError),
        ({"a": np.float64(1)}, TypeError),
        ((1, 2), TypeError),
        (nested(600), ValueError),
    ],
    ids=["wide", "wide and negative", "surrogate", "NaN", "infinite", "key", "subclass", "tuple", "deep"],
)
def test_what_only_python_writes_is_refused_and_leaves_nothing_behind(value: Any, error: type[Exception]) -> None:
    writer = native.JSONWriter()
    with pytest.raises(error):
        writer.pack(["before", value])
    assert writer.pack(1.5, b"head ", b" tail") == b"head 1.5 tail"


@pytest.mark.parametrize("value", [2**70, "\ud800", {1: 2}, (1, 2), nested(600)], ids=lambda value: str(value)[:9])
def test_a_line_is_the_same_without_the_compiled_part(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [packing.json_line({"a": value}, b"head")]
    monkeypatch.setattr(packing, "_writer", None)
    lines.append(packing.json_line({"a": value}, b"head"))
    assert lines[0] == lines[1]
    assert lines[0].endswith(b"}\n")
