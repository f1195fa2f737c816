"""Train a model on real data and write its baseline: what its features and answers look like in training."""

import pickle
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flask_boxkite import ModelMonitoringService

RUN = Path(__file__).parent / "run"


def split():
    """Return the rows to train with, and those that the traffic is made of."""
    data = load_breast_cancer(as_frame=True)
    return train_test_split(data.data, data.target, test_size=0.45, random_state=1, stratify=data.target)


def main(run: Path = RUN) -> None:
    run.mkdir(exist_ok=True)
    train, _, labels, _ = split()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, labels)
    (run / "model.pickle").write_bytes(pickle.dumps(model))
    # Of its own training rows, a model is surer than of others: each row is predicted by one that has not seen it.
    held_out = cross_val_predict(model, train, labels, method="predict_proba")
    baseline = ModelMonitoringService.export_text(
        features=train,
        inference=held_out[:, 1],
        path=run / "baseline.prom",
        model="breast-cancer",
        version="2026-01",
    )
    print(f"Trained on {baseline.rows} rows, {len(baseline.features)} features; baseline {baseline.fingerprint}.")


if __name__ == "__main__":
    main()
