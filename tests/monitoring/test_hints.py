"""Hints name what was seen, what was expected and what to do; they quote no values and never advise what was done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_boxkite.monitoring.hints import (
    argument_hint,
    features_hint,
    names_hint,
    nested_hint,
    output_argument_hint,
    output_hint,
    unmatched_hint,
)
from flask_boxkite.monitoring.notes import MOST_LETTERS
from flask_boxkite.monitoring.reply import Reply
from flask_boxkite.payloads import as_table
from tests.baseline.training.building import built

KNOWN = ("age", "income", "city")
EXPECTED = "the features of the baseline are 'age', 'income', 'city'"
MEANT = "Did you mean 'age' by 'AGE'? Use the names of training."
OUTPUTS = "the baseline's outputs are"


def request_hint(document: Any, where: Any = None, content_type: str = "application/json") -> str:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return features_hint(body, content_type, KNOWN, where)


@pytest.mark.parametrize(
    ("document", "where", "hint"),
    [
        pytest.param(
            {"q": {"who": {"age": 1}}},
            None,
            f"The request has the keys 'q'; 'q' has 'who'; {EXPECTED}. "
            "Say where they are: @monitor.predict(features='q.who').",
            id="below other keys",
        ),
        pytest.param(
            [[1, 2, "x"], [1, 2], [3]],
            None,
            "Row 2 of 3 has 2 values, and the baseline has 3 features. Send all of them in each row.",
            id="rows of several lengths",
        ),
        pytest.param(
            {"instances": [[1], [1, 2, "x"]]},
            None,
            "Row 1 of 2 has 1 value, and the baseline has 3 features. Send all of them in each row.",
            id="rows of several lengths, below a key",
        ),
        pytest.param(
            {"0": {"age": 1}, "1": {"age": 2}},
            None,
            f"The request has the keys '0', '1'; '0' has 'age'; '1' has 'age'; {EXPECTED}. "
            "Several keys have them: send rows as a list, or say where they are: @monitor.predict(features=…).",
            id="rows by keys",
        ),
        pytest.param(
            {"q": {"before": {"age": 1}, "after": {"age": 2}}},
            None,
            f"The request has the keys 'q'; 'q' has 'before', 'after'; {EXPECTED}. "
            "Several keys have them: send rows as a list, or say where they are: @monitor.predict(features=…).",
            id="rows by keys, below another",
        ),
        pytest.param(
            {"0": {"age": 1}, "1": {"x": 2}},
            None,
            f"The request has the keys '0', '1'; '0' has 'age'; '1' has 'x'; {EXPECTED}. "
            "Say where they are: @monitor.predict(features='0').",
            id="one row by a key",
        ),
        pytest.param(
            {"Age": 1, "In come": 2},
            None,
            f"The request has the keys 'Age', 'In come'; {EXPECTED}. "
            "Did you mean 'age' by 'Age', 'income' by 'In come'? Use the names of training.",
            id="misspelt",
        ),
        pytest.param(
            {"x": 1},
            None,
            f"The request has the keys 'x'; {EXPECTED}. Say where they are: @monitor.predict(features=…).",
            id="other keys",
        ),
        pytest.param(
            [],
            None,
            f"The request is a list of 0 values; {EXPECTED}. Say where they are: @monitor.predict(features=…).",
            id="empty list",
        ),
        pytest.param(
            {"q": {"who": 1}},
            "q.Who",
            f"Nothing stands at 'q.Who' (did you mean 'who'?): 'q' has the keys 'who'; {EXPECTED}.",
            id="misspelt path",
        ),
        pytest.param(
            {"q": [1]},
            "q.3",
            f"Nothing stands at 'q.3': 'q' is a list of 1 value; {EXPECTED}.",
            id="short list",
        ),
        pytest.param(
            {"q": True},
            "q",
            f"What stands at 'q' does not fit: it is a boolean; {EXPECTED}.",
            id="no rows at a path",
        ),
        pytest.param(b"", "q", f"The request has no body; {EXPECTED}.", id="path, no body"),
        pytest.param(
            b"x=",
            "?",
            f"The query string has none of the features; {EXPECTED}.",
            id="query string",
        ),
        pytest.param(
            b"age=1&age=2&income=&city=Oslo",
            "?",
            f"The query string has 'age' 2 times, but not all features as often; {EXPECTED}. "
            "Send each feature once, or n times for n rows.",
            id="query string, repeated",
        ),
        pytest.param(
            {"x": 1},
            len,
            "The function 'features' returned nothing that has the shape of rows; "
            f"the request has the keys 'x'; {EXPECTED}.",
            id="function",
        ),
    ],
)
def test_features_that_are_not_there(document: Any, where: Any, hint: str) -> None:
    assert request_hint(document, where) == hint


def test_a_form_in_which_some_features_are_repeated_is_told() -> None:
    """No more than the names of features is quoted: other fields may be called by what a person has typed."""
    form = b"age=39&income=1&income=2&income=3&other=1&other=2"
    assert request_hint(form, None, "application/x-www-form-urlencoded; charset=utf-8") == (
        f"The form has 'income' 3 times, but not all features as often; {EXPECTED}. "
        "Send each feature once, or n times for n rows."
    )
    assert "cannot be read" in request_hint(b"age=1", None, "application/x-www-form-urlencoded")


@pytest.mark.parametrize(("delimiter", "name"), [(";", "';'"), ("\t", "tabs"), ("|", "'|'")])
def test_a_csv_with_another_delimiter_is_told(delimiter: str, name: str) -> None:
    body = "\n".join([delimiter.join(KNOWN), delimiter.join(map(str, range(len(KNOWN))))]).encode()
    assert request_hint(body, None, "text/csv; charset=utf-8") == (
        f"The CSV has {name} between its values; {EXPECTED}. Put commas there."
    )


def test_a_request_that_cannot_be_read_is_told_by_type_and_size() -> None:
    assert request_hint(b"secret words", None, "text/plain; charset=utf-8") == (
        f"The request is 'text/plain', 12 bytes, and cannot be read; {EXPECTED}. "
        "Say where they are: @monitor.predict(features=…)."
    )
    assert features_hint(None, "", KNOWN, None) == (
        f"The view did not read the body, or it is too long to be kept; {EXPECTED}. Raise 'BOXKITE_MAX_BODY_BYTES', or "
        "log the rows with log_prediction()."
    )


def rows(value: Any) -> Any:
    return as_table(value)


@pytest.mark.parametrize(
    ("table", "is_placed", "hint"),
    [
        pytest.param(
            [1, 2],
            False,
            "Rows have 2 values, and the baseline has 3 features: 'age', 'income', 'city'. "
            "Send all of them in this order, or by name.",
            id="width",
        ),
        pytest.param(
            {"x": 1},
            False,
            f"The names are 'x'; {EXPECTED}. Name them as in training, or say where they are: "
            "@monitor.predict(features=…).",
            id="names",
        ),
        pytest.param(
            {"x": 1},
            True,
            f"The names are 'x'; {EXPECTED}. Name them as in training.",
            id="names where they were placed",
        ),
        pytest.param(
            {"AGE": 1},
            False,
            f"The names are 'AGE'; {EXPECTED}. {MEANT}",
            id="misspelt",
        ),
        pytest.param(
            {1: 1, None: 2, ("age", 1): 3, "AGE": 4},
            True,
            f"The names are '1', 'None', \"('age', 1)\", 'AGE'; {EXPECTED}. {MEANT}",
            id="names that are not texts",
        ),
    ],
)
def test_rows_that_do_not_match(table: Any, is_placed: bool, hint: str) -> None:
    assert unmatched_hint(rows(table), KNOWN, is_placed=is_placed) == hint


def test_a_feature_under_another_name_is_told_and_others_are_not() -> None:
    assert names_hint(("Age", "income", "city"), KNOWN) == (
        "Some features of a request have another name than in training, and count as missing. "
        "Did you mean 'age' by 'Age'? Use the names of training."
    )
    assert names_hint(("customer", "income", "city"), KNOWN) is None
    assert names_hint(("Income", "income", "city"), KNOWN) is None


@pytest.mark.parametrize(
    ("received", "known"),
    [
        pytest.param(("age", "income", "job"), ("customer.age", "customer.income", "job"), id="flat, trained nested"),
        pytest.param(("age", "income"), ("customer.age", "customer.income"), id="nothing found"),
    ],
)
def test_a_path_of_training_is_known_by_its_end(received: tuple[str, ...], known: tuple[str, ...]) -> None:
    meant = "Did you mean 'customer.age' by 'age', 'customer.income' by 'income'? Use the names of training."
    hint = names_hint(received, known)
    assert hint is not None
    assert hint.endswith(meant)
    assert unmatched_hint(rows({name: 1 for name in received}), known, is_placed=False).endswith(meant)


def test_the_end_of_two_paths_means_neither() -> None:
    assert names_hint(("zip", "age"), ("home.zip", "work.zip", "age")) is None


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        pytest.param(
            {"customer": {"age": 39, "income": 2.5}, "city": "Oslo"}, "'age', 'income' below 'customer'", id="object"
        ),
        pytest.param({"q": {"who": {"age": 39}}, "city": "Oslo"}, "'age' below 'q.who'", id="deeper"),
        pytest.param({"customers": [{"age": 39}], "city": "Oslo"}, "'age' below 'customers'", id="list"),
        pytest.param({"customer": {"name": "Ann"}, "city": "Oslo"}, None, id="other things"),
        pytest.param({"age": 39, "income": 2, "city": {"age": 1}}, None, id="below a feature"),
        pytest.param({"age": 39, "before": {"age": 38}}, None, id="there already"),
    ],
)
def test_features_below_a_key_beside_others_are_told(row: dict[str, Any], hint: str | None) -> None:
    assert nested_hint(row, KNOWN) == (
        hint
        and f"Some features of a request stand below another key, and count as missing: {hint}. "
        "Put them beside the others, or train with rows nested in the same way."
    )


def test_features_by_name_cannot_be_those_of_an_array() -> None:
    """No place would help: the baseline has no names."""
    known = ("feature_0", "feature_1")
    remedy = "Features by name need names in training, by a frame or a mapping: the baseline has them from an array."
    for document in ({"age": 1, "income": 2}, [{"age": 1, "income": 2}] * 2):
        assert features_hint(json.dumps(document).encode(), "application/json", known, None).endswith(f". {remedy}")
        assert unmatched_hint(rows(document), known, is_placed=True).endswith(f". {remedy}")
    placed = unmatched_hint(rows({"age": 1}), known, is_placed=False)
    assert placed.endswith("from an array.")


def test_an_output_under_another_name_is_told_and_others_are_not() -> None:
    assert names_hint(("low", "High"), ("low", "high"), "outputs of an answer") == (
        "Some outputs of an answer have another name than in training, and count as missing. "
        "Did you mean 'high' by 'High'? Use the names of training."
    )


NAMED = ("low", "high")
UNNAMED = ("output_0", "output_1")


@pytest.mark.parametrize(
    ("document", "found", "names", "where", "hint"),
    [
        pytest.param(
            {"tier": "a", "shares": [0.1, 0.9]},
            None,
            UNNAMED,
            None,
            f"The answer has the keys 'tier', 'shares'; {OUTPUTS} 'output_0', 'output_1'. "
            "Name the outputs when you train, by a frame or a mapping, or say where they are: "
            "@monitor.predict(output='shares').",
            id="no names in training",
        ),
        pytest.param(
            {"tier": "a", "shares": [0.1, 0.9]},
            None,
            NAMED,
            None,
            f"The answer has the keys 'tier', 'shares'; {OUTPUTS} 'low', 'high'. "
            "Say where it is: @monitor.predict(output='shares').",
            id="names in training: not advised again",
        ),
        pytest.param(
            {"tier": "a", "shares": {"Low": 0.1, "High": 0.9}},
            None,
            NAMED,
            None,
            f"The answer has the keys 'tier', 'shares'; 'shares' has 'Low', 'High'; {OUTPUTS} 'low', 'high'. "
            "Did you mean 'low' by 'Low', 'high' by 'High'? Use the names of training, and say where they are: "
            "@monitor.predict(output='shares').",
            id="misspelt, below a key",
        ),
        pytest.param(
            {"tier": "a", "Low": 0.1, "High": 0.9},
            None,
            NAMED,
            None,
            f"The answer has the keys 'tier', 'Low', 'High'; {OUTPUTS} 'low', 'high'. "
            "Did you mean 'low' by 'Low', 'high' by 'High'? Use the names of training.",
            id="misspelt",
        ),
        pytest.param(
            {"result": {"quotes": [0.5], "currency": "EUR"}},
            None,
            ("quote",),
            None,
            "The answer has the keys 'result'; 'result' has 'quotes', 'currency'; the baseline's output is 'quote'. "
            "Say where it is: @monitor.predict(output='result.quotes').",
            id="another name, below a key",
        ),
        pytest.param(
            {"result": {"quotes": [0.5], "limits": [3.0]}},
            None,
            ("quote",),
            None,
            "The answer has the keys 'result'; 'result' has 'quotes', 'limits'; the baseline's output is 'quote'. "
            "Say where it is: @monitor.predict(output='result.quotes').",
            id="another name, below a key, beside others that fit",
        ),
        pytest.param(
            {"x": 1},
            None,
            UNNAMED,
            "Y",
            f"Nothing stands at 'Y': the answer has the keys 'x'; {OUTPUTS} 'output_0', 'output_1'.",
            id="a path: not advised again",
        ),
        pytest.param(
            {"x": [1, 2, 3]},
            [1, 2, 3],
            UNNAMED,
            "x",
            f"What stands at 'x' does not fit: it is a list of 3 values; {OUTPUTS} 'output_0', 'output_1'.",
            id="a path to what does not fit",
        ),
        pytest.param(
            {"x": 1},
            None,
            UNNAMED,
            len,
            f"The function 'output' returned None; {OUTPUTS} 'output_0', 'output_1'.",
            id="a function: not advised again",
        ),
        pytest.param(
            {"x": 1},
            "a",
            UNNAMED,
            len,
            f"The function 'output' returned what does not fit: it is a text; {OUTPUTS} 'output_0', 'output_1'.",
            id="a function of what does not fit",
        ),
        pytest.param(
            {"x": 1},
            [0.1, 0.2],
            ("output",),
            None,
            "The output has 2 rows, and the features have 1 row. Give one output for each row.",
            id="rows",
        ),
        pytest.param(
            {"a": 1, "b": 2},
            None,
            ("output",),
            None,
            "The answer has the keys 'a', 'b'; the baseline's output is 'output'. "
            "Say where it is: @monitor.predict(output=…).",
            id="several that fit",
        ),
        pytest.param(
            {},
            None,
            (),
            None,
            "The answer is an empty object. Say where it is: @monitor.predict(output=…).",
            id="no baseline",
        ),
    ],
)
def test_outputs_that_are_not_there(document: Any, found: Any, names: Any, where: Any, hint: str) -> None:
    reply = Reply(json.dumps(document).encode(), "application/json", None)
    assert output_hint(reply, found, names, 1, where) == hint


SCORES = built({"age": [1.0, 2.0] * 50}, [i / 100 for i in range(100)]).outputs
COUNTS = built({"age": [1.0, 2.0] * 50}, [i / 2 for i in range(100)]).outputs


@pytest.mark.parametrize(
    ("document", "number", "outputs", "place"),
    [
        pytest.param(
            {"took": 3, "result": {"risks": [0.1, 0.2], "limit": 0.5}}, 2, COUNTS, "'result.risks'", id="number of rows"
        ),
        pytest.param({"took": 3, "result": {"risk": 0.1}}, 1, SCORES, "'result.risk'", id="range"),
        pytest.param({"took": 3, "result": {"risk": 0.1}}, 1, COUNTS, "…", id="either"),
        pytest.param({"meta": {"model": "7"}, "a": {"b": {"risk": 0.1}}}, 1, SCORES, "'a.b.risk'", id="deeper"),
        pytest.param({"meta": {"model": "7"}, "a.b": {"risk": 0.1}}, 1, SCORES, "…", id="no path"),
        pytest.param({"ok": True, "rows": []}, 1, SCORES, "…", id="none"),
    ],
)
def test_a_place_of_the_output_is_one_that_can_hold_it(document: Any, number: int, outputs: Any, place: str) -> None:
    reply = Reply(json.dumps(document).encode(), "application/json", None)
    hint = output_hint(reply, None, ("output",), number, None, outputs)
    assert hint.endswith(f"Say where it is: @monitor.predict(output={place}).")


def test_all_objects_in_an_answer_are_described() -> None:
    reply = Reply(b'{"meta": {"model": "7"}, "result": {"risk": 0.3, "limit": 0.5}}', "application/json", None)
    assert output_hint(reply, None, ("output",), 1, None).startswith(
        "The answer has the keys 'meta', 'result'; 'meta' has 'model'; 'result' has 'risk', 'limit'; "
    )


CLASSES = (
    "They look like probabilities of 2 classes: give the positive class's alone, or write the baseline with all of "
    "them (classes=…)."
)


@pytest.mark.parametrize(
    ("document", "found", "number"),
    [
        pytest.param({"probabilities": [0.3, 0.7]}, [0.3, 0.7], 1, id="one row"),
        pytest.param([[0.3, 0.7]], None, 1, id="list of a list"),
        pytest.param({"probabilities": [[0.3, 0.7], [0.99, 0.01]]}, None, 2, id="two rows"),
        pytest.param({"probabilities": [[0.3, 0.7]], "took": 3}, None, 1, id="beside others"),
    ],
)
def test_probabilities_of_both_classes_are_told(document: Any, found: Any, number: int) -> None:
    reply = Reply(json.dumps(document).encode(), "application/json", None)
    assert output_hint(reply, found, ("output",), number, None).endswith(CLASSES)
    if found is not None:
        assert output_argument_hint(found, ("output",), number).endswith(CLASSES)


@pytest.mark.parametrize(
    "found", [[0.3, 0.4], [3, -2], ["a", "b"], [True, False]], ids=["sum", "range", "text", "bool"]
)
def test_other_values_are_not_told_as_probabilities(found: Any) -> None:
    assert output_argument_hint(found, ("output",), 1) == (
        "The output has 2 rows, and the features have 1 row. Give one output for each row."
    )


@pytest.mark.parametrize("reply", [None, Reply(None, "text/csv", None)], ids=["none", "stream"])
def test_an_answer_that_cannot_be_read(reply: Reply | None) -> None:
    hint = "The answer is a stream, a file or encoded, and cannot be read. Log it with monitor.log_prediction()."
    assert output_hint(reply, None, ("output",), 1, None) == hint


def test_an_answer_that_is_no_json_is_told_by_type_and_size() -> None:
    reply = Reply(b"<html>secret</html>", "text/html", 19)
    assert output_hint(reply, None, ("output",), 1, "score") == (
        "The answer is 'text/html', 19 bytes, and has no output; the baseline's output is 'output'."
    )


def test_arguments_by_hand() -> None:
    assert argument_hint("features", None, KNOWN) == "log_prediction() was called without 'features'."
    assert argument_hint("features", object(), KNOWN) == (
        "What log_prediction() got as 'features' does not fit: it is of type 'object'. "
        "The baseline knows 'age', 'income', 'city'."
    )
    assert output_argument_hint([1, 2], ("output",), 3) == (
        "The output has 2 rows, and the features have 3 rows. Give one output for each row."
    )


@pytest.mark.parametrize("objects", [1, 2, 3, 100])
def test_what_a_client_wrote_is_short(objects: int) -> None:
    """Five names of forty letters at most on each level, whatever it sends, so that no note cuts off the remedy."""
    names = [f"{i:03}" + "x" * 1000 for i in range(100)]
    document = {name: {f"{i}" + "y" * 1000: 1 for i in range(9)} if i < objects else 1 for i, name in enumerate(names)}
    known = tuple(f"{i}" + "z" * 1000 for i in range(9))
    hint = features_hint(json.dumps(document).encode(), "application/json", known, None)
    assert hint.count("x") <= 8 * 40
    assert hint.count("y") <= 5 * 40
    assert "and 95 more" in hint
    assert len(hint) <= MOST_LETTERS


def test_values_are_not_quoted() -> None:
    document = {"card": "4111", "list": ["4111"], "deep": {"card": "4111"}}
    for hint in (
        request_hint(document),
        request_hint(document, "card"),
        output_hint(Reply(json.dumps(document).encode(), "", None), "4111", NAMED, 1, len),
        unmatched_hint(rows({"card": "4111"}), KNOWN, is_placed=False),
        argument_hint("features", "4111", KNOWN),
    ):
        assert "4111" not in hint
