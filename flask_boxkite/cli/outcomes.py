"""``outcomes``: outcomes in a file, sent to a running server, which counts them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from flask_boxkite.baseline.progress import Steps
from flask_boxkite.cli.group import PATH, boxkite, write
from flask_boxkite.cli.outcome_parts import Part, parts_of
from flask_boxkite.cli.remote import post_outcomes
from flask_boxkite.cli.sources import token_option
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.performance.wording import REASONS
from flask_boxkite.quoting import printable

__all__ = ["Sent", "outcomes", "send"]

_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt with a part that could not be written."""

_UNKNOWN = (
    "A server knows ids of its own BOXKITE_ID_KEY and baseline; row 0 of a batch is '{id}/0'. "
    "'flask boxkite performance --records' joins outcomes with all records."
)
"""Remedy for outcomes of unknown predictions."""

_NO_MODEL = "of a model that the server does not have, or that has no actual values in its baseline"

_SHOWN = 5
"""Most outcomes that are named for each reason."""


@boxkite.command()
@click.argument("file", type=PATH)
@click.option("--url", required=True, help="Address of the server's route for outcomes (BOXKITE_OUTCOMES_PATH).")
@token_option
def outcomes(file: Path, url: str, token: str | None) -> None:
    """Send the outcomes in a file to a running server.

    FILE is CSV, TSV or JSON lines (.jsonl, .ndjson), each also as .gz. Each outcome has 'actual', the value that came
    true, and 'prediction_id' or 'key'; perhaps also 'predicted', the output, and 'model'. The server counts each
    prediction once, so a file may be sent again.

    \b
    Examples:
      flask boxkite outcomes chargebacks.csv --url http://localhost:8000/outcomes
      BOXKITE_METRICS_TOKEN=… flask boxkite outcomes 2026-01.jsonl.gz --url https://scoring/outcomes
    """

    def post(part: Part) -> tuple[bool, dict[str, Any]]:
        return post_outcomes(url, part.body, part.content_type, token=token)

    with Steps(None, "Sending outcomes") as steps:
        sent = send(parts_of(file), post, tell=lambda number: steps.tell(number, None, "outcomes"))
    if not sent.size:
        msg = f"There are no outcomes in '{file}'."
        raise BoxkiteError(msg)
    write("".join(f"{printable(line)}\n" for line in _summary(sent)), None)
    if not sent.counted and not sent.rejected["repeated"]:
        msg = f"No outcome in '{file}' was counted."
        raise BoxkiteError(f"{msg} {_UNKNOWN}" if sent.rejected["unknown"] else msg)


@dataclass
class Sent:
    """Outcomes that were sent, and the answers of the server.

    Attributes:
        size: Number of outcomes that were sent.
        counted: Number of those that were counted.
        rejected: Number of the others, by reason.
        examples: Numbers of some of these in the file, by reason.
        models: Numbers of each model of a server with several, by reason; those counted by ``counted``.
    """

    size: int = 0
    counted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    models: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def send(
    parts: Iterable[Part],
    post: Callable[[Part], tuple[bool, dict[str, Any]]],
    *,
    tell: Callable[[int], None] = lambda number: None,
    pause: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send outcomes, one part after the other; send a part again that the server could not write.

    Args:
        parts: Parts of a file.
        post: Function that sends a part, as `post_outcomes` does.
        tell: Function that is told the number of outcomes that were sent so far.
        pause: Function that waits for some seconds.

    Raises:
        BoxkiteError: The file cannot be read, or the server does not take a part; outcomes before it are counted.
    """
    sent = Sent()
    with _told(sent):
        for part in parts:
            _send(part, post, sent, pause)
            tell(sent.size)
    return sent


def _send(
    part: Part, post: Callable[[Part], tuple[bool, dict[str, Any]]], sent: Sent, pause: Callable[[float], None]
) -> None:
    before = 0
    before_of_models: Counter[str] = Counter()
    for wait in (*_WAITS, None):
        is_written, answer = post(part)
        counted = answer.get("counted", 0)
        sent.counted += counted
        models = answer.get("models", {})  # an earlier release sends none
        for model, own in models.items():
            sent.models[model]["counted"] += own["counted"]
        if is_written:
            for model, own in models.items():
                sent.models[model] += Counter(own["rejected"]) - Counter(repeated=before_of_models[model])
            # Outcomes that an earlier attempt has counted come back as repeated.
            sent.rejected += Counter(answer["rejected"]) - Counter(repeated=before)
            for item in answer["reasons"]:
                if not before or item["reason"] != "repeated":
                    sent.examples[item["reason"]].append(part.first + item["index"])
            sent.size += part.size
            return
        before += counted
        before_of_models += Counter({model: own["counted"] for model, own in models.items()})
        if wait is not None:
            pause(wait)

    msg = f"The server could not write outcomes {part.first:,} and following, in {len(_WAITS) + 1} attempts."
    raise BoxkiteError(msg)


@contextmanager
def _told(sent: Sent) -> Iterator[None]:
    """Tell in errors how many outcomes were counted before."""
    try:
        yield
    except BoxkiteError as error:
        if not sent.counted:
            raise
        msg = f"{error} Before that, {sent.counted:,} were counted. Send the file again: each is counted once."
        raise BoxkiteError(msg) from error


def _summary(sent: Sent) -> Iterator[str]:
    texts = {**REASONS, "no_model": _NO_MODEL}
    yield f"{sent.counted:,} of {sent.size:,} outcomes were counted."
    for reason, number in sorted(sent.rejected.items()):
        shown = sent.examples[reason][:_SHOWN]
        more = f" and {number - len(shown):,} more" if number > len(shown) else ""
        where = f": {', '.join(f'{each:,}' for each in shown)}{more}" if shown else ""
        yield f"  {number:,} {texts.get(reason, reason)}{where}"
    for model, own in sorted(sent.models.items()):
        rejected = [f", {own[reason]:,} {texts.get(reason, reason)}" for reason in sorted(own.keys() - {"counted"})]
        yield f"  Model {model!r}: {own['counted']:,} counted{''.join(rejected)}"
    if sent.counted and sent.rejected["unknown"]:
        yield _UNKNOWN
