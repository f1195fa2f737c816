"""Ninety days of a credit model in one command: `python3 examples/outcomes/run.py`.

It makes a virtual environment (the same as the quickstart's), trains a model, and serves applications whose outcomes
come days later, in a simulated clock. It prints how the model does, and leaves a page with pictures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RUN = HERE / "run"
VENV = Path(os.environ.get("BOXKITE_QUICKSTART_VENV", ROOT / ".venv-quickstart"))
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install() -> None:
    """Make an environment with the package and what the example needs, if there is none yet."""
    if not PYTHON.exists():
        print(f"Making a virtual environment in {VENV.name} ...", flush=True)
        venv.create(VENV, with_pip=True)
    check = "import flask_boxkite, pandas, sklearn, time_machine"
    if subprocess.run([PYTHON, "-c", check], stderr=subprocess.DEVNULL, check=False).returncode:
        print("Installing flask-boxkite, scikit-learn, pandas and time-machine ...", flush=True)
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--editable", str(ROOT), "scikit-learn", "pandas", "time-machine"], check=True)


def main() -> None:
    install()
    shutil.rmtree(RUN, ignore_errors=True)
    for script in ("credit.py", "simulate.py"):
        subprocess.run([PYTHON, HERE / script], check=True)
    print(f"\nThe page of the last day: {(RUN / 'report.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
