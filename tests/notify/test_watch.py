"""Turns of the watch: checks, attempts and pauses on a clock, receivers that fail, and a process that takes over."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from flask_boxkite.notify.conditions import Judged
from flask_boxkite.notify.errors import ReceiverError
from flask_boxkite.notify.gaps import OutcomeGaps
from flask_boxkite.notify.memory import Memory
from flask_boxkite.notify.message import Notification
from flask_boxkite.notify.pace import Pace
from flask_boxkite.notify.receivers import FunctionReceiver
from flask_boxkite.notify.watch import Sender, Watch
from tests.notify.made import judged

PACE = Pace(check=60, hold=300, gap=300, first_backoff=5, last_backoff=600)


class Inbox:
    """A receiver that keeps messages, or fails as a test tells it."""

    channel = "webhook"

    def __init__(self, key: str = "inbox") -> None:
        self.key = key
        self.failure: Exception | None = None
        self.attempts = 0
        self.kinds: list[list[str]] = []

    def __str__(self) -> str:
        return "the inbox"

    def send(self, notification: Notification, timeout: float) -> None:
        assert timeout == PACE.timeout
        self.attempts += 1
        if self.failure is not None:
            raise self.failure
        self.kinds.append([f"{change.names[0]} {change.kind}" for change in notification.changes])


class Clocked:
    """Watches of one server, on a clock of the test's own."""

    def __init__(self, directory: Path | None, *receivers: Inbox) -> None:
        self.now = 1_767_300_000.0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.findings: Callable[[], Judged | None] = judged
        self._directory = directory
        self._receivers = receivers
        self.watch = self.another()

    def another(self) -> Watch:
        """Return the watch of another process."""
        return Watch(
            lambda gaps, now: self.findings(),
            self._receivers,
            Memory(lambda: self._directory, "own", ["credit"], lambda: self.now),
            Sender("scoring", "pod-1", None),
            lambda channel, result: self.counts.update([(channel, result)]),
            PACE,
            clock=lambda: self.now,
            wall=lambda: self.now,
        )

    def find(self, *names: str) -> None:
        """Let these features drift from now on."""
        self.findings = lambda: judged(*names)

    def run(self, seconds: float) -> None:
        """Take turns for a while."""
        end = self.now + seconds
        while True:
            pause = self.watch.turn()
            assert pause is not None
            if self.now + pause > end:
                self.now = end
                return
            self.now += pause


@pytest.fixture
def inbox() -> Inbox:
    """Return a receiver that works."""
    return Inbox()


def test_the_life_of_a_condition_is_two_messages(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    clocked.find("income", "age")
    clocked.run(3600)
    clocked.find()
    clocked.run(3600)
    clocked.find("income")
    clocked.run(3600)
    assert inbox.kinds == [["income began", "age began"], ["income ended", "age ended"], ["income began"]]
    assert clocked.counts == {("webhook", "delivered"): 3}
    clocked.watch.release()


def test_changes_that_follow_each_other_wait_for_one_message(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    for number in range(4):
        clocked.find(*(f"f{each}" for each in range(number + 1)))
        clocked.run(60)
    clocked.run(900)
    assert inbox.kinds == [["f0 began"], ["f1 began", "f2 began", "f3 began"]]
    clocked.watch.release()


def test_a_check_is_made_each_minute(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    checks = []
    clocked.findings = lambda: checks.append(clocked.now) or judged()
    clocked.run(600)
    assert [after - before for before, after in pairwise(checks)] == [60.0] * 10
    clocked.watch.release()


def test_checks_that_take_long_are_made_less_often(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    checks = []

    def slow() -> Judged:
        checks.append(clocked.now)
        clocked.now += 10
        return judged()

    clocked.findings = slow
    clocked.run(900)
    assert [after - before for before, after in pairwise(checks)] == [210.0] * 4
    clocked.watch.release()


@pytest.mark.parametrize("failure", [ReceiverError("it answers 500"), ValueError("x")], ids=repr)
def test_a_receiver_that_comes_back_gets_one_message(tmp_path: Path, inbox: Inbox, failure: Exception) -> None:
    clocked = Clocked(tmp_path, inbox)
    inbox.failure = failure
    clocked.find("income")
    clocked.run(7200)
    clocked.find("income", "age")
    clocked.run(7200)
    assert inbox.kinds == []
    # 5, 10, 20, ... seconds, then every ten minutes.
    assert 25 <= inbox.attempts <= 35
    assert clocked.counts == {("webhook", "failed"): inbox.attempts}

    inbox.failure = None
    clocked.run(7200)
    assert inbox.kinds == [["income began", "age began"]]
    clocked.watch.release()


def test_a_receiver_that_fails_does_not_hold_up_another(tmp_path: Path, inbox: Inbox) -> None:
    broken = Inbox("broken")
    broken.failure = ReceiverError("it answers 500")
    clocked = Clocked(tmp_path, broken, inbox)
    clocked.find("income")
    clocked.run(400)
    assert inbox.kinds == [["income began"]]
    broken.failure = None
    clocked.run(400)
    assert broken.kinds == inbox.kinds == [["income began"]]
    clocked.watch.release()


def test_the_wish_of_a_receiver_is_respected(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    inbox.failure = ReceiverError("it answers 429", retry_after=1800.0)
    clocked.find("income")
    clocked.run(300)
    clocked.run(1700)
    assert inbox.attempts == 1
    clocked.run(200)
    assert inbox.attempts == 2
    clocked.watch.release()


def test_a_failure_is_logged_without_the_address(
    tmp_path: Path, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    clocked = Clocked(tmp_path, inbox)
    inbox.failure = ReceiverError("it answers 500")
    clocked.find("income")
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        clocked.run(400)
    assert [record.getMessage() for record in caplog.records] == [
        "A notification was not taken by the inbox: it answers 500. It is tried again in 5 s."
    ]
    clocked.watch.release()


def test_an_exception_of_a_function_is_logged_with_its_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def mail(notification: Notification) -> None:
        msg = "no\nroute"
        raise ConnectionError(msg)

    watch = Watch(
        lambda gaps, now: judged("income"),
        [FunctionReceiver(mail)],
        Memory(lambda: tmp_path, "own", ["credit"]),
        Sender("scoring", "pod-1", None),
        lambda channel, result: None,
        Pace(hold=0),
    )
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        watch.turn()
    (record,) = caplog.records
    assert "was not taken by the function 'test_an_exception_of_a_function" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is not None
    assert record.exc_info[0].__name__ == "ConnectionError"
    assert "\n" not in str(record.exc_info[1])
    watch.release()


def test_an_async_function_is_awaited_and_one_that_exits_ends_nothing(tmp_path: Path) -> None:
    told: list[Notification] = []
    calls = []

    async def mail(notification: Notification) -> None:
        calls.append(1)
        if len(calls) == 1:
            sys.exit("no")
        told.append(notification)

    watch = Watch(
        lambda gaps, now: judged("income"),
        [FunctionReceiver(mail)],
        Memory(lambda: tmp_path, "own", ["credit"]),
        Sender("scoring", "pod-1", None),
        lambda channel, result: None,
        Pace(hold=0, first_backoff=0, last_backoff=0),
    )
    watch.turn()
    assert told == []
    watch.turn()
    assert len(told) == 1
    watch.release()


def test_a_restart_repeats_nothing(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    clocked.find("income")
    clocked.run(400)
    clocked.watch.release()
    clocked.watch = clocked.another()
    clocked.run(3600)
    assert inbox.kinds == [["income began"]]
    clocked.watch.release()


def test_a_restart_without_a_directory_forgets(inbox: Inbox) -> None:
    clocked = Clocked(None, inbox)
    clocked.find("income")
    clocked.run(400)
    clocked.watch = clocked.another()
    clocked.run(400)
    assert inbox.kinds == [["income began"]] * 2


def test_another_process_takes_over(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    first, second = clocked.watch, clocked.another()
    clocked.find("income")
    clocked.run(400)
    clocked.watch = second
    clocked.run(400)
    assert inbox.kinds == [["income began"]]

    first.release()
    clocked.find("income", "age")
    clocked.run(900)
    assert inbox.kinds == [["income began"], ["age began"]]
    assert first.turn() == PACE.check
    second.release()


def test_a_notifier_that_lost_its_lock_learns_from_the_one_after(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    first = clocked.watch
    clocked.find("income")
    clocked.run(400)
    (lock,) = (path for path in tmp_path.iterdir() if "lock" in path.name)
    lock.unlink()
    clocked.watch = second = clocked.another()
    clocked.find("income", "age")
    clocked.run(900)
    second.release()
    clocked.watch = first
    clocked.run(900)
    assert inbox.kinds == [["income began"], ["age began"]]
    first.release()


def test_a_notifier_whose_directory_was_deleted_repeats_nothing(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    clocked.find("income")
    clocked.run(400)
    for path in tmp_path.iterdir():
        path.unlink()
    clocked.run(400)
    assert inbox.kinds == [["income began"]]
    clocked.watch.release()
    clocked.watch = clocked.another()
    clocked.run(400)
    assert inbox.kinds == [["income began"]]
    clocked.watch.release()


def test_a_check_that_fails_is_logged_once_and_tried_again(
    tmp_path: Path, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    clocked = Clocked(tmp_path, inbox)

    def fail() -> Judged:
        raise ZeroDivisionError

    clocked.findings = fail
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        clocked.run(1800)
    assert len(caplog.records) == 1
    clocked.find("income")
    clocked.run(900)
    assert inbox.kinds == [["income began"]]
    clocked.watch.release()


def test_a_directory_that_cannot_be_used_is_tried_again(tmp_path: Path, inbox: Inbox) -> None:
    directory = tmp_path / "state"
    directory.write_text("a file")
    clocked = Clocked(directory, inbox)
    clocked.find("income")
    clocked.run(900)
    assert inbox.kinds == []
    directory.unlink()
    directory.mkdir()
    clocked.run(900)
    assert inbox.kinds == [["income began"]]
    clocked.watch.release()


def test_an_end_that_is_given_up_is_counted(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    inbox.failure = ReceiverError("it answers 410")
    clocked.find("income")
    clocked.run(600)
    clocked.find()
    clocked.run(2 * 86400)
    assert clocked.counts["webhook", "dropped"] == 1
    attempts = inbox.attempts
    clocked.run(86400)
    assert inbox.attempts == attempts
    clocked.watch.release()


def test_the_watch_ends_with_its_app(tmp_path: Path, inbox: Inbox) -> None:
    clocked = Clocked(tmp_path, inbox)
    clocked.findings = lambda: None
    assert clocked.watch.turn() is None
    clocked.watch.release()


def test_the_memory_of_outcomes_outlives_the_process(tmp_path: Path) -> None:
    seen = []

    def judge(gaps: OutcomeGaps, now: float) -> Judged:
        list(gaps.see("credit", "0123", 7, now))
        seen.append(gaps.to_dict())
        return judged()

    for _ in range(2):
        watch = Watch(
            judge, [], Memory(lambda: tmp_path, "own", ["credit"]), Sender("a", "b", None), lambda *_: None, Pace()
        )
        watch.turn()
        watch.release()
    assert seen[0] == seen[1] != {}
