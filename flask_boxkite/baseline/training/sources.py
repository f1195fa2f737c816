"""The files behind a relation of DuckDB: a relation is refused if DuckDB took types from only some of their rows.

DuckDB casts the values of all Parquet files to the types of the first, unless ``union_by_name=true`` is set, and JSON
to the types of the first 20,480 lines, unless ``sample_size=-1`` is set. If these hold whole numbers, it rounds the
fractions of the others silently. The SQL of a relation names the files; where it does not, as behind a view or a table,
or where they are not on this machine, no relation is refused. All lines of JSON are read once more for their types. For
CSV, DuckDB itself refuses values that do not fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask_boxkite.errors import BaselineError

__all__ = ["refuse_types_of_some_rows"]


@dataclass(frozen=True)
class _Format:
    """Files that DuckDB reads.

    Attributes:
        readers: Names of the functions that read them.
        suffixes: Suffixes by which DuckDB recognises a file in the place of a table.
        whole: SQL that reads files with the types of all rows, given their list.
        where: Rows from which DuckDB takes the types.
        remedy: Option that makes it look at all rows.
        is_typed: Whether the files state their types. Otherwise only rounding is refused: users may want other casts,
            or DuckDB refuses them.
    """

    readers: frozenset[str]
    suffixes: tuple[str, ...]
    whole: str
    where: str
    remedy: str
    is_typed: bool


_PARQUET = _Format(
    frozenset({"parquet_scan", "read_parquet"}),
    (".parquet",),
    "read_parquet({}, union_by_name = true)",
    "first file that DuckDB reads",
    "union_by_name=True",
    is_typed=True,
)
_JSON = _Format(
    frozenset({"read_json", "read_json_auto", "read_ndjson", "read_ndjson_auto"}),
    (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz"),
    "read_json({}, union_by_name = true, sample_size = -1, maximum_sample_files = -1)",
    "lines that DuckDB looks at",
    "sample_size=-1, maximum_sample_files=-1",
    is_typed=False,
)
_FORMATS = (_PARQUET, _JSON)

_INTEGERS = frozenset(
    {f"{sign}{name}" for sign in ("", "U") for name in ("INTEGER", "TINYINT", "SMALLINT", "BIGINT", "HUGEINT")}
)
"""Types among which DuckDB never cuts silently: a value that does not fit is an error."""


def refuse_types_of_some_rows(relation: Any) -> None:
    """Refuse a relation over Parquet or JSON files with other types than in the rows that DuckDB looked at.

    Args:
        relation: Relation of DuckDB.

    Raises:
        BaselineError: A column of the relation has another type if all rows are read.
    """
    import duckdb

    # A separate connection: a query by the relation would leave a view behind that hides the user's tables.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        try:
            query = relation.sql_query()
        except duckdb.Error:
            return
        _refuse(relation, query, _Inspector(connection, duckdb.Error))


def _refuse(relation: Any, query: str, inspector: _Inspector) -> None:
    own = dict(zip(map(str, relation.columns), map(str, relation.types), strict=True))
    for format_, read, read_whole in inspector.readings(query):
        all_of_them = inspector.types(read_whole)
        for name, type_ in inspector.types(read).items():
            other = all_of_them.get(name, type_)
            is_cut = type_ != other and not (_is_integer(type_) and _is_integer(other))
            if not format_.is_typed:
                is_cut = _is_integer(type_) and other in ("FLOAT", "DOUBLE")

            if own.get(name) == type_ and is_cut:
                msg = (
                    f"Column {name!r} is {type_} in the {format_.where}, but {other} in all of them, and "
                    f"DuckDB would cast, and round, the others. Read them with {format_.remedy}."
                )
                raise BaselineError(msg)


def _is_integer(type_: str) -> bool:
    return type_ in _INTEGERS


class _Inspector:
    """Asks DuckDB about a query without reading its data."""

    def __init__(self, connection: Any, error: type[Exception]) -> None:
        self._connection, self._error = connection, error

    def readings(self, query: str) -> Iterator[tuple[_Format, str, str]]:
        """Yield two queries for each reader of files in a query: as written, and with the types of all rows.

        Nothing is yielded if the readers cannot be seen, or if the user has given the types.
        """
        for node in _nodes(self._parsed(query)):
            function, table = str(node.get("function_name")).lower(), str(node.get("table_name"))
            if format_ := next((each for each in _FORMATS if function in each.readers), None):
                # DuckDB 2 has 'arguments', with names, where earlier versions have 'children'.
                first = (node.get("arguments") or node.get("children") or [{}])[0]
                call = self._written("SELECT * FROM range(1)", "from_table", {"function": node})
                files = self._written("SELECT 1", "select_list", [first.get("expression", first)])
                # DuckDB writes detected types as if the user had given them, but marks them.
                is_given = "columns" in call and "auto_detect" not in call
                if call and files and not is_given:
                    yield format_, call, _whole(format_, files.removeprefix("SELECT "))
            elif format_ := next((each for each in _FORMATS if table.endswith(each.suffixes)), None):
                yield format_, f"SELECT * FROM {_quoted(table)}", _whole(format_, _quoted(table))

    def types(self, query: str) -> dict[str, str]:
        """Return the types of an answer by column; empty if DuckDB cannot tell."""
        return {str(name): str(type_) for name, type_, *_ in self._rows(f"DESCRIBE {query}")}

    def _parsed(self, query: str) -> Any:
        rows = self._rows(f"SELECT json_serialize_sql({_quoted(query)})")
        return json.loads(rows[0][0]) if rows else None

    def _written(self, template: str, part: str, content: Any) -> str:
        """Return a query as SQL, with a part of it replaced; empty if DuckDB cannot write it."""
        document = self._parsed(template)
        node = document["statements"][0]["node"]
        node[part] = {**node[part], **content} if isinstance(content, dict) else content
        rows = self._rows(f"SELECT json_deserialize_sql({_quoted(json.dumps(document))}::JSON)")
        return str(rows[0][0]) if rows else ""

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return list(self._connection.execute(query).fetchall())
        except self._error:  # a query that it cannot describe is not refused
            return []


def _whole(format_: _Format, files: str) -> str:
    """Return the query that reads files with the types of all rows."""
    return f"SELECT * FROM {format_.whole.format(files)}"


def _quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a JSON document."""
    if isinstance(tree, dict):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(item)
