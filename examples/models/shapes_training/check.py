"""The independent check: it looks at pixels only, and says which colour the thing has and how the thing moves.

The check imports nothing of the drawing code, the wording or the network. It estimates the background row by row and
takes the pixels that differ from the background as the thing. The place of the thing's hue on the colour circle names
the colour; the thing's centre of mass and area through time name the motion.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DIFFERENCE_MIN = 45.0  # Euclidean distance in RGB (0..255) at which a pixel is part of the thing
AREA_MIN_PX = 12  # a thing smaller than this in any frame counts as missing
TRAVEL_MIN_PX = 10.0
REST_MAX_PX = 4.0
# Upper bound of a hue in degrees, and the hue's name.
HUES = ((16, "red"), (43, "orange"), (80, "yellow"), (158, "green"), (203, "cyan"), (250, "blue"),
        (300, "purple"), (345, "pink"), (361, "red"))  # fmt: skip
# Directions by eighths of a turn from "right", clockwise on the screen, where y points down.
COMPASS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")


@dataclass(frozen=True)
class Seen:
    """What the check saw. `colour` and `motion` are "none" when a frame shows no thing."""

    colour: str
    motion: str
    background: str


def look(frames: npt.NDArray[np.uint8]) -> Seen:
    """`frames` is (time, height, width, 3), 0..255."""
    pixels = frames.astype(np.float64)
    ground = np.median(pixels, axis=(0, 2))  # (height, 3): the thing never covers half of a row in every frame
    background = _ground_name(ground)
    difference = np.linalg.norm(pixels - ground[None, :, None, :], axis=3)
    thing = difference > DIFFERENCE_MIN
    areas = thing.sum(axis=(1, 2)).astype(np.float64)
    if areas.min() < AREA_MIN_PX:
        return Seen("none", "none", background)
    rows, columns = np.indices(thing.shape[1:])
    x = (thing * columns).sum(axis=(1, 2)) / areas
    y = (thing * rows).sum(axis=(1, 2)) / areas
    core = difference >= np.percentile(difference[thing], 40)
    return Seen(_colour_name(pixels[core & thing].mean(axis=0)), _motion_name(x, y, areas), background)


def _colour_name(rgb: npt.NDArray[np.float64]) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255))
    if saturation < 0.2:
        return "white" if value > 0.75 else "grey" if value > 0.2 else "black"
    return next(name for bound, name in HUES if hue * 360 < bound)


def _ground_name(rows: npt.NDArray[np.float64]) -> str:
    if np.linalg.norm(rows[-8:].mean(axis=0) - rows[:8].mean(axis=0)) > 60:
        return "sky"
    hue, saturation, value = colorsys.rgb_to_hsv(*(rows.mean(axis=0) / 255))
    if value < 0.15:
        return "black"
    if saturation < 0.2:
        return "white" if value > 0.7 else "grey"
    return "green" if 80 <= hue * 360 < 170 else "navy" if 200 <= hue * 360 < 260 else "other"


def _motion_name(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], areas: npt.NDArray[np.float64]) -> str:
    """`x`, `y` (centre of mass) and `areas` are in pixels, one value a frame."""
    width, height = np.ptp(x), np.ptp(y)
    growth = areas[-3:].mean() / areas[:3].mean()
    if width < 2 * REST_MAX_PX and height < 2 * REST_MAX_PX and not 0.6 < growth < 1.7:
        return "growing" if growth > 1 else "shrinking"
    if width < REST_MAX_PX and height < REST_MAX_PX:
        return "still"
    bearing = np.unwrap(np.arctan2(y - (y.max() + y.min()) / 2, x - (x.max() + x.min()) / 2))
    if min(width, height) > TRAVEL_MIN_PX and abs(bearing[-1] - bearing[0]) > np.radians(270):
        return "circling"
    if width < 2 * REST_MAX_PX and height > TRAVEL_MIN_PX and _reversals(y) >= 2:
        return "bouncing"
    across, down = x[-3:].mean() - x[:3].mean(), y[-3:].mean() - y[:3].mean()
    length = np.hypot(across, down)
    path = np.hypot(np.diff(x), np.diff(y)).sum()
    if length < TRAVEL_MIN_PX or path > 1.6 * (length + 4):  # the means over three frames cut a little of the path
        return "wandering"
    return COMPASS[round(np.arctan2(down, across) / (np.pi / 4)) % 8]


def _reversals(values: npt.NDArray[np.float64]) -> int:
    """How often the value turns round, counting only swings of more than 4 pixels."""
    turns, sign, extreme = 0, 0, values[0]
    for value in values[1:]:
        if sign == 0:
            if abs(value - extreme) > 4:
                sign, extreme = (1 if value > extreme else -1), value
        elif (value - extreme) * sign > 0:
            extreme = value
        elif abs(value - extreme) > 4:
            turns, sign, extreme = turns + 1, -sign, value
    return turns
