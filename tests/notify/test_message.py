"""The texts of messages, for people and programs."""

from __future__ import annotations

import dataclasses
import json

from flask_boxkite.notify import Change, Notification
from flask_boxkite.notify.message import sentence
from tests.notify.made import CHANGE, notification


def change(**changes: object) -> Change:
    return dataclasses.replace(CHANGE, **changes)  # type: ignore[arg-type]


def test_a_message_says_what_moved_by_how_much_since_when_and_where_to_look() -> None:
    assert notification(page="https://scoring/boxkite/").text == (
        "credit: 1 feature drifted (scoring on pod-1)\n"
        "• income: major, size 0.53; 25,000 to 50,000: 12% → 45% of rows, since 2026-01-02 14:03Z\n"
        "https://scoring/boxkite/"
    )


def test_changes_are_in_groups_by_their_kind() -> None:
    ended = change(kind="ended", names=("age",), text="age: drifted from 2026-01-02 14:03Z to 2026-01-02 15:00Z")
    text = notification(CHANGE, change(kind="continues", names=("tenure",), text="tenure: drifted"), ended).text
    assert text.split("\n")[0] == "credit: 1 feature drifted, 1 feature still drifted, 1 ended (scoring on pod-1)"
    assert text.split("\n")[2:] == [
        "It still holds:",
        "• tenure: drifted",
        "It has ended:",
        "• age: drifted from 2026-01-02 14:03Z to 2026-01-02 15:00Z",
    ]


def test_a_title_names_models_and_counts() -> None:
    changes = [
        *(change(names=(f"f{number}",)) for number in range(3)),
        change(subject="pair", names=("a", "b")),
        change(subject="performance", names=()),
        change(model="fraud", subject="outcomes", names=()),
        change(model="fraud", subject="capture", names=("features",)),
        change(model="fraud", subject="expectation", kind="continues", names=()),
    ]
    assert notification(*changes).title == (
        "credit: 3 features and 1 pair drifted, worse than validated; "
        "fraud: no outcomes come, requests are not understood, still expected to be worse than validated"
    )


def test_a_text_names_ten_changes_and_counts_the_others() -> None:
    lines = notification(*(change(text=f"f{number}") for number in range(31))).text.split("\n")
    assert len(lines) == 12
    assert lines[-2:] == ["• f9", "and 21 more"]


def test_a_text_with_a_limit_leaves_changes_out() -> None:
    message = notification(*(change(text="x" * 500) for _ in range(31)), page="https://scoring/boxkite/")
    text = message.text_within(1000)
    assert len(text) <= 1000
    assert text.endswith("\nand 28 more\nhttps://scoring/boxkite/")
    assert len(message.text_within(20)) == 20


def test_names_cannot_forge_lines() -> None:
    message = notification(change(text="a\nb\x1b[31m", model="m\nx"), service="s\r\n")
    assert len(message.text.split("\n")) == 2
    assert message.text.replace("\n", "").isprintable()


def test_the_end_of_a_condition_is_told_with_both_times() -> None:
    start, end = 1767362580.0, 1767366180.0
    assert sentence("feature", ("age",), "major", "", start, end) == (
        "age: major from 2026-01-02 14:03Z to 2026-01-02 15:03Z"
    )
    assert sentence("outcomes", (), "", "", start, end) == (
        "no outcomes come: from 2026-01-02 14:03Z to 2026-01-02 15:03Z"
    )


def test_the_document_has_all_and_is_json() -> None:
    ended = change(kind="ended", until=1767366180.0)
    message = notification(CHANGE, ended, page="https://scoring/boxkite/")
    document = json.loads(json.dumps(message.to_dict(), allow_nan=False))

    assert document["format"] == 1
    assert document["time"] == "2026-01-02T14:08:00Z"
    assert document["text"] == message.text
    assert document["changes"][0] == {
        "kind": "began",
        "alert": "BoxkiteFeatureDrift",
        "model": "credit",
        "baseline": "0123456789ab",
        "subject": "feature",
        "names": ["income"],
        "verdict": "major",
        "text": CHANGE.text,
        "since": "2026-01-02T14:03:00Z",
        "until": None,
        "numbers": {"size": 0.53},
    }
    assert document["changes"][1]["until"] == "2026-01-02T15:03:00Z"
    assert set(document) == {*(field.name for field in dataclasses.fields(Notification)), *ADDED} - {"is_test"}


ADDED = {"format", "test", "title", "text"}


def test_changes_by_kind() -> None:
    message = notification(CHANGE, change(kind="ended"), change(kind="continues"))
    assert message.began == (CHANGE,)
    assert [item.kind for item in message.ended] == ["ended"]


def test_a_test_message_says_that_it_is_one() -> None:
    message = Notification("1", 0.0, "scoring", "pod-1", (), is_test=True)
    assert message.text == "A test of notifications by flask-boxkite (scoring on pod-1)"
    assert message.to_dict()["test"] is True
