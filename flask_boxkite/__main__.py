"""``python -m flask_boxkite …``: the commands of ``flask boxkite``, for those that need no app."""

from __future__ import annotations

from flask_boxkite.cli import boxkite

if __name__ == "__main__":
    boxkite(prog_name="python -m flask_boxkite")
