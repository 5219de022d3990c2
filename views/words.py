"""Each event of a job as a sentence for the owner of the job. It names no other job and quotes no word of a user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract import events as e
from views.moments import duration

_REFUSED = {
    "unknown_model": "its pool does not know the model",
    "unknown_alias": "its pool does not know the alias",
    "unknown_version": "its pool does not know the version",
    "version_withdrawn": "its version was withdrawn",
    "unknown_tier": "the policy has no such tier",
    "no_cluster_fits": "no cluster of the pool has a slot that could run it",
    "expired": "its deadline had passed",
}
_ENDING = {
    "cancel": "on request",
    "erase": "because its words are to be erased",
    "expired": "at its deadline",
    "withdrawn": "because its version was withdrawn",
    "version_withdrawn": "because the version that it named was withdrawn",
}
_RECALLED = {
    **_ENDING,
    "drain": "because its cluster drains",
    "elsewhere": "because another cluster will start it sooner",
    "held": "because the pool is on hold",
    "cordon": "because its node was set aside: other jobs failed there",
    "not_confined": "because layers are missing on its node that hold models off",
}
MEDIA_REFUSED = {
    "bad_inputs": "what it asks for does not fit its version",
    "source_missing": "an upload or an output that it names is not there",
    "url_refused": "a URL that it names is not one that may be fetched",
    "unreachable": "the server of a URL did not give it",
    "not_media": "a file is no video, image or sound of a kind that is taken",
    "wrong_kind": "a file holds another kind of media than was asked for",
    "codec": "a file has a codec that is not taken",
    "damaged": "a file is damaged or cut short",
    "too_large": "a file has more bytes than are taken",
    "too_long": "a file lasts longer than is taken",
    "too_short": "a file is shorter than the model needs",
    "too_many_pixels": "a picture has more pixels than are taken",
    "too_small": "a picture has fewer pixels than are taken",
    "too_fast": "a video has more frames a second than are taken",
    "no_frames": "a video has no frame",
    "size_changes": "a video changes its size on the way",
    "decoder_time": "decoding took longer than is allowed",
    "decoder_memory": "decoding took more memory than is allowed",
    "decoder": "a file could not be decoded",
    "payload_missing": "what was submitted is not there any more",
    "worker_lost": "CPU workers were lost again and again while they prepared it",
}
"""Why a job's media are refused (contract.preparation_reports.MEDIA_REFUSALS)."""
PREPARATION_CLOSED = {
    "killed": "it was not begun",
    "drained": "its worker is leaving",
    "unclaimed": "it was not begun",
    "outage": "a server of ours was away",
    "lost": "its worker was not heard for a whole lease",
    "rejoined": "its worker came back with a new session",
    "revoked": "its worker was put out by an operator",
    "pre_empted": "its worker's cluster drains",
    "cancel": "the job ends on request",
    "erase": "its words are to be erased",
    "expired": "the job's deadline passed",
    "withdrawn": "the job's version was withdrawn",
}
CLOSED = {
    "recalled": "given back before it started",
    "killed": "stopped by order",
    "drained": "handed back by a node that is leaving",
    "unclaimed": "never begun by its node",
    "lost": "its node was not heard for a whole lease",
    "rejoined": "its node came back with a new session",
    "pre_empted": "pre-empted by a drain",
    "revoked": "its node was put out by an operator",
}
"""Why an attempt was closed without a report of success or failure."""
SET_ASIDE = {
    "store": "took nothing new because the object store did not do its work",
    "disk": "took nothing new because their disk was full",
    "bytes": "took nothing new because results that waited for the object store had filled their budget",
    "payloads": "took nothing new because they could not read `jobs`",
    "slots": "had no slot that could be used",
    "failures": "were set aside, because jobs failed there that succeeded elsewhere",
    "operator": "were set aside by an operator",
    "avoided": "had slots free, and it had failed there before",
}
"""Why a node takes nothing new (contract.inputs.HOLDING, and more)."""


def _dispatched(event: e.JobDispatched) -> str:
    slo = f" (SLO {duration(event.slo_ms)})"
    return f"attempt {event.attempt} goes to cluster {event.cluster} after {duration(event.waited_ms)}{slo}"


def _failed(event: e.AttemptFailed) -> str:
    spared = "" if event.counts else "; its node is under suspicion, so the failure does not count"
    return f"the attempt failed: {event.kind}" + (f" ({event.error})" if event.error else "") + spared


def _succeeded(event: e.JobSucceeded) -> str:
    return "succeeded" + (f"; loading its version took {duration(event.load_ms)} of it" if event.load_ms else "")


def _closed(event: e.AttemptClosed) -> str:
    counts = "; it counts as a failure" if event.counts else ""
    return f"the attempt ended: {CLOSED.get(event.reason, event.reason)}{counts}"


def _requeued(event: e.JobRequeued) -> str:
    return "it waits again, at its own submit time" + (" after a pause" if event.eligible_lease_ms else "")


def _prepared(event: e.InputsPrepared) -> str:
    took = duration(event.fetch_ms + event.check_ms + event.decode_ms)
    return f"its media are prepared, which took {took}; it waits for a slot"


_DROPPED = {
    "withdrawn": "its version now asks for other inputs; its media are prepared anew",
    "missing": "its prepared media are gone from the object store; they are prepared anew",
}


_WORDS: dict[type, Callable[[Any], str]] = {
    e.JobAccepted: lambda v: f"accepted in tier {v.tier}, for version {v.version[:19]}",
    e.JobPreparing: lambda v: f"accepted in tier {v.tier}, for version {v.version[:19]}; its media are prepared first",
    e.PreparationOrdered: lambda v: f"a CPU worker of cluster {v.cluster} prepares its media",
    e.PreparationClosed: lambda v: f"the preparation ended: {PREPARATION_CLOSED.get(v.reason, v.reason)}",
    e.InputsPrepared: _prepared,
    e.InputsRefused: lambda v: f"refused: {MEDIA_REFUSED.get(v.kind, v.kind)}",
    e.InputsDropped: lambda v: _DROPPED.get(v.reason, v.reason),
    e.JobRepinned: lambda v: f"its version was withdrawn; it takes version {v.version[:19]}, which its alias has now",
    e.StartForecast: lambda v: f"expected to start within {duration(v.p90_ms)} of its submission, later than thought",
    e.GangReserved: lambda v: f"{len(v.nodes)} slots of {v.cluster} are kept for it",
    e.GangReleased: lambda v: "no slots are kept for it any more",
    e.JobRefused: lambda v: f"refused: {_REFUSED.get(v.reason, v.reason)}",
    e.JobDuplicated: lambda v: "submitted again; the first submission stands",
    e.JobDispatched: _dispatched,
    e.AttemptStarted: lambda v: "the attempt started",
    e.RecallOrdered: lambda v: f"the attempt is called back {_RECALLED.get(v.reason, v.reason)}",
    e.KillOrdered: lambda v: f"the attempt is to stop {_ENDING.get(v.reason, 'for a drain')}",
    e.JobCancelling: lambda v: f"it ends {_ENDING.get(v.reason, v.reason)} once its attempt has stopped",
    e.AttemptFailed: _failed,
    e.AttemptClosed: _closed,
    e.JobRequeued: _requeued,
    e.JobSucceeded: _succeeded,
    e.JobDeadLettered: lambda v: f"given up after {v.failures} failure{'' if v.failures == 1 else 's'}",
    e.JobQuarantined: lambda v: f"set aside: {len(v.nodes)} nodes were lost while running it",
    e.JobCancelled: lambda v: f"ended {_ENDING.get(v.reason, v.reason)}",
    e.JobExpired: lambda v: "ended at its deadline",
    e.ErasureOrdered: lambda v: "its words are being erased",
    e.JobErased: lambda v: "its words were erased",
}

JOB_EVENTS = frozenset(_WORDS)
"""The event classes that belong in a job's feed."""


def words(event: e.Event) -> str:
    """The sentence for an event of JOB_EVENTS."""
    return _WORDS[type(event)](event)
