"""Print the resident memory, in MiB, of a worker process that has served: ``plain`` or ``ours``.

A model server has NumPy loaded, whatever monitors it; and prometheus_client is what one would otherwise export with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import prometheus_client
from apps import our_app, plain_app
from workload import bodies
from wsgi import call_app, environ_maker

FEATURES = 100
CALLS = 2_000
SCRAPES = 5


def resident_mib() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(name: str, baseline: str) -> None:
    """Serve, be scraped, and tell."""
    assert np.zeros(1).any() or prometheus_client.REGISTRY
    app = plain_app() if name == "plain" else our_app("", baseline)
    make = environ_maker(bodies(FEATURES, by_name=True))
    for number in range(CALLS):
        assert call_app(app.wsgi_app, make(number))[0] == "200 OK"
    scrape = {**make(0), "REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}
    for _ in range(SCRAPES if name == "ours" else 0):
        assert call_app(app.wsgi_app, dict(scrape))[0] == "200 OK"
    print(resident_mib())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
