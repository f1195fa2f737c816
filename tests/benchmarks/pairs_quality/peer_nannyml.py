"""NannyML's side; runs in its own environment.

    python peer_nannyml.py FOLDER   # reads FOLDER/rows.npz, writes FOLDER/called.json

Its two methods that look at all features at once get a reference and windows of one size: the error of a reconstruction
by principal components, and the AUC of a classifier that tells a window from the reference.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.simplefilter("ignore")

import nannyml as nml  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402


def called(rows: Any, reference: Any, size: int, windows: int, *, classifies: bool) -> float:
    """Return the share of windows that are outside of the limits which NannyML takes from the reference."""
    frames = [
        pd.DataFrame(table, columns=[f"x{place}" for place in range(table.shape[1])]) for table in (reference, rows)
    ]
    names = list(frames[0])
    kind = nml.DomainClassifierCalculator if classifies else nml.DataReconstructionDriftCalculator
    options = {"feature_column_names": names} if classifies else {"column_names": names}
    calculator = kind(**options, chunk_size=size)
    calculator.fit(frames[0])
    found = calculator.calculate(frames[1].iloc[: size * windows]).filter(period="analysis").to_df()
    alerts = found[next(column for column in found if column[-1] == "alert")]
    return float(alerts.astype(bool).mean())


def main(folder: Path) -> None:
    """Judge the windows of each case with both methods."""
    with np.load(folder / "rows.npz") as arrays:
        reference, size = arrays["reference"], int(arrays["size"])
        found = {
            key: {
                "reconstruction": called(arrays[key], reference, size, len(arrays[key]) // size, classifies=False),
                "classifier": called(arrays[key], reference, size, int(arrays["classified"]), classifies=True),
            }
            for key in arrays.files
            if key not in ("reference", "size", "classified")
        }
    (folder / "called.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
