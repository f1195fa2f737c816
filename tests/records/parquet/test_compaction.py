"""Compaction: which files it takes, what it writes, and that it may be run again."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.cli import boxkite
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records, compact
from flask_boxkite.records.parquet import stream
from flask_boxkite.records.parquet.part import FOOTER
from tests.records.archives import record, write


@pytest.fixture
def trained(tmp_path: Path) -> Baseline:
    rng = np.random.default_rng(0)
    age = rng.normal(50, 10, 400)
    return ModelMonitoringService.export_text(
        {"age": age, "size": -age}, age / 100, tmp_path / "baseline.prom", model="credit"
    )


def one(age: Any = 50.5, **fields: Any) -> dict[str, Any]:
    return record({"age": age, "size": 1.5}, **{"output": 0.5, **fields})


def parts(out: Path) -> list[Path]:
    return sorted(out.rglob("*.parquet"))


def rows(out: Path, *names: str) -> list[dict[str, Any]]:
    tables = [pq.ParquetFile(path).read(columns=list(names) or None) for path in parts(out)]
    return [row for table in tables for row in table.to_pylist()]


def test_only_minutes_that_are_over_are_compacted(tmp_path: Path, trained: Baseline) -> None:
    now = datetime.now(timezone.utc)
    live = write(tmp_path / "logs", one(at=f"{now:%Y-%m-%dT%H:%M:%S}"))
    old = write(tmp_path / "logs", one())
    run = compact(tmp_path / "logs", tmp_path / "out", trained, remove=True)
    assert (run.sources, run.records, run.removed, run.waiting) == (1, 1, 1, 1)
    assert live.exists()
    assert not old.exists()
    assert Records([tmp_path / "logs", tmp_path / "out"]).drift(trained)["age"].live_rows == 2


def test_files_stay_unless_they_are_to_be_removed(tmp_path: Path, trained: Baseline) -> None:
    file = write(tmp_path / "logs", one())
    compact(tmp_path / "logs", tmp_path / "out", trained)
    assert file.exists()
    again = compact(tmp_path / "logs", tmp_path / "out", trained, remove=True)
    assert (again.sources, again.removed) == (0, 1)
    assert not file.exists()
    assert len(rows(tmp_path / "out")) == 1


def test_lines_that_come_late_are_compacted_alone(tmp_path: Path, trained: Baseline) -> None:
    logs, out = tmp_path / "logs", tmp_path / "out"
    first, torn, late = one(), b'{"entity_id": "x", "fea', one()
    file = write(logs, first, torn)
    os.utime(file, (0, 0))
    assert compact(logs, out, trained).damaged == {"no_record": 1}
    with file.open("ab") as stream_:
        stream_.write(b"\n" + json.dumps(late).encode() + b"\n")
    run = compact(logs, out, trained, remove=True)
    assert (run.records, run.damaged, run.removed) == (1, {}, 1)
    records = Records(out)
    assert {item["entity_id"] for item in records} == {first["entity_id"], late["entity_id"]}
    assert records.counts.damaged == {"no_record": 1}


def test_a_line_that_is_being_written_is_left_alone(tmp_path: Path, trained: Baseline) -> None:
    whole = json.dumps(one()).encode()
    file = write(tmp_path / "logs", one(), whole[:40])
    assert compact(tmp_path / "logs", tmp_path / "out", trained).sources == 0
    with file.open("ab") as stream_:
        stream_.write(whole[40:] + b"\n")
    assert compact(tmp_path / "logs", tmp_path / "out", trained).records == 2


def test_a_file_that_is_compressed_later_is_the_same(tmp_path: Path, trained: Baseline) -> None:
    logs, out = tmp_path / "logs", tmp_path / "out"
    file = write(logs, one(), one())
    compact(logs, out, trained)
    file.with_suffix(".txt.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    assert compact(logs, out, trained).records == 0
    assert compact(logs, out, trained, remove=True).removed == 1
    assert len(rows(out)) == 2


def test_a_new_file_of_an_old_name_is_another(tmp_path: Path, trained: Baseline) -> None:
    logs, out = tmp_path / "logs", tmp_path / "out"
    file = write(logs, one(), one())
    compact(logs, out, trained)
    file.unlink()
    write(logs, one())
    assert compact(logs, out, trained, remove=True).records == 1
    assert len(rows(out)) == 3


def test_every_line_stands_there_as_it_was(tmp_path: Path, trained: Baseline) -> None:
    lines = [
        json.dumps(one(new_field={"a": [1, 2.50]}, request_body='{"age": "é"}'), ensure_ascii=True).encode(),
        json.dumps(one(), separators=(",", ":")).encode(),
    ]
    write(tmp_path / "logs", one(), *(line + b"\n" for line in lines))
    compact(tmp_path / "logs", tmp_path / "out", trained)
    assert {text["boxkite_line"].encode() for text in rows(tmp_path / "out", "boxkite_line")} > set(lines)


def test_all_files_of_a_table_have_columns_that_every_engine_reads(tmp_path: Path, trained: Baseline) -> None:
    """The first file has only nulls, by which many readers would take the types."""
    logs, out = tmp_path / "logs", tmp_path / "out"
    write(logs, record({"age": None}, key=None, duration_ms=None))
    compact(logs, out, trained, remove=True)
    write(logs, one("old", at="2026-01-02T08:00:00"))
    compact(logs, out, trained, remove=True)
    first, second = (pq.ParquetFile(path).schema_arrow for path in parts(out))
    assert first == second
    allowed = {pa.float64(), pa.string(), pa.bool_(), pa.int32(), pa.timestamp("us", tz="UTC")}
    assert set(first.types) <= allowed
    assert [row["boxkite_odd"] for row in rows(out, "boxkite_odd")] == [None, '{"age": "old"}']
    assert [row["age"] for row in rows(out, "age")] == [None, None]


def test_numbers_that_hardly_get_smaller_are_not_compressed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = {"exact": rng.normal(size=400), "whole": rng.integers(0, 90, 400)}
    known = ModelMonitoringService.export_text(data, path=tmp_path / "b.prom", model="credit")
    rows = [dict(zip(data, map(float, values), strict=True)) for values in zip(*data.values(), strict=True)]
    write(tmp_path / "logs", *(record(row) for row in rows))
    compact(tmp_path / "logs", tmp_path / "out", known)
    (path,) = parts(tmp_path / "out")
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    assert [each.path_in_schema for each in columns if each.compression != "ZSTD"] == ["exact"]
    assert Records(tmp_path / "out").drift(known)["exact"].live_rows == 400


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("credit", "credit.{fingerprint}"),
        ("007", "model-007-"),
        ("Über/1", "model-_ber_1-"),
        ("..", "model-__-"),
        ("", "model--00000000.untyped"),
        (None, "unnamed.untyped"),
        ("unnamed", "model-unnamed-"),
        ("x" * 500, "model-" + "x" * 80),
    ],
)
def test_folders_of_models_have_names_of_all_systems(
    tmp_path: Path, trained: Baseline, model: str | None, folder: str
) -> None:
    write(tmp_path / "logs", one(model=model))
    compact(tmp_path / "logs", tmp_path / "out", trained)
    (part,) = parts(tmp_path / "out")
    table, day, _ = part.relative_to(tmp_path / "out").parts
    assert table.startswith(folder.format(fingerprint=trained.fingerprint))
    assert day == "boxkite_date=2026-01-01"
    assert next(iter(Records(tmp_path / "out")))["model"] == model
    assert Records(tmp_path / "out", model=model).drift(trained)["age"].live_rows == 1


def test_damage_alone_is_counted_too(tmp_path: Path, trained: Baseline) -> None:
    file = tmp_path / "logs/2026-01-01/0800_boxkite-a.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nothing\n{}\n\n")
    run = compact(tmp_path / "logs", tmp_path / "out", trained, remove=True)
    assert run.damaged == {"no_record": 2, "empty": 1}
    records = Records(tmp_path / "out")
    assert list(records) == []
    assert records.counts.damaged == run.damaged


def test_copies_are_left_out_and_counted(tmp_path: Path, trained: Baseline) -> None:
    logs, out = tmp_path / "logs", tmp_path / "out"
    same, other = one(), one(at="2026-01-01T08:03:00")
    write(logs, same, same, other)
    write(logs, same, name="boxkite-pod-2")
    assert compact(logs, out, trained, remove=True).duplicates == 2
    assert len(rows(out)) == 2
    write(logs, same, name="boxkite-pod-3")  # delivered again when the first one was compacted
    assert compact(logs, out, trained, remove=True).duplicates == 0
    records = Records(out)
    assert records.drift(trained)["age"].live_rows == 2
    assert records.counts.duplicates == 3
    later = Records(out, start="2026-01-01T08:02")
    assert later.drift(trained)["age"].live_rows == 1
    assert later.counts.duplicates == 0


def test_columns_are_counted_without_a_look_at_the_lines(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "logs", *(one(age) for age in (40.5, 50.5, None)))
    compact(tmp_path / "logs", tmp_path / "out", trained)
    with mock.patch.object(stream, "records_of", side_effect=AssertionError):
        records = Records(tmp_path / "out")
        assert records.drift(trained)["age"].live_rows == 3
        assert sum(segment.rows for segment in records.drift(trained, by="output")) == 3
        assert records.to_frame("pyarrow", trained).read_all()["age"].to_pylist() == [40.5, 50.5, None]


def test_pairs_know_which_values_are_of_one_row(tmp_path: Path) -> None:
    """Outputs are missing in some rows, so the others lie at other places among the rows with features."""
    rng = np.random.default_rng(5)
    age = rng.normal(50, 10, 2000)
    trained = ModelMonitoringService.export_text({"age": age}, age + rng.normal(0, 1, 2000), tmp_path / "baseline.prom")
    assert trained.pairs
    served = rng.normal(50, 10, 500)
    made = [record({"age": value}, output=None if place % 3 == 0 else value) for place, value in enumerate(served)]
    write(tmp_path / "logs", *made)
    compact(tmp_path / "logs", tmp_path / "out", trained)
    lines, out = (Records(tmp_path / name).drift(trained) for name in ("logs", "out"))
    assert repr(out.pairs) == repr(lines.pairs)
    assert lines.pairs


def test_two_runs_at_once_are_refused(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "logs", one())
    program = "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True)"
    lock = tmp_path / "out/.boxkite/lock"
    lock.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; input()", str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BoxkiteError, match=r"Another compaction writes to .*out'. Wait for its end"):
            compact(tmp_path / "logs", tmp_path / "out", trained)
        other.communicate(b"\n")
    assert compact(tmp_path / "logs", tmp_path / "out", trained).records == 1


def test_only_the_group_of_the_folder_may_read_the_files_too(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "logs", one())
    compact(tmp_path / "logs", tmp_path / "new", trained)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    compact(tmp_path / "logs", shared, trained)
    modes = [stat.S_IMODE(parts(tmp_path / name)[0].stat().st_mode) for name in ("new", "shared")]
    assert modes == [0o600, 0o640]


def test_parts_that_cannot_be_read_count_as_damage(
    tmp_path: Path, trained: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    """A verdict without their records may be green, so no gate passes it."""
    for minute in range(3):
        write(tmp_path / "logs", one(at=f"2026-01-01T08:0{minute}:00"))
        compact(tmp_path / "logs", tmp_path / "out", trained, remove=True)
    cut, foreign, _ = parts(tmp_path / "out")
    cut.write_bytes(cut.read_bytes()[:-20])
    pq.write_table(pa.table({"a": [1]}), foreign)
    records = Records(tmp_path / "out")
    loss = f"Parquet of records is damaged, so these are missing: '{cut}', '{foreign}'. Restore it, or delete it"
    with ThreadPoolExecutor(1) as executor:
        for source in (records, Records(tmp_path / "out", executor=executor)):
            caplog.clear()
            assert source.drift(trained)["age"].live_rows == 1
            assert source.counts.damaged == {"cut": 1, "no_record": 1}
            assert [message.startswith(loss) for message in caplog.messages] == [True, False]

    words = ["--records", str(tmp_path / "out"), "--baseline", str(tmp_path / "baseline.prom")]
    assert CliRunner().invoke(boxkite, ["drift", *words]).exit_code == 0
    for by in ([], ["--by", "age"]):
        result = CliRunner().invoke(boxkite, ["drift", *words, *by, "--fail-on", "drifted"])
        assert (result.exit_code, loss in result.stderr) == (1, True), result.output


def test_parts_of_a_later_release_are_refused(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "logs", one())
    compact(tmp_path / "logs", tmp_path / "out", trained)
    (part,) = parts(tmp_path / "out")
    table = pq.ParquetFile(part).read()
    about = json.loads(pq.ParquetFile(part).metadata.metadata[FOOTER])
    with pq.ParquetWriter(part, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({FOOTER.decode(): json.dumps({**about, "format": 2})})
    with pytest.raises(BoxkiteError, match="was written by a later release"):
        Records(tmp_path / "out").drift(trained)


def test_records_of_each_baseline_have_a_table(tmp_path: Path, trained: Baseline) -> None:
    """Records of a baseline that was not given go by the last one of their model."""
    newer = ModelMonitoringService.export_text(
        {"age": np.arange(300.0)}, np.arange(300.0), tmp_path / "newer.prom", model="credit"
    )
    write(tmp_path / "logs", *(one(baseline=name) for name in (trained.fingerprint, newer.fingerprint, "abc", None)))
    write(tmp_path / "logs", one(model="other"), name="boxkite-pod-2")
    run = compact(tmp_path / "logs", tmp_path / "out", [trained, tmp_path / "newer.prom"])
    tables = {path.parts[-3]: pq.ParquetFile(path).metadata.num_rows for path in parts(tmp_path / "out")}
    assert tables == {f"credit.{trained.fingerprint}": 1, f"credit.{newer.fingerprint}": 3, "other.untyped": 1}
    assert "without columns, as no baseline of their model was given: 'other' (1)" in str(run)
    lines, found = (Records(tmp_path / name, model="credit").observed(trained) for name in ("logs", "out"))
    assert found[1].tolist() == lines[1].tolist()


def test_lines_are_read_without_pyarrow(tmp_path: Path, trained: Baseline) -> None:
    write(tmp_path / "logs", one())
    compact(tmp_path / "logs", tmp_path / "out", trained)
    program = """
import sys
sys.modules["pyarrow"] = None
from flask_boxkite import BoxkiteError
from flask_boxkite.records import Records, compact
print(Records("logs").drift("baseline.prom")["age"].live_rows)
for use in (lambda: Records("out").drift("baseline.prom"), lambda: compact("logs", "out")):
    try:
        use()
    except BoxkiteError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    rows_read, *errors = done.stdout.splitlines()
    assert rows_read == "1", done.stderr
    assert len(errors) == 2
    assert all(error.startswith("Records in Parquet need 'pyarrow'. Run: pip install ") for error in errors)


def test_a_folder_that_is_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoxkiteError, match=r"'memory://nowhere' is not on this machine. Mount it"):
        compact("memory://nowhere", tmp_path / "out")


def test_no_record_is_lost_or_doubled_by_kills() -> None:
    """See `killing`, which takes ``--kills 200`` too."""
    command = [sys.executable, "-m", "tests.records.parquet.killing", "--kills", "16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nothing lost, nothing double") == 2
