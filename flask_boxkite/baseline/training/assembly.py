"""Assembly of counted columns to the contents of a baseline, or their refusal with all problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.training.advice import warn_of_columns, warn_of_row_labels
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.problems import ColumnError, Problem
from flask_boxkite.baseline.training.seen import Seen
from flask_boxkite.baseline.validation import Validation
from flask_boxkite.derived.recipe import Recipe
from flask_boxkite.errors import BaselineError

__all__ = ["assembled"]


def assembled(
    features: tuple[Distribution, ...],
    outputs: tuple[Distribution, ...],
    options: BaselineOptions,
    seen: Seen,
    *,
    model: str,
    version: str | None,
    created: int,
    collisions: float | None,
    validate: Callable[[Sequence[Distribution]], Validation] | None = None,
    derived: Sequence[Recipe] = (),
    inputs: Sequence[str] = (),
) -> BaselineContents:
    """Put distributions together to the contents of a baseline.

    Args:
        features: Distributions of the features.
        outputs: Distributions of the outputs.
        options: Decisions of the user.
        seen: Observations of the counting.
        model: Name of the model.
        version: Name of the version, for people.
        created: Unix time.
        collisions: Probability that two rows are equal.
        validate: Function that compares the outputs with the actual values of the same rows; None without these.
        derived: Recipes of derived variables, which are the last features.
        inputs: Names of a row's values, with derived variables.

    Raises:
        ColumnError: Some columns could not be counted.
        BaselineError: There are no columns, they have no rows or different numbers, or an option names a missing one.
    """
    items = (*features, *outputs)
    warn_of_row_labels(seen.row_labels)
    problems = seen.problems + [_of_containers(item) for item in items if _is_invalid(item)]
    if problems:
        raise ColumnError(problems)
    if not items:
        msg = "The training data has no columns: give at least one feature or an inference."
        raise BaselineError(msg)
    names = [item.name for item in items]
    options.check_names(names, len(features), seen.excluded)
    policies = options.policies_for(names)
    warn_of_columns(items, seen.looks)
    # The outputs may come from a test set, with fewer or more rows.
    rows = [_common_rows(counts, seen.whole_rows) for counts in (features, outputs) if counts]
    if options.missing_texts:  # serving reads values by them too
        features, outputs = (
            tuple(replace(item, missing_texts=options.missing_texts) for item in side) for side in (features, outputs)
        )

    validation = None if validate is None else validate(outputs)
    return BaselineContents(
        features,
        outputs,
        rows[0],
        model,
        version or None,
        created,
        collisions,
        validation,
        derived=tuple(derived),
        inputs=tuple(inputs),
        policies=policies,
    )


def _is_invalid(item: Distribution) -> bool:
    """Say whether a column has values, all of which are invalid."""
    return 0 < item.invalid == item.rows - item.missing


def _of_containers(item: Distribution) -> Problem:
    fact = f"Column {item.name!r} holds lists or objects."
    remedy = (
        f"Give each value in them a column of its own, such as '{item.name}.0' or '{item.name}.key' "
        "(a list of rows by name, as from frame.to_dict('records'), needs no change),"
    )
    vector = f"watch it as a vector (derive={{{item.name!r}: Vector({item.name!r})}}, of flask_boxkite.derived),"
    names = (item.name,)
    return Problem(fact, f"{remedy} {vector} or exclude={names!r}.", f"{remedy} or --exclude {item.name!r}.")


def _common_rows(distributions: Sequence[Distribution], whole_rows: Mapping[str, int]) -> int:
    first = distributions[0]
    rows = whole_rows.get(first.name, first.rows)
    if not any(item.rows for item in distributions):
        msg = f"Column {first.name!r} of the training data has no rows. Does a filter leave none, or is the file empty?"
        raise BaselineError(msg)
    for other in distributions:
        if (others := whole_rows.get(other.name, other.rows)) != rows:
            msg = (
                f"Column {other.name!r} has {others} rows, {first.name!r} has {rows}. "
                "All columns must have the same length."
            )
            raise BaselineError(msg)

    return rows
