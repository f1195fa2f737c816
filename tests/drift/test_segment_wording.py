"""The sentence about the segment that moved most, beside all rows together."""

from __future__ import annotations

from typing import Any

import pytest

from flask_boxkite.drift.segment_wording import as_markdown, as_text, moved_variables
from flask_boxkite.naming import RARE


def variable(name: str, verdict: str = "stable", side: str = "feature") -> dict[str, Any]:
    """Return a variable of a report, as far as a table of segments reads it."""
    shares = {"share_before": 0.1, "share_now": 0.3, "moved_most_text": "1 to 2", "moved_most": "(1.0,2.0]"}
    return {"name": name, "side": side, "kind": "continuous", "verdict": verdict, "reason": "", "rows": 100, **shares}


def segment(name: str, *variables: dict[str, Any]) -> dict[str, Any]:
    """Return a segment of a report, whose first variable has its worst verdict."""
    text = "all others" if name == RARE else name
    return {
        "name": name,
        "text": text,
        "rows": 100,
        "verdict": variables[0]["verdict"],
        "variables": list(variables),
    }


def report(*segments: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return a report of segments by country."""
    about = {"by": "country", "model": "credit", "baseline": "f" * 12, "window": "24h", "alpha": 1e-5, "against": None}
    return {**about, "segments": list(segments), **others}


@pytest.mark.parametrize(
    ("moved", "together", "expected"),
    [
        (["a"], None, "a has drifted."),
        (["a", "b", "c"], None, "a and 2 more have drifted."),
        (["a"], [], "a has drifted; all rows together have not."),
        (["a", "b", "c"], ["d"], "a and 2 more have drifted; all rows together have not."),
        (["a"], ["a", "d"], "a has drifted, as in all rows together."),
        (["a", "b"], ["b", "a"], "a and 1 more have drifted, as in all rows together."),
        (["a", "b"], ["b"], "a and 1 more have drifted, of which 1 has in all rows together."),
        (["a", "b", "c"], ["b", "c"], "a and 2 more have drifted, of which 2 have in all rows together."),
    ],
)
def test_a_segment_is_compared_with_all_rows_together(
    moved: list[str], together: list[str] | None, expected: str
) -> None:
    own = segment("FI", *(variable(name, "drifted") for name in moved), variable("x"))
    whole = None if together is None else [variable(name, "major") for name in together] + [variable("x")]
    assert moved_variables(own, whole) == expected


def test_an_output_is_another_variable_than_the_feature_of_its_name() -> None:
    own = segment("FI", variable("score", "major", "output"))
    assert moved_variables(own, [variable("score", "major")]) == (
        "score (output) has drifted; all rows together have not."
    )


def test_the_first_lines_say_which_segment_moved_most() -> None:
    segments = segment("FI", variable("income", "major")), segment("SE", variable("income"))
    whole = [variable("income", "shifted")]
    start = (
        "1 of 2 segments by 'country' drifted in the last 24h. FI moved most: income has drifted; all rows together "
        "have not."
    )

    text, markdown = as_text(report(*segments, together=whole)), as_markdown(report(*segments, together=whole))
    assert " ".join(text.splitlines()[:2]).startswith(f"{start} Model 'credit'")
    assert markdown.startswith(f"{start} Model 'credit'")


def test_all_other_rows_begin_a_sentence() -> None:
    own = report(segment(RARE, variable("income", "major")), segment("se", variable("income")))
    assert ". All others moved most: income has drifted. Model" in as_text(own).replace("\n", " ")


@pytest.mark.parametrize("verdict", ["shifted", "unclear", "stable", "not enough data"])
def test_no_segment_moved_most_where_none_has_drifted(verdict: str) -> None:
    assert "moved most:" not in as_text(report(segment("FI", variable("income", verdict))))
    assert "moved most:" not in as_text(report())
