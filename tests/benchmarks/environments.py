"""boxkite's own environment: it needs older releases of NumPy and prometheus_client than we do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .bench import ROOT

__all__ = ["boxkite_python", "describe"]

BOXKITE_ENVIRONMENT = Path(os.environ.get("BOXKITE_TEST_PEERS") or ROOT / ".peers").resolve() / "boxkite"
"""The same place as for ``tests/run.py``."""

BOXKITE_REQUIREMENT = "boxkite==0.0.5"

SHARED = ("flask", "werkzeug", "gunicorn")
"""Installed there in our versions, so that the plain application is the same on both sides."""

SHOWN = (
    "boxkite",
    "flask",
    "fluent-logger",
    "gunicorn",
    "msgpack",
    "numpy",
    "prometheus-client",
    "prometheus-flask-exporter",
    "werkzeug",
)

LIST_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def _versions(python: str) -> dict[str, str]:
    """Return the versions of the distributions that matter, as the interpreter *python* sees them."""
    output = subprocess.run([python, "-c", LIST_VERSIONS, *SHOWN], check=True, capture_output=True, text=True).stdout
    found: dict[str, str] = json.loads(output)
    return found


def _wanted() -> dict[str, str]:
    """Return what boxkite's environment must hold: requirement by distribution."""
    wanted = {"boxkite": BOXKITE_REQUIREMENT}
    for name in SHARED:
        try:
            wanted[name] = f"{name}=={version(name)}"
        except PackageNotFoundError:
            sys.exit(f"The benchmarks need {name!r}. Install the dependency group 'benchmarks'.")
    return wanted


def boxkite_python() -> str:
    """Return the interpreter of boxkite's environment, made or completed if need be (this asks the package index)."""
    python = BOXKITE_ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(BOXKITE_ENVIRONMENT, with_pip=True)
    found = _versions(str(python))
    missing = [
        requirement for name, requirement in _wanted().items() if requirement != f"{name}=={found.get(name, '')}"
    ]
    if missing:
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"Cannot install {', '.join(missing)} in {BOXKITE_ENVIRONMENT}.\n{done.stderr}")
    return str(python)


def describe(boxkite: str) -> str:
    """Return the versions on both sides, for the head of the report."""
    lines = [f"Python {sys.version.split()[0]} on {sys.platform}, {os.cpu_count()} processors"]
    for name, python in (("ours", sys.executable), ("boxkite", boxkite)):
        libraries = ", ".join(f"{library} {number}" for library, number in _versions(python).items())
        lines.append(f"{name}: {libraries}")
    return "\n".join(lines)
