"""The data that every side works on: what the model was trained on and what clients ask about.

Everything comes from a fixed seed, so each tool makes its baseline from the same numbers and is asked about the same
rows, although it runs in an environment of its own.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

__all__ = ["bodies", "feature_names", "large_columns", "rows", "score", "shaped_rows", "training_data", "wide_columns"]

Array = npt.NDArray[np.float64]

TRAINING_ROWS = 10_000
DISTINCT_ROWS = 64
"""How many rows are served in turn: one row for ever would let every branch of the code be predicted."""


def feature_names(features: int) -> list[str]:
    """Return names as long as those that people give their columns."""
    return [f"customer_feature_{number}" for number in range(features)]


def _draw(seed: int, count: int, features: int) -> Array:
    """Return normal data of shape (count, features), each feature with a mean and a scale of its own."""
    generator = np.random.default_rng(seed)
    # Not a power of an array: NumPy's releases round it differently.
    scale = np.array([(0.01, 0.1, 1.0, 10.0, 100.0)[number % 5] for number in range(features)])
    return generator.standard_normal((count, features)) * scale + scale


def training_data(features: int) -> tuple[Array, list[float]]:
    """Return the training rows, shape (n, features), and the model's outputs for them, length n."""
    frame = _draw(0, TRAINING_ROWS, features)
    return frame, [score(first) for first in frame[:, 0].tolist()]


def rows(features: int, count: int = DISTINCT_ROWS) -> Array:
    """Return rows to predict, shape (count, features), drawn like the training data."""
    return _draw(1, count, features)


def shaped_rows(features: int, count: int, seed: int) -> Array:
    """Return rows of normal, lognormal, exponential, uniform and bimodal features in turn, shape (count, features)."""
    generator = np.random.default_rng(seed)
    frame = np.empty((count, features))
    for number in range(features):
        normal = generator.standard_normal(count)
        frame[:, number] = (1 + number) * (
            normal,
            np.exp(normal),
            generator.standard_exponential(count),
            generator.random(count),
            normal + generator.choice([-3.0, 3.0], count),
        )[number % 5]
    return frame


def large_columns() -> list[tuple[str, Array]]:
    """Return 10 columns of 1,000,000 normal numbers as pairs of name and column, as ``df.items()`` yields them."""
    generator = np.random.default_rng(2)
    return [(name, generator.standard_normal(1_000_000)) for name in feature_names(10)]


def wide_columns() -> list[tuple[str, Array]]:
    """Return 1,000 columns of 1,000 normal numbers, in the same form."""
    generator = np.random.default_rng(2)
    return [(name, generator.standard_normal(1_000)) for name in feature_names(1_000)]


def bodies(features: int, *, by_name: bool) -> list[bytes]:
    """Return the JSON request bodies of the rows to predict: objects by feature name, or lists."""
    names = feature_names(features)
    return [
        json.dumps(dict(zip(names, row, strict=True)) if by_name else row).encode() for row in rows(features).tolist()
    ]


def score(first: float) -> float:
    """Predict: a model that costs nothing, so that all of the time is the web framework's and the monitor's."""
    return 1.0 / (1.0 + first * first)
