"""Keys of sections: the same text in every file, and the same key from every text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.live.section import SectionKey

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (SectionKey("model", "m", "0123abcd"), '["model", "m", "0123abcd"]'),
        (SectionKey("model", "", "none"), '["model", "", "none"]'),
        (SectionKey("model", 'Ä "x"', "none"), '["model", "\\u00c4 \\"x\\"", "none"]'),
        (SectionKey("sink", "file"), '["sink", "file"]'),
        (SectionKey("sink", "file", "0123abcd"), '["sink", "file", "0123abcd"]'),
        (SectionKey("files"), '["files"]'),
    ],
    ids=["model", "nameless model", "special characters", "sink of all apps", "sink of an app", "files"],
)
def test_files_hold_a_key_as_this_text(key: SectionKey, text: str) -> None:
    assert str(key) == text
    assert SectionKey.parse(text) == key


@given(st.builds(SectionKey, TEXTS, TEXTS, TEXTS))
def test_a_key_that_is_written_is_read(key: SectionKey) -> None:
    assert SectionKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "model", "{}", "[]", '"model"', "[1]", '["a", "b", "c", "d"]', '["a", null]'])
def test_a_text_that_is_not_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting value|is not the key of a section"):
        SectionKey.parse(text)
