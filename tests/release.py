"""Try a release as users do: build it, and install and run it in fresh environments, with every Python of this machine.

    python3 tests/release.py [--python 3.12 ...] [--extra cli ...]

It takes some minutes, so CI does not run it. From the source distribution, each Python builds a wheel with the compiled
part and one without; their contents and names are checked. For each extra, the wheel is installed alone, the message
that asks for the extra is seen, its command is run as it stands, and then the same code works; without an extra, too,
the quickstart runs. It prints a table, and exits with 1 if anything in it has failed.

uv, which `python3 tests/run.py` installs, makes the environments.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("BOXKITE_TEST_VENV") or ROOT / ".venv").resolve()
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

# Code that needs an extra, and says so where the extra is missing.
USES = {
    "cli": "from flask_boxkite.cli import boxkite; boxkite(['inspect', 'baseline.prom'])",
    "grafana": "from flask_boxkite.cli import boxkite; boxkite(['grafana'])",
    "records": "from flask_boxkite.records import Records; print(Records('.'))",
    "fast": "from flask_boxkite import ModelMonitoringService as Service; Service(sink='none', fast_json=True).close()",
    "mlflow": "from flask_boxkite import Baseline; Baseline.load('runs:/none/baseline.prom')",
}
# MLflow is there where it has looked for the run, which does not exist.
MLFLOW_HAS_LOOKED = "Does MLFLOW_TRACKING_URI name the run's server?"
BASELINE = (
    "from flask_boxkite import ModelMonitoringService as S; S.export_text({'x': [1.0, 2.0]}, path='baseline.prom')"
)
NEEDS_LATER_PYTHON = {("3.10", "grafana")}


class Failure(Exception):
    """A step that a release does not pass; the text says which."""


def main() -> int:
    """Build, try everything, print the table; return the exit code."""
    parser = argparse.ArgumentParser(description="Try a release in fresh environments.")
    parser.add_argument("--python", action="append", choices=VERSIONS, help="a version of Python; repeatable")
    parser.add_argument("--extra", action="append", choices=["none", *USES], help="an extra; repeatable")
    options = parser.parse_args()

    pythons = {version: path for version, path in found_pythons() if version in (options.python or VERSIONS)}
    failures = 0
    with tempfile.TemporaryDirectory(prefix="boxkite-release-") as name:
        scratch = Path(name)
        sdist = build_sdist(scratch)
        print(f"{sdist.name}: {sdist.stat().st_size // 1024:,} KiB", flush=True)
        copy_examples(sdist, scratch)
        for version, python in pythons.items():
            wheel = build_wheels(sdist, python, scratch / version)
            for extra in options.extra or ["none", *USES]:
                outcome = attempt(version, python, wheel, extra, scratch)
                failures += outcome.startswith("FAILED")
                print(f"Python {version:<5} {wheel.name[len('flask_boxkite-') :]:<42} {extra:<8} {outcome}", flush=True)
    print(f"{len(pythons)} Pythons, {failures} failed")
    return 1 if failures or not pythons else 0


def found_pythons() -> Iterator[tuple[str, str]]:
    """Yield each version that this machine has, with the path of its Python."""
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in VERSIONS:
        candidates = [sys.executable, shutil.which(f"python{version}"), f"/usr/bin/python{version}"]
        candidates += map(str, sorted(home.glob(f"versions/{version}.*/bin/python")))
        if found := next((path for path in candidates if path and has_version(path, version)), None):
            yield version, found


def has_version(python: str, version: str) -> bool:
    """Say whether this is a Python of that version; launchers of versions that are not chosen fail."""
    check = f"import sys, venv; sys.exit('{version}' != '%d.%d' % sys.version_info[:2])"
    return Path(python).exists() and subprocess.run([python, "-c", check], capture_output=True).returncode == 0


# --- Building -------------------------------------------------------------------------------------------------------


def build_sdist(scratch: Path) -> Path:
    """Build the source distribution of what is committed; check its files."""
    checkout = scratch / "checkout"
    run("git", "clone", "--quiet", "--no-local", str(ROOT), str(checkout))
    (checkout / "flask_boxkite" / "compiled" / "native.so").touch()  # as a build in the checkout leaves it
    uv("build", "--quiet", "--sdist", "--out-dir", str(scratch), str(checkout))
    (sdist,) = scratch.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}

    committed = set(run("git", "ls-files", cwd=checkout).split())
    left_out = {name for name in committed if name.startswith((".ci/", ".github/", "."))}
    made = {"PKG-INFO", "setup.cfg", *(name for name in names if name.startswith("flask_boxkite.egg-info/"))}
    if names - made != committed - left_out:
        raise SystemExit(f"The source distribution differs in {sorted((names - made) ^ (committed - left_out))}.")
    return sdist


def copy_examples(sdist: Path, scratch: Path) -> None:
    """Unpack the examples where no checkout of the package is beside them."""
    with tarfile.open(sdist) as archive:
        members = [member for member in archive if member.name.partition("/")[2].startswith("examples/")]
        archive.extractall(scratch / "unpacked", members)
    (folder,) = (scratch / "unpacked").iterdir()
    (folder / "examples").rename(scratch / "examples")


def build_wheels(sdist: Path, python: str, folder: Path) -> Path:
    """Build a wheel with and one without the compiled part; check both and return the first."""
    wheels = []
    for name, compiler in (("compiled", "cc"), ("pure", "false")):
        destination = folder / name
        command = ("build", "--quiet", "--wheel", "--python", python, "--out-dir", str(destination), str(sdist))
        uv(*command, CC=compiler)
        (wheel,) = destination.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            modules = [item for item in archive.namelist() if item.endswith((".so", ".pyd"))]
            odd = [item for item in archive.namelist() if not item.startswith("flask_boxkite")]
        is_pure = wheel.name.endswith("-py3-none-any.whl")
        if is_pure != (name == "pure") or len(modules) != (name == "compiled") or odd:
            raise SystemExit(f"{wheel.name} was to be {name}: it has {modules} and {odd}.")
        wheels.append(wheel)
    return wheels[0]


# --- Trying ---------------------------------------------------------------------------------------------------------


def attempt(version: str, python: str, wheel: Path, extra: str, scratch: Path) -> str:
    """Try one extra with one Python in a fresh environment; return what to say of it."""
    if (version, extra) in NEEDS_LATER_PYTHON:
        return "needs a later Python"
    venv = scratch / f"{version}-{extra}"
    try:
        uv("venv", "--quiet", "--seed", "--python", python, str(venv))
        install(venv, str(wheel))
        said = try_message(venv, extra) if extra != "none" else "installed"
        requirement = str(wheel) if extra == "none" else f"flask-boxkite[{extra}] @ {wheel.as_uri()}"
        install(venv, requirement, "scikit-learn", "pandas")
        return f"{said}, quickstart: {quickstart(venv, scratch)}"
    except Failure as failure:
        return f"FAILED: {failure}"
    finally:
        shutil.rmtree(venv, ignore_errors=True)


def try_message(venv: Path, extra: str) -> str:
    """See the message without the extra, run its command, and see the code work."""
    python = venv / "bin" / "python"
    subprocess.run([python, "-c", BASELINE], cwd=venv, check=True)
    before = subprocess.run([python, "-c", USES[extra]], cwd=venv, capture_output=True, text=True)
    command = re.search(r"(?<=Run: )pip install .*", before.stderr)
    if before.returncode == 0 or not command:
        raise Failure(f"without the extra, it says: {before.stderr[-300:]!r}")

    path = f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(f"{command[0]} --quiet", shell=True, env=os.environ | {"PATH": path}, capture_output=True)
    if done.returncode:
        raise Failure(f"{command[0]}: {done.stderr.decode()[-300:]!r}")
    after = subprocess.run([python, "-c", USES[extra]], cwd=venv, capture_output=True, text=True)
    works = MLFLOW_HAS_LOOKED in after.stderr if extra == "mlflow" else after.returncode == 0
    if not works:
        raise Failure(f"after {command[0]}: {after.stderr[-300:]!r}")
    return command[0]


def quickstart(venv: Path, scratch: Path) -> str:
    """Run the quickstart with an environment; return its verdict on the bad rows."""
    shutil.rmtree(scratch / "examples" / "quickstart" / "run", ignore_errors=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [venv / "bin" / "python", scratch / "examples" / "quickstart" / "run.py"],
        env=os.environ | {"BOXKITE_QUICKSTART_VENV": str(venv), "PORT": str(port)},
        capture_output=True,
        text=True,
    )
    moved = re.findall(r"(\d+) of \d+ variables moved", done.stdout)
    if done.returncode or len(moved) != 2 or int(moved[0]) >= int(moved[1]):
        raise Failure(f"the quickstart: {done.stdout[-300:]!r} {done.stderr[-300:]!r}")
    return f"{moved[0]}, then {moved[1]} moved"


# --- Commands -------------------------------------------------------------------------------------------------------


def install(venv: Path, *requirements: str) -> None:
    """Install requirements into an environment."""
    uv("pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), *requirements)


def uv(*arguments: str, **environment: str) -> None:
    """Run uv of the tests' environment, or of the path."""
    own = VENV / "bin" / "uv"
    run(str(own) if own.exists() else "uv", *arguments, env=os.environ | environment)


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output; raise with the end of its errors if it fails."""
    environment = dict(env or os.environ)
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(command[:3])}: {done.stderr[-300:]!r}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
