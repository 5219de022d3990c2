"""The logins of the embedded S3 server: drawn once, and which names each reaches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.s3_server import OWNER, PREFIXES_OF, S3Server, outside
from runtime.roles import Role

WHOLE = "s3proxy.identity=headrace\ns3proxy.credential=abc\n"


def server(data: Path) -> S3Server:
    return S3Server(data, data, port=1)


def test_they_are_those_of_the_last_run(tmp_path: Path) -> None:
    (tmp_path / "s3proxy.properties").write_text(WHOLE)
    (tmp_path / "s3proxy-node.properties").write_text(WHOLE.replace("headrace", "node").replace("abc", "def"))
    logins = server(tmp_path).logins
    assert (logins[OWNER], logins[Role.NODE]) == (("headrace", "abc"), ("node", "def"))


@pytest.mark.parametrize("left", ["", WHOLE[:30], "\0" * 9])
def test_half_a_file_that_a_full_disk_left_is_made_anew(left: str, tmp_path: Path) -> None:
    (tmp_path / "s3proxy.properties").write_text(left)
    assert len(server(tmp_path).secret_key) == 40


def test_only_the_owners_login_reaches_everything(tmp_path: Path) -> None:
    made = server(tmp_path)
    for login in made.logins:
        narrowed = [name for name in made._properties_of(login) if "regex-blobstore" in name]
        assert bool(narrowed) == (login != OWNER)


def test_who_has_no_login_reaches_nothing() -> None:
    shut = re.compile(outside(()).replace(r"\z", r"\Z"))
    assert all(shut.search(name) for name in ("results/a", "a", "", "blobs/a/b"))


@pytest.mark.parametrize("role", PREFIXES_OF)
def test_a_name_is_reached_when_its_prefix_is_the_roles_and_no_part_of_it_is_folded(role: str) -> None:
    shut = re.compile(outside(PREFIXES_OF[role]).replace(r"\z", r"\Z"))  # Java's
    for prefix in PREFIXES_OF[role]:
        for name in (f"{prefix}a", f"{prefix}a/b.c", f"{prefix}..a", f"{prefix}a../b", f"{prefix}.../b"):
            assert not shut.search(name), name
        for name in (
            f"{prefix}../x",
            f"{prefix}a/..",
            f"{prefix}./a",
            f"{prefix}/a",
            prefix,
            f"/{prefix}a",
            f"{prefix}a\n/../b",
        ):
            assert shut.search(name), name
    for name in ("", ".", "other/a", "blobsx/a", "a\nblobs/b", "xresults/a", ".s3proxy-mpu-stub-../snapshots/a"):
        assert shut.search(name), name
    upload = "0a" * 16 + "-" * 4
    assert not shut.search(f".s3proxy-mpu-stub-{upload}")
    assert shut.search(f".s3proxy-mpu-stub-{upload}/a")
    assert not shut.search(f".mpus-{upload}-{PREFIXES_OF[role][0]}a-1")
    assert shut.search(f".mpus-{upload}-other/a-1")
