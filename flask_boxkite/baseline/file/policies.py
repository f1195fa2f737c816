"""Policies in a baseline file: comments, which releases without them pass over, and which are no samples to scrape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flask_boxkite.baseline.file.damage import fail
from flask_boxkite.errors import BaselineError
from flask_boxkite.policies import Policy, over, policy_of

__all__ = ["policy_comments", "read_policies"]

NAME = "policy_"
"""Name of such a comment, before its number."""


def policy_comments(policies: Iterable[Policy]) -> Iterator[str]:
    """Yield a comment for each policy, without the mark of this package's comments."""
    for number, policy in enumerate(policies):
        yield f"{NAME}{number} {json.dumps({'name': policy.name, **policy.to_dict()})}"


def read_policies(comments: Mapping[str, str], known: Sequence[str]) -> tuple[Policy, ...]:
    """Return the policies.

    Args:
        comments: Comments of the file, by name.
        known: Names of its variables.

    Raises:
        BaselineError: A comment is damaged, or of a later release, with decisions that are unknown here.
    """
    policies = []
    for number in range(len(comments)):
        if (text := comments.get(f"{NAME}{number}")) is None:
            break
        try:
            content = json.loads(text)
            policies.append(policy_of(content.pop("name"), content))
        except BaselineError as error:
            fail(f"the comment '{NAME}{number}' is damaged, or from a later release: {error}")
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
            fail(f"the comment '{NAME}{number}' is damaged: {text!r}. Export the file again.")
    return over(policies, (), known)
