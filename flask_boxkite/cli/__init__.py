"""``flask boxkite …``: the commands, a module for each kind.

The group is an entry point of Flask (``flask.commands``), so serving never imports this package, and commands that
need no app find none to load.
"""

from flask_boxkite.cli import provision  # noqa: F401 - it adds its commands to the group
from flask_boxkite.cli.group import boxkite

__all__ = ["boxkite"]
