"""``history`` and windows of days, from a real server and from its state directory."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from werkzeug.serving import make_server

from flask_boxkite.cli import boxkite
from flask_boxkite.config import Settings
from flask_boxkite.live.history_keeper import paths_in
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.monitored_app import MonitoredApp
from tests.history.site import DAY, Site, baseline_of_numbers

TOKEN = "open-sesame"


def command(*words: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(boxkite, list(map(str, words)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site with predictions of the last twelve days, by the clock of this machine."""
    base = tmp_path_factory.mktemp("site")
    baseline_of_numbers(base / "b.prom")
    site = Site(base / "state", base / "b.prom", sink="file", log_dir=str(base / "logs"), log_ttl_days=36500)
    site.clock.ahead = time.time() - 12 * DAY - site.clock.up
    for number in range(12 * 40):
        site.predict(0.1 * (number % 20 - 10))
        site.go(DAY / 40)
    site.app.recorders.flush(30.0)
    return site


@pytest.fixture(scope="module")
def url(site: Site) -> Iterator[str]:
    """Return the address of its page."""
    app = Flask("scoring")
    app.config.update(BOXKITE_DASHBOARD_PATH="/boxkite", BOXKITE_SINK="none", BOXKITE_METRICS_TOKEN=TOKEN)
    settings = Settings.from_mapping({**app.config})
    MonitoredApp(site.app, PageAccess.of(app.config, settings), lambda: ()).install(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/boxkite"
    server.shutdown()
    thread.join()
    server.server_close()


def test_page_and_directory_say_the_same(site: Site, url: str) -> None:
    of_page = command("history", "--url", url, "--token", TOKEN, "--format", "json")
    of_directory = command("history", "--state-dir", site.base, "--format", "json")
    assert (of_page.exit_code, of_directory.exit_code) == (0, 0), of_page.output + of_directory.output
    pages, directories = (json.loads(result.output)["models"] for result in (of_page, of_directory))
    assert pages == directories
    assert sum(day["rows"]["ok"] for day in pages[0]["days"]) == 480


def test_table_names_each_day(site: Site) -> None:
    result = command("history", "--state-dir", site.directory, "--days", "5", "--model", "m")
    assert result.exit_code == 0
    first, _, heading, *days = result.output.splitlines()
    assert first.startswith("m: 5 days with predictions of the last 5, baseline ")
    assert heading.split() == ["day", "rows", "errors", "size", "baseline"]
    assert [line.split()[1] for line in days[:3]] == ["40"] * 3


def test_window_of_days_is_one_for_drift(site: Site, url: str) -> None:
    for source in (["--url", url, "--token", TOKEN], ["--state-dir", str(site.base)]):
        result = command("drift", *source, "--window", "7d", "--format", "json", "--all")
        assert result.exit_code == 0, result.output
        (model,) = json.loads(result.output)["models"]
        assert model["drift"]["window"] == "7d"
        assert model["rows"]["ok"] == pytest.approx(7 * 40, abs=3)
        assert "in the last 7 days" in command("drift", *source, "--window", "7d").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["history"], "Name one source: --url or --state-dir."),
        (["history", "--url", "http://x", "--fill", "logs"], "'--fill' needs '--state-dir'"),
        (["history", "--state-dir", "/nowhere/at/all"], "cannot be read: No such file"),
        (["history", "--url", "http://127.0.0.1:9/boxkite"], "cannot be reached"),
        (["drift", "--state-dir", "x", "--window", "500d"], "days from '2d' to '400d', or 'start'"),
        (["history", "--state-dir", "x", "--days", "401"], "401 is not in the range 1<=x<=400"),
    ],
)
def test_wrong_usage_is_explained(words: list[str], message: str) -> None:
    result = command(*words)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.output.split())


def test_unknown_model_is_named(site: Site, url: str) -> None:
    assert "no history of a model 'y'" in command("history", "--state-dir", site.base, "--model", "y").output
    result = command("history", "--url", url, "--token", TOKEN, "--model", "y")
    assert "The server has no history of 'y'. It has: 'm'." in result.output


def test_history_is_filled_by_a_command(site: Site, tmp_path: Path) -> None:
    import shutil

    directory = tmp_path / site.directory.name
    shutil.copytree(site.directory, directory)
    for path in paths_in(directory):
        path.unlink()
    copy = Site(tmp_path, site.base.parent / "b.prom")
    copy.clock.ahead, copy.clock.up = site.clock.ahead, site.clock.up
    assert "There is no history" in command("history", "--state-dir", tmp_path).output
    shutil.copytree(site.directory, directory, dirs_exist_ok=True)
    (path,) = paths_in(directory)
    whole = json.loads(command("history", "--state-dir", tmp_path, "--format", "json").output)["models"]

    from flask_boxkite.live.history_file import HistoryFile

    file = HistoryFile(path)
    stored = file.read()
    file._replace(stored.extract, stored.mark, stored.entries[-30:])
    result = command("history", "--state-dir", tmp_path, "--fill", site.base.parent / "logs", "--format", "json")
    assert result.exit_code == 0, result.output
    assert "hours and 0 days with" in result.output
    text = result.output[result.output.index("{") :]
    assert json.loads(text)["models"] == whole
