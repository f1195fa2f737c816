"""The runner of pages sees what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.docs.markdown import Block, anchors_of, blocks_of, links_of
from tests.docs.world import matches, world


def run(tmp_path: Path, text: str) -> dict[str, object]:
    """Run a page in a folder of its own; return its names."""
    page, folder = tmp_path / "page.md", tmp_path / "world"
    page.write_text(text, encoding="utf-8")
    folder.mkdir()
    with world(folder, {}) as running:
        running.run(page)
        return dict(running.names)


def test_blocks_are_found_with_their_marks() -> None:
    text = (
        "# A\n\n```python\na = 1\n```\n\n<!-- output -->\n```text\n1\n```\n\nText.\n\n"
        "- An item:\n\n  <!-- not run: needs a bucket -->\n  ```sh\n  ls\n    -l\n  ```\n\n"
        "```{toctree}\nindex\n```\n\n````text\n```\n````\n\n<!-- not run -->\n```\n```\n"
    )
    assert blocks_of(text) == [
        Block(3, "python", "a = 1\n", "", False),
        Block(8, "text", "1\n", "output", True),
        Block(17, "sh", "ls\n  -l\n", "not run: needs a bucket", False),
        Block(26, "text", "```\n", "", True),
        Block(31, "", "", "not run", True),
    ]
    assert [block.reason for block in blocks_of(text)] == [None, None, "needs a bucket", None, ""]


def test_a_file_is_named_by_a_line_alone() -> None:
    names = [
        Block(0, "python", source, "", False).file_name for source in ("# my/app.py\n", "# app.py is\n", "x = 1\n")
    ]
    assert names == ["my/app.py", None, None]


def test_links_and_headings_are_found(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# The `x` of [it](a.md), again\n\n```sh\n# no heading\n```\n## 2: b_c\n", encoding="utf-8")
    assert anchors_of(path) == {"the-x-of-it-again", "2-b_c"}
    text = "[a](b.md#c) ![p](q.png) `[n](o)` [w](https://en.wikipedia.org/wiki/A_(b))\n```sh\n[x](y)\n```\n"
    assert list(links_of(text)) == ["b.md#c", "q.png", "https://en.wikipedia.org/wiki/A_(b)"]


SHARED = """
```python
# app.py
value = 1
```
```python
from pathlib import Path

import app

first = app.value
print(first)
```
<!-- output -->
```text
1
```
```sh
python -c 'import app; print(app.value + 1)' > out.txt
```
```python
# app.py
value = 2
```
```python
import app

second, text = app.value, Path("out.txt").read_text()
```
"""


def test_names_files_and_commands_share_a_world(tmp_path: Path) -> None:
    names = run(tmp_path, SHARED)
    assert (names["first"], names["second"], names["text"]) == (1, 2, "2\n")
    assert "app" not in sys.modules


def test_a_page_goes_on_with_the_world_of_another(tmp_path: Path) -> None:
    (tmp_path / "first.md").write_text("```python\nvalue = 1\n```\n", encoding="utf-8")
    assert run(tmp_path, "<!-- world: first.md -->\n\n```python\nvalue += 1\n```\n")["value"] == 2


def test_an_error_names_the_line_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        run(tmp_path, "Text.\n\n```python\n1 / 0\n```\n")
    assert (error.traceback[-1].path, error.traceback[-1].lineno) == (tmp_path / "page.md", 3)


BROKEN = {
    "```sh\necho so\nfalse\n```\n": "exits with 1\nso\n",
    "```sh\nfalse | cat\n```\n": "exits with 1",
    "```python\nprint(1)\n```\n<!-- output -->\n```text\n2\n```\n": "the block above prints\n1\n",
    "```python\nprint(1)\n```\nText.\n<!-- output -->\n```text\n1\n```\n": "right below",
    "```cobol\n```\n": "'cobol' is neither run nor parsed",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_page_is_seen(text: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as error:
        run(tmp_path, text)
    assert BROKEN[text] in str(error.value)


def test_output_is_compared_without_what_varies() -> None:
    assert matches("a … c\n…\nd", "a b c \n1\n2\nd\n\n")
    assert not matches("a … c", "a b d")
    assert not matches("a", "a\nb")
