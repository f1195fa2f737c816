"""The Grafana dashboard, generated; the extra ``grafana`` is needed."""

from flask_boxkite.provision.grafana.dashboard import dashboard_text

__all__ = ["dashboard_text"]
