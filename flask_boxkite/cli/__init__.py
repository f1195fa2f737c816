"""``flask boxkite …``: the commands, one module each, and the modules that they share.

The group is an entry point of Flask (``flask.commands``), so serving never imports this package, and commands that
need no app load none. Each command itself imports the packages of the extra ``cli`` that it uses.
"""

from flask_boxkite.cli import (  # noqa: F401 - they add their commands to the group
    baseline,
    challenge,
    check,
    compact,
    compare,
    drift,
    fairness,
    history,
    inspect,
    outcomes,
    performance,
    provision,
    watch,
)
from flask_boxkite.cli.group import boxkite

__all__ = ["boxkite"]
