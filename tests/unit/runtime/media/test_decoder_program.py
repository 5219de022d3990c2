"""What FFmpeg says of itself, and whether that is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.media.decoder_program import FLOOR, DecoderUnusable, find_program, said_of

BUILD = "configuration: --enable-gpl --enable-version3 --enable-libx264 --enable-libzimg --enable-libdav1d"


def text(version: str = "n9.0.2", build: str = BUILD, formats: int = 63) -> str:
    return (
        f"ffmpeg version {version} Copyright (c) the FFmpeg developers\n{build}\n"
        f"libavutil 61. 1.102\nlibavformat    {formats}.  1.102 / {formats}.  1.102\n"
    )


def test_a_new_one_with_all_parts_is_usable() -> None:
    found = said_of("/opt/ffmpeg", text())
    assert (found.version, found.licence, found.fault, found.is_old) == ("n9.0.2", "GPL 3", "", False)


def test_one_below_the_floor_is_not() -> None:
    found = said_of("/opt/ffmpeg", text("5.1.9", formats=FLOOR - 1))
    assert not found.is_usable
    assert found.fault == "expected FFmpeg 6.0 or newer, found 5.1.9"


def test_one_without_a_part_is_not() -> None:
    found = said_of("/opt/ffmpeg", text(build=BUILD.replace("--enable-libzimg", "")))
    assert not found.is_usable
    assert "libzimg" in found.fault


def test_one_between_is_old() -> None:
    found = said_of("/opt/ffmpeg", text("6.1", formats=FLOOR))
    assert found.is_usable
    assert found.is_old


@pytest.mark.parametrize(
    ("build", "licence"),
    [
        ("--enable-gpl", "GPL 2"),
        ("--enable-version3", "LGPL 3"),
        ("", "LGPL 2.1"),
        ("--enable-gpl --enable-nonfree", "not to be handed on (nonfree)"),
    ],
)
def test_the_licence_follows_from_the_build(build: str, licence: str) -> None:
    assert said_of("/opt/ffmpeg", text(build=f"configuration: {build}")).licence == licence


def test_another_program_is_none() -> None:
    with pytest.raises(DecoderUnusable, match="another program"):
        said_of("/bin/true", "hello")


def test_the_wheel_brings_one_and_a_setting_names_another(tmp_path: Path) -> None:
    assert find_program("").name.startswith("ffmpeg")
    with pytest.raises(DecoderUnusable, match="HEADRACE_FFMPEG"):
        find_program(str(tmp_path / "missing"))
