"""Pictures of baselines in a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.cli import boxkite
from flask_boxkite.cli.bars import bar, column_chart, sparkline
from tests.cli.commands import ROOT, people, run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a baseline file."""
    frame = people(np.random.default_rng(0))
    path = tmp_path_factory.mktemp("inspect") / "baseline.prom"
    ModelMonitoringService.export_text(
        frame.drop("score").rename({"kids": "kids\x1b[2J"}), frame["score"], path, model="m", version="7"
    )
    return path


def shown(*words: str | Path, columns: int = 100) -> list[str]:
    """Run the command in this process; return the lines."""
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(boxkite, ["inspect", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_every_variable_has_a_line_that_fits(path: Path, columns: int) -> None:
    lines = shown(path, columns=columns)
    baseline = Baseline.load(path)
    assert lines[0] == f"Model 'm', version 7, baseline {baseline.fingerprint}"
    assert max(map(len, lines[1:])) <= columns  # a terminal wraps the first
    names = [line.split()[0] for line in lines[5:]]
    # What would move the cursor is shown, not done.
    assert names == ["age", "income", "city", "kids\N{REPLACEMENT CHARACTER}[2J", "member", "output"]


@pytest.mark.parametrize("columns", [80, 100])
def test_a_line_has_kind_picture_values_and_gaps(path: Path, columns: int) -> None:
    baseline = Baseline.load(path)
    lines = shown(path, columns=columns)
    city, income = next(line for line in lines if "city" in line), next(line for line in lines if "income" in line)
    counts = dict(zip(baseline.features[2].categories, baseline.features[2].counts, strict=True))  # type: ignore[union-attr]
    words = ", ".join(f"{name} {counts[name] / 600:.0%}" for name in ("Berlin", "Rome"))
    assert city.split()[:2] == ["city", "discrete"]
    assert words in city
    assert "█" in city
    assert income.endswith(f"{baseline.features[1].missing / 600:.0%}")


def test_a_variable_begins_and_ends_at_its_training_values(tmp_path: Path) -> None:
    rng, file = np.random.default_rng(2), tmp_path / "ends.prom"
    days = np.datetime64("2018-01-01") + np.array([0, 700, *rng.integers(0, 700, 300)])
    ModelMonitoringService.export_text({"rate": [0.0, 100.0, *rng.uniform(0, 100, 300)], "since": days}, None, file)
    assert any(" 0 to 100 " in line for line in shown(file))
    assert any(" 2018-01-01 to 2019-12-02 " in line for line in shown(file))
    groups = [line for line in shown(file, "--variable", "rate") if " to " in line]
    assert groups[0].startswith("0 to ")
    assert " to 100 " in groups[-1]
    assert not [line for line in shown(file, "--variable", "since") if "2017" in line]


def test_json_has_all_counts(path: Path, tmp_path: Path) -> None:
    done = run("inspect", path, "--format", "json", cwd=tmp_path)
    content: dict[str, Any] = json.loads(done.stdout)
    baseline = Baseline.load(path)

    about = [content[key] for key in ("model", "version", "baseline", "rows")]
    assert about == ["m", "7", baseline.fingerprint, 600]
    assert content["features"][0]["counts"] == list(baseline.features[0].counts)
    assert content["features"][0]["upper_bounds"] == list(baseline.features[0].upper_bounds)  # type: ignore[union-attr]
    assert content["features"][2]["categories"] == dict(
        zip(baseline.features[2].categories, baseline.features[2].counts, strict=True)  # type: ignore[union-attr]
    )
    for item in (*content["features"], *content["outputs"]):
        assert sum(item["groups"].values()) == item["rows"] == 600


@pytest.mark.parametrize("columns", [40, 100])
def test_one_variable_is_shown_in_large_with_its_groups(path: Path, columns: int) -> None:
    lines = shown(path, "--variable", "age", columns=columns)
    item = Baseline.load(path).features[0]
    assert lines[0] == "age: continuous, 600 rows"
    assert sum("█" in line for line in lines) >= 8
    assert max(map(len, lines)) <= columns
    assert lines[13].split()[0] == "8"  # the scale, below ten lines of columns and one of dashes
    rows = [int(line.split()[-2]) for line in lines[-len(item.groups) :]]
    assert rows == [sum(item.cells[group.start : group.stop]) for group in item.groups]


def test_categories_are_shown_as_bars(path: Path) -> None:
    lines = shown(path, "--variable", "city")
    lengths = {line.split()[0]: line.count("█") for line in lines[2:5]}
    assert lengths["Berlin"] > lengths["Rome"] > lengths["Oslo"] > 0


def test_letters_that_are_two_columns_wide_are_not_cut_for_it(tmp_path: Path) -> None:
    ModelMonitoringService.export_text({"x": ["温度計", "雨"]}, path=tmp_path / "b")
    assert "温度計    50% █" in "\n".join(shown(tmp_path / "b", "--variable", "x"))


def test_a_picture_can_go_to_a_file(path: Path, tmp_path: Path) -> None:
    assert shown(path, "--output", tmp_path / "picture.txt") == []
    assert (tmp_path / "picture.txt").read_text("utf-8").startswith("Model 'm'")


def test_a_variable_that_is_not_there_is_named(path: Path) -> None:
    result = CliRunner().invoke(boxkite, ["inspect", str(path), "--variable", "incom"])
    assert (result.exit_code, result.output) == (
        1,
        "Error: The baseline has no variable 'incom'. Did you mean 'income'?\n",
    )


def test_what_is_written_for_people_is_one_line_each(tmp_path: Path) -> None:
    ModelMonitoringService.export_text({"x": [1.0]}, path=tmp_path / "b", version="\x1b[2J")
    assert shown(tmp_path / "b")[0].startswith("Model 'default', version �[2J, ")
    assert shown(tmp_path / "b")[1].startswith("1 row, made ")
    assert shown(tmp_path / "b", "--variable", "x")[0] == "x: discrete, 1 row"


@pytest.mark.parametrize("content", [b"x,y\n1,2\n", b"\xff\xfe", b""], ids=["data", "not text", "empty"])
def test_what_is_no_baseline_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.prom").write_bytes(content)
    done = run("inspect", "b.prom", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Baseline file 'b.prom'")
    assert len(done.stderr.splitlines()) == 1


def test_who_reads_no_further_ends_it_quietly(path: Path) -> None:
    """A reader such as ``| head`` leaves early; this one has left before the first line."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "flask_boxkite", "inspect", path, "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device.")
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_full_disk_is_one_line(path: Path, form: str) -> None:
    command = f"'{sys.executable}' -m flask_boxkite inspect '{path}' --format {form} >/dev/full"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    line = "Error: Standard output cannot be written: No space left on device. Is there free space?\n"
    assert (done.returncode, done.stderr) == (1, line)


def test_a_terminal_without_the_letters_shows_question_marks(path: Path, tmp_path: Path) -> None:
    done = run("inspect", path, cwd=tmp_path, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "?????" in done.stdout


# --- letters ---------------------------------------------------------------------------------------------------------


def test_columns_are_as_high_as_shares_are_large(rng: np.random.Generator) -> None:
    shares = rng.dirichlet(np.ones(30))
    height = 6
    lines = column_chart(shares, height)
    eighths = [sum(" ▁▂▃▄▅▆▇█".index(line[place]) for line in lines) for place in range(30)]
    assert np.abs(np.array(eighths) - shares / shares.max() * height * 8).max() <= 1
    assert max(eighths) == height * 8


def test_what_is_there_is_seen_and_what_is_not_is_blank() -> None:
    assert sparkline([0, 1e-9, 1], 3) == " ▁█"
    assert sparkline([0, 0], 2) == "  "
    assert bar(0, 10) == ""
    assert bar(1e-9, 10) == "▏"
    assert bar(0.5, 5) == "██▌"


def test_neighbours_share_a_letter() -> None:
    assert sparkline([1, 1, 4, 4], 2) == "▂█"
