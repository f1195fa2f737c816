"""Lines that are no records, records that come twice, files that are compressed, cut or gone."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import ReadCounts, Records
from flask_boxkite.records.decoding import Decoder, decoder
from flask_boxkite.records.duplicates import new_ones
from flask_boxkite.records.folders import Folder, RecordFile
from flask_boxkite.records.lines import LineLimits
from flask_boxkite.records.period import Period
from flask_boxkite.records.reading import read_records, records_of
from flask_boxkite.records.selection import Filter
from flask_boxkite.values.conversion import DEEPEST
from tests.records.archives import record, write


def line(item: dict[str, Any]) -> bytes:
    """Return a record as a line."""
    return json.dumps(item).encode() + b"\n"


def read_within(limits: LineLimits, root: Path) -> tuple[list[Any], ReadCounts]:
    """Return the features of all records, read within limits, and the counts of the reading."""
    folder, counts = Folder(root, {}), ReadCounts()
    files = folder.files(Period(), 0)
    chunks = read_records(folder, files, decoder(None), Filter(Period()), counts, limits=limits)
    return [item.features for chunk in chunks for item in chunk], counts


def test_records_show_their_place_and_selection(tmp_path: Path) -> None:
    assert repr(Records(tmp_path)) == f"<Records {str(tmp_path)!r}, at any time>"
    some = Records(tmp_path, start="2026-01-01", model="fraud")
    assert repr(some) == f"<Records {str(tmp_path)!r}, model='fraud', from 2026-01-01T00:00:00Z>"


DAMAGED = {
    "torn": line(record([1.0]))[:80] + b"\n",
    "no JSON": b"hello\n",
    "no object": b"[1, 2]\n",
    "another object": b'{"a": 1}\n',
    "no id": line({key: value for key, value in record([1.0]).items() if key != "entity_id"}),
    "an id that is no text": line(record([1.0]) | {"entity_id": 7}),
    "a time that is none": line(record([1.0]) | {"created_at": "now"}),
    "a time that no calendar has": line(record([1.0]) | {"created_at": 10**17}),
    "no rows": line(record([1.0], rows=0)),
    "more rows than can be": line(record([1.0], rows=10**12)),
    "not UTF-8": line(record(["X"])).replace(b'"X"', b'"\xff\xfe"'),
    "nested too deeply": line(record(["X"])).replace(b'"X"', b"[" * 100_000 + b"]" * 100_000),
    "NaN, which is no JSON": line(record(["X"])).replace(b'"X"', b"NaN"),
    "binary": bytes(range(1, 256)).replace(b"\n", b"") + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_counted_and_all_others_are_read(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path, record([1.0]), damage, record([2.0]), b"\n", b"  \n", record([3.0]))
    records = Records(tmp_path)
    assert [item["features"] for item in records] == [[1.0], [2.0], [3.0]]
    assert records.counts.damaged == {"no_record": 1, "empty": 2}
    # Once more, as the reader of some features only sees it.
    counts = ReadCounts()
    chunks = read_records(
        Folder(tmp_path, {}),
        Folder(tmp_path, {}).files(Period(), 0),
        decoder(["a"]),
        Filter(Period()),
        counts,
    )
    assert [item.features for chunk in chunks for item in chunk] == [[1.0], [2.0], [3.0]]
    assert counts.damaged == {"no_record": 1, "empty": 2}


@pytest.mark.parametrize("place", [0, 1, 19, 20, 41])
def test_a_record_beyond_the_depth_is_seen_wherever_it_stands(tmp_path: Path, place: int) -> None:
    def nested(depth: int) -> Any:
        return 1.0 if not depth else [nested(depth - 1)]

    lines = [record([1.0]) for _ in range(42)]
    for depth, damaged in ((DEEPEST, {}), (DEEPEST + 1, {"too_deep": 1})):
        write(tmp_path / str(depth), *lines[:place], record(nested(depth)), *lines[place:])
        records = Records(tmp_path / str(depth))
        assert len(list(records)) == 43 - len(damaged)
        assert records.counts.damaged == damaged


ONE = line(record({"a": 1.0}))
PRETTY = json.dumps(record([1.0]), indent=1).encode() + b"\n"
PIECES = {
    "a record": ONE,
    "a list": line(record([[1.0], [2.0]], rows=2)),
    "a deep one": line(record([[[[[[[1.0]]]]]]])),
    "more rows than can be": line(record([1.0], rows=450)),
    "as many rows as can be": line(record([1.0] * 200, rows=200)),
    "many rows": line(record([[1.0]] * 40, rows=40)),
    "two in a line": ONE.strip() + ONE,
    "two beside a blank": ONE.strip() + b" " + ONE,
    "one over two lines": ONE.replace(b', "rows"', b',\n"rows"'),
    "one over many lines": PRETTY,
    "an object within, on the next line": ONE.replace(b'{"a"', b'\n{"a"'),
    "an object within, at the end of a line": ONE.replace(b"1.0},", b"1.0}\n,"),
    "another end of lines": ONE.strip() + b"\r\n",
    "a blank at the end": ONE.strip() + b" \n",
    "nothing": b"\n",
    "blanks": b" \n",
    "no record": b"{}\n",
    "a beginning": ONE[:50] + b"\n",
    "torn": ONE[:50] + ONE,
}


@pytest.mark.parametrize("known", [None, ("a",)], ids=["as it is", "by name"])
def test_lines_are_read_at_once_as_one_by_one(known: tuple[str, ...] | None) -> None:
    """The fast way reads values, not lines: two in one line, or one in two, must not pass as the records of lines."""
    decode = decoder(known)
    for pieces in product(PIECES.values(), repeat=2):
        block = b"".join(pieces)
        at_once, one_by_one = ReadCounts(), ReadCounts()
        found = records_of(block, decode, at_once)
        expected = [item for each in block.splitlines(keepends=True) for item in alone(each, decode, one_by_one)]
        assert [shown(item) for item in found] == [shown(item) for item in expected], block
        assert at_once.damaged == one_by_one.damaged, block


def alone(line: bytes, decode: Decoder, counts: ReadCounts) -> list[Any]:
    """Return the record of a line, read on its own."""
    return records_of(line, Decoder(decode.one, shallow=lambda block: []), counts)


def shown(item: Any) -> Any:
    """Return all that a record holds."""
    return msgspec.to_builtins(item)


@pytest.mark.parametrize("name", ["a record", "a list", "as many rows as can be", "many rows"])
def test_usual_lines_are_read_at_once(name: str) -> None:
    records = decoder(["a"]).block(PIECES[name] * 3, 1000)
    assert records is not None
    assert len(records) == 3


@pytest.mark.parametrize("chunk_bytes", [64, 100, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b""], ids=["ends", "ends with the file"])
def test_a_line_without_an_end_is_passed_over_in_little_memory(tmp_path: Path, chunk_bytes: int, end: bytes) -> None:
    rest = [record([2.0])] if end else []
    write(tmp_path, record([1.0]), b"x" * 5000 + end, *rest)
    features, counts = read_within(LineLimits(chunk_bytes, longest_line_bytes=1000), tmp_path)
    assert features == [[1.0], [2.0]][: 1 + len(rest)]
    assert counts.damaged.total() == 1


def test_the_record_behind_a_torn_one_is_not_lost(tmp_path: Path) -> None:
    """A receiver whose disk was full leaves the beginning of a line, and later writes all again right behind it."""
    first, second = record([1.0]), record([2.0])
    write(tmp_path, first, line(second)[:70], first, second)
    records = Records(tmp_path)
    assert [item["features"] for item in records] == [[1.0], [2.0]]
    assert (records.counts.damaged, records.counts.duplicates) == ({"no_record": 1}, 1)


def test_a_record_that_comes_again_is_left_out_wherever_it_stands(tmp_path: Path) -> None:
    same, other = record([1.0], entity_id="5e0e7b1c-6a52-4a1f-9d2f-0a1b2c3d4e5f"), record([2.0], entity_id="no uuid")
    write(tmp_path, same, other, same)
    write(tmp_path, {**same, "entity_id": same["entity_id"].upper()}, other, name="boxkite-pod-2")
    records = Records(tmp_path)
    assert [item["features"] for item in records] == [[1.0], [2.0]]
    assert records.counts.duplicates == 3
    assert records.counts.records == 2


@given(names=st.lists(st.sampled_from("abcdef"), max_size=30), size=st.integers(1, 400))
def test_each_id_is_read_once_whatever_the_chunks(names: list[str], size: int) -> None:
    """Against a dict, over all ways in which duplicates can be spread over chunks."""
    wanted = Filter(Period())
    counts, seen = ReadCounts(), set[bytes]()
    decode = decoder(None).one
    items = [decode(line(record([1.0], entity_id=f"{name * 8}-0000-4000-8000-000000000000"))) for name in names]
    kept = []
    for start in range(0, len(items), size):
        kept += new_ones(wanted.of(items[start : start + size]), seen, counts)
    assert [item.entity_id[0] for item in kept] == list(dict.fromkeys(names))
    assert counts.duplicates == len(names) - len(kept)


@pytest.mark.parametrize("suffix", [".txt.gz", ".gz"])
def test_compressed_files_are_read(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, record([1.0]), record([2.0]), suffix=suffix)
    assert [item["features"] for item in Records(tmp_path)] == [[1.0], [2.0]]


def test_of_a_compressed_file_that_was_cut_all_before_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, *(record([float(index)]) for index in range(1000)), suffix=".txt.gz")
    cut = path.read_bytes()[:-500]
    path.write_bytes(cut)
    whole_lines = zlib.decompressobj(wbits=31).decompress(cut).count(b"\n")
    write(tmp_path, record([1.0]), name="boxkite-pod-2")
    path.with_name("0800_boxkite-pod-3.txt.gz").write_bytes(b"no gzip at all")
    records = Records(tmp_path)
    assert len(list(records)) == whole_lines + 1 > 900
    assert records.counts.damaged == {"cut": 2}
    assert records.counts.files == 3


@pytest.mark.parametrize("behind", [b"garbage", gzip.compress(b"{}")[:12]], ids=["garbage", "a second stream, cut"])
def test_damage_behind_a_compressed_file_loses_nothing(tmp_path: Path, behind: bytes) -> None:
    path = write(tmp_path, *(record([float(index)]) for index in range(5)), suffix=".txt.gz")
    path.write_bytes(path.read_bytes() + behind)
    records = Records(tmp_path)
    assert [item["features"] for item in records] == [[float(index)] for index in range(5)]
    assert (records.counts.damaged, records.counts.files) == ({"cut": 1}, 1)


def test_a_compressed_file_of_no_lines_is_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path, record([1.0]))
    path.with_name("0800_boxkite-pod-3.txt.gz").write_bytes(gzip.compress(b""))
    path.with_name("0800_boxkite-pod-4.txt").write_bytes(b"")
    records = Records(tmp_path)
    assert len(list(records)) == 1
    assert (records.counts.damaged, records.counts.files) == ({}, 3)


def test_a_file_that_vanishes_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, record([1.0]))
    gone = path.with_name("0759_boxkite-pod-1.txt")
    folder, counts = Folder(tmp_path, {}), ReadCounts()
    files = [RecordFile(0, str(gone)), *folder.files(Period(), 0)]
    chunks = list(read_records(folder, files, decoder(None), Filter(Period()), counts))
    assert [item.features for chunk in chunks for item in chunk] == [[1.0]]
    assert (counts.vanished, counts.files) == (1, 1)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {})
    files = [RecordFile(0, str(tmp_path))]
    with pytest.raises(BoxkiteError, match=r"Records in '.*' cannot be read: .*\. Give this user the right to"):
        list(read_records(folder, files, decoder(None), Filter(Period()), ReadCounts()))


def test_a_hostile_name_of_such_a_file_forges_no_line(tmp_path: Path) -> None:
    hostile = tmp_path / os.fsdecode(b"0800_\x1b[2J\n\xff.txt")
    hostile.mkdir()
    files = [RecordFile(0, str(hostile))]
    with pytest.raises(BoxkiteError, match="cannot be read") as error:
        list(read_records(Folder(tmp_path, {}), files, decoder(None), Filter(Period()), ReadCounts()))
    assert str(error.value).isprintable()


def test_lines_longer_than_a_chunk_are_read(tmp_path: Path) -> None:
    write(tmp_path, *(record([float(index)]) for index in range(50)), b'{"entity_id":')
    features, counts = read_within(LineLimits(chunk_bytes=100), tmp_path)
    assert features == [[float(index)] for index in range(50)]
    assert counts.damaged == {"no_record": 1}


def test_a_reading_can_be_repeated_and_sees_what_is_new(tmp_path: Path) -> None:
    write(tmp_path, record([1.0]))
    records = Records(tmp_path)
    assert len(list(records)) == len(list(records)) == 1
    write(tmp_path, record([2.0]))
    assert len(list(records)) == 2
    assert records.counts.records == 2


def test_records_come_whole(tmp_path: Path) -> None:
    """Fields that only some have are there too."""
    others = {"derived": {"text.length": 4}, "body_encoding": "base64", "body_truncated": True, "key": "17"}
    item = record({"city": "Zürich \N{SNOWMAN}"}, request_body="YWJj", **others)
    write(tmp_path, item)
    assert list(Records(tmp_path)) == [item]


def test_records_of_boxkite_are_read(tmp_path: Path) -> None:
    fields = ("entity_id", "features", "request_body", "server_id", "output", "created_at")
    write(tmp_path, {name: value for name, value in record([1.0, 2.0], output=0.5).items() if name in fields})
    (item,) = Records(tmp_path)
    assert (item["features"], item["output"], item["rows"], item["status"]) == ([1.0, 2.0], 0.5, 1, None)


def test_only_records_of_a_model_version_or_baseline(tmp_path: Path) -> None:
    write(
        tmp_path,
        record([1.0], model="a", version="1", baseline="aaa"),
        record([2.0], model="a", version="2", baseline="bbb"),
        record([3.0], model="b", version="2", baseline="ccc"),
    )

    def features(**options: Any) -> list[float]:
        return [item["features"][0] for item in Records(tmp_path, **options)]

    assert features() == [1.0, 2.0, 3.0]
    assert features(model="a") == [1.0, 2.0]
    assert features(version="2") == [2.0, 3.0]
    assert features(model="a", version="2") == [2.0]
    assert features(fingerprint="ccc") == [3.0]
    assert features(model="unknown") == []


def test_rows_are_counted_by_baseline(tmp_path: Path) -> None:
    write(tmp_path, record([[1.0], [2.0]], rows=2, baseline="aaa"), record([1.0]), record([1.0], baseline="aaa"))
    records = Records(tmp_path)
    list(records)
    assert records.counts.rows == 4
    assert records.counts.rows_by_baseline == {"aaa": 3, None: 1}
    assert records.counts.models == {"credit"}
