"""Traffic for the quickstart's app: rows as in training, and after some minutes rows as after a mishap.

Needs scikit-learn and pandas. Environment: URL, DRIFT_AFTER_MINUTES, and REQUESTS, after which it ends (0: never).
"""

from __future__ import annotations

import json
import os
import random
import time
import urllib.error
import urllib.request
from typing import Any

from sklearn.datasets import load_breast_cancer

URL = os.environ.get("URL", "http://127.0.0.1:8000/score")
DRIFT_AFTER_SECONDS = 60 * float(os.environ.get("DRIFT_AFTER_MINUTES", "10"))
REQUESTS = int(os.environ.get("REQUESTS", "0"))


def drifted(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it arrives after a new calibration of a scanner and the loss of a laboratory."""
    row["mean radius"] = round(row["mean radius"] * 1.4, 3)
    if random.random() < 0.5:
        row["worst texture"] = None
    return row


def ask(row: dict[str, Any]) -> None:
    """Have one row predicted; an app that is not there yet is no reason to end."""
    request = urllib.request.Request(URL, json.dumps(row).encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=10).read()
    except (urllib.error.URLError, ConnectionError) as error:
        print(f"{URL}: {error}", flush=True)
        time.sleep(1)


def main() -> None:
    rows = load_breast_cancer(as_frame=True).data.to_dict(orient="records")
    begun = time.monotonic()
    sent = 0
    while not REQUESTS or sent < REQUESTS:
        row = dict(random.choice(rows))
        ask(drifted(row) if time.monotonic() - begun >= DRIFT_AFTER_SECONDS else row)
        sent += 1
        time.sleep(random.expovariate(4))


if __name__ == "__main__":
    main()
