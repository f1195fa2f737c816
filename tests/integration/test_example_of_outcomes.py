"""The example of outcomes that come days later, run as a new user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.cli.commands import ROOT

EXAMPLE = ROOT / "examples" / "outcomes"


def test_ninety_days_end_as_its_page_says() -> None:
    env = os.environ | {"BOXKITE_QUICKSTART_VENV": sys.prefix, "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT)}
    done = subprocess.run(
        [sys.executable, EXAMPLE / "run.py"], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = {int(line.split()[0]): line for line in done.stdout.splitlines() if re.match(r" +\d+  ", line)}
    assert set(lines) == set(range(10, 91, 10))
    assert all("not enough data" in lines[day] for day in range(10, 41, 10)), "early outcomes lie"
    assert all(lines[day].endswith("as validated") for day in (50, 60))
    assert "age" in lines[60]
    assert lines[90].endswith("worse")
    said = re.findall(r"^ +\d+  .*$", (EXAMPLE / "README.md").read_text("utf-8"), re.M)
    assert [line.split()[-1] for line in said] == [line.split()[-1] for line in lines.values()]
    assert "worse than validated" in (EXAMPLE / "run" / "report.html").read_text("utf-8")


def test_every_file_is_explained() -> None:
    text = (EXAMPLE / "README.md").read_text("utf-8")
    assert [path.name for path in EXAMPLE.glob("*.py") if path.name not in text] == []
