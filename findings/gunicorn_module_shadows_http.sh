#!/usr/bin/env bash
# gunicorn 27.0.1, started as "python -m gunicorn": the master that USR2 starts executes gunicorn's own file instead of the
# module. Python puts the folder of that file first on the path, and there the package gunicorn.http is called "http": an
# app that imports http.server, as prometheus_client does, fails in the new master, while the old one goes on serving.
# Started by the script "gunicorn", both masters import Python's.
#
# Seen: "python -m gunicorn: first master standard library, second master ModuleNotFoundError" and
# "gunicorn: first master standard library, second master standard library"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gunicorn==27.0.1
cat > "$folder/served.py" <<'PYTHON'
import os

try:
    import http.server

    came = "standard library"
except ImportError as error:
    came = type(error).__name__

with open(os.environ["NOTES"], "a") as file:
    file.write(came + "\n")


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
PYTHON
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
script = str(folder / "venv/bin/gunicorn")


def masters(name, command):
    """Return what the first master imported, and the one that USR2 starts."""
    notes, pid = folder / f"{name}.txt", folder / f"{name}.pid"
    options = ["--preload", "--bind=127.0.0.1:0", f"--pid={pid}", "--no-control-socket", "served:app"]
    process = subprocess.Popen(
        [*command, *options], cwd=folder, env={**os.environ, "NOTES": str(notes)}, stderr=subprocess.DEVNULL
    )
    try:
        for number in (1, 2):
            for _ in range(600):
                if notes.exists() and len(notes.read_text().splitlines()) == number and pid.exists():
                    break
                time.sleep(0.1)
            if number == 1:
                process.send_signal(signal.SIGUSR2)
        return notes.read_text().splitlines()
    finally:
        successor = Path(f"{pid}.2")
        if successor.exists():
            os.kill(int(successor.read_text()), signal.SIGTERM)
        process.terminate()
        process.wait(60)


for name, command, expected in (
    ("python -m gunicorn", [sys.executable, "-m", "gunicorn"], ["standard library", "ModuleNotFoundError"]),
    ("gunicorn", [script], ["standard library", "standard library"]),
):
    seen = masters(name.replace(" ", ""), command)
    print(f"{name}: first master {seen[0]}, second master {seen[-1] if len(seen) > 1 else 'nothing'}")
    assert seen == expected, expected
PYTHON
