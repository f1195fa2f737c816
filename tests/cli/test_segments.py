"""Segments in commands: drift of a server's page and state directory, a baseline's segments, and how to make them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from flask import Flask, Response

from flask_boxkite import Baseline
from flask_boxkite.cli import boxkite
from flask_boxkite.drift.segments import SegmentReport
from flask_boxkite.drift.wording import percent
from tests.cli.commands import refused, run
from tests.cli.shops import serving
from tests.web.segmented import columns, segmented_app, send, trained

TOKEN = "open-sesame"


class World:
    """A server in whose rows Finland has moved.

    Args:
        directory: Directory of its files.
    """

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.state.mkdir()
        self.baseline = directory / "baseline.prom"
        trained(self.baseline)
        self.app = segmented_app(
            str(self.baseline), BOXKITE_METRICS_TOKEN=TOKEN, BOXKITE_STATE_DIR=str(self.state), BOXKITE_NAME="one"
        )
        send(self.app, columns(1000, 3, moved="FI"))
        self.url = ""

    def report(self, window: str | None) -> SegmentReport:
        """Return the segments by country."""
        with self.app.app_context():
            report: SegmentReport = self.app.monitor.drift(by="country", window=window)  # type: ignore[attr-defined]
            return report


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("segments"))
    with serving(world.app) as world.url:
        yield world


def drift(*words: str | Path) -> Result:
    return CliRunner().invoke(boxkite, ["drift", *map(str, words)])


def source(world: World, kind: str) -> list[str]:
    """Return the options that name the server."""
    return ["--url", world.url, "--token", TOKEN] if kind == "url" else ["--state-dir", str(world.state)]


@pytest.mark.parametrize("kind", ["url", "state_dir"])
@pytest.mark.parametrize("window", ["24h", "start"])
def test_segments_of_a_server_are_those_of_its_monitor(world: World, kind: str, window: str) -> None:
    report = world.report(None if window == "start" else window)
    words = [*source(world, kind), "--by", "country", "--window", window]

    assert drift(*words).stdout == f"{report}\n"
    assert drift(*words, "--format", "markdown").stdout == f"{report.to_markdown()}\n"
    content = json.loads(drift(*words, "--model", "credit", "--format", "json").stdout)
    assert {key: content[key] for key in report.to_dict()} == json.loads(json.dumps(report.to_dict()))
    assert "FI moved most: " in (text := " ".join(drift(*words).stdout.split()))
    assert "have drifted; all rows together have not." in text


@pytest.mark.parametrize("kind", ["url", "state_dir"])
def test_drift_of_a_segment_sets_the_exit_code(world: World, kind: str) -> None:
    by_country = drift(*source(world, kind), "--by", "country", "--fail-on", "drifted")
    by_sex = drift(*source(world, kind), "--by", "sex", "--fail-on", "drifted")

    assert (by_country.exit_code, by_sex.exit_code) == (3, 0)
    assert by_country.stderr == "Drift found: 2 variables, drifted or worse.\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--by", "Country"], "There are no segments by 'Country' of any model. Did you mean 'country'?"),
        (["--by", "age"], "There are no segments by 'age' of any model. There are: 'country', 'sex'."),
    ],
)
def test_segments_that_are_not_there_are_refused(world: World, words: list[str], text: str) -> None:
    page = f"'{world.url}/segments.json' answered 404 NOT FOUND. "
    for kind, start in (("url", page), ("state_dir", "")):
        result = drift(*source(world, kind), *words)
        assert (result.exit_code, result.output) == (1, f"Error: {start}{text}\n")


def test_a_model_that_is_not_there_is_refused(world: World) -> None:
    words = ["--by", "sex", "--model", "other"]
    assert "There are no segments by 'sex' of a model 'other'." in drift(*source(world, "url"), *words).output
    assert "Nothing of a model 'other' was counted in" in drift(*source(world, "state_dir"), *words).output


def test_one_of_several_models_is_to_be_named(world: World, tmp_path: Path) -> None:
    baseline = Baseline.load(world.baseline)
    app = segmented_app(
        {"credit": baseline, "loan": baseline}, BOXKITE_STATE_DIR=str(tmp_path / "state"), BOXKITE_NAME="two"
    )
    send(app, columns(4, 3))
    text = "Several models have segments by 'sex': 'credit', 'loan'. Name one of them: "
    with serving(app) as url:
        result = drift("--url", url, "--by", "sex")
        assert (result.exit_code, result.output.rstrip().endswith(f"{text}'model'.")) == (1, True)
        assert drift("--url", url, "--by", "sex", "--model", "loan").exit_code == 0
    result = drift("--state-dir", tmp_path / "state", "--by", "sex")
    assert (result.exit_code, result.output) == (1, f"Error: {text}--model\n")
    assert drift("--state-dir", tmp_path / "state", "--by", "sex", "--model", "credit").exit_code == 0


def test_a_page_says_why_it_has_no_such_window(world: World) -> None:
    result = drift(*source(world, "url"), "--by", "country", "--window", "30d")
    assert result.exit_code == 1
    assert "answered 400 BAD REQUEST. 'window' must be one of" in result.output


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Response("<h1>Not Found", 404), "404 NOT FOUND. Is the drift page on ('BOXKITE_DASHBOARD_PATH'), and is this"),
        (Response('{"format": 1, "segments": []}'), "is not a drift page that this release can read."),
        (Response('{"format": 2}'), "is not a drift page that this release can read."),
        (Response("[]"), "is not a drift page that this release can read."),
        (Response("<h1>Log in"), "is not a drift page that this release can read."),
    ],
)
def test_what_is_no_page_of_segments_is_refused(answer: Response, text: str) -> None:
    app = Flask("other")
    app.add_url_rule("/boxkite/segments.json", view_func=lambda: answer, endpoint="other")
    with serving(app) as url:
        result = drift("--url", url, "--by", "country")
    assert result.exit_code == 1
    assert text in result.output


def test_there_is_no_html_of_segments(world: World) -> None:
    result = drift(*source(world, "url"), "--by", "country", "--format", "html")
    assert result.exit_code == 2
    assert "There is no HTML report by segment (--by)" in result.output


# --- baselines -------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(directory: Path) -> Path:
    """Write training data to a file; return its path."""
    rows: dict[str, Any] = columns(600, 0)
    pl.DataFrame({**rows, "score": [0.5, 0.25] * 300, "id": range(600)}).write_csv("train.csv")
    return directory / "train.csv"


def test_a_column_of_a_file_segments_rows(data: Path) -> None:
    words = ["--output-column", "score", "--exclude", "id", "--segment", "country", "--segment", "sex"]
    done = run("baseline", data.name, *words, "--out", "b.prom", cwd=data.parent)
    made = Baseline.load(data.parent / "b.prom")

    assert made.segmented_by == ("country", "sex")
    assert made.segmentations[0].segments == ("SE", "NO", "FI", "<b>")
    assert "  segments by country: 4 (SE, NO, FI, <b>)\n  segments by sex: 2 (" in done.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            "--segment contry",
            "'--segment' names 'contry', which the data does not have. Did you mean 'country'?",
        ),
        (
            "--segment country --exclude country",
            "'--segment' and '--exclude' both name 'country'. Rows of files are segmented by features and outputs "
            "alone: remove it from '--exclude', or give export_text() the rows in memory, with segments=['country'] "
            "and exclude=['country'].",
        ),
        (
            "--output-column score --actual-column sex --segment sex",
            "'--segment' and '--actual-column' both name 'sex'. Rows of files are segmented by features and outputs "
            "alone: remove it from '--actual-column', or give export_text() the rows in memory, with segments=['sex'] "
            "and exclude=['sex'].",
        ),
    ],
)
def test_a_column_that_cannot_segment_rows_is_refused(data: Path, words: str, text: str) -> None:
    assert refused(data.name, *words.split()) == f"Error: {text}"
    assert not Path("b.prom").exists()


def test_segments_of_a_baseline_are_shown_with_their_shares(world: World) -> None:
    result = CliRunner().invoke(boxkite, ["inspect", str(world.baseline)])
    text = " ".join(result.output.split())

    (shares,) = re.findall(r"Segments by country: (.*?)\.(?: |$)(?=Segments)", text)
    rows = columns(4000, 0)["country"]
    names = ["SE", "NO", "FI", "<b>"]
    assert shares == ", ".join(f"{name} ({percent(rows.count(name) / 4000)})" for name in names)
    assert "Segments by sex: " in text
    assert "all others" not in text


def test_json_has_the_segments_of_a_baseline(world: World) -> None:
    result = CliRunner().invoke(boxkite, ["inspect", str(world.baseline), "--format", "json"])
    first, second = json.loads(result.output)["segmentations"]

    rows = columns(4000, 0)["country"]
    assert (first["by"], first["side"], second["by"]) == ("country", "feature", "sex")
    assert [(each["name"], each["rows"]) for each in first["segments"]] == [
        *((name, rows.count(name)) for name in ("SE", "NO", "FI", "<b>")),
        ("__rare__", 0),
    ]
