"""The drift page in a real browser, of a real server whose traffic has drifted."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from playwright.sync_api import Browser, Error, Page, expect
from werkzeug.serving import make_server

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.drift.wording import size_cell
from flask_boxkite.page.assets import asset
from flask_boxkite.page.chart_data import Bar, Categories
from flask_boxkite.page.charts import large_chart
from tests.page.scenes import scene_of
from tests.peers import Gunicorn, fetch, npm_modules

pytestmark = pytest.mark.peers

APP = """
from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask("scoring")
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"predictions": [0.5 for _ in request.get_json()]}


@app.get("/report")
def report():
    return monitor.drift(window=request.args.get("window")).to_dict()
"""

GUARDED = """
from flask import Flask, redirect

from flask_boxkite import Boxkite

now = [None]
app = Flask("scoring")
app.config.update(BOXKITE_SINK="none", BOXKITE_DASHBOARD_PATH="/boxkite")
app.add_url_rule("/login", view_func=lambda: "<title>Log in</title>", endpoint="login")


def guard():
    return {
        "unreadable": ('<title>Drift</title><p id="content">It cannot be read.', 503),
        "down": ("<title>Bad gateway</title>", 502),
        "logged out": redirect("/login"),
    }.get(now[0])


@app.get("/now/<name>")
def answer_now(name):
    now[0] = name
    return ""


Boxkite(app, dashboard_guard=guard)
"""

MARKUP = "<img src=x onerror=window.hacked=1>"
TOKEN = "open-sesame"
Open = Callable[..., Page]


def table(rng: np.random.Generator, rows: int, *, drifted: bool) -> dict[str, Any]:
    """Return features: of the drifted ones, one moved, one partly stopped arriving, one has a category too many."""
    columns: dict[str, Any] = {
        "age": rng.normal(60 if drifted else 40, 10, rows).round(2).tolist(),
        "city": rng.choice(["Bonn", "Köln", "Wien"], rows, p=[0.4, 0.3, 0.3] if drifted else [0.6, 0.4, 0.0]).tolist(),
        "income": rng.lognormal(10, 1, rows).round(2).tolist(),
        "height": rng.normal(170, 10, rows).round(2).tolist(),
        MARKUP: rng.uniform(0, 1, rows).round(3).tolist(),
    }
    if drifted:
        columns["income"] = [None if place % 3 == 0 else value for place, value in enumerate(columns["income"])]
    return columns


def send(server: Gunicorn, columns: dict[str, Any]) -> None:
    """Have rows predicted, one at a time, by either worker."""
    for row in zip(*columns.values(), strict=True):
        assert fetch(f"{server.url}/score", json_body=[dict(zip(columns, row, strict=True))]).status == 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """Return a server of two workers that has seen drifting traffic."""
    directory = tmp_path_factory.mktemp("scoring")
    rng = np.random.default_rng(0)
    trained = table(rng, 2000, drifted=False)
    ModelMonitoringService.export_text(
        trained, rng.uniform(0, 1, 2000), directory / "histogram.prom", model="credit", version=MARKUP
    )
    env = {
        "APP_BOXKITE_BASELINE": str(directory / "histogram.prom"),
        "APP_BOXKITE_DASHBOARD_PATH": "/boxkite",
        "APP_BOXKITE_METRICS_TOKEN": json.dumps(TOKEN),
    }
    with Gunicorn("scoring:app", directory, source=APP, workers=2, env=env) as server:
        send(server, table(rng, 400, drifted=True))
        yield server


@pytest.fixture
def open_page(browser: Browser, server: Gunicorn) -> Iterator[Open]:
    """Return a function that opens a page; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str = "/boxkite/", *, base: str | None = None, **options: Any) -> Page:
        settings = {
            "http_credentials": {"username": "me", "password": TOKEN},
            "viewport": {"width": 1280, "height": 900},
        }
        contexts.append(browser.new_context(**(settings | options)))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto((base or server.url) + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def variable_path(name: str) -> str:
    """Return the address of a feature's page."""
    return f"/boxkite/variable?model=credit&side=feature&variable={name}"


def shown(page: Page) -> dict[str, str]:
    """Return the verdict of each variable, as shown, in the order of the lines."""
    lines = page.locator("table.variables tbody tr")
    return {
        line.locator("a").inner_text(): line.locator(".verdict").inner_text().split(maxsplit=1)[1]
        for line in lines.all()
    }


# --- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "link"), [("24h", None), ("5m", "5 minutes"), ("1h", "1 hour"), (None, "since start")]
)
def test_verdicts_are_those_of_the_report(
    open_page: Open, server: Gunicorn, window: str | None, link: str | None
) -> None:
    """Workers share their counts, so it does not matter which one answers."""
    page = open_page()
    if link:
        page.get_by_role("link", name=link).click()
    report = fetch(f"{server.url}/report" + (f"?window={window}" if window else "")).json()

    expect(page.locator(".windows [aria-current]")).to_have_text(link or "24 hours")
    assert list(shown(page).items()) == [(item["name"], item["verdict"]) for item in report["variables"]]
    moved = [item["name"] for item in report["variables"] if item["verdict"] in ("drifted", "major")]
    assert page.locator(".summary a").all_inner_texts() == moved
    assert {"age", "city", "income"} <= set(moved)
    for label, values in {
        "Size": [size_cell(item).replace("-", "\N{EN DASH}") for item in report["variables"]],
        "Rows": [f"{item['rows']:,}" for item in report["variables"]],
    }.items():
        assert page.locator(f"table.variables td[data-label={label}]").all_inner_texts() == values


def test_a_variable_has_a_page_of_its_own(open_page: Open, server: Gunicorn) -> None:
    page = open_page()
    page.get_by_role("link", name="age", exact=True).first.click()
    items = {item["name"]: item for item in fetch(f"{server.url}/report?window=24h").json()["variables"]}

    expect(page.get_by_role("heading", level=1)).to_have_text("age")
    expect(page.locator(".summary .verdict")).to_contain_text(items["age"]["verdict"])
    assert page.locator("figure").count() == 3
    row = page.locator("table.statistics tr", has_text="Kolmogorov-Smirnov")
    distance = row.locator("[data-label=Value]").inner_text()
    assert float(distance) == pytest.approx(items["age"]["kolmogorov_smirnov"], rel=0.005)
    page.get_by_role("link", name="scoring").click()
    expect(page.get_by_role("heading", name="credit")).to_be_visible()


# --- how it is used --------------------------------------------------------------------------------------------------


def test_typing_filters_at_once(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Variable", exact=True).fill("cit")
    expect(page.locator("table.variables tbody tr")).to_have_count(1)
    expect(page.locator("table.variables tbody th")).to_have_text("city")
    assert page.get_by_label("Variable", exact=True).evaluate("element => element === document.activeElement")
    page.get_by_label("Variable", exact=True).fill("")
    page.get_by_label("Verdict").select_option("stable")
    expect(page.locator("table.variables tbody tr .verdict.stable")).to_have_count(2)
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("table.variables tbody tr")).to_have_count(6)


def test_it_works_without_scripts(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.get_by_role("button", name="Refreshes itself").count() == 0
    page.get_by_label("Variable", exact=True).fill("age")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("table.variables tbody tr")).to_have_count(1)
    page.get_by_role("link", name="1 hour").click()
    expect(page.locator("table.variables tbody tr")).to_have_count(1)
    page.locator("table.variables tbody a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("age")


def test_it_refreshes_itself(open_page: Open, server: Gunicorn) -> None:
    page = open_page()
    page.clock.install()
    page.reload()
    predictions = page.locator(".tiles dd").first
    before = int(predictions.inner_text())
    send(server, table(np.random.default_rng(1), 50, drifted=True))
    page.clock.fast_forward(16_000)
    expect(predictions).to_have_text(str(before + 50))

    page.get_by_role("button", name="Refreshes itself").click()
    expect(page.get_by_role("button", name="Stands still")).to_be_visible()
    send(server, table(np.random.default_rng(2), 50, drifted=True))
    page.clock.fast_forward(60_000)
    expect(predictions).to_have_text(str(before + 50))


def test_what_the_server_says_instead_is_not_hidden(browser: Browser, tmp_path: Path) -> None:
    """Neither that counts cannot be read, nor that one has been logged out; but not the words of a proxy."""
    with Gunicorn("guarded:app", tmp_path, source=GUARDED) as server:
        context = browser.new_context()
        page = context.new_page()
        page.clock.install()
        page.goto(f"{server.url}/boxkite/")
        for name, title, content in (
            ("unreadable", "Drift", "It cannot be read."),
            ("down", "Drift", "It cannot be read."),
            ("logged out", "Log in", None),
        ):
            assert fetch(f"{server.url}/now/{name.replace(' ', '%20')}").status == 200
            with page.expect_response("**/boxkite/"):
                page.clock.fast_forward(16_000)
            expect(page).to_have_title(title)
            if content:
                expect(page.locator("#content")).to_have_text(content)
        context.close()


def test_the_keyboard_is_enough(open_page: Open) -> None:
    page = open_page()
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        reached.append(focused.inner_text() or focused.get_attribute("name") or "")
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
        if focused.evaluate("element => element.closest('table') !== null"):
            break
    first = reached[-1]
    assert reached[:2] == ["Skip to the content", "5 minutes"]
    assert {"Refreshes itself", "name", "Show"} <= set(reached)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(first)


# --- how it looks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_it_follows_the_colour_scheme(open_page: Open, scheme: str, is_dark: bool) -> None:
    page = open_page(color_scheme=scheme)
    colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    ground, text = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (ground < text) == is_dark


@pytest.mark.parametrize("path", ["/boxkite/", variable_path("age"), variable_path("city")], ids=["all", "age", "city"])
def test_nothing_is_cut_off_on_any_screen(open_page: Open, path: str) -> None:
    page = open_page(path)
    for width in (320, 390, 600, 768, 1024, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "shares",
    [(1.0, 1.0), (0.99981, 0.99989), (1.0, 0.00004), (0.00004, 0.9)],
    ids=["all", "nearly all", "< 0.1%", "few"],
)
def test_the_shares_of_a_category_stand_in_the_chart(browser: Browser, shares: tuple[float, float]) -> None:
    chart = large_chart(Categories((Bar("rare", *shares),), ()), "rare")
    page = browser.new_page()
    page.set_content(f"<style>{asset('boxkite.css')}</style>{chart}")

    right = page.evaluate(
        "Math.max(...[...document.querySelectorAll('text')].map(t => t.getBBox().x + t.getBBox().width))"
    )

    page.close()
    assert right <= 560


LOOKS = (("light", 1280), ("dark", 390))
"""Colour schemes and widths of screens that axe sees."""


def faults_by_look(page: Page) -> dict[tuple[str, int], Any]:
    """Return what axe finds in a page, by look: the rule and the markup of each fault."""
    page.evaluate((npm_modules("axe-core") / "axe-core/axe.min.js").read_text("utf-8"))
    faults = {}
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 800})
        found = page.evaluate("axe.run()")
        assert found["passes"]
        if found["violations"]:
            faults[scheme, width] = [(item["id"], item["nodes"][0]["html"]) for item in found["violations"]]
    return faults


@pytest.mark.parametrize("path", ["/boxkite/", variable_path("age"), variable_path("city")], ids=["all", "age", "city"])
def test_axe_finds_nothing(open_page: Open, path: str) -> None:
    assert faults_by_look(open_page(path)) == {}


@pytest.mark.parametrize("name", ["batch", "fault", "users"])
def test_what_is_unclear_or_began_lately_fits_and_can_be_read(open_page: Open, tmp_path: Path, name: str) -> None:
    """Here axe also sees whether its colours are far enough apart."""
    with scene_of(name, tmp_path) as scene, served(scene.app) as url:
        for path in ("/boxkite/", variable_path("age")):
            page = open_page(path, base=url)
            for width in (1280, 390, 320):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert faults_by_look(page) == {}
            page.close()  # it would go on refreshing itself when the server has ended


OVERLAPS = """() => [...document.querySelectorAll('svg.large')].flatMap(chart => {
  const boxes = [...chart.querySelectorAll('text:not(.mark-text)')].map(text => [text, text.getBoundingClientRect()]);
  const frame = chart.getBoundingClientRect();
  return boxes.flatMap(([text, box], place) => [
    ...(box.left < frame.left - 1 || box.right > frame.right + 1 ? [text.textContent] : []),
    ...boxes.slice(place + 1).filter(([, other]) =>
      box.left < other.right && other.left < box.right && box.top + 4 < other.bottom && other.top + 4 < box.bottom
    ).map(([other]) => `${text.textContent} on ${other.textContent}`),
  ]);
})"""
"""Texts of charts that leave their frame, or lie on another one."""


def test_large_numbers_and_long_names_fit_a_phone(open_page: Open, tmp_path: Path) -> None:
    """A model of prices with names and numbers longer than a line, none of which may be cut or covered."""
    rng = np.random.default_rng(0)
    long = "average_monthly_transaction_amount_in_the_last_twelve_months_before_application"
    features = {
        long: rng.normal(-99990, 9000, 2000),
        "population": rng.lognormal(17, 2, 2000),
        "x" * 60: rng.random(2000),
    }
    prices = 123456.7 * rng.lognormal(0, 1, 2000)
    baseline = tmp_path / "baseline.prom"
    ModelMonitoringService.export_text(
        features, prices, baseline, model="prices_of_houses_" * 4, version="v" * 70, actual=prices * 1.1
    )
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_DASHBOARD_PATH="/boxkite", BOXKITE_SINK="none")
    app.config.update(BOXKITE_STATE_DIR=str(tmp_path), BOXKITE_ID_KEY="a key that replicas share")
    monitor = Boxkite(app)
    with app.app_context():
        for row in range(200):
            given = {name: float(values[row]) * (2 if row % 2 else 1) for name, values in features.items()}
            prediction = monitor.log_prediction(features=given, output=float(prices[row]))
            monitor.log_outcome(prediction, float(prices[row] * (1 + rng.random())))

    model = f"model={'prices_of_houses_' * 4}"
    with served(app) as url:
        pages = [open_page("/boxkite/", base=url)]
        pages += [open_page(variable_path(name).replace("model=credit", model), base=url) for name in features]
        pages.append(open_page("", base="about:blank"))
        pages[-1].set_content(app.test_client().get("/boxkite/report.html").text)
        for page in pages:
            for width in (320, 390):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate(OVERLAPS) == []
            assert "e+" not in page.inner_text("main")
            page.close()  # it would go on refreshing itself when the server has ended


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an app; give its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()


def test_many_variables_come_by_the_hundred(open_page: Open, tmp_path: Path, rng: np.random.Generator) -> None:
    columns = {f"feature {number}": rng.normal(0, 1, 500).round(3).tolist() for number in range(200)}
    ModelMonitoringService.export_text(columns, None, tmp_path / "histogram.prom")
    env = {"APP_BOXKITE_BASELINE": str(tmp_path / "histogram.prom"), "APP_BOXKITE_DASHBOARD_PATH": "/boxkite"}
    with Gunicorn("scoring:app", tmp_path, source=APP, env=env) as many:
        send(many, {name: values[:100] for name, values in columns.items()})
        page = open_page(base=many.url)
        rows = page.locator("table.variables tbody tr")
        expect(rows).to_have_count(100)
        first = rows.first.locator("th").inner_text()
        page.get_by_role("link", name="Next").click()
        expect(page.locator(".pages")).to_contain_text("101 to 200 of 200 variables shown")
        expect(rows.first.locator("th")).not_to_have_text(first)

        # A filter begins at the first page.
        page.get_by_label("Variable", exact=True).fill("feature 17")
        expect(rows).to_have_count(11)
        page.get_by_role("link", name="Show all").click()
        expect(rows.first.locator("th")).to_have_text(first)


# --- what it must not do ---------------------------------------------------------------------------------------------


def test_names_with_markup_are_shown_and_not_executed(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("table.variables th", has_text=MARKUP)).to_be_visible()
    expect(page.locator(".facts").first).to_contain_text(f"version {MARKUP}")
    page.locator("table.variables a", has_text=MARKUP).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    assert page.locator("main img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_without_the_token_nothing_is_seen(browser: Browser, server: Gunicorn) -> None:
    context = browser.new_context(http_credentials={"username": "me", "password": "wrong"})
    page = context.new_page()
    for path in ("/boxkite/", variable_path("age"), "/boxkite/drift.json"):
        answer = page.goto(server.url + path)
        assert answer is not None
        assert answer.status == 401
        assert "age" not in page.content()
    context.close()
    context = browser.new_context()
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):  # no person is there to type it
        context.new_page().goto(f"{server.url}/boxkite/")
    context.close()


def test_the_file_to_keep_opens_anywhere(open_page: Open, browser: Browser, tmp_path: Path) -> None:
    page = open_page()
    with page.expect_download() as download:
        page.get_by_role("link", name="As a file to keep").click()
    path = tmp_path / "drift.html"
    download.value.save_as(path)
    page = open_page("", base=path.as_uri())

    assert page.locator("table.variables tbody tr").count() == 6
    assert page.locator(".moved figure svg").count() >= 3
    live = "element => getComputedStyle(element.querySelector('svg .live')).fill"
    assert page.locator(".moved").first.evaluate(live) == page.locator("tr.major").first.evaluate(live)
    assert page.locator("tr.major").first.evaluate(live) != page.locator("tr.stable").first.evaluate(live)
    assert page.evaluate("getComputedStyle(document.querySelector('.verdict.major')).color") == "rgb(255, 255, 255)"
