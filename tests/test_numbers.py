"""The README, docstrings and help have the same numbers as the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flask_boxkite.cli import boxkite
from flask_boxkite.config import DEFAULT_BASELINE_PATH, Settings
from flask_boxkite.drift.verdict import DRIFTED_SIZE, MAJOR_SIZE, MINIMUM_ROWS
from flask_boxkite.monitoring import reply
from flask_boxkite.monitoring.findings import bytes_text
from flask_boxkite.provision.options import LEAST_SCRAPES
from flask_boxkite.values.conversion import DEEPEST
from flask_boxkite.web.access import DEFAULT_PATH
from flask_boxkite.web.return_values import LONGEST_PAYLOAD

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
DEFAULTS = Settings()

SENTENCES = [
    f"fewer than {MINIMUM_ROWS} different rows",
    f"real, but small: size below {DRIFTED_SIZE:g}",
    f"real, and size at least {DRIFTED_SIZE:g}, {MAJOR_SIZE:g}",
    f"A window must hold {LEAST_SCRAPES} scrapes",
    f"first {bytes_text(reply.MOST_BYTES)} are kept",
    f"(up to {bytes_text(LONGEST_PAYLOAD)})",
    f"nested more than {DEEPEST} levels deep",
]

DEFAULT_CELLS = {
    "`BOXKITE_BASELINE`": f"`{DEFAULT_BASELINE_PATH}`, if it exists",
    "`BOXKITE_METRICS_PATH`": f"`{DEFAULTS.metrics_path}`",
    "`BOXKITE_METRIC_NAMES`": f"`{DEFAULTS.metric_names}`",
    "`BOXKITE_SINK`": f"`{DEFAULTS.sink[0]}`",
    "`BOXKITE_FLUENTD_PREFIX`": f"env `BEDROCK_FLUENTD_PREFIX`, `{DEFAULTS.fluentd_prefix}`",
    "`BOXKITE_LOG_DIR`, `BOXKITE_LOG_TTL_DAYS`, `BOXKITE_LOGGER_ID`": (
        f"none, {DEFAULTS.log_ttl_days:g}, `{DEFAULTS.logger_id}`"
    ),
    "`BOXKITE_SPOOL_DIR`, `BOXKITE_SPOOL_BYTES`": f"none, {bytes_text(DEFAULTS.spool_bytes)}",
    "`BOXKITE_QUEUE_BYTES`": bytes_text(DEFAULTS.queue_bytes),
    "`BOXKITE_MAX_BODY_BYTES`": bytes_text(DEFAULTS.max_body_bytes),
    "`BOXKITE_SAMPLE_RATE`": f"{DEFAULTS.sample_rate}",
    "`BOXKITE_SHUTDOWN_TIMEOUT`": f"{DEFAULTS.shutdown_timeout:g}",
    "`BOXKITE_DRIFT_ALPHA`": "1e-5",
    "`BOXKITE_DASHBOARD_PATH`": f"none; `{DEFAULT_PATH}` in debug mode",
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_readme_has_the_numbers_of_the_code(sentence: str) -> None:
    assert sentence in " ".join(README.split())


@pytest.mark.parametrize(("keys", "default"), DEFAULT_CELLS.items())
def test_the_readme_has_the_defaults_of_the_code(keys: str, default: str) -> None:
    assert f"\n| {keys} | {default} |" in README


def test_the_default_of_alpha_is_that_of_the_code() -> None:
    assert float(DEFAULT_CELLS["`BOXKITE_DRIFT_ALPHA`"]) == DEFAULTS.drift_alpha


@pytest.mark.parametrize("name", ["spool_bytes", "queue_bytes", "max_body_bytes"])
def test_the_docstring_of_settings_has_their_defaults(name: str) -> None:
    assert f"``BOXKITE_{name.upper()}`` ({bytes_text(getattr(DEFAULTS, name))})" in str(Settings.__doc__)


def test_help_has_the_least_length_of_a_window() -> None:
    help_text = " ".join(CliRunner().invoke(boxkite, ["rules", "--help"]).output.split())
    assert f"at least {LEAST_SCRAPES} scrapes long" in help_text
