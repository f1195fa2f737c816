"""The case that samples the plain application and the monitored one in turn, for ``--profile``."""

from __future__ import annotations

from collections.abc import Sequence

from sampling import sample_calls
from timing import Case, Figures
from wsgi import WSGIApp, call_app, environ_maker

__all__ = ["profile_case"]

WARM_UP_CALLS = 300


def profile_case(plain: WSGIApp, monitored: WSGIApp, bodies: Sequence[bytes]) -> Case:
    """Return a case that answers ``{"plain": …, "monitored": …}``, each with microseconds a call by function."""
    make = environ_maker(bodies)
    for app in (plain, monitored):
        for number in range(WARM_UP_CALLS):
            call_app(app, make(number))

    def run(calls: int) -> Figures:
        return {
            name: sample_calls(lambda environ, app=app: call_app(app, environ), make, calls)
            for name, app in (("plain", plain), ("monitored", monitored))
        }

    return run
