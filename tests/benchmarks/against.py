"""An earlier commit of this project, unpacked and built so that it is measured beside today's in the same run."""

from __future__ import annotations

import contextlib
import shutil
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
    """Unpack the commit *revision* in a temporary folder, build it there and yield the folder's path."""
    packed = subprocess.run(["git", "archive", "--format=tar", revision], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        sys.exit(f"Cannot read the commit {revision!r}: {packed.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        _build(Path(folder))
        yield Path(folder)


def _build(folder: Path) -> None:
    """Put the package as pip installs it in the place of its sources, where a part of it is to be compiled."""
    if not (folder / "setup.py").is_file():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(folder / "built"), str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"Cannot build the earlier commit.\n{done.stderr}")
    shutil.rmtree(folder / "flask_boxkite")
    (folder / "built" / "flask_boxkite").rename(folder / "flask_boxkite")
