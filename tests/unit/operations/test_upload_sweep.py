"""What uploads left in the store goes, and nothing else; the table says what ended."""

from __future__ import annotations

from typing import Any

import pytest

from contract.prepared import UPLOAD_DATA, upload_prefix
from operations.upload_sweep import UploadsSwept, sweep_uploads
from registry.uploads import LINK_S, STRAY_S, SWEPT_AT_ONCE, Upload, UploadQuota, UploadState
from runtime.object_store import StoreAway
from tests.twin.object_store import TwinObjectStore
from tests.twin.uploads import TwinUploads

KEPT_S = 86_400
QUOTA = UploadQuota(10_000, 10**12)


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table, self.store = TwinUploads(), TwinObjectStore()
        for name in ("expire", "to_empty", "gone", "note_emptied", "forget"):
            monkeypatch.setattr(f"registry.uploads.{name}", self._called(name))

    def _called(self, name: str) -> Any:
        return lambda connection, *given: getattr(self.table, name)(*given)

    def create(self, tenant: str = "acme") -> Upload:
        row = self.table.create(tenant, 4, "", KEPT_S, QUOTA)
        self.store.place(self.data_of(row), b"clip")
        return row

    def data_of(self, row: Upload) -> str:
        return upload_prefix(row.tenant, row.upload) + UPLOAD_DATA

    def sweep(self) -> UploadsSwept:
        engine: Any = self.table
        return sweep_uploads(engine, self.store)

    def pass_s(self, seconds: float) -> None:
        self.table.now_ms += round(seconds * 1000)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_what_is_pending_or_ready_stays_until_its_time_is_over(scene: Scene) -> None:
    pending, ready, named = scene.create(), scene.create(), scene.create()
    for row in (ready, named):
        scene.table.make_ready("acme", row.upload, "", KEPT_S)
    stranger = "uploads/acme/u-" + "f" * 32 + "/data"
    scene.store.place(stranger, b"of nobody whom the table knows")
    assert scene.sweep() == (0, 0, 0)
    scene.pass_s(KEPT_S / 2)
    assert scene.table.name("acme", [named.upload], KEPT_S) == {named.upload: 4}
    scene.pass_s(KEPT_S / 2)
    assert scene.sweep() == (2, 2, 0)
    assert scene.store.list("") == sorted([stranger, scene.data_of(named)])
    assert scene.table.rows[pending.upload].reason == "expired"


def test_what_a_link_sends_after_the_end_goes_before_the_row(scene: Scene) -> None:
    row = scene.create()
    scene.table.end("acme", row.upload, UploadState.DELETED, "")
    assert scene.sweep() == (0, 1, 0)
    scene.pass_s(LINK_S)
    scene.store.place(scene.data_of(row), b"late")
    assert scene.sweep() == (0, 0, 0)
    scene.pass_s(STRAY_S - LINK_S)
    assert scene.sweep() == (0, 0, 1)
    assert (scene.store.objects, scene.table.table) == ({}, {})


def test_a_failed_one_is_shown_until_its_time_is_over(scene: Scene) -> None:
    row = scene.create()
    scene.table.end("acme", row.upload, UploadState.FAILED, "expected others")
    assert scene.sweep() == (0, 1, 0)
    scene.pass_s(KEPT_S - 1)
    assert scene.sweep() == (0, 0, 0)
    scene.pass_s(1)
    assert scene.sweep() == (0, 0, 1)


def test_parts_that_were_never_joined_go(scene: Scene) -> None:
    row = scene.create()
    kept = scene.create("other")
    for each in (row, kept):
        scene.store.put_part(scene.data_of(each), scene.store.begin_parts(scene.data_of(each)), 1, b"part")
    scene.table.end("acme", row.upload, UploadState.DELETED, "")
    scene.sweep()
    assert [key for key, _ in scene.store.begun_parts("")] == [scene.data_of(kept)]


def test_while_the_store_is_away_nothing_is_noted_and_the_next_sweep_goes_on(scene: Scene) -> None:
    rows = [scene.create() for _ in range(3)]
    scene.pass_s(KEPT_S)
    with scene.store.faulty(away=True), pytest.raises(StoreAway):
        scene.sweep()
    assert [row.is_emptied for row in scene.table.table.values()] == [False] * 3
    assert scene.sweep() == (0, 3, 0)
    assert scene.store.objects == {}
    assert len(rows) == 3


def test_many_go_in_one_sweep(scene: Scene) -> None:
    for _ in range(SWEPT_AT_ONCE + 1):
        scene.create()
    scene.pass_s(KEPT_S)
    assert scene.sweep() == (SWEPT_AT_ONCE + 1, SWEPT_AT_ONCE + 1, 0)
