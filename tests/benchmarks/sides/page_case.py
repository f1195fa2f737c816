"""The drift page of a model with many features, as a browser asks for it."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from apps import our_app, our_baseline
from timing import Case, Figures, summary, time_calls
from workload import feature_names, rows

__all__ = ["page_case"]

FEATURES = 5_000
WARM_UP_CALLS = 300
"""Predictions of which the page has something to show."""


def page_case(view: str) -> Case:
    """Return a case that times one view of the page: ``"overview"`` or ``"variable"``."""
    app = our_app("", our_baseline(FEATURES), BOXKITE_SINK="none", BOXKITE_DASHBOARD_PATH="/boxkite")
    client = app.test_client()
    bodies = [json.dumps(row).encode() for row in rows(FEATURES).tolist()]
    address = _address(view)

    def predict(number: int) -> None:
        client.post("/score", data=bodies[number % len(bodies)], content_type="application/json")

    for number in range(WARM_UP_CALLS):
        predict(number)

    def run(calls: int) -> Figures:
        sizes = []

        def show(_: object) -> None:
            response = client.get(address)
            assert response.status_code == 200, response.text
            sizes.append(len(response.data))

        return {**summary(time_calls(show, predict, calls)), "bytes": sizes[-1]}

    return run


def _address(view: str) -> str:
    if view == "overview":
        return "/boxkite/"
    name = feature_names(FEATURES)[FEATURES // 2]
    return "/boxkite/variable?" + urlencode({"model": "default", "side": "feature", "variable": name})
