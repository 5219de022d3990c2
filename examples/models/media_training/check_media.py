"""The independent check of modified, animated and upscaled clips: it looks at pixels only.

The check imports nothing of the drawing, the wording or the networks. It takes the pixels that differ from the
background as the thing, and how far a pixel has gone from the background's colour to the thing's as how much of the
pixel the thing covers. Colour and motion are named by `check.py` of the shapes model, which works in the same way.

The outline is named by the covered pixels alone: hollow in the middle is a ring; otherwise the sums of the third,
fourth and fifth powers of the pixels' places, as complex numbers, say how many corners there are, and how they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from check import look

Frames = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

DIFFERENCE_MIN = 40.0  # Euclidean distance in RGB (0..255) at which a pixel may be part of the thing
AREA_MIN_PX = 8.0
ASTRAY_MAX_PX = 3.0
FIRST_PSNR_MIN_DB = 25.0
HOLLOW_MAX = 0.5  # how much of its middle a ring covers at most; a drawn one 0.0, any other shape 1.0
# Weight of that many corners from which they are corners: half of what drawn ones have; other shapes have under 0.07.
CORNERED_MIN = {3: 0.32, 4: 0.21, 5: 0.4}


@dataclass(frozen=True)
class Thing:
    """The thing in a clip: its centres (time, 2), x then y, and areas (time,), in pixels, and its outline's name."""

    centres: FloatArray
    areas: FloatArray
    outline: str

    @property
    def present(self) -> bool:
        """False when a frame shows no thing."""
        return bool(self.areas.min() >= AREA_MIN_PX)


def coverage(frames: Frames) -> FloatArray:
    """How much of each pixel the thing covers, 0..1: (time, height, width)."""
    pixels = frames.astype(np.float64)
    ground = np.median(pixels, axis=(0, 2))[None, :, None]  # by row: the thing never covers half of one in all frames
    difference = pixels - ground
    length = np.linalg.norm(difference, axis=3)
    if (length > DIFFERENCE_MIN).sum() < AREA_MIN_PX:
        return np.zeros(length.shape)
    core = length >= np.percentile(length[length > DIFFERENCE_MIN], 40)
    colour = pixels[core & (length > DIFFERENCE_MIN)].mean(axis=0)
    way = colour - ground
    part = (difference * way).sum(axis=3) / np.maximum((way * way).sum(axis=3), 1.0)
    return np.where(part < 0.12, 0.0, np.clip(part, 0, 1))  # what is less is noise of an encoder


def thing(frames: Frames) -> Thing:
    """`frames` is (time, height, width, 3)."""
    covered = coverage(frames)
    areas = covered.sum(axis=(1, 2))
    rows, columns = np.indices(covered.shape[1:])
    safe = np.maximum(areas, 1e-9)
    centres = np.stack([(covered * columns).sum(axis=(1, 2)) / safe, (covered * rows).sum(axis=(1, 2)) / safe], 1)
    return Thing(centres, areas, outline(covered, centres, areas))


def corner_weights(covered: FloatArray, centres: FloatArray, areas: FloatArray) -> dict[int, complex]:
    """For 3, 4 and 5: the mean power of the covered pixels' places, by the mean power of their lengths. Angles are
    counted from the right, clockwise on the screen."""
    rows, columns = np.indices(covered.shape[1:])
    sums, lengths = dict.fromkeys(CORNERED_MIN, 0j), dict.fromkeys(CORNERED_MIN, 0.0)
    for picture, (x, y), area in zip(covered, centres, areas, strict=True):
        if area < AREA_MIN_PX:
            continue
        place = ((columns - x) + 1j * (rows - y)) / np.sqrt(area)
        for corners in sums:
            # Each frame counts by its area: a small thing has hardly any outline.
            sums[corners] += complex((picture * place**corners).sum())
            lengths[corners] += float((picture * np.abs(place) ** corners).sum())
    return {corners: sums[corners] / max(lengths[corners], 1e-9) for corners in sums}


def hollowness(covered: FloatArray, centres: FloatArray, areas: FloatArray) -> float:
    """How much of the 2 x 2 pixels at its middle the thing covers, mean over frames by area: about 1 unless hollow."""
    total = weight = 0.0
    for picture, (x, y), area in zip(covered, centres, areas, strict=True):
        if area < AREA_MIN_PX:
            continue
        column = int(np.clip(np.floor(x), 0, picture.shape[1] - 2))
        row = int(np.clip(np.floor(y), 0, picture.shape[0] - 2))
        right, down = np.clip([x - column, y - row], 0, 1)
        corners = picture[row : row + 2, column : column + 2]
        total += area * float(np.array([1 - down, down]) @ corners @ np.array([1 - right, right]))
        weight += area
    return total / weight if weight else 0.0


def outline(covered: FloatArray, centres: FloatArray, areas: FloatArray) -> str:
    """ring, ball, triangle, square, diamond or star; "none" when there is nothing."""
    if areas.max() < AREA_MIN_PX:
        return "none"
    if hollowness(covered, centres, areas) < HOLLOW_MAX:
        return "ring"
    weights = corner_weights(covered, centres, areas)
    strength = {corners: abs(value) / CORNERED_MIN[corners] for corners, value in weights.items()}
    most = max(strength, key=lambda corners: strength[corners])
    if strength[most] < 1:
        return "ball"
    if most == 4:
        return "diamond" if weights[4].real > 0 else "square"  # corners at the right and below, or between
    return "triangle" if most == 3 else "star"


def astray(source: Frames, result: Frames) -> float:
    """The largest distance, over frames, between the centres of source and result in pixels; infinite without either,
    and when they have not the same number of frames."""
    if len(source) != len(result):
        return float("inf")
    ours, theirs = thing(source), thing(result)
    if not (ours.present and theirs.present):
        return float("inf")
    return float(np.linalg.norm(ours.centres - theirs.centres, axis=1).max())


def distance(source: Frames, result: Frames) -> float:
    """Mean over pixels of the Euclidean distance in RGB, 0..441; infinite when sizes differ."""
    if source.shape != result.shape:
        return float("inf")
    return float(np.linalg.norm(source.astype(np.float64) - result.astype(np.float64), axis=-1).mean())


def rises(values: list[float]) -> bool:
    """True when each value is larger than the one before."""
    return all(later > earlier for earlier, later in pairwise(values))


def psnr(truth: npt.NDArray[np.uint8], made: npt.NDArray[np.uint8]) -> float:
    """Decibels, peak 255; at most 99."""
    if truth.shape != made.shape:
        return 0.0
    error = float(np.square(truth.astype(np.float64) - made.astype(np.float64)).mean())
    return 99.0 if error == 0 else min(99.0, 10 * np.log10(255**2 / error))


def bicubic(picture: npt.NDArray[np.uint8], scale: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3) at `scale` times its size, by the cubic of Keys (a = -0.5); edges go on beyond the picture."""
    return np.clip(np.round(_along_rows(_along_rows(picture.astype(np.float64), scale).swapaxes(0, 1), scale)
                            .swapaxes(0, 1)), 0, 255).astype(np.uint8)  # fmt: skip


def _along_rows(values: FloatArray, scale: int) -> FloatArray:
    places = (np.arange(len(values) * scale) + 0.5) / scale - 0.5
    first = np.floor(places).astype(int)
    made = np.zeros((len(places), *values.shape[1:]))
    for step in (-1, 0, 1, 2):
        away = np.abs(places - first - step)
        near = 1.5 * away**3 - 2.5 * away**2 + 1
        far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        weight = np.where(away <= 1, near, np.where(away < 2, far, 0.0))
        made += weight[:, None, None] * values[np.clip(first + step, 0, len(values) - 1)]
    return made


def gain(truth: Frames, small: Frames, made: Frames) -> float:
    """Decibels by which `made` is nearer to `truth` than what bicubic interpolation makes of `small`; whole clips."""
    if made.shape != truth.shape:
        return float("-inf")
    scale = truth.shape[1] // small.shape[1]
    return psnr(truth, made) - psnr(truth, np.stack([bicubic(one, scale) for one in small]))


def modify_faults(source: Frames, result: Frames, colour: str, outline: str, *, keeps_track: bool) -> tuple[str, ...]:
    """Which rules a modified clip breaks. `colour` and `outline` are what was asked for; empty when not asked.

    frames: another number of frames. track: a centre more than ASTRAY_MAX_PX from the source's, looked at with
    `keeps_track`. colour, outline: not what was asked for.
    """
    faults = []
    if len(source) != len(result):
        faults.append("frames")
    if keeps_track and astray(source, result) > ASTRAY_MAX_PX:
        faults.append("track")
    if colour and look(result).colour != colour:
        faults.append("colour")
    if outline and thing(result).outline != outline:
        faults.append("outline")
    return tuple(faults)


def animate_faults(picture: npt.NDArray[np.uint8], result: Frames, motion: str) -> tuple[str, ...]:
    """Which rules an animated picture breaks. first: its first frame is not the picture. motion: not what was asked."""
    faults = []
    if psnr(picture, result[0]) < FIRST_PSNR_MIN_DB:
        faults.append("first")
    if look(result).motion != motion:
        faults.append("motion")
    return tuple(faults)
