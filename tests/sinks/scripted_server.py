"""A Forward server that does what a test tells it, byte by byte: it resets, lies, dribbles, or is silent."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack

Behaviour = Callable[["Peer"], None]


class Peer:
    """One connection, as the server sees it."""

    def __init__(self, server: ScriptedServer, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self._unpacker = msgpack.Unpacker(max_buffer_size=2**28)

    def receive(self) -> Any:
        """Return the next message; EOFError if the client has gone."""
        while True:
            for message in self._unpacker:
                return message
            self._unpacker.feed(self.receive_bytes())

    def receive_bytes(self) -> bytes:
        """Return some bytes; EOFError if the client has gone."""
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self.server.received_bytes += data
        return data

    def receive_batch(self) -> tuple[str, bytes, dict[str, Any]]:
        """Return the next batch and keep it in the list of the server."""
        tag, entries, option = self.receive()
        self.server.batches.append((self, tag, entries, option))
        return tag, entries, option

    def send(self, message: Any, **options: Any) -> None:
        """Send one message."""
        self.connection.sendall(msgpack.packb(message, **options))

    def reset(self) -> None:
        """Break the connection off at once, losing what is under way."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def wait_until_gone(self) -> None:
        """Read until the client hangs up."""
        with contextlib.suppress(EOFError):
            while True:
                self.receive_bytes()


class ScriptedServer:
    """Listens on a port of 127.0.0.1, or elsewhere, and treats each connection by the next behaviour of its script.

    The last one is repeated. Ends all its threads at the end.

    Attributes:
        batches: What was received as batches: peer, tag, entries, option.
        received_bytes: All bytes that the client sent.
        connections: How many there were.
    """

    def __init__(
        self,
        *script: Behaviour,
        host: str = "127.0.0.1",
        path: Path | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.batches: list[tuple[Peer, str, bytes, dict[str, Any]]] = []
        self.received_bytes = bytearray()
        self.connections = 0
        self.closing = threading.Event()
        self._script = list(script)
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

        if path is not None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
            self.addr = f"unix://{path}"
        else:
            self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            self._listener.bind((host, 0))
            self.port: int = self._listener.getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            self.addr = f"{'tls://' if tls else ''}{shown}:{self.port}"
        self._listener.listen()
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, name="scripted-server")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                if self.closing.is_set():
                    connection.close()
                    return
                self._open.append(connection)
                behaviour = self._script[min(self.connections, len(self._script) - 1)]
                self.connections += 1
                self._start(self._treat, connection, behaviour)

    def _treat(self, connection: socket.socket, behaviour: Behaviour) -> None:
        with contextlib.suppress(OSError, EOFError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            behaviour(Peer(self, connection))
        with contextlib.suppress(OSError):
            connection.close()

    def chunks(self) -> list[str]:
        """Return the ids of the batches received."""
        return [option["chunk"] for _, _, _, option in self.batches]

    def records(self) -> list[Any]:
        """Return the records of all batches received."""
        found = []
        for _, _, entries, option in self.batches:
            plain = gzip.decompress(entries) if option.get("compressed") == "gzip" else entries
            found += [record for _, record in entries_of(plain)]
        return found

    def close(self) -> None:
        """Hang up everywhere and stop listening."""
        self.closing.set()
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._open):
            one.close()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def entries_of(entries: bytes) -> Iterator[tuple[Any, Any]]:
    """Decode the entries of a batch: time and record each."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(entries)
    yield from unpacker


# --- behaviours -----------------------------------------------------------------------------------------------------


def acknowledge(peer: Peer) -> None:
    """Do as the protocol says."""
    while True:
        _, _, option = peer.receive_batch()
        peer.send({"ack": option["chunk"]})


def acknowledge_once(peer: Peer) -> None:
    """Acknowledge one batch, then hang up."""
    _, _, option = peer.receive_batch()
    peer.send({"ack": option["chunk"]})


def swallow(peer: Peer) -> None:
    """Read everything and never answer."""
    while True:
        peer.receive_batch()


def never_read(peer: Peer) -> None:
    """Accept the connection, and nothing more."""
    peer.server.closing.wait()


def hang_up(peer: Peer) -> None:
    """Close the connection before anything is said."""
    peer.connection.shutdown(socket.SHUT_RDWR)


def reset_in_mid_batch(peer: Peer) -> None:
    """Read a piece, then reset."""
    peer.receive_bytes()
    peer.reset()


def take_and_reset(peer: Peer) -> None:
    """Take a batch whole, then reset: the acknowledgement is lost."""
    peer.receive_batch()
    peer.reset()


def answer(data: bytes) -> Behaviour:
    """Take a batch and answer *data*, whatever that is."""

    def behave(peer: Peer) -> None:
        peer.receive_batch()
        peer.connection.sendall(data)
        peer.wait_until_gone()

    return behave


def acknowledge_in_crumbs(peer: Peer) -> None:
    """Acknowledge every batch, a byte at a time."""
    while True:
        _, _, option = peer.receive_batch()
        for byte in msgpack.packb({"ack": option["chunk"]}):
            peer.connection.sendall(bytes([byte]))
            peer.server.closing.wait(0.002)


def say_more(extra: Any) -> Behaviour:
    """Acknowledge a batch and say *extra* in the same breath; hear nothing more."""

    def behave(peer: Peer) -> None:
        _, _, option = peer.receive_batch()
        peer.connection.sendall(msgpack.packb({"ack": option["chunk"]}) + msgpack.packb(extra))
        peer.wait_until_gone()

    return behave


def half_an_answer(peer: Peer) -> None:
    """Take a batch, acknowledge it by half, and close."""
    _, _, option = peer.receive_batch()
    peer.connection.sendall(msgpack.packb({"ack": option["chunk"]})[:-5])
    peer.connection.shutdown(socket.SHUT_WR)
    peer.wait_until_gone()


def dribble(peer: Peer) -> None:
    """Take a batch and answer a text that takes for ever, byte by byte."""
    peer.receive_batch()
    peer.connection.sendall(b"\xda\xff\xff")
    while not peer.server.closing.wait(0.01):
        peer.connection.sendall(b"x")


def greet(
    key: bytes,
    helo: Any = None,
    pong: Callable[[list[Any]], Any] | None = None,
    user: tuple[str, str] | None = None,
    auth: bytes = b"\x81\xfesalt",
    **options: Any,
) -> Behaviour:
    """Ask for a shared key, and perhaps a user; then acknowledge.

    Args:
        key: What the server takes for the key.
        helo: What it says first, instead of the right thing.
        pong: From what it would answer to what it answers.
        user: Name and password to ask for.
        auth: The salt for the password, which fluentd sends whether it asks for a user or not.
        **options: Of the packer, for its greeting.
    """
    nonce = b"\x80\xffnonce"

    def behave(peer: Peer) -> None:
        peer.send(["HELO", {"nonce": nonce, "auth": auth, "keepalive": True}] if helo is None else helo, **options)
        _, hostname, salt, digest, *claim = peer.receive()
        assert isinstance(salt, str), "Fluent Bit takes no bytes."

        expected = sha512(salt.encode(), hostname.encode(), nonce, key)
        refusal = ""
        if digest != expected:
            refusal = "shared key mismatch"
        elif user and claim != [user[0], sha512(auth, *(word.encode() for word in user))]:
            refusal = "username/password mismatch"
        answer = ["PONG", not refusal, refusal, "server", sha512(salt.encode(), b"server", nonce, key)]
        peer.send(pong(answer) if pong else answer)
        acknowledge(peer)

    return behave


def sha512(*parts: bytes) -> str:
    """Return the digest of parts, one after the other, in hexadecimal digits."""
    return hashlib.sha512(b"".join(parts)).hexdigest()


def reflect(peer: Peer) -> None:
    """Without knowing the key, send the client's own name and proof back to it."""
    peer.send(["HELO", {"nonce": b"nonce", "auth": "", "keepalive": True}])
    _, hostname, _, digest, _, _ = peer.receive()
    peer.send(["PONG", True, "", hostname, digest])
    acknowledge(peer)


def say_too_much(peer: Peer) -> None:
    """Greet, and acknowledge what was never asked."""
    peer.connection.sendall(msgpack.packb(["HELO", {"nonce": b"n"}]) + msgpack.packb({"ack": "x"}))
    peer.wait_until_gone()
