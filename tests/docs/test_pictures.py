"""The pictures of the concepts are drawn by the script in the repository."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree

DOCS = Path(__file__).parents[2] / "docs"


def test_the_script_draws_the_pictures_that_pages_show(tmp_path: Path) -> None:
    runpy.run_path(str(DOCS / "pictures.py"))["main"](tmp_path)

    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == sorted(path.name for path in (DOCS / "concepts").glob("*.svg"))
    for path in drawn:
        title = ElementTree.parse(path).getroot().findtext("{http://www.w3.org/2000/svg}title")
        assert title in (DOCS / "concepts" / path.name).read_text(encoding="utf-8")
