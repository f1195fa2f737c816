"""Variables whose names are paths are found below the fields of a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flask_boxkite.live.nesting import Nesting
from flask_boxkite.payloads import Table, as_table

NAMES = ("age", "home.zip", "home.owner.kind", "temps.0", "temps.1")
NESTED = {"age": 39, "home": {"zip": 7, "owner": {"kind": "city"}}, "temps": [1.5, 2.5]}


def flattened(table: Table | None, names: tuple[str, ...] = NAMES) -> Any:
    """Return what the rows hold afterwards."""
    assert table is not None
    assert table.names is not None
    assert Nesting(names).flatten(table, table.names) == table.names
    return table.content()


@pytest.mark.parametrize("rows", [1, 3])
def test_values_below_a_field_get_columns_of_their_own(rows: int) -> None:
    expected = {"age": 39, "home.zip": 7, "home.owner.kind": "city", "temps.0": 1.5, "temps.1": 2.5}

    assert flattened(as_table([NESTED] * rows)) == (expected if rows == 1 else [expected] * rows)
    assert flattened(as_table(NESTED)) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"home": {"zip": None}}, {"home.zip": None, "home.owner.kind": None}),
        ({"home": {"owner": {"kind": {"of": 1}}}}, {"home.zip": None, "home.owner.kind": {"of": 1}}),
        ({"home.owner": {"kind": "firm"}, "home": {"zip": 7}}, {"home.owner.kind": "firm", "home.zip": 7}),
        ({"home.zip": 8, "home": {"zip": 7}}, {"home.zip": 8, "home.owner.kind": None}),
        ({"temps": [1.5]}, {"temps.0": 1.5, "temps.1": None}),
        ({"temps": {"0": 1.5, "1": 2.5}}, {"temps.0": 1.5, "temps.1": 2.5}),
        ({"id": 5, "temps": [1.5, 2.5, 3.5]}, {"id": 5, "temps.0": 1.5, "temps.1": 2.5}),
    ],
    ids=["missing", "a container", "dots in keys", "the name itself", "short", "by number", "beside others"],
)
def test_a_path_leads_to_its_value_or_to_none(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert flattened(as_table([row])) == expected


@pytest.mark.parametrize("row", [{"home": 5}, {"age": 39, "home.zip": 7}, {"home": "x", "temps": None}])
def test_rows_without_nested_values_stay_as_they_are(row: dict[str, Any]) -> None:
    assert flattened(as_table([row])) == row


def test_a_field_that_is_a_variable_itself_is_kept() -> None:
    assert flattened(as_table([{"a": {"b": 1}}]), ("a", "a.b")) == {"a": {"b": 1}, "a.b": 1}


def test_arrays_of_numbers_have_no_nested_values() -> None:
    table = Table(("home", "temps"), np.ones((2, 2)))

    assert Nesting(NAMES).flatten(table, ("home", "temps")) == ("home", "temps")
    assert isinstance(table.rows, np.ndarray)


def test_plans_of_names_that_clients_send_are_bounded() -> None:
    nesting = Nesting(NAMES)

    for number in range(1000):
        nesting.flatten(Table((f"x{number}",), [[1]]), (f"x{number}",))

    assert len(nesting._plans) <= 256
