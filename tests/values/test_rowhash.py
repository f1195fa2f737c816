"""The hash of rows: the same row by row and in batches, in every process, and even for every kind of rows."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite.values.rowhash import MISSING_TEXT, MISSING_WORD, ROW_BUCKETS, bucket_of, buckets_of, text_word

ANY_WORD = st.one_of(
    st.floats().map(lambda value: struct.pack("<d", value)),
    st.sampled_from([-0.0, 0.0, math.inf, -math.inf, MISSING_WORD, 5e-324, 1e308]).map(lambda v: struct.pack("<d", v)),
    st.integers(0, 2**64 - 1).map(lambda word: struct.pack("<Q", word)),
    st.text(max_size=5).map(lambda text: struct.pack("<Q", text_word(text))),
    st.just(struct.pack("<Q", MISSING_TEXT)),
)


@st.composite
def rows_of_words(draw: st.DrawFn) -> list[bytes]:
    """Draw rows of one to 300 variables, some of which come again."""
    width = draw(st.integers(1, 6) | st.integers(1, 300))
    pool = draw(st.lists(ANY_WORD, min_size=1, max_size=8))
    number = draw(st.integers(1, 20))
    steps = [draw(st.integers(1, 7)) for _ in range(number)]
    return [
        b"".join(pool[(row + column * step) % len(pool)] for column in range(width)) for row, step in enumerate(steps)
    ]


def words_of(rows: list[bytes]) -> NDArray[np.uint64]:
    """Return rows as an array of words."""
    return np.frombuffer(b"".join(rows), "<u8").reshape(len(rows), -1)


@given(rows_of_words())
def test_a_batch_is_counted_as_its_rows_are(rows: list[bytes]) -> None:
    expected = Counter(map(bucket_of, rows))
    found = buckets_of(words_of(rows))

    assert found.shape == (ROW_BUCKETS,)
    assert {bucket: count for bucket, count in enumerate(found.tolist()) if count} == expected


@given(rows_of_words(), st.sampled_from(["columns first", "every second row", "big-endian"]))
def test_the_order_in_memory_does_not_matter(rows: list[bytes], order: str) -> None:
    words = words_of(rows)
    layouts = {
        "columns first": np.asfortranarray(words),
        "every second row": np.repeat(words, 2, axis=0)[::2],
        "big-endian": words.astype(">u8"),
    }

    assert buckets_of(layouts[order]).tolist() == buckets_of(words).tolist()


@pytest.mark.parametrize("width", [1, 2, 255, 1000])
def test_the_largest_words_do_not_overflow(width: int) -> None:
    row = b"\xff" * 8 * width

    assert buckets_of(words_of([row])).argmax() == bucket_of(row)


def test_no_rows_fill_no_bucket() -> None:
    assert buckets_of(np.empty((0, 3), np.uint64)).tolist() == [0] * ROW_BUCKETS


def test_the_order_of_the_variables_matters() -> None:
    rows = [struct.pack("<8d", *[0.0] * place, 1.0, *[0.0] * (7 - place)) for place in range(8)]

    assert len(set(map(bucket_of, rows))) >= 7


# --- evenness --------------------------------------------------------------------------------------------------------


def one_hot(n: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return rows of 30 yes-or-no features in groups of ten, and a number that tells them apart."""
    choices = np.eye(10)[rng.integers(0, 10, (n, 3))].reshape(n, 30)
    return np.column_stack([choices, rng.permutation(n)])


def distinct(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the rows that are there, once each."""
    return np.unique(rows, axis=0)


N = 100_000
KINDS = {
    "normal": lambda rng: rng.normal(size=(N, 5)),
    "one normal": lambda rng: rng.normal(size=(N, 1)),
    "float32": lambda rng: distinct(rng.normal(size=(N, 2)).astype(np.float32).astype(np.float64)),
    "rounded": lambda rng: distinct(rng.normal(size=(N, 3)).round(2)),
    "small integers": lambda rng: distinct(rng.integers(0, 10, (N, 6)).astype(float)),
    "consecutive integers": lambda rng: np.arange(N, dtype=float)[:, np.newaxis],
    "consecutive pairs": lambda rng: np.column_stack([np.arange(N), np.arange(N)[::-1]]).astype(float),
    "halves": lambda rng: np.arange(N)[:, np.newaxis] / 2,
    "hundredths": lambda rng: np.arange(N)[:, np.newaxis] / 100,
    "one-hot": one_hot,
    "prices": lambda rng: distinct((rng.lognormal(3, 1, (N, 2)) * 20).round() / 20 - 0.01),
    "seconds": lambda rng: 1_790_000_000.0 + np.arange(N)[:, np.newaxis],
    "milliseconds": lambda rng: distinct(1.79e12 + np.cumsum(rng.integers(1, 90, N))[:, np.newaxis].astype(float)),
    "grid": lambda rng: np.stack(np.meshgrid(np.arange(316.0), np.arange(316.0)), axis=-1).reshape(-1, 2),
    "powers of two": lambda rng: distinct(2.0 ** rng.integers(-30, 30, (N, 3))),
    "negative": lambda rng: -np.arange(1.0, N)[:, np.newaxis],
}


@pytest.mark.parametrize("kind", KINDS)
def test_different_rows_fill_all_buckets_by_chance(kind: str, rng: np.random.Generator) -> None:
    """χ² over its degrees of freedom is 1 with a standard deviation of 0.09; buckets filled evenly would give 0."""
    make: Any = KINDS[kind]
    rows = make(N, rng) if kind == "one-hot" else make(rng)
    assert len(np.unique(rows, axis=0)) == len(rows) >= 30_000
    counts = buckets_of(np.ascontiguousarray(rows, "<f8").view("<u8"))
    expected = len(rows) / ROW_BUCKETS

    assert 0.8 < ((counts - expected) ** 2 / expected).sum() / (ROW_BUCKETS - 1) < 1.2


@pytest.mark.parametrize("kind", ["normal", "numbers in a row"])
def test_millions_of_different_rows_do_not_seem_to_recur(kind: str, rng: np.random.Generator) -> None:
    """χ² over its degrees of freedom is how often each row seems to have come."""
    counts = np.zeros(ROW_BUCKETS, np.int64)
    for million in range(8):
        numbers = np.arange(million * 1e6, (million + 1) * 1e6) if kind != "normal" else rng.normal(size=1_000_000)
        counts += buckets_of(numbers[:, np.newaxis].view("<u8"))
    expected = 8e6 / ROW_BUCKETS

    assert 0.8 < ((counts - expected) ** 2 / expected).sum() / (ROW_BUCKETS - 1) < 1.2


STARTS, STEPS = [0.0, 1.0, -5000.0, 20240101.0, 1.7e9, 1.7e12, 2.0**40], [1, 0.5, 0.1, 2, 3, 10, 60, 1000, 3600, 65536]


@pytest.mark.parametrize("rows", [300, 2000, 20_000])
def test_numbers_in_a_row_seem_to_come_once_each_wherever_they_begin(rows: int) -> None:
    """As in a model of one timestamp, counter or rank; even buckets would hide rows that recur."""
    for start in STARTS:
        for step in STEPS:
            numbers = start + np.arange(rows) * step
            counts = buckets_of(numbers[:, np.newaxis].view("<u8"))
            expected = rows / ROW_BUCKETS
            found = ((counts - expected) ** 2 / expected).sum() / (ROW_BUCKETS - 1)
            assert 0.6 < found < 1.4, (start, step)


@pytest.mark.parametrize("names", ["user-{}", "{}", "{:032x}", "http://example.org/{}/?page=1", "ü{}"])
def test_different_texts_fill_all_buckets_by_chance(names: str) -> None:
    words = np.array([[text_word(names.format(number))] for number in range(N)], dtype=np.uint64)
    counts = buckets_of(words)
    expected = N / ROW_BUCKETS

    assert 0.7 < ((counts - expected) ** 2 / expected).sum() / (ROW_BUCKETS - 1) < 1.3


def test_missing_values_tell_rows_apart_by_place() -> None:
    """One of 200 features is missing, a different one in each row: of so few, hardly two share a bucket by rule."""
    rows = np.ones((200, 200))
    rows[np.arange(200), np.arange(200)] = MISSING_WORD
    counts = buckets_of(rows.view("<u8"))

    assert np.count_nonzero(counts) > 100
    assert counts.max() < 8


# --- processes -------------------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np
from flask_boxkite.values.rowhash import bucket_of, buckets_of, text_word
rows = np.random.default_rng(1).normal(size=(1000, 7))
print(buckets_of(rows.view("<u8")).tolist(), bucket_of(rows[0].tobytes()), text_word("Ærø\\ud800"), text_word(""))
"""


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_hash_is_the_same_in_every_process(seed: str) -> None:
    rows = np.random.default_rng(1).normal(size=(1000, 7))
    command = [sys.executable, "-c", PROGRAM]
    found = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True)
    expected = buckets_of(rows.view("<u8")).tolist()

    assert (
        found.stdout.decode().strip() == f"{expected} {bucket_of(rows[0].tobytes())} {text_word('Ærø' + chr(0xD800))} 0"
    )


def test_the_hash_stays_the_same_in_later_releases() -> None:
    """Servers of two releases count in one directory while one takes over from the other."""
    assert [bucket_of(struct.pack("<d", value)) for value in (0.0, 1.0, 0.1, -2.5)] == [244, 210, 34, 196]
    assert bucket_of(struct.pack("<dQ", 42.0, text_word("Bonn"))) == 210
