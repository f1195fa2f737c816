"""Bodies and answers over real sockets: long, chunked, broken off, streamed; on each kind of server."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from tests.peers import Gunicorn, wait_for
from tests.web.twins import ID_HEADER, Samples

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}

MEGABYTE = 1024 * 1024


class Server:
    """A server that runs, and what was counted so far."""

    def __init__(self, port: int, closed: Path) -> None:
        self.port = port
        self.closed = closed

    def send(
        self,
        path: str,
        body: Any = b"",
        *,
        headers: dict[str, str] | None = None,
        method: str = "POST",
        chunked: bool = False,
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Send a request; return status, body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            # A server may answer and hang up before it has the whole body.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheaders()
        finally:
            connection.close()

    def both(self, path: str, body: Callable[[], Any], **options: Any) -> tuple[int, bytes]:
        """Send a request to the monitored and the plain app; check that the answers are the same."""
        ours, theirs = [self.send(prefix + path, body(), **options) for prefix in ("", "/plain")]
        skipped = {ID_HEADER.lower(), "date"}
        assert ours[:2] == theirs[:2]
        assert [h for h in ours[2] if h[0].lower() not in skipped] == [
            h for h in theirs[2] if h[0].lower() not in skipped
        ]
        assert [name for name, _ in ours[2]].count(ID_HEADER) == 1
        return ours[:2]

    def scrape(self) -> Samples:
        """Return what `/metrics` says."""
        return Samples(self.send("/metrics", method="GET")[1].decode())

    @contextmanager
    def connected(self, data: bytes) -> Iterator[socket.socket]:
        """Open a connection and send raw bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(data)
            yield client


@contextmanager
def werkzeug_server(directory: Path) -> Iterator[int]:
    from tests.web.apps import make_app

    server = make_server("127.0.0.1", 0, make_app(), threaded=True)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def waitress_server(directory: Path) -> Iterator[int]:
    waitress = pytest.importorskip("waitress")
    from tests.web.apps import make_app

    server = waitress.create_server(make_app(), host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.effective_port
    finally:
        server.trigger.pull_trigger(server.close)
        thread.join()
        server.task_dispatcher.shutdown()


def gunicorn_server(worker_class: str, *args: str) -> Callable[[Path], Any]:
    @contextmanager
    def run(directory: Path) -> Iterator[int]:
        # Not the repository's own directory, where another server's control files may be.
        root = Path(__file__).parents[2]
        with Gunicorn(
            "tests.web.apps:make_app()", directory, worker_class=worker_class, args=args, pythonpath=[root]
        ) as server:
            yield server.port

    return run


SERVERS: dict[str, Callable[[Path], Any]] = {
    "werkzeug": werkzeug_server,
    "waitress": waitress_server,
    "gunicorn sync": gunicorn_server("sync"),
    "gunicorn gthread": gunicorn_server("gthread", "--threads=4"),
    "gunicorn gevent": gunicorn_server("gevent"),
}


@pytest.fixture(scope="module", params=SERVERS.values(), ids=SERVERS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, baseline_path: Path
) -> Iterator[Server]:
    """Return one server for all tests of its kind."""
    if request.param is SERVERS["gunicorn gevent"]:
        pytest.importorskip("gevent")
    directory = tmp_path_factory.mktemp("server")
    closed = directory / "closed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "BOXKITE_TEST_BASELINE", str(baseline_path))
        patch.setitem(os.environ, "BOXKITE_TEST_CLOSED", str(closed))
        with request.param(directory) as port:
            yield Server(port, closed)


@pytest.fixture
def server(running: Server) -> Difference:
    """Return the server, and what this test has counted."""
    return Difference(running)


class Difference:
    """Counts since the test began.

    Attributes:
        server: The server.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._before = server.scrape()

    def counted(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return rows by status and errors by reason."""
        after = self.server.scrape()
        return (
            _less(after.statuses(), self._before.statuses()),
            _less(after.errors(), self._before.errors()),
        )

    def groups(self, feature: str) -> dict[str, float]:
        """Return the rows of a feature by group."""
        return _less(self.server.scrape().groups(feature), self._before.groups(feature))

    def group_of(self, feature: str, value: Any) -> str:
        """Return the group of a value."""
        return self._before.group_of("feature", feature, value)


def _less(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}


def in_pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


JSON = {"Content-Type": "application/json"}


def test_a_request_with_a_length(server: Difference) -> None:
    status, body = server.server.both("/score", lambda: json.dumps(ANN).encode(), headers=JSON)
    assert (status, json.loads(body)) == (200, {"score": 0.5, "city": "Paris"})
    assert server.counted() == ({"ok": 1}, {})
    assert server.groups("age") == {server.group_of("age", 30): 1}


@pytest.mark.parametrize("note", [0, 200_000], ids=["short", "long"])
def test_a_chunked_request(server: Difference, note: int) -> None:
    data = json.dumps({**ANN, "note": "n" * note}).encode()
    headers = {**JSON, "Transfer-Encoding": "chunked"}
    status, body = server.server.both("/score", lambda: in_pieces(data), headers=headers, chunked=True)
    assert (status, json.loads(body)["city"]) == (200, "Paris")
    assert server.counted() == ({"ok": 1}, {})
    assert server.groups("city") == {"Paris": 1}


@pytest.mark.parametrize("path", ["/digest", "/raw"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_long_binary_body_is_read_as_a_stream(server: Difference, path: str, chunked: bool) -> None:
    data = os.urandom(3 * MEGABYTE)
    options: dict[str, Any] = {"headers": {"Transfer-Encoding": "chunked"}, "chunked": True} if chunked else {}
    status, body = server.server.both(path, lambda: in_pieces(data, 65536) if chunked else data, **options)
    assert (status, json.loads(body)["sha256"]) == (200, hashlib.sha256(data).hexdigest())
    assert server.counted() == ({"ok": 1}, {"features": 1})


def test_a_hundred_megabytes_pass_through(server: Difference) -> None:
    """The view reads them in pieces; no copy of them stays with us."""
    piece = os.urandom(MEGABYTE)
    found = hashlib.sha256()
    for _ in range(100):
        found.update(piece)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(100 * MEGABYTE)}
    status, body, _ = server.server.send("/digest", (piece for _ in range(100)), headers=headers)
    assert (status, json.loads(body)["size"]) == (200, 100 * MEGABYTE)
    assert json.loads(body)["sha256"] == found.hexdigest()
    assert server.counted() == ({"ok": 1}, {"features": 1})


@pytest.mark.parametrize("size", [100, 2 * MEGABYTE], ids=["short", "long"])
def test_an_upload_with_features_in_its_form(server: Difference, size: int) -> None:
    file = os.urandom(size)
    fields = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in ANN.items()
    ).encode()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    data = fields + head + file + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    status, body = server.server.both("/upload", lambda: data, headers=headers)
    answer = json.loads(body)
    assert (status, answer["sha256"]) == (200, hashlib.sha256(file).hexdigest())
    assert answer["form"] == {"age": "30", "income": "2500.0", "city": "Paris"}
    assert server.counted() == ({"ok": 1}, {})
    assert server.groups("city") == {"Paris": 1}


def test_gzip_is_read_beside_the_view(server: Difference) -> None:
    import gzip

    data = gzip.compress(json.dumps(ANN).encode(), mtime=0)
    status, _ = server.server.both("/digest", lambda: data, headers={**JSON, "Content-Encoding": "gzip"})
    assert status == 200
    assert server.counted() == ({"ok": 1}, {})


@pytest.mark.parametrize("size", [1000, 200_000], ids=["short", "long"])
def test_a_body_that_the_view_does_not_read(server: Difference, size: int) -> None:
    status, body = server.server.both("/unread", lambda: b"x" * size, headers={"Content-Type": "text/plain"})
    assert (status, json.loads(body)) == (200, {"score": 0.5})
    assert server.counted() == ({"ok": 1}, {"features": 1})


def test_a_request_without_a_body(server: Difference) -> None:
    status, body = server.server.both("/models", lambda: None, method="GET")
    assert (status, json.loads(body)["score"]) == (200, 0.5)
    assert server.counted() == ({"ok": 1}, {"features": 1})


def test_a_streamed_answer(server: Difference) -> None:
    status, body = server.server.both("/stream", lambda: json.dumps(ANN).encode(), headers=JSON)
    assert (status, body) == (200, b"".join(b"part %d\n" % i for i in range(5)))
    assert server.counted() == ({"ok": 1}, {"output": 1})


def test_a_streamed_answer_that_fails_half_way(server: Difference, request: pytest.FixtureRequest) -> None:
    """Its client has status 200 and part of the answer."""
    if request.node.callspec.params["running"] is werkzeug_server:
        pytest.skip("Werkzeug's server may then wait for more of the request, while its client waits for the answer.")
    for prefix in ("", "/plain"):
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            server.server.send(f"{prefix}/half", json.dumps(ANN), headers=JSON | {"Connection": "close"})
    assert server.counted() == ({"error": 1}, {})


def test_an_error(server: Difference) -> None:
    status, _ = server.server.both("/error", lambda: json.dumps(ANN).encode(), headers=JSON)
    assert status == 500
    assert server.counted() == ({"error": 1}, {})


def test_a_client_that_goes_away_while_it_is_answered(server: Difference) -> None:
    """The endless answer is closed, and counted once, as an error of its client."""
    closed = server.server.closed
    before = closed.read_text().count("closed") if closed.exists() else 0
    data = json.dumps(ANN).encode()
    head = f"POST /endless HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    with server.server.connected(head.encode() + data) as client:
        assert client.recv(15).startswith(b"HTTP/1.")
    wait_for(lambda: closed.exists() and closed.read_text().count("closed") > before, what="the answer to be closed")
    wait_for(lambda: sum(server.counted()[0].values()), what="the prediction to be counted")
    assert server.counted() == ({"client_error": 1}, {})


@pytest.mark.parametrize("path", ["/score", "/digest"])
@pytest.mark.parametrize("length", [1000, 500_000], ids=["short", "long"])
def test_a_client_that_goes_away_while_it_asks(server: Difference, path: str, length: int) -> None:
    """The view finds out as it would without us; if it is asked at all, it is one prediction."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    with server.server.connected(head.encode() + b'{"age": 30') as client:
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    status, _ = server.server.both("/score", lambda: json.dumps(ANN).encode(), headers=JSON)
    assert status == 200
    statuses, errors = server.counted()
    assert statuses.pop("ok") in (1, 2)
    assert sum(statuses.values()) <= 1
    assert "internal" not in errors


def test_a_connection_that_is_kept_serves_the_next_request(server: Difference) -> None:
    """Nothing of one body is left for the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=60)
    try:
        for i in range(10):
            connection.request("POST", "/score", json.dumps({**ANN, "age": 20 + i}), JSON)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["score"]) == (200, 0.5)
    finally:
        connection.close()
    assert server.counted() == ({"ok": 10}, {})


def test_a_scrape_after_an_answer_sees_it(server: Difference) -> None:
    """Not a moment later."""
    for number in range(1, 20):
        server.server.send("/score", json.dumps(ANN), headers=JSON)
        assert server.counted() == ({"ok": number}, {})


def test_clients_at_once(server: Difference) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                status, body, _ = server.server.send("/score", json.dumps([ANN] * 20), headers=JSON)
                assert (status, json.loads(body)) == (200, {"predictions": [0.5] * 20})
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert server.counted() == ({"ok": 800}, {})
    assert server.groups("city") == {"Paris": 800}


def test_the_numbers_are_those_of_the_test_client(server: Difference, baseline_path: Path) -> None:
    """Whatever the server."""
    server.server.send("/score", json.dumps(ANN), headers=JSON)
    samples = server.server.scrape()
    assert samples.labels("model", "boxkite_predictions_total") == {"default"}
    assert server.groups("income") == {server.group_of("income", 2500.0): 1}
