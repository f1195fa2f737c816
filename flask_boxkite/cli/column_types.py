"""Common column types of several files: numbers, texts or times in all of them, not only in the first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from flask_boxkite.cli.training_file import Part
from flask_boxkite.errors import BaselineError
from flask_boxkite.values.conversion import MISSING_TEXTS, folded

__all__ = ["one_table"]

_NUMBERS, _TEXTS = "numbers", "texts"


def one_table(
    parts: Sequence[Part], missing: Collection[str], texts: Collection[str], *, is_decided: bool
) -> pl.LazyFrame:
    """Return the rows of all files, one after the other, with one type for each column.

    Args:
        parts: Files with the same columns.
        missing: Plain texts that stand for a missing value, besides `values.conversion.MISSING_TEXTS`.
        texts: Names of columns that are texts where they are plain, even if they look like numbers.
        is_decided: Whether columns are numbers if all of their plain texts are, and `MISSING_TEXTS` are missing.
            Otherwise plain texts are left for the caller to read.

    Raises:
        BaselineError: A column has types of different kinds.
    """
    columns = list(parts[0].schema)
    textual = {name for part in parts for name, type_ in part.schema.items() if _kind(type_) == _TEXTS}
    textual |= set(texts) & set(columns)
    frames = [part.read(textual).select(columns) for part in parts]
    gone = [*(MISSING_TEXTS if is_decided else ()), *map(folded, missing)]
    frames = [_cleaned(frame, part.plain & textual, gone) for part, frame in zip(parts, frames, strict=True)]
    if is_decided:
        typed = {name for part in parts for name in textual - part.plain if _kind(part.schema[name]) == _TEXTS}
        frames = _with_numbers(parts, frames, [name for name in columns if name in textual - typed - set(texts)])

    schemas = [frame.collect_schema() for frame in frames]
    changes = [change for name in columns for change in _changes(name, parts, [schema[name] for schema in schemas])]
    return pl.concat([frame.with_columns(changes) for frame in frames], how="vertical_relaxed")


def _kind(type_: pl.DataType) -> str | None:
    """Return the kind of a type; types of one kind can share a column. None: the column has no value."""
    if type_ == pl.Null:
        return None
    if type_.is_numeric() or type_ == pl.Boolean:
        return _NUMBERS
    if type_ in (pl.String, pl.Categorical, pl.Enum):
        return _TEXTS
    zone = getattr(type_, "time_zone", None)
    return f"times of the zone {zone}" if zone else "times" if type_ in (pl.Date, pl.Datetime) else str(type_)


def _changes(name: str, parts: Sequence[Part], types: Sequence[pl.DataType]) -> list[pl.Expr]:
    """Return expressions that give the column a type that all files can share; none if Polars does so itself.

    Raises:
        BaselineError: The types of the files do not match.
    """
    kinds = {kind: part.path for part, type_ in zip(parts, types, strict=True) if (kind := _kind(type_))}
    if len(kinds) > 1:
        (one, first), (other, second), *_ = kinds.items()
        msg = f"Column {name!r} holds {one} in '{first}', {other} in '{second}'. Write it with one type in all files."
        raise BaselineError(msg)
    if _TEXTS in kinds:
        return [pl.col(name).cast(pl.String)]
    # A widened float32 would lose its shortest decimals.
    narrow = pl.Float32 in types and len(set(types)) > 1
    return [pl.col(name).cast(pl.Float32)] if narrow else []


def _cleaned(frame: pl.LazyFrame, names: Iterable[str], gone: Sequence[str]) -> pl.LazyFrame:
    """Read plain texts as a server reads them: without outer blanks, and some of them as missing values.

    An empty text, which Polars reads as missing, may be a category.
    """
    values = {name: pl.col(name).fill_null("").str.strip_chars() for name in names}
    return frame.with_columns(
        **{
            name: pl.when(value.str.to_lowercase().is_in(gone)).then(None).otherwise(value)
            for name, value in values.items()
        }
    )


def _with_numbers(parts: Sequence[Part], frames: Sequence[pl.LazyFrame], names: Sequence[str]) -> list[pl.LazyFrame]:
    """Return the frames with numbers in the columns whose plain texts, in all files, are all numbers."""
    own = [[name for name in names if name in part.plain] for part in parts]
    if not any(own):
        return list(frames)
    plain = [frame.select(some) for frame, some in zip(frames, own, strict=True) if some]
    numbers = _columns_of_numbers(pl.concat(plain, how="diagonal"), names)
    return [
        frame.with_columns(pl.col([name for name in some if name in numbers]).cast(pl.Float64))
        for frame, some in zip(frames, own, strict=True)
    ]


def _columns_of_numbers(frame: pl.LazyFrame, names: Sequence[str]) -> set[str]:
    """Return the columns of texts that contain only numbers."""
    others = [
        (pl.col(name).is_not_null() & pl.col(name).cast(pl.Float64, strict=False).is_null()).any() for name in names
    ]
    have_others = frame.select(other.alias(name) for name, other in zip(names, others, strict=True)).collect().row(0)
    return {name for name, has_others in zip(names, have_others, strict=True) if not has_others}
