"""Every block of README, site and examples runs, or is parsed; every link leads to something.

A page is one world, run from top to bottom in a fresh folder. Python blocks share names; one whose first line is the
name of a file is only written there. Blocks of `sh` run in the folder. `text` that is marked as output is compared with
the output of the block above, JSON, TOML, YAML and PromQL must parse, and `<!-- not run: reason -->` exempts a block.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.docs.given import records, trained
from tests.docs.markdown import Block, anchors_of, blocks_of, links_of
from tests.docs.world import DATA, world
from tests.provision.promtool import check

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest needs it there
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

PAGES = sorted(
    path
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    if not path.is_relative_to(DOCS / "_build")
)
GIVEN: dict[Path, Callable[[], dict[str, object]]] = {
    ROOT / "README.md": trained,
    ROOT / "examples/fluentd/README.md": records,
}


def name_of(path: Path) -> str:
    """Return the name of a page in the project."""
    return str(path.relative_to(ROOT))


def texts_of(pages: list[Path]) -> dict[str, str]:
    return {name_of(path): path.read_text(encoding="utf-8") for path in pages}


TEXTS = texts_of(PAGES)
BLOCKS = [(f"{name}:{block.line}", block) for name, text in TEXTS.items() for block in blocks_of(text)]


# --- Pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in PAGES if "```" in TEXTS[name_of(path)]], ids=name_of)
def test_a_page_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    with world(tmp_path, GIVEN) as running:
        running.run(path)


@pytest.mark.parametrize("block", [pytest.param(block, id=where) for where, block in BLOCKS if block.language in DATA])
def test_data_and_queries_parse(block: Block, tmp_path: Path) -> None:
    if block.reason is not None:
        return
    match block.language:
        case "json":
            json.loads(block.source)
        case "toml":
            tomllib.loads(block.source)
        case "yaml":
            assert list(yaml.safe_load_all(block.source))
        case "promql":
            queries = enumerate(queries_of(block.source))
            rules = [{"record": f"page:query{number}", "expr": query} for number, query in queries]
            (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}))
            assert f"SUCCESS: {len(rules)} rules found" in check(tmp_path / "rules.yml")


def queries_of(source: str) -> list[str]:
    """Return the queries of a block, between which lines are empty."""
    return [query for query in re.split(r"\n\n+", source.strip()) if not all_comments(query)]


def all_comments(text: str) -> bool:
    return all(line.startswith("#") for line in text.splitlines())


def test_blocks_that_do_not_run_give_their_reason() -> None:
    assert [where for where, block in BLOCKS if block.reason == ""] == []


# --- Links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    assert [link for link in links_of(TEXTS[name_of(path)]) if not leads_somewhere(link, path)] == []


def leads_somewhere(link: str, path: Path) -> bool:
    """Say whether a link from a page leads to a file or a heading, or has the form of an address."""
    if "://" in link:
        address = urlsplit(link)
        return address.scheme in ("http", "https") and bool(address.hostname)
    target, _, anchor = link.partition("#")
    file = (path.parent / target).resolve() if target else path
    return file.exists() and (not anchor or anchor in anchors_of(file))
