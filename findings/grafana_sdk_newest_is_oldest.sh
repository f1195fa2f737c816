#!/usr/bin/env bash
# grafana-foundation-sdk: its versions have Grafana's behind an epoch that is the time of the upload, and each upload goes from
# the newest Grafana to the oldest. So pip's newest release is for the oldest Grafana: the name alone and ">=11.6" install
# the one for Grafana 10.1, and "<12" one from before epochs. Only a version with its epoch gives the Grafana that is meant.
#
# Seen on 2026-11-29: "alone: 10.1.0 >=11.6: 10.1.0 <12: 0.0.21 ==1769699379!11.6.0: 11.6.0"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
from pathlib import Path


def downloaded(requirement):
    """Return the version that pip chooses, without its epoch."""
    target = Path(sys.argv[1], str(abs(hash(requirement))))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--dest", str(target), f"grafana-foundation-sdk{requirement}"], check=True)
    (wheel,) = target.glob("*.whl")
    return wheel.name.split("-")[1].rpartition("!")[2]


requirements = ("", ">=11.6", "<12", "==1769699379!11.6.0")
versions = [downloaded(requirement) for requirement in requirements]
print(*(f"{requirement or 'alone'}: {version}" for requirement, version in zip(requirements, versions)))
assert versions[0] == versions[1]
assert tuple(map(int, versions[0].split("."))) < (11, 6)
assert versions[2:] == ["0.0.21", "11.6.0"]
PYTHON
