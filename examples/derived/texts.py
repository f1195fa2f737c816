"""A classifier of tickets, whose texts are watched: their length, words, letters and unknown words.

python3 examples/derived/texts.py
"""

import tempfile
from pathlib import Path

import numpy as np
from flask import Flask, request
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.derived import Observed, Text

TOPICS = {
    "billing": "invoice payment refund charged card price bank twice amount tax",
    "delivery": "parcel late address driver box arrived damaged tracking street order",
    "login": "password account locked email reset sign code user expired access",
}
ENGLISH = "please help the my was is not again since yesterday hello thanks have can you and no"
GERMAN = "bitte hilfe die mein war ist nicht wieder seit gestern hallo danke habe kann sie und kein"


def tickets(number, seed, common=ENGLISH):
    """Return texts, and their topics."""
    random = np.random.default_rng(seed)
    topics = random.choice(list(TOPICS), number)
    lengths = random.integers(5, 25, number)
    words = {topic: text.split() for topic, text in {**TOPICS, "common": common}.items()}
    return [
        " ".join(random.choice(words[topic if chance < 0.3 else "common"]) for chance in random.random(length))
        for topic, length in zip(topics, lengths, strict=True)
    ], topics


def train(path):
    """Fit the model to half of the tickets, and write the baseline of the others."""
    texts, topics = tickets(4000, seed=1)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts[:2000], topics[:2000])
    texts, topics = texts[2000:], topics[2000:]
    sureness = model.predict_proba(texts).max(axis=1)
    ModelMonitoringService.export_text(
        {"text": texts},
        model.predict(texts),
        path,
        model="tickets",
        actual=topics,
        derive={"text": Text("text"), "sureness": Observed(sureness)},
    )
    return model


def serve(model, folder):
    """Return the app and its monitor."""
    app = Flask(__name__)
    app.config.update(BOXKITE_BASELINE=f"{folder}/baseline.prom", BOXKITE_SINK="none")
    monitor = Boxkite(app)

    @app.post("/topic")
    @monitor.predict
    def predict_topic():
        probabilities = model.predict_proba([request.get_json()["text"]])[0]
        monitor.observe(sureness=probabilities.max())
        return {"topic": model.classes_[probabilities.argmax()]}

    return app, monitor


def main():
    with tempfile.TemporaryDirectory() as folder:
        app, monitor = serve(train(Path(folder, "baseline.prom")), folder)
        client = app.test_client()

        for text in tickets(400, seed=2)[0]:
            client.post("/topic", json={"text": text})
        print("English:", [variable.name for variable in monitor.drift().drifted] or "nothing has drifted")
        for text in tickets(400, seed=3, common=GERMAN)[0]:
            client.post("/topic", json={"text": text})
        drifted = monitor.drift().drifted
        print("German: ", [f"{variable.name} ({variable.verdict})" for variable in drifted])


if __name__ == "__main__":
    main()
