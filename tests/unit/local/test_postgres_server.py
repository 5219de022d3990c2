"""Where Postgres listens, whatever the path of its data is, and how its address is written."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import MagicMock

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from local import postgres_server
from local.errors import CannotStart
from local.postgres_passwords import mark_shut
from local.postgres_server import OWN_USERS, OWNER, SOCKET_PATH_MAX, PostgresServer, own_user
from local.processes import Process


@pytest.mark.parametrize("name", ["plain", "mit ümläut", "100% + & # ? = ; :x", "日本"])
def test_the_socket_lies_beside_the_data_and_the_url_says_where(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("d") / name / "postgres"
    server = PostgresServer(data, Path("/logs"))
    assert server.socket_dir == data.with_name("postgres.socket")
    for login in ("postgres", "api"):
        url = make_url(server.url_of(login))
        assert dict(url.query) == {"host": str(server.socket_dir), "port": "5432"}
        assert (url.username, url.password) == (login, server.passwords.of(login))
    passwords = data.with_name("postgres.passwords")
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert PostgresServer(data, Path("/logs")).url == server.url, "the next start has the same"
    assert server.passwords.of("api") != server.passwords.of("postgres")


@pytest.mark.parametrize("name", ["x" * 100, "ü" * 60, "a, b", 'a "b"'])
def test_a_path_that_is_too_long_for_a_socket_or_ends_in_a_list_has_its_socket_elsewhere(name: str) -> None:
    server = PostgresServer(Path("/data") / name / "postgres", Path("/logs"))
    assert server.socket_dir.parent == Path(tempfile.gettempdir())
    assert len(os.fsencode(server.socket_dir / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_MAX
    assert server.socket_dir != PostgresServer(Path("/data") / name / "other", Path("/logs")).socket_dir


@pytest.mark.parametrize("name", ["t" * 90, "a, b"])
def test_a_temporary_directory_may_be_as_long_as_the_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", f"/{name}")
    server = PostgresServer(Path("/data") / ("x" * 100) / "postgres", Path("/logs"))
    assert server.socket_dir.parent == Path("/tmp")


def test_a_server_that_was_not_started_by_us_does_not_make_ours_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psycopg, "connect", lambda **_: MagicMock())
    server = PostgresServer(tmp_path, tmp_path / "logs")
    assert not server.ready()
    server.process = cast(Process, SimpleNamespace(pid=4711))
    assert not server.ready(), "nobody has begun there"
    mark_shut(tmp_path, server.passwords.of(OWNER), None)
    for pid, ready in (("4712", False), ("", False), ("4711", True)):
        (tmp_path / "postmaster.pid").write_text(f"{pid}\n{tmp_path}\n")
        assert server.ready() == ready


def nameless(uid: int) -> pwd.struct_passwd:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def test_a_user_without_a_name_is_lent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert postgres_server._named() == []
    monkeypatch.setattr(pwd, "getpwuid", nameless)
    lent = subprocess.CompletedProcess([], 0, "nobody\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: lent)
    assert postgres_server._named() == ["unshare", "--user", "--map-user=65534"]


def test_where_none_can_be_lent_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", nameless)
    refused = subprocess.CompletedProcess([], 1, "", "unshare: unshare failed: Operation not permitted\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(
        CannotStart, match=r"a name for user .*Operation not permitted\)\. Add this user to /etc/passwd"
    ):
        postgres_server._named()


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids that are named or run something."""
    taken = [0, 65_534]
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_uid=uid, pw_name=f"u{uid}") for uid in taken[:2]])
    running = lambda: [SimpleNamespace(uids=lambda uid=uid: (uid, uid, uid)) for uid in taken]  # noqa: E731
    monkeypatch.setattr(psutil, "process_iter", running)
    monkeypatch.setattr(postgres_server, "_is_mapped", lambda uid: True)
    return taken


def test_root_runs_it_as_a_user_that_nobody_else_is(users: list[int], tmp_path: Path) -> None:
    first = own_user(tmp_path)
    assert own_user(tmp_path) == first, "the same next time"
    assert own_user(tmp_path / "other") != first
    users.append(first.uid)
    assert own_user(tmp_path).uid in set(OWN_USERS) - {first.uid}
    users.extend(OWN_USERS)
    with pytest.raises(CannotStart, match="a free user id from 60706 to 61183 for Postgres"):
        own_user(tmp_path)


def test_where_root_may_become_no_such_user_it_is_said(users: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "_is_mapped", lambda uid: uid < 1_000)
    with pytest.raises(CannotStart, match="Run as another user than root"):
        own_user(Path("/data"))


@pytest.mark.parametrize(("owner", "kept"), [(65_534, False), (998, True), (60_800, True)])
def test_data_keeps_its_owner_unless_that_is_nobody(
    users: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, kept: bool
) -> None:
    (tmp_path / "PG_VERSION").touch()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: SimpleNamespace(st_uid=owner, st_gid=owner))
    user = postgres_server._user(tmp_path)
    assert (user.uid == owner) == kept
    assert kept or user.uid in OWN_USERS
