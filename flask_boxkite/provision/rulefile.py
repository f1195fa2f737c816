"""A Prometheus rule file: groups of rules as values, and as YAML that people read and compare.

The module writes YAML itself: expressions become literal blocks, long texts keep their line breaks, and each group
explains itself in a comment, which a library would drop. It supports only the YAML that the rules need. A text that
YAML could misread is quoted as JSON, which is valid YAML.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flask_boxkite.provision.kubernetes import ObjectMeta

__all__ = ["Alert", "Group", "Recording", "file_text", "manifest_text", "scalar"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z_:]*(?:-[A-Za-z_]+)*|[0-9]+(?:ms|[smhdwy])")
# Characters that JSON leaves as they are, but YAML refuses or reads as line breaks.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_TEXTS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


@dataclass(frozen=True)
class Recording:
    """A rule that records *expr* as the series *name*."""

    name: str
    expr: str
    labels: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield its YAML."""
        yield f"- record: {self.name}"
        yield from _literal("expr", self.expr)
        yield from _mapping("labels", self.labels)


@dataclass(frozen=True)
class Alert:
    """A rule that alerts.

    Attributes:
        name: Name of the alert.
        expr: PromQL expression; each of its samples is an alert.
        hold: Duration for which the sample must exist.
        labels: Labels added to the labels of the expression.
        summary: Template of one line.
        description: Template of a few sentences; its line breaks become blanks.
    """

    name: str
    expr: str
    hold: str
    labels: dict[str, str]
    summary: str
    description: str

    def lines(self) -> Iterator[str]:
        """Yield its YAML."""
        yield f"- alert: {self.name}"
        yield from _literal("expr", self.expr)
        yield f"  for: {scalar(self.hold)}"
        yield from _mapping("labels", self.labels)
        yield "  annotations:"
        yield f"    summary: {scalar(self.summary)}"
        yield "    description: >-"
        yield from textwrap.indent(self.description, " " * 6).splitlines()


@dataclass(frozen=True)
class Group:
    """Rules that Prometheus evaluates together, one after the other."""

    name: str
    comment: str
    interval: str
    rules: Sequence[Recording | Alert]

    def lines(self) -> Iterator[str]:
        """Yield its YAML."""
        yield from _comment(self.comment)
        yield f"- name: {self.name}"
        yield f"  interval: {self.interval}"
        yield "  rules:"
        for number, rule in enumerate(self.rules):
            if number:
                yield ""
            yield from _indented(rule.lines())


def file_text(header: str, groups: Sequence[Group]) -> str:
    """Return the file: *header* as a comment, then the groups."""
    return "\n".join([*_comment(header), "", *_groups(groups)]) + "\n"


def manifest_text(header: str, groups: Sequence[Group], meta: ObjectMeta) -> str:
    """Return the same as a PrometheusRule for the Prometheus operator.

    Args:
        header: Comment at the beginning.
        groups: The groups.
        meta: Name and labels of the object.
    """
    manifest = [
        *_comment(header),
        "",
        "apiVersion: monitoring.coreos.com/v1",
        "kind: PrometheusRule",
        "metadata:",
        f"  name: {scalar(meta.name)}",
        *_mapping("labels", meta.labels),
        "spec:",
        *_indented(_groups(groups)),
    ]

    return "\n".join(manifest) + "\n"


def _groups(groups: Sequence[Group]) -> Iterator[str]:
    yield "groups:"
    for number, group in enumerate(groups):
        yield from [""] * (number > 0)
        yield from _indented(group.lines())


def _indented(lines: Iterable[str]) -> Iterator[str]:
    yield from (f"  {line}" if line else "" for line in lines)


def scalar(text: str) -> str:
    """Write a text on one line, in quotes where YAML could misread it."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXTS:
        return text
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _literal(key: str, text: str) -> Iterator[str]:
    yield f"  {key}: |-"
    yield from textwrap.indent(text, " " * 4).splitlines()


def _mapping(key: str, items: Mapping[str, str]) -> Iterator[str]:
    if items:
        yield f"  {key}:"
        yield from (f"    {name}: {scalar(value)}" for name, value in items.items())


def _comment(text: str) -> Iterator[str]:
    yield from (f"# {line}".rstrip() for line in text.split("\n"))
