"""Fenced blocks and links of a Markdown page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Block", "anchors_of", "blocks_of", "links_of", "mark_of", "without_blocks"]

_FENCE = re.compile(r"^( *)(`{3,})(.*)$")
_MARK = re.compile(r"^ *<!-- (.*?) -->$")
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
_HEADING = re.compile(r"^#{1,6} +(.*)$", re.M)


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        line: Number of lines before its source.
        language: Word behind the fence; empty if there is none.
        source: Source text of the block, without the indentation of its fence.
        mark: Text of the comment on the line above its fence; empty if there is none.
        is_next: Whether only blank lines and the mark stand between it and the block before.
    """

    line: int
    language: str
    source: str
    mark: str
    is_next: bool

    @property
    def file_name(self) -> str | None:
        """The name of the file that the block is, by its first line."""
        found = re.match(r"# ([\w/]+\.py)\n", self.source)
        return found[1] if found and self.language == "python" else None

    @property
    def reason(self) -> str | None:
        """The reason why the block is not run; None if it runs."""
        return self.mark.removeprefix("not run").removeprefix(":").strip() if self.mark.startswith("not run") else None


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page; MyST's directives, such as a table of contents, are none."""
    lines = text.split("\n")
    blocks, number, prose = list[Block](), 0, ["the beginning"]
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if not fence:
            prose.append(lines[number])
            number += 1
            continue
        end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == fence[2])
        source = textwrap.dedent("".join(f"{line}\n" for line in lines[number + 1 : end]))
        mark = mark_of(lines[number - 1]) if number else ""
        is_next = not any(line.strip() for line in prose[: -1 if mark else None])
        if not fence[3].startswith("{"):
            blocks.append(Block(number + 1, fence[3].strip(), source, mark, is_next))
        prose, number = [], end + 1
    return blocks


def mark_of(line: str) -> str:
    """Return the text of a line that is a comment; nothing of any other line."""
    found = _MARK.match(line)
    return found[1] if found else ""


def without_blocks(text: str) -> str:
    """Return the prose of a page, with empty lines in place of its blocks."""
    return re.sub(r"^ *(`{3,}).*?^ *\1$", lambda match: "\n" * match[0].count("\n"), text, flags=re.M | re.S)


def links_of(text: str) -> Iterator[str]:
    """Yield the targets of links and pictures in a page's prose."""
    prose = re.sub(r"`[^`\n]*`", "code", without_blocks(text))
    yield from (match[1] for match in _LINK.finditer(prose))


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = (match[1] for match in _HEADING.finditer(without_blocks(path.read_text(encoding="utf-8"))))
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}
