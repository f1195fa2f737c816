"""The baseline file: Prometheus text, readable in an editor, diffable, servable as it is. Never pickle, never eval.

Lines that we write ourselves are matched by one regular expression, 30 times faster than a general parser; any other
line goes to `prometheus_client`'s parser, alone, so that an error always names its line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from secrets import token_hex
from typing import NoReturn

from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite.baseline import legacy
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.baseline.model import Baseline
from flask_boxkite.errors import BaselineError
from flask_boxkite.families import Family, label_text, running_sum, variable_families
from flask_boxkite.naming import BELOW, RARE, SPECIAL_GROUPS, UNSEEN, parse_interval, parse_number

__all__ = ["BASELINE_INFO", "FEATURE_INFO", "Sample", "dump", "info_lines", "load", "parse_sample", "render"]

MAX_BYTES = 256 * 1024 * 1024
"""Files beyond this are refused unread; 10,000 features take about 100 MB."""

BASELINE_INFO = Family("boxkite_baseline_info", "gauge", "Training rows of each baseline in use.")
FEATURE_INFO = Family("boxkite_feature_info", "gauge", "Position and kind of each feature.")
OUTPUT_INFO = Family("boxkite_inference_info", "gauge", "Position and kind of each output.")

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(,|$)')
_ESCAPE = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


@dataclass(frozen=True)
class Sample:
    """One line of a file."""

    name: str
    labels: dict[str, str]
    value: float
    line: int


@dataclass
class _Variable:
    """What the file says of one feature or output, before it is checked."""

    name: str
    position: int
    kind: str
    line: int
    buckets: list[Sample] = field(default_factory=list)
    categories: list[Sample] = field(default_factory=list)
    groups: list[Sample] = field(default_factory=list)


# --- writing ---------------------------------------------------------------------------------------------------------


def dump(baseline: Baseline, path: Path, *, names: str) -> None:
    """Write *baseline* under a temporary name and rename it, so that no reader sees half a file.

    Raises:
        BaselineError: The names are unknown, or the file cannot be written.
    """
    if names not in ("labels", "boxkite"):
        msg = f"'names' must be 'labels' or 'boxkite', got {names!r}."
        raise BaselineError(msg)
    text = render(baseline) if names == "labels" else legacy.render_file(baseline)
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with open(temporary, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        msg = f"Baseline file '{path}' cannot be written: {error.strerror}. Is its folder there and writable?"
        raise BaselineError(msg, path=str(path)) from error


def render(baseline: Baseline) -> str:
    """Return the text of the file."""
    labels = label_text(model=baseline.model, baseline=baseline.fingerprint)
    parts = list(info_lines(baseline, labels))
    offset = 0
    running = running_sum([cell for variable in baseline.features + baseline.outputs for cell in variable.cells])
    for side, variables in (("feature", baseline.features), ("inference", baseline.outputs)):
        for family, block in variable_families(
            side, variables, offset, labels, baseline=True, bins=True, openmetrics=False
        ):
            parts.append((family, block.render(running)))
        offset += sum(len(variable.cells) for variable in variables)
    return "".join(family.header(openmetrics=False) + lines for family, lines in parts if lines)


def info_lines(baseline: Baseline, labels: str) -> Iterator[tuple[Family, str]]:
    """Yield the families that describe a baseline, with their lines."""
    created = datetime.fromtimestamp(baseline.created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = label_text(version=baseline.version or "", created=created)
    yield BASELINE_INFO, f"{BASELINE_INFO.name}{{{labels},{about}}} {baseline.rows}\n"
    for family, thing, variables in (
        (FEATURE_INFO, "feature", baseline.features),
        (OUTPUT_INFO, "output", baseline.outputs),
    ):
        lines = [
            f"{family.name}{{{labels},{label_text(**{thing: item.name, 'position': str(index), 'kind': item.kind})}}} 1\n"
            for index, item in enumerate(variables)
        ]
        yield family, "".join(lines)


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads one file; knows its path, so that every error names it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.helps: dict[str, str] = {}

    def fail(self, fact: str, line: int | None = None) -> NoReturn:
        """Raise the error that names file and line."""
        where = f", line {line}" if line is not None else ""
        msg = f"Baseline file '{self.path}'{where}: {fact}"
        raise BaselineError(msg, path=str(self.path), line=line)

    def text(self) -> str:
        """Return the content, if it is text of bearable size."""
        try:
            size = self.path.stat().st_size
            if size > MAX_BYTES:
                self.fail(f"it has {size:,} bytes, more than the {MAX_BYTES:,} that a baseline may have.")
            data = self.path.read_bytes()
        except OSError as error:
            self.fail(f"it cannot be read: {error.strerror}. Write one with ModelMonitoringService.export_text().")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            self.fail(
                "it is not UTF-8 text. A baseline is a text file written by export_text().",
                data.count(b"\n", 0, error.start) + 1,
            )

    def samples(self) -> Iterator[Sample]:
        """Yield all samples in order; remember the HELP texts."""
        # Only "\n" ends a line here: str.splitlines() would also cut at characters that names may hold.
        for number, line in enumerate(self.text().split("\n"), 1):
            if line.startswith("# HELP "):
                name, _, text = line[7:].partition(" ")
                self.helps[name] = _unescape(text)
            elif line.strip() and not line.startswith("#"):
                yield self._sample(line.rstrip("\r"), number)

    def _sample(self, line: str, number: int) -> Sample:
        try:
            parsed = parse_sample(line)
        except ValueError:
            self.fail(f"its value is no number: {line[:120]!r}.", number)
        return Sample(*parsed, number) if parsed else self._foreign_sample(line, number)

    def _foreign_sample(self, line: str, number: int) -> Sample:
        try:
            (family,) = text_string_to_metric_families(line + "\n")
            (sample,) = family.samples
        except Exception as error:  # the parser raises ValueError, IndexError and KeyError alike
            msg = f"Baseline file '{self.path}', line {number}: it is not Prometheus text: {line[:120]!r}."
            raise BaselineError(msg, path=str(self.path), line=number) from error
        return Sample(sample.name, dict(sample.labels), float(sample.value), number)

    def count(self, sample: Sample) -> int:
        """Return the value of a sample that counts rows."""
        if not (sample.value >= 0 and sample.value == int(sample.value)):
            self.fail(f"a count must be a whole number >= 0, got {sample.value}.", sample.line)
        return int(sample.value)


def parse_sample(line: str) -> tuple[str, dict[str, str], float] | None:
    """Read a sample line of the form that we write ourselves: name, labels, value; None if it has another form.

    Raises:
        ValueError: The value is no number.
    """
    match = _SAMPLE.fullmatch(line)
    labels = _labels(match[2]) if match else None
    if match is None or labels is None:
        return None
    return match[1], labels, parse_number(match[3])


def _labels(text: str | None) -> dict[str, str] | None:
    """Read the text between braces; None if it is not just as we write it."""
    labels: dict[str, str] = {}
    position = 0
    for match in _LABEL.finditer(text or ""):
        if match.start() != position or match[1] in labels:
            return None
        labels[match[1]] = _unescape(match[2])
        position = match.end()
    return labels if position == len(text or "") else None


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: _UNESCAPED.get(match[1], match[0]), text) if "\\" in text else text


def load(path: Path) -> Baseline:
    """Read a baseline file.

    Raises:
        BaselineError: It is missing, unreadable or not a valid baseline; names file and line.
    """
    reader = _Reader(path)
    samples = list(reader.samples())
    if not samples:
        reader.fail("it is empty. Write one with ModelMonitoringService.export_text().")
    try:
        if legacy.is_legacy(samples):
            return legacy.read(samples, reader.helps, int(path.stat().st_mtime))
        return _assemble(reader, samples)
    except BaselineError as error:
        if error.path is not None:
            raise
        reader.fail(str(error), error.line)


def _assemble(reader: _Reader, samples: Sequence[Sample]) -> Baseline:
    about: Sample | None = None
    variables: dict[tuple[str, str], _Variable] = {}
    for sample in samples:
        if sample.name == BASELINE_INFO.name:
            if about is not None:
                reader.fail("a second baseline begins here. A file holds one.", sample.line)
            about = sample
        else:
            _sort_in(reader, sample, variables)
    if about is None:
        reader.fail(f"it has no '{BASELINE_INFO.name}', so it is no baseline. Write one with export_text().")
    sides = {
        side: tuple(
            _distribution(reader, variable)
            for variable in sorted(
                (item for (item_side, _), item in variables.items() if item_side == side),
                key=lambda item: item.position,
            )
        )
        for side in ("feature", "inference")
    }
    baseline = Baseline(
        sides["feature"],
        sides["inference"],
        reader.count(about),
        about.labels.get("model", "default"),
        about.labels.get("version") or None,
        _created(reader, about),
    )
    claimed = about.labels.get("baseline")
    if claimed != baseline.fingerprint:
        reader.fail(
            f"it claims to be baseline {claimed!r} but its content is {baseline.fingerprint!r}: it was cut or edited. "
            "Export it again.",
            about.line,
        )
    return baseline


def _created(reader: _Reader, about: Sample) -> int:
    text = about.labels.get("created", "")
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp())
    except ValueError:
        reader.fail(f"'created' must be a time such as '2026-01-31T12:00:00Z', got {text!r}.", about.line)


_VARIABLE_SAMPLE = re.compile(
    r"boxkite_(feature|inference)_(?:(info)|(value)_baseline_bucket|value_baseline_count|(category|group)_baseline_total)"
)


def _sort_in(reader: _Reader, sample: Sample, variables: dict[tuple[str, str], _Variable]) -> None:
    """Put a sample to its variable; ignore samples of other families."""
    match = _VARIABLE_SAMPLE.fullmatch(sample.name)
    if match is None:
        return
    side = match[1]
    name = sample.labels.get("feature" if side == "feature" else "output")
    if name is None:
        reader.fail(f"'{sample.name}' does not say of which variable it is.", sample.line)
    if match[2]:
        _declare(reader, sample, side, name, variables)
        return
    variable = variables.get((side, name))
    if variable is None:
        reader.fail(f"'{sample.name}' is of {name!r}, which no '_info' line before it declares.", sample.line)
    if match[3]:
        variable.buckets.append(sample)
    elif match[4]:
        (variable.categories if match[4] == "category" else variable.groups).append(sample)


def _declare(
    reader: _Reader, sample: Sample, side: str, name: str, variables: dict[tuple[str, str], _Variable]
) -> None:
    kind, position = sample.labels.get("kind"), sample.labels.get("position", "")
    if (side, name) in variables:
        reader.fail(f"{name!r} is declared twice.", sample.line)
    if kind not in (Continuous.kind, Discrete.kind) or not position.isdecimal():
        reader.fail(f"{name!r} needs a position and a kind, 'continuous' or 'discrete'.", sample.line)
    variables[side, name] = _Variable(name, int(position), kind, sample.line)


def _distribution(reader: _Reader, variable: _Variable) -> Distribution:
    groups = _unique(reader, variable.groups, "group")
    if not groups:
        reader.fail(f"{variable.name!r} has no groups.", variable.line)
    first = (variable.buckets or variable.categories or variable.groups)[0].line
    try:
        if variable.kind == Continuous.kind:
            distribution: Distribution = _continuous(reader, variable, groups)
        else:
            distribution = _discrete(reader, variable, groups)
    except BaselineError as error:
        if error.path is not None:
            raise
        reader.fail(str(error), first)
    _check_groups(reader, variable, distribution, groups)
    return distribution


def _unique(reader: _Reader, samples: Sequence[Sample], label: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for sample in samples:
        name = sample.labels.get(label)
        if name is None or name in found:
            reader.fail(f"{label} {name!r} is missing or there twice.", sample.line)
        found[name] = reader.count(sample)
    return found


def _continuous(reader: _Reader, variable: _Variable, groups: dict[str, int]) -> Continuous:
    bounds: list[float] = []
    counts: list[int] = []
    for sample in variable.buckets:
        try:
            bound = parse_number(sample.labels.get("le", ""))
        except ValueError:
            reader.fail(f"'le' must be a number, got {sample.labels.get('le')!r}.", sample.line)
        if not bound > (bounds[-1] if bounds else float("-inf")):
            reader.fail(f"the bounds of {variable.name!r} must increase strictly, got {bound!r}.", sample.line)
        count = reader.count(sample) - sum(counts)
        if count < 0:
            reader.fail(f"the buckets of {variable.name!r} must not decrease.", sample.line)
        bounds.append(bound)
        counts.append(count)
    if not bounds or bounds[-1] != float("inf"):
        reader.fail(f"{variable.name!r} has no bucket '+Inf'; is the file cut?", variable.line)
    return Continuous(
        variable.name,
        tuple(bounds[:-1]),
        tuple(counts),
        _group_bounds(reader, variable, groups),
        groups.get("__missing__", 0),
        groups.get("__invalid__", 0),
    )


def _group_bounds(reader: _Reader, variable: _Variable, groups: dict[str, int]) -> tuple[float, ...]:
    ends: set[float] = set()
    for sample in variable.groups:
        name = sample.labels["group"]
        if name in SPECIAL_GROUPS:
            continue
        try:
            ends.update(parse_interval(name))
        except ValueError:
            reader.fail(f"group {name!r} of {variable.name!r} is not an interval '(lower,upper]'.", sample.line)
    if BELOW not in groups:
        ends.add(float("-inf"))
    return tuple(sorted(ends))


def _discrete(reader: _Reader, variable: _Variable, groups: dict[str, int]) -> Discrete:
    counts = _unique(reader, variable.categories, "category")
    rare, unseen = counts.pop(RARE, 0), counts.pop(UNSEEN, 0)
    others = {name.strip("_"): groups.get(name, 0) for name in ("__missing__", "__invalid__")}
    return Discrete(variable.name, tuple(counts), tuple(counts.values()), rare, unseen, **others)


def _check_groups(reader: _Reader, variable: _Variable, distribution: Distribution, groups: dict[str, int]) -> None:
    """Compare the groups in the file with the sums of its bins."""
    cells = distribution.cells
    expected = {group.name: sum(cells[group.start : group.stop]) for group in distribution.groups}
    if expected != groups:
        differing = sorted(set(expected.items()) ^ set(groups.items()))
        reader.fail(
            f"the groups of {variable.name!r} do not add up from its bins: {differing[0][0]!r} differs.",
            variable.groups[0].line,
        )
