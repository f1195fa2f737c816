"""The example of a change that harms one group, run as a new user runs it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cli.commands import ROOT

EXAMPLE = ROOT / "examples" / "fairness"


def test_the_report_changes_as_its_page_says() -> None:
    env = os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT)}
    done = subprocess.run(
        [sys.executable, EXAMPLE / "credit.py"], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    verdicts = [line for line in lines if line.startswith(("January", "February"))]
    assert [line.partition(": ")[2] for line in verdicts] == ["within limits"] * 2 + ["unequal"] * 2
    shown = (EXAMPLE / "README.md").read_text("utf-8").split("```")[3].splitlines()
    sentences = [line for line in shown if line.endswith((".", "unequal", "limits")) and "(" not in line]
    assert len(sentences) == 4
    assert [line for line in sentences if line not in lines] == []
