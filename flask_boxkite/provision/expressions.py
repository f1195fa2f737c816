"""The statistics of `flask_boxkite.drift` in PromQL, over all variables of all models at once.

Each one is a template. ``$live`` and ``$base`` are recorded counts per group, ``$rows`` and ``$trained`` their sums. A
recorded number of a window carries the label ``window``, a number of training does not; so vectors of both match
``ignoring (window)``. Live counts are summed over replicas, training counts taken once (``max``): no number depends on
the number of replicas.

A division by nothing gives no sample rather than NaN, which would not alert.
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
    "DRIFTED_SIZE",
    "G_STATISTIC",
    "HALFWAY_LIMIT",
    "HELD_GROUPS",
    "INCREASES",
    "KS",
    "KS_LIMIT",
    "LIMIT",
    "LIVE_ROWS",
    "LONG_UNCERTAIN",
    "MAJOR_SIZE",
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
    "WEIGHT",
]

# --- training --------------------------------------------------------------------------------------------------------

BASELINE_COUNTS = "max by ($by, group) (last_over_time(boxkite_${side}_group_baseline_total[$lookback]))"

BASELINE_ROWS = "sum without (group) ($base)"

# The user's decisions about a variable (`policies`); apps export no gauge where there is none.
WEIGHT = """\
max by ($by) (last_over_time(boxkite_${side}_weight[$lookback]))
or
0 * $trained + 1"""

DRIFTED_SIZE = """\
max by ($by) (last_over_time(boxkite_${side}_drifted_size[$lookback]))
or
0 * $trained + $minimum_size"""

MAJOR_SIZE = """\
max by ($by) (last_over_time(boxkite_${side}_major_size[$lookback]))
or
0 * $trained + $major_size"""

# As in `drift.tables.degrees_of_freedom`: groups minus one, and minus groups that only other populations can fill.
DEGREES = """\
clamp_min(
  count without (group) ($base) - 1
  - (count without (group) ($never == 0) or 0 * count without (group) ($base)),
  1
)"""

ONE_WINDOW_LIMIT = "max by ($by) (last_over_time(boxkite_${side}_drift_limit[$lookback]))"

# One midpoint step of ln w leads from the limit for one window to the limit for w windows; see `LIMIT`.
HALFWAY_LIMIT = "$one + $log_windows * $one / ($one + 2 - $degrees)"

LIMIT = """\
$one
+ 2 * $log_windows * $halfway
  / ($halfway + 2 - $degrees + 2 * ($degrees - 2) / ($halfway + 6 - $degrees))"""
"""Limit of G that leaves a w-th of the exported limit's probability to chance, for w windows.

Along x, the logarithm of the tail of χ² with k degrees of freedom falls by its hazard,
(x + 2 - k - 2·(2 - k) / (x + 6 - k)) / 2x: the first terms of the continued fraction of the incomplete gamma function
(Abramowitz and Stegun, 6.5.31). So one midpoint step of ln w leads from the one limit to the other, for any model,
though PromQL cannot express the tail itself. The error is at most 0.004 % where the probability is 1e-5 or less, and
0.02 % where it is 1e-3.
"""

# --- live ------------------------------------------------------------------------------------------------------------

INCREASES = "sum by ($by, $each) (increase(boxkite_${side}_$counter[$span]))"

PIECES = "$increases * $piece_seconds / $span_seconds"
"""Increase over a piece, the time between two evaluations; a window added up from pieces needs few samples.

The span is longer by one scrape, so that each piece begins with the last sample of the piece before. `increase`
extrapolates to that span; the quotient undoes this. `increase` does not extrapolate below 0, so the first piece of a
new counter is too small by the same factor.
"""

# The range ends half a piece early, so that no release of Prometheus takes one piece too many.
ADDED_UP = "sum_over_time($pieces[$span])"

LIVE_ROWS = "sum without (group) ($live)"

# The most dispersed replica counts; 1 if no replica exports a gauge.
DISPERSION = """\
max by ($by) (last_over_time(boxkite_${side}_dispersion{window="$gauge_window"}[$lookback]))
or
0 * sum without (window) ($rows) + 1"""

# --- is it real? -----------------------------------------------------------------------------------------------------

TOTAL = "$live / ignoring (group) group_left () $dispersion + ignoring (window) $base"

# Only the live part has to be computed for each window: nearly all the cost of the rules is joins of all groups.
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
"""G as Σ x·ln x over the cells of the table of groups by samples, minus the sums over its margins, plus x·ln x of its
total: the definition with its quotients taken apart, so that nothing has to be joined.

Live rows are divided by the dispersion. In the sum over live rows it is a common factor, so the sum is divided once.
"""

# --- is it big? ------------------------------------------------------------------------------------------------------

HELD_GROUPS = "count without (group) ($total > 0)"

# Both shares sum to 1, so their denominators cancel in the logarithm. A group empty on both sides adds 0.
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

# Minus `verdict.DOUBT` standard errors, as far as `verdict.uncertainty` attributes them to doubt. 0 without rows.
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
"""Uncertain share of the noise in windows of an hour or less."""

LONG_UNCERTAIN = "$noise / clamp_min($held - 1, 1)"

# --- is it drift? ----------------------------------------------------------------------------------------------------

# Rows / dispersion is the number of independent rows. Too few leave the verdict at 1, as does "unclear" in Python.
# Ignored variables have no limit, except for a while after they had one.
VERDICT = """\
(
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
    (
      1
      + ($size >= bool ignoring (window) $drifted)
      * (1 + ($size >= bool ignoring (window) $major))
    )
  )
  unless
  $weight == 0
)
or
($weight == 0) - 1"""

# Slow groups record so seldom that their last sample may be too old for an instant query.
VERDICT_ANY = "max without (window) (last_over_time($verdict[$lookback]))"

# --- described, not judged -------------------------------------------------------------------------------------------

SHARE = "sum without (group) ($live_of_groups) / ($rows > 0)"

# The value is the change of the group's share. Of two groups that moved equally far, the one that grew is taken.
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
  * (
    -ln($weight + ($weight == bool 0))
    - on ($by_model) group_left ()
    ln($significance / (2 * $windows))
  ) / 2
)"""
"""Limit by the variable's share of the probability; an ignored one has the limit of weight 1."""

BINNED_ROWS = """sum by ($by) (increase(boxkite_${side}_value_bucket{le="+Inf"}[$span]))"""

BINNED_ROWS_ADDED_UP = """sum without (le) (sum_over_time($pieces{le="+Inf"}[$span]))"""

TRAINED_BINNED_ROWS = """max by ($by) (last_over_time(boxkite_${side}_value_baseline_bucket{le="+Inf"}[$lookback]))"""

SIGNIFICANCE = "max by ($by_model) (last_over_time(boxkite_drift_significance[$lookback]))"
