"""What a node is told: the records of `dispatch.<cluster>`. Writer: the pool's scheduler.

Every order names a node and its session, and carries the scheduler's epoch. The node refuses an order to another
session, and an order with a lower epoch than it has seen: its scheduler was replaced. The node carries out an order
once, however often it comes.
"""

from __future__ import annotations

import msgspec

from contract.media import OutputSource
from contract.policy import ISOLATIONS


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the user wrote; the fields are those of JobSubmitted."""

    inputs: msgspec.Raw
    salt: str
    outputs: tuple[OutputSource, ...] = ()


class PreparedInputs(msgspec.Struct, frozen=True):
    """Where an attempt's prepared media lie: inputs/<job>/<preparation>/ (contract.prepared)."""

    preparation: str
    manifest: str
    """The manifest's digest, which the node checks."""
    bytes: int


class Run(msgspec.Struct, frozen=True, tag="Run.v1"):
    """Stage this attempt, and start it when a slot is free.

    Each node that runs ranks of a gang gets a Run. The node of rank 0 reports the attempt like any other. Another node
    reports only that a rank of its own is lost or was stopped (Failed, Stopped), and lists the dispatch in its
    heartbeats until it has reported so or a Kill came. The scheduler sends the Kill when the attempt has ended
    anywhere.
    """

    node: str
    session: str
    pool: str
    epoch: int
    job: str
    attempt: int
    dispatch: str
    model: str
    version: str
    timeout_ms: int
    partition: int
    """Partition and offset in `jobs` of the record with the payload."""
    offset: int
    digest: str
    """Salted digest of the payload, which the node checks."""
    payload: Payload | None = None
    """None: the scheduler no longer holds the payload, and the node reads it in `jobs`."""
    traceparent: str = ""
    ranks: tuple[int, ...] = (0,)
    """The ranks that this node runs, each in a slot of its own."""
    world: int = 1
    """Number of ranks on all nodes together. More than 1: a gang."""
    rendezvous: str = ""
    """host:port at which the ranks find rank 0. Empty: all ranks are on this node, and the node chooses."""
    tenant: str = ""
    """Of the job. Empty: a scheduler of rules before 5 sent the order."""
    isolation: str = ISOLATIONS[0]
    """The policy's, as in contract.policy."""
    network: bool = False
    """The policy allows the version the network, if its manifest asks for it."""
    wheels_from_index: bool = True
    """The policy's: the node may take wheels from elsewhere than the object store."""
    prepared: PreparedInputs | None = None
    """None: no media were prepared for the job."""
    visible_mark: bool = False
    """As in contract.policy."""


class Prepare(msgspec.Struct, frozen=True, omit_defaults=True, tag="Prepare.v1"):
    """Prepare this job's media for this version, and report PreparationDone, PreparationRefused or PreparationStopped.
    Only to nodes of kind `prepare`."""

    node: str
    session: str
    pool: str
    epoch: int
    job: str
    preparation: str
    model: str
    version: str
    timeout_ms: int
    """From when the worker begins; at its end the media are refused (decoder_time)."""
    partition: int
    offset: int
    digest: str
    """As in Run."""
    tenant: str
    """Whose uploads the inputs may name."""
    payload: Payload | None = None
    traceparent: str = ""
    """As in Run."""
    keep_sources: bool = False
    """As in contract.policy."""


class Kill(msgspec.Struct, frozen=True, tag="Kill.v1"):
    """Stop this attempt, staged or running, and report Stopped(killed). A node without the attempt reports the same. To
    a CPU worker: stop this preparation, and report nothing."""

    node: str
    session: str
    pool: str
    epoch: int
    job: str
    """Empty when a heartbeat named a dispatch that is not open: the node finds the attempt by `dispatch`."""
    dispatch: str


class Recall(msgspec.Struct, frozen=True, tag="Recall.v1"):
    """Give this attempt back, unless it has started, and report Stopped(recalled). A node without the attempt reports
    the same."""

    node: str
    session: str
    pool: str
    epoch: int
    job: str
    dispatch: str


class Load(msgspec.Struct, frozen=True, tag="Load.v1"):
    """Fetch this version (weights, code, environment) to disk ahead of need."""

    node: str
    session: str
    pool: str
    epoch: int
    version: str
    wheels_from_index: bool = True
    """As in Run."""


class Drain(msgspec.Struct, frozen=True, tag="Drain.v1"):
    """Take no new work, give staged attempts back as Stopped(drained), and let running ones finish."""

    node: str
    session: str
    pool: str
    epoch: int


class Tell(msgspec.Struct, frozen=True, tag="Tell.v1"):
    """List the cached versions in the next heartbeat: the digest in the last one is not that of the list that the
    scheduler knows."""

    node: str
    session: str
    pool: str
    epoch: int


class Refuse(msgspec.Struct, frozen=True, tag="Refuse.v1"):
    """This session may not join, so it must not try again. `reason` as in the event NodeRefused."""

    node: str
    session: str
    pool: str
    epoch: int
    reason: str


class Rejoin(msgspec.Struct, frozen=True, tag="Rejoin.v1"):
    """The scheduler does not know this session, or no longer: stop all attempts and join with a new session."""

    node: str
    session: str
    pool: str
    epoch: int


Order = Run | Prepare | Kill | Recall | Load | Drain | Tell | Refuse | Rejoin


class Orders(msgspec.Struct, frozen=True, tag="Orders.v1"):
    """Several orders to one node in one record. The node carries them out in this sequence, each as if it had come
    alone. A node of v0.1.0 cannot read this record."""

    node: str
    orders: tuple[Order, ...]
