"""Random requests to an app and to its plain twin: no answer differs, and each prediction is counted once.

To run it for longer: ``python -m tests.web.fuzz --seconds 3600 --jobs 2``. A difference is printed with the command
that sends its request again.
"""

from __future__ import annotations

import pytest

from tests.web.fuzz.pairs import SETUPS
from tests.web.fuzz.requests import request_at
from tests.web.fuzz.run import run

REQUESTS = 2000
"""To each setup: about half a minute for all of them in one process."""


@pytest.mark.parametrize("setup", SETUPS)
def test_random_requests(setup: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="flask_boxkite")
    report = run(list(SETUPS).index(setup), [setup], goes_on=lambda done: done < REQUESTS)
    assert not report.differences, "\n".join(map(str, report.differences))
    is_counted = SETUPS[setup].is_enabled
    assert (report.totals["counted"] > REQUESTS / 4) == is_counted, "many requests are predictions"
    assert (report.totals["features"] < report.totals["counted"] * 3 / 4) or not is_counted, "many are captured"


def test_a_request_can_be_sent_again() -> None:
    """It follows from the seed and its number alone."""
    assert repr(request_at(1, 7)) == repr(request_at(1, 7)) != repr(request_at(1, 8))
