"""An app whose records go to a database: `gunicorn -w 2 app:app`."""

import os
from pathlib import Path

from flask import Flask, request
from sqlite_sink import SQLiteSink

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config["BOXKITE_SINK"] = SQLiteSink(os.environ.get("DATABASE", Path(__file__).parent / "predictions.sqlite"))
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    row = request.get_json()
    return {"score": 0.1 * row["age"] - 2.0}  # your model
