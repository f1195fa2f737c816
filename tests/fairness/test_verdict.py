"""Verdicts on groups: what is called unequal, what is shown to be within limits, and what is neither."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.fairness.counts import GroupCounts
from flask_boxkite.fairness.coverage import OutcomeCoverage
from flask_boxkite.fairness.report import ALPHA, FairnessReport, fairness_report
from flask_boxkite.fairness.verdict import Comparison, Limits, Measure, compare, number_of_tests

PARITY, IMPACT, OPPORTUNITY = "statistical_parity_difference", "disparate_impact", "equal_opportunity_difference"
MEN = GroupCounts("men", 5000, 2600, 3000, 1000, 800)


def compared(group: GroupCounts, reference: GroupCounts = MEN, **options: Any) -> dict[str, Comparison]:
    given: dict[str, Any] = {"alpha": 1e-3, "limits": Limits(), "has_outcomes": True, **options}
    return {item.measure: item for item in compare(group, reference, **given)}


def report(*groups: GroupCounts, **options: Any) -> FairnessReport:
    about = {"by": "sex", "model": "credit", "baseline": "0123456789ab", "selection": "'score' at least 0.5"}
    return fairness_report(groups, **{**about, **options})


def test_a_group_is_unequal_beyond_chance_and_beyond_a_limit() -> None:
    found = compared(GroupCounts("women", 4000, 1240, 2000, 800, 480))
    assert {measure: item.verdict for measure, item in found.items()} == dict.fromkeys(found, "unequal")
    assert found[PARITY].value == pytest.approx(0.31 - 0.52)
    assert found[IMPACT].value == pytest.approx(0.31 / 0.52)
    assert found[OPPORTUNITY].value == pytest.approx(0.6 - 0.8)
    assert found[PARITY].chance == found[IMPACT].chance


@pytest.mark.parametrize(
    ("selected", "rows", "parity", "impact"),
    [
        (2400, 5000, "within limits", "within limits"),  # real, but small
        (2090, 5000, "unequal", "not enough data"),  # 0.418: beyond one limit, and near the other
        (3300, 5000, "unequal", "unequal"),  # more often is as unequal as less often
        (16, 30, "not enough data", "not enough data"),
        (15, 29, "not enough data", "not enough data"),
        (9, 30, "not enough data", "not enough data"),
        (0, 5000, "unequal", "unequal"),
    ],
    ids=["small", "one limit", "more", "few rows", "too few rows", "few and low", "none"],
)
def test_the_verdict_follows_from_chance_size_and_interval(selected: int, rows: int, parity: str, impact: str) -> None:
    found = compared(GroupCounts("women", rows, selected), has_outcomes=False)
    assert (found[PARITY].verdict, found[IMPACT].verdict) == (parity, impact)
    assert set(found) == {PARITY, IMPACT}


def test_low_rates_may_be_unequal_by_their_ratio_alone() -> None:
    found = compared(GroupCounts("women", 20_000, 200), GroupCounts("men", 20_000, 400), has_outcomes=False)
    assert (found[PARITY].verdict, found[IMPACT].verdict) == ("within limits", "unequal")


def test_a_small_group_is_never_within_limits() -> None:
    """Whatever its rate: 60 rows cannot show that a rate of half is within four fifths of the other."""
    for rows in range(1, 61):
        for selected in range(rows + 1):
            found = compared(GroupCounts("women", rows, selected), has_outcomes=False)
            assert "within limits" not in {item.verdict for item in found.values()}, (rows, selected)


@pytest.mark.parametrize(
    ("group", "reference", "measure", "reason"),
    [
        (GroupCounts("a", 20, 3), MEN, PARITY, "20 rows, where 30 are needed"),
        (GroupCounts("a", 0, 0), MEN, PARITY, "0 rows, where 30 are needed"),
        (GroupCounts("a", 500, 3), GroupCounts("b", 10, 1), PARITY, "10 rows of the reference, where 30 are needed"),
        (GroupCounts("a", 50, 3, 20, 1, 1), MEN, OPPORTUNITY, "1 positive, where 30 are needed"),
        (GroupCounts("a", 50, 0), GroupCounts("b", 60, 0), IMPACT, "no row of either group is selected"),
        (GroupCounts("a", 50, 25), MEN, IMPACT, "the interval reaches beyond the limit"),
        (
            GroupCounts("a", 400, 200, dispersion=20.0),
            MEN,
            PARITY,
            "400 rows that count for 20, since they are alike, where 30 are needed",
        ),
    ],
    ids=["few", "none", "reference", "positives", "nothing selected", "interval", "alike"],
)
def test_a_group_without_verdict_says_why(
    group: GroupCounts, reference: GroupCounts, measure: Measure, reason: str
) -> None:
    item = compared(group, reference)[measure]
    assert (item.verdict, item.reason) == ("not enough data", reason)


def test_alpha_is_divided_among_rates_of_groups_with_enough_rows() -> None:
    groups = [GroupCounts("a", 100, 50, 100, 40, 10), GroupCounts("b", 100, 50, 100, 20, 5), GroupCounts("c", 9, 3)]
    assert number_of_tests(groups, MEN) == 3
    assert number_of_tests(groups[2:], MEN) == 1
    close = GroupCounts("a", 400, 164)
    (item, *_) = compare(close, MEN, alpha=1.0, limits=Limits(), has_outcomes=False)
    assert item.chance is not None
    alone = report(MEN, close, alpha=item.chance * 1.01)
    among = report(MEN, close, GroupCounts("b", 500, 260), alpha=item.chance * 1.01)
    assert (alone["a"].verdict, among["a"].verdict) == ("unequal", "not enough data")


def test_equal_groups_are_called_unequal_no_more_often_than_alpha(rng: np.random.Generator) -> None:
    """In 500 reports on five small groups and two rates, at a high alpha with limits of nothing."""
    calls = 0
    for _ in range(500):
        groups = []
        for name, rows in zip("abcdef", (2000, 300, 100, 60, 40, 30), strict=True):
            positives = int(rng.binomial(rows, 0.4))
            hits = int(rng.binomial(positives, 0.6))
            selected = hits + int(rng.binomial(rows - positives, 0.1))
            groups.append(GroupCounts(name, rows, selected, rows, positives, hits))
        found = report(*groups, alpha=0.1, has_outcomes=True, limits=Limits(1.0, 0.0))
        calls += found.verdict == "unequal"
    # Three standard errors of 500 reports are 0.04.
    assert calls / 500 <= 0.14
    assert calls > 0


@pytest.mark.parametrize(
    ("coverage", "reason", "note"),
    [
        (OutcomeCoverage(500, 400, 500, 380), None, ""),
        (
            OutcomeCoverage(500, 400, 500, 0),
            "only selected rows have an outcome",
            "Only selected rows have an outcome, so",
        ),
        (OutcomeCoverage(500, 0, 500, 400), "no selected row has an outcome", "No selected row has an outcome, so"),
        (OutcomeCoverage(500, 400, 0, 0), None, ""),
        (OutcomeCoverage(500, 0, 500, 0), None, ""),
        (
            OutcomeCoverage(500, 400, 500, 10),
            None,
            "Outcomes are known of 80% of the selected rows and of 2.0% of the others, so true positive rates are too "
            "high.",
        ),
        (OutcomeCoverage(500, 10, 500, 400), None, "of the others, so true positive rates are too low."),
    ],
    ids=["alike", "selected alone", "others alone", "all selected", "none", "selected more", "others more"],
)
def test_outcomes_that_depend_on_the_selection_are_said(
    coverage: OutcomeCoverage, reason: str | None, note: str
) -> None:
    """Of granted loans alone, every true positive rate is 1: groups would seem to be equal."""
    group = GroupCounts("women", 4000, 1240, 2000, 800, 800)
    found = report(replace(MEN, true_positives=1000), group, has_outcomes=True, coverage=coverage)["women"]
    assert (found[OPPORTUNITY].reason or None) == reason
    assert found[OPPORTUNITY].verdict == ("not enough data" if reason else "within limits")
    assert found[PARITY].verdict == "unequal"
    whole = report(MEN, group, has_outcomes=True, coverage=coverage, are_all_known=True)
    assert (whole["women"][PARITY].reason or None) == reason
    joined = " ".join(str(whole).split())
    assert note in joined
    assert bool(note) == ("an outcome, so" in joined or "Outcomes are known" in joined)


# --- the report ------------------------------------------------------------------------------------------------------

GROUPS = (
    GroupCounts("X", 20, 3),
    MEN,
    GroupCounts("women", 4000, 1240, 2000, 800, 480, dispersion=2.0),
    GroupCounts("others", 4900, 2560, 3000, 1000, 790),
    GroupCounts("__missing__", 9000, 4680),
)


def test_the_reference_is_the_group_with_most_rows_that_has_a_value() -> None:
    found = report(*GROUPS)
    assert [group.name for group in found] == ["men", "women", "X", "__missing__", "others"]
    assert (found.reference, found["men"].verdict, found["men"].comparisons) == ("men", None, ())
    assert (found.verdict, [group.name for group in found.unequal]) == ("unequal", ["women"])
    assert report(*GROUPS, reference="women")["men"].verdict == "unequal"


def test_a_reference_that_is_no_group_is_refused() -> None:
    message = r"^'reference' names no group with rows: 'woman'\. Did you mean 'women'\?$"
    with pytest.raises(BoxkiteError, match=message):
        report(*GROUPS, reference="woman")


def test_a_report_is_within_limits_only_if_all_groups_are() -> None:
    assert report(MEN, GROUPS[3]).verdict == "within limits"
    assert report(MEN, GROUPS[3], GROUPS[0]).verdict == "not enough data"
    assert report(MEN).verdict == "not enough data"
    assert report().verdict == "not enough data"


def test_a_report_is_json_and_rows() -> None:
    found = report(
        *GROUPS, GroupCounts("none", 50, 0), has_outcomes=True, reference="none", window="a/b", positive="1.0"
    )
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["limits"] == {"ratio": 0.8, "difference": 0.1}
    assert content["alpha"] == ALPHA
    women = next(group for group in content["groups"] if group["name"] == "women")
    assert [item["value"] for item in women["comparisons"]] == [0.31, None, None], "a ratio to 0 is infinite"
    rows = found.to_rows()
    assert len(rows) == 1 + 3 * 5
    assert len({frozenset(row) for row in rows}) == 1
    assert {row["group"] for row in rows} == {"none", *(group.name for group in GROUPS)}
    assert rows[0]["measure"] is None
    with pytest.raises(KeyError, match=r"No group 'mn'\. Did you mean 'men'\?"):
        found["mn"]
    with pytest.raises(KeyError, match="No measure"):
        found["none"][IMPACT]


def test_a_report_says_which_group_is_selected_less_often() -> None:
    found = report(*GROUPS, has_outcomes=True, window="2026-01-01T00:00:00Z/2026-02-01T00:00:00Z", unread=3)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    for line in (
        "women are selected less often than men: 0.31 against 0.52.",
        "Of actual positives, women are selected less often than men: 0.60 against 0.80.",
        "Of women, 2 rows count as one, since rows recur or are alike.",
        "3 rows have no output that can be read: the drift report says what came instead.",
    ):
        assert line in text.splitlines()
    joined = " ".join(text.split())
    assert joined.startswith("1 of 4 groups by 'sex' is unequal to men from 2026-01-01")
    assert "2026-02-01T00:00:00Z; 2 have not enough data." in joined
    assert "X (20 rows, where 30 are needed; of actual positives, 0 positives, where 30 are needed)" in joined
    table = [line for line in found.to_markdown().splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert len(table) == 2 + len(GROUPS)


@pytest.mark.parametrize(
    ("groups", "begin"),
    [
        ((), "No verdict since the start: no row has a value of 'sex'."),
        (GROUPS[4:], "No verdict since the start: no row has a value of 'sex'."),
        ((MEN,), "No verdict since the start: all rows are of one group by 'sex'."),
        ((MEN, GROUPS[0]), "No verdict since the start: no group by 'sex' has enough data to be compared with men."),
        ((MEN, GROUPS[3]), "By 'sex', others are within limits of men since the start."),
        ((MEN, GROUPS[2]), "By 'sex', women are unequal to men since the start."),
        ((MEN, GROUPS[3], GROUPS[0]), "1 of 2 groups by 'sex' is within limits of men since the start; 1 has not"),
    ],
    ids=["no rows", "no value", "one group", "few rows", "equal", "unequal", "some"],
)
def test_the_first_sentence_is_the_verdict(groups: tuple[GroupCounts, ...], begin: str) -> None:
    found = report(*groups)
    assert " ".join(str(found).split()).startswith(begin)
    assert found.to_markdown().startswith(begin.replace("_", "\\_"))


def test_names_of_groups_forge_no_line_and_break_no_table() -> None:
    name = "a|b\n\x1b[2Jc" + 90 * "x"
    found = report(MEN, GroupCounts(name, 4000, 100))
    assert "\x1b" not in str(found)
    assert max(map(len, str(found).splitlines())) <= 100
    assert len(found.to_markdown().splitlines()) == len(
        report(MEN, GroupCounts("b", 4000, 100)).to_markdown().splitlines()
    )
