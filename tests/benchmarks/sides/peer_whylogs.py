"""whylogs' side; runs in its own environment and takes orders on standard input."""

from __future__ import annotations

import whylogs
from bare import training_case
from frames import large_frame
from timing import Case, serve


def _training() -> Case:
    frame = large_frame()
    return training_case(lambda: whylogs.log(pandas=frame).view())


if __name__ == "__main__":
    serve({"training of a frame": _training})
