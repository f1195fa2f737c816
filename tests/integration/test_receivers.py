"""The example configurations of fluentd and Fluent Bit, in the real programs: every record is in a file, once."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.config import Settings
from tests.peers import FluentBit, Fluentd, wait_for
from tests.sinks.certificates import make_authority

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fluentd"
KEY = "open-sesame"
DEFAULT_PREFIX = Settings.fluentd_prefix
LAYOUT = re.compile(r"models/predictions/credit_eu/(\d{4}-\d\d-\d\d)/(\d{4})_eu-1-pod-1(?:-\w+)?\.txt")


def service_for(addr: str, **settings: Any) -> ModelMonitoringService:
    """Make a service whose records go to a receiver."""
    defaults = {"endpoint_id": "credit.eu", "pod_name": "pod-1", "fluentd_shared_key": KEY}
    return ModelMonitoringService(sink="fluentd", fluentd_addr=addr, **{**defaults, **settings})


def log(service: ModelMonitoringService, number: int) -> None:
    """Log so many predictions, of all that JSON has."""
    for index in range(number):
        service.log_prediction('{"ü": "€"}', features=[1.5, None, "ü€", True, 2**53], output={"index": index})


def check_files(files: Mapping[str, str]) -> list[str]:
    """Check that files are where the layout says, and return the entity ids in them."""
    found = []
    for path, content in files.items():
        match = LAYOUT.fullmatch(path)
        assert match is not None, path
        assert content.endswith("\n")
        for record in map(json.loads, content.splitlines()):
            assert record["features"] == [1.5, None, "ü€", True, 2**53]
            assert record["request_body"] == '{"ü": "€"}'
            if "-" not in path.rpartition("pod-1")[2]:  # an object has the minute of its first record
                assert time.strftime("%Y-%m-%d%H%M", time.gmtime(record["created_at"])) == match[1] + match[2]
            found.append(record["entity_id"])
    return found


# --- fluentd --------------------------------------------------------------------------------------------------------


class Files:
    """fluentd with the example configuration, and the files it has written."""

    def __init__(self, directory: Path, config: Path = EXAMPLE / "fluentd.conf", **env: str) -> None:
        self._records = directory / "records"
        own = {"SHARED_KEY": KEY, "RECORDS_DIR": str(self._records), "LOGGER_ID": "eu-1", "TZ": "JST-9"}
        self.server = Fluentd(directory, config, {**own, "STATE_DIR": str(directory / "state"), **env})

    def read(self, folder: str = ".") -> dict[str, str]:
        """Return the content of every file below a folder by its path."""
        root = self._records / folder
        return {str(path.relative_to(self._records)): path.read_text("utf-8") for path in root.rglob("*.txt")}

    def line_count(self) -> int:
        """Return how many records there are."""
        return sum(content.count("\n") for content in self.read().values())


@pytest.mark.peers
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_fluentd_has_every_record_once_after_restarts(tmp_path: Path, signum: int) -> None:
    files = Files(tmp_path)
    with files.server as server:
        service = service_for(server.addr)
        log(service, 100)
        assert service.flush(20) == 0
        server.flush()
        wait_for(lambda: files.line_count() == 100, what="the first records")
        log(service, 100)  # acknowledged, and still in the buffer: they come to the file of the same minute
        assert service.flush(20) == 0
        server.stop(signum)
        log(service, 100)
        assert service.flush(0.1) == 100
        server.start()
        assert service.flush(20) == 0
        service.close()
        server.flush()
        wait_for(lambda: files.line_count() >= 300, what="all records")
    found = Counter(check_files(files.read()))
    assert len(found) == 300
    if signum == signal.SIGTERM:  # one that is killed may have written what it has not yet struck off
        assert set(found.values()) == {1}


@pytest.mark.peers
def test_fluentd_refuses_a_client_with_another_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Files(tmp_path).server as server:
        service = service_for(server.addr, fluentd_shared_key="another", shutdown_timeout=0)
        log(service, 1)
        wait_for(lambda: "shared_key mismatch" in caplog.text, what="the refusal")
        assert service.flush(0) == 1
        service.close()


@pytest.mark.peers
def test_fluentd_takes_nothing_more_when_its_buffer_is_full(tmp_path: Path) -> None:
    files = Files(tmp_path, BUFFER_LIMIT="20k")
    with files.server as server:
        service = service_for(server.addr)
        log(service, 100)  # a batch of which the buffer is full
        assert service.flush(20) == 0
        log(service, 50)
        wait_for(lambda: "buffer overflow" in server.log(), what="the refusal")
        assert service.flush(0) == 50
        server.flush()
        assert service.flush(20) == 0
        service.close()
        server.flush()
        wait_for(lambda: files.line_count() >= 150, what="all records")
    assert len(set(check_files(files.read()))) == 150


@pytest.mark.peers
def test_fluentd_keeps_records_under_a_prefix_it_does_not_expect(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with files.server as server:
        service = service_for(server.addr, fluentd_prefix="ml")
        log(service, 10)
        assert service.flush(20) == 0
        service.close()
        server.flush()
        wait_for(lambda: files.line_count() == 10, what="the records")
        assert all(path.startswith("unmatched/ml.credit_eu.pod-1/") for path in files.read())


@pytest.mark.peers
def test_fluentd_with_tls(tmp_path: Path) -> None:
    text = (EXAMPLE / "fluentd.conf").read_text()
    config = tmp_path / "fluentd.conf"
    config.write_text(re.sub(r"^  # (?=  |</?transport)", "  ", text, flags=re.M))
    assert "\n  <transport tls>\n    cert_path" in config.read_text()
    authority = make_authority(tmp_path / "tls")
    pem = str(authority.server_file)
    files = Files(tmp_path, config, TLS_CERT=pem, TLS_KEY=pem)
    with files.server as server:
        service = service_for(f"tls://{server.addr}", fluentd_ca_file=str(authority.ca_file))
        log(service, 10)
        assert service.flush(20) == 0
        service.close()
        server.flush()
        wait_for(lambda: files.line_count() == 10, what="the records")


@pytest.mark.peers
def test_fluentd_accepts_the_configuration_for_s3(tmp_path: Path) -> None:
    env = {"S3_BUCKET": "records", "S3_ENDPOINT": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1"}
    said = Files(tmp_path, EXAMPLE / "fluentd-s3.conf", **env).server.dry_run()
    if "Unknown output plugin 's3'" in said:
        pytest.skip("The gem 'fluent-plugin-s3' is missing.")
    assert "finished dry run mode" in said
    assert "[error]" not in said


# --- Fluent Bit -----------------------------------------------------------------------------------------------------


@contextmanager
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """Serve what Fluent Bit needs of S3; give its URL, and the objects put into it."""
    objects: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            objects[self.path.removeprefix("/records/")] = body.decode()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", objects
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.peers
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_fluent_bit_has_every_record_once_after_restarts(tmp_path: Path, signum: int) -> None:
    with bucket() as (url, objects):
        env = {"SHARED_KEY": KEY, "LOGGER_ID": "eu-1", "STATE_DIR": str(tmp_path / "state"), "TZ": "JST-9"}
        env |= {"S3_BUCKET": "records", "S3_ENDPOINT": url, "AWS_REGION": "us-east-1"}
        env |= {"AWS_ACCESS_KEY_ID": "no one", "AWS_SECRET_ACCESS_KEY": "nothing"}
        with FluentBit(tmp_path, EXAMPLE / "fluent-bit.yaml", env) as server:
            service, stray = service_for(server.addr), service_for(server.addr, fluentd_prefix="ml")
            for _ in range(2):
                log(service, 100)
                assert service.flush(20) == 0
                server.stop(signum)
                server.start()
            service.close()
            log(stray, 10)
            assert stray.flush(20) == 0
            stray.close()
            # What is left there when it stops is only sent after the next start.
            wait_for(lambda: not list((tmp_path / "state/buffer").rglob("*.flb")), what="an empty buffer")
            server.stop(signal.SIGTERM)
        unmatched = {path: objects.pop(path) for path in list(objects) if path.startswith("unmatched/")}
    assert sum(content.count("\n") for content in unmatched.values()) == 10
    found = Counter(check_files(objects))
    assert len(found) == 200
    if signum == signal.SIGTERM:
        assert set(found.values()) == {1}


# --- what holds without them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fluentd.conf", "fluentd-s3.conf", "fluent-bit.yaml", "lifecycle.json"])
def test_configurations_expect_the_default_prefix(name: str) -> None:
    text = (EXAMPLE / name).read_text()
    assert DEFAULT_PREFIX.replace(".", "/") in text
    if name != "lifecycle.json":
        assert re.search(rf"(<match|match:) {re.escape(DEFAULT_PREFIX)}\.", text)


def test_old_records_are_deleted_with_the_folders_they_leave_empty(tmp_path: Path) -> None:
    sh = shutil.which("sh")
    assert sh is not None
    now = time.time()

    def make(name: str, days: float) -> Path:
        path = tmp_path / "models/predictions/credit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
        os.utime(path, (now - days * 86400,) * 2)
        return path

    old, young = make("2026-01-01/0000_boxkite-pod.txt", 30.01), make("2026-01-31/0000_boxkite-pod.txt", 29.99)
    foreign = make("2026-01-01/notes.md", 400)

    def sweep(**env: str) -> None:
        subprocess.run([sh, EXAMPLE / "retention.sh"], env={"RECORDS_DIR": str(tmp_path), **env}, check=True)

    sweep()
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()
    foreign.unlink()
    sweep()
    assert old.parent.exists(), "A folder that has just changed may be in use."
    os.utime(old.parent, (now - 2 * 86400,) * 2)
    sweep(DAYS="29")
    assert not old.parent.exists()
    assert not young.exists()
    assert young.parent.exists()
