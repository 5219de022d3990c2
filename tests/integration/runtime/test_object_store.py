"""runtime.object_store against a real S3 server, and against one that refuses what other makers' stores refuse."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from local.ports import free_port
from local.services import Services
from runtime.object_parts import ONCE
from runtime.object_store import ObjectStore
from runtime.object_store_health import what_it_supports
from tests.integration.runtime.refusing_proxy import RefusingProxy
from tests.twin.object_store_conformance import Faulty, FaultyStoreConformance, ObjectStoreConformance


class TestS3(ObjectStoreConformance):
    @pytest.fixture
    def store(self, services: Services) -> ObjectStore:
        return ObjectStore(services.settings)


class FaultyS3(Faulty):
    """The real store behind a proxy."""

    def __init__(self, services: Services, proxy: RefusingProxy) -> None:
        self.settings, self.proxy = services.settings, proxy

    def __call__(self, fault: str, *, checksums: bool = True) -> ObjectStore:
        self.proxy.fault = fault
        endpoint = f"http://127.0.0.1:{free_port()}" if fault == "away" else self.proxy.endpoint
        kind = "when_supported" if checksums else "when_required"
        changes = {"s3_endpoint": endpoint, "s3_checksums": kind}
        return ObjectStore(self.settings.model_copy(update=changes), read_timeout_s=0.3, tries=1)


@pytest.fixture
def refusing(services: Services) -> Iterator[FaultyS3]:
    with RefusingProxy(services.s3.port) as proxy:
        yield FaultyS3(services, proxy)


class TestFaultyS3(FaultyStoreConformance):
    @pytest.fixture
    def faulty(self, refusing: FaultyS3) -> Faulty:
        return refusing


def test_a_presigned_link_needs_no_credentials_and_names_the_file(services: Services) -> None:
    store, prefix = ObjectStore(services.settings), f"test/{uuid.uuid4().hex}/"
    store.put(prefix + "clip", b"bytes", content_type="video/mp4")
    answer = httpx.get(store.presign(prefix + "clip", 60, 'a "red" ball.mp4'))
    assert answer.status_code == 200
    assert answer.content == b"bytes"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == 'attachment; filename="a _red_ ball.mp4"'
    unsigned = store.presign(prefix + "clip", 60, "x").partition("?")[0]
    assert httpx.get(unsigned).status_code in (400, 403)


class TestLinksToWrite:
    """Whoever has one writes what it names, once, with so many bytes, and nothing else."""

    def test_an_object_is_written_once_with_its_length(self, services: Services) -> None:
        store, key = ObjectStore(services.settings), f"test/{uuid.uuid4().hex}/clip"
        link = store.presign_put(key, 5, 60)
        for body, headers in ((b"clip", ONCE), (b"clips!", ONCE), (b"clips", {})):
            assert httpx.put(link, content=body, headers=headers).status_code == 403
        assert not store.exists(key)
        assert httpx.put(link, content=b"clips", headers=ONCE).status_code == 200
        assert httpx.put(link, content=b"other", headers=ONCE).status_code == 412
        assert store.get(key, 5) == b"clips"

    def test_a_part_is_written_with_its_length(self, services: Services) -> None:
        store, key = ObjectStore(services.settings), f"test/{uuid.uuid4().hex}/clip"
        parts = store.begin_parts(key)
        link = store.presign_part(key, parts, 1, 5, 60)
        assert httpx.put(link, content=b"clip").status_code == 403
        assert httpx.put(link, content=b"other").status_code == 200
        assert httpx.put(link, content=b"clips").status_code == 200, "again, after an interruption"
        assert httpx.put(link.replace("partNumber=1", "partNumber=2"), content=b"clips").status_code == 403
        store.join_parts(key, parts, store.arrived_parts(key, parts))
        assert store.get(key, 5) == b"clips"


@pytest.mark.parametrize(
    ("fault", "bad", "words"),
    [
        ("none", [], "the first writer of a key wins"),
        ("checksums", ["writes and reads"], "set HEADRACE_S3_CHECKSUMS=when_required"),
        ("conditional_writes", ["conditional writes"], "Point HEADRACE_S3_ENDPOINT at a store"),
        ("ignores_conditions", ["conditional writes"], "Point HEADRACE_S3_ENDPOINT at a store"),
        ("batch_deletes", [], "HEADRACE_S3_BATCH_DELETES=false"),
        ("read_only", ["object store"], "answered 403 AccessDenied to PutObject"),
    ],
)
def test_doctor_tries_what_a_store_can_do_and_names_the_setting(
    refusing: FaultyS3, fault: str, bad: list[str], words: str
) -> None:
    refusing.proxy.fault = fault
    settings = refusing.settings.model_copy(update={"s3_endpoint": refusing.proxy.endpoint})
    found = what_it_supports(settings)
    assert [one.what.removeprefix("object store: ") for one in found if not one.good] == bad
    assert words in " ".join(f"{one.found} {one.todo}" for one in found)
