"""Derived variables in training: from data in any form, and such that new rows of the same kind look the same."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flask_boxkite import Baseline, BaselineError, BinMismatchError, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Distribution
from flask_boxkite.baseline.file.reader import loads
from flask_boxkite.baseline.file.writer import render
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.derived import Observed, Row, Text, Vector
from flask_boxkite.derived.text import TextRecipe
from flask_boxkite.derived.vector import VectorRecipe
from flask_boxkite.live.deriving import RowDeriver
from flask_boxkite.payloads import Table
from flask_boxkite.records import Records

WORDS = [
    *("please", "help", "the", "my", "was", "is", "not", "again"),
    *("since", "yesterday", "hello", "thanks", "invoice", "card", "parcel", "late"),
]
ROWS = 200


def texts(number: int, seed: int) -> list[str]:
    """Return texts of some words, and of words that no other text has."""
    rng = np.random.default_rng(seed)
    return [" ".join([*rng.choice(WORDS, rng.integers(2, 9)), f"x{seed}y{row}"]) for row in range(number)]


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "comment": texts(rows, seed),
        "debt": rng.normal(10, 3, rows).round(2),
        "income": rng.normal(50, 9, rows).round(2),
        "embedding": rng.normal(size=(rows, 6)),
        "city": rng.choice(["Berlin", "Paris", "Rome"], rows, p=[0.6, 0.3, 0.1]).tolist(),
    }


def ratio(row: dict[str, Any]) -> Any:
    return None if row["debt"] is None else row["debt"] / row["income"]


DERIVE = {
    "debt_ratio": ratio,
    "comment": Text("comment"),
    "embedding": Vector("embedding", directions=2),
    "row": Row(),
    "shap": Observed([index / ROWS for index in range(ROWS)]),
}
NAMES = (
    *("debt", "income", "city", "debt_ratio"),
    *(f"comment.{what}" for what in ("length", "words", "letters", "unknown_words")),
    *(f"embedding.{what}" for what in ("norm", "distance", "cluster", "direction_1", "direction_2")),
    *("shap", "row.missing", "row.rarity"),
)


def built(features: Any, derive: Any = DERIVE, **others: Any) -> Baseline:
    return build_baseline(features, derive=derive, clock=lambda: 0, **others)


def feature(baseline: Baseline, name: str) -> Distribution:
    return next(item for item in baseline.features if item.name == name)


def continuous(baseline: Baseline, name: str) -> Continuous:
    item = feature(baseline, name)
    assert isinstance(item, Continuous)
    return item


# --- data in all forms ----------------------------------------------------------------------------------------------


def _records(data: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {name: np.asarray(column).tolist() for name, column in data.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "mapping": lambda data: data,
    "pairs": lambda data: iter(data.items()),
    "lists": lambda data: {name: np.asarray(column).tolist() for name, column in data.items()},
    "rows": _records,
    "pandas": lambda data: pd.DataFrame({**data, "embedding": list(data["embedding"])}),
    "polars": lambda data: pl.DataFrame(data),
    "polars lists": lambda data: pl.DataFrame({**data, "embedding": data["embedding"].tolist()}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_same_baseline(form: str) -> None:
    baseline = built(FORMS[form](columns()))
    assert baseline == built(columns())
    assert tuple(item.name for item in baseline.features) == NAMES
    assert baseline.columns == ("comment", "debt", "income", "embedding", "city")
    assert [item.name for item in baseline.given] == ["debt", "income", "city"]


def test_values_are_those_of_an_independent_computation() -> None:
    data = columns()
    baseline = built(data)
    expected = {
        "debt_ratio": data["debt"] / data["income"],
        "comment.length": [len(text) for text in data["comment"]],
        "comment.words": [len(text.split()) for text in data["comment"]],
        "comment.letters": [sum(c.isalpha() for c in text) / len(text) for text in data["comment"]],
        "shap": [index / ROWS for index in range(ROWS)],
    }
    for name, values in expected.items():
        item = continuous(baseline, name)
        below = np.searchsorted(item.upper_bounds, np.asarray(values, dtype=float))
        assert item.counts == tuple(np.bincount(below, minlength=len(item.counts)).tolist()), name


def test_the_file_holds_all_but_functions(tmp_path: Path) -> None:
    baseline = ModelMonitoringService.export_text(columns(), path=tmp_path / "baseline.prom", derive=DERIVE)
    assert Baseline.load(tmp_path / "baseline.prom") == baseline
    assert Baseline.of(loads(render(baseline))) == baseline
    text = (tmp_path / "baseline.prom").read_text()
    assert 'feature="comment.words",position="5",kind="continuous",derived="text"' in text
    assert 'feature="debt",position="0",kind="continuous"}' in text
    assert not any(word in text for word in WORDS if len(word) > 5)


def test_parameters_are_part_of_the_identity() -> None:
    one, other = (built({"comment": texts(ROWS, 0)}, {"comment": Text("comment", most)}) for most in (3, 9))
    words = [len(recipe.hashes) // 4 for recipe in (*one.derived, *other.derived) if isinstance(recipe, TextRecipe)]
    assert words[0] <= 3 < words[1] <= 9
    recounted = replace(other, derived=one.derived)
    assert len({one.fingerprint, other.fingerprint, recounted.fingerprint}) == 3


def test_derived_variables_go_beside_outputs_and_actual_values() -> None:
    data = columns()
    scores = np.random.default_rng(1).random(ROWS)
    whole = {**data, "score": scores, "hit": scores > 0.5}
    by_name = built(whole, inference="score", actual="hit")
    apart = built(data, inference={"score": scores}, actual=scores > 0.5)
    assert by_name.fingerprint == apart.fingerprint
    assert by_name.validation is not None


def test_functions_see_all_columns_and_missing_values_as_none() -> None:
    """Also columns that are excluded: they can be sent beside the features."""
    seen: list[dict[str, Any]] = []

    def note(row: dict[str, Any]) -> int:
        seen.append(row)
        return len(seen) % 7

    data = {"a": np.array([1.5, math.nan] * 20), "b": ["x", None] * 20, "id": list(range(40)), "y": [0.5] * 40}
    options = BaselineOptions.of(exclude=["id"])
    baseline = build_baseline(data, "y", options, derive={"note": note})
    assert seen[:2] == [{"a": 1.5, "b": "x", "id": 0}, {"a": None, "b": None, "id": 1}]
    assert [item.name for item in baseline.features] == ["a", "b", "note"]
    assert baseline.columns == ("a", "b")


def test_a_function_that_fails_for_some_rows_gives_invalid_values() -> None:
    data = {"a": [0.0, *range(1, 60)], "b": list(range(60))}
    baseline = built(data, {"inverse": lambda row: 1 / row["a"]})
    assert feature(baseline, "inverse").invalid == 1
    assert baseline.row_collisions == 0.0


@pytest.mark.parametrize("odd", [math.inf, np.float32(-math.inf), 2**70], ids=repr)
@pytest.mark.parametrize("is_discrete", [False, True], ids=["bins", "categories"])
def test_numbers_that_json_lacks_count_as_in_a_column(odd: Any, is_discrete: bool, tmp_path: Path) -> None:
    """In training, live, and in records, where they are texts."""
    values = [odd, *(row % 3 / 2 if is_discrete else row / 7 for row in range(1, 90)), *[odd] * 10]
    data = {"place": list(range(100))}
    by_place = dict(enumerate(values))

    def computed(row: dict[str, Any]) -> Any:
        return by_place[row["place"]]

    baseline, plain = built(data, {"v": computed}), built({**data, "v": values}, {})
    assert feature(baseline, "v") == feature(plain, "v")

    service = ModelMonitoringService(baseline, derive={"v": computed}, log_dir=tmp_path)
    for place in range(100):
        service.log_prediction(features={"place": place})
    service.flush()
    for report in (service.drift(), Records(tmp_path).drift(baseline)):
        assert report["v"].now == report["v"].before


# --- new rows of the same kind --------------------------------------------------------------------------------------


def _shares(item: Continuous, values: Any) -> np.ndarray[Any, Any]:
    """Return the share of values in each group."""
    found = np.searchsorted(item.group_bounds, np.asarray(values, dtype=float))
    return np.bincount(found, minlength=len(item.group_bounds) + 1) / len(values)


def _outside(baseline: Baseline, name: str, values: Any) -> float:
    """Return the share of values outside of training's quartiles, less the same share of training."""
    item = continuous(baseline, name)
    reached = np.cumsum(item.counts) / sum(item.counts)
    lower, upper = (int(np.searchsorted(reached, share)) for share in (0.25, 0.75))
    found = np.searchsorted(item.upper_bounds, np.asarray(values, dtype=float))
    own = 1 - (reached[upper] - reached[lower])
    return float(((found <= lower) | (found > upper)).mean() - own)


def test_new_texts_have_no_more_unknown_words_than_training() -> None:
    """Words of one text alone are unknown in training too, and a common word is known by the other texts."""
    baseline = built({"comment": texts(2000, 0)}, {"comment": Text("comment")})
    recipe = baseline.recipes["comment"]
    assert isinstance(recipe, TextRecipe)
    fresh = [recipe.values(text)[3] for text in texts(2000, 1)]
    item = continuous(baseline, "comment.unknown_words")
    assert np.abs(np.cumsum(_shares(item, fresh) - _trained_shares(item))).max() < 0.05


def _trained_shares(item: Continuous) -> np.ndarray[Any, Any]:
    ends = [item.upper_bounds.index(bound) + 1 for bound in item.group_bounds]
    return np.diff([0, *np.cumsum(item.counts)[np.array(ends) - 1], sum(item.counts)]) / sum(item.counts)


def test_rare_words_of_training_look_as_rare_as_new_ones() -> None:
    """Each has a word that four other texts have: it is unknown in training, as it would be in a new text."""
    rows = [f"same {index // 5}a" for index in range(100)]
    baseline = built({"comment": rows}, {"comment": Text("comment")})
    recipe = baseline.recipes["comment"]
    assert isinstance(recipe, TextRecipe)
    assert recipe.values("same 3a")[3] == 0.0
    item = continuous(baseline, "comment.unknown_words")
    assert np.searchsorted(item.upper_bounds, 0.5) == int(np.argmax(item.counts))


def test_of_equally_frequent_words_as_many_are_known_as_fit() -> None:
    """Each of 400 words has 6 rows, and there is room for 100: the smallest CRCs, whatever the order of rows."""
    rows = [f"w{index}" for index in range(400)] * 6
    baseline, backwards = (built({"t": each}, {"t": Text("t", most_words=100)}) for each in (rows, rows[::-1]))
    recipe = baseline.recipes["t"]
    assert recipe == backwards.recipes["t"]
    assert isinstance(recipe, TextRecipe)
    smallest = sorted(zlib.crc32(word.encode()) for word in set(rows))[:100]
    assert np.frombuffer(recipe.hashes, dtype="<u4").tolist() == smallest

    item = continuous(baseline, "t.unknown_words")
    assert (item.counts[1], sum(item.counts)) == (600, 2400)  # known in as many rows as live
    assert sum(recipe.values(row)[3] == 0 for row in rows) == 600


@pytest.mark.parametrize("most", [100, 250])
def test_new_words_are_known_as_often_as_words_of_training_where_there_are_too_many(most: int) -> None:
    """Words that have many rows by chance alone are known, and are no more frequent in new rows."""
    rng = np.random.default_rng(7)
    names = np.array([f"w{index}" for index in range(400)])
    baseline = built({"t": rng.choice(names, 3200).tolist()}, {"t": Text("t", most_words=most)})
    recipe = baseline.recipes["t"]
    assert isinstance(recipe, TextRecipe)
    assert len(recipe.hashes) == 4 * most
    fresh = np.mean([recipe.values(word)[3] for word in rng.choice(names, 20_000).tolist()])
    item = continuous(baseline, "t.unknown_words")
    known = item.counts[1] / sum(item.counts)
    assert fresh == pytest.approx(1 - most / 400, abs=0.015)
    assert 1 - known == pytest.approx(fresh, abs=0.04)


def test_directions_look_no_further_apart_in_training_than_in_new_vectors() -> None:
    """80 vectors of 60 components vary twice as much along directions that were fitted to them as new ones do."""
    rng = np.random.default_rng(3)
    baseline = built({"v": rng.normal(size=(160, 60))}, {"v": Vector("v", directions=3)})
    recipe = baseline.recipes["v"]
    assert isinstance(recipe, VectorRecipe)
    fresh = np.array(recipe.rows(rng.normal(size=(4000, 60))), dtype=object)
    for place, name in enumerate(recipe.names):
        assert feature(baseline, name).rows == 80
        if name == "v.cluster":
            continue
        assert abs(_outside(baseline, name, fresh[:, place])) < 0.2, name


def test_rows_of_training_are_no_less_rare_than_new_ones() -> None:
    """With few rows a bin, each row makes its own bins much less rare."""
    rng = np.random.default_rng(5)
    names = [f"f{index}" for index in range(20)]
    baseline = built(dict(zip(names, rng.normal(size=(20, 100)), strict=True)), {"row": Row()})
    monitor = ModelMonitoringService(baseline, sink="none").monitor
    deriver = monitor.counter.inputs
    assert isinstance(deriver, RowDeriver)
    fresh = deriver.extended(Table(None, rng.normal(size=(2000, 20)).tolist()), monitor.new_tally())
    assert abs(_outside(baseline, "row.rarity", [row[-1] for row in fresh.rows])) < 0.2


# --- chunks, merging, records ---------------------------------------------------------------------------------------


def test_chunks_take_fitted_recipes_functions_and_columns_of_observed_values() -> None:
    data = {**columns(), "phi": np.arange(ROWS) / 7}
    sample = built(columns(100, seed=9), {name: DERIVE[name] for name in ("comment", "embedding")})
    derive = {**sample.recipes, "debt_ratio": ratio, "shap": Observed("phi")}
    chunks = [{name: column[at : at + 60] for name, column in data.items()} for at in range(0, ROWS, 60)]
    made = Baseline.from_chunks(iter(chunks), derive=derive)
    whole = built(data, derive)
    assert (made.features, made.derived, made.columns) == (whole.features, whole.derived, whole.columns)
    assert feature(made, "embedding.norm").rows == ROWS


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            Text("comment"),
            "Text, as 'd', is fitted to rows in memory. Fit it to a sample first: derive={'d': sample.recipes['d']}, "
            "where sample is the baseline of some rows.",
        ),
        (Row(), "Row, as 'd', is measured by all rows. Leave it out, or give the rows in memory."),
        (Observed([1]), "Observed, as 'd', needs the name of the column of the chunks that holds its values."),
    ],
    ids=["text", "row", "observed"],
)
def test_chunks_refuse_recipes_that_need_all_rows(recipe: Any, message: str) -> None:
    with pytest.raises(BaselineError) as caught:
        Baseline.from_chunks([columns()], derive={"d": recipe})
    assert str(caught.value) == message


def test_baselines_of_the_same_recipes_can_be_merged() -> None:
    sample = built({"comment": texts(ROWS, 0)}, {"comment": Text("comment")})
    bins = {"debt": [0, 10, 20], "income": [0, 50, 99]}
    bins |= {f"comment.{what}": [0, 0.5, 5, 20, 50] for what in ("length", "words", "letters", "unknown_words")}

    def part(seed: int, derive: Any) -> Baseline:
        data = {name: column for name, column in columns(seed=seed).items() if name in ("comment", "debt", "income")}
        return build_baseline(data, None, BaselineOptions.of(bins=bins), derive=derive)

    merged = part(1, sample.recipes).merge(part(2, sample.recipes))
    assert (merged.rows, merged.derived) == (2 * ROWS, sample.derived)
    for other in ({"comment": Text("comment", 3)}, {**sample.recipes, "row": Row()}):
        with pytest.raises(BinMismatchError):
            part(1, sample.recipes).merge(part(2, other))
    with pytest.raises(BinMismatchError, match=r"^Baselines with derived variables can be merged only if"):
        part(1, {"row": Row(), **sample.recipes}).merge(part(2, {"row": Row(), **sample.recipes}))


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("derive", "message"),
    [
        ({"x": Text("coment")}, "'derive' reads the column 'coment', which the data does not have. Known: 'comment', "),
        ({"x": 5}, "'derive' must have Text, Vector, Row, Observed or a function of a row as 'x', got 5."),
        ({"x": Row}, "'derive' has the class Row as 'x'. Make one of it: Row(...)."),
        ([Row()], "'derive' must be a mapping of names to recipes, such as {'comment': Text('comment')}, got [Row()]."),
        ({"a": Row(), "b": Row()}, "'derive' has two of Row(), which would be the same."),
        ({"debt": ratio}, "The derived variable 'debt' has the name of a column. Give one of them another name."),
        (
            {"x": lambda row: row["nothing"]},
            "The function 'x' in 'derive' fails for every row of the training data, last with KeyError: 'nothing'. It "
            "gets a row as a dict of column names to values.",
        ),
        (
            {"x": Vector("city")},
            "Column 'city' has hardly any vector, as lists or arrays of numbers, for 'x'.",
        ),
        ({"x": Text("embedding")}, "Column 'embedding' has no text, which 'x' would describe."),
        ({"x": Observed([1, 2])}, "Column 'x' has 2 rows, 'comment' has 200. All columns must have the same length."),
    ],
    ids=["source", "recipe", "class", "mapping", "rows", "name", "function", "vector", "text", "length"],
)
def test_errors_say_what_to_do(derive: Any, message: str) -> None:
    data = columns()
    if "x" in derive and isinstance(derive["x"], Observed):
        data.pop("embedding")
    with pytest.raises(BaselineError) as caught:
        built(data, derive)
    assert str(caught.value).startswith(message)


def test_large_vectors_need_fewer_directions_or_components() -> None:
    with pytest.raises(BaselineError, match=r"have 40,000 components.*Ask for 2 directions at most\.$"):
        built({"v": np.random.default_rng(0).normal(size=(40, 40_000))}, {"v": Vector("v")})


def test_huge_vectors_are_refused() -> None:
    vectors = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.raises(
        BaselineError,
        match=r"^The vectors of 'v' have components up to [23]e\+200, and a baseline holds ones up to 1e\+16\. "
        "Leave out rows that are wrong, or divide all vectors by one number, live ones too",
    ):
        built({"v": vectors * 1e200}, {"v": Vector("v")})
    baseline = built({"v": vectors * 1e15}, {"v": Vector("v")})
    assert Baseline.of(loads(render(baseline))) == baseline


def test_vectors_too_long_for_clusters_have_none() -> None:
    baseline = built({"v": np.random.default_rng(0).normal(size=(40, 10_000))}, {"v": Vector("v", directions=5)})
    assert [item.name for item in baseline.features] == [
        *("v.norm", "v.distance"),
        *(f"v.direction_{number}" for number in range(1, 6)),
    ]


def test_vectors_that_never_vary_are_near_themselves_alone() -> None:
    baseline = built({"v": np.ones((40, 5))}, {"v": Vector("v")})
    recipe = baseline.recipes["v"]
    assert isinstance(recipe, VectorRecipe)
    assert recipe.rows([[1, 1, 1, 1, 1]])[0][1:3] == [0.0, "cluster_1"]
    assert recipe.rows([[1, 1, 1, 1, 2]])[0][1] > 1e6


def test_a_row_needs_a_feature() -> None:
    with pytest.raises(BaselineError, match=r"^Row\(\), as 'row', measures the features of a row"):
        built({"comment": texts(50, 0)}, {"comment": Text("comment"), "row": Row()})


def test_lazy_frames_have_to_be_collected() -> None:
    with pytest.raises(BaselineError, match=r"the frame is lazy\. Collect it, or a sample of it, or give it in parts"):
        built(pl.LazyFrame({"comment": texts(50, 0)}), {"comment": Text("comment")})


def test_the_names_of_boxkite_have_no_place_for_them(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=r"^The names of boxkite 0\.0\.5 have no place for derived variables\."):
        built(columns()).dump(tmp_path / "old.prom", names="boxkite")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda text: text.replace("# flask_boxkite derived_1", "# flask"),
            "the recipe of 'comment.length' is missing",
        ),
        (lambda text: text.replace('"kind": "text"', '"kind": "poem"'), "the recipe of a derived variable is damaged"),
        (lambda text: text.replace("flask_boxkite inputs [", "flask_boxkite inputs [3, "), "must be a list of names"),
        (lambda text: text.replace('inputs ["comment"', 'inputs ["coment"'), "not its features and sources"),
        (lambda text: text.replace('"words": "', '"words": "AAAA'), "damaged"),
    ],
    ids=["missing", "kind", "inputs", "sources", "words"],
)
def test_a_damaged_file_is_refused(damage: Callable[[str], str], message: str) -> None:
    text = render(built(columns()))
    assert damage(text) != text
    with pytest.raises(BaselineError, match=message):
        loads(damage(text))
