"""Spark: the cluster counts; only summaries come to the driver."""

from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from flask_boxkite import ModelMonitoringService

OUT = Path(__file__).parent / "run"


def main():
    # One small machine stands in for a cluster.
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.showConsoleProgress": "false",
    }
    spark = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    trips = spark.range(20_000).select(
        F.round(F.rand(1) * 20, 2).alias("distance"),
        F.when(F.rand(2) < 0.1, None).otherwise(F.floor(F.rand(3) * 24)).alias("hour"),
        F.element_at(F.array(F.lit("card"), F.lit("cash")), (F.rand(4) * 1.3).cast("int") + 1).alias("payment"),
    )
    scored = trips.withColumn("fare", F.col("distance") * 1.8 + 3)  # what model.transform(trips) adds
    baseline = ModelMonitoringService.export_text(
        features=scored,
        inference="fare",  # the column that holds it
        path=OUT / "spark.prom",
        model="fares",
    )
    print(f"{baseline.rows} rows, {len(baseline.features)} features, baseline {baseline.fingerprint}")
    spark.stop()


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    main()
