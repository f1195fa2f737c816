"""Two variables that no longer go together are found, though each alone is as in training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from html import unescape
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from flask_boxkite.baseline.pairs import CELLS
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.config import Settings
from flask_boxkite.drift.association import association_degrees, association_statistics, cramers_v
from flask_boxkite.drift.pairs import PairDrift
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.scan import MINIMUM_ROWS, TESTS
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.wording import as_markdown, as_text, pair_lines
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.page.content import ModelView
from flask_boxkite.page.render import comparison_html

BEGIN = datetime(2026, 3, 1, 9, 0, 3, tzinfo=timezone.utc).timestamp()

KEYS = [
    "first", "first_side", "second", "second_side", "verdict", "reason", "since", "rows", "baseline_rows", "live_rows",
    "g", "dispersion", "limit", "size", "association_before", "association_now",
]  # fmt: skip

Row = dict[str, Any]
Change = Callable[[np.random.Generator, list[Row]], list[Row]]


def drawn(rng: np.random.Generator, rows: int) -> list[Row]:
    """Return rows of an income, the rent that follows it, a city by itself, and a score that follows the rent."""
    income = rng.lognormal(8, 0.5, rows)
    rent = income * rng.uniform(0.2, 0.45, rows)
    city = rng.choice(["Oslo", "Rome", "Bonn"], rows, p=[0.5, 0.3, 0.2])
    score = 1 / (1 + rent / 1000 + rng.uniform(0, 0.2, rows))
    columns = (income.tolist(), rent.tolist(), city.tolist(), score.tolist())
    return [dict(zip(("income", "rent", "city", "score"), row, strict=True)) for row in zip(*columns, strict=True)]


def trained(rows: int = 5000) -> Baseline:
    """Train on such rows."""
    table = drawn(np.random.default_rng(11), rows)
    columns = {name: [row[name] for row in table] for name in table[0]}
    return build_baseline(columns, "score", model="rents")


BASELINE = trained()


@dataclass
class Served:
    """A service whose clock the test moves.

    Attributes:
        now: Its time.
        rng: Source of its rows.
    """

    baseline: Baseline = BASELINE
    now: float = BEGIN
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(12))

    def __post_init__(self) -> None:
        store = Store(None, lambda: self.now - 1_234_567.25, lambda: self.now)
        settings = Settings.from_mapping({"BOXKITE_SINK": "none"})
        self.model: ModelMonitor = AppMonitor(settings, "test", {None: self.baseline}, store=store).model(None)

    def serve(
        self, minutes: int, change: Change | None = None, *, a_minute: int = 60, lacks: Sequence[str] = ()
    ) -> None:
        """Predict rows, evenly over some minutes."""
        rows = drawn(self.rng, minutes * a_minute)
        for row in rows if change is None else change(self.rng, rows):
            self.now += 60 / a_minute
            features = {name: value for name, value in row.items() if name not in ("score", *lacks)}
            self.model.log_prediction(features=features, output=None if "score" in lacks else row["score"])

    def pairs(self, window: str | None = "1h") -> dict[str, PairDrift]:
        """Return the pairs of the report by their names."""
        return {f"{pair.first.name}, {pair.second.name}": pair for pair in self.model.drift(window).pairs}


def shuffled(name: str) -> Change:
    """Return a broken join: rows get values of other rows."""

    def change(rng: np.random.Generator, rows: list[Row]) -> list[Row]:
        values = [row[name] for row in rows]
        return [row | {name: values[place]} for row, place in zip(rows, rng.permutation(len(rows)), strict=True)]

    return change


def of_rich(rng: np.random.Generator, rows: list[Row]) -> list[Row]:
    """Keep more of the rows with a large income, so that its distribution moves; all else follows it as before."""
    return [row for row in rows if row["income"] > 3000 or rng.random() < 0.2]


def test_the_pairs_are_what_the_rows_were_made_of() -> None:
    names = [item.name for item in BASELINE.distributions]
    assert [(names[pair.first], names[pair.second]) for pair in BASELINE.pairs] == [
        ("income", "rent"),
        ("rent", "score"),
    ]


# --- a broken join ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken() -> DriftReport:
    """Return the default report half an hour after one feature was shuffled."""
    served = Served()
    served.serve(40)
    served.serve(30, shuffled("income"))
    return served.model.drift()


def test_a_shuffled_feature_is_found_though_all_variables_are_stable(broken: DriftReport) -> None:
    assert {item.verdict for item in broken} == {"stable"}
    first, second = broken.pairs

    assert (first.first.name, first.second.name, first.verdict) == ("income", "rent", "major")
    assert (second.second.name, second.verdict) == ("score", "stable")
    assert first.judgement.g > first.judgement.limit
    assert first.association_before > 0.5 > 0.2 > first.association_now
    assert second.association_now == pytest.approx(second.association_before, abs=0.1)


def test_the_numbers_are_of_the_rows_of_the_stretch_that_decided(broken: DriftReport) -> None:
    pair = broken.pairs[0]
    now, before = np.array(pair.now), np.array(pair.before)

    assert before.ravel().tolist() == list(BASELINE.pairs[0].counts)
    assert now.sum() == pair.rows <= pair.live_rows == 70 * 60
    assert (pair.association_before, pair.association_now) == (cramers_v(before), cramers_v(now))
    found = association_statistics(before.ravel(), now.reshape(1, CELLS), np.array([0]), None)[0, 0]
    assert pair.judgement.dispersion == pytest.approx(1.0, abs=0.3)
    assert pair.judgement.g == pytest.approx(found, rel=0.3)
    degrees = int(association_degrees(before.ravel())[0])
    assert pair.judgement.limit == chi_squared_limit(broken.alpha / BASELINE.tests / TESTS, degrees)
    # G per row, less what chance gives it and the error of the same, is the size.
    per_row = 1 / before.sum() + pair.judgement.dispersion / pair.rows
    assert pair.judgement.psi == pytest.approx(pair.judgement.g * per_row)
    assert pair.judgement.noise == pytest.approx(degrees * per_row)
    assert 0.25 < pair.judgement.size < pair.judgement.psi - pair.judgement.noise


def test_the_text_tells_it(broken: DriftReport) -> None:
    text = " ".join(str(broken).split())

    assert "1 of 2 pairs no longer go together as in training." in text
    assert "income and rent no longer go together: major (association 0." in text
    assert "1 of 2 pairs of variables goes together as in training." in text
    assert max(map(len, str(broken).splitlines())) <= 100
    assert broken.pairs[0].text in text
    assert repr(broken.pairs[0]) == f"<PairDrift {broken.pairs[0].text}>"


def test_markdown_tells_it(broken: DriftReport) -> None:
    text = broken.to_markdown()

    assert "income and rent no longer go together: major" in text
    assert text.splitlines()[-1] == "1 of 2 pairs of variables goes together as in training."


def test_a_dict_tells_it_to_programs(broken: DriftReport) -> None:
    first, second = json.loads(json.dumps(broken.to_dict()))["pairs"]

    assert {key: first[key] for key in ("first", "first_side", "second", "second_side", "verdict", "reason")} == {
        "first": "income",
        "first_side": "feature",
        "second": "rent",
        "second_side": "feature",
        "verdict": "major",
        "reason": "",
    }
    assert (second["second"], second["second_side"]) == ("score", "output")
    assert first["baseline_rows"] == 5000
    assert first["since"] is None or first["since"] > "2026-03-01T09"
    assert set(KEYS) <= set(first) == set(second)
    for key in first:
        assert f"``{key}``" in (DriftReport.to_dict.__doc__ or "")


def test_it_is_found_within_minutes_of_a_quiet_day() -> None:
    """The stretch that decides begins about where the change did."""
    served = Served()
    served.serve(180, a_minute=20)
    began = served.now
    served.serve(15, shuffled("income"), a_minute=20)
    pair = served.pairs("24h")["income, rent"]

    assert pair.verdict == "major"
    assert pair.since is not None
    assert abs(pair.since - began) <= 300
    assert f"{datetime.fromtimestamp(pair.since, timezone.utc):%H:%M}" in pair.text.partition("since ")[2]


def test_a_shuffled_output_is_found() -> None:
    served = Served()
    served.serve(30, shuffled("score"))
    report = served.model.drift("1h")

    assert {item.verdict for item in report} == {"stable"}
    assert [pair.verdict for pair in report.pairs] == ["major", "stable"]
    assert report.pairs[0].second.side == "output"


# --- what is no change -----------------------------------------------------------------------------------------------


def test_a_change_of_one_margin_is_not_called() -> None:
    """Each variable drifts, and they go together as before."""
    served = Served()
    served.serve(120, of_rich)
    report = served.model.drift("24h")

    assert report["income"].verdict == report["rent"].verdict == "major"
    assert {pair.verdict for pair in report.pairs} == {"stable"}
    assert report.pairs[0].rows > 2000
    assert "pairs no longer go together" not in str(report)
    assert "2 of 2 pairs of variables go together as in training." in str(report)


@pytest.mark.parametrize("seed", range(4))
def test_rows_as_in_training_are_stable(seed: int) -> None:
    served = Served(rng=np.random.default_rng(seed))
    served.serve(30)
    assert {pair.verdict for pair in served.pairs().values()} == {"stable"}


def test_the_same_rows_again_and_again_are_not_called() -> None:
    """A client that repeats its rows has no new ones."""
    served = Served()
    served.serve(30, lambda rng, rows: rows[:40] * (len(rows) // 40))
    assert {pair.verdict for pair in served.pairs().values()} <= {"stable", "not enough data", "unclear"}


# --- little is known -------------------------------------------------------------------------------------------------


def test_few_rows_say_so() -> None:
    served = Served()
    served.serve(1, a_minute=20)
    pairs = served.pairs()

    assert [pair.verdict for pair in pairs.values()] == ["not enough data"] * 2
    assert {pair.reason for pair in pairs.values()} == {f"20 rows; {MINIMUM_ROWS} are needed"}
    assert str(pairs["income, rent"].text) == f"income and rent: 20 rows; {MINIMUM_ROWS} are needed"
    assert "pairs of variables" not in str(served.model.drift("1h"))


@pytest.mark.parametrize("lacks", ["score", "rent", "income"])
def test_a_variable_that_does_not_come_leaves_its_pairs_without_rows(lacks: str) -> None:
    served = Served()
    served.serve(20, lacks=[lacks])
    pairs = served.pairs()

    for name, pair in pairs.items():
        is_gone = lacks in name
        assert (pair.verdict, pair.rows, pair.live_rows) == (
            ("not enough data", 0, 0) if is_gone else ("stable", 1200, 1200)
        )
        assert not is_gone or pair.association_now == 0.0


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (0, "all 1,200 rows are in one part of rent; 30 are needed in others"),
        (4, "all but 4 of 1,200 rows are in one part of rent; 30 are needed in others"),
    ],
)
def test_a_value_that_hardly_varies_says_nothing_about_its_pairs(others: int, said: str) -> None:
    """Whatever went together before, all else goes with a constant as before: the variable alone has drifted."""
    served = Served()
    served.serve(20, lambda rng, rows: [*rows[:others], *(row | {"rent": 0.0} for row in rows[others:])])
    pair = served.pairs()["income, rent"]
    report = served.model.drift("1h")

    assert report["rent"].verdict == "major"
    assert (pair.verdict, pair.reason, pair.rows) == ("not enough data", said, 1200)
    assert pair.text == f"income and rent: {said}"
    assert f"{pair.text}." in report.to_markdown()
    assert "together" not in str(report)
    view = ModelView("rents", BASELINE, report, served.model.observe().cells, when="in the records")
    page = unescape(comparison_html("records", view, 0.0)).replace("<wbr>", "")
    assert f"{pair.text}." in page
    assert "as in training" not in page


def test_of_many_pairs_of_which_nothing_is_known_some_are_named() -> None:
    row = dict.fromkeys(("first", "second"), "a") | dict.fromkeys(("first_side", "second_side"), "feature")
    row |= {"verdict": "not enough data", "reason": "why", "rows": MINIMUM_ROWS}
    assert list(pair_lines([row] * 4)) == ["a and a: why."] * 3 + ["1 more pair has not enough data."]
    assert list(pair_lines([row] * 5))[3:] == ["2 more pairs have not enough data."]
    assert list(pair_lines([row | {"rows": MINIMUM_ROWS - 1}])) == []


def test_a_value_that_varies_enough_has_its_pairs_judged() -> None:
    served = Served()
    served.serve(20, lambda rng, rows: [*rows[:60], *(row | {"rent": 0.0} for row in rows[60:])])
    assert served.pairs()["income, rent"].verdict == "drifted"


def test_one_large_request_is_unclear() -> None:
    served = Served()
    rows = shuffled("income")(served.rng, drawn(served.rng, 2000))
    served.now += 30
    served.model.log_prediction(
        features=[{name: row[name] for name in ("income", "rent", "city")} for row in rows],
        output=[row["score"] for row in rows],
    )
    pair = served.pairs()["income, rent"]

    assert pair.verdict == "unclear"
    assert pair.reason == "2,000 rows in 1 request: wait for a second minute, or send smaller parts"
    assert pair.text.startswith(f"income and rent may no longer go together as in training: {pair.reason}")


def test_without_pairs_nothing_is_said_of_them() -> None:
    served = Served(replace(BASELINE, pairs=()))
    served.serve(30, shuffled("income"))
    report = served.model.drift("1h")

    assert report.pairs == ()
    assert report.to_dict()["pairs"] == []
    assert "together" not in f"{report}{report.to_markdown()}"


def test_a_sample_without_rows_by_pairs_has_none() -> None:
    """A data set that is compared column by column has no rows of two columns."""
    report = drift_report("m", BASELINE, BASELINE.cells, alpha=1e-5)
    assert report.pairs == ()


def test_a_timeline_tells_whether_it_knows_pairs() -> None:
    with pytest.raises(ValueError, match=r"^The counts of the pairs are unknown\.$"):
        Timeline.of_sample([1, 2]).of_pairs()


def test_a_report_of_an_earlier_server_has_no_pairs() -> None:
    served = Served()
    served.serve(5)
    report = served.model.drift("1h").to_dict()
    with_pairs = as_text(report)
    del report["pairs"]

    assert as_text(report) == with_pairs.split("\n\n2 of 2 pairs")[0]
    assert "together" not in as_markdown(report)


# --- words -----------------------------------------------------------------------------------------------------------


def dependent(rng: np.random.Generator, count: int, noise: float, *, is_reversed: bool = False) -> list[Row]:
    """Return rows of two numbers, the second of which follows the first but for noise."""
    x = rng.random(count)
    y = x + noise * rng.random(count)
    return [{"x": a, "y": b} for a, b in zip(x.tolist(), (2 - y if is_reversed else y).tolist(), strict=True)]


@pytest.mark.parametrize(
    ("trained_noise", "noise", "is_reversed", "said"),
    [
        (0.6, 1.2, False, "go together less than in training"),
        (1.5, 0.4, False, "go together more than in training"),
        (1.0, 1.0, True, "go together differently than in training"),
        (0.6, 0.75, False, "go together a little differently"),
        (0.6, 3.0, False, "no longer go together"),
    ],
    ids=["weaker", "stronger", "reversed", "a little", "not at all"],
)
def test_words_tell_how_the_association_changed(
    trained_noise: float, noise: float, is_reversed: bool, said: str, rng: np.random.Generator
) -> None:
    training = dependent(rng, 5000, trained_noise)
    served = Served(build_baseline({name: [row[name] for row in training] for name in ("x", "y")}))
    for row in dependent(rng, 3000, noise, is_reversed=is_reversed):
        served.now += 1
        served.model.log_prediction(features=row)
    (pair,) = served.pairs().values()

    assert pair.text.startswith(f"x and y {said}")
