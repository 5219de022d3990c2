"""Frames to files: an H.264 film that browsers play, and a still picture."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

ENLARGED = 4  # each pixel of the model is shown as a square of 4 x 4


def enlarge(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Frames (..., height, width, 3) at ENLARGED times their size, without smoothing."""
    return frames.repeat(ENLARGED, axis=-3).repeat(ENLARGED, axis=-2)


def write_mp4(path: str, frames: npt.NDArray[np.uint8], fps: int) -> None:
    """`frames` is (time, height, width, 3). Height and width must be even, or the encoder refuses them."""
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "veryfast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.codec_context.thread_count = 1
        for picture in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode(None))


def write_png(path: str, picture: npt.NDArray[np.uint8]) -> None:
    """`picture` is (height, width, 3)."""
    with av.open(path, "w", format="image2", options={"update": "1"}) as still:
        stream = still.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        still.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        still.mux(stream.encode(None))
