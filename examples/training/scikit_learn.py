"""scikit-learn: the frame that the pipeline is fitted to, texts and gaps included, and what it says of it."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from flask_boxkite import ModelMonitoringService

OUT = Path(__file__).parent / "run"


def customers(size=20_000, seed=0):
    """Return features, some of them missing, and who did not pay."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, size),
            "income": rng.lognormal(10.5, 0.4, size),
            "country": rng.choice(["AT", "CH", "DE"], size, p=[0.3, 0.1, 0.6]),
        }
    )
    defaulted = rng.random(size) < 1 / (1 + frame["income"] / 20_000)
    frame.loc[rng.random(size) < 0.05, "income"] = np.nan
    return frame, defaulted


def main():
    frame, defaulted = customers()
    encoded = make_column_transformer((OrdinalEncoder(), ["country"]), remainder="passthrough")
    model = make_pipeline(encoded, HistGradientBoostingClassifier(max_iter=20))
    # Each output is of a model that was not fitted to its row; the model to serve is fitted to all.
    outputs = cross_val_predict(model, frame, defaulted, method="predict_proba")
    model.fit(frame, defaulted)
    baseline = ModelMonitoringService.export_text(
        features=frame,  # as clients will send it: before it is encoded
        inference=outputs[:, 1],
        path=OUT / "scikit-learn.prom",
        model="credit",
    )
    print(f"{baseline.rows} rows, {len(baseline.features)} features, baseline {baseline.fingerprint}")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    main()
