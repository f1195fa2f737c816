"""Pairs of apps, and a baseline for them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flask_boxkite
from flask_boxkite import Baseline, ModelMonitoringService
from tests.extensions.pair import Pair
from tests.peers import is_of_this_process

logging.getLogger("flask_boxkite").addFilter(is_of_this_process)


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """Return a baseline of two features and a score."""
    rng = np.random.default_rng(0)
    frame = {"age": rng.normal(40, 10, 2000), "income": rng.normal(3000, 500, 2000)}
    path = tmp_path_factory.mktemp("baseline") / "b.prom"
    return ModelMonitoringService.export_text(frame, rng.random(2000), path, progress=False)


@pytest.fixture
def pair(baseline: Baseline, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Pair]]:
    """Return a function that makes an app twice. In the end ours must have had nothing to say."""
    made: list[Pair] = []

    def make(factory: Callable[..., Any], **options: Any) -> Pair:
        made.append(Pair(factory, baseline, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
    ours = [record.getMessage() for record in caplog.get_records("call") if record.name == "flask_boxkite"]
    allowed = tuple(start for each in made for start in each.says)
    assert [text for text in ours if not text.startswith(allowed)] == []


@pytest.fixture(scope="session", autouse=True)
def package_under_test() -> None:
    """Fail if this environment's own copy of the package is tested."""
    wanted = Path(os.environ["PYTHONPATH"], "flask_boxkite").resolve()
    assert Path(flask_boxkite.__file__).resolve().parent == wanted


@pytest.fixture(autouse=True)
def quiet_pages() -> None:
    """Views of these tests fail on purpose; their tracebacks would hide what matters."""
    for name in ("served", "tests.extensions", "flask_openapi3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
