"""Batches of arrays, as PyTorch's loaders give them: a baseline in one run over them, however many there are.

NumPy stands in for PyTorch here. A real `DataLoader` in place of `loader()` works as it is, with the model's output
taken by `.detach()`: tensors become arrays by `np.asarray`.
"""

from pathlib import Path

import numpy as np

from flask_boxkite import Baseline

OUT = Path(__file__).parent / "run"
SENSORS = ["temperature", "pressure", "vibration"]


def loader(batches=200, size=500):
    """Yield inputs, shape (size, 3), and targets."""
    rng = np.random.default_rng(0)
    for _ in range(batches):
        inputs = rng.normal([70, 2.5, 0.1], [5, 0.2, 0.02], (size, 3)).astype(np.float32)
        yield inputs, inputs[:, 2] > 0.12


def model(inputs):
    return 1 / (1 + np.exp(-(inputs[:, 2] - 0.12) * 100))


def chunks():
    """Yield each batch as columns, with what the model says of it."""
    for inputs, _ in loader():
        columns = dict(zip(SENSORS, np.asarray(inputs).T, strict=True))
        yield {**columns, "fault": np.asarray(model(inputs))}


def main():
    baseline = Baseline.from_chunks(chunks(), inference="fault", model="pump")
    baseline.dump(OUT / "batches.prom")
    print(f"{baseline.rows} rows, {len(baseline.features)} features, baseline {baseline.fingerprint}")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    main()
