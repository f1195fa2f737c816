"""Values that count as invalid: examples by variable, of answered requests, shared by processes, hidden where asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.live.folding import is_ours
from flask_boxkite.monitoring.redaction import Redaction
from flask_boxkite.monitoring.unread import Unread, unread_of
from flask_boxkite.values.unread import listed_values

AGE = ("feature", "age")


class Clock:
    """A clock that stands still."""

    now = 1e9

    def __call__(self) -> float:
        return self.now


def unread_in(
    directory: Path | None,
    clock: Callable[[], float],
    is_hidden: Callable[[str, Any], bool] = lambda name, value: False,
) -> Unread:
    expected = {("feature", f"x{number}"): "numbers" for number in range(100)}
    return Unread("credit", "key", lambda: directory, {AGE: "numbers", **expected}, is_hidden, clock=clock)


def arrive(unread: Unread, *values: Any, name: str = "age", is_answered: bool = True) -> None:
    for value in values:
        unread.waiting.setdefault(("feature", name), value)
    unread.settle(is_answered=is_answered)


def shown(unread: Unread) -> dict[str, str]:
    return {name: listed_values(examples) for (_, name), examples in unread.read().items()}


def test_the_first_value_of_an_answered_request_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    unread = unread_in(None, Clock())
    arrive(unread, "refused", is_answered=False)
    assert (shown(unread), caplog.messages) == ({}, [])
    arrive(unread, "12,5", "n.n.")
    assert shown(unread) == {"age": "texts such as '12,5'"}
    assert caplog.messages == [
        "Model 'credit': some values cannot be read, and count as invalid: 'age' (texts such as '12,5', where training "
        "had numbers). Send values as in training; name texts that mean a missing value in 'missing_texts' of "
        "export_text()."
    ]


def test_two_forms_are_kept_the_latest_ones() -> None:
    clock = Clock()
    unread = unread_in(None, clock)
    for value in ("12,5", "13,5", "€ 30", "x", "99,9"):
        clock.now += 1
        arrive(unread, value)
    assert shown(unread) == {"age": "texts such as '99,9' and 'x'"}


def test_values_that_come_with_every_request_are_looked_at_once_in_a_while() -> None:
    clock = Clock()
    unread = unread_in(None, clock)
    arrive(unread, "12,5")
    arrive(unread, "x")
    assert shown(unread) == {"age": "texts such as '12,5'"}
    clock.now += 0.2
    arrive(unread, "x")
    assert shown(unread) == {"age": "texts such as 'x' and '12,5'"}


def test_other_processes_see_them_and_do_not_repeat_the_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    here, there, late = (unread_in(tmp_path, clock) for _ in range(3))
    arrive(here, "12,5")
    assert shown(there) == shown(here) == {"age": "texts such as '12,5'"}
    clock.now += 2
    arrive(there, "€ 30")
    assert shown(late) == shown(here) == {"age": "texts such as '€ 30' and '12,5'"}
    assert len(caplog.messages) == 1
    clock.now += 3601
    arrive(late, "x")
    assert len(caplog.messages) == 2
    assert [is_ours(path.name) for path in tmp_path.iterdir()] == [True]


def test_a_value_that_came_too_soon_to_be_written_is_written_with_the_next(tmp_path: Path) -> None:
    clock = Clock()
    here, there = (unread_in(tmp_path, clock) for _ in range(2))
    arrive(here, "12,5")
    arrive(here, "x", name="x1")
    assert shown(there) == {"age": "texts such as '12,5'"}
    clock.now += 2
    arrive(here, "12,5")
    assert shown(there) == {"age": "texts such as '12,5'", "x1": "texts such as 'x'"}


def test_a_variable_is_named_once_an_hour_and_lines_are_a_minute_apart(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    unread = unread_in(None, clock)
    times = []
    for second in range(0, 7300, 2):
        clock.now = 1e9 + second
        arrive(unread, "12,5")
        arrive(unread, "x", name="x1")
        if len(caplog.messages) > len(times):
            times.append(second)
    assert times == [0, 60, 3602, 3662, 7204, 7264]
    assert ["'age'" in line for line in caplog.messages] == [True, False] * 3


def test_many_variables_are_bounded_in_memory_file_and_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    unread, other = unread_in(tmp_path, clock), unread_in(tmp_path, clock)
    for number in range(100):
        unread.waiting[("feature", f"x{number}")] = "é" * 1000
    unread.settle(is_answered=True)
    assert (len(unread.read()), len(other.read())) == (20, 20)
    assert "'x4' (" in caplog.text or "more variables" in caplog.text
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size < 16384
    assert path.stat().st_mode & 0o077 == 0

    for number in range(20):
        unread.waiting[("feature", f"{number}" * 3000)] = "x"
    clock.now += 5
    unread.settle(is_answered=True)
    assert path.stat().st_size <= 16384
    assert 0 < len(other.read()) <= 20


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '[["feature", "age", "x", 0, []]]', '[["feature", "age", 1, 2, [["text"]]]]', "7"]
)
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    clock = Clock()
    unread = unread_in(tmp_path, clock)
    arrive(unread, "12,5")
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert shown(unread_in(tmp_path, clock)) == {}
    clock.now += 100
    arrive(unread, "12,5")
    assert json.loads(path.read_text())[0][:2] == ["feature", "age"]


def test_a_value_whose_own_methods_raise_does_no_harm() -> None:
    class Odd(int):
        def __str__(self) -> str:
            raise RuntimeError

    unread = unread_in(None, Clock())
    arrive(unread, Odd(3))
    assert (shown(unread), unread.waiting) == ({}, {})


@pytest.fixture
def baseline(tmp_path: Path, rng: np.random.Generator) -> Baseline:
    columns = {
        "age": rng.normal(40, 9, 500),
        "home.zip": rng.normal(8000, 300, 500),
        "day": np.datetime64("2026-01-01") + rng.integers(0, 99, 500).astype("timedelta64[D]"),
        "city": rng.choice(["a", "b"], 500),
    }
    return ModelMonitoringService.export_text(columns, rng.random(500), tmp_path / "b.prom")


@pytest.mark.parametrize(
    ("redact", "hidden"),
    [
        (None, set()),
        (Redaction(["age"], ("age", "city")), {"age"}),
        (Redaction(["home"], ("age", "city")), {"home.zip"}),
        (Redaction(["zip"], ("age", "city")), {"home.zip"}),
        (lambda record: record, {"age", "home.zip", "day"}),
    ],
    ids=["none", "column", "object", "last part", "function"],
)
def test_hidden_columns_have_no_example(baseline: Baseline, redact: Any, hidden: set[str]) -> None:
    unread = unread_of("credit", "key", lambda: None, baseline, redact, Clock())
    for name, value in {"age": "12,5", "home.zip": "8000 Zurich", "day": 20260101}.items():
        unread.waiting[("feature", name)] = value
    unread.settle(is_answered=True)
    assert {name for name, text in shown(unread).items() if "such as" not in text and "like" not in text} == hidden
    assert ("12,5" in str(unread.read())) is (redact is None)
    for (_, name), examples in unread.read().items():
        assert name not in hidden or all(example[1:] == ("", "") for example in examples)


def test_a_text_with_a_hidden_field_inside_is_hidden(baseline: Baseline) -> None:
    unread = unread_of("credit", "key", lambda: None, baseline, Redaction(["ssn"], ()), Clock())
    arrive(unread, '{"ssn": 756}')
    assert shown(unread) == {"age": "texts"}


@pytest.mark.parametrize("rows", [1, 40], ids=["single rows", "a batch"])
def test_drift_tells_the_form_of_invalid_values(
    baseline: Baseline, rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    service = ModelMonitoringService(baseline, sink="none")
    plain = {"age": 40.0, "home.zip": 8000, "day": "2026-02-01", "city": "a"}
    odd = plain | {"age": "12,5", "day": 1e9, "city": ["a"]}
    for number in range(0, 80, rows):
        batch = [odd if each % 4 == 0 else plain for each in range(number, number + rows)]
        service.log_prediction(features=batch, output=[0.5] * rows)
    report = service.drift()
    service.close()
    assert {item.name: item.note for item in report if item.note} == {
        "age": "invalid are texts like '99,9' (9: any digit, a: any letter)",
        "day": "invalid are numbers like '9999999999.9' (9: any digit, a: any letter)",
        "city": "invalid are lists",
    }
    assert "age: invalid are texts like '99,9'" in str(report).replace("\n  ", " ")
    assert "12,5" not in str(report) + json.dumps(report.to_dict())
    assert "'age' (texts such as '12,5', where training had numbers)" in caplog.text
    assert "'day' (numbers such as '1000000000.0', where training had dates)" in caplog.text
    assert "'city' (lists, where training had texts)" in caplog.text


def test_a_variable_that_had_invalid_training_rows_is_not_logged(
    baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    age, *others = baseline.features
    usual = replace(baseline, features=(replace(age, invalid=3), *others))
    clock = Clock()
    unread = unread_of("credit", "key", lambda: None, usual, None, clock)
    arrive(unread, "12,5")
    assert (shown(unread), caplog.messages) == ({"age": "texts such as '12,5'"}, [])
    clock.now += 2
    arrive(unread, ["a"], name="city")
    assert len(caplog.messages) == 1
