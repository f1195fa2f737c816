"""`outcomes` of a file, sent to a real server with two workers, which counts each once."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flask_boxkite import Baseline
from flask_boxkite.cli import boxkite
from flask_boxkite.cli.outcome_parts import MOST_BYTES, Part, parts_of
from flask_boxkite.cli.outcomes import _summary, send
from flask_boxkite.cli.remote import post_outcomes
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.folding import outcomes_path
from flask_boxkite.live.section import SectionKey
from flask_boxkite.outcomes.book_file import AT_ONCE, FORMAT
from tests.cli.served_outcomes import TOKEN, World
from tests.cli.test_drift import answering
from tests.peers import wait_for


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("outcomes"))
    with world.server:
        world.load()
        yield world


@pytest.fixture(autouse=True)
def _own_directory(directory: Path) -> None:
    """Each test writes its files into a directory of its own."""


def outcomes(*words: str | Path, **env: str) -> Result:
    return CliRunner(env=env).invoke(boxkite, ["outcomes", *map(str, words)])


def counted(world: World) -> int:
    """Return the number of outcomes that the server has counted."""
    number: int = world.page()["models"][0]["performance"]["coverage"]["outcomes"]
    return number


def table(rows: list[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([("prediction_id", "actual"), *rows])
    return text.getvalue()


REMEDY = (
    "A server knows ids of its own BOXKITE_ID_KEY and baseline; row 0 of a batch is '{id}/0'. "
    "'flask boxkite performance --records' joins outcomes with all records."
)


# --- a running server ------------------------------------------------------------------------------------------------


def test_what_was_counted_is_said_and_why_others_were_not(world: World) -> None:
    before, (first, second, third, *_) = counted(world), world.ids
    rows = [(first, 1), ("nonsense", 1), (second, 0), (first, 1), (third, "maybe"), (third, 1), ("x/y", 0)]
    Path("o.csv").write_text(table(rows), "utf-8-sig")
    result = outcomes("o.csv", "--url", world.route, BOXKITE_METRICS_TOKEN=TOKEN)
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            "3 of 7 outcomes were counted.",
            "  1 with a value that cannot be read: 5",
            "  1 sent again: 4",
            "  2 of unknown predictions: 2, 7",
            REMEDY,
        ],
    )
    assert counted(world) == before + 3

    result = outcomes("o.csv", "--url", world.route, "--token", TOKEN)
    assert result.output.splitlines()[0] == "0 of 7 outcomes were counted."
    assert "  4 sent again: 1, 3, 4, 6" in result.output
    assert counted(world) == before + 3


def test_a_file_of_which_nothing_counts_fails(world: World) -> None:
    """A job that runs every night must not lose all outcomes in silence."""
    Path("o.csv").write_text(table([("nonsense", 1), (world.ids[19], "maybe")]))
    result = outcomes("o.csv", "--url", world.route, "--token", TOKEN)
    assert result.exit_code == 1
    assert result.output.splitlines()[0] == "0 of 2 outcomes were counted."
    assert "Error: No outcome in 'o.csv' was counted. A server knows ids of its own BOXKITE_ID_KEY" in result.output


def test_an_outcome_of_an_unknown_model_ends_no_file(world: World) -> None:
    before = counted(world)
    lines = [{"prediction_id": world.ids[number], "actual": 1, "model": "retired"} for number in range(3, AT_ONCE + 3)]
    lines.append({"prediction_id": world.ids[3], "actual": 1, "model": "credit"})
    Path("o.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    result = outcomes("o.jsonl", "--url", world.route, "--token", TOKEN)
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            f"1 of {AT_ONCE + 1} outcomes were counted.",
            f"  {AT_ONCE} of a model that the server does not have, or that has no actual values in its baseline: "
            f"1, 2, 3, 4, 5 and {AT_ONCE - 5} more",
        ],
    )
    assert counted(world) == before + 1


def test_a_long_file_is_sent_in_parts(world: World) -> None:
    before, pairs = counted(world), list(zip(world.ids[20:], world.actual[20:].tolist(), strict=True))
    lines = [json.dumps({"prediction_id": name, "actual": actual}) for name, actual in pairs]
    lines[-1:] = [*[json.dumps({"prediction_id": f"no/{row}", "actual": 1}) for row in range(9)], "", lines[-1]]
    with gzip.open("o.jsonl.gz", "wt") as file:
        file.write("\n".join(lines))
    assert len(pairs) > AT_ONCE
    result = outcomes("o.jsonl.gz", "--url", world.route, "--token", TOKEN)
    assert result.output.splitlines() == [
        "280 of 289 outcomes were counted.",
        "  9 of unknown predictions: 280, 281, 282, 283, 284 and 4 more",
        REMEDY,
    ]
    assert counted(world) == before + 280


def test_parts_that_could_not_be_written_are_sent_again(tmp_path: Path) -> None:
    """Here a directory stands in the place of the server's file, until the second pause."""
    world = World(tmp_path)
    with world.server:
        world.load()
        (state,) = world.state.iterdir()
        key = SectionKey("outcomes", "credit", Baseline.load(world.baseline).fingerprint)
        obstacle = outcomes_path(state, key, FORMAT)
        obstacle.mkdir()
        Path("o.csv").write_text(table([(world.ids[0], 1), ("nonsense", 1), (world.ids[1], 0)]))
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                obstacle.rmdir()

        sent = send(parts_of(Path("o.csv")), partial(_post, world.route), pause=pause)
        assert pauses == [1.0, 2.0]
        assert (sent.size, sent.counted, sent.rejected, sent.examples) == (3, 2, {"unknown": 1}, {"unknown": [2]})
        assert wait_for(lambda: counted(world) == 2, what="outcomes on the page")


def _post(url: str, part: Part) -> tuple[bool, dict[str, Any]]:
    return post_outcomes(url, part.body, part.content_type, token=TOKEN)


# --- attempts --------------------------------------------------------------------------------------------------------


def part(first: int = 1) -> Part:
    return Part(first, 3, "text/csv", b"")


def test_outcomes_that_an_earlier_attempt_has_counted_are_counted_once() -> None:
    """Two models have a file each, of which one could not be written."""
    failed = [{"index": 2, "reason": "failed"}, {"index": 1, "reason": "repeated"}]
    repeated = [{"index": index, "reason": "repeated"} for index in (0, 1)]
    answers = iter(
        [
            (False, {"counted": 1, "rejected": {"failed": 1, "repeated": 1}, "reasons": failed}),
            (False, {}),
            (True, {"counted": 1, "rejected": {"repeated": 2}, "reasons": repeated}),
        ]
    )
    sent = send([part()], lambda each: next(answers), pause=lambda seconds: None)
    assert (sent.counted, sent.rejected, sent.examples) == (2, {"repeated": 1}, {})


def test_after_some_attempts_the_command_gives_up() -> None:
    answers = iter([(True, {"counted": 3, "rejected": {}, "reasons": []}), *[(False, {})] * 5])
    pauses: list[float] = []
    with pytest.raises(BoxkiteError) as caught:
        send([part(), part(4)], lambda each: next(answers), pause=pauses.append)
    assert str(caught.value) == (
        "The server could not write outcomes 4 and following, in 5 attempts. Before that, 3 were counted. "
        "Send the file again: each is counted once."
    )
    assert pauses == [1.0, 2.0, 4.0, 8.0]


# --- files -----------------------------------------------------------------------------------------------------------


def test_parts_hold_all_lines_in_their_order() -> None:
    rows = [(f"id,{row}", f"a\nb{row}") for row in range(2 * AT_ONCE + 5)]
    Path("o.tsv").write_text("prediction_id\tactual\n\n" + "".join(f'{name}\t"{value}"\n' for name, value in rows))
    parts = list(parts_of(Path("o.tsv")))
    assert [(each.first, each.size) for each in parts] == [(1, AT_ONCE), (1 + AT_ONCE, AT_ONCE), (1 + 2 * AT_ONCE, 5)]
    read = [list(csv.DictReader(io.StringIO(each.body.decode(), newline=""))) for each in parts]
    assert [(row["prediction_id"], row["actual"]) for own in read for row in own] == rows


def test_parts_are_small() -> None:
    lines = [json.dumps({"key": letter * 400}) + "\n" for letter in "abcde"]
    Path("o.ndjson").write_text("".join(lines))
    bodies = [each.body.decode() for each in parts_of(Path("o.ndjson"), most_bytes=1000)]
    assert bodies == ["".join(lines[:2]), "".join(lines[2:4]), lines[4]]
    assert next(parts_of(Path("o.ndjson"))).size == 5
    assert MOST_BYTES < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("o.txt", b"", "'o.txt' has an unknown suffix. Use .csv, .tsv, .jsonl, .ndjson, or '.gz' after that."),
        ("o.csv", b"", "There are no outcomes in 'o.csv'."),
        ("o.csv", b"prediction_id,actual\n", "There are no outcomes in 'o.csv'."),
        ("o.csv", b"\xff\xfe", "'o.csv' cannot be read: 'utf-8' codec can't decode byte 0xff in position 0"),
        ("o.csv.gz", b"no gzip", "'o.csv.gz' cannot be read: Not a gzipped file (b'no'). Is it there, complete,"),
        ("o.jsonl", b'{"a": 1}\n\n{', "'o.jsonl' cannot be read: line 3 is no JSON (Expecting property name"),
        ("missing.csv", None, "'missing.csv' cannot be read: [Errno 2] No such file or directory: 'missing.csv'."),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        Path(name).write_bytes(data)
    result = outcomes(name, "--url", "http://localhost:1/outcomes")
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {message}")
    assert len(result.output.splitlines()) == 1


# --- what goes wrong -------------------------------------------------------------------------------------------------

NO_ROUTE = "Does the server take outcomes ('BOXKITE_OUTCOMES_PATH'), and is this the address of that route?"


def test_a_server_that_does_not_take_them_is_one_line(world: World, free_tcp_port: int) -> None:
    Path("o.csv").write_text("prediction_id,actual\nx,1\n")
    Path("other.csv").write_text("id,actual\nx,1\n")
    closed, other = f"http://127.0.0.1:{free_tcp_port}/outcomes", f"{world.server.url}/nothing"
    for words, message in {
        ("o.csv", world.route, "wrong"): f"'{world.route}' answered 401 UNAUTHORIZED. Set 'BOXKITE_METRICS_TOKEN'",
        ("o.csv", other, TOKEN): f"'{other}' answered 404 NOT FOUND. {NO_ROUTE}",
        ("o.csv", world.url, TOKEN): f"'{world.url}' answered 404 NOT FOUND. {NO_ROUTE}",
        ("other.csv", world.route, TOKEN): f"'{world.route}' answered 400 BAD REQUEST. The body cannot be read: the "
        "first line must name the columns 'prediction_id' (or 'key') and 'actual'.",
        ("o.csv", closed, TOKEN): f"'{closed}' cannot be reached: [Errno 111] Connection refused.",
        ("o.csv", "ftp://host/", TOKEN): "'--url' must begin with http:// or https:// and a host, got 'ftp://host/'.",
    }.items():
        name, url, token = words
        result = outcomes(name, "--url", url, "--token", token)
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: {message}")
        assert len(result.output.splitlines()) == 1


def test_an_address_that_takes_no_post_is_said() -> None:
    Path("o.csv").write_text("prediction_id,actual\nx,1\n")
    with answering(405, b"") as (url, _):
        result = outcomes("o.csv", "--url", url)
    assert result.output == f"Error: '{url}' answered 405 Method Not Allowed. {NO_ROUTE}\n"


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"{}", b"[]", b"\xff"])
def test_what_is_no_route_is_said(body: bytes) -> None:
    Path("o.csv").write_text("prediction_id,actual\nx,1\n")
    with answering(200, body) as (url, _):
        result = outcomes("o.csv", "--url", url)
    assert (result.exit_code, result.output) == (
        1,
        f"Error: '{url}' answers, but not as a route for outcomes does. {NO_ROUTE}\n",
    )


def test_a_token_is_not_taken_to_another_server() -> None:
    Path("o.csv").write_text("prediction_id,actual\nx,1\n")
    with answering(200, b"{}") as (other, tokens), answering(307, b"", Location=other) as (url, own):
        result = outcomes("o.csv", "--url", url, "--token", TOKEN)
    assert (tokens, own) == ([], [f"Bearer {TOKEN}"])
    assert "answered 307 Temporary Redirect. Name that address, if it is the server's" in result.output


def test_numbers_of_each_model_are_added_up_over_parts_and_attempts() -> None:
    def answer(counted: int, rejected: dict[str, int], **models: tuple[int, dict[str, int]]) -> dict[str, Any]:
        by_model = {name: {"counted": own, "rejected": others} for name, (own, others) in models.items()}
        return {"counted": counted, "rejected": rejected, "reasons": [], "models": by_model}

    answers = [
        (True, answer(2, {}, champion=(2, {}), rival=(0, {"invalid": 2}))),
        (False, answer(1, {"failed": 1}, champion=(1, {"failed": 1}), rival=(1, {"failed": 1}))),
        (True, answer(1, {"repeated": 1}, champion=(1, {"repeated": 1}), rival=(0, {"repeated": 1, "invalid": 1}))),
    ]
    sent = send([Part(1, 2, "", b""), Part(3, 2, "", b"")], lambda part: answers.pop(0), pause=lambda seconds: None)
    assert list(_summary(sent)) == [
        "4 of 4 outcomes were counted.",
        "  Model 'champion': 4 counted",
        "  Model 'rival': 1 counted, 3 with a value that cannot be read",
    ]
