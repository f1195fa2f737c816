"""Directives of reference pages, which write Markdown from the code: ``{settings}`` and ``{command}``."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flask_boxkite.cli import boxkite
from flask_boxkite.config import Settings

TYPES = {
    "bool": "true or false",
    "float": "number",
    "int": "integer",
    "str": "text",
    "str | None": "text",
    "tuple[Address, ...] | None": "text",
    "tuple[Any, ...]": "text or object",
    "tuple[str, ...] | Callable[[dict[str, Any]], Any]": "texts or function",
    "Any": "path or object",
}
"""Words for the types of settings, by their annotations."""

_ENTRY = re.compile(r"(?P<name>\w+): ``BOXKITE_\w+``(?: \((?P<default>.*?)\))?: (?P<meaning>.*)", re.S)


class SettingsTable(SphinxDirective):
    """A table of the settings that its lines name, from the docstring of `Settings`."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.parse_text_to_nodes("\n".join(settings_table(self.content)))


def settings_table(names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a table of settings."""
    entries = settings()
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for name in names:
        default, meaning = entries[name]
        kind = TYPES[Settings.__annotations__[name]]
        yield f"| `BOXKITE_{name.upper()}` | {kind} | {default or 'none'} | {cell(meaning)} |"


def settings() -> dict[str, tuple[str | None, str]]:
    """Return the default and the meaning of each setting, as its docstring has them."""
    text = inspect.cleandoc(Settings.__doc__ or "").partition("Attributes:\n")[2]
    entries = (_ENTRY.fullmatch(" ".join(entry.split())) for entry in re.split(r"\n    (?=\w)", f"\n{text}")[1:])
    return {entry["name"]: (entry["default"], entry["meaning"]) for entry in entries if entry}


class Command(SphinxDirective):
    """A command: its description, usage, options, and examples, as its help has them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the parts."""
        return self.parse_text_to_nodes("\n".join(command_help(boxkite.commands[self.arguments[0]])))


def command_help(command: click.Command) -> Iterator[str]:
    """Yield the lines that say what a command does."""
    context = click.Context(command, info_name=f"flask boxkite {command.name}", show_default=True)
    yield from ("```text", context.get_usage().removeprefix("Usage: "), "```", "")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines = paragraph.removeprefix("\b\n").split("\n")
        if lines[0] == "Examples:":
            yield from ("```sh", *textwrap.dedent("\n".join(lines[1:])).split("\n"), "```", "")
        else:
            yield from (escaped(" ".join(lines)), "")

    yield from ("| option | meaning |", "|---|---|")
    for option in command.params:
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            yield f"| `{record[0]}` | {cell(escaped(record[1]))} |"


def cell(text: str) -> str:
    """Return the text of a cell, in which one backquote marks code, as in Markdown."""
    return text.replace("``", "`").replace("|", "\\|")


def escaped(text: str) -> str:
    """Return plain text as Markdown, in which options are code."""
    return re.sub(r"(--[\w-]+)", r"`\1`", re.sub(r"([*_<>\[\]`])", r"\\\1", text))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("settings", SettingsTable)
    app.add_directive("command", Command)
    return {"parallel_read_safe": True}
