"""Make the pictures of README, site and examples again: ``python -m tests.pictures``, of real runs of the examples.

An app of the tests shows segments, because no example has any.

Each view is taken in light and dark, on a wide screen and on a phone. The examples run in the Python of this command
with this package, so that nothing is installed: it needs scikit-learn, pandas and time-machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI
from rich.text import Text
from werkzeug.serving import make_server

from flask_boxkite import ModelMonitoringService
from tests.peers import chromium, fetch, free_port
from tests.web.segmented import columns, segmented_app, send

__all__ = ["FOLDER", "LOOKS", "MOST_BYTES", "VIEWS", "Look", "file_name"]

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "examples/quickstart"
OUTCOMES = ROOT / "examples/outcomes"
FOLDER = ROOT / "docs/screens"

MOST_BYTES = 150_000
"""Largest size of a picture."""

THEMES = {"light": DEFAULT_TERMINAL_THEME, "dark": DIMMED_MONOKAI}
COLUMNS = {1280: 100, 390: 58}
"""Width of a terminal in letters, by the width of the screen in pixels."""


class Look(NamedTuple):
    """A colour scheme, and the width of a screen in pixels."""

    scheme: str
    width: int


LOOKS = tuple(Look(scheme, width) for scheme in ("light", "dark") for width in (1280, 390))


class View(NamedTuple):
    """A view of one of the examples.

    Attributes:
        path: Address below the drift page of the quickstart; None for another place.
        heights: Height of the picture on a wide screen and on a phone.
        start: Selector of the element at which the picture begins; empty for the top.
    """

    path: str | None
    heights: tuple[int, int]
    start: str = ""


VIEWS = {
    "page": View("", (690, 780)),
    "variable": View("variable?model=breast-cancer&side=feature&variable=mean+radius", (560, 780)),
    "report": View("report.html", (500, 780), "section.moved"),
    "performance": View(None, (790, 780), "h3"),
    "segments": View(None, (640, 780)),
    "terminal": View(None, (250, 220)),
}
"""What is to be seen, by the first part of the names of its files."""


def file_name(view: str, look: Look) -> str:
    """Return the name of a picture."""
    return f"{view}-{look.scheme}{'' if look.width > 600 else '-narrow'}.png"


def main() -> None:
    """Run the examples, and take all pictures."""
    os.environ["BOXKITE_QUICKSTART_VENV"] = str(Path(sys.executable).parent.parent)
    os.environ["PYTHONPATH"] = str(ROOT)
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        subprocess.run([sys.executable, str(OUTCOMES / "run.py")], check=True)
        take(browser, "performance", (OUTCOMES / "run/report.html").as_uri())
        with segments() as url:
            take(browser, "segments", url)
        with quickstart() as url:
            for name, view in VIEWS.items():
                if view.path is not None:
                    take(browser, name, kept(url) if name == "report" else url + view.path)
            for look in LOOKS:
                take(browser, "terminal", terminal(url, look), look)
        browser.close()


@contextmanager
def quickstart() -> Iterator[str]:
    """Run the quickstart; give the address of its page while its server goes on.

    It runs again if a slot of ten seconds began in the midst of its rows, so that all pictures show what README says.
    """
    while True:
        port = free_port()
        command = [sys.executable, str(QUICKSTART / "run.py"), "--keep"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PORT": str(port)}) as run:
            try:
                assert run.stdout is not None
                next(line for line in run.stdout if "The server goes on" in line)
                url = f"http://127.0.0.1:{port}/boxkite/"
                (model,) = fetch(f"{url}drift.json").json()["models"]
                if not any(variable["since"] for variable in model["drift"]["variables"]):
                    yield url
                    return
            finally:
                run.terminate()


@contextmanager
def segments() -> Iterator[str]:
    """Serve a model in whose rows one country has moved; give the address of the page of its segments."""
    with TemporaryDirectory() as folder:
        rows = named(columns(4000, 0))
        outputs = np.random.default_rng(1).random(4000)
        path = Path(folder, "baseline.prom")
        ModelMonitoringService.export_text(rows, outputs, path, model="credit", segments=["country", "sex"])
        app = segmented_app(str(path), BOXKITE_STATE_DIR=folder)
        send(app, named(columns(1600, 3, moved="FI")))
        server = make_server("127.0.0.1", 0, app)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}/boxkite/segments?model=credit&by=country"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def named(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return rows whose smallest country has a name fit to be seen."""
    return {**rows, "country": ["IS" if country == "<b>" else country for country in rows["country"]]}


def kept(url: str) -> str:
    """Return the address of the report as a file, which is how people open it."""
    path = QUICKSTART / "run/report.html"
    path.write_text(fetch(f"{url}report.html").text, encoding="utf-8")
    return path.as_uri()


def terminal(url: str, look: Look) -> str:
    """Return the address of a file that shows a command and its output as a terminal does."""
    shown = "flask boxkite drift --url http://localhost:8000/boxkite"
    command = [sys.executable, "-m", "flask", "boxkite", "drift", "--url", url.rstrip("/")]
    env = {**os.environ, "FORCE_COLOR": "1", "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS[look.width])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)

    console = Console(record=True, width=200, file=StringIO())
    console.print(Text(f"$ {shown}\n"), Text.from_ansi(done.stdout), sep="", soft_wrap=True)
    form = (
        '<!doctype html><meta charset="utf-8"><body style="margin: 0; padding: 14px; color: {foreground}; '
        "background: {background}\"><pre style=\"margin: 0; white-space: pre-wrap; font: %spx/1.4 'DejaVu Sans Mono', "
        'monospace">{code}</pre></body>'
    )
    size = 15 if look.width > 600 else 10
    path = QUICKSTART / "run/terminal.html"
    html = console.export_html(theme=THEMES[look.scheme], inline_styles=True, code_format=form % size)
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


def take(browser: Browser, name: str, address: str, *looks: Look) -> None:
    """Write the pictures of a view."""
    view = VIEWS[name]
    for look in looks or LOOKS:
        size = {"width": look.width, "height": view.heights[look.width < 600]}
        context = browser.new_context(viewport=size, color_scheme=look.scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        if view.start:
            page.locator(view.start).first.evaluate("element => element.scrollIntoView()")
        path = FOLDER / file_name(name, look)
        page.screenshot(path=path)
        print(path.relative_to(ROOT), path.stat().st_size)
        context.close()


if __name__ == "__main__":
    main()
