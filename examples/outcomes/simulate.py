"""Ninety days of the credit model, in a simulated clock: applications every day, and outcomes up to 20 days later."""

from __future__ import annotations

import heapq
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path

import credit
import numpy as np
import time_machine
from app import app, monitor

RUN = Path(__file__).parent / "run"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TOKEN = {"Authorization": f"Bearer {app.config['BOXKITE_METRICS_TOKEN']}"}

DAYS = 90
A_DAY = 40
"""Applications of a day."""

YOUNGER, RECESSION = 30, 60
"""Days on which the applicants change, and on which the world does."""

HEAD = (
    f"{'day':>4}  {'predictions':>11}  {'outcomes':>8}  {'drifted':<14}  {'expected':>8}  {'by outcomes':>11}  verdict"
)


def main() -> None:
    """Simulate, print a line every ten days, and keep the page as a file."""
    logging.getLogger("flask_boxkite").setLevel(logging.ERROR)
    random, client, due = np.random.default_rng(2), app.test_client(), []
    recession = "a recession; people who look the same pay back less"
    print(f"\nDay {YOUNGER}: younger people apply. Day {RECESSION}: {recession}.\n")
    print(HEAD)
    for day in range(1, DAYS + 1):
        with time_machine.travel(START + timedelta(days=day), tick=False):
            serve(day, random, client, due)
            send_outcomes(day, client, due)
            if day % 10 == 0:
                print(line(day))
    with time_machine.travel(START + timedelta(days=DAYS), tick=False):
        page = client.get("/boxkite/report.html?window=start", headers=TOKEN)
    (RUN / "report.html").write_bytes(page.data)


def serve(day: int, random: np.random.Generator, client, due: list) -> None:
    """Send the applications of a day; note when their outcomes will be known."""
    frame = credit.applicants(A_DAY, random, are_younger=day > YOUNGER)
    fails = credit.defaults(frame, random, in_recession=day > RECESSION)
    for row, fail in zip(frame.to_dict("records"), fails.tolist(), strict=True):
        answer = client.post("/score", json=row)
        lag = int(random.integers(2, 8)) if fail else int(random.integers(5, 21))  # who fails does so early
        heapq.heappush(due, (day + lag, answer.headers["Boxkite-Prediction-Id"], fail))


def send_outcomes(day: int, client, due: list) -> None:
    """Send the outcomes that are known by now, all in one request."""
    known = []
    while due and due[0][0] <= day:
        _, prediction_id, fail = heapq.heappop(due)
        known.append({"prediction_id": prediction_id, "actual": fail})
    if known:
        answer = client.post("/outcomes", json=known, headers=TOKEN)
        assert answer.json["counted"] == len(known), answer.json


def line(day: int) -> str:
    """Return the state of the model as a line."""
    with app.app_context():
        performance, drift = monitor.performance(), monitor.drift()
    accuracy = performance["accuracy"]
    realised = "-" if accuracy.realised is None else f"{accuracy.realised:.3f}"
    drifted = ", ".join(item.name for item in drift.drifted) or "-"
    counts = f"{performance.coverage.predictions:>11,}  {performance.outcomes:>8,}"
    return f"{day:>4}  {counts}  {drifted:<14}  {accuracy.estimated:>8.3f}  {realised:>11}  {performance.verdict}"


if __name__ == "__main__":
    main()
