"""Variables of texts: words in any script, shares, and what stands in the place of a text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import BaselineError
from flask_boxkite.derived import Text
from flask_boxkite.derived.documents import document_of, recipe_of
from flask_boxkite.derived.text import MOST_READ, TextRecipe, hash_of_word, words_of

RECIPE = TextRecipe.of_words("comment", "comment", ["please", "help", "東"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Please HELP, please!", ["please", "help", "please"]),
        ("don't stop_now 24/7", ["don", "t", "stop_now", "24", "7"]),
        ("東京 is big", ["東", "京", "is", "big"]),
        ("ภาษา", ["ภ", "า", "ษ", "า"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("e\u0301te\u0301 ÉTÉ", ["été", "été"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("…?!", []),
        ("", []),
    ],
)
def test_words_are_told_apart_in_any_script(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_texts_have_the_words_that_other_texts_have(text: str) -> None:
    """They take a faster way: the same text with a letter outside of ASCII does not."""
    assert words_of(f"{text} é") == [*words_of(text), "é"]


def test_a_text_has_a_length_words_and_two_shares() -> None:
    assert RECIPE.names == ("comment.length", "comment.words", "comment.letters", "comment.unknown_words")
    assert RECIPE.values("Please help: 東 12!") == (18, 4, 11 / 18, 1 / 4)


@pytest.mark.parametrize(
    ("value", "values"),
    [
        (None, (None, None, None, None)),
        (float("nan"), (None, None, None, None)),
        ("", (0, 0, None, None)),
        ("?!", (2, 0, 0.0, None)),
        (12, (2, 1, 0.0, 1.0)),
        (["please"], ({"invalid": "list"},) * 4),
        ({"b64": "cGxlYXNl"}, (6, 1, 1.0, 0.0)),
    ],
    ids=repr,
)
def test_what_stands_in_the_place_of_a_text(value: Any, values: tuple[Any, ...]) -> None:
    assert RECIPE.values(value) == values


def test_of_a_huge_text_only_the_length_is_exact() -> None:
    """A client must not keep the server busy."""
    length, words, letters, unknown = RECIPE.values("please " * 100_000)
    assert (length, letters, unknown) == (700_000, pytest.approx(6 / 7, abs=1e-4), pytest.approx(0, abs=1e-3))
    assert words == len(re.findall(r"\w+", ("please " * 100_000)[:MOST_READ]))


@given(st.sets(st.text(min_size=1), max_size=50))
def test_a_recipe_is_the_same_from_its_document(words: set[str]) -> None:
    recipe = TextRecipe.of_words("a", "b", words)
    again = recipe_of(document_of(recipe))
    assert again == recipe
    assert isinstance(again, TextRecipe)
    assert all(again._known >= {hash_of_word(word)} for word in words)


def test_the_file_has_hashes_and_no_word() -> None:
    assert "please" not in str(document_of(RECIPE))


@pytest.mark.parametrize(
    "damage", [{"words": "x"}, {"words": 1}, {"source": None}, {"kind": "x"}, {"name": 1}], ids=str
)
def test_a_damaged_recipe_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="damaged, or from a later release"):
        recipe_of({**document_of(RECIPE), **damage})


def test_options_are_checked() -> None:
    with pytest.raises(BaselineError, match=r"^'Text' takes the name of a column, such as Text\('comment'\), got 3\.$"):
        Text(3)  # type: ignore[arg-type]
    with pytest.raises(BaselineError, match=r"^'most_words' must be an integer from 1 to 100,000, got 0\.$"):
        Text("comment", most_words=0)
