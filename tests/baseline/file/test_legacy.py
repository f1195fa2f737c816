"""Files of boxkite 0.0.5 are baselines, and boxkite can read what we write in its form."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import Baseline, BaselineError, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.file.legacy import info_family
from tests.baseline.strategies import baselines
from tests.baseline.training.building import built
from tests.peers import boxkite_python

EXPORT = """
import json, sys
import numpy as np
from boxkite.monitoring.service import ModelMonitoringService

np.random.seed(0)
for path, features, inference in json.load(sys.stdin):
    columns = [(name, [float("nan") if value is None else value for value in column]) for name, column in features]
    ModelMonitoringService.export_text(columns, inference, path)
"""

SERVE = """
import json, sys
from boxkite.monitoring.collector import BaselineMetricCollector
from boxkite.monitoring.exporter.type import LogExporter
from boxkite.monitoring.service import ModelMonitoringService

class NoLog(LogExporter):
    def emit(self, prediction):
        pass

path, rows = json.load(sys.stdin)
service = ModelMonitoringService(NoLog(), BaselineMetricCollector(path))
for features, output in rows:
    service.log_prediction("", features, output)
sys.stdout.write(service.export_http()[0].decode())
"""


def boxkite(program: str, argument: Any) -> str:
    """Run a program in the Python that has boxkite 0.0.5, with *argument* as JSON on its standard input."""
    command = [str(boxkite_python()), "-W", "ignore", "-c", program]
    done = subprocess.run(command, input=json.dumps(argument), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str) -> Samples:
    """Return all samples of a Prometheus text by name and labels."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


class File(NamedTuple):
    """What boxkite was given, and the file that it made of it."""

    path: Path
    features: dict[str, list[float | None]]
    inference: list[Any] | None


def gapped(values: list[float]) -> list[float | None]:
    return [None if index % 9 == 0 else value for index, value in enumerate(values)]


WAVE = [math.sin(index) * index for index in range(400)]
CASES: dict[str, tuple[dict[str, list[float | None]], list[Any] | None]] = {
    "continuous": ({"wave": [*WAVE], "square": [value * value for value in WAVE]}, WAVE),
    "large": ({"large": [value * 1e6 for value in WAVE], "tiny": [abs(value) * 1e-9 for value in WAVE]}, None),
    # Any heavier, and boxkite needs gigabytes for it.
    "heavy tail": ({"tail": [1 / (1 - index / 400) ** 3 for index in range(400)]}, None),
    "discrete": ({"few": [index % 3 for index in range(400)], "constant": [5.0] * 400}, [0, 1] * 200),
    "missing": ({"gaps": gapped(WAVE), "few gaps": gapped([index % 3 for index in range(400)])}, WAVE),
    "texts": ({"wave": [*WAVE]}, ["yes", "no", "maybe", 'a "quote"\\\n'] * 100),
    "all missing": ({"none": [None] * 400, "wave": [*WAVE]}, None),
    "one row": ({"one": [1.5]}, [2.5]),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, File]:
    """Let boxkite write all cases, in one process."""
    folder = tmp_path_factory.mktemp("boxkite")
    found = {name: File(folder / f"{index}.prom", *case) for index, (name, case) in enumerate(CASES.items())}
    boxkite(EXPORT, [(str(file.path), list(file.features.items()), file.inference) for file in found.values()])
    return found


@pytest.fixture(params=CASES)
def file(request: pytest.FixtureRequest, files: dict[str, File]) -> File:
    return files[request.param]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_every_count_of_a_boxkite_file_is_read(file: File) -> None:
    theirs = samples_of(file.path.read_text())
    baseline = Baseline.load(file.path)
    stems = [f"feature_{index}" for index in range(len(file.features))] + ["inference"] * bool(baseline.outputs)

    for stem, item in zip(stems, baseline.features + baseline.outputs, strict=True):
        name = f"{stem}_value_baseline"
        if isinstance(item, Continuous):
            own: dict[Any, int] = dict(zip(item.upper_bounds, accumulate(item.counts), strict=False))
            own[math.inf] = item.rows
            found = {float(labels[0][1]): value for (key, labels), value in theirs.items() if key == f"{name}_bucket"}
        else:
            own = {str(value): count for value, count in zip(item.values, item.counts, strict=True)}
            own |= {"nan": item.missing} if item.missing else {}
            found = {labels[0][1]: value for (key, labels), value in theirs.items() if key == f"{name}_total"}
        assert found == own


def test_names_rows_and_missing_values_of_a_boxkite_file(file: File) -> None:
    baseline = Baseline.load(file.path)

    assert [item.name for item in baseline.features] == list(file.features)
    assert [item.name for item in baseline.outputs] == ["output"] * (file.inference is not None)
    assert baseline.rows == len(next(iter(file.features.values())))
    for item in baseline.features:
        assert item.rows == baseline.rows
        if isinstance(item, Discrete):
            assert item.missing == file.features[item.name].count(None)


def test_groups_of_a_boxkite_file_have_about_equal_mass_and_nothing_below(file: File) -> None:
    baseline = Baseline.load(file.path)

    for item in baseline.features + baseline.outputs:
        groups = {group.name: sum(item.cells[group.start : group.stop]) for group in item.groups}
        assert "__below__" not in groups
        if isinstance(item, Continuous):
            values = [count for name, count in groups.items() if not name.startswith("__")]
            assert len(values) <= 10
            assert min(values) > 0
            assert sum(values) + groups["__above__"] == item.rows
            assert groups["__above__"] == CASES["missing"][0]["gaps"].count(None) * (item.name == "gaps")


def test_an_empty_column_of_boxkite_is_one_of_missing_values(files: dict[str, File]) -> None:
    """boxkite writes no bucket for it that a live value could fall into."""
    baseline = Baseline.load(files["all missing"].path)

    assert baseline.features[0] == Discrete("none", (), (), missing=400)


def test_categories_of_texts_are_texts_even_where_some_read_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "histogram.prom"
    path.write_text(
        "# HELP feature_0_value_baseline_total Baseline values for feature: size:eu\n"
        "# TYPE feature_0_value_baseline_total counter\n"
        'feature_0_value_baseline_total{bin="1"} 3.0\n'
        'feature_0_value_baseline_total{bin="XL"} 2.0\n'
        'feature_0_value_baseline_total{bin="1_0"} 1.0\n'
        'feature_0_value_baseline_total{bin=""} 1.0\n'
        'feature_0_value_baseline_total{bin="nan"} 1.0\n'
    )

    assert Baseline.load(path).features == (Discrete("size:eu", ("1", "XL", '""', "1_0"), (3, 2, 1, 1), missing=1),)


def test_nothing_is_below_even_where_the_lowest_bucket_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "histogram.prom"
    buckets = {"0.0": 0, "1.0": 5, "2.0": 9, "+Inf": 9}
    path.write_text("".join(f'inference_value_baseline_bucket{{le="{le}"}} {n}.0\n' for le, n in buckets.items()))

    assert Baseline.load(path).outputs == (Continuous("output", (0.0, 1.0, 2.0), (0, 5, 4, 0), (-math.inf, 1.0, 2.0)),)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ('feature_0_value_baseline_bucket{le="+Inf"} 1', "line 1: 'feature_0' needs a finite bound and the bucket"),
        ('feature_0_value_baseline_bucket{le="1.0"} 1', "line 1: 'feature_0' has no bucket '+Inf'; is the file cut?"),
        ('feature_0_value_baseline_bucket{le="x"} 1', "line 1: 'le' must be a number, got 'x'."),
        ("feature_0_value_baseline_bucket 1", "line 1: 'le' must be a number, got None."),
        (
            'feature_0_value_baseline_bucket{le="2.0"} 1\nfeature_0_value_baseline_bucket{le="1.0"} 1',
            "line 2: the bounds of 'feature_0' must increase strictly, got 1.0.",
        ),
        (
            'feature_0_value_baseline_bucket{le="1.0"} 2\nfeature_0_value_baseline_bucket{le="+Inf"} 1',
            "line 2: the buckets of 'feature_0' must not decrease.",
        ),
        (
            'inference_value_baseline_total{bin="a"} 0.5',
            "line 1: a count must be a whole number from 0 to 2**53, got '0.5'.",
        ),
        (
            'inference_value_baseline_total{bin="1"} 1\ninference_value_baseline_total{bin="1.0"} 1',
            "line 1: 'output' has a",
        ),
        (
            'inference_value_baseline_total{bin="a"} 1\ninference_value_baseline_total{bin="a"} 1',
            "line 2: bin 'a' of 'output' is there twice.",
        ),
        (
            'inference_value_baseline_total{bin="nan"} 1\ninference_value_baseline_total{bin="nan"} 1',
            "line 2: bin 'nan' of 'output' is there twice.",
        ),
    ],
    ids=["no bound", "cut", "le", "no le", "order", "falling", "half", "one number twice", "twice", "missing twice"],
)
def test_a_damaged_boxkite_file_is_refused(tmp_path: Path, text: str, fact: str) -> None:
    path = tmp_path / "histogram.prom"
    path.write_text(text)
    with pytest.raises(BaselineError) as caught:
        Baseline.load(path)

    assert str(caught.value).startswith(f"Baseline file '{path}', {fact}")
    assert caught.value.path == str(path)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_what_was_read_is_written_back_as_boxkite_wrote_it(file: File, tmp_path: Path) -> None:
    """All but the sums of values, which we do not keep: ours are made from the bounds of the bins."""
    Baseline.load(file.path).dump(tmp_path / "again.prom", names="boxkite")
    theirs, ours = samples_of(file.path.read_text()), samples_of((tmp_path / "again.prom").read_text())

    assert {key: value for key, value in ours.items() if not key[0].endswith("_sum")} == {
        key: value for key, value in theirs.items() if not key[0].endswith("_sum")
    }
    assert {key for key in ours if key[0].endswith("_sum")} == {key for key in theirs if key[0].endswith("_sum")}


def test_heads_of_the_families_are_those_of_boxkite(file: File, tmp_path: Path) -> None:
    Baseline.load(file.path).dump(tmp_path / "again.prom", names="boxkite")
    theirs, ours = (
        [line for line in path.read_text().splitlines() if line.startswith("# ")]
        for path in (file.path, tmp_path / "again.prom")
    )

    assert ours == theirs


def test_boxkite_serves_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "histogram.prom"
    age = Continuous("age", (1.0, 2.0, 3.0), (0, 5, 3, 1), (1.0, 3.0), missing=2)
    baseline = Baseline(
        (age, Discrete("few", ("1.0", "2.0"), (6, 5))), (Discrete("output", ("no", "yes"), (9, 2)),), 11
    )
    baseline.dump(path, names="boxkite")
    text = boxkite(SERVE, (str(path), [([1.5, 2], "yes"), ([None, 7], "no"), ([99, 1], "yes")]))
    found = samples_of(text)

    for key, value in samples_of(path.read_text()).items():
        assert found[key] == value
    live = {
        ("feature_0_value_bucket", "le", "1.0"): 0,
        ("feature_0_value_bucket", "le", "2.0"): 1,
        ("feature_0_value_bucket", "le", "3.0"): 1,
        ("feature_0_value_bucket", "le", "+Inf"): 3,
        ("feature_1_value_total", "bin", "1.0"): 1,
        ("feature_1_value_total", "bin", "2.0"): 1,
        ("inference_value_total", "bin", "no"): 1,
        ("inference_value_total", "bin", "yes"): 2,
    }
    assert {key: found[key[0], (key[1:],)] for key in live} == live
    # Its names of variables are ours too.
    ours = samples_of(info_family(baseline)[1])
    assert {key: value for key, value in found.items() if key[0] == "baseline_metrics_info"} == ours


@given(baselines())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_baseline_can_be_written_in_boxkites_form(tmp_path: Path, baseline: Baseline) -> None:
    path = tmp_path / "histogram.prom"
    baseline.dump(path, names="boxkite")
    text = path.read_bytes().decode()
    if "\r" not in text:
        samples_of(text)
    if baseline.features or baseline.outputs:
        try:
            again = Baseline.load(path)
        except BaselineError as error:
            assert " has a category twice." in str(error) or "it is empty" in str(error)  # noqa: PT017
        else:
            assert sum(item.rows for item in again.features) == sum(item.rows for item in baseline.features)


def kinds() -> Baseline:
    """Return a baseline with a variable of each kind that boxkite's format has no place for."""
    days = [date(1990, 1, 1) + timedelta(9 * place) for place in range(200)]
    columns = {
        "birth": days,
        "month": [date(2024, 1 + place % 3, 1) for place in range(200)],
        "narrow": np.arange(200, dtype=np.float32) / np.float32(7),
        "size": [("S", "M", "?")[place % 3] for place in range(200)],
    }
    outputs = {"until": days, "score": [place / 7 for place in range(200)]}
    return built(columns, outputs, missing_texts=("?",), clock=lambda: 0)


def test_what_boxkites_format_has_no_place_for_is_kept_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = kinds()
    made.dump(tmp_path / "b.prom", names="boxkite")
    assert caplog.messages == [
        "To boxkite 0.0.5, dates are seconds since 1970 ('birth', 'until'), and '?' do not stand for missing values. "
        "flask_boxkite reads the file as it was meant.",
        "A file of boxkite 0.0.5 has one output. Left out: 'score'.",
    ]

    found = Baseline.load(tmp_path / "b.prom")
    assert [item.name for item in found.features] == [item.name for item in made.features]
    for one, other in zip((*found.features, *found.outputs), (*made.features, made.outputs[0]), strict=True):
        assert (one.is_time, one.width, one.missing_texts) == (other.is_time, other.width, other.missing_texts)
        assert sum(one.cells) == sum(other.cells)
    assert found.features[1].categories == ("2024-01-01", "2024-02-01", "2024-03-01")  # type: ignore[union-attr]


def test_live_rows_fall_where_a_file_of_boxkites_format_has_them(tmp_path: Path) -> None:
    kinds().dump(tmp_path / "b.prom", names="boxkite")
    service = ModelMonitoringService(tmp_path / "b.prom", sink="none")
    for place in range(200):
        birth, month = date(1990, 1, 1) + timedelta(9 * place), f"2024-0{1 + place % 3}-01"
        size = ("S", "M", "?")[place % 3]
        row = {"birth": f"{birth}T00:00Z", "month": month, "narrow": float(np.float32(place / 7)), "size": size}
        service.log_prediction(features=row)

    assert {item.name: item.now for item in service.drift() if item.now != item.before and item.rows} == {}


def test_a_damaged_comment_is_refused(tmp_path: Path) -> None:
    kinds().dump(tmp_path / "b.prom", names="boxkite")
    text = (tmp_path / "b.prom").read_text()
    for damage in ('"type": "moment"', '"type": "time', '"kind": "time"'):
        (tmp_path / "b.prom").write_text(text.replace('"type": "time"', damage, 1))
        with pytest.raises(BaselineError, match="the comment '# flask_boxkite' of 'birth' is damaged: "):
            Baseline.load(tmp_path / "b.prom")


def test_a_text_that_boxkite_writes_for_missing_values_stays_apart_from_them(tmp_path: Path) -> None:
    """Two samples of one name and labels would make the whole answer invalid."""
    Baseline((Discrete("x", ("nan",), (3,), missing=2, invalid=1),), (), 6).dump(tmp_path / "x", names="boxkite")

    assert samples_of((tmp_path / "x").read_text()) == {
        ("feature_0_value_baseline_total", (("bin", "nan"),)): 3,
        ("feature_0_value_baseline_total", (("bin", "__missing__"),)): 2,
        ("feature_0_value_baseline_total", (("bin", "__invalid__"),)): 1,
    }
