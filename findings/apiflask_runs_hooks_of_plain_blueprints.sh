#!/usr/bin/env bash
# APIFlask 3.1.2: a plain blueprint of Flask with a before_request function makes /openapi.json answer 500, since APIFlask
# looks for enable_openapi, which only its own blueprints have, where a blueprint has hooks. Without the hook the same
# blueprint is passed over. So an extension that registers a blueprint with a hook breaks the document of its host.
#
# Seen: "without a hook: 200  with a before_request: 500 AttributeError APIBlueprint with one: 200"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check apiflask==3.1.2 flask==3.1.3
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from apiflask import APIBlueprint, APIFlask
from flask import Blueprint


def status(blueprint, has_hook):
    """Return the status of the document, and the error behind it."""
    app = APIFlask("app")
    app.logger.disabled = True
    blueprint.add_url_rule("/extra", view_func=lambda: {"extra": 1}, endpoint="extra")
    if has_hook:
        blueprint.before_request(lambda: None)
    app.register_blueprint(blueprint)
    code = app.test_client().get("/openapi.json").status_code
    app.testing = True
    try:
        app.test_client().get("/openapi.json")
    except Exception as error:
        return code, type(error).__name__
    return code, ""


print("APIFlask", version("apiflask"))
without, hooked, own = (
    status(Blueprint("plain", "app"), False), status(Blueprint("plain", "app"), True), status(APIBlueprint("own", "app"), True)
)
print("without a hook:", *without, "with a before_request:", *hooked, "APIBlueprint with one:", *own)
assert without == (200, "")
assert hooked == (500, "AttributeError")
assert own == (200, "")
PYTHON
