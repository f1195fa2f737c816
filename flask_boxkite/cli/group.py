"""The group of commands, and their common parts: output, errors, and words in messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.extras import install_command
from flask_boxkite.quoting import masked, printable
from flask_boxkite.system.atomic import write_whole

__all__ = ["PATH", "boxkite", "listed", "output_option", "write", "writing"]

PATH = click.Path(path_type=Path, readable=False)
"""A file or folder; the code that opens it reports its problems."""

_MOST_NAMES = 20
"""Number of names in a list that stay readable on one line."""

_CLI_PACKAGES = frozenset({"polars", "rich"})
"""Packages of the extra ``cli``."""


class _Group(click.Group):
    """Turns our errors into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BoxkiteError as error:
            raise click.ClickException(printable(masked(str(error)))) from error
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _CLI_PACKAGES:
                raise
            msg = f"This command needs the extra 'cli'. Run: {install_command('cli')}"
            raise click.ClickException(msg) from error


@click.group("boxkite", cls=_Group, context_settings={"show_default": True})
def boxkite() -> None:
    """Prepare and watch the monitoring of the models that an app serves.

    \b
    Exit codes:
      0  done
      1  it cannot be done, or something is wrong, as a line on standard error says; or it was interrupted
      2  wrong usage
      3  drift was found, a model that is worse than validated or than its champion, or unequal groups, by --fail-on
    """


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--output``: a file, or standard output."""
    option = click.option("--output", type=PATH, help="File to write to.  [default: standard output]")
    return option(command)


def write(text: str, output: Path | None) -> None:
    """Write the output of a command, to a file in UTF-8.

    Raises:
        BoxkiteError: The file, or the text, cannot be written.
    """
    with writing(output):
        if output is None:
            click.echo(text, nl=False)
        else:
            write_whole(output, text.encode())


@contextmanager
def writing(output: Path | None) -> Iterator[None]:
    """Turn errors of writing into one line, except when the reader has read enough.

    Args:
        output: The file; None for standard output.

    Raises:
        BoxkiteError: The output cannot be written.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        fact = f"{error.object[error.start]!a} cannot be written in {error.encoding.upper()}"
        msg = f"{fact}. Is an argument damaged? Otherwise, name a file with --output, or set PYTHONUTF8=1."
        raise BoxkiteError(msg) from error
    except BrokenPipeError:
        raise  # click ends the command quietly
    except OSError as error:
        name = "Standard output" if output is None else f"'{output}'"
        remedy = "Is there free space?" if output is None else "Is its folder there and writable?"
        msg = f"{name} cannot be written: {error.strerror}. {remedy}"
        raise BoxkiteError(msg) from error


def listed(texts: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Return texts with commas between them; of very many, the first ones and the number of the others."""
    rest = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest
