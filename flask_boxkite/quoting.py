"""What others wrote, as messages and logs may quote it: on one line, and without passwords."""

from __future__ import annotations

import re

__all__ = ["loggable", "masked", "masked_address", "printable"]

_CREDENTIALS = re.compile(r"(?<=//)[^\s'\"]*@")
_QUERY = re.compile(r"(?P<url>[\w+.-]+://[^\s'\"?]*\?)[^\s'\"]+")
_DEEPEST_CAUSE = 16


def printable(text: str) -> str:
    """Return the text without what would move the cursor or begin a line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def masked(text: str) -> str:
    """Return a text in which addresses show no user, password or query, all of which may be secret."""
    return _QUERY.sub(r"\g<url>***", _CREDENTIALS.sub("***@", text))


def masked_address(text: str) -> str:
    """Return an address likewise, which may be one without a scheme."""
    return masked(text) if "//" in text else masked(f"//{text}").removeprefix("//")


def loggable(error: BaseException, *, has_text: bool = True, depth: int = _DEEPEST_CAUSE) -> BaseException:
    """Return an exception to log in place of another: of the same name, with the same traceback, on as many lines.

    Its text may quote what a client sent, which could look like lines of the log.

    Args:
        error: The exception.
        has_text: Whether to keep its text, without what would begin a line.
        depth: Causes to keep.
    """
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    args = (printable(str(error)),) if has_text and str(error) else ()
    # Not a subclass of it: its own methods make texts, and need not take one.
    quoted: BaseException = type(kind.__name__, (Exception,), names)(*args)
    if depth and (cause := error.__cause__) is not None:
        quoted.__cause__ = loggable(cause, has_text=has_text, depth=depth - 1)
    elif depth and (context := error.__context__) is not None and not error.__suppress_context__:
        quoted.__context__ = loggable(context, has_text=has_text, depth=depth - 1)
    quoted.__suppress_context__ = error.__suppress_context__
    return quoted.with_traceback(error.__traceback__)
