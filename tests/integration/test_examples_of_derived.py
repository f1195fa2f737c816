"""The examples of derived variables, run as a new user runs them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.commands import ROOT

EXAMPLES = ROOT / "examples" / "derived"


@pytest.mark.parametrize(
    ("name", "seen"),
    [("texts", "text.unknown_words (major)"), ("images", "image.distance (major)")],
    ids=["texts", "images"],
)
def test_an_example_sees_the_change_and_nothing_before(name: str, seen: str) -> None:
    env = os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT)}
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    usual, changed = done.stdout.splitlines()
    assert usual.endswith("nothing has drifted")
    assert seen in changed
    page = (EXAMPLES / "README.md").read_text("utf-8")
    assert usual in page
    assert seen in page
