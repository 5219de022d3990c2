"""What `headrace up` is asked for, and where things lie in its data directory."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from local.own_files import read, replace

CLUSTER = "local"
"""The cluster of examples/policies/local.yaml, which the stack's own nodes join."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """A port of 0 means: the one used last time, else a free one."""

    data: Path
    api_port: int = 0
    kafka_port: int = 0
    s3_port: int = 0
    nodes: int = 1
    slots: int = 2
    """How many each node has."""
    cluster: str = CLUSTER
    cpu_workers: int = 1
    """How many CPU workers for each cluster of kind `prepare` of the first policy."""
    policy: Path | None = None
    """The first policy of new data. None: examples/policies/local.yaml's."""


def to_argument(options: Options) -> str:
    """The options as one argument of a command line. Paths are absolute: a supervisor may run in another directory."""
    paths = {"data": str(options.data.absolute()), "policy": str(options.policy.absolute()) if options.policy else None}
    return msgspec.json.encode(msgspec.structs.asdict(options) | paths).decode()


def from_argument(argument: str) -> Options:
    return msgspec.json.decode(argument, type=Options, dec_hook=lambda kind, value: kind(value))


def brings_own_s3() -> bool:
    """Whether the stack starts an S3 server. $HEADRACE_S3_ENDPOINT names a server of the user's own instead."""
    return not os.environ.get("HEADRACE_S3_ENDPOINT")


def needed_jars() -> list[str]:
    """The servers of the stack that run on jars (local.jars)."""
    return ["kafka", "s3proxy"] if brings_own_s3() else ["kafka"]


class Layout:
    """Paths in a data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data.absolute()
        self.lock = self.data / "stack.lock"
        self.memory = self.data / "stack.json"
        self.status = self.data / "status.json"
        self.settings = self.data / "settings.json"
        self.keys = self.data / "keys.json"
        self.owner = self.data / "owner.json"
        """The settings of whoever owns the tables of the database, as settings.json has those of an operator."""
        self.installation_keys = self.data / "installation-keys"
        """The keys from which those are derived with which processes sign (contract.signing)."""
        self.kafka_users = self.data / "kafka-users.json"
        """Passwords of the broker's users (local.kafka_logins)."""
        self.logs = self.data / "logs"
        self.supervisor_log = self.logs / "supervisor.log"
        self.kafka = self.data / "kafka"
        self.postgres = self.data / "postgres"
        self.s3 = self.data / "s3"
        self.processes = self.data / "processes"
        """One folder for each process of ours, for its caches and scratch files."""


class Memory(msgspec.Struct, kw_only=True):
    """What a data directory remembers between runs (stack.json)."""

    ports: dict[str, int] = {}
    words_kept_ms: int = 0
    """The first policy's. 0: not installed yet. The broker's pace of cleaning follows from this time."""
    installed: bool = False
    """Topics exist and the first policy was applied."""
    cpu_clusters: dict[str, int] = {}
    """Of the first policy: each cluster of kind `prepare`, and the partition of its pool."""


class Keys(msgspec.Struct, frozen=True):
    """keys.json: secrets, readable by the owner only."""

    tenant: str
    api_key: str
    """The tenant's key, for every tier of the policy. The policy's first tier is the default."""
    operator_key: str


def recall(layout: Layout) -> Memory:
    """What earlier runs chose. FileDamaged."""
    if not layout.memory.exists():
        return Memory()
    return read(layout.memory, Memory)


def remember(layout: Layout, memory: Memory) -> None:
    replace(layout.memory, msgspec.json.format(msgspec.json.encode(memory)))
