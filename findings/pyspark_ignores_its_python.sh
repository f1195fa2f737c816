#!/usr/bin/env bash
# PySpark 4.3.0: spark.pyspark.python, the setting for the Python of driver and workers, is
# ignored where the session is made in Python, by SparkSession.builder.config: workers start the python3 of PATH, which
# may lack the driver's packages. The environment variable PYSPARK_PYTHON is heeded. The session keeps the value and shows
# it. Needs Java 17 or later.
#
# Seen: "configured: driver  by the configuration: other  by PYSPARK_PYTHON: driver"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/driver"
python3 -m venv "$folder/other"
"$folder/driver/bin/pip" install --quiet --disable-pip-version-check pyspark==4.3.0

cat >"$folder/ask.py" <<'PYTHON'
import sys

from pyspark.sql import SparkSession

builder = SparkSession.builder.master("local[1]")
for name, value in {
    "spark.pyspark.python": sys.executable,
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}.items():
    builder = builder.config(name, value)
session = builder.getOrCreate()


def folder(path):
    """Return the name of the environment that an executable is in."""
    return path.split("/")[-3]


def executable(_):
    """Return the path of the worker's Python."""
    import sys

    return sys.executable


(found,) = session.sparkContext.parallelize([0], 1).map(executable).collect()
print(folder(session.conf.get("spark.pyspark.python")), folder(found))
session.stop()
PYTHON

export PATH="$folder/other/bin:$PATH" SPARK_LOCAL_IP=127.0.0.1
read -r configured by_configuration < <(env -u PYSPARK_PYTHON "$folder/driver/bin/python" "$folder/ask.py" 2>/dev/null)
read -r _ by_variable < <(PYSPARK_PYTHON="$folder/driver/bin/python" "$folder/driver/bin/python" "$folder/ask.py" 2>/dev/null)
"$folder/driver/bin/python" -c "import pyspark; print('PySpark', pyspark.__version__)"
echo "configured: $configured  by the configuration: $by_configuration  by PYSPARK_PYTHON: $by_variable"
[ "$configured $by_configuration $by_variable" = "driver other driver" ]
