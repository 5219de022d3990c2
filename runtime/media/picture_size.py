"""The size that a model's rule gives a picture, and how the picture gets there: pure."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec

from contract.media import MediaRule
from runtime.media.refused import MediaRefused

COVER, CONTAIN, STRETCH = "cover", "contain", "stretch"


class SizePlan(msgspec.Struct, frozen=True):
    """First a middle part is cut out of the decoded picture, then that is scaled, then bars are added."""

    cut_width: int
    cut_height: int
    scaled_width: int
    scaled_height: int
    width: int
    height: int
    """What the model gets."""
    changes: tuple[str, ...]
    """Of contract.prepared.CHANGES."""

    def filters(self, decoded: tuple[int, int], colours: str) -> list[str]:
        """FFmpeg's. `colours`: what the scaler is told of colours, with a colon before."""
        steps = []
        if (self.cut_width, self.cut_height) != decoded:
            steps.append(f"crop={self.cut_width}:{self.cut_height}")
        steps.append(f"scale={self.scaled_width}:{self.scaled_height}:flags=bicubic{colours}")
        if (self.scaled_width, self.scaled_height) != (self.width, self.height):
            steps.append(f"pad={self.width}:{self.height}:(ow-iw)/2:(oh-ih)/2:color=black")
        return [*steps, "setsar=1"]


def size_plan(width: int, height: int, sample_aspect: Fraction, rule: MediaRule, *, even: bool) -> SizePlan:
    """For a decoded, upright picture. `even`: the file to be written has colours at half the resolution. MediaRefused,
    when nothing of the picture would be left."""
    shown_width, shown_height = _squared(width, height, sample_aspect)
    changes = {"pixels_made_square"} if (shown_width, shown_height) != (width, height) else set()
    target = (rule.width, rule.height) if rule.width else _shrunk(shown_width, shown_height, rule)
    cut, scaled = (width, height), target
    wide = Fraction(shown_width * target[1], shown_height * target[0])  # above 1: wider than what the model gets
    if rule.fit == COVER and wide != 1:
        cut = (_part(width, 1 / wide), height) if wide > 1 else (width, _part(height, wide))
        changes |= {"edges_cut"} if cut != (width, height) else set()
    elif rule.fit == CONTAIN and wide != 1:
        scaled = (target[0], _part(target[1], 1 / wide)) if wide > 1 else (_part(target[0], wide), target[1])
        scaled = tuple(side - side % 2 if even and side > 1 else side for side in scaled)  # type: ignore[assignment]
        changes |= {"bars_added"} if scaled != target else set()
    elif rule.fit == STRETCH and (_part(target[0], wide) != target[0] or _part(target[1], 1 / wide) != target[1]):
        changes |= {"aspect_lost"}
    return SizePlan(*cut, *scaled, *target, tuple(sorted(changes)))


def _part(side: int, share: Fraction) -> int:
    return max(1, round(side * share))


def _squared(width: int, height: int, sample_aspect: Fraction) -> tuple[int, int]:
    """The size with square pixels, so that no side shrinks."""
    if sample_aspect >= 1:
        return max(1, round(width * sample_aspect)), height
    return width, max(1, round(height / sample_aspect))


def _shrunk(width: int, height: int, rule: MediaRule) -> tuple[int, int]:
    share = min(1.0, rule.longest_side / max(width, height), math.sqrt(rule.pixels_max / (width * height)))
    many = rule.side_multiple
    found = tuple(int(side * share + 1e-6) // many * many for side in (width, height))
    if min(found) < 1:
        least = f"scaled down for the model, a side must have at least {many}"
        raise MediaRefused(f"the picture has {width} x {height} pixels; {least}", "too_small")
    return found[0], found[1]
