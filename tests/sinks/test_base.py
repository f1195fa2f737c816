"""Objects of the user's as sinks, and which sink the settings mean."""

from __future__ import annotations

from asyncio import CancelledError
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.sinks import Batch, ObjectSink, RefusedError, make_sinks
from flask_boxkite.testing import RecordingSink


class Named(RecordingSink):
    """A sink of the user's with a name of its own."""

    name = "kafka"


NAMED = Named()
BOTH = {"BOXKITE_FLUENTD_ADDR": "fluentd", "BOXKITE_LOG_DIR": "logs"}


class Closable(RecordingSink):
    """A sink of the user's that wants to be closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        pytest.param({}, [], id="nothing set"),
        pytest.param({"BOXKITE_SINK": "none", "BOXKITE_LOG_DIR": "logs"}, [], id="none, although a directory is set"),
        pytest.param({"BOXKITE_LOG_DIR": "logs"}, ["file"], id="a directory"),
        pytest.param({"BOXKITE_FLUENTD_ADDR": "fluentd"}, ["fluentd"], id="an address"),
        pytest.param({**BOTH}, ["fluentd", "file"], id="an address and a directory"),
        pytest.param({**BOTH, "BOXKITE_SINK": "file"}, ["file"], id="chosen"),
        pytest.param({**BOTH, "BOXKITE_SINK": "fluentd, file"}, ["fluentd", "file"], id="both, as a text"),
        pytest.param({**BOTH, "BOXKITE_SINK": ["file", NAMED]}, ["file", "kafka"], id="both, as a list"),
        pytest.param({**BOTH, "BOXKITE_SINK": RecordingSink()}, ["custom"], id="an object"),
        pytest.param({**BOTH, "BOXKITE_SINK": (NAMED, RecordingSink())}, ["kafka", "custom"], id="two objects"),
        pytest.param({"BOXKITE_FLUENTD_ADDR": "fluentd", "BOXKITE_ENABLED": False}, [], id="disabled"),
    ],
)
def test_the_settings_choose_the_sinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], names: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sinks = make_sinks(Settings.from_mapping(settings, {}))
    assert [sink.name for sink in sinks] == names
    if "file" not in names:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sinks", [["file", "file"], [RecordingSink(), RecordingSink()]], ids=["file", "objects"])
def test_two_sinks_of_one_name_are_refused(tmp_path: Path, sinks: list[Any]) -> None:
    settings = Settings.from_mapping({"BOXKITE_SINK": sinks, "BOXKITE_LOG_DIR": tmp_path}, {})
    with pytest.raises(ConfigError, match=r"'BOXKITE_SINK' has two sinks named '(file|custom)'. Give objects"):
        make_sinks(settings)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("down"), ConnectionError),
        (ValueError("no such column"), RefusedError),
        (CancelledError("stop"), InterruptedError),
        (SystemExit(3), InterruptedError),
        (KeyboardInterrupt("stop"), KeyboardInterrupt),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_an_object_raises_tells_whether_it_refuses_or_is_down(
    error: BaseException, kind: type[BaseException]
) -> None:
    class Target:
        def emit_batch(self, records: list[Any]) -> None:
            raise error

    sink = ObjectSink(Target())
    with pytest.raises(kind, match=str(error)) as caught:
        sink.ship(Batch([sink.pack(0, {})], sink.tag), 1)
    assert type(caught.value) is kind


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


def test_a_name_that_no_metric_can_have_is_replaced() -> None:
    class Nameless:
        name = "half \ud800"

        def emit_batch(self, records: list[Any]) -> None: ...

    assert ObjectSink(Nameless()).name == "half ?"
