"""The command in messages that installs what an extra holds."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from flask_boxkite.extras import install_command

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "flask_boxkite").rglob("*.py"))


def written_extras() -> dict[str, list[str]]:
    """Return the packages of each extra, as pyproject.toml has them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\[project\.optional-dependencies\]\n(.*?)^\[", text, re.M | re.S)
    lines = re.findall(r"^(\w+) = \[(.*)\]$", table, re.M)
    return {name: re.findall(r'"([^"]+)"', packages) for name, packages in lines}


@pytest.mark.parametrize("extra", written_extras())
def test_the_command_installs_the_packages_of_an_extra(extra: str) -> None:
    assert shlex.split(install_command(extra)) == ["pip", "install", *written_extras()[extra]]


def test_a_shell_takes_no_part_of_the_command_for_its_own() -> None:
    assert install_command("cli") == "pip install 'rich>=14.3' 'polars>=1.34'"


def test_a_copy_without_metadata_names_the_extra() -> None:
    assert install_command("cli", distribution="not-installed") == "pip install 'not-installed[cli]'"


def test_every_message_asks_for_the_command() -> None:
    """A command that names an extra would look for this package in the registry."""
    assert [path for path in SOURCES if "flask-boxkite[" in path.read_text(encoding="utf-8")] == []
