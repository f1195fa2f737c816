"""Variables of a text: its length, its words, its share of letters, and its share of words that training hardly had.

All are independent of the language. A word is a run of letters and digits, in one spelling of capitals; in scripts
without blanks between words, such as Chinese, Japanese or Thai, each letter is a word. Of the words of training, a
baseline keeps 32-bit hashes, and only of words that many rows have: the text of a row cannot be restored, but a guess
can be tested, so a hash does not hide that a word was common in training.
"""

from __future__ import annotations

import base64
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from flask_boxkite.derived.recipe import Recipe, checked_number, checked_source, invalid
from flask_boxkite.values.conversion import InvalidValue, to_text

__all__ = ["Text", "TextRecipe", "hash_of_word", "words_of"]

MOST_WORDS = 100_000
"""Most words that a baseline may know: half a megabyte of its file."""

MOST_READ = 65_536
"""Letters of a text whose words are looked at; its length is exact."""

# The combining marks of words that alphabets of India, Arabic and Hebrew write are no letters to `re`.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u0dff"
)
_WITHOUT_BLANKS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
)
_word = re.compile(rf"[{_WITHOUT_BLANKS}]|(?:(?![{_WITHOUT_BLANKS}])[\w{_MARKS}])+")
_ascii_word = re.compile(r"\w+", re.ASCII)  # the same of ASCII letters, in a fifth of the time


@dataclass(frozen=True)
class Text:
    """Derive numbers from a column of texts, whose place they take.

    Of ``derive={"comment": Text("comment")}``, the variables are ``comment.length`` (characters), ``comment.words``,
    ``comment.letters`` (share of letters among the characters) and ``comment.unknown_words`` (share of the words that
    hardly any training row has). A text without characters has no share of letters, one without words no share
    of unknown words: these are missing.

    Attributes:
        source: Name of the column.
        most_words: Most words that the baseline knows; of more, the ones in most rows. Of equally frequent ones, it
            knows as many as fit.
    """

    source: str
    most_words: int = 10_000

    def __post_init__(self) -> None:
        checked_source("Text", self.source)
        checked_number("most_words", self.most_words, MOST_WORDS)


@dataclass(frozen=True)
class TextRecipe(Recipe):
    """A `Text` with the words of training.

    Attributes:
        source: Name of the column.
        hashes: Hashes of the known words (`hash_of_word`), ascending, as unsigned 32-bit integers, little-endian.
    """

    kind: ClassVar[str] = "text"

    source: str
    hashes: bytes

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its variables."""
        return tuple(f"{self.name}.{what}" for what in ("length", "words", "letters", "unknown_words"))

    @property
    def column(self) -> str:
        """The name of the column."""
        return self.source

    def parameters(self) -> dict[str, Any]:
        """Return everything but the name, as JSON values."""
        return {"source": self.source, "words": base64.b64encode(self.hashes).decode()}

    @classmethod
    def of_parameters(cls, name: str, parameters: Mapping[str, Any]) -> TextRecipe:
        """Return the recipe with these parameters; see `Recipe.of_parameters`."""
        recipe = cls(name, _text(parameters["source"]), base64.b64decode(parameters["words"], validate=True))
        words = np.frombuffer(recipe.hashes, dtype="<u4")
        if len(words) > MOST_WORDS or (words[1:] <= words[:-1]).any():
            raise ValueError
        return recipe

    @classmethod
    def of_words(cls, name: str, source: str, words: Iterable[str]) -> TextRecipe:
        """Return the recipe that knows these words."""
        hashes = np.unique(np.fromiter(map(hash_of_word, words), dtype="<u4"))
        return cls(name, source, hashes.tobytes())

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(np.frombuffer(self.hashes, dtype="<u4").tolist())

    def values(self, value: Any) -> tuple[Any, ...]:
        """Return the values of its variables, in the order of `names`.

        Args:
            value: Text, or another value in its place: all variables of None are missing, of a list invalid.
        """
        try:
            text = to_text(value)
        except InvalidValue:
            return (invalid(type(value).__name__),) * 4
        if text is None:
            return (None,) * 4
        words = words_of(text)
        unknown = len(words) - sum(map(self._known.__contains__, map(hash_of_word, words)))
        return counted(text, words, unknown)


def counted(text: str, words: list[str], unknown: int) -> tuple[Any, ...]:
    """Return the values of a text's variables.

    Args:
        text: The text.
        words: Its words.
        unknown: Number of the words that are not known.
    """
    read = text[:MOST_READ]
    letters = sum(map(str.isalpha, read)) / len(read) if read else None
    return len(text), len(words), letters, unknown / len(words) if words else None


def words_of(text: str) -> list[str]:
    """Return the words of a text, in one spelling.

    >>> words_of("Ship it TODAY, s'il vous plaît: 東京!")
    ['ship', 'it', 'today', 's', 'il', 'vous', 'plaît', '東', '京']
    """
    text = text[:MOST_READ]
    if text.isascii():
        return _ascii_word.findall(text.lower())
    return _word.findall(unicodedata.normalize("NFC", text).casefold())


def hash_of_word(word: str) -> int:
    """Return the 32-bit hash of a word."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
