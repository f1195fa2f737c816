"""One call of a WSGI application as a server makes it, and the case that compares two applications.

No test client: the environment is built by hand and ``wsgi_app`` is called, so that the clock sees nothing but the
application.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from timing import Case, Figures, summary, time_calls

__all__ = ["WSGIApp", "added_cost_case", "call_app", "environ_maker", "pause", "timed_round"]

SETTLE_SECONDS = 0.1

WARM_UP_CALLS = 300

Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Callable[..., Any]], Any]


def environ_maker(bodies: Sequence[bytes]) -> Callable[[int], Environ]:
    """Return a function that makes the environment of a POST of each body in turn."""
    common = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/score",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "benchmark",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }

    def make(number: int) -> Environ:
        body = bodies[number % len(bodies)]
        return {**common, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}

    return make


def call_app(wsgi_app: WSGIApp, environ: Environ) -> tuple[str, bytes]:
    """Make one call, read and close the response; return its status and body."""
    status = []

    def start_response(line: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        status.append(line)

    response = wsgi_app(environ, start_response)
    body = b"".join(response)
    if hasattr(response, "close"):
        response.close()
    return status[0], body


def _check_same(plain: WSGIApp, monitored: WSGIApp, make: Callable[[int], Environ]) -> None:
    """Warm up both applications and insist that they answer alike: a broken view would be a fast one."""
    for number in range(WARM_UP_CALLS):
        expected = call_app(plain, make(number))
        answer = call_app(monitored, make(number))
        if answer != expected or not expected[0].startswith("200"):
            msg = f"The monitored application answered {answer!r}, expected {expected!r}."
            raise RuntimeError(msg)


def pause() -> None:
    """Wait for what a tool left to a thread, where the tool has no call that waits for it."""
    time.sleep(SETTLE_SECONDS)


def timed_round(
    wsgi_app: WSGIApp, make: Callable[[int], Environ], calls: int, settle: Callable[[], object] = pause
) -> Figures:
    """Time so many calls; ``cpu`` is the whole process's CPU time a call, background threads included.

    Args:
        wsgi_app: The application.
        make: Makes the environment of the call with this number.
        calls: How many calls.
        settle: Waits until no work is left to a thread, so that none falls on the next application.
    """
    cpu = time.process_time_ns()
    figures = summary(time_calls(lambda environ: call_app(wsgi_app, environ), make, calls))
    settle()
    return {**figures, "cpu": (time.process_time_ns() - cpu) / calls / 1e3}


def added_cost_case(
    plain: WSGIApp, monitored: WSGIApp, bodies: Sequence[bytes], settle: Callable[[], object] = pause
) -> Case:
    """Return a case that times the plain application and the monitored one in turn, in this process.

    Each round answers ``{"plain": …, "monitored": …}`` with p50, p99 and CPU time in microseconds a call, and
    ``made``: how many calls the monitored application has had so far. What *settle* waits for is in the CPU time.
    """
    make = environ_maker(bodies)
    _check_same(plain, monitored, make)
    made = WARM_UP_CALLS

    def run(calls: int) -> Figures:
        nonlocal made
        made += calls
        return {
            "made": made,
            "plain": timed_round(plain, make, calls),
            "monitored": timed_round(monitored, make, calls, settle),
        }

    return run
