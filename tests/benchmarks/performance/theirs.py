"""NannyML's side: a process of its own, with its own libraries."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.environments import ENVIRONMENTS, profiler_python
from tests.benchmarks.side import SideError, clean_environment

from .cases import Case
from .data import BUNDLED

__all__ = ["bundled_folder", "estimates", "key_of"]

SCRIPT = Path(__file__).with_name("peer_nannyml.py")


def bundled_folder() -> Path:
    """Return the folder of NannyML's data sets, written there at the first call."""
    folder = ENVIRONMENTS / "nannyml" / "data"
    if not all((folder / f"{name}.npz").is_file() for name in BUNDLED):
        python = profiler_python("nannyml")
        folder.mkdir(exist_ok=True)
        _run(python, "export", folder)
    return folder


def estimates(case: Case) -> dict[str, Any]:
    """Return NannyML's figures of a case: CPU seconds of its fit, and estimates and CPU seconds by `key_of`."""
    data = case.data
    with tempfile.TemporaryDirectory() as folder:
        np.savez(
            Path(folder, "case.npz"),
            kind=data.kind,
            score=data.score,
            predicted=data.predicted,
            actual=data.actual,
            validation=case.validation,
            **{f"feature:{name}": column for name, column in data.features.items()},
            **{f"window:{key_of(window.shift, window.size)}": window.rows for window in case.windows},
        )
        _run(profiler_python("nannyml"), "estimate", Path(folder))
        found: dict[str, Any] = json.loads(Path(folder, "nannyml.json").read_text(encoding="utf-8"))
        return found


def key_of(shift: str, size: int) -> str:
    """Return the name of the windows of one cell."""
    return f"{shift}:{size}"


def _run(python: str, *arguments: str | os.PathLike[str]) -> None:
    command = [python, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SideError(done.stderr[-2000:])
