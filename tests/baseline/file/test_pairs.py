"""The pairs of a baseline stand in its file, and damaged lines of them are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.file.reader import loads
from flask_boxkite.baseline.file.writer import render
from flask_boxkite.baseline.pairs import CELLS, PARTS, Pair
from tests.baseline.strategies import baselines

AGE = Continuous("age", (0.0, 10.0, 20.0, 30.0), (0, 5, 7, 3, 1), (0.0, 20.0, 30.0), missing=2, invalid=4)
CITY = Discrete("city", ("Bonn", "Ulm"), (12, 7), rare=2, missing=1)
SCORE = Continuous("age", (0.25, 0.5), (3, 14, 5), (0.25, 0.5))
BASELINE = Baseline((AGE, CITY), (SCORE,), 22, pairs=(Pair(0, 1, tuple(range(CELLS))), Pair(0, 2, (22, *[0] * 15))))


def lines_of(baseline: Baseline) -> list[str]:
    """Return the lines of pairs in a file."""
    return [line for line in render(baseline).splitlines() if "boxkite_pair" in line]


@given(baselines())
def test_what_was_written_is_read_back_equal(baseline: Baseline) -> None:
    text = render(baseline)
    found = loads(text)

    assert found.pairs == baseline.pairs
    assert found.fingerprint == baseline.fingerprint
    assert ("boxkite_pair" in text) == bool(baseline.pairs)


@given(baselines().filter(lambda baseline: "\r" not in repr(baseline)))
def test_prometheus_client_reads_the_counts_by_the_parts_of_both(baseline: Baseline) -> None:
    families = {family.name: family for family in text_string_to_metric_families(render(baseline))}
    if not baseline.pairs:
        assert "boxkite_pair_info" not in families
        return
    infos = {sample.labels["pair"]: sample.labels for sample in families["boxkite_pair_info"].samples}
    found = {
        (sample.labels["pair"], int(sample.labels["first_part"]), int(sample.labels["second_part"])): sample.value
        for sample in families["boxkite_pair_baseline"].samples
    }

    assert len(infos) == len(baseline.pairs)
    for pair in baseline.pairs:
        label = pair.label(baseline.variables)
        for which, place in (("first", pair.first), ("second", pair.second)):
            side, item, _ = baseline.variables[place]
            assert (infos[label][which], infos[label][f"{which}_side"]) == (item.name, side)
        counts = [found.pop((label, a, b)) for a in range(1, PARTS + 1) for b in range(1, PARTS + 1)]
        assert counts == list(pair.counts)
    assert not found


def test_the_lines_are_what_the_contract_says() -> None:
    about = f'model="default",baseline="{BASELINE.fingerprint}"'
    lines = lines_of(BASELINE)

    assert lines[:4] == [
        "# HELP boxkite_pair_info Variables of each pair.",
        "# TYPE boxkite_pair_info gauge",
        f'boxkite_pair_info{{{about},pair="age, city",first="age",first_side="feature",second="city",'
        'second_side="feature"} 1',
        f'boxkite_pair_info{{{about},pair="age, age (output)",first="age",first_side="feature",second="age",'
        'second_side="output"} 1',
    ]
    assert lines[4:8] == [
        "# HELP boxkite_pair_baseline_total Rows by the parts of both variables of each pair, in training.",
        "# TYPE boxkite_pair_baseline_total counter",
        f'boxkite_pair_baseline_total{{{about},pair="age, city",first_part="1",second_part="1"}} 0',
        f'boxkite_pair_baseline_total{{{about},pair="age, city",first_part="1",second_part="2"}} 1',
    ]
    assert lines[-1] == (
        f'boxkite_pair_baseline_total{{{about},pair="age, age (output)",first_part="4",second_part="4"}} 0'
    )


def test_a_file_of_an_earlier_release_has_no_pairs() -> None:
    alone = replace(BASELINE, pairs=())

    assert lines_of(alone) == []
    assert loads(render(alone)).pairs == ()


# --- damage ----------------------------------------------------------------------------------------------------------

Damage = Callable[[str], str]
SECOND = 'pair="age, city",first_part="1",second_part="2"'


def replaced(old: str, new: str) -> Damage:
    """Return a damage of the first line that has a text."""
    return lambda text: text.replace(old, new, 1)


def without(part: str) -> Damage:
    """Return a damage that takes the first line with a text away."""
    return lambda text: re.sub(f"(?m)^[^\n]*{re.escape(part)}[^\n]*\n", "", text, count=1)


def twice(part: str) -> Damage:
    """Return a damage that has the first line with a text a second time."""
    return lambda text: re.sub(f"(?m)^([^#\n]*{re.escape(part)}[^\n]*\n)", r"\1\1", text, count=1)


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "a count twice": (twice(SECOND), SECOND, "parts 1 and 2 of the pair 'age, city' are there twice."),
    "a pair twice": (twice("boxkite_pair_info{"), "boxkite_pair_info{", "pair 'age, city' is declared twice."),
    "a count less": (without(SECOND), "boxkite_pair_info{", "the pair 'age, city' has 15 counts, expected 16."),
    "a part beyond": (
        replaced(SECOND, SECOND.replace('"2"', '"5"')),
        'second_part="5"',
        "'second_part' must be a number from 1 to 4, got '5'.",
    ),
    "a part that is no number": (
        replaced(SECOND, SECOND.replace('"1"', '"one"')),
        'first_part="one"',
        "'first_part' must be a number from 1 to 4, got 'one'.",
    ),
    "no part": (
        replaced(SECOND, SECOND.replace(',second_part="2"', "")),
        'pair="age, city",first_part="1"}',
        "'second_part' must be a number from 1 to 4, got ''.",
    ),
    "no pair": (
        replaced(SECOND, 'first_part="1",second_part="2"'),
        f'baseline="{BASELINE.fingerprint}",first_part="1"',
        "'boxkite_pair_baseline_total' does not say of which pair it is.",
    ),
    "an unknown pair": (
        replaced(SECOND, SECOND.replace("city", "town")),
        'pair="age, town"',
        "'boxkite_pair_baseline_total' is of the pair 'age, town', which no '_info' line before it declares.",
    ),
    "an unknown variable": (
        replaced('second="city",second_side', 'second="town",second_side'),
        'second="town"',
        "the pair 'age, city' is not of two variables of this file, in their order.",
    ),
    "the other order": (
        replaced('first="age",first_side="feature",second="city"', 'first="city",first_side="feature",second="age"'),
        'first="city"',
        "the pair 'age, city' is not of two variables of this file, in their order.",
    ),
    "the same variable": (
        replaced('first="age",first_side="feature",second="city"', 'first="city",first_side="feature",second="city"'),
        'first="city"',
        "the pair 'age, city' is not of two variables of this file, in their order.",
    ),
    "no side": (
        replaced('first="age",first_side="feature",', 'first="age",'),
        'pair="age, city",first="age",second',
        "the pair 'age, city' is not of two variables of this file, in their order.",
    ),
}


@pytest.mark.parametrize(("damage", "at", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_line_is_named(damage: Damage, at: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "histogram.prom"
    text = damage(render(BASELINE))
    assert text != render(BASELINE)
    path.write_text(text)
    with pytest.raises(BaselineError) as caught:
        Baseline.load(path)

    places = [number for number, line in enumerate(text.splitlines(), 1) if at in line and not line.startswith("#")]
    expected = places[1] if "twice" in said else places[0]
    assert caught.value.line == expected
    assert str(caught.value).startswith(f"Baseline file '{path}', line {expected}: {said}")


@pytest.mark.parametrize("value", ["-1", "1.5", "NaN", "+Inf", "1e300"])
def test_a_count_is_a_whole_number(value: str) -> None:
    lines = render(BASELINE).splitlines()
    (place,) = [place for place, line in enumerate(lines) if SECOND in line]
    lines[place] = f"{lines[place].rpartition(' ')[0]} {value}"
    with pytest.raises(BaselineError) as caught:
        loads("\n".join(lines) + "\n")

    assert caught.value.line == place + 1


@given(st.integers(0, CELLS - 1), st.integers(1, 10))
def test_a_changed_count_is_another_identity(place: int, by: int) -> None:
    pair = BASELINE.pairs[0]
    counts = tuple(count + by * (number == place) for number, count in enumerate(pair.counts))
    changed = render(replace(BASELINE, pairs=(Pair(0, 1, counts), BASELINE.pairs[1])))
    other = replace(BASELINE, pairs=(Pair(0, 1, counts), BASELINE.pairs[1]))

    assert other.fingerprint != BASELINE.fingerprint
    with pytest.raises(BaselineError):
        loads(changed.replace(other.fingerprint, BASELINE.fingerprint))
