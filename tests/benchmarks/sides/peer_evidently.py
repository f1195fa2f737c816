"""evidently's side; runs in its own environment and takes orders on standard input."""

from __future__ import annotations

import warnings

from bare import training_case
from evidently import Report
from evidently.presets import DataDriftPreset
from frames import compared_frames
from timing import Case, serve

warnings.simplefilter("ignore")


def _drift_report() -> Case:
    before, now = compared_frames()
    return training_case(lambda: Report([DataDriftPreset()]).run(now, before).dict())


if __name__ == "__main__":
    serve({"drift report": _drift_report})
