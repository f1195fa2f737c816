"""Row labels of pandas decide which rows belong together; without them, positions do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline.segment_baselines import segment_baselines
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.derived import Observed

ROWS = 300
_RNG = np.random.default_rng(0)
_COUNTRY = _RNG.choice(["SE", "NO", "DK"], 3 * ROWS)
FRAME = pd.DataFrame({"country": _COUNTRY, "x": _RNG.normal(np.where(_COUNTRY == "DK", 5, 0), 1)})
SHUFFLED = FRAME.sample(frac=1, random_state=1)
TRAIN, TEST = SHUFFLED[:ROWS], SHUFFLED[ROWS : 2 * ROWS]  # as train_test_split leaves them

DIFFERENT_ORDERS = (
    "The row labels of {} and {} are the same, in different orders. Give one in the order of the other: "
    "right.loc[left.index]; or, if they are in one order already, say so: right.set_axis(left.index)."
)
DIFFERENT_ROWS = (
    "The row labels of {} and {} differ, and both must be of the same rows. Give them for the same rows; or, if they "
    "are in one order already, say so: right.set_axis(left.index)."
)


def score(frame: pd.DataFrame) -> pd.Series:
    return 1 / (1 + np.exp(-frame["x"]))


def x_of_dk(baseline: Baseline) -> float:
    """Return the share of Danish rows that have x above the half of all rows."""
    item = baseline.segmentations[0]
    (own,) = (each for name, each in zip(item.names, segment_baselines(baseline, item), strict=True) if name == "DK")
    counts = own.features[0].cells
    return sum(counts[len(counts) // 2 :]) / sum(counts)


def has_pair_across(baseline: Baseline) -> bool:
    return any(pair.first < len(baseline.features) <= pair.second for pair in baseline.pairs)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"segments": {"country": FRAME["country"]}}, DIFFERENT_ORDERS),
        ({"derive": {"country": Observed(FRAME["country"])}}, DIFFERENT_ORDERS),
        ({"segments": {"country": FRAME["country"].set_axis(FRAME.index + 7)}}, DIFFERENT_ROWS),
    ],
    ids=["segments", "observed", "other rows"],
)
def test_values_beside_the_features_must_be_of_the_same_rows(given: dict[str, Any], said: str) -> None:
    features = SHUFFLED[["x"]].set_axis(SHUFFLED.index + 1) if said is DIFFERENT_ROWS else SHUFFLED[["x"]]
    with pytest.raises(BaselineError, match=f"^{re.escape(said.format(*_columns('x', 'country')))}$"):
        build_baseline(features, **given)


def _columns(*names: str) -> list[str]:
    return [f"column {name!r}" for name in names]


@pytest.mark.parametrize(
    "country",
    [
        SHUFFLED["country"],
        FRAME["country"].loc[SHUFFLED.index],
        SHUFFLED["country"].to_numpy(),
        SHUFFLED["country"].reset_index(drop=True).set_axis(SHUFFLED.index),
        list(SHUFFLED["country"]),
        pl.Series(SHUFFLED["country"].to_list()),
    ],
    ids=["series", "aligned", "array", "said so", "list", "polars"],
)
def test_values_of_the_same_rows_segment_them(country: Any) -> None:
    assert x_of_dk(build_baseline(SHUFFLED[["x"]], segments={"country": country})) > 0.9


def test_labels_that_only_count_rows_leave_positions_to_decide() -> None:
    """`predict` gives an array, and a series of it, and of `reset_index`, counts its rows."""
    for country in (TRAIN["country"].reset_index(drop=True), pd.Series(TRAIN["country"].to_numpy())):
        assert x_of_dk(build_baseline(TRAIN[["x"]], segments={"country": country})) > 0.9
        assert (
            x_of_dk(build_baseline(TRAIN[["x"]].reset_index(drop=True), segments={"country": TRAIN["country"]})) > 0.9
        )
    for output in (score(TRAIN).to_numpy(), score(TRAIN).reset_index(drop=True), score(TRAIN), list(score(TRAIN))):
        assert has_pair_across(build_baseline(TRAIN, output))
    halves = FRAME[:ROWS], FRAME[ROWS : 2 * ROWS].reset_index(drop=True)
    assert build_baseline(halves[0], score(halves[1]).to_numpy()).outputs


def test_outputs_in_another_order_are_refused() -> None:
    said = f"^{re.escape(DIFFERENT_ORDERS.format(*map(repr, ('features', 'inference'))))}$"
    with pytest.raises(BaselineError, match=said):
        build_baseline(SHUFFLED[["x"]], score(FRAME))
    with pytest.raises(BaselineError, match=said):
        build_baseline(TRAIN, {"score": score(TRAIN).sort_index()}, pairs=False, segments=["country"])
    build_baseline(TRAIN, score(TRAIN).sort_index(), pairs=False)  # each alone is right


def test_outputs_of_as_many_other_rows_are_in_no_pair_and_no_segment() -> None:
    baseline = build_baseline(TRAIN, score(TEST), segments=["country"])

    assert baseline.pairs
    assert not has_pair_across(baseline)
    by_country = segment_baselines(baseline, baseline.segmentations[0])
    assert [own.outputs[0].rows for own in by_country] == [0] * len(by_country)
    assert sum(own.features[1].rows for own in by_country) == ROWS


def test_labels_that_rows_share_do_not_tell_orders_apart() -> None:
    """Labels of groups, such as dates of a panel, are alike in both halves of the rows."""
    train, test = (part.set_axis(part["country"]) for part in (TRAIN, TEST))
    assert not has_pair_across(build_baseline(train, score(test)))
    assert has_pair_across(build_baseline(train, score(train)))


def test_labels_of_several_levels_are_compared() -> None:
    labels = pd.MultiIndex.from_arrays([TRAIN["country"], TRAIN.index])
    train = TRAIN.set_axis(labels)

    assert has_pair_across(build_baseline(train, score(train)))
    assert not has_pair_across(build_baseline(train, score(TRAIN)))
    with pytest.raises(BaselineError, match="in different orders"):
        build_baseline(train, score(train)[::-1])


@pytest.mark.parametrize("is_array", [True, False], ids=["array", "series"])
def test_actual_values_must_be_of_the_rows_of_the_outputs(is_array: bool) -> None:
    output = pd.Series(np.random.default_rng(1).random(ROWS), TEST.index)
    given = output.to_numpy() if is_array else output
    actual = TEST["country"] == "DK"
    others, own = (build_baseline(features, given, actual=actual).validation for features in (TRAIN, TEST))
    assert others is not None
    assert own is not None

    assert others.effects is None  # which are of features and actual values of the same rows
    assert own.effects is not None
    with pytest.raises(BaselineError, match=r"^The row labels of '(inference|features)' and 'actual' are the same, in"):
        build_baseline(TEST, given, actual=actual.sort_index())


def test_actual_values_of_other_rows_than_labelled_outputs_are_refused() -> None:
    said = DIFFERENT_ROWS.format(*map(repr, ("inference", "actual")))
    with pytest.raises(BaselineError, match=f"^{re.escape(said)}$"):
        build_baseline(TRAIN, score(TEST), actual=TRAIN["country"] == "DK")


def test_columns_that_are_left_out_need_not_be_of_the_same_rows() -> None:
    features = {"x": TRAIN["x"], "id": TEST["x"]}
    assert build_baseline(features, score(TRAIN), BaselineOptions.of(exclude=["id"])).pairs
    with pytest.raises(BaselineError, match=r"^The row labels of column 'x' and column 'id' differ"):
        build_baseline(features, score(TRAIN))
    with pytest.raises(BaselineError, match=r"^The row labels of column 'x' and column 'id' differ"):
        build_baseline(list(features.items()), score(TRAIN))
    assert build_baseline(TRAIN.items(), score(TRAIN)).pairs


def test_rows_of_two_values_are_no_pairs_of_columns() -> None:
    rows = [("SE", 1.0), ("NO", None)] * 20
    assert [item.rows for item in build_baseline(rows).features] == [40, 40]
