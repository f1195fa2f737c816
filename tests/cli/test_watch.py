"""`watch` as a job runs it: it tells each change once, by webhook and output, and says what keeps it from telling."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import ModelMonitoringService
from flask_boxkite.cli import boxkite
from tests.notify.posted import WebhookServer, answer, webhook_server

ROWS = 200


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """Go where there are records like the ones of training, and records that have moved."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("BOXKITE_WEBHOOK_URL", raising=False)
    columns = {"age": rng.normal(size=1000), "city": rng.choice(["a", "b"], 1000)}
    score = rng.random(1000)
    actual = (rng.random(1000) < score).astype(int)
    ModelMonitoringService.export_text(columns, score, "b.prom", model="credit", actual=actual, progress=False)
    for name, shift in (("usual", 0.0), ("moved", 2.0)):
        service = ModelMonitoringService("b.prom", log_dir=name, state_dir=str(tmp_path / f"state-{name}"))
        for _ in range(ROWS):
            row = {"age": rng.normal() + shift, "city": str(rng.choice(["a", "b"]))}
            service.log_prediction(features=row, output=rng.random())
        service.close()
    return tmp_path


def watch(*words: str, records: str | None = "moved", **env: str) -> Result:
    source = ["--records", records, "--baseline", "b.prom"] if records else []
    return CliRunner(env=env).invoke(boxkite, ["watch", *source, *words])


def line(result: Result) -> str:
    """Return the line about age, or nothing."""
    return next((text for text in result.stdout.splitlines() if "age" in text and text.startswith("•")), "")


def test_a_change_is_told_once(directory: Path) -> None:
    first = watch("--state", "told.json")
    assert first.exit_code == 0
    assert first.stdout.splitlines()[0].startswith("credit: 1 feature drifted (moved on ")
    assert line(first).startswith("• age: major, size ")
    assert watch("--state", "told.json").output == ""

    ended = watch("--state", "told.json", records="usual")
    assert ended.stdout.splitlines()[0].startswith("credit: 1 ended (usual on ")
    assert line(ended).startswith("• age: major from ")
    assert watch("--state", "told.json", records="usual").output == ""
    assert line(watch("--state", "told.json")).startswith("• age: major, size ")


def test_without_a_memory_each_run_tells_everything() -> None:
    assert line(watch()) and line(watch())  # noqa: PT018
    assert watch(records="usual").output == ""


def test_the_webhook_gets_the_message() -> None:
    with webhook_server() as server:
        result = watch("--state", "told.json", "--page-url", "https://x/boxkite/", BOXKITE_WEBHOOK_URL=server.url)
        assert watch("--state", "told.json", BOXKITE_WEBHOOK_URL=server.url).output == ""
        (posted,) = server.posted
    assert posted.json()["text"] == result.stdout.strip()
    assert result.stdout.endswith("\nhttps://x/boxkite/\n")
    assert posted.json()["changes"][0]["alert"] == "BoxkiteFeatureDrift"


@pytest.mark.parametrize("form", ["slack", "teams"])
def test_the_webhook_gets_the_form_that_it_takes(form: str) -> None:
    with webhook_server() as server:
        watch("--webhook-url", server.url, "--webhook-format", form)
    assert {"slack": "text", "teams": "attachments"}[form] in server.posted[0].json()


def test_a_webhook_that_fails_is_tried_by_the_next_run() -> None:
    with webhook_server() as server:
        server.behaviour = answer("500 Internal Server Error", b"")
        words = ["--state", "told.json", "--webhook-url", server.url]
        failed = watch(*words)
        assert failed.exit_code == 1
        assert failed.stderr == (
            "Error: The message was not taken by the webhook at 127.0.0.1: it answers 500. The next run tries again.\n"
        )
        server.behaviour = answer()
        assert line(watch(*words))
        assert watch(*words).output == ""
    assert len(server.posted) == 2
    assert server.posted[0].headers["idempotency-key"] == server.posted[1].headers["idempotency-key"]


@pytest.mark.parametrize(
    ("records", "fail_on", "code"),
    [("moved", "drifted", 3), ("moved", "major", 3), ("usual", "drifted", 0), ("usual", "major", 0)],
)
def test_the_exit_code_follows_from_what_holds(records: str, fail_on: str, code: int) -> None:
    for _ in range(2):  # also if it was told before
        result = watch("--state", "told.json", "--fail-on", fail_on, records=records)
        assert result.exit_code == code
    assert result.stderr == ("Found: 1 condition, " + fail_on + " or worse.\n" if code else "")


def test_outcomes_show_that_a_model_is_worse() -> None:
    records = [json.loads(text) for path in Path("usual").rglob("*.txt") for text in path.read_text().splitlines()]
    rows = (f"{record['prediction_id']},{int(record['output'] < 0.5)}" for record in records)
    Path("outcomes.csv").write_text("\n".join(["prediction_id,actual", *rows]))
    result = watch("--outcomes", "outcomes.csv", records="usual")
    assert result.stdout.splitlines()[0].startswith("credit: worse than validated (")
    assert "the model is much worse than validated" in result.stdout


def test_counts_of_a_server_are_a_source(directory: Path) -> None:
    (state,) = (directory / "state-moved").iterdir()
    assert line(watch("--state-dir", str(state), records=None)).startswith("• age: major, size ")


def test_a_page_is_a_source(directory: Path) -> None:
    """The page of a server, as a file server has it."""
    (state,) = (directory / "state-moved").iterdir()
    page = CliRunner().invoke(boxkite, ["drift", "--state-dir", str(state), "--format", "json"]).stdout
    with webhook_server() as server:
        server.behaviour = answer("200 OK", page.encode(), "Content-Type: application/json")
        result = watch("--url", f"http://127.0.0.1:{server.port}/boxkite", records=None)
    assert line(result).startswith("• age: major, size ")
    assert server.posted[0].line.startswith("GET /boxkite/drift.json?window=24h")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 1}', '{"format": 9, "episodes": []}', "\xff"])
def test_another_file_is_not_replaced(content: str) -> None:
    path = Path("notes.json")
    path.write_text(content, encoding="latin-1")
    result = watch("--state", "notes.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: 'notes.json' is no file of this command, so it is left as it is. Name another one: --state\n"
    )
    assert path.read_text(encoding="latin-1") == content


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "No source is given."),
        (["--records", "moved"], 2, "'--records' needs '--baseline'"),
        (["--records", "moved", "--baseline", "b.prom", "--webhook-url", "ftp://SECRET"], 1, "must be an address"),
        (["--records", "moved", "--baseline", "b.prom", "--webhook-format", "slack"], 1, "there is no address"),
        (
            [
                "--records",
                "moved",
                "--baseline",
                "b.prom",
                "--webhook-url",
                "https://discord.com/api/webhooks/1/SECRET",
            ],
            1,
            "below '/slack'. Append that.",
        ),
        (["--records", "moved", "--baseline", "b.prom", "--page-url", "boxkite"], 1, "'BOXKITE_PAGE_URL' must be"),
    ],
    ids=["source", "baseline", "scheme", "format", "discord", "page"],
)
def test_wrong_usage_is_said(words: list[str], code: int, text: str) -> None:
    result = watch(*words, records=None)
    assert result.exit_code == code
    assert text in " ".join(result.stderr.split())
    assert "SECRET" not in result.output


def test_a_memory_that_cannot_be_written_is_said(directory: Path) -> None:
    """Nothing is sent that would be sent again by each run."""
    with webhook_server() as server:
        result = watch("--state", "no/such/folder/told.json", "--webhook-url", server.url)
    assert (result.exit_code, result.stdout, server.posted) == (1, "", [])
    assert "'no/such/folder/told.json' cannot be written" in result.stderr


def test_a_gate_does_not_pass_where_nothing_was_counted() -> None:
    assert watch("--model", "other").exit_code == 0
    result = watch("--model", "other", "--fail-on", "drifted")
    assert result.exit_code == 1
    assert "There are no records of this model" in result.stderr
    assert result.stderr.endswith(
        "Error: Nothing was counted, so nothing can be found. Is it the right place, model and period?\n"
    )


def test_nothing_of_the_webhook_is_stored() -> None:
    with webhook_server() as server:
        assert isinstance(server, WebhookServer)
        watch("--state", "told.json", "--webhook-url", server.url)
    assert "SECRET" not in Path("told.json").read_text()
