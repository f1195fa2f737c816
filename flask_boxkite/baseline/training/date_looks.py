"""Forms of dates that are not read, such as ``31.01.2024``: their texts would be categories that never come twice."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["DATE_LOOKS", "date_look"]

MOST = 0.8
"""Share of the texts that must have one form."""

_YEAR, _MONTH, _DAY = r"(?:1[89]|20|21)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_NAME = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_TIME = r"(?:[T ,].*)?"

_FORMS = {
    "31.01.2024": rf"{_DAY}\. ?{_DAY}\. ?(?:{_YEAR}|\d\d){_TIME}",
    "31/01/2024": rf"{_DAY}/{_DAY}/(?:{_YEAR}|\d\d){_TIME}",
    "31-01-2024": rf"{_DAY}-{_DAY}-{_YEAR}{_TIME}",
    "2024/01/31": rf"{_YEAR}([/.]){_MONTH}\1{_DAY}{_TIME}",
    "31 Jan 2024": rf"(?:[A-Za-z]+,? )?(?:{_DAY}[ -]{_NAME}[ -](?:{_YEAR}|\d\d)|{_NAME} {_DAY},? {_YEAR}){_TIME}",
    "2024-01": rf"{_YEAR}-(?:0[1-9]|1[0-2])",
    "2024Q1": rf"{_YEAR}[- ]?Q[1-4]",
    "2024-W05": rf"{_YEAR}-?W[0-5]\d(?:-?[1-7])?",
    "20240131T120000": rf"{_YEAR}[01]\d[0-3]\d[T ]\d{{4,6}}.*",
    "2024-01-29/2024-02-04": rf"{_YEAR}-\d\d-\d\d/{_YEAR}-\d\d-\d\d",
    "2024-01-31T12:00 GMT": rf"{_YEAR}-\d\d?-\d\d?[Tt ].+",
}
"""Pattern of each form, by an example. Texts that are read as dates are never looked at."""

_MATCHERS = {f"dates such as {example}, a form that is not read": re.compile(form) for example, form in _FORMS.items()}

DATE_LOOKS = frozenset(_MATCHERS)
"""All results of `date_look` but the empty one."""


def date_look(texts: Sequence[str]) -> str:
    """Return the form of texts that are nearly all dates, by an example; empty if they are not.

    Args:
        texts: Different texts, none of which is read as a date.

    >>> date_look(["31.01.2024", "1.2.2024"])
    'dates such as 31.01.2024, a form that is not read'
    """
    for look, form in _MATCHERS.items():
        if sum(form.fullmatch(text.strip()) is not None for text in texts) >= MOST * len(texts) > 0:
            return look
    return ""
