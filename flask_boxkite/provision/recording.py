"""The recording rules: their series, with name and expression.

``boxkite:feature:…`` and ``boxkite:inference:…`` (outputs) have the same rules. Users rely on their names, as on the
names of the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import Template

from flask_boxkite.drift.timeline import HOUR
from flask_boxkite.drift.verdict import DOUBT, MAJOR_SIZE, MINIMUM_ROWS
from flask_boxkite.live.windows import LONGEST, WINDOWS
from flask_boxkite.naming import ABOVE, BELOW, INVALID, MISSING, RARE, UNSEEN
from flask_boxkite.provision import expressions
from flask_boxkite.provision.durations import duration_seconds, duration_text
from flask_boxkite.provision.options import PIECE, PIECE_SECONDS, RuleOptions
from flask_boxkite.provision.rulefile import Recording

__all__ = [
    "BINS",
    "FEATURES",
    "GROUPS",
    "LOOKBACK",
    "SIDES",
    "Counter",
    "Side",
    "any_window_rule",
    "bin_rules",
    "filled",
    "piece_rules",
    "training_rules",
    "window_rules",
]

LOOKBACK = "10m"
"""Time for which gauges and training counts outlive their last scrape, so that a restarting replica leaves no gap."""

SHARES = {
    "missing_share": MISSING,
    "invalid_share": INVALID,
    "out_of_range_share": f"{BELOW}|{ABOVE}",
    "unseen_share": UNSEEN,
}
"""The recorded shares of rows, with their groups."""


@dataclass(frozen=True)
class Side:
    """Features or outputs: *name* in the names of metrics, *label* on their series."""

    name: str
    label: str

    def series(self, what: str, window: str | None = None) -> str:
        """Return the selector of a recorded series, for training or for a window."""
        return f"boxkite:{self.name}{what}" + ("" if window is None else f'{{window="{window}"}}')


FEATURES = Side("feature", "feature")
OUTPUTS = Side("inference", "output")
SIDES = (FEATURES, OUTPUTS)


@dataclass(frozen=True)
class Counter:
    """A metric that counts live rows: its *name* after the side's, and the *label* that distinguishes groups or bins.

    Attributes:
        interval: Function that returns the evaluation interval of its rules for a window.
    """

    name: str
    label: str
    interval: Callable[[RuleOptions, str], str]


GROUPS = Counter("group_total", "group", RuleOptions.interval)
BINS = Counter("value_bucket", "le", RuleOptions.bins_interval)


def training_rules(side: Side, options: RuleOptions) -> Iterator[Recording]:
    """Yield the rules without a window: training counts, the user's decisions, and the limits of G."""

    def record(what: str, template: str) -> Recording:
        return Recording(side.series(what), filled(template, common))

    common = _common(side, options) | {
        "one": side.series(":g_limit_of_one_window"),
        "halfway": side.series(":g_limit_halfway"),
        "degrees": side.series(":degrees"),
        "never": f'{side.series("_group:baseline")}{{group=~"{INVALID}|{RARE}"}}',
        "log_windows": repr(math.log(len(options.windows))),
    }
    yield record("_group:baseline", expressions.BASELINE_COUNTS)
    yield record(":baseline_rows", expressions.BASELINE_ROWS)
    yield record(":baseline_part_of_g", expressions.BASELINE_PART)
    yield record(":weight", expressions.WEIGHT)
    yield record(":drifted_size", expressions.DRIFTED_SIZE)
    yield record(":major_size", expressions.MAJOR_SIZE)
    yield record(":degrees", expressions.DEGREES)
    yield record(":g_limit_of_one_window", expressions.ONE_WINDOW_LIMIT)
    if len(options.windows) == 1:
        yield record(":g_limit", "$one")
    else:
        yield record(":g_limit_halfway", expressions.HALFWAY_LIMIT)
        yield record(":g_limit", expressions.LIMIT)


def piece_rules(counter: Counter, options: RuleOptions) -> list[Recording]:
    """Return the rules that record live rows in pieces, for the windows that are added up from them."""
    span = PIECE_SECONDS + duration_seconds(options.scrape_interval, what="The scrape interval")
    parts = {"piece_seconds": f"{PIECE_SECONDS:g}", "span_seconds": f"{span:g}"}
    return [
        Recording(
            _pieces(side, counter),
            filled(expressions.PIECES, parts | {"increases": _increases(side, counter, options, duration_text(span))}),
        )
        for side in SIDES
    ]


def window_rules(side: Side, options: RuleOptions, window: str) -> Iterator[Recording]:
    """Yield the rules of one window: live counts, statistics, verdict, shares."""

    def record(what: str, template: str, **parts: str) -> Recording:
        return Recording(side.series(what), filled(template, common | parts), {"window": window})

    common = _common(side, options) | {
        "window": window,
        "live": side.series("_group:live", window),
        "rows": side.series(":live_rows", window),
        "total": side.series("_group:total", window),
        "baseline_part": side.series(":baseline_part_of_g"),
        "held": side.series(":held_groups", window),
        "noise": side.series(":psi_noise", window),
        "gauge_window": _gauge_window(window),
    }
    for name in ("g", "dispersion", "psi", "size"):
        common[name] = side.series(f":{name}", window)
    yield record("_group:live", _live(side, GROUPS, options, window))
    yield record(":live_rows", expressions.LIVE_ROWS)
    yield record(":dispersion", expressions.DISPERSION)
    yield record("_group:total", expressions.TOTAL)
    yield record(":g", expressions.G_STATISTIC)
    yield record(":held_groups", expressions.HELD_GROUPS)
    yield record(":psi", expressions.PSI)
    yield record(":psi_noise", expressions.PSI_NOISE)
    uncertain = filled(expressions.LONG_UNCERTAIN if _is_long(window) else expressions.UNCERTAIN, common)
    yield record(":size", expressions.SIZE, uncertain=uncertain)
    yield record(":verdict", expressions.VERDICT)
    yield record(":moved_most", expressions.MOVED_MOST)
    for name, groups in SHARES.items():
        matches = "=~" if "|" in groups else "="
        of_groups = f'{side.series("_group:live")}{{window="{window}",group{matches}"{groups}"}}'
        yield record(f":{name}", expressions.SHARE, live_of_groups=of_groups)


def any_window_rule(side: Side) -> Recording:
    """Return the rule that records the highest verdict over all windows."""
    parts = {"verdict": side.series(":verdict"), "lookback": LOOKBACK}
    return Recording(side.series(":verdict_any"), filled(expressions.VERDICT_ANY, parts))


def bin_rules(side: Side, options: RuleOptions, window: str) -> Iterator[Recording]:
    """Yield the Kolmogorov-Smirnov distance and its limit, for variables whose bins are exported."""
    is_added_up = options.is_added_up(BINS.interval(options, window))
    common = _common(side, options) | {
        "windows": str(len(options.windows)),
        "pieces": _pieces(side, BINS),
        "span": _added_up(window) if is_added_up else window,
        "live_bins": _live(side, BINS, options, window),
    }
    for name, template in (
        ("binned", expressions.BINNED_ROWS_ADDED_UP if is_added_up else expressions.BINNED_ROWS),
        ("trained_binned", expressions.TRAINED_BINNED_ROWS),
        ("significance", expressions.SIGNIFICANCE),
    ):
        common[name] = filled(template, common)

    for name, template in (("ks", expressions.KS), ("ks_limit", expressions.KS_LIMIT)):
        yield Recording(side.series(f":{name}"), filled(template, common), {"window": window})


def filled(template: str, parts: dict[str, str]) -> str:
    """Fill in a template; *parts* must contain every name in it."""
    return Template(template).substitute(parts)


def _common(side: Side, options: RuleOptions) -> dict[str, str]:
    by_model = ", ".join((*options.group_by, "model", "baseline"))

    return {
        "side": side.name,
        "by_model": by_model,
        "by": f"{by_model}, {side.label}",
        "lookback": LOOKBACK,
        "base": side.series("_group:baseline"),
        "trained": side.series(":baseline_rows"),
        "limit": side.series(":g_limit"),
        "weight": side.series(":weight"),
        "drifted": side.series(":drifted_size"),
        "major": side.series(":major_size"),
        "minimum_rows": str(MINIMUM_ROWS),
        "minimum_size": f"{options.minimum_size:g}",
        "major_size": f"{MAJOR_SIZE:g}",
        "doubt": f"{DOUBT:g}",
    }


def _live(side: Side, counter: Counter, options: RuleOptions, window: str) -> str:
    """Return the expression for the live rows of each group, or bin, in a window."""
    if options.is_added_up(counter.interval(options, window)):
        return filled(expressions.ADDED_UP, {"pieces": _pieces(side, counter), "span": _added_up(window)})
    return _increases(side, counter, options, window)


def _increases(side: Side, counter: Counter, options: RuleOptions, span: str) -> str:
    parts = {"counter": counter.name, "each": counter.label, "span": span}
    return filled(expressions.INCREASES, _common(side, options) | parts)


def _pieces(side: Side, counter: Counter) -> str:
    """Return the series of a counter's increases over the length of a piece."""
    return f"boxkite:{side.name}_{counter.name}:increase{PIECE}"


def _added_up(window: str) -> str:
    """Return the range that holds all pieces of *window*."""
    return duration_text(duration_seconds(window, what="A window") - PIECE_SECONDS / 2)


def _is_long(window: str) -> bool:
    """Say whether a window is longer than an hour, so that live rows are uncertain too."""
    return duration_seconds(window, what="A window") > HOUR


def _gauge_window(window: str) -> str:
    """Return the window whose gauge of dispersion applies: the shortest that covers *window*, else the longest."""
    seconds = duration_seconds(window, what="A window")
    return next((name for name, length in WINDOWS.items() if length >= seconds), LONGEST)
