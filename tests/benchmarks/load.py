"""Requests a second and latency under gunicorn with one and two sync workers and with threads, loaded by wrk.

A run of each tool stands in a pair with a run of the plain application before or after it, so that both see the same
noise: load tool, server and receiver share the machine's processors. The goal is 0.97 of the plain application's
requests a second; the bar is to keep as much of them as the exporter does. The exporter keeps its counts in each
worker, which costs it less than its mode for several processes.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from .bench import ROOT, Bench
from .report import Row
from .side import SIDES, SideError, clean_environment, last_lines
from .sides.workload import bodies

__all__ = ["measure"]

FACTORIES = {
    "plain": "apps:plain_app()",
    "ours": "apps:our_app('{address}')",
    "before": "apps:our_app('{address}')",
    "fast JSON": "apps:our_app('{address}', BOXKITE_FAST_JSON=True)",
    "boxkite": "apps:boxkite_app()",
    "exporter": "apps:exporter_app()",
}
SET_UPS = {
    "one sync worker": (("ours", "fast JSON", "exporter", "boxkite"), ("--workers=1",)),
    "two sync workers": (("ours", "fast JSON", "exporter"), ("--workers=2",)),
    "gthread, 4 threads": (("ours", "fast JSON", "exporter"), ("--workers=1", "--worker-class=gthread", "--threads=4")),
}
"""The tools, and gunicorn's options."""

MIN_RATIO = 1.0
"""The bar: our share of the plain application's requests a second, in parts of the exporter's share; with fast JSON, in
parts of all."""

ROUNDS = 10
SECONDS = 3
CONNECTIONS = 4
START_SECONDS = 60.0
ATTEMPT_SECONDS = 2.0

Run = dict[str, float]
"""What wrk saw in one run."""

Pairs = dict[str, list[tuple[Run, Run]]]
"""By tool, the runs of the plain application, each with a run of the tool beside it."""


class Server(NamedTuple):
    """A gunicorn that runs.

    Attributes:
        port: Its port.
        pid: Process id of the master.
    """

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU time that its workers have taken."""
        ticks = 0
        for worker in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split():
            # The name of the program may hold blanks; user and system time are the 14th and 15th field.
            fields = Path(f"/proc/{worker}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


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
    """Load the applications in turn and show each tool as a ratio to the plain one."""
    wrk = shutil.which("wrk")
    if wrk is None:
        print("load: skipped, 'wrk' is not installed.")
        return
    for title, (tools, options) in SET_UPS.items():
        what = f"gunicorn, {title}"
        with bench.receiver() as receiver:
            pairs, requests = _measure(bench, wrk, bench.names(*tools), options, receiver.ask("port")["port"])
            counts = receiver.ask("counts")
        yield from _kept(what, pairs)
        yield from _rows(what, pairs)
        yield _arrived(what, requests, counts)


def _measure(
    bench: Bench, wrk: str, tools: list[str], options: Sequence[str], fluentd_port: int
) -> tuple[Pairs, dict[str, float]]:
    """Start the servers and load them; return the pairs, and how many requests of each tool were answered in all."""
    with ExitStack() as stack:
        script = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "post.lua"
        script.write_text(_script())
        servers = {
            name: stack.enter_context(_server(bench, name, options, f"127.0.0.1:{fluentd_port}"))
            for name in ("plain", *tools)
        }
        seconds = bench.calls(SECONDS)
        warm_up = {name: _run_wrk(wrk, script, server, seconds) for name, server in servers.items()}

        pairs: Pairs = {name: [] for name in tools}
        for number in range(bench.rounds(ROUNDS)):
            for name in tools:
                order = ("plain", name)[:: -1 if number % 2 else 1]
                runs = {side: _run_wrk(wrk, script, servers[side], seconds) for side in order}
                pairs[name].append((runs["plain"], runs[name]))
    requests = {
        name: warm_up[name]["requests"] + sum(run["requests"] for _, run in found) for name, found in pairs.items()
    }
    return pairs, requests


def _kept(what: str, pairs: Pairs) -> Iterator[Row]:
    """Yield which share of the plain application's requests a second is kept: the median of all pairs, and the ends.

    The bar is on the median; the ends show how much of it is noise.
    """
    shares = {name: [100 * run["rate"] / plain["rate"] for plain, run in found] for name, found in pairs.items()}
    for title, measure, min_ratio in (
        ("", statistics.median, MIN_RATIO),
        (", worst", min, None),
        (", best", max, None),
    ):
        kept = {name: measure(found) for name, found in shares.items()}
        yield Row(
            f"{what}: kept requests a second{title}",
            kept["ours"],
            "%",
            peer=kept["exporter"],
            peer_name="exporter",
            min_ratio=min_ratio,
            before=kept.get("before"),
        )
        yield Row(
            f"{what}: kept requests a second{title}",
            kept["fast JSON"],
            "%",
            who="fast JSON",
            peer=100.0,
            peer_name="plain",
            min_ratio=min_ratio,
        )


def _rows(what: str, pairs: Pairs) -> Iterator[Row]:
    """Yield each tool's requests a second, CPU time and p99 beside the plain application's."""
    for key, title, unit in (
        ("rate", "requests a second", "/s"),
        ("cpu", "workers' CPU time a request", "µs"),
        ("p99", "p99", "ms"),
    ):
        for name, found in pairs.items():
            failed = sum(run["failed"] for _, run in found)
            yield Row(
                f"{what}: {title}{f', {failed:.0f} failed' if failed else ''}",
                statistics.median(run[key] for _, run in found),
                unit,
                who=name,
                peer=statistics.median(plain[key] for plain, _ in found),
                peer_name="plain",
            )


def _arrived(what: str, requests: dict[str, float], counts: dict[str, int]) -> Row:
    """Return which share of the answered requests' records reached the receiver.

    It may pass 100 %: the server also answers the requests that wrk leaves behind when its time is up.
    """
    shares = {
        name: 100 * sum(count for tag, count in counts.items() if f".{name}." in tag) / requests[name]
        for name in ("ours", "boxkite")
        if name in requests
    }
    return Row(f"{what}: records that arrived", shares["ours"], "%", peer=shares.get("boxkite"), peer_name="boxkite")


def _script() -> str:
    """Return wrk's script: the same bodies as in-process, one after the other."""
    return WRK_SCRIPT % ", ".join(f"[==[{body.decode()}]==]" for body in bodies(30, by_name=True))


def _run_wrk(wrk: str, script: Path, server: Server, seconds: int) -> Run:
    """Load one server; return requests, requests a second, p99 in ms, failed requests and the CPU time of one in µs."""
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{server.port}"]
    cpu = server.cpu_seconds()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: Run = json.loads(output.partition("\nRESULT ")[2])
    return {**figures, "cpu": (server.cpu_seconds() - cpu) * 1e6 / figures["requests"]}


@contextmanager
def _server(bench: Bench, name: str, options: Sequence[str], fluentd_address: str) -> Iterator[Server]:
    """Run one application under gunicorn on a socket that we open, and yield it once it answers."""
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
            *options,
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
                yield Server(port, process.pid)
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
