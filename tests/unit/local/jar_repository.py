"""A Maven repository on this machine, with jars made up for a test, and a lock that names them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from local.jars.lock_file import Jar

SERVER = "kafka"
"""Whose lock is made, unless a test names another server."""
HOST = "127.0.0.1"


class FakeRepository:
    """Serves `files` and counts requests. What tests change is read at each request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.statuses: dict[str, list[int]] = {}
        """Of a path: the statuses of its next answers; 0 breaks the connection half way."""
        self.held: set[str] = set()
        """Paths whose answers stop half way until `go_on` is set."""
        self.half_sent = threading.Event()
        """Set when an answer stopped half way."""
        self.go_on = threading.Event()
        self.address = ""

    def add(self, artifact: str, content: bytes, classifier: str = "") -> Jar:
        jar = Jar("org.example", artifact, "1.0", classifier, len(content), hashlib.sha256(content).hexdigest())
        self.files[f"/{jar.path}"] = content
        return jar


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that was killed or has given up breaks its connection."""


@contextmanager
def serving() -> Iterator[FakeRepository]:
    repository = FakeRepository()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            repository.requests.append(self.path)
            repository.authorizations.append(self.headers.get("Authorization", ""))
            content = repository.files.get(self.path)
            planned = repository.statuses.get(self.path)
            status = planned.pop(0) if planned else 200 if content is not None else 404
            body = content if content is not None and status in (0, 200) else b""
            self.send_response(status or 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self._send_body(body, broken=status == 0)

        def _send_body(self, body: bytes, *, broken: bool) -> None:
            half = len(body) // 2
            self.wfile.write(body[:half])
            if self.path in repository.held:
                repository.half_sent.set()
                repository.go_on.wait(60)
            if broken:
                self.close_connection = True
            else:
                self.wfile.write(body[half:])

        def log_message(self, *_: object) -> None:
            pass

    server = _Server((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    repository.address = f"http://{HOST}:{server.server_port}"
    try:
        yield repository
    finally:
        repository.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


def write_lock(folder: Path, *jars: Jar, server: str = SERVER) -> None:
    """A folder of locks as local/jars has them."""
    (folder / server).mkdir(parents=True, exist_ok=True)
    (folder / server / "jars.lock").write_text("".join(jar.line() + "\n" for jar in jars))
