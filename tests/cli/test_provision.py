"""Commands that print configuration: their output, their errors, and their entry points."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskCliRunner

from flask_boxkite import Boxkite
from flask_boxkite.cli import boxkite
from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.provision import ObjectMeta, RuleOptions, rules_text, scrape_config_text

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def app() -> Flask:
    """Return a monitored app."""
    app = Flask("scoring")
    app.config.update(BOXKITE_METRICS_PATH="/internal/metrics", BOXKITE_METRICS_TOKEN="open-sesame")
    Boxkite(app)
    return app


# --- rules -----------------------------------------------------------------------------------------------------------


def test_rules_are_printed() -> None:
    result = CliRunner().invoke(boxkite, ["rules"])
    assert (result.exit_code, result.output) == (0, rules_text(RuleOptions()))


def test_every_option_of_the_rules_is_passed_on() -> None:
    options = RuleOptions(("30m", "6h"), "30s", 0.2, "10m", "page", ("cluster", "job"))
    # The file says by which command it was made.
    command = rules_text(options).split("\n")[1].partition("flask boxkite ")[2]
    result = CliRunner().invoke(boxkite, command.split())

    assert (result.exit_code, result.output) == (0, rules_text(options))


def test_rules_go_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    result = CliRunner().invoke(boxkite, ["rules", "--output", str(path)])

    assert (result.exit_code, result.output) == (0, "")
    assert path.read_text(encoding="utf-8") == rules_text(RuleOptions())


def test_rules_become_an_object_of_kubernetes() -> None:
    words = ["rules", "--kubernetes", "scoring.rules", "--label", "release=prometheus", "--label", "a.b/c="]
    result = CliRunner().invoke(boxkite, words)
    meta = ObjectMeta("scoring.rules", {"release": "prometheus", "a.b/c": ""})

    assert (result.exit_code, result.output) == (0, rules_text(RuleOptions(), kubernetes=meta))
    assert " --kubernetes scoring.rules --label release=prometheus --label a.b/c=\n" in result.output
    manifest = yaml.safe_load(result.output)
    assert manifest["metadata"] == {"name": "scoring.rules", "labels": dict(meta.labels)}
    assert manifest["spec"] == yaml.safe_load(rules_text(RuleOptions()))


@pytest.mark.parametrize("name", ["123", "true", "null", "1e3", "a.b-c.9"])
def test_every_name_stays_a_text(name: str) -> None:
    text = rules_text(RuleOptions(), kubernetes=ObjectMeta(name, {"release": name}))
    assert yaml.safe_load(text)["metadata"] == {"name": name, "labels": {"release": name}}


@pytest.mark.parametrize("name", ["", "Scoring rules", "a..b", "a.-b", "-a", "a-", "a.", "a_b", "a\n", "a" * 64, "é"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ObjectMeta(name)
    assert str(caught.value) == (
        f"{name!r} is not a name for an object of Kubernetes. Use small letters, digits, '-' and '.'."
    )


@pytest.mark.parametrize("label", ["", "=a", "a b=c", "a=b c", "/a=b", "A.b/c=d", "a=-", "a/b/c=d", "a=" + "b" * 64])
def test_what_is_no_label_is_refused(label: str) -> None:
    result = CliRunner().invoke(boxkite, ["rules", "--kubernetes", "a", "--label", label])
    assert result.exit_code == 1
    assert "is not a label for an object of Kubernetes. Write it as 'release=prometheus'." in result.output


def test_labels_are_given_once_and_to_an_object() -> None:
    result = CliRunner().invoke(boxkite, ["rules", "--kubernetes", "a", "--label", "a=b", "--label", "a=c"])
    assert (result.exit_code, result.output) == (1, "Error: Labels must be given once each, got a=b, a=c.\n")

    result = CliRunner().invoke(boxkite, ["rules", "--label", "a=b"])
    assert result.exit_code == 2
    assert "'--label' needs a PrometheusRule. Name it with '--kubernetes'." in result.output


def test_a_mistake_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text("before")
    result = CliRunner().invoke(boxkite, ["rules", "--output", str(path), "--window", "1m"])

    assert result.exit_code == 1
    assert path.read_text() == "before"


@pytest.mark.parametrize("output", [False, True], ids=["printed", "file"])
def test_a_text_that_cannot_be_written_is_one_line(tmp_path: Path, output: bool) -> None:
    """A title of bytes that are no text, as a shell with another encoding passes them on."""
    path = tmp_path / "dashboard.json"
    path.write_text("before")
    words = ["scrape-config", "--job", b"\xff".decode(errors="surrogateescape")]
    app = Flask("scoring")
    Boxkite(app)
    result = FlaskCliRunner(app).invoke(boxkite, words + (["--output", str(path)] if output else []))

    assert result.exit_code == 1
    assert result.output == (
        "Error: '\\udcff' cannot be written in UTF-8. Is an argument damaged? "
        "Otherwise, name a file with --output, or set PYTHONUTF8=1.\n"
    )
    assert path.read_text() == "before"


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "rules.yml"
    result = CliRunner().invoke(boxkite, ["rules", "--output", str(path)])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: '{path}' cannot be written: No such file or directory. Is its folder there and writable?\n"
    )


def test_a_mistake_is_one_line() -> None:
    result = CliRunner().invoke(boxkite, ["rules", "--window", "1m"])
    assert result.exit_code == 1
    assert result.output == (
        "Error: A window of 1m holds fewer than 20 scrapes, one every 15s: too few to count rows by. "
        "Make it 5m or longer, or scrape oftener.\n"
    )


def test_wrong_usage_has_another_exit_code() -> None:
    assert CliRunner().invoke(boxkite, ["rules", "--minimum-size", "big"]).exit_code == 2
    assert CliRunner().invoke(boxkite, ["rule"]).exit_code == 2


@pytest.mark.parametrize("command", sorted(boxkite.commands))
def test_examples_of_the_help_are_commands(command: str) -> None:
    """Each names options that there are."""
    text = CliRunner().invoke(boxkite, [command, "--help"]).output
    options = set(re.findall(r"^  (--[\w-]+)", text, re.M))
    examples = re.findall(r"^ +(?:[A-Z_]+=\S+ )?(?:flask|python) .*?boxkite (.*)$", text, re.M)

    assert len(examples) >= 2
    for example in examples:
        assert example.startswith(command)
        assert set(re.findall(r"--[\w-]+", example.partition("|")[0])) <= options


# --- scrape-config ---------------------------------------------------------------------------------------------------


def test_the_scrape_job_is_that_of_the_app(app: Flask) -> None:
    arguments = ["scrape-config", "--target", "a:80", "--target", "b:80", "--scrape-interval", "30s"]
    result = FlaskCliRunner(app).invoke(boxkite, arguments)

    assert result.exit_code == 0
    assert "open-sesame" not in result.output
    assert yaml.safe_load(result.output) == {
        "scrape_configs": [
            {
                "job_name": "scoring",
                "scrape_interval": "30s",
                "metrics_path": "/internal/metrics",
                "honor_labels": True,
                "authorization": {"type": "Bearer", "credentials_file": "/etc/prometheus/boxkite-token"},
                "static_configs": [{"targets": ["a:80", "b:80"]}],
            }
        ]
    }


def test_without_a_token_there_is_no_authorization() -> None:
    text = scrape_config_text(
        Settings(), job="a: b", targets=["localhost:5000"], scrape_interval="15s", credentials_file="t"
    )
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert job["job_name"] == "a: b"
    assert "authorization" not in job


@pytest.mark.parametrize(
    ("settings", "key"),
    [(Settings(metrics_path=None), "BOXKITE_METRICS_PATH"), (Settings(enabled=False), "BOXKITE_ENABLED")],
)
def test_an_app_that_serves_no_metrics_has_no_job(settings: Settings, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scrape_config_text(settings, job="a", targets=["b"], scrape_interval="15s", credentials_file="t")
    assert str(caught.value) == (
        f"The app serves no metrics, because of '{key}'. Name the path that serves them in a job of your own."
    )


@pytest.mark.parametrize("target", ["a:80", "a", "10.0.0.1:8000", "[::1]:8000", "scoring.svc:80"])
def test_targets_may_be_hosts_with_or_without_ports(target: str) -> None:
    text = scrape_config_text(Settings(), job="a", targets=[target], scrape_interval="15s", credentials_file="t")
    assert yaml.safe_load(text)["scrape_configs"][0]["static_configs"] == [{"targets": [target]}]


@pytest.mark.parametrize(
    "target",
    ["", "http://a:80", "a b", "a:99999", "a:0", "a:", ":80", "a:b", "a/metrics", "u@a:80", "::1", "a\n", "a:80,b:80"],
)
def test_what_is_no_target_is_refused(app: Flask, target: str) -> None:
    result = FlaskCliRunner(app).invoke(boxkite, ["scrape-config", "--target", target])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {target!r} is not a target. Write host and port, as in 'scoring:8000', without scheme or path.\n"
    )


def test_an_app_without_a_monitor_is_told_so() -> None:
    result = FlaskCliRunner(Flask("plain")).invoke(boxkite, ["scrape-config"])
    assert result.exit_code == 1
    assert result.output == "Error: The app has no Boxkite monitor. Did you forget to call 'init_app'?\n"


# --- as users start it -----------------------------------------------------------------------------------------------


def test_python_runs_the_commands_without_an_app(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flask_boxkite", "rules"]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, rules_text(RuleOptions()), "")


def test_flask_finds_the_commands(app: Flask) -> None:
    """By the entry point that pyproject.toml declares; Flask loads those itself."""
    (line,) = re.findall(r'^boxkite = "(flask_boxkite\..*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert EntryPoint("boxkite", line, "flask.commands").load() is boxkite


def test_serving_does_not_load_the_commands() -> None:
    program = "import sys, flask_boxkite; print([n for n in sys.modules if 'boxkite.cli' in n or 'provision' in n])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
