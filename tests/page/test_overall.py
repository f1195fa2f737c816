"""Several models in one line above them, and the verdict of each beside its name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from flask import Flask

from flask_boxkite import Baseline, Boxkite
from tests.baseline.training.building import built

ROWS = 300


def text_of(markup: str) -> str:
    """Return the words of some markup."""
    return " ".join(re.sub(r"<[^>]*>", "", markup).split()).replace(" .", ".").replace(" ,", ",")


def overall_of(page: str) -> tuple[str, str]:
    """Return the class and the text of the line about all models; empty if there is none."""
    found = re.search(r'<p class="summary overall ([\w-]+)">(.*?)</p>', page, re.DOTALL)
    return (found[1], text_of(found[2])) if found else ("", "")


def headings_of(page: str) -> list[str]:
    return [text_of(text) for text in re.findall(r'<h2 id="model-\d+">(.*?)</h2>', page, re.DOTALL)]


@pytest.fixture(scope="module")
def trained() -> Baseline:
    rng = np.random.default_rng(0)
    scores = rng.random(3000)
    return built({"age": rng.normal(40, 10, 3000)}, scores, actual=(rng.random(3000) < scores).astype(int))


def app_of(baselines: dict[str, Baseline], tmp_path: Path) -> tuple[Flask, Boxkite]:
    app = Flask("scoring")
    app.config.update(
        BOXKITE_BASELINE=baselines,
        BOXKITE_DASHBOARD_PATH="/boxkite",
        BOXKITE_SINK="none",
        BOXKITE_STATE_DIR=str(tmp_path),
        BOXKITE_ID_KEY="a key that replicas share",
    )
    return app, Boxkite(app)


def serve(app: Flask, monitor: Boxkite, model: str, *, older: float = 0.0, is_right: bool = True) -> None:
    """Have rows predicted and their outcomes known; of a model that is not right, an output says nothing of these."""
    rng = np.random.default_rng(1)
    with app.app_context():
        for score in rng.random(ROWS).tolist():
            age = float(rng.normal(40 + older, 10))
            prediction = monitor.log_prediction(features={"age": age}, output=score, model=model)
            monitor.log_outcome(prediction, int(rng.random() < (score if is_right else 0.5)), model=model)


def test_the_worst_of_all_models_stands_on_top(trained: Baseline, tmp_path: Path) -> None:
    app, monitor = app_of(dict.fromkeys(["credit", "fraud", "churn", "new_one"], trained), tmp_path)
    serve(app, monitor, "credit", older=20)
    serve(app, monitor, "fraud", is_right=False)
    serve(app, monitor, "churn")

    for path in ("/boxkite/?window=start", "/boxkite/report.html?window=start"):
        page = app.test_client().get(path).text
        assert overall_of(page) == (
            "major",
            "1 of 4 models has drifted since the start: credit. 1 is worse than validated: fraud. "
            "1 has not enough data: new_one.",
        )
        assert headings_of(page) == [
            "credit ▲ major",
            "fraud ● stable ▲ much worse than validated",
            "churn ● stable",
            "new_one ○ not enough data",
        ]
        assert re.findall(r'<a href="#(model-\d)">([^<]*)', page) == [
            ("model-1", "credit"),
            ("model-2", "fraud"),
            ("model-4", "new_"),  # a line may break behind the underscore
        ]


def test_good_news_and_no_news_of_all_models_are_one_line(trained: Baseline, tmp_path: Path) -> None:
    app, monitor = app_of({"credit": trained, "churn": trained}, tmp_path)
    client = app.test_client()
    assert overall_of(client.get("/boxkite/").text) == (
        "not-enough-data",
        "Not enough data to tell of any of 2 models in the last 24 hours.",
    )
    serve(app, monitor, "credit")
    serve(app, monitor, "churn")
    assert overall_of(client.get("/boxkite/").text) == ("stable", "No model has drifted in the last 24 hours.")


def test_a_single_model_needs_no_line_about_all(trained: Baseline, tmp_path: Path) -> None:
    app, _ = app_of({"credit": trained}, tmp_path)
    page = app.test_client().get("/boxkite/").text
    assert overall_of(page) == ("", "")
    assert headings_of(page) == ["credit"]


def test_the_confusion_says_which_side_is_actual(trained: Baseline, tmp_path: Path) -> None:
    app, monitor = app_of({"credit": trained}, tmp_path)
    serve(app, monitor, "credit")
    page = app.test_client().get("/boxkite/").text
    (table,) = re.findall(r'<table class="metrics confusion".*?</table>', page, re.DOTALL)
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)

    assert [text_of(re.sub(r"</t[hd]>", " ", row)) for row in rows[:2]] == ["Actual", "Predicted 0 1"]
    assert [text_of(row.partition("</th>")[0]) for row in rows[2:]] == ["Predicted 0", "Predicted 1"]
    assert re.findall(r'data-label="(Actual \d)" class="number( right)?"', table) == [
        ("Actual 0", " right"),
        ("Actual 1", ""),
        ("Actual 0", ""),
        ("Actual 1", " right"),
    ]
