"""A clock that tests set in a running server: it jumps, runs slowly, and goes on while the machine sleeps.

Debian's `faketime` does this for any program, but version 0.9.10 breaks Python's: where it leaves the monotonic clock
alone, `time.sleep` fails with EINVAL; where it does not, a jump moves that clock too, and waits do not end. So the
server imports a module that puts other functions in the place of Python's, before it imports anything of ours. Times
of files stay the system's, as they do where the clock was set after they were written.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

__all__ = ["DAY", "IMPORT", "YEAR", "SetClock"]

DAY = 86400.0
YEAR = 365 * DAY

IMPORT = "import set_clock\n"
"""First line of an app whose clock is to be set."""

_MODULE = """
import json
import os
import time

_wall, _read = time.time, time.clock_gettime
_PATH = os.environ["TEST_CLOCK"]


def state():
    with open(_PATH) as file:
        return json.load(file)


def wall():
    now, own = _wall(), state()
    slow = min(own["rate"], 1.0)
    return now + own["jump"] + own["slept"] - (1 - slow) * (now - own["since"])


def read(clock):
    if clock == time.CLOCK_REALTIME:
        return wall()
    return _read(clock) + (state()["slept"] if clock == time.CLOCK_BOOTTIME else 0.0)


time.time, time.time_ns, time.clock_gettime = wall, lambda: int(wall() * 1e9), read
"""


class SetClock:
    """The clock of one server.

    Args:
        directory: Where the server's modules are.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "set_clock.py").write_text(_MODULE)
        self._path = directory / "clock.json"
        self.set()

    def set(self, *, jump: float = 0.0, slept: float = 0.0, rate: float = 1.0) -> None:
        """Set it, at once for all processes.

        Args:
            jump: Seconds that the wall clock is ahead.
            slept: Seconds of a suspend: the wall clock and CLOCK_BOOTTIME went on, the monotonic clock did not.
            rate: How fast the wall clock runs from now on, at most 1.
        """
        values = {"jump": jump, "slept": slept, "rate": rate, "since": time.time()}
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(values))
        os.replace(temporary, self._path)

    @property
    def env(self) -> dict[str, str]:
        """What the server's environment needs."""
        return {"TEST_CLOCK": str(self._path)}
