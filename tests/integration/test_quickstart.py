"""The example of the README's first page, run as a new user runs it."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from flask_boxkite import Baseline
from tests.baseline.training.building import built
from tests.cli.commands import ROOT

RUN = ROOT / "examples" / "quickstart" / "run.py"


def run(*words: str, venv: Path, port: int) -> str:
    """Return what the example prints."""
    env = os.environ | {"BOXKITE_QUICKSTART_VENV": str(venv), "PORT": str(port)}
    env["PYTHONPATH"] = os.environ.get("PYTHONPATH") or str(ROOT)
    done = subprocess.run(
        [sys.executable, RUN, *words], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_runs_nothing(tmp_path: Path, free_tcp_port: int) -> None:
    assert "--keep" in run("--help", venv=tmp_path / "venv", port=free_tcp_port)
    assert not list(tmp_path.iterdir())


def test_links_are_named_only_while_they_live(free_tcp_port: int) -> None:
    said = run(venv=Path(sys.prefix), port=free_tcp_port)
    assert "more, which had drifted: 2 of 31 variables moved" in said
    assert f"http://127.0.0.1:{free_tcp_port}/metrics" not in said
    assert said.endswith(f"Run with --keep to look at http://127.0.0.1:{free_tcp_port}/boxkite/.\n")


def test_its_baseline_has_outputs_of_rows_that_the_model_has_not_seen(tmp_path: Path) -> None:
    """As the guides advise: of its own rows a model is surer."""
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("train", RUN.with_name("train.py"))
    assert spec is not None
    assert spec.loader is not None
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    train.main(tmp_path)

    rows = train.split()[0]
    own = pickle.loads((tmp_path / "model.pickle").read_bytes()).predict_proba(rows)[:, 1]
    baseline, of_own_rows = Baseline.load(tmp_path / "baseline.prom"), built(rows, own)
    assert baseline.rows == len(rows)
    assert baseline.features == of_own_rows.features
    assert baseline.outputs != of_own_rows.outputs
