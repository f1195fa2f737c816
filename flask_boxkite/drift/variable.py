"""One variable of a drift report: its verdict, its shares, and distances that describe the whole window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flask_boxkite.baseline import Distribution
from flask_boxkite.baseline.blindness import blind_spot
from flask_boxkite.baseline.distribution import Continuous, group_counts
from flask_boxkite.drift.distances import (
    hellinger_distance,
    jensen_shannon_distance,
    kl_divergence,
    kolmogorov_smirnov,
    kolmogorov_smirnov_limit,
    wasserstein_distance,
)
from flask_boxkite.drift.shares import Change, moved_most, special_changes
from flask_boxkite.drift.verdict import Judgement, Verdict
from flask_boxkite.drift.wording import group_name, moment, variable_line

__all__ = ["Distances", "VariableDrift", "finite_or_none"]


@dataclass(frozen=True)
class Distances:
    """Numbers that describe a window without judging it; None if a sample is empty, or the number makes no sense.

    Attributes:
        jensen_shannon: `jensen_shannon_distance` of the groups, in [0, 1].
        kl_live: `kl_divergence` of live from training, on groups.
        kl_baseline: `kl_divergence` of training from live.
        hellinger: `hellinger_distance` of the groups, in [0, 1].
        kolmogorov_smirnov: `kolmogorov_smirnov` of the bins; None if discrete.
        kolmogorov_smirnov_limit: Limit that it exceeds by chance with the probability of a false alarm.
        wasserstein: `wasserstein_distance` of the bins, in the unit of the variable (seconds for dates and times); None
            if discrete.
        wasserstein_is_least: Whether rows lie beyond the bounds, so that the distance may be larger; how far, is
            unknown.
    """

    jensen_shannon: float | None
    kl_live: float | None
    kl_baseline: float | None
    hellinger: float | None
    kolmogorov_smirnov: float | None
    kolmogorov_smirnov_limit: float | None
    wasserstein: float | None
    wasserstein_is_least: bool = False


@dataclass(frozen=True, repr=False)
class VariableDrift:
    """One variable of a report.

    Attributes:
        item: Distribution in training.
        side: ``feature`` or ``output``.
        live_rows: Number of live rows in the whole window.
        judgement: Verdict, and the numbers behind it.
        reason: Reason for ``unclear``, for ``not enough data``, and for ``ignored`` unless the user said so; empty for
            other verdicts.
        since: Beginning of the stretch that decided, in Unix seconds; None if it is the whole window.
        rows: Number of live rows in that stretch.
        recurrence: Recurrence of these rows; None if unknown.
        before: Training rows per group.
        now: Live rows per group in that stretch.
        window_cells: Live rows per cell in the whole window.
        alpha: False-alarm probability of the variable.
        weight: Importance beside the other variables; 0 if it is ignored.
        unread: Forms of live values that count as invalid, as a phrase; empty if there are none, or they are unknown.
    """

    item: Distribution
    side: str
    live_rows: int
    judgement: Judgement
    reason: str
    since: float | None
    rows: int
    recurrence: float | None
    before: tuple[int, ...]
    now: tuple[int, ...]
    window_cells: tuple[int, ...]
    alpha: float
    weight: float = 1.0
    unread: str = ""

    def __repr__(self) -> str:
        """Return a summary in one line."""
        return f"<VariableDrift {variable_line(self.to_row())}>"

    @property
    def name(self) -> str:
        """The name of the variable."""
        return self.item.name

    @property
    def kind(self) -> str:
        """``continuous`` or ``discrete``."""
        return self.item.kind

    @property
    def baseline_rows(self) -> int:
        """The number of training rows."""
        return sum(self.before)

    @property
    def verdict(self) -> Verdict:
        """The decision."""
        return self.judgement.verdict

    @property
    def note(self) -> str:
        """The change of the variable that no verdict can show, and the values that are invalid; empty without both."""
        unread = f"invalid are {self.unread}" if self.unread else ""
        return "; ".join(filter(None, (blind_spot(self.item), unread)))

    @property
    def has_invalid(self) -> bool:
        """Whether the window has live values that count as invalid."""
        return self.window_cells[-1] > 0

    @cached_property
    def _shares(self) -> list[tuple[float, float]]:
        """The shares of each group, in training and live."""
        trained, served = max(sum(self.before), 1), max(sum(self.now), 1)
        return [(c / trained, d / served) for c, d in zip(self.before, self.now, strict=True)]

    @cached_property
    def _most(self) -> int:
        names = [group.name for group in self.item.groups]
        dispersion = self.judgement.dispersion
        return moved_most(names, self.before, self.now, dispersion=dispersion, alpha=self.alpha)

    @property
    def moved_most(self) -> str:
        """The group whose share changed most; a special one, such as ``__unseen__``, if it explains the others."""
        return self.item.groups[self._most].name

    @property
    def moved_most_text(self) -> str:
        """The name of that group for people, within the training values; the label reaches a margin beyond them."""
        return group_name(self.item, self.moved_most)

    @property
    def share_before(self) -> float:
        """The share of that group in training."""
        return self._shares[self._most][0]

    @property
    def share_now(self) -> float:
        """The live share of that group; 0 if there are no rows."""
        return self._shares[self._most][1]

    @property
    def special(self) -> dict[str, Change]:
        """Shares of ``missing``, ``invalid``, ``out_of_range`` and ``unseen`` rows."""
        return special_changes([group.name for group in self.item.groups], self.before, self.now)

    @cached_property
    def distances(self) -> Distances:
        """Numbers that describe the whole window."""
        groups = group_counts(self.item, self.window_cells)
        return _distances(self.item, self.window_cells, self.before, groups, self.alpha)

    def to_row(self) -> dict[str, Any]:
        """Return everything as one flat dict of JSON values; see `DriftReport.to_dict`."""
        judged = self.judgement
        row = {
            "name": self.name,
            "side": self.side,
            "kind": self.kind,
            "type": "time" if self.item.is_time else None,
            "verdict": self.verdict,
            "reason": self.reason or None,
            "note": self.note or None,
            "since": None if self.since is None else moment(self.since),
            "rows": self.rows,
            "baseline_rows": self.baseline_rows,
            "live_rows": self.live_rows,
            "g": judged.g,
            "dispersion": judged.dispersion,
            "recurrence": self.recurrence,
            "limit": judged.limit,
            "psi": judged.psi,
            "size": judged.size,
            "psi_noise": finite_or_none(judged.noise),
            "psi_error": finite_or_none(judged.error),
            "psi_limit": finite_or_none(judged.psi_limit),
            "drifted_size": judged.drifted_size,
            "major_size": judged.major_size,
            "weight": self.weight,
            "moved_most": self.moved_most,
            "moved_most_text": self.moved_most_text,
            "share_before": self.share_before,
            "share_now": self.share_now,
        }

        for kind, change in self.special.items():
            row[f"{kind}_before"], row[f"{kind}_now"] = change.before, change.now
        return row | vars(self.distances)


def _distances(
    item: Distribution, cells: Sequence[int], before: Sequence[int], now: Sequence[int], alpha: float
) -> Distances:
    ks = limit = wasserstein = math.nan
    is_least = False
    if isinstance(item, Continuous):
        bins = np.asarray(cells)[: len(item.counts)]
        ks = kolmogorov_smirnov(item.counts, bins)
        limit = kolmogorov_smirnov_limit(sum(item.counts), int(bins.sum()), alpha)
        wasserstein = wasserstein_distance(item.counts, bins, item.upper_bounds)
        is_least = bool(bins[0] or bins[-1] or item.counts[0] or item.counts[-1])

    return Distances(
        finite_or_none(jensen_shannon_distance(before, now)),
        finite_or_none(kl_divergence(before, now)),
        finite_or_none(kl_divergence(now, before)),
        finite_or_none(hellinger_distance(before, now)),
        finite_or_none(ks),
        finite_or_none(limit),
        finite_or_none(wasserstein),
        is_least,
    )


def finite_or_none(number: float) -> float | None:
    """Return a number; None for NaN and infinity, which JSON lacks."""
    return number if math.isfinite(number) else None
