"""Objects of the user's as sinks, and which sink the settings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.config import Settings
from flask_boxkite.sinks import Batch, ObjectSink, make_sink
from flask_boxkite.testing import RecordingSink


class Closable(RecordingSink):
    """A sink of the user's that wants to be closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        pytest.param({}, None, id="nothing set"),
        pytest.param({"BOXKITE_SINK": "none", "BOXKITE_LOG_DIR": "logs"}, None, id="none, although a directory is set"),
        pytest.param({"BOXKITE_LOG_DIR": "logs"}, "file", id="a directory"),
        pytest.param({"BOXKITE_FLUENTD_ADDR": "fluentd"}, "fluentd", id="an address"),
        pytest.param({"BOXKITE_FLUENTD_ADDR": "fluentd", "BOXKITE_LOG_DIR": "logs"}, "fluentd", id="both"),
        pytest.param(
            {"BOXKITE_FLUENTD_ADDR": "fluentd", "BOXKITE_LOG_DIR": "logs", "BOXKITE_SINK": "file"}, "file", id="chosen"
        ),
        pytest.param({"BOXKITE_SINK": RecordingSink(), "BOXKITE_FLUENTD_ADDR": "fluentd"}, "custom", id="an object"),
        pytest.param({"BOXKITE_FLUENTD_ADDR": "fluentd", "BOXKITE_ENABLED": False}, None, id="disabled"),
    ],
)
def test_the_settings_choose_the_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], name: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = make_sink(Settings.from_mapping(settings, {}))
    assert (sink.name if sink else None) == name
    if name != "file":
        assert list(tmp_path.iterdir()) == []


def test_an_object_gets_records_as_they_were_when_packed() -> None:
    target = RecordingSink()
    sink = ObjectSink(target)
    record = {"features": [1, 2.5, None], "text": "snö", "big": 2**64 - 1}
    packed = sink.pack(0, record)
    record["text"] = "changed"
    sink.ship(Batch([packed], sink.tag), 1)
    assert target.records == [{"features": [1, 2.5, None], "text": "snö", "big": 2**64 - 1}]


def test_an_object_that_can_be_closed_is() -> None:
    target = Closable()
    ObjectSink(target).close()
    assert target.is_closed
    ObjectSink(RecordingSink()).close()
