"""Certificate authorities and host names for the tests of sinks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers import wait_for
from tests.sinks.certificates import Authority, make_authority
from tests.sinks.names import Names, lookups_under_way


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that the tests trust."""
    return make_authority(tmp_path_factory.mktemp("tls") / "trusted")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that the tests do not trust."""
    return make_authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture(scope="session")
def namesake(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority with a certificate for another host."""
    return make_authority(tmp_path_factory.mktemp("tls") / "namesake", "DNS:elsewhere.example")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """Return what stands for the lookup of host names."""
    names = Names(monkeypatch)
    yield names
    names.answering.set()
    wait_for(lambda: not lookups_under_way(), what="the end of all lookups")
