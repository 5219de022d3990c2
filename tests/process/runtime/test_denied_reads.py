"""A store whose login may list a prefix only: it answers 403, not 404, to who asks for an object that is not there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.object_store import Missing, ObjectStore, StoreRefuses
from runtime.settings import Settings

DENIED = b"<Error><Code>AccessDenied</Code></Error>"


class Denying(BaseHTTPRequestHandler):
    """Denies every object. `blobs/there` is listed, and nothing else below `blobs/`; `results/` may not be listed."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        prefix = query.get("prefix", [""])[0]
        if "list-type" not in query or not prefix.startswith("blobs/"):
            return self._answer(403, DENIED)
        there = b"<Contents><Key>blobs/there</Key></Contents>" if "blobs/there".startswith(prefix) else b""
        return self._answer(200, b"<ListBucketResult>" + there + b"</ListBucketResult>")

    def do_HEAD(self) -> None:
        self._answer(403, b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code></Error></DeleteResult>")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Denying) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        yield ObjectStore(Settings(s3_endpoint=endpoint, s3_access_key="k", s3_secret_key="s"), tries=1)
        server.shutdown()


def test_what_a_listing_does_not_show_is_missing_and_what_it_shows_is_refused(store: ObjectStore) -> None:
    with pytest.raises(Missing):
        store.get("blobs/none", 10)
    assert not store.exists("blobs/none")
    for key in ("blobs/there", "results/none"):
        with pytest.raises(StoreRefuses, match="403"):
            store.get(key, 10)
        with pytest.raises(StoreRefuses, match="403"):
            store.exists(key)


def test_a_batch_that_may_not_be_deleted_is_refused_and_no_outage(store: ObjectStore) -> None:
    with pytest.raises(StoreRefuses, match="403 AccessDenied to DeleteObjects"):
        store.delete(["k"])
    assert store.deletes_batches
