"""The group of commands, and what they have in common: where output goes, and what becomes of errors.

Exit codes: 0 done, 1 it cannot be done (one line on standard error says why), 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from flask_boxkite.errors import BoxkiteError

__all__ = ["boxkite", "output_option", "write"]


class _Group(click.Group):
    """Turns our errors into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BoxkiteError as error:
            raise click.ClickException(str(error)) from error


@click.group("boxkite", cls=_Group, context_settings={"show_default": True})
def boxkite() -> None:
    """Prepare the monitoring of the models that an app serves."""


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--output``: a file, or standard output."""
    option = click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File to write to.  [default: standard output]",
    )
    return option(command)


def write(text: str, output: Path | None) -> None:
    """Write what a command has made.

    Raises:
        BoxkiteError: The file cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"'{output}' cannot be written: {error.strerror}. Is its folder there and writable?"
        raise BoxkiteError(msg) from error
