"""The example's configuration: what is generated in it is up to date, and the programs take it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flask_boxkite.config import Settings
from flask_boxkite.provision import RuleOptions, rules_text, scrape_config_text
from tests.peers import require

STACK = Path(__file__).resolve().parents[2] / "examples" / "monitoring-stack"


def test_the_rules_are_those_that_the_command_writes() -> None:
    """After a change of the rules, run ``flask boxkite rules --output boxkite-rules.yml`` in that directory."""
    assert (STACK / "boxkite-rules.yml").read_text(encoding="utf-8") == rules_text(RuleOptions())


def test_the_scrape_job_is_the_one_that_the_command_writes() -> None:
    job = scrape_config_text(
        Settings(), job="app", targets=["app:8000"], scrape_interval="15s", credentials_file="unused"
    )
    assert (STACK / "prometheus.yml").read_text(encoding="utf-8").endswith(f"\n{job}")


@pytest.mark.peers
@pytest.mark.parametrize(
    ("command", "name"),
    [(["promtool", "check", "config"], "prometheus.yml"), (["amtool", "check-config"], "alertmanager.yml")],
    ids=["prometheus", "alertmanager"],
)
def test_the_programs_take_their_configuration(command: list[str], name: str) -> None:
    program, *arguments = command
    done = subprocess.run([require(program), *arguments, STACK / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
