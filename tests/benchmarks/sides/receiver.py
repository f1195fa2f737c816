"""A fluentd that throws everything away: reads Forward messages, acknowledges chunks and counts records.

Runs in a process of its own, so that its work burdens no side. Order ``port``: where it listens; order
``counts``: records received, by tag; orders ``silent port`` and ``black hole port``: where one listens that accepts
connections and never reads, and one to which no connection comes about.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from typing import Any

import msgpack
from timing import Figures, serve

RECEIVE_BYTES = 256 * 1024


def count_packed(entries: bytes) -> int:
    """Return the number of packed ``[time, record]`` entries, without building them."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(entries))
    unpacker.feed(entries)
    count = 0
    while True:
        try:
            unpacker.skip()
        except msgpack.OutOfData:
            return count
        count += 1


def records_and_option(message: list[Any]) -> tuple[int, dict[str, Any]]:
    """Return how many records a message holds, in any of the protocol's modes, and its option map."""
    if isinstance(message[1], list):
        count, rest = len(message[1]), message[2:]
    elif isinstance(message[1], bytes):
        rest = message[2:]
        size = rest[0].get("size") if rest and rest[0] else None
        count = count_packed(message[1]) if size is None else size
    else:
        count, rest = 1, message[3:]
    return count, (rest[0] if rest else None) or {}


class Receiver(socketserver.ThreadingTCPServer):
    """Listens on a free port of the loopback interface; one thread a connection."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.counts: Counter[str] = Counter()


class Connection(socketserver.BaseRequestHandler):
    """One client's messages, until it closes or resets the connection."""

    server: Receiver

    def handle(self) -> None:
        """Read, count and acknowledge."""
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape")
        try:
            while data := self.request.recv(RECEIVE_BYTES):
                unpacker.feed(data)
                for message in unpacker:
                    self.take(message)
        except ConnectionError:
            pass

    def take(self, message: list[Any]) -> None:
        """Count one message and acknowledge it if it asks for that."""
        count, option = records_and_option(message)
        self.server.counts[message[0]] += count
        if "chunk" in option:
            self.request.sendall(msgpack.packb({"ack": option["chunk"]}))


def silent_listener() -> socket.socket:
    """Listen, and leave every connection in the queue of the system, which accepts it but reads little."""
    return socket.create_server(("127.0.0.1", 0), backlog=64)


def black_hole() -> list[socket.socket]:
    """Listen with a queue that is full, so that the system drops every attempt to connect."""
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=0)]
    for _ in range(8):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(sockets[0].getsockname())
        sockets.append(client)
    return sockets


def main() -> None:
    """Receive in the background, answer the driver in the foreground."""
    receiver = Receiver()
    silent, hole = silent_listener(), black_hole()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()

    def port(calls: int) -> Figures:
        return {"port": receiver.server_address[1]}

    def silent_port(calls: int) -> Figures:
        return {"port": silent.getsockname()[1]}

    def black_hole_port(calls: int) -> Figures:
        return {"port": hole[0].getsockname()[1]}

    def counts(calls: int) -> Figures:
        return dict(receiver.counts)

    serve(
        {
            "port": lambda: port,
            "counts": lambda: counts,
            "silent port": lambda: silent_port,
            "black hole port": lambda: black_hole_port,
        }
    )


if __name__ == "__main__":
    main()
