"""Hints on features or outputs that were not found: the app's input, its expectation, and the remedy.

Hints quote only names, types and sizes, never values: at most five names of forty letters each. They do not repeat
advice that was followed: a user who has given a place is not told to give one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.monitoring.nearest import nearest
from flask_boxkite.monitoring.reply import Reply
from flask_boxkite.payloads import Table, can_be_output, other_delimiter, output_table

__all__ = [
    "Where",
    "argument_hint",
    "features_hint",
    "names_hint",
    "nested_hint",
    "output_argument_hint",
    "output_hint",
    "unmatched_hint",
]

Where: TypeAlias = "str | Callable[[Any], Any] | None"
"""The place of features or output that the user has given: a dotted path, a function, or None."""

_MOST_NAMES = 5
_MOST_LETTERS = 40
_MOST_KEYS = 50
_MOST_OBJECTS = 3
"""Most objects below a document whose keys are named; they share `_MOST_NAMES`."""

_DEEPEST = 3
"""Number of levels below the top at which rows are searched, to tell the user their place."""

_MOST_JSON_BYTES = 1024 * 1024
_UNNAMED = re.compile(r"output(_\d+)?")
"""Name of an output that had no name in training."""

_UNNAMED_FEATURE = re.compile(r"feature_\d+")
_NAME_FEATURES = "Features by name need names in training, by a frame or a mapping: the baseline has them from an array"

_SUM_MARGIN = 0.02
"""Distance from 1 of the sum of shares that were rounded for an answer."""


def names_hint(received: Sequence[str], known: Sequence[str], what: str = "features of a request") -> str | None:
    """Say which features, or outputs, come under another name than in training; None if none seems to.

    Args:
        received: Names in the request, or in the answer.
        known: Names in training.
        what: Noun phrase for the named things.
    """
    did_you_mean = _suggestion(known, received)
    if did_you_mean is None:
        return None
    return f"Some {what} have another name than in training, and count as missing. {did_you_mean}."


def nested_hint(row: Mapping[Any, Any], known: Sequence[str], what: str = "features of a request") -> str | None:
    """Say which features, or outputs, stand below a key of a row beside the others; None if none does.

    Args:
        row: Values of the row by name.
        known: Names in training.
        what: Noun phrase for the named things.
    """
    missing = frozenset(known).difference(row)
    for key, value in list(row.items())[:_MOST_KEYS]:
        path = None if key in known else _path_to(value, missing, _DEEPEST)
        if path is None:
            continue
        for step in path:
            value = value[step]
        below = value[0] if isinstance(value, list) else value
        found = _listed(name for name in known if name in missing and name in below)
        place = _shown(".".join([str(key), *path]))
        return (
            f"Some {what} stand below another key, and count as missing: {found} below {place}. Put them beside the "
            "others, or train with rows nested in the same way."
        )
    return None


def unmatched_hint(table: Table, known: Sequence[str], *, is_placed: bool) -> str:
    """Say why rows fit the features neither by name nor by position.

    Args:
        table: The rows.
        known: Names of the features, in their order.
        is_placed: Whether the user has given the place of the rows.
    """
    if table.names is None:
        width = len(table.rows[0])
        advice = "Send all of them in this order, or by name."
        return f"Rows have {_values(width)}, and the baseline has {len(known)} features: {_listed(known)}. {advice}"
    advice = _suggestion(known, table.names) or (_NAME_FEATURES if _are_unnamed(known) else "Name them as in training")
    if not is_placed and advice.startswith("Name"):
        advice += f", or say where they are: {_predict('features')}"
    return f"The names are {_listed(table.names)}; the features of the baseline are {_listed(known)}. {advice}."


def features_hint(body: bytes | None, content_type: str, known: Sequence[str], where: Where) -> str:
    """Describe a request in which nothing has the shape of features.

    Args:
        body: Body, or query string if features come from there; None if it was not kept.
        content_type: The header of the request.
        known: Names of the features.
        where: Place of the features as the user has given it.
    """
    expected = f"; the features of the baseline are {_listed(known)}" if known else ""
    mimetype = content_type.partition(";")[0].strip()
    if where == "?":
        repeated = _repeated(body, known)
        seen = f"has {repeated}" if repeated else "has none of the features"
        return f"The query string {seen}{expected}.{_ONCE if repeated else ''}"
    if mimetype == _FORM and (repeated := _repeated(body, known)):
        return f"The form has {repeated}{expected}.{_ONCE}"
    if mimetype == "text/csv" and where is None and (delimiter := _delimiter(body, known)):
        return f"The CSV has {delimiter} between its values{expected}. Put commas there."

    seen, document = _request_seen(body, mimetype)
    if callable(where):
        return f"The function 'features' returned nothing that has the shape of rows; {seen}{expected}."
    if where is not None:
        description = seen if document is None else _at_path(document, where, "the request")
        return f"{_begun(description)}{expected}."
    if seen == _NOT_READ:
        return f"{_begun(seen)}{expected}. Raise 'BOXKITE_MAX_BODY_BYTES', or log the rows with log_prediction()."
    if known and (uneven := _uneven(document, len(known))):
        return uneven
    path = _path_to(document, frozenset(known), _DEEPEST)
    advice = (not path and _suggestion(known, _all_keys(document))) or _where_to_send(document, path, known)
    if path is None and _has_names(document) and _are_unnamed(known):
        advice = _NAME_FEATURES
    return f"{_begun(seen)}{expected}. {advice}."


def _uneven(document: Any, features: int) -> str | None:
    """Say which row has another number of values than the baseline; None unless rows have different numbers."""
    tables = list(document.values())[:_MOST_KEYS] if isinstance(document, Mapping) else [document]
    for rows in tables:
        if not (isinstance(rows, list) and all(isinstance(row, list) for row in rows)):
            continue
        widths = list(map(len, rows))
        if len(set(widths)) > 1:
            place = next(place for place, width in enumerate(widths) if width != features)
            seen = f"Row {place + 1:,} of {len(rows):,} has {_values(widths[place])}"
            return f"{seen}, and the baseline has {features} features. Send all of them in each row."
    return None


def _are_unnamed(known: Sequence[str]) -> bool:
    """Say whether training had the features in an array, without names."""
    return bool(known) and all(map(_UNNAMED_FEATURE.fullmatch, known))


def _has_names(document: Any) -> bool:
    return isinstance(document[0] if isinstance(document, list) and document else document, Mapping)


def _repeated(fields: bytes | None, known: Sequence[str]) -> str:
    """Say that a feature occurs several times in a form or a query string, and others do not; empty if all do."""
    pairs = parse_qsl((fields or b"").decode("utf-8", "replace"), keep_blank_values=True)
    counts = Counter(name for name, _ in pairs if name in known)
    if len(set(counts.values())) < 2:
        return ""
    ((name, most),) = counts.most_common(1)
    return f"{_shown(name)} {most} times, but not all features as often"


def _delimiter(body: bytes | None, known: Sequence[str]) -> str | None:
    """Return the name of the delimiter in a CSV, if it is not a comma."""
    delimiter = other_delimiter((body or b"").decode("utf-8", "replace"), known)
    return {None: None, "\t": "tabs"}.get(delimiter, repr(delimiter))


_FORM = "application/x-www-form-urlencoded"
_ONCE = " Send each feature once, or n times for n rows."
_NOT_READ = "the view did not read the body, or it is too long to be kept"


def _request_seen(body: bytes | None, mimetype: str) -> tuple[str, Any]:
    """Return a description of a request, as the middle of a sentence, and its JSON; None if it has none."""
    if body is None:
        return _NOT_READ, None
    if not body:
        return "the request has no body", None
    is_json, document = _parsed(body)
    if not is_json:
        return f"the request is {_shown(mimetype or 'of no type')}, {len(body)} bytes, and cannot be read", None
    return f"the request {_described(document)}", document


def _where_to_send(document: Any, path: Sequence[str] | None, known: Sequence[str]) -> str:
    """Return advice about features that stand at *path*, or nowhere."""
    if not path:
        return f"Say where they are: {_predict('features')}"
    *above, _ = path
    for key in above:
        document = document[key]
    if sum(_path_to(value, frozenset(known), 0) is not None for value in list(document.values())[:_MOST_KEYS]) > 1:
        return f"Several keys have them: send rows as a list, or say where they are: {_predict('features')}"
    return f"Say where they are: {_predict('features', _shown('.'.join(path)))}"


def _path_to(document: Any, known: frozenset[str], depth: int) -> list[str] | None:
    """Return the keys that lead to an object, or a list of objects, with a known name; None if there is none."""
    rows = document[0] if isinstance(document, list) and document else document
    if not isinstance(rows, Mapping):
        return None
    if not known.isdisjoint(rows):
        return []
    for key, value in list(rows.items())[:_MOST_KEYS] if depth and rows is document else ():
        below = _path_to(value, known, depth - 1)
        if below is not None:
            return [str(key), *below]
    return None


def output_hint(
    reply: Reply | None,
    output: Any,
    names: Sequence[str],
    rows: int | None,
    where: Where,
    outputs: Sequence[Distribution] = (),
) -> str:
    """Describe an answer that lacks the outputs.

    Args:
        reply: The response; None if there is none.
        output: The output that was found but does not fit; None if none was found.
        names: Names of the outputs.
        rows: Number of rows in the request; None if unknown.
        where: Place of the output as the user has given it.
        outputs: Distributions of the outputs, which tell a count or a version from an output.
    """
    expected = _expected(names)
    if (other := _other_rows(output, names, rows)) is not None:
        return other
    if callable(where):
        returned = "returned None" if output is None else f"returned what does not fit: it {_described(output)}"
        return _joined(f"The function 'output' {returned}", expected, "")
    if reply is None or reply.data is None:
        return "The answer is a stream, a file or encoded, and cannot be read. Log it with monitor.log_prediction()."

    is_json, document = _parsed(reply.data)
    if not is_json:
        seen = f"The answer is {reply.mimetype or 'of no type'!r}, {len(reply.data)} bytes, and has no output"
        return _joined(seen, expected, "" if where else f"Say where it is: {_predict('output')}")
    if where is not None:
        return _joined(_begun(_at_path(document, where, "the answer")), expected, _class_advice(output, names, rows))
    advice = _class_advice(output if output is not None else document, names, rows)
    return _joined(f"The answer {_described(document)}", expected, advice or _advice(document, names, rows, outputs))


def argument_hint(argument: str, value: Any, names: Sequence[str]) -> str:
    """Say why an argument of ``log_prediction`` does not fit.

    Args:
        argument: Name of the argument.
        value: The argument.
        names: Names in the baseline.
    """
    if value is None:
        return f"log_prediction() was called without {argument!r}."
    known = f" The baseline knows {_listed(names)}." if names else ""
    return f"What log_prediction() got as {argument!r} does not fit: it {_described(value)}.{known}"


def output_argument_hint(value: Any, names: Sequence[str], rows: int | None) -> str:
    """Say why the output that ``log_prediction`` got does not fit."""
    return _other_rows(value, names, rows) or argument_hint("output", value, names)


def _other_rows(output: Any, names: Sequence[str], rows: int | None) -> str | None:
    """Say that an output has more or fewer rows than the request; None if it has not."""
    table = None if output is None or rows is None else output_table(output, names, None)
    if table is None or len(table) == rows:
        return None
    advice = _class_advice(output, names, rows) or "Give one output for each row"
    return f"The output has {_rows(len(table))}, and the features have {_rows(rows or 0)}. {advice}."


def _class_advice(value: Any, names: Sequence[str], rows: int | None) -> str:
    """Return advice about the probabilities of all classes in place of one of them; empty if the value is none."""
    number = _classes_in(value, rows) if len(names) == 1 and rows else None
    if number is None:
        return ""
    return (
        f"They look like probabilities of {number} classes: give the positive class's alone, or write the baseline "
        "with all of them (classes=…)"
    )


def _classes_in(value: Any, rows: int | None) -> int | None:
    """Return the number of shares that sum to 1 in each row; None if a value, or its only list, is anything else."""
    if isinstance(value, Mapping):
        lists = [item for item in value.values() if isinstance(item, (list, tuple))]
        value = lists[0] if len(lists) == 1 else None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or not value:
        return None
    if rows == 1 and not isinstance(value[0], (list, tuple)):
        value = [value]
    width = len(value[0]) if isinstance(value[0], (list, tuple)) else 0
    are_shares = len(value) == rows and width > 1 and all(_sum_to_one(row, width) for row in value)
    return width if are_shares else None


def _sum_to_one(row: Any, width: int) -> bool:
    if not isinstance(row, (list, tuple)) or len(row) != width:
        return False
    return all(type(share) in (int, float) and 0 <= share <= 1 for share in row) and abs(sum(row) - 1) <= _SUM_MARGIN


def _expected(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"the baseline's output{'s are' if len(names) > 1 else ' is'} {_listed(names)}"


def _advice(document: Any, names: Sequence[str], rows: int | None, outputs: Sequence[Distribution]) -> str:
    """Return advice about an answer that is JSON and follows no convention."""
    fitting = [path for path, value in _values_below(document, _DEEPEST) if _can_be(value, names, rows, outputs)]
    path = _place_among(fitting, names)
    place = _predict("output", None if path is None else _shown(path))
    if path is not None and "." in path:  # another name for the key would not be found either
        return f"Say where it is: {place}"
    if all(_UNNAMED.fullmatch(name) for name in names):
        if len(names) > 1:
            return f"Name the outputs when you train, by a frame or a mapping, or say where they are: {place}"
    elif did_you_mean := _suggested_outputs(document, names):
        return did_you_mean
    return f"Say where it is: {place}"


def _place_among(paths: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the path of the output: the only one, or the one that ends nearly as it is called; None if unclear."""
    if len(paths) > 1 and len(names) == 1:
        ends = [path.rpartition(".")[2] for path in paths]
        end = names[0] if names[0] in ends else nearest(names, ends).get(names[0])
        paths = [path for path, own in zip(paths, ends, strict=True) if own == end]
    return paths[0] if len(paths) == 1 else None


def _suggested_outputs(document: Any, names: Sequence[str]) -> str | None:
    """Say which keys of an answer, or of one object in it, probably stand for outputs; None if none does."""
    if not isinstance(document, Mapping):
        return None
    if did_you_mean := _suggestion(names, document):
        return did_you_mean
    for key, value in list(document.items())[:_MOST_KEYS]:
        if isinstance(value, Mapping) and (did_you_mean := _suggestion(names, value)):
            return f"{did_you_mean}, and say where they are: {_predict('output', _shown(key))}"
    return None


def _values_below(document: Any, depth: int, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the value of each key of an object, and of the objects in it."""
    for key, value in list(document.items())[:_MOST_KEYS] if isinstance(document, Mapping) else ():
        if "." in str(key):  # no path leads there
            continue
        yield f"{above}{key}", value
        if depth:
            yield from _values_below(value, depth - 1, f"{above}{key}.")


def _can_be(value: Any, names: Sequence[str], rows: int | None, outputs: Sequence[Distribution]) -> bool:
    """Say whether a value has a row for each of the request, and the type of the outputs."""
    table = output_table(value, names, rows)
    return table is not None and len(table) > 0 and (not outputs or can_be_output(table, outputs))


def _at_path(document: Any, path: str, subject: str) -> str:
    """Describe the value at a dotted path, or the place where the path ends, as the middle of a sentence."""
    for key in path.split("."):
        if isinstance(document, Mapping) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            suggestion = nearest([key], map(str, document)) if isinstance(document, Mapping) else {}
            did_you_mean = f" (did you mean {_shown(suggestion[key])}?)" if suggestion else ""
            return f"nothing stands at {_shown(path)}{did_you_mean}: {subject} {_described(document)}"
        subject = _shown(key)
    return f"what stands at {_shown(path)} does not fit: it {_described(document)}"


def _parsed(body: bytes) -> tuple[bool, Any]:
    """Return whether a body is JSON, and the document."""
    try:
        return (True, json.loads(body)) if len(body) <= _MOST_JSON_BYTES else (False, None)
    except (ValueError, RecursionError):
        return False, None


def _described(document: Any) -> str:
    """Describe a value without showing it, as the middle of a sentence."""
    if isinstance(document, Mapping):
        inner = [key for key, value in document.items() if isinstance(value, Mapping) and value][:_MOST_OBJECTS]
        most = _MOST_NAMES // max(len(inner), 1)
        below = "".join(f"; {_shown(key)} has {_listed(document[key], most)}" for key in inner)
        return f"has the keys {_listed(document)}{below}" if document else "is an empty object"
    if isinstance(document, (list, tuple)):
        first = f", the first of which {_described(document[0])}" if document and _is_container(document[0]) else ""
        return f"is a list of {_values(len(document))}{first}"
    kinds = {str: "text", bool: "boolean", int: "number", float: "number", type(None): "null"}
    kind = kinds.get(type(document))
    return f"is a {kind}" if kind else f"is of type {type(document).__name__!r}"


def _is_container(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _all_keys(document: Any) -> list[str]:
    """Return the keys of an object, and of the objects in it."""
    if not isinstance(document, Mapping):
        return []
    below = [str(key) for value in document.values() if isinstance(value, Mapping) for key in value]
    return [*map(str, document), *below]


def _suggestion(wanted: Iterable[str], received: Iterable[Any]) -> str | None:
    """Say which received name probably stands for each wanted name, without a final stop; None if none does."""
    # Names keep their order; keys of a dict may be no texts. A name that was found cannot stand for another one.
    wanted, received = dict.fromkeys(wanted), dict.fromkeys(map(str, received))
    missing = [name for name in wanted if name not in received]
    unknown = [name for name in received if name not in wanted]
    near = nearest(missing, unknown)
    matches = list((near | _ends(missing, [name for name in unknown if name not in near.values()])).items())
    if not matches:
        return None

    pairs = ", ".join(f"{_shown(name)} by {_shown(seen)}" for name, seen in matches[:_MOST_NAMES])
    more = f" and {len(matches) - _MOST_NAMES} more" if len(matches) > _MOST_NAMES else ""
    return f"Did you mean {pairs}{more}? Use the names of training"


def _ends(paths: Sequence[str], received: Sequence[str]) -> dict[str, str]:
    """Return, for each name such as ``customer.age``, the received name with which it alone ends."""
    tails = {path: path.rpartition(".")[2] for path in paths if "." in path}
    count = Counter(tails.values())
    return {path: tail for path, tail in tails.items() if count[tail] == 1 and tail in received}


def _listed(names: Iterable[Any], most: int = _MOST_NAMES) -> str:
    shown = [_shown(name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return f"{', '.join(shown[:most])}{more}"


def _shown(name: Any) -> str:
    text = str(name)
    return repr(text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…")


def _predict(option: str, place: str | None = None) -> str:
    return f"@monitor.predict({option}={place or '…'})"


def _begun(text: str) -> str:
    """Return the text as the beginning of a sentence."""
    return f"{text[:1].upper()}{text[1:]}"


def _joined(seen: str, expected: str, advice: str) -> str:
    sentence = f"{seen}; {expected}." if expected else f"{seen}."
    return f"{sentence} {advice}." if advice else sentence


def _values(number: int) -> str:
    return f"{number} value{'s' * (number != 1)}"


def _rows(number: int) -> str:
    return f"{number} row{'s' * (number != 1)}"
