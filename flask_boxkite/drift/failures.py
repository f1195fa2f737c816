"""What was odd about failed requests, in words."""

from __future__ import annotations

from flask_boxkite.drift.wording import percent, when
from flask_boxkite.live.failed import Failures

__all__ = ["failed_line", "failed_text"]

_ODD = {
    "missing": "was missing",
    "invalid": "was invalid",
    "unseen": "had a value that training never had",
    "out_of_range": "was outside of training's range",
}
"""What a state of failed requests says of a feature."""

_MOST_ODD = 3
"""How many features of failed requests are named."""


def failed_line(failures: Failures, window: str | None) -> str:
    """Say how many predictions failed and what was odd about them; nothing where their features were as others.

    Args:
        failures: The failed requests of a window.
        window: The window, as `DriftReport.window` has it.
    """
    if not failures.odd:
        return ""
    what = f"{failures.rows:,} prediction{'s' * (failures.rows != 1)} failed {when(window)}"
    return f"{what}. {failed_text(failures)} Verdicts leave {'them' if failures.rows != 1 else 'it'} out."


def failed_text(failures: Failures) -> str:
    """Say what was odd about failed requests, as it goes on after their number."""
    said = [
        f"In {item.rows:,} of them {item.feature!r} {_ODD[item.state]} ({percent(item.share_answered)} of others)."
        for item in failures.odd[:_MOST_ODD]
    ]
    if (more := len(failures.odd) - _MOST_ODD) > 0:
        said.append(f"{more} more {'features were' if more > 1 else 'feature was'} odd.")
    if failures.unread:
        said.append(f"In {failures.unread:,} of them no features were found.")
    return " ".join(said) or "No feature of theirs stands out from answered ones."
