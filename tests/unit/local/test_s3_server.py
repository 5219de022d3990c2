"""The credentials of the embedded S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.s3_server import S3Server

WHOLE = "s3proxy.identity=headrace\ns3proxy.credential=abc\n"


def server(data: Path) -> S3Server:
    return S3Server(data, data, port=1)


def test_they_are_those_of_the_last_run(tmp_path: Path) -> None:
    (tmp_path / "s3proxy.properties").write_text(WHOLE)
    assert (server(tmp_path).access_key, server(tmp_path).secret_key) == ("headrace", "abc")


@pytest.mark.parametrize("left", ["", WHOLE[:30], "\0" * 9])
def test_half_a_file_that_a_full_disk_left_is_made_anew(left: str, tmp_path: Path) -> None:
    (tmp_path / "s3proxy.properties").write_text(left)
    assert len(server(tmp_path).secret_key) == 40
