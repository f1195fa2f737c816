"""Notes of what was not captured: one a minute of each kind, kept for all processes, bounded and printable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flask_boxkite.live.folding import is_ours
from flask_boxkite.monitoring.notes import MOST_LETTERS, Note, Notes, is_first_to_say, latest
from flask_boxkite.naming import FEATURE_GAP
from flask_boxkite.system.throttle import Throttle


def notes_in(directory: Path | None, *, key: str = "key", time: float = 100.0) -> Notes:
    return Notes("credit", key, lambda: directory, lambda: time)


def test_each_kind_is_logged_once_in_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes = notes_in(tmp_path)
    for text in ("first", "second"):
        notes.tell("output", lambda text=text: text)  # type: ignore[misc]
        notes.tell("features", lambda text=text: text)  # type: ignore[misc]
    assert caplog.messages == ["Model 'credit': first"] * 2
    assert notes.read() == {"output": Note(100.0, "first"), "features": Note(100.0, "first")}


def test_what_has_nothing_to_say_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes = notes_in(tmp_path)
    notes.tell(FEATURE_GAP, lambda: None)
    assert (caplog.messages, notes.read(), list(tmp_path.iterdir())) == ([], {}, [])


def test_after_nothing_to_say_the_next_is_heard_soon(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    notes = Notes("credit", "key", lambda: None, make_throttle=lambda: Throttle(clock=lambda: now))
    notes.tell(FEATURE_GAP, lambda: None)
    notes.tell(FEATURE_GAP, lambda: "too soon")
    now += 1.0
    notes.tell(FEATURE_GAP, lambda: "text")
    assert caplog.messages == ["Model 'credit': text"]


def test_another_process_reads_them_and_the_newest_counts(tmp_path: Path) -> None:
    now = 100.0
    here, there = (Notes("credit", "key", lambda: tmp_path, lambda: now) for _ in range(2))
    here.keep("output", "old")
    assert there.read() == {"output": Note(100.0, "old")}
    now = 200.0
    there.keep("output", "new")
    assert here.read() == {"output": Note(200.0, "new")}


@pytest.mark.parametrize("letter", ["a", '"', "\\", "年", "😀", "\ud800"])
def test_the_longest_note_of_any_script_reaches_another_process(tmp_path: Path, letter: str) -> None:
    here, there = (notes_in(tmp_path) for _ in range(2))
    here.keep("output", letter * (MOST_LETTERS + 1))
    assert there.read() == here.read()
    assert len(there.read()["output"].text) == MOST_LETTERS


def test_a_note_of_a_clock_that_was_ahead_does_not_stay_for_a_year(tmp_path: Path) -> None:
    now = 1e9 + 365 * 86400
    here, there = (Notes("credit", "key", lambda: tmp_path, lambda: now) for _ in range(2))
    here.keep("output", "ahead")
    now = 1e9
    assert latest([there.read()], now, 300.0) == {}
    assert latest([there.read()], now) == {"output": "ahead"}
    there.keep("output", "right")
    assert latest([here.read()], now, 300.0) == {"output": "right"}


def test_one_process_of_a_server_is_the_first_to_say_something(tmp_path: Path) -> None:
    assert is_first_to_say(None, "one")
    assert [is_first_to_say(tmp_path, server) for server in ("one", "one", "two", "two", "two")] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert len(list(tmp_path.iterdir())) == 1
    assert [is_first_to_say(tmp_path, "two", topic) for topic in ("clock", "clock", "open")] == [True, False, False]
    assert is_first_to_say(tmp_path, "three")
    assert len(list(tmp_path.iterdir())) == 1
    assert all(is_ours(path.name) for path in tmp_path.iterdir())


def test_where_nothing_can_be_written_each_says_it(tmp_path: Path) -> None:
    assert is_first_to_say(tmp_path / "gone", "one")


def test_models_do_not_read_each_others(tmp_path: Path) -> None:
    notes_in(tmp_path, key="one").keep("output", "text")
    assert notes_in(tmp_path, key="other").read() == {}


def test_without_a_directory_they_stay_in_the_process() -> None:
    notes = notes_in(None)
    notes.keep("output", "text")
    assert notes.read() == {"output": Note(100.0, "text")}
    assert notes_in(None).read() == {}


@pytest.mark.parametrize("reason", ["gone", "a file"])
def test_a_directory_that_cannot_be_used_costs_only_the_others(tmp_path: Path, reason: str) -> None:
    path = tmp_path / "state"
    if reason == "a file":
        path.touch()
    notes = notes_in(path)
    notes.keep("output", "text")
    assert notes.read() == {"output": Note(100.0, "text")}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"time": "x", "text": 1}', b"\xff", b'{"time": 1}'])
def test_a_damaged_file_is_no_note(tmp_path: Path, content: bytes) -> None:
    notes_in(tmp_path).keep("output", "text")
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert notes_in(tmp_path).read() == {}


def test_files_are_few_private_and_swept_with_the_directory(tmp_path: Path) -> None:
    notes = notes_in(tmp_path)
    for _ in range(3):
        for kind in ("features", "output", "internal", FEATURE_GAP):
            notes.keep(kind, "x" * 5000)
    files = list(tmp_path.iterdir())
    assert len(files) == 4
    for path in files:
        assert is_ours(path.name)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.stat().st_size < 2048


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    notes = notes_in(tmp_path)
    notes.keep("output", "text")
    (path,) = tmp_path.iterdir()
    target = tmp_path / "target"
    path.rename(target)
    os.symlink(target, path)
    assert notes_in(tmp_path).read() == {}


def test_they_are_short_and_printable() -> None:
    notes = notes_in(None)
    kept = notes.keep("output", "\x1b[31m\n" + "x" * 5000)
    assert kept.isprintable()
    assert len(kept) == MOST_LETTERS
    assert notes.read()["output"].text == kept


def test_the_latest_of_all_models_since_some_time() -> None:
    one = {"output": Note(100.0, "old"), FEATURE_GAP: Note(50.0, "gone")}
    other = {"output": Note(200.0, "new")}
    assert latest([one, other], 250.0, 190.0) == {"output": "new"}
    assert latest([one, other], 250.0) == {"output": "new", FEATURE_GAP: "gone"}
