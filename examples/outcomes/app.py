"""Serve the model, and take outcomes at `/outcomes`."""

import pickle
from pathlib import Path

import pandas as pd
from flask import Flask, request

from flask_boxkite import Boxkite

RUN = Path(__file__).parent / "run"

app = Flask(__name__)
app.config["BOXKITE_BASELINE"] = RUN / "baseline.prom"
app.config["BOXKITE_SINK"] = "none"
app.config["BOXKITE_METRICS_TOKEN"] = "only-for-this-example"
app.config["BOXKITE_OUTCOMES_PATH"] = "/outcomes"
app.config["BOXKITE_DASHBOARD_PATH"] = "/boxkite"
app.config.from_prefixed_env()  # FLASK_BOXKITE_... in the environment comes before all this
monitor = Boxkite(app)

model = pickle.loads((RUN / "model.pickle").read_bytes())


@app.post("/score")
@monitor.predict
def score():
    row = pd.DataFrame([request.get_json()], columns=model.feature_names_in_)
    return {"score": float(model.predict_proba(row)[0, 1])}
