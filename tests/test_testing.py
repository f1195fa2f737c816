"""The sink for users' own tests."""

from __future__ import annotations

import threading

import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.testing import RecordingSink


def test_records_of_a_service_can_be_waited_for() -> None:
    sink = RecordingSink()
    service = ModelMonitoringService(sink=sink)
    for number in range(3):
        service.log_prediction(features=[number], output=number)
    assert [record["features"] for record in sink.wait_for(3)] == [[0], [1], [2]]
    assert sink.records == sink.wait_for(3)
    sink.clear()
    assert sink.records == []
    service.close()


def test_too_few_records_are_an_assertion_that_says_so() -> None:
    sink = RecordingSink()
    sink.emit_batch([{"n": 1}])
    with pytest.raises(AssertionError, match=r"^Waited 0\.01 s for 2 records, got 1\.$"):
        sink.wait_for(2, timeout=0.01)


def test_what_is_returned_does_not_change_any_more() -> None:
    sink = RecordingSink()
    sink.emit_batch([{"n": 1}])
    before = sink.records
    sink.emit_batch([{"n": 2}])
    assert before == [{"n": 1}]


def test_waiting_ends_as_soon_as_the_records_are_there() -> None:
    sink = RecordingSink()
    thread = threading.Thread(target=sink.emit_batch, args=([{"n": 1}, {"n": 2}],))
    thread.start()
    assert len(sink.wait_for(2, timeout=60)) == 2
    thread.join()
