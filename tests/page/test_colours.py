"""A colour means the same on the page, in the file to keep, in a terminal and in the pictures of the documentation."""

from __future__ import annotations

import colorsys
import re
import runpy
from pathlib import Path

import pytest
from rich.style import Style

from flask_boxkite.cli.tables import STYLES
from flask_boxkite.drift.verdict import WORST_FIRST
from flask_boxkite.page.assets import asset

PICTURES = Path(__file__).parents[2] / "docs/pictures.py"
NEAR = 1 / 7
"""A seventh of the circle of colours: less than from red to yellow, or from yellow to green."""


def page_colours() -> dict[str, str]:
    """Return the colours of the page in light, by name."""
    light, _, _ = asset("boxkite.css").partition("@media")
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))


def hue(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return colorsys.rgb_to_hsv(red, green, blue)[0]


def apart(first: str, second: str) -> float:
    """Return the distance of two hues on their circle, from 0 to 0.5."""
    distance = abs(hue(first) - hue(second))
    return min(distance, 1 - distance)


@pytest.mark.parametrize("verdict", ["major", "drifted", "shifted", "unclear", "stable"])
def test_a_verdict_has_the_colour_of_the_page_in_a_terminal(verdict: str) -> None:
    colour = Style.parse(STYLES[verdict]).color
    assert colour is not None
    nearest = min(WORST_FIRST[:5], key=lambda other: apart(page_colours()[other], colour.get_truecolor().hex))
    assert nearest == verdict
    assert apart(page_colours()[verdict], colour.get_truecolor().hex) < NEAR


@pytest.mark.parametrize("verdict", ["major", "drifted", "shifted", "unclear"])
def test_live_rows_of_a_variable_have_the_colour_of_its_verdict(verdict: str) -> None:
    names = page_colours()
    assert apart(names[verdict], names[f"{verdict}-live"]) < NEAR
    assert runpy.run_path(str(PICTURES))["COLOURS"][verdict] == names[f"{verdict}-live"]


def test_pictures_draw_live_rows_as_the_page_does() -> None:
    assert runpy.run_path(str(PICTURES))["LIVE"] == page_colours()["live"]
