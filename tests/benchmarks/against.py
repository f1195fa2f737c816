"""An earlier commit of this project, unpacked so that its code is measured beside today's in the same run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from .bench import ROOT

__all__ = ["checkout"]


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Unpack the commit *revision* in a temporary folder and yield the folder's path."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision, "flask_boxkite", "tests/benchmarks"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        sys.exit(f"Cannot read the commit {revision!r}: {packed.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)
