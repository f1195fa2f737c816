"""Ignored variables are the last on the page and in a terminal, and in no count; decisions stand beside variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import Baseline
from flask_boxkite.baseline import Discrete
from flask_boxkite.cli import boxkite
from flask_boxkite.drift.report import drift_report
from flask_boxkite.page.content import ModelView
from flask_boxkite.page.render import comparison_html
from tests.cli.test_drift import answering
from tests.page.scenes import Scene, scene_of

VARIABLES = {"age": {"ignore": True}, "plan": {"weight": 0}, "income": {"weight": 3, "drifted": 0.2, "major": 0.4}}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give an app in which the age is missing for seven minutes, and ignored."""
    with scene_of("fault", tmp_path_factory.mktemp("fault"), BOXKITE_VARIABLES=VARIABLES) as found:
        yield found


def plain(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", "", page)).split())


def rows(page: str) -> dict[str, tuple[str, str]]:
    """Return the class of each row of the table, and its text, by variable."""
    found = re.findall(r'<tr role="row" class="([a-z-]+)">(.*?)</tr>', page, re.DOTALL)
    return {plain(re.findall(r"<th.*?</th>", row, re.S)[0]): (name, plain(row)) for name, row in found}


def terminal(scene: Scene, *words: str) -> Result:
    """Return what the command says that asks the page."""
    with answering(200, scene.page("/boxkite/drift.json").encode()) as (url, _):
        return CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, ["drift", "--url", url, *words])


def test_the_overview_counts_what_is_judged(scene: Scene) -> None:
    page = scene.page()
    (summary,) = re.findall(r'<p class="summary [a-z-]+">.*?</p>', page, re.DOTALL)

    assert plain(summary) == "No variable has drifted in the last 24 hours. 2 are ignored."
    assert 'class="summary stable"' in summary
    found = rows(page)
    assert [(name, state) for name, (state, _) in found.items()][2:] == [("age", "ignored"), ("plan", "ignored")]
    assert "ignored" in found["age"][1]
    assert "since" not in found["age"][1]  # it is described by the whole window
    assert "ignored weight 0" in found["plan"][1]
    assert "weight 3, drifted from 0.2, major from 0.4" in found["income"][1]
    assert "ignored (2)" in page


def test_the_page_of_a_variable_says_what_was_decided(scene: Scene) -> None:
    ignored = plain(scene.variable("age"))
    assert "age is ignored in the last 24 hours." in ignored
    assert "Not judged; the limit is the one that weight 1 would give." in ignored
    income = plain(scene.variable("income"))
    assert "Weight 3, drifted from 0.2, major from 0.4." in income


def test_a_filter_finds_them(scene: Scene) -> None:
    assert list(rows(scene.page(verdict="ignored"))) == ["age", "plan"]


def test_programs_get_the_decisions(scene: Scene) -> None:
    found = scene.rows()
    assert [(row["verdict"], row["weight"], row["drifted_size"], row["major_size"]) for row in found.values()][1:] == [
        *([("stable", 1.0, 0.1, 0.25)] if list(found)[1] == "output" else [("stable", 3.0, 0.2, 0.4)]),
        ("ignored", 0.0, 0.1, 0.25),
        ("ignored", 0.0, 0.1, 0.25),
    ]
    assert (found["plan"]["reason"], found["age"]["reason"], found["age"]["missing_now"] > 0.1) == (
        "weight 0",
        None,
        True,
    )


def test_a_terminal_leaves_them_out_and_no_exit_code_comes_of_them(scene: Scene) -> None:
    result = terminal(scene, "--fail-on", "shifted")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith(
        "credit: 0 of 2 variables drifted in the last 24 hours, 2 are ignored."
    )
    assert "2 stable, 2 ignored (--all lists them)" in result.stdout
    everything = terminal(scene, "--all").stdout
    assert re.findall(r"^(\w+).* (stable|ignored) ", everything, re.M)[-2:] == [("age", "ignored"), ("plan", "ignored")]
    assert "Ignored: plan (weight 0)" in everything


def test_a_model_is_unknown_if_all_that_is_judged_is() -> None:
    city = Discrete("city", ("Bonn", "Ulm"), (500, 500))
    baseline = Baseline((city, replace(city, name="zip")), (), 1000).with_policies({"zip": {"ignore": True}})
    cells = np.array([3, 2, 0, 0, 0, 0, *(300, 200, 0, 0, 0, 0)])
    view = ModelView("m", baseline, drift_report("m", baseline, cells, alpha=1e-5), cells, when="in the file")
    assert view.state == "not enough data"
    assert "Not enough data to tell in the file: 5 rows; 30 are needed. 1 is ignored." in plain(
        comparison_html("rows.csv", view, 0.0)
    )


def test_a_report_of_ignored_variables_alone_judges_nothing() -> None:
    """As of `compare`, where the others could not be compared."""
    city = Discrete("city", ("Bonn", "Ulm"), (500, 500))
    policies = Baseline((city, replace(city, name="zip")), (), 1000).with_policies({"city": {"ignore": True}}).policies
    baseline, cells = Baseline((city,), (), 1000, policies=policies), np.array([300, 200, 0, 0, 0, 0])
    view = ModelView("m", baseline, drift_report("m", baseline, cells, alpha=1e-5), cells, when="in the file")
    text = plain(comparison_html("rows.csv", view, 0.0))
    assert "No variable is judged in the file. 1 is ignored." in text


def test_the_report_to_keep_shows_them_too(scene: Scene) -> None:
    report = scene.monitor.drift()
    model = scene.app.extensions["boxkite"].monitor.model(None)
    view = ModelView("credit", model.baseline, report, model.observe().cells, when="since the start")
    assert "2 are ignored." in plain(comparison_html("records", view, 0.0))


def test_without_the_decision_the_same_rows_are_drift(tmp_path_factory: pytest.TempPathFactory) -> None:
    with scene_of("fault", tmp_path_factory.mktemp("plain")) as scene:
        result = terminal(scene, "--fail-on", "drifted")
    assert result.exit_code == 3
    assert "ignored" not in result.stdout
