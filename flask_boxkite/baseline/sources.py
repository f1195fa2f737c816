"""What a relation of DuckDB reads: files whose types are not those of the first one are refused.

Unless it is told ``union_by_name=true``, DuckDB casts the values of all files to the types of the first. Where that has
whole numbers, it rounds the fractions of the others, without a word. The SQL of a relation says which files it reads;
where it does not, as behind a view or a table, or where they are not on this machine, nothing is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask_boxkite.errors import BaselineError

__all__ = ["refuse_types_of_first_file"]

_READERS = frozenset({"parquet_scan", "read_parquet"})

_INTEGERS = frozenset({f"{sign}{name}INT" for sign in ("", "U") for name in ("TINY", "SMALL", "BIG", "HUGE")})
"""With `INTEGER` types, which DuckDB does not cut silently: what does not fit is an error."""


def refuse_types_of_first_file(relation: Any) -> None:
    """Refuse a relation over files of Parquet that have other types than the first of them.

    Args:
        relation: A relation of DuckDB.

    Raises:
        BaselineError: A column that the relation has is of another type in all files together.
    """
    import duckdb

    # A connection of its own: a query by the relation would leave a view behind, which hides the user's tables.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        try:
            query = relation.sql_query()
        except duckdb.Error:
            return
        _refuse(relation, query, _Asked(connection, duckdb.Error))


def _refuse(relation: Any, query: str, asked: _Asked) -> None:
    own = dict(zip(map(str, relation.columns), map(str, relation.types), strict=True))
    for read, read_by_name in asked.readings(query):
        all_of_them = asked.types(read_by_name)
        for name, type_ in asked.types(read).items():
            other = all_of_them.get(name, type_)
            if own.get(name) == type_ != other and not _are_integers(type_, other):
                msg = (
                    f"Column {name!r} is {type_} in the first file that DuckDB reads, but {other} in all of them, and "
                    "DuckDB would cast, and round, the others. Read them with union_by_name=True."
                )
                raise BaselineError(msg)


def _are_integers(*types: str) -> bool:
    return _INTEGERS.union({"INTEGER", "UINTEGER"}).issuperset(types)


class _Asked:
    """Asks DuckDB about a query, whose data it does not read."""

    def __init__(self, connection: Any, error: type[Exception]) -> None:
        self._connection, self._error = connection, error

    def readings(self, query: str) -> Iterator[tuple[str, str]]:
        """Yield a query for what each reader of Parquet in a query reads: as it stands there, and with columns by name.

        Nothing if that cannot be seen.
        """
        for node in _nodes(self._parsed(query)):
            if str(node.get("function_name")).lower() in _READERS:
                # DuckDB 2 has 'arguments', with names, where others have 'children'.
                first = (node.get("arguments") or node.get("children") or [{}])[0]
                call = self._written("SELECT * FROM range(1)", "from_table", {"function": node})
                files = self._written("SELECT 1", "select_list", [first.get("expression", first)])
                if call and files:
                    yield call, _by_name(files.removeprefix("SELECT "))
            elif node.get("type") == "BASE_TABLE" and str(node.get("table_name")).endswith(".parquet"):
                files = _quoted(node["table_name"])
                yield f"SELECT * FROM {files}", _by_name(files)

    def types(self, query: str) -> dict[str, str]:
        """Return the types of an answer by column; nothing if DuckDB cannot tell."""
        return {str(name): str(type_) for name, type_, *_ in self._rows(f"DESCRIBE {query}")}

    def _parsed(self, query: str) -> Any:
        rows = self._rows(f"SELECT json_serialize_sql({_quoted(query)})")
        return json.loads(rows[0][0]) if rows else None

    def _written(self, template: str, part: str, content: Any) -> str:
        """Return a query as SQL, with a part of it replaced; an empty text if DuckDB cannot write it."""
        document = self._parsed(template)
        node = document["statements"][0]["node"]
        node[part] = {**node[part], **content} if isinstance(content, dict) else content
        rows = self._rows(f"SELECT json_deserialize_sql({_quoted(json.dumps(document))}::JSON)")
        return str(rows[0][0]) if rows else ""

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return list(self._connection.execute(query).fetchall())
        except self._error:  # what it cannot say is not to be refused
            return []


def _by_name(files: str) -> str:
    """Return the query that reads files with the types of all of them."""
    return f"SELECT * FROM read_parquet({files}, union_by_name = true)"


def _quoted(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a JSON document."""
    if isinstance(tree, dict):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(item)
