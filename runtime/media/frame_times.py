"""The frames of a video as they are decoded: counted, timed and measured, and stopped at the first one too many."""

from __future__ import annotations

from contract.media import MediaRule
from runtime.media.claims import MediaFormat
from runtime.media.frame_notes import FrameLook
from runtime.media.limits import CLOCK_SLACK, check_length, check_rate, frames_limit, one_frame
from runtime.media.refused import MediaRefused

UNEVEN = 0.1
"""Share of the usual time between two frames by which the longest may differ from the shortest, before the rate counts
as variable."""


class FrameTimes:
    def __init__(self, rule: MediaRule, upright: tuple[int, int]) -> None:
        """`upright`: the size of the first frame."""
        self._rule, self._size = rule, upright
        self.count = 0
        self._first_s = self._last_s = 0.0
        self._last_lasts_s = 0.0
        self._shortest_s, self._longest_s = float("inf"), 0.0

    def add(self, frame: FrameLook) -> None:
        """MediaRefused, where the video may not go on."""
        self.count += 1
        if (frame.width, frame.height) != self._size:
            was, now = self._size, (frame.width, frame.height)
            raise MediaRefused(
                f"the video changes its size from {was[0]} x {was[1]} to {now[0]} x {now[1]} pixels: write it anew with"
                " one size",
                "size_changes",
            )
        if frame.time_s is not None:
            self._add_time(frame.time_s)
        self._last_lasts_s = frame.duration_s
        if self._last_s - self._first_s > self._rule.seconds_max * CLOCK_SLACK:
            raise MediaRefused(
                f"the video is longer than the {self._rule.seconds_max:g} seconds that are taken", "too_long"
            )
        if self.count > frames_limit(self._rule):
            raise MediaRefused(
                f"the video has more than the {frames_limit(self._rule)} frames that are taken", "too_long"
            )

    def _add_time(self, time_s: float) -> None:
        if self.count == 1:
            self._first_s = time_s
        else:
            passed_s = time_s - self._last_s
            self._shortest_s, self._longest_s = min(self._shortest_s, passed_s), max(self._longest_s, passed_s)
        self._last_s = time_s

    @property
    def seconds(self) -> float:
        return self._last_s - self._first_s + self._last_lasts_s

    @property
    def is_uneven(self) -> bool:
        if self.count < 3:
            return False
        usual_s = (self._last_s - self._first_s) / (self.count - 1)
        return self._longest_s - self._shortest_s > UNEVEN * usual_s

    def check(self) -> None:
        """At the end. MediaRefused, unless the whole is a video within the rule."""
        if self.count == 0:
            raise MediaRefused("the video has no frame that can be decoded", "no_frames")
        if self.count == 1:
            raise one_frame()
        check_length(self.seconds, MediaFormat.VIDEO, self._rule)
        check_rate(self.count, self.seconds, self._rule)
