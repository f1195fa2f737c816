"""The chaos run, short: each round is a fault, or several at once, after which the books are closed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.chaos.audit import Period
from tests.chaos.run import Chaos
from tests.chaos.world import World

ROUNDS = [
    ["fluentd killed", "worker killed"],
    ["worker stopped (SIGSTOP)", "clock moved", "counts deleted"],
    ["server upgraded (USR2)"],
    ["fluentd stopped (SIGSTOP)", "all processes killed"],
    ["server reloaded (HUP)"],
    ["disk filled"],
    ["spool deleted"],
]


@pytest.mark.peers
@pytest.mark.skipif(sys.platform != "linux", reason="reads the processes of a server from /proc")
def test_whatever_goes_wrong_the_books_can_be_closed(tmp_path: Path) -> None:
    with World.running(tmp_path, workers=2, rate=100) as world:
        chaos = Chaos(world, random.Random(0), haste=0.1)
        for names in ROUNDS:
            if world.has_disk or "disk filled" not in names:
                chaos.round(names)
    total = sum(chaos.periods.values(), Period())
    assert min(period.answered for period in chaos.periods.values()) > 0
    assert total.scrapes > 0
    assert total.missing <= total.dropped.total()
