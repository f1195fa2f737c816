"""The bytes of a ring, as its module describes them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from flask_boxkite.live.model_cells import FORMAT
from flask_boxkite.live.snapshot_ring import MemoryRing, RingFile, RingFormat

BOOT = "01234567-89ab-cdef-0123-456789abcdef"


def test_a_ring_has_the_described_bytes(tmp_path: Path) -> None:
    counts = np.array([5, 0, 2**40], np.int64)
    storage = RingFile(tmp_path / "ring")
    with storage.open() as ring:
        RingFormat(3, BOOT).write(ring, [0, 2], counts.tobytes(), 1.75e9, 12.5)
    data = (tmp_path / "ring").read_bytes()

    assert struct.unpack_from("=8sQQ40sd", data) == (b"boxring\n", FORMAT, 3, BOOT.encode() + bytes(4), 12.5)
    labels = struct.unpack_from("=192d", data, 72)
    assert (labels[0], labels[1], labels[2], sum(labels)) == (1.75e9, 0.0, 1.75e9, 3.5e9)
    assert data[1608:] == counts.tobytes() + bytes(24) + counts.tobytes()


def test_memory_holds_the_same_bytes_as_a_file(tmp_path: Path) -> None:
    counts = np.arange(4, dtype=np.int64).tobytes()
    contents = []
    for storage in (RingFile(tmp_path / "ring"), MemoryRing(4)):
        with storage.open() as ring:
            RingFormat(4, BOOT).write(ring, [191], counts, 1.75e9, 0.0)
            contents.append(ring.read(0, 1_000_000))
    assert contents[0] == contents[1]
    assert len(contents[0]) == 1608 + 192 * 32


def test_a_ring_of_other_counts_or_another_boot_is_void() -> None:
    storage = MemoryRing(4)
    with storage.open() as ring:
        RingFormat(4, BOOT).write(ring, [7], bytes(32), 1.75e9, 0.0)
        assert RingFormat(4, BOOT).snapshot(ring, 7) == (bytes(32), 1.75e9)
        assert RingFormat(4, "another").labels(ring) is None
        assert RingFormat(3, BOOT).labels(ring) is None
