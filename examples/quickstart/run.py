"""The whole job in one command, with nothing but Python installed: `python3 examples/quickstart/run.py`.

It makes a virtual environment, trains a model on real data, writes its baseline, serves the model, sends it traffic
that starts to drift half-way, and prints what changed and where to look. `--keep` leaves the server running.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RUN = HERE / "run"
VENV = Path(os.environ.get("BOXKITE_QUICKSTART_VENV", ROOT / ".venv-quickstart"))
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PORT = int(os.environ.get("PORT", "8000"))
URL = f"http://127.0.0.1:{PORT}"


def install() -> None:
    """Make an environment with the package and what the example needs, if there is none yet."""
    if not PYTHON.exists():
        print(f"Making a virtual environment in {VENV.name} ...", flush=True)
        venv.create(VENV, with_pip=True)
    check = "import flask_boxkite, sklearn, pandas"
    if subprocess.run([PYTHON, "-c", check], stderr=subprocess.DEVNULL, check=False).returncode:
        print("Installing flask-boxkite, scikit-learn and pandas ...", flush=True)
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--editable", str(ROOT), "scikit-learn", "pandas"], check=True)


def call(path: str, row: dict[str, float | None] | None = None) -> bytes:
    data = None if row is None else json.dumps(row).encode()
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def serve() -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers."""
    log = open(RUN / "server.log", "wb")  # noqa: SIM115 - the server writes to it for as long as it lives
    server = subprocess.Popen(
        [PYTHON, "-m", "flask", "--app", str(HERE / "app.py"), "run", "--port", str(PORT)], stdout=log, stderr=log
    )
    deadline = time.monotonic() + 180  # a slow machine imports for a minute
    while time.monotonic() < deadline and server.poll() is None:
        try:
            call("/metrics")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return server
    server.kill()
    sys.exit(f"The server did not start; {RUN / 'server.log'} says why. Is port {PORT} free? (PORT=... sets another.)")


def traffic() -> tuple[list[dict[str, float | None]], list[dict[str, float | None]]]:
    """Return live rows as they were in training, and rows after something went wrong in the hospital."""
    code = "import json, train; print(train.split()[1].to_json(orient='records'))"
    rows = json.loads(subprocess.run([PYTHON, "-c", code], cwd=HERE, check=True, capture_output=True).stdout)
    good, bad = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    for index, row in enumerate(bad):
        row["mean radius"] = round(row["mean radius"] * 1.4, 3)  # a scanner was calibrated again
        if index % 2:
            row["worst texture"] = None  # one laboratory stopped sending this
    return good, bad


def report(title: str) -> None:
    """Print the verdicts of all variables that are not stable."""
    variables = json.loads(call("/boxkite/drift.json"))["models"][0]["drift"]["variables"]
    moved = [item for item in variables if item["verdict"] in ("shifted", "drifted", "major")]
    print(f"\n{title}: {len(moved)} of {len(variables)} variables moved")
    for item in moved:
        verdict, size = item["verdict"], item["size"]
        shares = f"{item['share_before']:.0%} -> {item['share_now']:.0%}"
        print(f"  {item['name']:<15} {verdict:<8} size {size:.2f}   most in {item['moved_most_text']}: {shares}")


def wait_for_records() -> None:
    """Wait until the server has written every record; killed as it is here, it could not any more."""
    deadline = time.monotonic() + 30
    while b'{sink="file"} 0\n' not in call("/metrics?name[]=boxkite_log_queue_records"):
        if time.monotonic() > deadline:
            sys.exit("The server does not write its records.")
        time.sleep(0.05)


def where_to_look(*, keeps: bool) -> None:
    """Print the files, and the addresses if the server will go on."""
    print("\nWhere to look")
    if keeps:
        print(f"  what drifted               {URL}/boxkite/")
        print(f"  live counts and baseline   {URL}/metrics")
    records = sum(len(path.read_text("utf-8").splitlines()) for path in (RUN / "records").rglob("*.txt"))
    print(f"  every prediction           {(RUN / 'records').relative_to(ROOT)}/ ({records} records)")
    print(f"  the baseline               {(RUN / 'baseline.prom').relative_to(ROOT)}")


def main() -> None:
    about = "Train a model, serve it, send it traffic that starts to drift half-way, and print what changed."
    environment = "Environment: PORT, and BOXKITE_QUICKSTART_VENV for the folder of the virtual environment."
    parser = argparse.ArgumentParser(description=about, epilog=environment)
    parser.add_argument("--keep", action="store_true", help="leave the server running, with its pages, until Ctrl+C")
    keeps = parser.parse_args().keep

    install()
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir()
    subprocess.run([PYTHON, HERE / "train.py"], check=True)
    server = serve()
    try:
        good, bad = traffic()
        for row in good:
            call("/score", row)
        report(f"After {len(good)} predictions")
        for row in bad:
            call("/score", row)
        report(f"After {len(bad)} more, which had drifted")
        wait_for_records()
        where_to_look(keeps=keeps)
        if keeps:
            print(f"\nThe server goes on at {URL}; Ctrl+C ends it.")
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait()
    print("\nThe server has ended." if keeps else f"\nThe server has ended. Run with --keep to look at {URL}/boxkite/.")


if __name__ == "__main__":
    main()
