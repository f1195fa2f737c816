"""The bars of the benchmarks, and the table of stages: what is printed and judged, given the figures."""

from __future__ import annotations

import pytest

from tests.benchmarks.bench import Rounds
from tests.benchmarks.report import Row, are_met, medians
from tests.benchmarks.stages import table


@pytest.mark.parametrize(
    ("row", "is_met", "bar"),
    [
        (Row("what", 6, "µs", peer=10, max_ratio=0.6), True, "≤ 0.6"),
        (Row("what", 7, "µs", peer=10, max_ratio=0.6), False, "≤ 0.6"),
        (Row("what", 1, "µs", peer=8, max_ratio=1 / 8), True, "≤ 1/8"),
        (Row("what", 99, "%", peer=98, min_ratio=1), True, "≥ 1"),
        (Row("what", 97, "%", peer=98, min_ratio=1), False, "≥ 1"),
        (Row("what", 7, "µs", max_figure=6), False, "≤ 6 µs"),
        (Row("what", 7, "/s", min_figure=6), True, "≥ 6 /s"),
        (Row("what", 7, "µs", peer=10), None, ""),
    ],
    ids=["ratio met", "ratio missed", "fraction", "least ratio met", "least ratio missed", "most", "least", "no bar"],
)
def test_a_row_says_whether_its_bar_is_met(row: Row, is_met: bool | None, bar: str) -> None:
    assert (row.is_met, row.bar) == (is_met, bar)


@pytest.mark.parametrize(("before", "is_met", "bar"), [(10.0, False, "≤ 0.6"), (20.0, True, "≤ 0.6"), (None, None, "")])
def test_a_bar_to_the_earlier_commit_applies_only_where_one_is_measured(
    before: float | None, is_met: bool | None, bar: str
) -> None:
    row = Row("what", 7, "µs", before=before, max_ratio_to_before=0.6)

    assert (row.is_met_to_before, row.bar_to_before) == (is_met, bar)
    assert are_met([[row]]) is (is_met is not False)


def test_a_bar_holds_for_the_median_of_several_runs() -> None:
    runs = [[Row("what", figure, "µs", peer=10, peer_name="peer", max_ratio=0.6)] for figure in (5, 9, 6)]

    assert are_met(runs)
    assert "0.600 (0.500, 0.900)" in list(medians(runs))[1]
    assert "pass" in list(medians(runs))[1]
    assert not are_met([*runs, *runs[1:2]])


def test_rows_of_different_tools_are_not_one_row() -> None:
    """Under gunicorn, rows of each tool have one title and are all beside the plain application."""
    rows = [Row("rate", 9, "/s", who=who, peer=10, peer_name="plain") for who in ("ours", "exporter")]

    assert len(list(medians([rows, rows]))) == 3


def test_a_stage_is_the_difference_of_two_medians() -> None:
    """All stages of a way add up to its total, and the total is also shown in parts of the exporter's."""
    p50 = dict(plain=100, disabled=101, captured=103, counted=108, packed=110, fluentd=112, gzip=120, files=124)
    rounds = Rounds()
    rounds.add({name: {"p50": figure, "cpu": 2 * figure} for name, figure in (p50 | {"exporter": 140}).items()})

    lines = {line[:48].strip(): line[48:].split() for line in table({"by name": {"compiled": rounds}})}

    assert lines["the plain application"] == ["100.0", "200.0"]
    assert lines["counts of 30 features and an output"] == ["+5.0", "+10.0"]
    assert lines["files, in place of packing and fluentd"] == ["+16.0", "+32.0"]
    assert lines["all, with fluentd"] == ["+12.0", "+24.0"]
    assert lines["all, with fluentd, in parts of the exporter"] == ["0.30", "0.30"]
