"""Commands where the packages of an extra are not installed: each names what to install."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flask_boxkite import ModelMonitoringService
from tests.cli.commands import run_python

CLI = "This command needs the extra 'cli'. Run: pip install 'rich>=14.3' 'polars>=1.34'"
RECORDS = (
    "Reading records back needs more packages: import of fsspec halted; None in sys.modules. "
    "Run: pip install 'fsspec>=2024.12' 'msgspec>=0.21' 'pyarrow>=17'"
)
GRAFANA = "'grafana-foundation-sdk' is not installed. Run: pip install 'grafana-foundation-sdk==1769699379!11.6.0'"

BASELINE = ["baseline", "x.csv", "--out", "b.prom"]
RECORDED = ["drift", "--records", ".", "--baseline", "a.prom"]
WITHOUT = {
    "baseline": (BASELINE, ["polars", "rich"], CLI),
    "baseline, with rich": (BASELINE, ["polars"], CLI),
    "compare": (["compare", "a.prom", "x.csv"], ["polars", "rich"], CLI),
    "inspect": (["inspect", "a.prom"], ["polars", "rich"], CLI),
    "check": (["check"], ["polars", "rich"], CLI),
    "drift of records": (RECORDED, ["rich"], CLI),
    "drift of records, with the extra cli": (RECORDED, ["fsspec", "msgspec"], RECORDS),
    "performance of records": (["performance", *RECORDED[1:]], ["rich"], CLI),
    "performance of records, with the extra cli": (["performance", *RECORDED[1:]], ["fsspec"], RECORDS),
    "grafana": (["grafana"], ["grafana_foundation_sdk"], GRAFANA),
}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path) -> Path:
    """Return a directory with a baseline and data."""
    (tmp_path / "x.csv").write_text("x\n1\n2\n")
    ModelMonitoringService.export_text({"x": [1.0, 2.0]}, path=tmp_path / "a.prom")
    return tmp_path


def run_without(packages: list[str], words: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where some packages are not installed."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({packages!r}))"
    return run_python("-c", f"{hide}; from flask_boxkite.cli import boxkite; boxkite({words!r})", cwd=directory)


@pytest.mark.parametrize(("words", "packages", "message"), WITHOUT.values(), ids=WITHOUT)
def test_a_command_without_its_extra_names_it(
    words: list[str], packages: list[str], message: str, directory: Path
) -> None:
    done = run_without(packages, words, directory)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {message}\n")


def test_without_extras_other_commands_work(directory: Path) -> None:
    packages = ["polars", "rich", "fsspec", "msgspec", "pyarrow", "grafana_foundation_sdk", "mlflow"]
    assert run_without(packages, ["rules"], directory).returncode == 0
    (directory / "o.csv").write_text("prediction_id,actual\n")
    done = run_without(packages, ["outcomes", "o.csv", "--url", "http://localhost/"], directory)
    assert done.stderr == "Error: There are no outcomes in 'o.csv'.\n"
