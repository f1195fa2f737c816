"""Commands run as users run them, and data for them."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from click.testing import CliRunner

from flask_boxkite import Baseline
from flask_boxkite.baseline import Distribution
from flask_boxkite.cli import boxkite

ROOT = Path(__file__).parent.parent.parent

PLACE = "Is it the right place? Files of records stand in folders of their dates: 2026-01-31/0800_….txt."
"""Remedy where there are no records."""


# Each child goes on as a Python that has just been started for a module, with a command line of its own: the package
# takes a process for a worker of its parent if both have the same.
FORKING = """
import ctypes, json, os, runpy, sys
from pathlib import Path
import flask.cli, flask_boxkite.cli

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
module, sys.argv[1:], cwd, env, *outputs = json.loads(line)
beginning_of_command = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45])
ctypes.memset(beginning_of_command, ord("-"), 1)
os.chdir(cwd)
os.environ.clear()
os.environ.update(env)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for place, path in enumerate(outputs, 1):
    os.dup2(os.open(path, os.O_WRONLY), place)
sys.path[0] = cwd
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def run(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m flask_boxkite`` in a process of its own."""
    return run_module("flask_boxkite", *words, cwd=cwd, **env)


def run_module(module: str, *words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` in a process of its own, forked from one that has imported Flask and the package.

    Most of the time of a process that is started for a command goes into its imports.
    """
    if sys.platform != "linux" or any(name.startswith("PYTHON") for name in env):  # which is read at the start
        return run_python("-m", module, *words, cwd=cwd, **env)
    process = forking()
    assert process.stdin is not None
    assert process.stdout is not None
    command = [str(word) for word in words]
    with tempfile.TemporaryDirectory(prefix="boxkite-command-") as scratch:
        outputs = [Path(scratch, name) for name in ("stdout", "stderr")]
        for path in outputs:
            path.touch()
        print(
            json.dumps([module, command, str(cwd), environment() | env, *map(str, outputs)]),
            file=process.stdin,
            flush=True,
        )
        code = int(process.stdout.readline())
        return subprocess.CompletedProcess(command, code, *(path.read_text(encoding="utf-8") for path in outputs))


@functools.cache
def forking() -> subprocess.Popen[str]:
    """Start the process of whose children commands run; it ends with this one."""
    command = [sys.executable, "-c", FORKING]
    process = subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    atexit.register(process.communicate)
    return process


def run_python(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python from its start."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=environment() | env, capture_output=True, text=True, encoding="utf-8", timeout=120
    )


def environment() -> dict[str, str]:
    """Return all that reaches a command of the environment of the tests: not much but the way to the checkout."""
    return {"PYTHONUTF8": "1", "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT), "PATH": os.environ["PATH"]}


def features(*words: str) -> dict[str, Distribution]:
    """Have ``baseline`` count data in this process; return the features of what it wrote, in their order."""
    result = CliRunner().invoke(boxkite, ["baseline", *words, "--out", "b.prom"])
    assert result.exit_code == 0, result.output
    return {item.name: item for item in Baseline.load("b.prom").features}


def refused(*words: str) -> str:
    """Have ``baseline`` count data, which it must refuse; return the line that it prints."""
    result = CliRunner().invoke(boxkite, ["baseline", *words, "--out", "b.prom"])
    assert result.exit_code == 1, result.output
    return result.output.strip()


def people(rng: np.random.Generator, rows: int = 600, *, older: float = 0.0) -> pl.DataFrame:
    """Return a population with columns of every kind, two of which depend on how much *older* it is."""
    income = rng.lognormal(10, 1, rows).round(2)
    columns: dict[str, Any] = {
        "age": rng.normal(40 + older, 10, rows).round(1),
        "income": [None if value > 60000 else value for value in income.tolist()],
        "city": rng.choice(["Berlin", "Rome", "Oslo"], rows, p=[0.5, 0.3, 0.2]).tolist(),
        "kids": rng.poisson(1.5 + older / 10, rows),
        "member": rng.random(rows) < 0.3,
        "score": rng.random(rows).round(4),
    }
    return pl.DataFrame(columns)
