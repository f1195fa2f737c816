"""Apps of one name count in one directory; each finds its own counts there, and shows no other's."""

from __future__ import annotations

import gc
import logging
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from flask_boxkite.delivery import records_section
from flask_boxkite.live import apart
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.folding import read_directory
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.state_directory import StateDirectory
from flask_boxkite.live.state_file import composed
from flask_boxkite.live.store import Store
from flask_boxkite.system.process import ServerName, boot_id, pid_namespace
from flask_boxkite.system.throttle import Throttle
from tests.faults import ended, fork
from tests.live.directories import fold, later, state_directory

SERVER = {"wsgi.multiprocess": False}
A, B, C = (SectionKey("model", "m", name) for name in "abc")


class App:
    """An app of the name ``app`` that monitors some sections, in a directory that was asked for.

    Args:
        directory: The directory.
        keys: What it monitors.
        server: Process id of its server; None for this process.
        is_serving: Whether it serves requests, rather than being looked at by a command.
        clock: Returns the present moment.
    """

    throttle = Throttle()

    def __init__(
        self,
        directory: Path,
        *keys: SectionKey,
        server: int | None = None,
        is_named: bool = False,
        is_serving: bool = True,
        name: str = "app",
        clock: Callable[[], Moment] = Moment.now,
    ) -> None:
        options = {"monitored": keys, "is_named": is_named, "clock": clock}
        self.state_directory = state_directory(directory, name, replica="pod", **options)
        if server is not None:  # as if it were of another process
            self.state_directory.server = ServerName(boot_id().partition("-")[0], pid_namespace(), server, "1")
            self.state_directory.release()
        self.store = Store(self.state_directory, twins_throttle=self.throttle)
        self.counts = {key: Counts(self.store, Section(key, 1, 0)) for key in keys}
        self.sink = Counts(self.store, records_section("file", owner=self.store.owner))
        if is_serving:
            self.store.check_server(SERVER)

    def count(self, key: SectionKey, times: int = 1) -> None:
        """Count predictions, each with a record."""
        for _ in range(times):
            self.counts[key].add(Increments([0]))
            self.sink.add(Increments([self.sink.section.cells - 1]))

    def seen(self) -> dict[SectionKey, int]:
        """Return what its metrics show."""
        self.store.tidy()
        reading = self.store.read()
        return {key: int(reading.sections[key].cells[0]) for key in (A, B, C) if key in reading.sections}

    def records(self) -> int:
        """Return how many records it shows as accepted."""
        self.store.tidy()
        return int(self.store.read().sink_cells("file")[-1])

    def directory(self) -> Path:
        """Return where it counts."""
        found = self.store.directory()
        assert found is not None
        return found


def test_what_they_monitor_tells_them_apart_whatever_their_order(tmp_path: Path) -> None:
    for number, order in enumerate([(A, B), (B, A), (A, B)], 1):
        apps = {key: App(tmp_path, key) for key in order}
        apps[A].count(A, 3)
        apps[B].count(B, 5)
        seen = {key: (app.seen(), app.records()) for key, app in apps.items()}
        assert seen == {A: ({A: 3 * number}, 3 * number), B: ({B: 5 * number}, 5 * number)}
        del apps
        gc.collect()
    assert len(list(tmp_path.iterdir())) == 1


def test_apps_of_other_models_share_nothing_with_one_that_has_both(tmp_path: Path) -> None:
    """They have a model in common, so their sums would meet."""
    both, one = App(tmp_path, A, B), App(tmp_path, A)
    both.count(A)
    one.count(A, 2)
    assert both.directory() != one.directory()
    assert (both.seen(), one.seen()) == ({A: 1, B: 0}, {A: 2})


def test_an_app_that_has_one_more_model_goes_on_with_the_others(tmp_path: Path) -> None:
    App(tmp_path, A).count(A, 3)
    gc.collect()
    app = App(tmp_path, A, B)
    app.count(A)
    assert (app.seen(), app.records()) == ({A: 4, B: 0}, 4)


def test_a_new_baseline_shows_the_last_counts_of_the_old_one(tmp_path: Path) -> None:
    """Of a process that has ended, and of one that is just ending."""
    App(tmp_path, A).count(A, 3)
    gc.collect()
    ending = App(tmp_path, B)
    ending.state_directory.release()  # another process of the server has it
    ending.count(B, 2)
    app = App(tmp_path, C)
    app.count(C)
    assert (app.seen(), app.records()) == ({A: 3, B: 2, C: 1}, 6)


def test_an_app_that_ends_beside_another_is_not_its_predecessor(tmp_path: Path) -> None:
    one, other = App(tmp_path, A), App(tmp_path, B)
    one.count(A, 3)
    other.count(B, 2)
    assert one.seen() == {A: 3}
    del other
    gc.collect()
    assert (one.seen(), one.records()) == ({A: 3}, 3)
    assert App(tmp_path, C).seen() == {C: 0}


# --- another server --------------------------------------------------------------------------------------------------


def test_an_app_of_another_server_is_left_out_and_stays_so(tmp_path: Path) -> None:
    one, other = App(tmp_path, A, server=1), App(tmp_path, B, server=2)
    one.count(A, 3)
    other.count(B, 2)
    assert ((one.seen(), one.records()), (other.seen(), other.records())) == (({A: 3}, 3), ({B: 2}, 2))
    del other
    gc.collect()
    assert (one.seen(), one.records()) == ({A: 3}, 3)


def test_servers_of_one_app_add_up(tmp_path: Path) -> None:
    one, other = App(tmp_path, A, server=1), App(tmp_path, A, server=2)
    one.count(A, 3)
    other.count(A, 2)
    assert one.seen() == other.seen() == {A: 5}


def test_with_a_name_another_server_is_the_next_release(tmp_path: Path) -> None:
    """So its deployment may overlap with the release before, however they are started."""
    old = App(tmp_path, A, server=1, is_named=True)
    old.count(A, 3)
    new = App(tmp_path, B, server=2, is_named=True)
    new.count(B, 2)
    assert (new.seen(), new.records()) == ({A: 3, B: 2}, 5)


def test_a_successor_that_the_server_has_started_is_the_next_release(tmp_path: Path) -> None:
    """As gunicorn's master does on USR2."""
    parent, child = os.getppid(), os.getpid()
    old, new = App(tmp_path, A, server=parent), App(tmp_path, B, server=child)
    old.count(A, 3)
    new.count(B, 2)
    assert old.seen() == new.seen() == {A: 3, B: 2}


def test_a_command_that_looks_at_an_app_of_another_baseline_parts_nothing(tmp_path: Path) -> None:
    """``check`` before a deploy has the new baseline, while the old one serves."""
    serving, command = App(tmp_path, A, server=1), App(tmp_path, B, server=2, is_serving=False)
    serving.count(A, 3)
    assert (command.seen(), serving.seen()) == ({B: 0}, {A: 3})
    del serving, command
    gc.collect()
    assert App(tmp_path, C, server=3).seen() == {A: 3, B: 0, C: 0}


def test_a_file_that_does_not_name_its_server_is_that_of_an_earlier_release(tmp_path: Path) -> None:
    with mock.patch("flask_boxkite.live.state_file._header", return_value=HEADER):
        old = App(tmp_path, A, server=1)
        old.count(A, 3)
    assert App(tmp_path, B, server=2).seen() == {A: 3, B: 0}


HEADER = composed(0, [])[:4096].replace(composed(0, [])[24:28], bytes(4))


# --- those that nothing tells apart ----------------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture) -> int:
    """Return how often the log asked for names."""
    return sum("Give each a name" in message for message in caplog.messages)


@pytest.fixture(autouse=True)
def fresh_throttle() -> None:
    """Let the warning be given that another test has just got."""
    App.throttle = Throttle()


def test_twins_share_nothing_and_that_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    apps = [App(tmp_path, A) for _ in range(3)]
    assert all(app.store.is_ambiguous for app in apps)
    apps[0].count(A, 1)
    assert told(caplog) == 0  # the others may never serve
    apps[1].count(A, 2)
    apps[2].count(A, 3)
    assert [app.seen() for app in apps] == [{A: 1}, {A: 2}, {A: 3}]
    assert told(caplog) == 1


def test_twins_are_numbered_as_they_were_made_whichever_serves_first(tmp_path: Path) -> None:
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        apps = [App(tmp_path, A) for _ in range(3)]
        for index in order:
            apps[index].count(A, 1 + index)
        names = [app.directory().name for app in apps]
        assert names == ["boxkite-pod-app.0", "boxkite-pod-app.0-2", "boxkite-pod-app.0-3"]
        del apps
        gc.collect()


def test_an_app_that_is_lost_before_its_first_request_takes_no_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process may never have made it, as where a factory has failed in one only."""
    lost, app = App(tmp_path, A), App(tmp_path, A)
    vars(lost)["itself"] = lost  # found by the garbage collector alone
    del lost
    app.count(A, 2)
    assert app.directory().name == "boxkite-pod-app.0"
    assert told(caplog) == 0


def test_names_are_asked_for_where_an_earlier_twin_that_never_serves_keeps_its_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Something holds it, such as the exception with which its factory has failed; another process may not have it."""
    kept, app = App(tmp_path, A), App(tmp_path, A)
    app.count(A, 2)
    assert app.directory().name == "boxkite-pod-app.0-2"
    assert told(caplog) == 1
    assert kept.seen() == {A: 0}


def test_names_tell_twins_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for names in (("x", "y"), ("y", "x")):
        apps = {name: App(tmp_path, A, name=name, is_named=True) for name in names}
        apps["x"].count(A)
        apps["y"].count(A, 2)
        assert not any(app.store.is_ambiguous for app in apps.values())
        seen = [apps[name].seen() for name in "xy"]
        del apps
        gc.collect()
    assert seen == [{A: 2}, {A: 4}]
    assert told(caplog) == 0


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("x" * 50, "x" * 51), ("ä" * 200, "ä" * 201)])
def test_names_that_look_alike_are_two(tmp_path: Path, names: tuple[str, str]) -> None:
    one, other = (App(tmp_path, A, name=name, is_named=True) for name in names)
    assert one.directory() != other.directory()
    assert one.directory().parent == other.directory().parent == tmp_path


def test_a_twin_that_was_dropped_does_not_count(tmp_path: Path) -> None:
    """Else the directory of an app would depend on when a process last collected its garbage."""
    gc.disable()
    try:
        for _ in range(3):
            dropped = App(tmp_path, A)
            dropped.counts["self"] = dropped  # type: ignore[assignment]  # a cycle, as apps are
            expected = dropped.directory()
            del dropped
        assert App(tmp_path, A).directory() == expected
    finally:
        gc.enable()


def test_a_twin_that_is_gone_gives_up_its_place_though_its_records_are_on_their_way(tmp_path: Path) -> None:
    gone = App(tmp_path, A)
    gone.count(A, 3)
    gone.store.release()
    back = App(tmp_path, A)
    assert back.directory() == gone.directory()
    assert back.seen() == {A: 3}


def test_a_process_by_itself_gives_each_app_a_directory_that_is_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As tests of an app want it; no other process has to find it."""
    directories = [state_directory(None, monitored=keys, bases=[tmp_path]) for keys in ([A], [A], [B], [A, B])]
    stores = [Store(directory, twins_throttle=App.throttle) for directory in directories]
    assert len({store.directory() for store in stores}) == 4
    assert told(caplog) == 0


def test_forks_agree_on_directories(tmp_path: Path) -> None:
    """Also on the directory of an app that they make themselves."""
    first = App(tmp_path, A)
    first.count(A)

    def child() -> None:
        twin = App(tmp_path, A)
        twin.count(A, 5)
        assert twin.directory() != first.directory()
        assert first.seen() == {A: 1}

    for _ in range(2):
        assert ended(fork(child)) == 0
    twin = App(tmp_path, A)
    assert (first.seen(), twin.seen()) == ({A: 1}, {A: 10})


# --- marks -----------------------------------------------------------------------------------------------------------


def test_marks_are_known_by_their_keys(tmp_path: Path) -> None:
    apart.mark(tmp_path, [A])
    apart.mark(tmp_path, [A, B])
    marks = apart.marked(tmp_path)
    assert (A in marks, B in marks, C in marks) == (True, True, False)
    apart.unmark(tmp_path, A)
    apart.unmark(tmp_path, A)
    assert A not in apart.marked(tmp_path)


def test_marks_go_with_the_counts_that_are_forgotten(tmp_path: Path) -> None:
    one, other = App(tmp_path, A), App(tmp_path, B)
    one.count(A)
    other.count(B)
    directory = one.directory()
    assert B in apart.marked(directory)
    del other
    gc.collect()
    fold(directory)
    App(tmp_path, C).count(C)
    gc.collect()
    fold(directory, clock=later(2 * 86400))
    assert B not in apart.marked(directory)
    assert B not in read_directory(directory).sections


def test_records_of_old_releases_become_one_sum(tmp_path: Path) -> None:
    """Else each deploy would leave a section for good."""
    for key in (A, B):
        App(tmp_path, key).count(key, 3)
        gc.collect()
    moments = [Moment.now()]
    app = App(tmp_path, C, clock=lambda: moments[-1])
    app.count(C, 2)
    assert app.records() == 8
    directory = app.directory()
    before = [key for key in read_directory(directory).sections if key.is_sink]
    moments.append(later(2 * 86400)())
    app.state_directory.release()  # the next one is another process
    App(tmp_path, C).count(C)
    gc.collect()
    assert app.records() == 9
    after_it = [key for key in read_directory(directory).sections if key.is_sink]
    assert (len(before), len(after_it)) == (3, 2)
    assert SectionKey("sink", "file") in after_it


# --- an earlier release ----------------------------------------------------------------------------------------------


def earlier(base: Path, number: int, **counts: int) -> None:
    """Leave what an earlier release has counted in the directory of the app that a process made as its n-th."""
    directory = state_directory(base, replica="pod")
    directory.release()
    with mock.patch.multiple(StateDirectory, _segment=f"app.{number}", _take_over_numbered=mock.DEFAULT):
        store = Store(directory)
        for name, count in counts.items():
            key = SectionKey("sink", "file") if name == "sink" else SectionKey("model", "m", name)
            section = records_section("file") if name == "sink" else Section(key, 1, 0)
            block = store.block(section)
            block.cells[-1] += count
        store.share()
    del store, block
    gc.collect()


def test_an_upgrade_goes_on_counting(tmp_path: Path) -> None:
    earlier(tmp_path, 0, a=3, sink=3)
    app = App(tmp_path, A)
    app.count(A)
    assert (app.seen(), app.records()) == ({A: 4}, 4)


def test_an_upgrade_sorts_out_what_the_order_of_apps_had_mixed(tmp_path: Path) -> None:
    """What became of records cannot be sorted out, and is left out."""
    earlier(tmp_path, 0, a=3, b=5, sink=8)
    earlier(tmp_path, 1, b=20, a=10, sink=30)
    apps = {key: App(tmp_path, key) for key in (B, A)}
    apps[A].count(A)
    apps[B].count(B)
    assert (apps[A].seen(), apps[A].records()) == ({A: 14}, 1)
    assert (apps[B].seen(), apps[B].records()) == ({B: 26}, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["boxkite-pod-app.0"]
    # Once, however often.
    gone = weakref.ref(apps.pop(A))
    gc.collect()
    assert gone() is None
    assert App(tmp_path, A).seen() == {A: 14}


def test_processes_of_the_earlier_release_keep_what_they_count(tmp_path: Path) -> None:
    """Until they end: its counts are theirs to add to."""
    directory = state_directory(tmp_path, replica="pod")
    directory.release()
    with mock.patch.multiple(StateDirectory, _segment="app.1", _take_over_numbered=mock.DEFAULT):
        old = Store(directory)
        block = old.block(Section(A, 1, 0))
        block.cells[0] += 3
        old.share()
    app = App(tmp_path, A)
    app.count(A)
    assert app.seen() == {A: 1}
    block.cells[0] += 2
    del old, block
    gc.collect()
    del app
    gc.collect()
    assert App(tmp_path, A).seen() == {A: 6}


def test_nothing_is_said_in_all_this(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        earlier(tmp_path, 0, a=3)
        App(tmp_path, A).count(A)
    assert caplog.messages == []
