"""Derived variables of predictions: live counts equal an independent recount, and so do counts from records."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flask_boxkite import Baseline, ConfigError, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.derived import Observed, Row, Text, Vector
from flask_boxkite.derived.vector import VectorRecipe
from flask_boxkite.records import Records
from flask_boxkite.records.counting import RecordCounter
from flask_boxkite.records.decoding import decoder
from flask_boxkite.testing import RecordingSink
from flask_boxkite.values.conversion import InvalidValue, to_number

ROWS = 300
SIZE = 4
WORDS = [
    *("please", "help", "the", "my", "was", "is", "not", "again"),
    *("since", "yesterday", "hello", "thanks", "invoice", "card", "parcel", "late"),
]


def ratio(row: dict[str, Any]) -> Any:
    return row["debt"] / row["income"]


def grade(row: dict[str, Any]) -> Any:
    return "absent" if row["debt"] is None else "high" if row["debt"] > 10 else "low"


FUNCTIONS = {"ratio": ratio, "grade": grade}


def trained() -> Baseline:
    rng = np.random.default_rng(0)
    features = {
        "debt": rng.normal(10, 3, ROWS).round(2),
        "comment": [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(ROWS)],
        "income": rng.normal(50, 9, ROWS).round(2),
        "embedding": rng.normal(size=(ROWS, SIZE)),
        "city": rng.choice(["Berlin", "Paris", "Rome"], ROWS).tolist(),
    }
    derive = {
        **FUNCTIONS,
        "comment": Text("comment"),
        "embedding": Vector("embedding", directions=2),
        "phi": Observed(rng.normal(size=ROWS).round(3)),
        "row": Row(),
    }
    return build_baseline(features, rng.random(ROWS), derive=derive)


BASELINE = trained()
COLUMNS = ("debt", "comment", "income", "embedding", "city")
SERVICE = ModelMonitoringService(BASELINE, sink="none", derive=FUNCTIONS)
RECIPE = next(recipe for recipe in BASELINE.derived if isinstance(recipe, VectorRecipe))

# --- an independent recount -----------------------------------------------------------------------------------------

INVALID = object()


def cell_of(item: Distribution, value: Any) -> str:
    """Return the group of a value, from the file's bounds and categories alone."""
    if value is INVALID:
        return "__invalid__"
    if isinstance(item, Continuous):
        try:
            number = to_number(value)
        except InvalidValue:
            return "__invalid__"
        if math.isnan(number):
            return "__missing__"
        place = sum(number > bound for bound in item.upper_bounds)
        return next(group.name for group in item.groups if group.start <= place < group.stop)
    if value is None:
        return "__missing__"
    if not item.is_text:
        value = str(float(value))
    if value in item.categories:
        place = item.categories.index(value)
        return next(group.name for group in item.groups if group.start <= place < group.stop)
    return "__unseen__" if not item.rare else "__rare__"


def recount(rows: list[dict[str, Any]], phi: Any) -> Counter[tuple[str, str]]:
    """Return the rows of each group of derived variables, worked out from the rows as they were sent."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        derived = {**_ratio(row), **_text(row["comment"]), **_vector(row["embedding"]), "phi": phi}
        derived["row.missing"] = sum(_is_missing(row[name]) for name in COLUMNS)
        for name, value in derived.items():
            counts[name, cell_of(next(item for item in BASELINE.features if item.name == name), value)] += 1
    return counts


def _is_missing(value: Any) -> bool:
    return value is None


def _ratio(row: dict[str, Any]) -> dict[str, Any]:
    debt, income = (float(value) if isinstance(value, str) else value for value in (row["debt"], row["income"]))
    failed = debt is None or income is None or income == 0
    return {
        "ratio": INVALID if failed else debt / income,
        "grade": "absent" if debt is None else "high" if debt > 10 else "low",
    }


def _text(value: Any) -> dict[str, Any]:
    names = [f"comment.{what}" for what in ("length", "words", "letters", "unknown_words")]
    if value is None or isinstance(value, list):
        return dict.fromkeys(names, value and INVALID)
    words = re.findall(r"\w+", value.lower())
    letters = sum(character.isalpha() for character in value) / len(value) if value else None
    unknown = sum(word not in WORDS for word in words) / len(words) if words else None
    return dict(zip(names, (len(value), len(words), letters, unknown), strict=True))


def _vector(value: Any) -> dict[str, Any]:
    names = [f"embedding.{what}" for what in ("norm", "distance", "direction_1", "direction_2", "cluster")]
    if value is None or len(value) != SIZE:
        return dict.fromkeys(names, None if value is None else INVALID)
    arrays = (RECIPE.center, RECIPE.directions, RECIPE.variances, RECIPE.clusters)
    center, directions, variances, clusters = (np.frombuffer(each, "<f4").astype(float) for each in arrays)
    apart = np.array(value, dtype=float) - center
    turned = directions.reshape(-1, SIZE) @ apart
    rest = 0.0 if len(turned) == SIZE else max(apart @ apart - turned @ turned, 0.0)
    distance = math.sqrt(sum(turned**2 / variances[:-1]) + rest / variances[-1])
    numbers = (float(f"{number:.6e}") for number in (np.linalg.norm(value), distance, *turned[:2]))
    away = [float(f"{((value - each) ** 2).sum():.6e}") for each in clusters.reshape(-1, SIZE)]
    return dict(zip(names, (*numbers, f"cluster_{away.index(min(away)) + 1}"), strict=True))


def counted(service: ModelMonitoringService) -> Counter[tuple[str, str]]:
    """Return the rows of each group of derived variables that a service has counted."""
    layout = service.monitor.counter.layout
    cells = service.monitor.counter.counts.totals().cells
    given = len(BASELINE.given)
    return Counter(
        {
            (item.name, group.name): int(cells[item.cells][group.start : group.stop].sum())
            for item in layout.variables[given : len(layout.features)]
            for group in item.distribution.groups
            if item.name != "row.rarity"
        }
    )


NUMBERS = st.one_of(st.none(), st.integers(0, 90), st.floats(0.5, 90).map(lambda number: round(number, 2)))
TEXTS = st.one_of(
    st.none(),
    st.lists(st.sampled_from([*WORDS, "Hello", "xyzzy", "12"]), max_size=6).map(" ".join),
    st.just(["please"]),
)
VECTORS = st.one_of(
    st.none(),
    st.lists(st.floats(-3, 3, width=32), min_size=SIZE, max_size=SIZE),
    st.lists(st.integers(-3, 3), min_size=1, max_size=6),
)
SENT = st.fixed_dictionaries(
    {
        "debt": st.one_of(NUMBERS, st.sampled_from(["7", "12.5"])),
        "comment": TEXTS,
        "income": NUMBERS,
        "embedding": VECTORS,
        "city": st.sampled_from(["Berlin", "Paris", "Oslo", None]),
    }
)
FULL = {"debt": 9.5, "comment": "please help", "income": 50.0, "embedding": [1.0, 0.0, -1.0, 0.5], "city": "Rome"}


@example([FULL], "object", 0.25)
@example([FULL, FULL], "positions", None)
@example([{**FULL, "embedding": [0, 0]}] * 2, "objects", None)
@settings(max_examples=60, deadline=None)
@given(
    st.lists(SENT, min_size=1, max_size=4),
    st.sampled_from(["object", "objects", "positions", "columns", "reversed"]),
    st.one_of(st.none(), st.floats(-3, 3).map(lambda number: round(number, 3))),
)
def test_live_counts_equal_an_independent_recount(rows: list[dict[str, Any]], layout: str, phi: Any) -> None:
    sent: Any = rows
    if layout == "object":
        sent, rows = rows[0], rows[:1]
    elif layout == "positions":
        sent = [[row[name] for name in COLUMNS] for row in rows]
    elif layout == "columns":
        sent = {name: [row[name] for row in rows] for name in COLUMNS}
        if isinstance(rows[0]["comment"], list) and len(rows) == 1:
            rows = [{**rows[0], "comment": rows[0]["comment"][0]}]  # a list of one is its value
        if len(rows) > 1 and any(isinstance(row["comment"], list) for row in rows):
            rows = [{**row, "comment": row["comment"][0]} if isinstance(row["comment"], list) else row for row in rows]
        if any(row["embedding"] is not None and len(row["embedding"]) == 1 for row in rows):
            return  # likewise
    elif layout == "reversed":
        sent = [{"other": 1, **dict(reversed(row.items()))} for row in rows]
    before = counted(SERVICE)
    SERVICE.log_prediction(features=sent, output=[0.5] * len(rows), observed=None if phi is None else {"phi": phi})

    after = counted(SERVICE)
    assert after - before == recount(rows, phi)


def test_counts_from_records_equal_live_counts_to_the_last(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    service = ModelMonitoringService(BASELINE, sink="file", log_dir=str(tmp_path), derive=FUNCTIONS)

    def row(index: int) -> dict[str, Any]:
        return {
            "debt": [None, "12", 3.5, -4][index % 4],
            "comment": [None, "", "please HELP 東京", ["x"]][index % 4],
            "income": rng.normal(50, 9),
            "embedding": [None, rng.normal(size=SIZE).tolist(), [1], [[1, 2], [3, math.nan]]][index % 4],
            "city": ["Rome", "Oslo"][index % 2],
        }

    for index in range(40):
        service.log_prediction(features=row(index), output=0.5, observed={"phi": index / 40, "more": "x"})
    service.log_prediction(features=[row(index) for index in range(9)], output=[0.5] * 9, observed={"phi": [1.0] * 9})
    service.log_prediction(features=[list(row(index).values()) for index in range(5)], output=[0.1] * 5)
    service.log_prediction(features=[1, 2], output=0.5)
    service.log_prediction(features={"unknown": 1}, output=0.5, observed={"phi": 1.0})
    assert service.flush() == 0

    layout = service.monitor.counter.layout
    live = service.monitor.counter.counts.totals().cells
    _, cells, _ = Records(tmp_path).observed(BASELINE)
    assert cells.tolist() == live[: layout.buckets_start].tolist()
    counter = RecordCounter(BASELINE, math.inf)
    decode = decoder(counter.aligner.features).one
    lines = [line for path in tmp_path.rglob("*.txt") for line in path.read_bytes().splitlines()]
    counter.add([decode(line) for line in lines])
    slots = counter.segments[""].slots.values()
    assert sum(slot.buckets for slot in slots).tolist() == live[layout.buckets_start : layout.squares].tolist()
    service.close()


def test_frames_and_new_baselines_have_derived_variables(tmp_path: Path) -> None:
    service = ModelMonitoringService(BASELINE, sink="file", log_dir=str(tmp_path), derive=FUNCTIONS)
    rng = np.random.default_rng(2)
    for _ in range(60):
        row = {**FULL, "debt": rng.normal(10, 3), "embedding": rng.normal(size=SIZE).tolist()}
        service.log_prediction(features=row, output=rng.random(), observed={"phi": 0.25, "more": 3})
    service.flush()
    records = Records(tmp_path)
    open_frame, frame = records.to_frame("pandas"), records.to_frame("pandas", BASELINE)
    assert set(frame["comment.words"]) == set(open_frame["comment.words"]) == {2}
    assert set(open_frame["more"]) == {3}
    assert "more" not in frame.columns

    made = records.to_baseline(baseline=BASELINE)
    assert (made.derived, made.columns) == (BASELINE.derived, BASELINE.columns)
    assert [item.name for item in made.features] == [item.name for item in BASELINE.features]
    assert "comment.words" not in [item.name for item in records.to_baseline().features]
    report = records.drift(made, by="comment.words")
    assert [segment.rows for segment in report] == [60]
    service.close()


def test_pairs_of_derived_variables_are_counted_whenever_their_values_come(tmp_path: Path) -> None:
    """An observed value comes after the outputs were counted; vectors are in no pair, since some rows do not count."""
    assert [recipe.kind for recipe in BASELINE.derived if isinstance(recipe, VectorRecipe)] == ["vector"]
    paired = [BASELINE.distributions[place].name for pair in BASELINE.pairs for place in (pair.first, pair.second)]
    assert {"comment.length", "comment.words"} <= set(paired)
    assert not any(name.startswith("embedding.") for name in paired)

    service = ModelMonitoringService(BASELINE, sink="none", derive=FUNCTIONS)
    for _ in range(7):
        service.log_prediction(features=FULL, output=0.5, observed={"phi": 0.25})
    service.log_prediction(features=[FULL] * 30, output=[0.5] * 30, observed={"phi": 0.25})
    layout = service.monitor.counter.layout
    cells = service.monitor.counter.counts.totals().cells[layout.pairs_start :]
    assert int(cells.sum()) == 37 * len(BASELINE.pairs)
    assert sorted(set(cells.tolist())) == [0, 37]


# --- set-up and failures --------------------------------------------------------------------------------------------


def test_a_missing_function_is_an_error_of_set_up() -> None:
    with pytest.raises(ConfigError) as caught:
        ModelMonitoringService(BASELINE, sink="none", derive={"ratio": ratio})
    assert str(caught.value) == (
        "The baseline of model 'default' has the derived variable 'grade', which a function computes. Give the "
        "function of training by that name: derive={'grade': function} of Boxkite() or ModelMonitoringService()."
    )


@pytest.mark.parametrize(
    "derive", [[ratio], {"ratio": 5}, {"default": {"ratio": 5}}], ids=["list", "number", "of model"]
)
def test_functions_come_by_name(derive: Any) -> None:
    with pytest.raises(ConfigError, match=r"^'derive' must map names to functions of a row, such as"):
        ModelMonitoringService(BASELINE, sink="none", derive=derive)


def test_functions_may_come_by_model() -> None:
    derive = {"default": FUNCTIONS, "other": {"ratio": len}, "grade": len}
    service = ModelMonitoringService(BASELINE, sink="none", derive=derive)  # type: ignore[arg-type]
    service.log_prediction(features=FULL, output=0.5)
    assert counted(service)["grade", "low"] == 1


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ([0.1, 9e9], {"__above__": 1}),
        (np.array([9e9, 9e9]), {"__above__": 2}),
        (9e9, {"__above__": 2}),
        ([1.0], {"__invalid__": 2}),
        ("text", {"__invalid__": 2}),
        (None, {"__missing__": 2}),
    ],
    ids=str,
)
def test_observed_values_belong_to_rows(values: Any, groups: dict[str, int]) -> None:
    service = ModelMonitoringService(BASELINE, sink="none", derive=FUNCTIONS)
    service.log_prediction(features=[FULL, FULL], output=[0.5, 0.5], observed={"phi": values})
    counts = counted(service)
    assert {group: counts["phi", group] for group in groups} == groups


def test_a_failing_function_is_logged_once_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    service = ModelMonitoringService(BASELINE, sink="none", derive=FUNCTIONS)
    for _ in range(3):
        assert service.log_prediction(features={**FULL, "income": 0}, output=0.5)
    assert counted(service)["ratio", "__invalid__"] == 3
    assert [record.message for record in caplog.records] == [
        "The function 'ratio' in 'derive' failed, so its value is invalid; the response is not affected."
    ]


def test_features_that_do_not_fit_have_no_derived_values() -> None:
    sink = RecordingSink()
    service = ModelMonitoringService(BASELINE, sink=sink, derive=FUNCTIONS)
    service.log_prediction(features=[1, 2, 3], output=0.5, observed={"phi": 1})
    (record,) = sink.wait_for(1)
    assert "derived" not in record
    assert sum(counted(service).values()) == 0
    service.close()


def test_values_that_no_baseline_knows_stand_in_the_record_alone() -> None:
    """So they can become training values of the next baseline."""
    sink = RecordingSink()
    service = ModelMonitoringService(sink=sink, baseline=build_baseline({"a": [1, 2, 3]}))
    service.log_prediction(features={"a": 1}, output=0.5, observed={"tokens": np.int64(12), "phi": [0.5]})
    (record,) = sink.wait_for(1)
    assert record["derived"] == {"tokens": 12, "phi": [0.5]}
    service.close()


# --- vectors alone --------------------------------------------------------------------------------------------------


def image_service() -> ModelMonitoringService:
    rng = np.random.default_rng(1)
    baseline = build_baseline({"image": rng.random((100, 2, 3))}, derive={"image": Vector("image", directions=1)})
    return ModelMonitoringService(baseline, sink="none")


IMAGE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
NESTED = [IMAGE[:3], IMAGE[3:]]


@pytest.mark.parametrize(
    ("features", "rows"),
    [
        ({"image": IMAGE}, 1),
        ({"image": NESTED}, 1),
        ([{"image": IMAGE}, {"image": NESTED}], 2),
        ({"image": [IMAGE, IMAGE]}, 2),
        ({"image": [NESTED, NESTED, NESTED]}, 3),
        (IMAGE, 1),
        ([IMAGE, IMAGE, IMAGE], 3),
        (NESTED, 1),
        ([[IMAGE], [IMAGE]], 2),
        (np.array(IMAGE), 1),
        (np.array([IMAGE] * 4), 4),
        ({"image": np.array([IMAGE] * 4)}, 4),
        (np.array(NESTED), 1),
    ],
    ids=str,
)
def test_vectors_are_read_in_every_layout(features: Any, rows: int) -> None:
    service = image_service()
    single = image_service()
    single.log_prediction(features=[{"image": IMAGE}])
    service.log_prediction(features=features)
    layout = service.monitor.counter.layout
    cells = [each.monitor.counter.counts.totals().cells for each in (service, single)]
    assert int(cells[0][layout.statuses_start]) == rows
    assert cells[0][: layout.outputs_start].tolist() == (rows * cells[1][: layout.outputs_start]).tolist()


def test_vectors_of_another_size_are_invalid_rows() -> None:
    service = image_service()
    endless: list[Any] = []
    endless.append(endless)
    service.log_prediction(features=[endless])
    service = image_service()
    for features in ({"image": IMAGE[:4]}, [IMAGE[:4]], {"image": [IMAGE[:4], IMAGE[:4]]}):
        service.log_prediction(features=features)
    report = service.drift()
    assert {variable.name: variable.live_rows for variable in report} == dict.fromkeys(
        ("image.norm", "image.distance", "image.cluster", "image.direction_1"), 4
    )
    assert {row["invalid_now"] for row in report.to_rows()} == {1.0}
