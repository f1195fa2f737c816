"""What models answer is laid out in rows, one for each row of the request."""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.baseline import Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.payloads import csv_output, found_output, json_lines_output, output_table
from tests.payloads.test_requests import ANY_JSON, check, laid_out, tensor

ONE = ("output",)
TWO = ("no", "yes")


@pytest.mark.parametrize(
    ("document", "names", "output"),
    [
        (0.5, ONE, 0.5),
        ("spam", ONE, "spam"),
        (None, ONE, None),
        ([0.5, 0.6], ONE, [0.5, 0.6]),
        ({"predictions": [0.5]}, ONE, [0.5]),
        ({"outputs": [1], "model_name": "m"}, ONE, [1]),
        ({"instances": [1], "x": 1}, ONE, [1]),
        ({"prediction": 1, "x": 1}, ONE, 1),
        ({"output": 1, "x": 1}, ONE, 1),
        ({"score": 0.5, "x": 1}, ONE, 0.5),
        ({"result": "ok", "x": 1}, ONE, "ok"),
        ({"label": "spam", "x": 1}, ONE, "spam"),
        ({"predictions": [1], "label": "x"}, ONE, [1]),
        ({"churn": 0.5}, ONE, 0.5),
        ({"churn": 0.5, "x": 1}, ("churn",), {"churn": 0.5}),
        ({"churn": 0.5, "score": 1}, ("churn",), {"churn": 0.5}),
        ({"no": 0.1, "yes": 0.9, "x": 1}, TWO, {"no": 0.1, "yes": 0.9}),
        ({"data": {"names": ["p"], "ndarray": [[0.5]]}, "meta": {}}, ONE, [[0.5]]),
        ({"predictions": None}, (), None),
    ],
    ids=str,
)
def test_conventions_of_answers(document: Any, names: tuple[str, ...], output: Any) -> None:
    assert found_output(document, names) == output


@pytest.mark.parametrize(
    ("document", "names"),
    [({}, ONE), ({"a": 1, "b": 2}, ONE), ({"no": 0.1, "x": 1}, TWO), ({"data": 1, "x": 1}, ONE)],
    ids=str,
)
def test_an_answer_that_fits_nothing_is_not_guessed(document: Any, names: tuple[str, ...]) -> None:
    with pytest.raises(LookupError):
        found_output(document, names)


# --- several marks ---------------------------------------------------------------------------------------------------


def trained(inference: Any) -> tuple[Distribution, ...]:
    """Return the outputs of a baseline."""
    return build_baseline({"x": list(range(1000))}, inference).outputs


SHARES = [i / 1000 for i in range(1000)]
SHARE = trained(SHARES)
FEW_SHARES = trained([0.0, 0.25, 1.0, 0.75] * 250)
AMOUNT = trained([50.0 + i / 10 for i in range(1000)])
NUMBERS = trained([i % 3 for i in range(1000)])
BOTH = trained([i % 2 for i in range(1000)])
TEXTS = trained(["ham", "spam"] * 500)
CLASSES = trained({"a": SHARES, "b": SHARES, "c": SHARES})
LABELLED = {"prediction": 1, "probability": 0.7}
HUGGING_FACE = [{"label": "spam", "score": 0.99}, {"label": "ham", "score": 0.8}]
MULTICLASS = {"a": 0.2, "b": 0.5, "c": 0.3}


@pytest.mark.parametrize(
    ("document", "outputs", "rows", "output"),
    [
        (LABELLED, SHARE, 1, 0.7),
        (LABELLED, FEW_SHARES, 1, 0.7),
        (LABELLED, NUMBERS, 1, 1),
        (LABELLED, BOTH, 1, 1),
        (LABELLED, AMOUNT, 1, 1),
        ({"prediction": 123.4, "probability": 0.7}, AMOUNT, 1, 123.4),
        ({"prediction": 1.0, "probability": 1.0}, SHARE, 1, 1.0),
        ({"prediction": 0, "probability": 0}, BOTH, 1, 0),
        ({"prediction": "spam", "probability": 0.7}, SHARE, 1, 0.7),
        ({"prediction": "spam", "probability": 0.7}, TEXTS, 1, "spam"),
        ({"prediction": "new", "probability": 0.7}, TEXTS, 1, "new"),
        ({"label": "spam", "score": 0.9}, SHARE, 1, 0.9),
        ({"label": "spam", "score": 0.9}, TEXTS, 1, "spam"),
        ({"score": 1.0, "label": 1}, SHARE, 1, 1.0),
        ({"prediction": 1, "label": "spam"}, TEXTS, 1, "spam"),
        ({"prediction": 1, "label": "spam"}, NUMBERS, 1, 1),
        ({"prediction": "1", "label": "spam"}, TEXTS, 1, "spam"),
        ({"prediction": None, "probability": 0.7}, TEXTS, 1, None),
        ({"predictions": [1, 0], "probabilities": [0.7, 0.2]}, SHARE, 2, [0.7, 0.2]),
        ({"predictions": [1, 0], "probabilities": [0.7, 0.2]}, BOTH, 2, [1, 0]),
        ({"probabilities": [[0.7], [0.2]], "predictions": [1, 0]}, SHARE, 2, [[0.7], [0.2]]),
        ({"predictions": (1, 0), "probabilities": (0.7, 0.2)}, SHARE, 2, (0.7, 0.2)),
        ({"predictions": [LABELLED, {"prediction": 0, "probability": 0.2}]}, SHARE, 2, [0.7, 0.2]),
        ([LABELLED, {"prediction": 0, "probability": 0.2}], BOTH, 2, [1, 0]),
        (HUGGING_FACE, SHARE, 2, [0.99, 0.8]),
        (HUGGING_FACE, TEXTS, 2, ["spam", "ham"]),
        ([{"score": 0.5}, {"score": 0.6}], SHARE, 2, [0.5, 0.6]),
        ([{"output": 0.5, "x": 1}], SHARE, 1, [{"output": 0.5, "x": 1}]),
        (MULTICLASS, CLASSES, 1, MULTICLASS),
        ({**MULTICLASS, "label": "b"}, CLASSES, 1, MULTICLASS),
        ({"label": "b", "probabilities": MULTICLASS}, CLASSES, 1, MULTICLASS),
        ({"label": "b", "probabilities": [0.2, 0.5, 0.3]}, CLASSES, 1, [0.2, 0.5, 0.3]),
        ({"prediction": "b", "probabilities": [[0.2, 0.5, 0.3]]}, CLASSES, 1, [[0.2, 0.5, 0.3]]),
        ({"labels": ["b"], "scores": [MULTICLASS]}, CLASSES, 1, [MULTICLASS]),
        ([{"label": "b", "probabilities": MULTICLASS}], CLASSES, 1, [MULTICLASS]),
        ({"predictions": [{"label": "b", "scores": [0.2, 0.5, 0.3]}]}, CLASSES, 1, [[0.2, 0.5, 0.3]]),
        ({"label": "b", "probabilities": [0.2, 0.5, 0.3]}, TEXTS, 1, "b"),
    ],
    ids=str,
)
def test_of_a_label_and_a_probability_the_one_that_the_baseline_has(
    document: Any, outputs: tuple[Distribution, ...], rows: int, output: Any
) -> None:
    assert found_output(document, names_of(outputs), outputs, rows) == output


def names_of(outputs: tuple[Distribution, ...]) -> tuple[str, ...]:
    return tuple(output.name for output in outputs)


@pytest.mark.parametrize(
    ("document", "outputs", "rows"),
    [
        ({"prediction": 0.3, "probability": 0.7}, SHARE, 1),
        ({"prediction": 123.4, "score": 0.9}, AMOUNT, 1),
        ({"prediction": 1, "label": 0}, NUMBERS, 1),
        ({"prediction": "ham", "label": "spam"}, TEXTS, 1),
        ({"prediction": "x", "label": "y"}, TEXTS, 1),
        ({"prediction": 1, "label": "spam"}, SHARE, 1),
        ({"score": 0.5, "probability": 0.7}, TEXTS, 1),
        ({"predictions": [1, 0], "probabilities": [[0.3, 0.7], [0.8, 0.2]]}, SHARE, 2),
        ({"predictions": [1], "probabilities": [0.7]}, SHARE, 2),
        ({"label": "b", "probabilities": [0.2, 0.8]}, CLASSES, 1),
        ({"label": "b", "probabilities": {"a": 0.2, "x": 0.8}}, CLASSES, 1),
        ([LABELLED, {"prediction": 0.5, "probability": 0.2}], NUMBERS, 2),
    ],
    ids=str,
)
def test_an_answer_in_which_two_fit_or_none_is_not_guessed(
    document: Any, outputs: tuple[Distribution, ...], rows: int
) -> None:
    names = names_of(outputs)
    try:
        found = found_output(document, names, outputs, rows)
    except LookupError:
        return
    assert output_table(found, names, rows) is None


@pytest.mark.parametrize(
    ("tensors", "outputs", "rows", "expected"),
    [
        ([tensor("label", [2], [1, 0]), tensor("probability", [2, 1], [0.7, 0.2])], SHARE, 2, [[0.7], [0.2]]),
        ([tensor("predict", [2], [1, 0]), tensor("predict_proba", [2], [0.7, 0.2])], SHARE, 2, [[0.7], [0.2]]),
        ([tensor("label", [2], [1, 0]), tensor("probability", [2, 1], [0.7, 0.2])], BOTH, 2, [[1], [0]]),
        ([tensor("label", [1], ["b"]), tensor("p", [1, 3], [0.2, 0.5, 0.3])], CLASSES, 1, [[0.2, 0.5, 0.3]]),
        ([tensor("x", [2], [5, 6]), tensor("output", [2], [0.7, 0.2])], SHARE, 2, [[0.7], [0.2]]),
    ],
    ids=["skl2onnx", "MLServer", "labels", "multiclass", "by name"],
)
def test_of_several_tensors_the_ones_that_the_baseline_has(
    tensors: list[Any], outputs: tuple[Distribution, ...], rows: int, expected: Any
) -> None:
    names = names_of(outputs)
    found = found_output({"model_name": "m", "outputs": tensors}, names, outputs, rows)

    assert laid_out(output_table(found, names, rows))[1] == expected


def test_tensors_by_name_may_stand_beside_others() -> None:
    tensors = [tensor(name, [1], [value]) for name, value in [("b", 0.5), ("label", "b"), ("a", 0.2), ("c", 0.3)]]
    names = names_of(CLASSES)
    found = found_output({"outputs": tensors}, names, CLASSES, 1)

    assert laid_out(output_table(found, names, 1)) == (("b", "a", "c"), [[0.5, 0.2, 0.3]])


@pytest.mark.parametrize("second", [[0.1, 0.9], [[0.1], [0.9]]])
def test_two_tensors_that_fit_equally_are_not_guessed(second: Any) -> None:
    tensors = [tensor("x", [2], [0.7, 0.2]), tensor("y", [2], second)]
    with pytest.raises(LookupError):
        found_output({"outputs": tensors}, ONE, SHARE, 2)


# --- a name that says nothing ----------------------------------------------------------------------------------------

NAMED = trained({"churn": SHARES})
GAPS = trained([None if i % 4 == 0 else i / 1000 for i in range(1000)])
LABEL_GAPS = trained([None, "ham", "spam", "spam"] * 250)
MANY_TEXTS = trained([f"label {i % 100}" for i in range(1000)])
DAYS = trained([date(2024, 1, 1) + timedelta(i) for i in range(1000)])
NARROW = trained(np.array([0.1, 0.5] * 500, np.float32))


@pytest.mark.parametrize(
    ("value", "outputs"),
    [
        (0.7, SHARE),
        (0.7, NAMED),
        (1, SHARE),
        (0.0, SHARE),
        (np.float32(0.7), SHARE),
        ([0.7], SHARE),
        ([[0.7]], SHARE),
        (np.array([0.7]), SHARE),
        (None, GAPS),
        (math.nan, GAPS),
        ([None], GAPS),
        (1234.5, AMOUNT),
        (-5, AMOUNT),
        (2, NUMBERS),
        (2.0, NUMBERS),
        (0.10000000149011612, NARROW),
        (0.25, FEW_SHARES),
        ("spam", TEXTS),
        (["spam"], TEXTS),
        (None, LABEL_GAPS),
        ("2024-05-01", DAYS),
        ("2031-05-01T12:00:00Z", DAYS),
        (MULTICLASS, CLASSES),
        ([MULTICLASS], CLASSES),
        ([0.2, 0.5, 0.3], CLASSES),
        ([[1, 0, 0]], CLASSES),
    ],
    ids=str,
)
def test_a_value_alone_under_another_name_is_read_where_it_can_be_the_output(
    value: Any, outputs: tuple[Distribution, ...]
) -> None:
    assert found_output({"foo": value}, names_of(outputs), outputs, 1) is value


@pytest.mark.parametrize(
    ("value", "outputs"),
    [
        ("ok", SHARE),
        ("ok", NAMED),
        ("0.7", SHARE),
        (True, SHARE),
        (True, BOTH),
        (np.bool_(True), BOTH),
        ([True], BOTH),
        (None, SHARE),
        (math.nan, SHARE),
        ([None], SHARE),
        (17, SHARE),
        (-1, SHARE),
        (math.inf, SHARE),
        (0.7, NUMBERS),
        (200, NUMBERS),
        ("ok", AMOUNT),
        ({"amount": 75.0}, AMOUNT),
        ([75.0, "ok"], AMOUNT),
        ("ok", TEXTS),
        (["ok"], TEXTS),
        ("", TEXTS),
        ("", LABEL_GAPS),
        (0.7, TEXTS),
        ("label 1", MANY_TEXTS),
        ("ok", DAYS),
        (17, DAYS),
        ({"a": 0.2, "b": 0.5}, CLASSES),
        ({"x": 0.2, "y": 0.5, "z": 0.3}, CLASSES),
        ([0.2, 0.5, "ok"], CLASSES),
        ([0.2, 0.8], CLASSES),
        (0.2, CLASSES),
        ("b", CLASSES),
    ],
    ids=str,
)
def test_a_value_alone_under_another_name_that_cannot_be_the_output_is_not_read(
    value: Any, outputs: tuple[Distribution, ...]
) -> None:
    with pytest.raises(LookupError):
        found_output({"foo": value}, names_of(outputs), outputs, 1)


@pytest.mark.parametrize("key", ["prediction", "result", "score"])
def test_a_value_under_the_name_of_a_convention_is_read_as_it_is(key: str) -> None:
    """A wrong answer of the model is a change that drift shows, as invalid."""
    assert found_output({key: "ok"}, ONE, SHARE, 1) == "ok"


def test_a_value_under_the_baselines_name_is_read_as_it_is() -> None:
    assert found_output({"churn": "ok"}, ("churn",), NAMED, 1) == {"churn": "ok"}


def test_rows_under_another_name_that_are_more_than_the_requests_are_found() -> None:
    """So the number of rows is told, not that there is no output."""
    assert found_output({"foo": [0.1, 0.2]}, ONE, SHARE, 3) == [0.1, 0.2]


@pytest.mark.parametrize(
    ("text", "outputs", "is_read"),
    [
        ("spam", TEXTS, True),
        ("new", TEXTS, True),
        ("0.7", SHARE, True),
        ("ok", SHARE, False),
        ("ok", NUMBERS, False),
        ("2024-05-01", DAYS, True),
        ("ok", DAYS, False),
    ],
    ids=str,
)
def test_a_bare_text_is_read_where_it_can_be_the_output(
    text: str, outputs: tuple[Distribution, ...], *, is_read: bool
) -> None:
    try:
        found = found_output(text, ONE, outputs, 1)
    except LookupError:
        found = None
    assert found == (text if is_read else None)


# --- rows ------------------------------------------------------------------------------------------------------------


class Tensor:
    """An array of another library."""

    def __init__(self, values: Any) -> None:
        self._values = np.array(values, dtype=np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._values


@dataclass
class Shares:
    """An answer."""

    yes: Any
    no: Any


Answer = namedtuple("Answer", ["yes", "no"])


@pytest.mark.parametrize(
    ("value", "names", "rows", "expected"),
    [
        (Tensor(0.5), ONE, 1, (None, [[0.5]])),
        (Tensor([0.5, 0.25]), ONE, 2, (None, [[0.5], [0.25]])),
        (Tensor([[0.5], [0.25]]), ONE, 2, (None, [[0.5], [0.25]])),
        (Tensor([[0.25, 0.75]]), TWO, 1, (None, [[0.25, 0.75]])),
        ([Tensor(0.5), Tensor(0.25)], ONE, 2, (None, [[0.5], [0.25]])),
        ([np.array(0.5), np.array(0.25)], ONE, 2, (None, [[0.5], [0.25]])),
        ([Tensor([0.25, 0.75])], TWO, 1, (None, [[0.25, 0.75]])),
        ({"yes": np.array([[0.75]]), "no": np.array([[0.25]])}, TWO, 1, (("yes", "no"), [[0.75, 0.25]])),
        ({"yes": Tensor([0.75, 0.5]), "no": Tensor([0.25, 0.5])}, TWO, 2, (("yes", "no"), [[0.75, 0.25], [0.5, 0.5]])),
        ({"yes": pd.Series([0.75]), "no": pl.Series([0.25])}, TWO, 1, (("yes", "no"), [[0.75, 0.25]])),
        (Shares(0.75, 0.25), TWO, 1, (("yes", "no"), [[0.75, 0.25]])),
        (Shares([0.75, 0.5], [0.25, 0.5]), TWO, 2, (("yes", "no"), [[0.75, 0.25], [0.5, 0.5]])),
        ([Shares(0.75, 0.25), Shares(0.5, 0.5)], TWO, 2, (("yes", "no"), [[0.75, 0.25], [0.5, 0.5]])),
        (Answer(0.75, 0.25), TWO, 1, (("yes", "no"), [[0.75, 0.25]])),
        ([Answer(0.75, 0.25)], TWO, 1, (("yes", "no"), [[0.75, 0.25]])),
        (pa.array([0.5, 0.25]), ONE, 2, (None, [[0.5], [0.25]])),
        (pa.chunked_array([[0.5], [0.25]]), ONE, 2, (None, [[0.5], [0.25]])),
        (pa.table({"no": [0.25], "yes": [0.75]}), TWO, 1, (("no", "yes"), [[0.25, 0.75]])),
        (pd.DataFrame({"id": [7], "output": [0.5]}), ONE, 1, (("id", "output"), [[7, 0.5]])),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
def test_outputs_of_other_libraries(value: Any, names: tuple[str, ...], rows: int, expected: Any) -> None:
    assert laid_out(output_table(value, names, rows)) == expected


@pytest.mark.parametrize(
    ("value", "names", "rows"),
    [
        (object(), ONE, 1),
        ([object()], ONE, 1),
        (Shares(1, 2), ONE, 1),
        ([np.zeros((2, 1)), np.zeros((2, 1))], TWO, 2),
        ([np.zeros((2, 2)), np.zeros((2, 2))], TWO, 2),
        ({"yes": np.zeros((1, 2)), "no": np.zeros((2, 1))}, TWO, 2),
        (Tensor(np.zeros((1, 1, 1))), ONE, 1),
        (int, ONE, 1),
        (len, ONE, 1),
        (iter([1]), ONE, 1),
    ],
    ids=[
        "object",
        "objects",
        "other fields",
        "heads",
        "classes of heads",
        "widths",
        "cube",
        "type",
        "function",
        "iter",
    ],
)
def test_outputs_that_cannot_be_read_are_none(value: Any, names: tuple[str, ...], rows: int) -> None:
    assert output_table(value, names, rows) is None


@pytest.mark.parametrize(
    ("value", "names", "rows", "expected"),
    [
        (0.5, ONE, 1, (None, [[0.5]])),
        ("spam", ONE, 1, (None, [["spam"]])),
        (np.float32(0.5), ONE, 1, (None, [[0.5]])),
        (np.array(0.5), ONE, 1, (None, [[0.5]])),
        ([0.5], ONE, 1, (None, [[0.5]])),
        ((0.5, 0.6), ONE, 2, (None, [[0.5], [0.6]])),
        ([[0.5], [0.6]], ONE, 2, (None, [[0.5], [0.6]])),
        (np.array([0.5, 0.6]), ONE, 2, (None, [[0.5], [0.6]])),
        (np.array([[0.5], [0.6]]), ONE, 2, (None, [[0.5], [0.6]])),
        (np.array(["a", "b"]), ONE, 2, (None, [["a"], ["b"]])),
        (pd.Series([0.5, 0.6]), ONE, 2, (None, [[0.5], [0.6]])),
        (pd.Series([0.5, 0.6], index=["x", "y"]), ONE, 2, (None, [[0.5], [0.6]])),
        (pl.Series([0.5, 0.6]), ONE, 2, (None, [[0.5], [0.6]])),
        (pd.DataFrame({"p": [0.5, 0.6]}), ONE, 2, (None, [[0.5], [0.6]])),
        ([0.1, 0.9], TWO, 1, (None, [[0.1, 0.9]])),
        ([[0.1, 0.9]], TWO, 1, (None, [[0.1, 0.9]])),
        (np.array([0.1, 0.9]), TWO, 1, (None, [[0.1, 0.9]])),
        (np.array([[0.1, 0.9], [0.2, 0.8]]), TWO, 2, (None, [[0.1, 0.9], [0.2, 0.8]])),
        ({"yes": 0.9, "no": 0.1}, TWO, 1, (("yes", "no"), [[0.9, 0.1]])),
        ({"yes": [0.9, 0.8], "no": [0.1, 0.2]}, TWO, 2, (("yes", "no"), [[0.9, 0.1], [0.8, 0.2]])),
        ([{"yes": 0.9, "no": 0.1}], TWO, 1, (("yes", "no"), [[0.9, 0.1]])),
        (pd.DataFrame({"yes": [0.9], "no": [0.1]}), TWO, 1, (("yes", "no"), [[0.9, 0.1]])),
        (pl.DataFrame({"yes": [0.9], "no": [0.1]}), TWO, 1, (("yes", "no"), [[0.9, 0.1]])),
        ([tensor("out", [2], [0.5, 0.6])], ONE, 2, (None, [[0.5], [0.6]])),
        ([tensor("out", [1, 2], [0.1, 0.9])], TWO, 1, (None, [[0.1, 0.9]])),
        ([tensor("no", [1], [0.1]), tensor("yes", [1], [0.9])], TWO, 1, (("no", "yes"), [[0.1, 0.9]])),
        ([0.5, 0.6], (), 2, (None, [[0.5], [0.6]])),
        ([0.5, 0.6], ONE, None, (None, [[0.5], [0.6]])),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
def test_outputs_are_laid_out_in_rows(value: Any, names: tuple[str, ...], rows: int | None, expected: Any) -> None:
    assert laid_out(output_table(value, names, rows)) == expected


def test_bytes_of_tensorflow_serving_are_values() -> None:
    spam, ham = {"b64": "c3BhbQ=="}, {"b64": "aGFt"}
    for document, rows in (({"predictions": [spam, ham]}, [[spam], [ham]]), ({"label": spam}, [[spam]])):
        found = found_output(document, ONE, TEXTS, len(rows))
        assert laid_out(output_table(found, ONE, len(rows))) == (None, rows)
    assert output_table(spam, TWO, 1) is None


@pytest.mark.parametrize(
    ("value", "names", "rows"),
    [
        ([0.5, 0.6], ONE, 1),
        ([0.5], ONE, 2),
        (0.5, ONE, 2),
        ([], ONE, 1),
        ([[]], ONE, 1),
        (np.array([]), ONE, 1),
        (np.zeros((1, 1, 1)), ONE, 1),
        (np.zeros((1, 2)), ONE, 1),
        ([[0.1, 0.9]], ONE, 1),
        (0.5, TWO, 1),
        ([0.1, 0.2, 0.7], TWO, 1),
        ([[0.1, 0.9], [0.2]], TWO, 2),
        ({"maybe": 1}, TWO, 1),
        ({}, TWO, 1),
        ([{"no": 1}, 5], TWO, 2),
        ([tensor("out", [3], [1, 2])], ONE, 2),
        (pd.DataFrame({"p": []}), ONE, 1),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
def test_outputs_that_do_not_fit_are_not_guessed(value: Any, names: tuple[str, ...], rows: int) -> None:
    assert output_table(value, names, rows) is None


def test_an_output_is_a_copy_that_a_later_change_does_not_reach() -> None:
    array = np.array([[0.5], [0.6]])
    table = output_table(array, ONE, 2)
    array[:] = 9

    assert laid_out(table) == (None, [[0.5], [0.6]])


@pytest.mark.parametrize(
    ("text", "output"), [("0.5\n0.6\n", [["0.5"], ["0.6"]]), ("score\n0.5\n", [["0.5"]]), ("yes\n", [["yes"]])]
)
def test_csv_answers(text: str, output: Any) -> None:
    assert csv_output(text) == output


def test_an_empty_csv_answer_has_no_output() -> None:
    with pytest.raises(LookupError):
        csv_output("")


def test_json_lines_answers() -> None:
    assert json_lines_output('{"score": 0.5}\n\n{"score": 0.6}\n') == [{"score": 0.5}, {"score": 0.6}]


MARKS = st.sampled_from(["prediction", "predictions", "probability", "probabilities", "label", "outputs", "a", "data"])
ANY_ANSWER = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MARKS, inner, max_size=3),
    max_leaves=12,
)


@given(ANY_ANSWER, st.sampled_from([SHARE, AMOUNT, BOTH, TEXTS, CLASSES]), st.integers(1, 3))
def test_no_json_makes_another_error_with_a_baseline(
    document: Any, outputs: tuple[Distribution, ...], rows: int
) -> None:
    names = names_of(outputs)
    try:
        found = found_output(document, names, outputs, rows)
    except LookupError:
        return
    check(output_table(found, names, rows))


@given(ANY_JSON, st.lists(st.sampled_from(["output", "a", "b", "data"]), unique=True, max_size=3), st.integers(1, 3))
def test_no_json_makes_another_error(document: Any, names: list[str], rows: int) -> None:
    try:
        found = found_output(document, tuple(names))
    except LookupError:
        return
    table = output_table(found, tuple(names), rows)
    check(table)
    assert table is None or len(table) == rows
