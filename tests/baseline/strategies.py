"""Hypothesis strategies: arbitrary columns, distributions and baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hypothesis import strategies as st

from flask_boxkite.baseline import Baseline, Continuous, Discrete, Distribution
from flask_boxkite.baseline.distribution import category_labels
from flask_boxkite.baseline.pairs import CELLS, Pair
from flask_boxkite.naming import canonical_number
from flask_boxkite.policies import Policy

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['quo"te', "new\nline", "{brace}", "back\\slash", "Größe", "line\u2028separator", "\r", "a} 1", ""]
)
COUNTS = st.integers(0, 2**40)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.one_of(
    FLOATS,
    st.floats(),
    st.integers(-20, 20),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.sampled_from([None, -0.0, 1e-310, math.inf, -math.inf]),
)


@st.composite
def continuous(draw: st.DrawFn) -> Continuous:
    """Draw a continuous distribution with any groups that its bounds allow."""
    bounds = sorted(draw(st.sets(FLOATS, min_size=1, max_size=8)))
    counts = draw(st.lists(COUNTS, min_size=len(bounds) + 1, max_size=len(bounds) + 1))
    starts = [-math.inf, *bounds[:-1]]
    # There may be bins below the first group and above the last.
    groups = sorted({draw(st.sampled_from(starts)), *draw(st.sets(st.sampled_from(bounds), min_size=1))})
    groups = groups if len(groups) > 1 else [-math.inf, *groups]
    return Continuous(draw(NAMES), tuple(bounds), tuple(counts), tuple(groups), draw(COUNTS), draw(COUNTS))


@st.composite
def discrete(draw: st.DrawFn) -> Discrete:
    """Draw a discrete distribution of texts or of numbers."""
    labels = draw(
        st.lists(NAMES, unique=True, max_size=16).map(category_labels)
        | st.lists(FLOATS.map(canonical_number), unique=True, max_size=16)
    )
    counts = {label: draw(COUNTS) for label in labels}
    others = {key: draw(COUNTS) for key in ("rare", "unseen", "missing", "invalid")}
    build = draw(st.sampled_from([Discrete.ordered, Discrete.grouped]))
    return build(draw(NAMES), counts, **others)


def distributions(size: int = 4) -> st.SearchStrategy[tuple[Distribution, ...]]:
    """Draw up to *size* distributions of different names."""
    return st.lists(continuous() | discrete(), max_size=size, unique_by=lambda item: item.name).map(tuple)


@st.composite
def baselines(draw: st.DrawFn) -> Baseline:
    """Draw any baseline that can exist."""
    features, outputs = draw(distributions()), draw(distributions(2))
    places = range(len(features) + len(outputs))
    both = [(first, second) for second in places for first in range(second)]
    chosen = draw(st.lists(st.sampled_from(both), unique=True, max_size=3)) if both else []
    counts = st.lists(COUNTS, min_size=CELLS, max_size=CELLS).map(tuple)
    return Baseline(
        features,
        outputs,
        draw(COUNTS),
        draw(NAMES),
        draw(st.none() | NAMES.filter(bool)),
        draw(st.integers(0, 2**32)),
        draw(st.none() | st.floats(0, 1)),
        pairs=tuple(Pair(*places, draw(counts)) for places in sorted(chosen)),
        policies=draw(policies(dict.fromkeys(item.name for item in (*features, *outputs)))),
    )


@st.composite
def policies(draw: st.DrawFn, names: Iterable[str]) -> tuple[Policy, ...]:
    """Draw what a user may decide about some of the variables; one of them is judged."""
    _, *others = [*names] or [""]
    sizes = st.none() | st.floats(1e-6, 0.1), st.none() | st.floats(0.25, 1e6)
    found = [
        Policy(name, draw(st.sampled_from([None, True])), draw(st.none() | st.floats(0, 1e12)), *map(draw, sizes))
        for name in others
        if draw(st.booleans())
    ]
    return tuple(policy for policy in found if policy.to_dict())
