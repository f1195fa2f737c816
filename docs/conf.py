"""Set-up of the documentation site: Flask's theme, pages in Markdown, references from the code.

``sphinx-build -W --keep-going -b html docs docs/_build/html`` writes static files that need no network and no server.
"""

from __future__ import annotations

from pygments.lexer import inherit
from pygments.lexers.promql import PromQLLexer
from pygments.token import Name
from sphinx.application import Sphinx

from flask_boxkite import __version__

project = "flask-boxkite"
copyright = "the authors of flask-boxkite"
release = version = __version__

extensions = [
    "myst_parser",
    "pallets_sphinx_themes",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
# Dashes alone: quotes stay as they are written.
smartquotes_action = "D"
toc_object_entries_show_parents = "hide"
exclude_patterns = ["_build"]
# The theme registers domains of Click and Jinja, which cannot be searched for a Markdown link.
suppress_warnings = ["myst.domains"]

# Headings down to the third level get anchors, so that `page.md#a-heading` is a link that the build checks.
myst_heading_anchors = 3

# Docstrings name code in single backquotes.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "flask"
html_title = f"flask-boxkite {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
# Browsers do not fetch pages from a disk for summaries of results.
html_show_search_summary = False
html_context = {"project_links": []}
html_sidebars = {"**": ["localtoc.html", "relations.html", "searchbox.html"]}
# The theme's banner would ask a package index for the newest version.
version_banner = False


class RuleLexer(PromQLLexer):
    """PromQL with the names of recording rules, which have colons."""

    tokens = {"root": [(r"[a-zA-Z_]\w*(:\w+)+", Name.Variable), inherit]}  # noqa: RUF012 - Pygments reads it so


def setup(app: Sphinx) -> None:
    """Register the lexer."""
    app.add_lexer("promql", RuleLexer)
