"""Effects of groups: how far the groups of the features explain an error that the output's bin does not.

Live features are counted in groups, so the sum of effect times rows over all groups can correct an estimate. The
effects come from a ridge regression on all features at once, in which a feature that explains little alone is shrunk
most. It works on the counts of pairs of groups, without a table of indicators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIMITS", "Limits", "group_effects"]

FACTORS = tuple(float(4**power) for power in range(-1, 6))
"""Factors of the penalties, of which the one is taken that does best on rows left out."""

FOLDS = 5
BLOCKS = 10
"""Blocks of consecutive rows in each fold. Equal rows that follow each other are mostly in the same one."""

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]


class Limits(NamedTuple):
    """Limits of the search for effects.

    Attributes:
        features: Most features with effects. Of more, those that explain most alone are taken.
        rows: Most rows to fit; of more, every n-th is fitted.
        values: Most values in them.
        pairs: Most pairs of two values of a row in them.
        gain: Least gain on rows that were left out, in standard errors, for effects to be taken.
    """

    features: int = 64
    rows: int = 200_000
    values: int = 20_000_000
    pairs: int = 200_000_000
    gain: float = 1.5

    def most_rows(self, features: int) -> int:
        """Return the number of rows of so many features that may be fitted."""
        return min(self.rows, self.values // features, self.pairs // min(features, self.features) ** 2)


LIMITS = Limits()


def group_effects(codes: NDArray[Any], groups: int, targets: Floats, limits: Limits = LIMITS) -> Floats:
    """Return the effect of each group on each target.

    The mean of a target plus the effects of a row's groups estimates the target of the row. All effects are 0 on a
    target that the groups do not explain. The same data has the same effects.

    The penalty of a feature is a factor of σ²/τ², where σ² is the variance of the target and τ² the variance of its
    means in the feature's groups, by the method of moments of a one-way analysis. The factor is common to all features,
    since features that go together share an effect. It has the least squared error on rows left out.

    Args:
        codes: Groups of each row, shape (rows, features). They are numbered from 0 over all features, one feature's
            groups after the other's.
        groups: Number of groups of all features.
        targets: Finite numbers to explain, shape (targets, rows).
        limits: Limits of the search.

    Returns:
        The effects, shape (targets, groups). The sum of effect times rows over the groups of a feature is 0, and a
        group without rows has no effect.

    References:
        Hoerl and Kennard, Ridge Regression: Biased Estimation for Nonorthogonal Problems, 1970; Searle, Casella and
        McCulloch, Variance Components, 1992.
    """
    rows, features = codes.shape
    effects = np.zeros((len(targets), groups))
    if rows < 2 * FOLDS * BLOCKS or not features:
        return effects

    step = -(-rows // limits.most_rows(features))
    scaled, scales = _scaled(targets[:, ::step])
    sample = trial = _Rows(codes[::step].astype(np.intp), scaled)
    if features > limits.features:
        # The rows that choose the features would find a gain from these in noise, so the others choose the factor.
        is_scout = _folds(len(sample.codes)) % 2 == 0
        sample = sample._replace(codes=sample.codes[:, _strongest(sample.take(is_scout), limits.features)])
        trial = sample.take(~is_scout)

    # Most groups of missing or strange values have no rows; without them the matrices are smaller.
    kept, features_of_kept = _filled(sample.codes)
    places = np.zeros(groups, dtype=np.intp)
    places[kept] = np.arange(len(kept))
    best = _best_factors(trial._replace(codes=places[trial.codes]), features_of_kept, limits.gain)
    if (best >= 0).any():
        found = _moments(sample._replace(codes=places[sample.codes]), features_of_kept).effects()
        for target in np.flatnonzero(best >= 0):
            effects[target, kept] = found[best[target], target]
    return _centred(effects * scales, codes)


def _scaled(targets: Floats) -> tuple[Floats, Floats]:
    """Return targets within [-1, 1] around their means, and their scales: squares of large numbers are no floats."""
    around = targets - targets.mean(axis=1, keepdims=True)
    scales = np.abs(around).max(axis=1, keepdims=True)
    return around / np.where(scales > 0, scales, 1), scales


class _Rows(NamedTuple):
    """Rows to explain.

    Attributes:
        codes: Groups of each row, shape (rows, features).
        targets: Numbers to explain, shape (targets, rows).
    """

    codes: Codes
    targets: Floats

    def take(self, rows: NDArray[np.bool_]) -> _Rows:
        """Return some of the rows."""
        return _Rows(self.codes[rows], self.targets[:, rows])


class _Sums(NamedTuple):
    """Sums over rows.

    Attributes:
        rows: Number of rows.
        totals: Sums of the targets, shape (targets, 1).
        squares: Sums of the squared targets, shape (targets, 1).
        counts: Rows of each group, shape (groups,).
        of_groups: Sums of the targets over the rows of each group, shape (targets, groups).
    """

    rows: Any
    totals: Floats
    squares: Floats
    counts: Floats
    of_groups: Floats

    @property
    def centred(self) -> Floats:
        """The sums of the targets less their means, over the rows of each group."""
        centred: Floats = self.of_groups - self.totals / self.rows * self.counts
        return centred

    def ratios(self, features: Codes) -> Floats:
        """Return τ²/σ² of each feature, the mean over the targets; 0 where the groups differ no more than by chance.

        Args:
            features: Feature of each group.
        """
        number = features.max() + 1
        variances = self.squares / self.rows - (self.totals / self.rows) ** 2
        scaled = self.centred**2 / (np.maximum(self.counts, 1) * np.where(variances > 0, variances, 1))
        between = np.stack([np.bincount(features, each, number) for each in scaled])
        degrees = np.maximum(np.bincount(features, self.counts > 0, number) - 1, 1)
        size = np.maximum(self.rows - np.bincount(features, self.counts**2, number) / self.rows, 1) / degrees
        ratios: Floats = np.maximum(between / degrees - 1, 0).mean(axis=0) / size
        return ratios


def _sums(rows: _Rows, groups: int) -> _Sums:
    codes, targets = rows
    values = codes.ravel()
    return _Sums(
        len(codes),
        targets.sum(axis=1, keepdims=True),
        (targets**2).sum(axis=1, keepdims=True),
        np.bincount(values, minlength=groups).astype(np.float64),
        np.stack([np.bincount(values, np.repeat(target, codes.shape[1]), groups) for target in targets]),
    )


class _Moments(NamedTuple):
    """Sums over rows and pairs; the ones of some rows less the ones of a part are the ones of the rest.

    Attributes:
        features: Feature of each group.
        sums: Sums over the rows.
        pairs: Rows in both of two groups, shape (groups, groups), in the upper triangle.
    """

    features: Codes
    sums: _Sums
    pairs: Floats

    @classmethod
    def of_all(cls, parts: Sequence[_Moments]) -> _Moments:
        """Return the moments of the rows of all parts."""
        sums = _Sums(*(sum(each) for each in zip(*(part.sums for part in parts), strict=True)))
        return cls(parts[0].features, sums, np.sum([part.pairs for part in parts], axis=0))

    def without(self, part: _Moments) -> _Moments:
        """Return the moments of the rows that are not in a part."""
        sums = _Sums(*(mine - other for mine, other in zip(self.sums, part.sums, strict=True)))
        return _Moments(self.features, sums, self.pairs - part.pairs)

    def effects(self) -> Floats:
        """Return the effects with each of `FACTORS`, shape (factors, targets, groups), with a mean of 0."""
        sums, counts = self.sums, self.sums.counts
        # A column times the root of its ratio has the penalty 1.
        roots = np.sqrt(sums.ratios(self.features))[self.features]
        used = np.flatnonzero(roots)
        roots = roots[used]
        centred = self.pairs[np.ix_(used, used)] - np.outer(counts[used], counts[used]) / sums.rows
        values, vectors = np.linalg.eigh(centred * np.outer(roots, roots), UPLO="U")

        factors = np.array(FACTORS)[:, None, None]
        found = np.zeros((len(FACTORS), *sums.of_groups.shape))
        projected = (sums.centred[:, used] * roots) @ vectors
        found[:, :, used] = (projected / (np.maximum(values, 0.0) + factors)) @ vectors.T * roots
        means: Floats = found @ counts / counts.sum()
        return found - means[..., None]


def _moments(rows: _Rows, features: Codes) -> _Moments:
    groups = len(features)
    pairs = np.zeros((groups, groups))
    for feature, column in enumerate(rows.codes.T):
        first, last = np.searchsorted(features, [feature, feature + 1])
        cells = (column - first)[:, None] * groups + rows.codes[:, feature:]
        counts = np.bincount(cells.ravel(), minlength=(last - first) * groups)
        pairs[first:last] = counts.reshape(last - first, groups)
    return _Moments(features, _sums(rows, groups), pairs)


def _best_factors(rows: _Rows, features: Codes, least_gain: float) -> Codes:
    """Return the index of the factor that gains most on rows left out, for each target; -1 if none gains enough."""
    number = len(rows.codes)
    parts = [rows.take(_folds(number) == fold) for fold in range(FOLDS)]
    moments = [_moments(part, features) for part in parts]
    whole = _Moments.of_all(moments)
    sums, squares = (np.zeros((len(FACTORS), len(rows.targets))) for _ in range(2))
    for part, own in zip(parts, moments, strict=True):
        gains = _gains(part, whole.without(own))
        sums += gains.sum(axis=2)
        squares += (gains**2).sum(axis=2)

    best = sums.argmax(axis=0)
    targets = np.arange(len(best))
    gain = sums[best, targets]
    deviation = np.sqrt(np.maximum(squares[best, targets] - gain**2 / number, 0.0))
    return np.where(gain > least_gain * deviation, best, -1)


def _gains(rows: _Rows, fitted: _Moments) -> Floats:
    """Return how much less the squared errors of rows are with effects, shape (factors, targets, rows)."""
    effects = fitted.effects()
    without = rows.targets - fitted.sums.totals / fitted.sums.rows
    errors = np.repeat(without[None], len(effects), axis=0)
    for column in rows.codes.T:
        errors -= effects[:, :, column]
    gains: Floats = without**2 - errors**2
    return gains


def _folds(rows: int) -> Codes:
    """Return the fold of each row."""
    return np.arange(rows) * (FOLDS * BLOCKS) // rows % FOLDS


def _strongest(rows: _Rows, most: int) -> Codes:
    """Return the places of the features that explain most alone, ascending."""
    kept, features = _filled(rows.codes)
    sums = _sums(rows, int(kept[-1]) + 1)
    ratios = sums._replace(counts=sums.counts[kept], of_groups=sums.of_groups[:, kept]).ratios(features)
    return np.sort(np.argsort(ratios, kind="stable")[-most:])


def _filled(codes: Codes) -> tuple[Codes, Codes]:
    """Return the groups that have rows, and the feature of each."""
    seen = [np.flatnonzero(np.bincount(column)) for column in codes.T]
    return np.concatenate(seen), np.repeat(np.arange(len(seen)), [len(each) for each in seen])


def _centred(effects: Floats, codes: NDArray[Any]) -> Floats:
    """Return the effects less the mean effect of each feature."""
    for column in codes.T:
        counts = np.bincount(column, minlength=effects.shape[1])
        effects -= np.outer(effects @ counts / len(column), counts > 0)
    return effects
