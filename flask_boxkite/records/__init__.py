"""Logged predictions, read back as frames, as drift of any past period, or as a new baseline.

The extra ``records`` is needed: fsspec opens files in any storage, and msgspec reads JSON fast.
"""

from flask_boxkite.drift.segments import Segment, SegmentReport
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.extras import install_command

try:
    import fsspec as _fsspec  # noqa: F401
    import msgspec as _msgspec  # noqa: F401
except ImportError as error:
    msg = f"Reading records back needs more packages: {error}. Run: {install_command('records')}"
    raise BoxkiteError(msg) from error

from flask_boxkite.records.archive import Records
from flask_boxkite.records.compaction import Compaction, compact
from flask_boxkite.records.read_counts import ReadCounts
from flask_boxkite.records.segment_performance import SegmentPerformance, SegmentPerformanceReport
from flask_boxkite.records.spark import SparkExecutor

__all__ = [
    "Compaction",
    "ReadCounts",
    "Records",
    "Segment",
    "SegmentPerformance",
    "SegmentPerformanceReport",
    "SegmentReport",
    "SparkExecutor",
    "compact",
]
