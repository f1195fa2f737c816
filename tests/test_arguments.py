"""The command lines of the tests' programs: a number out of range is a usage error, before anything runs."""

from __future__ import annotations

import runpy
import sys

import pytest


@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")  # by other tests
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
def test_a_number_out_of_range_is_a_usage_error(
    command: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, *words = command.split()
    monkeypatch.setattr(sys, "argv", [module, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    output = capsys.readouterr()
    assert (ended.value.code, output.out) == (2, "")
    assert problem in output.err.splitlines()[-1]
