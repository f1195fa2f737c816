"""Write many logged predictions, or read them back: ``write``, ``ours`` or ``polars``, with a directory.

Prints the seconds and the peak of resident memory in MiB, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from workload import feature_names, rows, score

FEATURES = 10
FLUSHED_AT_ONCE = 20_000
BASELINE = "histogram.prom"


def write(directory: Path, count: int) -> None:
    """Train, predict *count* rows and have them logged to files."""
    from flask_boxkite import ModelMonitoringService

    names = feature_names(FEATURES)
    data = rows(FEATURES, max(count // 10, 1000))
    columns = list(zip(names, data.T, strict=True))
    outputs = [score(first) for first in data[:, 0].tolist()]
    path = directory / BASELINE
    ModelMonitoringService.export_text(features=columns, inference=outputs, path=path, model="churn")
    service = ModelMonitoringService(baseline=path, sink="file", log_dir=directory / "records")
    listed = data.tolist()
    for number in range(count):
        row = listed[number % len(listed)]
        service.log_prediction(features=row, output=score(row[0]))
        if number % FLUSHED_AT_ONCE == 0:
            assert service.flush(60) == 0
    assert service.flush(60) == 0
    service.close()


def read_with_ours(directory: Path, count: int) -> None:
    """Report the drift of all records."""
    from flask_boxkite.records import Records

    records = Records(directory / "records")
    report = records.drift(directory / BASELINE)
    assert records.counts.rows == count
    assert len(report.variables) == FEATURES + 1


def read_with_polars(directory: Path, count: int) -> None:
    """Read the same fields with an engine, and ask it for no more than the mean of each."""
    import polars as pl

    fields = {"entity_id": pl.String, "features": pl.List(pl.Float64), "output": pl.Float64}
    frame = pl.scan_ndjson(list((directory / "records").rglob("*.txt")), schema=fields)
    means = [pl.col("features").list.get(number).mean().alias(str(number)) for number in range(FEATURES)]
    found = frame.select(*means, pl.col("output").mean(), pl.col("entity_id").n_unique()).collect(engine="streaming")
    assert found["entity_id"][0] == count


if __name__ == "__main__":
    what, directory, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    begin = time.perf_counter()
    {"write": write, "ours": read_with_ours, "polars": read_with_polars}[what](directory, count)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
