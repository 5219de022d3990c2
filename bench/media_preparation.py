"""Preparation of media beside plain FFmpeg that does the same work: seconds of 1080p for each second of a core.

`python -m bench.media_preparation` prints a table. `make bench-worker` calls `compared`.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from contract.media import FORMS, MediaRule
from runtime.media.confined_program import MediaDecoder, find_decoder
from runtime.media.encoding import AHEAD_FRAMES, QUALITY
from runtime.media.preparation import prepare_file

SECONDS = 10
CLIP = f"testsrc2=s=1920x1080:r=30:d={SECONDS},noise=alls=6:allf=t"
"""Drawn, with noise, so that its bytes are about those of a camera's: 10 s at 30 frames a second."""
QUIET = ("-nostdin", "-hide_banner", "-v", "error", "-y")


class PreparationRow(msgspec.Struct, frozen=True):
    """One form. Seconds of video for each second of a core, all processes together; medians of the rounds."""

    form: str
    width: int
    height: int
    ours: float
    plain: float


def compared(folder: Path, decoder: MediaDecoder, rounds: int = 3) -> list[PreparationRow]:
    """`folder`: empty, with 3 GB to spare. Rounds of ours and of plain FFmpeg take turns, on one clip."""
    clip = folder / "clip.mp4"
    drawn = ("-f", "lavfi", "-i", CLIP, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", str(clip))
    _ffmpeg(decoder, *drawn)
    rows = []
    for form, width, height in ((FORMS[0], 1280, 720), (FORMS[0], 512, 288), (FORMS[1], 1280, 720)):
        rule = MediaRule(width=width, height=height, form=form)
        ours, plain = [], []
        for _ in range(rounds):
            ours.append(_cpu_s(lambda rule=rule: _prepare(clip, rule, folder, decoder)))  # type: ignore[misc]
            plain.append(_cpu_s(lambda rule=rule: _plain(clip, rule, folder, decoder)))  # type: ignore[misc]
        rows.append(
            PreparationRow(form, width, height, SECONDS / statistics.median(ours), SECONDS / statistics.median(plain))
        )
    return rows


def _prepare(clip: Path, rule: MediaRule, folder: Path, decoder: MediaDecoder) -> None:
    scratch, target = folder / "scratch", folder / "prepared"
    scratch.mkdir()
    prepare_file(clip, "video", rule, target, scratch, decoder)
    scratch.rmdir()
    target.unlink()


def _plain(clip: Path, rule: MediaRule, folder: Path, decoder: MediaDecoder) -> None:
    """One process without layers: nothing is counted, nothing is checked, no digest is taken."""
    target = folder / ("plain.raw" if rule.form == FORMS[0] else "plain.mp4")
    filters = f"fps={rule.fps},scale={rule.width}:{rule.height}:flags=bicubic"
    made: tuple[str, ...] = ("-pix_fmt", "rgb24", "-f", "rawvideo")
    if rule.form == FORMS[1]:
        look_ahead = f"rc-lookahead={AHEAD_FRAMES}:sync-lookahead=0:threads=1"
        made = ("-c:v", "libx264", "-preset", "veryfast", "-crf", str(QUALITY), "-x264-params", look_ahead)
    _ffmpeg(decoder, "-threads", "1", "-i", str(clip), "-an", "-vf", filters, *made, "-threads", "1", str(target))
    target.unlink()


def _ffmpeg(decoder: MediaDecoder, *arguments: str) -> None:
    subprocess.run([decoder.program.path, *QUIET, *arguments], check=True, timeout=300, env={})


def _cpu_s(call: Callable[[], None]) -> float:
    before = _spent_s()
    call()
    return _spent_s() - before


def _spent_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = compared(folder, find_decoder("", folder / "layers", []))
    print("| form | size | ours, s of video per core second | plain FFmpeg | share |\n|---|---|---|---|---|")
    for row in rows:
        share = f"{row.ours / row.plain:.0%}"
        print(f"| {row.form} | {row.width} x {row.height} | {row.ours:.1f} | {row.plain:.1f} | {share} |")


if __name__ == "__main__":
    main()
