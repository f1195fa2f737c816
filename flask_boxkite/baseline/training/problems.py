"""The problems of columns of training data: one error for all of them, with remedies in the caller's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flask_boxkite.errors import BaselineError

__all__ = ["ColumnError", "Problem", "UnclearTexts"]

SHOWN = 20
"""Most problems that an error names."""


@dataclass(frozen=True)
class Problem:
    """A reason for which a column cannot be counted as it is.

    Attributes:
        fact: Sentence about the problem.
        remedy: Sentence with the remedy; empty if the fact gives it.
        command: Remedy with the options of a command; None if the remedy is the same.
    """

    fact: str
    remedy: str = ""
    command: str | None = None


@dataclass(frozen=True)
class UnclearTexts:
    """A text column that needs a decision of the user.

    Attributes:
        fact: Sentence about the problem.
        name: Name of the column.
        missing: Texts that may stand for a missing value.
        plain: Values that the column could hold instead.
    """

    fact: str
    name: str
    missing: tuple[str, ...]
    plain: str


class ColumnError(BaselineError):
    """Columns cannot be counted as they are.

    Attributes:
        problems: Problems, in the order of the columns.
    """

    def __init__(self, problems: Sequence[Problem | UnclearTexts]) -> None:
        self.problems = tuple(problems)
        super().__init__(_message(self.problems, is_command=False))

    def for_command(self) -> BaselineError:
        """Return the error with the remedies of a command."""
        return BaselineError(_message(self.problems, is_command=True))


def _message(problems: Sequence[Problem | UnclearTexts], *, is_command: bool) -> str:
    unclear = [problem for problem in problems if isinstance(problem, UnclearTexts)]
    others = [problem for problem in problems if isinstance(problem, Problem)]
    parts = [*_facts(unclear), _said(unclear, is_command=is_command)] if unclear else []

    def remedy(problem: Problem) -> str:
        return problem.remedy if problem.command is None or not is_command else problem.command

    for advice in dict.fromkeys(map(remedy, others)):
        parts += [*_facts([problem for problem in others if remedy(problem) == advice]), advice]
    return " ".join(filter(None, parts))


def _facts(problems: Sequence[Problem | UnclearTexts]) -> list[str]:
    more = [f"So it is with {len(problems) - SHOWN:,} more columns."] if len(problems) > SHOWN else []
    return [problem.fact for problem in problems[:SHOWN]] + more


def _said(unclear: Sequence[UnclearTexts], *, is_command: bool) -> str:
    """Return the remedy for some unclear columns."""
    missing = _distinct(text for problem in unclear for text in problem.missing)
    names = _distinct(problem.name for problem in unclear)
    remedies = [
        *([(_option("--missing-text", "missing_texts", missing, is_command), "a missing value")] if missing else []),
        (_option("--text", "texts", names, is_command), f"{'a column' if len(names) == 1 else 'columns'} of texts"),
    ]
    ways = ", or ".join(f"{option} for {meaning}" for option, meaning in remedies)
    plain = ", and ".join(_distinct(problem.plain for problem in unclear))
    return f"Say what these are: {ways}; or {'write' if is_command else 'give'} {plain}."


def _option(option: str, parameter: str, texts: tuple[str, ...], is_command: bool) -> str:
    return " ".join(f"{option} {text!r}" for text in texts) if is_command else f"{parameter}={texts!r}"


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
