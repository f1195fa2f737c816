"""Windows of days and reports by day, beside plain counts, and filled from records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.baseline.distribution import Continuous, group_counts
from flask_boxkite.drift.statistics import population_stability_index
from flask_boxkite.drift.tables import Trained
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.history.coarse import coarse
from flask_boxkite.history.days import date_of, day_of
from flask_boxkite.history.filling import fill_history
from flask_boxkite.history.report import HistoryReport
from flask_boxkite.history.window import days_of, is_window, seconds_of
from flask_boxkite.live.history_keeper import paths_in
from flask_boxkite.values.times import DAY as DAY_SECONDS
from tests.history.site import DAY, HOUR, Site, baseline_of_numbers


def traffic(site: Site, days: int, rng: np.random.Generator, *, shift: float = 0.0, a_day: int = 96) -> None:
    """Have rows predicted one by one, evenly over days."""
    for _ in range(days * a_day):
        site.predict(round(float(rng.normal(shift, 1.0)), 3), round(float(rng.random()), 3))
        site.go(DAY / a_day)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site with twenty good days, and six days since a shift at 06:00 of one of them."""
    base = tmp_path_factory.mktemp("site")
    baseline_of_numbers(base / "b.prom", actual=True)
    site = Site(base / "state", base / "b.prom")
    rng = np.random.default_rng(0)
    traffic(site, 20, rng)
    site.go(HOUR - 1)
    traffic(site, 6, rng, shift=1.0)
    return site


@pytest.fixture(scope="module")
def report(site: Site) -> HistoryReport:
    """Return its last five weeks."""
    return site.model.history()


@pytest.mark.parametrize(("window", "days"), [("2d", 2), ("30d", 30), ("400d", 400), ("7d", 7)])
def test_windows_of_days(window: str, days: int) -> None:
    assert (days_of(window), is_window(window), seconds_of(window)) == (days, True, days * DAY_SECONDS)


@pytest.mark.parametrize(
    "window", ["1d", "401d", "0d", "07d", "d", "30", "30 d", "30D", "-2d", "2d ", "²d", "1e1d", "", 7, ["7d"]]
)
def test_all_else_is_no_window(site: Site, window: Any) -> None:
    with pytest.raises(ConfigError, match="'5m', '1h', '24h' or days from '2d' to '400d' or None, got"):
        site.model.drift(window)


@pytest.mark.parametrize("days", [1, 3, 7, 19, 40])
def test_window_holds_the_hours_within_it(site: Site, days: int) -> None:
    """A window of N days begins with the first full hour in it, as long as hours are known."""
    if days == 1:
        return
    found = site.model.drift(f"{days}d")
    (asked,) = site.asked.values()
    first = int(site.clock() // HOUR) - days * 24 + 1
    hours = range(first, int(site.clock() // HOUR) + 1)
    assert found["x"].live_rows == sum(asked.rows[hour] for hour in hours)
    feature = site.model.baseline.features[0]
    number = len(feature.groups) - 2
    wanted = [sum(asked.groups[hour, group] for hour in hours) for group in range(number)]
    assert list(found["x"].window_cells)[:number] == wanted


def test_verdict_begins_with_the_day_of_the_change(site: Site) -> None:
    found = site.model.drift("20d")["x"]
    assert found.verdict == "major"
    assert found.since is not None
    changed = day_of(site.clock() - 6 * DAY)
    assert day_of(found.since) in (changed, changed + 1)
    assert site.model.drift("4d")["x"].verdict == "major"
    assert site.model.drift("20d")["output"].verdict == "stable"
    assert "in the last 20 days" in str(site.model.drift("20d"))
    assert site.model.drift("20d").note == ""
    assert site.model.drift("30d").note == "This baseline has rows since 2024-10-04."
    assert date_of(day_of(found.since))[5:] in str(site.model.drift("20d"))


def test_rows_of_one_day_that_are_alike_are_no_drift(tmp_path: Path) -> None:
    """Days as parts: rows that come again and again within a day count as few."""
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    rng = np.random.default_rng(1)
    for _ in range(10):
        users = np.round(rng.normal(0, 1, 4), 3)
        for number in range(120):
            site.predict(float(users[number % 4]), 0.5)
            site.go(DAY / 120)
    assert site.model.drift("10d")["x"].verdict in ("stable", "unclear", "not enough data")


def test_report_has_the_rows_of_each_day(site: Site, report: HistoryReport) -> None:
    (asked,) = site.asked.values()
    assert {day.day: day.rows["ok"] for day in report.days} == {
        date_of(day): rows for day, rows in asked.days().items()
    }
    (fingerprint,) = site.asked
    assert {day.baseline for day in report.days} == {fingerprint}
    assert {day.version for day in report.days} == {"1"}


def test_psi_of_a_day_is_the_one_of_its_groups(site: Site, report: HistoryReport) -> None:
    (asked,) = site.asked.values()
    feature = site.model.baseline.features[0]
    before = group_counts(feature, feature.cells)
    for day in report["x"].days:
        number = next(each for each in asked.days() if date_of(each) == day.day)
        now = [*asked.groups_of(number, len(before) - 2), 0, 0]
        assert day.rows == sum(now)
        assert day.psi == pytest.approx(population_stability_index(before, now))


def test_change_is_found_to_the_hour(site: Site, report: HistoryReport) -> None:
    changed = int((site.clock() - 6 * DAY) // HOUR)
    found = report["x"]
    assert found.changed is not None
    assert found.changed_first is not None
    assert found.changed_last is not None
    text = f"{date_of(changed // 24)}T{changed % 24:02d}:00Z"
    assert found.changed_first <= text <= found.changed_last
    assert report["output"].changed is None
    assert report.moved == (found,)
    assert f"x changed at {found.changed}" in str(report)


def test_last_week_is_compared_with_training_and_the_week_before(report: HistoryReport) -> None:
    moved, stable = report["x"], report["output"]
    assert moved.training.verdict == "major"
    assert moved.week.verdict == "major"
    assert (stable.training.verdict, stable.week.verdict) == ("stable", "stable")
    assert moved.week.rows_before == 7 * 96
    assert "compared with the week before major" in str(report)


def test_one_batch_of_equal_rows_is_no_change(tmp_path: Path) -> None:
    """The dispersion between the days before knows nothing of it; requests and recurrence do."""
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    traffic(site, 12, np.random.default_rng(6), a_day=60)
    site.model.log_prediction(None, np.full((500, 1), 1.5), [0.9] * 500)
    report = site.model.history()
    assert report.days[-1].rows["ok"] >= 500
    assert [report[name].changed for name in ("x", "output")] == [None, None]
    assert report["x"].week.verdict in ("stable", "not enough data")
    site.go(3 * HOUR)
    traffic(site, 4, np.random.default_rng(7), a_day=60, shift=1.5)
    assert site.model.history()["x"].changed is not None


def test_change_of_a_model_that_is_served_in_batches_is_found(tmp_path: Path) -> None:
    """Rows of its days are alike, but not more on one day than on another."""
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    rng = np.random.default_rng(8)
    for day in range(16):
        for _ in range(4):
            rows = np.round(rng.normal(2.0 * (day >= 10), 1.0, (200, 1)), 3)
            site.model.log_prediction(None, rows, np.round(rng.random(200), 3))
            site.go(DAY / 4)
    report = site.model.history()
    assert report["x"].changed is not None
    assert report["output"].changed is None


def test_report_is_json(report: HistoryReport) -> None:
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["days"][0]["rows"]["ok"] == report.days[0].rows["ok"]
    assert [item["name"] for item in content["variables"]] == ["x", "output"]
    assert report.to_rows()[0]["rows_ok"] == report.days[0].rows["ok"]
    with pytest.raises(KeyError, match=r"No variable .y.*There are"):
        report["y"]


@pytest.mark.parametrize("days", [0, 401, True, 2.0, "7", None])
def test_number_of_days_is_checked(site: Site, days: object) -> None:
    with pytest.raises(ConfigError, match="'days' must be a whole number from 1 to 400, got"):
        site.model.history(days)  # type: ignore[arg-type]


def test_performance_of_windows_of_days_is_in_the_history(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"history\(\) has the performance by day"):
        site.model.performance("7d")


def test_performance_stands_on_the_day_on_which_outcomes_came(tmp_path: Path) -> None:
    baseline_of_numbers(tmp_path / "b.prom", actual=True)
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    wanted: dict[str, list[bool]] = {}
    rng = np.random.default_rng(2)
    for day in range(6):
        for number in range(40):
            score = round(float(rng.random()), 3)
            name = site.predict(0.1, score)
            actual = int(rng.random() < (score if day < 4 else 1 - score))
            site.go(20.0)
            if number % 2:
                assert site.model.outcomes is not None
                assert site.app.log_outcome(name, actual)
                wanted.setdefault(date_of(day_of(site.clock())), []).append((score >= 0.5) == bool(actual))
        site.go(DAY - 800.0)
        if day == 2:
            site.start(tmp_path / "b.prom")
    report = site.model.history()
    assert report.metric == "accuracy"
    assert report.validated == pytest.approx(site.model.performance()["accuracy"].validated)
    for day in report.days:
        if day.outcomes:
            right = wanted.pop(day.day)
            assert (day.outcomes, day.performance) == (len(right), pytest.approx(sum(right) / len(right)))
            assert day.performance_low is not None
            assert day.performance_high is not None
            assert day.performance_low < day.performance < day.performance_high  # type: ignore[operator]
    assert not wanted
    assert report.days[-1].performance is not None or report.days[-2].performance is not None


def test_another_baseline_is_marked_and_its_days_are_compared_with_it(tmp_path: Path) -> None:
    for number in range(2):
        baseline_of_numbers(tmp_path / f"{number}.prom", shift=2.0 * number, version=f"v{number}")
    site = Site(tmp_path / "state", tmp_path / "0.prom")
    rng = np.random.default_rng(3)
    traffic(site, 5, rng)
    changed = day_of(site.clock())
    site.start(tmp_path / "1.prom")
    traffic(site, 5, rng, shift=2.0)
    report = site.model.history()
    (new,) = report.new_baselines
    assert new.version == "v1"
    assert new.day in (date_of(changed), date_of(changed + 1))  # the first day on which it answered most rows
    assert {day.version for day in report.days} == {"v0", "v1"}
    assert all(day.psi < 0.6 for day in report["x"].days if day.rows > 50)  # of the other baseline: more than 2
    assert report["x"].changed is None
    assert "most rows are compared with another baseline" in str(report)


def test_rows_of_a_clock_that_was_ahead_are_named(tmp_path: Path) -> None:
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    site.predict(0.1)
    site.clock.ahead += 5 * DAY
    site.go(60.0)
    site.predict(0.1)
    site.clock.ahead -= 5 * DAY
    site.go(60.0)
    site.predict(0.1)
    report = site.model.history()
    assert (sum(day.rows["ok"] for day in report.days), report.ahead) == (2, 1)
    assert "1 row came while a clock was ahead" in str(report)
    assert site.model.drift("2d")["x"].live_rows == 2


def test_history_without_predictions_is_empty(tmp_path: Path) -> None:
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    report = site.model.history()
    assert report.days == ()
    assert "0 days with predictions" in str(report)
    found = site.model.drift("7d")
    assert found["x"].verdict == "not enough data"
    assert found.note == "No hour is over yet since this baseline is served."


def test_model_without_a_baseline_has_its_traffic(tmp_path: Path) -> None:
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    model = site.app.model_or_new(None)
    assert model is site.model
    from flask_boxkite.config import Settings
    from flask_boxkite.live.store import Store
    from flask_boxkite.monitoring.app import AppMonitor
    from tests.live.directories import same_directory

    store = Store(same_directory(tmp_path / "state", clock=site.clock.moment), site.clock.uptime, site.clock)
    settings = Settings.from_mapping({"BOXKITE_SINK": "none"})
    app = AppMonitor(settings, "app", {"bare": None}, store=store, clock=site.clock)
    app.model("bare").log_prediction(None, [1.0], 0.5)
    report = app.model("bare").history()
    assert [day.rows["ok"] for day in report.days] == [1]
    assert report.variables == ()
    with pytest.raises(BoxkiteError, match="has no baseline"):
        app.model("bare").drift("7d")


def test_coarse_baseline_judges_as_the_fine_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    columns = {
        "number": rng.normal(size=2000),
        "text": rng.choice(list("abcdefghijklmn"), 2000),
        "code": rng.integers(0, 14, 2000),
        "day": np.datetime64("2024-01-01") + rng.integers(0, 500, 2000).astype("timedelta64[D]"),
    }
    fine = ModelMonitoringService.export_text(columns, rng.random(2000), tmp_path / "b.prom")
    rough = coarse(fine)
    assert rough.fingerprint == fine.fingerprint
    for one, other in zip(fine.variables, rough.variables, strict=True):
        assert [group.name for group in one.distribution.groups] == [group.name for group in other.distribution.groups]
        assert list(group_counts(one.distribution, one.distribution.cells)) == list(other.distribution.cells)
        assert isinstance(other.distribution, Continuous) == isinstance(one.distribution, Continuous)
    assert Trained(fine.variables).degrees.tolist() == Trained(rough.variables).degrees.tolist()


# --- filling ---------------------------------------------------------------------------------------------------------


def test_lost_history_is_filled_from_records(tmp_path: Path) -> None:
    """The same numbers as before, apart from capture errors; a second time, nothing is added."""
    baseline_of_numbers(tmp_path / "b.prom")
    logs = {"sink": "file", "log_dir": str(tmp_path / "logs"), "log_ttl_days": 36500}
    site = Site(tmp_path / "state", tmp_path / "b.prom", **logs)
    rng = np.random.default_rng(5)
    traffic(site, 40, rng, a_day=30)
    assert site.app.recorders.flush(30.0) == 0
    before = site.model.history(60)

    for path in paths_in(site.directory):
        path.unlink()
    site.start(tmp_path / "b.prom")
    site.predict(0.1)
    site.go(HOUR)
    site.predict(0.2)
    filled = fill_history(site.directory, str(tmp_path / "logs"), now=site.clock)
    assert len(filled) == 1
    assert filled[0].rows == sum(site.asked[filled[0].baseline].rows.values()) - 2
    assert filled[0].days == 6
    assert fill_history(site.directory, str(tmp_path / "logs"), now=site.clock)[0].rows == 0

    after = site.model.history(60)
    assert [day.to_dict() for day in after.days[:-2]] == [day.to_dict() for day in before.days[: len(after.days) - 2]]
    assert after["x"].days[:-2] == before["x"].days[: len(after["x"].days) - 2]
    assert site.model.drift("30d")["x"].live_rows == pytest.approx(30 * 30, abs=5)
    site.go(HOUR)
    site.predict(0.3)
    whole = sum(site.asked[filled[0].baseline].rows.values())
    assert sum(day.rows["ok"] for day in site.model.history(60).days) == whole


def test_filling_needs_a_history(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BoxkiteError, match="has no history with a baseline"):
        fill_history(tmp_path / "empty", str(tmp_path))
    with pytest.raises(BoxkiteError, match="cannot be read: No such file"):
        fill_history(tmp_path / "missing", str(tmp_path))
