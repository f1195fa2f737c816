"""Records in S3: a server of it, and the file system of fsspec for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records, compact
from tests import peers
from tests.records.archives import record, write

URL = "s3://predictions/models"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Start a server of S3; return the options that lead to it."""
    command = ["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with peers.PythonServer(command, tmp_path_factory.mktemp("s3")) as server:
        yield {"key": "key", "secret": "secret", "endpoint_url": server.url, "client_kwargs": {"region_name": "eu"}}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    ages = np.random.default_rng(0).normal(50, 10, 300)
    path = tmp_path_factory.mktemp("trained") / "baseline.prom"
    return ModelMonitoringService.export_text({"age": ages}, ages / 100, path, model="credit")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, known: Baseline, options: dict[str, Any]) -> Path:
    """Write lines, compressed ones and Parquet, with copies and damage, to a folder and to S3; return the folder."""
    place = tmp_path_factory.mktemp("records")
    made = [record({"age": 40.0 + number}, f"2026-01-0{1 + number // 20}T10:{number:02}:30") for number in range(40)]
    for item in made[:10]:
        write(place / "early", item)
    compact(place / "early", place / "parquet", known, remove=True)
    for item in made[8:30]:
        write(place / "lines", item)
    write(place / "lines", b'{"entity_id": "torn\n', made[30])
    write(place / "lines", *made[29:], suffix=".txt.gz")

    system = peers.library("s3fs").S3FileSystem(**options)
    system.mkdir("predictions")
    system.put(str(place), URL, recursive=True)
    return place


def test_records_are_those_of_a_folder(place: Path, known: Baseline, options: dict[str, Any]) -> None:
    here, there = Records(place), Records(URL, options=options)
    assert there.observed(known)[1].tolist() == here.observed(known)[1].tolist()
    assert there.counts == here.counts
    assert (here.counts.records, here.counts.duplicates, here.counts.damaged) == (40, 4, {"no_record": 1})


def test_several_workers_read_it(place: Path, known: Baseline, options: dict[str, Any]) -> None:
    with ThreadPoolExecutor(4) as executor:
        shared = Records(URL, options=options, executor=executor)
        assert shared.observed(known)[1].tolist() == Records(place).observed(known)[1].tolist()


def test_only_files_of_the_period_are_opened(known: Baseline, options: dict[str, Any]) -> None:
    records = Records(URL, options=options, start="2026-01-02")
    assert len(list(records)) == 20
    assert records.counts.files == 12


def test_a_frame_has_the_same_rows(place: Path, known: Baseline, options: dict[str, Any]) -> None:
    expected, found = (
        records.to_frame("polars", known).collect().sort("entity_id")
        for records in (Records(place), Records(URL, options=options))
    )
    assert found.equals(expected)


def test_a_bucket_that_is_not_there_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(BoxkiteError, match=r"Records at 's3://no-bucket/x' cannot be listed: "):
        list(Records("s3://no-bucket/x", options=options))
