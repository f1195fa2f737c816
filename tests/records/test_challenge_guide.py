"""The guide to challengers runs as written, and says what is true."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pandas
import pytest
from click.testing import CliRunner

from flask_boxkite.cli import boxkite
from tests.test_package import ROOT, python_blocks

GUIDE = ROOT / "docs" / "guides" / "challenger.md"


def test_the_guide_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "guide"}
    for block in python_blocks(GUIDE):
        assert block.reason is None
        # Tracebacks show the lines of the file.
        exec(compile("\n" * block.line + block.source, GUIDE, "exec"), names)
    report = names["report"]
    shown = GUIDE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    assert shown.partition("\n\n")[2] == f"{str(report).partition(chr(10) * 2)[2]}\n"
    assert report.verdict == "better"

    pandas.DataFrame(names["outcomes"]).to_csv("outcomes.csv", index=False)
    text = GUIDE.read_text(encoding="utf-8").partition("```sh\n")[2].partition("```")[0]
    words = shlex.split(text.replace("\\\n", " "))
    assert words[:2] == ["flask", "boxkite"]
    result = CliRunner().invoke(boxkite, words[2:])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{report}\n"
