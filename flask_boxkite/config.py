"""The ``BOXKITE_*`` settings: read once, validated once, frozen.

The module reads any mapping, so it serves Flask's ``app.config``, keyword arguments and tests alike. A wrong setting is
an error at set-up, with the remedy; no key is guessed or ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, NoReturn
from urllib.parse import urlsplit

from flask_boxkite.errors import BaselineError, ConfigError
from flask_boxkite.extras import install_command
from flask_boxkite.policies import Policy, named_policies
from flask_boxkite.quoting import masked_address

__all__ = ["DEFAULT_BASELINE_PATH", "Address", "Settings"]

DEFAULT_BASELINE_PATH = "/artefact/histogram.prom"
FORWARD_PORT = 24224
_ID_KEY_LETTERS = 16


@dataclass(frozen=True)
class Address:
    """Address of fluentd.

    Attributes:
        host: Host name or address, or the path of a unix socket.
        port: Port number; None for a unix socket.
        tls: Whether to speak TLS.
    """

    host: str
    port: int | None
    tls: bool = False

    def __str__(self) -> str:
        """Return the address in the form that `BOXKITE_FLUENTD_ADDR` takes."""
        if self.port is None:
            return f"unix://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls://' if self.tls else ''}{host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """All settings. Each field is documented with its key: type, default, effect.

    Attributes:
        baseline: ``BOXKITE_BASELINE`` (``/artefact/histogram.prom``): a path, a `Baseline`, or ``{model: path or
            Baseline}``. A path may be an artifact of MLflow, such as ``runs:/RUN_ID/baseline.prom``. Only the default
            path may be absent: then there are records and metrics of requests, and no counts of values.
        metrics_path: ``BOXKITE_METRICS_PATH`` (``/metrics``): the route of the metrics; None for no route.
        metrics_token: ``BOXKITE_METRICS_TOKEN`` (None): bearer token that the route and the drift page demand. An
            empty text is an error; in other optional settings it stands for None.
        metric_names: ``BOXKITE_METRIC_NAMES`` (``labels``): ``boxkite`` for the names of boxkite 0.0.5.
        sink: ``BOXKITE_SINK`` (``auto``): ``fluentd``, ``file``, ``none``, or an object with ``emit_batch(records)``;
            several as a list, or with commas between. ``auto`` is fluentd if an address is set, and files if a
            directory is. Here a tuple, empty for ``none``.
        fluentd_addr: ``BOXKITE_FLUENTD_ADDR`` (env ``BEDROCK_FLUENTD_ADDR``): ``host[:24224]``, ``unix:///path`` or
            ``tls://host:port``; several with commas between; when one fails, the next is tried.
        fluentd_prefix: ``BOXKITE_FLUENTD_PREFIX`` (env ``BEDROCK_FLUENTD_PREFIX``, ``models.predictions``): start of
            the tag.
        fluentd_shared_key: ``BOXKITE_FLUENTD_SHARED_KEY`` (None): the key of fluentd's ``<security>`` section.
        fluentd_user: ``BOXKITE_FLUENTD_USER`` (None): for servers that demand one; with a password and a shared key.
        fluentd_password: ``BOXKITE_FLUENTD_PASSWORD`` (None): the user's; it never crosses the network.
        fluentd_gzip: ``BOXKITE_FLUENTD_GZIP`` (false): whether to compress; the server must be fluentd 0.14.5 or later.
        fluentd_ca_file: ``BOXKITE_FLUENTD_CA_FILE`` (None): certificates to trust for ``tls://``; None for the
            certificates of the system.
        name: ``BOXKITE_NAME`` (the app's): a name for the service, which keeps its counts apart from the
            counts of other services that share a state directory.
        endpoint_id: ``BOXKITE_ENDPOINT_ID`` (env ``BEDROCK_ENDPOINT_ID``, ``unknown-endpoint``): in tag and path.
        server_id: ``BOXKITE_SERVER_ID`` (env ``BEDROCK_SERVER_ID``, ``unknown-server``): in records and ids.
        pod_name: ``BOXKITE_POD_NAME`` (env ``BEDROCK_POD_NAME``, the host name): in tag and file names.
        log_dir: ``BOXKITE_LOG_DIR`` (None): root of the file sink.
        log_group: ``BOXKITE_LOG_GROUP`` (None): name or number of a group that may read its files; None for this user
            alone.
        log_ttl_days: ``BOXKITE_LOG_TTL_DAYS`` (30): days after which its files are deleted, once records were made on
            three later days; ``inf`` for never.
        logger_id: ``BOXKITE_LOGGER_ID`` (``boxkite``): part of its file names.
        spool_dir: ``BOXKITE_SPOOL_DIR`` (None): directory in which records wait until they are delivered; None for
            memory. To be shared by all processes, and by servers that deliver to the same place.
        spool_bytes: ``BOXKITE_SPOOL_BYTES`` (1 GiB): bound of all files in it.
        queue_bytes: ``BOXKITE_QUEUE_BYTES`` (16 MiB): bound of the records that wait in memory, for each sink.
        max_body_bytes: ``BOXKITE_MAX_BODY_BYTES`` (64 KiB): longer request bodies are cut in the record, and flagged.
            Their features are counted once the view has read them, up to 16 MiB.
        sample_rate: ``BOXKITE_SAMPLE_RATE`` (1.0): share of records sent to the sink; counts always see every row.
        record_response: ``BOXKITE_RECORD_RESPONSE`` (false): whether every record keeps the raw response. If
            false, only a request whose output was not found keeps it.
        redact: ``BOXKITE_REDACT`` (none): field names or dotted paths, whose values are replaced in every record; or a
            callable that gets the record and returns it.
        export_baseline: ``BOXKITE_EXPORT_BASELINE`` (true): whether this replica exports the training counts.
        export_bins: ``BOXKITE_EXPORT_BINS`` (true): whether it exports histograms and categories, not only groups.
        state_dir: ``BOXKITE_STATE_DIR`` (automatic): directory of the counts that the server's processes share. None:
            the value of ``PROMETHEUS_MULTIPROC_DIR``, else a directory that the processes choose themselves.
        shutdown_timeout: ``BOXKITE_SHUTDOWN_TIMEOUT`` (5): seconds at exit to deliver waiting records, for all sinks
            at once; with a spool, which keeps the others, half a second at most.
        drift_alpha: ``BOXKITE_DRIFT_ALPHA`` (1e-5): false-alarm probability of one check of a whole model.
        variables: ``BOXKITE_VARIABLES`` (none): how variables are judged, by name: ``{"request_id": {"ignore": True},
            "income": {"weight": 3, "drifted": 0.15, "major": 0.4}}``, of several models by model and name. It wins over
            the baseline, key by key. ``ignore``: counted, but not judged. ``weight``: importance beside the 1 of
            others. ``drifted``, ``major``: sizes from which a real change is called so.
        fast_json: ``BOXKITE_FAST_JSON`` (false): whether msgspec parses the JSON of requests, once for us and the
            views, in a fraction of the time. The extra ``fast`` has it.
        dashboard_path: ``BOXKITE_DASHBOARD_PATH`` (``/boxkite`` in debug mode, else none): the route of the drift page;
            None for none in debug mode either.
        id_key: ``BOXKITE_ID_KEY`` (random): secret of 16 characters or more, by which ids of predictions carry their
            outputs, for outcomes that come later. Replicas need the same one, and so does a server after a restart.
        outcomes_path: ``BOXKITE_OUTCOMES_PATH`` (None): the route that takes outcomes, behind the token or the guard.
        webhook_url: ``BOXKITE_WEBHOOK_URL`` (None): address that is sent a message when a verdict has changed. It is a
            secret, which no message or log shows.
        webhook_format: ``BOXKITE_WEBHOOK_FORMAT`` (by its host): ``slack``, for Slack, Mattermost and Discord's
            ``/slack``; ``teams``, for Microsoft Teams; or ``json``. The last one for a host that is not known.
        page_url: ``BOXKITE_PAGE_URL`` (None): address of the drift page as people reach it, for links in messages.
        enabled: ``BOXKITE_ENABLED`` (true): false: nothing is counted, sent or routed.
    """

    baseline: Any = None
    metrics_path: str | None = "/metrics"
    metrics_token: str | None = field(default=None, repr=False)
    metric_names: str = "labels"
    sink: tuple[Any, ...] = ("auto",)
    fluentd_addr: tuple[Address, ...] | None = None
    fluentd_prefix: str = "models.predictions"
    fluentd_shared_key: str | None = field(default=None, repr=False)
    fluentd_user: str | None = None
    fluentd_password: str | None = field(default=None, repr=False)
    fluentd_gzip: bool = False
    fluentd_ca_file: str | None = None
    name: str | None = None
    endpoint_id: str = "unknown-endpoint"
    server_id: str = "unknown-server"
    pod_name: str = ""
    log_dir: str | None = None
    log_group: str | None = None
    log_ttl_days: float = 30
    logger_id: str = "boxkite"
    spool_dir: str | None = None
    spool_bytes: int = 1024 * 1024 * 1024
    queue_bytes: int = 16 * 1024 * 1024
    max_body_bytes: int = 64 * 1024
    sample_rate: float = 1.0
    record_response: bool = False
    redact: tuple[str, ...] | Callable[[dict[str, Any]], Any] = ()
    export_baseline: bool = True
    export_bins: bool = True
    state_dir: str | None = None
    shutdown_timeout: float = 5.0
    drift_alpha: float = 1e-5
    variables: Mapping[str | None, tuple[Policy, ...]] = field(default_factory=dict)
    fast_json: bool = False
    dashboard_path: str | None = None
    id_key: str | None = field(default=None, repr=False)
    outcomes_path: str | None = None
    webhook_url: str | None = field(default=None, repr=False)
    webhook_format: str | None = None
    page_url: str | None = None
    enabled: bool = True

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
        """Read the ``BOXKITE_*`` keys of *config*; other keys are ignored.

        Args:
            config: Any mapping, such as ``app.config``. Numbers and booleans may be texts, as in the environment.
            environ: Source of the ``BEDROCK_*`` defaults; the process's environment if None.

        Raises:
            ConfigError: A key is unknown, or a value malformed or contradictory.
        """
        environ = os.environ if environ is None else environ
        settings = {key: value for key, value in config.items() if isinstance(key, str) and key.startswith("BOXKITE_")}
        for key in settings:
            _check_known(key)

        values: dict[str, Any] = {}
        for name, read in _READERS.items():
            key = f"BOXKITE_{name.upper()}"
            if key in settings:
                values[name] = read(key, settings[key])
            elif value := environ.get(_ENVIRONMENT.get(name, ""), ""):
                values[name] = read(_ENVIRONMENT[name], value)
        values["pod_name"] = values.get("pod_name") or socket.gethostname()
        return cls(**values)._checked()

    def _checked(self) -> Settings:
        """Resolve ``auto`` and check settings that depend on each other."""
        if "auto" in self.sink:
            given = (("fluentd", self.fluentd_addr), ("file", self.log_dir))
            sink = tuple(name for name, place in given if place)
            return dataclasses.replace(self, sink=sink)._checked()

        if "fluentd" in self.sink:
            if self.fluentd_addr is None:
                _fail("BOXKITE_SINK", "is 'fluentd', but there is no address. Set 'BOXKITE_FLUENTD_ADDR' to one.")
            if self.fluentd_ca_file and not any(address.tls for address in self.fluentd_addr):
                remedy = "Write it as 'tls://host:port', or leave the certificates out."
                _fail("BOXKITE_FLUENTD_CA_FILE", f"is set, but the address of fluentd is one without TLS. {remedy}")
            self._check_fluentd_user()
        if "file" in self.sink and self.log_dir is None:
            _fail("BOXKITE_SINK", "is 'file', but there is no directory. Set 'BOXKITE_LOG_DIR' to one.")
        if self.fast_json and find_spec("msgspec") is None:
            _fail("BOXKITE_FAST_JSON", f"is set, but msgspec is missing. Run: {install_command('fast')}")
        if self.webhook_format is not None and self.webhook_url is None:
            _fail("BOXKITE_WEBHOOK_FORMAT", "is set, but there is no address. Set 'BOXKITE_WEBHOOK_URL' to one.")
        if self.metric_names == "boxkite" and isinstance(self.baseline, Mapping) and len(self.baseline) > 1:
            _fail("BOXKITE_METRIC_NAMES", "is 'boxkite', whose names have room for one model only. Use 'labels'.")
        return self

    def _check_fluentd_user(self) -> None:
        if self.fluentd_password is not None and self.fluentd_user is None:
            _fail("BOXKITE_FLUENTD_PASSWORD", "is set, but there is no user. Set 'BOXKITE_FLUENTD_USER' too.")
        if self.fluentd_user is None:
            return
        if self.fluentd_password is None:
            _fail("BOXKITE_FLUENTD_USER", "is set, but there is no password. Set 'BOXKITE_FLUENTD_PASSWORD' too.")
        if self.fluentd_shared_key is None:
            reason = "without which fluentd asks for no user"
            remedy = "Set 'BOXKITE_FLUENTD_SHARED_KEY' too."
            _fail("BOXKITE_FLUENTD_USER", f"is set, but there is no shared key, {reason}. {remedy}")


def _fail(key: str, text: str) -> NoReturn:
    msg = f"'{key}' {text}"
    raise ConfigError(msg, key=key)


def _check_known(key: str) -> None:
    known = [f"BOXKITE_{name.upper()}" for name in _READERS]
    if key not in known:
        close = difflib.get_close_matches(key, known, 1)
        _fail(key, "is not a setting of flask-boxkite." + (f" Did you mean '{close[0]}'?" if close else ""))


# --- readers: one per type of value ----------------------------------------------------------------------------------


def _as_text(key: str, value: Any) -> Any:
    """Return the text of an integer, which `flask.Config.from_prefixed_env` makes of digits; other values as they are.

    Only JSON's integers have one spelling: ``007`` stays a text, while ``1.50`` and ``1e3`` come as numbers whose text
    is lost.

    Raises:
        ConfigError: The value is such a number.
    """
    if isinstance(value, float):
        # The value is not shown: it may be a secret.
        remedy = "Write it as a text, in the environment in double quotes within the quotes of the shell: '\"1.50\"'."
        _fail(key, f"must be a text, got a float, which '1.5', '1.50' and '15e-1' all become. {remedy}")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text(key: str, value: Any) -> str:
    value = _as_text(key, value)
    if not isinstance(value, str) or not value:
        _fail(key, f"must be a text that is not empty, got {value!r}.")
    return value


def _tag(key: str, value: Any) -> str:
    tag = _text(key, value)
    if not tag.isprintable() or " " in tag:
        _fail(key, f"must be of printable letters without blanks, got {tag!r}.")
    return tag


def _secret(key: str, value: Any) -> str:
    value = _as_text(key, value)
    if not isinstance(value, str) or not value:
        # The value is not shown: it may be the secret.
        _fail(key, f"must be a text that is not empty, got {type(value).__name__}.")
    return value


def _token(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if value == "":  # as from an unset variable of the shell; without a token, everybody can read
        _fail(key, "must not be empty. Set it to the token, or leave it out so that everybody may read the metrics.")
    token = _secret(key, value)
    if not token.isprintable() or token != token.strip():
        # For example the line break at the end of the file with the token.
        _fail(key, "must be of printable letters, with no blank at either end: no header carries others. Strip it.")
    return token


def _id_key(key: str, value: Any) -> str:
    secret = _secret(key, value).strip()
    if len(secret) < _ID_KEY_LETTERS:
        # The value is not shown: it may be a part of the secret.
        remedy = "Make one: python -c 'import secrets; print(secrets.token_hex())'"
        _fail(key, f"must have at least {_ID_KEY_LETTERS} characters, got {len(secret)}. {remedy}")
    return secret


def _optional(read: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda key, value: None if value is None or (isinstance(value, str) and not value) else read(key, value)


def _path_text(key: str, value: Any) -> str:
    return _text(key, os.fspath(value) if isinstance(value, os.PathLike) else value)


def _route(key: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"/[^<>?#\s]*", value):
        _fail(key, f"must be a path that begins with '/', or None for no route, got {value!r}.")
    if "//" in value:
        _fail(key, f"must not have two slashes in a row, which Flask merges into one, got {value!r}.")
    return value


def _webhook(key: str, value: Any) -> str:
    url = _secret(key, value).strip()
    # The value is not shown: it is the secret.
    if not _is_address(url):
        _fail(key, "must be an address that begins with http:// or https:// and a host. (It is not shown here.)")
    return url


def _page_url(key: str, value: Any) -> str:
    url = _text(key, value).strip()
    if not _is_address(url) or "@" in urlsplit(url).netloc:
        remedy = "without a user or password"
        _fail(key, f"must be an address that begins with http:// or https://, {remedy}, got {masked_address(url)!r}.")
    return url


def _is_address(url: str) -> bool:
    """Say whether a text is the address of something on the web."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and url.isascii() and url.isprintable() and " " not in url


def _choice(*choices: str) -> Callable[[str, Any], Any]:
    def read(key: str, value: Any) -> Any:
        if value not in choices:
            _fail(key, f"must be one of {', '.join(map(repr, choices))}, got {value!r}.")
        return value

    return read


def _sinks(key: str, value: Any) -> tuple[Any, ...]:
    items = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
    sinks = [_sink(key, item) for item in (items if isinstance(items, (list, tuple)) else [items])]
    if len(sinks) > 1 and ("auto" in sinks or "none" in sinks):
        _fail(key, f"is 'auto' or 'none' among others, got {value!r}. Name the others alone.")
    return () if sinks == ["none"] else tuple(sinks)


def _sink(key: str, value: Any) -> Any:
    if callable(getattr(value, "emit_batch", None)) and not isinstance(value, type):
        return value
    if not isinstance(value, str) or value not in ("auto", "fluentd", "file", "none"):
        text = "must be 'auto', 'fluentd', 'file', 'none', an object with 'emit_batch(records)', or a list of those"
        _fail(key, f"{text}, got {value!r}.")
    return value


def _integer(least: int) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"\d+", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            _fail(key, f"must be an integer >= {least}, got {value!r}.")
        return value

    return read


def _number(check: Callable[[float], bool], range_text: str) -> Callable[[str, Any], float]:
    def read(key: str, value: Any) -> float:
        try:
            number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or not check(number):
            _fail(key, f"must be a number {range_text}, got {value!r}.")
        return number

    return read


def _boolean(key: str, value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    boolean = words.get(str(value).lower()) if isinstance(value, (bool, int, str)) else None
    if boolean is None:
        _fail(key, f"must be true or false, got {value!r}.")
    return boolean


def _redact(key: str, value: Any) -> Any:
    if callable(value):
        return value
    value = _as_text(key, value)
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(n, str) and n for n in names):
        _fail(key, f"must be field names or dotted paths, or a callable, got {value!r}.")
    return tuple(names)


def _variables(key: str, value: Any) -> Mapping[str | None, tuple[Policy, ...]]:
    """Return the policies by model; under None for all models."""
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        as_json = '\'{"age": {"ignore": true}}\''
        _fail(key, f"must map names to decisions, in the environment as JSON such as {as_json}, got {value!r}.")
    of_models = {name: own for name, own in value.items() if _is_of_model(own)}
    common = {name: own for name, own in value.items() if name not in of_models}
    try:
        policies: dict[str | None, tuple[Policy, ...]] = {None: named_policies(common)}
        return policies | {name: named_policies(own) for name, own in of_models.items()}
    except BaselineError as error:
        _fail(key, f"is wrong: {error}")


def _is_of_model(value: Any) -> bool:
    """Say whether a value holds the decisions on several variables, rather than on one."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(own, Mapping) for own in value.values())


def _addresses(key: str, value: Any) -> tuple[Address, ...]:
    texts = [text.strip() for text in _text(key, value).split(",")]
    return tuple(_address(key, text) for text in texts)


def _address(key: str, text: str) -> Address:
    if text.startswith("unix://"):
        if not text[7:].startswith("/"):
            _fail(key, f"must be 'unix://' and an absolute path, got {masked_address(text)!r}.")
        return Address(text[7:], None)

    scheme, _, rest = text.rpartition("://")
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # a bare IPv6 address
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, FORWARD_PORT if parts.port is None else parts.port
    except ValueError:  # the port is not a number, or too high
        host, port = None, 0
    is_only_host_and_port = not re.search(r"[\s/?#@]", rest)
    if scheme not in ("", "tcp", "tls") or not host or not port or not is_only_host_and_port:
        got = masked_address(text)  # users may have put a user and a password there
        _fail(key, f"must be 'host[:{FORWARD_PORT}]', 'unix:///path' or 'tls://host:port', got {got!r}.")
    return Address(host, port, tls=scheme == "tls")


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "baseline": _optional(_as_text),
    "metrics_path": _optional(_route),
    "metrics_token": _token,
    "metric_names": _choice("labels", "boxkite"),
    "sink": _sinks,
    "fluentd_addr": _optional(_addresses),
    "fluentd_prefix": _tag,
    "fluentd_shared_key": _optional(_secret),
    "fluentd_user": _optional(_text),
    "fluentd_password": _optional(_secret),
    "fluentd_gzip": _boolean,
    "fluentd_ca_file": _optional(_path_text),
    "name": _optional(_text),
    "endpoint_id": _text,
    "server_id": _text,
    "pod_name": _optional(_text),
    "log_dir": _optional(_path_text),
    "log_group": _optional(_text),
    "log_ttl_days": _number(lambda value: value > 0, "> 0"),
    "logger_id": _text,
    "spool_dir": _optional(_path_text),
    "spool_bytes": _integer(1024 * 1024),
    "queue_bytes": _integer(1),
    "max_body_bytes": _integer(0),
    "sample_rate": _number(lambda value: 0 <= value <= 1, "from 0 to 1"),
    "record_response": _boolean,
    "fast_json": _boolean,
    "redact": _redact,
    "export_baseline": _boolean,
    "export_bins": _boolean,
    "state_dir": _optional(_path_text),
    "shutdown_timeout": _number(lambda value: 0 <= value <= 86400, "from 0 to 86400"),
    "drift_alpha": _number(lambda value: 0 < value < 1, "between 0 and 1"),
    "variables": _variables,
    "dashboard_path": _optional(_route),
    "id_key": _optional(_id_key),
    "outcomes_path": _optional(_route),
    "webhook_url": _optional(_webhook),
    "webhook_format": _optional(_choice("slack", "teams", "json")),
    "page_url": _optional(_page_url),
    "enabled": _boolean,
}

_ENVIRONMENT = {
    "fluentd_addr": "BEDROCK_FLUENTD_ADDR",
    "fluentd_prefix": "BEDROCK_FLUENTD_PREFIX",
    "endpoint_id": "BEDROCK_ENDPOINT_ID",
    "server_id": "BEDROCK_SERVER_ID",
    "pod_name": "BEDROCK_POD_NAME",
}
