"""Did you mean: capitals, blanks, underscores and typos are seen through; other names are not taken for the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.monitoring.nearest import nearest


@pytest.mark.parametrize(
    ("wanted", "given_name"),
    [
        pytest.param("age", "Age", id="capital"),
        pytest.param("annual income", "annual_income", id="underscore for a blank"),
        pytest.param("annual_income", " AnnualIncome ", id="outer blanks"),
        pytest.param("petal length (cm)", "petal_length_cm", id="brackets"),
        pytest.param("income", "incme", id="typo"),
        pytest.param("age.years", "age-years", id="other signs"),
        pytest.param("größe", "GRÖSSE", id="letters that casefold"),
        pytest.param("x1", "X_1", id="number"),
    ],
)
def test_names_that_are_probably_meant(wanted: str, given_name: str) -> None:
    assert nearest([wanted], ["something else", given_name]) == {wanted: given_name}


@pytest.mark.parametrize(
    ("wanted", "given_name"),
    [
        pytest.param("age", "income", id="other name"),
        pytest.param("feature_1", "feature_2", id="other number"),
        pytest.param("lag12", "lag21", id="digits in another order"),
        pytest.param("ab", "cd", id="short"),
        pytest.param("", "age", id="empty"),
        pytest.param("%", "#", id="signs alone"),
    ],
)
def test_names_that_are_not(wanted: str, given_name: str) -> None:
    assert nearest([wanted], [given_name]) == {}


def test_a_name_is_meant_once_and_the_same_spelling_first() -> None:
    assert nearest(["incomes", "income"], ["Income"]) == {"incomes": "Income"}
    assert nearest(["income"], ["incomes", "INCOME"]) == {"income": "INCOME"}


def test_only_the_first_names_are_compared() -> None:
    assert nearest(["age"], [*(f"n{i}" for i in range(50)), "Age"]) == {}


@given(st.lists(st.text(max_size=5)), st.lists(st.text(max_size=5)))
def test_any_names_are_matched_one_to_one(wanted: list[str], names: list[str]) -> None:
    found = nearest(wanted, names)
    assert found.keys() <= set(wanted)
    assert set(found.values()) <= set(names)
    assert len(set(found.values())) == len(found)
