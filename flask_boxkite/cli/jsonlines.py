"""JSON lines, read with the types and columns of all lines, in an order that is the same in each run."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection
from functools import partial

import polars as pl

from flask_boxkite.cli.training_files import first_line, is_url, opened, temporary_file

__all__ = ["scan_lines"]


def scan_lines(path: str) -> pl.LazyFrame:
    """Read JSON lines. Two passes: the first determines types and columns from all lines, not only the first hundred.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not JSON.
        PolarsError: Polars cannot read the file either.
    """
    infinite: set[str] = set()
    first_line(path)  # refuses UTF-16
    read = partial(pl.scan_ndjson, path)
    try:
        schema = read(infer_schema_length=None).collect_schema()
    except pl.exceptions.ComputeError:
        if is_url(path):
            raise
        cleaned, infinite = _cleaned_lines(path)
        read = partial(pl.scan_ndjson, cleaned)
        schema = read(infer_schema_length=None).collect_schema()

    # One search serves all readers.
    frame = read(schema=schema).select(_in_order(path, schema))
    return frame.with_columns(pl.col(sorted(infinite)).cast(pl.Float64)) if infinite else frame


def _in_order(path: str, names: Collection[str]) -> list[str]:
    """Return the columns in the order of the first line that has all of them, since Polars shuffles more than 32.

    If no line has all, or only Polars can read the file, the order is alphabetical.
    """
    if not is_url(path):
        with opened(path) as source, io.TextIOWrapper(source, "utf-8-sig") as lines:
            for line in lines:
                row = json.loads(line) if line.strip() else None
                if isinstance(row, dict) and row.keys() >= set(names):
                    return [name for name in row if name in names]
    return sorted(names)


def _cleaned_lines(path: str) -> tuple[str, set[str]]:
    """Write JSON lines without a byte order mark and NaN, which only Python's reader accepts, to a temporary file.

    Returns:
        Path of the file, and the columns with an infinity, written as a text.
    """
    infinite: set[str] = set()
    descriptor, cleaned = temporary_file(".jsonl")
    with (
        open(descriptor, "w", encoding="utf-8") as target,
        opened(path) as source,
        io.TextIOWrapper(source, "utf-8-sig") as lines,
    ):
        for line in lines:
            if not line.strip():
                continue
            row = json.loads(line)
            if isinstance(row, dict):
                for name, value in row.items():
                    if isinstance(value, float) and not math.isfinite(value):
                        row[name] = None if value != value else "inf" if value > 0 else "-inf"
                        infinite |= {name} if value == value else set()
            target.write(json.dumps(row) + "\n")

    return cleaned, infinite
