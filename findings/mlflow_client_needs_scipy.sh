#!/usr/bin/env bash
# mlflow-skinny 3.17.2: dump_input_data, by which the scoring client writes a request, asks find_spec("scipy.sparse") to
# learn whether there is SciPy. Where there is none that raises, so even a data frame cannot be written; SciPy is no
# dependency of it. With SciPy a data frame is written, but a dict of NumPy arrays, which is allowed, fails: the dict is
# walked over without .items().
#
# Seen: "without SciPy: ModuleNotFoundError No module named 'scipy'", then "with SciPy: dataframe_split; a dict of arrays:
# ValueError too many values to unpack (expected 2)"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip mlflow-skinny==3.17.2 pandas==3.0.0 numpy==2.4.0
cat > "$folder/write.py" <<'PYTHON'
import numpy as np
import pandas as pd
from mlflow.utils.proto_json_utils import dump_input_data


def written(data):
    """Return the layout of a request, or the error."""
    try:
        return dump_input_data(data).split('"')[1]
    except Exception as error:
        return f"{type(error).__name__} {error}"


print(written(pd.DataFrame({"age": [1.0, 2.0]})), "| a dict of arrays:", written({"age": np.array([1.0, 2.0])}))
PYTHON
without="$("$folder/venv/bin/python" "$folder/write.py")"
pip scipy
with="$("$folder/venv/bin/python" "$folder/write.py")"
echo "without SciPy: $without"
echo "with SciPy: $with"
[[ $without == "ModuleNotFoundError No module named 'scipy' |"* ]]
[[ $with == "dataframe_split | a dict of arrays: ValueError too many values to unpack"* ]]
