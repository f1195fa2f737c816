"""Text of clients and users, made safe to quote in messages and logs: on one line, and without passwords."""

from __future__ import annotations

import re

__all__ = ["loggable", "masked", "masked_address", "printable"]

_CREDENTIALS = re.compile(r"(?<=//)[^\s'\"]*@")
_QUERY = re.compile(r"(?P<url>[\w+.-]+://[^\s'\"?]*\?)[^\s'\"]+")
_DEEPEST_CAUSE = 16


def printable(text: str) -> str:
    """Return the text with a replacement for each character that would move the cursor or begin a line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def masked(text: str) -> str:
    """Return a text whose addresses show no user, password or query, since all of these may be secret."""
    return _QUERY.sub(r"\g<url>***", _CREDENTIALS.sub("***@", text))


def masked_address(text: str) -> str:
    """Return an address without its secrets; the scheme may be absent."""
    return masked(text) if "//" in text else masked(f"//{text}").removeprefix("//")


def loggable(error: BaseException, *, has_text: bool = True, depth: int = _DEEPEST_CAUSE) -> BaseException:
    """Return an exception to log in place of another: with the same name, traceback and number of lines.

    The text of the original may quote a client, whose input could imitate lines of the log.

    Args:
        error: The exception.
        has_text: Whether to keep its text, with line breaks replaced.
        depth: Number of causes to keep.
    """
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    args = (printable(str(error)),) if has_text and str(error) else ()
    # Not a subclass of the original class, whose own methods make its text and may need other arguments.
    quoted: BaseException = type(kind.__name__, (Exception,), names)(*args)
    if depth and (cause := error.__cause__) is not None:
        quoted.__cause__ = loggable(cause, has_text=has_text, depth=depth - 1)
    elif depth and (context := error.__context__) is not None and not error.__suppress_context__:
        quoted.__context__ = loggable(context, has_text=has_text, depth=depth - 1)
    quoted.__suppress_context__ = error.__suppress_context__
    return quoted.with_traceback(error.__traceback__)
