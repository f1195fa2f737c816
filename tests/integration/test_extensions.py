"""Other extensions of Flask on one app with ours: the tests of `tests/extensions`, in an environment that has them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import flask_boxkite
from tests.peers import extensions_python

ROOT = Path(__file__).resolve().parents[2]
ONLY_OUR_WARNINGS = "filterwarnings=ignore\nerror:::flask_boxkite"


@pytest.mark.peers
def test_other_extensions_on_the_same_app(tmp_path: Path) -> None:
    # That environment has all that the package needs, but maybe another copy of it.
    (tmp_path / "flask_boxkite").symlink_to(Path(flask_boxkite.__file__).parent)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [extensions_python(), "-m", "pytest", "tests/extensions", "--confcutdir=tests/extensions", "-q"]
    options = ["-p", "no:cacheprovider", "-o", ONLY_OUR_WARNINGS]
    done = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
