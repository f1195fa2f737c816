"""The pictures of the concepts are drawn by the script in the repository; views of the page are small and complete."""

from __future__ import annotations

import re
import runpy
import struct
from pathlib import Path
from xml.etree import ElementTree

from tests.pictures import FOLDER, LOOKS, MOST_BYTES, VIEWS, file_name

DOCS = Path(__file__).parents[2] / "docs"


def test_the_script_draws_the_pictures_that_pages_show(tmp_path: Path) -> None:
    runpy.run_path(str(DOCS / "pictures.py"))["main"](tmp_path)

    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == sorted(path.name for path in (DOCS / "concepts").glob("*.svg"))
    for path in drawn:
        title = ElementTree.parse(path).getroot().findtext("{http://www.w3.org/2000/svg}title")
        assert title in (DOCS / "concepts" / path.name).read_text(encoding="utf-8")


def test_each_view_has_small_pictures_in_light_and_dark_for_wide_and_narrow_screens() -> None:
    expected = {file_name(name, look): (look, view) for name, view in VIEWS.items() for look in LOOKS}

    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(expected)
    for name, (look, view) in expected.items():
        data = (FOLDER / name).read_bytes()
        assert struct.unpack(">II", data[16:24]) == (look.width, view.heights[look.width < 600])
        assert len(data) <= MOST_BYTES


def test_the_readme_shows_a_picture_for_light_and_one_for_dark() -> None:
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"<picture>(.*?)</picture>", text, re.DOTALL)

    assert re.findall(r'prefers-color-scheme: dark\)" srcset="([^"]*)"', picture) == ["docs/screens/page-dark.png"]
    assert re.findall(r'<img src="([^"]*)" alt="[^"]+"', picture) == ["docs/screens/page-light.png"]
    assert all((DOCS.parent / path).is_file() for path in re.findall(r'(?:src|srcset)="([^"]*)"', picture))
