"""Row labels of pandas: it writes a frame's index to Arrow and Parquet as columns, which are not variables."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["is_unnamed_label", "labels_in", "labels_of"]

_UNNAMED = re.compile(r"__index_level_\d+__")


def is_unnamed_label(name: str) -> bool:
    """Say whether a column's name is pandas' own for row labels that have no name."""
    return _UNNAMED.fullmatch(name) is not None


def labels_of(data: Any) -> Collection[str]:
    """Return the names of the row labels in a table or batch of Arrow; empty for any other data."""
    if hasattr(type(data), "to_native"):  # of narwhals
        return labels_of(data.to_native())
    # The type is asked, because Polars warns where a lazy frame has to resolve its schema.
    is_arrow = hasattr(type(data), "column_names")
    return labels_in(getattr(getattr(data, "schema", None), "metadata", None)) if is_arrow else ()


def labels_in(metadata: Any) -> Collection[str]:
    """Return the names of the row labels in metadata of Arrow or Parquet, where pandas says which columns they are."""
    if not isinstance(metadata, Mapping):
        return ()
    text = metadata.get("pandas") or metadata.get(b"pandas") or "{}"
    try:
        columns = json.loads(text).get("index_columns", ())
    except (ValueError, AttributeError, TypeError):  # written by another library under the same key
        return ()
    return frozenset(name for name in columns if isinstance(name, str))  # ranges are objects, and no columns
