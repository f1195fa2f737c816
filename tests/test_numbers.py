"""The site, docstrings and help have the numbers of the code; `tests.docs.test_reference` looks at the references."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flask_boxkite.cli import boxkite
from flask_boxkite.config import Settings
from flask_boxkite.drift.verdict import DRIFTED_SIZE, MAJOR_SIZE, MINIMUM_ROWS
from flask_boxkite.monitoring import reply
from flask_boxkite.monitoring.findings import bytes_text
from flask_boxkite.provision.options import LEAST_SCRAPES
from flask_boxkite.values.conversion import DEEPEST
from flask_boxkite.web.return_values import LONGEST_PAYLOAD

DOCS = Path(__file__).parent.parent / "docs"
DEFAULTS = Settings()

SENTENCES = {
    f"fewer than {MINIMUM_ROWS} different rows": "concepts/verdicts.md",
    f"size below {DRIFTED_SIZE:g}": "concepts/verdicts.md",
    f"size at least {DRIFTED_SIZE:g}, {MAJOR_SIZE:g}": "concepts/verdicts.md",
    f"A window must hold {LEAST_SCRAPES} scrapes": "guides/prometheus.md",
    f"first {bytes_text(reply.MOST_BYTES)} of the response are kept": "reference/record.md",
    f"nested more than {DEEPEST} levels deep": "limits.md",
}
"""Sentences of pages."""


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_site_has_the_numbers_of_the_code(sentence: str) -> None:
    assert sentence in " ".join((DOCS / SENTENCES[sentence]).read_text("utf-8").split())


def test_the_docstring_of_settings_has_the_length_of_a_payload() -> None:
    assert f"up to {bytes_text(LONGEST_PAYLOAD)}." in str(Settings.__doc__)


@pytest.mark.parametrize("name", ["spool_bytes", "queue_bytes", "max_body_bytes"])
def test_the_docstring_of_settings_has_their_defaults(name: str) -> None:
    assert f"``BOXKITE_{name.upper()}`` ({bytes_text(getattr(DEFAULTS, name))})" in str(Settings.__doc__)


def test_help_has_the_least_length_of_a_window() -> None:
    help_text = " ".join(CliRunner().invoke(boxkite, ["rules", "--help"]).output.split())
    assert f"at least {LEAST_SCRAPES} scrapes long" in help_text
