"""Lines of samples, read as `prometheus_client` reads them, in whatever order they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite.naming import escape_label
from flask_boxkite.promtext.sample import parse_sample

VALUES = st.text(st.sampled_from(r'",\=ab{}n' + "\n "), max_size=8)
LABELS = st.dictionaries(st.sampled_from(["a", "b", "c", "le"]), VALUES, max_size=4)


def written(labels: dict[str, str]) -> str:
    return "x{" + ",".join(f'{name}="{escape_label(value)}"' for name, value in labels.items()) + "} 1"


@given(st.lists(LABELS, max_size=6))
def test_labels_are_read_as_they_were_written(several: list[dict[str, str]]) -> None:
    """Neighbouring lines share what is read of their first labels."""
    for labels in [*several, *several]:
        assert parse_sample(written(labels)) == ("x", labels, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        'x{a="1",b="2",} 1',
        'x{a="1",a="2"} 1',
        'x{a="1",b="2"c="3"} 1',
        'x{a="1",b=2} 1',
        'x{a="1\\",b="2"} 1',
        'x{a="1"b="2",c="3"} 1',
        'x{,b="2"} 1',
        'x{"1",b="2"} 1',
    ],
)
def test_another_form_is_left_to_a_general_parser(text: str) -> None:
    found = parse_sample(text)
    if found is not None:
        (family,) = text_string_to_metric_families(text + "\n")
        (sample,) = family.samples
        assert found == (sample.name, sample.labels, sample.value)
