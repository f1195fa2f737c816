"""The package as a whole: imports and their direction, public names, and examples in docstrings."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import get_origin

import pytest

import flask_boxkite

PACKAGE = Path(flask_boxkite.__file__).parent
ROOT = Path(__file__).parent.parent

MODULES = sorted(module.name for module in pkgutil.walk_packages([str(PACKAGE)], "flask_boxkite."))

# Imports point one way: a module may import modules of its own level and of the levels before it.
LEVELS = (
    ("compiled", "system", "errors", "extras", "naming", "quoting", "suggestion", "text_table", "values"),
    ("policies",),
    ("config", "derived", "promtext", "spool"),
    ("baseline",),
    ("live", "payloads"),
    ("drift", "outcomes", "sinks"),
    ("delivery", "fairness", "performance", "records", "provision"),
    ("notify",),
    ("exposition", "history"),
    ("monitoring",),
    ("page",),
    ("service",),
    ("web",),
    ("__init__",),
    ("cli", "testing"),
    ("__main__",),
)
# Units of earlier levels that a unit may not import, nor any module that it imports.
STRANGERS = {"live": {"sinks", "spool"}}

WEB_LAYER = {"web", "cli"}
WEB_LIBRARIES = {"flask", "werkzeug", "click"}


def run(program: str) -> str:
    """Run a program in a fresh interpreter; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# --- Importing ------------------------------------------------------------------------------------------------------


def test_importing_does_nothing_but_import() -> None:
    """No thread, no child, no socket, nothing written, nothing printed."""
    program = """
import json, sys, threading
import numpy, flask, prometheus_client, logging.handlers  # which do what they like

events = []
watched = {
    "subprocess.Popen", "os.fork", "os.system", "os.mkdir", "os.remove", "os.rename",
    "os.putenv", "socket.__new__", "socket.connect", "socket.bind", "mmap.__new__", "signal.signal",
}


def watch(event, arguments):
    if event in watched:
        events.append([event, repr(arguments)])
    # Python itself reads sources, and reads and writes their compiled forms.
    elif event == "open" and not str(arguments[0]).endswith((".py", ".so")) and ".pyc" not in str(arguments[0]):
        events.append([event, repr(arguments)])


threading.Thread.start = lambda thread: events.append(["thread", thread.name])
sys.addaudithook(watch)
import flask_boxkite
print(json.dumps(events))
"""
    assert json.loads(run(program)) == []


@pytest.mark.parametrize(
    "library",
    [
        *("pandas", "narwhals", "polars", "pyarrow", "scipy", "sklearn", "fluent", "fsspec", "msgspec"),
        *(f"flask_boxkite.{unit}" for unit in ("baseline.training", "cli", "provision", "records")),
        *(
            f"flask_boxkite.{unit}"
            for unit in ("drift.report", "page.render", "monitoring.observation", "monitoring.judging", "web.pages")
        ),
        *(f"flask_boxkite.notify.{unit}" for unit in ("conditions", "watch", "webhook")),
    ],
)
def test_importing_loads_no_library_that_most_do_not_need(library: str) -> None:
    """Serving starts sooner and smaller without: frames are for training, the sink's libraries for those who use it."""
    assert library not in loaded_by_importing()


@cache
def loaded_by_importing() -> frozenset[str]:
    """Return the modules that are loaded with the package."""
    found = frozenset(run("import sys, flask_boxkite; print(*sys.modules)").split())
    assert "flask_boxkite" in found
    return found


def test_names_of_drift_load_at_their_first_use() -> None:
    """Users write `DriftReport` in the annotations of what they do with a report."""
    program = """
import sys
from collections.abc import Callable, Iterable
import flask_boxkite.drift as drift
print("flask_boxkite.drift.report" in sys.modules, hasattr(drift, "no_name"))
from flask_boxkite.drift import *
from flask_boxkite.drift import DriftReport, VariableDrift, drift_report, tables
print(DriftReport.__module__, VariableDrift.__module__, drift_report.__module__, tables.__name__)
"""
    names = [f"flask_boxkite.drift.{module}" for module in ("report", "variable", "report", "tables")]
    assert run(program).split() == ["False", "False", *names]


def test_serving_with_the_fluentd_sink_loads_its_library() -> None:
    program = """
import sys
from collections.abc import Callable, Iterable
from flask_boxkite import ModelMonitoringService
monitor = ModelMonitoringService(sink="fluentd", fluentd_addr="localhost")
print("fluent.sender" in sys.modules, "narwhals" in sys.modules, "pandas" in sys.modules)
"""
    assert run(program).split() == ["True", "False", "False"]


def test_the_version_is_that_of_the_distribution() -> None:
    assert flask_boxkite.__version__ == version("flask-boxkite")


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


# --- Which module knows which ---------------------------------------------------------------------------------------


@cache
def imports_of(path: Path) -> list[str]:
    """Return the full names that a module imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively."
            assert node.module is not None
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return names


@cache
def sources() -> list[Path]:
    """Return the package's files."""
    return sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """Return the module or subpackage right below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def units() -> set[str]:
    """Return all of them."""
    return {unit_of(path) for path in sources()}


def own_unit(name: str) -> str | None:
    """Return the same for a full name; None for another package's."""
    parts = name.split(".")
    if parts[0] != "flask_boxkite":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in units() else "__init__"


def found_in(paths: Iterable[Path], find: Callable[[Path], list[str]]) -> dict[str, list[str]]:
    """Return the faults by file; a test for each file would take more time than the reading."""
    found = {str(path): find(path) for path in paths}
    return {name: faults for name, faults in found.items() if faults}


def test_only_the_web_layer_knows_flask() -> None:
    """So the core works in any script, and under any other framework."""
    core = [path for path in sources() if unit_of(path) not in WEB_LAYER]
    assert len(core) > 300
    web = found_in(core, lambda path: [name for name in imports_of(path) if name.split(".")[0] in WEB_LIBRARIES])
    assert web == {}


def test_the_linter_holds_the_same_line() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (names,) = re.findall(r'"flask_boxkite/\{(.*)\}/\*\*" = \["TID251"\]', text)
    assert set(names.split(",")) == WEB_LAYER


def test_every_module_has_its_level() -> None:
    known = [unit for level in LEVELS for unit in level]
    assert sorted(known) == sorted(units()), "Give a new module or folder a level in LEVELS; remove one that is gone."


def test_imports_point_one_way() -> None:
    level_of = {unit: number for number, level in enumerate(LEVELS) for unit in level}

    def later(path: Path) -> list[str]:
        own = level_of[unit_of(path)]
        return [name for name in imports_of(path) if (unit := own_unit(name)) and level_of[unit] > own]

    assert found_in(sources(), later) == {}


def module_of(path: Path) -> str:
    """Return the full name of a module."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_of_modules() -> dict[str, set[str]]:
    """Return which of the package's modules each of them imports, wherever in it."""
    paths = {module_of(path): path for path in sources()}
    found: dict[str, set[str]] = {}
    for module, path in paths.items():
        # A name belongs to the module it is imported from, unless it is a module itself.
        names = {name if name in paths else name.rpartition(".")[0] for name in imports_of(path)}
        found[module] = names & paths.keys() - {module}
    return found


@cache
def imports_of_units() -> dict[str, set[str]]:
    """Return which of the package's folders and top modules each of them imports."""
    found: dict[str, set[str]] = {unit_of(path): set() for path in sources()}
    for path in sources():
        found[unit_of(path)] |= {unit for name in imports_of(path) if (unit := own_unit(name))} - {unit_of(path)}
    return found


def test_no_modules_import_each_other() -> None:
    """Neither two nor a circle of several, also within a package."""
    TopologicalSorter(imports_of_modules()).prepare()


def test_no_folders_import_each_other() -> None:
    """Not even folders of one level, by different modules."""
    TopologicalSorter(imports_of_units()).prepare()


@pytest.mark.parametrize("unit", STRANGERS)
def test_strangers_stay_strangers(unit: str) -> None:
    """The unit knows them neither itself nor by way of others."""
    imports = imports_of_units()
    known, waiting = set(), [unit]
    while waiting:
        new = imports[waiting.pop()] - known
        known |= new
        waiting += new
    assert known & STRANGERS[unit] == set()


def test_contributors_read_where_everything_is() -> None:
    """It names each folder, in the order of the levels, the last level first."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Where everything is\n")[2]
    cells = re.findall(r"^\| (`.*?) \|", text, re.M)
    rows = [re.findall(r"`(\w+)(?:/|\.py)`", cell) for cell in cells]
    level_of = {unit: number for number, level in enumerate(LEVELS) for unit in level}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert folders <= {unit for row in rows for unit in row}
    levels = [[level_of[unit] for unit in row] for row in rows]
    assert all(max(below) <= min(above) for above, below in pairwise(levels))


# --- Names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flask_boxkite", *MODULES])
def test_public_names_exist_and_are_explained(name: str) -> None:
    if name.startswith("flask_boxkite.provision.grafana") and sys.version_info < (3, 11):
        pytest.skip("Grafana's SDK needs Python 3.11.")
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is."
    public = getattr(module, "__all__", [])
    assert len(set(public)) == len(public)
    for word in public:
        value = getattr(module, word)
        # Python 3.10 takes an alias such as `list[int]` for a class.
        if (inspect.isclass(value) and get_origin(value) is None) or inspect.isfunction(value):
            assert explains_itself(value), f"{name}.{word} has no docstring."


@pytest.mark.parametrize("word", sorted(flask_boxkite.__all__))
def test_everything_that_users_call_is_explained(word: str) -> None:
    value = getattr(flask_boxkite, word)
    if not inspect.isclass(value):
        assert explains_itself(value)
        return
    for name, member in vars(value).items():
        if not name.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, (classmethod, staticmethod, property))
        ):
            assert inspect.getdoc(getattr(value, name)), f"{word}.{name} has no docstring."


def explains_itself(value: object) -> bool:
    """Say whether there is a docstring; the signature that dataclasses put there is none."""
    text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return bool(text) and not text.startswith(f"{value.__name__}(")  # type: ignore[attr-defined]


# --- Tests ----------------------------------------------------------------------------------------------------------

_patched = re.compile(
    r"(?:setattr|patch\.object)\(\s*[^\s,]+,\s*"
    r'"(_?[A-Z][A-Z0-9_]*|\w*clock|time|time_ns|monotonic|perf_counter|sleep|uptime|random|urandom|uuid4|boot_id)"'
)


def test_no_test_patches_a_constant_a_clock_or_chance() -> None:
    """They are arguments, so that a test shows what it depends on; faults are injected into functions."""
    tests = {*(ROOT / "tests").rglob("*.py")} - {Path(__file__)}
    assert found_in(sorted(tests), lambda path: _patched.findall(path.read_text(encoding="utf-8"))) == {}


def test_patches_are_seen() -> None:
    text = 'patch.setattr(time, "monotonic", x)\npatch.object(\n    module, "SMALL", 2\n)\npatch.setattr(os, "open", x)'
    assert _patched.findall(text) == ["monotonic", "SMALL"]


# --- Examples -------------------------------------------------------------------------------------------------------

WITH_EXAMPLES = [module_of(path) for path in sources() if ">>>" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_are_right(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))

    assert result.failed == 0
    assert result.attempted > 0
