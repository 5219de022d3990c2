"""What lies in prepared files, read by code that shares nothing with the code that wrote them."""

from __future__ import annotations

import ast
import re
import struct
import subprocess
import wave
import zlib
from dataclasses import dataclass
from pathlib import Path

from tests.media.corpus.clips import Ffmpeg


@dataclass(frozen=True)
class NpyFile:
    values: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def is_whole(self) -> bool:
        count = 1
        for side in self.shape:
            count *= side
        return len(self.data) == count * int(self.values[-1])

    def pixel(self, *place: int) -> tuple[int, int, int]:
        """Of frame, row and column, or of row and column."""
        at = 0
        for index, side in zip(place, self.shape, strict=False):
            at = at * side + index
        red, green, blue = self.data[at * 3 : at * 3 + 3]
        return red, green, blue


def read_npy(path: Path) -> NpyFile:
    data = path.read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    (length,) = struct.unpack_from("<H", data, 8)
    said = ast.literal_eval(data[10 : 10 + length].decode())
    assert said["fortran_order"] is False
    assert (10 + length) % 64 == 0
    return NpyFile(said["descr"], said["shape"], data[10 + length :])


@dataclass(frozen=True)
class Sound:
    rate: int
    channels: int
    samples: int


def read_wav(path: Path) -> Sound:
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        return Sound(file.getframerate(), file.getnchannels(), file.getnframes())


def read_png(path: Path) -> tuple[int, int]:
    """Width and height, after its rows and check sums were looked at."""
    data, at, packed = path.read_bytes(), 8, b""
    width, height = struct.unpack_from(">II", data, 16)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunk = data[at + 4 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(chunk),)
        packed += chunk[4:] if chunk[:4] == b"IDAT" else b""
        at += 12 + length
    assert len(zlib.decompress(packed)) == height * (1 + width * 3)
    return width, height


def frames_of_mp4(path: Path, ffmpeg: Ffmpeg) -> tuple[int, int, int, int]:
    """Frames, width, height and frames a second, as a player meets them."""
    command = [str(ffmpeg.program), "-hide_banner", "-nostdin", "-i", str(path), "-f", "framecrc", "-"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60, env={})
    stream = re.search(rb"Video: h264 .* yuv420p\(tv, bt709.*?\), (\d+)x(\d+).*? (\d+) fps", done.stderr)
    assert stream is not None, done.stderr.decode()
    times = [int(line.split(b",")[2]) for line in done.stdout.splitlines() if not line.startswith(b"#")]
    assert times == list(range(len(times))), "at a constant rate"
    width, height, fps = map(int, stream.groups())
    return len(times), width, height, fps
