#!/usr/bin/env bash
# setuptools 84.2.1: the finder of an editable installation answers for every module below the package, whichever copy of the
# package was imported. Another copy, first on PYTHONPATH, is imported from there, but a submodule that it lacks comes from
# the installed checkout, with no error: code of two versions runs as one. With --config-settings editable_mode=compat,
# which puts the folder on the path instead, the submodule is missing, as it should be.
#
# Seen: "finder: package of the copy, added.py of the checkout", "compat: package of the copy, ModuleNotFoundError"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check setuptools==84.2.1
mkdir -p "$folder/checkout/source/parcel" "$folder/copy/parcel"
cat > "$folder/checkout/pyproject.toml" <<'TOML'
[build-system]
requires = ["setuptools==84.2.1"]
build-backend = "setuptools.build_meta"
[project]
name = "parcel"
version = "2"
[tool.setuptools]
packages = ["parcel"]
package-dir = { parcel = "source/parcel" }
TOML
echo 'place = "the checkout"' | tee "$folder/checkout/source/parcel/__init__.py" > "$folder/checkout/source/parcel/added.py"
echo 'place = "the copy"' > "$folder/copy/parcel/__init__.py"
imported() {
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-build-isolation "$@" --editable "$folder/checkout"
    (cd "$folder" && PYTHONPATH="$folder/copy" "$python" - <<'PYTHON'
import parcel

try:
    import parcel.added

    added = f"added.py of {parcel.added.place}"
except ModuleNotFoundError as error:
    added = type(error).__name__
print(f"package of {parcel.place}, {added}")
PYTHON
    )
}
finder="$(imported)"
compat="$(imported --config-settings editable_mode=compat)"
"$python" -c 'from importlib.metadata import version; print("setuptools", version("setuptools"))'
echo "finder: $finder"
echo "compat: $compat"
[[ $finder == "package of the copy, added.py of the checkout" ]]
[[ $compat == "package of the copy, ModuleNotFoundError" ]]
