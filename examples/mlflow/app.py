"""Serve the model of a run of MLflow, monitored with the baseline of the same run."""

import os
import pickle
from pathlib import Path

import mlflow
from flask import Flask, request

from flask_boxkite import Boxkite

RUN = f"runs:/{os.environ['RUN_ID']}"

app = Flask(__name__)
app.config["BOXKITE_BASELINE"] = f"{RUN}/baseline.prom"
monitor = Boxkite(app)
model = pickle.loads(Path(mlflow.artifacts.download_artifacts(f"{RUN}/model.pickle")).read_bytes())


@app.post("/score")
@monitor.predict
def score():
    return {"predictions": model.predict(request.json["instances"]).tolist()}
