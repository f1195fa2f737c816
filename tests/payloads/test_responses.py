"""What models answer is laid out in rows, one for each row of the request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.payloads import csv_output, found_output, output_table
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


@given(ANY_JSON, st.lists(st.sampled_from(["output", "a", "b", "data"]), unique=True, max_size=3), st.integers(1, 3))
def test_no_json_makes_another_error(document: Any, names: list[str], rows: int) -> None:
    try:
        found = found_output(document, tuple(names))
    except LookupError:
        return
    table = output_table(found, tuple(names), rows)
    check(table)
    assert table is None or len(table) == rows
