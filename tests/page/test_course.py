"""The chart of a variable over time spans the time that is known of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flask_boxkite.monitoring.observation import Course, CoursePoint
from flask_boxkite.page.charts import course_chart
from flask_boxkite.page.content import course_heading
from tests.page.scenes import BEGIN, scene_of


@pytest.mark.parametrize(
    ("seconds", "texts"),
    [
        (0.0, ["now", "15 s ago", "30 s ago", "45 s ago", "1 min ago"]),
        (100.0, ["now", "30 s ago", "1 min ago", "90 s ago"]),
        (2400.0, ["now", "10 min ago", "20 min ago", "30 min ago", "40 min ago"]),
        (6 * 3600.0, ["now", "2 h ago", "4 h ago", "6 h ago"]),
        (86400.0, ["now", "6 h ago", "12 h ago", "18 h ago", "24 h ago"]),
    ],
)
def test_the_axis_names_round_times_of_what_is_known(seconds: float, texts: list[str]) -> None:
    points = [CoursePoint(seconds, 50, 0.2, 0.1), CoursePoint(0.0, 50, 0.3, 0.1)]
    chart = course_chart(Course(seconds, points), "x")
    found = re.findall(r'<text x="([\d.]+)"[^>]*>(now|[^<]* ago)</text>', chart)
    assert [text for _, text in found] == texts
    places = [float(x) for x, _ in found]
    assert places == sorted(places, reverse=True)
    assert places[-1] < places[0] / 2


@pytest.mark.parametrize(
    ("seconds", "heading"),
    [(86000.0, "The last 24 hours"), (3.0, "Since 12:00 UTC"), (13 * 3600.0, "Since 2026-02-28 23:00 UTC")],
)
def test_the_heading_says_since_when(seconds: float, heading: str) -> None:
    assert course_heading(Course(seconds, []), BEGIN) == heading


@pytest.mark.parametrize(("name", "charts"), [("stable", 3), ("batch", 2)])
def test_a_single_moment_is_a_sentence_and_no_chart(name: str, charts: int, tmp_path: Path) -> None:
    with scene_of(name, tmp_path) as scene:
        page = scene.variable("age")
    assert page.count('<svg class="large"') == charts
    assert "<h2>Since 12:00 UTC</h2>" in page
    assert ("So far, 600 rows in one moment" in page) == (name == "batch")


def test_people_who_cannot_see_the_chart_are_told_its_numbers(tmp_path: Path) -> None:
    with scene_of("stable", tmp_path) as scene:
        page = scene.variable("age")
    (title,) = re.findall(r"<title>(Population[^<]*)</title>", page)
    assert re.fullmatch(
        r"Population stability index of age over time, with its limit: [\d.]+ \d+ minutes ago, [\d.]+ just now, "
        r"at most [\d.]+; limit [\d.]+",
        title,
    )
