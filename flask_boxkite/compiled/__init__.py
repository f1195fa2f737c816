"""The compiled part of the package, where it was installed with a C compiler.

It holds twins of the loops that every request runs. Each does the same as its class in Python, and faster.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__all__ = ["native"]


def _native() -> Any:
    if os.environ.get("BOXKITE_NATIVE") == "0":
        return None
    try:
        return importlib.import_module("flask_boxkite.compiled.native")
    except ImportError:
        return None


native = _native()
"""The module of the twins; None without a compiler, or where the environment has ``BOXKITE_NATIVE=0``."""
