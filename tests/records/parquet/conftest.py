"""Records of each kind in each store, made once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.records.parquet.kinds import KINDS, Kind, store


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Kind]:
    return cache(lambda name: KINDS[name](tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, kinds: Callable[[str], Kind]) -> Callable[[str, str], Any]:
    return cache(lambda kind, name: store(kinds(kind), name, tmp_path_factory.mktemp(f"{kind}-{name}")))
