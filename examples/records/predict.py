"""A credit model in production, with every prediction logged to files: in one country, incomes have risen."""

from pathlib import Path

import numpy as np

from flask_boxkite import ModelMonitoringService

RUN = Path(__file__).parent / "run"
COUNTRIES, SHARES = ["AT", "CH", "DE"], [0.3, 0.1, 0.6]


def customers(rng, size):
    return {
        "age": rng.integers(18, 80, size),
        "income": rng.lognormal(10.5, 0.4, size).round(2),
        "country": rng.choice(COUNTRIES, size, p=SHARES),
    }


def predict(table):
    return np.clip(0.9 - table["income"] / 100_000, 0.01, 0.99).round(4)


def main():
    rng = np.random.default_rng(1)
    train = customers(rng, 20_000)
    baseline = ModelMonitoringService.export_text(
        train, predict(train), RUN / "baseline.prom", model="credit", version="v1"
    )

    # As Boxkite(app) does with BOXKITE_LOG_DIR.
    service = ModelMonitoringService(baseline, log_dir=RUN / "records")
    live = customers(rng, 5_000)
    live["income"] = np.where(live["country"] == "CH", live["income"] * 1.6, live["income"]).round(2)
    for row, score in zip(zip(*live.values(), strict=True), predict(live), strict=True):
        service.log_prediction(features=dict(zip(live, row, strict=True)), output=score)
    service.close()
    print(f"Logged {len(live['age'])} predictions.")


if __name__ == "__main__":
    RUN.mkdir(exist_ok=True)
    main()
