"""The voice of everything that is read: sentences with a subject, nouns for things, short comments.

A documented argument begins with a noun, a documented function with a verb, a documented property with a noun.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

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

# A noun says what the thing is. Names in backquotes or stars, and names of arguments, are no prose.
_vague = re.compile(r"(?<![`*\w])(?:what|whatever|What|Whatever)\b(?![`*:=])")
# A verb in the third person, or a participle, at the beginning of a sentence.
_VERBS = "Built|Called|Costs|Gives|Holds|Keeps|Made|Needed|Needs|Takes|Tells|Used|Waits|Written"
_no_subject = re.compile(rf"(?:(?<=[.!?])\s+|\n\s*\n\s*)(?:{_VERBS})\b")
# First words of functions' docstrings that are no imperatives, and of properties' docstrings that are.
NO_VERBS = {"A", "All", "An", "Each", "Every", "It", "Its", "No", "One", "Some", "The", "This", "Whether"}
VERBS = {"Get", "Give", "Read", "Return", "Say", "Tell"}

MOST_LINES = 2
"""Most lines of a comment."""


def read_by_users_and_developers() -> Iterator[Path]:
    yield from PACKAGE.rglob("*.py")
    yield from (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    yield from PACKAGE.rglob("*.html")
    yield from (path for suffix in ("md", "py") for path in (ROOT / "docs").rglob(f"*.{suffix}"))
    yield from (ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY"))


TEXTS = sorted(read_by_users_and_developers())
MODULES = [path for path in TEXTS if path.suffix == ".py" and path.is_relative_to(PACKAGE)]


def banned_words(text: str) -> list[str]:
    """Return the banned words, each with its line."""
    return [f"line {line_of(text, match)}: {match[0]}" for match in _banned.finditer(text)]


def entries_without_a_noun(source: str) -> list[str]:
    """Return the entries of docstrings, such as those under ``Args:``, that begin with a banned word."""
    return [fault for prose in docstrings(source) for fault in matches(_entry, prose)]


class Prose(NamedTuple):
    """A docstring or a comment.

    Attributes:
        line: Number of its first line.
        text: Its text, without quotes and hashes.
        of: The node that a docstring documents; None for a comment.
    """

    line: int
    text: str
    of: ast.AST | None


def docstrings(source: str) -> Iterator[Prose]:
    """Yield the docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", ())
        for child in body if isinstance(body, list) else ():
            match child:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield Prose(child.lineno, text, node if child is body[0] else None)


def comments(source: str) -> Iterator[Prose]:
    """Yield the comments; consecutive lines of nothing else are one comment, and headings are none."""
    first, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or token.string.startswith("# ---"):
            continue
        is_alone = token.line.strip().startswith("#")
        if lines and not (is_alone and token.start[0] == first + len(lines)):
            yield Prose(first, "\n".join(lines), None)
            lines = []
        first = first if lines else token.start[0]
        lines.append(token.string.lstrip("# "))
    if lines:
        yield Prose(first, "\n".join(lines), None)


def faults(source: str) -> list[str]:
    """Return the prose that a reader has to read twice, each with its line."""
    documented, commented = list(docstrings(source)), list(comments(source))
    return [
        *(fault for prose in (*documented, *commented) for fault in matches(_vague, prose)),
        *(fault for prose in documented for fault in matches(_no_subject, prose)),
        *(f"line {prose.line}: {word}" for prose in documented if (word := wrong_beginning(prose))),
        *(f"line {prose.line}: a long comment" for prose in commented if prose.text.count("\n") >= MOST_LINES),
    ]


def matches(pattern: re.Pattern[str], prose: Prose) -> Iterator[str]:
    for match in pattern.finditer(prose.text):
        yield f"line {prose.line + line_of(prose.text, match) - 1}: {match[0].strip()}"


def wrong_beginning(prose: Prose) -> str | None:
    """Return the first word if a function does not begin with a verb, or a property does."""
    if not isinstance(prose.of, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    is_property = any("property" in ast.unparse(decorator) for decorator in prose.of.decorator_list)
    word = prose.text.split()[0].rstrip(",")
    return word if word in (VERBS if is_property else NO_VERBS) else None


def line_of(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def found_in(paths: Iterable[Path], find: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """Return the faults by file; a test for each file would take more time than the reading."""
    found = {str(path.relative_to(ROOT)): find(path.read_text()) for path in paths}
    return {name: faults for name, faults in found.items() if faults}


def test_a_text_says_who_does_what() -> None:
    assert found_in(TEXTS, banned_words) == {}


def test_a_documented_argument_begins_with_a_noun() -> None:
    assert found_in(MODULES, entries_without_a_noun) == {}


def test_prose_is_clear_at_the_first_reading() -> None:
    assert found_in(MODULES, faults) == {}


def test_a_banned_word_is_seen_across_lines_in_comments_and_docstrings() -> None:
    text = 'x = 1  # as that\n# of the other\n"""Somebody."""\n'
    assert banned_words(text) == ["line 1: that\n# of", "line 3: Somebody"]


def test_an_entry_without_a_noun_is_seen() -> None:
    docstring = "Read.\n\nArgs:\n    path: Of the file.\n    size: Number of bytes.\n"
    assert entries_without_a_noun(f'"""{docstring}"""') == ["line 4: path: Of"]


FAULTS = {
    '"""What it is."""': ["line 1: What"],
    "x = 1  # what it is": ["line 1: what"],
    "x = 1  # *what* and `what`": [],
    '"""Records.\n\nNeeds a disk."""': ["line 1: Needs"],
    'def f():\n    """The sum."""': ["line 2: The"],
    '@property\ndef f():\n    """The sum."""': [],
    '@cached_property\ndef f():\n    """Return the sum."""': ["line 3: Return"],
    "# one\n# two\nx = 1  # three\n# four": [],
    "# one\n# two\n# three": ["line 1: a long comment"],
    "# --- heading\n# one\n# two": [],
}


@pytest.mark.parametrize("source", FAULTS)
def test_faults_of_prose_are_seen(source: str) -> None:
    assert faults(source) == FAULTS[source]
