"""The compiled part of the package, where it was installed with a C compiler.

It holds twins of the loops that every request runs. Each does the same as its class in Python, and faster.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

__all__ = ["native"]


logger = logging.getLogger("flask_boxkite")

_STATE = 8
"""Number that increases here and in ``native.pyx`` with each change of a twin that its callers must follow."""


def _native(state: int = _STATE) -> Any:
    if os.environ.get("BOXKITE_NATIVE") == "0":
        return None
    try:
        module = importlib.import_module("flask_boxkite.compiled.native")
    except ImportError:
        return None
    if getattr(module, "STATE", 0) == state:
        return module
    # As in an editable checkout that was updated.
    logger.warning("The compiled part is of another version, so Python does its work. Install flask-boxkite again.")
    return None


native = _native()
"""The module of the twins; None without a compiler, or where the environment has ``BOXKITE_NATIVE=0``."""
