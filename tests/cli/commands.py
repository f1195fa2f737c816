"""Commands run as users run them, and data for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from click.testing import CliRunner

from flask_boxkite import Baseline
from flask_boxkite.baseline import Distribution
from flask_boxkite.cli import boxkite

ROOT = Path(__file__).parent.parent.parent


def run(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m flask_boxkite`` in a process of its own."""
    return run_python("-m", "flask_boxkite", *words, cwd=cwd, **env)


def run_python(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python; nothing of the environment of the tests reaches it but the way to the checkout, if it is one."""
    own = {"PYTHONUTF8": "1", "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT), "PATH": os.environ["PATH"]}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=own | env, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )


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
