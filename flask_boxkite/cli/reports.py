"""Output and exit code for drift that a command has found."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.cli.group import output_option, write
from flask_boxkite.cli.listing import failed, listed, not_listed
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.drift.uncounted import too_many, uncounted
from flask_boxkite.drift.verdict import WORST_FIRST
from flask_boxkite.drift.wording import as_markdown, by_note, escaped, moved_count, moved_pairs
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.failed import Failures
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted

__all__ = ["ALPHA", "DRIFT_FOUND", "Findings", "Models", "finish", "report_options"]

DRIFT_FOUND = 3
"""Exit code if drift was found, or a model that is worse than validated."""

_FAILING = WORST_FIRST[: WORST_FIRST.index("shifted") + 1]
"""Verdicts that may cause it."""


class _Probability(click.FloatRange):
    """A number between 0 and 1; NaN is not one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


ALPHA = _Probability(0, 1, min_open=True, max_open=True)


class Findings(Protocol):
    """Drift that a command has found."""

    @property
    def verdicts(self) -> Sequence[tuple[str, str]]:
        """``variable`` or ``pair``, and the verdict, of each of all models or segments."""

    @property
    def uncounted(self) -> str:
        """The reason for which they cannot pass, though no verdict is bad: too little was counted; else empty."""

    def to_json(self) -> Any:
        """Return JSON values."""

    def to_markdown(self, *, shows_all: bool) -> str:
        """Return Markdown."""

    def show(self, output: Path | None, *, shows_all: bool) -> None:
        """Print a table, or write it to a file."""


@dataclass(frozen=True)
class Models:
    """Drift of whole models.

    Attributes:
        content: JSON of the drift page (`flask_boxkite.page.drift_content`): at least ``models``, each with ``model``,
            ``baseline``, ``version`` and ``drift``.
        when: End of the sentence "2 of 31 variables drifted …".
        html: Function that makes a page to be kept as one file.
    """

    content: Mapping[str, Any]
    when: str
    html: Callable[[], str]

    @classmethod
    def of_report(
        cls,
        report: DriftReport,
        baseline: Baseline,
        cells: NDArray[np.int64],
        *,
        source: str,
        when: str,
        failures: Failures | None = None,
    ) -> Models:
        """Return the findings of one report that was made here.

        Args:
            report: The report.
            baseline: Baseline of the comparison.
            cells: Counts of the report, in the order of the baseline's cells.
            source: Source of the counts, for people.
            when: End of the sentence "2 of 31 variables drifted …".
            failures: Failed requests; None if there can be none.
        """
        about = {"model": report.model, "baseline": report.baseline, "version": baseline.version}
        failed = {"failed": failures.to_dict()} if failures else {}
        content = {"format": 1, "window": report.window, "models": [{**about, **failed, "drift": report.to_dict()}]}

        def html() -> str:
            from flask_boxkite.page.content import ModelView
            from flask_boxkite.page.render import comparison_html

            view = ModelView(report.model, baseline, report, cells, when=when, failures=failures)
            return comparison_html(source, view, time.time())

        return cls(content, when, html)

    @property
    def _reports(self) -> list[Mapping[str, Any]]:
        """The drift of each model that has a baseline, as `DriftReport.to_dict` returns it."""
        return [model["drift"] for model in self.content["models"] if model["drift"] is not None]

    @property
    def verdicts(self) -> Sequence[tuple[str, str]]:
        """``variable`` or ``pair``, and the verdict, of each of all models."""
        return [
            *(("variable", item["verdict"]) for report in self._reports for item in report["variables"]),
            *(("pair", item["verdict"]) for report in self._reports for item in report.get("pairs", ())),
        ]

    @property
    def uncounted(self) -> str:
        """The models of which nothing was counted, nothing of one side, or too few rows, each with its note; or empty.

        Also a server without any baseline has no verdicts.
        """
        if not self._reports:
            return f"{', '.join(repr(item['model']) for item in self.content['models'])}: there is no baseline."
        texts = []
        for report in self._reports:
            if what := uncounted(report["variables"]):
                said = f"{what.capitalize()} was counted {self.when}."
                texts.append(f"{report['model']!r} has no verdict. {report.get('note') or said}")
            elif too_many(report):
                texts.append(f"{report['model']!r}: {report['note']}")
        return " ".join(texts)

    @property
    def _problems(self) -> list[Mapping[str, Any]]:
        """The findings that need attention, and that no note has told."""
        said = " ".join(report.get("note") or "" for report in self._reports)
        findings = self.content.get("findings", ())
        return [item for item in findings if item["level"] == "problem" and item["remedy"] not in said]

    def to_json(self) -> Any:
        """Return the content."""
        return self.content

    def to_markdown(self, *, shows_all: bool) -> str:
        """Return a table for each model, with the lines that a terminal shows below it."""
        parts = [part for model in self.content["models"] for part in self._markdown(model, shows_all=shows_all)]
        parts += [escaped(printable(f"✗ {item['what']} {item['remedy']}")) for item in self._problems]
        return "\n\n".join(parts)

    def _markdown(self, model: Mapping[str, Any], *, shows_all: bool) -> Iterator[str]:
        """Yield the paragraphs of a model."""
        if (report := model["drift"]) is None:
            yield escaped(self._heading(model))
            return
        variables: Sequence[Mapping[str, Any]] = report["variables"]
        items = listed(variables, shows_all=shows_all)
        if items:
            yield as_markdown({**report, "variables": items}, self._heading(model))
        else:
            yield escaped(self._heading(model))
            if note := report.get("note"):
                yield escaped(printable(note))
        if errors := failed(model):
            yield escaped(errors)
        if len(items) < len(variables):
            yield escaped(not_listed(variables))
        for names, note in by_note([item for item in variables if item not in items]):
            yield escaped(f"{names}: {note}")

    def show(self, output: Path | None, *, shows_all: bool) -> None:
        """Print a table for each model."""
        from flask_boxkite.cli.tables import show_model, show_problems
        from flask_boxkite.cli.terminal import printing

        with printing(output) as console:
            for number, model in enumerate(self.content["models"]):
                if number:
                    console.print()
                heading, today = self._heading(model), self.content.get("time", "")[:10] or None
                show_model(console, model, heading, shows_all=shows_all, today=today)
            show_problems(console, self._problems)

    def _heading(self, model: Mapping[str, Any]) -> str:
        if (report := model["drift"]) is None:
            return printable(f"{model['model']}: there is no baseline.")
        variables: Sequence[Mapping[str, Any]] = report["variables"]
        moved = f"{moved_count(variables, self.when)}{moved_pairs(report.get('pairs', ()))}"
        return printable(f"{model['model']}: {moved[0].lower()}{moved[1:]} Baseline {report['baseline']}.")


def report_options(*formats: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options for the format of drift, and for its effect on the exit code.

    Args:
        formats: Formats besides a table.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--all",
                "shows_all",
                is_flag=True,
                help="List also variables that have not moved, as json and html always do.",
            ),
            click.option(
                "--fail-on",
                type=click.Choice(_FAILING[::-1]),
                help=f"Exit with code {DRIFT_FOUND} if any variable has this verdict, or a worse one; with 1 if "
                "nothing was counted, or too few of the rows.",
            ),
            output_option,
            click.option(
                "--format", "form", type=click.Choice(["table", *formats]), default="table", help="Output format."
            ),
        ):
            command = option(command)

        return command

    return add


def finish(findings: Findings, form: str, output: Path | None, fail_on: str | None, *, shows_all: bool) -> None:
    """Write the findings, and exit with code `DRIFT_FOUND` if that was requested.

    Args:
        findings: Findings to write.
        form: Format: ``table``, ``json``, ``markdown``, or ``html`` if available.
        output: File to write to; None for standard output.
        fail_on: Mildest verdict that causes the exit code `DRIFT_FOUND`; None for none.
        shows_all: Whether a table, also in Markdown, lists variables that have not moved; JSON and HTML always do.

    Raises:
        BoxkiteError: The exit code depends on verdicts, and too little was counted for them.
    """
    if form == "json":
        write(json.dumps(findings.to_json(), indent=2) + "\n", output)
    elif form == "markdown":
        write(findings.to_markdown(shows_all=shows_all) + "\n", output)
    elif form == "html":
        assert isinstance(findings, Models)
        write(findings.html(), output)
    else:
        findings.show(output, shows_all=shows_all)

    bad = _FAILING[: _FAILING.index(fail_on) + 1] if fail_on else ()
    nouns = [noun for noun, verdict in findings.verdicts if verdict in bad]
    if nouns:
        found = [counted(number, noun) for noun, number in Counter(nouns).items()]
        click.echo(f"Drift found: {' and '.join(found)}, {fail_on} or worse.", err=True)
        click.get_current_context().exit(DRIFT_FOUND)
    if fail_on and (reason := findings.uncounted):
        raise BoxkiteError(printable(reason))
