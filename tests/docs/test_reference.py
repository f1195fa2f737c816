"""The reference pages name all that the code has, and nothing else."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
import yaml
from flask import Flask, request
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Boxkite, ModelMonitoringService, naming
from flask_boxkite.cli import boxkite
from flask_boxkite.config import DEFAULT_BASELINE_PATH, Settings
from flask_boxkite.derived import Row
from flask_boxkite.monitoring.findings import bytes_text
from flask_boxkite.performance.verdict import MARKS
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.provision.alerts import CAPTURE_ERROR_SHARE
from flask_boxkite.provision.performance import LEAST_ROWS, METRICS, Z_LIMIT
from flask_boxkite.records.folders import DATE
from flask_boxkite.records.parquet.layout import Layout
from flask_boxkite.testing import RecordingSink
from flask_boxkite.web.access import DEFAULT_PATH
from tests.benchmarks.__main__ import COMPARISONS

DOCS = Path(__file__).parent.parent.parent / "docs"
REFERENCE = DOCS / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of a page's tables, without their heads."""
    for line in re.findall(r"^\| ([`\[].*) \|$", text, re.M):
        yield line.split(" | ")


def codes(cell: str) -> list[str]:
    """Return the texts in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def section(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next of its level or above."""
    level = heading.partition(" ")[0]
    return re.split(rf"^#{{1,{len(level)}}} ", text.partition(f"\n{heading}\n")[2], flags=re.M)[0]


# --- Generated parts ------------------------------------------------------------------------------------------------


def generated() -> ModuleType:
    """Return the module beside the pages that writes their generated parts."""
    spec = importlib.util.spec_from_file_location("generated", DOCS / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "parts"), [("settings", 8), ("commands", 15), ("api", 16)])
def test_the_generated_parts_are_as_the_code_has_them(name: str, parts: int) -> None:
    """Run ``python docs/generated.py`` after a change of settings, commands or public names."""
    text = page(name)
    assert generated().renewed(text) == text
    assert text.count("<!-- generated: ") == text.count("<!-- end of generated -->") == parts


def test_the_api_page_has_a_table_for_each_module() -> None:
    assert tuple(re.findall(r"^<!-- generated: names (.*) -->$", page("api"), re.M)) == PUBLIC


# --- API ------------------------------------------------------------------------------------------------------------

PUBLIC = (
    "flask_boxkite",
    "flask_boxkite.derived",
    *(f"flask_boxkite.drift{module}" for module in ("", ".statistics", ".distances")),
    *(f"flask_boxkite.history.{module}" for module in ("report", "filling")),
    *(f"flask_boxkite.performance.{module}" for module in ("report", "challenge")),
    *(f"flask_boxkite.fairness.{module}" for module in ("counts", "coverage", "report", "verdict")),
    *(f"flask_boxkite.{module}" for module in ("notify", "records", "testing")),
)
"""Public modules, in the order of the page."""


def test_the_api_has_all_public_names() -> None:
    """All of a module, or each name of it."""
    entries = re.findall(r"^\.\. (auto\w+):: (.*)$", page("api"), re.M)
    whole = {name for kind, name in entries if kind == "automodule"}
    names = [f"{module}.{name}" for module in PUBLIC if module not in whole for name in public_names(module)]

    assert whole < set(PUBLIC)
    assert sorted(name for kind, name in entries if kind != "automodule") == sorted(names)


def public_names(module: str) -> list[str]:
    return importlib.import_module(module).__all__  # type: ignore[no-any-return]


def test_the_api_shows_the_members_of_classes() -> None:
    without = re.findall(r"^\.\. autoclass:: (.*)\n(?!   :members:)", page("api"), re.M)
    assert without == []


def test_the_api_has_the_modules_as_headings() -> None:
    assert tuple(re.findall(r"^## (.*)$", page("api"), re.M)) == PUBLIC


# --- Settings -------------------------------------------------------------------------------------------------------

FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
ENTRY = re.compile(r"^    (\w+): ``(BOXKITE_\w+)``(?: \((.*?)\))?: \S", re.M)

SHOWN = {
    "baseline": f"``{DEFAULT_BASELINE_PATH}``",
    "sink": "``auto``",
    "fluentd_addr": "env ``BEDROCK_FLUENTD_ADDR``",
    "fluentd_prefix": "env ``BEDROCK_FLUENTD_PREFIX``, ``models.predictions``",
    "name": "the app's",
    "endpoint_id": "env ``BEDROCK_ENDPOINT_ID``, ``unknown-endpoint``",
    "server_id": "env ``BEDROCK_SERVER_ID``, ``unknown-server``",
    "pod_name": "env ``BEDROCK_POD_NAME``, the host name",
    "redact": "none",
    "variables": "none",
    "state_dir": "automatic",
    "dashboard_path": f"``{DEFAULT_PATH}`` in debug mode, else none",
    "id_key": "random",
    "webhook_format": "by its host",
}
"""Defaults that are more than a value of the class."""


def shown_default(name: str) -> str:
    """Return the default as the docstring of the settings shows it."""
    default = FIELDS[name].default
    if name in SHOWN:
        return SHOWN[name]
    if isinstance(default, bool):
        return str(default).lower()
    if name.endswith("_bytes"):
        return bytes_text(default)
    return f"``{default}``" if isinstance(default, str) else f"{default}".replace("1e-05", "1e-5").removesuffix(".0")


def test_the_settings_are_all_there_once() -> None:
    parts = re.findall(r"^<!-- generated: settings (.*) -->$", page("settings"), re.M)
    assert sorted(" ".join(parts).split()) == sorted(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_is_explained_with_its_key_and_default(name: str) -> None:
    """The page is made from these entries."""
    entries = {entry[0]: entry[1:] for entry in ENTRY.findall(inspect.cleandoc(str(Settings.__doc__)))}

    key, default = entries[name]
    assert key == f"BOXKITE_{name.upper()}"
    assert default.removesuffix(".0") == shown_default(name)


# --- Metrics --------------------------------------------------------------------------------------------------------

OWN_LABELS = {"model", "baseline"}
KINDS = {"binary": ([0, 1], 0.5), "classes": (["x", "y", "z"], "x"), "regression": (None, 1.5)}


class Metric(NamedTuple):
    """A family of metrics.

    Attributes:
        type: Type of it.
        labels: Labels of its samples, without the labels of all.
    """

    type: str
    labels: frozenset[str]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Return the baseline file and the metrics of a model of each kind, after a prediction and its outcome."""
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, 300)
    features = {"age": age, "country": np.where(age + rng.normal(0, 5, 300) > 40, "AT", "CH")}  # which are a pair
    texts = []
    for kind, (labels, output) in KINDS.items():
        path = tmp_path_factory.mktemp(kind) / "baseline.prom"
        actual = rng.normal(0, 1, 300) if labels is None else rng.choice(labels, 300)
        inference = rng.random(300) if kind != "classes" else rng.choice(labels or [], 300)
        options: dict[str, Any] = {"weights": {"age": 2, "output": 2}, "drift_sizes": {"age": 0.2, "output": 0.2}}
        options |= {"actual": actual, "derive": {"row": Row()}, "segments": ["country"], "progress": False}
        ModelMonitoringService.export_text(features, inference, path, **options)
        service = ModelMonitoringService(path, sink=RecordingSink(), notify=print)
        prediction = service.log_prediction(None, {"age": 41, "country": "AT"}, output)
        service.log_outcome(prediction, actual[0].item())
        texts.append((path.read_text(encoding="utf-8"), service.export_http()[0].decode()))
        service.close()
    return texts


def families(texts: list[str]) -> dict[str, Metric]:
    """Return our families by the names of their samples."""
    found: dict[str, Metric] = {}
    for family in (family for text in texts for family in text_string_to_metric_families(text)):
        if family.name.startswith("boxkite_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - OWN_LABELS
            before = found.get(name, Metric(family.type, frozenset()))
            found[name] = Metric(family.type, before.labels | labels)
    return found


def documented(text: str) -> dict[str, Metric]:
    """Return the families in the tables of a page."""
    found = {}
    for names, *cells in rows(text):
        for name in codes(names):
            if name.startswith("boxkite_"):
                other = {"feature", "output"} - {"feature" if "_feature_" in name else "output"}
                labels = set(codes(cells[1])) - (other if len(codes(names)) > 1 else set())
                found[name] = Metric(cells[0], frozenset(labels))
    return found


def test_the_metrics_are_all_there_with_type_and_labels(services: list[tuple[str, str]]) -> None:
    text, _, of_files = page("metrics").partition("\n## Only in baseline files\n")
    served = families([metrics for _, metrics in services])
    stored = families([file for file, _ in services])

    assert documented(text) == served
    # The effects of features need more rows than a quick test has.
    only = {name: metric for name, metric in documented(of_files).items() if name != "boxkite_validation_effect"}
    assert only == {name: metric for name, metric in stored.items() if name not in served}


def test_series_without_a_model_are_named(services: list[tuple[str, str]]) -> None:
    """The page says that series of sinks and files have neither `model` nor `baseline`; all others have."""
    without = {
        family.name
        for _, metrics in services
        for family in text_string_to_metric_families(metrics)
        if family.name.startswith("boxkite_")
        and any(not sample.labels.keys() >= OWN_LABELS for sample in family.samples)
    }
    assert {name for name in without if not name.startswith("boxkite_log_")} == {
        "boxkite_notifications",
        "boxkite_notifications_dropped",
        "boxkite_notifications_failed",
        "boxkite_state_files",
    }


LABEL_VALUES: dict[str, tuple[str, ...]] = {
    "`status`": naming.STATUSES,
    "`reason` of capture errors": naming.CAPTURE_REASONS,
    "`reason` of dropped records": naming.DROP_REASONS,
    "`reason` of rejected outcomes": naming.REJECTIONS,
    "`state` of features": naming.FAILED_STATES,
    "`state` of files": naming.STATE_FILES,
    "`channel`": naming.CHANNELS,
    "`metric`": tuple(METRICS),
    "`derived`": ("text", "vector", "row", "function", "observed"),
}


@pytest.mark.parametrize("label", LABEL_VALUES)
def test_the_values_of_a_label_are_all_there(label: str) -> None:
    values = dict(cells[:2] for cells in rows(section(page("metrics"), "## Values of labels")))
    assert sorted(codes(values[label])) == sorted(LABEL_VALUES[label])


def test_the_values_of_other_labels_are_served(services: list[tuple[str, str]]) -> None:
    values = dict(cells[:2] for cells in rows(section(page("metrics"), "## Values of labels")))
    served: dict[str, set[str]] = {}
    for family in (family for _, metrics in services for family in text_string_to_metric_families(metrics)):
        for label, value in ((*pair,) for sample in family.samples for pair in sample.labels.items()):
            served.setdefault(label, set()).add(value)

    for label in ("window", "sign", "result", "loss", "outcome"):
        cell = values["`outcome` of records" if label == "outcome" else f"`{label}`"]
        assert set(codes(cell)) == served[label], label
    assert set(codes(values["`group`"])) >= naming.SPECIAL_GROUPS


# --- Alerts and rules -----------------------------------------------------------------------------------------------


@cache
def rules() -> list[Mapping[str, Any]]:
    return [rule for group in yaml.safe_load(rules_text(RuleOptions()))["groups"] for rule in group["rules"]]


def test_each_alert_has_a_row_and_a_section() -> None:
    alerts = sorted(rule["alert"] for rule in rules() if "alert" in rule)
    text = page("alerts")

    assert sorted(re.findall(r"^### (.*)$", text, re.M)) == alerts
    assert sorted(codes(cells[0])[0] for cells in rows(text) if cells[0].startswith("[")) == alerts


def test_alerts_wait_as_the_page_says() -> None:
    waits = {rule["alert"]: rule.get("for", "0s") for rule in rules() if "alert" in rule}
    assert {name: wait for name, wait in waits.items() if wait != RuleOptions().hold} == {
        "BoxkiteTwoBaselines": "1h",
        "BoxkiteRecordsDropped": "0s",
    }
    assert "for five minutes" in page("alerts")


def test_the_recording_rules_are_all_there() -> None:
    recorded = sorted({rule["record"] for rule in rules() if "record" in rule})
    text = section(page("alerts"), "## Recording rules")
    written = [name for cells in rows(text) for name in codes(cells[0])]

    sides = [f"boxkite:{side}:{name}" for name in written if ":" not in name for side in ("feature", "inference")]
    assert sorted([*sides, *(name for name in written if ":" in name)]) == recorded


def test_the_reasons_of_dropped_records_are_all_there() -> None:
    text = section(page("alerts"), "### BoxkiteRecordsDropped")
    assert [codes(cells[0])[0] for cells in rows(text)] == list(naming.DROP_REASONS)


@pytest.mark.parametrize(
    "sentence",
    [
        f"above {Z_LIMIT:g} it is more than chance",
        f"At least {LEAST_ROWS} outcomes came",
        f"mean absolute error is {MARKS['absolute error'][0].part:.0%} larger".replace("%", " %"),
        f"in more than {CAPTURE_ERROR_SHARE:.0%} of requests".replace("%", " %"),
        f"a size of at least {RuleOptions().minimum_size:g}",
    ],
)
def test_the_alerts_have_the_numbers_of_the_code(sentence: str) -> None:
    assert sentence in " ".join(page("alerts").split())


# --- Commands -------------------------------------------------------------------------------------------------------


def test_the_commands_are_all_there() -> None:
    """The page makes each entry, with its options, from the command itself."""
    text = page("commands")
    commands = re.findall(r"^<!-- generated: command (.*) -->$", text, re.M)

    assert sorted(commands) == sorted(boxkite.commands)
    assert re.findall(r"^## (.*)$", text, re.M) == commands


def test_the_exit_codes_are_all_there() -> None:
    written = re.findall(r"^\| (\d) \|", page("commands"), re.M)
    said = re.findall(r"^  (\d)  ", inspect.cleandoc(str(boxkite.help)), re.M)
    assert written == said == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", boxkite.commands)
def test_each_option_is_explained(name: str) -> None:
    options = [option for option in boxkite.commands[name].params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


# --- Records --------------------------------------------------------------------------------------------------------


def names_of(text: str) -> list[str]:
    """Return the names in the first column of a page's tables."""
    return sorted(name for cells in rows(text) for name in codes(cells[0]))


def test_the_fields_of_a_record_are_all_there() -> None:
    """Some stand in every record, others where there is something to say."""
    sink = RecordingSink()
    app = Flask("scoring")
    app.config.update(BOXKITE_SINK=sink, BOXKITE_MAX_BODY_BYTES=40, BOXKITE_METRICS_PATH=None)
    monitor = Boxkite(app)
    answers = iter([{"score": 0.7}, {"score": 0.7}, b"\xff", "x" * 20_000])

    @app.post("/score")
    @monitor.predict(key="order")
    def score() -> object:
        request.get_data()
        if request.get_json(silent=True) == {"age": 41, "order": "A-7"}:
            monitor.observe(tokens=12)
        return next(answers)

    client = app.test_client()
    client.post("/score", json={"age": 41})
    client.post("/score", json={"age": 41, "order": "A-7"})
    client.post("/score", data=b"\xff")
    client.post("/score", json={"comment": "longer than what is kept of it"})
    usual, *others = sink.wait_for(4)
    monitor.close()

    always, _, sometimes = page("record").partition("\nSome records have more:\n")
    assert sorted(usual) == names_of(always)
    assert sorted(set().union(*others) - usual.keys()) == names_of(sometimes)


# --- Benchmarks -----------------------------------------------------------------------------------------------------


def test_the_comparisons_are_all_there() -> None:
    text = section((DOCS / "performance.md").read_text(encoding="utf-8"), "## Measure it yourself")
    assert {name for cells in rows(text) for name in codes(cells[0])} - {"--only"} == COMPARISONS.keys()


# --- Other pages ----------------------------------------------------------------------------------------------------

PAGES = sorted([DOCS.parent / "README.md", *DOCS.rglob("*.md")])
ENVIRONMENT = {"BOXKITE_NATIVE"}
"""Variables of the environment that are no settings."""
BLUEPRINTS = {"boxkite_dashboard", "boxkite_outcomes"}
"""Names that look like metrics."""

NAMES = {
    "a setting": r"\bBOXKITE_[A-Z_]+[A-Z]\b(?!…)",
    "a metric": r"\bboxkite_[a-z_]+[a-z]\b(?![…:.*/(]|_…)",
    "a recorded series": r"\bboxkite:\w+:\w+",
    "an alert": r"\bBoxkite(?!Error|Middleware)[A-Z]\w+",
    "a command": r"\bflask boxkite ([a-z-]+[a-z])",
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_a_page_names_nothing_that_does_not_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    known = {
        "a setting": {f"BOXKITE_{name.upper()}" for name in FIELDS} | ENVIRONMENT,
        "a metric": documented(page("metrics")).keys() | BLUEPRINTS | {DATE, *Layout().schema.names},
        "a recorded series": {rule["record"] for rule in rules() if "record" in rule},
        "an alert": {rule["alert"] for rule in rules() if "alert" in rule},
        "a command": boxkite.commands.keys(),
    }
    found = {(kind, name) for kind, pattern in NAMES.items() for name in re.findall(pattern, text)}

    assert sorted((kind, name) for kind, name in found if name not in known[kind]) == []
