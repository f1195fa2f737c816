"""Names and numbers on the wire."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import naming
from flask_boxkite.baseline.distribution import category_labels
from flask_boxkite.promtext.sample import unescape


def go_number(value: float) -> str:
    """Write a float by the rule of Go's FormatFloat(x, 'g', -1, 64), digit by digit, plus our '.0'."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0.0"
    sign, digits, power = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(power, int)
    text = "".join(map(str, digits))
    exponent = len(text) - 1 + power
    minus = "-" * sign
    if exponent < -4 or exponent >= 6:
        mantissa = text if len(text) == 1 else f"{text[0]}.{text[1:]}"
        return f"{minus}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{minus}0.{'0' * (-exponent - 1)}{text}"
    whole, fraction = text[: exponent + 1].ljust(exponent + 1, "0"), text[exponent + 1 :]
    return f"{minus}{whole}.{fraction or '0'}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1.0"),
        (-0.0, "0.0"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (999999.0, "999999.0"),
        (999999.5, "999999.5"),
        (1e6, "1e+06"),
        (-1e6, "-1e+06"),
        (1234567.0, "1.234567e+06"),
        (1e100, "1e+100"),
        (5e-324, "5e-324"),
        (2**53 + 1, "9.007199254740992e+15"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_are_written_as_prometheus_itself_writes_them(value: float, text: str) -> None:
    assert naming.canonical_number(value) == text


@given(st.floats(allow_nan=False))
@example(1e6)
@example(1e-5)
@example(9.999995e-05)
def test_canonical_numbers_follow_the_rule_of_go_and_keep_every_bit(value: float) -> None:
    text = naming.canonical_number(value)

    assert text == go_number(value)
    assert naming.parse_number(text) == value
    assert naming.is_canonical_number(text)


@pytest.mark.parametrize(
    "text", ["1", "01.0", "1e6", "1E+06", "-0.0", "inf", "nan", "1_0.0", "\u0661.\u0660", " 1.0", "1.0\n", ""]
)
def test_any_other_spelling_of_a_number_is_not_canonical(text: str) -> None:
    assert not naming.is_canonical_number(text)


@pytest.mark.parametrize("text", ["1_000", " 1", "1 ", "", "one", "0x10"])
def test_numbers_in_files_are_read_without_pythons_liberties(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(not a number|could not convert)"):
        naming.parse_number(text)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("red", "red"),
        ("", '""'),
        ("__missing__", '"__missing__"'),
        ("__rare__", '"__rare__"'),
        ('"red"', '""red""'),
        ('"', '"'),
        ('""', '""""'),
        ("__other__", "__other__"),
    ],
)
def test_categories_that_could_be_taken_for_something_else_are_quoted(value: str, label: str) -> None:
    assert naming.category_text(value) == label
    assert naming.category_value(label) == value


ODD_TEXT = st.one_of(
    st.text(), st.text('"', max_size=5), st.sampled_from([*naming.SPECIAL_GROUPS, "1.0", '"1.0"', '"__rare__"'])
)


@given(st.lists(ODD_TEXT, unique=True, max_size=6))
@example(["1.0", "2.5"])
@example(["1.0", '"1.0"'])
def test_quoting_keeps_different_categories_apart_from_each_other_and_from_special_groups(values: list[str]) -> None:
    labels = category_labels(values)

    assert list(map(naming.category_value, labels)) == values
    assert len(set(labels)) == len(values)
    assert naming.SPECIAL_GROUPS.isdisjoint(labels)
    assert "" not in labels


def test_texts_that_all_read_like_numbers_are_quoted_so_that_they_stay_texts() -> None:
    assert category_labels(["1.5", "2.0"]) == ['"1.5"', '"2.0"']
    assert category_labels(["1.5", "two"]) == ["1.5", "two"]


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_intervals_are_read_back_as_they_were(lower: float, upper: float) -> None:
    assert naming.parse_interval(naming.interval(lower, upper)) == (lower, upper)


@pytest.mark.parametrize("name", ["", "(", "(1.0,2.0)", "[1.0,2.0]", "(1.0 2.0]", "__below__", "(a,b]"])
def test_what_is_no_interval_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"not an interval|not a number|could not convert"):
        naming.parse_interval(name)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
@example('quo"te\\back\\nslash\nline\\')
def test_escaped_labels_are_read_back_by_us_and_by_prometheus_client(text: str) -> None:
    escaped = naming.escape_label(text)
    (family,) = text_string_to_metric_families(f'x{{a="{escaped}"}} 1\n')

    assert unescape(escaped) == text
    assert family.samples[0].labels == {"a": text}


@given(TEXT)
def test_escaped_help_texts_are_read_back(text: str) -> None:
    assert unescape(naming.escape_help(text)) == text
    assert "\n" not in naming.escape_help(text)


@pytest.mark.parametrize(
    ("name", "tag"),
    [("models.v1", "models_v1"), ("a b/c", "a_b_c"), ("../x", "___x"), ("", "_"), ("endpoint-1", "endpoint-1")],
)
def test_tag_segments_have_no_separators(name: str, tag: str) -> None:
    assert naming.tag_segment(name) == tag


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("../../etc", "_.._etc"),
        (".hidden", "hidden"),
        ("..", "_"),
        ("", "_"),
        ("a/b c", "a_b_c"),
        ("v1.2", "v1.2"),
        ("x" * 300, "x" * 128),
        ("xü" * 100, "xü" * 42 + "x"),
    ],
    ids=["up", "hidden", "dots", "empty", "separators", "plain", "long", "long, not ASCII"],
)
def test_path_segments_stay_in_their_folder(name: str, segment: str) -> None:
    assert naming.path_segment(name) == segment
