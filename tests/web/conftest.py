"""Fixtures for apps under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite import Baseline
from tests.web.twins import Twins, training_baseline


@pytest.fixture(scope="session")
def baseline() -> Baseline:
    """Return a baseline of the features age, income and city, and of one output."""
    return training_baseline(version="v1")


@pytest.fixture(scope="session")
def baseline_path(baseline: Baseline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of its file."""
    path = tmp_path_factory.mktemp("baseline") / "histogram.prom"
    baseline.dump(path)
    return path


@pytest.fixture
def twins(baseline: Baseline) -> Iterator[Callable[..., Twins]]:
    """Return a function that makes an app twice; both end with the test."""
    made: list[Twins] = []

    def make(define: Any, **options: Any) -> Twins:
        made.append(Twins(define, **{"baseline": baseline, **options}))
        return made[-1]

    yield make
    for each in made:
        each.close()
