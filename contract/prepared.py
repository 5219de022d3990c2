"""Where a job's prepared media lie in the object store, and the manifest that lists them by sha256."""

from __future__ import annotations

import msgspec

from contract.media import FORMS


class MediaFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a CPU worker found in a source and made of it."""

    container: str
    """Of the source: mp4, mov, webm, mkv, png, jpeg, webp, gif, wav."""
    codec: str
    source_bytes: int
    source_sha256: str
    source_width: int = 0
    source_height: int = 0
    source_ms: int = 0
    """The source's length; 0 for an image."""
    source_frames: int = 0
    """Frames that the decoder gave."""
    width: int = 0
    height: int = 0
    frames: int = 0
    fps: int = 0
    """Width, height, frames and frames a second of what the model gets."""
    samples: int = 0
    sample_rate: int = 0
    channels: int = 0
    rotated: int = 0
    """Degrees clockwise by which the picture was turned, as the source said."""
    changes: tuple[str, ...] = ()
    """What was changed or dropped beyond that, each a word of CHANGES, sorted."""


CHANGES = (
    *("audio_dropped", "streams_dropped", "frames_dropped", "rate_made_constant", "bars_added", "edges_cut"),
    *("aspect_lost", "pixels_made_square", "hdr_to_sdr", "depth_reduced", "transparency_dropped", "animation_dropped"),
)
"""What a preparation may change, besides scaling and the rate of frames."""


class PreparedFile(msgspec.Struct, frozen=True):
    """One prepared file: what the place `index` of the field `field` named (0 where the field is no list)."""

    field: str
    index: int
    name: str
    """The file's name under the preparation's prefix: `prepared_name`."""
    sha256: str
    bytes: int
    kind: str
    form: str
    facts: MediaFacts


class PreparedManifest(msgspec.Struct, frozen=True, tag="PreparedManifest.v1"):
    """The object `inputs/<job>/<preparation>/manifest.json`. The worker reports its digest, and the ledger records the
    digest."""

    job: str
    preparation: str
    version: str
    """The version by whose rules the media were prepared."""
    rules: str
    """`contract.media.rules_digest` of that version."""
    files: tuple[PreparedFile, ...]
    salt: str
    """32 random hex digits, so that nobody can guess a source from the manifest's digest in the ledger."""


PREPARED_MANIFEST_BYTES_MAX = 256 * 1024
MANIFEST_NAME = "manifest.json"
REFUSAL_NAME = "refusal.txt"
"""The sentence for the user whose media were refused. The ledger has the kind alone."""
SOURCE_PREFIX = "source-"
"""Originals that a policy keeps lie under this name."""

_SUFFIXES = {("video", "file"): "mp4", ("image", "file"): "png", ("audio", "file"): "wav"}


def prepared_name(place: int, kind: str, form: str) -> str:
    """The name of the file at this place among a job's media, in the order of fields and indices."""
    return f"{place}.{'npy' if form == FORMS[0] else _SUFFIXES[kind, form]}"


def inputs_prefix(job: str) -> str:
    return f"inputs/{job}/"


def preparation_prefix(job: str, preparation: str) -> str:
    return f"{inputs_prefix(job)}{preparation}/"


def upload_prefix(tenant: str, upload: str) -> str:
    """Where an upload lies: the tenant is part of the key, so a name that one tenant guesses leads to nothing of
    another's."""
    return f"{uploads_prefix(tenant)}{upload}/"


def uploads_prefix(tenant: str) -> str:
    return f"uploads/{tenant}/"


UPLOAD_DATA = "data"
UPLOAD_READY = "ready.json"
"""Written when the upload is complete (UploadReady): an upload without it is none."""


class UploadReady(msgspec.Struct, frozen=True, tag="UploadReady.v1"):
    """The object `uploads/<tenant>/<upload>/ready.json`: what `complete` found."""

    tenant: str
    upload: str
    bytes: int
    sha256: str
    """As the client said and the API or the store checked it; empty: the client said none."""
