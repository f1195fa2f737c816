"""``promtool test rules`` with the metrics of real services: how rules are evaluated in a test, exactly.

A `Replica` is a service whose metrics were read before and after some predictions. Its series stand at the first value
until the end, where they take the second: so every window that reaches back to the start holds exactly what was
predicted, with nothing to extrapolate. All its rows come at once, which real dispersions would take into account; here
they are what the test says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.promtext.family import label_text
from tests.peers import require

Labels = dict[str, str]


@dataclass(frozen=True)
class Sample:
    """A sample of a replica: its value before and after."""

    name: str
    labels: Labels
    before: float
    after: float

    def is_of(self, variable: str) -> bool:
        """Say whether it is about a feature or output."""
        return variable in (self.labels.get("feature"), self.labels.get("output"))


class Replica:
    """One server of a model.

    Attributes:
        samples: Samples of its metrics.
        service: The server itself.

    Args:
        baseline: Its baseline.
        rows: The features of each prediction.
        outputs: Output of the model for each row.
        instance: Its address.
        labels: Labels that Prometheus adds to its series.
        actual: Values that came true for the rows, None where they are unknown; empty for no outcomes.
        dispersion: Value of its gauges of dispersion, for all variables and windows; None if it has none.
        settings: Settings of the service.
    """

    def __init__(
        self,
        baseline: Baseline,
        rows: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        *,
        instance: str = "a:80",
        actual: Sequence[Any] = (),
        labels: Mapping[str, str] | None = None,
        dispersion: float | None = 1.0,
        **settings: Any,
    ) -> None:
        service = ModelMonitoringService(baseline, sink="none", **settings)
        before = _samples(service)
        if len(rows):
            prediction = service.log_prediction(features=list(rows), output=list(outputs))
            for row, value in enumerate(actual):
                if value is not None:
                    assert service.log_outcome(f"{prediction}/{row}", value) != (value == [])
        self.service = service
        after = _samples(service)
        about = {"job": "app", "namespace": "prod", "instance": instance} | dict(labels or {})
        self.samples = [
            Sample(name, dict(own) | about, before[name, own], value)
            for (name, own), value in after.items()
            if not name.endswith("_dispersion")
        ] + [
            Sample(name, dict(own) | about, dispersion, dispersion)
            for name, own in after
            if name.endswith("_dispersion") and dispersion is not None
        ]

    def counts(self, family: str, variable: str, by: str = "group") -> dict[str, float]:
        """Return what was counted of one variable, by one label."""
        return {
            sample.labels[by]: sample.after - sample.before
            for sample in self.samples
            if sample.name == family and sample.is_of(variable)
        }

    def series(self, minutes: int) -> dict[str, str]:
        """Return its series as promtool's tests have them, one sample a minute, the last at *minutes*."""
        return {
            series(sample.name, **sample.labels): f"{sample.before!r}+0x{minutes - 1} {sample.after!r}"
            for sample in self.samples
        }


def _samples(service: ModelMonitoringService) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(service.export_http()[0].decode())
        for sample in family.samples
        if sample.name.startswith("boxkite_")
    }


def series(name: str, **labels: str) -> str:
    """Write a series."""
    return f"{name}{{{label_text(**labels)}}}"


def course(*steps: tuple[int, Replica], end: int) -> dict[str, str]:
    """Return the series of one server that gets the rows of each replica at a minute, up to the minute *end*."""
    growths = [
        (minute, {series(sample.name, **sample.labels): sample.after - sample.before for sample in replica.samples})
        for minute, replica in steps
    ]
    stops = [*(minute for minute, _ in steps[1:]), end + 1]
    found = {}
    for sample in steps[0][1].samples:
        name, value = series(sample.name, **sample.labels), sample.before
        values = [f"{value!r}+0x{steps[0][0] - 1}"]
        for (minute, growth), stop in zip(growths, stops, strict=True):
            value += growth[name]
            values.append(f"{value!r}+0x{stop - minute - 1}")
        found[name] = " ".join(values)
    return found


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool, which collects garbage only where it would take much memory: that was a quarter of its time."""
    environment = {**os.environ, "GOGC": "off", "GOMEMLIMIT": "500MiB"}
    return subprocess.run([require("promtool"), *words], env=environment, capture_output=True, text=True)


def check(path: Path) -> str:
    """Have promtool check a rule file; return what it says.

    Raises:
        AssertionError: It does not like it.
    """
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


EACH_MINUTE = ("5m", "1h", "4h")
"""Windows for rules that a test evaluates each minute: promtool evaluates all rules as often, so that the pieces from
which longer windows are added up would overlap."""


class Rules:
    """A rule file under test.

    Args:
        directory: For the files.
        text: The rules.
        every: Interval of their evaluations in tests.
    """

    def __init__(self, directory: Path, text: str, every: str = "1h") -> None:
        self._directory = directory
        self._every = every
        self._groups = re.findall(r"^  - name: (.*)$", text, re.M)
        (directory / "rules.yml").write_text(text, encoding="utf-8")

    def evaluate(
        self, replicas: Iterable[Replica | Mapping[str, str]], expressions: Sequence[str], *, minutes: int = 60
    ) -> list[list[tuple[Labels, float]]]:
        """Return the samples of each expression at *minutes*; replicas may also be series as promtool has them."""
        # promtool says what it got where that is not what was expected.
        impossible = [{"labels": "impossible", "value": -1}]
        tests = [
            {"expr": expression, "eval_time": f"{minutes}m", "exp_samples": impossible} for expression in expressions
        ]
        output = self._run(replicas, minutes, promql_expr_test=tests)
        found = re.findall(r"^ +got: (.*)$", output, re.M)
        assert len(found) == len(expressions), output
        return [_parsed(text) for text in found]

    def alerts(
        self, replicas: Iterable[Replica | Mapping[str, str]], name: str, *, minutes: int
    ) -> list[tuple[Labels, Labels]]:
        """Return the labels and annotations of the alerts of that name that fire at *minutes*."""
        return self.alerts_at(replicas, name, [minutes])[minutes]

    def alerts_at(
        self, replicas: Iterable[Replica | Mapping[str, str]], name: str, minutes: Sequence[int]
    ) -> dict[int, list[tuple[Labels, Labels]]]:
        """Return, for each of these minutes in ascending order, the alerts of that name that fire then."""
        impossible = [{"exp_labels": {"impossible": "yes"}, "exp_annotations": {}}]
        tests = [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": impossible} for minute in minutes]
        output = self._run(replicas, minutes[-1], alert_rule_test=tests)
        _, *found = output.split("got:[")
        assert len(found) == len(minutes), output
        return {minute: _alerts(got) for minute, got in zip(minutes, found, strict=True)}

    def firing(self, replicas: Iterable[Replica | Mapping[str, str]], *, minutes: int = 60) -> set[str]:
        """Return the names of all alerts that fire at *minutes*."""
        (found,) = self.evaluate(replicas, ['ALERTS{alertstate="firing"}'], minutes=minutes)
        return {labels["alertname"] for labels, _ in found}

    def _run(self, replicas: Iterable[Replica | Mapping[str, str]], minutes: int, **test: Any) -> str:
        given: dict[str, str] = {}
        for replica in replicas:
            given |= replica.series(minutes) if isinstance(replica, Replica) else replica
        inputs = [{"series": name, "values": values} for name, values in given.items()]
        document = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": self._every,
            # Else in any order, so that some would have to do with what others recorded an hour ago.
            "group_eval_order": self._groups,
            "tests": [{"interval": "1m", "input_series": inputs, **test}],
        }
        path = self._directory / "test.yml"
        path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        done = promtool("test", "rules", path)
        output = done.stdout + done.stderr
        assert "FAILED" in output, output
        return output


_LABEL = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')
_SAMPLE = re.compile(r'(\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}) (\S+?)(?:, |$)')


def _alerts(text: str) -> list[tuple[Labels, Labels]]:
    """Read what follows ``got:[``, until the next test."""
    got = text.partition("\n    alertname: ")[0]
    labels = [_labels(found) for found in re.findall(r"^\s*Labels:(\{.*\}),?$", got, re.M)]
    annotations = [_labels(found) for found in re.findall(r"^\s*Annotations:(\{.*\}),?$", got, re.M)]
    return list(zip(labels, annotations, strict=True))


def _labels(text: str) -> Labels:
    return {name: json.loads(value) for name, value in _LABEL.findall(text)}


def _parsed(text: str) -> list[tuple[Labels, float]]:
    """Read ``{a="b"} 1E+00, {…} …``."""
    return [(_labels(labels), float(value)) for labels, value in _SAMPLE.findall(text)]
