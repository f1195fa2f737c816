"""A report in which nothing was counted says so first, and why; no gate lets it pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import Boxkite
from flask_boxkite.cli import boxkite
from flask_boxkite.records import Records
from tests.cli.shops import serving, shop_app, shop_source

REQUESTS = 40
ROWS = [{"age": 0.5, "city": "a"}]
HINTS = ("@monitor.predict(features='data.rows')", "@monitor.predict(output='result.quotes')")
ERRORS = (
    f"Features were not found in {REQUESTS} requests and the output was not found in {REQUESTS} requests, so nothing "
    "was counted."
)


@dataclass
class Shop:
    """A server that has understood none of its requests, or only their answers."""

    monitor: Boxkite
    directory: Path
    url: str

    def source(self, kind: str) -> list[str]:
        """Return the options of a command that name the source of the counts."""
        return shop_source(self.directory, self.url, kind)


def shops(directory: Path, **places: str) -> Iterator[Shop]:
    """Serve an app whose view takes nested JSON and answers with such."""
    rng = np.random.default_rng(0)
    app = shop_app(directory, rng)
    monitor = Boxkite(app)

    @app.post("/quote")
    @monitor.predict(**places)
    def quote() -> Any:
        return {"result": {"quotes": [0.5], "currency": "EUR"}}

    client = app.test_client()
    for _ in range(REQUESTS):
        assert client.post("/quote", json={"data": {"rows": ROWS}}).status_code == 200
    monitor.close()
    with serving(app) as url:
        yield Shop(monitor, directory, url)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from shops(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from shops(tmp_path_factory.mktemp("half"), output="result.quotes")


def command(name: str, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, [name, *words])


def joined(text: str) -> str:
    return " ".join(text.replace("\\", "").split())


@pytest.mark.parametrize("window", [None, "24h"])
def test_a_report_of_nothing_begins_with_that_and_names_the_remedy(shop: Shop, window: str | None) -> None:
    report = shop.monitor.drift(window=window)
    note = report.to_dict()["note"]
    assert note.startswith(ERRORS)
    assert all(hint in note for hint in HINTS)
    for text in (str(report), report.to_markdown()):
        assert text.startswith("Nothing was counted ")
        assert note in joined(text)
        assert not any(mark in text for mark in ("->", "→", "%"))
    assert not any("->" in repr(item) for item in report)


def test_a_report_of_one_side_names_the_other(half: Shop) -> None:
    report = half.monitor.drift()
    note = f"Features were not found in {REQUESTS} requests, so no feature was counted. "
    assert report.note.startswith(note)
    assert HINTS[0] in report.note
    assert str(report).startswith("No feature was counted since the start. 0 of 3 variables drifted ")
    assert report["quote"].rows == REQUESTS


def test_records_of_nothing_say_so(shop: Shop, half: Shop) -> None:
    report = Records(shop.directory / "logs").drift(shop.directory / "b.prom")
    start = f"None of the {REQUESTS} records at '{shop.directory / 'logs'}' has a feature or output that fits: "
    assert report.to_dict()["note"].startswith(start)
    assert "@monitor.predict(features='…', output='…')" in report.note
    for text in (str(report), report.to_markdown()):
        assert text.startswith("Nothing was counted ")
        assert joined(report.note) in joined(text)

    report = Records(half.directory / "logs").drift(half.directory / "b.prom")
    assert "has a feature that fits: their requests were not understood." in report.note
    assert str(report).startswith("No feature was counted ")

    report = Records(shop.directory / "logs", end="2020-01-01").drift(shop.directory / "b.prom")
    assert report.note.startswith("There are no records of this model and period at ")


def test_records_of_errors_alone_say_so(shop: Shop, tmp_path: Path) -> None:
    records = tmp_path / "errors"
    for path in (shop.directory / "logs").rglob("*"):
        if path.is_file():
            copy = records / path.relative_to(shop.directory / "logs")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace('"status":"ok"', '"status":"error"'))
    report = Records(records).drift(shop.directory / "b.prom")
    assert f"All {REQUESTS} records at '{records}' are of requests that ended in an error: " in report.note


@pytest.mark.parametrize("kind", ["page", "directory", "records"])
def test_no_gate_passes_where_nothing_was_counted(shop: Shop, half: Shop, kind: str) -> None:
    for name, fail_on in (("drift", "drifted"), ("performance", "worse")):
        if (name, kind) == ("performance", "records"):
            continue  # needs a file of outcomes
        passed = command(name, *shop.source(kind))
        assert passed.exit_code == 0, passed.output
        failed = command(name, *shop.source(kind), "--fail-on", fail_on)
        assert failed.exit_code == 1, failed.output
        for result in (passed, failed):
            assert kind == "records" or ERRORS in joined(result.output)
            assert "->" not in result.output
    assert command("drift", *half.source(kind), "--fail-on", "drifted").exit_code == 1


@pytest.mark.parametrize("kind", ["page", "directory", "records"])
def test_each_format_of_the_command_has_the_note_once(shop: Shop, kind: str) -> None:
    result = command("drift", *shop.source(kind), "--format", "json")
    note = json.loads(result.stdout)["models"][0]["drift"]["note"]
    for form in ("table", "markdown"):
        for words in ([], ["--all"]):
            text = joined(command("drift", *shop.source(kind), "--format", form, *words).stdout)
            assert text.startswith("shop: nothing was counted ")
            assert text.count(joined(note)) == 1
            assert all(text.count(hint) <= 1 for hint in HINTS)
