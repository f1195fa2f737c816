"""What is wrong with columns of training data: all of it in one error, with the remedies in the caller's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flask_boxkite.errors import BaselineError

__all__ = ["ColumnError", "Problem", "UnclearTexts"]

SHOWN = 20
"""Problems that an error names at most."""


@dataclass(frozen=True)
class Problem:
    """Why a column cannot be counted as it is.

    Attributes:
        fact: What is wrong, as a sentence.
        remedy: What to do, as a sentence; empty if the fact says it.
        command: The same with the options of a command; None: the remedy is the same.
    """

    fact: str
    remedy: str = ""
    command: str | None = None


@dataclass(frozen=True)
class UnclearTexts:
    """A column of texts of which nothing can be made without being told.

    Attributes:
        fact: What is wrong, as a sentence.
        name: Name of the column.
        missing: Texts that may stand for a missing value.
        plain: What the column could hold instead.
    """

    fact: str
    name: str
    missing: tuple[str, ...]
    plain: str


class ColumnError(BaselineError):
    """Columns cannot be counted as they are.

    Attributes:
        problems: What is wrong, in the order of the columns.
    """

    def __init__(self, problems: Sequence[Problem | UnclearTexts]) -> None:
        self.problems = tuple(problems)
        super().__init__(_message(self.problems, is_command=False))

    def for_command(self) -> BaselineError:
        """Return the same with the remedies that a command has."""
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
    """Return how to say what the texts of some columns are."""
    missing = _distinct(text for problem in unclear for text in problem.missing)
    names = _distinct(problem.name for problem in unclear)
    given = [
        *([(_option("--missing-text", "missing_texts", missing, is_command), "a missing value")] if missing else []),
        (_option("--text", "texts", names, is_command), f"{'a column' if len(names) == 1 else 'columns'} of texts"),
    ]
    ways = ", or ".join(f"{option} for {meaning}" for option, meaning in given)
    plain = " and ".join(_distinct(problem.plain for problem in unclear))
    return f"Say what these are: {ways}; or {'write' if is_command else 'give'} {plain}."


def _option(option: str, parameter: str, texts: tuple[str, ...], is_command: bool) -> str:
    return " ".join(f"{option} {text!r}" for text in texts) if is_command else f"{parameter}={texts!r}"


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
