"""The command that installs the packages of an extra of this package, for messages."""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError, requires

__all__ = ["install_command"]


def install_command(extra: str, distribution: str = "flask-boxkite") -> str:
    """Return the command that installs the packages of an extra.

    It names the packages, as the installed metadata has them, in place of the extra: so it works as well where this
    package was installed from a checkout or a file.
    """
    try:
        requirements = requires(distribution) or ()
    except PackageNotFoundError:  # a copy of the package on the import path, which has no metadata
        return f"pip install '{distribution}[{extra}]'"

    parts = (requirement.partition(";") for requirement in requirements)
    packages = [package.strip() for package, _, marker in parts if f'extra == "{extra}"' in marker]
    return f"pip install {shlex.join(packages)}"
