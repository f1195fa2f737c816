"""The Grafana dashboard, generated. Needs the extra ``grafana``."""

from flask_boxkite.provision.grafana.dashboard import dashboard_text

__all__ = ["dashboard_text"]
