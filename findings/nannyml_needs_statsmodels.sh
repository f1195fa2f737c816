#!/usr/bin/env bash
# NannyML 0.13.1 imports statsmodels, which it does not declare. A fresh installation cannot be imported, until statsmodels
# is installed beside it.
#
# Seen: "alone: No module named 'statsmodels'", "with statsmodels: 0.13.1"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
imported() {
    NML_DISABLE_USAGE_LOGGING=1 "$folder/venv/bin/python" - <<'PYTHON'
try:
    import nannyml
except ModuleNotFoundError as error:
    print(error)
else:
    print(nannyml.__version__)
PYTHON
}
"${pip[@]}" "nannyml==0.13.1" "pandas<3"
alone="$(imported)"
"${pip[@]}" statsmodels "pandas<3"
beside="$(imported)"
echo "alone: $alone"
echo "with statsmodels: $beside"
[[ "$alone" == "No module named 'statsmodels'" && "$beside" == "0.13.1" ]]
