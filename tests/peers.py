"""The real programs that the tests talk to: WSGI servers, Prometheus, Alertmanager, a Forward server, clients, boxkite.

`python3 tests/run.py` installs them. A test asks for what it needs by using it: where it is missing the test skips, or
fails in CI. Each program is a context manager that owns one process group; at the end nothing of it is left, and if
the test failed its output is printed, so pytest shows it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import pytest

HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("BOXKITE_TEST_PEERS") or HERE.parent / ".peers")

PATIENCE_SECONDS = 120.0
"""Longest time that a broken test hangs: not a measurement, and generous for machines with much other work."""

T = TypeVar("T")
# The type of the program that enters its own context; typing has Self from Python 3.11 on only.
P = TypeVar("P", bound="Program")


def is_of_this_process(record: logging.LogRecord) -> bool:
    """Say whether a log line is about this process: any app also logs what killed servers of other tests have lost."""
    text = record.getMessage()
    return not ("('process_died')" in text and " of the app 'scoring' " in text)


# --- What is there --------------------------------------------------------------------------------------------------


def require(program: str) -> Path:
    """Return the path of an installed *program*; skip the test, or fail it in CI, where it is missing."""
    # Unpacked rather than installed, so that no server of it runs all the time.
    unpacked = [str(PEERS / name / "usr/bin") for name in ("prometheus", "prometheus-alertmanager")]
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *unpacked])
    found = shutil.which(program, path=search)
    return Path(found) if found else missing(f"The program '{program}'")


def boxkite_python(peers: Path = PEERS) -> Path:
    """Return the Python that can import boxkite 0.0.5; skip the test, or fail it in CI, where there is none."""
    python = peers / "boxkite" / "bin" / "python"
    return python if (peers / "boxkite" / "boxkite.stamp").is_file() else missing("boxkite 0.0.5")


def clients_python() -> Path:
    """Return the Python that can import the clients of inference servers.

    Skip the test where it is missing, or fail it in CI; where no Python is old enough for them, skip it there too.
    """
    directory = PEERS / "clients"
    if (directory / "clients.stamp").is_file():
        return directory / "bin" / "python"
    if not any(map(shutil.which, (f"python3.{minor}" for minor in range(10, 13)))) and sys.version_info >= (3, 13):
        pytest.skip("MLServer has no release for this Python.")
    missing("The clients of inference servers")


def extensions_python() -> Path:
    """Return the Python that can import other extensions of Flask; skip the test, or fail it in CI, without one."""
    python = PEERS / "extensions" / "bin" / "python"
    return python if (PEERS / "extensions" / "extensions.stamp").is_file() else missing("extensions of Flask")


def npm_modules(package: str, peers: Path = PEERS) -> Path:
    """Return the directory with the npm packages; skip the test, or fail it in CI, where *package* is missing."""
    modules = peers / "node_modules"
    installed = (modules / package / "package.json").is_file()
    return modules if installed else missing(f"The npm package '{package}'")


def chromium() -> Path:
    """Return the path of a browser; skip the test, or fail it in CI, where there is none."""
    return require("google-chrome" if shutil.which("google-chrome") else "chromium")


def pandas_2_python() -> Path:
    """Return the Python that can import pandas 2; skip the test, or fail it in CI, where there is none."""
    python = PEERS / "pandas2" / "bin" / "python"
    return python if (PEERS / "pandas2" / "pandas2.stamp").is_file() else missing("pandas 2")


@contextlib.contextmanager
def dask_client() -> Iterator[Any]:
    """Start a cluster of Dask with two processes."""
    distributed = library("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def spark_session() -> Iterator[Any]:
    """Start Spark: a single thread, no servers, nothing compiled for so few rows."""
    require("java")
    sql = library("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable  # which has the package, unlike the "python3" that it takes by itself
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    }
    builder = sql.SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    try:
        yield session
    finally:
        gateway = session.sparkContext._gateway
        session.stop()
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(30)


def library(name: str) -> Any:
    """Return an importable Python library; skip the test, or fail it in CI, where it is missing."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else missing(f"The library '{name}'")


def missing(what: str) -> NoReturn:
    """Skip the test for want of *what*; in CI, where everything must have been installed, fail it."""
    message = f"{what} is missing. 'python3 tests/run.py' installs it where it can."
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


# --- Waiting and asking ---------------------------------------------------------------------------------------------


def wait_for(condition: Callable[[], T], *, timeout: float = PATIENCE_SECONDS, what: str = "the condition") -> T:
    """Call *condition* until it returns something true; return that.

    Exceptions count as "not yet".

    Raises:
        AssertionError: The time is over; names *what* and the last value or exception.
    """
    deadline = time.monotonic() + timeout
    while True:
        cause = None
        try:
            value = condition()
            if value:
                return value
            last = f"last value {value!r}"
        except Exception as error:
            cause, last = error, f"last exception {error!r}"
        if time.monotonic() > deadline:
            message = f"Waited {timeout:g} s for {what}, {last}."
            raise AssertionError(message) from cause
        time.sleep(0.02)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nothing listens, for programs that cannot choose one themselves.

    It belongs to this process until its end, so that no other test gets it, not even while a server on it is
    started again: a port that is bound, and not listened on, is not given to others by the system, but may be bound by
    name, since every server asks for SO_REUSEADDR.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    holder.detach()
    return port


@dataclass(frozen=True)
class Answer:
    """A server's answer, read to its end."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body's JSON value."""
        return json.loads(self.body)


# Test servers are on this machine: a proxy from the environment must not come between.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(
    url: str,
    *,
    json_body: Any = None,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = PATIENCE_SECONDS,
) -> Answer:
    """Send a GET, or with *data* or *json_body* a POST, and return the answer whatever its status."""
    headers = dict(headers or {})
    if json_body is not None:
        data = json.dumps(json_body).encode()
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with _opener.open(request, timeout=timeout) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


# --- Programs -------------------------------------------------------------------------------------------------------


class Program:
    """One running program: its own process group, its output in a file.

    Subclasses say in `_launch` how it starts and when it is ready. After `stop` it can be started again.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._log = directory / f"{type(self).__name__.lower()}.log"
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    def _launch(self) -> None:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process id; also the id of the process group."""
        assert self._process is not None, "The program was not started."
        return self._process.pid

    def start(self) -> None:
        """Start the program and wait until it is ready."""
        assert not self.is_running(), "The program is running already."
        try:
            self._launch()
        except BaseException:
            self.kill()
            print(self.log())
            raise

    def stop(self, signum: int = signal.SIGTERM, *, timeout: float = PATIENCE_SECONDS) -> int:
        """Send *signum* to the main process, wait until it ended, kill what is left of its group; return its code.

        A Python that does not end writes to its log where each of its threads is.
        """
        process = self._process
        assert process is not None, "The program was not started."
        if process.poll() is None:
            process.send_signal(signum)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_SECONDS)
            raise
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the whole process group at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def is_running(self) -> bool:
        """Say whether the main process runs."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Return what the program has written since it was last started."""
        return self._log.read_bytes()[self._log_start :].decode(errors="replace") if self._log.exists() else ""

    def __enter__(self: P) -> P:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()
        if error is not None:
            print(f"--- {self._log.name}\n{self.log()}")

    def _spawn(self, command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path | None = None) -> None:
        """Start *command* in a new process group, with *env* added to the environment."""
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd or self.directory,
                env={**os.environ, "PYTHONFAULTHANDLER": "1", **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_ready(self, condition: Callable[[], T], what: str) -> T:
        """Wait for *condition*; fail at once if the program ends before."""

        def ready() -> T:
            if not self.is_running():
                pytest.fail(f"{type(self).__name__} ended before {what}:\n{self.log()}", pytrace=False)
            return condition()

        return wait_for(ready, what=what)


READY = "def post_worker_init(worker):\n    worker.log.info('Worker is ready')\n"
"""Configuration of gunicorn that logs each worker that is ready."""

SHARED = "import flask, msgpack, numpy, prometheus_client\n"
"""Configuration of gunicorn that has its master import once what all workers need, but neither app nor package."""


class Gunicorn(Program):
    """A gunicorn server for one WSGI app, on a free port, kept when it is started again.

    It is ready when all its workers are: a signal that meets one in its first moments, before it has handlers of its
    own, is lost on it.

    Args:
        target: The app, as `module:name`.
        directory: Where it runs and its log is.
        source: Python source, written to `directory/module.py` first; None: the module exists.
        worker_class: Passed on, as *workers*, *preload* and all of *args*.
        env: Added to the environment.
        cwd: Directory to run in instead of *directory*.
        pythonpath: Directories that come first on the import path.
    """

    program = (sys.executable, "-m", "gunicorn")

    def __init__(
        self,
        target: str,
        directory: Path,
        *,
        source: str | None = None,
        workers: int = 1,
        worker_class: str = "sync",
        preload: bool = False,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pythonpath: Sequence[Path] = (),
    ) -> None:
        super().__init__(directory)
        if source is not None:
            (directory / f"{target.partition(':')[0]}.py").write_text(textwrap.dedent(source))
        self.port = free_port()
        self._cwd = cwd
        self._workers = workers
        config = directory / "gunicorn_ready.py"
        config.write_text((SHARED if worker_class in ("sync", "gthread") else "") + READY)
        self._options = [f"--config={config.resolve()}", f"--workers={workers}", f"--worker-class={worker_class}"]
        self._options += [*["--preload"] * preload, *args]
        self._target = target
        paths = [str(path) for path in pythonpath] + [path for path in [os.environ.get("PYTHONPATH")] if path]
        # gunicorn's control socket is one per user unless told otherwise: servers that run side by side would fight.
        self._env = {"PYTHONPATH": os.pathsep.join(paths), "XDG_RUNTIME_DIR": str(directory), **(env or {})}

    def _launch(self) -> None:
        command = [*self.program, f"--bind=127.0.0.1:{self.port}", *self._options, self._target]
        self._spawn(command, env=self._env, cwd=self._cwd)
        self._wait_ready(lambda: self.log().count("Worker is ready") >= self._workers, "all its workers are ready")

    @property
    def address(self) -> str:
        """Host and port, as a Prometheus target."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The root URL, without a slash at the end."""
        return f"http://{self.address}"

    def worker_pids(self) -> list[int]:
        """Return the ids of the worker processes that run, oldest first."""
        started = [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log())]
        return [pid for pid in started if is_alive(pid)]


class Uwsgi(Program):
    """A uWSGI server for one WSGI app, on a free port, kept when it is started again.

    Without a master its first worker is the main process, whose end leaves the others behind: `stop` kills them.

    Args:
        target: The app, as `module:name`.
        directory: Where it runs and its log is.
        source: Python source, written to `directory/module.py` first; None: the module exists.
        workers: Passed on, as *master* and all of *args*.
        env: Added to the environment.
    """

    def __init__(
        self,
        target: str,
        directory: Path,
        *,
        source: str | None = None,
        workers: int = 1,
        master: bool = True,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory)
        # The script belongs to this Python; one elsewhere on PATH would serve another.
        self._binary = Path(sys.executable).with_name("uwsgi")
        if not self._binary.is_file():
            missing("The program 'uwsgi'")
        if source is not None:
            (directory / f"{target.partition(':')[0]}.py").write_text(textwrap.dedent(source))
        self.port = free_port()
        self._workers = workers
        self._is_lazy = "--lazy-apps" in args
        # Unless told otherwise it takes SIGTERM for a wish to start afresh, serves errors if there is no app, and logs
        # every request.
        self._options = [f"--module={target}", f"--processes={workers}", "--need-app", "--die-on-term"]
        self._options.append("--disable-logging")
        self._options += [*["--master"] * master, *args]
        paths = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._env = {"PYTHONPATH": os.pathsep.join(paths), **(env or {})}

    def _launch(self) -> None:
        self._spawn([self._binary, f"--http-socket=127.0.0.1:{self.port}", *self._options], env=self._env)
        self._wait_ready(self._has_workers, "all its workers are ready")

    def _has_workers(self) -> bool:
        log = self.log()
        loaded = len(re.findall(r"^WSGI app 0 .* ready ", log, re.M))
        return log.count("spawned uWSGI worker ") >= self._workers and loaded >= (self._workers if self._is_lazy else 1)

    @property
    def address(self) -> str:
        """Host and port, as a Prometheus target."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The root URL, without a slash at the end."""
        return f"http://{self.address}"

    def worker_pids(self) -> list[int]:
        """Return the ids of the worker processes that run, oldest first; without a master, also of those killed."""
        started = re.findall(r"spawned uWSGI worker \d+ .*?pid: (\d+)", self.log(), re.I)
        return [pid for pid in map(int, started) if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Say whether a process of ours exists; one that ended counts until its parent has taken notice."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class PythonServer(Program):
    """Any other server: a Python command that chooses a free port and writes its URL.

    Args:
        command: Arguments for Python, such as `["-m", "flask", "run", "--port=0"]`.
        directory: Where it runs, is first on the import path, and its log is.
        env: Added to the environment.
    """

    def __init__(self, command: Sequence[str], directory: Path, *, env: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._command = command
        paths = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._env = {"PYTHONPATH": os.pathsep.join(paths), **(env or {})}
        self.url = ""

    def _launch(self) -> None:
        self._spawn([sys.executable, *self._command], env=self._env)
        found = self._wait_ready(lambda: re.search(r"http://127\.0\.0\.1:\d+", self.log()), "the server listens")
        assert found is not None
        self.url = found[0]


class Prometheus(Program):
    """A Prometheus server that scrapes *targets*, given as `host:port`.

    Args:
        directory: For its configuration, data and log.
        interval: Seconds between scrapes, and between evaluations of rules.
        token: Bearer token for the targets.
        labels: Labels of the targets.
        honor_labels: Whether labels of metrics come before labels of targets.
        rule_files: Files with recording and alerting rules.
        alertmanagers: Where alerts go, given as `host:port`.
    """

    def __init__(
        self,
        directory: Path,
        targets: Sequence[str],
        *,
        interval: float = 1.0,
        metrics_path: str = "/metrics",
        token: str | None = None,
        labels: Mapping[str, str] | None = None,
        honor_labels: bool = True,
        rule_files: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
    ) -> None:
        super().__init__(directory)
        self._binary = require("prometheus")
        self._target_count = len(targets)
        self.url = ""
        job: dict[str, Any] = {
            "job_name": "app",
            "metrics_path": metrics_path,
            "honor_labels": honor_labels,
            "static_configs": [{"targets": list(targets), "labels": dict(labels or {})}],
        }
        if token is not None:
            job["authorization"] = {"type": "Bearer", "credentials": token}
        every = f"{round(interval * 1000)}ms"
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(path.resolve()) for path in rule_files],
            "scrape_configs": [job],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        }
        # JSON is YAML.
        (directory / "prometheus.yml").write_text(json.dumps(config, indent=2))

    def _launch(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        command: list[str | Path] = [
            self._binary,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        self._spawn(command, env={})
        self._wait_ready(lambda: fetch(f"{self.url}/-/ready").status == 200, "Prometheus is ready")

    def query(self, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """Evaluate *expression* now, or *at* a Unix time; return one `{"metric": labels, "value": float}` a series.

        A scalar is one series without labels.
        """
        parameters = {"query": expression} | ({} if at is None else {"time": repr(at)})
        data = self._api("query?" + urllib.parse.urlencode(parameters))
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": float(data["result"][1])}]
        assert data["resultType"] == "vector", f"{expression!r} is a {data['resultType']}, not a vector."
        return [{"metric": series["metric"], "value": float(series["value"][1])} for series in data["result"]]

    def value(self, expression: str) -> float:
        """Return the value of an *expression* that has exactly one series."""
        result = self.query(expression)
        assert len(result) == 1, f"{expression!r} has {len(result)} series: {result}"
        value: float = result[0]["value"]
        return value

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets as Prometheus describes them: `health`, `lastError`, `lastScrape`, ..."""
        active: list[dict[str, Any]] = self._api("targets")["activeTargets"]
        return active

    def rule_groups(self) -> list[dict[str, Any]]:
        """Return the groups of rules as Prometheus describes them: `name`, `rules`, `evaluationTime`, ..."""
        groups: list[dict[str, Any]] = self._api("rules")["groups"]
        return groups

    def wait_evaluated(self, group: str) -> None:
        """Wait until a group of rules was evaluated from what can be queried now."""

        def last() -> str:
            (found,) = (one["lastEvaluation"] for one in self.rule_groups() if one["name"] == group)
            return str(found)

        for _ in range(2):  # one may have begun before
            before = last()
            wait_for(lambda before=before: last() != before, what=f"an evaluation of '{group}'")  # type: ignore[misc]

    def wait_scraped(self, after: float | None = None, *, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until the latest scrape of every target succeeded, began after the Unix time *after* and can be queried.

        None means now: what the targets served before this call is then there.
        """
        # Prometheus may put a scrape's time up to 2 ms off its true start, to make intervals even.
        after = (time.time() if after is None else after) + 0.01

        def scraped() -> bool:
            # Asked for together, and as samples: the list of targets is ahead of what can be queried.
            starts = [series["value"] for series in self.query('timestamp(up{job="app"}) * up{job="app"}')]
            return len(starts) == self._target_count and min(starts) > after

        try:
            wait_for(scraped, timeout=timeout, what="a scrape of every target")
        except AssertionError as error:
            problems = [(target["scrapeUrl"], target["health"], target["lastError"]) for target in self.targets()]
            message = f"{error} Targets: {problems}"
            raise AssertionError(message) from error

    def _api(self, path: str) -> Any:
        answer = fetch(f"{self.url}/api/v1/{path}").json()
        assert answer["status"] == "success", answer
        return answer["data"]


class Alertmanager(Program):
    """An Alertmanager that keeps what it receives and notifies no receiver; on a port kept over restarts."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._binary = require("prometheus-alertmanager")
        self.address = f"127.0.0.1:{free_port()}"
        config = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
        (directory / "alertmanager.yml").write_text(json.dumps(config))

    def _launch(self) -> None:
        command: list[str | Path] = [
            self._binary,
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]
        self._spawn(command, env={})
        self._wait_ready(lambda: fetch(f"http://{self.address}/-/ready").status == 200, "Alertmanager is ready")

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire: `labels`, `annotations`, `startsAt`, ..."""
        found: list[dict[str, Any]] = fetch(f"http://{self.address}/api/v2/alerts").json()
        return found


class FluentServer(Program):
    """A Forward-protocol server that keeps what it receives, over stops and starts, on the same port.

    It acknowledges a chunk only after its entries are kept. It sees numbers as JavaScript does: integers beyond 2**53
    lose digits, and `1.0` is `1`.

    Args:
        directory: For the entries and its log.
        port: None means a free one.
        shared_key: Turns authentication on; *hostname* is then the server's name, and no client may have the same.
        user: Name and password to ask for, beside the key.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        shared_key: str | None = None,
        hostname: str = "fluent-server",
        user: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(directory)
        self.port = free_port() if port is None else port
        self._node, self._modules = require("node"), npm_modules("@fluent-org/logger")
        self._output = directory / "entries.jsonl"
        self._security = [] if shared_key is None else [f"--shared-key={shared_key}", f"--hostname={hostname}"]
        if user is not None:
            assert shared_key is not None, "The protocol asks for no user without a key."
            self._security += [f"--user={user[0]}", f"--password={user[1]}"]

    def _launch(self) -> None:
        script = HERE / "integration" / "fluent_server.js"
        command: list[str | Path] = [
            self._node,
            script,
            f"--output={self._output}",
            f"--port={self.port}",
            *self._security,
        ]
        self._spawn(command, env={"NODE_PATH": str(self._modules)})
        self._wait_ready(lambda: "listening" in self.log(), "the server listens")

    @property
    def addr(self) -> str:
        """Host and port, as `BOXKITE_FLUENTD_ADDR` takes them."""
        return f"127.0.0.1:{self.port}"

    def records(self) -> list[dict[str, Any]]:
        """Return all entries so far, in the order of arrival.

        Each is `{"tag", "time", "event_time", "record"}`: *time* in integer nanoseconds since the epoch, *event_time*
        false if the sender gave whole seconds instead of the protocol's EventTime.
        """
        written = self._output.read_bytes() if self._output.exists() else b""
        # What follows the last line end is still being written.
        return [json.loads(line) for line in written.split(b"\n")[:-1]]


class Receiver(Program):
    """A receiver of records, run with one of our example configurations; on a port kept over restarts.

    No package registry that the tests install from has it: where it is not on PATH the test skips, in CI too.

    Args:
        directory: For its log.
        config: The configuration file.
        env: Added to the environment.
    """

    program: str
    is_ready: str

    def __init__(self, directory: Path, config: Path, env: Mapping[str, str]) -> None:
        super().__init__(directory)
        self.binary = shutil.which(self.program) or pytest.skip(f"The program '{self.program}' is missing.")
        self.port = free_port()
        self.config = config
        self.env = {"LISTEN_PORT": str(self.port), **env}

    @property
    def addr(self) -> str:
        """Host and port, as `BOXKITE_FLUENTD_ADDR` takes them."""
        return f"127.0.0.1:{self.port}"

    def _launch(self) -> None:
        self._spawn([self.binary, "--config", self.config], env=self.env)
        self._wait_ready(lambda: self.is_ready in self.log(), f"{self.program} listens")


class Fluentd(Receiver):
    """fluentd itself."""

    program = "fluentd"
    is_ready = "fluentd worker is now running"

    def dry_run(self) -> str:
        """Have it check its configuration; return what it says of it."""
        command = [self.binary, "--dry-run", "--config", str(self.config)]
        done = subprocess.run(command, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def flush(self) -> None:
        """Have it write what it holds back for the minute to end."""
        os.kill(self.pid, signal.SIGUSR1)


class FluentBit(Receiver):
    """Fluent Bit. It uploads what it holds back when it is stopped."""

    program = "fluent-bit"
    is_ready = "listening on"
