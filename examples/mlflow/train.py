"""Train a model; keep it and its baseline as artifacts of one run of MLflow, and print the id of that run."""

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict

from flask_boxkite import ModelMonitoringService


def main():
    data = load_diabetes(as_frame=True, scaled=False)
    with mlflow.start_run() as run, TemporaryDirectory() as scratch:
        model = Ridge().fit(data.data.to_numpy(), data.target)
        (Path(scratch) / "model.pickle").write_bytes(pickle.dumps(model))
        # Each output is of a model that was not fitted to its row; the model to serve is fitted to all.
        baseline = ModelMonitoringService.export_text(
            data.data,
            cross_val_predict(model, data.data.to_numpy(), data.target),
            Path(scratch) / "baseline.prom",
            model="diabetes",
            version=run.info.run_id,
        )
        mlflow.set_tag("baseline", baseline.fingerprint)
        mlflow.log_artifacts(scratch)
    print(run.info.run_id)


if __name__ == "__main__":
    main()
