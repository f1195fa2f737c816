"""Every setting: what it takes, what it refuses and how it says so."""

from __future__ import annotations

import dataclasses
import inspect
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_boxkite.config import _READERS, Address, Settings
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.policies import Policy
from flask_boxkite.testing import RecordingSink

SINK = RecordingSink()
SINK_TEXT = "must be 'auto', 'fluentd', 'file', 'none', an object with 'emit_batch(records)', or a list of those"
ADDRESS_TEXT = "must be 'host[:24224]', 'unix:///path' or 'tls://host:port'"
SLASHES_TEXT = "must not have two slashes in a row, which Flask merges into one"
FLOAT_TEXT = (
    "must be a text, got a float, which '1.5', '1.50' and '15e-1' all become. Write it as a text, in the environment "
    "in double quotes within the quotes of the shell: '\"1.50\"'."
)
EMPTY_TOKEN_TEXT = "must not be empty. Set it to the token, or leave it out so that everybody may read the metrics."
TOKEN_TEXT = "must be of printable letters, with no blank at either end: no header carries others. Strip it."


def hide(record: dict[str, Any]) -> dict[str, Any]:
    """Stand for a redaction of the user's."""
    return record


def settings(**given: Any) -> Settings:
    """Read settings that are named without their prefix, in an empty environment."""
    return Settings.from_mapping({f"BOXKITE_{name.upper()}": value for name, value in given.items()}, {})


def test_without_any_key_the_defaults_hold() -> None:
    expected = Settings(sink=(), pod_name=socket.gethostname())
    assert Settings.from_mapping({"SECRET_KEY": "other", "boxkite_sink": "other", 7: "other"}, {}) == expected


def test_every_setting_can_be_set_and_is_documented() -> None:
    names = {field.name for field in dataclasses.fields(Settings)}
    assert set(_READERS) == names
    text = inspect.getdoc(Settings)
    assert text is not None
    documented = re.findall(r"^ {4}(\w+): ``BOXKITE_(\w+)``", text, re.MULTILINE)
    assert {name for name, _ in documented} == names
    assert all(name.upper() == key for name, key in documented)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("baseline", "/m/b.prom", "/m/b.prom"),
        ("baseline", {"a": "/m/a.prom"}, {"a": "/m/a.prom"}),
        ("baseline", "", None),
        ("metrics_path", "/internal/metrics", "/internal/metrics"),
        ("metrics_path", None, None),
        ("metrics_path", "", None),
        ("metrics_token", "s3cret", "s3cret"),
        ("metrics_token", None, None),
        ("metric_names", "boxkite", "boxkite"),
        ("sink", SINK, (SINK,)),
        ("sink", "none", ()),
        ("sink", ["none"], ()),
        ("fluentd_addr", "fluentd", (Address("fluentd", 24224),)),
        ("fluentd_addr", "fluentd:1", (Address("fluentd", 1),)),
        ("fluentd_addr", "tcp://10.0.0.1:99", (Address("10.0.0.1", 99),)),
        ("fluentd_addr", "tls://logs.example:65535", (Address("logs.example", 65535, tls=True),)),
        ("fluentd_addr", "tls://logs.example", (Address("logs.example", 24224, tls=True),)),
        ("fluentd_addr", "[::1]:99", (Address("::1", 99),)),
        ("fluentd_addr", "[fe80::1]", (Address("fe80::1", 24224),)),
        ("fluentd_addr", "fe80::1", (Address("fe80::1", 24224),)),
        ("fluentd_addr", "unix:///run/fluentd.sock", (Address("/run/fluentd.sock", None),)),
        (
            "fluentd_addr",
            "host1,host2:24225, tls://h3,unix:///run/f.sock,::1",
            (
                Address("host1", 24224),
                Address("host2", 24225),
                Address("h3", 24224, tls=True),
                Address("/run/f.sock", None),
                Address("::1", 24224),
            ),
        ),
        ("fluentd_addr", None, None),
        ("fluentd_addr", "", None),
        ("fluentd_prefix", "a.b", "a.b"),
        ("fluentd_shared_key", "key", "key"),
        ("fluentd_user", "", None),
        ("fluentd_password", None, None),
        ("fluentd_gzip", "true", True),
        ("fluentd_gzip", 0, False),
        ("fluentd_ca_file", Path("/etc/ca.pem"), "/etc/ca.pem"),
        ("endpoint_id", "../x", "../x"),
        ("server_id", "s", "s"),
        ("pod_name", "p", "p"),
        ("pod_name", "", socket.gethostname()),
        ("log_dir", Path("/logs"), "/logs"),
        ("log_dir", "", None),
        ("log_ttl_days", "0.5", 0.5),
        ("log_ttl_days", 7, 7),
        ("log_ttl_days", "inf", float("inf")),
        ("logger_id", "canary", "canary"),
        ("queue_bytes", "1048576", 1048576),
        ("queue_bytes", 1, 1),
        ("max_body_bytes", 0, 0),
        ("sample_rate", "0.25", 0.25),
        ("sample_rate", 0, 0),
        ("redact", "ssn", ("ssn",)),
        ("redact", "ssn, card.number,", ("ssn", "card.number")),
        ("redact", ["ssn"], ("ssn",)),
        ("redact", (), ()),
        ("redact", "", ()),
        pytest.param("redact", hide, hide, id="redact-function"),
        ("variables", None, {}),
        ("variables", "", {}),
        ("variables", {}, {None: ()}),
        ("variables", {"age": {"ignore": True}}, {None: (Policy("age", True),)}),
        ("variables", {"credit": {"age": {"weight": 2}}}, {None: (), "credit": (Policy("age", None, 2.0),)}),
        (
            "variables",
            {"age": {"major": 0.4}, "credit": {"weight": {"weight": 0}}},
            {None: (Policy("age", major=0.4),), "credit": (Policy("weight", None, 0.0),)},
        ),
        ("export_baseline", "false", False),
        ("export_baseline", 1, True),
        ("export_bins", "No", False),
        ("export_bins", "on", True),
        ("shutdown_timeout", "0.9", 0.9),
        ("shutdown_timeout", 0, 0),
        ("drift_alpha", "1e-6", 1e-6),
        ("enabled", "0", False),
        ("enabled", "TRUE", True),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_value_is_read(name: str, given: Any, value: Any) -> None:
    assert getattr(settings(**{name: given}), name) == value


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("metrics_path", "metrics", "must be a path that begins with '/', or None for no route, got 'metrics'."),
        ("metrics_path", "/<name>", "must be a path that begins with '/', or None for no route, got '/<name>'."),
        ("metrics_path", 7, "must be a path that begins with '/', or None for no route, got 7."),
        ("metrics_path", "/a//b", f"{SLASHES_TEXT}, got '/a//b'."),
        ("dashboard_path", "//boxkite", f"{SLASHES_TEXT}, got '//boxkite'."),
        ("metrics_token", 1.5, FLOAT_TEXT),
        ("metrics_token", "", EMPTY_TOKEN_TEXT),
        ("metrics_token", True, "must be a text that is not empty, got bool."),
        ("metrics_token", "open-sesame\n", TOKEN_TEXT),
        ("metrics_token", " open-sesame", TOKEN_TEXT),
        ("metrics_token", "open-\udcff", TOKEN_TEXT),
        ("metric_names", "prometheus", "must be one of 'labels', 'boxkite', got 'prometheus'."),
        (
            "sink",
            "kafka",
            f"{SINK_TEXT}, got 'kafka'.",
        ),
        (
            "sink",
            None,
            f"{SINK_TEXT}, got None.",
        ),
        (
            "sink",
            RecordingSink,
            f"{SINK_TEXT}, got <class 'flask_boxkite.testing.RecordingSink'>.",
        ),
        ("sink", ["file", "kafka"], f"{SINK_TEXT}, got 'kafka'."),
        ("sink", "none,file", "is 'auto' or 'none' among others, got 'none,file'. Name the others alone."),
        ("spool_bytes", 1000, "must be an integer >= 1048576, got 1000."),
        ("sink", "fluentd", "is 'fluentd', but there is no address. Set 'BOXKITE_FLUENTD_ADDR' to one."),
        ("sink", "file", "is 'file', but there is no directory. Set 'BOXKITE_LOG_DIR' to one."),
        ("fluentd_addr", 10.5, FLOAT_TEXT),
        ("baseline", 1.5, FLOAT_TEXT),
        ("name", True, "must be a text that is not empty, got True."),
        ("fluentd_addr", "fluentd:port", f"{ADDRESS_TEXT}, got 'fluentd:port'."),
        ("fluentd_addr", "fluentd:0", f"{ADDRESS_TEXT}, got 'fluentd:0'."),
        ("fluentd_addr", "fluentd:65536", f"{ADDRESS_TEXT}, got 'fluentd:65536'."),
        ("fluentd_addr", ":24224", f"{ADDRESS_TEXT}, got ':24224'."),
        ("fluentd_addr", "http://fluentd:24224", f"{ADDRESS_TEXT}, got 'http://fluentd:24224'."),
        ("fluentd_addr", "fluentd:24224/path", f"{ADDRESS_TEXT}, got 'fluentd:24224/path'."),
        ("fluentd_addr", "fluentd?x=1", f"{ADDRESS_TEXT}, got 'fluentd?x=1'."),
        ("fluentd_addr", "user@fluentd:24224", f"{ADDRESS_TEXT}, got '***@fluentd:24224'."),
        ("fluentd_addr", "flu entd", f"{ADDRESS_TEXT}, got 'flu entd'."),
        ("fluentd_addr", "[::1", f"{ADDRESS_TEXT}, got '[::1'."),
        ("fluentd_addr", "fluentd,http://other", f"{ADDRESS_TEXT}, got 'http://other'."),
        ("fluentd_addr", "fluentd,", f"{ADDRESS_TEXT}, got ''."),
        ("fluentd_addr", ",", f"{ADDRESS_TEXT}, got ''."),
        ("fluentd_addr", "unix://fluentd.sock", "must be 'unix://' and an absolute path, got 'unix://fluentd.sock'."),
        ("fluentd_prefix", "", "must be a text that is not empty, got ''."),
        ("fluentd_shared_key", b"key", "must be a text that is not empty, got bytes."),
        ("fluentd_user", 7.5, FLOAT_TEXT),
        ("fluentd_password", 1e3, FLOAT_TEXT),
        ("fluentd_gzip", "gzip", "must be true or false, got 'gzip'."),
        ("fluentd_ca_file", [3], "must be a text that is not empty, got [3]."),
        ("endpoint_id", None, "must be a text that is not empty, got None."),
        ("server_id", 1.0, FLOAT_TEXT),
        ("pod_name", False, "must be a text that is not empty, got False."),
        ("log_dir", True, "must be a text that is not empty, got True."),
        ("log_ttl_days", 0, "must be a number > 0, got 0."),
        ("log_ttl_days", "a month", "must be a number > 0, got 'a month'."),
        ("log_ttl_days", 10**400, f"must be a number > 0, got {10**400}."),
        ("logger_id", "", "must be a text that is not empty, got ''."),
        ("queue_bytes", "10k", "must be an integer >= 1, got '10k'."),
        ("queue_bytes", 0, "must be an integer >= 1, got 0."),
        ("queue_bytes", 1e6, "must be an integer >= 1, got 1000000.0."),
        ("queue_bytes", True, "must be an integer >= 1, got True."),
        ("max_body_bytes", -1, "must be an integer >= 0, got -1."),
        ("sample_rate", 1.1, "must be a number from 0 to 1, got 1.1."),
        ("sample_rate", "nan", "must be a number from 0 to 1, got 'nan'."),
        ("sample_rate", True, "must be a number from 0 to 1, got True."),
        ("redact", [1], "must be field names or dotted paths, or a callable, got [1]."),
        ("redact", [""], "must be field names or dotted paths, or a callable, got ['']."),
        ("redact", None, "must be field names or dotted paths, or a callable, got None."),
        (
            "variables",
            "age",
            'must map names to decisions, in the environment as JSON such as \'{"age": {"ignore": true}}\', got '
            "'age'.",
        ),
        (
            "variables",
            {"age": True},
            "is wrong: 'age' needs a mapping such as {'weight': 3} or {'ignore': True}, got True.",
        ),
        (
            "variables",
            {"credit": {"age": {"weigth": 1}}},
            "is wrong: 'age' has no 'weigth' to set. Did you mean 'weight'?",
        ),
        (
            "variables",
            {3: {"ignore": True}},
            "is wrong: Decisions on variables must be a mapping by name, such as {'age': {'ignore': True}}, got {3: "
            "{'ignore': True}}.",
        ),
        ("export_baseline", "maybe", "must be true or false, got 'maybe'."),
        ("export_bins", 2, "must be true or false, got 2."),
        ("shutdown_timeout", -1, "must be a number from 0 to 86400, got -1."),
        ("shutdown_timeout", "inf", "must be a number from 0 to 86400, got 'inf'."),
        ("drift_alpha", 0, "must be a number between 0 and 1, got 0."),
        ("drift_alpha", 1, "must be a number between 0 and 1, got 1."),
        ("enabled", None, "must be true or false, got None."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_value_is_refused_with_the_key_and_the_remedy(name: str, given: Any, message: str) -> None:
    key = f"BOXKITE_{name.upper()}"
    with pytest.raises(ConfigError) as caught:
        settings(**{name: given})
    assert str(caught.value) == f"'{key}' {message}"
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param(
            "BOXKITE_FLUENT_ADDR",
            "'BOXKITE_FLUENT_ADDR' is not a setting of flask-boxkite. Did you mean 'BOXKITE_FLUENTD_ADDR'?",
            id="close to one",
        ),
        pytest.param(
            "BOXKITE_XYZZY_PLUGH", "'BOXKITE_XYZZY_PLUGH' is not a setting of flask-boxkite.", id="close to none"
        ),
    ],
)
def test_an_unknown_key_is_refused(key: str, message: str) -> None:
    """A misspelt key that is ignored is found out when the records are missed."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_mapping({key: "x"}, {})
    assert str(caught.value) == message
    assert isinstance(caught.value, BoxkiteError)
    assert isinstance(caught.value, ValueError)


def test_certificates_for_an_address_without_tls_are_a_contradiction() -> None:
    """A user who sets them believes that the records are encrypted."""
    with pytest.raises(ConfigError) as caught:
        settings(fluentd_addr="fluentd:24224,other:24224", fluentd_ca_file="/etc/ca.pem")
    assert str(caught.value) == (
        "'BOXKITE_FLUENTD_CA_FILE' is set, but the address of fluentd is one without TLS. "
        "Write it as 'tls://host:port', or leave the certificates out."
    )


def test_certificates_serve_the_addresses_with_tls() -> None:
    found = settings(fluentd_addr="fluentd,tls://other", fluentd_ca_file="/etc/ca.pem")
    assert found.fluentd_ca_file == "/etc/ca.pem"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"fluentd_user": "bob", "fluentd_shared_key": "key"},
            "'BOXKITE_FLUENTD_USER' is set, but there is no password. Set 'BOXKITE_FLUENTD_PASSWORD' too.",
            id="no password",
        ),
        pytest.param(
            {"fluentd_password": "s3cret", "fluentd_shared_key": "key"},
            "'BOXKITE_FLUENTD_PASSWORD' is set, but there is no user. Set 'BOXKITE_FLUENTD_USER' too.",
            id="no user",
        ),
        pytest.param(
            {"fluentd_user": "bob", "fluentd_password": "s3cret"},
            "'BOXKITE_FLUENTD_USER' is set, but there is no shared key, without which fluentd asks for no user. "
            "Set 'BOXKITE_FLUENTD_SHARED_KEY' too.",
            id="no shared key",
        ),
    ],
)
def test_a_user_needs_a_password_and_a_shared_key(given: dict[str, str], message: str) -> None:
    """Without the key, the protocol has no message in which a user could be named."""
    with pytest.raises(ConfigError) as caught:
        settings(fluentd_addr="fluentd", **given)
    assert str(caught.value) == message


def test_a_user_with_a_password_and_a_shared_key() -> None:
    found = settings(fluentd_addr="fluentd", fluentd_shared_key="k", fluentd_user="bob", fluentd_password="p")
    assert (found.fluentd_shared_key, found.fluentd_user, found.fluentd_password) == ("k", "bob", "p")


@pytest.mark.parametrize("text", ["fluentd:24224", "[::1]:99", "tls://logs.example:1", "tls://[::1]:1", "unix:///a/b"])
def test_an_address_is_shown_as_it_is_set(text: str) -> None:
    (address,) = settings(fluentd_addr=text).fluentd_addr
    assert str(address) == text


def test_the_old_names_have_room_for_one_model() -> None:
    with pytest.raises(ConfigError) as caught:
        settings(metric_names="boxkite", baseline={"a": "/a", "b": "/b"})
    assert str(caught.value) == (
        "'BOXKITE_METRIC_NAMES' is 'boxkite', whose names have room for one model only. Use 'labels'."
    )


def test_the_environment_of_the_ancestor_gives_defaults() -> None:
    environ = {
        "BEDROCK_FLUENTD_ADDR": "fluentd.logging,spare",
        "BEDROCK_FLUENTD_PREFIX": "bedrock",
        "BEDROCK_ENDPOINT_ID": "endpoint",
        "BEDROCK_SERVER_ID": "server",
        "BEDROCK_POD_NAME": "pod",
    }
    found = Settings.from_mapping({"BOXKITE_SERVER_ID": "mine"}, environ)
    assert found.fluentd_addr == (Address("fluentd.logging", 24224), Address("spare", 24224))
    assert (found.sink, found.fluentd_prefix) == (("fluentd",), "bedrock")
    assert (found.endpoint_id, found.server_id, found.pod_name) == ("endpoint", "mine", "pod")


def test_a_key_that_is_set_to_nothing_hides_the_environment() -> None:
    environ = {"BEDROCK_FLUENTD_ADDR": "fluentd", "BEDROCK_ENDPOINT_ID": ""}
    found = Settings.from_mapping({"BOXKITE_FLUENTD_ADDR": None}, environ)
    assert (found.fluentd_addr, found.sink, found.endpoint_id) == (None, (), "unknown-endpoint")


def test_a_wrong_value_in_the_environment_is_refused_under_its_name() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_mapping({}, {"BEDROCK_FLUENTD_ADDR": "fluentd:x"})
    assert str(caught.value) == f"'BEDROCK_FLUENTD_ADDR' {ADDRESS_TEXT}, got 'fluentd:x'."
    assert caught.value.key == "BEDROCK_FLUENTD_ADDR"


def test_the_process_environment_is_used_where_no_other_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEDROCK_POD_NAME", "from-environment")
    assert Settings.from_mapping({}).pod_name == "from-environment"


def test_settings_do_not_show_secrets() -> None:
    """They end up in logs and tracebacks."""
    secrets = dict.fromkeys(["metrics_token", "fluentd_shared_key", "fluentd_password"], "s3cret")
    assert "s3cret" not in repr(settings(fluentd_user="bob", **secrets))


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().sink = ("file",)  # type: ignore[misc]


# --- from the environment --------------------------------------------------------------------------------------------

TEXTS = [
    *("metrics_token", "fluentd_prefix", "fluentd_shared_key", "name", "endpoint_id", "server_id", "pod_name"),
    *("log_dir", "logger_id", "spool_dir", "state_dir", "baseline"),
]


def settings_of_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> Settings:
    """Read one variable as an app does that calls ``config.from_prefixed_env()``."""
    monkeypatch.setenv(f"FLASK_BOXKITE_{name.upper()}", text)
    config = Flask("app").config
    config.from_prefixed_env()
    return Settings.from_mapping(config, {})


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "text", ["42", "007", "0", "-7", "12345678901234567890123456789", "1_000", "0x2a", '"1.50"', "1.2.3"]
)
def test_digits_in_the_environment_are_the_text_that_was_written(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """Flask reads JSON there, so digits come as numbers."""
    assert getattr(settings_of_environment(monkeypatch, name, text), name) == text.strip('"')


@pytest.mark.parametrize("text", ["1.50", "1e3", "1E400", "NaN"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_number_that_has_several_spellings_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of_environment(monkeypatch, name, text)
    assert caught.value.key == f"BOXKITE_{name.upper()}"


def test_one_redacted_field_may_be_named_by_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of_environment(monkeypatch, "redact", "42").redact == ("42",)
