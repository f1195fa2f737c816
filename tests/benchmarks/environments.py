"""Environments of their own for peers that need other releases: boxkite, whylogs, evidently, NannyML."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .bench import ROOT

__all__ = ["boxkite_python", "describe", "is_compiled", "profiler_python"]

ENVIRONMENTS = Path(os.environ.get("BOXKITE_TEST_PEERS") or ROOT / ".peers").resolve()
"""The same place as for ``tests/run.py``."""

BOXKITE_REQUIREMENT = "boxkite==0.0.5"

PROFILERS = {
    "whylogs": ("whylogs==1.6.4", "pandas>=2.2"),
    "evidently": ("evidently==0.7.23", "pandas>=2.2,<3"),
    "vectors": ("alibi-detect==0.12.0", "evidently==0.7.23", "pandas>=2.2,<3"),
    "nannyml": ("nannyml==0.13.1", "statsmodels", "pandas>=2.2,<3"),
}
"""What each needs; pandas 3 has no longer what the last two import, and NannyML does not declare one of its own."""

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

# An editable installation gives an earlier checkout, which PYTHONPATH names, the modules that it lacks.
LOAD_COMPILED = """
import os, flask_boxkite
from flask_boxkite import compiled
is_own = compiled.__file__.startswith(os.path.dirname(flask_boxkite.__file__))
raise SystemExit(compiled.native is None or not is_own)
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
    python = _made("boxkite")
    found = _versions(python)
    missing = [
        requirement for name, requirement in _wanted().items() if requirement != f"{name}=={found.get(name, '')}"
    ]
    _install(python, missing)
    return python


def profiler_python(name: str) -> str:
    """Return the interpreter of the environment of one of `PROFILERS`, made at the first call."""
    python = _made(name)
    ready = ENVIRONMENTS / name / "ready"
    wanted = "\n".join(PROFILERS[name])
    if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
        _install(python, PROFILERS[name])
        ready.write_text(wanted, encoding="utf-8")
    return python


def _made(name: str) -> str:
    python = ENVIRONMENTS / name / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(ENVIRONMENTS / name, with_pip=True)
    return str(python)


def _install(python: str, requirements: Sequence[str]) -> None:
    if requirements:
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"Cannot install {', '.join(requirements)} for {python}.\n{done.stderr}")


def is_compiled(environment: Mapping[str, str]) -> bool:
    """Return whether a side of ours with these environment variables runs the compiled part of the package."""
    command = [sys.executable, "-c", LOAD_COMPILED]
    # In another folder: Python looks for modules in the current one first, which is the checkout's.
    done = subprocess.run(command, cwd=ENVIRONMENTS, env=environment, capture_output=True, check=False)
    return done.returncode == 0


def describe(boxkite: str) -> str:
    """Return the versions on both sides, for the head of the report."""
    lines = [f"Python {sys.version.split()[0]} on {sys.platform}, {os.cpu_count()} processors"]
    for name, python in (("ours", sys.executable), ("boxkite", boxkite)):
        libraries = ", ".join(f"{library} {number}" for library, number in _versions(python).items())
        lines.append(f"{name}: {libraries}")
    return "\n".join(lines)
