"""Policies in a baseline file: comments, which releases without them pass over, and which are no samples to scrape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flask_boxkite.baseline.file.damage import fail
from flask_boxkite.errors import BaselineError
from flask_boxkite.policies import Policy, named_policies, over

__all__ = ["policy_comments", "read_policies"]

NAME = "policy_"
"""Name of such a comment, before its number."""


def policy_comments(policies: Iterable[Policy]) -> Iterator[str]:
    """Yield a comment for each policy, without the mark of this package's comments."""
    for number, policy in enumerate(policies):
        yield f"{NAME}{number} {json.dumps({'name': policy.name, **policy.to_dict()})}"


def read_policies(comments: Mapping[str, str], known: Sequence[str], *, are_all: bool = True) -> tuple[Policy, ...]:
    """Return the policies.

    Args:
        comments: Comments of the file, by name.
        known: Names of its variables.
        are_all: Whether the file has every variable under its name; if not, policies of unknown ones are left out.

    Raises:
        BaselineError: A comment is damaged, of an unknown variable, or of a later release, with other decisions.
    """
    policies: list[Policy] = []
    for number in range(len(comments)):
        if (text := comments.get(f"{NAME}{number}")) is None:
            break
        try:
            content = json.loads(text)
            policies += named_policies({content.pop("name"): content})
        except BaselineError as error:
            fail(f"the comment '{NAME}{number}' is damaged, or from a later release: {error}")
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
            fail(f"the comment '{NAME}{number}' is damaged: {text!r}. Export the file again.")
    if not are_all:
        policies = [policy for policy in policies if policy.name in known]
    # A file in the ancestor's form has only one output. A server refuses a baseline of which nothing is judged.
    return over(policies, (), known, may_ignore_all=True)
