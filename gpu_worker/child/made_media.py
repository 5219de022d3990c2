"""Pictures that a model hands over to be encoded: checked, made bytes, and written to a file as they come.

Standard library only, beside `run_model.py`: arrays and tensors are known by what they can do. The node encodes the
file when the attempt is computed, while the next one computes (gpu_worker.io.encoding): bytes of RGB, frame after
frame, rows from the top.

A picture is uint8, or float from 0 to 1, which becomes the nearest of 0 to 255. A decoder overshoots: what lies a
little outside is cut to 0 and 1. What lies beyond FLOAT_LEAST or FLOAT_MOST is of another scale, and is refused.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

VIDEO_SUFFIXES = (".mp4",)
IMAGE_SUFFIXES = (".png", ".jpg")
DERIVED = {"video": (".poster.jpg", ".thumb.jpg"), "image": (".thumb.jpg",)}
"""By kind: what the node makes beside a file, named by the file's name without its suffix."""
MEDIA_MAX = 32
"""Of one attempt."""
SIDE_MIN, SIDE_MAX, PIXELS_MAX = 16, 8_192, 36_000_000
FRAMES_MAX = 100_000
FPS_MAX = 240
RATE_DENOMINATOR_MAX = 1_001
"""Of frames a second as a fraction: 30000/1001 is what television has."""
FLOAT_LEAST, FLOAT_MOST = -0.5, 1.5
PIECE_BYTES = 32 * 1024 * 1024
"""About so much of an array is made bytes at a time."""
CHANNELS = 3


class MediaTooLarge(ValueError):
    """The attempt's pictures take more than the node has for one attempt."""


class MadeMedia:
    """What one attempt hands over."""

    def __init__(self, directory: str, bytes_max: int) -> None:
        """`directory`: where the files go. `bytes_max`: of all of them."""
        self._directory = directory
        self._bytes_max = bytes_max
        self._bytes = 0
        self.made: list[dict[str, Any]] = []
        """As `messages.HandedMedia`. The file of number n has the name `raw_name(n)`."""

    @property
    def names(self) -> list[str]:
        """Of all files that the node will make."""
        return [name for one in self.made for name in names_of(one["kind"], one["name"])]

    def video(self, name: str, frames: Any, fps: Any) -> int:
        """Write the frames; how many there were."""
        check_suffix(name, VIDEO_SUFFIXES)
        rate = rate_of(fps)
        return self._write("video", name, chunks_of(frames), rate, FRAMES_MAX)

    def image(self, name: str, picture: Any) -> None:
        check_suffix(name, IMAGE_SUFFIXES)
        self._write("image", name, iter([picture]), (1, 1), 1)

    def _write(self, kind: str, name: str, chunks: Iterator[Any], rate: tuple[int, int], frames_max: int) -> int:
        if len(self.made) >= MEDIA_MAX:
            raise ValueError(f"{name}: expected at most {MEDIA_MAX} videos and images, found one more")
        os.makedirs(self._directory, exist_ok=True)  # noqa: PTH103 (as all paths here: text, since the node sends text)
        path = os.path.join(self._directory, raw_name(len(self.made)))  # noqa: PTH118
        before = self._bytes
        try:
            with open(path, "wb", buffering=0) as file:  # noqa: PTH123
                frames, width, height = self._write_chunks(file, kind, name, chunks, frames_max)
        except BaseException:  # the model may go on without this file: nothing of it counts
            os.unlink(path)  # noqa: PTH108
            self._bytes = before
            raise
        numerator, denominator = rate
        self.made.append(
            {"kind": kind, "name": name, "width": width, "height": height, "frames": frames}
            | {"rate": numerator, "per": denominator}
        )
        return frames

    def _write_chunks(
        self, file: Any, kind: str, name: str, chunks: Iterator[Any], frames_max: int
    ) -> tuple[int, int, int]:
        """(frames, width, height)"""
        frames, width, height = 0, 0, 0
        for chunk in chunks:
            for shape, data in pieces_of(name, chunk):
                if not frames:
                    height, width = shape[1:3]
                    check_size(kind, name, width, height)
                elif shape[1:3] != (height, width):
                    raise ValueError(
                        f"{name}: expected every frame to be {width} x {height} like the first, found frame {frames}"
                        f" to be {shape[2]} x {shape[1]}"
                    )
                frames += shape[0]
                if frames > frames_max:
                    raise ValueError(f"{name}: expected at most {frames_max} frame{'s' * (frames_max > 1)}, found more")
                self._bytes += len(data)
                if self._bytes > self._bytes_max:
                    raise MediaTooLarge(
                        f"{name}: expected pictures of at most {self._bytes_max} bytes in one attempt, width x height x"
                        " 3 each, found more; make fewer or smaller ones, or have the operator raise"
                        " HEADRACE_FRAMES_BYTES_MAX"
                    )
                write_all(file, data)
        if not frames:
            raise ValueError(f"{name}: expected at least one frame, found none")
        return frames, width, height


def raw_name(number: int) -> str:
    """No output of a model can have this name: outputs begin with a letter or a digit."""
    return f"_{number}.rgb"


def names_of(kind: str, name: str) -> list[str]:
    """The files that the node makes of one that was handed over."""
    stem = name.rpartition(".")[0]
    return [name, *(stem + derived for derived in DERIVED[kind])]


def check_suffix(name: Any, suffixes: tuple[str, ...]) -> None:
    if not isinstance(name, str) or not name.endswith(suffixes):
        raise ValueError(f"expected a name that ends in {' or '.join(suffixes)}, found {name!r}")


def check_size(kind: str, name: str, width: int, height: int) -> None:
    least = SIDE_MIN if kind == "video" else 1
    if not (least <= width <= SIDE_MAX and least <= height <= SIDE_MAX) or width * height > PIXELS_MAX:
        raise ValueError(
            f"{name}: expected sides of {least} to {SIDE_MAX} pixels and at most {PIXELS_MAX} in all, found"
            f" {width} x {height}"
        )
    if kind == "video" and (width % 2 or height % 2):
        raise ValueError(f"{name}: expected even sides, as H.264 in 4:2:0 has them, found {width} x {height}")


def rate_of(fps: Any) -> tuple[int, int]:
    """Frames a second as a fraction. 29.97 and its like, which are short for a fraction, are that fraction."""
    try:
        rate = Fraction(fps).limit_denominator(RATE_DENOMINATOR_MAX)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"expected frames a second as a number, found {fps!r}") from None
    of_television = Fraction(round(rate * 1_001 / 1_000) * 1_000, 1_001)
    if rate.denominator > 1 and abs(rate - of_television) < Fraction(1, 2_000):
        rate = of_television
    if not 0 < rate <= FPS_MAX:
        raise ValueError(f"expected above 0 and at most {FPS_MAX} frames a second, found {fps!r}")
    return rate.numerator, rate.denominator


def chunks_of(frames: Any) -> Iterator[Any]:
    """Arrays of one frame or several, as they are made. One array of all frames is one chunk."""
    if hasattr(frames, "shape"):
        if len(frames.shape) != 4:
            raise ValueError(
                f"expected frames as an array of [frames, height, width, 3] or an iterable of arrays of"
                f" [height, width, 3], found an array of {list(frames.shape)}"
            )
        return iter([frames])
    if isinstance(frames, str | bytes) or not isinstance(frames, Iterable):
        raise TypeError(f"expected frames as an array or an iterable of arrays, found {type(frames).__name__}")
    return iter(frames)


def pieces_of(name: str, chunk: Any) -> Iterator[tuple[tuple[int, int, int, int], memoryview]]:
    """(shape, bytes) of one array after another, each of at least one frame and not much more than PIECE_BYTES."""
    maker = maker_of(name, chunk)
    shape = tuple(int(side) for side in maker.shape)
    if len(shape) not in (3, 4) or shape[-1] != CHANNELS:
        raise ValueError(f"{name}: expected an array of [height, width, 3], found {list(shape)}{hint_of(shape)}")
    frames, height, width = (1, *shape[:2]) if len(shape) == 3 else shape[:3]
    if not height or not width:
        raise ValueError(f"{name}: expected at least one pixel, found an array of {list(shape)}")
    step = max(1, PIECE_BYTES // (height * width * CHANNELS))
    for first in range(0, frames, step):
        data = maker.bytes_of(first, first + step if len(shape) == 4 else None)
        count = min(step, frames - first)
        if len(data) != count * height * width * CHANNELS:
            raise ValueError(f"{name}: expected {count * height * width * CHANNELS} bytes, found {len(data)}")
        yield (count, height, width, CHANNELS), data


def hint_of(shape: tuple[int, ...]) -> str:
    if len(shape) in (3, 4) and shape[-3] == CHANNELS:
        return "; move the channels to the end, with permute or moveaxis"
    if len(shape) in (3, 4) and shape[-1] == 4:
        return "; leave the fourth channel out"
    if len(shape) == 2 or shape[-1:] == (1,):
        return "; repeat the one channel three times"
    return ""


def maker_of(name: str, array: Any) -> Any:
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return TensorBytes(name, array, torch)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and (hasattr(array, "__array__") or hasattr(array, "__array_interface__")):
        return ArrayBytes(name, numpy.asarray(array), numpy)
    try:
        view = memoryview(array)
    except TypeError:
        raise TypeError(
            f"{name}: expected an array or a tensor of [height, width, 3], found {type(array).__name__}"
        ) from None
    return BufferBytes(name, view)


class TensorBytes:
    """Of torch, on any device. Works without numpy."""

    def __init__(self, name: str, tensor: Any, torch: Any) -> None:
        self._name, self._tensor, self._torch = name, tensor.detach(), torch
        self.shape = tensor.shape
        if tensor.dtype is not torch.uint8 and not tensor.is_floating_point():
            raise refused_type(name, tensor.dtype)

    def bytes_of(self, first: int, end: int | None) -> memoryview:
        part = self._tensor if end is None else self._tensor[first:end]
        torch = self._torch
        if part.dtype is not torch.uint8:
            part = part.float()
            check_floats(self._name, float(part.amin()), float(part.amax()))
            part = part.clamp(0, 1).mul(255).round().to(torch.uint8)
        part = part.cpu().contiguous()
        data = (ctypes.c_ubyte * part.numel()).from_address(part.data_ptr())
        data.kept = part  # the bytes live as long as whoever reads them
        return memoryview(data).cast("B")


class ArrayBytes:
    """Of numpy, or of what numpy can read."""

    def __init__(self, name: str, array: Any, numpy: Any) -> None:
        self._name, self._array, self._numpy = name, array, numpy
        self.shape = array.shape
        if array.dtype != numpy.uint8 and array.dtype.kind != "f":
            raise refused_type(name, array.dtype)

    def bytes_of(self, first: int, end: int | None) -> memoryview:
        part = self._array if end is None else self._array[first:end]
        numpy = self._numpy
        if part.dtype != numpy.uint8:
            part = part.astype(numpy.float32)
            check_floats(self._name, float(part.min()), float(part.max()))
            part = numpy.rint(numpy.clip(part, 0, 1) * 255).astype(numpy.uint8)
        return memoryview(numpy.ascontiguousarray(part)).cast("B")


class BufferBytes:
    """Of whatever lends its bytes: uint8 only."""

    def __init__(self, name: str, view: memoryview) -> None:
        if view.format not in ("B", "<B", "=B", "@B"):
            raise refused_type(name, view.format)
        self._view = view
        self.shape = view.shape or ()

    def bytes_of(self, first: int, end: int | None) -> memoryview:
        part = self._view if end is None else self._view[first:end]
        return (part if part.c_contiguous else memoryview(part.tobytes())).cast("B")


def refused_type(name: str, found: Any) -> TypeError:
    return TypeError(f"{name}: expected uint8 from 0 to 255, or floats from 0 to 1, found {found}")


def check_floats(name: str, least: float, most: float) -> None:
    if not (least >= FLOAT_LEAST and most <= FLOAT_MOST):  # NaN is neither
        raise ValueError(
            f"{name}: expected floats from 0 to 1, found {least:g} to {most:g}; scale them, or give uint8 from 0 to 255"
        )


def write_all(file: Any, data: memoryview) -> None:
    """A write to a file may take less than it is given, above all when the disk fills."""
    while data:
        data = data[file.write(data) :]
