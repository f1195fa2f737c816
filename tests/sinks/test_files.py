"""Records in files: where they are, that they are whole, and when they go."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.config import Settings
from flask_boxkite.delivery import Recorder
from flask_boxkite.errors import ConfigError
from flask_boxkite.live import state_directory
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.assembly import make_recorders, make_store
from flask_boxkite.records import Records
from flask_boxkite.sinks.base import Batch
from flask_boxkite.sinks.files import FileSink
from flask_boxkite.system.folder import Folder
from tests.faults import (
    die_at,
    ended,
    file_size_limit,
    fork,
    go_on,
    has_stopped,
    mounted,
    read_only,
    run_in_child,
    stop_at,
)
from tests.records.archives import record

NOON = datetime(2024, 2, 29, 12, 0, tzinfo=timezone.utc).timestamp()
MINUTE = 60.0
DAY = 86400.0


def file_sink(directory: Path, *, now: float = NOON, **settings: Any) -> FileSink:
    """Make a sink whose clock stands still."""
    given = {"BOXKITE_LOG_DIR": directory, "BOXKITE_POD_NAME": "pod", "BOXKITE_ENDPOINT_ID": "endpoint"}
    given.update({f"BOXKITE_{name.upper()}": value for name, value in settings.items()})
    return FileSink(Settings.from_mapping(given, {}), clock=lambda: now)


def ship(sink: FileSink, *records: tuple[float, dict[str, Any]]) -> Batch:
    """Ship one batch of times and records, and return it."""
    batch = Batch([sink.pack(round(seconds * 1e9), record) for seconds, record in records], sink.tag)
    sink.ship(batch, 10)
    return batch


def write(root: Path, *names: str) -> None:
    """Make files of one line each."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n")


def files_in(directory: Path) -> list[str]:
    """Return the relative paths of all files."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def lines_in(directory: Path) -> list[Any]:
    """Return the values of all lines, by path; fail on a line that is not whole."""
    texts = [(directory / name).read_text() for name in files_in(directory)]
    assert all(text.endswith("\n") for text in texts if text)
    return [json.loads(line) for text in texts for line in text.split("\n")[:-1]]


# --- layout ---------------------------------------------------------------------------------------------------------


def test_a_record_is_a_line_of_the_file_of_its_minute(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    ship(sink, (NOON, {"n": 1}), (NOON + 59.999, {"n": 2}), (NOON + 60, {"n": 3}), (NOON + DAY / 2, {"n": 4}))
    folder, end = "models/predictions/endpoint", f"boxkite-pod-{os.getpid()}.txt"
    assert files_in(tmp_path) == [
        f"{folder}/2024-02-29/1200_{end}",
        f"{folder}/2024-02-29/1201_{end}",
        f"{folder}/2024-03-01/0000_{end}",
    ]
    assert (tmp_path / folder / f"2024-02-29/1200_{end}").read_text() == '{"n":1}\n{"n":2}\n'


def test_a_clock_before_1970_costs_no_record(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    sink.ship(Batch([sink.pack(-1, {"n": 1})], sink.tag), 10)
    (path,) = tmp_path.rglob("*.txt")
    assert (path.parent.name, path.name[:4]) == ("1969-12-31", "2359")


def test_the_logger_id_is_part_of_the_name(tmp_path: Path) -> None:
    ship(file_sink(tmp_path, logger_id="canary", fluentd_prefix="a.b.c"), (NOON, {}))
    assert files_in(tmp_path) == [f"a/b/c/endpoint/2024-02-29/1200_canary-pod-{os.getpid()}.txt"]


def test_a_forked_child_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    ship(sink, (NOON, {"from": "parent"}))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            ship(sink.forked(), (NOON, {"from": "child"}))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0

    folder = "models/predictions/endpoint/2024-02-29"
    assert files_in(tmp_path) == sorted(f"{folder}/1200_boxkite-pod-{pid}.txt" for pid in (os.getpid(), child))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        pytest.param("../../../etc/passwd", "_.._.._etc_passwd", id="path"),
        pytest.param("/root", "_root", id="absolute"),
        pytest.param("..", "_", id="parent"),
        pytest.param("a b\nc\0d", "a_b_c_d", id="blanks and controls"),
        pytest.param("[*?]{}", "______", id="patterns"),
    ],
)
def test_odd_names_stay_inside_the_directory(tmp_path: Path, name: str, part: str) -> None:
    root = tmp_path / "logs"
    ship(file_sink(root, endpoint_id=name, pod_name=name, logger_id=name), (NOON, {"n": 1}))
    end = f"1200_{part}-{part}-{os.getpid()}.txt"
    assert files_in(tmp_path) == [f"logs/models/predictions/{part}/2024-02-29/{end}"]


def test_what_json_can_hold_is_read_back_as_it_was(tmp_path: Path) -> None:
    record = {"text": 'snö\u2028\n"☃"\\', "deep": {"list": [1, 2.5, None, True, -(2**63), 2**64 - 1, 1e300, []]}}
    sink = file_sink(tmp_path)
    ship(sink, (NOON, record))
    assert lines_in(tmp_path) == [record]


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    ship(file_sink(tmp_path), (NOON, {"text": "a\ud800b"}))
    assert lines_in(tmp_path) == [{"text": "a?b"}]


def test_nan_is_refused_since_json_has_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        file_sink(tmp_path).pack(0, {"x": float("nan")})


# --- set-up ---------------------------------------------------------------------------------------------------------


def test_a_directory_that_cannot_be_made_is_said_at_set_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        file_sink(tmp_path / "file" / "logs")
    assert str(caught.value) == (
        f"'BOXKITE_LOG_DIR': cannot write to '{tmp_path}/file/logs/models/predictions/endpoint'. "
        "Create it, or give this user the right to."
    )
    assert caught.value.key == "BOXKITE_LOG_DIR"


def test_a_directory_that_cannot_be_written_is_said_at_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ConfigError, match=r"^'BOXKITE_LOG_DIR': cannot write to "):
        file_sink(tmp_path)


def test_a_link_below_the_directory_is_said_at_set_up(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "models").symlink_to("victim")
    with pytest.raises(ConfigError) as caught:
        file_sink(tmp_path)
    assert str(caught.value) == (
        f"'BOXKITE_LOG_DIR': '{tmp_path}/models' is a symbolic link; records are not written through one. "
        "Remove the link, or name another directory."
    )


@pytest.mark.parametrize("is_swept", [True, False], ids=["its folders are there", "its folders are missing"])
def test_a_read_only_disk_is_no_reason_to_refuse_a_directory(tmp_path: Path, is_swept: bool) -> None:
    """As when a worker is replaced while the disk is at fault: its records wait in memory."""
    if is_swept:
        file_sink(tmp_path)
    with read_only(tmp_path):
        sink = file_sink(tmp_path)
        with pytest.raises(OSError, match="Read-only file system") as caught:
            ship(sink, (NOON, {"n": 1}))
        assert caught.value.__context__ is None
    ship(sink, (NOON, {"n": 1}))
    assert lines_in(tmp_path) == [{"n": 1}]


def test_a_directory_that_is_missing_on_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    """Its name is most likely wrong."""
    with read_only(tmp_path), pytest.raises(ConfigError, match=r"^'BOXKITE_LOG_DIR': cannot write to "):
        file_sink(tmp_path / "logs")


def test_a_full_disk_is_no_reason_to_refuse_a_directory(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "256k,nr_inodes=1"):
        with pytest.raises(OSError, match="No space left on device"):
            (tmp_path / "disk" / "models").mkdir()
        file_sink(tmp_path / "disk")


def test_names_too_long_for_a_file_are_said_at_set_up(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        file_sink(tmp_path, logger_id="l" * 128, pod_name="p" * 128)
    assert str(caught.value) == (
        f"'BOXKITE_LOGGER_ID' '{'l' * 128}' and 'BOXKITE_POD_NAME' '{'p' * 128}' are too long for the name of a file. "
        "Shorten one of them."
    )


# --- who may read them ----------------------------------------------------------------------------------------------

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let nothing but the code itself take rights away."""
    before = os.umask(0)
    yield
    os.umask(before)


def rights_in(directory: Path) -> dict[str, tuple[str, int]]:
    """Return mode and group of a directory and all in it, by path."""
    paths = [directory, *directory.rglob("*")]
    return {
        str(path.relative_to(directory.parent)): (oct(path.stat().st_mode & 0o7777), path.stat().st_gid)
        for path in paths
    }


@pytest.mark.usefixtures("no_umask")
def test_records_are_for_this_user_alone(tmp_path: Path) -> None:
    """They hold request bodies."""
    ship(file_sink(tmp_path / "var/logs"), (NOON, {"n": 1}))
    rights = rights_in(tmp_path / "var")
    assert len(rights) == 7
    assert {mode for name, (mode, _) in rights.items() if name.endswith(".txt")} == {"0o600"}
    assert {mode for name, (mode, _) in rights.items() if not name.endswith(".txt")} == {"0o700"}


@needs_root
@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_group_may_read_them(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        sink = file_sink(tmp_path / "var/logs", log_group=str(NOBODY))
        for _ in range(2):
            ship(sink, (NOON, {"n": 1}))
    finally:
        os.umask(before)

    rights = rights_in(tmp_path / "var")
    assert {group for _, group in rights.values()} == {NOBODY}
    assert {mode for name, (mode, _) in rights.items() if name.endswith(".txt")} == {"0o640"}
    assert {mode for name, (mode, _) in rights.items() if not name.endswith(".txt")} == {"0o750"}
    assert len(lines_in(tmp_path)) == 2


@needs_root
def test_folders_that_were_there_keep_their_rights(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs").chmod(0o755)
    ship(file_sink(tmp_path / "logs", log_group=str(NOBODY)), (NOON, {"n": 1}))
    assert rights_in(tmp_path / "logs")["logs"] == ("0o755", os.getgid())


@pytest.mark.parametrize("group", ["no-such-group", "³"])
def test_a_group_that_does_not_exist_is_said_at_set_up(tmp_path: Path, group: str) -> None:
    with pytest.raises(ConfigError) as caught:
        file_sink(tmp_path, log_group=group)
    assert str(caught.value) == (
        f"'BOXKITE_LOG_GROUP': this system has no group '{group}'. Name a group, or its number."
    )
    assert caught.value.key == "BOXKITE_LOG_GROUP"


@needs_root
def test_a_group_of_others_is_said_at_set_up(tmp_path: Path) -> None:
    def make() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        with pytest.raises(
            ConfigError, match=r"^'BOXKITE_LOG_GROUP': this user is not in the group '0'\. Add the user"
        ):
            file_sink(Path("logs"), log_group="0")

    run_in_child(make)


@needs_root
def test_a_file_of_another_user_is_not_written_to(tmp_path: Path) -> None:
    """In a directory that many may write to, another user can guess the name, and read what comes."""
    sink = file_sink(tmp_path / "logs")
    folder = tmp_path / "logs/models/predictions/endpoint/2024-02-29"
    folder.mkdir()
    path = folder / f"1200_boxkite-pod-{os.getpid()}.txt"
    path.touch()
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match=f"^'{path}' belongs to another user; no records are written to it$"):
        ship(sink, (NOON, {}))
    assert path.read_bytes() == b""


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("is_relative", [True, False])
def test_a_link_in_place_of_any_folder_is_not_followed(tmp_path: Path, depth: int, is_relative: bool) -> None:
    """Neither to write nor to delete: only the directory that the user named may be one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "logs").symlink_to("real")
    sink = file_sink(tmp_path / "logs")
    parts = ["models", "predictions", "endpoint", "2024-02-29"]
    link = tmp_path.joinpath("real", *parts[:depth])
    shutil.rmtree(link, ignore_errors=True)
    victim = tmp_path / "victim"
    old = victim.joinpath(*parts[depth:-1], *["1970-01-01"] * (depth < 4), "0000_boxkite-pod-1.txt")
    old.parent.mkdir(parents=True)
    old.touch()
    for day in range(27, 30):
        victim.joinpath(*parts[depth:-1], f"2024-02-{day}").mkdir(exist_ok=True)
    before = files_in(victim)
    link.symlink_to(os.path.relpath(victim, link.parent) if is_relative else victim)
    with pytest.raises(OSError, match=r"is a symbolic link; records are not written through one$"):
        ship(sink, (NOON, {}))
    sink._sweep()

    assert files_in(victim) == before


def test_a_folder_that_becomes_a_link_meanwhile_is_not_entered(tmp_path: Path) -> None:
    """It was opened before: what is written or deleted is in the folder that was there."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").touch()
    with Folder(tmp_path) as above, above.inner("folder") as found:
        folder.rename(tmp_path / "moved")
        folder.symlink_to("victim")
        found.remove("file")
        found.append("other", b"x")
    assert files_in(tmp_path / "victim") == ["file"]
    assert files_in(tmp_path / "moved") == ["other"]


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_tag_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    """It may come from the spool of another process."""
    sink = file_sink(tmp_path / "logs")
    with pytest.raises(OSError, match="is not a name of a folder in"):
        sink.ship(Batch([sink.pack(0, {})], f"models/{name}/endpoint"), 10)


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    sink = file_sink(tmp_path / "logs")
    folder = tmp_path / "logs/models/predictions/endpoint/2024-02-29"
    folder.mkdir()
    (folder / f"1200_boxkite-pod-{os.getpid()}.txt").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        ship(sink, (NOON, {}))
    assert not (tmp_path / "victim").exists()


def test_a_link_in_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    sink = file_sink(tmp_path / "logs")
    folder = tmp_path / "logs/models/predictions/endpoint/2024-02-29"
    (tmp_path / "victim").mkdir()
    folder.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=f"^'{folder}' is a symbolic link; records are not written through one$"):
        ship(sink, (NOON, {}))
    assert files_in(tmp_path / "victim") == []


# --- a full disk ----------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_no_half_line_and_no_line_twice(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    ship(sink, (NOON, {"n": 0}))
    batch = Batch(
        [
            sink.pack(round((NOON + 5 * MINUTE) * 1e9), {"n": 1}),  # fits
            sink.pack(round(NOON * 1e9), {"n": 2, "text": "x" * 500}),  # does not
            sink.pack(round((NOON + 9 * MINUTE) * 1e9), {"n": 3}),
        ],
        sink.tag,
    )
    with file_size_limit(100):
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                sink.ship(batch, 10)
            assert [line["n"] for line in lines_in(tmp_path)] == [0, 1]
    sink.ship(batch, 10)

    assert sorted(line["n"] for line in lines_in(tmp_path)) == [0, 1, 2, 3]


def test_what_was_acknowledged_is_read_though_a_process_is_killed_while_the_disk_fills_up(tmp_path: Path) -> None:
    """In the midst of a line. In a container its successor has the same id, and goes on behind what it left."""
    damaged = 0
    for step in itertools.count(1):
        logs = tmp_path / str(step)
        records = [record([float(number)], request_body="x" * 300) for number in range(3)]

        def sink_of_the_container(logs: Path = logs) -> FileSink:
            sink = file_sink(logs)
            sink._name = "{}_boxkite-pod-7.txt".format  # type: ignore[method-assign]
            return sink

        def fill_and_die(sink: FileSink, records: Any = records, step: int = step) -> None:
            ship(sink, (NOON, records[0]))
            with file_size_limit(1000):
                die_at(step)
                with pytest.raises(OSError, match="File too large"):
                    ship(sink, (NOON, records[1]))

        code = ended(fork(lambda make=sink_of_the_container, work=fill_and_die: work(make())))  # type: ignore[misc]
        restarted = sink_of_the_container()
        ship(restarted, (NOON, records[1]))
        ship(restarted, (NOON, records[2]))
        (path,) = logs.rglob("*.txt")
        lines = path.read_text().splitlines()
        found = Records(logs)
        assert [item["features"] for item in found] == [[0.0], [1.0], [2.0]], step
        assert found.counts.damaged in ({}, {"no_record": 1})
        assert len(lines) == 3 + found.counts.damaged.total()  # for readers that know no other damage than a bad line
        damaged += found.counts.damaged.total()
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert damaged


def test_nothing_is_lost_uncounted_on_a_full_disk(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    recorder = Recorder(sink, Store(None), max_bytes=10_000, shutdown_timeout=10)
    with file_size_limit(0):
        for number in range(100):
            recorder.submit(sink.pack(round(NOON * 1e9), {"n": number, "text": "x" * 200}))
        assert recorder.flush(0.1) == recorder.counts().waiting
        assert lines_in(tmp_path) == []
    assert recorder.close() == 0

    counts = recorder.counts()
    assert counts.accepted == 100 == counts.delivered + counts.dropped["queue_full"]
    assert len(lines_in(tmp_path)) == counts.delivered
    assert lines_in(tmp_path)[-1]["n"] == 99


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="only root can mount a small disk")
def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("This system does not let root mount a disk.")
    try:
        sink = file_sink(disk)
        (disk / "ballast").write_bytes(b"x" * 32 * 1024)
        batch = Batch([sink.pack(round(NOON * 1e9), {"n": n, "text": "x" * 1000}) for n in range(40)], sink.tag)
        with pytest.raises(OSError, match="No space left on device"):
            sink.ship(batch, 10)
        assert lines_in(disk / "models") == []
        (disk / "ballast").unlink()
        sink.ship(batch, 10)

        assert [line["n"] for line in lines_in(disk / "models")] == list(range(40))
        sink.close()  # the folder of the day
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("part", ["models", "models/predictions/endpoint/2024-02-29"])
def test_a_folder_that_was_moved_away_is_made_again(tmp_path: Path, part: str) -> None:
    """The sink keeps the folder of the day open from one batch to the next."""
    sink = file_sink(tmp_path / "logs")
    ship(sink, (NOON, {"n": 0}))
    ship(sink, (NOON, {"n": 1}))
    (tmp_path / "logs" / part).rename(tmp_path / "away")
    ship(sink, (NOON, {"n": 2}))
    assert [line["n"] for line in lines_in(tmp_path / "away")] == [0, 1]
    assert [line["n"] for line in lines_in(tmp_path / "logs")] == [2]


def test_a_file_that_others_write_to_goes_on_with_a_new_line(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    ship(sink, (NOON, {"n": 0}))
    (path,) = tmp_path.rglob("*.txt")
    with path.open("a") as file:
        file.write("half a line")
    ship(sink, (NOON, {"n": 1}))
    ship(sink, (NOON, {"n": 2}))
    first, half, *rest = path.read_text().splitlines()
    assert half == "half a line"
    assert [json.loads(line)["n"] for line in (first, *rest)] == [0, 1, 2]


def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    sink = file_sink(tmp_path / "logs")
    shutil.rmtree(tmp_path / "logs")
    ship(sink, (NOON, {"n": 1}))
    assert lines_in(tmp_path) == [{"n": 1}]


# --- retention ------------------------------------------------------------------------------------------------------


def test_files_past_their_lifetime_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "models/predictions/endpoint"
    kept = [
        "2024-02-28/0000_boxkite-pod-1.txt",
        "2024-02-27/0000_boxkite-pod-1.txt",
        "2024-02-25/0000_boxkite-pod-1.txt",
        "2024-02-24/0000_other-pod-1.txt",
        "2024-02-24/notes_boxkite-pod-1.txt",
        "2024-02-24/0000_boxkite-pod-1.txt.gz",
        "latest/0000_boxkite-pod-1.txt",
        "2024-02-1/0000_boxkite-pod-1.txt",
    ]
    gone = [
        "2024-02-24/0000_boxkite-pod-1.txt",
        "2024-02-24/2359_boxkite-elsewhere-2.txt",
        "2023-01-01/0000_boxkite-a-1.txt",
    ]
    write(root, *kept, *gone)
    ship(file_sink(tmp_path, log_ttl_days=2), (NOON, {}))

    assert files_in(root) == sorted([*kept, f"2024-02-29/1200_boxkite-pod-{os.getpid()}.txt"])
    assert not (root / "2023-01-01").exists()
    assert (root / "2024-02-24").is_dir()


@pytest.mark.parametrize("years", [1, 30])
def test_a_clock_that_is_ahead_deletes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, years: int) -> None:
    root = tmp_path / "models/predictions/endpoint"
    days = [f"2024-02-{day:02}" for day in range(9, 29)]
    write(root, *(f"{day}/0000_boxkite-pod-1.txt" for day in days))
    later = NOON + years * 366 * DAY
    ahead = file_sink(tmp_path, now=later, log_ttl_days=20)
    ship(ahead, (later, {}))
    ship(ahead, (later, {}))
    assert {Path(name).parts[0] for name in files_in(root)} > set(days)
    day = f"{datetime.fromtimestamp(later, timezone.utc):%Y-%m-%d}"
    assert caplog.messages == [
        f"The clock says {day}, by which records of 20 days in '{root}', from 2024-02-09 on, are too old. They are "
        "kept until records of 3 days after their lifetime confirm it."
    ]

    # Right again: what was made in the wrong year says nothing of age.
    for number in range(5):
        ship(file_sink(tmp_path, now=NOON + number * DAY, log_ttl_days=20), (NOON + number * DAY, {}))
    assert min(path.name for path in root.iterdir()) == "2024-02-11"
    assert len(caplog.messages) == 1


def test_one_process_of_a_server_says_that_its_clock_is_ahead(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every one of them, as each notices by itself, would say it otherwise."""
    write(tmp_path / "logs/models.predictions/unknown-endpoint".replace(".", "/"), "2024-02-09/0000_boxkite-p-1.txt")
    settings = Settings.from_mapping(
        {"BOXKITE_LOG_DIR": tmp_path / "logs", "BOXKITE_STATE_DIR": str(tmp_path / "state"), "BOXKITE_POD_NAME": "p"}
    )

    def deliver() -> None:
        state_directory._directories.clear()  # as in another process of the server
        store = make_store(settings, "app", [])
        recorders = make_recorders(settings, store)
        recorders.record(time.time_ns(), {})
        assert recorders.flush(60) == 0

    deliver()
    deliver()
    (message,) = caplog.messages
    assert "by which records of 1 day in " in message


def test_three_days_of_a_clock_are_believed(tmp_path: Path) -> None:
    """As after months without a request."""
    root = tmp_path / "models/predictions/endpoint"
    write(root, "2023-11-30/0000_boxkite-pod-1.txt")
    for day in range(3):
        assert (root / "2023-11-30").exists()
        ship(file_sink(tmp_path, now=NOON + day * DAY), (NOON + day * DAY, {}))
    assert not (root / "2023-11-30").exists()


@pytest.mark.parametrize("fault", [die_at, stop_at], ids=["killed", "stopped"])
def test_a_sweep_that_ends_or_stops_at_any_step_is_done_by_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Callable[[int], None]
) -> None:
    """At midnight all processes sweep at once; one that finds less than it saw is not in trouble."""
    old = ["2024-01-01/0000_boxkite-pod-1.txt", "2024-01-02/0000_boxkite-pod-1.txt"]
    kept = ["2024-02-27/0000_boxkite-pod-1.txt", "2024-02-28/0000_boxkite-pod-1.txt"]
    for step in itertools.count(1):
        logs = tmp_path / str(step)
        root = logs / "models/predictions/endpoint"
        write(root, *old, *kept)

        def sweep(logs: Path = logs, step: int = step) -> None:
            fault(step)
            ship(file_sink(logs), (NOON, {"n": 0}))
            assert caplog.messages == []

        child = fork(sweep)
        is_unfinished = has_stopped(child)
        ship(file_sink(logs), (NOON, {"n": 1}))
        code = go_on(child)
        assert code == 0 or fault is die_at
        assert caplog.messages == []
        assert [path.name for path in sorted(root.iterdir())] == ["2024-02-27", "2024-02-28", "2024-02-29"]
        assert {line["n"] for line in lines_in(root / "2024-02-29")} >= {1}
        if code == 0 and not is_unfinished:
            break
    assert step > 10


def test_old_files_behind_a_link_are_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "logs/models/predictions/endpoint"
    root.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/0000_boxkite-pod-1.txt").write_text("")
    (root / "2020-01-01").symlink_to(tmp_path / "elsewhere")
    ship(file_sink(tmp_path / "logs"), (NOON, {}))
    assert files_in(tmp_path / "elsewhere") == ["0000_boxkite-pod-1.txt"]


@pytest.mark.parametrize("days", ["inf", 1_000_000, 1e300], ids=str)
def test_a_lifetime_beyond_the_calendar_keeps_everything(tmp_path: Path, days: Any) -> None:
    old = tmp_path / "models/predictions/endpoint/1970-01-01/0000_boxkite-pod-1.txt"
    old.parent.mkdir(parents=True)
    old.write_text("")
    ship(file_sink(tmp_path, log_ttl_days=days), (NOON, {}))
    assert old.exists()


def test_files_that_cannot_be_deleted_do_not_bring_the_batch_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines are written by then: as a failure they would be written again, and again."""

    def fail(folder: Folder) -> list[str]:
        raise PermissionError(folder.path)

    sink = file_sink(tmp_path)
    monkeypatch.setattr(Folder, "names", fail)
    ship(sink, (NOON, {"n": 1}))
    ship(sink, (NOON, {"n": 2}))
    assert caplog.messages == [f"Old files in '{tmp_path}/models/predictions/endpoint' could not be deleted."]
    monkeypatch.undo()
    assert lines_in(tmp_path) == [{"n": 1}, {"n": 2}]
