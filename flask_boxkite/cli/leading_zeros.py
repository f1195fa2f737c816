"""Leading zeros in plain texts that are read as numbers, which lose them: ``01248`` becomes 1248."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from flask_boxkite.cli.group import listed
from flask_boxkite.cli.training_file import Part

__all__ = ["note_on_zeros", "texts_with_zeros"]

_SHOWN = 5
_PADDED = r"^\s*[+-]?0[0-9]+\s*$"


def texts_with_zeros(parts: Sequence[Part], names: Sequence[str]) -> dict[str, str]:
    """Return a text with leading zeros for each column that has one.

    Args:
        parts: Files of the data.
        names: Names of columns that are read as numbers.
    """
    found: dict[str, str] = {}
    for part in parts:
        # Texts with a point, such as 00.5, are measurements, not codes.
        perhaps = [name for name in names if name in part.plain - found.keys() and not part.schema[name].is_float()]
        if not perhaps:
            continue
        texts = part.read(perhaps).select(
            pl.col(name).filter(pl.col(name).str.contains(_PADDED)).first() for name in perhaps
        )
        found |= {name: text.strip() for name, text in texts.collect().row(0, named=True).items() if text is not None}
    return found


def note_on_zeros(texts: Mapping[str, str]) -> str:
    """Say that columns lose zeros, and how to keep them.

    Args:
        texts: Result of `texts_with_zeros`, not empty.
    """
    name, text = next(iter(texts.items()))
    columns = f"Column {name!r} is" if len(texts) == 1 else f"Columns {listed(list(map(repr, texts)), _SHOWN)} are"
    options = " ".join(f"--text {name!r}" for name in list(texts)[:_SHOWN]) + " …" * (len(texts) > _SHOWN)
    return f"{columns} read as numbers, so {text!r} becomes {int(text)}. If they are codes, keep the texts: {options}"
