"""The examples of ``--help`` are understood, and run as written if they need only files."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from flask_boxkite.cli import boxkite
from tests.cli.commands import people

_EXAMPLE = re.compile(r"^ +(?:\w+=\S+ )?(?:flask(?: --app \w+)?|python -m flask_)( ?boxkite .+)$", re.MULTILINE)


def examples(name: str) -> list[list[str]]:
    """Return the words after the command's name of each example, up to a pipe."""
    texts = _EXAMPLE.findall(boxkite.commands[name].help or "")
    words = [shlex.split(text.partition("|")[0]) for text in texts]
    assert all(line[:2] == ["boxkite", name] for line in words)
    return [line[2:] for line in words]


@pytest.mark.parametrize("name", boxkite.commands)
def test_every_command_has_examples_whose_options_there_are(name: str) -> None:
    assert examples(name)
    for words in examples(name):
        with boxkite.commands[name].make_context(name, list(words), parent=click.Context(boxkite)):
            pass


def test_examples_that_need_only_files_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = people(rng).rename({"age": "mean radius", "kids": "grade"}).with_columns(id=pl.int_range(600))
    score = rng.random(600)
    held_out = frame.with_columns(score=score, defaulted=rng.random(600) < score)
    held_out.write_csv("held_out.csv")
    segmented = {"country": rng.choice(["SE", "NO"], 600), "plan": rng.choice(["basic", "pro"], 600)}
    frame.with_columns(**{name: pl.Series(values) for name, values in segmented.items()}).write_csv("train.csv")
    frame.write_parquet("train.parquet")
    frame.write_parquet("new.parquet")
    frame.write_ndjson("train.jsonl")
    Path("train").mkdir()
    frame.write_parquet("train/1.parquet")
    Path("new").mkdir()
    Path("train", "1.csv.gz").write_bytes(gzip.compress(frame.write_csv().encode()))
    frame.write_csv("new/1.csv")
    for name in ("baseline", "inspect", "compare"):
        for words in examples(name):
            result = CliRunner().invoke(boxkite, [name, *words])
            assert result.exit_code == 0, (words, result.output)
            if words[0] == "train/*.csv.gz":
                for month in ("january", "february"):
                    shutil.copy("baseline.prom", f"{month}.prom")
    assert "<html" in Path("february.html").read_text("utf-8")
