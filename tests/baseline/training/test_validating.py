"""Outputs beside actual values: the kind of the comparison, its bins and counts, from data of any form."""

from __future__ import annotations

import logging
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    recall_score,
    roc_auc_score,
)

from flask_boxkite import Baseline, BaselineError, BinMismatchError, ModelMonitoringService
from flask_boxkite.baseline.codes import SingleCode
from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation
from flask_boxkite.cli.group import boxkite
from flask_boxkite.performance.binary import expected as expected_metrics
from flask_boxkite.performance.binary import losses_of_rows, validated
from tests.baseline.training.building import built

ROWS = 2000


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """Return rows of a calibrated score: its actual values are drawn with its probability."""
    random = np.random.default_rng(5)
    score = random.beta(1.2, 3, ROWS).round(2)  # so that some scores are exactly the threshold
    return {
        "age": random.normal(40, 10, ROWS).round(1),
        "score": score,
        "defaulted": (random.random(ROWS) < score).astype(int),
    }


def binary(features: Any, inference: Any, **options: Any) -> BinaryValidation:
    """Return the validation of a score."""
    validation = built(features, inference, **options).validation
    assert isinstance(validation, BinaryValidation)
    return validation


# --- a score ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.07, 0.999])
def test_the_threshold_divides_the_bins(rows: dict[str, Any], threshold: float, dtype: Any) -> None:
    """A score at the threshold is positive, as in scikit-learn's FixedThresholdClassifier; no bin holds both."""
    score, actual = rows["score"].astype(dtype), rows["defaulted"]
    found = binary({"age": rows["age"]}, score, actual=actual, threshold=threshold)
    predicted = rows["score"] >= threshold  # by the decimals that clients write
    first = found.first_positive
    true_positive, false_positive = sum(found.positives[first:]), sum(found.negatives[first:])
    false_negative, true_negative = sum(found.positives[:first]), sum(found.negatives[:first])

    assert found.rows == ROWS
    assert (true_positive + true_negative) / ROWS == accuracy_score(actual, predicted)
    if predicted.any():
        precision = true_positive / (true_positive + false_positive)
        assert precision == precision_score(actual, predicted)
        assert true_positive / (true_positive + false_negative) == recall_score(actual, predicted)
        f1 = 2 * true_positive / (2 * true_positive + false_positive + false_negative)
        assert f1 == pytest.approx(f1_score(actual, predicted), abs=1e-15)


def test_the_bins_are_deciles_a_grid_and_the_threshold(rows: dict[str, Any]) -> None:
    found = binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"], threshold=0.42)
    deciles = {float(np.quantile(rows["score"], tenth / 10, method="inverted_cdf")) for tenth in range(1, 10)}
    assert {math.nextafter(0.42, 0), *(step / 20 for step in range(1, 20)), *deciles} < set(found.upper_bounds)
    assert len(found.upper_bounds) <= 32


def test_groups_of_the_output_are_as_without_actual_values(rows: dict[str, Any]) -> None:
    """Drift is judged on the same groups; values above training stay above, though there are bins."""
    score = rows["score"] / 2
    with_actual = built({"age": rows["age"]}, score, actual=rows["defaulted"]).outputs[0]
    without = built({"age": rows["age"]}, score).outputs[0]
    counts = [[sum(item.cells[group.start : group.stop]) for group in item.groups] for item in (with_actual, without)]
    assert [group.name for group in with_actual.groups] == [group.name for group in without.groups]
    assert counts[0] == counts[1]
    assert with_actual.upper_bounds[-1] == 0.95
    assert with_actual.extremes == without.extremes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("decimals", [2, 16])
def test_losses_are_those_of_the_rows(rows: dict[str, Any], dtype: Any, decimals: int) -> None:
    """Exactly, also of scores that are 0 or 1 and wrong; those have bins of their own."""
    random = np.random.default_rng(8)
    score = np.clip(random.normal(0.5, 0.3, ROWS), 0, 1).round(decimals).astype(dtype)
    actual = (random.random(ROWS) < score.clip(0.2, 0.8)).astype(int)
    found = binary({"age": rows["age"]}, score, actual=actual)
    values = validated(found)

    assert values["brier"].value == pytest.approx(brier_score_loss(actual, score.astype(float)), abs=1e-9)
    assert values["log_loss"].value == pytest.approx(log_loss(actual, score.astype(float)), abs=1e-9)
    assert np.count_nonzero((score == 0) & (actual == 1)) > 10
    at = found.upper_bounds.index(0.0)
    assert found.bin_rows[at] == np.count_nonzero(score == 0)
    assert found.bin_rows[bisect_right(found.upper_bounds, math.nextafter(1, 0))] == np.count_nonzero(score == 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", [1, 8], ids=["probabilities", "margins"])
def test_the_area_under_the_curve_is_that_of_the_rows(rows: dict[str, Any], scale: int, dtype: Any) -> None:
    """Exactly, though rows are counted in bins; scores of two digits have ties."""
    score = (rows["score"] * scale).astype(dtype)
    found = binary({"age": rows["age"]}, score, actual=rows["defaulted"], threshold=scale / 2)
    assert found.is_probability == (scale == 1)
    assert validated(found)["auc"].value == pytest.approx(roc_auc_score(rows["defaulted"], score), abs=1e-12)
    assert found.areas
    pairs = np.multiply(found.negatives, found.positives)
    assert np.isfinite(found.areas).tolist() == (pairs > 0).tolist()


def test_only_scores_of_0_and_1_have_bins_for_them(rows: dict[str, Any]) -> None:
    score = rows["score"].clip(0.01, 0.99)
    found = binary({"age": rows["age"]}, score, actual=rows["defaulted"])
    assert not {0.0, math.nextafter(1, 0)} & set(found.upper_bounds)


def test_losses_are_known_where_rows_are(rows: dict[str, Any]) -> None:
    found = binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"])
    assert found.losses
    for means in found.losses:
        for of_bins, counts in zip(means, (found.negatives, found.positives), strict=True):
            assert np.isfinite(of_bins).tolist() == [count > 0 for count in counts]


def test_an_infinite_score_is_no_probability(rows: dict[str, Any]) -> None:
    score = np.where(np.arange(ROWS) == 7, np.inf, rows["score"])
    with pytest.raises(BaselineError, match="is not a probability: its values lie outside of 0 to 1"):
        binary({"age": rows["age"]}, score, actual=rows["defaulted"])
    assert not binary({"age": rows["age"]}, score, actual=rows["defaulted"], threshold=0.5).is_probability


@pytest.mark.parametrize(
    ("values", "positive", "labels"),
    [
        ([0, 1], None, ("0.0", "1.0")),
        ([False, True], None, ("0.0", "1.0")),
        (["false", "true"], None, ("0.0", "1.0")),
        (["no", "yes"], None, ("no", "yes")),
        (["good", "bad"], "bad", ("good", "bad")),
        ([1, 0], 0, ("1.0", "0.0")),
        (["1", "2"], None, ("1", "2")),
        ([-1, 1], "1", ("-1.0", "1.0")),
        ([0, np.int8(1)], np.float32(1), ("0.0", "1.0")),
    ],
)
def test_actual_values_in_all_spellings(
    rows: dict[str, Any], values: list[Any], positive: Any, labels: tuple[str, str]
) -> None:
    actual = [values[row] for row in rows["defaulted"]]
    found = binary({"age": rows["age"]}, rows["score"], actual=actual, positive=positive)
    assert found.labels == labels
    expected = binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"])
    assert (found.negatives, found.positives) == (expected.negatives, expected.positives)


def test_unknown_actual_values_are_left_out(rows: dict[str, Any]) -> None:
    actual = [None if row % 3 == 0 else value for row, value in enumerate(rows["defaulted"].tolist())]
    known = np.arange(ROWS) % 3 != 0
    found = binary({"age": rows["age"]}, rows["score"], actual=actual)
    assert found.rows == known.sum()
    assert sum(found.positives) == rows["defaulted"][known].sum()


def test_a_score_of_few_values_has_bins(rows: dict[str, Any]) -> None:
    """Scores of one decimal would be categories without actual values."""
    coarse = rows["score"].round(1)
    assert built({"age": rows["age"]}, coarse).outputs[0].kind == "discrete"
    found = binary({"age": rows["age"]}, coarse, actual=rows["defaulted"])
    first = found.first_positive
    assert sum(found.positives[first:]) + sum(found.negatives[first:]) == np.count_nonzero(coarse >= 0.5)


def test_margins_need_a_threshold(rows: dict[str, Any]) -> None:
    margins = np.log(rows["score"].clip(0.001, 0.999) / (1 - rows["score"].clip(0.001, 0.999)))
    with pytest.raises(BaselineError, match=r"is not a probability.*threshold=0\.0"):
        built({"age": rows["age"]}, margins, actual=rows["defaulted"])
    found = binary({"age": rows["age"]}, margins, actual=rows["defaulted"], threshold=0.0)
    assert not found.is_probability
    first = found.first_positive
    assert sum(found.positives[first:]) == np.count_nonzero((margins >= 0) & (rows["defaulted"] == 1))


def test_given_bins_keep_the_threshold(rows: dict[str, Any]) -> None:
    found = binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"], bins={"output": [0.25, 0.6]})
    assert {0.25, 0.6, math.nextafter(0.5, 0)} < set(found.upper_bounds)


# --- classes and numbers ----------------------------------------------------------------------------------------------


def test_predicted_classes_beside_actual_ones() -> None:
    random = np.random.default_rng(1)
    actual = random.choice(["cat", "dog", "owl"], 500)
    predicted = np.where(random.random(500) < 0.8, actual, random.choice(["cat", "dog"], 500))
    found = built({"x": random.random(500)}, predicted, actual=actual).validation
    assert isinstance(found, ClassValidation)
    assert found.classes == ("cat", "dog", "owl")
    for p, own in enumerate(found.classes):
        for a, other in enumerate(found.classes):
            assert found.counts[p][0][a] == np.count_nonzero((predicted == own) & (actual == other))


def test_a_predicted_label_of_two_is_a_class(rows: dict[str, Any]) -> None:
    predicted = (rows["score"] > 0.4).astype(int)
    found = built({"age": rows["age"]}, predicted, actual=rows["defaulted"]).validation
    assert isinstance(found, ClassValidation)
    assert found.classes == ("0.0", "1.0")
    assert found.counts[1][0][1] == np.count_nonzero(predicted & rows["defaulted"])


def test_probabilities_of_classes() -> None:
    random = np.random.default_rng(2)
    probabilities = random.dirichlet([1, 1, 1], 600)
    actual = np.array([random.choice(3, p=row) for row in probabilities])
    found = built({"x": random.random(600)}, probabilities, actual=actual, classes=[0, 1, 2]).validation
    assert isinstance(found, ClassValidation)
    assert found.outputs == found.classes == ("0", "1", "2")
    counts = np.array(found.counts)
    assert counts.sum() == 600
    assert counts.sum(axis=1).tolist() == [
        [np.count_nonzero((probabilities.argmax(axis=1) == p) & (actual == a)) for a in range(3)] for p in range(3)
    ]
    largest = probabilities.max(axis=1)
    assert (
        counts.sum(axis=(0, 2)).tolist()
        == np.diff([0, *(np.count_nonzero(largest <= bound) for bound in found.upper_bounds), 600]).tolist()
    )


def test_probabilities_of_two_classes_are_a_score(rows: dict[str, Any]) -> None:
    both = np.column_stack([1 - rows["score"], rows["score"]])
    found = built({"age": rows["age"]}, both, actual=rows["defaulted"], classes=[0, 1]).validation
    assert isinstance(found, BinaryValidation)
    assert (found.output, found.positive) == ("1", "1.0")
    assert found.positives == binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"]).positives


@pytest.mark.parametrize("decimals", [6, 0])
def test_numbers_beside_actual_numbers(decimals: int) -> None:
    random = np.random.default_rng(3)
    actual = random.normal(200, 50, 1000).round(decimals)
    predicted = (actual + random.normal(3, 20, 1000)).round(decimals)
    found = built({"x": random.random(1000)}, predicted, actual=actual).validation
    assert isinstance(found, RegressionValidation)
    total = np.array(found.counts)
    weighted = {
        name: float(np.nansum(np.array(getattr(found, name)) * total) / 1000)
        for name in ("errors", "absolute_errors", "squared_errors")
    }
    assert weighted["errors"] == pytest.approx(float((predicted - actual).mean()), abs=1e-9)
    assert weighted["absolute_errors"] == pytest.approx(mean_absolute_error(actual, predicted), abs=1e-9)
    assert weighted["squared_errors"] == pytest.approx(mean_squared_error(actual, predicted), abs=1e-9)
    sizes = np.abs(predicted - actual)
    cumulated = [np.count_nonzero(sizes <= bound) for bound in found.error_bounds]
    assert np.cumsum(found.error_counts).tolist() == [*cumulated, 1000]
    assert [count / 1000 for count in cumulated] == pytest.approx([tenth / 10 for tenth in range(1, 10)], abs=0.05)


def test_stars_predicted_as_numbers_are_numbers() -> None:
    """Few distinct actual values do not make classes of a number that lies between them."""
    random = np.random.default_rng(4)
    actual = random.integers(1, 6, 400)
    predicted = actual + random.normal(0, 0.5, 400)
    assert isinstance(built({"x": random.random(400)}, predicted, actual=actual).validation, RegressionValidation)
    rounded = predicted.round().clip(1, 5)
    assert isinstance(built({"x": random.random(400)}, rounded, actual=actual).validation, ClassValidation)


# --- refusals and warnings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inference", "options", "message"),
    [
        ([0.1, 0.9] * 50, {"actual": [0, 1] * 49}, r"'actual' has 98 rows, the output 'output' has 100"),
        ([0.1, 0.9] * 50, {"actual": [0, 1] + [None] * 98}, r"has a value in 2 rows; at least 30"),
        ([0.1, 0.9] * 50, {"actual": [1] * 100}, r"'actual' is 1\.0 in all rows"),
        ([0.1, None] * 50, {"actual": [0, 1] * 50}, r"'output' have the same actual value"),
        ([0.1, 0.9] * 50, {"actual": ["a", "b", "c", "d"] * 25}, r"4 labels \('a', 'b', 'c', 'd'\).*predict_proba"),
        ([0.1, 0.9] * 50, {"actual": [0, 1] * 50, "positive": 2}, r"must be one of the actual values, 0\.0 and 1\.0"),
        ([0.1, 0.9] * 50, {"actual": [0, 1] * 50, "threshold": math.nan}, r"'threshold' must be a finite number"),
        (["a", "b"] * 50, {"actual": ["a", "b"] * 50, "threshold": 0.5}, r"'threshold' is for a score of two"),
        ([0.1, 0.9] * 50, {"threshold": 0.5}, r"'threshold' needs the actual values"),
        ([0.1, 0.9] * 50, {"positive": 1}, r"'positive' needs the actual values"),
        (None, {"actual": [0, 1] * 50}, r"'actual' needs the outputs"),
        (
            {"a": [0.1, 0.9] * 50, "b": [0.1, 0.9] * 50},
            {"actual": ["x", "y"] * 50},
            r"'actual' holds x, but no output has this name: 'a', 'b'\. Name the probabilities by their classes",
        ),
        ([0.1, 0.9] * 50, {"actual": {"a": [0] * 100, "b": [1] * 100}}, r"'actual' has 2 columns"),
        ([0.1, 0.9] * 50, {"actual": "other"}, r"names the column 'other', which 'features' does not have"),
    ],
)
def test_what_does_not_fit_is_refused(inference: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BaselineError, match=message):
        built({"x": list(range(100))}, inference, **options)


def test_one_column_has_one_role(rows: dict[str, Any]) -> None:
    with pytest.raises(BaselineError, match="'inference' and 'actual' both name 'score'"):
        built(rows, "score", actual="score")
    with pytest.raises(BaselineError, match="'actual' and 'exclude' both name 'defaulted'"):
        ModelMonitoringService.export_text(rows, "score", "x.prom", actual="defaulted", exclude=["defaulted"])


def test_a_score_that_is_too_good_is_pointed_out(rows: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    fitted = np.where(rows["defaulted"] == 1, 0.9, 0.1) + rows["score"] / 20
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"])
        assert not caplog.records
        binary({"age": rows["age"]}, fitted, actual=rows["defaulted"])
    assert "separates 'actual' nearly perfectly" in caplog.text
    assert "held-out rows" in caplog.text


def test_a_score_that_points_the_wrong_way_is_pointed_out(
    rows: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"], positive=0)
    assert "is lower where 'actual' is 0.0" in caplog.text


# --- forms of data ----------------------------------------------------------------------------------------------------


def polars_chunks(rows: dict[str, Any]) -> Baseline:
    frame = pl.DataFrame(rows)
    return Baseline.from_chunks(frame.iter_slices(300), "score", actual="defaulted")


def lazy_duckdb(rows: dict[str, Any]) -> Baseline:
    import duckdb

    frame = pd.DataFrame(rows)
    with duckdb.connect() as connection:
        return built(connection.from_df(frame), "score", actual="defaulted")


FORMS: dict[str, Callable[[dict[str, Any]], Baseline]] = {
    "columns by name": lambda rows: built(rows, "score", actual="defaulted"),
    "pairs, once": lambda rows: built(iter(rows.items()), "score", actual="defaulted"),
    "pandas": lambda rows: built(pd.DataFrame(rows), "score", actual="defaulted"),
    "pandas, apart": lambda rows: built(
        pd.DataFrame(rows)[["age"]], pd.DataFrame(rows)[["score"]], actual=pd.Series(rows["defaulted"])
    ),
    "rows by name": lambda rows: built(pd.DataFrame(rows).to_dict("records"), "score", actual="defaulted"),
    "polars": lambda rows: built(pl.DataFrame(rows), "score", actual="defaulted"),
    "polars, lazy": lambda rows: built(pl.LazyFrame(rows), "score", actual="defaulted"),
    "polars, lazy and apart": lambda rows: built(
        pl.LazyFrame(rows).select("age"),
        pl.LazyFrame(rows).select("score"),
        actual=pl.LazyFrame(rows).select("defaulted"),
    ),
    "duckdb": lazy_duckdb,
    "chunks": polars_chunks,
    "chunks, backwards": lambda rows: Baseline.from_chunks(
        reversed(list(pl.DataFrame(rows).iter_slices(700))), "score", actual="defaulted"
    ),
    "chunks of lists": lambda rows: Baseline.from_chunks(
        ({name: values.tolist()[at : at + 500] for name, values in rows.items()} for at in range(0, ROWS, 500)),
        "score",
        actual="defaulted",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_same_baseline(rows: dict[str, Any], form: str) -> None:
    expected = built({"age": rows["age"]}, {"score": rows["score"]}, actual=rows["defaulted"])
    found = FORMS[form](rows)
    assert found.fingerprint == expected.fingerprint
    assert [item.name for item in found.features] == ["age"]
    mine, other = found.validation, expected.validation
    assert isinstance(mine, BinaryValidation)
    assert isinstance(other, BinaryValidation)
    assert np.array(mine.losses) == pytest.approx(np.array(other.losses), nan_ok=True, rel=1e-12)
    assert mine.areas == pytest.approx(other.areas, nan_ok=True)


def test_the_command_gives_the_same_baseline(rows: dict[str, Any], tmp_path: Path) -> None:
    pd.DataFrame(rows).assign(id=range(ROWS)).to_csv(tmp_path / "held_out.csv", index=False)
    arguments = ["--output-column", "score", "--actual-column", "defaulted", "--exclude", "id"]
    out = tmp_path / "baseline.prom"
    result = CliRunner().invoke(boxkite, ["baseline", str(tmp_path / "held_out.csv"), *arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert Baseline.load(out).fingerprint == FORMS["pandas"](rows).fingerprint

    result = CliRunner().invoke(
        boxkite,
        [
            "baseline",
            str(tmp_path / "held_out.csv"),
            *arguments,
            "--threshold",
            "0.3",
            "--positive",
            "0",
            "--out",
            str(out),
        ],
    )
    assert result.exit_code == 0, result.output
    found = Baseline.load(out).validation
    assert isinstance(found, BinaryValidation)
    assert (found.threshold, found.positive) == (0.3, "0.0")


# --- classes that are called as missing values are --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "NA", "-", "null", "nan"])
def test_a_label_called_none_is_a_label(rows: dict[str, Any], name: str) -> None:
    actual = np.where(rows["defaulted"], "fraud", name)
    found = binary({"age": rows["age"]}, rows["score"], actual=actual, positive="fraud")
    expected = binary({"age": rows["age"]}, rows["score"], actual=rows["defaulted"])
    assert found.labels == (name, "fraud")
    assert (found.negatives, found.positives) == (expected.negatives, expected.positives)
    turned = binary({"age": rows["age"]}, rows["score"], actual=actual, positive=name, threshold=0.7)
    assert turned.labels == ("fraud", name)


def none_of_three(seed: int = 3, *, as_label: bool) -> tuple[Any, Any, dict[str, Any]]:
    """Return the predicted place, the actual label and arguments of a model of three classes, one of them none."""
    random = np.random.default_rng(seed)
    names = np.array(["mild", "none", "severe"])
    actual = random.choice(3, ROWS, p=[0.2, 0.7, 0.1])
    predicted = np.where(random.random(ROWS) < 0.9, actual, random.integers(0, 3, ROWS))
    options: dict[str, Any] = {"actual": names[actual]}
    if not as_label:
        options["classes"] = list(names)
    inference = names[predicted] if as_label else np.eye(3)[predicted] * 0.8 + 0.1
    return inference, (predicted, actual), options


@pytest.mark.parametrize("as_label", [True, False])
def test_a_class_called_none_is_a_class(as_label: bool) -> None:
    inference, (predicted, actual), options = none_of_three(as_label=as_label)
    found = built({"x": np.arange(ROWS)}, inference, **options).validation
    assert isinstance(found, ClassValidation)
    assert found.classes == ("mild", "none", "severe")
    matrix = np.array(found.counts).sum(axis=1)
    assert (matrix == confusion_matrix(actual, predicted).T).all()


def test_missing_values_stay_unknown_beside_a_label_called_none(rows: dict[str, Any]) -> None:
    gone = [None, math.nan, pd.NA, pd.NaT, "", " ", "?"]
    label = ["none", "fraud"]
    actual = [gone[row % 14] if row % 14 < 7 else label[value] for row, value in enumerate(rows["defaulted"])]
    found = binary({"age": rows["age"]}, rows["score"], actual=actual, positive="fraud", missing_texts=("?",))
    assert found.labels == ("none", "fraud")
    assert found.rows == sum(row % 14 >= 7 for row in range(ROWS))


def test_beside_numbers_such_a_text_is_missing(rows: dict[str, Any]) -> None:
    actual = ["NA" if row % 4 == 0 else value for row, value in enumerate(rows["defaulted"].tolist())]
    found = binary({"age": rows["age"]}, rows["score"], actual=actual)
    assert found.labels == ("0.0", "1.0")
    assert found.rows == ROWS - ROWS / 4


def test_a_label_that_may_stand_for_an_unknown_value_is_pointed_out(
    rows: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    actual = np.where(np.arange(ROWS) % 5 == 0, "NA", np.where(rows["defaulted"], "bad", "good"))
    with pytest.raises(BaselineError, match=re.escape("If 'NA' stands for an unknown value: missing_texts=('NA',).")):
        built({"age": rows["age"]}, rows["score"], actual=actual)
    predicted = np.where(rows["score"] > 0.4, "bad", "good")
    built({"age": rows["age"]}, predicted, actual=actual)
    assert "'actual' holds 'NA', which counts as a class" in caplog.text
    assert built({"age": rows["age"]}, predicted, actual=actual, missing_texts=("NA",)).validation.rows == ROWS * 4 / 5


@pytest.mark.parametrize("form", ["pandas", "polars, lazy", "duckdb", "chunks", "chunks of lists"])
def test_a_label_called_none_is_one_in_every_form_of_data(rows: dict[str, Any], form: str) -> None:
    named = {
        **rows,
        "defaulted": np.where(rows["defaulted"], "some", "none"),
        "plan": np.where(rows["age"] > 40, "NA", "b"),
    }
    found = FORMS[form](named)
    assert isinstance(found.validation, BinaryValidation)
    assert found.validation.labels == ("none", "some")
    assert found.fingerprint == FORMS["columns by name"](named).fingerprint


def test_a_command_reads_such_a_label_as_it_reads_categories(rows: dict[str, Any], tmp_path: Path) -> None:
    """In CSV, as missing; in Parquet, as a label."""
    frame = pd.DataFrame({**rows, "defaulted": np.where(rows["defaulted"], "some", "none")})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    arguments = ["--output-column", "score", "--actual-column", "defaulted", "--out", str(tmp_path / "baseline.prom")]
    result = CliRunner().invoke(boxkite, ["baseline", str(tmp_path / "rows.csv"), *arguments])
    assert "'actual' is some in all rows." in result.output
    assert "in Parquet, they are labels" in " ".join(result.output.split())
    result = CliRunner().invoke(boxkite, ["baseline", str(tmp_path / "rows.parquet"), *arguments])
    assert result.exit_code == 0, result.output
    assert Baseline.load(tmp_path / "baseline.prom").validation.labels == ("none", "some")


@pytest.mark.parametrize("name", ["none", "NA", "-", "nan"])
def test_a_category_called_none_has_the_effect_of_any_other(name: str) -> None:
    random = np.random.default_rng(1)
    is_without = random.random(6000) < 0.3
    score = random.beta(0.6, 0.6, 6000)
    actual = np.where(is_without, random.random(6000) < 0.5, random.random(6000) < score)  # scores say nothing there

    def effects(word: str) -> dict[str, list[float]]:
        plan = np.where(is_without, word, "gold").astype(object)
        plan[::50] = None
        baseline = built({"plan": plan.tolist()}, score, actual=actual)
        assert baseline.validation is not None
        (plan_groups,) = (item.groups for item in baseline.features)
        return {
            group.name.replace(word, "word"): [of[place] for of in baseline.validation.effects]
            for place, group in enumerate(plan_groups)
        }

    found = effects(name)
    assert found == effects("zero")
    assert max(map(abs, found["word"])) > 0.1


# --- the file and sums ------------------------------------------------------------------------------------------------


def of_all_kinds() -> dict[str, Baseline]:
    random = np.random.default_rng(9)
    score = random.random(300)
    x = {"x": random.random(300), "town": random.choice(["A", 'B"', "C\\"], 300)}
    classes = random.dirichlet([1, 1, 1], 300)
    return {
        "binary": built(x, score, actual=random.random(300) < score),
        "margins": built(x, score * 8 - 4, actual=random.random(300) < score, threshold=0),
        "labels": built(x, x["town"], actual=random.permutation(x["town"])),
        "probabilities": built(x, classes, actual=random.integers(0, 3, 300), classes=[0, 1, 2]),
        "regression": built(x, score, actual=score + random.normal(0, 0.1, 300)),
    }


@pytest.mark.parametrize("kind", of_all_kinds())
def test_a_file_gives_back_the_validation(kind: str, tmp_path: Path) -> None:
    baseline = of_all_kinds()[kind]
    baseline.dump(tmp_path / "baseline.prom")
    found = Baseline.load(tmp_path / "baseline.prom")
    assert found.fingerprint == baseline.fingerprint
    assert repr(found.validation) == repr(baseline.validation)  # NaN differs from itself


@pytest.mark.parametrize("kind", of_all_kinds())
def test_a_line_that_is_cut_is_noticed(kind: str, tmp_path: Path) -> None:
    """Every count belongs to the identity; means must be there where rows are."""
    path = tmp_path / "baseline.prom"
    of_all_kinds()[kind].dump(path)
    lines = path.read_text().splitlines(keepends=True)
    of_validation = [number for number, line in enumerate(lines) if re.match(r"boxkite_(validation|outcome)", line)]
    assert len(of_validation) > 5
    for number in of_validation[:: max(len(of_validation) // 25, 1)]:
        path.write_text("".join([*lines[:number], *lines[number + 1 :]]))
        with pytest.raises(BaselineError, match=re.escape(str(path))):
            Baseline.load(path)
        path.write_text("".join([*lines[: number + 1], lines[number], *lines[number + 1 :]]))
        with pytest.raises(BaselineError, match=re.escape(str(path))):
            Baseline.load(path)


@pytest.mark.parametrize(
    ("of", "value"),
    [("log_loss", "-0.1"), ("log_loss", "+Inf"), ("log_squares", "NaN"), ("areas", "1.1"), ("areas", "-1")],
)
def test_means_that_cannot_be_are_refused(of: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.prom"
    of_all_kinds()["binary"].dump(path)
    text, number = re.subn(rf'(of="{of}",.*}} )\S+', rf"\g<1>{value}", path.read_text(), count=1)
    assert number == 1
    path.write_text(text)
    with pytest.raises(BaselineError, match="of the validation is"):
        Baseline.load(path)


def test_files_with_the_moments_of_scores_give_the_losses_that_they_gave(rows: dict[str, Any], tmp_path: Path) -> None:
    """Files of earlier versions: scores of a bin are log-normal there, and rows positive in proportion to them."""
    path, score = tmp_path / "baseline.prom", rows["score"].clip(0.01, 0.99)
    built({**rows, "score": score}, "score", actual="defaulted").dump(path)
    new = Baseline.load(path).validation
    assert isinstance(new, BinaryValidation)
    at = np.searchsorted(new.upper_bounds, score)
    filled = np.unique(at)
    first, second = (np.array([power[at == bin_].mean() for bin_ in filled]) for power in (score, score**2))
    (kept,) = {line for line in path.read_text().splitlines() if re.match("boxkite_validation_info", line)}
    labels = re.search('model="[^"]*",baseline="[^"]*"', kept)
    assert labels
    names = [repr(bound) for bound in new.upper_bounds] + ["+Inf"]
    old = "".join(
        f'boxkite_validation_mean{{{labels[0]},of="{of}",bin="{names[bin_]}"}} {mean!r}\n'
        for of, means in (("scores", first), ("squares", second))
        for bin_, mean in zip(filled.tolist(), means.tolist(), strict=True)
    )
    path.write_text(re.sub("(?m)^boxkite_validation_mean.*\n", "", path.read_text()) + old)

    found = Baseline.load(path)
    assert isinstance(found.validation, BinaryValidation)
    shares, live = found.validation.calibration.shares[filled], np.bincount(at, minlength=len(names))
    losses = {
        "brier": shares * (1 - 2 * first + second) + (1 - shares) * second,
        "log_loss": -shares * np.log(second) / 2 - (1 - shares) * np.log(1 - 2 * first + second) / 2,
    }
    for metric, of_rows in losses_of_rows(found.validation).items():
        assert of_rows[filled] == pytest.approx(losses[metric], rel=1e-12)
        mean, low, high = expected_metrics(found.validation, live)[metric]
        assert mean == pytest.approx(of_rows @ live / ROWS, rel=1e-12)
        assert low is not None
        assert high is not None
        assert low < mean < high
    found.dump(path)
    assert repr(Baseline.load(path).validation) == repr(found.validation)


@given(split=st.integers(31, ROWS - 31))
def test_two_halves_make_the_whole(rows: dict[str, Any], split: int) -> None:
    whole = built(rows, "score", actual="defaulted")
    bounds = {"age": list(whole.features[0].upper_bounds), "score": list(whole.outputs[0].upper_bounds)}
    first, second = (
        built({name: values[part] for name, values in rows.items()}, "score", actual="defaulted", bins=bounds)
        for part in (slice(None, split), slice(split, None))
    )
    merged = first.merge(second).validation
    expected = built(rows, "score", actual="defaulted", bins=bounds).validation
    assert isinstance(merged, BinaryValidation)
    assert isinstance(expected, BinaryValidation)
    assert (merged.negatives, merged.positives) == (expected.negatives, expected.positives)
    assert np.array(merged.losses) == pytest.approx(np.array(expected.losses), nan_ok=True, rel=1e-9)
    # Pairs of a row of each half are not known.
    assert validated(merged)["auc"].value == pytest.approx(validated(expected)["auc"].value, abs=0.003)


def test_other_thresholds_cannot_be_added(rows: dict[str, Any]) -> None:
    bounds = {"age": [40.0], "score": [math.nextafter(0.4, 0), math.nextafter(0.5, 0)]}
    first, second = (
        built(rows, "score", actual="defaulted", bins=bounds, threshold=threshold) for threshold in (0.4, 0.5)
    )
    with pytest.raises(BinMismatchError, match="differ in their outputs, actual values, threshold or bins"):
        first.merge(second)
    without = built(rows, "score", bins=bounds | {"score": list(first.outputs[0].upper_bounds)}, exclude=["defaulted"])
    assert first.merge(without).validation is None


# --- scores as ids carry them ---------------------------------------------------------------------------------------

VOTES = st.integers(0, 20).map(lambda votes: votes / 20)
NEARLY = st.sampled_from([0.1 + 0.2, 0.3, math.nextafter(0.7, 0), math.nextafter(0.7, 1), 0.05 * 3])


@given(
    st.lists(VOTES | NEARLY | st.floats(0, 1), min_size=30, max_size=60),
    VOTES.filter(lambda threshold: threshold > 0),
    st.none() | st.lists(VOTES, min_size=2, unique=True),
)
def test_every_score_has_a_float32_in_its_bin(scores: list[float], threshold: float, bins: list[float] | None) -> None:
    """Ids carry a score as float32: one whose bin has none would never find its outcome."""
    scores = [*scores, 0.515]  # whole numbers alone would be labels
    actual = [number % 2 for number in range(len(scores))]
    options = {} if bins is None else {"bins": {"output": sorted(bins)}}
    validation = binary({"x": list(range(len(scores)))}, scores, actual=actual, threshold=threshold, **options)
    code = SingleCode(validation.upper_bounds, is_probability=True)
    for score in {*scores, threshold, math.nextafter(threshold, 0)}:
        bits = code.bits(score)
        assert bits is not None, score
        single = code.value(bits)
        bin_ = bisect_left(validation.upper_bounds, single)
        assert bin_ == bisect_left(validation.upper_bounds, score)
        assert (bin_ >= validation.first_positive) == (score >= threshold)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.7, 0.5, 0.95])
def test_an_outcome_at_the_threshold_finds_its_prediction(threshold: float) -> None:
    random = np.random.default_rng(1)
    score = random.integers(0, 21, 2000) / 20
    actual = (random.random(2000) < score).astype(int)
    baseline = built({"x": np.arange(1000)}, score[:1000], actual=actual[:1000], threshold=threshold)
    service = ModelMonitoringService(baseline, sink="none")
    for s, y in zip(score[1000:].tolist(), actual[1000:].tolist(), strict=True):
        assert service.log_outcome(service.log_prediction(features=[1.0], output=s), y)
    assert service.performance()["accuracy"].realised == accuracy_score(actual[1000:], score[1000:] >= threshold)


def test_an_outlier_in_training_leaves_errors_of_outcomes_by_id_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """Rounding to steps for a milliard of milliards would add to the errors of all rows."""
    random = np.random.default_rng(2)
    predicted = random.normal(50, 10, 2000)
    actual = predicted + random.normal(0, 3, 2000)
    trained = predicted[:1000].copy()
    trained[7] = 1e12
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        baseline = built({"x": np.arange(1000)}, trained, actual=np.where(trained > 1e9, 1e12, actual[:1000]))
    assert "spreads so wide" not in caplog.text
    service = ModelMonitoringService(baseline, sink="none")
    for number, truth in zip(predicted[1000:].tolist(), actual[1000:].tolist(), strict=True):
        assert service.log_outcome(service.log_prediction(features=[1.0], output=number), truth)
    expected = np.abs(predicted[1000:] - actual[1000:]).mean()
    assert service.performance()["mae"].realised == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("error", "is_told"), [(1.0, True), (100.0, False)], ids=["small", "large"])
def test_outputs_too_wide_for_an_id_are_pointed_out(
    error: float, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(2)
    actual = random.uniform(0, 1e10, 500)
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        built({"x": random.normal(size=500)}, actual + random.normal(0, error, 500), actual=actual)
    told = "The output 'output' spreads so wide that prediction ids carry it in steps of 8, beside a mean absolute"
    assert (told in caplog.text) == is_told


@pytest.mark.parametrize("threshold", ["0.5", [0.5], 1j, math.nan, 10**400], ids=repr)
def test_a_threshold_is_a_number(threshold: Any) -> None:
    scores = np.linspace(0, 1, 100)
    with pytest.raises(BaselineError, match=r"^'threshold' must be a finite number, got "):
        built({"x": scores}, scores, actual=[0, 1] * 50, threshold=threshold)


ONE_HOT = np.eye(3)[np.arange(300) % 3]
HOT: dict[str, Any] = {
    "array": ONE_HOT,
    "lists": ONE_HOT.tolist(),
    "rows": list(ONE_HOT),
    "names": [{"a": 1.0}] * 300,
    "cube": ONE_HOT[:, :, None],
}


@pytest.mark.parametrize("form", HOT)
def test_one_hot_labels_are_refused_with_the_remedy(form: str, rng: np.random.Generator) -> None:
    x, outputs = {"x": rng.random(300)}, rng.dirichlet([1, 1, 1], 300)
    with pytest.raises(BaselineError, match=r"^'actual' has several values in a row, as one-hot labels"):
        built(x, outputs, classes="abc", actual=HOT[form])
    remedied = np.array(list("abc"))[np.argmax(ONE_HOT, axis=1)]
    assert built(x, outputs, classes="abc", actual=remedied).validation is not None


def test_actual_values_are_a_column() -> None:
    with pytest.raises(BaselineError, match=r"^'actual' must be a column of values, or the name of one, got int\.$"):
        built({"x": range(40)}, np.linspace(0, 1, 40), actual=5)


def test_actual_values_may_come_one_by_one(rng: np.random.Generator) -> None:
    """A generator can be read once."""
    predicted = rng.normal(size=100)
    found = built({"x": range(100)}, predicted, actual=(value + 1 for value in predicted.tolist())).validation
    assert isinstance(found, RegressionValidation)
    assert found.mean_error == pytest.approx(1)
