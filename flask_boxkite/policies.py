"""How much each variable matters, as the user decides: ignored, its weight, and the sizes from which it has drifted.

A baseline carries the policies of training, and a server's settings are laid over them. They change verdicts, never
counts, so they are no part of a baseline's identity.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Real
from typing import Any

from flask_boxkite.errors import BaselineError, BinMismatchError
from flask_boxkite.suggestion import suggestion

__all__ = [
    "DRIFTED_SIZE",
    "MAJOR_SIZE",
    "Policy",
    "check_weights",
    "merged",
    "named_policies",
    "over",
    "policies_of",
    "policy_lines",
    "policy_of",
]

DRIFTED_SIZE = 0.1
MAJOR_SIZE = 0.25
"""Sizes from which a significant shift is ``drifted`` and ``major``: the usual marks for PSI."""

MOST_WEIGHT = 1e12
"""Largest weight, so that weights have a sum."""

_SHOWN = 20
"""Most variables that a line names."""


@dataclass(frozen=True)
class Policy:
    """The user's decisions about the variables of one name; None where the user decided nothing.

    Attributes:
        name: Name of the feature or output; of both, if they share it.
        ignore: Whether it is counted, but not judged.
        weight: Importance beside the other variables; others have 1. A variable of weight 0 is ignored.
        drifted: Size from which a real change is ``drifted``.
        major: Size from which it is ``major``.

    Raises:
        BaselineError: A value makes no sense.
    """

    name: str
    ignore: bool | None = None
    weight: float | None = None
    drifted: float | None = None
    major: float | None = None

    def __post_init__(self) -> None:
        if self.ignore is not None and not isinstance(self.ignore, bool):
            msg = f"'ignore' of {self.name!r} must be true or false, got {self.ignore!r}."
            raise BaselineError(msg)
        for key in ("weight", "drifted", "major"):
            if (value := getattr(self, key)) is not None:
                object.__setattr__(self, key, _number(key, self.name, value))

    def check(self) -> None:
        """Check decisions that depend on each other, once all sources have been laid over each other.

        Raises:
            BaselineError: The sizes are out of order, or a variable of weight 0 is to be judged.
        """
        drifted, major = self.sizes
        if drifted > major:
            msg = (
                f"{self.name!r} is 'major' from a size of {major:g} on, below the {drifted:g} from which it is "
                f"'drifted'. Set both sizes."
            )
            raise BaselineError(msg)
        if self.ignore is False and self.weight == 0:
            msg = f"{self.name!r} is not to be ignored, but its weight is 0, which ignores it. Set its weight."
            raise BaselineError(msg)

    @property
    def is_ignored(self) -> bool:
        """Whether the variable is not judged."""
        return bool(self.ignore) or self.weight == 0

    @property
    def has_sizes(self) -> bool:
        """Whether the user decided on a size."""
        return self.drifted is not None or self.major is not None

    @property
    def sizes(self) -> tuple[float, float]:
        """The sizes from which a real change is ``drifted`` and ``major``."""
        return (
            DRIFTED_SIZE if self.drifted is None else self.drifted,
            MAJOR_SIZE if self.major is None else self.major,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the decisions, without those that the user left open."""
        return {key: value for key, value in asdict(self).items() if key != "name" and value is not None}


KEYS = tuple(field.name for field in fields(Policy) if field.name != "name")


def _number(key: str, name: str, value: Any) -> float:
    """Return a weight or a size.

    Raises:
        BaselineError: It is none.
    """
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if key == "weight" and not 0 <= number <= MOST_WEIGHT:
        remedy = "Of coefficients, give the absolute values; of importances below 0, give 0." if number < 0 else ""
        msg = f"'weight' of {name!r} must be a number from 0 to {MOST_WEIGHT:.0e}, got {value!r}. {remedy}"
        raise BaselineError(msg.strip())
    if key != "weight" and not 0 < number < math.inf:
        msg = f"'{key}' of {name!r} must be a number above 0, got {value!r}."
        raise BaselineError(msg)
    return number


def policy_of(name: str, content: Any) -> Policy:
    """Return the policy that a mapping describes, as in ``{"weight": 3, "drifted": 0.15}``.

    Raises:
        BaselineError: It is no mapping, has an unknown key, or a value makes no sense.
    """
    if not isinstance(content, Mapping):
        msg = f"{name!r} needs a mapping such as {{'weight': 3}} or {{'ignore': True}}, got {content!r}."
        raise BaselineError(msg)
    for key in content:
        if key not in KEYS:
            hint = suggestion(key, KEYS) if isinstance(key, str) else suggestion("", KEYS)
            msg = f"{name!r} has no {key!r} to set. {hint}"
            raise BaselineError(msg)
    return Policy(name, **content)


def named_policies(content: Any) -> tuple[Policy, ...]:
    """Return the policies that a mapping of names describes, as in ``{"age": {"ignore": True}}``.

    Raises:
        BaselineError: The content is no such mapping, or a value makes no sense.
    """
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        example = "{'age': {'ignore': True}}"
        msg = f"Decisions on variables must be a mapping by name, such as {example}, got {content!r}."
        raise BaselineError(msg)
    return tuple(policy_of(name, own) for name, own in content.items())


def policies_of(
    *, ignore: Iterable[str] = (), weights: Any = None, drift_sizes: Any = None, are_whole: bool = True
) -> tuple[Policy, ...]:
    """Return the policies that the arguments of `ModelMonitoringService.export_text` describe.

    Args:
        ignore: Names of variables that are not judged.
        weights: Importance of variables, by name.
        drift_sizes: Sizes by name: of ``drifted``, or of ``drifted`` and ``major``.
        are_whole: Whether they stand alone, so that they can be checked; not if they are laid over others.

    Raises:
        BaselineError: An argument has another form, or a value makes no sense.
    """
    names = list(ignore) if isinstance(ignore, Iterable) and not isinstance(ignore, str) else [None]
    if not all(isinstance(name, str) for name in names):
        msg = f"'ignore' must be a list of names, got {ignore!r}."
        raise BaselineError(msg)
    contents: dict[str, dict[str, Any]] = {str(name): {"ignore": True} for name in names}
    for name, weight in _items(
        "weights", weights, "importances, such as {'income': 3} or dict(zip(names, model.feature_importances_))"
    ):
        contents.setdefault(name, {})["weight"] = weight
    for name, size in _items("drift_sizes", drift_sizes, "sizes, such as {'age': 0.2} or {'age': (0.2, 0.5)}"):
        contents.setdefault(name, {}).update(_sizes(name, size))

    policies = tuple(policy for policy in named_policies(contents) if policy.to_dict())
    for policy in policies if are_whole else ():
        policy.check()
    return policies


def _items(option: str, value: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Yield the items of a mapping, or of a Series, which is none.

    Raises:
        BaselineError: The value is no mapping of names.
    """
    if value is None:
        return
    items = getattr(value, "items", None)
    pairs: list[tuple[Any, Any]] = list(items()) if callable(items) else [(None, None)]
    if not all(isinstance(name, str) for name, _ in pairs):
        msg = f"'{option}' must map names to {what}, got {value!r}."
        raise BaselineError(msg)
    yield from pairs


def _sizes(name: str, value: Any) -> dict[str, Any]:
    """Return the decisions that a size, or a pair of sizes, stands for."""
    if not isinstance(value, (tuple, list)):
        return {"drifted": value}
    if len(value) != 2:
        msg = f"'drift_sizes' of {name!r} must be the size of 'drifted', or of 'drifted' and 'major', got {value!r}."
        raise BaselineError(msg)
    return {"drifted": value[0], "major": value[1]}


def over(
    policies: Iterable[Policy], others: Iterable[Policy], known: Collection[str], *, may_ignore_all: bool = False
) -> tuple[Policy, ...]:
    """Return *policies* laid over *others*, decision by decision, in the order of the variables.

    Args:
        policies: Policies that win.
        others: Policies that hold where the first decide nothing.
        known: Names of the variables.
        may_ignore_all: Whether no variable need be left, as in a file that has only some of them.

    Raises:
        BaselineError: A policy is of an unknown variable, decisions do not go together, or no variable is left.
    """
    found = {policy.name: policy for policy in others}
    for policy in policies:
        if policy.name not in known:
            msg = f"The baseline has no variable {policy.name!r}. {suggestion(policy.name, [*known])}"
            raise BaselineError(msg)
        found[policy.name] = replace(found.get(policy.name, Policy(policy.name)), **policy.to_dict())

    policies = tuple(found[name] for name in dict.fromkeys(known) if name in found and found[name].to_dict())
    for policy in policies:
        policy.check()
    if not may_ignore_all:
        check_weights(policies, known)
    return policies


def check_weights(policies: Iterable[Policy], known: Collection[str]) -> None:
    """Refuse policies that ignore all variables.

    Raises:
        BaselineError: No variable is left to judge.
    """
    if known and {*known} <= {policy.name for policy in policies if policy.is_ignored}:
        msg = "Every variable is ignored, or has the weight 0, so nothing can be judged. Leave one of them in."
        raise BaselineError(msg)


def merged(left: Iterable[Policy], right: Iterable[Policy], known: Collection[str]) -> tuple[Policy, ...]:
    """Return the policies of two baselines that are added up, in the order of the variables; commutative.

    Args:
        left: Policies.
        right: Policies.
        known: Names of the variables.

    Raises:
        BinMismatchError: They contradict each other.
    """
    found = {policy.name: policy for policy in left}
    for policy in right:
        if found.setdefault(policy.name, policy) != policy:
            decisions = found[policy.name].to_dict(), policy.to_dict()
            msg = f"The baselines judge {policy.name!r} differently: {decisions[0]} and {decisions[1]}."
            raise BinMismatchError(msg)
    return tuple(found[name] for name in dict.fromkeys(known) if name in found)


def policy_lines(policies: Iterable[Policy]) -> Iterator[str]:
    """Yield lines for people: variables that are ignored, their weights, and their sizes of drift."""
    policies = tuple(policies)
    weights = [f"{policy.name} {policy.weight:g}" for policy in policies if not policy.is_ignored and policy.weight]
    sizes = [
        f"{policy.name} {' and '.join(f'{size:g}' for size in policy.sizes)}"
        for policy in policies
        if not policy.is_ignored and policy.has_sizes
    ]
    for title, items in (
        ("ignored", [policy.name for policy in policies if policy.is_ignored]),
        ("weights", weights),
        ("drifted and major from", sizes),
    ):
        if items:
            rest = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
            yield f"{title}: {', '.join(items[:_SHOWN])}{rest}"
