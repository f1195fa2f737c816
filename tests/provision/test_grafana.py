"""The dashboard as a document: complete, in order, and the same each time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest
from click.testing import CliRunner
from grafana_foundation_sdk.models.dashboard import Dashboard

from flask_boxkite import ModelMonitoringService
from flask_boxkite.cli import boxkite
from flask_boxkite.errors import ConfigError
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.provision.grafana import dashboard_text
from flask_boxkite.provision.performance import Z_LIMIT
from tests.baseline.training.building import built

STACK = Path(__file__).parents[2] / "examples/monitoring-stack"

BUILT_IN = {"__rate_interval", "__range", "__value", "__dashboard", "__url_time_range"}


def dashboard(*, group_by: tuple[str, ...] = ("job", "namespace"), **options: Any) -> dict[str, Any]:
    """Return the dashboard."""
    text = dashboard_text(RuleOptions(group_by=group_by, **options), title="Drift")
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_is_the_same_each_time() -> None:
    assert dashboard() == dashboard()


def test_the_sdk_reads_it_back() -> None:
    read = Dashboard.from_json(dashboard())
    assert (read.uid, read.title) == ("flask-boxkite", "Drift")
    assert read.panels


def test_panels_fill_the_grid_without_meeting() -> None:
    taken: set[tuple[int, int]] = set()
    rows: dict[int, int] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        fields = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert taken.isdisjoint(fields), panel["title"]
        taken |= fields
        rows[place["y"]] = rows.get(place["y"], 0) + place["w"]
    assert set(rows.values()) == {24}
    assert len(taken) == 24 * (max(y for _, y in taken) + 1)


def test_every_panel_says_what_it_means() -> None:
    ids = set()
    for panel in dashboard()["panels"]:
        ids.add(panel["id"])
        if panel["type"] != "row":
            assert re.fullmatch(r"[A-Z].*[.]", panel["description"]), panel["title"]
            assert [target["refId"] for target in panel["targets"]] == list(ascii_uppercase[: len(panel["targets"])])
            assert all(target["expr"] for target in panel["targets"])
    assert len(ids) == len(dashboard()["panels"])


@pytest.mark.parametrize("group_by", [("job", "namespace"), ("cluster",), ()], ids=str)
def test_every_variable_that_is_used_can_be_chosen(group_by: tuple[str, ...]) -> None:
    board = dashboard(group_by=group_by)
    known = {variable["name"] for variable in board["templating"]["list"]}
    used = {first or second for first, second in re.findall(r"\$(?:(\w+)|\{(\w+))", json.dumps(board))} - {"1", "__all"}

    assert known == {"datasource", *group_by, "model", "version", "baseline", "feature", "output", "window"}
    assert used - BUILT_IN == known


def test_without_labels_of_targets_expressions_are_still_whole() -> None:
    text = json.dumps(dashboard(group_by=()))
    assert "{," not in text
    assert ",}" not in text
    assert "by (, " not in text


def test_the_windows_are_those_of_the_rules() -> None:
    (windows,) = (item for item in dashboard(windows=("30m", "6h"))["templating"]["list"] if item["name"] == "window")
    assert (windows["query"], windows["current"]["value"]) == ("30m,6h", "30m")


def test_the_state_of_a_variable_is_that_of_any_window() -> None:
    """Beside it stands the verdict in the chosen window, which all other numbers are about."""
    headline, table = (
        next(panel for panel in dashboard()["panels"] if panel["title"] == title)
        for title in ("Drifted", "All variables")
    )
    (drifted,), (verdict, in_window, *others) = (
        [target["expr"] for target in panel["targets"]] for panel in (headline, table)
    )

    for expression in (drifted, verdict):
        assert set(re.findall(r"boxkite:\w+:\w+", expression)) == {
            "boxkite:feature:verdict_any",
            "boxkite:inference:verdict_any",
        }
        assert "window" not in expression
    assert re.findall(r"boxkite:\w+:\w+", in_window) == ["boxkite:feature:verdict", "boxkite:inference:verdict"]
    assert all('window="$window"' in expression for expression in (in_window, *others))
    names = table["transformations"][1]["options"]["renameByName"]
    assert (names["Value #A"], names["Value #B"]) == ("Verdict", "In the window")


def test_no_name_of_the_dashboard_groups_replicas() -> None:
    for name in ("side", "variable", *(item["name"] for item in dashboard(group_by=())["templating"]["list"])):
        with pytest.raises(ConfigError, match="is not a label to group by"):
            RuleOptions(group_by=(name,))


def test_limits_of_size_are_those_of_the_rules() -> None:
    text = json.dumps(dashboard(minimum_size=0.15), ensure_ascii=False)
    panel = next(panel for panel in json.loads(text)["panels"] if panel["title"] == "Is it big?")

    assert "at least 0.15 and 0.25" in text
    assert [target["legendFormat"] for target in panel["targets"]] == ["size", "PSI", "drifted from", "major from"]
    recorded = [re.findall(r"boxkite:[\w:]+", target["expr"]) for target in panel["targets"][2:]]
    assert recorded == [["boxkite:feature:drifted_size"], ["boxkite:feature:major_size"]]


def test_every_series_on_performance_is_recorded_or_exported() -> None:
    """The other series are in a real Prometheus in ``tests/integration``."""
    panels = dashboard()["panels"]
    titles = [panel["title"] for panel in panels]
    own = panels[titles.index("Performance") + 1 : titles.index("Traffic")]
    used = {name for panel in own for name in re.findall(r"\bboxkite[a-z0-9_:]*", json.dumps(panel["targets"]))}
    recorded = set(re.findall(r"record: (\S+)", rules_text(RuleOptions())))

    assert len(used) == 10
    exported = {"boxkite_outcomes_rejected_total", "boxkite_outcomes_total"}
    assert used - recorded == exported
    service = ModelMonitoringService(built({"x": [1.0, 2.0] * 50}, [0.2, 0.8] * 50, actual=[0, 1] * 50), sink="none")
    text = service.export_http()[0].decode()
    assert all(f"{name}{{" in text for name in exported)


def test_the_limit_of_wrong_rows_is_the_one_of_the_alert() -> None:
    (panel,) = (panel for panel in dashboard()["panels"] if panel["title"] == "Is it worse than validated?")
    assert [target["legendFormat"] for target in panel["targets"]] == ["z", "limit"]
    assert panel["targets"][1]["expr"] == f"vector({Z_LIMIT})"
    # The alert lowers z by the share of outcomes that cannot be read.
    assert f"boxkite:model:wrong_excess[10m]) > {Z_LIMIT}" in rules_text(RuleOptions())


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_it() -> None:
    words = ["grafana", "--title", "Scoring", "--window", "30m", "--minimum-size", "0.2", "--group-by", "cluster"]
    result = CliRunner().invoke(boxkite, words)
    expected = dashboard_text(RuleOptions(windows=("30m",), minimum_size=0.2, group_by=("cluster",)), title="Scoring")

    assert (result.exit_code, result.output) == (0, expected)


def test_the_dashboard_of_the_example_is_the_one_that_it_writes() -> None:
    """After a change of it, run the command that the example's README has."""
    expected = dashboard_text(RuleOptions(), title="Model drift")
    assert (STACK / "grafana/dashboard.json").read_text(encoding="utf-8") == expected


def test_without_the_extra_it_names_it() -> None:
    program = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None; from flask_boxkite.cli import boxkite; boxkite()"
    )
    result = subprocess.run([sys.executable, "-c", program, "grafana"], capture_output=True, text=True)

    assert result.returncode == 1
    assert result.stderr == (
        "Error: 'grafana-foundation-sdk' is not installed. "
        "Run: pip install 'grafana-foundation-sdk==1769699379!11.6.0'\n"
    )
