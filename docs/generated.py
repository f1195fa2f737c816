"""The generated parts of reference pages, as plain Markdown, which GitHub shows as well as the site does.

``python docs/generated.py`` writes each part again, between ``<!-- generated: KIND NAMES -->`` and
``<!-- end of generated -->``: ``settings`` by their names, a ``command``, the ``names`` of a public module. A test
compares the pages with the code.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import click

from flask_boxkite.cli import boxkite
from flask_boxkite.config import Settings

PAGES = tuple(Path(__file__).parent.glob("reference/*.md"))

TYPES = {
    "bool": "true or false",
    "float": "number",
    "int": "integer",
    "str": "text",
    "str | None": "text",
    "tuple[Address, ...] | None": "text",
    "tuple[Any, ...]": "text or object",
    "tuple[str, ...] | Callable[[dict[str, Any]], Any]": "texts or function",
    "Mapping[str | None, tuple[Policy, ...]]": "mapping",
    "Any": "path or object",
}
"""Words for the types of settings, by their annotations."""

_PART = re.compile(
    r"(?P<begin><!-- generated: (?P<kind>\w+) (?P<names>[^\n]*) -->\n)"
    r".*?(?P<end><!-- end of generated -->)",
    re.S,
)
_ENTRY = re.compile(
    r"(?P<name>\w+): ``BOXKITE_\w+``(?: \((?P<default>.*?)\))?: (?P<meaning>.*)", re.S
)


def renewed(page: str) -> str:
    """Return a page with its generated parts as the code has them."""

    def part(found: re.Match[str]) -> str:
        lines = "\n".join(PARTS[found["kind"]](found["names"].split())).strip()
        return f"{found['begin']}\n{lines}\n\n{found['end']}"

    return _PART.sub(part, page)


# --- settings ----------------------------------------------------------------------------------------


def setting_entries(names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the entries of settings."""
    known = settings()
    for name in names:
        default, meaning = known[name]
        default = "none" if default in (None, "None") else code(default)
        yield f"### `BOXKITE_{name.upper()}`"
        yield from ("", f"*{TYPES[Settings.__annotations__[name]]}*; default: {default}", "")
        yield from (*wrapped(code(meaning[0].upper() + meaning[1:])), "")


def settings() -> dict[str, tuple[str | None, str]]:
    """Return the default and the meaning of each setting, as its docstring has them."""
    text = inspect.cleandoc(Settings.__doc__ or "").partition("Attributes:\n")[2]
    entries = (
        _ENTRY.fullmatch(" ".join(entry.split()))
        for entry in re.split(r"\n    (?=\w)", f"\n{text}")[1:]
    )
    return {entry["name"]: (entry["default"], entry["meaning"]) for entry in entries if entry}


# --- commands ----------------------------------------------------------------------------------------


def command_help(names: Iterable[str]) -> Iterator[str]:
    """Yield the lines that say what commands do: usage, description, examples and options, as their help has them."""
    for name in names:
        command = boxkite.commands[name]
        context = click.Context(command, info_name=f"flask boxkite {name}", show_default=True)
        usage = " ".join(context.get_usage().removeprefix("Usage: ").split())
        yield from ("```text", usage, "```", "")
        yield from described(inspect.cleandoc(command.help or ""))
        for option in command.params:
            if isinstance(option, click.Option) and (record := option.get_help_record(context)):
                lines = textwrap.wrap(f"`{record[0]}`: {escaped(record[1])}", WIDTH)
                yield from (f"- {lines[0]}", *(f"  {line}" for line in lines[1:]))


def described(text: str) -> Iterator[str]:
    """Yield the lines of a help text; its examples may need servers, so they are not run."""
    for paragraph in text.split("\n\n"):
        lines = paragraph.removeprefix("\b\n").split("\n")
        if lines[0] == "Examples:":
            examples = textwrap.dedent("\n".join(lines[1:])).split("\n")
            yield from ("<!-- not run: it is from the help -->", "```sh", *examples, "```", "")
        else:
            yield from (*wrapped(escaped(" ".join(lines))), "")


# --- modules -----------------------------------------------------------------------------------------


def public_names(modules: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a table of the public names of modules, each with the first line of its docstring."""
    yield from ("| name | |", "|---|---|")
    for name in modules:
        module = importlib.import_module(name)
        for each in module.__all__:
            item = getattr(module, each)
            is_documented = inspect.isclass(item) or inspect.isroutine(item)
            text = inspect.cleandoc(item.__doc__ or "") if is_documented else ""
            first = " ".join(text.partition("\n\n")[0].split())
            yield f"| `{each}` | {code(first).replace('|', chr(92) + '|')} |"


PARTS: Mapping[str, Callable[[Iterable[str]], Iterator[str]]] = {
    "settings": setting_entries,
    "command": command_help,
    "names": public_names,
}
"""Functions that yield the lines of a part, by its kind."""

WIDTH = 118


def wrapped(text: str) -> list[str]:
    """Return the lines of a paragraph."""
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def code(text: str) -> str:
    """Return text of a docstring as Markdown, in which one backquote marks code."""
    return text.replace("``", "`")


def escaped(text: str) -> str:
    """Return plain text as Markdown, in which options are code."""
    return re.sub(r"(--[\w-]+)", r"`\1`", re.sub(r"([*_<>\[\]`])", r"\\\1", text))


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
