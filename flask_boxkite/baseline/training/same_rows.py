"""Row labels tell whether the rows of two columns are the same: the index of pandas, and of libraries like it.

Values belong together by position, so a column in another order than the features' would be read as other rows'.
Labels that only count the rows from 0, as pandas gives them to data without any, say nothing, and positions decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from flask_boxkite.baseline.training.columns import native_series
from flask_boxkite.baseline.training.tables import native_frame
from flask_boxkite.errors import BaselineError

__all__ = ["are_same_rows", "common_labels", "row_labels"]


def row_labels(data: Any, exclude: Collection[str] = ()) -> Any | None:
    """Return the row labels of a table or a column; None if it has none, or is not in memory.

    Args:
        data: Training data in any form that can be read twice.
        exclude: Names of columns that do not count.

    Raises:
        BaselineError: It is a mapping, or pairs, whose columns have labels of other rows.
    """
    if isinstance(data, (list, tuple)):  # pairs, unless they are rows of two values
        pairs = [item for item in data if isinstance(item, tuple) and len(item) == 2 and not np.isscalar(item[1])]
    elif isinstance(data, Mapping):
        pairs = list(data.items())
    else:
        return _index_of(data)
    columns = ((name, column) for name, column in pairs if str(name) not in exclude)
    return common_labels((f"column {name!r}", _index_of(column)) for name, column in columns)


def _index_of(data: Any) -> Any | None:
    if data is None or isinstance(data, (np.ndarray, list, tuple, str, Mapping)):
        return None
    import narwhals as nw  # 30 ms, and serving never needs it

    frame = native_frame(data)
    known = native_series(data) if frame is None else frame
    return nw.maybe_get_index(known) if isinstance(known, (nw.DataFrame, nw.Series)) else None


def common_labels(items: Iterable[tuple[str, Any | None]]) -> Any | None:
    """Return the labels of data that must be of the same rows: the first ones that say something.

    Args:
        items: Names for messages, and labels; None for none.

    Raises:
        BaselineError: They are labels of other rows.
    """
    first, labels = "", None
    for name, own in items:
        is_as_long = labels is not None and own is not None and len(labels) == len(own)  # else lengths are refused
        if not are_same_rows(labels, own, first, name) and is_as_long:
            msg = (
                f"The row labels of {first} and {name} differ, and both must be of the same rows. Give them for the "
                "same rows; or, if they are in one order already, say so: right.set_axis(left.index)."
            )
            raise BaselineError(msg)
        if labels is None or (own is not None and _only_count(labels) and not _only_count(own)):
            first, labels = name, own
    return labels


def are_same_rows(one: Any | None, other: Any | None, first: str, second: str) -> bool:
    """Say whether data may be of the same rows, as far as labels tell.

    Args:
        one: Labels of the rows; None for none.
        other: Labels of the rows of other data.
        first: Name of the first data in messages.
        second: Name of the other data.

    Raises:
        BaselineError: Both have the same labels in different orders.
    """
    if one is None or other is None or one.equals(other):
        return True
    if len(one) != len(other):
        return False
    if _have_different_orders(one, other):
        msg = (
            f"The row labels of {first} and {second} are the same, in different orders. Give one in the order of the "
            "other: right.loc[left.index]; or, if they are in one order already, say so: right.set_axis(left.index)."
        )
        raise BaselineError(msg)
    return _only_count(one) or _only_count(other)


def _have_different_orders(one: Any, other: Any) -> bool:
    """Say whether labels are the same ones; labels that rows share do not tell them apart."""
    if one.nlevels != other.nlevels or not (one.is_unique and other.is_unique):
        return False
    return bool(one.isin(other).all())


def _only_count(labels: Any) -> bool:
    """Say whether labels are the numbers of the rows from 0."""
    is_whole = labels.nlevels == 1 and getattr(labels.dtype, "kind", "") in "iu"
    return is_whole and bool(np.array_equal(labels.to_numpy(), np.arange(len(labels))))
