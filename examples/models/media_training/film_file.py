"""Films and pictures for the tests of the models: what a model hands over is written as a node would encode it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt


def write_mp4(path: str, frames: Iterable[npt.NDArray[np.uint8]], fps: int) -> int:
    """Write an H.264 film that browsers play; returns its number of frames. Height and width must be even."""
    count = 0
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.codec_context.thread_count = 1
        for picture in frames:
            if count == 0:
                stream.height, stream.width = picture.shape[:2]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            count += 1
        film.mux(stream.encode(None))
    return count


def read_mp4(path: str) -> npt.NDArray[np.uint8]:
    """All frames, (time, height, width, 3)."""
    with av.open(path) as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


def write_png(path: str, picture: npt.NDArray[np.uint8]) -> None:
    """`picture` is (height, width, 3)."""
    with av.open(path, "w", format="image2", options={"update": "1"}) as still:
        stream = still.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        still.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        still.mux(stream.encode(None))
