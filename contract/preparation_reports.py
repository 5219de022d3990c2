"""What a CPU worker says of its preparations: reports of a NodeReport (see contract.inputs).

A preparation has an id of its own (contract.names.dispatch_id), and heartbeats list the id as they list attempts. The
words here are from fixed lists: sentences, names and URLs stay in the object store (contract.prepared).
"""

from __future__ import annotations

import msgspec


class PreparationDone(msgspec.Struct, frozen=True, omit_defaults=True, tag="PreparationDone.v1"):
    """Report: the prepared media and their manifest are stored under inputs/<job>/<preparation>/."""

    job: str
    preparation: str
    manifest: str
    """Digest of the manifest (contract.prepared)."""
    bytes: int = 0
    """Size of all prepared files."""
    fetch_ms: int = 0
    check_ms: int = 0
    decode_ms: int = 0
    """How long the worker fetched the sources, checked them, and decoded and stored what the model gets."""


class PreparationRefused(msgspec.Struct, frozen=True, tag="PreparationRefused.v1"):
    """Report: these media can never be prepared for this version. The sentence for the user is in the object store."""

    job: str
    preparation: str
    kind: str
    """One of MEDIA_REFUSALS."""


MEDIA_REFUSALS = (
    *("bad_inputs", "source_missing", "url_refused", "unreachable", "not_media", "wrong_kind", "codec", "damaged"),
    *("too_large", "too_long", "too_short", "too_many_pixels", "too_small", "too_fast", "no_frames", "size_changes"),
    *("decoder_time", "decoder_memory", "decoder", "payload_missing", "worker_lost"),
)
"""bad_inputs: the payload does not fit the version's schema, or names what is no medium. source_missing: the upload or
the output is not there. url_refused: the guard does not fetch it. unreachable: its server did not give it. decoder:
FFmpeg ended in another way. worker_lost is said by the scheduler: workers were lost while they prepared the job."""


class PreparationStopped(msgspec.Struct, frozen=True, tag="PreparationStopped.v1"):
    """Report: the preparation ended and says nothing of the media."""

    job: str
    preparation: str
    reason: str
    """One of PREPARATION_STOPS: killed (by order), drained (the worker leaves), unclaimed (the worker never began it),
    outage (the store, the payload or the name server is away: the job rests and is prepared again)."""


PREPARATION_STOPS = ("killed", "drained", "unclaimed", "outage")

PreparationReport = PreparationDone | PreparationRefused | PreparationStopped
