"""The statistics of `flask_boxkite.drift` in PromQL, over all variables of all models at once.

Each is a template. ``$live`` and ``$base`` are recorded counts per group, ``$rows`` and ``$trained`` their sums. What
is recorded of a window carries the label ``window``, which what is known of training does not; so vectors of both
match ``ignoring (window)``. Live counts are summed over replicas, training counts taken once (``max``): no number
depends on how many replicas there are.

Where there is nothing to divide by there is no sample, and never NaN: that would not alert.
"""

from __future__ import annotations

__all__ = [
    "ADDED_UP",
    "BASELINE_COUNTS",
    "BASELINE_PART",
    "BASELINE_ROWS",
    "BINNED_ROWS",
    "BINNED_ROWS_ADDED_UP",
    "DEGREES",
    "DISPERSION",
    "G_STATISTIC",
    "HALFWAY_LIMIT",
    "HELD_GROUPS",
    "INCREASES",
    "KS",
    "KS_LIMIT",
    "LIMIT",
    "LIVE_ROWS",
    "LONG_UNCERTAIN",
    "MOVED_MOST",
    "ONE_WINDOW_LIMIT",
    "PIECES",
    "PSI",
    "PSI_NOISE",
    "SHARE",
    "SIGNIFICANCE",
    "SIZE",
    "TOTAL",
    "TRAINED_BINNED_ROWS",
    "UNCERTAIN",
    "VERDICT",
    "VERDICT_ANY",
]

# --- training --------------------------------------------------------------------------------------------------------

BASELINE_COUNTS = "max by ($by, group) (last_over_time(boxkite_${side}_group_baseline_total[$lookback]))"

BASELINE_ROWS = "sum without (group) ($base)"

# As in `drift.tables.degrees_of_freedom`: groups less one, and less those that only other populations can fill.
DEGREES = """\
clamp_min(
  count without (group) ($base) - 1
  - (count without (group) ($never == 0) or 0 * count without (group) ($base)),
  1
)"""

ONE_WINDOW_LIMIT = "max by ($by) (last_over_time(boxkite_${side}_drift_limit[$lookback]))"

# The exported limit leaves some probability to chance. Which one leaves a w-th of it, for w windows? Along x, the
# logarithm of the tail of χ² with k degrees of freedom falls by its hazard, (x + 2 - k - 2·(2 - k) / (x + 6 - k)) / 2x:
# the first terms of the continued fraction of the incomplete gamma function (Abramowitz and Stegun, 6.5.31). So one
# midpoint step of ln w leads from the one limit to the other, for any model, though the tail itself is nothing that
# PromQL could write. It is off by 0.004 % at most where the probability is 1e-5 or less, by 0.02 % where it is 1e-3.
HALFWAY_LIMIT = "$one + $log_windows * $one / ($one + 2 - $degrees)"

LIMIT = """\
$one
+ 2 * $log_windows * $halfway
  / ($halfway + 2 - $degrees + 2 * ($degrees - 2) / ($halfway + 6 - $degrees))"""

# --- live ------------------------------------------------------------------------------------------------------------

INCREASES = "sum by ($by, $each) (increase(boxkite_${side}_$counter[$span]))"

# A window needs few samples where it is added up from pieces, each the increase over the time between two evaluations.
# The span is longer by one scrape, so that each piece begins with the sample with which the one before ended, and
# `increase` extrapolates to that span: the quotient takes it back. Below 0, `increase` does not extrapolate, so of a
# counter that is new, the first piece is too small by as much.
PIECES = "$increases * $piece_seconds / $span_seconds"

# The range ends half a piece early, so that no release of Prometheus takes one piece more than the window has.
ADDED_UP = "sum_over_time($pieces[$span])"

LIVE_ROWS = "sum without (group) ($live)"

# The most dispersed replica counts; 1 where no replica has a gauge.
DISPERSION = """\
max by ($by) (last_over_time(boxkite_${side}_dispersion{window="$gauge_window"}[$lookback]))
or
0 * sum without (window) ($rows) + 1"""

# --- is it real? -----------------------------------------------------------------------------------------------------

TOTAL = "$live / ignoring (group) group_left () $dispersion + ignoring (window) $base"

# G as Σ x·ln x over the cells of the table of groups by samples, less that over its margins, plus that of its total:
# the definition with its logarithms of quotients taken apart, so that nothing has to be joined. What does not depend
# on live rows is recorded by itself; joins of all groups are what the rules cost. Live rows count as many as they are
# divided by the dispersion: over live rows, that leaves a sum which can be divided as a whole.
BASELINE_PART = """\
sum without (group) ($base * ln(clamp_min($base, 1e-9)))
- $trained * ln(clamp_min($trained, 1e-9))"""

G_STATISTIC = """\
2 * clamp_min(
  (
    sum without (group) ($live * ln(clamp_min($live, 1e-9)))
    - $rows * ln(clamp_min($rows, 1e-9))
  ) / $dispersion
  + ignoring (window)
  $baseline_part
  - ignoring (window)
  sum without (group) ($total * ln(clamp_min($total, 1e-9)))
  + ignoring (window)
  ($rows / $dispersion + ignoring (window) $trained)
  * ln(clamp_min($rows / $dispersion + ignoring (window) $trained, 1e-9)),
  0
)"""

# --- is it big? ------------------------------------------------------------------------------------------------------

HELD_GROUPS = "count without (group) ($total > 0)"

# Σ (q - p)·ln(q / p). Both q and p sum to 1, so their denominators can leave the logarithm; and a group that is empty
# on both sides adds 0, for ln 1 = 0.
PSI = """\
sum without (group) (
  (
    ($live + 0.5) / ignoring (group) group_left () ($rows + 0.5 * $held)
    - ignoring (window)
    ($base + 0.5) / ignoring (group) group_left () ($trained + ignoring (window) 0.5 * $held)
  )
  * ln(($live + 0.5) / ignoring (window) ($base + 0.5))
)"""

PSI_NOISE = """\
($held - 1)
* ignoring (window)
($dispersion / ($rows > 0) + ignoring (window) 1 / ($trained > 0))"""

# Less `verdict.DOUBT` standard errors too, as far as they are due to what `verdict.uncertainty` returns. 0 without
# rows.
SIZE = """\
clamp_min(
  $psi
  - $noise
  - ignoring (window)
  $doubt * sqrt(($uncertain) * ignoring (window) (2 * $noise + 4 * clamp_min($psi - $noise, 0))),
  0
)
or ignoring (window)
0 * $psi"""

UNCERTAIN = "1 / ($trained > 0)"
"""Within an hour."""

LONG_UNCERTAIN = "$noise / clamp_min($held - 1, 1)"

# --- so what? --------------------------------------------------------------------------------------------------------

# Rows / dispersion is how many independent rows they count for. Too few of these leave it at 1, as does what Python
# calls unclear.
VERDICT = """\
($rows >= bool $minimum_rows)
* ignoring (window)
($trained >= bool $minimum_rows)
* ignoring (window)
(
  1
  + ($g > bool ignoring (window) $limit)
  * ignoring (window)
  ($rows / $dispersion >= bool $minimum_rows)
  * ignoring (window)
  (1 + ($size >= bool $minimum_size) * (1 + ($size >= bool $major_size)))
)"""

# Slow groups record so seldom that their last sample may be too old to be found at an instant.
VERDICT_ANY = "max without (window) (last_over_time($verdict[$lookback]))"

# --- described, not judged -------------------------------------------------------------------------------------------

SHARE = "sum without (group) ($live_of_groups) / ($rows > 0)"

# The value is by how much its share of rows changed. Of two groups that moved as far, the one that grew.
MOVED_MOST = """\
topk without (group) (1, abs(
  $live / ignoring (group) group_left () ($rows > 0)
  - ignoring (window)
  $base / ignoring (group) group_left () ($trained > 0)
  + 1e-9
) > 2e-9)"""

KS = """\
max without (le) (abs(
  $live_bins
  / ignoring (le) group_left ()
  ($binned > 0)
  -
  max by ($by, le) (last_over_time(boxkite_${side}_value_baseline_bucket[$lookback]))
  / ignoring (le) group_left ()
  ($trained_binned > 0)
))"""

KS_LIMIT = """\
sqrt(
  (1 / ($binned > 0) + 1 / ($trained_binned > 0))
  * on ($by_model) group_left ()
  (-ln($significance / (2 * $windows)) / 2)
)"""

BINNED_ROWS = """sum by ($by) (increase(boxkite_${side}_value_bucket{le="+Inf"}[$span]))"""

BINNED_ROWS_ADDED_UP = """sum without (le) (sum_over_time($pieces{le="+Inf"}[$span]))"""

TRAINED_BINNED_ROWS = """max by ($by) (last_over_time(boxkite_${side}_value_baseline_bucket{le="+Inf"}[$lookback]))"""

SIGNIFICANCE = "max by ($by_model) (last_over_time(boxkite_drift_significance[$lookback]))"
