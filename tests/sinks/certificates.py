"""Certificates for tests, made by the program openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers import require


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and a server's certificate that it has signed."""

    ca_file: Path
    server_file: Path

    def server_context(self) -> ssl.SSLContext:
        """Return what a server needs to show its certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file)
        return context


def make_authority(directory: Path, names: str = "IP:127.0.0.1") -> Authority:
    """Create an authority and a certificate for *names*."""
    openssl = str(require("openssl"))
    directory.mkdir()
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=directory, check=True, capture_output=True)

    run(
        *new,
        "-subj",
        "/CN=test authority",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    )
    run(
        *(*new, "-subj", "/CN=test server", "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "server.key"),
        *("-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE", "-out", "server.crt"),
    )
    server = directory / "server.pem"
    server.write_text((directory / "server.key").read_text() + (directory / "server.crt").read_text())
    return Authority(directory / "ca.pem", server)
