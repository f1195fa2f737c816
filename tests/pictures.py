"""Make the pictures of README and examples again: ``python -m tests.pictures``, of real runs of the examples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.peers import chromium, fetch, free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "examples/quickstart"
OUTCOMES = ROOT / "examples/outcomes"

PICTURES = {
    "overview.png": ("", {"width": 1180, "height": 700}, "light"),
    "variable.png": (
        "variable?model=breast-cancer&side=feature&variable=mean+radius",
        {"width": 1180, "height": 520},
        "light",
    ),
    "narrow.png": ("", {"width": 400, "height": 620}, "dark"),
}
"""Path on the page, size and colour scheme of each."""


def main() -> None:
    """Run the examples, and take their pictures."""
    picture_outcomes()
    picture_quickstart()


def picture_outcomes() -> None:
    """Run the example of outcomes, and take a picture of the page that it leaves."""
    subprocess.run([sys.executable, str(OUTCOMES / "run.py")], check=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 760})
        page.goto((OUTCOMES / "run/report.html").as_uri())
        page.screenshot(path=OUTCOMES / "report.png")
        browser.close()


def picture_quickstart() -> None:
    """Run the quickstart, and take the pictures while its server goes on."""
    port = free_port()
    command = [sys.executable, str(QUICKSTART / "run.py"), "--keep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PORT": str(port)}) as run:
        try:
            assert run.stdout is not None
            next(line for line in run.stdout if "The server goes on" in line)
            url = f"http://127.0.0.1:{port}/boxkite/"
            wait_for(lambda: fetch(url).status == 200)
            take(url)
        finally:
            run.terminate()


def take(url: str) -> None:
    """Write the pictures."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, (path, size, scheme) in PICTURES.items():
            context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(url + path)
            page.screenshot(path=QUICKSTART / name)
            print(f"{(QUICKSTART / name).relative_to(ROOT)}")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
