"""Effects of groups equal scikit-learn's ridge regression, are found where there are some, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from flask_boxkite.baseline.training.effects import BLOCKS, FACTORS, FOLDS, LIMITS, Limits, group_effects

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]

SIZES = (4, 12, 2, 7)
"""Groups of each feature; the last of each has no rows, so the third feature has one value."""

OFFSETS = np.cumsum((0, *SIZES[:-1]))


def rows_of(rng: np.random.Generator, rows: int) -> Codes:
    """Return groups of features that go together, as in real data."""
    latent = rng.normal(size=rows)
    columns = []
    for offset, size in zip(OFFSETS, SIZES, strict=True):
        shares = 1 / (1 + np.exp(-(latent + rng.normal(size=rows))))
        columns.append(offset + (shares * (size - 1)).astype(np.intp))
    return np.stack(columns, axis=1)


def indicators(codes: Codes) -> Floats:
    table = np.zeros((len(codes), sum(SIZES)))
    np.put_along_axis(table, codes, 1.0, axis=1)
    return table


def planted(rng: np.random.Generator, codes: Codes) -> Floats:
    """Return a target that two features explain in part."""
    true = np.zeros(sum(SIZES))
    true[5], true[9], true[16] = 0.4, -0.2, 0.3
    found: Floats = indicators(codes) @ true + rng.normal(0, 0.5, len(codes))
    return found


def own(feature: int) -> slice:
    """Return the groups of a feature."""
    return slice(OFFSETS[feature], OFFSETS[feature] + SIZES[feature])


def roots(table: Floats, target: Floats) -> Floats:
    """Return the root of the ratio of variances of each group's feature, by one-way analyses of variance."""
    found = np.zeros(sum(SIZES))
    for feature in range(len(SIZES)):
        groups = [target[rows > 0] for rows in table[:, own(feature)].T if rows.any()]
        if len(groups) < 2:
            continue
        sizes = np.array([len(group) for group in groups])
        between = sum(len(group) * (group.mean() - target.mean()) ** 2 for group in groups) / (len(groups) - 1)
        size = (len(target) - (sizes**2).sum() / len(target)) / (len(groups) - 1)
        found[own(feature)] = np.sqrt(max(between / target.var() - 1, 0.0) / size)
    return found


def by_scikit_learn(codes: Codes, target: Floats) -> Floats:
    """Return the effects with the best factor of the same grid, by the squared error on the same folds."""
    table = indicators(codes)
    fold = np.arange(len(codes)) * FOLDS * BLOCKS // len(codes) % FOLDS

    def fitted(rows: NDArray[np.bool_], factor: float) -> tuple[Ridge, Floats]:
        scales = roots(table[rows], target[rows])
        return Ridge(factor).fit(table[rows] * scales, target[rows]), scales

    errors = np.zeros(len(FACTORS))
    for number in range(FOLDS):
        for place, factor in enumerate(FACTORS):
            model, scales = fitted(fold != number, factor)
            left_out = model.predict(table[fold == number] * scales) - target[fold == number]
            errors[place] += (left_out**2).sum()
    model, scales = fitted(np.ones(len(codes), dtype=bool), FACTORS[int(np.argmin(errors))])
    effects: Floats = model.coef_ * scales
    for feature in range(len(SIZES)):
        counts = table[:, own(feature)].sum(axis=0)
        effects[own(feature)] -= np.where(counts > 0, effects[own(feature)] @ counts / len(codes), 0.0)
    return effects


@pytest.mark.parametrize("scale", [1.0, 1e6])
@pytest.mark.parametrize("rows", [113, 400, 20_000])
def test_effects_equal_a_ridge_regression(rng: np.random.Generator, rows: int, scale: float) -> None:
    """Its columns are scaled, so that a common penalty shrinks each feature by its own ratio of variances."""
    codes = rows_of(rng, rows)
    target = scale * (planted(rng, codes) + 10)

    (effects,) = group_effects(codes, sum(SIZES), target[None], Limits(gain=-np.inf))

    assert effects == pytest.approx(by_scikit_learn(codes, target), rel=1e-6, abs=1e-9 * scale)
    assert np.abs(effects).max() > 0.05 * scale


def test_the_mean_effect_of_each_feature_is_zero(rng: np.random.Generator) -> None:
    """So an estimate stays as it is while the groups have the shares of training."""
    codes = rows_of(rng, 5000)

    (effects,) = group_effects(codes, sum(SIZES), planted(rng, codes)[None])

    assert np.abs(effects).max() > 0.1
    for column in codes.T:
        assert effects[column].sum() == pytest.approx(0.0, abs=1e-8)


def test_a_group_without_rows_has_no_effect(rng: np.random.Generator) -> None:
    codes = rows_of(rng, 5000)

    (effects,) = group_effects(codes, sum(SIZES), planted(rng, codes)[None])

    unseen = np.setdiff1d(np.arange(sum(SIZES)), codes)
    assert len(unseen) == len(SIZES)
    assert not effects[unseen].any()


def test_an_effect_is_found(rng: np.random.Generator) -> None:
    codes = rows_of(rng, 20_000)
    target = 0.2 * (codes[:, 1] == 9) + rng.normal(0, 0.4, len(codes))

    (effects,) = group_effects(codes, sum(SIZES), target[None])

    others = np.delete(np.arange(4, 15), 5)  # of the same feature
    assert effects[9] - effects[others].mean() == pytest.approx(0.2, abs=0.02)
    of_other_features = np.delete(np.arange(sum(SIZES)), np.arange(4, 16))
    assert np.abs(effects[of_other_features]).max() < 0.01


def test_there_are_no_effects_in_noise(rng: np.random.Generator) -> None:
    codes = rows_of(rng, 3000)

    effects = group_effects(codes, sum(SIZES), rng.normal(size=(40, len(codes))))

    assert np.count_nonzero(effects.any(axis=1)) <= 2
    assert np.abs(effects).max() < 0.1


def test_each_target_has_its_own_effects(rng: np.random.Generator) -> None:
    """Only the penalties of features are common; a constant target explains nothing."""
    codes = rows_of(rng, 5000)
    first, second = planted(rng, codes), planted(rng, codes[::-1])[::-1]
    targets = np.stack([first, rng.normal(size=5000), np.full(5000, 7.0), 1000 * second])

    together = group_effects(codes, sum(SIZES), targets)

    assert not together[1:3].any()
    for effects, target in ((together[0], first), (together[3] / 1000, second)):
        assert effects == pytest.approx(group_effects(codes, sum(SIZES), target[None])[0], abs=0.05)


@pytest.mark.parametrize(("scale", "shift"), [(1e200, 0.0), (1e-200, 0.0), (1.0, 1e8)], ids=["huge", "tiny", "far"])
def test_effects_do_not_depend_on_the_unit(rng: np.random.Generator, scale: float, shift: float) -> None:
    codes = rows_of(rng, 2000)
    target = planted(rng, codes)

    found = group_effects(codes, sum(SIZES), (scale * target + shift)[None]) / scale

    assert found.any()
    assert found == pytest.approx(group_effects(codes, sum(SIZES), target[None]), abs=1e-6)


def test_of_many_features_the_strongest_have_effects(rng: np.random.Generator) -> None:
    features = 2 * LIMITS.features
    codes = rng.integers(0, 5, (4000, features)) + 5 * np.arange(features)
    target = rng.normal(0, 0.5, 4000) + 0.3 * (codes[:, 70] == 351)

    effects = group_effects(codes, 5 * features, target[None]).reshape(features, 5)

    assert effects[70, 1] - np.delete(effects[70], 1).mean() == pytest.approx(0.3, abs=0.06)
    assert np.abs(np.delete(effects, 70, axis=0)).max() < 0.05
    assert np.count_nonzero(effects.any(axis=1)) <= LIMITS.features


def test_many_features_of_noise_have_no_effects() -> None:
    """Some rows choose the features. Were they also judged on them, most of this noise would have effects."""
    features = 5 * LIMITS.features
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, 5, (400, features)) + 5 * np.arange(features)
        found.append(group_effects(codes, 5 * features, rng.normal(size=(1, 400))).any())

    assert sum(found) <= 1


def test_the_effect_of_a_rare_group_is_found(rng: np.random.Generator) -> None:
    """The rows of the other groups are not taken to have the opposite effect."""
    codes = (rng.random((5000, 1)) < 0.1).astype(np.intp)
    target = 1.0 * codes[:, 0] + rng.normal(0, 0.5, 5000)

    (effects,) = group_effects(codes, 2, target[None])

    assert effects == pytest.approx([-0.1, 0.9], abs=0.05)


@pytest.mark.parametrize("limits", [Limits(rows=10_000), Limits(values=40_000), Limits(pairs=160_000)], ids=str)
def test_of_more_rows_some_are_fitted(rng: np.random.Generator, limits: Limits) -> None:
    codes = rows_of(rng, 30_000)
    target = planted(rng, codes)
    of_all = group_effects(codes, sum(SIZES), target[None])
    of_third = group_effects(codes[::3], sum(SIZES), target[None, ::3])

    found = group_effects(codes, sum(SIZES), target[None], limits)

    assert not np.array_equal(found, of_all)
    # But for the shares that they are centred by.
    for offset, size in zip(OFFSETS, SIZES, strict=True):
        groups = np.arange(offset, offset + size - 1)
        assert np.ptp(found[0, groups] - of_third[0, groups]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("shape", [(0, 4), (10, 4), (100, 0)], ids=["no rows", "few rows", "no features"])
def test_too_little_data_has_no_effects(rng: np.random.Generator, shape: tuple[int, int]) -> None:
    rows, features = shape
    codes = rows_of(rng, rows)[:, :features]

    effects = group_effects(codes, sum(SIZES), rng.normal(size=(2, rows)))

    assert effects.shape == (2, sum(SIZES))
    assert not effects.any()


def test_narrow_integers_are_the_same_groups(rng: np.random.Generator) -> None:
    codes = rows_of(rng, 1000)
    targets = planted(rng, codes)[None]

    narrow = group_effects(codes.astype(np.uint8), sum(SIZES), targets)

    assert np.array_equal(narrow, group_effects(codes, sum(SIZES), targets))
