"""What is told when: patience, one message for a burst, reminders, ends, and what a restart still knows."""

from __future__ import annotations

import json

import pytest

from flask_boxkite.notify.conditions import Judged
from flask_boxkite.notify.episodes import Episodes
from flask_boxkite.notify.pace import PACE, Pace
from flask_boxkite.provision.durations import duration_seconds
from flask_boxkite.provision.options import RuleOptions
from tests.notify.made import condition, judged

PATIENT = Pace(check=60, hold=300, reminder=86400, expiry=86400)
START = 1_767_300_000.0
HOUR = 3600.0
NONE = judged()


class Course:
    """Episodes on a clock, told to receivers as they come."""

    def __init__(self, pace: Pace = PATIENT) -> None:
        self.pace = pace
        self.episodes = Episodes(pace)
        self.now = START

    def see(self, findings: Judged, seconds: float = 0.0) -> None:
        """Check every minute for a while."""
        end = self.now + seconds
        self.episodes.see(findings, self.now)
        while self.now < end:
            self.now += 60
            self.episodes.see(findings, self.now)

    def tell(self, receiver: str = "a") -> dict[str, str]:
        """Tell what is due; return it by name."""
        telling = self.episodes.to_tell(receiver, self.now)
        if telling is None:
            return {}
        self.episodes.told(telling, self.now)
        return {" and ".join(change.names): change.kind for change in telling.changes.values()}

    def restart(self) -> None:
        """Go on with what was written."""
        self.episodes = Episodes(self.pace, json.loads(json.dumps(self.episodes.to_dict())))


def test_the_patience_is_the_one_of_the_alerts() -> None:
    assert duration_seconds(RuleOptions().hold, what="It") == PACE.hold


def test_a_condition_is_told_once_it_has_held_for_a_while() -> None:
    course = Course()
    course.see(judged("income"), 240)
    assert course.tell() == {}
    course.see(judged("income"), 60)
    assert course.tell() == {"income": "began"}
    course.see(judged("income"), HOUR)
    assert course.tell() == {}


def test_a_condition_that_goes_sooner_is_never_told() -> None:
    course = Course()
    for _ in range(10):
        course.see(judged("income"), 240)
        course.see(NONE)
        assert course.tell() == {}
    assert len(course.episodes) == 0


@pytest.mark.parametrize(
    ("since", "end"),
    [(None, ", first seen 2026-01-01 20:40Z"), (START - 3600.0, ", since 2026-01-01 19:40Z")],
    ids=["first seen", "since"],
)
def test_a_message_says_since_when_or_when_it_was_first_seen(since: float | None, end: str) -> None:
    course = Course()
    course.see(judged(condition("income", since=since)), 300)
    telling = course.episodes.to_tell("a", course.now)
    assert telling is not None
    assert [change.text for change in telling.changes.values()] == [f"income: drifted, size 0.2{end}"]


def test_a_burst_is_one_message() -> None:
    course = Course()
    course.see(judged(*(f"f{number}" for number in range(50))), 300)
    assert len(course.tell()) == 50


def test_an_end_is_told_once_it_has_lasted() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.tell()
    course.see(NONE, 240)
    assert course.tell() == {}
    course.see(NONE, 60)
    assert course.tell() == {"income": "ended"}
    assert list(course.episodes.tidy(["a"], course.now)) == []
    assert len(course.episodes) == 0


def test_a_condition_that_returns_at_once_has_not_ended() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.tell()
    for _ in range(5):
        course.see(NONE, 180)
        course.see(judged("income"), 60)
        assert course.tell() == {}


def test_a_condition_is_told_again_after_its_end() -> None:
    course = Course()
    for _ in range(2):
        course.see(judged("income"), 300)
        assert course.tell() == {"income": "began"}
        course.see(NONE, 300)
        assert course.tell() == {"income": "ended"}
        list(course.episodes.tidy(["a"], course.now))


def test_a_day_later_it_is_told_that_all_still_holds() -> None:
    course = Course()
    course.see(judged("income"), 300)
    assert course.tell() == {"income": "began"}
    course.see(judged("income", "age"), HOUR)
    assert course.tell() == {"age": "began"}
    course.see(judged("income", "age"), 22 * HOUR)
    assert course.tell() == {}
    course.see(judged("income", "age"), 2 * HOUR)
    assert course.tell() == {"income": "continues", "age": "continues"}
    course.see(judged("income", "age"), 23 * HOUR)
    assert course.tell() == {}


def test_another_verdict_of_the_same_variable_is_not_told_again() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.tell()
    course.see(judged(condition("income", verdict="major", alert="BoxkiteFeatureStopped")), HOUR)
    assert course.tell() == {}


def test_a_variable_without_rows_stays_as_it_was() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.tell()
    course.see(judged(clear=["age"]), HOUR)
    assert course.tell() == {}


def test_nothing_of_a_replaced_baseline_holds() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.tell()
    course.see(judged(clear=(), models={"credit": "another"}), 300)
    assert course.tell() == {"income": "ended"}


def test_conditions_of_models_of_other_apps_are_forgotten() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.episodes.keep({"other"})
    assert len(course.episodes) == 0


def test_a_restart_repeats_nothing() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.tell()
    course.restart()
    course.see(judged("income"), HOUR)
    assert course.tell() == {}
    course.restart()
    course.see(NONE, 300)
    assert course.tell() == {"income": "ended"}
    course.restart()
    assert course.tell() == {}


def test_patience_goes_on_after_a_restart() -> None:
    course = Course()
    course.see(judged("income"), 240)
    course.restart()
    course.see(judged("income"), 60)
    assert course.tell() == {"income": "began"}


def test_slow_checks_need_no_more_patience() -> None:
    course = Course()
    course.see(judged("income"))
    course.now += HOUR
    course.see(judged("income"))
    assert course.tell() == {"income": "began"}


def test_patience_begins_afresh_where_rows_were_too_few() -> None:
    course = Course()
    course.see(judged("income"))
    course.see(judged(clear=()), HOUR)
    course.see(judged("income"))
    assert course.tell() == {}


def test_patience_begins_afresh_where_no_process_has_looked() -> None:
    course = Course()
    course.see(judged("income"))
    course.restart()
    course.now += HOUR
    course.see(judged("income"))
    assert course.tell() == {}


def test_a_clock_that_is_set_back_begins_patience_afresh() -> None:
    course = Course()
    course.see(judged("income"), 240)
    course.now -= HOUR
    course.see(judged("income"), 240)
    assert course.tell() == {}
    course.see(judged("income"), 60)
    assert course.tell() == {"income": "began"}


def test_what_holds_is_told_in_one_message_to_a_receiver_that_was_away() -> None:
    """Each receiver gets what it does not know."""
    course = Course()
    course.see(judged("income"), 300)
    assert course.tell("a") == {"income": "began"}
    course.see(judged("income", "age"), 300)
    assert course.tell("a") == {"age": "began"}
    course.see(judged("income"), 300)
    assert course.tell("a") == {"age": "ended"}
    assert course.tell("b") == {"income": "began", "age": "ended"}


def test_an_end_that_cannot_be_told_is_given_up_after_a_day() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.see(NONE, 300)
    assert list(course.episodes.tidy(["a", "b"], course.now + 20 * HOUR)) == []
    assert list(course.episodes.tidy(["a", "b"], course.now + 25 * HOUR)) == ["a", "b"]
    assert len(course.episodes) == 0


def test_a_return_before_the_end_was_told_is_no_news() -> None:
    course = Course()
    course.see(judged("income"), 300)
    course.tell()
    course.see(NONE, 300)
    course.see(judged("income"), HOUR)
    assert course.tell() == {}


def test_another_attempt_has_the_same_id_and_another_message_has_not() -> None:
    course = Course()
    course.see(judged("income"), 300)
    first = course.episodes.to_tell("a", course.now)
    course.restart()
    course.see(judged(condition("income", since=START - 60.0, text="income: major")), 60)
    second = course.episodes.to_tell("a", course.now)
    course.see(judged("income", "age"), 300)
    third = course.episodes.to_tell("a", course.now)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.id == second.id != third.id


@pytest.mark.parametrize(
    "stored",
    [None, 7, "x", {}, [7], [{}], [{"condition": {}}], [{"condition": None, "began": "x"}], [[[]]]],
    ids=repr,
)
def test_what_cannot_be_read_is_left_out(stored: object) -> None:
    assert len(Episodes(PATIENT, stored)) == 0


def test_what_can_be_read_of_a_damaged_file_is_kept() -> None:
    course = Course()
    course.see(judged("income", "age"), 300)
    stored = course.episodes.to_dict()
    del stored[0]["condition"]["text"]
    assert [item.names for item in Episodes(PATIENT, stored).holding] == [("age",)]
