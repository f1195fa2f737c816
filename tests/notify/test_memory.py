"""One notifier for a server, and a memory that outlives it: kills, full disks, replaced baselines, other apps."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.live.folding import is_ours
from flask_boxkite.notify.memory import Memory
from tests.faults import die_at, ended, file_size_limit, fork, killed

DAY = 86400.0


def memory(directory: Path | None, owner: str = "own", models: tuple[str, ...] = ("credit",), **options: Any) -> Memory:
    return Memory(lambda: directory, owner, models, **options)


def stored(directory: Path, owner: str = "own", **options: Any) -> dict[str, Any]:
    """Return what the next notifier knows."""
    own = memory(directory, owner, **options)
    assert own.is_mine()
    try:
        return own.load()
    finally:
        own.release()


def store(directory: Path, values: dict[str, Any], owner: str = "own", **options: Any) -> None:
    own = memory(directory, owner, **options)
    assert own.is_mine()
    own.store(values)
    own.release()


def test_one_at_a_time_is_the_notifier(tmp_path: Path) -> None:
    first, second = memory(tmp_path), memory(tmp_path)
    assert first.is_mine()
    assert first.is_mine()
    assert not second.is_mine()
    first.release()
    assert second.is_mine()
    assert not first.is_mine()
    second.release()


def test_apps_with_other_models_have_their_own_notifier(tmp_path: Path) -> None:
    first, second = memory(tmp_path), memory(tmp_path, "other")
    assert first.is_mine()
    assert second.is_mine()
    first.release()
    second.release()


def test_another_process_takes_over_when_the_notifier_is_killed(tmp_path: Path) -> None:
    def notify() -> None:
        own = memory(tmp_path)
        assert own.is_mine()
        own.store({"episodes": [1]})

    killed(notify)
    assert stored(tmp_path)["episodes"] == [1]


def test_a_child_of_the_notifier_does_not_hold_its_lock(tmp_path: Path) -> None:
    own = memory(tmp_path)
    assert own.is_mine()
    read, write = os.pipe()
    child = fork(lambda: (os.close(write), os.read(read, 1)))
    own.release()
    other = memory(tmp_path)
    assert other.is_mine()
    other.release()
    os.close(write)
    ended(child)
    os.close(read)


def test_without_a_directory_each_process_is_its_own_notifier() -> None:
    own = memory(None)
    assert own.is_mine()
    own.store({"episodes": []})
    assert own.load() == {}
    own.release()


def test_a_notifier_whose_directory_was_removed_finds_another(tmp_path: Path) -> None:
    places = [tmp_path / "one"]
    places[0].mkdir()
    own = Memory(lambda: places[-1], "own", ["credit"])
    assert own.is_mine()
    for path in places[0].iterdir():
        path.unlink()
    places.append(tmp_path / "two")
    places[1].mkdir()
    assert own.is_mine()
    own.store({"episodes": [1]})
    own.release()
    assert stored(places[1])["episodes"] == [1]


def test_its_files_are_known_to_the_sweep(tmp_path: Path) -> None:
    store(tmp_path, {"episodes": []})
    names = os.listdir(tmp_path)
    assert len(names) == 2
    assert all(map(is_ours, names))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": 2}', b"[" * 100_000], ids=lambda c: c[:9])
def test_a_damaged_file_is_ignored(tmp_path: Path, content: bytes) -> None:
    store(tmp_path, {"episodes": [1]})
    (path,) = (path for path in tmp_path.iterdir() if "told" in path.name)
    path.write_bytes(content)
    assert stored(tmp_path) == {}


def test_on_a_full_disk_the_file_before_stays(tmp_path: Path) -> None:
    store(tmp_path, {"episodes": [1]})
    own = memory(tmp_path)
    assert own.is_mine()
    with file_size_limit(100), pytest.raises(OSError, match="File too large"):
        own.store({"episodes": ["x" * 1000]})
    own.release()
    assert stored(tmp_path)["episodes"] == [1]
    assert len(os.listdir(tmp_path)) == 2


def test_a_kill_at_any_step_leaves_the_memory_before_or_after(tmp_path: Path) -> None:
    """Also of the takeover from a replaced baseline: no episode is lost between two files."""
    seen = set()
    for step in itertools.count(1):
        directory = tmp_path / str(step)
        directory.mkdir()
        store(directory, {"episodes": ["before"]}, "before")

        def take_over(directory: Path = directory, step: int = step) -> None:
            die_at(step)
            own = memory(directory)
            assert own.is_mine()
            own.store({"episodes": [*own.load()["episodes"], "new"]})

        code = ended(fork(take_over))
        after = list(dict.fromkeys(stored(directory)["episodes"]))
        assert after in (["before"], ["before", "new"])
        seen.add((code, len(after)))
        if code == 0:
            break
    assert seen >= {(-9, 1), (-9, 2), (0, 2)}


# --- replaced baselines ---------------------------------------------------------------------------------------------


def test_a_memory_is_taken_over_when_a_baseline_was_replaced(tmp_path: Path) -> None:
    store(tmp_path, {"episodes": [1], "gaps": {"a": 1}}, "before", models=("credit", "fraud"))
    after = memory(tmp_path, "after")
    assert after.is_mine()
    found = after.load()
    assert found == {"episodes": [1], "gaps": {"a": 1}}
    after.store(found)
    after.release()
    assert not any("before" in name for name in os.listdir(tmp_path))
    assert stored(tmp_path, "after")["episodes"] == [1]


def test_the_newest_part_comes_last(tmp_path: Path) -> None:
    for number, owner in enumerate(["a", "b", "own"]):
        store(tmp_path, {"episodes": [owner], "gaps": {"x": owner, owner: 1}}, owner)
        (path,) = (path for path in tmp_path.iterdir() if path.name.endswith(f"told-{owner}"))
        os.utime(path, (1_000_000_000 + number,) * 2)
    found = stored(tmp_path, clock=lambda: 1_000_000_000)
    assert found["episodes"] == ["a", "b", "own"]
    assert found["gaps"] == {"a": 1, "b": 1, "own": 1, "x": "own"}


def test_half_written_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    store(tmp_path, {"episodes": [1]})
    (path,) = (path for path in tmp_path.iterdir() if "told" in path.name)
    (tmp_path / f"{path.name}.123").write_bytes(path.read_bytes()[:20])
    assert stored(tmp_path)["episodes"] == [1]
    assert len(os.listdir(tmp_path)) == 2


def test_the_memory_of_a_running_notifier_is_left_alone(tmp_path: Path) -> None:
    """During a reload, both generations serve for a while."""
    before = memory(tmp_path, "before")
    assert before.is_mine()
    before.store({"episodes": [1]})
    (path,) = (path for path in tmp_path.iterdir() if "told" in path.name)
    (tmp_path / f"{path.name}.123").write_bytes(path.read_bytes())  # which it is just writing
    assert stored(tmp_path, "after") == {}
    assert sum("told-before" in name for name in os.listdir(tmp_path)) == 2
    before.release()


def test_the_memory_of_another_app_is_left_alone_for_a_week(tmp_path: Path) -> None:
    now = [1_000_000_000.0]
    store(tmp_path, {"episodes": [1]}, "other", models=("churn",))
    (path,) = (path for path in tmp_path.iterdir() if "told" in path.name)
    os.utime(path, (now[0], now[0]))

    assert stored(tmp_path, clock=lambda: now[0]) == {}
    assert path.exists()
    now[0] += 8 * DAY
    own = memory(tmp_path, clock=lambda: now[0])
    assert own.is_mine()
    assert own.load() == {}
    own.store({})
    own.release()
    assert not path.exists()
