"""Records that several processes count, with the same numbers as one process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records, compact
from flask_boxkite.records.columns import Columns
from flask_boxkite.records.tabling import TableJob
from tests import peers
from tests.records.archives import record, write
from tests.records.parquet.kinds import KINDS, Kind

COLUMNS = {"numbers": "more", "mixed": "city", "classes": "far", "derived": "age"}
"""Column by which rows are segmented; the baseline lacks "more"."""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def everything(records: Records, kind: Kind, by: str, key: str) -> Iterator[Any]:
    """Yield all that is counted of records, in forms that compare; outcomes are joined by a key."""
    known = kind.baseline
    report, cells, failures = records.observed(known)
    yield [{**row, "note": None} for row in report.to_rows()]  # notes name the values that were read first
    yield cells.tolist(), str(failures), report.window
    counts = records.counts
    yield counts.records, counts.rows, counts.duplicates, counts.damaged, counts.rows_by_baseline, counts.models
    yield records.drift(known, by=by).to_rows()
    yield from with_outcomes(records, kind, by, key)
    found = records._columns(None)
    yield found.features, found.outputs, sorted(found.texts), sorted(found.derived)
    for columns in (Columns.of(known), found):  # the rows of a baseline, in their order
        yield records._count(TableJob(columns), records._files()).table().to_pydict()


def with_outcomes(records: Records, kind: Kind, by: str, key: str) -> Iterator[Any]:
    """Yield the reports that join records with outcomes, or with each other."""
    known, is_of_classes = kind.baseline, len(kind.baseline.outputs) > 1
    chosen = {"positive": "high"} if is_of_classes else {"positive": 1, "threshold": 0.4}
    outcomes = outcomes_of(kind, key, ["low", "mid", "high"] if is_of_classes else [0, 1, 1])
    yield records.fairness(known, by=by, outcomes=outcomes, key=key, **chosen).to_dict()
    yield records.fairness(known, by="client", outcomes=outcomes, key=key, **chosen).to_dict()
    if known.validation is not None:
        report = records.performance(known, outcomes=outcomes, key=key)
        assert report.outcomes > 10
        yield report.to_dict()
        yield records.performance(known, outcomes=outcomes, key=key, by=by).to_dict()
        yield records.challenge(known, known, against=records, outcomes=outcomes, key=key).to_dict()


def outcomes_of(kind: Kind, key: str, actual: list[Any]) -> dict[str, list[Any]]:
    """Return outcomes of some rows, some twice and some unknown, that also give a group."""
    if key in ("entity_id", "prediction_id", "key"):
        names = [f"{item.get(key)}{end}" for number, item in enumerate(kind.records) for end in ENDS[number % 3]]
    else:
        rows = [row for item in kind.records for row in np.ravel(item["features"]) if isinstance(row, dict)]
        names = [row.get(key) for row in rows[::3]]
    names += [*names[:5], "unknown"]
    return {
        key: names,
        "actual": [actual[place % len(actual)] for place in range(len(names))],
        "client": [f"c{place % 7}" for place in range(len(names))],
    }


ENDS = (("",), ("/0", "/1"), ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "key"), [("lines", "entity_id"), ("mixed", "prediction_id"), ("both", ""), ("hourly", "key")]
)
def test_the_numbers_are_those_of_one_process(
    kinds: Any,
    stored: Any,
    threads: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    name: str,
    key: str,
) -> None:
    """By each field that can be the key, and by the first feature; what the log says, too."""
    place, chosen = stored(kind, name), kinds(kind)
    key = key or chosen.baseline.features[0].name
    found = []
    for executor in (None, threads):
        caplog.clear()
        counted = map(repr, everything(Records(place, executor=executor), chosen, COLUMNS[kind], key))
        found.append([*counted, *caplog.messages])
    for one, shared in zip(*found, strict=True):
        assert shared == one


def test_other_processes_count_the_same(kinds: Any, stored: Any) -> None:
    """What is sent to them can be sent, and so can all that they count."""
    place, chosen = stored("mixed", "mixed"), kinds("mixed")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        shared = list(everything(Records(place, executor=executor), chosen, COLUMNS["mixed"], "entity_id"))
    assert repr(shared) == repr(list(everything(Records(place), chosen, COLUMNS["mixed"], "entity_id")))


def test_dask_counts_the_same(kinds: Any, stored: Any) -> None:
    place, known = stored("numbers", "parquet"), kinds("numbers").baseline
    with peers.dask_client() as client:
        report, cells, _ = Records(place, executor=client.get_executor()).observed(known)
    expected_report, expected, _ = Records(place).observed(known)
    assert cells.tolist() == expected.tolist()
    assert report.to_rows() == expected_report.to_rows()


def test_copies_in_any_files_count_once(tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor) -> None:
    made = [record({"age": 50.0 + number}, f"2026-03-01T10:{number:02}:30") for number in range(8)]
    for number, item in enumerate(made):
        write(tmp_path, item, name="first")
        later = {**made[-1 - number], "created_at": item["created_at"]}  # of the same id, in the file of another minute
        write(tmp_path, later, name="again")
    alone, shared = Records(tmp_path), Records(tmp_path, executor=threads)
    known = kinds("numbers").baseline
    assert shared.observed(known)[1].tolist() == alone.observed(known)[1].tolist()
    assert (
        (shared.counts.records, shared.counts.duplicates) == (8, 8) == (alone.counts.records, alone.counts.duplicates)
    )


def spoil(path: Path, column: str) -> None:
    """Overwrite the values of a column."""
    file = pq.ParquetFile(path)
    names = [file.schema_arrow.field(place).name for place in range(len(file.schema_arrow))]
    chunk = file.metadata.row_group(0).column(names.index(column))
    data = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)


@pytest.mark.parametrize("names", [("a", "parquet"), ("z", "parquet")], ids=["lines first", "parquet first"])
def test_copies_of_damaged_parquet_count(
    tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor, names: tuple[str, str]
) -> None:
    known: Baseline = kinds("numbers").baseline
    lines, tables = (tmp_path / name for name in names)
    for number in range(8):
        write(lines, record({"age": 50.0 + number / 8}, f"2026-03-01T10:{number:02}:30"))
    compact(lines, tables, known)
    (part,) = tables.rglob("*.parquet")
    spoil(part, "age")
    for executor in (None, threads):
        records = Records([lines, tables] if names[0] == "a" else [tables, lines], executor=executor)
        assert records.drift(known)["age"].live_rows == 8
        assert (records.counts.records, records.counts.damaged) == (8, {"cut": 1})


def test_ids_of_damaged_parquet_take_no_other_file_with_them(
    tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor
) -> None:
    known: Baseline = kinds("numbers").baseline
    for number in range(2):
        for minute in range(8):
            write(tmp_path / str(number), record({"age": 50.0}, f"2026-03-01T10:{minute:02}:{number:02}"))
        compact(tmp_path / str(number), tmp_path / f"parquet-{number}", known)
    spoil(next((tmp_path / "parquet-0").rglob("*.parquet")), "entity_id")
    for executor in (None, threads):
        records = Records([tmp_path / "parquet-0", tmp_path / "parquet-1"], executor=executor)
        assert records.drift(known)["age"].live_rows == 16


def scored(path: Path, seed: int) -> Baseline:
    """Return a baseline of scores with actual values."""
    rng = np.random.default_rng(seed)
    scores = rng.random(300)
    actual = rng.random(300) < scores
    return ModelMonitoringService.export_text({"age": rng.normal(50, 10, 300)}, scores, path, actual=actual)


def test_of_two_predictions_in_one_second_the_same_one_is_the_last(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    known = scored(tmp_path / "b.prom", 0)
    for folder, output in (("parts", 0.9), ("lines", 0.1)):
        for number in range(20):
            at = f"2026-03-01T10:{number:02}:30"
            write(tmp_path / folder, record({"age": 50.0}, at, output=output, key=f"k{number}"), name=folder)
        if folder == "parts":
            compact(tmp_path / "parts", tmp_path / "parquet", known, remove=True)
    first, late = (
        record({"age": 50.0}, f"2026-03-01T10:{minute}:30", output=0.9, key=key)
        for minute, key in (("00", None), ("40", "k5"))
    )
    write(tmp_path / "lines", first, late, name="late")  # a file may hold records of a later minute
    outcomes = {"key": [f"k{number}" for number in range(20)], "actual": [1] * 20, "sex": ["F", "M"] * 10}
    found = []
    for executor in (None, threads):
        records = Records([tmp_path / "lines", tmp_path / "parquet"], executor=executor)
        performance = records.performance(known, outcomes=outcomes, key="key")
        groups = records.fairness(known, by="sex", outcomes=outcomes, key="key")
        pairs = records.challenge(known, known, against=records, outcomes=outcomes, key="key")
        found.append([performance.to_dict(), groups.to_dict(), pairs.to_dict()])
        assert (performance.outcomes, pairs.outcomes) == (20, 20)
        assert pairs.champion.repeated == 21
        assert sum(group.selected for group in groups) == sum(row[1] for row in pairs.predicted) == 2, (
            "k5; k0, of which Parquet is last"
        )
    assert found[1] == found[0]


def test_lines_before_parquet_of_one_minute_are_its_first_copies(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """Then the other prediction of the second is read last, though it stands before the copy in Parquet."""
    known = scored(tmp_path / "b.prom", 0)
    first, second = (record({"age": 50.0}, output=output, key="k") for output in (0.9, 0.1))
    write(tmp_path / "parts", first, second)
    compact(tmp_path / "parts", tmp_path / "parquet", known, remove=True)
    write(tmp_path / "lines", second)
    for minute in range(10, 13):
        write(tmp_path / "lines", record({"age": 50.0}, f"2026-01-01T08:{minute}:00", output=0.5))
    for executor in (None, threads):
        records = Records([tmp_path / "lines", tmp_path / "parquet"], executor=executor)
        report = records.fairness(known, by="sex", outcomes={"key": ["k"], "sex": ["F"]}, key="key", actual=None)
        assert (report["F"].rows, report["F"].selected, records.counts.duplicates) == (1, 1, 1)


def test_models_are_told_apart_in_each_process(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """A champion and a challenger beside it or elsewhere, whose rows are paired by a feature that neither reads."""
    baselines = [scored(tmp_path / f"{seed}.prom", seed) for seed in (1, 2)]
    rng = np.random.default_rng(3)
    folders = tmp_path / "champion", tmp_path / "challenger"
    for number in range(60):
        at = f"2026-03-01T10:{number % 12:02}:30"
        for folder, baseline in zip(folders, baselines, strict=True):
            features = {"age": 50.0, "order": number % 40}
            about = {"model": folder.name, "baseline": baseline.fingerprint, "output": rng.random()}
            write(folder, record(features, at, **about), name=f"pod-{number % 3}")
    compact(folders[1], tmp_path / "parquet", baselines, remove=True)
    outcomes = {"order": [*range(40)], "actual": [0, 1] * 20}

    found: list[list[Any]] = []
    for executor in (None, threads):
        first, second = (
            Records(place, model=folder.name, executor=executor)
            for place, folder in zip((folders[0], tmp_path), folders, strict=True)
        )
        both = Records(tmp_path, executor=executor)
        apart = first.challenge(*baselines, against=second, outcomes=outcomes, key="order")
        beside = both.challenge(*baselines, outcomes=outcomes, key="order")
        assert (apart.rows, apart.outcomes, apart.champion.repeated) == (40, 40, 20)
        groups = both.fairness(baselines[0], by="model")
        assert {group.name: group.rows for group in groups} == {"champion": 60, "challenger": 60}
        made = second.to_baseline(None, baselines[1])
        assert made.rows == 60
        with pytest.raises(BoxkiteError, match="of several models: 'challenger', 'champion'"):
            both.to_baseline(None, baselines[0])
        found.append([apart.to_dict(), beside.to_dict(), groups.to_dict(), made.fingerprint])
    assert found[1] == found[0]


def test_columns_are_of_all_shares(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """A variable is a text if any process saw one, and derived unless a record before had it among its features."""
    for minute, features in enumerate([{"a": 1.0, "b": 2}, {"a": 2.0, "c": 3}, {"c": 4, "b": "x"}, {"d": None}]):
        derived = {"a": 5.0, "e": 1.0} if minute == 3 else None
        write(tmp_path / "few", record(features, f"2026-03-01T10:{minute:02}:30", derived=derived))
    for start in (0, 6000):
        names = [f"f{number}" for number in range(start, start + 6000)]
        write(tmp_path / "many", record(dict.fromkeys(names, 1.0), f"2026-03-01T10:{start // 1000:02}:30"))
    for executor in (None, threads):
        columns = Records(tmp_path / "few", executor=executor)._columns(None)
        assert columns.features == ("a", "b", "c", "d", "e")
        assert (columns.texts, columns.derived) == ({("feature", "b")}, {"e"})
        with pytest.raises(BoxkiteError, match="The records have more than 10,000 features"):
            Records(tmp_path / "many", executor=executor).to_baseline()


def test_what_is_no_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoxkiteError, match="'executor' must be an executor, such as ProcessPoolExecutor"):
        Records(tmp_path, executor=2)  # type: ignore[arg-type]


def test_a_process_that_was_killed_is_told(tmp_path: Path, kinds: Any) -> None:
    class Broken:
        def map(self, *arguments: Any) -> Any:
            raise BrokenExecutor

    write(tmp_path, record({"age": 50.0}))
    with pytest.raises(BoxkiteError, match="A process that counted records was killed"):
        Records(tmp_path, executor=Broken()).drift(kinds("numbers").baseline)


def test_errors_come_back(tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor) -> None:
    known: Baseline = kinds("numbers").baseline
    write(tmp_path, record({"age": 50.0}, "2026-03-01T10:00:30", model="a"), name="one")
    write(tmp_path, record({"age": 50.0}, "2026-03-01T10:01:30", model="b"), name="two")
    with pytest.raises(BoxkiteError, match="of several models: 'a', 'b'"):
        Records(tmp_path, executor=threads).drift(known)


def test_a_folder_without_records_is_counted_too(tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor) -> None:
    report = Records(tmp_path, executor=threads).drift(kinds("numbers").baseline)
    assert {item.verdict for item in report} == {"not enough data"}
