"""The benchmark's job with media: reads a prepared clip, holds its slot for two seconds without the processor, and
makes the frames of a video meanwhile. In one arm the node fetches and encodes, in the other the model does it itself.

The pictures are noise, cut from one block at other places, so that they cost nothing to make and much to encode."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

CUTS = 997


class Clips:
    def load(self, weights_dir: str, device: str, rank: int, world_size: int) -> None:
        self._noise = b""

    def predict(self, inputs: dict[str, Any], ctx: Any) -> dict[str, Any]:
        width, height, frames, fps = (inputs[name] for name in ("width", "height", "frames", "fps"))
        size = width * height * 3
        if len(self._noise) < 2 * size:
            self._noise = os.urandom(2 * size)
        alone = "ffmpeg" in inputs
        clip = self._fetched(inputs["clip"], inputs["sha256"]) if alone else inputs["clip"]
        with open(clip, "rb") as file:  # noqa: PTH123
            while file.read(1 << 20):
                pass
        begun = time.monotonic()
        ended = begun + inputs["seconds"]

        def made() -> Iterator[memoryview]:
            """The frames come one by one in the last part of the time, as a decoder makes them."""
            for number in range(frames):
                due = ended - inputs["decoding"] * (frames - 1 - number) / frames
                time.sleep(max(0.0, due - time.monotonic()))
                at = number * CUTS % size
                yield memoryview(self._noise)[at : at + size].cast("B", (height, width, 3))

        if alone:
            self._encode(inputs["ffmpeg"], made(), width, height, fps, ctx.output("video.mp4"))
        else:
            ctx.video("video.mp4", made(), fps)
        return {"begun": begun, "ended": ended, "returned": time.monotonic()}

    def _fetched(self, clip: str, sha256: str) -> str:
        path = os.path.join(os.environ["TMPDIR"], "clip")  # noqa: PTH118
        shutil.copyfile(clip, path)
        with open(path, "rb") as file:  # noqa: PTH123
            assert hashlib.file_digest(file, "sha256").hexdigest() == sha256
        return path

    def _encode(self, ffmpeg: str, made: Iterator[memoryview], width: int, height: int, fps: int, path: str) -> None:
        command = [ffmpeg, "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pixel_format", "rgb24"]
        command += ["-video_size", f"{width}x{height}", "-framerate", str(fps), "-i", "pipe:0", "-c:v", "libx264"]
        command += ["-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart", path]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
            assert encoder.stdin is not None
            for frame in made:
                encoder.stdin.write(frame)
        assert encoder.returncode == 0
