"""Every stretch beside the rules one by one, and what is said of rows that changed, recur, or cannot be told."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flask_boxkite.drift.dispersion import LEAST_TRANSITIONS, between_neighbours, between_parts, parts_of
from flask_boxkite.drift.reasons import reason_for
from flask_boxkite.drift.recurrence import (
    ERROR,
    NOTICEABLE,
    at_least,
    equal_rows,
    recurrence,
    recurrence_within,
    usual_recurrence,
)
from flask_boxkite.drift.scan import (
    ABOUT_AS_PLAIN,
    AS_USUAL,
    BATCH,
    MINIMUM_ROWS,
    TESTS,
    Scan,
    State,
    dispersions_by_reach,
    requests_of,
    scan,
)
from flask_boxkite.drift.statistics import g_statistic
from flask_boxkite.drift.timeline import HOUR, MINUTE, RowCounts, Timeline
from flask_boxkite.values.rowhash import ROW_BUCKETS
from tests.drift.timelines import NOW, buckets_of_rows, timeline_of

ALPHA = 1e-3
TRAINED = np.array([2500, 2500, 2500, 2500, 0])
"""Four values, and missing."""

GOOD, MISSING = [50, 50, 50, 50, 0], [0, 0, 0, 0, 200]
ONE, DEGREES = np.zeros(1, dtype=np.intp), np.array([4])
STATES = {State.CALLED: "called", State.WITHIN_LIMIT: "stable", State.FEW_ROWS: "not enough data"}


def scanned(
    timeline: Timeline, *, collisions: float | None = 0.0, trained: np.ndarray = TRAINED, least: float = 1.0
) -> Scan:
    """Scan one variable."""
    return scan(trained, timeline, ONE, DEGREES, alpha=ALPHA, collisions=collisions, least_recurrence=least)


def verdict(timeline: Timeline, **given: object) -> str:
    """Return what is said of one variable: called, stable, not enough data, or the reason why it is unclear."""
    found = scanned(timeline, **given).decide()  # type: ignore[arg-type]
    state = State(found.state[0])
    trained = int(np.sum(given.get("trained", TRAINED)))  # type: ignore[call-overload]
    reason = reason_for(state, timeline, int(found.stretch[0]), int(found.rows[0]), trained)
    return STATES.get(state, reason) if state != State.FEW_ROWS else f"not enough data: {reason}"


def good(minutes: int, rng: np.random.Generator, rows: int = 200) -> np.ndarray:
    """Return minutes without a change."""
    return rng.multinomial(rows, [0.25, 0.25, 0.25, 0.25, 0.0], size=minutes)


# --- beside the rules, one by one ------------------------------------------------------------------------------------


def expected_state(
    timeline: Timeline, stretch: int, own: slice, trained: np.ndarray, degrees: int, collisions: float | None
) -> tuple[State, float, float]:
    """Return what one stretch says of one variable, how many rows count as one, and their G."""

    def g_of(number: float) -> float:
        return g_statistic(before, now / number)

    assert timeline.rows is not None
    now, before = timeline.groups[stretch, own], trained[own]
    limit = float(stats.chi2.isf(ALPHA / TESTS, degrees))
    recurring = float(recurrence(timeline.rows.buckets[stretch], collisions))
    is_few = recurring > NOTICEABLE and timeline.rows.buckets[stretch].sum() / recurring < MINIMUM_ROWS
    minutes = -np.diff(timeline.rows.buckets[timeline.minutes], axis=0, append=0)
    is_few &= recurring > AS_USUAL * usual_recurrence(minutes.astype(float))
    recurring = math.nan if is_few else recurring
    phi = 1.0 if math.isnan(recurring) else max(recurring * (1 - ERROR), 1.0)
    if min(now.sum(), before.sum()) < MINIMUM_ROWS or now.sum() / phi < MINIMUM_ROWS:
        return State.FEW_ROWS, phi, math.nan
    if g_of(phi) <= limit:
        return (State.FEW_ROWS if is_few else State.WITHIN_LIMIT), phi, math.nan
    requests = timeline.rows.buckets[stretch].sum() ** 2 / timeline.rows.squares[stretch]
    may_count = not math.isnan(recurring) and requests >= MINIMUM_ROWS
    marks = timeline.minutes if timeline.starts[stretch] >= NOW - HOUR else timeline.quarters
    in_batches = timeline.rows.buckets[stretch].sum() > BATCH * requests
    is_new = len(timeline) > 1 and in_batches and len(marks) <= LEAST_TRANSITIONS
    if may_count and not is_new:
        slots = -np.diff(timeline.groups[marks], axis=0, append=0)[:, own]
        phi = max(phi, between_neighbours(slots.astype(float), before.astype(float), ONE)[0])
        return (State.CALLED if g_of(phi) > limit else State.UNSTEADY), phi, g_of(phi)
    slots_of = timeline.slots_of(stretch, finest=may_count)
    if len(slots_of) == 1:
        if not math.isnan(recurring):
            return State.FEW_REQUESTS, phi, g_of(phi)
        squares = timeline.rows.buckets[stretch] ** 2
        return (State.ONE_ROW if squares.max() > squares.sum() / 2 else State.FEW_DIFFERENT_ROWS), phi, g_of(phi)
    parts = -np.diff(timeline.groups[parts_of(slots_of)], axis=0, append=0)[:, own]
    (differing,), (of_divisor,) = between_parts(parts.astype(float), before.astype(float), ONE)
    buckets = -np.diff(timeline.rows.buckets[parts_of(slots_of)], axis=0, append=0)
    phi = max(differing, phi, float(recurrence_within(buckets.astype(float))))
    unknown = degrees / stats.f.ppf(ALPHA / TESTS, of_divisor, degrees) / limit if of_divisor else math.inf
    is_called = g_of(phi * unknown) > limit and now.sum() / phi >= MINIMUM_ROWS
    if is_called:
        return State.CALLED, phi, g_of(phi * unknown)
    return State.FEW_REQUESTS if may_count else State.UNSTEADY, phi, g_of(phi)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Draw rows of two variables that come minute by minute, some of them again, with changes and without."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    minutes, repeats = draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 2, 5]))
    seconds = draw(st.sampled_from([20.0, 60.0, 900.0]))
    rows = rng.integers(0, draw(st.sampled_from([8, 40, 80])), size=minutes) * repeats
    changed = rng.random(minutes) < draw(st.sampled_from([0.0, 0.3, 0.7]))
    shares = {False: [0.3, 0.3, 0.4], True: draw(st.sampled_from([[0.1, 0.1, 0.8], [0.25, 0.3, 0.45]]))}
    first = np.array([rng.multinomial(n // repeats, shares[is_]) for n, is_ in zip(rows, changed, strict=True)])
    second = rng.multinomial(rows // repeats, [0.9, 0.1])
    buckets = buckets_of_rows(rows, repeats, seed=1)
    if draw(st.booleans()):
        buckets[:, 0] += buckets[:, 20:].sum(axis=1)
        buckets[:, 20:] = 0
    squares = rows * draw(st.sampled_from([1, 1, 10]))
    table = np.hstack([first, second]) * repeats
    starts = NOW - seconds * np.arange(minutes, 0, -1)
    return Timeline.of_slots(starts, table, buckets, squares, NOW)


@given(timelines(), st.sampled_from([0.0, 1e-3, 0.2, None]))
def test_a_scan_is_what_the_rules_say_of_each_stretch(timeline: Timeline, collisions: float | None) -> None:
    trained, firsts, degrees = np.array([300, 300, 400, 900, 100]), np.array([0, 3]), np.array([2, 1])
    found = scan(trained, timeline, firsts, degrees, alpha=ALPHA, collisions=collisions)
    for stretch in range(len(timeline)):
        for number, own in enumerate((slice(0, 3), slice(3, 5))):
            state, phi, g = expected_state(timeline, stretch, own, trained, int(degrees[number]), collisions)
            assert State(found.state[stretch, number]) == state
            assert found.rows[stretch, number] == timeline.groups[stretch, own].sum()
            assert found.plain[stretch, number] == pytest.approx(
                g_statistic(trained[own], timeline.groups[stretch, own]), abs=1e-6
            )
            assert found.limit[number] == pytest.approx(stats.chi2.isf(ALPHA / TESTS, degrees[number]))
            if state not in (State.FEW_ROWS, State.FEW_REQUESTS, State.ONE_ROW, State.FEW_DIFFERENT_ROWS):
                assert found.dispersion[stretch, number] == pytest.approx(phi)
            if not math.isnan(g):
                assert found.g[stretch, number] == pytest.approx(g, rel=1e-6, abs=1e-6)


RANK = {State.FEW_ROWS: 0, State.WITHIN_LIMIT: 1, State.CALLED: 3}


@given(timelines(), st.sampled_from([0.0, 0.2, None]))
def test_the_plainest_stretch_decides(timeline: Timeline, collisions: float | None) -> None:
    """Of those that are called the longest whose G is about the largest; of unclear ones with all rows."""
    found = scan(
        np.array([300, 300, 400]), timeline_of_first(timeline), ONE, np.array([2]), alpha=ALPHA, collisions=collisions
    )
    for first in range(len(timeline)):
        states = [State(state) for state in found.state[first:, 0]]
        ranks = [RANK.get(state, 2) for state in states]
        decided = found.decide(first)
        at = int(decided.stretch[0])
        assert ranks[at - first] == max(ranks)
        assert decided.limit == found.limit
        for name in ("state", "rows", "g", "dispersion"):
            assert getattr(decided, name)[0] == getattr(found, name)[at, 0]
        equal = [first + place for place, rank in enumerate(ranks) if rank == max(ranks)]
        if max(ranks) < 2:
            assert at == equal[0]
        else:
            g = found.g if max(ranks) == 3 else found.plain
            excess = {place: g[place, 0] for place in equal}
            assert at == min(place for place in equal if excess[place] >= ABOUT_AS_PLAIN * max(excess.values()))


def timeline_of_first(timeline: Timeline) -> Timeline:
    """Return the timeline of the first variable alone."""
    return Timeline(timeline.starts, timeline.groups[:, :3], timeline.rows, timeline.now)


@given(timelines(), st.sampled_from([0.0, 1e-3, 0.2, None]))
def test_a_longer_reach_says_no_less(timeline: Timeline, collisions: float | None) -> None:
    """What is called in a shorter one is called in a longer one, and what is unclear or stable is at least that."""
    trained, firsts, degrees = np.array([300, 300, 400, 900, 100]), np.array([0, 3]), np.array([2, 1])
    found = scan(trained, timeline, firsts, degrees, alpha=ALPHA, collisions=collisions)
    ranks = [[RANK.get(State(state), 2) for state in found.decide(first).state] for first in range(len(timeline))]
    for longer, shorter in pairwise(ranks):
        assert all(a >= b for a, b in zip(longer, shorter, strict=True))


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1, 5, 59, 120])
def test_a_missing_feature_is_called_within_the_first_minute(before: int, rng: np.random.Generator) -> None:
    timeline = timeline_of(np.vstack([good(before, rng), [MISSING]]))
    found = scanned(timeline).decide()

    assert State(found.state[0]) == State.CALLED
    assert timeline.starts[found.stretch[0]] == NOW - MINUTE
    assert found.rows[0] == 200
    assert found.g[0] == pytest.approx(g_statistic(TRAINED, np.array(MISSING) / found.dispersion[0]))
    assert found.dispersion[0] < 1.2


def test_it_stays_called_as_the_change_goes_on(rng: np.random.Generator) -> None:
    table = np.vstack([good(30, rng), [MISSING] * 40])
    for minutes in range(31, 71):
        assert verdict(timeline_of(table[:minutes])) == "called", minutes


@pytest.mark.parametrize(("first", "decides"), [([60, 50, 50, 0, 40], 0), ([55, 55, 50, 20, 20], 1)])
def test_the_longest_of_stretches_that_are_about_as_plain_decides(first: list[int], decides: int) -> None:
    """Two minutes are plainest; with the one before, G is 91 % of that, or 84 %."""
    timeline = timeline_of([first, MISSING, MISSING])
    found = scanned(timeline)
    excess = found.g[:, 0]

    assert int(np.argmax(excess)) == 1
    assert (excess[0] / excess[1] > ABOUT_AS_PLAIN) == (decides == 0)
    assert found.decide().stretch.tolist() == [decides]


def of_states(*states: State, plain: list[float], g: list[float]) -> Scan:
    """Return a scan of stretches of one variable, with a limit of 10."""
    columns = [np.array(numbers)[:, np.newaxis] for numbers in (plain, g, [1.0] * len(g), [*map(int, states)])]
    rows = np.arange(100, 100 - len(g), -1)[:, np.newaxis]
    return Scan(np.ones(len(g)), rows, *columns[:3], np.array([10.0]), columns[3].astype(np.int8))


@pytest.mark.parametrize(
    ("found", "decides"),
    [
        (of_states(State.CALLED, State.CALLED, plain=[50, 40], g=[25, 40]), 1),
        (of_states(State.UNSTEADY, State.CALLED, plain=[500, 40], g=[9, 40]), 1),
        (of_states(State.UNSTEADY, State.ONE_ROW, plain=[50, 40], g=[5.5, 40]), 0),
        (of_states(State.FEW_ROWS, State.WITHIN_LIMIT, State.WITHIN_LIMIT, plain=[9, 1, 5], g=[9, 1, 5]), 1),
        (of_states(State.WITHIN_LIMIT, State.FEW_REQUESTS, plain=[9, 12], g=[9, 12]), 1),
        (of_states(State.FEW_ROWS, State.FEW_ROWS, plain=[99, 999], g=[99, 999]), 0),
        (of_states(State.CALLED, State.CALLED, plain=[40, 40], g=[40, 40]), 0),
    ],
    ids=["plainest", "called", "unclear, whatever φ", "longest", "unclear before stable", "few rows", "equal"],
)
def test_which_stretch_decides(found: Scan, decides: int) -> None:
    assert found.decide().stretch.tolist() == [decides]
    if decides > 0:
        assert found.decide(decides).stretch.tolist() == [decides]


def test_a_change_that_is_over_is_called_for_as_long_as_it_shows(rng: np.random.Generator) -> None:
    """Ten minutes without a value, then as before: the last hour still has 3 % missing."""
    table = np.vstack([good(30, rng), [MISSING] * 10, good(20, rng)])
    timeline = timeline_of(table)
    found = scanned(timeline).decide()

    assert verdict(timeline) == "called"
    assert NOW - 36 * MINUTE <= timeline.starts[found.stretch[0]] <= NOW - 30 * MINUTE
    assert State(scanned(timeline).decide(timeline.first_within(20 * MINUTE)).state[0]) == State.WITHIN_LIMIT


def test_a_stable_population_is_stable(rng: np.random.Generator) -> None:
    """2,000 hours at 1e-3, at most four of them called; about one is expected."""
    called = sum(verdict(timeline_of(good(60, rng, 20))) != "stable" for _ in range(2000))

    assert called <= 4


def test_alpha_is_divided_among_the_stretches(rng: np.random.Generator) -> None:
    """But for a sample of independent rows, which is one."""
    now = [20, 20, 20, 20, 4]
    g = g_statistic(TRAINED, now)
    alone, among = (float(stats.chi2.isf(alpha, 4)) for alpha in (ALPHA, ALPHA / TESTS))

    assert alone < g
    assert scanned(Timeline.of_sample(now)).limit[0] == pytest.approx(alone)
    assert scanned(timeline_of([now])).limit[0] == pytest.approx(among)
    assert verdict(Timeline.of_sample(now)) == "called"


def test_rows_of_a_sample_are_taken_for_independent() -> None:
    found = scanned(Timeline.of_sample(MISSING), collisions=None)

    assert found.state.tolist() == [[State.CALLED]]
    assert found.dispersion.tolist() == [[1.0]]
    assert scanned(Timeline.of_sample(GOOD)).state.tolist() == [[State.WITHIN_LIMIT]]
    assert scanned(Timeline.of_sample([29, 0, 0, 0, 0])).state.tolist() == [[State.FEW_ROWS]]


# --- few rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ([0, 0, 0, 0, 29], TRAINED, "not enough data: 29 rows; 30 are needed"),
        ([0, 0, 0, 0, 1], TRAINED, "not enough data: 1 row; 30 are needed"),
        ([0, 0, 0, 0, 0], TRAINED, "not enough data: 0 rows; 30 are needed"),
        ([0, 0, 0, 0, 45], TRAINED, "called"),
    ],
)
def test_thirty_rows_are_needed(now: list[int], before: np.ndarray, said: str) -> None:
    assert verdict(timeline_of([now]), trained=before) == said


def test_thirty_rows_of_training_are_needed() -> None:
    assert verdict(timeline_of([MISSING]), trained=np.array([29, 0, 0, 0, 0])) == (
        "not enough data: 29 training rows; 30 are needed"
    )
    assert verdict(timeline_of([MISSING]), trained=np.array([30, 0, 0, 0, 0])) == "called"


def test_thirty_different_rows_are_needed() -> None:
    """40 rows, each of them ten times."""
    buckets = [np.repeat([10, 0], [4, ROW_BUCKETS - 4])]

    assert verdict(timeline_of([[10, 10, 10, 10, 0]], buckets=buckets)) == (
        "not enough data: 40 rows, of which fewer than 30 are different"
    )
    assert verdict(timeline_of([[0, 0, 0, 0, 40]], buckets=buckets)) == (
        "few different rows among 40 rows, which may be repeats: wait some minutes"
    )


def test_a_fault_that_leaves_few_different_rows_is_called_by_minutes(rng: np.random.Generator) -> None:
    """Without its only continuous feature a model has eight different rows: they cannot be told from repeats."""
    buckets = rng.multinomial(200, np.repeat([1 / 8, 0], [8, ROW_BUCKETS - 8]), size=3)
    timeline = timeline_of([MISSING] * 3, buckets=buckets)

    assert verdict(timeline) == "called"
    assert np.isnan(scanned(timeline).recurrence).all()


def test_few_different_rows_that_come_again_as_they_always_do_are_not_enough(rng: np.random.Generator) -> None:
    """Each minute four users send their row ten times: 40 rows, 4 different ones."""
    slots = rng.multinomial(4, [0.25, 0.25, 0.25, 0.25, 0.0], size=20) * 10
    buckets = buckets_of_rows([40] * 20, 10)
    found = scanned(timeline_of(slots, buckets=buckets))

    assert (found.plain[-5:] > found.limit).any()
    assert {State(state) for state in found.state[-5:, 0]} == {State.FEW_ROWS}
    assert verdict(timeline_of(slots, buckets=buckets)) == "stable"
    assert State(scanned(timeline_of(slots[-3:], buckets=buckets[-3:])).decide().state[0]) != State.CALLED


def test_what_is_known_of_the_longest_is_known() -> None:
    """A long time with enough rows, of which the last minute alone has too few."""
    assert verdict(timeline_of([GOOD, [3, 3, 3, 3, 0]])) == "stable"


# --- rows that recur -------------------------------------------------------------------------------------------------

SKEWED = [110, 40, 30, 20, 0]
"""200 rows, G 71; four times as many are needed for as much as a fourth of them would be."""


@pytest.mark.parametrize("repeats", [1, 2, 4, 10])
def test_rows_that_recur_count_for_fewer(repeats: int) -> None:
    buckets = buckets_of_rows([200], repeats)
    found = scanned(timeline_of([SKEWED], buckets=buckets))

    if repeats < 10:  # else there are too few different rows to tell
        assert found.recurrence.tolist() == pytest.approx(equal_rows(buckets).tolist())
        phi = at_least(equal_rows(buckets))[0]
        assert found.dispersion[0, 0] == pytest.approx(phi)
        assert phi == pytest.approx(repeats, rel=0.2)
        assert found.g[0, 0] == pytest.approx(g_statistic(TRAINED, np.array(SKEWED) / phi))
    expected = {1: State.CALLED, 2: State.CALLED, 4: State.WITHIN_LIMIT, 10: State.FEW_DIFFERENT_ROWS}[repeats]
    assert State(found.state[0, 0]) == expected


def test_what_replaces_training_may_recur_itself() -> None:
    timeline = timeline_of([SKEWED])

    assert verdict(timeline) == "called"
    assert scanned(timeline, least=4.0).dispersion.tolist() == [[4.0]]
    assert verdict(timeline, least=4.0) == "stable"
    assert verdict(timeline, least=7.0) == "not enough data: 200 rows, of which fewer than 30 are different"


def test_rows_that_are_alike_show_in_neighbouring_minutes(rng: np.random.Generator) -> None:
    """Each minute is another user's, whose rows all differ but have the same two values again and again."""
    slots = rng.multinomial(4, [0.25, 0.25, 0.25, 0.25, 0.0], size=8) * 50
    slots[:, 0] += 100
    timeline = timeline_of(slots)
    found = scanned(timeline).decide()

    assert found.g[0] < found.limit[0]
    assert verdict(timeline) == ("shares differ as much from minute to minute as from training: look at the last hour")
    assert found.dispersion[0] > 10


def test_rows_of_a_day_that_are_alike_show_in_neighbouring_quarters(rng: np.random.Generator) -> None:
    """Each quarter of an hour is another user's; within the last, all minutes are the same."""
    slots = rng.multinomial(4, [0.4, 0.3, 0.2, 0.1, 0.0], size=24) * 50
    slots[-4:] = GOOD
    timeline = timeline_of(slots, seconds=900.0)
    found = scanned(timeline)
    is_long_and_above = (found.plain > found.limit) & timeline.is_long[:, np.newaxis]

    assert is_long_and_above.sum() > 10
    assert (found.dispersion[is_long_and_above] > 10).all()
    assert found.dispersion[~timeline.is_long, 0].max() < 1.3


def test_a_few_minutes_are_too_few_to_be_alike(rng: np.random.Generator) -> None:
    """With fewer than four, a change is not told from rows that are alike: they are believed."""
    slots = np.array([[100, 100, 0, 0, 0], [100, 0, 100, 0, 0], [0, 100, 0, 100, 0]])

    assert verdict(timeline_of(slots)) == "called"


def test_one_batch_in_one_request_says_nothing() -> None:
    remedy = "wait for a second minute, or send smaller parts"
    assert verdict(timeline_of([MISSING], in_requests=200)) == f"200 rows in 1 request: {remedy}"
    assert verdict(timeline_of([MISSING], in_requests=100)) == f"200 rows, as in 2 requests of one size: {remedy}"
    alike = "200 rows, as in 33 requests of one size, whose rows may be alike: wait for two more minutes of requests"
    later = timeline_of([[0] * len(MISSING), MISSING], seconds=10, in_requests=6)
    assert verdict(later) == alike
    assert verdict(timeline_of([MISSING], in_requests=6)) == "called"


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        pytest.param([500] * 3 + [10] * 50, "2,000 rows, as in 5 requests of one size", id="three large ones"),
        pytest.param([1900] + [1] * 100, "most of 2,000 rows in 1 request", id="one large one"),
        pytest.param([2000], "2,000 rows in 1 request", id="one"),
        pytest.param([1000] * 2, "2,000 rows, as in 2 requests of one size", id="two of one size"),
    ],
)
def test_requests_of_several_sizes_are_not_told_by_their_number(sizes: list[int], said: str) -> None:
    groups, squares = [[0, 0, 0, 0, sum(sizes)]], sum(size**2 for size in sizes)
    table = timeline_of(groups)
    assert table.rows is not None
    rows = table.rows._replace(squares=np.full_like(table.rows.squares, squares))
    assert verdict(replace(table, rows=rows)) == f"{said}: wait for a second minute, or send smaller parts"


def test_batches_that_agree_minute_by_minute_are_believed(rng: np.random.Generator) -> None:
    """Requests of 50 rows; four minutes of which say the same."""
    timeline = timeline_of([MISSING] * 4, in_requests=50)
    found = scanned(timeline).decide()

    assert verdict(timeline) == "called"
    assert timeline.starts[found.stretch[0]] == NOW - 4 * MINUTE
    unknown = 4 / stats.f.ppf(ALPHA / TESTS, 12, 4) / found.limit[0]
    assert found.g[0] == pytest.approx(g_statistic(TRAINED, [0, 0, 0, 0, 800 / found.dispersion[0] / unknown]))


def test_batches_whose_rows_recur_are_divided_by_that_at_least() -> None:
    timeline = timeline_of([MISSING] * 4, in_requests=50, buckets=buckets_of_rows([200] * 4, 4))
    found = scanned(timeline).decide()

    assert State(found.state[0]) == State.CALLED
    assert timeline.rows is not None
    assert found.dispersion[0] >= at_least(equal_rows(timeline.rows.buckets))[found.stretch[0]]
    assert found.dispersion[0] == pytest.approx(4, rel=0.1)


def test_batches_that_differ_count_for_fewer_rows() -> None:
    """Eighty rows in four requests, of which two and two are alike: G is far above its limit, but they are 28."""
    timeline = timeline_of([[0, 0, 0, 0, 20], [3, 3, 3, 4, 7]] * 2, in_requests=20)
    found = scanned(timeline)

    assert found.rows[0, 0] / found.dispersion[0, 0] < MINIMUM_ROWS
    assert found.plain[0, 0] > 3 * found.limit[0]
    assert State(found.state[0, 0]) == State.UNSTEADY


def test_one_hot_row_says_nothing_within_a_minute_and_is_believed_after() -> None:
    """All features missing at once: a failed join, and the same row again and again."""
    hot = np.zeros((6, ROW_BUCKETS), dtype=np.int64)
    hot[:, 9] = 200

    assert verdict(timeline_of([MISSING], buckets=hot[:1])) == (
        "one row makes up 100% of 200 rows: wait some minutes, and see which client sends it"
    )
    assert verdict(timeline_of([MISSING] * 6, buckets=hot)) == "called"


def test_a_hot_row_among_others_says_how_much_it_makes_up() -> None:
    buckets = buckets_of_rows([120])
    buckets[0, 3] += 80

    said = verdict(timeline_of([[30, 30, 30, 30, 80]], buckets=buckets))
    assert said == "one row makes up 40% of 200 rows: wait some minutes, and see which client sends it"


def test_few_different_rows_are_believed_after_some_minutes(rng: np.random.Generator) -> None:
    """A model of one category: rows are equal by chance, and a minute of them may be repeats."""
    three = np.zeros((6, ROW_BUCKETS), dtype=np.int64)
    three[:, [5, 70, 200]] = [70, 70, 60]
    slots = np.array([[0, 0, 70, 70, 60]] * 6) + rng.integers(-5, 6, size=(6, 1)) * [0, 0, 1, -1, 0]

    assert verdict(timeline_of(slots[:1], buckets=three[:1]), collisions=0.25) == (
        "few different rows among 200 rows, which may be repeats: wait some minutes"
    )
    assert verdict(timeline_of(slots, buckets=three), collisions=0.25) == "called"
    good_slots = rng.multinomial(200, [0.25, 0.25, 0.25, 0.25, 0.0], size=6)
    assert verdict(timeline_of(good_slots, buckets=three), collisions=0.25) == "stable"


def test_few_different_rows_whose_minutes_differ_are_unclear() -> None:
    """Each minute brings the rows of a few users; G of all is far above its limit, and so are parts from each other."""
    slots = np.array([[120, 80, 0, 0, 0], [80, 120, 0, 0, 0], [0, 0, 120, 80, 0], [100, 0, 100, 0, 0]])
    few = np.zeros((4, ROW_BUCKETS), dtype=np.int64)
    few[:, [5, 70, 200, 9]] = slots[:, :4]
    found = scanned(timeline_of(slots, buckets=few), collisions=0.25)

    assert np.isnan(found.recurrence).all()
    assert found.plain[0, 0] > stats.chi2.isf(ALPHA / TESTS, 4)
    assert [State(state) for state in found.state[:3, 0]] == [State.UNSTEADY] * 3
    assert State(found.state[3, 0]) == State.FEW_DIFFERENT_ROWS


# --- parts of it -----------------------------------------------------------------------------------------------------


def test_requests_with_many_rows_count_for_more() -> None:
    """100 requests of one row, and one of 100."""
    buckets = np.zeros((2, ROW_BUCKETS), dtype=np.int64)
    buckets[0, :2], buckets[1, 0] = [150, 50], 0
    found = requests_of(RowCounts(buckets, np.array([100 + 100**2, 0])))

    assert found.tolist() == [200**2 / 10_100, math.inf]


@pytest.mark.parametrize("repeats", [1, 4])
def test_dispersions_of_windows_are_those_of_their_longest_stretch(repeats: int, rng: np.random.Generator) -> None:
    slots = good(90, rng)
    timeline = timeline_of(slots, buckets=buckets_of_rows([200] * 90, repeats))
    found = dispersions_by_reach(TRAINED, timeline, ONE, DEGREES, (300.0, HOUR, 86400.0), alpha=ALPHA, collisions=0.0)
    for value, reach in zip(found[:, 0], (300.0, HOUR, 86400.0), strict=True):
        assert timeline.rows is not None
        buckets = timeline.rows.buckets[timeline.first_within(reach)]
        assert value >= at_least(equal_rows(buckets))
        assert value == pytest.approx(at_least(equal_rows(buckets)), rel=1.0 if repeats == 1 else 1e-9)


def test_dispersions_of_few_different_rows_are_those_of_parts(rng: np.random.Generator) -> None:
    slots = good(4, rng)
    slots[0] = [200, 0, 0, 0, 0]
    timeline = timeline_of(slots, buckets=np.tile(np.eye(1, ROW_BUCKETS, dtype=np.int64) * 200, (4, 1)))
    (longest, one) = dispersions_by_reach(TRAINED, timeline, ONE, DEGREES, (300.0, 60.0), alpha=ALPHA, collisions=0.25)[
        :, 0
    ]
    (differing,), (degrees,) = between_parts(slots.astype(float), TRAINED.astype(float), ONE)

    ratio = 4 / stats.f.ppf(ALPHA, degrees, 4) / stats.chi2.isf(ALPHA, 4)
    assert longest == pytest.approx(differing * ratio, rel=1e-6)
    assert one == pytest.approx(200)  # all that it can be: one row, 200 times


def test_each_variable_has_its_own_probability(rng: np.random.Generator) -> None:
    """Of two variables with the same counts, as if each were alone."""
    slots = good(4, rng)
    slots[0] = [200, 0, 0, 0, 0]
    buckets = np.tile(np.eye(1, ROW_BUCKETS, dtype=np.int64) * 200, (4, 1))
    both = timeline_of(np.hstack([slots, slots]), buckets=buckets, rows=slots.sum(axis=1))
    alphas, firsts, degrees = np.array([1e-3, 1e-9]), np.array([0, 5]), np.array([4, 4])
    trained = np.concatenate([TRAINED, TRAINED])
    found = scan(trained, both, firsts, degrees, alpha=alphas, collisions=0.25)
    phi = dispersions_by_reach(trained, both, firsts, degrees, (300.0,), alpha=alphas, collisions=0.25)
    for number, alpha in enumerate(alphas.tolist()):
        alone = timeline_of(slots, buckets=buckets)
        expected = scan(TRAINED, alone, ONE, DEGREES, alpha=alpha, collisions=0.25)
        assert found.limit[number] == expected.limit[0]
        assert found.state[:, number].tolist() == expected.state[:, 0].tolist()
        assert found.g[:, number].tolist() == expected.g[:, 0].tolist()
        own = dispersions_by_reach(TRAINED, alone, ONE, DEGREES, (300.0,), alpha=alpha, collisions=0.25)
        assert phi[0, number] == own[0, 0]
    assert phi[0, 0] != phi[0, 1]


def test_dispersions_of_an_empty_window_are_one(rng: np.random.Generator) -> None:
    timeline = timeline_of(good(1, rng), seconds=900.0)

    assert dispersions_by_reach(TRAINED, timeline, ONE, DEGREES, (300.0,), alpha=ALPHA, collisions=0.0).tolist() == [
        [1.0]
    ]
