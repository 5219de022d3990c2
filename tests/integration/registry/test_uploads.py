"""The table of uploads in Postgres: whose each is, what counts for a quota, and what a sweep finds."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from registry import uploads
from registry.uploads import (
    ROWS_PER_PLACE,
    STRAY_S,
    SWEPT_AT_ONCE,
    QuotaSpent,
    Upload,
    UploadCursorInvalid,
    UploadQuota,
    UploadState,
)

KEPT_S = 3_600
QUOTA = UploadQuota(1_000, 10**9)


@pytest.fixture
def tenant() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


class Uploads:
    """Each call in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def create(self, tenant: str, bytes: int = 7, quota: UploadQuota = QUOTA, kept_s: int = KEPT_S) -> Upload:
        with self.engine.begin() as connection:
            return uploads.create(connection, tenant, bytes, "a" * 64, kept_s, quota)

    def of(self, tenant: str, upload: str) -> Upload | None:
        with self.engine.connect() as connection:
            return uploads.of(connection, tenant, upload)

    def ready(self, row: Upload, tenant: str = "", kept_s: int = KEPT_S) -> Upload | None:
        with self.engine.begin() as connection:
            return uploads.make_ready(connection, tenant or row.tenant, row.upload, row.sha256, kept_s)

    def end(self, row: Upload, state: UploadState = UploadState.DELETED, tenant: str = "") -> Upload | None:
        with self.engine.begin() as connection:
            return uploads.end(connection, tenant or row.tenant, row.upload, state, "why")

    def name(self, tenant: str, *named: str, kept_s: int = KEPT_S) -> dict[str, int]:
        with self.engine.begin() as connection:
            return uploads.name(connection, tenant, named, kept_s)

    def shift(self, row: Upload, column: str, seconds: float) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text(f"UPDATE registry.uploads SET {column} = {column} + make_interval(secs => :s) WHERE upload = :u"),
                {"s": seconds, "u": row.upload},
            )

    def found(self, which: str) -> set[str]:
        with self.engine.connect() as connection:
            return {row.upload for row in getattr(uploads, which)(connection)}

    def expire(self) -> int:
        with self.engine.begin() as connection:
            return uploads.expire(connection)


@pytest.fixture
def table(engine: Engine) -> Uploads:
    return Uploads(engine)


def test_a_new_one_is_pending_and_is_its_tenants(table: Uploads, tenant: str) -> None:
    row = table.create(tenant)
    assert uploads.is_upload(row.upload)
    assert (row.state, row.bytes, row.part_bytes, row.parts, row.sha256) == ("pending", 7, 7, "", "a" * 64)
    assert row.expires_ms - row.created_ms == pytest.approx(KEPT_S * 1000, abs=1_000)
    assert table.of(tenant, row.upload) == row
    for other in ("other", tenant + "x"):
        assert table.of(other, row.upload) is None
        assert table.ready(row, other) is None
        assert table.end(row, tenant=other) is None
        assert table.name(other, row.upload) == {}
    assert table.of(tenant, "u-" + "0" * 32) is None
    assert table.of(tenant, "'; DROP TABLE registry.uploads") is None


def test_it_is_ready_once_and_ends_once(table: Uploads, tenant: str) -> None:
    row = table.create(tenant)
    ready = table.ready(row, kept_s=2 * KEPT_S)
    assert ready is not None
    assert (ready.state, ready.expires_ms > row.expires_ms) == ("ready", True)
    assert table.ready(row) is None
    ended = table.end(row)
    assert ended is not None
    assert (ended.state, ended.reason) == ("deleted", "why")
    assert table.end(row) is None
    assert table.ready(row) is None
    failed = table.end(table.create(tenant), UploadState.FAILED)
    assert failed is not None
    assert failed.state == "failed"


def test_parts_are_noted(table: Uploads, tenant: str, engine: Engine) -> None:
    row = table.create(tenant, 10)
    with engine.begin() as connection:
        noted = uploads.note_parts(connection, tenant, row.upload, "id", 4)
    assert (noted.parts, noted.part_bytes, noted.bytes) == ("id", 4, 10)


class TestQuotas:
    def test_pending_and_ready_ones_count_and_no_others(self, table: Uploads, tenant: str) -> None:
        quota = UploadQuota(2, 10**9)
        first, second = table.create(tenant, quota=quota), table.create(tenant, quota=quota)
        table.ready(first)
        with pytest.raises(QuotaSpent, match=r"expected at most 2 uploads of yours .*, found 2; delete some"):
            table.create(tenant, quota=quota)
        table.create(tenant + "x", quota=quota)
        table.end(second)
        table.create(tenant, quota=quota)

    def test_bytes_count(self, table: Uploads, tenant: str) -> None:
        quota = UploadQuota(100, 10)
        table.create(tenant, 6, quota)
        with pytest.raises(QuotaSpent, match=r"expected at most 10 bytes .*, found 6 and these 5; delete some"):
            table.create(tenant, 5, quota)
        table.create(tenant, 4, quota)

    def test_those_that_ended_count_for_the_table(self, table: Uploads, tenant: str) -> None:
        quota = UploadQuota(1, 10**9)
        for _ in range(ROWS_PER_PLACE):
            table.end(table.create(tenant, quota=quota))
        with pytest.raises(QuotaSpent, match=rf"expected at most {ROWS_PER_PLACE} uploads .*; wait an hour"):
            table.create(tenant, quota=quota)

    @pytest.mark.long
    def test_ten_thousand_small_ones_of_one_tenant_harm_nobody(self, table: Uploads, tenant: str) -> None:
        quota, threads_each = UploadQuota(1_000, 10**9), 12

        def create(_: int) -> bool:
            try:
                return bool(table.create(tenant, 1, quota))
            except QuotaSpent:
                return False

        with ThreadPoolExecutor(threads_each) as threads:
            created = list(threads.map(create, range(10_000))).count(True)
        assert quota.uploads <= created < quota.uploads + threads_each
        assert table.create(tenant + "x", 1, quota).state == "pending"


class TestNaming:
    def test_only_what_is_ready_may_be_named_and_is_kept_on(self, table: Uploads, tenant: str) -> None:
        pending, ready, ended, over = (table.create(tenant) for _ in range(4))
        for row in (ready, ended, over):
            table.ready(row)
        table.end(ended)
        table.shift(over, "expires_at", -KEPT_S)
        named = [row.upload for row in (pending, ready, ended, over)]
        assert table.name(tenant, *named, "u-" + "0" * 32, kept_s=9 * KEPT_S) == {ready.upload: 7}
        now = table.of(tenant, ready.upload)
        assert now is not None
        assert now.expires_ms - now.created_ms > 8 * KEPT_S * 1000
        table.name(tenant, ready.upload, kept_s=60)
        assert table.of(tenant, ready.upload) == now, "naming never shortens"

    def test_states_are_those_of_the_tenant(self, table: Uploads, tenant: str, engine: Engine) -> None:
        mine, theirs = table.create(tenant), table.create(tenant + "x")
        with engine.connect() as connection:
            found = uploads.states(connection, tenant, [mine.upload, theirs.upload])
        assert found == {mine.upload: "pending"}


class TestPages:
    def test_newest_first_each_once(self, table: Uploads, tenant: str, engine: Engine) -> None:
        rows = [table.create(tenant) for _ in range(5)]
        seen: list[str] = []
        cursor = ""
        for _ in range(3):
            with engine.connect() as connection:
                page = uploads.listed(connection, tenant, 2, cursor)
            seen += [row.upload for row in page.uploads]
            cursor = page.cursor
        assert (cursor, seen) == ("", [row.upload for row in reversed(rows)])

    @pytest.mark.parametrize("cursor", ["x", "!", "MS14", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OQ"])
    def test_a_cursor_that_no_page_had_is_refused(self, table: Uploads, tenant: str, cursor: str) -> None:
        with table.engine.connect() as connection, pytest.raises(UploadCursorInvalid):
            uploads.listed(connection, tenant, 2, cursor)


class TestSweeping:
    def test_what_is_over_is_deleted_by_one_of_many_sweeps(self, table: Uploads, tenant: str) -> None:
        rows = [table.create(tenant) for _ in range(SWEPT_AT_ONCE + 3)]
        for row in rows[3:]:
            table.shift(row, "expires_at", -KEPT_S)
        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(lambda _: table.expire(), range(8))) == SWEPT_AT_ONCE
        states = [table.of(tenant, row.upload) for row in rows]
        assert [row and (row.state, row.reason) for row in states].count(("deleted", "expired")) == SWEPT_AT_ONCE

    def test_a_row_goes_when_it_was_emptied_and_no_link_works(self, table: Uploads, tenant: str) -> None:
        deleted, failed, open_ = (table.create(tenant) for _ in range(3))
        table.end(deleted)
        table.end(failed, UploadState.FAILED)
        assert table.found("to_empty") == {deleted.upload, failed.upload}
        with table.engine.begin() as connection:
            for row in (deleted, failed, open_):
                uploads.note_emptied(connection, row.upload)
        assert (table.found("to_empty"), table.found("gone")) == (set(), set())
        for row in (deleted, failed):
            table.shift(row, "ended_at", -STRAY_S)
        assert table.found("gone") == {deleted.upload}
        table.shift(failed, "expires_at", -2 * KEPT_S)
        assert table.found("gone") == {deleted.upload, failed.upload}
        with table.engine.begin() as connection:
            for row in (deleted, failed, open_):
                uploads.forget(connection, row.upload)
        assert table.of(tenant, deleted.upload) is None
        assert table.of(tenant, open_.upload) is not None, "what has not ended is never forgotten"
