"""Install what the tests need and run them: ``python3 tests/run.py [options] [pytest arguments]``.

The tests run in several processes at once; `-n 0` runs them in one, as plain pytest does.

Needs nothing but Python 3.10 or newer. Everything goes into two git-ignored directories, `.venv` (uv, the project and
its test group) and `.peers` (the real programs that the project talks to), and is installed once: a second run starts
pytest at once. A peer that cannot be installed is named in one line; its tests then skip, or fail where CI=true.

Environment:
    BOXKITE_TEST_VENV: Where the virtual environment is, instead of `.venv`; `-wheel` or `-oldest` is appended with
        these options.
    BOXKITE_TEST_PEERS: Where the peers are, instead of `.peers`.
    CI: "true" makes tests whose peer is missing fail instead of skip.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("BOXKITE_TEST_VENV") or ROOT / ".venv").resolve()
WHEEL_VENV = VENV.with_name(f"{VENV.name}-wheel")
PEERS = Path(os.environ.get("BOXKITE_TEST_PEERS") or ROOT / ".peers").resolve()
UV = VENV / "bin" / "uv"

# Two more than processors, as tests wait for other programs half of their time. Each goes on where another has not
# begun, so that all end at once; arguments of the caller come later and win.
WORKERS = (os.cpu_count() or 1) + 2
IN_PARALLEL = ("--numprocesses=auto", "--dist=worksteal")

NPM_PACKAGES = {"@fluent-org/logger": "^1", "axe-core": "^4"}
# boxkite 0.0.5 wants NumPy 1, whose last wheels are for Python 3.12; MLServer has releases for no later one either.
OLD_PYTHON = ">=3.10,<3.13"
# No build from source: it takes minutes, and fails without a compiler.
BOXKITE = ("--only-binary=numpy", "--only-binary=msgpack", "boxkite==0.0.5", "numpy<2", "prometheus-client<0.12")
# Clients of inference servers, of one resolution. None needs a compiler; MLflow's is in the test group.
CLIENTS = ("--only-binary=:all:", "kserve>=0.15", "mlserver>=1.6", "tritonclient[http]>=2.50")
# Servers that are not in the test group: each may have no wheel for a new Python, and none is to hold up all others.
SERVERS = ("granian", "cheroot", "hypercorn", "uvicorn", "a2wsgi", "asgiref", "h2")
MOD_WSGI = ("apache2-bin", "libapache2-mod-wsgi-py3")
# The version stays while files change. One environment is enough: others of the checkout take what was compiled for it.
AGAIN = ("--reinstall-package", "flask-boxkite")
# What the tests read besides themselves; the package must come from the wheel.
COPIED_FOR_WHEEL = (
    *("tests", "examples", "docs"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "pyproject.toml"),
)


class InstallError(Exception):
    """Something cannot be installed; *output* is what the command that failed has written."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def main(arguments: list[str]) -> int:
    """Install, then run pytest with every argument that is not ours; return its exit code."""
    usage = "%(prog)s [--wheel | --oldest | --install-only] [pytest arguments]"
    parser = argparse.ArgumentParser(usage=usage, allow_abbrev=False)
    parser.add_argument("--wheel", action="store_true", help="test a built and installed wheel, not the checkout")
    parser.add_argument("--oldest", action="store_true", help="test with the oldest versions of all dependencies")
    parser.add_argument("--install-only", action="store_true", help="install everything, run nothing")
    options, pytest_arguments = parser.parse_known_args(arguments)

    os.environ["BOXKITE_TEST_PEERS"] = str(PEERS)
    os.environ.setdefault("PYTEST_XDIST_AUTO_NUM_WORKERS", str(WORKERS))
    # Tests start hundreds of Pythons, and each would compile the package again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        install_uv()
        if options.wheel:
            install_peers(make_environment(WHEEL_VENV))
            return run_wheel_tests(pytest_arguments)
        install_compiler()
        requirements = ("--editable", str(ROOT), "--group", group("tests"), *AGAIN)
        if options.oldest:
            python = fill(VENV.with_name(f"{VENV.name}-oldest"), *requirements, "--resolution=lowest-direct")
        else:
            python = fill(VENV, *requirements)
        install_peers(python)
    except InstallError as error:
        say(f"{error.output}Cannot install: {error}")
        return 1
    if options.install_only:
        return 0
    os.chdir(ROOT)
    os.execv(python, [str(python), "-m", "pytest", *IN_PARALLEL, *pytest_arguments])


# --- Environments ---------------------------------------------------------------------------------------------------


def install_uv() -> None:
    """Install uv into the tests' environment; it makes all others, and fills them in a fraction of pip's time."""
    if UV.is_file():
        return
    say(f"Creating {VENV}")
    if not (VENV / "bin" / "pip").is_file():  # none yet, or its making was interrupted
        create_venv()
    pip = (str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile")
    quietly(*pip, "--upgrade", "pip>=25.1", "uv>=0.9")
    (VENV / ".gitignore").write_text("*\n")


def create_venv() -> None:
    """Create the tests' environment; Debian's Python has no ensurepip until python3-venv is there."""
    try:
        quietly(sys.executable, "-m", "venv", "--clear", str(VENV))
    except InstallError:
        apt_get("install", "--yes", "--no-install-recommends", "python3-venv")
        quietly(sys.executable, "-m", "venv", "--clear", str(VENV))


def install_compiler() -> None:
    """Install a C compiler and Python's headers with apt where they are missing; the package can do without."""
    packages = [] if shutil.which("cc") else ["gcc", "libc6-dev"]
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        packages.append("python3-dev")
    if not packages:
        return
    say(f"Installing {' and '.join(packages)}")
    try:
        apt_get("install", "--yes", "--no-install-recommends", *packages)
    except InstallError as error:
        say(f"Without a compiler, whose tests {'fail' if in_ci() else 'skip'}: {error}")


def fill(directory: Path, *requirements: str, version: str = sys.executable) -> Path:
    """Install requirements into an environment, unless it was filled with them before; return its Python."""
    stamp = directory / f"{directory.name}.stamp"
    wanted = wanted_stamp(requirements)
    if not stamp.is_file() or stamp.read_text() != wanted:
        say(f"Filling {directory}")
        install(make_environment(directory, version), *requirements)
        stamp.write_text(wanted)
    return directory / "bin" / "python"


def wanted_stamp(requirements: Sequence[str]) -> str:
    """Return what the stamp of an environment holds that has these requirements, and the project compiled as it is."""
    files = ("pyproject.toml", "setup.py", "flask_boxkite/compiled/native.pyx")
    contents = [(ROOT / name).read_bytes() for name in files] if "--editable" in requirements else []
    return hashlib.sha256(b"".join([*map(str.encode, requirements), *contents])).hexdigest()


def make_environment(directory: Path, version: str = sys.executable) -> Path:
    """Create a virtual environment with pip, unless it exists, whatever its version; return its Python."""
    python = directory / "bin" / "python"
    if not python.exists():
        quietly(str(UV), "venv", "--quiet", "--seed", "--clear", "--python", version, str(directory))
    return python


def install(python: Path, *arguments: str) -> None:
    """Install packages into the environment of *python*."""
    quietly(str(UV), "pip", "install", "--quiet", "--python", str(python), *arguments)


def group(name: str) -> str:
    """Return a dependency group as installers name it."""
    return f"{ROOT / 'pyproject.toml'}:{name}"


# --- The wheel ------------------------------------------------------------------------------------------------------


def run_wheel_tests(pytest_arguments: list[str]) -> int:
    """Build the wheel, install it in an environment of its own and run a copy of the tests far from the checkout.

    A checkout on the import path would hide a file that is missing from the wheel.
    """
    python = make_environment(WHEEL_VENV)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix="boxkite-wheel-") as scratch:
        wheel = build_wheel(python, Path(scratch))
        say("Installing the wheel and the test group")
        install(python, str(wheel), "--group", group("tests"), *AGAIN)
        copy = copy_tests(Path(scratch) / "copy")
        check_installed(python, copy, environment)
        command = [python, "-m", "pytest", *IN_PARALLEL, *pytest_arguments]
        return subprocess.run(command, cwd=copy, env=environment).returncode


def build_wheel(python: Path, scratch: Path) -> Path:
    """Build the wheel of the checkout into *scratch*; return its path."""
    say("Building the wheel")
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # files that are gone from the package would still be in it
    os.environ.setdefault("CFLAGS", "-O0")  # four times as fast to compile; what is asked is whether it is all there
    quietly(str(UV), "build", "--wheel", "--python", str(python), "--out-dir", str(scratch), str(ROOT))
    (wheel,) = scratch.glob("*.whl")
    return wheel


def copy_tests(destination: Path) -> Path:
    """Copy what the tests are made of, without the package; return *destination*."""
    destination.mkdir()
    for name in COPIED_FOR_WHEEL:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, destination / name, ignore=shutil.ignore_patterns("__pycache__", "run", "_build"))
        elif source.is_file():
            shutil.copy2(source, destination / name)
    return destination


def check_installed(python: Path, directory: Path, environment: dict[str, str]) -> None:
    """Raise unless tests in *directory* import the package from the environment, and it says that it is typed."""
    code = "import flask_boxkite; print(flask_boxkite.__file__)"
    result = subprocess.run([python, "-c", code], cwd=directory, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise InstallError(f"the wheel cannot be imported: {last_line(result.stderr)}")
    package = Path(result.stdout.strip()).parent
    if not package.is_relative_to(python.parent.parent):
        raise InstallError(f"the tests import {package}, not the installed wheel.")
    if not (package / "py.typed").is_file():
        raise InstallError("the wheel has no flask_boxkite/py.typed.")


# --- The peers ------------------------------------------------------------------------------------------------------


def install_peers(tested: Path) -> None:
    """Install every peer that is not there yet; name those that cannot be, and go on.

    Args:
        tested: The Python that runs the tests.
    """
    PEERS.mkdir(parents=True, exist_ok=True)
    peers = {
        "Prometheus": lambda: install_unpacked("prometheus", "prometheus", "promtool"),
        "Alertmanager": install_alertmanager,
        "Node.js": install_node,
        "npm packages": install_npm_packages,
        "Chromium": install_chromium,
        "Java": install_java,
        "boxkite 0.0.5": partial(fill, PEERS / "boxkite", *BOXKITE, version=OLD_PYTHON),
        "clients of inference servers": partial(fill, PEERS / "clients", *CLIENTS, version=OLD_PYTHON),
        "pandas 2": install_pandas_2,
        "mod_wsgi": lambda: install_mod_wsgi(tested),
        **{name: partial(install_server, tested, name) for name in SERVERS},
        # In an environment of their own: some set bounds on packages that others need.
        "extensions of Flask": partial(
            fill, PEERS / "extensions", "--editable", str(ROOT), "--group", group("extensions")
        ),
    }
    for name, install_peer in peers.items():
        try:
            install_peer()
        except InstallError as error:
            say(f"Without {name}, whose tests {'fail' if in_ci() else 'skip'}: {error}")


def install_unpacked(package: str, *programs: str) -> None:
    """Unpack a package of Debian's into the peers directory, unless its programs are there.

    Installed the usual way it would start a server now and at every boot; the tests want only the programs, which
    need no other package than the C library.
    """
    unpacked = PEERS / package
    if all((unpacked / "usr/bin" / program).is_file() or shutil.which(program) for program in programs):
        return
    say(f"Installing {package}")
    with tempfile.TemporaryDirectory(prefix="boxkite-apt-") as scratch:
        apt_get("download", package, cwd=Path(scratch))
        (archive,) = Path(scratch).glob(f"{package}_*.deb")
        partial = PEERS / f"{package}.partial"
        quietly("dpkg-deb", "--extract", str(archive), str(partial))
    partial.rename(unpacked)


def install_alertmanager() -> None:
    """Unpack Debian's package, and put its templates where the program looks for them."""
    install_unpacked("prometheus-alertmanager", "prometheus-alertmanager")
    templates = Path("/usr/share/prometheus/alertmanager")
    unpacked = PEERS / "prometheus-alertmanager" / templates.relative_to("/")
    if templates.exists() or not unpacked.is_dir():
        return
    try:
        shutil.copytree(unpacked, templates)
    except OSError as error:
        raise InstallError(f"'{templates}' cannot be made: {error.strerror}.") from None


def install_node() -> None:
    """Install node and npm with apt, where they are missing."""
    packages = [package for program, package in (("node", "nodejs"), ("npm", "npm")) if not shutil.which(program)]
    if packages:
        say(f"Installing {' and '.join(packages)}")
        apt_get("install", "--yes", "--no-install-recommends", *packages)


def install_npm_packages() -> None:
    """Install a Forward-protocol server and a checker of accessibility."""
    missing = [name for name in NPM_PACKAGES if not (PEERS / "node_modules" / name / "package.json").is_file()]
    if not missing:
        return
    say(f"Installing npm packages {' and '.join(missing)}")
    wanted = [f"{name}@{NPM_PACKAGES[name]}" for name in missing]
    quietly("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(PEERS), *wanted)


def install_chromium() -> None:
    """Install the browser that shows the drift page, with apt, where there is none."""
    if not any(map(shutil.which, ("chromium", "google-chrome"))):
        say("Installing chromium")
        apt_get("install", "--yes", "--no-install-recommends", "chromium")


def install_java() -> None:
    """Install what PySpark runs in, with apt, where there is none."""
    if not shutil.which("java"):
        say("Installing Java")
        apt_get("install", "--yes", "--no-install-recommends", "default-jre-headless")


def install_server(tested: Path, name: str) -> None:
    """Install a server beside the tests' environment, with which it runs; note it where there is no wheel."""
    directory = servers_of(tested)
    if (directory / name).is_dir() or (directory / f"{name}.txt").is_file():
        return
    say(f"Installing {name}")
    try:
        install(tested, "--only-binary=:all:", "--target", str(directory), name)
    except InstallError as error:
        if "no usable wheels" not in error.output:
            raise
        note_absence(directory, name, f"{name} has no wheel for {directory.name.removeprefix('servers-')}.")


def install_mod_wsgi(tested: Path) -> None:
    """Install Apache's program and mod_wsgi with apt; the package holds it for the Python of the system only."""
    system = Path("/usr/bin/python3")
    if not system.exists() or cache_tag(system) != cache_tag(tested):
        note_absence(servers_of(tested), "mod_wsgi", f"The system's mod_wsgi is not for {cache_tag(tested)}.")
        return
    if any(Path("/usr/lib/apache2/modules").glob("mod_wsgi.so-*")):
        return
    say(f"Installing {' and '.join(MOD_WSGI)}")
    apt_get("install", "--yes", "--no-install-recommends", *MOD_WSGI)


def servers_of(tested: Path) -> Path:
    """Return where servers for a Python are installed."""
    return PEERS / f"servers-{cache_tag(tested)}"


@functools.cache
def cache_tag(python: Path) -> str:
    """Return what names the version of a Python, such as `cpython-312`."""
    command = [python, "-c", "import sys; print(sys.implementation.cache_tag)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def note_absence(directory: Path, name: str, reason: str) -> None:
    """Note why a server cannot be had, for the tests that skip without it."""
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.txt").write_text(f"{reason}\n")


def install_pandas_2() -> None:
    """Install pandas 2 and what the project needs into an environment of its own, beside the tests' pandas 3."""
    if sys.version_info >= (3, 11):  # pandas 3 needs it
        fill(PEERS / "pandas2", "--editable", str(ROOT), "pandas>=2.2.3,<3")


# --- Commands -------------------------------------------------------------------------------------------------------


def apt_get(*arguments: str, cwd: Path | None = None) -> None:
    """Run apt-get, once more with fresh package lists if it fails; raise where it cannot be used at all."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        packages = " and ".join(word for word in arguments[1:] if not word.startswith("-"))
        raise InstallError(f"install {packages} yourself; from here only root on Debian or Ubuntu can.")
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    try:
        quietly("apt-get", *arguments, cwd=cwd)
    except InstallError:
        quietly("apt-get", "update")
        quietly("apt-get", *arguments, cwd=cwd)


def quietly(*command: str, cwd: Path | None = None) -> None:
    """Run *command*; if it fails, raise with its output."""
    try:
        result = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise InstallError(f"there is no '{command[0]}'.") from None
    if result.returncode != 0:
        message = last_line(result.stderr) or f"'{' '.join(command)}' exited with {result.returncode}."
        raise InstallError(message, result.stdout + result.stderr)


def last_line(text: str) -> str:
    """Return the last line that is not blank."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def in_ci() -> bool:
    """Say whether a missing peer is a failure."""
    return os.environ.get("CI") == "true"


def say(text: str) -> None:
    """Print one line at once: pytest replaces this process, and what is buffered would be lost."""
    print(text, flush=True)


if __name__ == "__main__":
    if sys.version_info < (3, 10):  # noqa: UP036 - nothing has checked it yet on a fresh machine
        sys.exit(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}.")
    sys.exit(main(sys.argv[1:]))
