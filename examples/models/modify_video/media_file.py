"""Files of frames: what the node prepared, and what the model gives back."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]  # (height, width, 3)


def read_pictures(path: str, dimensions: int) -> Picture:
    """The .npy file that the node prepared: uint8, the last of its `dimensions` are the three colours."""
    pictures = np.load(path, allow_pickle=False)
    if pictures.dtype != np.uint8 or pictures.ndim != dimensions or pictures.shape[-1] != 3:
        raise ValueError(f"expected {dimensions} dimensions of uint8, the last of 3 colours, "
                         f"found {pictures.dtype} {pictures.shape}")  # fmt: skip
    return pictures


def write_mp4(path: str, frames: Iterable[Picture], fps: int) -> int:
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


def write_png(path: str, picture: Picture) -> None:
    with av.open(path, "w", format="image2", options={"update": "1"}) as still:
        stream = still.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        still.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        still.mux(stream.encode(None))
