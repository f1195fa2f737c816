"""Building the compiled part of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent / "setup.py"


@pytest.mark.parametrize(("place", "options"), [("built", ["--build-lib", "built"]), (".", ["--inplace"])])
def test_an_earlier_build_does_not_outlive_its_source(tmp_path: Path, place: str, options: list[str]) -> None:
    """Where the compiler fails, it would be installed beside the Python of today."""
    pytest.importorskip("setuptools")
    if not SETUP.is_file():
        pytest.skip("The tests of a wheel have no checkout.")
    shutil.copy(SETUP, tmp_path)
    folder = Path("flask_boxkite", "compiled")
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "native.pyx").touch()
    earlier = tmp_path / place / folder / f"native{sysconfig.get_config_var('EXT_SUFFIX')}"
    earlier.parent.mkdir(parents=True, exist_ok=True)
    earlier.touch()
    os.utime(tmp_path / folder / "native.pyx", (0, 0))  # as a checkout of an older commit may have it

    assert built(tmp_path, *options) == "the same for every machine"
    assert not earlier.exists()


BUILD = """
import sys
import setuptools
from distutils.core import run_setup

distribution = run_setup("setup.py", ["build_ext", *sys.argv[1:]])
print("for this machine" if distribution.has_ext_modules() else "the same for every machine")
"""


def built(directory: Path, *options: str) -> str:
    """Build the compiled part without a compiler; return for which machines a wheel of it would be."""
    environment = os.environ | {"CC": "/bin/false"}
    command = [sys.executable, "-c", BUILD, *options]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
