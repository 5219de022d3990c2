"""Uploads on a real object store: by links of the store, and through the API."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import Engine, text

from cli import upload_sending
from cli.api_client import ApiClient, PieceNotTaken
from cli.errors import CommandFailed
from contract.prepared import UPLOAD_DATA, UPLOAD_READY, UploadReady, upload_prefix
from operations.upload_sweep import sweep_uploads
from runtime.object_store import ObjectStore
from tests.integration.api.conftest import Caller, CallerFactory

CLIP = b"not really a clip" * 1_000
LARGE = uuid.uuid4().bytes * (66 * 1024 * 1024 // 16)
"""More than goes in one piece."""


def created(caller: Caller, data: bytes) -> Any:
    said = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    answer = caller.http.post("/v1/uploads", json=said)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_by_a_link_of_the_store(caller: Caller, store: ObjectStore) -> None:
    detail = created(caller, CLIP)
    (piece,) = detail["pieces"]
    upload = detail["upload"]["upload"]
    assert caller.http.post(f"/v1/uploads/{upload}/complete").status_code == 409
    headers = dict(piece["headers"])
    assert (
        httpx.put(
            piece["url"], content=CLIP + b"!", headers=headers | {"Content-Length": str(len(CLIP) + 1)}
        ).status_code
        == 403
    )
    assert httpx.put(piece["url"], content=CLIP, headers=headers).status_code == 200
    assert httpx.put(piece["url"], content=bytes(len(CLIP)), headers=headers).status_code == 412
    answers = [caller.http.post(f"/v1/uploads/{upload}/complete") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    prefix = upload_prefix(caller.tenant, upload)
    ready = msgspec.json.decode(store.get(prefix + UPLOAD_READY, 1_000), type=UploadReady)
    assert ready == UploadReady(caller.tenant, upload, len(CLIP), hashlib.sha256(CLIP).hexdigest())
    assert store.get(prefix + UPLOAD_DATA, len(CLIP)) == CLIP


@pytest.mark.parametrize("through", ["links", "api"])
def test_in_parts_that_go_on_after_an_interruption(caller: Caller, store: ObjectStore, through: str) -> None:
    detail = created(caller, LARGE)
    upload = detail["upload"]["upload"]
    pieces = list(detail["pieces"])
    assert len(pieces) == 9

    def send(piece: dict[str, Any]) -> None:
        data = LARGE[piece["offset"] : piece["offset"] + piece["bytes"]]
        if through == "links":
            answer = httpx.put(str(piece["url"]), content=data, headers=piece["headers"])
        else:
            answer = caller.http.put(str(piece["data"]), content=data)
        assert answer.status_code == 200, answer.text

    for piece in pieces[4:]:
        send(piece)
    incomplete = caller.http.post(f"/v1/uploads/{upload}/complete")
    assert (incomplete.status_code, incomplete.json()["missing"]) == (409, [1, 2, 3, 4])
    left = [piece for piece in caller.http.get(f"/v1/uploads/{upload}").json()["pieces"] if not piece["arrived"]]
    assert [piece["part"] for piece in left] == [1, 2, 3, 4]
    for piece in left:
        send(piece)
    done = [caller.http.post(f"/v1/uploads/{upload}/complete", timeout=60) for _ in range(2)]
    assert [answer.status_code for answer in done] == [200, 200], done[0].text
    key = upload_prefix(caller.tenant, upload) + UPLOAD_DATA
    assert store.sha256_of(key, len(LARGE)) == hashlib.sha256(LARGE).hexdigest()


def test_a_file_that_is_sent_through_the_api_as_a_whole(caller: Caller, store: ObjectStore) -> None:
    data = LARGE[: 20 * 1024 * 1024]
    upload = created(caller, data)["upload"]["upload"]
    assert caller.http.put(f"/v1/uploads/{upload}/data", content=data, timeout=60).status_code == 200
    assert caller.http.post(f"/v1/uploads/{upload}/complete", timeout=60).json()["state"] == "ready"
    assert store.begun_parts(upload_prefix(caller.tenant, upload)) == []


def test_other_bytes_than_hashed_fail_and_leave_nothing(caller: Caller, store: ObjectStore) -> None:
    upload = created(caller, CLIP)["upload"]["upload"]
    assert caller.http.put(f"/v1/uploads/{upload}/data", content=bytes(len(CLIP))).status_code == 200
    refused = caller.http.post(f"/v1/uploads/{upload}/complete")
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:headrace:problem:upload-other-bytes")
    assert store.list(upload_prefix(caller.tenant, upload)) == []


def test_what_expires_or_is_deleted_leaves_nothing(
    caller: Caller, caller_of: CallerFactory, store: ObjectStore, engine: Engine
) -> None:
    expired, deleted, kept = (str(created(caller, data)["upload"]["upload"]) for data in (LARGE, CLIP, CLIP))
    part = caller.http.put(f"/v1/uploads/{expired}/data?part=9", content=LARGE[64 * 1024 * 1024 :])
    assert part.status_code == 200, part.text
    for upload in (deleted, kept):
        caller.http.put(f"/v1/uploads/{upload}/data", content=CLIP)
    assert caller_of().http.delete(f"/v1/uploads/{deleted}").status_code == 404
    assert caller.http.delete(f"/v1/uploads/{deleted}").json()["state"] == "deleted"
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE registry.uploads SET expires_at = clock_timestamp() WHERE upload = :u"), {"u": expired}
        )
    sweep_uploads(engine, store)
    gone = caller.http.get(f"/v1/uploads/{expired}").json()["upload"]
    assert (gone["state"], gone["reason"]) == ("deleted", "expired")
    prefix = upload_prefix(caller.tenant, "")[:-1]
    assert (store.list(prefix), store.begun_parts(prefix)) == ([f"{upload_prefix(caller.tenant, kept)}data"], [])


def test_the_command_brings_a_file_and_goes_on_after_an_interruption(
    caller: Caller, base_url: str, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_sending, "REST_S", 0.0)
    file = tmp_path / "clip.mp4"
    file.write_bytes(LARGE)
    with ApiClient(base_url, caller.secret) as client:
        put, sent, tries = client.put_piece, list[int](), 5

        def cut(piece: Any, blocks: Any) -> None:
            nonlocal tries
            sent.append(piece["part"])
            tries -= 1
            if tries < 0:
                raise PieceNotTaken("cut", 400)
            put(piece, blocks)

        monkeypatch.setattr(client, "put_piece", cut)
        with pytest.raises(CommandFailed, match="cut; run this again"):
            upload_sending.bring(client, file)
        tries = 10
        done = upload_sending.bring(client, file)
        assert sent == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9]
        assert upload_sending.bring(client, file) == done
        assert len(sent) == 10
    key = upload_prefix(caller.tenant, done["upload"]) + UPLOAD_DATA
    assert store.sha256_of(key, len(LARGE)) == hashlib.sha256(LARGE).hexdigest()
