"""Examples of values that could not be read: the form of a text without its digits and letters."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from flask_boxkite.naming import REDACTED
from flask_boxkite.values.unread import Examples, UnreadValue, listed_forms, listed_values, unread_value


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("12,5", "99,9"),
        ("€ 1'200", "€ 9'999"),
        ("bob@example.com", "aaa@aaaaaaa.aaa"),
        ("Zürich 年", "aaaaaa a"),
        ("٣,٤", "9,9"),
        (" Unknown ", "Unknown"),
        ("known", "aaaaa"),
        ("a\x1b[2J\nb", "a�[9a�a"),
        ("x" * 500, "a" * 23 + "…"),
    ],
)
def test_a_form_keeps_signs_and_hides_digits_and_letters(value: str, form: str) -> None:
    assert unread_value(value).form == form


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([1], "list"),
        ((1,), "list"),
        ({"a": 1}, "object"),
        (b"x", "bytes"),
        (object(), "object"),
        (type("Odd\nname", (), {})(), "Odd�name"),
    ],
)
def test_other_values_have_only_a_kind(value: Any, kind: str) -> None:
    assert unread_value(value) == UnreadValue(kind)


@pytest.mark.parametrize("value", ["12,5", 7, Decimal("7.5")])
def test_a_hidden_value_has_only_a_kind(value: Any) -> None:
    assert unread_value(value, is_shown=False)[1:] == ("", "")
    assert unread_value(value)[1:] != ("", "")


def test_a_redacted_text_is_no_form() -> None:
    assert unread_value(REDACTED) == UnreadValue("text")


def test_a_derived_value_gives_the_reason_and_a_clients_object_does_not() -> None:
    value = {"invalid": "ZeroDivisionError"}
    assert listed_values([unread_value(value, is_derived=True)]) == "rows with ZeroDivisionError"
    assert listed_values([unread_value(value)]) == "objects"


def test_examples_are_listed_by_kind() -> None:
    examples = [unread_value(value) for value in ("12,5", [1], "€ 30", 4, "unknown", {1})]
    assert listed_values(examples) == (
        "texts such as '12,5' and '€ 30' and 'unknown', lists, numbers such as '4', values of type set"
    )
    assert listed_forms(examples) == (
        "texts like '99,9' and '€ 99' and 'unknown', lists, numbers like '9', values of type set "
        "(9: any digit, a: any letter)"
    )
    assert listed_forms([unread_value("unknown")]) == "texts like 'unknown'"


def test_the_first_two_forms_are_kept_and_all_values_counted() -> None:
    examples = Examples()
    for value in ("12,5", "13,5", "x", "€ 30"):
        examples.note(value)
    assert (examples.count, [each.value for each in examples.found]) == (4, ["12,5", "x"])
