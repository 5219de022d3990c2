"""A proxy in front of the real object store that refuses what other makers' stores refuse (case C14)."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHECKSUM_HEADERS = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm")


class RefusingProxy:
    """Listens on a free port of loopback while the `with` block runs."""

    def __init__(self, port: int) -> None:
        """`port` of the store."""
        self.fault = "none"
        self.store_port = port
        proxy = self

        class Handler(_Handler):
            of = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.release = threading.Event()
        """Set at the end, for requests that hang."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> RefusingProxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def refusal(self, request: _Handler) -> tuple[int, str] | None:
        """Status and code with which the request is refused; None when it is passed on."""
        names = [name.lower() for name in request.headers]
        is_batch = request.command == "POST" and "?delete" in request.path
        match self.fault:
            case "checksums" if any(name.startswith(CHECKSUM_HEADERS) for name in names):
                return 400, "InvalidArgument"
            case "batch_deletes" if is_batch and "content-md5" not in names:
                return 400, "MissingContentMD5"
            case "conditional_writes" if "if-none-match" in names:
                return 501, "NotImplemented"
            case "read_only" if request.command in ("PUT", "DELETE") or is_batch:
                return 403, "AccessDenied"
            case "busy":
                return 503, "SlowDown"
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: RefusingProxy

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_any(self) -> None:
        body = self._body()
        if self.of.fault == "hangs":
            self.of.release.wait(60)
            self.close_connection = True
            return
        refused = self.of.refusal(self)
        if refused is not None:
            status, code = refused
            words = f"<Error><Code>{code}</Code><Message>not here</Message></Error>".encode()
            self._answer(status, [("Content-Type", "application/xml")], words)
            return
        self._pass_on(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any  # http.server's names

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _pass_on(self, body: bytes) -> None:
        store = http.client.HTTPConnection("127.0.0.1", self.of.store_port, timeout=60)
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        dropped = ("connection", "expect", "transfer-encoding", "content-length")
        for name, value in self.headers.items():
            if name.lower() not in dropped:
                store.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            store.putheader("Content-Length", str(len(body)))
        store.endheaders(body or None)
        answer = store.getresponse()
        data = answer.read()
        store.close()
        kept = [
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server")
        ]
        if self.of.fault == "ignores_conditions" and answer.status == http.client.PRECONDITION_FAILED:
            self._answer(http.client.OK, [("ETag", '"0"')], b"")
            return
        if self.command == "GET" and answer.status == http.client.OK:
            data = _damaged(data, self.of.fault)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, kept, data, length)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _damaged(data: bytes, fault: str) -> bytes:
    if fault == "cuts":
        return data[:-1]
    if fault == "alters":
        return bytes([data[0] ^ 1]) + data[1:]
    return data
