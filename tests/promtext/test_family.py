"""Families are rendered once; only the numbers are filled in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.families import variable_families
from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.promtext.family import Family, SampleLines, label_text, running_sum


@given(st.lists(st.integers(0, 2**40), max_size=30), st.data())
def test_every_line_is_the_sum_of_its_run_of_cells(cells: list[int], data: st.DataObject) -> None:
    ends = st.integers(0, len(cells))
    runs = data.draw(st.lists(st.tuples(ends, ends).map(sorted), max_size=8))
    sample_lines = SampleLines([(f"x{index}", start, stop) for index, (start, stop) in enumerate(runs)])

    expected = [f"x{index} {sum(cells[start:stop])}\n" for index, (start, stop) in enumerate(runs)]
    assert sample_lines.render(running_sum(cells)).decode() == "".join(expected)


def test_numbers_are_whole_however_large() -> None:
    cells = np.array([2**52, 2**52 - 1], dtype=np.int64)

    assert SampleLines([("x", 0, 2)]).render(running_sum(cells)).decode() == "x 9007199254740991\n"


def test_a_percent_sign_in_a_label_is_a_percent_sign() -> None:
    sample_lines = SampleLines([(f"x{{{label_text(a='100 %', b='%d%s')}}}", 0, 1)])

    assert sample_lines.render(running_sum([3])).decode() == 'x{a="100 %",b="%d%s"} 3\n'


def test_labels_are_escaped_and_those_without_a_value_left_out() -> None:
    assert label_text(a='quo"te', b=None, c="back\\slash", d="new\nline", e="") == (
        'a="quo\\"te",c="back\\\\slash",d="new\\nline",e=""'
    )


def test_heads_differ_between_the_formats_for_counters_only() -> None:
    counter, gauge = Family("x", "counter", "Some\nhelp."), Family("y", "gauge", "Help.")

    assert counter.sample_name == "x_total"
    assert counter.header(openmetrics=False) == "# HELP x_total Some\\nhelp.\n# TYPE x_total counter\n"
    assert counter.header(openmetrics=True) == "# HELP x Some\\nhelp.\n# TYPE x counter\n"
    assert gauge.header(openmetrics=True) == gauge.header(openmetrics=False) == "# HELP y Help.\n# TYPE y gauge\n"


def test_families_of_variables_follow_the_contract() -> None:
    first = Discrete("z", (), ())
    outputs = Continuous("x", (1.0, 2.0), (0, 0, 0), (1.0, 2.0)), Discrete("y", ("a",), (0,))
    variables = variables_of([first], outputs)[1:]
    cells = [*[9] * len(first.cells), *range(1, 6), *range(10, 15)]
    rendered = {
        family.name: (family.type, sample_lines.render(running_sum(cells)).decode())
        for family, sample_lines in variable_families(
            "output", variables, 'model="m"', baseline=False, bins=True, openmetrics=False
        )
    }

    assert rendered == {
        "boxkite_inference_value": (
            "histogram",
            'boxkite_inference_value_bucket{model="m",output="x",le="1.0"} 1\n'
            'boxkite_inference_value_bucket{model="m",output="x",le="2.0"} 3\n'
            'boxkite_inference_value_bucket{model="m",output="x",le="+Inf"} 6\n'
            'boxkite_inference_value_count{model="m",output="x"} 6\n',
        ),
        "boxkite_inference_category": (
            "counter",
            'boxkite_inference_category_total{model="m",output="y",category="a"} 10\n'
            'boxkite_inference_category_total{model="m",output="y",category="__rare__"} 11\n'
            'boxkite_inference_category_total{model="m",output="y",category="__unseen__"} 12\n',
        ),
        "boxkite_inference_group": (
            "counter",
            'boxkite_inference_group_total{model="m",output="x",group="__below__"} 1\n'
            'boxkite_inference_group_total{model="m",output="x",group="(1.0,2.0]"} 2\n'
            'boxkite_inference_group_total{model="m",output="x",group="__above__"} 3\n'
            'boxkite_inference_group_total{model="m",output="x",group="__missing__"} 4\n'
            'boxkite_inference_group_total{model="m",output="x",group="__invalid__"} 5\n'
            'boxkite_inference_group_total{model="m",output="y",group="a"} 10\n'
            'boxkite_inference_group_total{model="m",output="y",group="__rare__"} 11\n'
            'boxkite_inference_group_total{model="m",output="y",group="__unseen__"} 12\n'
            'boxkite_inference_group_total{model="m",output="y",group="__missing__"} 13\n'
            'boxkite_inference_group_total{model="m",output="y",group="__invalid__"} 14\n',
        ),
    }


def test_a_baseline_has_families_of_its_own() -> None:
    variables = variables_of([Discrete("y", ("a",), (1,))])
    names = [
        family.sample_name
        for family, _ in variable_families("feature", variables, "", baseline=True, bins=True, openmetrics=True)
    ]

    assert names == [
        "boxkite_feature_value_baseline",
        "boxkite_feature_category_baseline_total",
        "boxkite_feature_group_baseline_total",
    ]
