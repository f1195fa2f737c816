"""Print how often pairs of variables are called where their relation is the same, and how often where it is broken.

    python -m tests.benchmarks.pairs_quality             # everything, some ten minutes on two cores
    python -m tests.benchmarks.pairs_quality --only alarms --windows 2000

`alarms`: simulated windows; ends with status 1 if all cells together have more than twice the nominal false alarms.
`power`: whole models beside NannyML's reconstruction and classifier, which look at all features at once. They take
their limits from the reference, three standard deviations of its chunks, so they have false alarms of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite import Baseline
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.drift.pairs import PairScan
from flask_boxkite.drift.plan import Plan
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.pair_cells import pair_cells
from tests.arguments import at_least
from tests.benchmarks.environments import profiler_python
from tests.benchmarks.performance.theirs import bundled_folder
from tests.benchmarks.side import SideError, clean_environment

from .windows import ALPHA, CHANGES, PAIRS, Traffic, share_called

SEED = 3
MOST = 2.0
CORRELATIONS, TRAINED = (0.3, 0.6, 0.9), (1000, 10_000)
TRAFFIC = {
    "1 minute": Traffic(1, 200),
    "3 minutes": Traffic(3, 200),
    "10 minutes": Traffic(10, 40),
    "1 minute, rows 4 times": Traffic(1, 400, repeats=4),
    "10 minutes, rows 4 times in batches": Traffic(10, 80, repeats=4, in_batches=True),
}
SAME = ("none", "one moved", "both moved")
CLASSIFIED = 20
"""Windows for the classifier, which takes seconds for each."""

Rows = NDArray[np.float64]


def alarms(rng: np.random.Generator, windows: int) -> Iterator[float]:
    """Print the share of windows that are called though the relation is the same; yield them as parts of ALPHA."""
    print(f"FALSE ALARMS, as multiples of the nominal {ALPHA}: {windows * PAIRS:,} windows a cell")
    for change in SAME:
        print(f"  {change}: {CHANGES[change]}")
    print(f"{'correlation':>12}{'trained':>9}  {'traffic':<38}" + "".join(f"{change:>14}" for change in SAME))
    for correlation in CORRELATIONS:
        for trained in TRAINED:
            for name, traffic in TRAFFIC.items():
                found = [share_called(rng, correlation, trained, traffic, change, windows) / ALPHA for change in SAME]
                print(f"{correlation:>12}{trained:>9}  {name:<38}" + "".join(f"{share:>14.2f}" for share in found))
                yield from found


def power(rng: np.random.Generator, windows: int) -> None:
    """Print the share of windows in which a broken relation is found, beside NannyML's."""
    print(
        f"\nPOWER: share of {windows} windows that are called (classifier: of {CLASSIFIED}); ours at {ALPHA}, any pair"
    )
    print(f"{'data':<22}{'change':<34}{'rows':>6}{'pairs':>8}{'reconstruction':>16}{'classifier':>12}")
    for name, rows, size in (("normal, one of 0.6", _normal(rng), 200), ("US census", _census(), 1000)):
        order = rng.permutation(len(rows))
        reference, live = rows[order[:10_000]], rows[order[10_000:]]
        baseline = build_baseline(reference, progress=False)
        cases = {
            change: np.concatenate([_broken(rng, _window(rng, live, size), change) for _ in range(windows)])
            for change in ("none", "one feature of other rows", "20 % of rows misjoined")
        }
        theirs = _theirs(reference, cases, size)
        for change, table in cases.items():
            ours = np.mean([_is_called(baseline, part) for part in np.split(table, windows)])
            own = theirs[change]
            print(
                f"{name:<22}{change:<34}{size:>6}{ours:>8.2f}{own['reconstruction']:>16.2f}{own['classifier']:>12.2f}",
                flush=True,
            )


def _normal(rng: np.random.Generator) -> Rows:
    """Ten features, of which two have a correlation of 0.6."""
    rows = rng.normal(size=(100_000, 10))
    rows[:, 1] = 0.6 * rows[:, 0] + 0.8 * rows[:, 1]
    return rows


def _census() -> Rows:
    """Return the features of people; the codes of answers as numbers, -1 for none."""
    with np.load(bundled_folder() / "employment.npz", allow_pickle=False) as arrays:
        columns = [arrays[key] for key in arrays.files if key.startswith("feature:")]
    texts = (
        np.where(np.char.isdigit(column), column, "-1") if column.dtype.kind == "U" else column for column in columns
    )
    return np.stack([column.astype(np.float64) for column in texts], axis=1)


def _window(rng: np.random.Generator, rows: Rows, size: int) -> Rows:
    return rows[rng.integers(0, len(rows), size)].copy()


def _broken(rng: np.random.Generator, rows: Rows, change: str) -> Rows:
    if change == "one feature of other rows":
        rows[:, 1] = rng.permutation(rows[:, 1])
    elif change == "20 % of rows misjoined":  # half of the columns are of another row
        some, half = len(rows) // 5, rows.shape[1] // 2
        rows[:some, half:] = rng.permutation(rows[:some, half:])
    return rows


def _is_called(baseline: Baseline, rows: Rows) -> bool:
    layout = ModelCells.of(baseline)
    counter, pairs = VariableCounter(layout.features, 0, layout.size), pair_cells(layout)
    assert pairs is not None
    counts = pairs.of_rows(counter.count_and_locate(rows)[1], None)
    timeline = Timeline(np.array([-np.inf]), np.zeros((1, 0), np.int64), None, np.inf, counts[np.newaxis])
    plan = Plan.of(baseline, ALPHA * baseline.tests / len(baseline.pairs))  # pairs alone are judged
    found = PairScan(baseline, timeline, plan).drifts(0)
    return any(item.judgement.g > item.judgement.limit for item in found)


def _theirs(reference: Rows, cases: dict[str, Rows], size: int) -> dict[str, Any]:
    script = Path(__file__).with_name("peer_nannyml.py")
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "rows.npz"), reference=reference, size=size, classified=CLASSIFIED, **cases)
        command = [profiler_python("nannyml"), str(script), folder]
        done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SideError(done.stderr[-2000:])
        found: dict[str, Any] = json.loads(Path(folder, "called.json").read_text(encoding="utf-8"))
        return found


def main() -> int:
    """Run the parts; return 1 if there are too many false alarms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["alarms", "power"])
    parser.add_argument("--windows", type=at_least(1), default=100, help="windows of ten pairs in a cell")
    options = parser.parse_args()
    rng = np.random.default_rng(SEED)
    mean = float(np.mean(list(alarms(rng, options.windows)))) if options.only != "power" else 0.0
    if options.only != "power":
        print(f"all cells: {mean:.2f} times nominal, bar {MOST:g}: {'pass' if mean <= MOST else 'MISS'}")
    if options.only != "alarms":
        power(rng, 100)
    return int(mean > MOST)


if __name__ == "__main__":
    sys.exit(main())
