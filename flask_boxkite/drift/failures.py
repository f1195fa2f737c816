"""The text about odd features of failed requests."""

from __future__ import annotations

from flask_boxkite.drift.wording import SHARE_WORDS, percent, when
from flask_boxkite.live.failed import Failures

__all__ = ["failed_line", "failed_text"]

_MOST_ODD = 3
"""Most features of failed requests that are named."""


def failed_line(failures: Failures, window: str | None) -> str:
    """Say how many predictions failed and which features were odd; empty if no feature was.

    Args:
        failures: Failed requests of a window.
        window: Window, in the form of `DriftReport.window`.
    """
    if not failures.odd:
        return ""
    what = f"{failures.rows:,} prediction{'s' * (failures.rows != 1)} failed {when(window)}"
    return f"{what}. {failed_text(failures)} Verdicts leave {'them' if failures.rows != 1 else 'it'} out."


def failed_text(failures: Failures) -> str:
    """Say which features of failed requests were odd; the text follows the number of requests."""
    sentences = [
        f"{item.feature!r} was {SHARE_WORDS[item.state]} in {item.rows:,} of them "
        f"({percent(item.share_answered)} of answered rows)."
        for item in failures.odd[:_MOST_ODD]
    ]
    if (more := len(failures.odd) - _MOST_ODD) > 0:
        sentences.append(f"{more} more {'features stand' if more > 1 else 'feature stands'} out.")
    if sentences:
        sentences.append("Check how the model handles such values.")
    if failures.unread:
        sentences.append(f"In {failures.unread:,} of them no features were found.")

    return " ".join(sentences) or "No feature stands out from answered rows."
