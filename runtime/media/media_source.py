"""One file that is to be prepared, open, and all that is needed to decode it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from contract.media import MediaRule
from runtime.media.claims import MediaClaims, MediaFormat
from runtime.media.confined_program import MediaDecoder
from runtime.media.decoding import PreparationBounds


class MediaSource(msgspec.Struct, frozen=True):
    descriptor: int
    """To be read only."""
    claims: MediaClaims
    """That were checked against the rule."""
    wanted: MediaFormat
    rule: MediaRule
    decoder: MediaDecoder
    scratch: Path
    bounds: PreparationBounds
