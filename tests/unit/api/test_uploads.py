"""Uploads over HTTP, in memory: what arrives, what is looked at, and what is said when it is not what was said."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import msgspec
import pytest

from api import upload_bytes
from contract.media import BYTES_MAX
from contract.prepared import UPLOAD_DATA, UPLOAD_READY, UploadReady, upload_prefix
from registry.uploads import ROWS_PER_PLACE, UploadState
from runtime.object_parts import ONCE
from tests.twin.object_store import TwinObjectStore
from tests.twin.uploads import TwinUploads
from tests.unit.api.served import ServedApi

CLIP = b"a clip"
SHA256 = hashlib.sha256(CLIP).hexdigest()
SMALL = 4
"""Bytes of a part, so that tests need no large files."""


class Scene:
    def __init__(self, **settings: Any) -> None:
        self.table, self.store = TwinUploads(), TwinObjectStore()
        self.api = ServedApi(reads=self.table.functions, store=self.store, **settings)

    def create(self, size: int = len(CLIP), sha256: str = "", tenant: str = "acme") -> dict[str, Any]:
        answer = self.api.request("POST", "/v1/uploads", json={"bytes": size, "sha256": sha256}, tenant=tenant)
        assert answer.status_code == 201, answer.text
        detail: dict[str, Any] = answer.json()
        assert answer.headers["Location"] == f"uploads/{detail['upload']['upload']}"
        return detail

    def created(self, size: int = len(CLIP), sha256: str = "") -> str:
        return str(self.create(size, sha256)["upload"]["upload"])

    def send(self, upload: str, data: bytes = CLIP, part: str = "") -> httpx.Response:
        return self.api.request("PUT", f"/v1/uploads/{upload}/data{part and f'?part={part}'}", content=data)

    def complete(self, upload: str) -> httpx.Response:
        return self.api.request("POST", f"/v1/uploads/{upload}/complete")

    def get(self, upload: str) -> dict[str, Any]:
        answer = self.api.request("GET", f"/v1/uploads/{upload}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def arrived(self, upload: str) -> list[bool]:
        return [piece["arrived"] for piece in self.get(upload)["pieces"]]

    def state(self, upload: str) -> str:
        return str(self.get(upload)["upload"]["state"])

    def write(self, upload: str, data: bytes) -> None:
        """As somebody with a link does."""
        self.store.place(upload_prefix("acme", upload) + UPLOAD_DATA, data)

    def objects(self, upload: str) -> dict[str, bytes]:
        prefix = upload_prefix("acme", upload)
        return {key.removeprefix(prefix): data for key, data in self.store.objects.items() if key.startswith(prefix)}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Files of more than SMALL bytes come in parts of so many."""
    monkeypatch.setattr("api.uploads.WHOLE_BYTES_MAX", SMALL)
    monkeypatch.setattr("api.uploads.PART_BYTES", SMALL)
    return Scene()


def problem(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:headrace:problem:{code}"), answer.text
    return str(answer.json()["detail"])


class TestOnePiece:
    def test_it_is_ready_when_its_bytes_were_looked_at(self, scene: Scene) -> None:
        detail = scene.create(sha256=SHA256)
        upload = detail["upload"]["upload"]
        assert (detail["upload"]["state"], detail["upload"]["name"]) == ("pending", f"upload:{upload}")
        (piece,) = detail["pieces"]
        assert (piece["part"], piece["offset"], piece["bytes"], piece["arrived"]) == (1, 0, len(CLIP), False)
        assert piece["headers"] == {"Content-Length": str(len(CLIP))} | ONCE
        assert f"/{upload}/data?" in piece["url"]
        assert f"bytes={len(CLIP)}" in piece["url"]
        scene.write(upload, CLIP)
        assert scene.arrived(upload) == [True]
        done = scene.complete(upload).json()
        assert (done["state"], done["bytes"], done["sha256"]) == ("ready", len(CLIP), SHA256)
        assert msgspec.json.decode(scene.objects(upload)[UPLOAD_READY], type=UploadReady) == UploadReady(
            "acme", upload, len(CLIP), SHA256
        )
        assert scene.get(upload)["pieces"] == []

    def test_completed_twice_is_ready_once(self, scene: Scene) -> None:
        upload = scene.created()
        scene.send(upload)
        first, second = scene.complete(upload), scene.complete(upload)
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json() == second.json()

    def test_completed_before_its_bytes_came_waits_for_them(self, scene: Scene) -> None:
        upload = scene.created()
        answer = scene.complete(upload)
        problem(answer, 409, "upload-incomplete")
        assert answer.json()["missing"] == [1]
        assert scene.state(upload) == "pending"
        assert UPLOAD_READY not in scene.objects(upload)
        scene.send(upload)
        assert scene.complete(upload).status_code == 200

    @pytest.mark.parametrize("data", [b"o clip", b"a cli", b"a clip!", b""])
    def test_other_bytes_than_were_said_never_become_ready(self, scene: Scene, data: bytes) -> None:
        upload = scene.created(sha256=SHA256)
        scene.write(upload, data)
        said = problem(scene.complete(upload), 422, "upload-other-bytes")
        assert said.startswith("expected ")
        assert scene.state(upload) == "failed"
        assert scene.get(upload)["upload"]["reason"] in said
        assert UPLOAD_READY not in scene.objects(upload)
        scene.write(upload, CLIP)
        assert "failed (expected" in problem(scene.complete(upload), 409, "upload-not-pending")

    def test_without_a_hash_only_the_length_counts(self, scene: Scene) -> None:
        upload = scene.created()
        scene.write(upload, b"o clip")
        assert scene.complete(upload).json()["sha256"] == ""
        other = scene.created()
        scene.write(other, b"more than a clip")
        problem(scene.complete(other), 422, "upload-other-bytes")

    def test_bytes_that_arrived_are_not_exchanged(self, scene: Scene) -> None:
        upload = scene.created()
        assert scene.send(upload).status_code == 200
        problem(scene.send(upload, b"o clip"), 409, "upload-has-data")
        assert scene.objects(upload)[UPLOAD_DATA] == CLIP
        scene.complete(upload)
        problem(scene.send(upload, b"o clip"), 409, "upload-not-pending")

    def test_a_private_store_gives_no_links(self) -> None:
        scene = Scene(upload_links=False)
        (piece,) = scene.create()["pieces"]
        assert (piece["url"], piece["headers"]) == ("", {})
        assert scene.api.request("PUT", piece["data"], content=CLIP).status_code == 200


class TestThroughTheApi:
    @pytest.mark.parametrize("data", [b"", b"a cli", b"a clip!"])
    def test_a_body_of_another_length_leaves_nothing(self, scene: Scene, data: bytes) -> None:
        upload = scene.created()
        problem(scene.send(upload, data), 422, "other-length")
        assert scene.objects(upload) == {}

    @pytest.mark.parametrize("data", [[b"a ", b"cl"], [b"a clip", b"!"]])
    def test_bytes_are_counted_whatever_is_claimed(self, scene: Scene, data: list[bytes]) -> None:
        async def pieces() -> Any:
            for piece in data:
                yield piece

        upload = scene.created()
        problem(scene.api.request("PUT", f"/v1/uploads/{upload}/data", content=pieces()), 422, "other-length")
        assert scene.objects(upload) == {}

    def test_a_large_piece_goes_to_the_store_in_blocks(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.uploads.PART_BYTES", SMALL)
        upload = scene.created(10)
        assert scene.send(upload, b"0123456789").status_code == 200
        assert scene.objects(upload) == {UPLOAD_DATA: b"0123456789"}
        assert [asked for asked, _ in scene.store.requests if asked == "UploadPart"] == ["UploadPart"] * 3
        problem(scene.send(upload, b"9876543210"), 409, "upload-has-data")

    def test_of_a_large_piece_that_was_cut_off_nothing_stays(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.uploads.PART_BYTES", SMALL)

        async def cut_off() -> Any:
            yield b"01234567"

        upload = scene.created(10)
        problem(scene.api.request("PUT", f"/v1/uploads/{upload}/data", content=cut_off()), 422, "other-length")
        assert (scene.objects(upload), scene.store.begun_parts("")) == ({}, [])

    def test_a_tenant_sends_few_pieces_at_once_and_all_together_no_more_than_fit(self, scene: Scene) -> None:
        upload = scene.created()
        scene.api.resources.senders._each_max = 0
        problem(scene.send(upload), 429, "too-many-requests")
        scene.api.resources.senders._each_max, scene.api.resources.all_senders._each_max = 1, 0
        problem(scene.send(upload), 503, "busy")
        scene.api.resources.all_senders._each_max = 1
        assert scene.send(upload).status_code == 200
        assert scene.send(scene.created()).status_code == 200, "a turn that ended is given back"


class TestParts:
    def test_they_come_in_any_order_and_again(self, parts: Scene) -> None:
        detail = parts.create(10)
        upload = detail["upload"]["upload"]
        assert [(piece["part"], piece["offset"], piece["bytes"]) for piece in detail["pieces"]] == [
            (1, 0, 4),
            (2, 4, 4),
            (3, 8, 2),
        ]
        assert [piece["headers"] for piece in detail["pieces"]] == [{"Content-Length": n} for n in ("4", "4", "2")]
        assert parts.send(upload, b"89", "3").status_code == 200
        assert parts.send(upload, b"lost", "1").status_code == 200
        assert parts.arrived(upload) == [True, False, True], "so an interrupted client knows how to go on"
        answer = parts.complete(upload)
        problem(answer, 409, "upload-incomplete")
        assert answer.json()["missing"] == [2]
        parts.send(upload, b"0123", "1")
        parts.send(upload, b"4567", "2")
        assert parts.complete(upload).status_code == 200
        assert parts.objects(upload)[UPLOAD_DATA] == b"0123456789"
        assert parts.store.begun_parts("") == []

    def test_the_file_as_a_whole_is_its_parts_one_after_the_other(self, parts: Scene) -> None:
        upload = parts.created(10)
        assert parts.send(upload, b"0123456789").status_code == 200
        assert parts.complete(upload).status_code == 200
        assert parts.objects(upload)[UPLOAD_DATA] == b"0123456789"

    def test_what_has_come_whole_stays_when_the_rest_does_not(self, parts: Scene) -> None:
        async def cut_off() -> Any:
            yield b"01234567"

        upload = parts.created(10)
        problem(parts.api.request("PUT", f"/v1/uploads/{upload}/data", content=cut_off()), 422, "other-length")
        assert parts.arrived(upload) == [True, True, False]

    @pytest.mark.parametrize("part", ["0", "4", "x", "-1"])
    def test_there_are_no_others(self, parts: Scene, part: str) -> None:
        assert "expected 1 to 3" in problem(parts.send(parts.created(10), b"0123", part), 422, "parameter-invalid")

    def test_a_part_of_another_size_has_not_arrived(self, parts: Scene) -> None:
        upload = parts.created(10)
        (key, begun) = parts.store.begun_parts("")[0]
        parts.store.put_part(key, begun, 1, b"012")
        assert parts.arrived(upload) == [False, False, False]

    def test_two_that_complete_at_once_are_both_answered(self, parts: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        upload = parts.created(10)
        parts.send(upload, b"0123456789")
        join = parts.store.join_parts

        def joined_by_another_first(*arguments: Any) -> None:
            join(*arguments)
            join(*arguments)

        monkeypatch.setattr(parts.store, "join_parts", joined_by_another_first)
        assert parts.complete(upload).status_code == 200
        assert parts.objects(upload)[UPLOAD_DATA] == b"0123456789"

    def test_an_upload_whose_object_is_there_is_never_joined_again(
        self, parts: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Some stores would make an empty object of it."""
        upload = parts.created(10)
        parts.send(upload, b"0123456789")
        row = parts.table.rows[upload]
        upload_bytes.joined(parts.store, row)
        monkeypatch.setattr(parts.store, "arrived_parts", lambda *_: {})
        monkeypatch.setattr(parts.store, "join_parts", lambda *_: pytest.fail("joined again"))
        upload_bytes.joined(parts.store, row)


class TestQuotas:
    def test_too_many_of_one_tenant_are_refused_in_a_sentence_and_harm_nobody(self) -> None:
        """The table is asked for ten thousand in tests/integration/registry."""
        scene = Scene(uploads_each_max=20)
        answers = scene.api.requests(100, "POST", "/v1/uploads", json={"bytes": 1})
        assert [answer.status_code for answer in answers].count(201) == 20
        refused = next(answer for answer in answers if answer.status_code != 201)
        assert "expected" in problem(refused, 429, "too-many-uploads")
        assert scene.create(tenant="other")["upload"]["state"] == "pending"

    def test_whoever_creates_and_deletes_without_rest_is_stopped_too(self) -> None:
        scene = Scene(uploads_each_max=2)
        for _ in range(2 * ROWS_PER_PLACE):
            scene.api.request("DELETE", f"/v1/uploads/{scene.created()}")
        problem(scene.api.request("POST", "/v1/uploads", json={"bytes": 1}), 429, "too-many-uploads")

    def test_bytes_count_as_they_were_said(self) -> None:
        scene = Scene(upload_bytes_each_max=10)
        scene.create(6)
        problem(scene.api.request("POST", "/v1/uploads", json={"bytes": 5}), 429, "too-many-uploads")
        scene.create(4)

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"bytes": 0}, f"expected 1 to {BYTES_MAX}"),
            ({"bytes": BYTES_MAX + 1}, f"expected 1 to {BYTES_MAX}"),
            ({"bytes": 1, "sha256": "A" * 64}, "expected 64 hexadecimal digits"),
            ({"bytes": 1, "sha256": "a"}, "expected 64 hexadecimal digits"),
            ({"bytes": 1, "tenant": "other"}, "unknown field"),
        ],
    )
    def test_what_no_upload_can_be_is_refused(self, scene: Scene, asked: dict[str, Any], said: str) -> None:
        assert said in problem(scene.api.request("POST", "/v1/uploads", json=asked), 422, "body-invalid")
        assert scene.table.table == {}


class TestEnds:
    def test_a_deleted_one_is_empty_and_takes_nothing(self, parts: Scene) -> None:
        upload = parts.created(10)
        parts.send(upload, b"0123", "1")
        answer = parts.api.request("DELETE", f"/v1/uploads/{upload}")
        assert (answer.status_code, answer.json()["state"]) == (200, "deleted")
        assert (parts.objects(upload), parts.store.begun_parts("")) == ({}, [])
        problem(parts.send(upload, b"0123", "1"), 409, "upload-not-pending")
        problem(parts.complete(upload), 409, "upload-not-pending")
        assert parts.api.request("DELETE", f"/v1/uploads/{upload}").json()["state"] == "deleted"

    def test_a_ready_one_that_is_deleted_leaves_nothing(self, scene: Scene) -> None:
        upload = scene.created()
        scene.send(upload)
        scene.complete(upload)
        scene.api.request("DELETE", f"/v1/uploads/{upload}")
        assert scene.objects(upload) == {}
        assert scene.table.table[upload].is_emptied
        problem(scene.send(upload), 409, "upload-not-pending")
        assert scene.objects(upload) == {}

    def test_one_that_is_deleted_while_it_is_completed_is_not_ready(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = scene.created()
        scene.send(upload)
        joined = upload_bytes.joined

        def and_deleted(*arguments: Any) -> UploadReady:
            scene.table.end("acme", upload, UploadState.DELETED, "")
            scene.table.note_emptied(upload)
            return joined(*arguments)

        monkeypatch.setattr(upload_bytes, "joined", and_deleted)
        problem(scene.complete(upload), 409, "upload-not-pending")
        assert scene.objects(upload) == {}

    def test_pages_show_each_once(self, scene: Scene) -> None:
        created = {scene.created() for _ in range(5)}
        seen: list[str] = []
        cursor = ""
        for _ in range(3):
            page = scene.api.request("GET", f"/v1/uploads?limit=2{cursor and f'&cursor={cursor}'}").json()
            seen += [row["upload"] for row in page["uploads"]]
            cursor = page["cursor"]
        assert (cursor, len(seen), set(seen)) == ("", 5, created)


class TestStoreAway:
    def test_every_step_says_so_and_can_be_done_again(self, scene: Scene) -> None:
        upload = scene.created(sha256=SHA256)
        with scene.store.faulty(away=True):
            for answer in (
                scene.api.request("POST", "/v1/uploads", json={"bytes": 1}),
                scene.api.request("GET", f"/v1/uploads/{upload}"),
                scene.send(upload),
                scene.complete(upload),
            ):
                problem(answer, 503, "store-unavailable")
                assert int(answer.headers["Retry-After"]) > 0
            assert scene.api.request("GET", "/v1/uploads").status_code == 200
        assert scene.send(upload).status_code == 200
        with scene.store.faulty(full=True):
            problem(scene.complete(upload), 503, "store-unavailable")
        assert scene.state(upload) == "pending"
        assert scene.complete(upload).status_code == 200

    def test_what_is_deleted_then_stays_for_the_sweep(self, scene: Scene) -> None:
        upload = scene.created()
        scene.send(upload)
        with scene.store.faulty(away=True):
            assert scene.api.request("DELETE", f"/v1/uploads/{upload}").json()["state"] == "deleted"
        assert scene.objects(upload) == {UPLOAD_DATA: CLIP}
        assert not scene.table.table[upload].is_emptied
