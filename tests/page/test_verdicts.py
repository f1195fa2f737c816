"""Page, JSON, terminal, text, Markdown and segments agree on verdict, reason, size, rows and time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from flask_boxkite import Boxkite
from flask_boxkite.cli import boxkite
from flask_boxkite.drift.recurrence import ERROR
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.drift.wording import size_cell
from flask_boxkite.page.content import ModelView
from flask_boxkite.page.render import comparison_html
from flask_boxkite.page.wording import decision_statistics, since_text
from flask_boxkite.records import Records
from tests.baseline.training.building import built
from tests.cli.test_drift import answering
from tests.page.scenes import BATCH, REPEATS, SCENES, Scene, scene_of

REASON = f"{BATCH} rows in 1 request: wait for a second minute, or send smaller parts"
DASH = "\N{EN DASH}"
Line = dict[str, str]


@pytest.fixture(scope="module", params=list(SCENES))
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give one scene after the other, or the one that is asked for."""
    with scene_of(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


def only(name: str) -> pytest.MarkDecorator:
    """Have a test see one scene."""
    return pytest.mark.parametrize("scene", [name], indirect=True)


def plain(page: str) -> str:
    """Return the text of a page, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", page)).split())


def sentence(page: str) -> str:
    """Return what stands first on a page."""
    (found,) = re.findall(r'<p class="summary [a-z-]+">.*?</p>', page, re.DOTALL)
    return plain(found)


def lines(page: str) -> dict[str, Line]:
    """Return the cells of the table of an overview, by variable and label."""
    found: dict[str, Line] = {}
    for row in re.findall(r'<tr role="row" class=.*?</tr>', page, re.DOTALL):
        name = plain(re.findall(r'<th role="rowheader" scope="row">(.*?)</th>', row)[0]).removesuffix(" output")
        found[name] = {
            label: plain(cell) for label, cell in re.findall(r'data-label="(.*?)"[^>]*>(.*?)</td>', row, re.S)
        }
    return found


def numbers(page: str) -> dict[str, Line]:
    """Return the cells of the table of statistics, by name and label."""
    (table,) = re.findall(r'<table role="table" class="statistics">.*?</table>', page, re.DOTALL)
    return {
        plain(name): {label: plain(cell) for label, cell in re.findall(r'data-label="(\w+)"[^>]*>(.*?)</td>', cells)}
        for name, cells in re.findall(r'scope="row">(.*?)</th>(<td.*?)</tr>', table)
    }


def terminal(scene: Scene, *words: str, columns: int = 100) -> Result:
    """Return what the command says that asks the page."""
    content = scene.page("/boxkite/drift.json").encode()
    with answering(200, content) as (url, _):
        return CliRunner(env={"COLUMNS": str(columns)}).invoke(boxkite, ["drift", "--url", url, *words])


def cells_of(table: str) -> dict[str, list[str]]:
    """Return the words of each line of a table in a terminal but the first one, by that: the name of the variable."""
    return {line.split()[0]: line.replace(" (output)", "").split()[1:] for line in table.splitlines() if line.strip()}


# --- unclear ---------------------------------------------------------------------------------------------------------


@only("batch")
def test_a_batch_is_unclear_on_the_overview(scene: Scene) -> None:
    page = scene.page()

    assert sentence(page) == (
        "1 of 4 variables is unclear in the last 24 hours: age. It may have drifted, which cannot be told yet."
    )
    assert '<p class="summary unclear">' in page
    assert lines(page)["age"]["Verdict"] == f"◇ unclear {REASON}"
    assert [line["Verdict"] for name, line in lines(page).items() if name != "age"] == ["● stable"] * 3


@only("batch")
def test_a_batch_is_unclear_on_the_page_of_its_variable(scene: Scene) -> None:
    page = scene.variable("age")

    assert sentence(page).startswith(
        f"◇ unclear age may have moved in the last 24 hours, which cannot be told yet ({REASON}). Moved most: "
    )
    assert numbers(page)["G"]["Meaning"] == f"Above its limit only if each row counts: {REASON}."
    assert numbers(page)["Size"] == {
        "Value": DASH,
        "Limit": "0.1",
        "Meaning": "Only a certain change has a size.",
    }


@only("batch")
def test_a_batch_is_unclear_to_programs_and_in_text(scene: Scene) -> None:
    report = scene.monitor.drift(window="24h")
    age = scene.rows()["age"]
    text = str(report).replace("\n  ", " ").splitlines()

    assert (age["verdict"], age["reason"], age["since"]) == ("unclear", REASON, None)
    assert scene.rows()["plan"]["reason"] is None
    assert text[0].startswith("0 of 4 variables drifted in the last 24h, 1 is unclear. ")
    assert next(line for line in text if line.startswith("age ")).split()[:3] == ["age", "unclear", "-"]
    assert text[-1].startswith(f"age: {REASON}. PSI ")
    assert report.to_markdown().splitlines()[4].startswith(f"| age | unclear: {REASON} | - |  | {BATCH} | ")


@only("batch")
@pytest.mark.parametrize("columns", [60, 100])
def test_a_batch_is_unclear_in_a_terminal(scene: Scene, columns: int) -> None:
    text = terminal(scene, columns=columns).stdout.splitlines()

    assert text[0].startswith("credit: 0 of 4 variables drifted in the last 24 hours, 1 is unclear. ")
    assert text[5].split()[:3] == ["age", "unclear", "-"]
    assert " ".join(" ".join(text[6:]).split()) == f"Unclear: age ({REASON}) 3 stable (--all lists them)"


@only("batch")
def test_a_segment_is_unclear_for_the_reason_of_its_first_variable(scene: Scene) -> None:
    scene.monitor.flush(30)
    report = Records(scene.directory / "records").drift(scene.directory / "baseline.prom", by="plan")
    text = str(report).splitlines()
    age = report["free"].report["age"]

    assert {segment.verdict for segment in report} == {"unclear"}
    assert age.reason == f"{age.rows} rows in 1 request: wait for a second minute, or send smaller parts"
    assert re.match(r"0 of 3 segments by 'plan' drifted .*, 3 are unclear\. ", " ".join(text[:2]))
    assert f"free is unclear: age ({age.reason})" in text
    assert f"| unclear: age ({age.reason}) | 0/3 | " in report.to_markdown()


@only("batch")
@pytest.mark.parametrize("verdict", ["shifted", "drifted", "major"])
def test_unclear_is_no_drift_to_fail_on(scene: Scene, verdict: str) -> None:
    result = terminal(scene, "--fail-on", verdict)
    assert (result.exit_code, result.stderr) == (0, "")


@only("batch")
def test_variables_are_filtered_by_unclear(scene: Scene) -> None:
    page = scene.page(verdict="unclear")

    assert list(lines(page)) == ["age"]
    assert "1 of 4 variables shown" in page
    assert '<option value="unclear" selected>unclear (1)</option>' in page


# --- since when ------------------------------------------------------------------------------------------------------


@only("fault")
def test_a_fault_is_shown_since_it_began(scene: Scene) -> None:
    """After forty minutes, of which the stretch holds two rows: it begins with a full minute."""
    age = scene.rows()["age"]
    page = scene.variable("age")

    assert age["since"].startswith("2026-03-01T12:40:0")
    assert age["rows"] == 212
    assert lines(scene.page())["age"]["Verdict"] == "▲ major since 12:40 UTC"
    span = "since 12:40 UTC (212 rows)"
    assert sentence(page).startswith(f"▲ major age has moved far from training {span}. Moved most: missing, 0% ")
    assert f"Live {span}, where the change is plainest." in plain(page)
    assert "2,000 training rows, 212 live since 12:40 UTC." in plain(page)
    assert f"age has moved far from training, {span}" in plain(scene.page("/boxkite/report.html"))
    assert f"live rows since {age['since']} and" in str(scene.monitor.drift(window="24h")).replace("\n  ", " ")


@only("fault")
def test_distances_are_of_the_whole_window(scene: Scene) -> None:
    """No number of it has the name of one that is of a stretch."""
    age, page = scene.rows()["age"], scene.variable("age")
    named = re.findall(r'class="mark-text"[^>]*>(.*?)</text>', page)

    assert f"The whole window: {age['live_rows']:,} rows in the last 24 hours" in plain(page)
    assert float(numbers(page)["Kolmogorov-Smirnov"]["Value"]) == pytest.approx(age["kolmogorov_smirnov"], rel=0.005)
    assert [name.split()[:2] for name in named] == [["apart", "by"]]
    text = str(scene.monitor.drift(window="24h")).replace("\n  ", " ")
    assert f", over all {age['live_rows']} live rows Jensen-Shannon {age['jensen_shannon']:.3g}, " in text


@only("stable")
def test_where_all_is_of_the_whole_window_it_is_not_said(scene: Scene) -> None:
    age, page = scene.rows()["age"], scene.variable("age")
    (named,) = re.findall(r'class="mark-text"[^>]*>(.*?)</text>', page)

    assert age["since"] is None
    assert "The whole window" not in page
    assert named.split()[:2] == ["K-S", numbers(page)["Kolmogorov-Smirnov"]["Value"]]
    assert " over all " not in str(scene.monitor.drift())
    assert "since" not in terminal(scene, "--all").stdout


@only("fault")
def test_another_day_is_said(scene: Scene) -> None:
    """A report may be read the next day, and records may be of any day."""
    row = scene.rows()["age"]
    assert since_text(row, "2026-03-01") == "since 12:40 UTC"
    assert since_text(row, "2026-03-02") == since_text(row, None) == "since 2026-03-01 12:40 UTC"

    content = json.loads(scene.page("/boxkite/drift.json"))
    for time, shown in (("2026-03-01T12:47:03Z", "12:40Z"), ("2026-03-02T00:00:00Z", "03-01 12:40Z")):
        with answering(200, json.dumps({**content, "time": time}).encode()) as (url, _):
            result = CliRunner(env={"COLUMNS": "60"}).invoke(boxkite, ["drift", "--url", url])
        assert re.search(rf"^age +major +\S+ +{shown}$", result.stdout, re.M)
    scene.monitor.flush(30)
    words = ["--records", str(scene.directory / "records"), "--baseline", str(scene.directory / "baseline.prom")]
    by_records = CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, ["drift", *words])
    assert re.search(r"^age +major +\S+ +03-01 12:40Z ", by_records.stdout, re.M)
    html = CliRunner().invoke(boxkite, ["drift", *words, "--format", "html"]).stdout
    assert lines(html)["age"]["Verdict"] == "▲ major since 2026-03-01 12:40 UTC"
    assert "Charts show all of them; verdicts and numbers beside a time cover the rows since then." in plain(html)


# --- rows ------------------------------------------------------------------------------------------------------------


@only("repeats")
def test_rows_that_repeat_each_other_are_said_so(scene: Scene) -> None:
    age = scene.rows()["age"]
    meaning = numbers(scene.variable("age"))["φ, dispersion"]["Meaning"]

    assert age["recurrence"] == pytest.approx(REPEATS, rel=0.2)
    assert age["dispersion"] == pytest.approx(age["recurrence"] * (1 - ERROR))
    assert meaning == f"Rows repeat each other: {age['dispersion']:.3g} count as one."
    assert f"rows repeat each other: {age['dispersion']:.3g} count as one, " in str(scene.monitor.drift()).replace(
        "\n  ", " "
    )


@only("stable")
@pytest.mark.parametrize(
    ("dispersion", "recurrence", "meaning"),
    [
        (8.0, 8.0, "Rows repeat each other: 8 count as one."),
        (8.0, 1.0, "Shares differ from minute to minute: 8 rows count as one."),
        (8.0, None, "Shares differ from minute to minute: 8 rows count as one."),
        (1.2, 1.2, "Each row counts."),
        (1.0, None, "Each row counts."),
    ],
)
def test_rows_repeat_where_that_was_measured(
    scene: Scene, dispersion: float, recurrence: float | None, meaning: str
) -> None:
    row = scene.rows()["age"] | {"dispersion": dispersion, "recurrence": recurrence}
    assert {item.name: item.meaning for item in decision_statistics(row)}["φ, dispersion"] == meaning


@only("users")
def test_many_rows_that_are_not_enough_have_a_reason(scene: Scene) -> None:
    """A number alone would contradict the verdict: 200 rows, where 30 are needed."""
    reason = "200 rows, of which fewer than 30 are different"
    page = scene.page()
    few = next(name for name, row in scene.rows().items() if row["verdict"] == "not enough data")

    assert "They may have drifted, which cannot be told yet. 2 have not enough data." in sentence(page)
    assert lines(page)[few]["Verdict"] == f"○ not enough data {reason}"
    assert sentence(scene.variable(few)).startswith(
        f"○ not enough data {few} has too few rows to tell in the last 24 hours ({reason}). "
    )
    assert numbers(scene.variable(few))["G"]["Meaning"] == f"Not enough data yet: {reason}."
    assert re.search(rf"^Not enough data: .*{few}.* \({reason}\)$", terminal(scene, "--all").stdout, re.M)


# --- the same everywhere ---------------------------------------------------------------------------------------------


def test_each_number_is_the_same_wherever_it_is_shown(scene: Scene) -> None:
    """Verdict, size and rows of every variable; a size only where there is a change."""
    shown, report = lines(scene.page()), scene.monitor.drift(window="24h")
    table = cells_of(terminal(scene, "--all").stdout)
    text = cells_of(str(report))
    markdown = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in report.to_markdown().splitlines()[4:]}
    for name, row in scene.rows().items():
        is_changed = row["verdict"] in ("shifted", "drifted", "major")
        size, rows = f"{row['size']:.2f}" if is_changed else "-", f"{row['rows']:,}"
        verdict = row["verdict"].split()
        title = name if row["side"] == "feature" else f"{name} (output)"

        assert shown[name]["Verdict"].split()[1 : 1 + len(verdict)] == verdict
        assert (shown[name]["Size"], shown[name]["Rows"]) == (size.replace("-", DASH), rows)
        for cells in (table[name], text[name]):
            assert cells[: len(verdict) + 1] == [*verdict, size]
        assert rows in table[name]
        assert rows.replace(",", "") in text[name]
        assert markdown[title][1].partition(":")[0] == row["verdict"]
        assert (markdown[title][2], markdown[title][4]) == (size, rows.replace(",", ""))
        if row["side"] == "feature":
            of_its_own = numbers(scene.variable(name))["Size"]["Value"]
            assert of_its_own == f"{row['size']:.3g}" if is_changed else of_its_own == DASH


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_a_table_fits_its_terminal(scene: Scene, columns: int) -> None:
    """Names may be cut, verdicts and sizes not."""
    table = terminal(scene, "--all", columns=columns).stdout.splitlines()[2:]
    assert max(map(len, table)) <= columns
    for line, row in zip(table[3:], scene.rows().values(), strict=False):
        assert f" {row['verdict']} " in f"{line} "
        assert f" {size_cell(row)} " in f"{line} "
    assert max(map(len, str(scene.monitor.drift()).splitlines())) <= 100


@pytest.mark.parametrize(
    ("verdict", "size", "shown"),
    [
        ("major", 11.449, "11.45"),
        ("drifted", 0.1, "0.10"),
        ("shifted", 0.0, "<0.01"),
        ("unclear", 6.8, "-"),
        ("stable", 0.21, "-"),
        ("not enough data", 0.5, "-"),
    ],
)
def test_only_a_change_has_a_size(verdict: str, size: float, shown: str) -> None:
    assert size_cell({"verdict": verdict, "size": size}) == shown


def with_verdicts(report: DriftReport, *verdicts: str) -> DriftReport:
    """Return a report whose variables have other verdicts."""
    items: list[Any] = [
        replace(item, judgement=replace(item.judgement, verdict=verdict), reason="why" if verdict == "unclear" else "")
        for item, verdict in zip(report.variables, verdicts, strict=True)
    ]
    return replace(report, variables=tuple(items))


@only("stable")
@pytest.mark.parametrize(
    ("verdicts", "state", "said"),
    [
        (["stable"] * 4, "stable", "No variable has drifted in x."),
        (["shifted", "stable", "stable", "stable"], "stable", "No variable has drifted in x."),
        (
            ["unclear", "unclear", "stable", "stable"],
            "unclear",
            "2 of 4 variables are unclear in x: A, B. They may have drifted, which cannot be told yet.",
        ),
        (["major", "stable", "stable", "stable"], "major", "1 of 4 variables has drifted in x: A."),
        (
            ["drifted", "unclear", "stable", "stable"],
            "drifted",
            "1 of 4 variables has drifted in x: A. 1 more is unclear.",
        ),
        (
            ["major", "drifted", "unclear", "unclear"],
            "major",
            "2 of 4 variables have drifted in x: A, B. 2 more are unclear.",
        ),
        (
            ["stable", "stable", "not enough data", "not enough data"],
            "stable",
            "No variable has drifted in x. 2 have not enough data.",
        ),
        (
            ["major", "unclear", "stable", "not enough data"],
            "major",
            "1 of 4 variables has drifted in x: A. 1 more is unclear. 1 has not enough data.",
        ),
    ],
)
def test_the_first_sentence_counts_what_is_unclear(scene: Scene, verdicts: list[str], state: str, said: str) -> None:
    observation = scene.app.extensions["boxkite"].monitor.model(None).observe()
    report = with_verdicts(observation.report, *verdicts)
    view = ModelView("credit", observation.baseline, report, observation.cells, when="in x")
    page = comparison_html("x", view, 0.0)
    first, second, *_ = [item.name for item in report]

    assert sentence(page) == said.replace("A", first).replace("B", second)
    assert "Charts show all of it" not in page
    assert f'<p class="summary {state}">' in page


def test_two_shares_that_differ_look_different_in_every_place() -> None:
    app = Flask(__name__)
    baseline = built({"plan": ["free"] * 594 + ["pro"] * 406})
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK="none", BOXKITE_DASHBOARD_PATH="/boxkite")
    monitor = Boxkite(app)
    with app.app_context():
        monitor.log_prediction(features={"plan": ["free"] * 586 + ["pro"] * 414})
    client = app.test_client()

    overview, report = (client.get(f"/boxkite/{page}?window=start").text for page in ("", "report.html"))
    variable = client.get("/boxkite/variable?window=start&model=default&side=feature&variable=plan").text

    assert [lines(page)["plan"]["Moved most"] for page in (overview, report)] == ["free: 59.4% → 58.6%"] * 2
    assert "Moved most: free, 59.4% of rows in training, 58.6% live." in sentence(variable)
    assert re.search(r"<text[^>]*>59.4% → 58.6%</text>", variable)
    assert "free59.4%58.6%" in plain(variable)
