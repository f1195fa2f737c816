"""Baseline files: written whole, read back equal, and refused with file and line where they are damaged."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.file.lines import MAX_BYTES, lines_of
from flask_boxkite.baseline.file.reader import _samples
from flask_boxkite.baseline.file.writer import render
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.promtext.sample import parse_sample
from tests.baseline.strategies import baselines
from tests.faults import file_size_limit

AGE = Continuous("age", (0.0, 10.0, 20.0, 30.0), (0, 5, 7, 3, 1), (0.0, 20.0, 30.0), missing=2, invalid=4)
CITY = Discrete("city", ("Bonn", "Ulm"), (12, 7), rare=2, missing=1)
SCORE = Continuous("output", (0.25, 0.5), (3, 4, 5), (0.25, 0.5))
BASELINE = Baseline((AGE, CITY), (SCORE,), 22, "churn", "v1", 1_700_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "histogram.prom"


def refusal(path: Path, content: str | bytes | None = None) -> BaselineError:
    """Return the error of loading a file, which must name it."""
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(BaselineError) as caught:
        Baseline.load(path)
    error = caught.value
    assert error.path == str(path)
    where = "" if error.line is None else f", line {error.line}"
    assert str(error).startswith(f"Baseline file '{path}'{where}: ")
    return error


# --- writing and reading ---------------------------------------------------------------------------------------------


@given(baselines())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_is_read_back_equal(tmp_path: Path, baseline: Baseline) -> None:
    path = tmp_path / "histogram.prom"
    baseline.dump(path)
    loaded = Baseline.load(path)

    assert loaded == baseline
    assert loaded.fingerprint == baseline.fingerprint
    assert render(loaded) == path.read_bytes().decode()


def test_files_of_earlier_releases_keep_their_groups_and_fingerprint(path: Path) -> None:
    hour = Discrete("hour", tuple(f"{n}.0" for n in range(12)), tuple(range(40, 28, -1)), rare=3)
    earlier = Baseline((hour,), (), 1, "m", None, 0)
    earlier.dump(path)

    assert Baseline.load(path) == earlier
    assert earlier.fingerprint == "0f9f39fdcb57"
    assert [group.name for group in hour.groups][7:] == ["7.0", "__rare__", "__unseen__", "__missing__", "__invalid__"]


def test_groups_decide_about_the_fingerprint() -> None:
    counts = {f"c{index:02}": 100 - index for index in range(20)}
    one, other = (
        Baseline((build("x", counts),), (), 1, "m", None, 0) for build in (Discrete.ordered, Discrete.grouped)
    )

    assert one.fingerprint != other.fingerprint


def test_the_file_is_what_the_contract_says(path: Path) -> None:
    BASELINE.dump(path)
    about = f'model="churn",baseline="{BASELINE.fingerprint}"'

    assert path.read_text().splitlines()[:20] == [
        "# HELP boxkite_baseline_info Training rows of each baseline in use.",
        "# TYPE boxkite_baseline_info gauge",
        f'boxkite_baseline_info{{{about},version="v1",created="2023-11-14T22:13:20Z"}} 22',
        "# HELP boxkite_feature_info Position and kind of each feature.",
        "# TYPE boxkite_feature_info gauge",
        f'boxkite_feature_info{{{about},feature="age",position="0",kind="continuous"}} 1',
        f'boxkite_feature_info{{{about},feature="city",position="1",kind="discrete"}} 1',
        "# HELP boxkite_inference_info Position and kind of each output.",
        "# TYPE boxkite_inference_info gauge",
        f'boxkite_inference_info{{{about},output="output",position="0",kind="continuous"}} 1',
        "# HELP boxkite_feature_value_baseline Values of each continuous feature in training.",
        "# TYPE boxkite_feature_value_baseline histogram",
        f'boxkite_feature_value_baseline_bucket{{{about},feature="age",le="0.0"}} 0',
        f'boxkite_feature_value_baseline_bucket{{{about},feature="age",le="10.0"}} 5',
        f'boxkite_feature_value_baseline_bucket{{{about},feature="age",le="20.0"}} 12',
        f'boxkite_feature_value_baseline_bucket{{{about},feature="age",le="30.0"}} 15',
        f'boxkite_feature_value_baseline_bucket{{{about},feature="age",le="+Inf"}} 16',
        f'boxkite_feature_value_baseline_count{{{about},feature="age"}} 16',
        "# HELP boxkite_feature_category_baseline_total Rows per category of each feature in training.",
        "# TYPE boxkite_feature_category_baseline_total counter",
    ]


@given(baselines().filter(lambda baseline: "\r" not in repr(baseline)))
def test_the_file_parses_with_prometheus_client_as_it_is(baseline: Baseline) -> None:
    found = {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(baseline))
        for sample in family.samples
    }
    groups = {
        (labels[2][1], labels[3][1]): value
        for (name, labels), value in found.items()
        if name == "boxkite_feature_group_baseline_total"
    }

    expected = {
        (item.name, group.name): sum(item.cells[group.start : group.stop])
        for item in baseline.features
        for group in item.groups
    }
    assert groups == expected


def test_odd_names_survive(path: Path) -> None:
    names = ['quo"te', "new\nline", "{brace}", "back\\slash", "Größe", "line\u2028sep", "cr\r", '"} 1', "", " a "]
    baseline = build_baseline({name: [f"{name}{index}" for index in "ab"] for name in names})
    baseline.dump(path)

    assert Baseline.load(path) == baseline
    assert [item.name for item in Baseline.load(path).features] == names


@given(baselines())
def test_every_line_that_is_written_is_in_the_form_that_is_read_fast(baseline: Baseline) -> None:
    """The general parser takes 30 times as long."""
    lines = [line for line in render(baseline).split("\n") if line and not line.startswith("#")]

    assert lines
    assert [line for line in lines if parse_sample(line) is None] == []


# --- writing fails ---------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(path: Path) -> None:
    path.write_text("old")
    BASELINE.dump(path)

    assert Baseline.load(path) == BASELINE
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_keeps_the_old_file(path: Path) -> None:
    path.write_text("old")
    path.parent.chmod(0o500)
    try:
        with pytest.raises(BaselineError) as caught:
            BASELINE.dump(path)
    finally:
        path.parent.chmod(0o700)

    reason = "Permission denied. Is its folder there and writable?"
    assert str(caught.value) == f"Baseline file '{path}' cannot be written: {reason}"
    assert path.read_text() == "old"


def test_a_full_disk_keeps_the_old_file_and_leaves_no_other(path: Path) -> None:
    path.write_text("old")
    with pytest.raises(BaselineError) as caught, file_size_limit(100):
        BASELINE.dump(path)

    assert str(caught.value).startswith(f"Baseline file '{path}' cannot be written: File too large.")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/histogram.prom", "No such file or directory"),
        ("file/histogram.prom", "Not a directory"),
        ("folder", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
    ids=["no folder", "a file", "itself a folder", "long"],
)
def test_an_impossible_path_is_named(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BaselineError) as caught:
        BASELINE.dump(tmp_path / name)

    remedy = "Is its folder there and writable?"
    assert str(caught.value) == f"Baseline file '{tmp_path / name}' cannot be written: {reason}. {remedy}"
    assert caught.value.path == str(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_unknown_names_are_refused_before_anything_is_written(path: Path) -> None:
    with pytest.raises(BaselineError, match=r"^'names' must be 'labels' or 'boxkite', got 'prometheus'\.$"):
        BASELINE.dump(path, names="prometheus")

    assert not path.exists()


# --- files that are no baseline --------------------------------------------------------------------------------------

HINT = "Write one with ModelMonitoringService.export_text()."


@pytest.mark.parametrize(
    ("content", "line", "fact"),
    [
        (b"", None, f"it is empty. {HINT}"),
        (b"\n\n# only comments\n", None, f"it is empty. {HINT}"),
        (b"a 1\n\xff\xfe\n", 2, f"it is not UTF-8 text, so it is no baseline. {HINT}"),
        (pickle.dumps(BASELINE), 1, f"it is not UTF-8 text, so it is no baseline. {HINT}"),
        (b"\x00" * 50, 1, f"it is not Prometheus text: {chr(0) * 50!r}."),
        (pickle.dumps([1], protocol=0), 1, "it is not Prometheus text: '(lp0'."),
        (b'{"a": 1}', 1, "it is not Prometheus text: '{\"a\": 1}'."),
        (b"<html>", 1, "it is not Prometheus text: '<html>'."),
        (b"a 1\nb one\n", 2, "it is not Prometheus text: 'b one'."),
        (b"process_cpu_seconds_total 1\n", None, f"it has no 'boxkite_baseline_info', so it is no baseline. {HINT}"),
    ],
    ids=["empty", "comments", "binary", "pickle", "zeros", "text pickle", "JSON", "HTML", "no number", "other metrics"],
)
def test_what_is_no_baseline_is_named(path: Path, content: bytes, line: int | None, fact: str) -> None:
    error = refusal(path, content)

    assert error.line == line
    assert str(error).endswith(f": {fact}")


def test_a_pickle_is_never_executed(path: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "boom"),))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        refusal(path, pickle.dumps(Bomb(), protocol))

    assert not (tmp_path / "boom").exists()


def test_a_missing_file_is_named(path: Path) -> None:
    assert str(refusal(path)) == f"Baseline file '{path}': it cannot be read: No such file or directory. {HINT}"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert str(refusal(tmp_path)).endswith(f": it is not a file. {HINT}")


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)

    assert str(refusal(path)).endswith(f": it is not a file. {HINT}")


def test_a_huge_file_is_refused_unread(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)

    expected = "it has 1,099,511,627,776 bytes, more than the 268,435,456 that a baseline may have."
    assert str(refusal(path)) == f"Baseline file '{path}': {expected}"


def test_a_file_of_millions_of_samples_is_refused_where_they_are_too_many() -> None:
    """The bound is lower here, because two million lines take a while."""
    lines = (f"f{i} 1" for i in itertools.count())
    with pytest.raises(BaselineError) as caught:
        list(_samples(lines, {}, {}, 20_000))
    assert caught.value.line == 20_001
    assert str(caught.value).endswith("the file has more than the 20,000 samples that a baseline may have.")


@pytest.mark.parametrize(
    ("kind", "label", "what"),
    [("category", "category", "_total"), ("value", "le", "_bucket")],
    ids=["categories", "bounds"],
)
def test_a_variable_of_a_million_values_is_refused_where_they_are_too_many(
    path: Path, kind: str, label: str, what: str
) -> None:
    """What stands behind it is not read: it would be refused at its own line."""
    head = 'boxkite_feature_info{model="m",feature="x",position="0",kind="discrete"} 1\n'
    lines = (f'boxkite_feature_{kind}_baseline{what}{{feature="x",{label}="{i}"}} {i}\n' for i in range(10_003))
    error = refusal(path, (head + "".join(lines)).encode() + b"\xff" * 1000)
    assert error.line == 10_004
    assert str(error).endswith(": 'x' has more than the 10,000 bins or categories that a variable may have.")


def test_a_boxkite_file_of_a_million_categories_is_refused(path: Path) -> None:
    lines = "".join(f'feature_0_value_baseline_total{{bin="{i}"}} {i}\n' for i in range(10_003))
    assert refusal(path, lines).line == 10_003


@pytest.mark.parametrize("end", ["", "\n", '"} 1\n'])
@pytest.mark.parametrize("start", ["# HELP x ", "# ", 'x{feature="', ""])
def test_a_line_of_megabytes_is_refused(path: Path, start: str, end: str) -> None:
    error = refusal(path, f"a 1\n{start}{'x' * 3_000_000}{end}b 1\n".encode() + b"\xff")
    assert error.line == 2
    assert str(error).endswith(f": the line has more than 1,048,576 bytes, so it is no baseline. {HINT}")


@pytest.mark.parametrize("old", ['"churn"', '"age"', '"Bonn"', '"v1"'])
def test_a_long_label_is_refused_where_it_stands(path: Path, old: str) -> None:
    text = render(BASELINE).replace(old, f'"{"x" * 500_000}"')
    error = refusal(path, text)
    assert error.line == next(number for number, line in enumerate(text.splitlines(), 1) if "xxx" in line)
    assert str(error).endswith(" has 500,000 letters; it may have 10,000.")


def test_a_name_that_no_file_may_have_is_refused_in_training() -> None:
    """And so are more bounds than a file may have."""
    with pytest.raises(BaselineError, match=r"^The name 'x{40}'… has 10,001 letters; it may have 10,000\.$"):
        replace(BASELINE.features[0], name="x" * 10_001)
    with pytest.raises(BaselineError, match=r"^'x' has 20,000 categories; a variable may have 10,000\. Lower"):
        Discrete("x", tuple(f"c{i}" for i in range(20_000)), (1,) * 20_000)
    with pytest.raises(
        BaselineError, match=r"^'x' has 20,000 bounds; a variable may have 10,000\. Lower 'max_bins'\.$"
    ):
        Continuous("x", tuple(map(float, range(20_000))), (1,) * 20_001, (0.0, 19_999.0))


def test_a_loop_of_links_is_named(path: Path) -> None:
    path.symlink_to(path)
    assert str(refusal(path)) == (
        f"Baseline file '{path}': it cannot be read: Too many levels of symbolic links. {HINT}"
    )


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_no_file(device: str) -> None:
    """A terminal cannot be opened where there is none."""
    assert any(text in str(refusal(Path(device))) for text in (": it is not a file. ", ": it cannot be read: "))


def test_a_compressed_file_is_refused_at_once(path: Path) -> None:
    error = refusal(path, gzip.compress(render(BASELINE).encode()))
    assert error.line == 1


def test_a_link_is_followed(path: Path, tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap."""
    BASELINE.dump(tmp_path / "real.prom")
    path.symlink_to(tmp_path / "real.prom")
    assert Baseline.load(path) == BASELINE


def test_a_file_that_grows_while_it_is_read_is_refused(path: Path) -> None:
    path.write_text("a 1\n" * 100)
    lines = lines_of(path, most_bytes=400)
    next(lines)
    with path.open("a") as file:
        file.write("a 1\n" * 100_000)
    with pytest.raises(BaselineError, match=r"^it grows beyond the 400 bytes that a baseline may have\.$"):
        list(lines)


# --- damaged files ---------------------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    """Except where nothing but the last line's end is gone."""
    whole = render(BASELINE).encode()

    for end in range(0, len(whole) - 1, 7):
        refusal(path, whole[:end])
    refusal(path, whole[:-2])


def test_a_file_without_any_one_of_its_samples_is_refused(path: Path) -> None:
    """Except those that say again, or say 0, what is so without them."""
    lines = render(BASELINE).splitlines(keepends=True)

    for index, line in enumerate(lines):
        if not line.startswith("#") and "_count{" not in line and 'category="__unseen__"' not in line:
            refusal(path, "".join(lines[:index] + lines[index + 1 :]))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_a_changed_byte_is_refused_or_means_the_same(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "histogram.prom"
    content = bytearray(render(BASELINE).encode())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(BaselineError):
        assert Baseline.load(path).fingerprint == BASELINE.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        (r'(feature="age",le=)"10.0"', r'\1"30.0"', "the bounds of 'age' must increase strictly, got 20.0."),
        (r'(feature="age",le=)"10.0"', r'\1"0.0"', "the bounds of 'age' must increase strictly, got 0.0."),
        (r'(feature="age",le=)"10.0"', r'\1"NaN"', "the bounds of 'age' must increase strictly, got nan."),
        (r'(feature="age",le=)"10.0"', r'\1"ten"', "'le' must be a number, got 'ten'."),
        (r'(feature="age"),le="10.0"', r"\1", "'le' must be a number, got None."),
        (r'(le="10.0"}) 5', r"\1 13", "the buckets of 'age' must not decrease."),
        (r'(le="10.0"}) 5', r"\1 5.5", "a count must be a whole number from 0 to 2**53, got '5.5'."),
        (r'(le="10.0"}) 5', r"\1 -5", "a count must be a whole number from 0 to 2**53, got '-5'."),
        (r'(le="10.0"}) 5', r"\1 NaN", "a count must be a whole number from 0 to 2**53, got 'NaN'."),
        (r'(le="10.0"}) 5', r"\1 +Inf", "a count must be a whole number from 0 to 2**53, got '+Inf'."),
        (r'(le="10.0"}) 5', r"\1 1e300", "a count must be a whole number from 0 to 2**53, got '1e300'."),
        (r'(le="10.0"}) 5', r"\1 5_0", None),
        (r'(feature="age",le="0.0"}) 0', r"\1 1e-400", "a count must be a whole number from 0 to 2**53, got '1e-400'."),
        (r'(le="10.0"}) 5', "\\1 \N{ARABIC-INDIC DIGIT FIVE}", None),
        (r'(le="10.0"}) 5', r"\1 0x5", None),
        (
            r'(le="10.0"}) 5',
            r"\1 4.9999999999999999999",
            "a count must be a whole number from 0 to 2**53, got '4.9999999999999999999'.",
        ),
        (
            r'(le="10.0"}) 5',
            r"\1 9007199254740993",
            "a count must be a whole number from 0 to 2**53, got '9007199254740993'.",
        ),
        (r'(le="10.0"}) 5', r"\1 -0", "a count must be a whole number from 0 to 2**53, got '-0'."),
        (r'(le="10.0"}) 5', "\\1\t -5 1700000000", "a count must be a whole number from 0 to 2**53, got '-5'."),
        (
            r'(feature="age",le=)"10.0"',
            '\\1"\N{ARABIC-INDIC DIGIT FIVE}"',
            "'le' must be a number, got '\N{ARABIC-INDIC DIGIT FIVE}'.",
        ),
        (
            r'position="1"',
            'position="\N{ARABIC-INDIC DIGIT ONE}"',
            "'city' needs a position and a kind, 'continuous' or 'discrete'.",
        ),
        (
            r'kind="discrete"',
            f'kind="discrete",missing_texts="{"[" * 100_000}"',
            "'missing_texts' of 'city' must be a list of texts, as JSON has it.",
        ),
        (r'(le="10.0"}) 5', r"\1 6", None),
        (r'(category="Bonn"}) 12', r"\1 13", None),
        (r'category="Bonn"', 'category="Ulm"', "category 'Ulm' is missing or there twice."),
        (r',category="Bonn"', "", "category None is missing or there twice."),
        (r'group="\(0.0,20.0\]"', 'group="(20.0,30.0]"', "group '(20.0,30.0]' is missing or there twice."),
        (r'group="\(0.0,20.0\]"', 'group="young"', "group 'young' of 'age' is not an interval '(lower,upper]'."),
        (
            r'group="\(0.0,20.0\]"',
            'group="(0.0,15.0]"',
            "The groups of 'age' must increase and end at its bounds, got (0.0, 15.0, 20.0, 30.0).",
        ),
        (
            r'(group="\(0.0,20.0\]"}) 12',
            r"\1 11",
            "the groups of 'age' do not add up from its bins: '(0.0,20.0]' differs.",
        ),
        (r'feature="city",position', 'feature="age",position', "'age' is declared twice."),
        (r'position="1"', 'position="one"', "'city' needs a position and a kind, 'continuous' or 'discrete'."),
        (
            r'position="1"',
            f'position="{"9" * 5000}"',
            "'city' needs a position and a kind, 'continuous' or 'discrete'.",
        ),
        (r'kind="discrete"', 'kind="text"', "'city' needs a position and a kind, 'continuous' or 'discrete'."),
        (r'kind="discrete"', 'kind="continuous"', "'city' has no bucket '+Inf'; is the file cut?"),
        (
            r'feature="age",le="0.0"',
            'feature="years",le="0.0"',
            "'boxkite_feature_value_baseline_bucket' is of 'years', which no '_info' line before it declares.",
        ),
        (
            r'feature="age",le="0.0"',
            'le="0.0"',
            "'boxkite_feature_value_baseline_bucket' does not say of which variable it is.",
        ),
        (
            r'created="[^"]*"',
            'created="today"',
            "'created' must be a time such as '2026-01-31T12:00:00Z', got 'today'.",
        ),
        (r"(boxkite_baseline_info{.*) 22", r"\1 22\n\1 22", "a second baseline begins here. A file holds one."),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_a_damaged_line_is_named(path: Path, old: str, new: str, fact: str | None) -> None:
    text, number = re.subn(old, new, render(BASELINE), count=1)
    assert number == 1
    error = refusal(path, text)
    lines = zip(text.splitlines(), render(BASELINE).splitlines(), strict=False)
    changed = next(index for index, (after, before) in enumerate(lines, 1) if after != before)

    if fact is not None:
        assert str(error).endswith(f": {fact}")
    # Where the fault is seen only from a line after it, that one is named.
    assert error.line is not None
    assert text.splitlines()[error.line - 1].count("age") + text.splitlines()[error.line - 1].count("city") or (
        error.line == changed or "second" in str(error) or "claims" in str(error)
    )


def test_an_edited_count_is_found_by_the_fingerprint(path: Path) -> None:
    """Edited so that everything still adds up."""
    text = render(BASELINE)
    for label, before, after in (("Bonn", 12, 13), ("Ulm", 7, 6)):
        for name in ("category", "group"):
            assert f'{name}="{label}"}} {before}\n' in text
            text = text.replace(f'{name}="{label}"}} {before}\n', f'{name}="{label}"}} {after}\n')
    error = refusal(path, text)

    edited = replace(CITY, counts=(13, 6))
    content = Baseline((AGE, edited), (SCORE,), 22).fingerprint
    assert error.line == 3
    assert str(error) == (
        f"Baseline file '{path}', line 3: it claims to be baseline '{BASELINE.fingerprint}' but its content is "
        f"'{content}': it was cut or edited. Export it again."
    )


# --- files in another form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"\} (\d+)$", r"}   \1"),
        (r"\} (\d+)$", r"}\t\1"),
        (r"\} (\d+)$", r"} \1 1700000000000"),
        (r"\} (\d+)$", r"} \1.0"),
        (r"^(boxkite_\w+)\{(.*)\}", r"\1 {\2}"),
        (r"^(boxkite_\w+)\{(.*)\}", r"\1{ \2 , }"),
        (r"^(boxkite_\w+)\{(.*)\}", r"\1{\2,}"),
        (r'^(boxkite_\w+)\{(model="churn"),(baseline="\w+"),', r"\1{\3,\2,"),
        (r"^(?!#)(.*)$", r'\1\n# a comment\n\nother_metric{a="b"} 3'),
        (r"$", "\r"),
        (r"^#.*\n", ""),
    ],
    ids=[
        "blanks",
        "tab",
        "times",
        "floats",
        "blank",
        "blanks in braces",
        "comma",
        "order",
        "others",
        "CRLF",
        "no help",
    ],
)
def test_other_forms_of_the_same_text_load(path: Path, old: str, new: str) -> None:
    text, number = re.subn(old, new, render(BASELINE), flags=re.MULTILINE)
    path.write_bytes(text.encode())

    assert number > 10
    assert Baseline.load(path) == BASELINE


def test_categories_may_come_in_any_order(path: Path) -> None:
    lines = render(BASELINE).splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if 'category="Bonn"' in line)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    path.write_text("".join(lines))

    assert Baseline.load(path) == BASELINE


def test_the_file_can_be_written_by_hand_in_openmetrics(path: Path) -> None:
    """Its end mark is a comment to us. OpenMetrics allows no count without a sum, so ours is left out."""
    text = "".join(line for line in render(BASELINE).splitlines(keepends=True) if "_count{" not in line)
    text = re.sub(r"^# (HELP|TYPE) (\w+)_total ", r"# \1 \2 ", text, flags=re.MULTILINE) + "# EOF\n"
    path.write_text(text)

    assert len(list(openmetrics_families(text))) == 8
    assert Baseline.load(path) == BASELINE


def test_the_size_limit_is_far_above_what_is_needed() -> None:
    line = max(map(len, render(BASELINE).splitlines()))

    assert 10_000 * 80 * line < MAX_BYTES
