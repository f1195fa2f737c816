"""Requests a second and latency under gunicorn with one and with two sync workers, loaded from outside by wrk.

Shown, without bars: load tool, server and receiver share the machine's processors. With two workers, the goal is at
least 0.93 of the plain application's requests, and at most 1.2 of its p99.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .bench import ROOT, Bench
from .report import Row
from .side import SIDES, SideError, clean_environment, last_lines
from .sides.workload import bodies

__all__ = ["measure"]

FACTORIES = {
    "plain": "apps:plain_app()",
    "ours": "apps:our_app('{address}')",
    "before": "apps:our_app('{address}')",
    "boxkite": "apps:boxkite_app()",
    "exporter": "apps:exporter_app()",
}
WARM_UP_ROUNDS = 1
ROUNDS = 8
SECONDS = 4
CONNECTIONS = 4
START_SECONDS = 60.0
ATTEMPT_SECONDS = 2.0

Run = dict[str, float]
"""What wrk saw in one run."""

WRK_SCRIPT = """
local bodies = {%s}
local requests = {}
local number = 0
function init(arguments)
  for index, body in ipairs(bodies) do
    requests[index] = wrk.format("POST", "/score", {["Content-Type"] = "application/json"}, body)
  end
end
function request()
  number = number %% #requests + 1
  return requests[number]
end
function done(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\\nRESULT {"requests": %%d, "rate": %%f, "p99": %%f, "failed": %%d}\\n',
    summary.requests, summary.requests / summary.duration * 1e6, latency:percentile(99) / 1e3, failed))
end
"""


def measure(bench: Bench) -> Iterator[Row]:
    """Load the four applications in turn and show each tool as a ratio to the plain one."""
    wrk = shutil.which("wrk")
    if wrk is None:
        print("load: skipped, 'wrk' is not installed.")
        return
    for workers, title, names in (
        (1, "gunicorn, one sync worker", bench.names("plain", "ours", "boxkite", "exporter")),
        (2, "gunicorn, two sync workers", bench.names("plain", "ours")),
    ):
        with bench.receiver() as receiver:
            runs = _alternate(bench, wrk, names, workers, f"127.0.0.1:{receiver.ask('port')['port']}")
            counts = receiver.ask("counts")
        yield from _rows(title, runs)
        yield _arrived(title, runs, counts)


def _alternate(bench: Bench, wrk: str, names: list[str], workers: int, fluentd_address: str) -> dict[str, list[Run]]:
    """Start the servers, load one after the other, round by round, and return what wrk saw of each."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    with ExitStack() as stack:
        script = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "post.lua"
        script.write_text(_script())
        ports = {name: stack.enter_context(_server(bench, name, workers, fluentd_address)) for name in names}
        for number in range(WARM_UP_ROUNDS + bench.rounds(ROUNDS)):
            for name in list(ports)[:: -1 if number % 2 else 1]:
                runs[name].append(_run_wrk(wrk, script, ports[name], bench.calls(SECONDS)))
    return runs


def _rows(what: str, runs: dict[str, list[Run]]) -> Iterator[Row]:
    """Yield each tool's requests a second and p99 beside the plain application's."""
    medians = {
        name: {
            key: statistics.median(run[key] for run in figures[WARM_UP_ROUNDS:]) for key in ("rate", "p99", "failed")
        }
        for name, figures in runs.items()
    }
    for key, title, unit in (("rate", "requests a second", "/s"), ("p99", "p99", "ms")):
        for name in [name for name in runs if name != "plain"]:
            failed = f", {medians[name]['failed']:.0f} failed" if medians[name]["failed"] else ""
            yield Row(
                f"{what}: {title}{failed}",
                medians[name][key],
                unit,
                who=name,
                peer=medians["plain"][key],
                peer_name="plain",
            )


def _arrived(title: str, runs: dict[str, list[Run]], counts: dict[str, int]) -> Row:
    """Return which share of the answered requests' records reached the receiver.

    It may pass 100 %: the server also answers the requests that wrk leaves behind when its time is up.
    """
    shares = {
        name: 100
        * sum(count for tag, count in counts.items() if f".{name}." in tag)
        / sum(run["requests"] for run in runs[name])
        for name in ("ours", "boxkite")
        if name in runs
    }
    return Row(f"{title}: records that arrived", shares["ours"], "%", peer=shares.get("boxkite"), peer_name="boxkite")


def _script() -> str:
    """Return wrk's script: the same bodies as in-process, one after the other."""
    return WRK_SCRIPT % ", ".join(f"[==[{body.decode()}]==]" for body in bodies(30, by_name=True))


def _run_wrk(wrk: str, script: Path, port: int, seconds: int) -> Run:
    """Load one server and return requests, requests a second, p99 in milliseconds and failed requests."""
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: Run = json.loads(output.partition("\nRESULT ")[2])
    return figures


@contextmanager
def _server(bench: Bench, name: str, workers: int, fluentd_address: str) -> Iterator[int]:
    """Run one application under gunicorn on a socket that we open, and yield its port once it answers."""
    python = bench.boxkite_python if name == "boxkite" else sys.executable
    root = bench.root(name) or ROOT
    environment = clean_environment(BEDROCK_ENDPOINT_ID=name, PYTHONPATH=f"{root / SIDES.relative_to(ROOT)}:{root}")
    if name == "boxkite":
        environment |= {"PYTHONPATH": str(SIDES), "BEDROCK_FLUENTD_ADDR": fluentd_address}
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        tempfile.TemporaryFile("w+") as errors,
        tempfile.TemporaryDirectory() as scratch,
    ):
        command = [
            python,
            "-m",
            "gunicorn",
            f"--workers={workers}",
            f"--bind=fd://{listener.fileno()}",
            "--log-level=warning",
        ]
        with subprocess.Popen(
            [*command, FACTORIES[name].format(address=fluentd_address)],
            env={**environment, "TMPDIR": scratch},
            pass_fds=[listener.fileno()],
            stdout=errors,
            stderr=errors,
            text=True,
        ) as process:
            port = listener.getsockname()[1]
            try:
                _wait_until_served(port, process)
                yield port
            except OSError as error:
                msg = f"{name} under gunicorn: {error}\n{last_lines(errors)}"
                raise SideError(msg) from error
            finally:
                process.terminate()


def _wait_until_served(port: int, process: subprocess.Popen[str]) -> None:
    """Return once the server has answered a prediction.

    The socket listens before the server runs, so a request waits in it; short attempts, to see a server that ended.
    """
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ATTEMPT_SECONDS)
        try:
            connection.request("POST", "/score", bodies(30, by_name=True)[0], {"Content-Type": "application/json"})
            status = connection.getresponse().status
        except TimeoutError:
            continue
        finally:
            connection.close()
        if status != 200:
            msg = f"the first answer was {status}"
            raise OSError(msg)
        return
    msg = "no answer"
    raise OSError(msg)
