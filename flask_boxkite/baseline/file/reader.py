"""The reader of baseline files, of this package and of boxkite 0.0.5, with checks. Never pickle, never eval.

Every error names the file, and the line where one is at fault. Reading 1,000 columns takes about 0.7 s.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, group_counts
from flask_boxkite.baseline.file import legacy
from flask_boxkite.baseline.file.buckets import read_buckets, read_count
from flask_boxkite.baseline.file.damage import HINT, fail
from flask_boxkite.baseline.file.lines import lines_of
from flask_boxkite.baseline.file.pairs import PairSamples
from flask_boxkite.baseline.file.policies import read_policies
from flask_boxkite.baseline.file.validation import LISTS, ValidationSamples
from flask_boxkite.baseline.file.writer import BASELINE_INFO, CREATED_FORMAT, INPUTS, RECIPE, ROW_COLLISIONS, SEGMENTS
from flask_boxkite.baseline.limits import LONGEST_NAME, MOST_BINS
from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.derived.documents import recipe_of
from flask_boxkite.derived.recipe import Recipe
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import BELOW, INVALID, MISSING, RARE, SPECIAL_GROUPS, UNSEEN, parse_interval, parse_number
from flask_boxkite.promtext.sample import Sample, parse_any_sample, unescape
from flask_boxkite.values.times import seconds_of_label

__all__ = ["load", "loads"]

MOST_SAMPLES = 2_000_000
"""Most samples of a file, twice as many as 10,000 features have; each takes half a kilobyte of memory."""

_VARIABLE_SAMPLE = re.compile(
    r"boxkite_(feature|inference)_(?:(info)|(value)_baseline_bucket|value_baseline_count|(category|group)_baseline_total)"
)


@dataclass
class _FileVariable:
    """The parts of one feature or output in the file, before the checks."""

    name: str
    position: int
    kind: str
    width: int
    is_time: bool
    missing_texts: frozenset[str]
    is_derived: bool
    line: int
    buckets: list[Sample] = field(default_factory=list)
    categories: list[Sample] = field(default_factory=list)
    groups: list[Sample] = field(default_factory=list)


def load(path: Path) -> BaselineContents:
    """Read a baseline file.

    Raises:
        BaselineError: The file is missing, unreadable or not a valid baseline; the message names file and line.
    """
    try:
        helps: dict[str, str] = {}
        comments: dict[str, str] = {}
        samples = list(_samples(lines_of(path), helps, comments))
        if not samples:
            fail(f"it is empty. {HINT}")
        if legacy.is_legacy(samples):
            return legacy.read(samples, helps, comments, int(path.stat().st_mtime))
        return _assembled(samples, comments)
    except OSError as error:
        msg = f"Baseline file '{path}': it cannot be read: {error.strerror}. {HINT}"
        raise BaselineError(msg, path=str(path)) from error
    except BaselineError as error:
        where = f", line {error.line}" if error.line is not None else ""
        msg = f"Baseline file '{path}'{where}: {error}"
        raise BaselineError(msg, path=str(path), line=error.line) from error


def loads(text: str) -> BaselineContents:
    """Read the text of a baseline file.

    Raises:
        BaselineError: The text is not a valid baseline.
    """
    comments: dict[str, str] = {}
    return _assembled(list(_samples(text.split("\n"), {}, comments)), comments)


def _samples(
    lines: Iterable[str], helps: dict[str, str], comments: dict[str, str], most: int = MOST_SAMPLES
) -> Iterator[Sample]:
    """Yield all samples in order; collect HELP texts in *helps*, and this package's comments in *comments*, by family.

    A variable, or a file, of too many samples ends the reading, before they fill the memory.
    """
    samples_of: Counter[tuple[str, str | None]] = Counter()
    count = 0
    for number, line in enumerate(lines, 1):
        if line.startswith("# HELP "):
            name, _, documentation = line[7:].partition(" ")
            helps[name] = unescape(documentation)
        elif line.startswith(legacy.COMMENT):
            name, _, comment = line.removeprefix(legacy.COMMENT).rstrip("\r").partition(" ")
            comments[name] = comment
        elif line.strip() and not line.lstrip().startswith("#"):
            count += 1
            if count > most:
                fail(f"the file has more than the {most:,} samples that a baseline may have.", number)

            sample = _sample(line.rstrip("\r"), number)
            if len(line) > LONGEST_NAME:
                _check_labels(sample)
            variable = sample.labels.get("feature", sample.labels.get("output", sample.labels.get("pair")))
            samples_of[sample.name, variable] += 1
            # There are two special categories besides the others, and infinity besides the bounds.
            if samples_of[sample.name, variable] > MOST_BINS + 2:
                of = sample.name if variable is None else repr(variable)
                fail(f"{of} has more than the {MOST_BINS:,} bins or categories that a variable may have.", number)
            yield sample


def _sample(line: str, number: int) -> Sample:
    try:
        return parse_any_sample(line, number)
    except ValueError as error:
        fail(str(error), number)


def _check_labels(sample: Sample) -> None:
    for label, value in sample.labels.items():
        if len(value) > LONGEST_NAME and label not in ("missing_texts", *LISTS):  # which are lists
            fail(f"{label!r} has {len(value):,} letters; it may have {LONGEST_NAME:,}.", sample.line)


# --- assembling ------------------------------------------------------------------------------------------------------


def _assembled(samples: Sequence[Sample], comments: Mapping[str, str]) -> BaselineContents:
    about: Sample | None = None
    collisions: float | None = None
    variables: dict[tuple[str, str], _FileVariable] = {}
    validation, pairs = ValidationSamples(), PairSamples()

    for sample in samples:
        if sample.name == BASELINE_INFO.name:
            if about is not None:
                fail("a second baseline begins here. A file holds one.", sample.line)
            about = sample
        elif sample.name == ROW_COLLISIONS.name:
            if collisions is not None:
                fail(f"'{sample.name}' is there twice.", sample.line)
            collisions = _probability(sample)
        elif not (validation.take(sample) or pairs.take(sample)):
            _sort_in(sample, variables)
    if about is None:
        fail(f"it has no '{BASELINE_INFO.name}', so it is no baseline. {HINT}")
    features, outputs = (_side(side, variables) for side in ("feature", "inference"))
    baseline = BaselineContents(
        features,
        outputs,
        read_count(about),
        about.labels.get("model", "default"),
        about.labels.get("version") or None,
        _created(about),
        collisions,
        validation.validation(features, outputs),
        pairs.pairs(features, outputs),
        *_derived(comments, variables),
        _segmentations(comments, features, outputs),
        read_policies(comments, [item.name for item in (*features, *outputs)]),
    )
    claimed = about.labels.get("baseline")
    if claimed != baseline.fingerprint:
        fact = (
            f"it claims to be baseline {claimed!r} but its content is {baseline.fingerprint!r}: it was cut or edited."
        )
        fail(f"{fact} Export it again.", about.line)

    return baseline


def _derived(
    comments: Mapping[str, str], variables: Mapping[tuple[str, str], _FileVariable]
) -> tuple[tuple[Recipe, ...], tuple[str, ...]]:
    """Return the recipes of derived variables, and the names of a row's values."""
    texts = [comments[name] for name in (f"{RECIPE}{number}" for number in range(len(comments))) if name in comments]
    try:
        recipes = tuple(recipe_of(json.loads(text)) for text in texts)
        inputs = json.loads(comments.get(INPUTS, "[]"))
    except (ValueError, RecursionError):
        fail("the recipe of a derived variable is damaged, or from a later release. Export the file again.")
    if not isinstance(inputs, list) or not all(isinstance(name, str) for name in inputs):
        fail(f"the comment '{INPUTS}' must be a list of names, as JSON has it.")
    known = {name for recipe in recipes for name in recipe.names}
    for (side, name), variable in variables.items():
        if variable.is_derived != (side == "feature" and name in known):
            fail(f"the recipe of {name!r} is missing: comments were cut from the file. Export it again.", variable.line)
    return recipes, tuple(inputs)


def _segmentations(
    comments: Mapping[str, str], features: Sequence[Distribution], outputs: Sequence[Distribution]
) -> tuple[Segmentation, ...]:
    """Return the segments."""
    places = {("feature", item.name): place for place, item in enumerate(features)}
    places |= {("output", item.name): place for place, item in enumerate(outputs, len(features))}
    found = []
    for number in range(len(comments)):
        if (text := comments.get(f"{SEGMENTS}{number}")) is None:
            break
        try:
            document = json.loads(text)
            place = places[document["side"], document["variable"]]
            counts = tuple(tuple(map(operator.index, own)) for own in document["counts"])
            collisions = tuple(None if each is None else float(each) for each in document["collisions"])
            found.append(Segmentation(place, tuple(map(str, document["segments"])), counts, collisions))
        except (ValueError, TypeError, LookupError, RecursionError):  # a BaselineError is a ValueError
            fail(f"the comment '{SEGMENTS}{number}' is damaged, or from a later release. Export the file again.")
    return tuple(found)


def _probability(sample: Sample) -> float:
    if not 0 <= sample.value <= 1:
        fail(f"'{sample.name}' must be a probability, got {sample.value!r}.", sample.line)
    return sample.value


def _created(about: Sample) -> int:
    text = about.labels.get("created", "")
    try:
        return int(datetime.strptime(text, CREATED_FORMAT).replace(tzinfo=timezone.utc).timestamp())
    except ValueError:
        fail(f"'created' must be a time such as '2026-01-31T12:00:00Z', got {text!r}.", about.line)


def _sort_in(sample: Sample, variables: dict[tuple[str, str], _FileVariable]) -> None:
    """Put a sample to its variable; ignore samples of other families."""
    part = _part(sample.name)
    if part is None:
        return
    side, is_info, is_bucket, counter = part
    name = sample.labels.get("feature" if side == "feature" else "output")
    if name is None:
        fail(f"'{sample.name}' does not say of which variable it is.", sample.line)

    if is_info:
        if (side, name) in variables:
            fail(f"{name!r} is declared twice.", sample.line)
        variables[side, name] = _declared(sample, name)
        return

    variable = variables.get((side, name))
    if variable is None:
        fail(f"'{sample.name}' is of {name!r}, which no '_info' line before it declares.", sample.line)
    if is_bucket:
        variable.buckets.append(sample)
    elif counter:
        (variable.categories if counter == "category" else variable.groups).append(sample)


@lru_cache(maxsize=64)
def _part(name: str) -> tuple[Any, ...] | None:
    """Return the side and the part of a variable that a sample belongs to; None for another sample."""
    match = _VARIABLE_SAMPLE.fullmatch(name)
    return match.groups() if match else None


def _declared(sample: Sample, name: str) -> _FileVariable:
    kind, position = sample.labels.get("kind"), sample.labels.get("position", "")
    if kind not in (Continuous.kind, Discrete.kind) or not re.fullmatch("[0-9]{1,9}", position):
        fail(f"{name!r} needs a position and a kind, 'continuous' or 'discrete'.", sample.line)
    width = sample.labels.get("width", "64")
    if width not in ("16", "32", "64"):
        fail(f"{name!r} has floats of {width!r} bits; they have 16, 32 or 64.", sample.line)
    type_ = sample.labels.get("type")
    if type_ not in (None, "time"):
        fail(f"{name!r} is of type {type_!r}; only 'time' is known. Is the file of a later release?", sample.line)
    missing_texts = _texts(sample, name)
    is_derived = "derived" in sample.labels
    return _FileVariable(
        name, int(position), kind, int(width), type_ is not None, missing_texts, is_derived, sample.line
    )


def _texts(sample: Sample, name: str) -> frozenset[str]:
    try:
        texts = json.loads(sample.labels.get("missing_texts", "[]"))
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        fail(f"'missing_texts' of {name!r} must be a list of texts, as JSON has it.", sample.line)
    return frozenset(texts)


def _side(side: str, variables: dict[tuple[str, str], _FileVariable]) -> tuple[Distribution, ...]:
    of_side = [variable for (own_side, _), variable in variables.items() if own_side == side]
    of_side.sort(key=lambda variable: variable.position)
    return tuple(map(_distribution, of_side))


def _distribution(variable: _FileVariable) -> Distribution:
    groups = _by_label(variable.groups, "group")
    if not groups:
        fail(f"{variable.name!r} has no groups.", variable.line)
    build = _continuous if variable.kind == Continuous.kind else _discrete
    try:
        distribution = build(variable, groups)
    except BaselineError as error:
        # Errors of a whole variable name its first line.
        fail(str(error), error.line or (variable.buckets or variable.categories or variable.groups)[0].line)
    _check_groups(variable, distribution, groups)
    return distribution


def _by_label(samples: Sequence[Sample], label: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples:
        name = sample.labels.get(label)
        if name is None or name in counts:
            fail(f"{label} {name!r} is missing or there twice.", sample.line)
        counts[name] = read_count(sample)
    return counts


def _continuous(variable: _FileVariable, groups: dict[str, int]) -> Distribution:
    bounds, counts = read_buckets(variable.name, variable.buckets)
    group_bounds = _group_bounds(variable, groups)
    others = groups.get(MISSING, 0), groups.get(INVALID, 0), variable.width, variable.is_time, variable.missing_texts
    return Continuous(variable.name, bounds, counts, group_bounds, *others)


def _group_bounds(variable: _FileVariable, groups: dict[str, int]) -> tuple[float, ...]:
    ends: set[float] = set() if BELOW in groups else {float("-inf")}
    for sample in variable.groups:
        name = sample.labels["group"]
        if name in SPECIAL_GROUPS:
            continue
        try:
            ends.update(parse_interval(name, seconds_of_label if variable.is_time else parse_number))
        except ValueError:
            fail(f"group {name!r} of {variable.name!r} is not an interval '(lower,upper]'.", sample.line)
    return tuple(sorted(ends))


def _discrete(variable: _FileVariable, groups: dict[str, int]) -> Distribution:
    counts = _by_label(variable.categories, "category")
    item = Discrete.ordered(
        variable.name,
        {label: count for label, count in counts.items() if label not in (RARE, UNSEEN)},
        rare=counts.get(RARE, 0),
        unseen=counts.get(UNSEEN, 0),
        missing=groups.get(MISSING, 0),
        invalid=groups.get(INVALID, 0),
        width=variable.width,
        is_time=variable.is_time,
        missing_texts=variable.missing_texts,
    )
    if groups.keys() == {group.name for group in item.groups}:
        return item
    item = item.in_order()
    return replace(item, group_sizes=item.sizes_named(groups))


def _check_groups(variable: _FileVariable, distribution: Distribution, groups: dict[str, int]) -> None:
    """Compare the groups in the file with the sums of its bins."""
    names = [group.name for group in distribution.groups]
    expected = dict(zip(names, group_counts(distribution, distribution.cells), strict=True))
    if expected != groups:
        name, _ = min(expected.items() ^ groups.items())
        line = next((sample.line for sample in variable.groups if sample.labels["group"] == name), variable.line)
        fail(f"the groups of {variable.name!r} do not add up from its bins: {name!r} differs.", line)
