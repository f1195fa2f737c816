"""Generated configuration for the monitoring around an app: Prometheus' rules and its scrape job."""

from flask_boxkite.provision.kubernetes import ObjectMeta
from flask_boxkite.provision.options import RuleOptions
from flask_boxkite.provision.rules import rules_text
from flask_boxkite.provision.scrape import scrape_config_text

__all__ = ["ObjectMeta", "RuleOptions", "rules_text", "scrape_config_text"]
