"""Ledgers built by hand, event by event, for tests of the views and of what reads them."""

from __future__ import annotations

import hashlib

import msgspec

from contract import events as e
from contract.batch import GENESIS, Batch, hash_of
from contract.codec import encode
from contract.inputs import Input, Requirements, Submission
from contract.names import dispatch_id
from contract.policy import Cluster, Policy, Pool, Tier, fingerprint
from views.projection import CountedRecord

VERSION = "sha256:" + "a" * 64
MANIFEST = "sha256:" + "b" * 64


def job_of(pool: str, name: str) -> str:
    return f"{pool}-{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def policy_of(pool: str, *, limit: int = 4, partition: int = 0, payload_bytes_max: int = 4096) -> Policy:
    return Policy(
        tiers={"free": Tier(60_000), "api": Tier(1_000)},
        pools={pool: Pool(partition)},
        clusters={"east": Cluster(pool, limit), "west": Cluster(pool, limit)},
        payload_bytes_max=payload_bytes_max,
    )


class Ledger:
    """Writes batches that chain; each method returns the record it made."""

    def __init__(self, pool: str, *, now_ms: int = 1_000_000) -> None:
        self.pool = pool
        self.now_ms = now_ms
        self.records: list[CountedRecord] = []
        self._prev = GENESIS
        self._dispatches: dict[str, str] = {}
        self._attempts: dict[str, int] = {}
        self._offset = 0

    def write(self, *events: e.Event, inputs: tuple[Input, ...] = (), after_ms: int = 10) -> CountedRecord:
        self.now_ms += after_ms
        return self.copy(Batch(self.pool, 1, 0, "", self.now_ms, after_ms, True, self._offset, inputs, events))

    def copy(self, batch: Batch) -> CountedRecord:
        """The next record is this batch, in its place of the chain."""
        seq = len(self.records)
        batch = msgspec.structs.replace(batch, epoch=1, seq=seq, prev_hash=self._prev)
        self._prev = hash_of(encode(batch))
        record = CountedRecord(2 * seq, batch.now_ms + 1, self._prev, batch)  # a zombie between
        self.records.append(record)
        return record

    def open(self) -> CountedRecord:
        return self.write(e.Opened("session-1", "0.1.0", 1))

    def adopt(self, policy: Policy | None = None) -> CountedRecord:
        policy = policy or policy_of(self.pool)
        return self.write(e.PolicyAdopted(policy, fingerprint(policy)))

    def register(self, model: str = "noop") -> CountedRecord:
        needs = Requirements(("cpu",), 0, 64)
        return self.write(e.VersionRegistered(model, VERSION, needs, 60_000), e.AliasPointed(model, "live", VERSION, 1))

    def admit(self, node: str, cluster: str = "east", session: str = "n1") -> CountedRecord:
        return self.write(e.NodeAdmitted(node, session, cluster, "cpu", 2, 0, 1024, (VERSION,)))

    def accepted(self, job: str, tenant: str = "acme", tier: str = "free", model: str = "noop") -> e.JobAccepted:
        self._offset += 1
        offset = self._offset
        return e.JobAccepted(
            job, tenant, tier, model, VERSION, self.now_ms, 0, offset, f"{offset:032x}", "sha256:" + "d" * 64
        )

    def dispatched(self, job: str, node: str = "n-1", cluster: str = "east", index: int = 0) -> e.JobDispatched:
        self._attempts[job] = self._attempts.get(job, 0) + 1
        self._dispatches[job] = dispatch_id(1, len(self.records), index)
        return e.JobDispatched(
            job,
            self._attempts[job],
            self._dispatches[job],
            node,
            "n1",
            cluster,
            3_200,
            60_000,
            job_of(self.pool, "someone-elses"),
            100,
            60_000,
            4,
            1,
            "slots",
        )

    def dispatch(self, job: str) -> str:
        """The newest dispatch of the job."""
        return self._dispatches[job]

    def started(self, job: str) -> e.AttemptStarted:
        return e.AttemptStarted(job, self.dispatch(job))

    def failed(self, job: str, kind: str = "model_error") -> e.AttemptFailed:
        return e.AttemptFailed(job, self.dispatch(job), kind, "ValueError")

    def closed(self, job: str, reason: str, *, counts: bool = False) -> e.AttemptClosed:
        return e.AttemptClosed(job, self.dispatch(job), reason, counts)

    def succeeded(self, job: str, manifest: str = MANIFEST) -> e.JobSucceeded:
        return e.JobSucceeded(job, self.dispatch(job), manifest)

    def forget(self, job: str) -> None:
        """As the scheduler does, long after its end: its attempts begin at 1 again."""
        self._attempts.pop(job, None)

    def run(self, job: str, tenant: str = "acme", tier: str = "free", manifest: str = MANIFEST) -> None:
        """A whole uneventful life, one batch an event."""
        self.write(self.accepted(job, tenant, tier))
        self.write(self.dispatched(job))
        self.write(self.started(job))
        self.write(self.succeeded(job, manifest))


def submission_input(pool: str, job: str, offset: int, *, tenant: str = "acme", at_ms: int = 999_000) -> Input:
    body = Submission(job, tenant, "gold", "absent@live", "sha256:" + "d" * 64, "api")
    return Input(offset, at_ms, body, f"{offset:032x}")
