"""``flask boxkite …``: the commands, a module for each kind.

The group is an entry point of Flask (``flask.commands``), so serving never imports this package, and commands that
need no app find none to load. What needs the extra ``cli`` is imported by the commands that use it.
"""

from flask_boxkite.cli import baseline, check, compare, drift, inspect, provision  # noqa: F401 - they add their commands to the group
from flask_boxkite.cli.group import boxkite

__all__ = ["boxkite"]
