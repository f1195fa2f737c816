"""The drift page without Flask: observations as HTML, as a file to keep, and as JSON."""

from flask_boxkite.page.content import App, ModelView, Query
from flask_boxkite.page.render import (
    ASSETS,
    asset,
    comparison_html,
    drift_content,
    drift_json,
    overview_html,
    report_html,
    variable_html,
)

__all__ = [
    "ASSETS",
    "App",
    "ModelView",
    "Query",
    "asset",
    "comparison_html",
    "drift_content",
    "drift_json",
    "overview_html",
    "report_html",
    "variable_html",
]
