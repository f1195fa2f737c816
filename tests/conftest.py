"""Fixtures for every test, and the guard that no test leaves something running."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import flask
import numpy as np
import pytest
from hypothesis import settings

from tests.peers import free_port, is_of_this_process, spark_session

# They need an environment of their own, in which `tests.integration.test_extensions` runs them.
collect_ignore = ["extensions"]

# Grafana's SDK needs Python 3.11.
collect_ignore_glob = ["*/test_grafana.py"] if sys.version_info < (3, 11) else []

# A shell that runs the tests in the background has them ignore Ctrl-C, and so every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

logging.getLogger("flask_boxkite").addFilter(is_of_this_process)

# A busy machine is no fault of the code under test; other examples come with each run.
settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs Spark first, so that one process of several does it all and starts Spark once."""
    items.sort(key=lambda item: "spark" not in item.nodeid.partition("::")[2])


def pytest_collection_finish() -> None:
    """Have no later collection of garbage look at all tests, in this process or in a fork."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a random generator that gives the same numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def free_tcp_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nothing listens."""
    return free_port()


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Start Spark once for all tests."""
    with spark_session() as session:
        yield session


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a thread or an app context behind: either changes the tests after it."""
    threads_before = set(threading.enumerate())
    context_before = flask.has_app_context()
    yield
    leaks = [f"thread '{thread.name}'" for thread in leaked_threads(threads_before)]
    if flask.has_app_context() and not context_before:
        leaks.append("an app context")
        while flask.has_app_context():
            # So that only this test fails, not all that follow.
            flask.globals.app_ctx._get_current_object().pop()
    if leaks:
        pytest.fail(f"The test leaked {', '.join(leaks)}.", pytrace=False)


OF_POLARS = "pl_col_batch_"
"""Beginning of the name of a thread that older releases of Polars keep for further queries."""


def leaked_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return threads that are not in *before* and keep the interpreter alive; those about to end may do so first."""
    started = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.daemon and not thread.name.startswith(OF_POLARS)
    ]
    if started:
        # asgiref runs an async view in a pool of its own, whose thread ends once the pool is collected; if the view
        # raised, the pool stands in a circle with the error's traceback.
        gc.collect()
    for thread in started:
        thread.join(timeout=10.0)
    return [thread for thread in started if thread.is_alive()]
