"""Outcomes joined with whole groups of rows: only records that an outcome may name are read from their lines."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flask_boxkite.naming import REDACTED
from flask_boxkite.records.alignment import Aligner
from flask_boxkite.records.decoding import Decoder
from flask_boxkite.records.joining import Joining
from flask_boxkite.records.keys import IDS
from flask_boxkite.records.parquet.layout import LINE, OUTPUTS_FIT
from flask_boxkite.records.parquet.part import Group
from flask_boxkite.records.parquet.stream import records_in

__all__ = ["join_group"]


def join_group(joining: Joining, group: Group, aligner: Aligner, decode: Decoder) -> None:
    """Join the selected records of a group.

    Args:
        joining: Joining of outcomes.
        group: Group of a table of the baseline.
        aligner: Aligner of the baseline's records.
        decode: Reader of lines.
    """
    is_needed = is_kept = group.selected()
    if joining.key in IDS and not joining.classes.size:
        is_needed = is_kept & _may_be_named(joining, group)
        # Of the other rows, no key is asked for, and no output is hidden.
        is_passed = is_kept & ~is_needed
        answered = group.is_answered()
        is_passed = is_passed if answered is None else is_passed & answered
        keyless = group.column(joining.key).is_null().to_numpy(zero_copy_only=False)
        joining.hidden.pass_over(int(is_passed.sum()), int((is_passed & keyless).sum()))
    for chunk in records_in(group, is_needed, decode):
        joining.add(chunk, aligner)


def _may_be_named(joining: Joining, group: Group) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say of the rows of each record whether an outcome may name one, or whether its key or output is hidden."""
    names = pa.array([*_spellings(joining.names), REDACTED], pa.string())
    found = pc.is_in(group.column(joining.key), value_set=names)
    if not group.only(OUTPUTS_FIT, True):  # an output that does not fit may be hidden
        hidden = pc.match_substring(group.column(LINE), REDACTED)
        found = pc.or_(found, pc.fill_null(hidden, False))
    of_rows: np.ndarray[tuple[int], np.dtype[np.bool_]] = found.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(group.is_first())
    return np.repeat(np.logical_or.reduceat(of_rows, starts), np.diff(starts, append=group.rows))


def _spellings(names: list[str]) -> list[str]:
    """Return the texts in records that outcomes with these keys find: 7 also finds 7.0, and 7/0 a row of its own."""
    spelled = []
    for name in names:
        start, slash, row = name.rpartition("/")
        spelled.append(name)
        if name.isdigit() or name[:1] == "-":
            spelled.append(f"{name}.0")
        if slash:
            spelled += [start, f"{start}.0/{row}"]
    return spelled
