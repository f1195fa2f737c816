"""An app whose model has segments, of which one has moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, request

from flask_boxkite import Baseline, Boxkite, ModelMonitoringService

__all__ = ["SHARES", "columns", "segmented_app", "send", "trained"]

SHARES = {"SE": 0.5, "NO": 0.35, "FI": 0.12, "<b>": 0.03}
"""Share of rows by country."""


def columns(rows: int, seed: int, *, moved: str = "") -> dict[str, list[Any]]:
    """Return rows as columns; in one country, incomes are higher and people older."""
    rng = np.random.default_rng(seed)
    country = rng.choice(list(SHARES), rows, p=list(SHARES.values()))
    income, age = rng.lognormal(10, 0.5, rows).round(2), rng.normal(40, 10, rows).round(1)
    is_moved = country == moved
    income[is_moved] *= 2
    age[is_moved] += 15
    sex = rng.choice(["f", "m"], rows)
    return {"country": country.tolist(), "sex": sex.tolist(), "income": income.tolist(), "age": age.tolist()}


def trained(path: Path, **options: Any) -> Baseline:
    """Write a baseline with segments by country and sex."""
    options = {"model": "credit", "segments": ["country", "sex"]} | options
    outputs = np.random.default_rng(1).random(4000)
    return ModelMonitoringService.export_text(columns(4000, 0), outputs, path, **options)


def segmented_app(baseline: Any, **config: Any) -> Flask:
    """Return an app that serves the model, with the page; ``app.monitor`` is its monitor."""
    app = Flask("scoring")
    app.config.update(
        {"BOXKITE_BASELINE": baseline, "BOXKITE_SINK": "none", "BOXKITE_DASHBOARD_PATH": "/boxkite"} | config
    )
    app.monitor = monitor = Boxkite(app)  # type: ignore[attr-defined]
    outputs = np.random.default_rng(2)

    @app.post("/score")
    @monitor.predict(model="credit")
    def score() -> dict[str, Any]:
        return {"predictions": outputs.random(len(request.get_json())).tolist()}

    return app


def send(app: Flask, rows: dict[str, list[Any]]) -> None:
    """Have rows predicted, a few in each request: many rows in one are counted as one."""
    client, documents = (
        app.test_client(),
        [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)],
    )
    for start in range(0, len(documents), 4):
        assert client.post("/score", json=documents[start : start + 4]).status_code == 200
