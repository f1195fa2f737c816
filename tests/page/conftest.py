"""A real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.peers import chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Return a Chromium without a window."""
    path = chromium()
    with sync_playwright() as driver:
        # Its sandbox cannot be had as root, and the pages are our own.
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
