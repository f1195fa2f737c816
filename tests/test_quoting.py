"""Text of clients and users stays on one line, and passwords stay out of messages."""

from __future__ import annotations

import io
import logging
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import Baseline, ConfigError
from flask_boxkite.config import Settings
from flask_boxkite.errors import BaselineError
from flask_boxkite.quoting import loggable, masked, masked_address, printable

FORGED = "x\nWARNING forged\r\x1b[2J\x85\u2028\x00"


@given(st.text())
def test_what_is_printable_is_one_line_and_moves_no_cursor(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text).splitlines()) <= 1
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Records at 's3://key:secret@bucket/models'", "Records at 's3://***@bucket/models'"),
        ("https://user@host/x", "https://***@host/x"),
        ("tls://us/er:p@ss@host:24224 is no address", "tls://***@host:24224 is no address"),
        ("https://host/a?sig=secret&x=1 failed", "https://host/a?*** failed"),
        ("'https://a:b@one', 'https://c:d@two'", "'https://***@one', 'https://***@two'"),
        ("a column 'user@id', path /a@b", "a column 'user@id', path /a@b"),
        ("runs:/abc/baseline.prom", "runs:/abc/baseline.prom"),
    ],
)
def test_passwords_and_queries_of_addresses_are_not_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [("user:secret@host:24224", "***@host:24224"), ("host:x", "host:x"), ("a://b:c@d", "a://***@d")],
)
def test_an_address_may_have_no_scheme(address: str, shown: str) -> None:
    assert masked_address(address) == shown


@pytest.mark.parametrize("address", ["user:S3CRET@host:24224", "tls://user:S3CRET@host", "ok:1,tcp://u:S3C/RET@h"])
def test_a_setting_that_holds_a_password_is_refused_without_it(address: str) -> None:
    with pytest.raises(ConfigError, match=r"\*\*\*@") as caught:
        Settings.from_mapping({"BOXKITE_FLUENTD_ADDR": address}, {})
    assert "RET" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["a b", "a\nb", "a\x1b"])
def test_a_tag_has_no_blanks_and_no_lines(prefix: str) -> None:
    with pytest.raises(ConfigError, match="'BOXKITE_FLUENTD_PREFIX' must be of printable letters without blanks"):
        Settings.from_mapping({"BOXKITE_FLUENTD_PREFIX": prefix}, {})


class OddError(ValueError):
    """One whose text needs more than its arguments."""

    def __init__(self, one: str, *, other: str) -> None:
        super().__init__(one)
        self.other = other

    def __str__(self) -> str:
        return f"{self.args[0]} {self.other}"


def logged(error: BaseException) -> str:
    """Return what a log has of an exception."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("It failed.", exc_info=error)
    return stream.getvalue()


def raised() -> BaseException:
    """Return an exception with a cause that was raised while another was handled."""
    try:
        try:
            try:
                raise KeyError(FORGED)
            except KeyError:
                raise OddError(FORGED, other=FORGED)  # noqa: B904
        except OddError as error:
            raise RuntimeError(FORGED) from error
    except RuntimeError as error:
        return error


def test_an_exception_is_logged_with_its_traceback_and_adds_no_lines() -> None:
    plain = "".join(traceback.format_exception(raised())).replace(FORGED, "quoted")
    text = logged(loggable(raised()))
    assert "forged" in text
    assert not any(line.startswith("WARNING") for line in text.splitlines())
    assert len(text.splitlines()) - 1 == len(plain.splitlines())
    assert "\x1b" not in text
    for name in ("KeyError: ", "tests.test_quoting.OddError: ", "RuntimeError: ", "in raised", "direct cause"):
        assert name in text


def test_without_its_text_the_name_is_left() -> None:
    text = logged(loggable(raised(), has_text=False))
    assert "forged" not in text
    assert [line for line in text.splitlines() if line.endswith("Error")] == [
        "KeyError",
        "tests.test_quoting.OddError",
        "RuntimeError",
    ]


def test_a_chain_without_end_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert logged(loggable(one)).count("direct cause") < 100


def test_an_artifact_that_cannot_be_had_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(BaselineError, match=r"\*\*\*@") as caught:
        Baseline.load("mlflow-artifacts://me:S3CRET@127.0.0.1:1/x/baseline.prom")
    assert "S3CRET" not in str(caught.value)
    assert "S3CRET" not in str(caught.value.path)
