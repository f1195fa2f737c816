"""The segments of a baseline stand in its file as comments, and damaged ones are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline.file.reader import loads
from flask_boxkite.baseline.file.writer import render
from flask_boxkite.baseline.segmentation import Segmentation, possible_segments
from tests.baseline.strategies import baselines
from tests.baseline.test_segmentation import BASELINE, BY_CITY, COUNTS, SCORE

OF_OUTPUT = Segmentation(2, (SCORE.groups[1].name,), COUNTS[:2], (0.125, None))
BOTH = replace(BASELINE, segmentations=(BY_CITY, OF_OUTPUT))
PREFIX = "# boxkite: segments_0 "


def comments_of(text: str) -> list[str]:
    """Return the comments with segments."""
    return [line for line in text.splitlines() if line.startswith("#") and " segments_" in line]


@st.composite
def segmented(draw: st.DrawFn) -> Baseline:
    """Draw a baseline with segments of any variables."""
    baseline = draw(baselines())
    groups = sum(len(item.groups) for item in baseline.distributions)
    found: list[Segmentation] = []
    has_segments = draw(
        st.lists(st.booleans(), min_size=len(baseline.distributions), max_size=len(baseline.distributions))
    )
    for place, item in enumerate(baseline.distributions):
        segments = possible_segments(item)
        if segments and has_segments[place]:
            number = len(segments) + 1
            counts = draw(st.lists(st.integers(0, 2**40), min_size=number, max_size=number))
            chances = draw(st.lists(st.none() | st.floats(0, 1), min_size=number, max_size=number))
            found.append(Segmentation(place, segments, tuple((count,) * groups for count in counts), tuple(chances)))
    return replace(baseline, segmentations=tuple(found))


@given(segmented())
def test_what_was_written_is_read_back_equal(baseline: Baseline) -> None:
    text = render(baseline)
    found = loads(text)

    assert found.segmentations == baseline.segmentations
    assert found.fingerprint == baseline.fingerprint
    assert len(comments_of(text)) == len(baseline.segmentations)


def test_the_lines_are_json_and_prometheus_client_leaves_them() -> None:
    text = render(BOTH)
    lines = comments_of(text)
    families = list(text_string_to_metric_families(text))

    assert [json.loads(line.partition(f"segments_{number} ")[2]) for number, line in enumerate(lines)] == [
        {
            "side": "feature",
            "variable": "city",
            "segments": ["Bonn", "Ulm"],
            "collisions": [0.0, 0.5, None],
            "counts": [list(own) for own in COUNTS],
        },
        {
            "side": "output",
            "variable": "age",
            "segments": ["(0.25,0.5]"],
            "collisions": [0.125, None],
            "counts": [list(own) for own in COUNTS[:2]],
        },
    ]
    assert not any("segment" in family.name for family in families)


def test_a_file_of_an_earlier_release_has_no_segments() -> None:
    alone = replace(BOTH, segmentations=())
    assert comments_of(render(alone)) == []
    assert loads(render(alone)).segmentations == ()


def test_the_names_of_boxkite_have_no_place_for_them(tmp_path: Path) -> None:
    with pytest.raises(BaselineError) as caught:
        BASELINE.dump(tmp_path / "histogram.prom", names="boxkite")
    assert str(caught.value) == (
        "The names of boxkite 0.0.5 have no place for segments. Write the file with names='labels'."
    )
    assert not list(tmp_path.iterdir())


# --- damage ----------------------------------------------------------------------------------------------------------

Damage = Callable[[dict[str, Any]], Any]


def without(key: str) -> Damage:
    """Return a damage that takes a key away."""
    return lambda document: {name: value for name, value in document.items() if name != key}


def replaced(key: str, value: Any) -> Damage:
    """Return a damage of one value."""
    return lambda document: document | {key: value}


DAMAGES: dict[str, Damage] = {
    **{f"no {key}": without(key) for key in ("side", "variable", "segments", "collisions", "counts")},
    "another variable": replaced("variable", "town"),
    "another side": replaced("side", "output"),
    "a side that is a list": replaced("side", []),
    "no segments at all": replaced("segments", []),
    "a segment twice": replaced("segments", ["Bonn", "Bonn"]),
    "segments that are no list": replaced("segments", 3),
    "a segment less": replaced("segments", ["Bonn"]),
    "a count that is no number": replaced("counts", [["x"] * len(own) for own in COUNTS]),
    "a count that is no whole number": replaced("counts", [[0.5] * len(own) for own in COUNTS]),
    "a negative count": replaced("counts", [[-1] * len(own) for own in COUNTS]),
    "counts of other groups": replaced("counts", [own[1:] for own in COUNTS[:2]] + [COUNTS[2]]),
    "counts that are no list": replaced("counts", 3),
    "a probability that is no number": replaced("collisions", ["x", 0.0, 0.0]),
    "a list": lambda document: [document],
    "a number": lambda document: 3,
    "null": lambda document: None,
}


def damaged(text: str, damage: Damage) -> str:
    """Return a file with a damage of its first segments."""
    (line,) = comments_of(text)[:1]
    head, _, document = line.partition("{")
    return text.replace(line, head + json.dumps(damage(json.loads("{" + document))))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_comment_is_named(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / "histogram.prom"
    path.write_text(damaged(render(BOTH), damage))
    with pytest.raises(BaselineError) as caught:
        Baseline.load(path)

    assert str(caught.value).startswith(
        f"Baseline file '{path}': the comment 'segments_0' is damaged, or from a later release. Export the file again."
    )


@pytest.mark.parametrize("text", ["", "{", "x", "[" * 100_000, '{"side": "feature"', "NaN"])
def test_a_comment_that_is_no_json_is_named(text: str) -> None:
    rendered = render(BOTH)
    (line,) = comments_of(rendered)[:1]
    with pytest.raises(BaselineError, match=r"^the comment 'segments_0' is damaged, or from a later release\."):
        loads(rendered.replace(line, line.partition("{")[0] + text))


@pytest.mark.parametrize("groups", [-1, 1])
def test_counts_of_other_groups_in_all_segments_are_refused(groups: int) -> None:
    counts = [[1] * (len(COUNTS[0]) + groups)] * 3
    with pytest.raises(BaselineError, match="groups, and segments of others"):
        loads(damaged(render(BOTH), replaced("counts", counts)))


@pytest.mark.parametrize("number", [0, 1])
def test_lost_or_changed_segments_are_another_identity(number: int) -> None:
    rendered = render(BOTH)
    line = comments_of(rendered)[number]
    for changed in (rendered.replace(line + "\n", ""), rendered.replace(line, line.replace("[[0, 1,", "[[1, 1,"))):
        with pytest.raises(BaselineError):
            loads(changed)
