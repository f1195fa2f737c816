"""The voice of everything that is read: sentences with an actor, documented arguments that begin with a noun."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import flask_boxkite

PACKAGE = Path(flask_boxkite.__file__).parent
ROOT = Path(__file__).parent.parent

BANNED = ("whoever", "nobody", "somebody", "anew", "all the same", "that of", "those of", "meanwhile")
_spellings = "|".join(spelling for words in BANNED for spelling in (words, words.capitalize()))
_banned = re.compile(rf"\b(?:{_spellings})\b".replace(" ", r"[\s#]+"))

STARTERS = (
    *("Of", "Where", "Whose", "Likewise", "That of", "Those of", "As", "Under", "From", "To", "How", "In", "With"),
    *("Which", "What", "When", "Who", "Why", "By", "For", "At", "On", "If", "After"),
)
_entry = re.compile(rf"^ *\*{{0,2}}[a-z_]\w*: (?:{'|'.join(STARTERS)})\b", re.MULTILINE)


def read_by_users_and_developers() -> Iterator[Path]:
    yield from PACKAGE.rglob("*.py")
    yield from (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    yield from PACKAGE.rglob("*.html")
    yield from (ROOT / "docs").glob("*.md")
    yield from (ROOT / "README.md", ROOT / "CHANGELOG.md")


TEXTS = sorted(read_by_users_and_developers())


def banned_words(text: str) -> list[str]:
    """Return the banned words, each with its line."""
    return [f"line {line_of(text, match)}: {match[0]}" for match in _banned.finditer(text)]


def entries_without_a_noun(source: str) -> list[str]:
    """Return the entries of docstrings, such as those under ``Args:``, that begin with a banned word."""
    docstrings = (
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    return [
        f"line {docstring.lineno + line_of(docstring.value, match) - 1}: {match[0].strip()}"
        for docstring in docstrings
        if isinstance(docstring.value, str)
        for match in _entry.finditer(docstring.value)
    ]


def line_of(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_says_who_does_what(path: Path) -> None:
    assert banned_words(path.read_text()) == []


@pytest.mark.parametrize(
    "path",
    [path for path in TEXTS if path.suffix == ".py" and path.is_relative_to(PACKAGE)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_documented_argument_begins_with_a_noun(path: Path) -> None:
    assert entries_without_a_noun(path.read_text()) == []


def test_a_banned_word_is_seen_across_lines_in_comments_and_docstrings() -> None:
    text = 'x = 1  # as that\n# of the other\n"""Somebody."""\n'
    assert banned_words(text) == ["line 1: that\n# of", "line 3: Somebody"]


def test_an_entry_without_a_noun_is_seen() -> None:
    docstring = "Read.\n\nArgs:\n    path: Of the file.\n    size: Number of bytes.\n"
    assert entries_without_a_noun(f'"""{docstring}"""') == ["line 4: path: Of"]
