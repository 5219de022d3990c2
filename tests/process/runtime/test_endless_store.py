"""An object store that sends without end, or other than it was asked for: every read stops and says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from runtime import object_store
from runtime.object_store import PART_BYTES, ObjectStore, OtherSize
from runtime.settings import Settings

PIECE = bytes(64 * 1024)
ON_THE_WAY = 32 * 1024 * 1024
"""More than sockets and the client hold of what nobody has read."""


class Endless(ThreadingHTTPServer):
    """`…/breaks` has zeros. `…/chunked` has no length, `…/long` claims one of a TiB, `…/short` has three bytes. A
    listing has no end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.sent = 0
        self.begun: list[str] = []
        """Ranges of `…/breaks`, of which each breaks off in the middle when it is first asked for."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "list-type" in self.path:
            return self._list()
        is_part = "Range" in self.headers
        if self.path.endswith("/breaks"):
            return self._break()
        if self.path.endswith("/short") and is_part and not self.headers["Range"].startswith("bytes=0-"):
            return self._answer(416, b"<Error><Code>InvalidRange</Code></Error>")
        if self.path.endswith("/short"):
            return self._answer(206 if is_part else 200, b"abc")
        chunked = self.path.endswith("/chunked")
        self.send_response(206 if is_part else 200)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(2**40))))
        self.end_headers()
        piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
        try:
            while True:
                self.wfile.write(piece)
                cast(Endless, self.server).sent += len(PIECE)
        except OSError:
            self.close_connection = True
        return None

    def _break(self) -> None:
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        whole, server = bytes(int(last) - int(first) + 1), cast(Endless, self.server)
        self.send_response(206)
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        server.begun.append(first)
        self.wfile.write(whole if server.begun.count(first) > 1 else whole[: len(whole) // 2])
        self.close_connection = True

    def _list(self) -> None:
        keys = b"".join(b"<Contents><Key>%d</Key></Contents>" % number for number in range(1000))
        more = b"<IsTruncated>true</IsTruncated><NextContinuationToken>x%d</NextContinuationToken>"
        server = cast(Endless, self.server)
        server.sent += 1
        self._answer(200, b"<ListBucketResult>" + more % server.sent + keys + b"</ListBucketResult>")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Endless]:
    with Endless() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def store(server: Endless) -> ObjectStore:
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    return ObjectStore(Settings(s3_endpoint=endpoint, s3_access_key="k", s3_secret_key="s"), tries=1)


@pytest.mark.parametrize("key", ["chunked", "long"])
def test_an_object_without_end_is_refused_in_a_sentence(server: Endless, store: ObjectStore, key: str) -> None:
    with pytest.raises(OtherSize, match=f"expected at most 100000 bytes at {key} in the object store, found more"):
        store.get(key, 100_000)
    assert server.sent < ON_THE_WAY


@pytest.mark.parametrize("key", ["chunked", "long"])
@pytest.mark.parametrize("size", [0, 100_000, 2 * PART_BYTES + 3])
def test_a_file_without_end_is_refused_and_fills_no_disk(
    server: Endless, store: ObjectStore, tmp_path: Path, key: str, size: int
) -> None:
    with pytest.raises(OtherSize, match="found more"):
        store.get_file(key, tmp_path / "file", size)
    assert (tmp_path / "file").stat().st_size <= size
    assert server.sent < 3 * ON_THE_WAY


@pytest.mark.parametrize("size", [4, 2 * PART_BYTES])
def test_a_file_that_is_shorter_than_it_was_is_refused(store: ObjectStore, tmp_path: Path, size: int) -> None:
    with pytest.raises(OtherSize, match="found fewer"):
        store.get_file("short", tmp_path / "file", size)


def test_a_part_that_breaks_off_is_asked_for_again(server: Endless, store: ObjectStore, tmp_path: Path) -> None:
    size = 2 * PART_BYTES + 300_000
    store.get_file("breaks", tmp_path / "file", size)
    assert (tmp_path / "file").read_bytes() == bytes(size)
    assert len(server.begun) == 6, "each part twice"


def test_after_a_fault_no_other_part_is_begun(server: Endless, store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(OtherSize, match="found more"):
        store.get_file("long", tmp_path / "file", 100 * PART_BYTES)
    assert server.sent < 8 * PART_BYTES + 3 * ON_THE_WAY


def test_a_listing_without_end_is_refused(server: Endless, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "LISTED_MAX", 2_500)
    with pytest.raises(OtherSize, match="expected at most 2500 keys"):
        store.list("snapshots/")
    assert server.sent == 3
