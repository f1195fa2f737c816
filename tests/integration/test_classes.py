"""A classifier of several classes, trained by scikit-learn: from its probabilities to drift of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask, request
from sklearn.linear_model import LogisticRegression

from flask_boxkite import BaselineError, Boxkite, ModelMonitoringService

CLASSES = ["low", "mid", "top"]


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(400, 2))


@pytest.fixture(scope="module")
def classifier(table: np.ndarray) -> LogisticRegression:
    labels = np.array(CLASSES)[np.digitize(table.sum(axis=1), [-0.5, 0.5])]
    return LogisticRegression().fit(table, labels)


def by_class(model: LogisticRegression, row: list[float]) -> dict[str, Any]:
    return dict(zip(model.classes_.tolist(), model.predict_proba([row])[0].tolist(), strict=True))


ANSWERS = {
    "by class": by_class,
    "a list": lambda model, row: {"probabilities": model.predict_proba([row])[0].tolist()},
    "with the label": lambda model, row: {"prediction": model.predict([row])[0], "probabilities": by_class(model, row)},
    "a list with the label": lambda model, row: {
        "label": model.predict([row])[0],
        "probabilities": model.predict_proba([row])[0].tolist(),
    },
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_each_class_is_an_output_that_answers_fall_into(
    classifier: LogisticRegression, table: np.ndarray, answer: Any, tmp_path: Path
) -> None:
    path = tmp_path / "b.prom"
    ModelMonitoringService.export_text(
        {"a": table[:, 0], "b": table[:, 1]}, classifier.predict_proba(table), path, classes=classifier.classes_
    )
    app = Flask("classes")
    app.config.update(BOXKITE_BASELINE=str(path), BOXKITE_SINK="none")
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        row = request.get_json()
        return answer(classifier, [row["a"], row["b"]])

    for a, b in table.tolist():
        app.test_client().post("/score", json={"a": a, "b": b})
    report = monitor.drift()

    assert {item.name for item in report if item.side == "output"} == set(CLASSES)
    assert {item.name: item.now for item in report} == {item.name: item.before for item in report}


@pytest.mark.parametrize(
    ("inference", "classes", "message"),
    [
        (np.ones((9, 2)), ["a"], r"There are 1 classes, but 'inference' has 2 columns: one for each is needed\."),
        (np.ones((9, 2)), ["a", "a"], r"Two classes have one name: a, a\."),
        (pd.DataFrame(np.ones((9, 2))), [0, 1], r"'classes' name the columns of an array\..* leave 'classes' out\."),
        ("x", [0, 1], r"'classes' name the columns of an array\."),
    ],
    ids=["too few", "twice", "a frame", "a column"],
)
def test_classes_that_do_not_fit_are_refused(inference: Any, classes: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=message):
        ModelMonitoringService.export_text({"x": range(9)}, inference, tmp_path / "b.prom", classes=classes)
