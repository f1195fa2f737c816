"""The group of commands, and what they have in common: where output goes, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.files import write_whole

__all__ = ["boxkite", "counted", "output_option", "write"]

_CLI_PACKAGES = frozenset({"polars", "rich"})


class _Group(click.Group):
    """Turns our errors into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BoxkiteError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            if name not in _CLI_PACKAGES:
                raise
            msg = f"This command needs the package {name!r}. Run: pip install 'flask-boxkite[cli]'"
            raise click.ClickException(msg) from error


@click.group("boxkite", cls=_Group, context_settings={"show_default": True})
def boxkite() -> None:
    """Prepare and watch the monitoring of the models that an app serves.

    \b
    Exit codes:
      0  done
      1  it cannot be done, or something is wrong; one line on standard error says what
      2  wrong usage
      3  drift was found, at or above what --fail-on names
    """


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--output``: a file, or standard output."""
    option = click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File to write to.  [default: standard output]",
    )
    return option(command)


def write(text: str, output: Path | None) -> None:
    """Write what a command has made, to a file in UTF-8.

    Raises:
        BoxkiteError: The file, or the text, cannot be written.
    """
    try:
        if output is None:
            click.echo(text, nl=False)
        else:
            write_whole(output, text.encode())
    except UnicodeEncodeError as error:
        fact = f"{error.object[error.start]!a} cannot be written in {error.encoding.upper()}"
        msg = f"{fact}. Is an argument damaged? Otherwise, name a file with --output, or set PYTHONUTF8=1."
        raise BoxkiteError(msg) from error
    except OSError as error:
        msg = f"'{output}' cannot be written: {error.strerror}. Is its folder there and writable?"
        raise BoxkiteError(msg) from error


def counted(number: int, word: str) -> str:
    """Return a number with what is counted: "1 row", "2 rows"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
