"""The example's configuration: its generated parts are up to date, and the programs accept it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from flask_boxkite.config import Settings
from flask_boxkite.provision import ObjectMeta, RuleOptions, rules_text, scrape_config_text
from tests.peers import require

STACK = Path(__file__).resolve().parents[2] / "examples" / "monitoring-stack"


def test_the_rules_are_those_that_the_command_writes() -> None:
    """After a change of the rules, run ``flask boxkite rules --output boxkite-rules.yml`` in that directory."""
    assert (STACK / "boxkite-rules.yml").read_text(encoding="utf-8") == rules_text(RuleOptions())


def test_the_manifest_has_the_same_rules() -> None:
    """After a change of them, the commands that README.md has."""
    manifest = (STACK / "kubernetes/prometheus-rule.yaml").read_text(encoding="utf-8")
    assert manifest == rules_text(RuleOptions(), kubernetes=ObjectMeta("flask-boxkite"))
    content = yaml.safe_load(manifest)
    assert (content["kind"], content["metadata"]) == ("PrometheusRule", {"name": "flask-boxkite"})
    assert content["spec"] == yaml.safe_load(rules_text(RuleOptions()))


def files_of(text: str) -> list[str]:
    """Return the files of this project that a service has from outside."""
    return [volume.partition(":")[0] for volume in re.findall(r"(\./[^:\s]+:[^\s]+)", text)]


def test_what_is_mounted_is_there() -> None:
    mounted = files_of((STACK / "docker-compose.yml").read_text(encoding="utf-8"))
    assert len(mounted) == 6
    for path in mounted:
        assert (STACK / path).exists(), path


def test_the_parts_belong_together() -> None:
    """Names by which services, files and labels find each other."""
    compose = yaml.safe_load((STACK / "docker-compose.yml").read_text(encoding="utf-8"))
    (included,) = compose["include"]
    services = {**compose["services"], **yaml.safe_load((STACK / included).read_text(encoding="utf-8"))["services"]}
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", ())) <= set(services), name
    scraped = yaml.safe_load((STACK / "prometheus.yml").read_text(encoding="utf-8"))
    assert scraped["scrape_configs"][0]["static_configs"] == [{"targets": ["app:8000"]}]
    source = yaml.safe_load((STACK / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    assert [one["url"].split("/")[2].split(":")[0] for one in source["datasources"]] == ["prometheus", "alertmanager"]
    deployment, service = yaml.safe_load_all((STACK / "kubernetes/app.yaml").read_text(encoding="utf-8"))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    monitor = yaml.safe_load((STACK / "kubernetes/service-monitor.yaml").read_text(encoding="utf-8"))
    assert monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert monitor["spec"]["endpoints"][0]["honorLabels"] is True
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    kustomization = yaml.safe_load((STACK / "kustomization.yaml").read_text(encoding="utf-8"))
    for path in [*kustomization["resources"], *kustomization["configMapGenerator"][0]["files"]]:
        assert (STACK / path).is_file()


def test_the_settings_of_the_deployment_are_settings() -> None:
    deployment, _ = yaml.safe_load_all((STACK / "kubernetes/app.yaml").read_text(encoding="utf-8"))
    names = [item["name"] for item in deployment["spec"]["template"]["spec"]["containers"][0]["env"]]
    config = {name.removeprefix("FLASK_"): "1048576" for name in names if name.startswith("FLASK_")}
    environ = {name: "127.0.0.1" for name in names if name.startswith("BEDROCK_")}
    settings = Settings.from_mapping(config, environ)

    assert len(config) + len(environ) == len(names) - 1
    assert settings.sink == ("fluentd",)


def test_the_scrape_job_is_the_one_that_the_command_writes() -> None:
    job = scrape_config_text(
        Settings(), job="app", targets=["app:8000"], scrape_interval="15s", credentials_file="unused"
    )
    assert (STACK / "prometheus.yml").read_text(encoding="utf-8").endswith(f"\n{job}")


@pytest.mark.peers
@pytest.mark.parametrize(
    ("command", "name"),
    [(["promtool", "check", "config"], "prometheus.yml"), (["amtool", "check-config"], "alertmanager.yml")],
    ids=["prometheus", "alertmanager"],
)
def test_the_programs_take_their_configuration(command: list[str], name: str) -> None:
    program, *arguments = command
    done = subprocess.run([require(program), *arguments, STACK / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
