"""What a node is told: the records of `dispatch.<cluster>`. Writer: the pool's scheduler.

Every order names the node and the session it is for and carries its sender's epoch. The node refuses a lower epoch
than it has seen and another session's orders; an order that comes twice is carried out once.
"""

from __future__ import annotations

import msgspec


class Payload(msgspec.Struct, frozen=True):
    """What the user wrote, as in JobSubmitted."""

    inputs: msgspec.Raw
    salt: str


class Run(msgspec.Struct, frozen=True, tag="Run.v1"):
    """Stage this attempt, and start it when a slot is free.

    A gang is one Run for each node that runs ranks of it. The node of rank 0 reports it as any attempt. Another node
    reports only Failed or Stopped, when a rank of its own is lost or it was told to stop, and lists the dispatch in its
    heartbeats until it has said so or a Kill came: the scheduler sends one as soon as the attempt is over anywhere."""

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
    """Partition and offset in `jobs` where the payload lies."""
    offset: int
    digest: str
    payload: Payload | None = None
    """Carried while the scheduler still holds it; else the node reads it by offset."""
    traceparent: str = ""
    ranks: tuple[int, ...] = (0,)
    """The ranks of the attempt that this node runs, each in a slot of its own."""
    world: int = 1
    """Ranks of the attempt on all nodes: more than 1 is a gang."""
    rendezvous: str = ""
    """host:port at which rank 0 can be reached; empty where all ranks are on this node, which then chooses."""


class Kill(msgspec.Struct, frozen=True, tag="Kill.v1"):
    """Stop this attempt, staged or running, and report Stopped(killed); report it too if you do not have it."""

    node: str
    session: str
    pool: str
    epoch: int
    job: str
    """Empty when a heartbeat names a dispatch that is not open: find it by the dispatch alone."""
    dispatch: str


class Recall(msgspec.Struct, frozen=True, tag="Recall.v1"):
    """Give this attempt back, Stopped(recalled), unless it has started; report it too if you never had it."""

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


class Drain(msgspec.Struct, frozen=True, tag="Drain.v1"):
    """Take no new work; hand back what is staged as Stopped(drained); let what runs finish."""

    node: str
    session: str
    pool: str
    epoch: int


class Rejoin(msgspec.Struct, frozen=True, tag="Rejoin.v1"):
    """The scheduler does not know this session (any more): stop what runs and join with a new session."""

    node: str
    session: str
    pool: str
    epoch: int


Order = Run | Kill | Recall | Load | Drain | Rejoin
