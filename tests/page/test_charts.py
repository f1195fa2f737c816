"""Charts are well-formed SVG within their frame, for any numbers and names."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from flask_boxkite.baseline import Continuous, Distribution
from flask_boxkite.monitoring.observation import Course, CoursePoint
from flask_boxkite.page.chart_data import Histogram, chart_data_of
from flask_boxkite.page.charts import course_chart, cumulative_chart, large_chart, small_chart
from tests.baseline.strategies import NAMES
from tests.page.test_chart_data import variables

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf")
NAME = NAMES.filter(lambda name: all(letter >= " " or letter in "\n\t\r" for letter in name) and "\ufffe" not in name)


def check(chart: Markup) -> ElementTree.Element:
    """Fail unless a chart is well-formed, all of it in its frame, and nothing in it that a strict policy refuses."""
    # XML has no room for some control characters, which HTML only shows as nothing.
    root = ElementTree.fromstring(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", str(chart)))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert root.attrib["role"] == "img"
    assert root[0].tag == "title"
    for element in root.iter():
        assert "style" not in element.attrib
        assert not any(name.startswith("on") for name in element.attrib)
        assert element.tag in {"svg", "path", "text", "title", "rect", "polyline", "circle"}
        for name in ("d", "points", "x", "y", "cx", "cy", "width", "height"):
            for text in NUMBER.findall(element.attrib.get(name, "") if element is not root else ""):
                assert math.isfinite(float(text))
                assert abs(float(text)) <= max(width, height) + 12
    return root


@given(variables(), NAME)
def test_any_variable_can_be_drawn(drawn: tuple[Distribution, list[int]], name: str) -> None:
    variable, live = drawn
    data = chart_data_of(variable, live)

    for chart in (small_chart(data, name), large_chart(data, name)):
        check(chart)
    if isinstance(variable, Continuous) and isinstance(data, Histogram):
        check(cumulative_chart(variable, live, data, name, "K-S"))


def test_names_are_text_and_never_markup() -> None:
    variable = Continuous("x", (0.0, 1.0), (0, 5, 0), (0.0, 1.0))
    chart = small_chart(chart_data_of(variable, variable.cells), '"><script>alert(1)</script>')

    assert check(chart)[0].text == '"><script>alert(1)</script>'


@pytest.mark.parametrize("name", ["K-S", "apart by"])
def test_the_cumulative_chart_marks_the_largest_distance(name: str) -> None:
    variable = Continuous("x", (0.0, 1.0, 2.0, 3.0), (0, 10, 10, 10, 0), (0.0, 3.0))
    live = (0, 0, 0, 30, 0, 0, 0)
    data = chart_data_of(variable, live)
    assert isinstance(data, Histogram)
    root = check(cumulative_chart(variable, live, data, "x", name))

    (text,) = [element.text for element in root if element.attrib.get("class") == "mark-text"]
    assert text == f"{name} 0.667 at 2"


def test_a_taller_bar_stands_for_a_larger_share() -> None:
    variable = Continuous("x", (0.0, 1.0, 2.0), (0, 10, 30, 0), (0.0, 1.0, 2.0))
    root = check(small_chart(chart_data_of(variable, (0, 30, 10, 0, 0, 0)), "x"))
    live, training = (element.attrib["d"] for element in root if element.tag == "path")
    heights = [[float(y) for y in re.findall(r"V([\d.]+)H", path)] for path in (live, training)]

    assert heights[0][0] < heights[0][-1]  # from above: the first live bar is the taller one
    assert heights[1][0] > heights[1][-1]


POINTS = st.lists(
    st.builds(
        CoursePoint,
        st.floats(0, 86400),
        st.integers(30, 1000),
        st.floats(0, 12),
        st.floats(0.1, 3),
    ),
    min_size=1,
    max_size=20,
).map(lambda points: sorted(points, key=lambda point: -point.age))


@given(POINTS)
def test_any_day_can_be_drawn(points: list[CoursePoint]) -> None:
    root = check(course_chart(Course(max(point.age for point in points), points), "x"))

    assert len([element for element in root if element.tag == "circle"]) == len(points)


def test_no_line_bridges_hours_without_rows() -> None:
    points = [CoursePoint(age, 50, 0.2, 0.1) for age in (9000.0, 8100.0, 7200.0, 900.0, 0.0)]
    root = check(course_chart(Course(9000.0, points), "x"))
    lines = [element.attrib["points"].split() for element in root if element.attrib.get("class") == "live-line"]

    assert [len(line) for line in lines] == [3, 2]


@pytest.mark.parametrize("psi", [0.0, 1e-300, 1e6])
def test_a_day_of_extreme_numbers_can_be_drawn(psi: float) -> None:
    check(course_chart(Course(0.0, [CoursePoint(0.0, 50, psi, 0.1)]), "x"))
