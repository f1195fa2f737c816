"""Which rows are selected, and which actual values are positive, for each kind of model."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.fairness.selection import Selection, selection_of
from tests.baseline.training.building import built

CLASSES = ["a", "b", "c"]


def baseline_of(kind: str) -> Baseline:
    """Return the baseline of a model of some kind."""
    rng = np.random.default_rng(1)
    x, score = {"x": rng.random(600)}, rng.random(600)
    labels = np.array(CLASSES)[rng.integers(0, 3, 600)]
    probabilities = dict(zip(CLASSES, rng.dirichlet([1, 1, 1], 600).T, strict=True))
    made = {
        "score": lambda: built(x, score, actual=(rng.random(600) < score).astype(int)),
        "labelled score": lambda: built(
            x, score, actual=np.where(rng.random(600) < score, "repaid", "lost"), positive="repaid", threshold=0.7
        ),
        "narrow score": lambda: built(x, score.astype(np.float32), actual=rng.random(600) < score, threshold=0.7),
        "number": lambda: built(x, 100 * score, actual=100 * score + rng.normal(size=600)),
        "probabilities": lambda: built(x, probabilities, actual=labels),
        "label": lambda: built(x, labels.tolist(), actual=labels[::-1].tolist()),
        "bare score": lambda: built(x, score),
        "bare label": lambda: built(x, labels.tolist()),
        "bare probabilities": lambda: built(x, probabilities),
        "nothing": lambda: built(x),
    }
    return made[kind]()


def judged(selection: Selection, rows: list[Any], actual: list[Any]) -> tuple[list[bool | None], list[bool | None]]:
    return [selection.is_selected(row) for row in rows], [selection.is_positive(value) for value in actual]


@pytest.mark.parametrize(
    ("kind", "options", "text", "rows", "actual"),
    [
        ("score", {}, "'output' at least 0.5", {0.5: True, 0.4999: False, "0.6": True}, {1: True, "0": False, 2: None}),
        ("score", {"threshold": 0.2}, "'output' at least 0.2", {0.2: True, 0.1: False}, {1.0: True}),
        ("score", {"positive": 0}, "'output' below 0.5", {0.5: False, 0.4: True, None: None}, {1: False, 0: True}),
        ("labelled score", {}, "'output' at least 0.7", {0.7: True, 0.69: False}, {"repaid": True, "x": None}),
        ("labelled score", {"positive": "lost"}, "'output' below 0.7", {0.7: False}, {"lost": True, "repaid": False}),
        (
            "narrow score",
            {},
            "'output' at least 0.7",
            {0.7: True, float(np.float32(0.7)): True, float(np.nextafter(np.float32(0.7), np.float32(0))): False},
            {True: True, False: False},
        ),
        ("narrow score", {"threshold": 0.3}, "'output' at least 0.3", {0.3: True, float(np.float32(0.3)): True}, {}),
        (
            "number",
            {"threshold": 40},
            "'output' at least 40",
            {40.0: True, 39.9: False, "x": None},
            {41: True, "": None},
        ),
        (
            "label",
            {"positive": "b"},
            "predicted class 'b'",
            {"b": True, "a": False, "z": None},
            {"b": True, "q": False},
        ),
        ("bare label", {"positive": "b"}, "predicted class 'b'", {"b": True, "z": False, None: None}, {"b": True}),
        ("bare score", {"threshold": 0.6}, "'output' at least 0.6", {0.6: True, 0.5: False}, {}),
        (
            "bare score",
            {"threshold": 0.6, "positive": 1},
            "'output' at least 0.6",
            {0.6: True},
            {1: True, "1": True, "1.0": True, 0: False, None: None, "yes": False},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_output_selects_by_threshold_or_label(
    kind: str, options: dict[str, Any], text: str, rows: dict[Any, Any], actual: dict[Any, Any]
) -> None:
    selection = selection_of(baseline_of(kind), **options)
    assert selection.text == text
    assert judged(selection, [[value] for value in rows], list(actual)) == ([*rows.values()], [*actual.values()])


@pytest.mark.parametrize("kind", ["probabilities", "bare probabilities"])
def test_of_several_outputs_the_largest_selects(kind: str) -> None:
    selection = selection_of(baseline_of(kind), "b")
    rows = [[0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [0.1, None, 0.3]]
    assert judged(selection, rows, ["b", "c", None]) == ([True, False, None], [True, False, None])
    assert selection.positive == "b"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "probabilities",
            {},
            "Name the class that counts as selected: positive='a' ('--positive'). There are: 'a', 'b'",
        ),
        ("bare label", {}, "Name the class that counts as selected: positive='"),
        ("label", {"positive": "bb"}, "'positive' is none of the model's classes: 'bb'. There are: 'a', 'b', 'c'."),
        ("score", {"positive": "yes"}, "'positive' is none of the model's classes: 'yes'."),
        ("label", {"positive": "b", "threshold": 0.5}, "'threshold' needs a score, but the model predicts classes."),
        ("probabilities", {"threshold": 0.5}, "'threshold' needs a score, but the model predicts classes."),
        ("number", {}, "The output 'output' is a number. Give the number from which a row counts as selected"),
        ("number", {"threshold": 1, "positive": 1}, "The output 'output' is a number."),
        (
            "bare score",
            {},
            "The baseline does not say from which 'output' on a row is selected. Give it: threshold=0.5",
        ),
        ("score", {"threshold": float("nan")}, "'threshold' must be a number, got nan."),
        ("score", {"threshold": "0.5"}, "'threshold' must be a number, got '0.5'."),
        ("nothing", {}, "The baseline has no outputs, so no row is selected."),
    ],
    ids=str,
)
def test_outputs_that_need_an_option_say_which(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}"):
        selection_of(baseline_of(kind), **options)


def test_without_a_label_actual_values_are_not_known() -> None:
    assert not selection_of(baseline_of("bare score"), threshold=0.5).knows_actual
