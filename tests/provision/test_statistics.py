"""The rules, evaluated by promtool on the metrics of real services, give the same numbers as Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.drift.statistics import (
    chi_squared_limit,
    chi_squared_tail,
    g_statistic,
    population_stability_index,
)
from flask_boxkite.drift.tables import degrees_of_freedom
from flask_boxkite.drift.verdict import MINIMUM_ROWS, Judgement, judge, judgements, uncertainty
from flask_boxkite.provision import RuleOptions, rules_text
from tests.provision.promtool import EACH_MINUTE, Replica, Rules, Sample, course, series

pytestmark = pytest.mark.peers

FEATURES = ("age", "city", "constant", "gaps", "visits")
ALPHA = 1e-5 / (len(FEATURES) + 1)
# In the order of their numbers.
VERDICTS = ("not enough data", "stable", "shifted", "drifted", "major")
ONE_WINDOW = RuleOptions(windows=("1h",))
WITHOUT_WINDOW = {"baseline_rows", "degrees", "g_limit", "verdict_any"}


def columns(rng: np.random.Generator, rows: int, shift: float = 0.0) -> dict[str, Any]:
    """Return columns; with a shift, some of them drift."""
    gaps = rng.normal(size=rows)
    gaps[rng.random(rows) < 0.05 + shift / 8] = math.nan
    return {
        "age": rng.normal(shift, 1 + shift, rows),
        "city": rng.choice(["Bonn", "Köln", "Ulm", 'a "b"'], rows, p=[0.4 - shift / 4, 0.3, 0.2, 0.1 + shift / 4]),
        "constant": np.full(rows, 7.0),
        "gaps": gaps,
        "visits": rng.integers(0, 30, rows).astype(float),
    }


def rows_of(table: dict[str, Any]) -> list[list[Any]]:
    """Return columns as rows."""
    return [list(row) for row in zip(*(column.tolist() for column in table.values()), strict=True)]


def train(tmp_path: Path, table: dict[str, Any], outputs: Any) -> Baseline:
    """Return a baseline."""
    return ModelMonitoringService.export_text(table, outputs, tmp_path / "b.prom", model="churn", version="v1")


@pytest.fixture
def baseline(tmp_path: Path, rng: np.random.Generator) -> Baseline:
    """Return a baseline with features of several kinds."""
    return train(tmp_path, columns(rng, 900), rng.random(900))


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    """Return the rules of one window, for which the exported limit holds."""
    return Rules(tmp_path, rules_text(ONE_WINDOW))


@pytest.fixture(params=[(37, 1.0), (400, 0.0), (400, 0.3), (5000, 0.15), (29, 1.5)], ids=str)
def replicas(request: pytest.FixtureRequest, baseline: Baseline, rng: np.random.Generator) -> list[Replica]:
    """Return two replicas with unequal shares of the traffic: rows in all, and their shift."""
    size, shift = request.param
    rows, outputs = rows_of(columns(rng, size, shift)), (rng.random(size) ** (1 + shift)).tolist()
    split = size // 3
    return [
        Replica(baseline, rows[:split], outputs[:split], instance="a"),
        Replica(baseline, rows[split:], outputs[split:], instance="b"),
    ]


def recorded(
    rules: Rules, replicas: Sequence[Any], *names: str, window: str = "1h", minutes: int = 60
) -> list[dict[str, float]]:
    """Return, for each name, the recorded values by variable."""
    selectors = [
        f"boxkite:{name}" + ("" if name.rpartition(":")[2] in WITHOUT_WINDOW else f'{{window="{window}"}}')
        for name in names
    ]
    return [
        {labels.get("feature") or labels["output"]: value for labels, value in samples}
        for samples in rules.evaluate(replicas, selectors, minutes=minutes)
    ]


def all_values(rules: Rules, replicas: Sequence[Any]) -> dict[str, float]:
    """Return everything recorded, by its labels; not which of two groups moved most that moved as far."""
    (found,) = rules.evaluate(replicas, ['{__name__=~"boxkite:.+",__name__!~".+:moved_most"}'])
    return {str(sorted(labels.items())): value for labels, value in found}


def tables(replicas: Sequence[Replica], variable: str, side: str = "feature") -> tuple[Any, Any]:
    """Return the counts per group of one variable, of training and live."""
    before = {
        sample.labels["group"]: sample.after
        for sample in replicas[0].samples
        if sample.name == f"boxkite_{side}_group_baseline_total" and sample.is_of(variable)
    }
    live = [replica.counts(f"boxkite_{side}_group_total", variable) for replica in replicas]
    return np.array([*before.values()]), np.array([sum(one[group] for one in live) for group in before])


# Sums run in an order of Prometheus' own, so last digits differ.
def same(expected: Any) -> Any:
    """Compare to nine digits."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_statistics_and_verdicts_equal_those_of_python(
    rules: Rules, replicas: list[Replica], baseline: Baseline
) -> None:
    items = {item.name: item for item in baseline.features + baseline.outputs}
    names = ("g", "g_limit", "psi", "psi_noise", "size", "verdict", "verdict_any")
    names += ("live_rows", "baseline_rows", "degrees", "dispersion")
    for side, variables in (("feature", FEATURES), ("inference", ("output",))):
        found = recorded(rules, replicas, *(f"{side}:{name}" for name in names))
        values = dict(zip(names, found, strict=True))
        assert all(of.keys() == set(variables) for of in found)
        for variable in variables:
            c, d = tables(replicas, variable, side)
            degrees = degrees_of_freedom(items[variable])
            judgement = judged(c, d, alpha=ALPHA, degrees=degrees)
            expected = {
                "g": g_statistic(c, d),
                "g_limit": chi_squared_limit(ALPHA, degrees),
                "psi": population_stability_index(c, d),
                "psi_noise": judgement.noise,
                "size": judgement.size,
                "verdict": VERDICTS.index(judgement.verdict),
                "verdict_any": VERDICTS.index(judgement.verdict),
                "live_rows": d.sum(),
                "baseline_rows": c.sum(),
                "degrees": degrees,
                "dispersion": 1,
            }
            # Where G is nothing but what is left of the difference of large sums, digits are of those.
            assert {name: values[name][variable] for name in names} == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_hand_worked_example(tmp_path: Path, rules: Rules) -> None:
    """Two categories, half and half in training, nine tenths and one tenth live.

    G = 2·(50·ln(0.5/0.7) + 50·ln(0.5/0.3) + 90·ln(0.9/0.7) + 10·ln(0.1/0.3)), and with q = 90.5/101 and 10.5/101,
    PSI = (q1 - 0.5)·ln(q1/0.5) + (q2 - 0.5)·ln(q2/0.5). Its noise is u = 1/100 + 1/100, and it counts for less by three
    times its standard error, sqrt((2·u + 4·(PSI - u))·v), where v is u in a window of more than an hour, else 1/100.
    """
    baseline = train(tmp_path, {"flag": ["a"] * 50 + ["b"] * 50}, None)
    replica = Replica(baseline, [["a"]] * 90 + [["b"]] * 10)
    g, psi, size, verdict = recorded(rules, [replica], "feature:g", "feature:psi", "feature:size", "feature:verdict")

    assert (round(g["flag"], 4), round(psi["flag"], 4)) == (40.6997, 0.8531)
    more = psi["flag"] - 0.02
    assert size["flag"] == pytest.approx(more - 3 * math.sqrt((2 * 0.02 + 4 * more) * 0.01))
    long = Rules(tmp_path, rules_text(RuleOptions(windows=("2h",))))
    (size,) = recorded(long, [replica], "feature:size", window="2h")
    assert size["flag"] == pytest.approx(more - 3 * math.sqrt((2 * 0.02 + 4 * more) * 0.02))
    assert verdict["flag"] == 4


def test_large_numbers_keep_their_digits(rules: Rules, baseline: Baseline) -> None:
    """A hundred million rows of training, a million live: G is the small difference of large numbers."""
    replica = Replica(baseline)
    rng = np.random.default_rng(3)
    sizes = {"boxkite_feature_group_total": 100_000, "boxkite_feature_group_baseline_total": 10_000_000}
    counts: dict[str, list[float]] = {name: [] for name in sizes}
    for index, sample in enumerate(replica.samples):
        if sample.name in sizes and sample.is_of("age"):
            count = float(round(sizes[sample.name] * rng.uniform(0.99, 1.01)))
            counts[sample.name].append(count)
            before = 0.0 if sample.name == "boxkite_feature_group_total" else count
            replica.samples[index] = Sample(sample.name, sample.labels, before, count)
    (g,) = recorded(rules, [replica], "feature:g")

    d, c = counts.values()
    assert g["age"] == pytest.approx(g_statistic(c, d), rel=1e-6)


def test_shares_of_special_groups(tmp_path: Path, rules: Rules) -> None:
    baseline = train(tmp_path, {"age": [float(n) for n in range(100)], "city": ["a", "b"] * 50}, None)
    rows: list[list[Any]] = [[5.0, "a"]] * 5 + [[None, None]] * 2 + [[500.0, "z"]] + [[-1.0, "a"]] + [[["list"], "a"]]
    names = ("missing_share", "invalid_share", "out_of_range_share", "unseen_share")
    found = recorded(rules, [Replica(baseline, rows)], *(f"feature:{name}" for name in names))

    assert found == [
        same({"age": 0.2, "city": 0.2}),
        same({"age": 0.1, "city": 0.0}),
        same({"age": 0.2}),
        same({"city": 0.1}),
    ]


def test_the_group_that_moved_most(rules: Rules, replicas: list[Replica]) -> None:
    (found,) = rules.evaluate(replicas, ['boxkite:feature:moved_most{window="1h"}'])
    for labels, value in found:
        groups = list(replicas[0].counts("boxkite_feature_group_total", labels["feature"]))
        c, d = tables(replicas, labels["feature"])
        shifts = dict(zip(groups, (d / d.sum() - c / c.sum()).tolist(), strict=True))
        assert value == pytest.approx(abs(shifts[labels["group"]]), abs=1e-8)
        assert value == pytest.approx(max(map(abs, shifts.values())), abs=1e-8)
    # What never varies never moves.
    assert {labels["feature"] for labels, _ in found} == {*FEATURES} - {"constant"}


def test_of_two_that_moved_as_far_the_one_that_grew_is_named(tmp_path: Path, rules: Rules) -> None:
    baseline = train(tmp_path, {"flag": ["a"] * 50 + ["b"] * 50}, None)
    for more, less in (("a", "b"), ("b", "a")):
        replica = Replica(baseline, [[more]] * 90 + [[less]] * 10)
        ((labels, value),) = rules.evaluate([replica], ["boxkite:feature:moved_most"])[0]
        assert (labels["group"], value) == (more, pytest.approx(0.4, abs=1e-8))


def kolmogorov_smirnov(replicas: Sequence[Replica], baseline: Baseline, variable: str) -> float:
    """Return the largest distance of cumulative shares."""
    before, now = bins(replicas, baseline, variable)
    return float(np.abs(now / now[-1] - before / before[-1]).max())


def bins(replicas: Sequence[Replica], baseline: Baseline, variable: str) -> tuple[Any, Any]:
    """Return the cumulative counts of training and live."""
    live = [replica.counts("boxkite_feature_value_bucket", variable, by="le") for replica in replicas]
    (trained,) = (item for item in baseline.features if item.name == variable)
    before = np.cumsum(trained.counts)  # type: ignore[union-attr]
    return before, np.array([sum(one[bound] for one in live) for bound in sorted(live[0], key=float)])


def test_kolmogorov_smirnov(tmp_path: Path, replicas: list[Replica], baseline: Baseline) -> None:
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=("20m",))))
    found, limits = recorded(rules, replicas, "feature:ks", "feature:ks_limit", window="20m")
    for variable in ("age", "gaps"):
        before, now = bins(replicas, baseline, variable)
        assert found[variable] == same(kolmogorov_smirnov(replicas, baseline, variable))
        assert limits[variable] == same(math.sqrt(-math.log(ALPHA / 2) / 2 * (1 / now[-1] + 1 / before[-1])))
    assert "city" not in found


def test_without_bins_everything_else_is_recorded(rules: Rules, baseline: Baseline, rng: np.random.Generator) -> None:
    replica = Replica(baseline, rows_of(columns(rng, 100)), export_bins=False)
    ks, verdict = recorded(rules, [replica], "feature:ks", "feature:verdict")

    assert ks == {}
    assert verdict.keys() == set(FEATURES)


# --- replicas --------------------------------------------------------------------------------------------------------


def test_two_replicas_are_one_with_the_sum(rules: Rules, baseline: Baseline, rng: np.random.Generator) -> None:
    rows, outputs = rows_of(columns(rng, 300, 0.4)), rng.random(300).tolist()
    one = all_values(rules, [Replica(baseline, rows, outputs)])
    two = all_values(
        rules,
        [
            Replica(baseline, rows[:100], outputs[:100], instance="a"),
            Replica(baseline, rows[100:], outputs[100:], instance="b"),
        ],
    )

    assert two == same(one)
    assert len(one) > 150


def test_more_replicas_change_nothing(rules: Rules, baseline: Baseline, rng: np.random.Generator) -> None:
    """The same traffic, over twice as many servers, of which some get none and some export no training counts."""
    rows = rows_of(columns(rng, 300, 0.4))
    two = [Replica(baseline, rows[:100], instance="a"), Replica(baseline, rows[100:], instance="b")]
    idle = Replica(baseline, instance="c")
    quiet = Replica(baseline, instance="d", export_baseline=False)

    assert all_values(rules, [*two, idle, quiet]) == same(all_values(rules, two))


def test_another_baseline_stays_apart(
    tmp_path: Path, rules: Rules, baseline: Baseline, rng: np.random.Generator
) -> None:
    old = Replica(baseline, rows_of(columns(rng, 300)), instance="a")
    alone = all_values(rules, [old])
    other = train(tmp_path, columns(rng, 500, 1.0), None)
    new = Replica(other, rows_of(columns(rng, 200)), instance="b")
    both = all_values(rules, [old, new])

    assert {key: both[key] for key in alone} == same(alone)
    assert {key for key in both if other.fingerprint in key} == both.keys() - alone.keys()
    assert both.keys() > alone.keys()


def test_other_jobs_stay_apart(rules: Rules, baseline: Baseline, rng: np.random.Generator) -> None:
    replicas = [
        Replica(baseline, rows_of(columns(rng, 100))),
        Replica(baseline, labels={"job": "canary"}),
        Replica(baseline, labels={"job": "plain", "namespace": ""}),
    ]
    (found,) = rules.evaluate(replicas, ['boxkite:feature:live_rows{feature="age"}'])

    assert {(labels["job"], labels.get("namespace", "")): value for labels, value in found} == {
        ("app", "prod"): 100,
        ("canary", "prod"): 0,
        ("plain", ""): 0,
    }


def test_no_traffic_has_a_verdict_and_no_nan(rules: Rules, baseline: Baseline) -> None:
    (everything,) = rules.evaluate([Replica(baseline)], ['{__name__=~"boxkite:.+"}'])
    assert everything
    assert all(math.isfinite(value) for _, value in everything)
    names = ("feature:g", "feature:size", "feature:verdict", "feature:missing_share")
    g, size, verdict, share = recorded(rules, [Replica(baseline)], *names)
    assert g == pytest.approx(dict.fromkeys(FEATURES, 0.0), abs=1e-9)
    assert size == dict.fromkeys(FEATURES, 0.0)
    assert verdict == dict.fromkeys(FEATURES, 0.0)
    assert share == {}


# --- windows ---------------------------------------------------------------------------------------------------------


def test_a_window_forgets_what_is_older(tmp_path: Path, baseline: Baseline, rng: np.random.Generator) -> None:
    rules = Rules(tmp_path, rules_text(RuleOptions()))
    replica = Replica(baseline, rows_of(columns(rng, 60)))
    # Two more hours at the counts that it ended with.
    later = {name: f"{values}+0x120" for name, values in replica.series(60).items()}
    hour, day = (recorded(rules, [later], "feature:live_rows", window=w, minutes=180)[0] for w in ("1h", "24h"))

    assert hour == dict.fromkeys(FEATURES, 0.0)
    # The first rows of a new server are the piece that is too small by a scrape.
    assert day == same(dict.fromkeys(FEATURES, 60.0 * 300 / 315))


def test_a_long_window_is_the_sum_of_its_pieces(tmp_path: Path, baseline: Baseline, rng: np.random.Generator) -> None:
    """Every row counts once, at whatever minute it came: 6 hours, after one in which all groups got rows."""
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=("5m", "6h"))), every="5m")
    first = Replica(baseline, rows_of(columns(rng, 3000, 0.5)), rng.random(3000).tolist())
    bursts = [
        Replica(baseline, rows_of(columns(rng, size)), rng.random(size).tolist()) for size in rng.integers(1, 90, 8)
    ]
    times = sorted(rng.choice(np.arange(61, 421), 8, replace=False).tolist())
    later = course((1, first), *zip(times, bursts, strict=True), end=420)
    wanted = [f"boxkite:feature:{name}" for name in ('live_rows{window="6h"}', 'ks{window="6h",feature="age"}')]
    wanted.append('boxkite:feature_group:live{window="6h",feature="age"}')
    rows, ((_, distance),), groups = rules.evaluate([later], wanted, minutes=420)

    counted = [burst.counts("boxkite_feature_group_total", "age") for burst in bursts]
    expected = {group: sum(one[group] for one in counted) for group in counted[0]}
    assert {labels["feature"]: value for labels, value in rows} == same(
        dict.fromkeys(FEATURES, float(sum(expected.values())))
    )
    assert {labels["group"]: value for labels, value in groups} == same(expected)
    assert distance == same(kolmogorov_smirnov(bursts, baseline, "age"))


@pytest.mark.parametrize("windows", [("1h", "24h"), ("5m", "1h", "6h")], ids=" ".join)
def test_alpha_is_divided_among_the_windows(tmp_path: Path, baseline: Baseline, windows: tuple[str, ...]) -> None:
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=windows)))
    degrees_of, limits = recorded(rules, [Replica(baseline)], "feature:degrees", "feature:g_limit")

    assert limits.keys() == set(FEATURES)
    for feature, limit in limits.items():
        degrees = int(degrees_of[feature])
        assert limit == pytest.approx(chi_squared_limit(ALPHA / len(windows), degrees), rel=4e-5)
        assert chi_squared_tail(limit, degrees) == pytest.approx(ALPHA / len(windows), rel=1e-3)


@pytest.mark.parametrize(
    ("alpha", "limit_error", "alpha_error"), [(1e-3, 2e-4, 3e-3), (1e-5, 4e-5, 1e-3), (1e-9, 1e-5, 4e-4)]
)
def test_the_divided_limit_is_exact_enough_for_any_variable(
    tmp_path: Path, alpha: float, limit_error: float, alpha_error: float
) -> None:
    """Variables have from 4 to 14 groups, the most possible; limits are given by hand."""
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=("5m", "1h", "24h"))))
    given = {}
    for degrees in range(3, 14):
        labels = {"job": "app", "model": "m", "baseline": "b", "feature": str(degrees)}
        given[series("boxkite_feature_drift_limit", **labels)] = f"{chi_squared_limit(alpha, degrees)!r}+0x60"
        for group in range(degrees + 1):
            given[series("boxkite_feature_group_baseline_total", group=str(group), **labels)] = "10+0x60"
    (found,) = rules.evaluate([given], ["boxkite:feature:g_limit"])

    assert len(found) == 11
    for labels, value in found:
        degrees = int(labels["feature"])
        assert value == pytest.approx(chi_squared_limit(alpha / 3, degrees), rel=limit_error)
        assert chi_squared_tail(value, degrees) == pytest.approx(alpha / 3, rel=alpha_error)


# --- dispersion ------------------------------------------------------------------------------------------------------


def gauge(replica: Replica, window: str, values: str, feature: str = "age") -> dict[str, str]:
    """Return the gauge of one feature of a replica in one window, with values as promtool has them."""
    about = replica.samples[0].labels
    labels = {name: about[name] for name in ("job", "namespace", "instance", "model", "baseline")}
    return {series("boxkite_feature_dispersion", feature=feature, window=window, **labels): values}


def test_dispersion_divides_live_rows(rules: Rules, baseline: Baseline, rng: np.random.Generator) -> None:
    """The most dispersed replica counts; the other features have none, so 1."""
    rows = rows_of(columns(rng, 400, 1.0))
    a, b = (
        Replica(baseline, some, instance=name, dispersion=None) for name, some in (("a", rows[:200]), ("b", rows[200:]))
    )
    given = [a, b, gauge(a, "1h", "1+0x60"), gauge(b, "1h", "50+0x59 20")]
    names = ("feature:g", "feature:dispersion", "feature:verdict", "feature:psi")
    plain, with_gauge = (recorded(rules, replicas, *names) for replicas in ([a, b], given))

    c, d = tables([a, b], "age")
    assert with_gauge[0] == same({**plain[0], "age": g_statistic(c, d / 20)})
    assert plain[1] == dict.fromkeys(FEATURES, 1.0)
    assert with_gauge[1] == {**dict.fromkeys(FEATURES, 1.0), "age": 20.0}
    assert (plain[2]["age"], with_gauge[2]["age"]) == (4, 1)
    assert with_gauge[3] == same(plain[3])


def test_too_few_independent_rows_are_no_drift(rules: Rules, baseline: Baseline) -> None:
    """30 rows of one value, each of which counts as one row, or as a little less."""
    verdicts = {}
    for dispersion in (1.0, 1.01):
        replica = Replica(baseline, [[9.0, "Bonn", 7.0, 0.0, 3.0]] * 30, dispersion=dispersion)
        (verdict,) = recorded(rules, [replica], "feature:verdict")
        verdicts[dispersion] = verdict["age"]
    assert verdicts == {1.0: 4, 1.01: 1}


def judged(c: Any, d: Any, *, alpha: float, degrees: int, dispersion: float = 1.0, is_long: bool = False) -> Judgement:
    """Judge one variable that is watched."""
    sure = judge(c, d, alpha=alpha, dispersion=dispersion, degrees=degrees)
    (doubted,) = uncertainty(*(np.array([number]) for number in (c.sum(), d.sum(), dispersion, is_long)))
    numbers = {"g": sure.g, "dispersion": dispersion, "limit": sure.limit, "uncertain": doubted}
    verdict = sure.verdict if sure.verdict in VERDICTS[:2] else None
    arrays = {name: np.array([number]) for name, number in numbers.items()}
    (found,) = judgements(c.astype(int), d.round().astype(int), np.array([0]), [verdict], **arrays)
    return found


@pytest.mark.parametrize(("window", "is_long"), [("1h", False), ("2h", True)], ids=["1h", "2h"])
@pytest.mark.parametrize("dispersion", [1.0, 1.7, 6.0])
def test_sizes_and_verdicts_allow_for_dispersion(
    tmp_path: Path, rng: np.random.Generator, dispersion: float, window: str, is_long: bool
) -> None:
    """Many features each have another shift; some have empty groups, and one never varies."""
    shifts = {f"moved {shift:g}": shift for shift in (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.9, 1.5)}
    flags = {f"flag {share:g}": share for share in (0.5, 0.55, 0.65, 0.72, 0.8, 1.0)}

    def table(rows: int, *, moved: bool) -> dict[str, Any]:
        return {
            **{name: rng.normal(moved * shift, 1, rows) for name, shift in shifts.items()},
            **{
                name: rng.choice(["a", "b"], rows, p=[p, 1 - p])
                for name, p in ((name, share if moved else 0.5) for name, share in flags.items())
            },
            "constant": np.full(rows, 7.0),
        }

    rules = Rules(tmp_path, rules_text(RuleOptions(windows=(window,))))
    baseline = train(tmp_path, table(3000, moved=False), None)
    for rows in (120, 2000, 20_000):
        replica = Replica(baseline, rows_of(table(rows, moved=True)), dispersion=dispersion)
        names = ("feature:psi_noise", "feature:size", "feature:verdict")
        noises, sizes, verdicts = recorded(rules, [replica], *names, window=window, minutes=120)
        for item in baseline.features:
            c, d = tables([replica], item.name)
            alpha, degrees = 1e-5 / len(baseline.features), degrees_of_freedom(item)
            judgement = judged(c, d, alpha=alpha, dispersion=dispersion, degrees=degrees, is_long=is_long)
            assert noises[item.name] == pytest.approx(judgement.noise, rel=1e-6)
            assert sizes[item.name] == pytest.approx(judgement.size, rel=1e-6, abs=1e-6)
            has_rows = rows / dispersion >= MINIMUM_ROWS
            assert VERDICTS[int(verdicts[item.name])] == (judgement.verdict if has_rows else "stable")
    assert len(set(verdicts.values())) >= 3


@pytest.mark.parametrize(
    ("window", "expected"),
    [("5m", 2), ("10m", 3), ("1h", 3), ("61m", 4), ("6h", 4), ("24h", 4), ("7d", 4)],
    ids=str,
)
def test_a_window_has_the_dispersion_of_the_shortest_gauge_that_covers_it(
    tmp_path: Path, baseline: Baseline, window: str, expected: float
) -> None:
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=(window,))))
    replica = Replica(baseline, dispersion=None)
    given = [replica, *(gauge(replica, name, f"{value}+0x60") for name, value in (("5m", 2), ("1h", 3), ("24h", 4)))]
    (found,) = recorded(rules, given, "feature:dispersion", window=window)

    assert found == {**dict.fromkeys(FEATURES, 1.0), "age": expected}


# --- any window ------------------------------------------------------------------------------------------------------


CHANGES: dict[str, tuple[tuple[tuple[int, int, float], ...], dict[str, int]]] = {
    "a little, long ago": (((60, 500, 1.0), (170, 5000, 0.0)), {"5m": 0, "1h": 1, "4h": 2, "any": 2}),
    "long ago": (((60, 500, 1.0), (170, 20, 0.0)), {"5m": 0, "1h": 0, "4h": 4, "any": 4}),
    "just now": (((150, 5000, 0.0), (178, 100, 1.0)), {"5m": 4, "1h": 1, "4h": 1, "any": 4}),
}
"""Minute, number and shift of some rows and of those after them, and the verdicts of 5m, 1h, 4h and any window."""


def test_a_change_in_any_window_counts(tmp_path: Path, rng: np.random.Generator) -> None:
    """Each case is a job, as promtool evaluates the rules of all at once."""
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=EACH_MINUTE)), "1m")
    baseline = train(tmp_path, {"age": columns(rng, 900)["age"]}, None)
    given = []
    for name, (steps, _) in CHANGES.items():
        replicas = [
            (minute, Replica(baseline, columns(rng, rows, shift)["age"][:, None].tolist(), labels={"job": name}))
            for minute, rows, shift in steps
        ]
        given.append(course(*replicas, end=180))
    by_window, of_any = rules.evaluate(given, ["boxkite:feature:verdict", "boxkite:feature:verdict_any"], minutes=180)

    found: dict[str, dict[str, float]] = {name: {} for name in CHANGES}
    for labels, value in [*by_window, *of_any]:
        found[labels["job"]][labels.get("window", "any")] = value
    assert found == {name: expected for name, (_, expected) in CHANGES.items()}
    assert len(of_any) == len(CHANGES)
    for labels, _ in of_any:
        assert labels.keys() == {"__name__", "job", "namespace", "model", "baseline", "feature"}


def test_a_verdict_that_is_recorded_seldom_counts_in_between(rules: Rules) -> None:
    """Prometheus takes samples for gone after 5 minutes, which is how often the rules of a day are evaluated."""
    labels = {"job": "app", "model": "m", "baseline": "b", "feature": "x"}
    given = {
        series("boxkite:feature:verdict", window="24h", **labels): "_x51 3 _x8",
        series("boxkite:feature:verdict", window="1h", **labels): "1+0x60",
    }
    (found,) = rules.evaluate([given], ["boxkite:feature:verdict_any"])
    assert found == [({"__name__": "boxkite:feature:verdict_any", **labels}, 3.0)]
