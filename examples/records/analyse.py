"""What the logged predictions tell: has the model's world moved, for whom, and what is normal now?"""

from pathlib import Path

from flask_boxkite import Baseline
from flask_boxkite.records import Records

RUN = Path(__file__).parent / "run"


def main():
    baseline = Baseline.load(RUN / "baseline.prom")
    records = Records(RUN / "records", model="credit")

    print("All customers:\n")
    print(records.drift(baseline))

    print("\nBy country:\n")
    print(records.drift(baseline, by="country"))

    # Any question, in SQL: the relation is read from the files when it is executed, batch by batch.
    predictions = records.to_frame("duckdb", baseline)
    print("\nBy country and decade:\n")
    print(
        predictions.query(
            "predictions",
            """
            SELECT country, CAST(10 * floor(age / 10) AS INTEGER) AS decade, count(*) AS rows, median(income) AS income
            FROM predictions
            WHERE status = 'ok'
            GROUP BY ALL
            ORDER BY ALL
            LIMIT 8
            """,
        )
    )

    new = records.to_baseline(RUN / "new.prom", baseline, version="v2")
    print(f"A new baseline of {new.rows} predictions: {new.fingerprint}.")


if __name__ == "__main__":
    main()
