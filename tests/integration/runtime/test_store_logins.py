"""The logins of the embedded S3 server: each reaches the names of its role and no others, however it writes them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from contract.seals import SnapshotSeals
from local.s3_server import OWNER, PREFIXES_OF, login_in
from local.services import Services
from runtime.object_parts import ONCE
from runtime.object_store import PART_BYTES, ObjectStore, StoreRefuses
from runtime.object_store_health import ask
from runtime.roles import Role
from runtime.store_rights import PREFIXES, RIGHTS, Right, try_rights
from scheduling import snapshot
from scheduling.state.pool import initial_state
from streams.ledger.snapshots import newest_stored, save
from tests.twin.signing import KEY

GOES_AROUND = ("blobs/../{}", "blobs/./../{}", "blobs//../{}", "results/x\n/../../{}", "/{}", "./{}", "{}/", "{}/.")


@pytest.fixture
def owner(services: Services) -> ObjectStore:
    return ObjectStore(services.settings)


def login(services: Services, role: str) -> ObjectStore:
    keys = services.s3.logins[role]
    changes = {"s3_access_key": keys.access_key, "s3_secret_key": keys.secret_key}
    return ObjectStore(services.settings.model_copy(update=changes))


def refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (StoreRefuses, ClientError):
        return True
    return False


@pytest.mark.parametrize("role", PREFIXES_OF)
def test_a_login_does_what_its_role_needs_and_reaches_no_other_prefix(role: str, services: Services) -> None:
    for found in try_rights(login(services, role), role):
        if found.right is not Right.LIST:
            assert found.found == (found.prefix in PREFIXES_OF[role]), found
        assert found.found or not found.expected, found


def test_the_api_gives_links_and_takes_parts_below_uploads_and_nowhere_else(
    services: Services, owner: ObjectStore
) -> None:
    api = login(services, Role.API)
    prefix = f"uploads/acme/{uuid.uuid4().hex}/"
    link = api.presign_put(prefix + "data", 4, 60)
    assert httpx.put(link, content=b"clip", headers=ONCE).status_code == 200
    assert owner.get(prefix + "data", 4) == b"clip"
    parts = api.begin_parts(prefix + "large")
    assert httpx.put(api.presign_part(prefix + "large", parts, 1, 4, 60), content=b"part").status_code == 200
    assert (api.begun_parts(prefix), list(api.arrived_parts(prefix + "large", parts))) == (
        [(prefix + "large", parts)],
        [1],
    )
    api.abort_parts(prefix + "large", parts)
    assert api.delete_prefix(prefix) == 1
    for key in (f"positions/{uuid.uuid4().hex}", f"uploads/../positions/{uuid.uuid4().hex}"):
        elsewhere = api.presign_put(key, 4, 60)
        assert httpx.put(elsewhere, content=b"clip", headers=ONCE).status_code in (400, 403)
    assert httpx.put(link.replace("/uploads/", "/positions/"), content=b"clip", headers=ONCE).status_code in (400, 403)


@pytest.mark.parametrize("form", ["{}", *GOES_AROUND])
def test_a_node_reaches_no_snapshot_under_any_name(form: str, services: Services, owner: ObjectStore) -> None:
    key = f"snapshots/{uuid.uuid4().hex}"
    owner.put(key, b"true")
    node, name = login(services, Role.NODE), form.format(key)
    copied = {"Bucket": node.bucket, "Key": name, "CopySource": f"{node.bucket}/blobs/none"}
    for call in (
        lambda: node.get(name, 10),
        lambda: node.put(name, b"false"),
        lambda: node._delete_one(name),
        lambda: node._delete_batch([name]),
        lambda: node._client.copy_object(**copied),
        lambda: node._client.copy_object(**copied | {"Key": "results/x", "CopySource": f"{node.bucket}/{name}"}),
        lambda: node.put_stream(name, BytesIO(b"false" * PART_BYTES)),
    ):
        assert refused(call)
    assert httpx.get(node.presign(name, 60, "x"), trust_env=False).status_code in (400, 403)
    assert owner.get(key, 10) == b"true"


def test_a_login_stores_and_reads_files_in_parts(services: Services, owner: ObjectStore, tmp_path: Path) -> None:
    node, key = login(services, Role.NODE), f"results/{uuid.uuid4().hex}/a.mp4"
    (tmp_path / "a.mp4").write_bytes(b"z" * (PART_BYTES + 1))
    node.put_file(key, tmp_path / "a.mp4")
    with (tmp_path / "a.mp4").open("rb") as file:
        node.put_stream(key + "2", file)
    login(services, Role.API).get_file(key, tmp_path / "back", PART_BYTES + 1)
    assert (tmp_path / "back").stat().st_size == PART_BYTES + 1
    assert owner.list(key) == [key, key + "2"], "and nothing of the parts is left"


def test_each_process_does_its_work(services: Services) -> None:
    pool = f"p{uuid.uuid4().hex[:8]}"
    scheduler, api = login(services, Role.SCHEDULER), login(services, Role.API)
    for number in range(5):
        data = snapshot.encode(initial_state(pool))
        save(scheduler, SnapshotSeals([KEY]), pool, number, 1_790_000_000_000 + number, data)
    assert newest_stored(scheduler, SnapshotSeals([KEY]), pool) is not None
    assert len(api.list(f"snapshots/{pool}/")) == 3
    assert api.bucket_exists()
    ask(api, "api")


def test_what_a_login_makes_public_nobody_reads_without_a_login(services: Services, owner: ObjectStore) -> None:
    node, keys = login(services, Role.NODE), [f"{prefix}{uuid.uuid4().hex}" for prefix in ("results/", "snapshots/")]
    node._client.put_bucket_acl(Bucket=node.bucket, ACL="public-read")
    try:
        for key in keys:
            owner.put(key, b"words")
            owner._client.put_object_acl(Bucket=owner.bucket, Key=key, ACL="public-read")
            unsigned = owner.presign(key, 60, "x").partition("?")[0]
            assert httpx.get(unsigned, trust_env=False).status_code in (400, 403)
    finally:
        owner._client.put_bucket_acl(Bucket=owner.bucket, ACL="private")


def test_another_secret_is_refused_and_the_secrets_differ(services: Services) -> None:
    logins = services.s3.logins
    assert len({keys.secret_key for keys in logins.values()}) == len(logins) == len(PREFIXES_OF) + 2
    changes = {"s3_access_key": logins[OWNER].access_key, "s3_secret_key": logins[Role.NODE].secret_key}
    wrong = ObjectStore(services.settings.model_copy(update=changes))
    assert refused(lambda: wrong.list(""))
    assert login_in(services.data / "s3", Role.NODE) == logins[Role.NODE]


def test_every_prefix_is_somebodys() -> None:
    assert {prefix for prefixes in PREFIXES_OF.values() for prefix in prefixes} <= set(PREFIXES)
    assert set(PREFIXES_OF) <= set(RIGHTS)
