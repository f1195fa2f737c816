"""Segments of a baseline hold the rows of training by the groups of all variables, from any source of data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flask_boxkite import Baseline, BaselineError, ModelMonitoringService
from flask_boxkite.baseline.segment_baselines import segment_baselines
from flask_boxkite.baseline.segmentation import MOST_SEGMENTS
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.pairing import PairingLimits
from flask_boxkite.baseline.training.segmenting import MOST_SEGMENTATIONS, with_segments
from flask_boxkite.derived import Observed, Vector
from flask_boxkite.naming import MISSING, RARE
from tests.live.test_segment_cells import group_of, segment_of

ROWS = 500


def columns(rows: int = ROWS) -> dict[str, list[Any]]:
    """Return columns with missing values, and more towns than have a segment each."""
    rng = np.random.default_rng(4)
    found: dict[str, list[Any]] = {
        "age": rng.normal(40, 10, rows).tolist(),
        "city": rng.choice(["Oslo", "Rome", "Bonn"], rows, p=[0.6, 0.3, 0.1]).tolist(),
        "visits": rng.integers(0, 4, rows).tolist(),
        "town": rng.choice([f"town {number}" for number in range(14)], rows).tolist(),
        "score": rng.random(rows).tolist(),
    }
    for number in range(0, rows, 17):
        found["age"][number] = None
        found["city"][number + 1] = None
    return found


COLUMNS = columns()
FEATURES = {name: column for name, column in COLUMNS.items() if name != "score"}
SCORES = COLUMNS["score"]


def built(features: Any = FEATURES, inference: Any = SCORES, *, segments: Any = ("city",), **options: Any) -> Baseline:
    """Return a baseline with segments."""
    derive = options.pop("derive", None)
    return build_baseline(
        features, inference, BaselineOptions.of(**options), segments=segments, derive=derive, progress=False
    )


def recounted(baseline: Baseline, name: str, table: dict[str, list[Any]]) -> dict[str, Counter[tuple[str, str]]]:
    """Return the rows of each segment by variable and group, by comparing values with bounds and categories."""
    segmentation = baseline.segmentation_by(name)
    assert segmentation is not None
    variable = baseline.distributions[segmentation.variable]
    found: dict[str, Counter[tuple[str, str]]] = {segment: Counter() for segment in segmentation.names}
    for number, value in enumerate(table[name]):
        own = found[segment_of(variable, segmentation.segments, value)]
        own.update(
            (item.name, group_of(item, table[item.name if item.name in table else "score"][number]))
            for item in baseline.distributions
        )
    return found


def counts_of(baseline: Baseline, name: str) -> dict[str, Counter[tuple[str, str]]]:
    """Return the same of the baseline."""
    segmentation = baseline.segmentation_by(name)
    assert segmentation is not None
    groups = [(item.name, group.name) for item in baseline.distributions for group in item.groups]
    return {
        segment: Counter({group: count for group, count in zip(groups, own, strict=True) if count})
        for segment, own in zip(segmentation.names, segmentation.counts, strict=True)
    }


@pytest.mark.parametrize("name", ["city", "age", "visits", "town", "output"])
def test_segments_hold_the_rows_of_their_values(name: str) -> None:
    baseline = built(segments=[name])

    assert counts_of(baseline, name) == recounted(baseline, name, COLUMNS | {"output": SCORES})
    (item,) = baseline.segmentations
    assert len(item.segments) <= MOST_SEGMENTS
    assert sum(own.rows for own in segment_baselines(baseline, item)) == ROWS
    assert item.side_and_name(baseline.variables) == ("output" if name == "output" else "feature", name)


def test_the_most_frequent_values_have_segments_and_the_others_share_one() -> None:
    (item,) = built(segments=["town"]).segmentations
    frequent = [town for town, _ in Counter(COLUMNS["town"]).most_common()]

    assert set(item.segments) <= set(frequent)
    counts = Counter(COLUMNS["town"])
    assert sorted(counts[town] for town in item.segments) == sorted(counts.values())[-MOST_SEGMENTS:]
    assert item.names[-1] == RARE


def test_missing_values_are_among_all_others() -> None:
    baseline = built()
    others = counts_of(baseline, "city")[RARE]

    assert others["city", MISSING] == COLUMNS["city"].count(None) > 0
    assert others.total() == 5 * COLUMNS["city"].count(None)


def test_variables_stand_in_their_order_and_once() -> None:
    baseline = built(segments=["output", "visits", "city", "visits"])
    assert [baseline.variables[item.variable].name for item in baseline.segmentations] == ["city", "visits", "output"]


def test_probabilities_of_equal_rows_are_of_each_segment() -> None:
    """Of Rome all rows are equal, of Oslo none."""
    rows = 200
    city = ["Oslo", "Rome"] * (rows // 2)
    x = [float(number) if number % 2 == 0 else 1.0 for number in range(rows)]
    (item,) = built({"city": city, "x": x}, None).segmentations
    found = dict(zip(item.names, item.collisions, strict=True))

    assert found["Rome"] == pytest.approx(1.0, abs=0.02)
    assert found["Oslo"] == 0.0
    assert found[RARE] is None


# --- sources of data -------------------------------------------------------------------------------------------------

SEGMENTS = ["city", "visits", "output"]


def in_memory() -> Baseline:
    return built(segments=SEGMENTS)


@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy", "iterator"])
def test_any_source_gives_the_same_segments(kind: str) -> None:
    frame = {name: FEATURES[name] for name in FEATURES}
    sources: dict[str, Callable[[], Any]] = {
        "pandas": lambda: pd.DataFrame(frame),
        "polars": lambda: pl.DataFrame(frame),
        "lazy": lambda: pl.LazyFrame({**frame, "score": SCORES}),
        "iterator": lambda: iter(frame.items()),
    }
    features = sources[kind]()
    segments = ["city", "visits", "score"] if kind == "lazy" else SEGMENTS
    found = built(features, "score" if kind == "lazy" else SCORES, segments=segments)
    expected = in_memory()

    assert [item.counts for item in found.segmentations] == [item.counts for item in expected.segmentations]
    assert [item.segments for item in found.segmentations] == [item.segments for item in expected.segmentations]


@pytest.mark.parametrize("size", [1, 7, 100, ROWS])
def test_chunks_of_few_rows_give_the_same_segments(size: int) -> None:
    """As few as are in a sample, and whose bins are exact."""

    def chunks() -> Iterator[dict[str, list[Any]]]:
        for start in range(0, ROWS, size):
            yield {name: column[start : start + size] for name, column in COLUMNS.items()}

    found = Baseline.from_chunks(chunks(), inference="score", segments=["city", "visits", "score"], progress=False)
    whole = built({**FEATURES, "score": SCORES}, "score", segments=["city", "visits", "score"])

    assert [item.name for item in found.distributions] == [item.name for item in whole.distributions]
    for name in ("city", "visits", "score"):
        assert counts_of(found, name) == recounted(found, name, COLUMNS)
        assert found.segmentation_by(name).segments == whole.segmentation_by(name).segments  # type: ignore[union-attr]


def test_a_sample_of_many_rows_is_counted() -> None:
    rows = 4000
    table = columns(rows)
    baseline = build_baseline({name: table[name] for name in FEATURES}, table["score"], pairs=False, progress=False)
    features = {name: table[name] for name in FEATURES}
    found = with_segments(baseline, ["city"], features, {"output": table["score"]}, limits=PairingLimits(rows=1000))
    (item,) = found.segmentations
    own = segment_baselines(Baseline.of(found), item)

    assert sum(each.rows for each in own) == 1000
    shares = {name: each.rows / 1000 for name, each in zip(item.names, own, strict=True)}
    assert shares["Oslo"] == pytest.approx(table["city"].count("Oslo") / rows, abs=0.06)  # four standard errors


# --- columns that are no features ------------------------------------------------------------------------------------


def test_an_excluded_column_only_segments_rows() -> None:
    baseline = built(exclude=["city"], segments=["city"])

    assert [item.name for item in baseline.features] == ["age", "visits", "town", "city"]
    assert [recipe.kind for recipe in baseline.derived] == ["observed"]
    assert baseline.inputs == ("age", "visits", "town")
    expected = recounted(baseline, "city", COLUMNS | {"output": SCORES})
    assert counts_of(baseline, "city") == expected


def test_values_that_are_no_column_segment_rows() -> None:
    tenants = [f"tenant {number % 3}" for number in range(ROWS)]
    baseline = built(segments={"tenant": tenants, "city": None})

    assert [item.name for item in baseline.derived] == ["tenant"]
    assert counts_of(baseline, "tenant") == recounted(baseline, "tenant", COLUMNS | {"tenant": tenants})
    assert baseline.segmentation_by("city") is not None


# --- errors ----------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": (
        {"segments": ["cty"]},
        "'segments' names 'cty', which is neither a feature nor an output. Did you mean 'city'?",
    ),
    "a text": (
        {"segments": "city"},
        "'segments' must be a list of names, or a mapping of names to values, got 'city'.",
    ),
    "a number": ({"segments": 3}, "'segments' must be a list of names, or a mapping of names to values, got 3."),
    "no names": ({"segments": [3]}, "'segments' must be names of columns, got [3]."),
    "too many": (
        {"segments": ["age", "city", "visits", "town", "output", "other"]},
        f"'segments' names 6 variables; {MOST_SEGMENTATIONS} are possible.",
    ),
    "also derived": (
        {"segments": ["city"], "exclude": ["city"], "derive": {"city": Observed("city")}},
        "'segments' and 'derive' both make the variable 'city'. Take it out of 'exclude'.",
    ),
    "an output of other rows": (
        {"segments": ["output"], "inference": SCORES[:100]},
        "Rows cannot be segmented by 'output', which is counted on other rows than the features.",
    ),
    "only rare values": (
        {"segments": ["id"], "features": {**FEATURES, "id": [f"id {number}" for number in range(ROWS)]}},
        "Rows cannot be segmented by 'id', which has only rare values, or none. Leave it out.",
    ),
}


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_option_is_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BaselineError) as caught:
        built(**options)
    assert str(caught.value) == said


def test_variables_of_vectors_segment_no_rows(rng: np.random.Generator) -> None:
    """They are counted on the half of the rows that their directions do not come from."""
    features = {"city": COLUMNS["city"], "embedding": rng.normal(size=(ROWS, 4))}
    with pytest.raises(BaselineError, match=r"which is counted on other rows than the features\.$"):
        built(features, segments=["embedding.norm"], derive={"embedding": Vector("embedding", directions=2)})

    baseline = built(features, derive={"embedding": Vector("embedding", directions=2)})
    own = counts_of(baseline, "city")
    assert {name for counts in own.values() for name, _ in counts} == {"city", "output"}
    assert own["Oslo"]["city", "Oslo"] == COLUMNS["city"].count("Oslo")


def test_outputs_of_other_rows_are_not_counted_by_segment() -> None:
    baseline = built(inference=SCORES[:100])
    assert {name for counts in counts_of(baseline, "city").values() for name, _ in counts} == set(FEATURES)


def test_the_service_and_the_file_have_them(tmp_path: Path) -> None:
    path = tmp_path / "histogram.prom"
    baseline = ModelMonitoringService.export_text(FEATURES, SCORES, path, segments=SEGMENTS, progress=False)

    assert Baseline.load(path).segmentations == baseline.segmentations == in_memory().segmentations
