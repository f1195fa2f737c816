#!/usr/bin/env bash
# prometheus-client 0.26.0: its servers take the first OpenMetrics in the Accept header, whatever its weight. A client that
# prefers text (q=1) over OpenMetrics (q=0.1), or excludes OpenMetrics by q=0, gets OpenMetrics. There, names and values
# differ: a counter ends in _total and "# EOF" follows. A parser of the text format, asked for by weight, meets another one.
#
# Seen: "text/plain;q=1, application/openmetrics-text;q=0.1 -> application/openmetrics-text" and the same for "q=0"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prometheus-client==0.26.0
"$folder/venv/bin/python" - <<'PYTHON'
import threading
import urllib.request
from importlib.metadata import version
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


print("prometheus-client", version("prometheus-client"))
server = make_server("127.0.0.1", 0, make_wsgi_app(), handler_class=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
kinds = {}
for accept in (
    "text/plain;q=1, application/openmetrics-text;q=0.1",
    "text/plain, application/openmetrics-text;q=0",
    "text/plain",
):
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        kinds[accept] = answer.headers.get_content_type()
    print(accept, "->", kinds[accept])
server.shutdown()
assert list(kinds.values()) == ["application/openmetrics-text", "application/openmetrics-text", "text/plain"]
PYTHON
