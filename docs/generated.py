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
    "Mapping[str | None, tuple[Policy, ...]]": "mapping",
    "Any": "path or object",
}
"""Words for the types of settings, by their annotations."""

_ENTRY = re.compile(
    r"(?P<name>\w+): ``BOXKITE_\w+``(?: \((?P<default>.*?)\))?: (?P<meaning>.*)", re.S
)


class SettingEntries(SphinxDirective):
    """The settings that its lines name, from the docstring of `Settings`."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return an entry for each."""
        return self.parse_text_to_nodes("\n".join(setting_entries(self.content)))


def setting_entries(names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the entries of settings."""
    known = settings()
    for name in names:
        default, meaning = known[name]
        default = "none" if default in (None, "None") else code(default)
        yield f"```{{confval}} BOXKITE_{name.upper()}"
        yield from (f":type: {TYPES[Settings.__annotations__[name]]}", f":default: {default}", "")
        yield from (code(meaning[0].upper() + meaning[1:]), "```", "")


def settings() -> dict[str, tuple[str | None, str]]:
    """Return the default and the meaning of each setting, as its docstring has them."""
    text = inspect.cleandoc(Settings.__doc__ or "").partition("Attributes:\n")[2]
    entries = (
        _ENTRY.fullmatch(" ".join(entry.split()))
        for entry in re.split(r"\n    (?=\w)", f"\n{text}")[1:]
    )
    return {entry["name"]: (entry["default"], entry["meaning"]) for entry in entries if entry}


class Command(SphinxDirective):
    """A command: its description, usage, options, and examples, as its help has them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the parts."""
        return self.parse_text_to_nodes(
            "\n".join(command_help(boxkite.commands[self.arguments[0]]))
        )


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

    yield from (f"```{{program}} {context.info_name}", "```", "")
    for option in command.params:
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            yield from (f"```{{option}} {record[0]}", escaped(record[1]), "```", "")


def code(text: str) -> str:
    """Return text of a docstring as Markdown, in which one backquote marks code."""
    return text.replace("``", "`")


def escaped(text: str) -> str:
    """Return plain text as Markdown, in which options are code."""
    return re.sub(r"(--[\w-]+)", r"`\1`", re.sub(r"([*_<>\[\]`])", r"\\\1", text))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("settings", SettingEntries)
    app.add_directive("command", Command)
    return {"parallel_read_safe": True}
