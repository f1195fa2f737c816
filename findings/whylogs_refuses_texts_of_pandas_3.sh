#!/usr/bin/env bash
# whylogs 1.6.4: a column of texts in a data frame of pandas 3 cannot be logged with NumPy 2, since whylogs asks for
# np.unicode_. It sets no upper bound, so a fresh installation has both. Numbers, and texts of dtype object, as pandas 2 has
# them, are logged, so an upgrade of pandas ends the profiles of a service that ran with NumPy 2 until then.
#
# Seen: "numbers: 2 object: 2 str: AttributeError `np.unicode_` was removed in the NumPy 2.0 release."
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check whylogs==1.6.4 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import pandas as pd
import whylogs


def logged(column):
    """Return the number of values in a profile, or the error."""
    try:
        return whylogs.log(pd.DataFrame({"x": column})).view().to_pandas()["counts/n"]["x"]
    except AttributeError as error:
        return f"AttributeError {str(error).partition(' Use')[0]}"


print(*(f"{name} {version(name)}" for name in ("whylogs", "pandas", "numpy")))
numbers, objects, texts = logged([1.0, 2.0]), logged(pd.Series(["a", "b"], dtype=object)), logged(["a", "b"])
print("numbers:", numbers, "object:", objects, "str:", texts)
assert (numbers, objects) == (2, 2)
assert texts.startswith("AttributeError `np.unicode_`")
PYTHON
