"""The command lines of the tests' programs: a number out of range is a usage error, before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("tests.chaos --workers 0", "argument --workers: must be at least 1, not 0"),
        ("tests.chaos --minutes 0", "argument --minutes: must be a number above 0, not 0"),
        ("tests.chaos --rate nan", "argument --rate: must be a number above 0, not nan"),
        ("tests.chaos --rate fast", "argument --rate: invalid number value: 'fast'"),
        ("tests.web.fuzz --seconds -1", "argument --seconds: must be a number above 0, not -1"),
        ("tests.web.fuzz --requests 0", "argument --requests: must be at least 1, not 0"),
        ("tests.web.fuzz --jobs 0", "argument --jobs: must be at least 1, not 0"),
        ("tests.web.fuzz --start -1", "argument --start: must be at least 0, not -1"),
        ("tests.web.fuzz --only x", "argument --only: invalid whole number value: 'x'"),
        ("tests.benchmarks --repeat 0", "argument --repeat: must be at least 1, not 0"),
        ("tests.benchmarks.drift_quality --jobs 0", "argument --jobs: must be at least 1, not 0"),
        ("tests.benchmarks.rule_cost --features 0", "argument --features: must be at least 1, not 0"),
        ("tests.benchmarks.rule_cost --replicas 0", "argument --replicas: must be at least 1, not 0"),
        ("tests.benchmarks.rule_cost --window soon", "'soon'"),
    ],
)
def test_a_number_out_of_range_is_a_usage_error(command: str, problem: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (2, "")
    assert problem in result.stderr.splitlines()[-1]
