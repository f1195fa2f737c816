"""Which files are opened, by their names alone, on this machine and elsewhere."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records
from flask_boxkite.records.folders import DEEPEST_FOLDER, Folder
from flask_boxkite.records.period import Period
from tests.records.archives import ENDPOINT, record, seconds, write

TIMES = (
    "2025-12-31T23:59:30",
    "2026-01-01T00:00:00",
    "2026-01-01T12:00:59",
    "2026-01-01T23:59:59",
    "2026-01-02T00:00:00",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory with a record for each of TIMES, each with its number as its feature."""
    for number, at in enumerate(TIMES):
        write(tmp_path, record([number], at))
    return tmp_path


def numbers(root: Any, **options: Any) -> list[int]:
    """Return which of the records are read."""
    return [item["features"][0] for item in Records(root, **options)]


RANGES: list[tuple[Any, Any, list[int]]] = [
    (None, None, [0, 1, 2, 3, 4]),
    ("2026-01-01", "2026-01-02", [1, 2, 3]),
    (date(2026, 1, 1), date(2026, 1, 2), [1, 2, 3]),
    ("2026-01-01T00:00:01Z", None, [2, 3, 4]),
    (None, "2026-01-01T12:00:59", [0, 1]),
    (None, "2026-01-01T12:01", [0, 1, 2]),
    ("2026-01-01T13:00+01:00", "2026-01-01T13:01+01:00", [2]),
    (datetime(2026, 1, 1, 23, 59, 59), None, [3, 4]),
    (datetime(2026, 1, 2, 1, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T00:00:00+00:00", [3]),
    ("2027-01-01", None, []),
]


@pytest.mark.parametrize(("start", "end", "expected"), RANGES, ids=lambda value: str(value).replace("/", "-"))
def test_records_from_the_start_on_and_before_the_end(root: Path, start: Any, end: Any, expected: list[int]) -> None:
    assert numbers(root, start=start, end=end) == expected


@pytest.mark.parametrize("below", ["", "models", "models/predictions", ENDPOINT])
def test_the_location_may_be_any_directory_above_the_days(root: Path, below: str) -> None:
    assert numbers(root / below) == [0, 1, 2, 3, 4]
    assert numbers(str(root / below)) == [0, 1, 2, 3, 4]


def test_the_location_may_be_a_day(root: Path) -> None:
    assert numbers(root / ENDPOINT / "2026-01-01") == [1, 2, 3]
    assert numbers(root / ENDPOINT / "2026-01-01", start="2026-01-01T12:00", end="2026-01-01T13:00") == [2]


def test_files_outside_the_period_are_not_opened(root: Path) -> None:
    """Of days outside, not even the names are read."""
    files = Folder(root, {}).files(Period(seconds("2026-01-01T12:00:30"), seconds("2026-01-01T12:02:00")), 300.0)
    assert [Path(file.path).name for file in files] == ["1200_boxkite-pod-1.txt"]
    hidden = root / ENDPOINT / "2025-12-31"
    (hidden / "2359_boxkite-pod-1.txt").unlink()
    hidden.rmdir()
    hidden.write_text("listing this as a directory would fail")
    assert numbers(root, start="2026-01-01T12:00", end="2026-01-01T13:00") == [2]


def test_a_record_may_lie_a_little_outside_the_minute_of_its_file(tmp_path: Path) -> None:
    """Fluent Bit names a file by its first record and fills it for a minute."""
    write(tmp_path, record(["in"], "2026-01-01T11:59:50"), record(["late"], "2026-01-01T12:00:40"))
    write(tmp_path, record(["first"], "2026-01-01T12:04:10"), record(["early"], "2026-01-01T12:00:50"))
    period: Any = {"start": "2026-01-01T12:00", "end": "2026-01-01T12:01"}
    assert numbers(tmp_path, **period) == ["late", "early"]
    assert numbers(tmp_path, **period, slack_seconds=0) == []


def test_foreign_files_and_links_are_ignored(root: Path) -> None:
    day = root / ENDPOINT / "2026-01-01"
    text = (day / "1200_boxkite-pod-1.txt").read_text().replace("server-1", "x")
    for name in ("notes.txt", "1200_a.log", "12_a.txt", "2460_a.txt", "1200_a.txt.tmp", "1200a.txt", ".1200_a.txt"):
        (day / name).write_text(text)
    (root / ENDPOINT / "1200_a.txt").write_text(text)  # in no day
    for folder in ("2026-02-30", "2026-1-1", ".hidden/2026-01-01", "x2026-01-01"):
        (root / ENDPOINT / folder).mkdir(parents=True)
        (root / ENDPOINT / folder / "1200_a.txt").write_text(text)
    (day / "1300_link.txt").symlink_to(day / "1200_boxkite-pod-1.txt")
    (root / "loop").symlink_to(root)
    (root / ENDPOINT / "2026-01-03").symlink_to(day)
    (day / "1400_a.txt").mkdir()
    records = Records(root)
    assert len(list(records)) == 5
    assert (records.counts.files, records.counts.duplicates) == (5, 0)


def test_records_come_in_the_order_of_time_from_several_endpoints(tmp_path: Path) -> None:
    for hour in (3, 1, 2):
        write(tmp_path, record([hour], f"2026-01-01T0{hour}:00:00"), folder=f"models/predictions/{'abc'[hour - 1]}")
    assert numbers(tmp_path) == [1, 2, 3]


@pytest.fixture
def memory() -> Iterator[Any]:
    """Return fsspec's file system in memory, emptied."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


def test_any_file_system_of_fsspec_will_do(root: Path, memory: Any) -> None:
    for path in root.rglob("*.txt"):
        memory.pipe(f"/bucket/{path.relative_to(root).as_posix()}", path.read_bytes())
    assert numbers("memory://bucket") == [0, 1, 2, 3, 4]
    assert numbers("memory://bucket/models", start="2026-01-01", end="2026-01-02") == [1, 2, 3]
    assert numbers(f"memory://bucket/{ENDPOINT}/2026-01-02") == [4]


class ObjectStore(LocalFileSystem):
    """Keeps what it has listed, and lists a folder within itself, as s3fs does where the folder has a marker."""

    protocol = "store"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("store://")))

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
        if path not in self.dircache:
            self.dircache[path] = [{"name": f"{path}/", "type": "directory"}, *super().ls(path, detail=True)]
        return self.dircache[path]

    def invalidate_cache(self, path: str | None = None) -> None:
        self.dircache.clear()


def test_an_object_store_is_listed_anew_and_each_folder_once(root: Path) -> None:
    fsspec.register_implementation("store", ObjectStore, clobber=True)
    location = f"store://{root}"
    records = Records(location)
    assert len(list(records)) == 5
    write(root, record([5], "2026-01-02T00:01:00"))
    assert len(list(records)) == 6
    assert numbers(location) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nosuch://bucket", r"Records at 'nosuch://bucket' cannot be reached: .*nosuch"),
        (
            "memory://nowhere",
            r"Records at 'memory://nowhere' cannot be listed: .*\. Name a directory that holds some\.",
        ),
        ("nowhere", r"Records at 'nowhere' cannot be listed: .*\. Name a directory that holds some\."),
        ("zip://records::gone.zip", r"Records at 'zip://records::gone.zip' cannot be reached: .*gone\.zip"),
        ("file", r"Records at 'file' cannot be listed: .*Not a directory\. Name a directory that holds some\."),
    ],
    ids=["of no kind", "not there", "no directory", "no archive", "a file"],
)
def test_a_location_that_is_no_directory_is_an_error(
    location: str, message: str, memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(BoxkiteError, match=message):
        numbers(location)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"start": "yesterday"},
            "'start' must be a datetime or an ISO 8601 text such as '2026-01-31T08:00', got 'yesterday'.",
        ),
        ({"end": 7}, "'end' must be a datetime or an ISO 8601 text such as '2026-01-31T08:00', got 7."),
        (
            {"start": "2026-01-02", "end": "2026-01-02"},
            "'end' must be after 'start', got '2026-01-02' and '2026-01-02'. The end itself is not part of the period.",
        ),
        ({"end": pd.NaT}, "'end' must be a datetime or an ISO 8601 text such as '2026-01-31T08:00', got NaT."),
        ({"slack_seconds": math.nan}, "'slack_seconds' must be a number >= 0, got nan."),
    ],
    ids=["no time", "a number", "an empty period", "a missing time", "a slack that is no number"],
)
def test_a_period_that_is_none_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BoxkiteError, match=f"^{re.escape(message)}$"):
        Records("records", **options)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would be waited for, a loop of links never ends."""
    path = write(tmp_path, record([1.0]))
    os.mkfifo(path.with_name("0800_pipe.txt"))
    path.with_name("0800_folder.txt").mkdir()
    path.with_name("0800_loop.txt").symlink_to(path.with_name("0800_loop.txt"))
    path.with_name("0800_zero.txt").symlink_to("/dev/zero")
    (path.parent / "loop").symlink_to(tmp_path)
    records = Records(tmp_path)
    assert [item["features"] for item in records] == [[1.0]]
    assert (records.counts.files, records.counts.damaged) == (1, {})


def test_folders_that_lie_too_deep_are_not_looked_into(tmp_path: Path) -> None:
    deepest = "/".join("d" * (DEEPEST_FOLDER - 1))  # the day's folder is one more
    write(tmp_path, record([1.0]), folder=deepest)
    write(tmp_path, record([2.0]), folder=f"{deepest}/d")
    assert [item["features"] for item in Records(tmp_path)] == [[1.0]]
