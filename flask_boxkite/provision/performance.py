"""The rules on performance: each model's metrics by its outcomes, and as its live outputs lead to expect; and alerts.

Outcomes and expected outcomes have the same labels, so the same expressions serve both; the label ``source`` tells them
apart. The numbers are the ones of `flask_boxkite.performance`, over all replicas.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask_boxkite.performance.outside import FEW_ROWS, FEW_SHARE, MOST_OUTSIDE, ROWS_OUTSIDE
from flask_boxkite.performance.verdict import MARKS
from flask_boxkite.provision.durations import duration_seconds, duration_text
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.recording import LOOKBACK, filled
from flask_boxkite.provision.rulefile import Alert, Recording

__all__ = [
    "LEAST_ROWS",
    "MARGIN",
    "MEMORY_DAYS",
    "METRICS",
    "Z_LIMIT",
    "performance_alerts",
    "performance_rules",
    "validation_rules",
]

_SOURCES = {"outcomes": "", "expected": "expected_"}
"""Values of the label ``source``, with their part of the names of metrics."""

_OF_WINDOW = {"excess": "wrong_excess", "unread": "unread"}
"""Records of a window that other records need, by their name in these."""

LEAST_ROWS = 100
"""Least number of outcomes, or of rows, for an alert; Python's verdicts need 30, and correct for their skewness."""

Z_LIMIT = 4.265
"""Value that a standard normal number exceeds with a probability of 1e-5."""

MEMORY_DAYS, MARGIN = 15, 1.5
"""Days whose longest time without an outcome is usual, which holds two weekends; and the part of it that is unusual."""

_SHORTEST_SECONDS, _SCRAPES = 300.0, 4
"""Least time, and number of scrapes, in which an outcome is looked for."""

# --- recordings ------------------------------------------------------------------------------------------------------

VALIDATED = "max by ($by, metric) (last_over_time(boxkite_validated_metric[$lookback]))"
TRAINED = "max by ($by, bin, predicted, actual, result) (last_over_time(boxkite_outcomes_baseline_total[$lookback]))"
TRAINED_ROWS = "sum by ($by, bin, predicted) ($trained)"
TRAINED_WRONG = 'sum by ($by, bin, predicted) ($trained{result=~"wrong|false_.*"})'

ROWS = "sum by ($by, bin, predicted, result) (increase(boxkite_${prefix}outcomes_total[$window]))"
BELOW = "sum by ($by, bin) (increase(boxkite_${prefix}outcomes_below_total[$window]))"
LOSSES = "sum by ($by, loss) (increase(boxkite_${prefix}outcome_loss_total[$window]))"
TOTAL = "sum without (bin, predicted, result) ($rows)"

_RIGHT = 'sum without (bin, predicted, result) ($rows{result=~"right|true_.*"})'
_HITS = 'sum without (bin, predicted, result) ($rows{result="true_positive"})'
_MISTAKES = 'sum without (bin, predicted, result) ($rows{result=~"false_.*"})'
_POSITIVE = 'sum without (predicted, result) ($rows{result=~"true_positive|false_negative"})'
_NEGATIVE = 'sum without (predicted, result) ($rows{result=~"false_positive|true_negative"})'

METRICS = {
    "accuracy": f"{_RIGHT}\n/ ($total > 0)",
    "precision": f'{_HITS}\n/ (sum without (bin, predicted, result) ($rows{{result=~".*_positive"}}) > 0)',
    "recall": f"{_HITS}\n/ (sum without (bin) ({_POSITIVE}) > 0)",
    "f1": f"2 * {_HITS}\n/ (2 * {_HITS}\n  + {_MISTAKES} > 0)",
    "auc": f"""\
sum without (bin) (
  {_POSITIVE}
  * $below
)
/ (
  sum without (bin) ({_POSITIVE})
  * sum without (bin) ({_NEGATIVE}) > 0
)""",
    "brier": 'sum without (loss) ($losses{loss="brier"})\n/ ($total > 0)',
    "log_loss": 'sum without (loss) ($losses{loss="log_loss"})\n/ ($total > 0)',
    "mae": 'sum without (loss) ($losses{loss=~"over|under"})\n/ ($total > 0)',
    "rmse": 'sqrt(\n  sum without (loss) ($losses{loss="squares"})\n  / ($total > 0)\n)',
    "bias": """\
(
  sum without (loss) ($losses{loss="over"})
  - sum without (loss) ($losses{loss="under"})
)
/ ($total > 0)""",
}
"""Expressions of the metrics, by name. A metric that a kind of model does not have gives no series."""

# Rows are compared within bins of the output, so that outcomes may be a selection (`performance.significance`).
WRONG = 'sum without (result, source) ($rows{source="outcomes",result=~"wrong|false_.*"})'
SEEN = 'sum without (result, source) ($rows{source="outcomes"})'

WRONG_EXCESS = """\
sum without (bin, predicted) (
  $wrong
  - $seen * ignoring (window) group_left () ($trained_wrong / ($trained_rows > 0))
)
/ (sum without (bin, predicted) ($seen) > 0)"""
"""Share of wrong rows, less the share that validation rows with such outputs had."""

WRONG_Z = """\
sum without (bin, predicted) (
  $wrong
  - $seen * ($wrong + ignoring (window) group_left () $trained_wrong)
  / ($seen + ignoring (window) group_left () ($trained_rows > 0))
)
/ sqrt(
  sum without (bin, predicted) (
    $seen * ignoring (window) group_left () ($trained_rows > 0)
    * ($wrong + ignoring (window) group_left () $trained_wrong)
    * ($seen - $wrong + ignoring (window) group_left () ($trained_rows - $trained_wrong))
    / ($seen + ignoring (window) group_left () $trained_rows) ^ 2
    / clamp_min($seen + ignoring (window) group_left () $trained_rows - 1, 1)
  ) > 0
)"""
"""Mantel and Haenszel's statistic of wrong rows: about standard normal, positive if more are wrong."""

UNREAD = """\
sum by ($by) (increase(boxkite_outcomes_rejected_total{reason="invalid"}[$window]))
or
0 * sum by ($by) ($total)"""
"""Outcomes that cannot be read, all of which may be of one kind."""

WRONG_LEAST = """\
($excess * ignoring (source) $total - $unread)
/ ignoring (source) ($total + ignoring (source) $unread > 0)"""
"""The least that `WRONG_EXCESS` would be if these could be read (`performance.doubt`)."""

# Of numbers, which have no predicted class, outputs above all of a small validation are such, too.
OUTSIDE = """\
(
  sum by ($by) (
    $rows
    and on ($by, bin, predicted) (
      $trained_rows < $few
      and
      $trained_rows + 1 < on ($by) group_left () ($few_share * (sum by ($by) ($trained_rows) + 1))
      or
      $trained_rows{bin="+Inf",predicted=""} == 0
    )
  )
  or
  0 * sum by ($by) ($total)
)
/ sum by ($by) ($total > 0)"""
"""Share of the outputs in bins where validation had hardly any rows (`performance.outside`)."""


def validation_rules(options: RuleOptions) -> Iterator[Recording]:
    """Yield the rules without a window: counts and metrics of the validation rows."""
    parts = _parts(options)
    for name, template in (
        ("_outcomes:validation", TRAINED),
        ("_outcomes:validation_rows", TRAINED_ROWS),
        ("_outcomes:validation_wrong", TRAINED_WRONG),
        (":validated", VALIDATED),
    ):
        yield Recording(f"boxkite:model{name}", filled(template, parts))


def performance_rules(options: RuleOptions, window: str) -> Iterator[Recording]:
    """Yield the rules of one window: outcomes, expected outcomes, and the metrics of both."""
    parts = _parts(options) | {"window": window}
    for source, prefix in _SOURCES.items():
        labels = {"window": window, "source": source}
        selector = f'{{window="{window}",source="{source}"}}'
        own = parts | {"prefix": prefix}
        for name, template in (("rows", ROWS), ("below", BELOW), ("losses", LOSSES)):
            yield Recording(f"boxkite:model_outcomes:{name}", filled(template, own), labels)
        # Selectors inside of the templates add to these.
        own |= {
            "rows": f"boxkite:model_outcomes:rows{selector}",
            "below": f"boxkite:model_outcomes:below{selector}",
            "losses": f"boxkite:model_outcomes:losses{selector}",
            "total": f"boxkite:model:outcomes{selector}",
        }
        yield Recording("boxkite:model:outcomes", _merged(filled(TOTAL, own)), labels)
        for name, template in METRICS.items():
            yield Recording(f"boxkite:model:{name}", _merged(filled(template, own)), labels)

    own = parts | {"rows": f'boxkite:model_outcomes:rows{{window="{window}"}}'}
    own |= {"wrong": _merged(filled(WRONG, own)), "seen": _merged(filled(SEEN, own))}
    for name, template in (("wrong_excess", WRONG_EXCESS), ("wrong_z", WRONG_Z)):
        yield Recording(f"boxkite:model:{name}", filled(template, own), {"window": window})

    own["total"] = f'boxkite:model:outcomes{{window="{window}",source="outcomes"}}'
    own |= {name: f'boxkite:model:{record}{{window="{window}"}}' for name, record in _OF_WINDOW.items()}
    for name, template in (("unread", UNREAD), ("wrong_least", WRONG_LEAST)):
        yield Recording(f"boxkite:model:{name}", filled(template, own), {"window": window})
    own["rows"] = f'boxkite:model_outcomes:rows{{window="{window}",source="expected"}}'
    own["total"] = f'boxkite:model:outcomes{{window="{window}",source="expected"}}'
    yield Recording("boxkite:model:outside", filled(OUTSIDE, own), {"window": window})


def _merged(expr: str) -> str:
    """Return an expression in which two selectors that follow each other are one."""
    return expr.replace("}{", ",")


def _parts(options: RuleOptions) -> dict[str, str]:
    of_model = (*options.group_by, "model")
    scrape = duration_seconds(options.scrape_interval, what="The scrape interval")
    return {
        "by": ", ".join((*options.group_by, "model", "baseline")),
        "model": ", ".join(of_model),
        "selector": ",".join(f"{label}=%q" for label in of_model),
        "labels": " ".join(f"$labels.{label}" for label in of_model),
        "selector_of_baseline": ",".join(f"{label}=%q" for label in (*of_model, "baseline")),
        "labels_of_baseline": " ".join(f"$labels.{label}" for label in (*of_model, "baseline")),
        "came": duration_text(max(_SHORTEST_SECONDS, _SCRAPES * scrape)),
        "memory": f"{MEMORY_DAYS}d",
        "days": str(MEMORY_DAYS),
        "margin": f"{MARGIN:g}",
        "lookback": LOOKBACK,
        "trained": "boxkite:model_outcomes:validation",
        "trained_rows": "boxkite:model_outcomes:validation_rows",
        "trained_wrong": "boxkite:model_outcomes:validation_wrong",
        "validated": "boxkite:model:validated",
        "rise": f"{MARKS['wrong rows'][0].rise:g}",
        "factor": f"{1 + MARKS['absolute error'][0].part:g}",
        "least": str(LEAST_ROWS),
        "few": str(FEW_ROWS),
        "few_share": f"{FEW_SHARE:g}",
        "rows_outside": str(ROWS_OUTSIDE),
        "most_outside": f"{MOST_OUTSIDE:g}",
        "limit": f"{Z_LIMIT:g}",
    }


# --- alerts ----------------------------------------------------------------------------------------------------------


def _mae_worse(source: str, factor: str = "", doubt: str = "") -> str:
    """Return the expression of a mean absolute error that is too large; it is compared by its size alone.

    Args:
        source: Value of the label.
        factor: Divisor that makes the error as small as it may be.
        doubt: Condition under which it is not known.
    """
    return f"""\
max without (window, source) (
  last_over_time(boxkite:model:mae{{source="{source}"}}[$lookback]){factor}
  / on ($by) group_left () (boxkite:model:validated{{metric="mae"}} * $factor) > 1
  and
  last_over_time(boxkite:model:outcomes{{source="{source}"}}[$lookback]) >= $least{doubt}
)"""


# Outcomes that cannot be read may have no error at all.
_IF_RIGHT = """
  / ignoring (source) group_left () (
    1 + last_over_time(boxkite:model:unread[$lookback])
    / ignoring (source) (last_over_time(boxkite:model:outcomes{source="outcomes"}[$lookback]) > 0)
  )"""

_UNLESS_OUTSIDE = """
  unless ignoring (source)
  last_over_time(boxkite:model:outside[$lookback])
  > on ($by) group_left () clamp_min(
    $rows_outside / (sum by ($by) ($trained_rows) + 1), $most_outside
  )"""

WORSE = f"""\
max without (window) (
  last_over_time(boxkite:model:wrong_least[$lookback]) >= $rise
  and
  last_over_time(boxkite:model:wrong_z[$lookback])
  * last_over_time(boxkite:model:wrong_least[$lookback])
  / last_over_time(boxkite:model:wrong_excess[$lookback]) > $limit
  and ignoring (source)
  last_over_time(boxkite:model:outcomes{{source="outcomes"}}[$lookback]) >= $least
)
or
{_mae_worse("outcomes", factor=_IF_RIGHT)}"""

EXPECTED_WORSE = f"""\
max without (window, source) (
  - (
    last_over_time(boxkite:model:accuracy{{source="expected"}}[$lookback])
    - on ($by) group_left () boxkite:model:validated{{metric="accuracy"}}
  ) >= $rise
  and
  last_over_time(boxkite:model:outcomes{{source="expected"}}[$lookback]) >= $least{_UNLESS_OUTSIDE}
)
or
{_mae_worse("expected", doubt=_UNLESS_OUTSIDE)}"""

_CAME = "sum by ($model) (increase(boxkite_outcomes_total[$came])) > 0"

# In this order: the time of the outcomes before is read before it is replaced.
GAP = f"""\
time() - last_over_time(boxkite:model:outcomes_came_seconds[$memory])
and
{_CAME}"""
CAME = f"0 * ({_CAME}) + time()"

STOPPED = """\
time() - last_over_time(boxkite:model:outcomes_came_seconds[$memory])
> $margin * max_over_time(boxkite:model:outcomes_gap_seconds[$memory]) + 3600
and
last_over_time(boxkite:model:outcomes_came_seconds[8d] offset 7d)
and
group by ($model) (boxkite_outcomes_total)"""

_OF = "{{ $$of := printf `$selector_of_baseline` $labels_of_baseline -}}\n"

# Filled in twice: first for a metric, so $$ becomes a $ of the texts below. A model has one of both metrics.
_WORST = """\
{{- with query (printf `$order(last_over_time(boxkite:model:$metric{source="$source",%[1]s}[$$lookback])
and last_over_time(boxkite:model:outcomes{source="$source",%[1]s}[$$lookback]) >= $$least)` $$$$of) }}
{{- with first . }}: over the last {{ .Labels.window }}, $words {{ $shown .Value }}
{{- range query (printf `boxkite:model:validated{metric="$metric",%s}` $$$$of) }}, {{ $shown .Value }} in validation
{{- end }}{{ end }}{{ end }}"""

_METRICS = (
    {"metric": "accuracy", "order": "sort", "words": "accuracy is", "shown": "humanizePercentage"},
    {"metric": "mae", "order": "sort_desc", "words": "the mean absolute error is", "shown": "printf `%.3g`"},
)

_EXCESS = """\
{{- with query (printf `sort_desc(last_over_time(boxkite:model:wrong_excess{%s}[$lookback]) and ignoring (source)
last_over_time(boxkite:model:outcomes{source="outcomes",%s}[$lookback]) >= $least)` $$of $$of) }}{{ with first . }}
At the same outputs, {{ humanizePercentage .Value }} more of the outcomes are wrong.{{ end }}{{ end }}"""


def _numbers(source: str) -> str:
    """Return the template of the metric in the window where it is worst, and of the validated one."""
    return "".join(filled(_WORST, metric | {"source": source}) for metric in _METRICS)


_MODEL = "model {{ $$labels.model }} (baseline {{ $$labels.baseline }})"

_TEXTS = {
    "BoxkiteModelWorse": (
        WORSE,
        "Model {{ $$labels.model }} is worse than validated, by its outcomes",
        f"""\
{_OF}Outcomes of {_MODEL} are worse than the ones of validation rows with the same outputs, by more than chance
explains{_numbers("outcomes")}.
{_EXCESS} The page of the model, and monitor.performance(), show more.""",
    ),
    "BoxkiteExpectedWorse": (
        EXPECTED_WORSE,
        "Model {{ $$labels.model }} is expected to be worse than validated",
        f"""\
{_OF}By the live outputs of {_MODEL}, fewer rows will be right, or errors will be larger, than in
validation{_numbers("expected")}. This holds while an output means the same as then; outcomes tell.""",
    ),
    "BoxkiteOutcomesStopped": (
        STOPPED,
        "No outcomes of model {{ $$labels.model }} come any more",
        """\
{{ $$of := printf `$selector` $labels -}}
No outcome of model {{ $$labels.model }} has come for {{ humanizeDuration $$value }}. In the $days days before, the
longest time without one was
{{ range query (printf `max_over_time(boxkite:model:outcomes_gap_seconds{%s}[$memory])` $$of) -}}
{{ humanizeDuration .Value }}{{ end }}; the alert comes after $margin times as long, and an hour.""",
    ),
}


def performance_alerts(options: RuleOptions) -> Iterator[Recording | Alert]:
    """Yield the alerts on performance, after the recordings that only they need."""
    parts = _parts(options)
    for record, template in (("gap", GAP), ("came", CAME)):
        yield Recording(f"boxkite:model:outcomes_{record}_seconds", filled(template, parts))
    for name, (expr, summary, description) in _TEXTS.items():
        yield Alert(
            name,
            filled(expr, parts),
            options.hold,
            {"severity": options.severity},
            filled(summary, parts),
            filled(description, parts),
        )
