#!/usr/bin/env bash
# uvicorn 0.54.0: after a graceful stop by SIGTERM it raises the signal again with the handler of before, which by default
# ends the process at once. So functions of atexit never run, though the lifespan's shutdown did. hypercorn 0.18.0 runs
# them. What delivers at exit, such as logging.handlers.MemoryHandler or an exporter's last batch, is lost.
#
# Seen: "uvicorn -15 lifespan" and "hypercorn 0 lifespan atexit"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 hypercorn==0.18.0
cat > "$folder/served.py" <<'PYTHON'
import atexit
import os
from pathlib import Path

NOTES = Path(os.environ["NOTES"])


def note(text):
    with NOTES.open("a") as file:
        file.write(text + "\n")


atexit.register(note, "atexit")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        note("lifespan")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
PYTHON
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

folder = Path(sys.argv[1])


def run(server, *options):
    """Return the exit status of a server that was asked to stop, and what it noted."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notes = folder / f"{server}.txt"
    command = [sys.executable, "-m", server, "served:app", *(option.format(port=port) for option in options)]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "NOTES": str(notes)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(600):
        try:
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).read() == b"ok"
            break
        except OSError:
            time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    return process.wait(60), notes.read_text().split()


for server, options, expected in (
    ("uvicorn", ["--port", "{port}"], (-signal.SIGTERM, ["lifespan"])),
    ("hypercorn", ["--bind", "127.0.0.1:{port}", "--workers", "0"], (0, ["lifespan", "atexit"])),
):
    status, notes = run(server, *options)
    print(server, version(server), status, *notes)
    assert (status, notes) == expected, expected
PYTHON
