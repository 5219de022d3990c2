"""Inputs that the tests give a writer."""

from __future__ import annotations

from contract.inputs import (
    AliasMoved,
    Body,
    Input,
    NodeHeartbeat,
    NodeJoined,
    PolicyApplied,
    Requirements,
    Submission,
    VersionPublished,
)
from contract.names import job_id
from contract.policy import Cluster, Policy, Pool, Tier, fingerprint
from tests.unit.streams.memory_log import START_MS

POLICY = Policy(
    tiers={"free": Tier(slo_ms=60_000)},
    pools={"main": Pool(partition=0)},
    clusters={"local": Cluster(pool="main", limit=2)},
)
VERSION = "sha256:" + "a" * 64


class Said:
    """Numbers what is said, as `jobs` does."""

    def __init__(self, at_ms: int = START_MS) -> None:
        self.offset = 0
        self.at_ms = at_ms

    def say(self, body: Body, key: str = "") -> Input:
        given = Input(self.offset, self.at_ms, body, key)
        self.offset += 1
        return given

    def setup(self) -> list[Input]:
        return [
            self.say(PolicyApplied(POLICY, fingerprint(POLICY))),
            self.say(VersionPublished("noop", VERSION, Requirements(("cpu",), 0), 60_000)),
            self.say(AliasMoved("noop", "live", VERSION, 1)),
        ]

    def job(self, number: int) -> Input:
        body = Submission(job_id("main", str(number)), "acme", "free", "noop", "sha256:" + "b" * 64, "api")
        return self.say(body, key=f"key-{number}")

    def node(self, slots: int = 1) -> Input:
        return self.say(NodeJoined("n1", "s1", "local", "cpu", slots, 0, 1000, (VERSION,)))

    def stray(self) -> Input:
        """A heartbeat of a node that nobody knows."""
        return self.say(NodeHeartbeat("n9", "s9"))

    def heartbeat(self) -> Input:
        return self.say(NodeHeartbeat("n1", "s1"))
