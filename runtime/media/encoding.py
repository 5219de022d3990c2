"""Frames of our own into files: MP4 by the program, behind the same layers; PNG by our own code."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import msgspec

from runtime.media.confined_program import ConfinedProgram, CutOff, MediaDecoder, ProgramBounds
from runtime.media.decoding import QUIET

QUALITY = 16
"""Constant rate factor of x264: hardly to be told from the source."""
HEADER_BYTES, HEADER_BYTES_PER_FRAME = 4_096, 64
"""Room for an MP4's header before its pictures: nobody can seek back in a stream, and readers want the header first."""
FILE_SLACK_BYTES = 65_536
"""Of an MP4 of few small frames, its header is the larger part."""
START_S, PER_PIXEL_S = 20.0, 1e-6
"""Of a processor: what an encoder may take, and for each pixel of each frame."""
MEMORY_BYTES, MEMORY_BYTES_PER_PIXEL = 400 * 2**20, 72
AHEAD_FRAMES = 10
"""Frames that x264 looks ahead, and holds."""
SCANLINES_AT_ONCE = 64
COMPRESSION = 6


class RawVideo(msgspec.Struct, frozen=True):
    """Frames one after another, each with its colours at half the resolution (yuv420p, BT.709)."""

    width: int
    height: int
    fps: int
    frames: int

    @property
    def bytes(self) -> int:
        return self.frames * self.width * self.height * 3 // 2


def encode_mp4(raw: BinaryIO, video: RawVideo, target: BinaryIO, decoder: MediaDecoder, scratch: Path) -> None:
    """Read the frames from where the open file stands, and write an MP4 with H.264 at a constant rate to the other.
    OSError."""
    pixels = video.width * video.height
    limit_s = START_S + PER_PIXEL_S * pixels * video.frames
    bounds = ProgramBounds(
        limit_s, int(limit_s), MEMORY_BYTES + MEMORY_BYTES_PER_PIXEL * pixels, 2 * video.bytes + FILE_SLACK_BYTES
    )
    arguments = [
        *(*QUIET, "-xerror", "-protocol_whitelist", "pipe", "-f", "rawvideo", "-pixel_format", "yuv420p"),
        *("-video_size", f"{video.width}x{video.height}", "-framerate", str(video.fps), "-i", "pipe:0"),
        *("-frames:v", str(video.frames), "-c:v", "libx264", "-preset", "veryfast", "-crf", str(QUALITY)),
        *("-threads", "1", "-x264-params", f"rc-lookahead={AHEAD_FRAMES}:sync-lookahead=0:threads=1"),
        *("-vf", "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709", "-pix_fmt", "yuv420p"),
        *("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"),
        *("-moov_size", str(HEADER_BYTES + HEADER_BYTES_PER_FRAME * video.frames)),
        *("-f", "mp4", "-fd", str(target.fileno()), "fd:"),
    ]
    program = ConfinedProgram(
        decoder, arguments, scratch, bounds, descriptors=(target.fileno(),), stdin=raw.fileno(), has_output=False
    )
    said: list[bytes] = []
    ended = program.run(lambda _: None, lambda line: said.append(line) if b"[error]" in line else None)
    if ended.status == 256 - errno.ENOSPC or any(b"No space left" in line for line in said):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if ended.status:
        why = "it took too long" if ended.cause is CutOff.TIME else f"status {ended.status}"
        raise OSError(errno.EIO, f"expected the encoder to write {video.frames} frames, found that it did not ({why})")


def write_png(raw: BinaryIO, width: int, height: int, target: BinaryIO) -> None:
    """Read rows of RGB from where the open file stands, and write a PNG. OSError."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    target.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header))
    packer = zlib.compressobj(COMPRESSION)
    for row in range(0, height, SCANLINES_AT_ONCE):
        rows = raw.read(min(SCANLINES_AT_ONCE, height - row) * width * 3)
        lines = (b"\0" + rows[at : at + width * 3] for at in range(0, len(rows), width * 3))
        packed = packer.compress(b"".join(lines))
        if packed:
            target.write(_chunk(b"IDAT", packed))
    target.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def write_wav_header(target: BinaryIO, rate: int, channels: int, sound_bytes: int) -> None:
    """Of samples of 16 bits, which come after it. OSError."""
    width = 2 * channels
    form = b"".join(
        number.to_bytes(size, "little")
        for number, size in ((1, 2), (channels, 2), (rate, 4), (rate * width, 4), (width, 2), (16, 2))
    )
    whole = 36 + sound_bytes
    target.seek(0)
    target.write(b"RIFF" + whole.to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little") + form)
    target.write(b"data" + sound_bytes.to_bytes(4, "little"))


WAV_HEADER_BYTES = 44
