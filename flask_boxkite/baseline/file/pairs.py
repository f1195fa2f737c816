"""The pairs in a baseline file: the two variables of each, and the rows of training by the parts of both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.file.buckets import read_count
from flask_boxkite.baseline.file.damage import fail
from flask_boxkite.baseline.pairs import CELLS, PARTS, Pair
from flask_boxkite.baseline.variables import Variable
from flask_boxkite.promtext.family import Family, label_text
from flask_boxkite.promtext.sample import Sample

__all__ = ["PAIR_INFO", "PairSamples", "pair_families", "pair_info_lines", "part_labels"]

PAIR_INFO = Family("boxkite_pair_info", "gauge", "Variables of each pair.")
COUNTS = Family("boxkite_pair_baseline", "counter", "Rows by the parts of both variables of each pair, in training.")

MOST_PAIRS = 10_000


def part_labels(pair: Pair, variables: Sequence[Variable]) -> list[str]:
    """Return the label text of each count of a pair."""
    label = pair.label(variables)
    return [
        label_text(pair=label, first_part=str(first), second_part=str(second))
        for first in range(1, PARTS + 1)
        for second in range(1, PARTS + 1)
    ]


def pair_info_lines(pairs: Sequence[Pair], variables: Sequence[Variable], labels: str) -> str:
    """Return the lines that name the variables of each pair."""
    lines = []
    for pair in pairs:
        first, second = variables[pair.first], variables[pair.second]
        about = label_text(
            pair=pair.label(variables),
            first=first.name,
            first_side=first.side,
            second=second.name,
            second_side=second.side,
        )
        lines.append(f"{PAIR_INFO.name}{{{labels},{about}}} 1\n")
    return "".join(lines)


def pair_families(pairs: Sequence[Pair], variables: Sequence[Variable], labels: str) -> Iterator[tuple[Family, str]]:
    """Yield the families that hold the pairs, with their lines.

    Args:
        pairs: The pairs.
        variables: All variables of the baseline.
        labels: Label text of every sample.
    """
    yield PAIR_INFO, pair_info_lines(pairs, variables, labels)
    yield (
        COUNTS,
        "".join(
            f"{COUNTS.sample_name}{{{labels},{own}}} {count}\n"
            for pair in pairs
            for own, count in zip(part_labels(pair, variables), pair.counts, strict=True)
        ),
    )


class PairSamples:
    """The samples of pairs in a file, gathered before all variables are known."""

    def __init__(self) -> None:
        self._infos: dict[str, Sample] = {}
        self._counts: dict[str, dict[tuple[int, int], int]] = {}

    def take(self, sample: Sample) -> bool:
        """Keep a sample if it is of a pair; return whether it is.

        Raises:
            BaselineError: A label is wrong or missing.
        """
        if sample.name not in (PAIR_INFO.name, COUNTS.sample_name):
            return False
        label = sample.labels.get("pair")
        if label is None:
            fail(f"'{sample.name}' does not say of which pair it is.", sample.line)
        if sample.name == PAIR_INFO.name:
            if label in self._infos:
                fail(f"pair {label!r} is declared twice.", sample.line)
            if len(self._infos) == MOST_PAIRS:
                fail(f"the file has more than the {MOST_PAIRS:,} pairs that a baseline may have.", sample.line)
            self._infos[label], self._counts[label] = sample, {}
            return True

        if label not in self._infos:
            fail(f"'{sample.name}' is of the pair {label!r}, which no '_info' line before it declares.", sample.line)
        place = (_part(sample, "first_part"), _part(sample, "second_part"))
        if place in self._counts[label]:
            fail(f"parts {place[0]} and {place[1]} of the pair {label!r} are there twice.", sample.line)
        self._counts[label][place] = read_count(sample)
        return True

    def pairs(self, features: Sequence[Distribution], outputs: Sequence[Distribution]) -> tuple[Pair, ...]:
        """Return the pairs.

        Args:
            features: Distributions of the features.
            outputs: Distributions of the outputs.

        Raises:
            BaselineError: A pair is of an unknown variable, or lacks counts.
        """
        known = [("feature", item.name) for item in features] + [("output", item.name) for item in outputs]
        places = {variable: place for place, variable in enumerate(known)}
        return tuple(self._pair(label, sample, places) for label, sample in self._infos.items())

    def _pair(self, label: str, sample: Sample, places: dict[tuple[str, str], int]) -> Pair:
        found = [
            places.get((sample.labels.get(f"{which}_side", ""), sample.labels.get(which, "")))
            for which in ("first", "second")
        ]
        first, second = found
        if first is None or second is None or first >= second:
            fail(f"the pair {label!r} is not of two variables of this file, in their order.", sample.line)
        counts = self._counts[label]
        if len(counts) != CELLS:
            fail(f"the pair {label!r} has {len(counts)} counts, expected {CELLS}.", sample.line)
        return Pair(first, second, tuple(counts[place] for place in sorted(counts)))


def _part(sample: Sample, label: str) -> int:
    text = sample.labels.get(label, "")
    if not re.fullmatch(f"[1-{PARTS}]", text):
        fail(f"'{label}' must be a number from 1 to {PARTS}, got {text!r}.", sample.line)
    return int(text)
