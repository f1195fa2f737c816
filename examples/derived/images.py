"""A classifier of digits, whose images are watched as vectors: norm, distance and principal coordinates.

python3 examples/derived/images.py
"""

import tempfile
from pathlib import Path

import numpy as np
from flask import Flask, request
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.derived import Vector


def train(path):
    """Fit the model to a third of the digits, write the baseline of another third, and return the rest."""
    images, digits = load_digits(return_X_y=True)
    fitted, others, of_fitted, of_others = train_test_split(images / 16, digits, train_size=1 / 3, random_state=0)
    known, fresh, of_known, _ = train_test_split(others, of_others, test_size=0.5, random_state=0)
    model = LogisticRegression(max_iter=500).fit(fitted, of_fitted)
    ModelMonitoringService.export_text(
        {"image": known},
        model.predict(known),
        path,
        model="digits",
        discrete=["output"],
        actual=of_known,
        derive={"image": Vector("image")},
    )
    return model, fresh


def serve(model, folder):
    """Return the app and its monitor."""
    app = Flask(__name__)
    app.config.update(BOXKITE_BASELINE=f"{folder}/baseline.prom", BOXKITE_SINK="none")
    monitor = Boxkite(app)

    @app.post("/digit")
    @monitor.predict
    def read_digit():
        image = np.reshape(request.get_json()["image"], (1, -1))
        return {"digit": int(model.predict(image)[0])}

    return app, monitor


def dimmed(image):
    """Return an image as a camera with a dirty lens sees it."""
    return 0.6 * image + 0.2


def main():
    with tempfile.TemporaryDirectory() as folder:
        model, fresh = train(Path(folder, "baseline.prom"))
        app, monitor = serve(model, folder)
        client = app.test_client()

        for image in fresh[:300]:
            client.post("/digit", json={"image": image.reshape(8, 8).tolist()})
        print("As in training:", [variable.name for variable in monitor.drift().drifted] or "nothing has drifted")
        for image in fresh[300:]:
            client.post("/digit", json={"image": dimmed(image).reshape(8, 8).tolist()})
        drifted = monitor.drift().drifted
        print("A dirty lens:  ", [f"{variable.name} ({variable.verdict})" for variable in drifted])


if __name__ == "__main__":
    main()
