"""A report in which some rows were not counted says how many, of which side, and the remedy; a few fail no gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import unescape
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from flask_boxkite import Boxkite
from flask_boxkite.cli import boxkite
from flask_boxkite.drift.uncounted import Uncounted
from flask_boxkite.records import Records, compact
from tests.cli.shops import serving, shop_app, shop_source

REQUESTS = 200
HINT = "'data' has 'rows'; the features of the baseline are 'age', 'city'."


@dataclass
class Shop:
    """A server that has understood some of its requests, and its records.

    Attributes:
        lost: Number of requests whose features stood elsewhere.
        silent: Number of answers whose output stood elsewhere.
        empty: Number of answers whose output was no number.
    """

    monitor: Boxkite
    client: FlaskClient
    directory: Path
    url: str
    lost: int
    silent: int
    empty: int

    @property
    def fact(self) -> str:
        """The sentence that each report has."""
        return (
            f"Of {REQUESTS} answered rows, the features of {self.lost} and the outputs of {self.silent} were not "
            "counted: they were not found, or do not fit."
        )

    @property
    def uncounted(self) -> dict[str, int]:
        """The same in JSON."""
        return {"rows": REQUESTS, "features": self.lost, "outputs": self.silent}

    @property
    def baseline(self) -> Path:
        """The file of the baseline."""
        return self.directory / "b.prom"

    def source(self, kind: str) -> list[str]:
        """Return the options of a command that name the source of the counts."""
        return shop_source(self.directory, self.url, kind)


def shops(directory: Path, *, lost: int, silent: int, empty: int) -> Iterator[Shop]:
    """Serve an app of which some requests, and some answers, have another form."""
    rng = np.random.default_rng(0)
    app = shop_app(directory, rng, segments=["city"])
    monitor = Boxkite(app)
    good = ({"quote": value} for value in rng.random(REQUESTS).tolist())
    answers = chain([{"other": 1}] * silent, [{"quote": "x"}] * empty, good)
    ages = rng.random(REQUESTS).tolist()

    @app.post("/quote")
    @monitor.predict(output="quote", key="order")
    def quote() -> Any:
        return next(answers)

    client = app.test_client()
    for number in range(REQUESTS):
        row = {"age": ages[number], "city": "ab"[number % 2], "order": f"o{number}"}
        is_lost = number >= REQUESTS - lost
        assert client.post("/quote", json={"data": {"rows": [row]}} if is_lost else row).status_code == 200
    monitor.close()
    with serving(app) as url:
        yield Shop(
            monitor,
            client,
            directory,
            url,
            lost=lost,
            silent=silent,
            empty=empty,
        )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from shops(tmp_path_factory.mktemp("many"), lost=60, silent=35, empty=5)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from shops(tmp_path_factory.mktemp("few"), lost=4, silent=2, empty=1)


def tables(shop: Shop, directory: Path) -> Path:
    """Write the records of a shop as Parquet; files of this minute, to which a server may still add, wait elsewhere."""
    for path in (shop.directory / "logs").rglob("*.*"):
        copy = directory / "lines" / path.relative_to(shop.directory / "logs").parent.parent / "2020-01-01" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert compact(directory / "lines", directory / "tables", [shop.baseline]).records == REQUESTS
    return directory / "tables"


def command(name: str, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, [name, *words])


def joined(text: str) -> str:
    return " ".join(text.replace("\\", "").split())


# --- drift -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [None, "city"])
def test_a_live_report_says_how_many_rows_were_not_counted(many: Shop, few: Shop, by: str | None) -> None:
    options: dict[str, Any] = {} if by is None else {"by": by}
    report = many.monitor.drift(window="24h", **options)
    assert report.note.startswith(f"{many.fact} ")
    assert HINT in report.note
    assert "@monitor.predict(features='data.rows')" in report.note
    assert report.uncounted == Uncounted(REQUESTS, 60, 35)
    content = json.loads(json.dumps(report.to_dict()))
    assert (content["note"], content["uncounted"]) == (report.note, many.uncounted)
    for text in (str(report), report.to_markdown()):
        assert joined(text).count(report.note) == 1

    report = few.monitor.drift(**options)
    assert report.note == f"{few.fact} The log says what was received."


@pytest.mark.parametrize("is_parquet", [False, True], ids=["lines", "Parquet"])
@pytest.mark.parametrize("by", [None, "city", "server_id"])
def test_records_say_how_many_rows_were_not_counted(
    many: Shop, few: Shop, tmp_path: Path, by: str | None, is_parquet: bool
) -> None:
    for shop in (many, few):
        location = tables(shop, tmp_path / shop.directory.name) if is_parquet else shop.directory / "logs"
        report: Any = Records(location).drift(shop.baseline, **({} if by is None else {"by": by}))
        assert report.to_dict()["uncounted"] == shop.uncounted
        assert report.note.startswith(f"{shop.fact} ")
        remedy = "Say where these stand: @monitor.predict(features='…', output='…'). "
        assert (remedy in report.note) is (shop is many)
        assert report.note.endswith("The log and the drift page of the server say what was received.")
        for text in (str(report), report.to_markdown()):
            assert joined(text).count(report.note) == 1
            line = f"{shop.fact[0].lower()}{shop.fact[1:]}"
            assert (line in joined(text)) is (by == "server_id" and shop is many)


def test_an_earlier_period_has_its_own_number(many: Shop, few: Shop) -> None:
    report = Records(few.directory / "logs").drift(few.baseline, against=Records(many.directory / "logs"))
    assert f"In the earlier period: of {REQUESTS} answered rows, the features of {many.lost} " in report.note


def test_rows_of_another_baseline_have_another_remedy(many: Shop, tmp_path: Path) -> None:
    for path in (many.directory / "logs").rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(many.directory / "logs")
            copy.parent.mkdir(parents=True, exist_ok=True)
            records = [json.loads(line) for line in path.read_text().splitlines()]
            for record in records:
                if "data" in record["request_body"]:
                    record["baseline"] = "0" * 12
            copy.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    report = Records(tmp_path).drift(many.baseline)
    rest = f"{many.lost} rows came with another baseline: 'fingerprint' leaves them out."
    assert report.note == f"{many.fact} {rest}"


def test_the_page_says_it(many: Shop, few: Shop) -> None:
    for shop, kind in ((many, "finding problem"), (few, "facts")):
        pages = [unescape(shop.client.get(f"/boxkite/{path}").text) for path in ("", "segments?by=city", "report.html")]
        assert all(f'<p class="{kind}">{shop.fact}' in page for page in pages)
        assert all(HINT in page for page in pages) or shop is few
        assert shop.client.get("/boxkite/drift.json").json["models"][0]["drift"]["uncounted"] == shop.uncounted
        assert shop.client.get("/boxkite/segments.json?by=city").json["uncounted"] == shop.uncounted


@pytest.mark.parametrize("kind", ["page", "directory", "records"])
@pytest.mark.parametrize("by", [None, "city"])
def test_a_gate_fails_for_many_rows_only(many: Shop, few: Shop, kind: str, by: str | None) -> None:
    for shop, code in ((many, 1), (few, 0)):
        words = [*shop.source(kind), *(["--by", by] if by else [])]
        said = command("drift", *words)
        assert said.exit_code == 0, said.output
        assert shop.fact in joined(said.output)
        judged = command("drift", *words, "--fail-on", "major")
        assert judged.exit_code == code, judged.output
        assert (f"Error: 'shop': {shop.fact}" in joined(judged.stderr)) is bool(code)
    html = command("drift", *many.source("records"), "--format", "html").stdout
    assert many.fact in unescape(html)


@pytest.mark.parametrize("kind", ["page", "directory", "records"])
def test_a_watching_job_is_told_of_many_rows(many: Shop, few: Shop, kind: str) -> None:
    for shop in (many, few):
        result = command("watch", *shop.source(kind))
        assert result.exit_code == 0, result.output
        assert (f"'shop': {shop.fact}" in joined(result.stderr)) is (shop is many)
        assert shop.fact not in joined(result.stdout)


@pytest.mark.parametrize(
    ("found", "are_too_many"),
    [((300, 30, 0), False), ((299, 30, 0), True), ((100, 29, 29), False), ((100, 0, 30), True), ((0, 0, 0), False)],
)
def test_the_limit_is_a_tenth_and_thirty_rows(found: tuple[int, int, int], are_too_many: bool) -> None:
    assert Uncounted(*found).are_too_many is are_too_many
    assert bool(str(Uncounted(*found))) is any(found[1:])


# --- performance -----------------------------------------------------------------------------------------------------


def test_performance_says_which_rows_no_outcome_can_judge(many: Shop) -> None:
    report = many.monitor.performance()
    line = (
        "Rows that no outcome can judge: 35 whose output was not found, or does not fit, 5 whose output cannot be read."
    )
    assert (report.coverage.predictions, report.coverage.uncounted, report.coverage.unread) == (160, 35, 5)
    for text in (str(report), report.to_markdown(), unescape(many.client.get("/boxkite/").text)):
        assert f"{line} The drift report says what came instead." in joined(text)


@pytest.mark.parametrize("is_parquet", [False, True], ids=["lines", "Parquet"])
def test_records_say_which_rows_have_no_key(many: Shop, tmp_path: Path, is_parquet: bool) -> None:
    location = tables(many, tmp_path) if is_parquet else many.directory / "logs"
    asked = partial(Records(location).performance, many.baseline)
    outcomes = {"key": ["o50", "o51"], "actual": [0.5, "half"]}
    line = "35 whose output was not found, or does not fit, 5 whose output cannot be read, 60 without a key."
    for by in (None, "city"):
        report: Any = asked(outcomes=outcomes, key="key", **({} if by is None else {"by": by}))
        found = report.keyless if by else report.coverage.keyless
        assert found == many.lost
        for text in (str(report), report.to_markdown()):
            assert f"Rows that no outcome can judge: {line} The drift report" in joined(text)
            assert "Give it in the view: @monitor.predict(key=…)." in joined(text)
            assert "Outcomes that were not counted: 1 with a value that cannot be read." in joined(text)
    assert asked().coverage.keyless == 0


def test_a_segment_without_verdict_for_unread_outcomes_says_so(many: Shop) -> None:
    keys = [f"o{number}" for number in range(42, 122)]
    outcomes = {"key": keys, "actual": [0.5 if number % 2 else "half" for number in range(42, 122)]}
    report = Records(many.directory / "logs").performance(many.baseline, outcomes=outcomes, key="key", by="city")
    reason = report["a"].report.reason
    assert reason.startswith("40 of 40 outcomes could not be read, too many for a verdict: texts like 'aaaa' (")
    assert reason.endswith("where validation had numbers.")
    for text in (str(report), report.to_markdown()):
        assert f"a: {reason}" in joined(text)
        assert joined(text).count("could not be read") == 1


@pytest.mark.parametrize("by", [[], ["--by", "city"]], ids=["whole", "segments"])
def test_the_gate_of_performance_fails_for_many_rows_only(many: Shop, few: Shop, tmp_path: Path, by: list[str]) -> None:
    outcomes = tmp_path / "outcomes.csv"
    outcomes.write_text("key,actual\no50,0.5\n")
    words = ["--outcomes", str(outcomes), "--key", "key", *by, "--fail-on", "worse"]
    for shop, code in ((many, 1), (few, 0)):
        kinds = ["records"] if by else ["records", "directory", "page"]
        for kind in kinds:
            result = command("performance", *shop.source(kind), *(words if kind == "records" else words[-2:]))
            assert result.exit_code == code, result.output
            text = f"Error: 'shop': the output of {shop.silent} of {REQUESTS} answered rows was not found, too many"
            assert (text in joined(result.stderr)) is bool(code)
